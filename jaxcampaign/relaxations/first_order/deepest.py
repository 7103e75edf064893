"""The Nemhauser-Wolsey inequalities that a fractional point violates most, at any size."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from jaxcampaign.problems import Cuts
from jaxcampaign.problems.cuts import LOG_ZERO

# Violations of the same set, from two orders, differ by rounding only.
_SAME = 1e-10


def deepest_cuts(
    by_user: sparse.csr_array, x: np.ndarray, reach: np.ndarray, *, tolerance: float, most: int
) -> tuple[Cuts, np.ndarray]:
    """The few most violated inequalities of each user.

    For a user with slots of probability p_s let a(T) = 1 - sum_{s not in T} p_s x_s. The inequality
    of T allows a reach of 1 - a(T) prod_{s in T} (1 - p_s), and the tightest set, the one where
    nothing is gained by one slot more or less, holds every slot with x_s (1 - p_s) > a(T) and none
    with x_s < a(T). So the candidates are prefixes of the user's slots in two orders: by falling x
    and by falling x (1 - p).

    Args:
      by_user: float64[U, S], probabilities; slots with x = 0 need not be there.
      x: float64[S], the fractional point.
      reach: float64[U], value of q_u at the point.
      tolerance: smallest violation that counts.
      most: inequalities of one user in either order.

    Returns:
      The inequalities, in the numbering of `by_user`, and the violation of each.

    Work is two sorts of the pairs.
    """
    row = np.repeat(np.arange(by_user.shape[0]), np.diff(by_user.indptr))
    at_pairs = x[by_user.indices]
    parts, violations = [], []
    for key in (at_pairs, at_pairs * (1 - by_user.data)):
        order = np.lexsort((by_user.indices, -key, row))
        slot = by_user.indices[order]
        violation = reach[row] - _limits(by_user, row, by_user.data[order], x[slot])
        last = _highest(violation, row, tolerance, most)
        parts.append(_prefixes(by_user, row, slot, last))
        violations.append(violation[last])
    cuts, violation = Cuts.join(parts), np.concatenate(violations)
    length = np.diff(cuts.start)
    order = np.lexsort((violation, length, cuts.user))
    again = np.zeros(len(cuts), bool)
    again[order[1:]] = (
        (np.diff(cuts.user[order]) == 0)
        & (np.diff(length[order]) == 0)
        & (np.diff(violation[order]) < _SAME)
    )
    return cuts.take(~again), violation[~again]


def _limits(
    by_user: sparse.csr_array, row: np.ndarray, prob: np.ndarray, x: np.ndarray
) -> np.ndarray:
    """Right-hand side of the prefix that ends with each pair; pairs sorted within their row."""
    start, end = by_user.indptr[:-1], by_user.indptr[1:]
    with np.errstate(divide="ignore"):
        log_miss = np.maximum(np.log1p(-prob), LOG_ZERO)
    covered, missed = _sums(prob * x), _sums(log_miss)
    rest = np.exp(missed[1:] - missed[start][row])
    return 1 - rest * (1 - (covered[end][row] - covered[1:]))


def _highest(violation: np.ndarray, row: np.ndarray, tolerance: float, most: int) -> np.ndarray:
    """Positions of the highest few of each row above the tolerance, rising."""
    above = np.flatnonzero(violation > tolerance)
    above = above[np.lexsort((above, -violation[above], row[above]))]
    rank = np.arange(len(above)) - np.searchsorted(row[above], row[above])
    return np.sort(above[rank < most])


def _prefixes(
    by_user: sparse.csr_array, row: np.ndarray, slot: np.ndarray, last: np.ndarray
) -> Cuts:
    """The inequalities of the prefixes that end at the given pairs."""
    start = by_user.indptr[row[last]]
    length = last + 1 - start
    begin = _sums(length)
    member = np.repeat(start - begin[:-1], length) + np.arange(begin[-1])
    slots = slot[member].astype(np.int32)
    return Cuts(row[last].astype(np.int32), begin, slots, np.zeros(len(slots)))


def _sums(values: np.ndarray) -> np.ndarray:
    """Sums of everything before each position, and of everything."""
    return np.concatenate([np.zeros(1, values.dtype), np.cumsum(values)])
