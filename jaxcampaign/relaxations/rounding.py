"""Mixed-integer rounding of demands: one row over slots per product, rounded where that cuts most.

The reach of each user of an audience is replaced by the user's inequality that is tightest at the
fractional point, which leaves a row `a . x >= k` over slots alone; complementing the slots above a
half, and dividing by a coefficient of a fractional slot, gives the candidates (Marchand and Wolsey,
2001).
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from jaxcampaign.problems import Cuts, RoundedRows, SlotProblem
from jaxcampaign.problems.rounding import add_up, rounding_of

_DIVISIONS = (1.0, 1 / 2, 1 / 3)
_MOST_DIVISORS = 60
# Demands that are exceeded by more than this many users cannot become tight by rounding.
_NEAR = 1.0


def violated_rounded_rows(
    problem: SlotProblem,
    x: np.ndarray,
    reach: np.ndarray,
    users: np.ndarray,
    cuts: Cuts,
    tolerance: float,
) -> RoundedRows:
    """The most violated rounded row of each product, where there is one.

    Args:
      problem: what is asked.
      x: float64[S], the fractional point.
      reach: float64[len(users)], value of q_u at the point.
      users: int[.], users that have a value.
      cuts: inequalities of users to choose from.
      tolerance: smallest distance from the point that counts.
    """
    achieved = problem.objective.audience[:, users] @ reach
    products = np.flatnonzero((problem.demand > 0) & (achieved < problem.demand + _NEAR))
    tightest, intercept, slope = _tightest(problem, x, cuts)
    audience = problem.objective.audience[products]
    cut_price = sparse.csr_array(audience[:, tightest.user])
    demand_price = sparse.csr_array(
        (np.ones(len(products)), (np.arange(len(products)), products)),
        shape=(len(products), len(problem.demand)),
    )
    b, a = add_up(problem, demand_price, cut_price, tightest.user, intercept, slope)
    divisor = np.ones(len(products))
    found = np.zeros(len(products), bool)
    for i in range(len(products)):
        span = slice(a.indptr[i], a.indptr[i + 1])
        best = _best_divisor(b[i], a.data[span], x[a.indices[span]], tolerance)
        if best is not None:
            divisor[i], found[i] = best, True
    kept = np.flatnonzero(found)
    upper = x > 0.5
    flags = a[kept]
    flagged = upper[flags.indices]
    row = np.repeat(np.arange(len(kept)), np.diff(flags.indptr))[flagged]
    complement = sparse.csr_array(
        (np.ones(len(row)), (row, flags.indices[flagged])), shape=flags.shape
    )
    used = np.unique(cut_price[kept].indices)
    return RoundedRows(
        demand_price[kept],
        cut_price[kept][:, used],
        tightest.take(used),
        complement,
        divisor[kept],
    )


def _tightest(
    problem: SlotProblem, x: np.ndarray, cuts: Cuts
) -> tuple[Cuts, np.ndarray, sparse.csr_array]:
    """The inequality of each user that allows the least reach at x, where that is at most 1."""
    intercept, slope = cuts.coefficients(problem.influence)
    limit = intercept + slope @ x
    order = np.lexsort((limit, cuts.user))
    _, first = np.unique(cuts.user[order], return_index=True)
    chosen = order[first]
    chosen = chosen[limit[chosen] < 1 + 1e-9]
    return cuts.take(chosen), intercept[chosen], slope[chosen]


def _best_divisor(b: float, a: np.ndarray, x: np.ndarray, tolerance: float) -> float | None:
    """The divisor whose rounded row is violated most, None where none is."""
    if b <= 0:
        return None
    used = x > 1e-9
    a, x = a[used], x[used]
    split = (x > 1e-6) & (x < 1 - 1e-6)
    if not split.any():
        return None
    coefficients = np.unique(a[split])
    coefficients = coefficients[coefficients > 1e-6 * b]
    coefficients = coefficients[-_MOST_DIVISORS:]
    divisors = np.unique(np.outer(coefficients, _DIVISIONS))
    if not len(divisors):
        return None
    flipped = x > 0.5
    sign = np.where(flipped, -1.0, 1.0)
    beta = (b - a[flipped].sum()) / divisors
    f, right = rounding_of(beta)
    alpha = sign * a / divisors[:, None]
    whole = np.floor(alpha)
    coefficient = whole + np.minimum((alpha - whole) / f[:, None], 1.0)
    violation = right - coefficient @ np.where(flipped, 1 - x, x)
    size = np.sqrt((coefficient**2).sum(axis=1))
    depth = violation / np.maximum(size, 1e-9)
    best = int(np.argmax(depth))
    return float(divisors[best]) if depth[best] > tolerance else None
