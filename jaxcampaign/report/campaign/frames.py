"""Tidy tables of a campaign: totals by group and week, posts with their budgets, prices of rows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jaxcampaign.problems.campaign.grouping import column
from jaxcampaign.solvers import CampaignSolution

UNKNOWN = "(none)"
"""The group of options that have no value."""


def group_frame(solution: CampaignSolution, name: str) -> pd.DataFrame | None:
    """One row per group of options: the column's name, posts, spend, expected.

    Args:
      solution: the plan; groups that it leaves out have 0 of everything.
      name: a column of the options, or a period of `posted_at`, such as "week".

    Returns:
      The most spend first, ties by name; None where the options have no such column.
    """
    problem = solution.problem
    if name not in problem.options:
        return None
    labels = column(problem.options, name).astype("str").fillna(UNKNOWN)
    totals = _totals(solution, labels).rename_axis(name).reset_index()
    order = totals.sort_values(["spend", "expected"], ascending=False, kind="stable")
    return order.reset_index(drop=True)


def week_frame(solution: CampaignSolution) -> pd.DataFrame | None:
    """One row per week from the first to the last with options: week, posts, spend, expected.

    Weeks are named by their Monday (UTC); None where the options have no `posted_at`.
    """
    if "posted_at" not in solution.problem.options:
        return None
    week = pd.to_datetime(column(solution.problem.options, "week"))
    totals = _totals(solution, week)
    every = pd.date_range(totals.index.min(), totals.index.max(), freq="7D", name="week")
    return totals.reindex(every, fill_value=0).reset_index()


def price_frame(solution: CampaignSolution) -> pd.DataFrame:
    """Limits that have a price: limit, price, has, most; most at stake, price x limit, first.

    `price` is what one more unit of the limit is worth, below 0 where the plan has to have so
    much at least; `has` is what the plan has of it, `most` (or
    least) the limit. Both are missing for shares, whose limit moves with the whole.
    """
    prices = solution.shadow_prices()
    limit = prices["upper"].where(prices["price"] > 0, prices["lower"])
    share = (limit == 0) & prices["reason"].str.contains(" of all ", regex=False)
    frame = pd.DataFrame(
        {
            "limit": prices["reason"],
            "price": prices["price"],
            "has": prices["activity"].where(~share),
            "most": limit.where(~share),
        }
    )
    stake = frame["price"].abs() * limit.abs().clip(lower=1.0)
    order = stake.sort_values(ascending=False, kind="stable").index
    return frame.loc[order].reset_index(drop=True)


def budget_price(solution: CampaignSolution) -> float | None:
    """What one more unit of the whole budget is worth at most; None where none is given."""
    if solution.problem.budget is None or solution.multipliers is None:
        return None
    rows = solution.shadow_prices().set_index("row")["price"]
    return float(rows.get("budget", 0.0))


def _totals(solution: CampaignSolution, labels: pd.Series) -> pd.DataFrame:
    problem, decision = solution.problem, solution.decision
    frame = pd.DataFrame(
        {
            "posts": decision.chosen.astype(np.int64),
            "spend": decision.spend,
            "expected": problem.mean * problem.effect(decision),
        }
    )
    return frame.groupby(labels.to_numpy(), sort=True).sum()
