"""What the page of a campaign says in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING
from typing import Any

import numpy as np

from jaxcampaign.problems import (
    AtLeast,
    AtMost,
    Campaign,
    ConcaveResponse,
    Conflict,
    Exclude,
    MaxShare,
    MinimumSpend,
    Require,
)
from jaxcampaign.problems.campaign import Constraint
from jaxcampaign.report.wording import ceiling, counted, distance, is_claim, number, percent
from jaxcampaign.solvers import CampaignSolution

_SHOWN = 8
_RISKS = {
    "SummedDeviation": "the sum of the posts' standard deviations",
    "FactorDeviation": "the standard deviation of the whole plan",
    "ConditionalShortfall": "the shortfall in the worst scenarios",
    "BudgetOfDeviations": "the largest deviations that may come together",
}


def question(problem: Campaign, unit: str) -> str:
    """What was asked, in a few sentences."""
    budget = "" if problem.budget is None else f" with a budget of {number(problem.budget)}"
    asked = f"Which posts should be bought{budget}, so that the {unit} is the most possible"
    if problem.risk_aversion:
        risk = _RISKS.get(type(problem.risk).__name__, "the risk")
        asked += f", less {number(problem.risk_aversion)} times {risk}"
    rules = [rule_text(constraint) for constraint in problem.constraints[:_SHOWN]]
    if len(problem.constraints) > _SHOWN:
        rules.append(f"and {len(problem.constraints) - _SHOWN} more")
    asked += "?"
    if isinstance(problem.spending, ConcaveResponse):
        asked += " A post may get less than its price; what it brings then falls off slowly."
    elif isinstance(problem.spending, MinimumSpend):
        asked += f" A post needs {percent(problem.spending.least)} of its price at least."
    return f"{asked} The rules: {'; '.join(rules)}." if rules else asked


def rule_text(constraint: Constraint) -> str:
    """A constraint in words."""
    match constraint:
        case AtMost() | AtLeast():
            word = "at most" if isinstance(constraint, AtMost) else "at least"
            different = constraint.of not in ("posts", "spend")
            what = f"{constraint.of} in all" if different else constraint.of
            if constraint.k == 1 and what == "posts":
                what = "post"
            text = f"{word} {_limit(constraint.k)} {what}{_per(constraint.per)}"
            if isinstance(constraint, AtMost) and constraint.days is not None:
                text += f" within any {number(constraint.days)} days"
            return text + _where(constraint.where)
        case MaxShare():
            per = _columns(constraint.per)
            whole = f"at most {percent(constraint.share)} of all {constraint.of} for one {per}"
            return whole + _where(constraint.where)
        case Require():
            return f"every post required{_where(constraint.where)}"
        case Exclude():
            return f"no post{_where(constraint.where)}"
        case Conflict():
            one, other = _where(constraint.one), _where(constraint.other)
            return f"no post{one} beside one{other}{_per(constraint.per)}"
    return repr(constraint)


def verdict(solution: CampaignSolution) -> str:
    """The status in a few words."""
    c = solution.certificate
    if c.reasons:
        return "Infeasible: no plan can keep every rule"
    if solution.status == "infeasible":
        return "Infeasible, by the solver's word: it found that no plan keeps every rule"
    if not c.feasible:
        return "Not met: this plan breaks a rule"
    if solution.status == "optimal":
        return f"Feasible and {'found to be the' if is_claim(solution) else 'proven'} best possible"
    margin = distance(solution)
    whose = "by the solver's word" if is_claim(solution) else "proven"
    known = f"Feasible, {whose} {margin}" if margin else "Feasible"
    return f"{known}; stopped at a limit" if solution.status == "limit" else known


def answer(solution: CampaignSolution, unit: str) -> list[str]:
    """What was found and what is proven of it, one sentence each."""
    problem, c = solution.problem, solution.certificate
    if not c.feasible:
        return [_why_not(solution), f"The nearest plan that was found: {_bought(solution)}."]
    expected = float((problem.mean * problem.effect(solution.decision)).sum())
    found = f"{_bought(solution)}, with an {unit} of {number(expected)}"
    if problem.risk_aversion:
        found += f", which counts {number(c.value)} after the risk"
    left = solution.unspent()
    return [f"{found}.", *([left] if left else []), proof(solution)]


def proof(solution: CampaignSolution) -> str:
    """The proven bound of a feasible plan as a sentence."""
    c = solution.certificate
    if c.bound is None:
        return "No bound is proven."
    claim = "The solver's exhaustive search says that no" if is_claim(solution) else "No"
    if solution.status == "optimal":
        return f"{claim} plan within these rules is worth more: this one is the best possible."
    margin = distance(solution)
    end = f", so this one is {margin}" if margin else ""
    return f"{claim} plan within these rules is worth more than {ceiling(c.bound)}{end}."


def bound_title(solution: CampaignSolution) -> str:
    """The bound figure in words."""
    c = solution.certificate
    assert c.bound is not None
    whose = "By the solver's word, no" if is_claim(solution) else "No"
    if solution.status == "optimal":
        return f"{whose} plan is worth more: {number(c.value)} is the best possible"
    most, worth = ceiling(c.bound), number(c.value)
    return f"{whose} plan is worth more than {most}; this one is worth {worth}"


def more_budget(solution: CampaignSolution, price: float | None, share: float = 0.1) -> str:
    """What more money could bring at most, by the price of the budget: it holds for any change.

    Prices prove a bound whatever the limits are, and a change of the budget changes that bound by
    its price times the change.
    """
    c, budget = solution.certificate, solution.problem.budget
    if price is None or budget is None or not c.feasible or c.rechecked_bound is None:
        return ""
    added = share * budget
    most = c.rechecked_bound + price * added
    if price <= 0:
        return (
            "The budget has no price: by this proof, more money alone would not make a better plan "
            "possible."
        )
    text = (
        f"With {number(added)} more budget ({percent(share)}) no plan can be worth more than "
        f"{ceiling(most)}"
    )
    if c.value > 0:
        gain = percent(max(most / c.value - 1, 0.0), rounding=ROUND_CEILING)
        text += f", which is {gain} more than this plan"
    return (
        f"{text}. One more unit of money is worth {number(price, 3)} at most, and about that for "
        "small changes."
    )


def unit_of(run: Mapping[str, Any]) -> str:
    """What the mean of an option is of."""
    inputs = run.get("inputs")
    target = inputs.get("target") if isinstance(inputs, Mapping) else None
    if not target and isinstance(inputs, Mapping) and inputs.get("data"):
        target = "engagement"
    return f"expected {target or 'effect'}"


def _bought(solution: CampaignSolution) -> str:
    n = int(solution.selection.sum())
    if n == 0:
        return "no post at all"
    who = solution.problem.options["influencer_id"].to_numpy(object)[solution.selection]
    people = counted(len(np.unique(who.astype(str))), "influencer")
    return f"{counted(n, 'post')} by {people} for {number(solution.certificate.cost)}"


def _why_not(solution: CampaignSolution) -> str:
    c = solution.certificate
    if c.reasons:
        return "No plan can keep every rule, as the stored multipliers prove."
    if solution.status == "infeasible":
        return (
            "The solver's exhaustive search found that no plan keeps every rule. The multipliers "
            "alone do not prove it: with fractions of posts the rules could be kept."
        )
    return (
        "This plan breaks a rule. It is not proven that every plan must: more time may find one "
        "that does not."
    )


def _limit(k: Any) -> str:
    if not isinstance(k, Mapping):
        return number(k)
    parts = [
        f"{number(limit)} ({' '.join(name) if isinstance(name, tuple) else name})"
        for name, limit in list(k.items())[:_SHOWN]
    ]
    more = len(k) - _SHOWN
    return ", ".join([*parts, f"and {more} more"] if more > 0 else parts)


def _per(per: Any) -> str:
    return f" per {_columns(per)}" if per else ""


def _columns(per: Any) -> str:
    names = [per] if isinstance(per, str) else list(per or ())
    return " and ".join(name.removesuffix("_id").replace("_", " ") for name in names)


def _where(where: Mapping[str, Any] | None) -> str:
    if not where:
        return ""
    return " where " + " and ".join(_condition(name, value) for name, value in where.items())


def _condition(name: str, value: Any) -> str:
    name = name.removesuffix("_id").replace("_", " ")
    if isinstance(value, tuple):
        low, high = value
        if low is None:
            return f"{name} is at most {high}"
        return f"{name} is at least {low}" if high is None else f"{name} is {low} to {high}"
    if isinstance(value, list):
        return f"{name} is {' or '.join(map(str, value[:_SHOWN]))}"
    return f"{name} is {value}"
