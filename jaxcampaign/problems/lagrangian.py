"""The proof behind a bound: Lagrangian multipliers, valid whatever non-negative values they take.

For a slot problem in its minimised form (see `SlotProblem`) and inequalities
`q_u(x) <= h_r + G_r x` (see `Cuts`) and `D x >= e` (see `RoundedRows`), weak duality gives, for any
mu, lambda, nu, pi >= 0,

    mu . k - lambda . h - nu_up . upper + nu_lo . lower + pi . e
      + sum_s min(0, c_s + (A^T (nu_up - nu_lo))_s - (G^T lambda)_s - (D^T pi)_s)
      + sum_u min(0, sum_{r of u} lambda_r - v_u - sum_j mu_j a_ju)   <=   optimum.

It is one pass over the data in float64, so anybody can recheck it, and no solver is trusted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from scipy import sparse

from jaxcampaign.problems.assessment import FEASIBILITY_TOLERANCE
from jaxcampaign.problems.cuts import Cuts
from jaxcampaign.problems.rounding import RoundedRows
from jaxcampaign.problems.slots import SlotProblem

# Rounding of one term, in units in the last place; sums add one unit per term they run over.
_ULPS_PER_TERM = 64


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Multipliers:
    """Prices of everything that was relaxed; the stored proof of a bound.

    Attributes:
      demand: float64[L], mu, price of a product's demand.
      row_upper: float64[M], nu_up, price of each row's upper limit.
      row_lower: float64[M], nu_lo, price of each row's lower limit.
      cut: float64[R], lambda, price of each inequality of a user.
      cuts: the R inequalities.
      rounded: float64[K], pi, price of each inequality over slots; None without any.
      rounded_rows: the K inequalities.
    """

    demand: np.ndarray
    row_upper: np.ndarray
    row_lower: np.ndarray
    cut: np.ndarray
    cuts: Cuts
    rounded: np.ndarray | None = None
    rounded_rows: RoundedRows | None = None

    def clipped(self) -> Multipliers:
        """Negative or undefined prices to 0, and inequalities without a price left out."""
        priced = _positive(self.cut) > 0
        rounded, rows = self.rounded, self.rounded_rows
        if rounded is not None and rows is not None:
            rounded = _positive(rounded)
            rows, rounded = rows.take(rounded > 0), rounded[rounded > 0]
        return Multipliers(
            _positive(self.demand),
            _positive(self.row_upper),
            _positive(self.row_lower),
            _positive(self.cut)[priced],
            self.cuts.take(priced),
            rounded,
            rows,
        )


def lagrangian_bound(problem: SlotProblem, multipliers: Multipliers) -> float:
    """The bound that multipliers prove, in the problem's own sense, float64.

    A lower bound on the least cost, or an upper bound on the most influence. It holds for every
    selection that is feasible to `FEASIBILITY_TOLERANCE`, and it is rounded outward by more than
    the rounding error of its own evaluation.

    Raises:
      ValueError: a multiplier is negative, not finite, or too large to evaluate, or an inequality
        is not well formed: then nothing is proven.
    """
    m = multipliers
    inequalities = Inequalities.derive(problem, m.cuts, m.rounded_rows)
    rounded = np.zeros(0) if m.rounded is None else m.rounded
    prices = (m.demand, m.row_upper, m.row_lower, m.cut, rounded)
    if not all(np.isfinite(part).all() and (part >= 0).all() for part in prices):
        raise ValueError("multipliers must be finite and at least 0")
    value, _ = priced_bound(problem, inequalities, *prices)
    return float(value if problem.sense == "min" else -value)


@dataclass(frozen=True, eq=False)
class Inequalities:
    """Coefficients of inequalities, derived from the data.

    Attributes:
      cuts: the inequalities of users.
      intercept: float64[R], h.
      slope: float64[R, S], G.
      right: float64[K], e.
      row: float64[K, S], D.
    """

    cuts: Cuts
    intercept: np.ndarray
    slope: sparse.csr_array
    right: np.ndarray
    row: sparse.csr_array

    @classmethod
    def derive(cls, problem: SlotProblem, cuts: Cuts, rounded: RoundedRows | None) -> Inequalities:
        """Recompute them; ValueError if one is not well formed."""
        if rounded is None or not len(rounded):
            none = np.zeros(0), sparse.csr_array((0, problem.n_items))
            return cls(cuts, *cuts.coefficients(problem.influence), *none)
        return cls(cuts, *cuts.coefficients(problem.influence), *rounded.coefficients(problem))


def priced_bound(
    problem: SlotProblem,
    inequalities: Inequalities,
    demand: Any,
    row_upper: Any,
    row_lower: Any,
    cut: Any,
    rounded: Any,
    fixed: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The bound of the minimised form for one set of prices, or for F sets at once.

    Args:
      problem: what is asked.
      inequalities: what `cut` and `rounded` price.
      demand: float64[L], or sparse [F, L], at least 0 as all prices.
      row_upper: float64[M], or sparse [F, M].
      row_lower: the same.
      cut: float64[R], or sparse [F, R].
      rounded: float64[K], or sparse [F, K].
      fixed: int8[S] or [F, S], 0 or 1 where a slot is out or in, else -1.

    Returns:
      float64 or float64[F], rounded down; and the reduced costs, float64[S] or [F, S].
    """
    influence, rows = problem.influence, problem.rows
    lower, upper = rows.tolerated(FEASIBILITY_TOLERANCE)
    with np.errstate(over="ignore", invalid="ignore"):
        slot_terms = [problem.item_cost, -_times(cut, inequalities.slope)]
        if len(rows):
            slot_terms += [_times(row_upper, rows.matrix), -_times(row_lower, rows.matrix)]
        if len(inequalities.right):
            slot_terms.append(-_times(rounded, inequalities.row))
        user_terms = [
            _times(cut, _of_user(inequalities.cuts, influence.n_users)),
            -problem.user_value,
            -_times(demand, problem.objective.audience),
        ]
        constants = [
            _dense(demand) * problem.required,
            -_dense(cut) * inequalities.intercept,
            -_priced(_dense(row_upper), upper),
            _priced(_dense(row_lower), lower),
            _dense(rounded) * inequalities.right,
        ]
        reduced = np.asarray(sum(slot_terms))
        best = np.minimum(reduced, 0)
        if fixed is not None:
            best = np.where(fixed == 0, 0.0, np.where(fixed == 1, reduced, best))
        value = sum(part.sum(axis=-1) for part in constants) + best.sum(axis=-1)
        value = value + np.minimum(sum(user_terms), 0).sum(axis=-1)
        parts = [*constants, *slot_terms, *user_terms]
        magnitude = sum(np.abs(part).sum(axis=-1) for part in parts)
        value = value - _ulps(problem, inequalities) * np.finfo(np.float64).eps * magnitude
    if not np.isfinite(value).all():
        raise ValueError("multipliers are too large to evaluate")
    return value, reduced


def _ulps(problem: SlotProblem, inequalities: Inequalities) -> float:
    """Rounding error of the bound at most, as a share of the sum of magnitudes.

    A sum of n terms of one sign, added one by one, errs by less than n units in the last place
    (Higham, 2002); n is the longest sum that the evaluation contains.
    """
    longest = max(
        int(np.bincount(inequalities.slope.indices, minlength=1).max()),
        int(np.diff(problem.influence.by_user_matrix.indptr).max(initial=0)),
        int(np.bincount(inequalities.cuts.user, minlength=1).max(initial=0)),
        len(problem.demand),
        len(problem.rows),
        len(inequalities.right),
    )
    return _ULPS_PER_TERM + 4 * longest


def _times(price: Any, matrix: sparse.csr_array) -> np.ndarray:
    """Prices, one set or F sets of them, times a matrix."""
    return (price @ matrix).toarray() if sparse.issparse(price) else matrix.T @ price


def _dense(price: Any) -> np.ndarray:
    return price.toarray() if sparse.issparse(price) else price


def _of_user(cuts: Cuts, n_users: int) -> sparse.csr_array:
    """Which user an inequality speaks of, 0/1 [R, U]."""
    n = len(cuts)
    return sparse.csr_array((np.ones(n), cuts.user, np.arange(n + 1)), shape=(n, n_users))


def _priced(price: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Price times limit; an unpriced limit counts nothing, even an infinite one."""
    return np.where(price > 0, price * np.where(price > 0, limit, 0.0), 0.0)


def _positive(price: np.ndarray) -> np.ndarray:
    return np.maximum(np.nan_to_num(price, nan=0.0, posinf=0.0, neginf=0.0), 0.0)
