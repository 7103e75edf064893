"""Splits of the rows into what a model learns from and what it is asked about."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from jaxcampaign.errors import InputError


class Fold(NamedTuple):
    """Rows to fit on and rows to predict, as increasing indices."""

    train: np.ndarray
    test: np.ndarray


def forward_folds(
    time: Any,
    n_folds: int,
    *,
    groups: Any | None = None,
    gap: Any | None = None,
    known_at: Any | None = None,
) -> list[Fold]:
    """Forward-chained folds: each block of rows is predicted from what was before it.

    Rows are cut by time into `n_folds + 1` blocks of about equal size; rows of one instant stay
    together. The first block is only ever learned from.

    Args:
      time: N instants or numbers.
      n_folds: blocks to predict; fewer come out if there are too few instants.
      groups: N labels, such as campaigns; rows of a group that is predicted are not learned from.
      gap: least distance between the last row learned from and the first one predicted, such as
        `pd.Timedelta("7D")`.
      known_at: N instants or numbers, when each outcome became known; a row is learned from only
        if that was before the first row predicted, less the gap.

    Raises:
      InputError: times that are missing, all the same, or not as many; or no outcome was known
        before the last block.
    """
    time = _times(time, "time")
    known = None if known_at is None else _times(known_at, "known_at")
    if known is not None and len(known) != len(time):
        raise InputError(f"{len(known)} times for {len(time)} rows", table="known_at")
    _require_count(n_folds, 1)
    ordered = time.sort_values(kind="stable", ignore_index=True)
    places = np.arange(1, n_folds + 1) * len(time) // (n_folds + 1)
    starts = ordered.iloc[places].unique()
    starts = [start for start in starts if (time < start).any()]
    folds = []
    for i, start in enumerate(starts):
        later = starts[i + 1] if i + 1 < len(starts) else None
        test = time >= start if later is None else (time >= start) & (time < later)
        clear = start if gap is None else start - gap
        train = (time < clear).to_numpy()
        if known is not None:
            train = train & (known < clear).to_numpy()
        folds.append(_apart(train, test.to_numpy(), groups))
    folds = [fold for fold in folds if len(fold.train) and len(fold.test)]
    if not folds:
        raise InputError(
            "there is no time before which anything could be learned",
            table="time",
            remedy="leave time out for rows of one instant, or take a smaller gap",
        )
    return folds


def last_rows(
    order: np.ndarray, n_last: int, time: Any | None = None, known_at: Any | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Rows to try settings on, and the last ones, which tell how good these are.

    Args:
      order: rows in order of time.
      n_last: how many of them come last.
      time: N instants or numbers, by row.
      known_at: when each outcome became known; with it, rows are tried on only if that was before
        the first of the last ones.

    Raises:
      InputError: no outcome was known by then.
    """
    early, late = np.split(order, [len(order) - n_last])
    if known_at is None:
        return early, late
    time, known = _times(time, "time"), _times(known_at, "known_at")
    early = early[(known.iloc[early] < time.iloc[late[0]]).to_numpy()]
    if not len(early):
        raise InputError(
            "no outcome was known before the last rows, which tell when to stop learning",
            table="known_at",
            remedy="learn from a longer history",
        )
    return early, late


def random_folds(
    n_rows: int,
    n_folds: int,
    *,
    seed: int = 0,
    groups: Any | None = None,
    strata: Any | None = None,
) -> list[Fold]:
    """Folds of a cross-section: each row is predicted once, from the rows of all other folds.

    Args:
      n_rows: N.
      n_folds: folds of about equal size.
      seed: of the shuffle.
      groups: N labels; rows of one group stay together.
      strata: N labels; the rows of each are spread evenly, such as those of each user.

    Raises:
      InputError: fewer rows or groups than folds, or both groups and strata.
    """
    _require_count(n_folds, 2)
    if groups is not None and strata is not None:
        raise InputError("groups stay together but strata are spread: choose one", table="folds")
    unit = np.arange(n_rows) if groups is None else pd.factorize(np.asarray(groups))[0]
    n_units = int(unit.max(initial=-1)) + 1
    if n_units < n_folds:
        what = "rows" if groups is None else "groups"
        raise InputError(f"{n_units} {what} are too few for {n_folds} folds", table="folds")
    rng = np.random.default_rng(seed)
    order = rng.permutation(n_units)
    if strata is not None:
        code = pd.factorize(np.asarray(strata))[0]
        order = order[np.argsort(code[order], kind="stable")]
    fold_of = np.empty(n_units, np.int64)
    fold_of[order] = np.arange(n_units) % n_folds
    fold = fold_of[unit]
    return [Fold(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(n_folds)]


def _times(times: Any, name: str) -> pd.Series:
    series = times if isinstance(times, pd.Series) else pd.Series(np.asarray(times))
    if series.isna().any():
        rows = np.flatnonzero(series.isna()).tolist()
        raise InputError("a time is missing", table=name, rows=rows)
    return series


def _apart(train: np.ndarray, test: np.ndarray, groups: Any | None) -> Fold:
    if groups is not None:
        groups = np.asarray(groups)
        train = train & ~np.isin(groups, np.unique(groups[test]))
    return Fold(np.flatnonzero(train), np.flatnonzero(test))


def _require_count(n_folds: int, least: int) -> None:
    if n_folds < least:
        raise InputError(f"at least {least} folds are needed", table="folds", value=n_folds)
