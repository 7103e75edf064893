"""Deviations and intervals, scaled by how far outcomes lay from what was predicted of them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from jaxcampaign.errors import InputError

_LEVELS = (0.5, 0.8, 0.9, 0.95)
_KINDS = ("warm", "cold")
_PRIOR_ROWS = 100  # rows of both kinds that speak besides a kind's own


@dataclass(frozen=True)
class Calibration:
    """Corrections of predicted deviations, for warm and cold ids apart.

    An id is cold when no outcome of it was learned from. Each pair holds warm first. The numbers
    of each kind (Mondrian, Vovk 2003) are drawn towards those of both together, as if by 100 rows:
    few rows of one kind say little about its tails.

    Attributes:
      scale: factors that bring the root mean square of (y - mean) / std to 1.
      levels: probabilities for which intervals are known, increasing.
      reach: half widths of the intervals in predicted deviations, by kind and level: normalised
        split conformal intervals (Lei et al. 2018).
      n_rows: rows of each kind.
      pooled: kinds that have too few rows for the highest level, and take the numbers of both.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    levels: tuple[float, ...] = ()
    reach: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    n_rows: tuple[int, int] = (0, 0)
    pooled: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls,
        y: np.ndarray,
        mean: np.ndarray,
        std: np.ndarray,
        cold: np.ndarray | None = None,
        *,
        levels: tuple[float, ...] = _LEVELS,
    ) -> Calibration:
        """Calibrate on N rows predicted by models that did not see them.

        Coverage is guaranteed, for exchangeable rows, if these were used for nothing else, no
        choice of settings either. `Hybrid` does use them so; `review` tells what it costs.

        Args:
          y: f64[N] observed.
          mean: f64[N] predicted.
          std: f64[N] predicted, positive.
          cold: bool[N]; by default all are warm.
          levels: probabilities of the intervals.

        Raises:
          InputError: deviations that are not positive, or too few rows for the highest level.
        """
        levels = tuple(sorted(levels))
        if not levels or not 0 < levels[0] <= levels[-1] < 1:
            raise InputError("levels must lie between 0 and 1", table="calibration", value=levels)
        std = np.asarray(std, np.float64)
        if not (np.isfinite(std) & (std > 0)).all():
            raise InputError("a deviation is not positive", table="calibration", column="std")
        needed = int(np.ceil(round(levels[-1] / (1 - levels[-1]), 9)))
        if len(std) < needed:
            raise InputError(
                f"{len(std)} rows cannot calibrate intervals of {levels[-1]:.0%}",
                table="calibration",
                remedy=f"give at least {needed} rows or take lower levels",
            )
        z = np.abs((np.asarray(y, np.float64) - mean) / std)
        cold = np.zeros(len(z), bool) if cold is None else np.asarray(cold, bool)
        scale, reach, pooled = _root_mean_square(z), _conformal(z, levels), []
        scales, reaches = [], []
        for kind, own in zip(_KINDS, (z[~cold], z[cold]), strict=True):
            if len(own) < needed:
                pooled.append(kind)
                own = z
            common = _PRIOR_ROWS / (len(own) + _PRIOR_ROWS)
            square = _root_mean_square(own) ** 2
            scales.append(float(np.sqrt(square + common * (scale**2 - square))))
            both = zip(_conformal(own, levels), reach, strict=True)
            reaches.append(tuple(a + common * (b - a) for a, b in both))
        n_cold = int(np.count_nonzero(cold))
        return cls(
            scale=(scales[0], scales[1]),
            levels=levels,
            reach=(reaches[0], reaches[1]),
            n_rows=(len(z) - n_cold, n_cold),
            pooled=tuple(pooled),
        )

    def std(self, std: np.ndarray, cold: np.ndarray | None = None) -> np.ndarray:
        """f64[N], calibrated deviations of predicted ones."""
        return np.asarray(std, np.float64) * self._by_kind(self.scale, len(std), cold)

    def interval(
        self, mean: np.ndarray, std: np.ndarray, level: float, cold: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Low and high ends, f64[N], that contain an outcome with probability `level`.

        Args:
          mean: f64[N] predicted.
          std: f64[N] predicted, before `std()`.
          level: one of `levels`.
          cold: bool[N]; by default all are warm.
        """
        if level not in self.levels:
            known = ", ".join(f"{each:g}" for each in self.levels) or "none"
            remedy = f"the levels that were calibrated are: {known}"
            raise InputError(
                "no interval of this level", table="calibration", value=level, remedy=remedy
            )
        place = self.levels.index(level)
        half = self._by_kind((self.reach[0][place], self.reach[1][place]), len(std), cold) * std
        return mean - half, mean + half

    def to_json(self) -> str:
        """As text, for `from_json`; nothing is lost."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Calibration:
        """What `to_json` wrote."""
        try:
            record: dict[str, Any] = json.loads(text)
            record["reach"] = tuple(map(tuple, record["reach"]))
            return cls(**{k: tuple(v) for k, v in record.items()})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError("not the text of a calibration", table="calibration") from error

    @staticmethod
    def _by_kind(pair: tuple[float, float], n: int, cold: np.ndarray | None) -> np.ndarray:
        return np.full(n, pair[0]) if cold is None else np.where(cold, pair[1], pair[0])


def _root_mean_square(z: np.ndarray) -> float:
    return float(np.sqrt(np.mean(z**2))) or 1.0


def _conformal(z: np.ndarray, levels: tuple[float, ...]) -> tuple[float, ...]:
    """The ceil((n + 1) level)-th smallest score of each level: covers at least so often."""
    # Rounded first, as 0.9 * 10 must count as 9 exactly.
    ranks = np.ceil(np.round((len(z) + 1) * np.array(levels), 9)).astype(np.int64)
    return tuple(np.sort(z)[ranks - 1].tolist())
