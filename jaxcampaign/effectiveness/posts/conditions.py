"""Conditions on columns, as plain data: a value, a list of values, or a pair of limits."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Any

import numpy as np
import pandas as pd

from jaxcampaign.errors import InputError
from jaxcampaign.tables.coercion import closest


def holds(values: pd.Series, condition: Any) -> np.ndarray:
    """bool[N], where a column meets its condition; a missing value meets none.

    Args:
      values: N values of text, numbers or times.
      condition: one value, a list of values, or a pair `(low, high)` of inclusive limits, None for
        an open one.

    Raises:
      InputError: a text that no row has (near matches are named), or limits that are none.
    """
    if isinstance(condition, tuple):
        return _within(values, condition)
    alone = isinstance(condition, Hashable) and not isinstance(condition, frozenset)
    wanted: Collection[Any] = [condition] if alone else list(condition)
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        wanted = [timestamp(value, str(values.name)) for value in wanted]
    elif isinstance(values.dtype, pd.StringDtype):
        _check_texts(wanted, values)
    elif pd.api.types.is_numeric_dtype(values.dtype):
        _check_numbers(wanted, values)
    return values.isin(wanted).to_numpy(dtype=bool)


def timestamp(time: Any, name: str) -> pd.Timestamp:
    """A time in UTC; naive ones are UTC already.

    Raises:
      InputError: it is no time.
    """
    try:
        moment = pd.NaT if isinstance(time, (int, float)) else pd.Timestamp(time)
    except (ValueError, TypeError):
        moment = pd.NaT
    if not isinstance(moment, pd.Timestamp):
        remedy = "write it as 2026-03-01 or 2026-03-01T12:00Z"
        raise InputError("not a time", table=name, value=str(time), remedy=remedy)
    return moment.tz_localize("UTC") if moment.tzinfo is None else moment.tz_convert("UTC")


def _within(values: pd.Series, limits: tuple[Any, ...]) -> np.ndarray:
    if len(limits) != 2:
        raise InputError(
            "limits are a pair (low, high)",
            column=str(values.name),
            value=limits,
            remedy="give None for an open limit, or a list of values",
        )
    low, high = (_limit(limit, values) for limit in limits)
    held = values.notna().to_numpy(dtype=bool, copy=True)
    if low is not None:
        held &= (values >= low).to_numpy(dtype=bool)
    if high is not None:
        held &= (values <= high).to_numpy(dtype=bool)
    return held


def _limit(limit: Any, values: pd.Series) -> Any:
    if limit is None:
        return None
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return timestamp(limit, str(values.name))
    number = isinstance(limit, (int, float, np.number)) and limit == limit
    if isinstance(values.dtype, pd.StringDtype) or not number:
        raise InputError(
            "limits are numbers or times",
            column=str(values.name),
            value=limit,
            remedy="give a list of values for text",
        )
    return limit


def _check_numbers(wanted: Collection[Any], values: pd.Series) -> None:
    for value in wanted:
        if not isinstance(value, (bool, int, float, np.number, np.bool_)) or value != value:
            raise InputError(
                "is no number, and the column has numbers",
                column=str(values.name),
                value=value,
                remedy="give a number, a list of numbers, or limits as a pair (low, high)",
            )


def _check_texts(wanted: Collection[Any], values: pd.Series) -> None:
    known = values.dropna().unique().tolist()
    for value in wanted:
        if value not in known:
            near = closest(str(value), known)
            raise InputError(
                "no row has this value",
                column=str(values.name),
                value=value,
                remedy=f"did you mean {' or '.join(near)}?" if near else "see what the table holds",
            )
