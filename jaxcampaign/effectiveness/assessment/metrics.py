"""How good predictions of mean and deviation are: float64 scores on the host.

All functions take arrays of N observations `y`, predicted `mean` and, where noise counts, `std`
of a Gaussian forecast, in the same units.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from jaxcampaign.errors import InputError

LEVELS = (0.5, 0.8, 0.9)


def rmse(y: Any, mean: Any) -> float:
    """Root mean squared error, in the units of y."""
    y, mean = _checked(y=y, mean=mean)
    return float(np.sqrt(np.mean((y - mean) ** 2)))


def wmape(y: Any, mean: Any) -> float:
    """Sum of absolute errors over the sum of absolute observations; NaN if all are zero."""
    y, mean = _checked(y=y, mean=mean)
    return _ratio(np.abs(y - mean).sum(), np.abs(y).sum())


def r_squared(y: Any, mean: Any) -> float:
    """Share of the variance of y that is explained; NaN if y is constant."""
    y, mean = _checked(y=y, mean=mean)
    return 1.0 - _ratio(((y - mean) ** 2).sum(), ((y - y.mean()) ** 2).sum())


def sum_ratio(y: Any, mean: Any) -> float:
    """Sum predicted / sum observed: 1 where totals in natural units are right."""
    y, mean = _checked(y=y, mean=mean)
    return _ratio(mean.sum(), y.sum())


def gaussian_nll(y: Any, mean: Any, std: Any) -> float:
    """Mean negative log density of N(mean, std^2), nats per observation."""
    y, mean, std = _checked(y=y, mean=mean, std=std)
    return float(np.mean(np.log(std) + ((y - mean) / std) ** 2 / 2) + np.log(2 * np.pi) / 2)


def crps(y: Any, mean: Any, std: Any) -> float:
    """Mean continuous ranked probability score of N(mean, std^2), in the units of y.

    Closed form of Gneiting, Raftery, Westveld and Goldman (2005), equation 5.
    """
    y, mean, std = _checked(y=y, mean=mean, std=std)
    z = (y - mean) / std
    score = z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi)
    return float(np.mean(std * score))


def z_rms(y: Any, mean: Any, std: Any) -> float:
    """Root mean square of (y - mean) / std: 1 where the deviation is right, above where small."""
    y, mean, std = _checked(y=y, mean=mean, std=std)
    return float(np.sqrt(np.mean(((y - mean) / std) ** 2)))


def coverage(y: Any, low: Any, high: Any) -> float:
    """Share of observations within [low, high]."""
    y, low, high = _checked(y=y, low=low, high=high)
    return float(np.mean((low <= y) & (y <= high)))


def gaussian_interval(mean: Any, std: Any, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Central interval of N(mean, std^2) with probability `level`."""
    mean, std = _checked(mean=mean, std=std)
    reach = stats.norm.ppf((1 + level) / 2) * std
    return mean - reach, mean + reach


def pit(y: Any, mean: Any, std: Any) -> np.ndarray:
    """Probability integral transform: uniform on [0, 1] where the forecast is calibrated."""
    y, mean, std = _checked(y=y, mean=mean, std=std)
    return stats.norm.cdf((y - mean) / std)


def pit_histogram(y: Any, mean: Any, std: Any, *, bins: int = 10) -> np.ndarray:
    """Share of observations in each of `bins` equal parts of the PIT; 1 / bins where calibrated."""
    counts, _ = np.histogram(pit(y, mean, std), bins=bins, range=(0.0, 1.0))
    return counts / counts.sum()


def decile_table(y: Any, mean: Any, *, bins: int = 10) -> pd.DataFrame:
    """Observed against predicted means in groups of equal size by prediction, lowest first.

    Ties in the prediction are kept in the order of the rows.

    Returns:
      One row per group: decile (from 1), n, predicted, observed, standard_error of the observed.
    """
    y, mean = _checked(y=y, mean=mean)
    bins = min(bins, len(y))
    group = np.empty(len(y), np.int64)
    group[np.argsort(mean, kind="stable")] = np.arange(len(y)) * bins // len(y)
    frame = pd.DataFrame({"decile": group + 1, "predicted": mean, "observed": y})
    grouped = frame.groupby("decile")
    table = grouped.mean()
    table.insert(0, "n", grouped.size())
    table["standard_error"] = grouped["observed"].sem()
    return table.reset_index()


def scores(
    y: Any,
    mean: Any,
    std: Any | None = None,
    *,
    intervals: dict[float, tuple[np.ndarray, np.ndarray]] | None = None,
) -> dict[str, float]:
    """Every score of one set of observations, by name.

    Args:
      y: f64[N] observed.
      mean: f64[N] predicted.
      std: f64[N], predicted deviation; without it only what needs a mean alone.
      intervals: low and high by level; by default Gaussian ones at 50, 80 and 90 %.

    Returns:
      n, rmse, wmape, r2, sum_ratio; with `std` also nll, crps, z_rms, sharpness (mean std) and
      coverage_50 and so on.
    """
    y, mean = _checked(y=y, mean=mean)
    found = {
        "n": len(y),
        "rmse": rmse(y, mean),
        "wmape": wmape(y, mean),
        "r2": r_squared(y, mean),
        "sum_ratio": sum_ratio(y, mean),
    }
    if std is None:
        return found
    found |= {
        "nll": gaussian_nll(y, mean, std),
        "crps": crps(y, mean, std),
        "z_rms": z_rms(y, mean, std),
        "sharpness": float(np.mean(std)),
    }
    if intervals is None:
        intervals = {level: gaussian_interval(mean, std, level) for level in LEVELS}
    for level, (low, high) in intervals.items():
        found[f"coverage_{100 * level:g}"] = coverage(y, low, high)
    return found


def _ratio(above: float, below: float) -> float:
    return float(above / below) if below else float("nan")


def _checked(**columns: Any) -> list[np.ndarray]:
    """These columns as finite float64 of equal length, deviations positive."""
    arrays = {name: np.asarray(column, np.float64) for name, column in columns.items()}
    lengths = {name: array.shape for name, array in arrays.items()}
    if len(set(lengths.values())) > 1 or not all(len(shape) == 1 for shape in lengths.values()):
        raise InputError("observations and predictions differ in length", value=lengths)
    for name, array in arrays.items():
        if not len(array):
            raise InputError("no observation to score", column=name)
        wrong = ~np.isfinite(array) if name != "std" else ~((array > 0) & (array < np.inf))
        if wrong.any():
            rows = np.flatnonzero(wrong)
            problem = "a deviation is not positive" if name == "std" else "a value is not finite"
            raise InputError(problem, column=name, rows=rows.tolist(), value=array[rows[0]])
    return list(arrays.values())
