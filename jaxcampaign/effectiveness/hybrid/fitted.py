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
_PART_OUTPUTS = tuple(f"network_g_{source}" for source in SOURCES)
_CENTRING_ROWS = 1000


def stacked(features: Features, outputs: np.ndarray) -> Features:
    """The features with the outputs f64[2, N] of the network, which rest on every source."""
    return features.with_numeric(dict(zip(_OUTPUTS, outputs, strict=True)), ("I", "I"))


def stacked_by_source(features: Features, summands: np.ndarray) -> Features:
    """The features with what the network says by source, f64[3, N], beside each source's own."""
    return features.with_numeric(dict(zip(_PART_OUTPUTS, summands, strict=True)), SOURCES)


class Outlook(NamedTuple):
    """What the models of a stack say of N rows."""

    mean: np.ndarray  # f64[N], blended
    std: np.ndarray  # f64[N], not calibrated
    # f64[3, N], of the network, of the trees on its outputs, of plain trees; zeros where left out
    means: np.ndarray
    members: np.ndarray  # f64[K, N], what the members hold possible of the blend, its mean
    parts: np.ndarray | None = None  # f64[3, N], blended, by source; where all models are additive
    base: float = 0.0  # mean - sum of parts


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
      additive: the trees' scores are sums over the sources, and those on the outputs of the
        network see of these, in each source, only what the network says of it.
    """

    network: Any
    trees: FittedBooster
    plain: FittedBooster
    spread: FittedSpread
    weights: np.ndarray = field(default_factory=lambda: np.full(3, 1 / 3))
    additive: bool = False

    def outlook(
        self,
        features: Features,
        reference: Features | None = None,
        *,
        unweighted: bool = False,
    ) -> Outlook:
        """What the models say of N rows.

        Args:
          features: N rows.
          reference: rows whose mean stands for a source that takes no part; with it, and if the
            models are additive, there are parts.
          unweighted: also ask the trees whose weight is 0, which are left out otherwise.
        """
        found = self.network.predict(features, parts=self.additive and reference is not None)
        outputs = np.stack([found.mean, np.log(found.std)])
        std = self.spread.predict(stacked(features, outputs))
        if self.additive and reference is not None:
            told = self.network.predict(reference, parts=False)
            means = np.zeros((3, len(features)))
            means[0] = found.mean
            parts, base = self.weights[0] * found.stacked_parts(), self.weights[0] * found.base
            for place, trees in self._asked(unweighted):
                stacked_ones = place == 1
                split, own_base, means[place] = _split(
                    trees,
                    self._table(features, found) if stacked_ones else features,
                    self._table(reference, told) if stacked_ones else reference,
                )
                parts += self.weights[place] * split
                base += self.weights[place] * own_base
            mean = self.weights @ means
            members = self._members(mean, found)
            return Outlook(mean, std, means, members, parts, float(base))
        means = self._means(features, found, unweighted)
        mean = self.weights @ means
        return Outlook(mean, std, means, self._members(mean, found))

    def mean(self, features: Features) -> np.ndarray:
        """f64[N], the blended mean alone."""
        found = self.network.predict(features, parts=False)
        return self.weights @ self._means(features, found)

    def _means(self, features: Features, found: Prediction, unweighted: bool = False) -> np.ndarray:
        means = np.zeros((3, len(features)))
        means[0] = found.mean
        for place, trees in self._asked(unweighted):
            means[place] = trees.predict(self._table(features, found) if place == 1 else features)
        return means

    def _members(self, mean: np.ndarray, found: Prediction) -> np.ndarray:
        """f64[K, N], with the blend as their mean: the network's, moved to the blend.

        How far the members of the network lie apart says where rows leave the mean open. Trees of
        the same rows know no better there, so the blend departs from its mean by as much as the
        network does, whatever its weight: under a log link in proportion, so that no member is
        negative.
        """
        centre = found.members.mean(axis=0)
        in_proportion = self.trees.log_link & (found.members > 0).all(axis=0)
        total = np.full(len(mean), self.weights.sum())
        factor = np.divide(mean, centre, out=total, where=in_proportion)
        return mean + factor * (found.members - centre)

    def _asked(self, unweighted: bool) -> list[tuple[int, FittedBooster]]:
        """The trees of the mean that are to be asked, by their place among the models."""
        both = enumerate((self.trees, self.plain), start=1)
        return [(k, trees) for k, trees in both if unweighted or self.weights[k] != 0]

    def _table(self, features: Features, found: Prediction) -> Features:
        """What the trees on the outputs of the network look at."""
        if self.additive:
            return stacked_by_source(features, found.stacked_summands())
        return stacked(features, np.stack([found.mean, np.log(found.std)]))


def _split(
    trees: FittedBooster, table: Features, reference: Features
) -> tuple[np.ndarray, float, np.ndarray]:
    """Parts f64[3, N], base and mean f64[N] of additive trees, in natural units.

    Under the identity link the parts are the scores by source. Under a log link they are the exact
    Shapley split, in which a source that takes no part has its mean score over the reference.
    """
    base, scores = trees.contributions(table)
    parts = np.stack([scores[source] for source in SOURCES])
    if not trees.log_link:
        return parts, base, base + parts.sum(axis=0)
    _, other = trees.contributions(reference)
    away = np.array([other[source].mean() for source in SOURCES])
    values = np.exp(base + away.sum() + COALITIONS @ (parts - away[:, None]))
    return shapley_split(values), float(values[0, 0]) if len(table) else 0.0, values[-1]


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
          parts: split the mean by source, so that `mean = base + g_I + g_H + g_M`. Additive models
            are sums of such parts (under a log link, their exact Shapley split). Otherwise it is
            the exact Shapley split, in which a source that takes no part has the values of a
            background row, averaged over these rows; it costs 6 evaluations a background row.

        Members are means that the model holds possible; their own mean is `mean`, their distance
        that of the network's members, even where it has no weight in the blend.
        """
        found = self.stack.outlook(features, self.background if parts else None)
        std = self.calibration.std(found.std, self.cold(features))
        if not parts:
            return Prediction(found.mean, std, found.members)
        split, base = found.parts, found.base
        if split is None:
            split = shapley_parts(self.stack.mean, features, self.background, found.mean)
            base = float(self.stack.mean(self.background).mean())
        split = split - self.centre[:, None]
        base += float(self.centre.sum())
        by_source: dict[Source, np.ndarray] = dict(zip(SOURCES, split, strict=True))
        return Prediction(found.mean, std, found.members, parts=by_source, base=base)

    def interval(
        self, features: Features, level: float, found: Prediction | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ends f64[N] of conformal intervals meant to hold an outcome with probability `level`.

        The rows that set their width were not untouched, see `Hybrid`; `review` tells how often
        later outcomes fall inside. Under a log link no end lies below 0, as no outcome does.

        Args:
          features: N rows.
          level: one of those that were calibrated.
          found: what `predict` says of these rows, if it is known already.
        """
        cold = self.cold(features)
        if found is None:
            outlook = self.stack.outlook(features)
            mean, raw = outlook.mean, outlook.std
        else:
            mean, raw = found.mean, found.std / self.calibration.std(np.ones(len(found)), cold)
        low, high = self.calibration.interval(mean, raw, level, cold)
        if self.stack.trees.log_link:
            return np.maximum(low, 0.0), np.maximum(high, 0.0)
        return low, high

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
