"""Which rows a plan breaks, in float64, with no solver."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxcampaign.problems.assessment import FEASIBILITY_TOLERANCE, broken_rows
from jaxcampaign.problems.campaign.money import in_cents

if TYPE_CHECKING:
    from jaxcampaign.problems.campaign.families import Family
    from jaxcampaign.problems.campaign.problem import Campaign, Decision
    from jaxcampaign.problems.rows import Rows


def violations(problem: Campaign, decision: Decision) -> tuple[dict[str, Any], ...]:
    """Rows that are not met, each with name, activity, lower, upper; empty for a feasible plan.

    A limit counts as kept within `FEASIBILITY_TOLERANCE` of its size, a share within that of
    itself, a limit of money to rounding: whole cents are added as whole numbers. What an option
    gets has no tolerance at all.
    """
    found: list[dict[str, Any]] = []
    for rows, activity, lower, upper in limited(problem, decision):
        found += broken_rows(rows, activity, lower, upper)
    for name, rows, least, most in (
        ("required option {}", problem.required & ~decision.chosen, 1.0, 1.0),
        ("excluded option {}", problem.excluded & decision.chosen, 0.0, 0.0),
    ):
        for i in np.flatnonzero(rows):
            here = float(decision.chosen[i])
            found.append({"row": name.format(i), "activity": here, "lower": least, "upper": most})
    used = decision.used
    chosen, spend = decision.chosen[used], decision.spend[used]
    most_spent = np.where(chosen, problem.price[used], 0.0)
    least_spent = np.where(chosen, problem.least_payment[used], 0.0)
    # Written so that a payment that is no number is wrong.
    right = (spend >= least_spent) & (spend <= most_spent)
    for at in np.flatnonzero(~right):
        found.append(
            {
                "row": f"money for option {used[at]}",
                "activity": float(spend[at]),
                "lower": float(least_spent[at]),
                "upper": float(most_spent[at]),
            }
        )
    return tuple(found)


def limited(
    problem: Campaign, decision: Decision
) -> Iterator[tuple[Family | Rows, np.ndarray, np.ndarray, np.ndarray]]:
    """Each family, and then the sparse rows, with activity and tolerated limits, float64[G]."""
    used = decision.used
    counts, spend = decision.chosen[used].astype(np.float64), decision.spend[used]
    cents = in_cents(spend)
    for family in problem.families:
        loose = family.loosened(FEASIBILITY_TOLERANCE).take(used)
        if family.acts == "posts":
            activity = loose.activity(counts)
        elif cents is None:
            activity = loose.activity(spend)
        else:
            activity = loose.activity(cents) / 100
        yield family, activity, *family.tolerated(FEASIBILITY_TOLERANCE)
    if len(problem.rows):
        activity = problem.rows.matrix @ problem.columns(decision)
        yield problem.rows, activity, *problem.rows.tolerated(FEASIBILITY_TOLERANCE)
