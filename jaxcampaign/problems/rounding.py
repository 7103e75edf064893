"""Valid inequalities over slots that use that slots are whole, kept as their derivations.

Demands and reach inequalities, priced by mu and lambda >= 0, add up to a row over slots alone: with
`q_u <= h_r + G_r x` and Lambda_u the price that user u's inequalities carry together,

    a . x >= b,   a = G^T lambda,   b = mu . k - lambda . h - sum_u max(0, (A^T mu)_u - Lambda_u).

As x is binary, a may be capped at b. Slots of a set C are complemented, the row is divided by
delta > 0, and rounded (mixed-integer rounding, Nemhauser and Wolsey, 1990; Marchand and Wolsey,
2001): with alpha, beta the coefficients then, and f = beta - floor(beta),

    sum_s (floor(alpha_s) + min(1, frac(alpha_s) / f)) z_s >= ceil(beta).
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
from scipy import sparse

from jaxcampaign.problems.cuts import Cuts
from jaxcampaign.problems.slots import SlotProblem

_EPS = float(np.finfo(np.float64).eps)
LEAST_FRACTION = 0.02
"""Rows whose right-hand side has a smaller fraction are capped only, and not rounded."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class RoundedRows:
    """K inequalities `D x >= e`, each derived from priced demands and reach inequalities.

    Attributes:
      demand_price: float64[K, L] sparse, mu.
      cut_price: float64[K, R] sparse, lambda.
      cuts: the R reach inequalities.
      complement: bool[K, S] sparse, C.
      divisor: float64[K], delta.
    """

    demand_price: sparse.csr_array
    cut_price: sparse.csr_array
    cuts: Cuts
    complement: sparse.csr_array
    divisor: np.ndarray

    def __len__(self) -> int:
        return len(self.divisor)

    @classmethod
    def none(cls, problem: SlotProblem) -> RoundedRows:
        """No inequality."""
        return cls(
            sparse.csr_array((0, len(problem.demand))),
            sparse.csr_array((0, 0)),
            Cuts.first(np.zeros(0, np.int32)),
            sparse.csr_array((0, problem.n_items)),
            np.zeros(0),
        )

    def take(self, index: np.ndarray) -> RoundedRows:
        """The inequalities at the given positions, or where a mask is true, and what they need."""
        index = np.flatnonzero(index) if index.dtype == bool else index
        price = self.cut_price[index]
        used = np.unique(price.indices)
        return RoundedRows(
            self.demand_price[index],
            price[:, used],
            self.cuts.take(used),
            self.complement[index],
            self.divisor[index],
        )

    @staticmethod
    def join(parts: list[RoundedRows]) -> RoundedRows:
        """All inequalities of all parts, in order."""
        return RoundedRows(
            sparse.vstack([part.demand_price for part in parts], format="csr"),
            sparse.block_diag([part.cut_price for part in parts], format="csr"),
            Cuts.join([part.cuts for part in parts]),
            sparse.vstack([part.complement for part in parts], format="csr"),
            np.concatenate([part.divisor for part in parts]),
        )

    def coefficients(self, problem: SlotProblem) -> tuple[np.ndarray, sparse.csr_array]:
        """Derive every inequality, in float64.

        Returns:
          e float64[K] and D float64[K, S].

        Raises:
          ValueError: a price is negative or not finite, or a divisor is not positive.
        """
        for price in (self.demand_price.data, self.cut_price.data):
            if not (np.isfinite(price).all() and (price >= 0).all()):
                raise ValueError("prices of rounded rows must be finite and at least 0")
        if not (np.isfinite(self.divisor).all() and (self.divisor > 0).all()):
            raise ValueError("divisors of rounded rows must be finite and positive")
        b, a = base_rows(problem, self.demand_price, self.cut_price, self.cuts)
        return round_rows(b, a, self.complement, self.divisor)


def base_rows(
    problem: SlotProblem,
    demand_price: sparse.csr_array,
    cut_price: sparse.csr_array,
    cuts: Cuts,
) -> tuple[np.ndarray, sparse.csr_array]:
    """The rows `a . x >= b` that prices add up to, capped: b float64[K], a float64[K, S]."""
    intercept, slope = cuts.coefficients(problem.influence)
    return add_up(problem, demand_price, cut_price, cuts.user, intercept, slope)


def add_up(
    problem: SlotProblem,
    demand_price: sparse.csr_array,
    cut_price: sparse.csr_array,
    user: np.ndarray,
    intercept: np.ndarray,
    slope: sparse.csr_array,
) -> tuple[np.ndarray, sparse.csr_array]:
    """`base_rows` from inequalities whose coefficients are known."""
    n = len(user)
    of_user = sparse.csr_array((np.ones(n), user, np.arange(n + 1)), shape=(n, _n_users(problem)))
    audience = problem.objective.audience
    asked = (demand_price @ audience - cut_price @ of_user).tocsr()
    asked.data = np.maximum(asked.data, 0.0)
    demanded, spent = demand_price @ problem.required, cut_price @ intercept
    unpriced = np.asarray(asked.sum(axis=1)).ravel()
    # What cancels in `asked` counts with its full size.
    size = demanded + spent + demand_price @ np.asarray(audience.sum(axis=1)).ravel()
    size += np.asarray(cut_price.sum(axis=1)).ravel()
    terms = sum(np.diff(part.indptr) for part in (demand_price, cut_price, asked))
    share = _rounding_share(terms)
    b = demanded - spent - unpriced - share * size
    a = (cut_price @ slope).tocsr()
    row = np.repeat(np.arange(len(b)), np.diff(a.indptr))
    a.data = a.data * (1 + share[row])
    a.data = np.where(b[row] > 0, np.minimum(a.data, b[row]), a.data)
    return b, a


def round_rows(
    b: np.ndarray, a: sparse.csr_array, complement: sparse.csr_array, divisor: np.ndarray
) -> tuple[np.ndarray, sparse.csr_array]:
    """Complement, divide and round rows `a . x >= b`: e float64[K], D float64[K, S].

    Every step errs outward: a smaller right-hand side and larger coefficients of what is at least
    0 leave a row valid, and the rounded row depends on both without jumps.
    """
    n_rows = len(b)
    row = np.repeat(np.arange(n_rows), np.diff(a.indptr))
    share = _rounding_share(np.diff(a.indptr))
    flipped = _flagged(a, complement, row)
    sign = np.where(flipped, -1.0, 1.0)
    complemented = np.bincount(row[flipped], a.data[flipped], minlength=n_rows)
    beta = (b - complemented - share * (np.abs(b) + complemented)) / divisor
    f, right = rounding_of(beta)
    alpha = sign * a.data / divisor[row]
    alpha += share[row] * np.abs(alpha)
    whole = np.floor(alpha)
    coefficient = whole + np.minimum((alpha - whole) / f[row] * (1 + 8 * _EPS), 1.0)
    right = right - np.bincount(row[flipped], coefficient[flipped], minlength=n_rows)
    total = np.bincount(row, np.abs(coefficient), minlength=n_rows)
    right = right - share * (np.abs(right) + total)
    matrix = sparse.csr_array((sign * coefficient, a.indices, a.indptr), shape=a.shape)
    matrix.eliminate_zeros()
    return right, matrix


def _n_users(problem: SlotProblem) -> int:
    return problem.influence.n_users


def _rounding_share(terms: np.ndarray) -> np.ndarray:
    """What a sum of so many terms, added one by one, errs by at most, as a share of its size."""
    return (64 + 4 * terms) * _EPS


def rounding_of(beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The fraction f and the rounded right-hand side of rows with right-hand side beta.

    Where the fraction is next to nothing, f = 1 and beta leave the (capped) row as it is.
    """
    f = beta - np.floor(beta)
    useful = f >= LEAST_FRACTION
    return np.where(useful, f, 1.0), np.where(useful, np.ceil(beta), beta)


def _flagged(a: sparse.csr_array, flags: sparse.csr_array, row: np.ndarray) -> np.ndarray:
    """Whether each stored entry of a is set in flags."""
    width = a.shape[1]
    keys = np.sort(np.repeat(np.arange(a.shape[0]), np.diff(flags.indptr)) * width + flags.indices)
    if not len(keys):
        return np.zeros(len(a.indices), bool)
    wanted = row * width + a.indices
    found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return keys[found] == wanted
