"""One forecast out of two: a convex weight for the means, a geometric mean of the variances."""

from __future__ import annotations

import numpy as np

from jaxcampaign.errors import InputError

_PRIOR_ROWS = 20  # rows that speak for equal weights, so that few rows do not decide alone


def blend_weight(y: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Weight within [0, 1] of the first mean that brings the least squared error.

    The least-squares weight in closed form, drawn towards 1/2 as if by 20 further rows; the rows
    should be ones that neither forecast was fitted on.

    Args:
      y: f64[N] observed.
      first: f64[N] predicted.
      second: f64[N] predicted otherwise.
    """
    if not len(y):
        raise InputError("no rows to choose the weight of the blend on", table="blend")
    step = np.asarray(first, np.float64) - second
    size = step @ step
    if size == 0:
        return 0.5
    prior = _PRIOR_ROWS * size / len(step)
    return float(np.clip(((y - second) @ step + prior / 2) / (size + prior), 0.0, 1.0))


def blended_mean(weight: float, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Convex combination of two means."""
    return weight * first + (1 - weight) * second


def blended_std(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Deviation whose variance is the geometric mean of the two variances."""
    return np.sqrt(first * second)
