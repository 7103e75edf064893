"""The proof behind a bound: Lagrangian multipliers, valid whatever non-negative values they take.

For a slot problem in its minimised form (see `SlotProblem`) and inequalities
`q_u(x) <= h_r + G_r x` (see `Cuts`), weak duality gives, for any mu, lambda, nu >= 0,

    mu . k - lambda . h - nu_up . upper + nu_lo . lower
      + sum_s min(0, c_s + (A^T (nu_up - nu_lo))_s - (G^T lambda)_s)
      + sum_u min(0, sum_{r of u} lambda_r - v_u - sum_j mu_j a_ju)   <=   optimum.

It is one pass over the data in float64, so anybody can recheck it, and no solver is trusted.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
from scipy import sparse

from jaxcampaign.problems.cuts import Cuts
from jaxcampaign.problems.slots import FEASIBILITY_TOLERANCE, SlotProblem

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
      cut: float64[R], lambda, price of each inequality.
      cuts: the R inequalities.
    """

    demand: np.ndarray
    row_upper: np.ndarray
    row_lower: np.ndarray
    cut: np.ndarray
    cuts: Cuts

    def clipped(self) -> Multipliers:
        """Negative or undefined prices to 0, and inequalities without a price left out."""
        priced = _positive(self.cut) > 0
        return Multipliers(
            _positive(self.demand),
            _positive(self.row_upper),
            _positive(self.row_lower),
            _positive(self.cut)[priced],
            self.cuts.take(priced),
        )


def lagrangian_bound(problem: SlotProblem, multipliers: Multipliers) -> float:
    """The bound that multipliers prove, in the problem's own sense, float64.

    A lower bound on the least cost, or an upper bound on the most influence. It holds for every
    selection that is feasible to `FEASIBILITY_TOLERANCE`, and it is rounded outward by more than
    the rounding error of its own evaluation.

    Raises:
      ValueError: a multiplier is negative, not finite, or too large to evaluate: then nothing is
        proven.
    """
    m = multipliers
    parts = [m.demand, m.row_upper, m.row_lower, m.cut]
    if not all(np.isfinite(part).all() and (part >= 0).all() for part in parts):
        raise ValueError("multipliers must be finite and at least 0")
    influence, rows = problem.influence, problem.rows
    lower, upper = rows.tolerated(FEASIBILITY_TOLERANCE)
    intercept, slope = m.cuts.coefficients(influence)

    with np.errstate(over="ignore", invalid="ignore"):
        slot_terms = [problem.item_cost, -(slope.T @ m.cut)]
        if len(rows):
            slot_terms += [rows.matrix.T @ m.row_upper, -(rows.matrix.T @ m.row_lower)]
        user_terms = [
            np.bincount(m.cuts.user, weights=m.cut, minlength=influence.n_users),
            -problem.user_value,
            -(problem.objective.audience.T @ m.demand),
        ]
        constants = [
            m.demand * problem.required,
            -m.cut * intercept,
            -_priced(m.row_upper, upper),
            _priced(m.row_lower, lower),
        ]
        value = sum(float(np.sum(part)) for part in constants)
        value += float(np.minimum(sum(slot_terms), 0).sum() + np.minimum(sum(user_terms), 0).sum())
        magnitude = sum(float(np.abs(t).sum()) for t in [*constants, *slot_terms, *user_terms])
    value -= _ulps(problem, m.cuts, slope) * np.finfo(np.float64).eps * magnitude
    if not np.isfinite(value):
        raise ValueError("multipliers are too large to evaluate")
    return float(value if problem.sense == "min" else -value)


def _ulps(problem: SlotProblem, cuts: Cuts, slope: sparse.csr_array) -> float:
    """Rounding error of the bound at most, as a share of the sum of magnitudes.

    A sum of n terms of one sign, added one by one, errs by less than n units in the last place
    (Higham, 2002); n is the longest sum that the evaluation contains.
    """
    longest = max(
        int(np.bincount(slope.indices, minlength=1).max()),
        int(np.diff(problem.influence.by_user_matrix.indptr).max(initial=0)),
        int(np.bincount(cuts.user, minlength=1).max(initial=0)),
        len(problem.demand),
        len(problem.rows),
    )
    return _ULPS_PER_TERM + 4 * longest


def _priced(price: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Price times limit; an unpriced limit counts nothing, even an infinite one."""
    return np.where(price > 0, price * np.where(price > 0, limit, 0.0), 0.0)


def _positive(price: np.ndarray) -> np.ndarray:
    return np.maximum(np.nan_to_num(price, nan=0.0, posinf=0.0, neginf=0.0), 0.0)
