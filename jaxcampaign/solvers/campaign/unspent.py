"""Why money of a budget is left: what more could have been bought, and what stands against it."""

from __future__ import annotations

import numpy as np

from jaxcampaign.problems import FEASIBILITY_TOLERANCE
from jaxcampaign.problems.campaign import Campaign, Decision
from jaxcampaign.problems.campaign.money import CENT

_NAMED = 3


def why_unspent(problem: Campaign, decision: Decision) -> str:
    """A sentence on the money that a feasible plan leaves; empty where nothing is left.

    Looked at is every single addition of some worth: one more post, or a cent more for a post that
    is not paid in full.
    """
    if problem.budget is None:
        return ""
    left = problem.budget - float(decision.spend.sum())
    if left < CENT / 2:
        return ""
    chosen, price = decision.chosen, problem.price
    weights = np.zeros(0)
    if problem.risk_aversion:
        weights = problem.measure.worst(problem.effect(decision))
    unpaid = chosen & (decision.spend < price - CENT / 2) & (problem.spending.least < 1)
    if not np.ptp(problem.spending.response(np.array([0.5, 1.0]))):
        unpaid[:] = False  # more money for the same post buys nothing
    worth = (problem.value_prices(weights) > 0) & ~problem.excluded & (~chosen | unpaid)
    if not worth.any():
        return f"{left:,.2f} is left: nothing else that is on offer would add to the value."
    money = np.where(chosen, CENT, problem.least_payment)
    fits = worth & (money <= left * (1 + FEASIBILITY_TOLERANCE))
    n = int(worth.sum())
    kind = "posts, new or not paid in full," if (worth & unpaid).any() else "other posts"
    kind = kind.replace("posts", "post") if n == 1 else kind
    what = f"{left:,.2f} is left: of {n:,} {kind} that would add to the value "
    if not fits.any():
        return what + f"the cheapest costs {money[worth].min():,.2f}."
    names, free = _against(problem, decision, money, fits)
    if free:
        return what + f"{free:,} could still be bought alone; a longer search may use it."
    dear = n - int(fits.sum())
    costs = f"{dear:,} cost more, and " if dear else ""
    return f"{what}{costs}{int(fits.sum()):,} would break a rule, first {'; '.join(names)}."


def _against(
    problem: Campaign, decision: Decision, money: np.ndarray, fits: np.ndarray
) -> tuple[list[str], int]:
    """Names of the rows that stand against most single additions, and how many nothing does."""
    more = (~decision.chosen).astype(np.float64)
    free = fits.copy()
    found: list[tuple[int, str]] = []
    for family in problem.families:
        added = family.weights(money if family.acts == "spend" else more) * (1 - family.share)
        activity = family.activity(
            decision.spend if family.acts == "spend" else decision.chosen.astype(np.float64)
        )
        lower, upper = family.tolerated(FEASIBILITY_TOLERANCE)
        group = np.maximum(family.group, 0)
        after = activity[group] + added
        broken = (family.group >= 0) & ((after > upper[group]) & (added > 0))
        broken |= (family.group >= 0) & ((after < lower[group]) & (added < 0))
        free &= ~broken
        count = np.bincount(group[broken & fits], minlength=len(family))
        found += [(int(count[g]), family.names[g]) for g in np.argsort(-count)[:_NAMED]]
    if len(problem.rows):
        activity = problem.rows.matrix @ problem.columns(decision)
        entries = problem.rows.matrix[:, : problem.n_items].tocoo()
        upper = problem.rows.tolerated(FEASIBILITY_TOLERANCE)[1]
        row, option = entries.coords
        broken_entry = (activity[row] + entries.data * more[option] > upper[row]) & fits[option]
        # A flag that a new option would raise gives way with it: definitions stand against nothing.
        broken_entry &= ~problem.definitions[row]
        free[option[broken_entry]] = False
        count = np.bincount(row[broken_entry], minlength=len(problem.rows))
        found += [(int(count[r]), problem.rows.names[r]) for r in np.argsort(-count)[:_NAMED]]
    found = sorted((pair for pair in found if pair[0]), key=lambda pair: -pair[0])
    names = [f"{name} ({count:,})" for count, name in found[:_NAMED]]
    return names, int(free.sum())
