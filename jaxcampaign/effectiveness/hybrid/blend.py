"""One forecast out of several: convex weights for the means."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from jaxcampaign.errors import InputError


def convex_weights(y: np.ndarray, means: np.ndarray, prior_rows: float) -> np.ndarray:
    """Weights of several forecasts, not negative and with sum 1, of small squared error.

    Drawn towards equal weights, which are hard to beat where there are few rows or the world
    changes (the forecast combination puzzle, Stock and Watson 2004). The rows should be ones that
    none of the forecasts was fitted on.

    Args:
      y: f64[N] observed.
      means: f64[M, N] predicted; M is small, as all subsets are tried.
      prior_rows: how many further rows would speak for equal weights.

    Returns:
      f64[M].
    """
    if not len(y):
        raise InputError("no rows to choose the weights of the blend on", table="blend")
    error = np.asarray(means, np.float64) - y
    m, n = error.shape
    centred = error - error.mean(axis=0)
    # Squared error of the blend, plus that of the distance from the equal blend.
    prior = prior_rows / n * (centred @ centred.T)
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


def total_factor(y: np.ndarray, mean: np.ndarray) -> float:
    """What predictions must be multiplied by so that their total is the observed one.

    Args:
      y: f64[N] observed, not negative.
      mean: f64[N] predicted for rows that it was not fitted on.
    """
    observed, predicted = float(np.sum(y)), float(np.sum(mean))
    return observed / predicted if observed > 0 and predicted > 0 else 1.0
