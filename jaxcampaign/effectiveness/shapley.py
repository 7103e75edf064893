"""The exact Shapley split of a function of the three sources: eight evaluations."""

from __future__ import annotations

import numpy as np

COALITIONS = np.array([[s >> player & 1 for player in range(3)] for s in range(8)], np.float32)
"""f32[8, 3], 1 where a source takes part; the empty coalition first, the full one last."""


def shapley_split(values: np.ndarray) -> np.ndarray:
    """f64[3, N] parts of f64[8, N] values of the coalitions, which sum to last minus first.

    The Shapley value of Shapley (1953): gains of joining, averaged over the 6 orders of joining.
    """
    size = COALITIONS.sum(axis=1)
    # Of the orders of three players, those who join a coalition of 0, 1, 2 others: 1/3, 1/6, 1/3.
    joined = np.array([0.0, 1 / 3, 1 / 6, 1 / 3])[size.astype(int)]
    left = np.array([1 / 3, 1 / 6, 1 / 3, 0.0])[size.astype(int)]
    weights = np.where(COALITIONS.T == 1, joined, -left)
    return weights @ values
