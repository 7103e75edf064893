"""Splits of history for validation that look only forward in time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from jaxcampaign.errors import InputError


class TimeSplit(NamedTuple):
    """Rows to fit on and rows to test on; i64 each, in order of time."""

    train: np.ndarray
    test: np.ndarray


def time_splits(
    planned_at: ArrayLike,
    known_at: ArrayLike,
    n_splits: int = 5,
    *,
    gap: pd.Timedelta | str = "0D",
    groups: ArrayLike | None = None,
    first: float = 0.5,
) -> list[TimeSplit]:
    """Forward-chained, grouped splits with a gap.

    Rows are put in order of planned_at; the first share of them is only ever fitted on, the rest
    is cut into `n_splits` consecutive test blocks. A row is fitted on for a block if its outcome
    was known strictly before the block's first cut-off, less the gap: exactly what a planner at
    that time could have used.

    Args:
      planned_at: N cut-offs.
      known_at: N times when the outcomes became known.
      n_splits: number of test blocks.
      gap: time kept free before each block.
      groups: N labels whose rows stay together, campaigns say: a group belongs to the block of
        its earliest row, and no group is both fitted on and tested in one split.
      first: share of the rows before the first block.

    Raises:
      InputError: missing times, a share or number out of range, or a block that would be empty or
        have nothing to fit on.
    """
    planned, known = _moments(planned_at, "planned_at"), _moments(known_at, "known_at")
    if len(planned) != len(known):
        raise InputError("as many times as planned_at", table="known_at", value=len(known))
    if n_splits < 1 or not 0 < first < 1:
        wrong = {"n_splits": n_splits} if n_splits < 1 else {"first": first}
        ((name, value),) = wrong.items()
        remedy = "give at least 1 split, and a share between 0 and 1"
        raise InputError("out of range", table=name, value=value, remedy=remedy)
    clear = pd.Timedelta(gap).to_timedelta64().astype("timedelta64[us]")
    if clear < np.timedelta64(0, "us"):
        raise InputError("a gap is not negative", table="gap", value=str(gap))
    if groups is None:
        group, starts = np.arange(len(planned)), planned
    else:
        group = pd.factorize(np.asarray(groups), use_na_sentinel=False)[0]
        starts = pd.Series(planned).groupby(group).transform("min").to_numpy("datetime64[us]")
    order = np.lexsort((group, starts))
    # Blocks are cut where the starting time changes, so that rows decided together stay together.
    edges = np.linspace(first, 1.0, n_splits + 1)[:-1] * len(order)
    cuts = starts[order[np.floor(edges).astype(int)]] if len(order) else starts
    block = np.searchsorted(cuts, starts, side="right") - 1  # -1 is before all blocks
    splits = []
    by_time = np.lexsort((np.arange(len(planned)), planned))
    for number in range(n_splits):
        test = by_time[block[by_time] == number]
        train = by_time[:0]
        if len(test):
            tested = np.isin(group, group[test])
            usable = (known < planned[test[0]] - clear) & ~tested
            train = by_time[usable[by_time]]
        if not len(train):
            raise InputError(
                f"test block {number + 1} has nothing to "
                f"{'fit on before it' if len(test) else 'test'}",
                table="time_splits",
                remedy="ask for fewer splits, a shorter gap, or a larger first share",
            )
        splits.append(TimeSplit(train, test))
    return splits


def _moments(times: ArrayLike, name: str) -> np.ndarray:
    """datetime64[us, N] in UTC."""
    moments = pd.Series(times).reset_index(drop=True)
    if isinstance(moments.dtype, pd.DatetimeTZDtype):
        moments = moments.dt.tz_convert("UTC").dt.tz_localize(None)
    if not pd.api.types.is_datetime64_any_dtype(moments) or moments.isna().any():
        rows = np.flatnonzero(moments.isna()).tolist()
        remedy = "convert them by pandas.to_datetime(column, utc=True)"
        raise InputError("every row needs a time", table=name, rows=rows, remedy=remedy)
    return moments.to_numpy("datetime64[us]")
