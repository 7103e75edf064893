"""Options of a campaign: from what a user passes to checked arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jaxcampaign.errors import InputError

if TYPE_CHECKING:
    from jaxcampaign.effectiveness import Effectiveness

_KEY = ("influencer_id", "content_type", "event_id", "offset_hours")
_SHOWN = 20


def option_table(
    options: Effectiveness | pd.DataFrame,
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """The options, their means and deviations, and the means of members.

    Args:
      options: a model's outlook, or a table with the key columns, price, mean and std.

    Returns:
      Table of N rows; float64[N], float64[N]; float[K, N].

    Raises:
      InputError: there are no options, a column is missing, a number is missing, not finite or
        below 0 (mean may be), or an option stands twice.
    """
    if isinstance(options, pd.DataFrame):
        table = options
        for name in (*_KEY, "price", "mean", "std"):
            if name not in table:
                raise InputError(
                    "column is missing", table="options", column=name,
                    remedy="options need " + ", ".join((*_KEY, "price", "mean", "std")),
                )  # fmt: skip
        mean, std = _numbers(table, "mean", -np.inf), _numbers(table, "std", 0.0)
        members = np.zeros((0, len(table)), np.float32)
    else:
        table = options.options
        mean, std, members = options.mean, options.std, options.members
        values = pd.DataFrame({"mean": mean, "std": std}, copy=False)
        mean, std = _numbers(values, "mean", -np.inf), _numbers(values, "std", 0.0)
    if not len(table):
        raise InputError(
            "there are no options to choose from",
            table="options",
            remedy="ask for more events, influencers, content types or times",
        )
    _numbers(table, "price", 0.0)
    _check_distinct(table)
    return table.reset_index(drop=True), mean, std, members


def _numbers(table: pd.DataFrame, name: str, least: float) -> np.ndarray:
    try:
        values = table[name].to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError) as fault:
        raise InputError(str(fault), table="options", column=name, remedy="pass numbers") from fault
    bad = np.flatnonzero(~np.isfinite(values) | (values < least))
    if len(bad):
        limit = "" if np.isinf(least) else f" of at least {least:g}"
        raise InputError(
            f"must be a finite number{limit}",
            table="options",
            column=name,
            rows=bad[:_SHOWN].tolist(),
            value=float(values[bad[0]]),
            remedy="correct or drop the options",
        )
    return values


def _check_distinct(table: pd.DataFrame) -> None:
    repeated = np.flatnonzero(table.duplicated(list(_KEY)))
    if len(repeated):
        raise InputError(
            "an option stands more than once",
            table="options",
            column=", ".join(_KEY),
            rows=repeated[:_SHOWN].tolist(),
            value=tuple(table[name].iloc[repeated[0]] for name in _KEY),
            remedy="keep one of each",
        )
