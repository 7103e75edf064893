"""Why a post is in a plan: what it brings beyond its limits, and which limits those are."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jaxcampaign.problems.campaign import Campaign, CampaignMultipliers, Decision, priced


def reasons(
    problem: Campaign, multipliers: CampaignMultipliers, decision: Decision
) -> pd.DataFrame:
    """For each chosen option, in order: reduced_value, binding_rows and why.

    `reduced_value` is what it is worth beyond what its rows cost at the shadow prices;
    `binding_rows` are the rows with a price that it counts in, the weightiest for it first.
    """
    chosen = np.flatnonzero(decision.chosen)
    reduced = priced(problem, multipliers).reduced[chosen]
    pairs = _priced_rows(problem, multipliers, decision, chosen)
    weightiest = pairs.reindex(pairs["cost"].abs().sort_values(ascending=False).index)
    names = weightiest.groupby("place")["row"].agg("; ".join).reindex(range(len(chosen)))
    # What lower limits pay an option for: without that it might not be worth its money.
    helped = weightiest[weightiest["cost"] < 0]
    paid = -helped.groupby("place")["cost"].sum().reindex(range(len(chosen)), fill_value=0.0)
    first = helped.groupby("place")["row"].first().reindex(range(len(chosen)), fill_value="")
    brings = np.char.add("brings ", np.char.mod("%.4g", reduced))
    why = np.char.add(brings, " more than its limits and money are worth elsewhere").astype(object)
    why[reduced <= 0] = "uses what is left of its limits"
    needed = (paid.to_numpy() > 0) & (reduced - paid.to_numpy() <= 0)
    why[needed] = ("needed for: " + first.to_numpy(object))[needed]
    why[problem.required[chosen]] = "required"
    return pd.DataFrame(
        {
            "reduced_value": reduced,
            "binding_rows": names.fillna("").to_numpy(object),
            "why": why,
        }
    )


def _priced_rows(
    problem: Campaign, multipliers: CampaignMultipliers, decision: Decision, chosen: np.ndarray
) -> pd.DataFrame:
    """Each option's rows with a price: place among the chosen, row, and what it costs there."""
    price, start = multipliers.upper - multipliers.lower, 0
    parts = [pd.DataFrame({"place": np.zeros(0, np.int64), "row": "", "cost": np.zeros(0)})]
    for family in problem.families:
        own = price[start : start + len(family)]
        start += len(family)
        group = family.group[chosen]
        place = np.flatnonzero((group >= 0) & (np.append(own, 0.0)[group] != 0))
        if len(place):
            bought = decision.spend[chosen] if family.acts == "spend" else np.ones(len(chosen))
            cost = family.take(chosen).prices(own) * bought
            numbers, at = np.unique(group[place], return_inverse=True)
            known = np.array([family.names[i] for i in numbers.tolist()], object)
            parts.append(pd.DataFrame({"place": place, "row": known[at], "cost": cost[place]}))
    if len(problem.rows):
        own = np.where(problem.definitions, 0.0, price[start:])
        entries = problem.rows.matrix[:, chosen].tocoo()
        kept = own[entries.row] != 0
        row, place = entries.row[kept], entries.col[kept]
        known = np.array([problem.rows.names[i] for i in row.tolist()], object)
        cost = own[row] * entries.data[kept]
        parts.append(pd.DataFrame({"place": place, "row": known, "cost": cost}))
    return pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
