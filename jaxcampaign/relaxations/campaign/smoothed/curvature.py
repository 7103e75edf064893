"""Second derivatives of a campaign's smoothed dual, and Newton steps that they make.

With w = y (1 - y) / gamma and a_j the coefficients of option j (money times the share it gets),

    H = sum_j w_j a_j a_j^T  -  sum over full groups of  s s^T / sum_j w_j,    s = sum_j w_j a_j,

the second term because a full group's choice shifts from one option to another; where money buys
effect, `sum_j y_j soft_j m_j m_j^T` more, m_j the money coefficients. With few prices H is a dense
matrix and a step one factorisation. With thousands most are often of one family whose rows have no
option and no group in common, such as limits of each influencer around those of each week: then
they are a diagonal, which is eliminated (Schur), and a small matrix is left. Where they are not, H
is never formed: its products with a vector are two passes over the unsettled options, and a step
takes a few dozen of them (conjugate gradients, scaled by the diagonal).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg, sparse
from scipy.sparse.linalg import LinearOperator, cg

# Prices up to which H is formed, and rows from which on those that are apart are eliminated where
# they are the most.
_DENSE, _APART = 1500, 200
# A step by conjugate gradients leaves so much of the slope, after so many products at most.
_RESIDUAL, _MOST_PRODUCTS = 1e-2, 100


@dataclass(frozen=True, eq=False)
class Term:
    """`weigh (A^T diag(w) A - S^T diag(1 / v) S)` over the sums of each row's group.

    Attributes:
      a: float64[n, M + 1], coefficients of the unsettled options.
      w: float64[n].
      s: float64[g, M + 1], sums of `w a` over each full group.
      v: float64[g], sums of w.
      weigh: how many each of them stands for.
    """

    a: sparse.csr_array
    w: np.ndarray
    s: sparse.csr_array
    v: np.ndarray
    weigh: float

    @classmethod
    def of(
        cls,
        group: np.ndarray,
        w: np.ndarray,
        row: np.ndarray,
        coefficient: np.ndarray,
        full: np.ndarray,
        n_rows: int,
        weigh: float,
    ) -> Term:
        """From n options.

        Args:
          group: int64[n].
          w: float64[n].
          row: int64[P, n], each option's row in each family, 0 for none.
          coefficient: float64[P, n].
          full: bool[n], whether the option's group is full.
          n_rows: M + 1.
          weigh: how many each option stands for.
        """
        a = _by_option(row, coefficient, n_rows)
        own = np.flatnonzero(full)
        numbers, at = np.unique(group[own], return_inverse=True)
        shape = (len(numbers), len(own))
        sums = sparse.csr_array((w[own], (at, np.arange(len(own)))), shape=shape)
        v = np.bincount(at, weights=w[own], minlength=len(numbers))
        return cls(a, w, sparse.csr_array(sums @ a[own]), v, weigh)

    @classmethod
    def plain(
        cls, w: np.ndarray, row: np.ndarray, coefficient: np.ndarray, n_rows: int, weigh: float
    ) -> Term:
        """The same without groups."""
        no = np.zeros(len(w), bool)
        return cls.of(np.zeros(len(w), np.int64), w, row, coefficient, no, n_rows, weigh)

    def product(self, x: np.ndarray) -> np.ndarray:
        """The matrix times x, float64[M + 1]."""
        first = self.a.T @ (self.w * (self.a @ x))
        return self.weigh * (first - self.s.T @ ((self.s @ x) / self.v))

    def diagonal(self) -> np.ndarray:
        """Its diagonal, float64[M + 1]."""
        first = self.a.multiply(self.a).T @ self.w
        return self.weigh * (first - self.s.multiply(self.s).T @ (1 / self.v))

    def matrix(self) -> sparse.csr_array:
        """It itself, float64[M + 1, M + 1]."""
        first = self.a.T @ (self.a * self.w[:, None])
        return sparse.csr_array(self.weigh * (first - self.s.T @ (self.s * (1 / self.v)[:, None])))


class Curvature:
    """H over the prices of limits.

    Args:
      terms: its parts.
      shared: takes shares of families' totals off, float64[M] or [M, n]; symmetric.
      row: int64[K], row of each limit.
      sign: float64[K], 1 for upper limits and -1 for lower ones.
      n_rows: M.
      apart: rows of a family that may have nothing in common; none where shares are taken off.
    """

    def __init__(
        self,
        terms: list[Term],
        shared: Callable[[np.ndarray], np.ndarray],
        row: np.ndarray,
        sign: np.ndarray,
        n_rows: int,
        apart: slice = slice(0, 0),
    ):
        self._terms, self._shared, self._row, self._sign = terms, shared, row, sign
        self._n_rows = n_rows
        self._matrix: np.ndarray | None = None
        self._bordered: Bordered | None = None
        if _pays(terms, row, apart):
            self._bordered = Bordered.of(_whole(terms, n_rows), row, sign, apart)
            self.diagonal = self._bordered.diagonal
        elif len(row) <= _DENSE:
            matrix = shared(shared(_whole(terms, n_rows).toarray()).T)
            self._matrix = sign[:, None] * matrix[np.ix_(row, row)] * sign
            self.diagonal = np.diag(self._matrix)
        else:
            # Shares change every entry a little, and a scale need not be exact.
            own = sum((term.diagonal() for term in terms), np.zeros(n_rows + 1))
            self.diagonal = np.maximum(own[1:][row], 0.0)

    @property
    def is_bordered(self) -> bool:
        """Rows that have nothing in common are eliminated."""
        return self._bordered is not None

    def solved(
        self, slope: np.ndarray, free: np.ndarray, damping: float, radius: float
    ) -> np.ndarray:
        """The x over the free prices, int64[k], with

            (H + damping diag(H) + diag(|slope|) / radius) x = slope.

        Where all options of a row are settled there is no curvature to divide by: the last term
        keeps such a price within about the radius, and vanishes with the slope.
        """
        floor = 1e-9 * max(self.diagonal.max(initial=0.0), 1e-9)
        extra = damping * self.diagonal[free] + np.abs(slope) / radius + floor
        if self._bordered is not None:
            return self._bordered.solved(slope, free, extra)
        if self._matrix is None:
            return self._iterated(slope, free, extra)
        return _solved(self._matrix[np.ix_(free, free)], extra, slope)

    def _iterated(self, slope: np.ndarray, free: np.ndarray, extra: np.ndarray) -> np.ndarray:
        row, sign = self._row[free], self._sign[free]
        scale = self.diagonal[free] + extra

        def product(x: np.ndarray) -> np.ndarray:
            at = np.bincount(row, weights=sign * x.ravel(), minlength=self._n_rows)
            of_row = np.concatenate([[0.0], self._shared(at)])
            total = np.sum([term.product(of_row) for term in self._terms], axis=0)
            return sign * self._shared(total[1:])[row] + extra * x.ravel()

        shape = (len(free), len(free))
        found, _ = cg(
            LinearOperator(shape, matvec=product, dtype=np.float64),
            slope,
            rtol=_RESIDUAL,
            maxiter=_MOST_PRODUCTS,
            M=LinearOperator(shape, matvec=lambda x: x.ravel() / scale, dtype=np.float64),
        )
        return found


@dataclass(frozen=True, eq=False)
class Bordered:
    """H where the rows of one family have nothing in common: a diagonal and a border.

    With D the diagonal, B its rows in the border's columns and C the rest, a step takes the small
    matrix `C - B^T D^-1 B`.

    Attributes:
      row: int64[K], row of each limit: among those apart, or else among the others.
      inside: bool[K], whether it is apart.
      sign: float64[K].
      apart: float64[n], D.
      border: float64[n, m], B.
      rest: float64[m, m], C.
      diagonal: float64[K], of H.
    """

    row: np.ndarray
    inside: np.ndarray
    sign: np.ndarray
    apart: np.ndarray
    border: sparse.csr_array
    rest: np.ndarray
    diagonal: np.ndarray

    @classmethod
    def of(
        cls, whole: sparse.csr_array, row: np.ndarray, sign: np.ndarray, apart: slice
    ) -> Bordered:
        """From H over rows, float64[M, M], of which those apart have a limit each."""
        n_rows = whole.shape[0]
        others = np.delete(np.arange(n_rows), apart)
        place = np.arange(n_rows) - apart.start
        place[others] = np.arange(len(others))
        diagonal = whole.diagonal()
        return cls(
            row=place[row],
            inside=(row >= apart.start) & (row < apart.stop),
            sign=sign,
            apart=diagonal[apart],
            border=sparse.csr_array(whole[apart][:, others]),
            rest=whole[others][:, others].toarray(),
            diagonal=diagonal[row],
        )

    def solved(self, slope: np.ndarray, free: np.ndarray, extra: np.ndarray) -> np.ndarray:
        """The x over the free prices, int64[k], with `(H + diag(extra)) x = slope`."""
        inside, row, sign = self.inside[free], self.row[free], self.sign[free]
        signed, at = sign * slope, row[~inside]
        border = self.border[row[inside]]
        inverse = 1.0 / (self.apart[row[inside]] + extra[inside])
        small = self.rest - (border.T @ (border * inverse[:, None])).toarray()
        gone = border.T @ (inverse * signed[inside])
        found = np.zeros(len(free))
        found[~inside] = _solved(small[np.ix_(at, at)], extra[~inside], signed[~inside] - gone[at])
        price = np.bincount(at, weights=found[~inside], minlength=len(small))
        found[inside] = inverse * (signed[inside] - border @ price)
        return sign * found


def _pays(terms: list[Term], row: np.ndarray, apart: slice) -> bool:
    """Whether rows are apart, each with one limit, and eliminating them leaves far less."""
    inside = (row >= apart.start) & (row < apart.stop)
    n_inside, n_others = inside.sum(), (~inside).sum()
    if n_inside < _APART or n_others > min(n_inside, _DENSE):
        return False
    if len(np.unique(row[inside])) < n_inside:
        return False
    # An option has one row of a family, so it is full groups that rows meet in.
    return all(_touched(term.s, apart).max(initial=0) <= 1 for term in terms)


def _touched(sums: sparse.csr_array, apart: slice) -> np.ndarray:
    """How many rows of a family each group has a sum in, int64[g]."""
    group = np.repeat(np.arange(sums.shape[0]), np.diff(sums.indptr))
    own = (sums.indices > apart.start) & (sums.indices <= apart.stop)  # the first column is no row
    return np.bincount(group[own], minlength=sums.shape[0])


def _whole(terms: list[Term], n_rows: int) -> sparse.csr_array:
    """H over rows before shares are taken off, float64[M, M]."""
    none = sparse.csr_array((n_rows + 1, n_rows + 1))
    return sum((term.matrix() for term in terms), none)[1:, 1:]


def _solved(matrix: np.ndarray, extra: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """The x with `(matrix + diag(extra)) x = slope`; a scaled slope where rounding made it none."""
    try:
        return linalg.cho_solve(linalg.cho_factor(matrix + np.diag(extra)), slope)
    except linalg.LinAlgError:
        return slope / (np.maximum(np.diag(matrix), 0.0) + extra)


def _by_option(row: np.ndarray, coefficient: np.ndarray, n_rows: int) -> sparse.csr_array:
    """Coefficients [P, n] as one sparse row for each option, float64[n, rows]."""
    n_families, n = row.shape
    # Row by row they lie as they must; a family that an option is not in counts 0 at row 0.
    start = n_families * np.arange(n + 1)
    made = (coefficient.T.ravel(), row.T.ravel(), start)
    return sparse.csr_array(made, shape=(n, n_rows))
