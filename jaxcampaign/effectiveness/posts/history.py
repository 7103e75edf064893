"""Rates of past outcomes as they stood at a cut-off, shrunken as far as the data ask for.

For a group g (an influencer, say) with outcomes y_1 ... y_n known before the cut-off,

    rate = (sum_j y_j + k * parent) / (n + k),    k = var_within / var_between,

the best linear (empirical Bayes) predictor, with both variances estimated by one-way analysis of
variance (method of moments; Searle, Casella, McCulloch: Variance Components, 1992, ch. 3) from
what was known before the same cut-off. Nothing is estimated from later data, not even k.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import pandas as pd

from jaxcampaign.effectiveness.posts.point_in_time import DAY_US, Timeline
from jaxcampaign.errors import InputError

_LEAST, _UNKNOWN, _MOST = 0.1, 5.0, 1_000.0  # outcomes that the parent counts for
_MAX_EXPONENT = 1_000.0  # of a weight: 2^1000 is still a float


@dataclass(frozen=True, eq=False)
class Rates:
    """What a group's past outcomes say at Q cut-offs; float64[Q] each, NaN where unknown."""

    rate: np.ndarray
    """Shrunken mean outcome."""
    count: np.ndarray
    """Outcomes known."""
    recency_days: np.ndarray
    """Days since the last one became known."""
    recent: np.ndarray
    """Mean with weights that halve with age, shrunken towards the rate."""
    weight: np.ndarray
    """Sum of these weights."""
    spread: np.ndarray
    """Shrunken standard deviation of single outcomes."""
    newest: np.ndarray
    """datetime64[us], when the newest outcome used became known; NaT if none."""

    @property
    def momentum(self) -> np.ndarray:
        """How far the recent mean lies above the lasting one."""
        return self.recent - self.rate

    def take(self, rows: np.ndarray) -> Rates:
        """The rates of these rows."""
        return Rates(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


class Variances(NamedTuple):
    """Of outcomes, as known at Q cut-offs."""

    within: np.ndarray
    between: np.ndarray


class Outcomes:
    """Past outcomes in one grouping, ready to be asked as of any cut-off."""

    def __init__(
        self, group: np.ndarray, known: np.ndarray, value: np.ndarray, half_life_days: float
    ):
        """Sorts and accumulates K outcomes.

        Args:
          group: i64[K], not negative.
          known: i64[K], microseconds at which each outcome became known.
          value: f64[K].
          half_life_days: age at which an outcome counts half in `recent`.

        Raises:
          InputError: the half-life is too short for so long a history, or not above 0.
        """
        span_days = (known.max() - known.min()) / DAY_US if len(known) else 0.0
        if not half_life_days > span_days / _MAX_EXPONENT:
            raise InputError(
                f"too short for a history of {span_days:,.0f} days",
                table="half_life_days",
                value=half_life_days,
                remedy=f"give more than {span_days / _MAX_EXPONENT:.3g}",
            )
        self._half_life = half_life_days
        self._line = Timeline(group, known)
        order = self._line.order
        self._known, value, sorted_group = known[order], value[order], group[order]
        # Sums run within groups only, and forward in time: what comes later, or elsewhere, cannot
        # change a bit of what came before.
        of_group = pd.Series(sorted_group)
        self._sum = pd.Series(value).groupby(of_group).cumsum().to_numpy()
        place = pd.Series(value).groupby(of_group).cumcount().to_numpy()
        self._start = self._known[np.arange(len(place)) - place]
        weight = 2.0 ** ((self._known - self._start) / (half_life_days * DAY_US))
        self._weight = pd.Series(weight).groupby(of_group).cumsum().to_numpy()
        self._weighted = pd.Series(weight * value).groupby(of_group).cumsum().to_numpy()
        before = np.where(place > 0, np.roll(self._sum, 1), 0.0) / np.maximum(place, 1)
        step = (value - before) ** 2 * (place / (place + 1))  # Welford's update
        self._squares = pd.Series(step).groupby(of_group).cumsum().to_numpy()
        self._total = _Total(self._known, value, place, step)

    def variances(self, cut: np.ndarray) -> Variances:
        """Variance within and between groups as known before Q cut-offs; NaN if unknown."""
        return self._total.variances(cut)

    def mean(self, cut: np.ndarray) -> np.ndarray:
        """f64[Q], the mean of all outcomes known before each cut-off; NaN without any."""
        return self._total.mean(cut)

    def ask(
        self, group: np.ndarray, cut: np.ndarray, parent: np.ndarray, strength: np.ndarray
    ) -> Rates:
        """Rates of Q groups.

        Args:
          group: i64[Q].
          cut: i64[Q], microseconds.
          parent: f64[Q], what a group without outcomes is expected to bring.
          strength: f64[Q], the outcomes that the parent counts for.
        """
        first, stop = self._line.before(group, cut)
        count = (stop - first).astype(float)
        any_known = count > 0
        last = np.maximum(stop - 1, 0)

        def at_last(values: np.ndarray) -> np.ndarray:
            return np.where(any_known, values[last], 0.0) if len(values) else np.zeros(len(cut))

        known = at_last(self._known)
        recency = np.where(any_known, (cut - known) / DAY_US, np.nan)
        age = np.where(any_known, (cut - at_last(self._start)) / DAY_US, 0.0)
        fade = 2.0 ** (-age / self._half_life)
        weight = at_last(self._weight) * fade
        within = self.variances(cut).within
        squares = at_last(self._squares) + _UNKNOWN * within
        rate = (at_last(self._sum) + strength * parent) / (count + strength)
        newest = np.where(any_known, known, 0).astype("datetime64[us]")
        newest[~any_known] = np.datetime64("NaT")
        return Rates(
            rate=rate,
            count=count,
            recency_days=recency,
            recent=(at_last(self._weighted) * fade + _UNKNOWN * rate) / (weight + _UNKNOWN),
            weight=weight,
            spread=np.sqrt(squares / (np.maximum(count - 1, 0) + _UNKNOWN)),
            newest=newest,
        )


def strength(variances: Variances, parent: Variances | None = None) -> np.ndarray:
    """How many outcomes of its own outweigh a group's parent, f64[Q].

    Args:
      variances: of the grouping.
      parent: of the grouping that the parents come from; None if the parent is the overall mean.
    """
    between = variances.between - (0.0 if parent is None else parent.between)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = variances.within / np.maximum(between, 0.0)
    return np.where(np.isnan(ratio), _UNKNOWN, np.clip(ratio, _LEAST, _MOST))


class _Total:
    """Sums over all groups, in order of time."""

    def __init__(self, known: np.ndarray, value: np.ndarray, place: np.ndarray, step: np.ndarray):
        order = np.argsort(known, kind="stable")
        self._known, value = known[order], value[order]
        n = np.arange(1, len(value) + 1)
        self._sum = np.cumsum(value)
        before = np.concatenate([[0.0], self._sum[:-1]])[: len(value)] / np.maximum(n - 1, 1)
        self._squares = np.cumsum((value - before) ** 2 * ((n - 1) / n))
        self._within = np.cumsum(step[order])
        self._groups = np.cumsum(place[order] == 0)
        self._count_squares = np.cumsum(2.0 * place[order] + 1.0)  # (n + 1)^2 - n^2

    def mean(self, cut: np.ndarray) -> np.ndarray:
        n = np.searchsorted(self._known, cut)
        with np.errstate(invalid="ignore"):
            return _upto(self._sum, n) / np.where(n > 0, n, np.nan)

    def variances(self, cut: np.ndarray) -> Variances:
        n = np.searchsorted(self._known, cut)
        groups, within = _upto(self._groups, n), _upto(self._within, n)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = np.where(n > groups, within / (n - groups), np.nan)
            size = (n - _upto(self._count_squares, n) / n) / (groups - 1)
            mean_square = (_upto(self._squares, n) - within) / (groups - 1)
            outside = np.where(groups > 1, (mean_square - inside) / size, np.nan)
        return Variances(inside, np.maximum(outside, 0.0))


def _upto(sums: np.ndarray, n: np.ndarray) -> np.ndarray:
    return np.where(n > 0, sums[np.maximum(n - 1, 0)], 0.0) if len(sums) else np.zeros(len(n))
