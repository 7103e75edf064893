"""What the hybrid says of new rows: a calibrated blend, its parts, intervals and cold ids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from jaxcampaign.effectiveness.assessment.calibration import Calibration
from jaxcampaign.effectiveness.features import SOURCES, Features, Source
from jaxcampaign.effectiveness.prediction import Prediction
from jaxcampaign.effectiveness.shapley import COALITIONS, shapley_split
from jaxcampaign.effectiveness.trees.boosting import FittedBooster
from jaxcampaign.effectiveness.trees.spread import FittedSpread
from jaxcampaign.errors import InputError

_OUTPUTS = ("network_mean", "network_log_std")
_CENTRING_ROWS = 1000


def stacked(features: Features, outputs: np.ndarray) -> Features:
    """The features with the outputs f64[2, N] of the network, which rest on every source."""
    return features.with_numeric(dict(zip(_OUTPUTS, outputs, strict=True)), ("I", "I"))


class Outlook(NamedTuple):
    """What the models of a stack say of N rows."""

    mean: np.ndarray  # f64[N], blended
    std: np.ndarray  # f64[N], not calibrated
    means: np.ndarray  # f64[3, N], of the network, of the trees on its outputs, of plain trees
    deviations: np.ndarray  # f64[K, N], members of the network minus their mean


@dataclass(frozen=True, eq=False)
class Stack:
    """A network, trees on its outputs, trees without them, and how they are blended.

    Attributes:
      network: of mean and deviation.
      trees: of the mean, on the features and the outputs of the network.
      plain: of the mean, on the features alone.
      spread: of the deviation, on the features and the outputs.
      weights: f64[3], of the means, in this order; not negative. Their sum is 1, or under a log
        link what makes totals right.
    """

    network: Any
    trees: FittedBooster
    plain: FittedBooster
    spread: FittedSpread
    weights: np.ndarray = field(default_factory=lambda: np.full(3, 1 / 3))

    def outlook(self, features: Features) -> Outlook:
        """What the models say of N rows."""
        found, table, means = self._means(features)
        return Outlook(
            mean=self.weights @ means,
            std=self.spread.predict(table),
            means=means,
            deviations=found.members - found.mean,
        )

    def mean(self, features: Features) -> np.ndarray:
        """f64[N], the blended mean alone."""
        return self.weights @ self._means(features)[2]

    def _means(self, features: Features) -> tuple[Prediction, Features, np.ndarray]:
        found = self.network.predict(features, parts=False)
        table = stacked(features, np.stack([found.mean, np.log(found.std)]))
        means = [found.mean, self.trees.predict(table), self.plain.predict(features)]
        return found, table, np.stack(means)


@dataclass(frozen=True, eq=False)
class SeenCodes:
    """Which codes of id columns occurred among the rows learned from."""

    ids: tuple[str, ...]
    seen: tuple[np.ndarray, ...]  # bool[n_codes + 1] each; the last stands for -1

    def all_seen(self, features: Features) -> np.ndarray:
        """bool[N], whether every id of a row is known."""
        known = np.ones(len(features), bool)
        for name, seen in zip(self.ids, self.seen, strict=True):
            known &= seen[features.categorical[:, features.categorical_names.index(name)]]
        return known


def seen_codes(features: Features, ids: tuple[str, ...]) -> SeenCodes:
    """The codes that occur in these rows."""
    seen = []
    for name in ids:
        c = features.categorical_names.index(name)
        codes = features.categorical[:, c]
        mark = np.zeros(len(features.categories[c]) + 1, bool)
        mark[codes[codes >= 0]] = True
        seen.append(mark)
    return SeenCodes(ids, tuple(seen))


@dataclass(frozen=True, eq=False)
class FittedHybrid:
    """What `Hybrid.fit` returns.

    Attributes:
      stack: network and trees, fitted on all rows.
      calibration: of the deviations and intervals.
      seen: ids that were learned from.
      background: rows that stand for a source that takes no part.
      centre: f64[3], means of the parts over the training rows before they are centred.
    """

    stack: Stack
    calibration: Calibration
    seen: SeenCodes
    background: Features
    centre: np.ndarray

    @classmethod
    def centred(
        cls,
        stack: Stack,
        calibration: Calibration,
        seen: SeenCodes,
        features: Features,
        *,
        n_background: int,
        seed: int,
    ) -> FittedHybrid:
        """The model whose parts are zero on average over (a sample of) its training rows."""
        order = np.random.default_rng(seed).permutation(len(features))
        background = features.take(order[:n_background])
        rows = features.take(order[:_CENTRING_ROWS])
        raw = cls(stack, calibration, seen, background, np.zeros(3))
        parts = raw.predict(rows).stacked_parts()
        return replace(raw, centre=parts.mean(axis=1))

    def predict(self, features: Features, *, parts: bool = True) -> Prediction:
        """Calibrated mean and deviation, members and parts of N rows.

        Args:
          features: with the columns and categories of the fit.
          parts: split the mean by source, so that `mean = base + g_I + g_H + g_M`: the exact
            Shapley split, in which a source that takes no part has the values of a background
            row, averaged over these rows. It costs 6 evaluations a background row.
        """
        found = self.stack.outlook(features)
        std = self.calibration.std(found.std, self.cold(features))
        members = found.mean + self.stack.weights[0] * found.deviations
        if not parts:
            return Prediction(found.mean, std, members, base=float(self._base))
        split = shapley_parts(self.stack.mean, features, self.background, found.mean)
        split = split - self.centre[:, None]
        base = self._base
        by_source: dict[Source, np.ndarray] = dict(zip(SOURCES, split, strict=True))
        return Prediction(found.mean, std, members, parts=by_source, base=base)

    @property
    def _base(self) -> float:
        return float(self.stack.mean(self.background).mean() + self.centre.sum())

    def interval(self, features: Features, level: float) -> tuple[np.ndarray, np.ndarray]:
        """Ends f64[N] of conformal intervals that hold an outcome with probability `level`."""
        found = self.stack.outlook(features)
        cold = self.cold(features)
        return self.calibration.interval(found.mean, found.std, level, cold)

    def cold(self, features: Features) -> np.ndarray:
        """bool[N], rows with an id that was never learned from."""
        return ~self.seen.all_seen(features)

    def importance(self) -> pd.DataFrame:
        """Feature, source, gain of the trees of the mean, largest first."""
        return self.stack.trees.importance()


def shapley_parts(
    mean: Callable[[Features], np.ndarray],
    features: Features,
    background: Features,
    full: np.ndarray,
) -> np.ndarray:
    """f64[3, N] parts by source of any function of features.

    Args:
      mean: f64[N] of N rows.
      features: N rows.
      background: rows whose values stand for sources that take no part.
      full: f64[N], `mean(features)`.

    Returns:
      Parts that sum to `full` minus the mean over the background rows (Shapley 1953, with the
      interventional value function of Lundberg and Lee 2017).
    """
    if not len(background):
        raise InputError("parts need a background row", table="background")
    values = np.zeros((len(COALITIONS), len(features)))
    values[0] = mean(background).mean()
    values[-1] = full
    for place in range(1, len(COALITIONS) - 1):
        sources = {source for source, on in zip(SOURCES, COALITIONS[place], strict=True) if on}
        for row in range(len(background)):
            values[place] += mean(_mixed(features, background, row, sources))
        values[place] /= len(background)
    return shapley_split(values)


def _mixed(features: Features, background: Features, row: int, sources: set[Source]) -> Features:
    """The features with columns of all other sources as in one background row."""
    away = np.array([source not in sources for source in features.numeric_sources], bool)
    numeric = np.where(away, background.numeric[row], features.numeric)
    away = np.array([source not in sources for source in features.categorical_sources], bool)
    categorical = np.where(away, background.categorical[row], features.categorical)
    return replace(features, numeric=numeric, categorical=categorical)
