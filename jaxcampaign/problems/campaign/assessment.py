"""Which rows a plan breaks, in float64, with no solver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxcampaign.problems.assessment import FEASIBILITY_TOLERANCE, broken_rows

if TYPE_CHECKING:
    from jaxcampaign.problems.campaign.problem import Campaign, Decision


def violations(problem: Campaign, decision: Decision) -> tuple[dict[str, Any], ...]:
    """Rows that are not met, each with name, activity, lower, upper; empty for a feasible plan.

    A limit counts as kept within `FEASIBILITY_TOLERANCE` of its size, a share within that of
    itself.
    """
    found: list[dict[str, Any]] = []
    counts = decision.chosen.astype(np.float64)
    for family in problem.families:
        loose = family.loosened(FEASIBILITY_TOLERANCE)
        activity = loose.activity(decision.spend if family.acts == "spend" else counts)
        lower, upper = family.tolerated(FEASIBILITY_TOLERANCE)
        found += broken_rows(family, activity, lower, upper)
    if len(problem.rows):
        activity = problem.rows.matrix @ problem.columns(decision)
        found += broken_rows(problem.rows, activity, *problem.rows.tolerated(FEASIBILITY_TOLERANCE))
    for name, rows, least, most in (
        ("required option {}", problem.required & ~decision.chosen, 1.0, 1.0),
        ("excluded option {}", problem.excluded & decision.chosen, 0.0, 0.0),
    ):
        for i in np.flatnonzero(rows):
            here = float(decision.chosen[i])
            found.append({"row": name.format(i), "activity": here, "lower": least, "upper": most})
    most_spent = np.where(decision.chosen, problem.price, 0.0)
    least_spent = problem.spending.least * most_spent
    slack = FEASIBILITY_TOLERANCE * problem.price
    wrong = (decision.spend > most_spent + slack) | (decision.spend < least_spent - slack)
    wrong |= ~np.isfinite(decision.spend)
    for i in np.flatnonzero(wrong):
        found.append(
            {
                "row": f"money for option {i}",
                "activity": float(decision.spend[i]),
                "lower": float(least_spent[i]),
                "upper": float(most_spent[i]),
            }
        )
    return tuple(found)
