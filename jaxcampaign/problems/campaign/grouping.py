"""Groups of options: which rows a condition holds for, and which group each belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from jaxcampaign.effectiveness.posts.conditions import holds
from jaxcampaign.errors import InputError
from jaxcampaign.tables.coercion import closest

_CALENDAR = {"day": "D", "week": "W-SUN", "month": "M", "quarter": "Q"}
"""Periods of `posted_at` (UTC) that options can be grouped by; weeks begin on Mondays."""


@dataclass(frozen=True, eq=False)
class Groups:
    """A partition of some of the options.

    Attributes:
      code: int32[N], -1 for options that do not take part.
      keys: table with a column for each name and a row for each of the G groups, in order.
    """

    code: np.ndarray
    keys: pd.DataFrame

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def labels(self) -> np.ndarray:
        """Text for each group, `genre=art, week=2026-03-02`; empty where all options are one."""
        parts = [
            f"{name}=" + self.keys[name].astype("str").to_numpy(object)
            for name in self.keys.columns
        ]
        if not parts:
            return np.full(len(self), "", object)
        label = parts[0]
        for part in parts[1:]:
            label = label + ", " + part
        return label


def column(options: pd.DataFrame, name: str) -> pd.Series:
    """A column of the options, or a period of `posted_at`.

    Raises:
      InputError: there is none; near matches are named.
    """
    if name in options:
        return options[name]
    if name in _CALENDAR and "posted_at" in options:
        period = options["posted_at"].dt.tz_localize(None).dt.to_period(_CALENDAR[name])
        return pd.Series(period.dt.start_time.dt.date, name=name)
    known = [str(known) for known in options.columns]
    near = closest(name, [*known, *_CALENDAR])
    raise InputError(
        "no such column",
        table="options",
        column=name,
        remedy=f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(known)}",
    )


def matching(options: pd.DataFrame, where: Mapping[str, Any] | None) -> np.ndarray:
    """bool[N], the options that meet all conditions; those of `enumerate_options`."""
    found = np.ones(len(options), bool)
    for name, condition in (where or {}).items():
        values = column(options, name)
        if isinstance(values.dtype, pd.CategoricalDtype):
            # One look at each category, not at each option.
            categories = pd.Series(values.cat.categories, name=name)
            held = holds(categories, condition)
            found &= np.append(held, False)[values.cat.codes.to_numpy()]
        else:
            found &= holds(values, condition)
    return found


def grouped(options: pd.DataFrame, per: str | Sequence[str] | None, inside: np.ndarray) -> Groups:
    """The options that take part, by the values of some columns.

    Without columns there is one group, even of no option at all; otherwise there are those groups
    that an option is in.

    Args:
      options: N options.
      per: columns, or "day", "week", "month", "quarter" of `posted_at`.
      inside: bool[N], which take part.

    Raises:
      InputError: an unknown column, or an option that takes part has no value in one.
    """
    names = [per] if isinstance(per, str) else list(per or ())
    if not names:
        code = np.where(inside, 0, -1).astype(np.int32)
        return Groups(code, pd.DataFrame(index=range(1)))
    combined = np.zeros(len(options), np.int64)
    values = []
    for name in names:
        codes, categories = _coded(column(options, name))
        missing = np.flatnonzero(inside & (codes < 0))
        if len(missing):
            raise InputError(
                "options without a value cannot be grouped by it",
                table="options",
                column=name,
                rows=missing[:20].tolist(),
                remedy=f"fill the column, or leave them out with where={{{name!r}: [...]}}",
            )
        combined = combined * len(categories) + codes
        values.append(categories)
    code, present = pd.factorize(combined[inside], sort=True)
    full = np.full(len(options), -1, np.int32)
    full[inside] = code
    keys = {}
    for name, categories in zip(reversed(names), reversed(values), strict=True):
        present, index = np.divmod(present, len(categories))
        keys[name] = categories.take(index)
    return Groups(full, pd.DataFrame({name: keys[name] for name in names}))


def numbers(options: pd.DataFrame, name: str) -> np.ndarray:
    """A numeric column, float64[N]; every value must be a finite number."""
    values = column(options, name).to_numpy(np.float64, na_value=np.nan)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise InputError(
            "is not a finite number",
            table="options",
            column=name,
            rows=bad[:20].tolist(),
            value=float(values[bad[0]]),
            remedy="fill it or drop the options",
        )
    return values


def is_numeric(options: pd.DataFrame, name: str) -> bool:
    """Whether a column holds numbers, so that it can be summed."""
    return pd.api.types.is_numeric_dtype(column(options, name).dtype)


def _coded(values: pd.Series) -> tuple[np.ndarray, pd.Index]:
    """Number of each value among the distinct ones, -1 where missing, int64[N]."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        return values.cat.codes.to_numpy(np.int64), values.cat.categories
    codes, distinct = pd.factorize(values, sort=True)
    return codes.astype(np.int64), pd.Index(distinct)
