"""Finding Nemhauser-Wolsey inequalities that a fractional point violates, for all users at once."""

from __future__ import annotations

import numpy as np

from jaxcampaign.influence.matrix import Influence
from jaxcampaign.problems import Cuts
from jaxcampaign.problems.cuts import LOG_ZERO


def violated_prefix_cuts(
    influence: Influence, x: np.ndarray, reach: np.ndarray, users: np.ndarray, tolerance: float
) -> Cuts:
    """Every violated prefix inequality of every user.

    For a user whose slots are sorted by falling x, the candidates are the inequalities of the
    first m slots, m = 1, 2, ...:

        q_u <= f_u(T) + sum_{s not in T} p_su prod_{t in T}(1 - p_tu) x_s,

    as long as the last of them has x > 0. Taking all of them, not the most violated alone, saves
    more rounds than the larger program costs.

    Args:
      influence: who may see which slot.
      x: float64[S], the fractional point.
      reach: float64[len(users)], value of q_u at the point.
      users: int[.], users to look at, each once.
      tolerance: smallest violation that counts.

    Work is one sort of the users' pairs.
    """
    rows = influence.by_user_matrix[users]
    row = np.repeat(np.arange(len(users)), np.diff(rows.indptr))
    order = np.lexsort((rows.indices, -x[rows.indices], row))
    slot, prob = rows.indices[order], rows.data[order]
    start, end = rows.indptr[:-1], rows.indptr[1:]

    with np.errstate(divide="ignore"):
        log_miss = np.maximum(np.log1p(-prob), LOG_ZERO)
    covered = _prefix_sums(prob * x[slot])
    missed = _prefix_sums(log_miss)
    # One candidate per pair, the prefix that ends with it.
    rest = np.exp(missed[1:] - missed[start][row])
    limit = (1 - rest) + rest * (covered[end][row] - covered[1:])
    last = np.flatnonzero((reach[row] - limit > tolerance) & (x[slot] > tolerance))

    length = last + 1 - start[row[last]]
    begin = np.concatenate([[0], np.cumsum(length)]).astype(np.int64)
    member = np.repeat(start[row[last]] - begin[:-1], length) + np.arange(begin[-1])
    slots = slot[member].astype(np.int32)
    return Cuts(users[row[last]].astype(np.int32), begin, slots, np.zeros(len(slots)))


def _prefix_sums(values: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(values)])
