"""One forecast out of several: convex weights for the means, a geometric mean of the variances."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from jaxcampaign.errors import InputError

_PRIOR_ROWS = 20  # rows that speak for equal weights, so that few rows do not decide alone


def convex_weights(y: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Weights of several forecasts, not negative and with sum 1, of least squared error.

    Drawn towards equal weights as if by 20 further rows. The rows should be ones that none of the
    forecasts was fitted on.

    Args:
      y: f64[N] observed.
      means: f64[M, N] predicted; M is small, as all subsets are tried.

    Returns:
      f64[M].
    """
    if not len(y):
        raise InputError("no rows to choose the weights of the blend on", table="blend")
    error = np.asarray(means, np.float64) - y
    m, n = error.shape
    centred = error - error.mean(axis=0)
    # Squared error of the blend, plus that of the distance from the equal blend.
    prior = _PRIOR_ROWS / n * (centred @ centred.T)
    gram, pull = error @ error.T + prior, prior.mean(axis=1)
    best, least = np.full(m, 1 / m), np.inf
    for size in range(1, m + 1):
        for chosen in map(list, combinations(range(m), size)):
            # The minimiser on the face of the simplex where only these weights are positive.
            system = np.ones((size + 1, size + 1))
            system[:size, :size], system[size, size] = gram[np.ix_(chosen, chosen)], 0.0
            solved = np.linalg.lstsq(system, np.append(pull[chosen], 1.0), rcond=None)[0][:size]
            weights = np.zeros(m)
            weights[chosen] = solved
            cost = weights @ gram @ weights - 2 * pull @ weights
            if (solved >= 0).all() and cost < least:
                best, least = weights, cost
    return best / best.sum()


def blended_std(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Deviation whose variance is the geometric mean of the two variances."""
    return np.sqrt(first * second)
