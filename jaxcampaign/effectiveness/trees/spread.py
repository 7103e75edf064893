"""The deviation of an outcome from boosted trees: a model of its logarithmic squared residual."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from jaxcampaign.effectiveness.features import Features
from jaxcampaign.effectiveness.trees.boosting import Booster, FittedBooster

# E[log z^2] of a standard normal z, so what trees learn of log r^2 lies this far below log s^2.
_MEAN_LOG_CHI2 = -1.2703628454614782
_LEAST = 1e-6  # of the mean squared residual: an exact hit must not weigh without bound


@dataclass(frozen=True, eq=False)
class FittedSpread:
    """Deviations that trees learned from squared residuals."""

    trees: FittedBooster
    scale: float  # root mean square of the residuals
    range: tuple[float, float]  # of log(std / scale) that training rows support

    def predict(self, features: Features) -> np.ndarray:
        """f64[N], positive deviations in the units of the residuals."""
        log_std = (self.trees.predict(features) - _MEAN_LOG_CHI2) / 2
        return self.scale * np.exp(np.clip(log_std, *self.range))


def fit_spread(
    booster: Booster,
    features: Features,
    residual: np.ndarray,
    *,
    n_last: int,
    seed: int = 0,
) -> FittedSpread:
    """Learn how far outcomes lie from predictions that were made without them.

    Args:
      booster: with a squared objective.
      features: N rows.
      residual: f64[N], outcome minus out-of-fold prediction.
      n_last: rows at the end that tell when to stop growing.
      seed: of row and column samples.
    """
    square = residual**2
    scale = float(np.sqrt(square.mean())) or 1.0
    target = np.log(square / scale**2 + _LEAST)
    cut = len(target) - n_last
    rows, later = features.take(slice(cut)), features.take(slice(cut, None))
    trees = booster.fit(rows, target[:cut], validation=(later, target[cut:]), seed=seed)
    trees = refitted(booster, trees.rounds, features, target, seed)
    log_std = (trees.predict(features) - _MEAN_LOG_CHI2) / 2
    return FittedSpread(trees, scale, (float(log_std.min()), float(log_std.max())))


def refitted(
    booster: Booster, rounds: int, features: Features, y: np.ndarray, seed: int
) -> FittedBooster:
    """Trees on all rows, in as many rounds as were best on rows held back."""
    return replace(booster, rounds=max(rounds, 1)).fit(features, y, seed=seed)
