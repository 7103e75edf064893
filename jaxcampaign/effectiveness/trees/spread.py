"""The deviation of an outcome from boosted trees: a model of its expected squared residual."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from jaxcampaign.effectiveness.features import Features
from jaxcampaign.effectiveness.trees.boosting import Booster, FittedBooster
from jaxcampaign.effectiveness.trees.tuning import settled

_LEAST = 1e-6  # of the mean squared residual: an exact hit must not weigh without bound


@dataclass(frozen=True, eq=False)
class FittedSpread:
    """Deviations that trees learned from squared residuals."""

    trees: FittedBooster
    scale: float  # root mean square of the residuals
    range: tuple[float, float]  # of log(std / scale) that training rows support

    def predict(self, features: Features) -> np.ndarray:
        """f64[N], positive deviations in the units of the residuals."""
        log_std = np.log(self.trees.predict(features)) / 2
        return self.scale * np.exp(np.clip(log_std, *self.range))


def settled_spread(
    booster: Booster,
    features: Features,
    residual: np.ndarray,
    early: np.ndarray,
    late: np.ndarray,
    *,
    seed: int = 0,
) -> Booster:
    """The booster of the deviation with the rounds that predict the late rows best.

    Args:
      booster: its objective is replaced: the Tweedie loss of the squared residual, with a log
        link, is close to the Gaussian likelihood of the variance and forgives outliers more.
      features: N rows.
      residual: f64[N], outcome minus out-of-fold prediction.
      early: rows to grow on.
      late: rows that tell when to stop growing.
      seed: of row and column samples.
    """
    _, scale = _target(residual[np.concatenate([early, late])])
    best, _ = settled(
        replace(booster, objective="tweedie"),
        features.take(early),
        _squares(residual[early], scale),
        validation=(features.take(late), _squares(residual[late], scale)),
        seed=seed,
    )
    return best


def fit_spread(
    booster: Booster, features: Features, residual: np.ndarray, *, seed: int = 0
) -> FittedSpread:
    """Learn how far outcomes lie from predictions that were made without them.

    Args:
      booster: what `settled_spread` returns.
      features: N rows.
      residual: f64[N], outcome minus out-of-fold prediction.
      seed: of row and column samples.
    """
    target, scale = _target(residual)
    trees = booster.fit(features, target, seed=seed)
    log_std = np.log(trees.predict(features)) / 2
    return FittedSpread(trees, scale, (float(log_std.min()), float(log_std.max())))


def _target(residual: np.ndarray) -> tuple[np.ndarray, float]:
    """Squared residuals with mean about 1, and the root of what they were divided by."""
    square = np.asarray(residual, np.float64) ** 2
    scale = float(np.sqrt(square.mean())) or 1.0
    return _squares(residual, scale), scale


def _squares(residual: np.ndarray, scale: float) -> np.ndarray:
    return np.asarray(residual, np.float64) ** 2 / scale**2 + _LEAST
