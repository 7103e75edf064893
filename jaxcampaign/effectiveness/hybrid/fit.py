"""Network and boosted trees together: trees on out-of-fold network outputs, blended, calibrated."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

import jax
import numpy as np
import pandas as pd
from jax import Array

from jaxcampaign.effectiveness.assessment.calibration import Calibration
from jaxcampaign.effectiveness.features import Features
from jaxcampaign.effectiveness.hybrid.blend import convex_weights, total_factor
from jaxcampaign.effectiveness.hybrid.fitted import (
    FittedHybrid,
    Stack,
    seen_codes,
    stacked,
    stacked_by_source,
)
from jaxcampaign.effectiveness.hybrid.folds import Fold, forward_folds, last_rows, random_folds
from jaxcampaign.effectiveness.prediction import Prediction
from jaxcampaign.effectiveness.trees.boosting import Booster, FittedBooster, check_outcomes
from jaxcampaign.effectiveness.trees.lightgbm import LightGBM
from jaxcampaign.effectiveness.trees.spread import FittedSpread, fit_spread, settled_spread
from jaxcampaign.effectiveness.trees.tuning import (
    last_sixth,
    lightgbm_candidates,
    limited,
    settled,
)
from jaxcampaign.errors import InputError
from jaxcampaign.progress import progress

_SPREAD = LightGBM(rounds=400, learning_rate=0.03, leaves=8, leaf_rows=40, l2=5.0)
_SPREAD_FOLDS = 5
_PRIOR_ROWS = 20  # of a cross-section, that speak for equal weights of the blend
_FEWEST_ROWS = 100
_EPOCH_SHARE = 0.15  # of the rows, the last ones, tell when to stop training
_WORKERS = 8
_FOLDS, _FEWER_FOLDS, _MANY_ROWS = 4, 3, 50_000
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


@dataclass(frozen=True)
class Hybrid:
    """A network, trees on its out-of-fold outputs, and a blend of both; settings only.

    Every row but the first ones is predicted from others: each fold from the rows before it, or
    from all other folds in a cross-section. The network does so first; trees are then grown on the
    features and its outputs, others on the features alone, which guards against outputs that
    mislead. What the three say out of fold decides the weights of their blend and, under a log
    link, the level of its total; the residuals of the blend teach further trees the deviation,
    and, with deviations out of fold, calibrate it. In time, the weights rest on the last third of
    the rows, the calibration on the last half, as what comes next may be quieter or wilder than
    the last days. Then all is fitted once more on all rows.

    No row is kept for the calibration alone: all means and deviations that it compares with
    outcomes are out of fold, but the same rows chose epochs, settings and rounds (the last sixth
    or so), the weights of the blend and its total, and taught each other's deviations, the later
    ones those of earlier ones too. So on these rows the deviations are right by construction, and
    later ones may fall outside a little more often; `review` on rows held out from all of this
    tells how often.

    Attributes:
      network: for mean and deviation, such as `TowerNetwork`.
      booster: of the mean; by default the best of four settings of LightGBM.
      spread: booster of the deviation; its objective is set.
      ids: categorical columns of ids; a row is cold if one of its ids was never learned from.
      n_folds: folds; by default 4, and 3 from 50,000 rows on.
    """

    network: Network
    booster: Booster = field(default_factory=lightgbm_candidates)
    spread: Booster = _SPREAD
    ids: tuple[str, ...] = ()
    n_folds: int | None = None

    def fit(
        self,
        features: Features,
        y: np.ndarray,
        *,
        key: Array,
        time: Any | None = None,
        known_at: Any | None = None,
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
          known_at: when each outcome became known, comparable with `time`: a fold learns from
            rows whose outcome was known before its first one was planned, and so do the fits that
            choose epochs, settings and rounds on the last rows. Without it, at once.
          groups: labels of which none may be learned from while it is predicted in a fold.
          gap: least distance in time between rows learned from and rows predicted in a fold.
          show: a progress bar, where somebody watches.

        Raises:
          InputError: too few rows, ids that are no columns, outcomes that do not fit, or none
            that was known before others were planned.
        """
        y = check_outcomes(features, y, self.booster.objective)
        if len(y) < _FEWEST_ROWS:
            remedy = "use a booster or a network alone"
            problem = f"{len(y)} rows are too few for folds and calibration"
            raise InputError(problem, table="features", remedy=remedy)
        if unknown := set(self.ids) - set(features.categorical_names):
            raise InputError("no such column of ids", table="features", column=min(unknown))
        if known_at is not None and time is None:
            remedy = "give both, or neither for a cross-section"
            raise InputError("known_at needs time", table="known_at", remedy=remedy)
        n_folds = self.n_folds or (_FOLDS if len(y) < _MANY_ROWS else _FEWER_FOLDS)
        seed_key, *rest = jax.random.split(key, n_folds + 3)
        seed, keys = int(jax.random.randint(seed_key, (), 0, 2**31 - 1)), iter(rest)
        if time is None:
            folds = random_folds(len(y), n_folds, seed=seed, groups=groups)
        else:
            folds = forward_folds(time, n_folds, groups=groups, gap=gap, known_at=known_at)
        order = _order(time, len(y), seed)
        tried = last_rows(order, last_sixth(len(y)), time, known_at)

        outputs = np.full((5, len(y)), np.nan)
        with (
            progress(len(folds) + 2 if show else 0, "hybrid", "networks") as bar,
            ThreadPoolExecutor(1) as beside,
        ):
            # These need no network: they are grown on the cores that the first one leaves idle.
            idle = max((os.cpu_count() or 1) - 1, 1)
            rest_of_plain = (features, y, order, tried, seed, folds, idle)
            plain_trees = beside.submit(_Trees, self.booster, *rest_of_plain)
            trained = _Trained(self.network, features, y, bar)
            epochs = trained.best_epochs(order, next(keys), time, known_at)
            *chain, final = trained.together([*(f.train for f in folds), order], epochs, keys)
            for network, fold in zip(chain, folds, strict=True):
                outputs[:, fold.test] = _outputs(network, features.take(fold.test))
            plain = plain_trees.result()

        both = stacked(features, outputs[:2])  # what the deviation depends on
        table = stacked_by_source(features, outputs[2:]) if self.additive else both
        chosen = replace(plain.booster, rounds=self.booster.rounds)
        trees = _Trees(chosen, table, y, order, tried, seed, folds)
        means = np.stack([outputs[0], trees.out_of_fold, plain.out_of_fold])
        known = order[np.isfinite(outputs[0, order])]
        recent = known if time is None else known[-max(len(y) // 3, 1) :]
        later = known if time is None else known[-max(len(y) // 2, 1) :]
        # In time, what was best or too low is seldom quite so later: half the way there.
        prior_rows, trust = (_PRIOR_ROWS, 1.0) if time is None else (len(recent), 0.5)
        weights = convex_weights(y[recent], means[:, recent], prior_rows)
        if self.booster.objective != "squared":
            weights = weights * total_factor(y[recent], weights @ means[:, recent]) ** trust
        mean = weights @ means
        parted = last_rows(known, last_sixth(len(known)), time, known_at)
        spread, std = self._spread(both, y - mean, known, parted, seed)
        cold = self._cold(features, folds)
        corrections = Calibration.fit(y[later], mean[later], std[later], cold[later])
        return FittedHybrid.centred(
            Stack(final, trees.fitted, plain.fitted, spread, weights, self.additive),
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

    def _spread(
        self,
        table: Features,
        residual: np.ndarray,
        known: np.ndarray,
        parted: tuple[np.ndarray, np.ndarray],
        seed: int,
    ) -> tuple[FittedSpread, np.ndarray]:
        """Trees of the deviation on the known rows, and f64[N] deviations out of fold."""
        rows, squares = table.take(known), residual[known]
        booster = settled_spread(self.spread, table, residual, *parted, seed=seed)
        std = np.full(len(table), np.nan)
        # At random even in time: the residuals are out of fold already, and few in early folds.
        for fold in random_folds(len(known), _SPREAD_FOLDS, seed=seed):
            own = fit_spread(booster, rows.take(fold.train), squares[fold.train], seed=seed)
            std[known[fold.test]] = own.predict(rows.take(fold.test))
        return fit_spread(booster, rows, squares, seed=seed), std

    def _cold(self, features: Features, folds: list[Fold]) -> np.ndarray:
        """bool[N], rows with an id that their fold did not learn from."""
        cold = np.zeros(len(features), bool)
        for fold in folds:
            seen = seen_codes(features.take(fold.train), self.ids)
            cold[fold.test] = ~seen.all_seen(features.take(fold.test))
        return cold


class _Trained:
    """Networks on rows of one table."""

    def __init__(self, network: Network, features: Features, y: np.ndarray, bar: Any):
        self.network, self.features, self.y, self.bar = network, features, y, bar

    def best_epochs(
        self, order: np.ndarray, key: Array, time: Any | None, known_at: Any | None
    ) -> int:
        """Epochs after which the last rows are predicted best from those before them."""
        if known_at is None:
            network = self._fit(self.network, order, key, _EPOCH_SHARE)
        else:
            n_last = max(int(_EPOCH_SHARE * len(order)), 1)
            early, late = last_rows(order, n_last, time, known_at)
            network = self._fit(self.network, early, key, (self.features.take(late), self.y[late]))
        return int(np.nanargmin(network.history[:, 1])) + 1

    def together(
        self, tables: list[np.ndarray], epochs: int, keys: Iterator[Array]
    ) -> list[FittedMean]:
        """The networks of these rows: as many at a time as there are cores, the longest first.

        One step of one network does not keep several cores busy.
        """
        network = replace(self.network, epochs=epochs)
        own = [next(keys) for _ in tables]
        with ThreadPoolExecutor(min(os.cpu_count() or 1, _WORKERS)) as pool:
            fits = {
                k: pool.submit(self._fit, network, tables[k], own[k], 0.0)
                for k in sorted(range(len(tables)), key=lambda k: -len(tables[k]))
            }
            return [fits[k].result() for k in range(len(tables))]

    def _fit(
        self,
        network: Network,
        rows: np.ndarray,
        key: Array,
        validation: tuple[Features, np.ndarray] | float,
    ) -> FittedMean:
        table, y = self.features.take(rows), self.y[rows]
        room = len(self.y)
        fitted = network.fit(table, y, key=key, validation=validation, progress=False, room=room)
        self.bar.update()
        return fitted


class _Trees:
    """Trees of the mean, with settings tried on some rows that predict the last ones best.

    Attributes:
      booster: these settings.
      fitted: the trees of all rows.
      out_of_fold: f64[N] predictions by trees that did not see the row; NaN for rows of no fold.
    """

    def __init__(
        self,
        booster: Booster,
        table: Features,
        y: np.ndarray,
        order: np.ndarray,
        tried: tuple[np.ndarray, np.ndarray],
        seed: int,
        folds: list[Fold],
        threads: int = 0,
    ):
        def grown(rows: np.ndarray) -> FittedBooster:
            return limited(self.booster, threads).fit(table.take(rows), y[rows], seed=seed)

        early, late = tried
        validation = (table.take(late), y[late])
        self.booster, _ = settled(
            booster,
            table.take(early),
            y[early],
            validation=validation,
            seed=seed,
            threads=threads,
        )
        self.out_of_fold = np.full(len(y), np.nan)
        for fold in folds:
            self.out_of_fold[fold.test] = grown(fold.train).predict(table.take(fold.test))
        self.fitted = grown(order)


def _order(time: Any, n: int, seed: int) -> np.ndarray:
    """The rows in order of time, those of one instant at random; in a cross-section at random."""
    shuffled = np.random.default_rng(seed).permutation(n)
    if time is None:
        return shuffled
    place = pd.Series(np.asarray(time)).rank(method="dense").to_numpy()
    return shuffled[np.argsort(place[shuffled], kind="stable")]


def _outputs(network: FittedMean, features: Features) -> np.ndarray:
    """f64[5, N]: mean, log deviation, and the summands of the link by source."""
    found = network.predict(features, parts=False)
    return np.stack([found.mean, np.log(found.std), *found.stacked_summands()])
