"""Tidy tables of a solution: the plan, and its totals per board, product, hour and place."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jaxcampaign.errors import InputError
from jaxcampaign.problems import DisjointSlots
from jaxcampaign.report.wording import clock
from jaxcampaign.solvers import Solution


def plan_frame(solution: Solution) -> pd.DataFrame:
    """One row per chosen slot: slot_id, board_id, start, end (HH:MM), cost, influence.

    For disjoint sets also product_id. The most expensive first, ties by id, as in `Solution.table`.
    """
    table = solution.table()
    return pd.DataFrame(
        {
            **{name: table[name] for name in solution.problem.item_key},
            "board_id": table["board_id"],
            "start": clock(table["start_min"]),
            "end": clock(table["end_min"]),
            "cost": table["cost"],
            "influence": table["influence"],
        }
    )


def board_frame(solution: Solution) -> pd.DataFrame:
    """One row per board of the plan: board_id, slots, cost, first, last (HH:MM).

    `first` is when its earliest slot starts, `last` when its latest ends. The most expensive
    boards first, ties by id.
    """
    totals = solution.table().groupby("board_id", sort=True, as_index=False)
    totals = totals.agg(
        slots=("slot_id", "size"),
        cost=("cost", "sum"),
        first=("start_min", "min"),
        last=("end_min", "max"),
    ).sort_values("cost", ascending=False, kind="stable", ignore_index=True)
    return totals.assign(first=clock(totals["first"]), last=clock(totals["last"]))


def product_frame(solution: Solution) -> pd.DataFrame:
    """One row per product: product_id, demand, achieved, shortfall, share, attainable, weight.

    For disjoint sets also slots and cost, what is bought for the product. `share` is achieved
    over demand, NaN without a demand; `attainable` is the influence of all slots together. Where
    demands are asked, the lowest share first, those without one last; otherwise the most
    influence first. Ties stay in the problem's order.
    """
    problem = solution.problem
    frame = solution.per_product()
    frame["share"] = frame["achieved"] / frame["demand"].where(frame["demand"] > 0)
    frame["attainable"] = problem.objective.reference(np.ones(problem.n_items, bool))
    frame["weight"] = problem.weight
    if isinstance(problem, DisjointSlots):
        owner, n_products = problem.item_product[solution.selection], len(frame)
        frame["slots"] = np.bincount(owner, minlength=n_products)
        paid = problem.cost[solution.selection]
        frame["cost"] = np.bincount(owner, weights=paid, minlength=n_products).astype(np.float64)
    by, rising = ("share", True) if problem.sense == "min" else ("achieved", False)
    return frame.sort_values(by, ascending=rising, kind="stable", ignore_index=True)


def hour_frame(solution: Solution) -> pd.DataFrame:
    """24 rows, hour, slots, cost: what is bought in each hour of the day, by start of the slot."""
    table = solution.table()
    hour = (table["start_min"] // 60).to_numpy()
    return pd.DataFrame(
        {
            "hour": np.arange(24),
            "slots": np.bincount(hour, minlength=24),
            "cost": np.bincount(hour, weights=table["cost"], minlength=24),
        }
    )


def place_frame(solution: Solution, billboards: pd.DataFrame | None = None) -> pd.DataFrame | None:
    """One row per board with known coordinates: board_id, lat, lon, slots, cost.

    Args:
      solution: the plan; boards that it leaves out have 0 slots and cost 0.
      billboards: board_id, lat, lon; without it, columns lat and lon of the slots are used.

    Returns:
      The boards in order of id, or None where nobody knows where a board is.

    Raises:
      InputError: `billboards` lacks one of its columns.
    """
    if billboards is None:
        billboards = solution.problem.influence.slots
        if not {"lat", "lon"} <= set(billboards.columns):
            return None
    places = pd.DataFrame(
        {
            "board_id": pd.array(_column(billboards, "board_id"), "str"),
            "lat": _column(billboards, "lat").astype(np.float64),
            "lon": _column(billboards, "lon").astype(np.float64),
        }
    )
    places = places.dropna().drop_duplicates("board_id").sort_values("board_id", kind="stable")
    totals = board_frame(solution)[["board_id", "slots", "cost"]]
    places = places.merge(totals, on="board_id", how="left").fillna({"slots": 0, "cost": 0.0})
    places["slots"] = places["slots"].astype("int64")
    return places if len(places) else None


def point_frame(checkins: pd.DataFrame) -> pd.DataFrame:
    """Columns lat and lon of the check-ins, rows without a position left out.

    Raises:
      InputError: a column is missing.
    """
    columns = {name: _column(checkins, name, "checkins") for name in ("lat", "lon")}
    return pd.DataFrame(columns).astype("float64").dropna(ignore_index=True)


def _column(frame: pd.DataFrame, name: str, table: str = "billboards") -> np.ndarray:
    if name not in frame.columns:
        raise InputError(
            "a map needs this column",
            table=table,
            column=name,
            remedy="pass the canonical table, in WGS84 degrees, or none at all",
        )
    return frame[name].to_numpy()
