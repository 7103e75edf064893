"""Network and boosted trees together: trees on out-of-fold network outputs, blended, calibrated."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Protocol

import jax
import numpy as np
import pandas as pd
from jax import Array

from jaxcampaign.effectiveness.assessment.calibration import Calibration
from jaxcampaign.effectiveness.features import Features
from jaxcampaign.effectiveness.hybrid.blend import convex_weights
from jaxcampaign.effectiveness.hybrid.fitted import (
    FittedHybrid,
    Stack,
    seen_codes,
    stacked,
    stacked_by_source,
)
from jaxcampaign.effectiveness.hybrid.folds import Fold, forward_folds, random_folds
from jaxcampaign.effectiveness.prediction import Prediction
from jaxcampaign.effectiveness.trees.boosting import Booster, FittedBooster, check_outcomes
from jaxcampaign.effectiveness.trees.lightgbm import LightGBM
from jaxcampaign.effectiveness.trees.spread import fit_spread, refitted
from jaxcampaign.errors import InputError
from jaxcampaign.progress import progress

_SPREAD = LightGBM(rounds=400, learning_rate=0.03, leaves=8, leaf_rows=40, l2=5.0)
_FEWEST_ROWS = 100
_WORKERS = 8
_FOLDS, _FEWER_FOLDS, _MANY_ROWS = 5, 3, 50_000
_BACKGROUND = 8  # rows that stand for "source unknown" where sources interact


class FittedMean(Protocol):
    """A network that was trained."""

    @property
    def history(self) -> np.ndarray:
        """f32[epochs, 2], training loss and validation score of each epoch."""

    def predict(self, features: Features, *, parts: bool = True) -> Prediction:
        """Mean, deviation and members of N rows."""


class Network(Protocol):
    """What the hybrid needs of a network, such as `TowerNetwork`: a frozen dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def epochs(self) -> int | None:
        """The most epochs."""

    def fit(
        self,
        features: Features,
        target: np.ndarray,
        *,
        key: Array,
        validation: tuple[Features, np.ndarray] | float = 0.15,
        progress: bool = True,
        room: int = 0,
    ) -> FittedMean:
        """Train; without validation for all epochs. Fits with equal room share compiled code."""


class Windows(NamedTuple):
    """Rows in the order of fitting, for three purposes that share none."""

    fit: np.ndarray
    blend: np.ndarray
    calibration: np.ndarray


@dataclass(frozen=True)
class Hybrid:
    """A network, trees on its out-of-fold outputs, and a blend of both; settings only.

    Rows are split into three windows, in order of time or at random in a cross-section. On the
    first, the network predicts each fold from the rows before it (or from all other folds), trees
    are grown on the features and these outputs, others on the features alone, which guards against
    outputs that mislead, and further trees on the logarithmic squared residuals. The second window
    decides the weights of the blend. Fitted again on both, the blend is calibrated on the third
    window, and then fitted once more on all rows; in as many epochs and rounds as were best.

    Attributes:
      network: for mean and deviation, such as `TowerNetwork`.
      booster: of the mean.
      spread: booster of the deviation.
      ids: categorical columns of ids; a row is cold if one of its ids was never learned from.
      n_folds: folds of the first window; by default 5, and 3 from 50,000 rows on.
      blend_share: share of the rows in the second window.
      calibration_share: share of the rows in the third window.
    """

    network: Network
    booster: Booster = field(default_factory=LightGBM)
    spread: Booster = _SPREAD
    ids: tuple[str, ...] = ()
    n_folds: int | None = None
    blend_share: float = 0.1
    calibration_share: float = 0.15

    def __post_init__(self):
        shares = (self.blend_share, self.calibration_share)
        if min(shares) <= 0 or sum(shares) >= 0.6:
            remedy = "choose positive ones with a sum below 0.6"
            raise InputError("shares leave no rows to learn from", value=shares, remedy=remedy)
        if self.spread.objective != "squared":
            raise InputError("logarithms of residuals need a squared objective", table="spread")

    def fit(
        self,
        features: Features,
        y: np.ndarray,
        *,
        key: Array,
        time: Any | None = None,
        groups: Any | None = None,
        gap: Any | None = None,
        show: bool = True,
    ) -> FittedHybrid:
        """Fit on N rows.

        Args:
          features: N rows.
          y: f64[N] outcomes, in the units that predictions are to have.
          key: consumed.
          time: when each row was planned; without it the rows are a cross-section.
          groups: labels of which none may be learned from while it is predicted in a fold.
          gap: least distance in time between rows learned from and rows predicted in a fold.
          show: a progress bar, where somebody watches.

        Raises:
          InputError: too few rows, ids that are no columns, or outcomes that do not fit.
        """
        y = check_outcomes(features, y, self.booster.objective)
        if len(y) < _FEWEST_ROWS:
            remedy = "use a booster or a network alone"
            problem = f"{len(y)} rows are too few for three windows"
            raise InputError(problem, table="features", remedy=remedy)
        if unknown := set(self.ids) - set(features.categorical_names):
            raise InputError("no such column of ids", table="features", column=min(unknown))
        n_folds = self.n_folds or (_FOLDS if len(y) < _MANY_ROWS else _FEWER_FOLDS)
        seed_key, *rest = jax.random.split(key, n_folds + 5)
        seed, keys = int(jax.random.randint(seed_key, (), 0, 2**31 - 1)), iter(rest)
        windows = self._windows(time, groups, len(y), seed)
        before = np.concatenate([windows.fit, windows.blend])
        everything = np.concatenate(windows)
        folds = self._folds(n_folds, windows.fit, time, groups, gap, seed)

        outputs = np.full((5, len(y)), np.nan)
        with progress(len(folds) + 4 if show else 0, "hybrid", "networks") as bar:
            trained = _Trained(self.network, features, y, bar)
            epochs = trained.best_epochs(windows.fit, next(keys))
            later = [*(fold.test for fold in folds), windows.blend, windows.calibration]
            earlier = [*(fold.train for fold in folds), windows.fit, before, everything]
            *chain, early, middle, final = trained.together(earlier, epochs, keys)
            for network, rows in zip([*chain, early, middle], later, strict=True):
                outputs[:, rows] = _outputs(network, features.take(rows))

        grown = _Grown(self, features, outputs, y, seed)
        grown.out_of_fold(windows.fit, folds)
        first = grown.stack(early, windows.fit)
        blend = first.outlook(features.take(windows.blend))
        weights = convex_weights(y[windows.blend], blend.means)

        grown.beyond(first, windows.blend)
        second = replace(grown.stack(middle, before), weights=weights)
        asked = features.take(windows.calibration)
        held = second.outlook(asked)
        cold = ~seen_codes(features.take(before), self.ids).all_seen(asked)
        corrections = Calibration.fit(y[windows.calibration], held.mean, held.std, cold)

        # What was calibrated is the level of the second deviations: the last ones, which rest on
        # more rows, keep it and refine only how rows differ.
        grown.beyond(second, windows.calibration)
        last = replace(grown.stack(final, everything), weights=weights)
        warm = ~cold if np.count_nonzero(~cold) > len(cold) // 4 else np.ones(len(cold), bool)
        last = last.levelled(asked.take(warm), held.std[warm])
        return FittedHybrid.centred(
            last,
            corrections,
            seen_codes(features, self.ids),
            features,
            n_background=_BACKGROUND,
            seed=seed,
        )

    @property
    def additive(self) -> bool:
        """Whether the link of the mean is a sum of functions of one source each."""
        return all(getattr(part, "additive", False) for part in (self.network, self.booster))

    def _windows(self, time: Any, groups: Any, n: int, seed: int) -> Windows:
        """Rows of the three windows; rows of one instant, or one group, stay together."""
        if time is None:
            unit = np.arange(n) if groups is None else pd.factorize(np.asarray(groups))[0]
            shuffle = np.random.default_rng(seed).permutation(int(unit.max()) + 1)
            place = shuffle[unit]
        else:
            place = pd.Series(np.asarray(time)).rank(method="dense").to_numpy()
            if np.isnan(place).any():
                rows = np.flatnonzero(np.isnan(place)).tolist()
                raise InputError("a time is missing", table="time", rows=rows)
        order = np.argsort(place, kind="stable")
        cuts = [1 - self.blend_share - self.calibration_share, 1 - self.calibration_share]
        bounds = [place[order[int(share * n)]] for share in cuts]
        part = np.searchsorted(bounds, place[order], side="right")
        windows = Windows(*(order[part == k] for k in range(3)))
        if not all(map(len, windows)):
            remedy = "leave time out, or give rows of more instants"
            raise InputError("too few instants for three windows", table="time", remedy=remedy)
        return windows

    @staticmethod
    def _folds(
        n_folds: int, fit: np.ndarray, time: Any, groups: Any, gap: Any, seed: int
    ) -> list[Fold]:
        """Folds of the first window, as rows of the whole table in the order of fitting."""
        own = None if groups is None else np.asarray(groups)[fit]
        if time is None:
            folds = random_folds(len(fit), n_folds, seed=seed, groups=own)
        else:
            folds = forward_folds(np.asarray(time)[fit], n_folds, groups=own, gap=gap)
        return [Fold(fit[fold.train], fit[fold.test]) for fold in folds]


class _Trained:
    """Networks on rows of one table."""

    def __init__(self, network: Network, features: Features, y: np.ndarray, bar: Any):
        self.network, self.features, self.y, self.bar = network, features, y, bar

    def best_epochs(self, rows: np.ndarray, key: Array) -> int:
        """Epochs after which the last rows are predicted best from those before them."""
        network = self._fit(self.network, rows, key, 0.15)
        return int(np.nanargmin(network.history[:, 1])) + 1

    def together(
        self, tables: list[np.ndarray], epochs: int, keys: Iterator[Array]
    ) -> list[FittedMean]:
        """The networks of these rows: as many at a time as there are cores.

        One step of one network does not keep several cores busy.
        """
        network = replace(self.network, epochs=epochs)
        with ThreadPoolExecutor(min(os.cpu_count() or 1, _WORKERS)) as pool:
            fits = [pool.submit(self._fit, network, rows, next(keys), 0.0) for rows in tables]
            return [fit.result() for fit in fits]

    def _fit(self, network: Network, rows: np.ndarray, key: Array, share: float) -> FittedMean:
        table, y = self.features.take(rows), self.y[rows]
        room = len(self.y)
        fitted = network.fit(table, y, key=key, validation=share, progress=False, room=room)
        self.bar.update()
        return fitted


class _Grown:
    """Trees on rows of one table, with and without outputs of networks that did not see them."""

    def __init__(
        self, settings: Hybrid, features: Features, outputs: np.ndarray, y: np.ndarray, seed: int
    ):
        self.settings, self.y, self.seed = settings, y, seed
        self.plain = _Trees(settings.booster, features, y, seed)
        self.beside = stacked(features, outputs[:2])  # what the deviation depends on
        self.additive = settings.additive
        table = stacked_by_source(features, outputs[2:]) if self.additive else self.beside
        self.stacked = _Trees(settings.booster, table, y, seed)
        self.residual = np.full(len(y), np.nan)  # of trees that did not see the row

    def out_of_fold(self, rows: np.ndarray, folds: list[Fold]) -> None:
        """Choose the rounds that predict the last rows best, and note the residuals of folds."""
        for trees in (self.plain, self.stacked):
            trees.tune(rows)
        for fold in folds:
            self._note(self.stacked.on(fold.train), fold.test)

    def beyond(self, stack: Stack, rows: np.ndarray) -> None:
        """Note the residuals of rows that the trees of a stack did not see."""
        self._note(stack.trees, rows)

    def stack(self, network: FittedMean, rows: np.ndarray) -> Stack:
        """Trees of the mean on these rows, and of the deviation on those with a residual."""
        known = rows[np.isfinite(self.residual[rows])]
        spread = fit_spread(
            self.settings.spread,
            self.beside.take(known),
            self.residual[known],
            n_last=_last(known),
            seed=self.seed,
        )
        trees, plain = self.stacked.on(rows), self.plain.on(rows)
        return Stack(network, trees, plain, spread, additive=self.additive)

    def _note(self, trees: FittedBooster, rows: np.ndarray) -> None:
        self.residual[rows] = self.y[rows] - trees.predict(self.stacked.table.take(rows))


class _Trees:
    """Trees of the mean on rows of one table."""

    def __init__(self, booster: Booster, table: Features, y: np.ndarray, seed: int):
        self.booster, self.table, self.y, self.seed = booster, table, y, seed
        self.rounds = booster.rounds

    def tune(self, rows: np.ndarray) -> None:
        """Take the rounds after which the last rows are predicted best from those before."""
        cut = len(rows) - _last(rows)
        validation = (self.table.take(rows[cut:]), self.y[rows[cut:]])
        learned = self.table.take(rows[:cut])
        grown = self.booster.fit(learned, self.y[rows[:cut]], validation=validation, seed=self.seed)
        self.rounds = grown.rounds

    def on(self, rows: np.ndarray) -> FittedBooster:
        """The trees of these rows."""
        return refitted(self.booster, self.rounds, self.table.take(rows), self.y[rows], self.seed)


def _last(rows: np.ndarray) -> int:
    """How many of the rows, at their end, tell when to stop growing trees."""
    return max(len(rows) // 6, 1)


def _outputs(network: FittedMean, features: Features) -> np.ndarray:
    """f64[5, N]: mean, log deviation, and the summands of the link by source."""
    found = network.predict(features, parts=False)
    return np.stack([found.mean, np.log(found.std), *found.stacked_summands()])
