"""Facets of the hull of a user's subsets that a fractional point violates, for all users at once.

The tightest inequality `q_u <= h + pi . x` over a user's few most used slots W is the dual of the
concave envelope of f at x,

    max sum_A alpha_A f(A)   subject to   sum_{A contains s} alpha_A <= x_s,  sum_A alpha_A = 1,

a linear program with a column for each subset A of W. The programs of all users are solved
together by the simplex method with dense bases, subsets priced by enumeration.
"""

from __future__ import annotations

import numpy as np

from jaxcampaign.influence.matrix import Influence
from jaxcampaign.problems import Cuts
from jaxcampaign.problems.cuts import LOG_ZERO, MOST_SLOPED, subset_table

# Points are moved off the faces of the cube, and apart, where facets would not be unique.
_MARGIN = 2e-4
_MOST_PIVOTS = 80
# Columns times users in one block.
_BLOCK = 1 << 21


def violated_hull_cuts(
    influence: Influence,
    x: np.ndarray,
    reach: np.ndarray,
    users: np.ndarray,
    tolerance: float,
    *,
    members: int = MOST_SLOPED,
) -> Cuts:
    """For each user, the tightest inequality over the slots with the largest p x, where violated.

    Args:
      influence: who may see which slot.
      x: float64[S], the fractional point.
      reach: float64[len(users)], value of q_u at the point.
      users: int[.], users to look at, each once.
      tolerance: smallest violation that counts.
      members: slots of a user that are looked at, `MOST_SLOPED` at most.
    """
    rows = influence.by_user_matrix[users]
    row = np.repeat(np.arange(len(users)), np.diff(rows.indptr))
    touched = rows.data * x[rows.indices]
    # Users of whole slots only have nothing to gain over the inequality of that set.
    split = (x[rows.indices] > _MARGIN) & (x[rows.indices] < 1 - _MARGIN)
    split_users = np.bincount(row, weights=split, minlength=len(users)) > 0
    used = np.flatnonzero((touched > 1e-7) & split_users[row])
    used = used[np.lexsort((rows.indices[used], -touched[used], row[used]))]
    rank = np.arange(len(used)) - np.searchsorted(row[used], row[used])
    used = used[rank < members]
    size = np.bincount(row[used], minlength=len(users))
    first = np.concatenate([[0], np.cumsum(size)])
    slope = np.zeros(len(used))
    for n_members in np.unique(size[size > 1]):
        of_size = np.flatnonzero(size == n_members)
        n_blocks = len(of_size) * 2**n_members // _BLOCK + 1
        for block in np.array_split(of_size, n_blocks):
            place = first[block, None] + np.arange(n_members)
            entries = used[place]
            slope[place] = _facets(rows.data[entries], x[rows.indices[entries]])
    kept = np.flatnonzero(size > 1)
    every = Cuts(users.astype(np.int32), first, rows.indices[used].astype(np.int32), slope)
    cuts = every.take(kept)
    intercept, matrix = cuts.coefficients(influence)
    return cuts.take(reach[kept] - intercept - matrix @ x > tolerance)


def _facets(p: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Slopes of the tightest inequality at x, float64[n, m], for n users with m slots each."""
    n, m = p.shape
    apart = 1e-5 * np.arange(m)
    x = np.clip(x, _MARGIN, 1 - _MARGIN - 1e-5 * m) + apart
    with np.errstate(divide="ignore"):
        log_miss = np.maximum(np.log1p(-p), LOG_ZERO)
    subsets = subset_table(m)
    # Columns: subsets with their share of one, then the slacks of x.
    columns = np.vstack(
        [np.hstack([subsets, np.ones((2**m, 1))]), np.hstack([np.eye(m), np.zeros((m, 1))])]
    )
    worth = np.hstack([-np.expm1(log_miss @ subsets.T), np.zeros((n, m))])
    right = np.hstack([x, np.ones((n, 1))])
    # The chain of the largest x is a feasible basis.
    order = np.argsort(-x, axis=1)
    basis = np.hstack([np.zeros((n, 1), int), np.cumsum(1 << order, axis=1)])
    price = np.zeros((n, m + 1))
    left = np.arange(n)
    for _ in range(_MOST_PIVOTS):
        matrix = columns[basis[left]]  # rows are columns of the basis
        price[left] = np.linalg.solve(matrix, worth[left[:, None], basis[left]][..., None])[..., 0]
        gain = worth[left] - price[left] @ columns.T
        enter = gain.argmax(axis=1)
        open_ = gain[np.arange(len(left)), enter] > 1e-10
        if not open_.any():
            break
        left, enter, matrix = left[open_], enter[open_], matrix[open_]
        pair = np.stack([right[left], columns[enter]], axis=-1)
        share, step = np.moveaxis(np.linalg.solve(np.swapaxes(matrix, 1, 2), pair), -1, 0)
        ratio = np.where(step > 1e-9, share / np.where(step > 1e-9, step, 1.0), np.inf)
        basis[left, ratio.argmin(axis=1)] = enter
    return np.maximum(price[:, :m], 0.0)
