"""What a report says in plain words: numbers rounded to the safe side, and sentences of proof."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from jaxcampaign.certificate import unreachable
from jaxcampaign.problems import DisjointSlots
from jaxcampaign.solvers import Solution


def number(value: float, digits: int = 4, *, rounding: str = ROUND_HALF_EVEN) -> str:
    """A number for readers: so many significant digits, no decimals from 10,000 on.

    Float noise below the ninth digit is dropped before rounding, so that a bound of 2.9999999999
    that is rounded down still reads 3.
    """
    if not math.isfinite(value):
        return "unlimited" if value > 0 else str(value)
    exact = Decimal(f"{value:.9g}")
    if exact == 0:
        return "0"
    place = min(exact.adjusted() - digits + 1, 0)
    rounded = exact.quantize(Decimal((0, (1,), place)), rounding=rounding)
    if rounded != 0 and abs(rounded) < Decimal("1e-4"):
        return f"{float(rounded):g}"
    text = f"{rounded:,f}"
    # Zeros at the end are kept where they say how exact the number is.
    return text.rstrip("0").rstrip(".") if "." in text and rounded == exact else text


def floor(value: float, digits: int = 4) -> str:
    """`number`, never rounded up: for what holds from below."""
    return number(value, digits, rounding=ROUND_FLOOR)


def ceiling(value: float, digits: int = 4) -> str:
    """`number`, never rounded down: for what holds from above."""
    return number(value, digits, rounding=ROUND_CEILING)


def percent(share: float, *, rounding: str = ROUND_HALF_EVEN) -> str:
    """A share as percent, to one decimal."""
    if not math.isfinite(share):
        return "unlimited"
    rounded = Decimal(f"{100 * share:.9g}").quantize(Decimal("0.1"), rounding=rounding)
    return f"{rounded:,f} %"


def counted(n: int, noun: str) -> str:
    """`1 slot`, `84 slots`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def clock(minutes: ArrayLike) -> pd.Series:
    """Minutes of the day as HH:MM; the end of the day is 24:00."""
    hour, minute = (pd.Series(part, dtype="str") for part in np.divmod(np.asarray(minutes), 60))
    return hour.str.zfill(2) + ":" + minute.str.zfill(2)


def question(solution: Solution) -> str:
    """What was asked, in one sentence."""
    problem, products = solution.problem, len(solution.problem.product_ids)
    if isinstance(problem, DisjointSlots):
        limits = " within its limit of slots," if np.isfinite(problem.max_slots).any() else ""
        whom = "the product get" if products == 1 else f"each of {products:,} products get"
        return (
            f"Which billboard slots should {whom}, no slot for two of them,{limits} so that each "
            "has the influence it needs at the least cost?"
        )
    if problem.sense == "min":
        asked = "gives the product" if products == 1 else f"gives each of {products:,} products"
        return f"Which set of billboard slots {asked} the influence it needs at the least cost?"
    whom = "" if products == 1 else f" on the audiences of {products:,} products"
    limits = " and ".join(problem.rows.reasons)
    return f"Which billboard slots have the most influence{whom}? The limits: {limits}."


def answer(solution: Solution) -> list[str]:
    """What was found and what is proven of it, one sentence each."""
    c = solution.certificate
    bought = _bought(solution)
    if not c.feasible:
        return [_why_not(solution), *_partial(solution, bought), *_broken(solution)]
    if c.sense == "min":
        found = [f"{bought}.", _all_met(solution)]
    else:
        found = [f"{bought}, with an influence of {number(c.value)} ({influence_unit(solution)})."]
    return [*found, proof(solution)]


def verdict(solution: Solution) -> str:
    """The status in a few words."""
    c = solution.certificate
    if c.reasons:
        return "Infeasible: no plan can meet every demand"
    if solution.status == "bicriteria":
        least = percent(c.least_share, rounding=ROUND_FLOOR)
        return f"Not met in full: every demand is met to {least} at least"
    if not c.feasible:
        return "Not met: this plan breaks a demand or a limit"
    if solution.status == "optimal":
        return f"Feasible and {'found to be the' if is_claim(solution) else 'proven'} best possible"
    margin = distance(solution)
    whose = "by the solver's word" if is_claim(solution) else "proven"
    known = f"Feasible, {whose} {margin}" if margin else "Feasible"
    return f"{known}; stopped at a limit" if solution.status == "limit" else known


def distance(solution: Solution) -> str:
    """How far from the best possible the plan is at most, from the bound; empty if unknown."""
    c = solution.certificate
    ratio = _ratio(solution)
    if ratio is None:
        return ""
    if c.sense == "max":
        return f"at least {percent(ratio, rounding=ROUND_FLOOR)} of the best possible"
    if ratio > 10:
        return f"at most {ceiling(ratio, 2)} times the best possible"
    return f"at most {percent(ratio - 1, rounding=ROUND_CEILING)} above the best possible"


def proof(solution: Solution) -> str:
    """The proven bound of a feasible plan as a sentence."""
    c = solution.certificate
    if c.bound is None:
        return "No bound is proven."
    # Branch and bound cannot be rechecked: the reader should know whose word it is.
    claim = "The solver's exhaustive search says that no" if is_claim(solution) else "No"
    cheap = c.sense == "min"
    if solution.status == "optimal":
        better = "can cost less" if cheap else "within these limits can have more"
        return f"{claim} plan {better}: this one is the best possible."
    margin = distance(solution)
    if not margin:
        return "Only the trivial bound is known, so a much better plan is not ruled out."
    better = f"can cost less than {floor(c.bound)}"
    if not cheap:
        better = f"within these limits can have more than {ceiling(c.bound)}"
    return f"{claim} plan {better}, so this one is {margin}."


def bound_title(solution: Solution) -> str:
    """The bound figure in words: bound, value and the difference."""
    c = solution.certificate
    if c.bound is None:
        return f"This plan: {number(c.value)}; no bound is proven"
    whose = "By the solver's word, no" if is_claim(solution) else "No"
    if solution.status == "optimal":
        best = "plan can cost less" if c.sense == "min" else "plan can have more influence"
        return f"{whose} {best}: {number(c.value)} is the best possible"
    ratio = _ratio(solution)
    more = "" if ratio is None else f" ({percent(abs(ratio - 1), rounding=ROUND_CEILING)} "
    if c.sense == "min":
        more += "more)" if more else ""
        bound = f"cost less than {floor(c.bound)}; this one costs"
        return f"{whose} plan can {bound} {number(c.value)}{more}"
    more += "less)" if more else ""
    bound = f"have more than {ceiling(c.bound)}; this one has"
    return f"{whose} plan can {bound} {number(c.value)}{more}"


def influence_unit(solution: Solution) -> str:
    """What a unit of the objective stands for."""
    problem = solution.problem
    if np.any(problem.weight != 1):
        return "expected people influenced, weighted by product"
    if len(problem.product_ids) == 1:
        return "expected people influenced"
    return "expected people influenced, summed over products"


def _bought(solution: Solution) -> str:
    chosen = int(solution.selection.sum())
    if chosen == 0:
        return "The empty plan: no slot is bought"
    boards = solution.problem.influence.slots["board_id"].to_numpy()[solution.selection]
    cost = number(solution.certificate.cost)
    return f"{counted(chosen, 'slot')} on {counted(len(np.unique(boards)), 'board')} for {cost}"


def _all_met(solution: Solution) -> str:
    products = len(solution.problem.product_ids)
    if not solution.problem.demand.any():
        return "No product has a demand."
    if products == 1:
        return "The product gets the influence it needs."
    return f"Every one of {products:,} products gets the influence it needs."


def _why_not(solution: Solution) -> str:
    c = solution.certificate
    if solution.status == "bicriteria":
        share = percent(solution.target, rounding=ROUND_FLOOR)
        return f"Every demand is met to {share} at least, which is what the solver was asked for."
    asked = int((c.demand > 0).sum())
    beyond = len(unreachable(solution.problem)) if c.reasons else 0
    if beyond and asked == 1:
        return "No plan can meet the demand: it is more than all slots together can reach."
    if beyond:
        ask = "asks" if beyond == 1 else "ask"
        return (
            f"No plan can meet every demand: {beyond:,} of {counted(asked, 'product')} "
            f"{ask} for more influence than all slots together can reach."
        )
    if c.reasons:
        return (
            "No plan can meet every demand: each product alone could be served, but not all of "
            "them within the limits, as the stored multipliers prove."
        )
    return (
        "This plan breaks a demand or a limit. It is not proven that every plan must: another "
        "solver or more time may find one that does not."
    )


def _partial(solution: Solution, bought: str) -> list[str]:
    c = solution.certificate
    if c.sense != "min":
        return [f"{bought}."]
    asked, lacking = int((c.demand > 0).sum()), int((c.shortfall > 0).sum())
    met = f"{asked - lacking:,} of {counted(asked, 'demand')} met"
    if solution.status == "bicriteria":
        return [f"{bought}, {met} in full."]
    return [f"The best partial answer found: {bought[0].lower()}{bought[1:]}, {met}."]


def _broken(solution: Solution) -> list[str]:
    return [
        f"Limit {row['row']} is broken: {number(row['activity'])} where "
        f"{number(row['lower'])} to {number(row['upper'])} is allowed."
        for row in solution.certificate.violations
    ]


def is_claim(solution: Solution) -> bool:
    """Whether the bound is a branch and bound's word, which nobody can recheck."""
    return solution.certificate.bound_proof == "branch_and_bound"


def _ratio(solution: Solution) -> float | None:
    """Value over bound where both say something, else None."""
    c = solution.certificate
    if not c.feasible or c.bound is None or c.bound <= 0 or not math.isfinite(c.bound):
        return None
    return c.value / c.bound
