"""Inequalities of users in the form that first-order methods read: a multiple and corrections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from jaxcampaign.influence.matrix import Influence
from jaxcampaign.problems import Cuts


@dataclass(frozen=True, eq=False)
class Terms:
    """Inequalities `q_u(x) <= h + theta (P x)_u + E x`; P has users as rows.

    An inequality has the coefficients of the empty set's, `q_u <= (P x)_u`, times theta, but for
    its members (see `Cuts`). So E has one entry for each member, where G of `Cuts.coefficients`
    has one for each slot of the user.

    Attributes:
      cuts: the R inequalities as derivations.
      intercept: float64[R], h.
      theta: float64[R].
      correction: float64[R, S], E.
    """

    cuts: Cuts
    intercept: np.ndarray
    theta: np.ndarray
    correction: sparse.csr_array

    def __len__(self) -> int:
        return len(self.cuts)

    @classmethod
    def of(cls, influence: Influence, cuts: Cuts) -> Terms:
        """Coefficients of inequalities; O(members) where members have no slopes."""
        n_cuts, shape = len(cuts), (len(cuts), influence.n_slots)
        row = np.repeat(np.arange(n_cuts), np.diff(cuts.start))
        prob = np.zeros(len(row))
        if len(row):
            prob = np.asarray(influence.matrix[cuts.slot, cuts.user[row]]).ravel()
        with np.errstate(divide="ignore"):
            log_rest = np.bincount(row, weights=np.log1p(-prob), minlength=n_cuts)
        intercept, theta = -np.expm1(log_rest), np.exp(log_rest)
        correction = sparse.csr_array((-theta[row] * prob, cuts.slot, cuts.start), shape=shape)
        sloped = np.flatnonzero(cuts.sloped)
        if len(sloped):
            intercept[sloped], full = cuts.take(sloped).coefficients(influence)
            theta[sloped] = _outside(influence, cuts.take(sloped), full)
            # A member has its own slope instead of theta p.
            correction.data = cuts.slope - theta[row] * prob
        return cls(cuts, intercept, theta, correction)

    def limits(self, x: np.ndarray, covered: np.ndarray) -> np.ndarray:
        """Right-hand sides at a point x, float64[R]; `covered` is P x, float64[U]."""
        return self.intercept + self.theta * covered[self.cuts.user] + self.correction @ x

    def per_user(self, weights: np.ndarray, n_users: int) -> np.ndarray:
        """Sum of the weights of each user's inequalities, float64[U]."""
        return np.bincount(self.cuts.user, weights=weights, minlength=n_users)


def _outside(influence: Influence, cuts: Cuts, coefficients: sparse.csr_array) -> np.ndarray:
    """What slots outside the set have times p, theta, float64[R]; 0 where there are none."""
    shape = coefficients.shape
    members = sparse.csr_array((np.ones(len(cuts.slot)), cuts.slot, cuts.start), shape=shape)
    outside = (coefficients - coefficients.multiply(members)).tocoo()
    used = np.flatnonzero(outside.data)
    row, slot = outside.row[used], outside.col[used]
    theta = np.zeros(shape[0])
    if len(used):
        # Equal but for rounding: the largest keeps the inequality on the safe side.
        prob = np.asarray(influence.matrix[slot, cuts.user[row]]).ravel()
        np.maximum.at(theta, row, outside.data[used] / prob)
    return theta
