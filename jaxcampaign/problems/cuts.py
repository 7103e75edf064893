"""Valid inequalities for the reach of one user, kept as their derivations, never as coefficients.

For a user u with slots of probability p_s, let f(A) = 1 - prod_{s in A} (1 - p_s) and q(A) =
1 - f(A). An inequality is derived from a set T of slots, the members, with slopes pi_s >= 0:

    q_u(x) <= h + sum_{s in T} pi_s x_s + theta sum_{s not in T} p_s x_s,
    h     = max_{A in T} f(A) - pi(A),
    theta = the least number with  h + pi(A) - f(A) + theta t >= q(A) m(t)  for all A in T, t >= 0,

where m(t) = min(t, 1 - exp(-rho t)), rho = max_{s not in T} -log(1 - p_s) / p_s, bounds what
outsiders B with p(B) = t add: f(A + B) = f(A) + q(A) f(B), and f(B) <= m(p(B)). So it holds for
every 0/1 vector x, whatever the slopes are. With all slopes 0 it is the inequality of Nemhauser and
Wolsey (1981), h = f(T) and theta = q(T); with the right slopes a facet of the hull of the user's
subsets (compare Ahmed and Atamturk, 2011).
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
from scipy import sparse

from jaxcampaign.influence.matrix import Influence

MOST_SLOPED = 12
"""Most members of an inequality with slopes: all their subsets are looked at."""

# Subsets times inequalities in one block of a derivation.
_BLOCK = 1 << 22
_BISECTIONS = 32
# Covers the rounding of h and theta, which are maxima of sums of at most a dozen numbers below 2.
_OUTWARD = 1e-13
# log(1 - p) and rho of a certain exposure: as good as infinite, and safe to multiply by 0.
LOG_ZERO = -800.0
_STEEPEST = 800.0


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Cuts:
    """R inequalities `q_u(x) <= h + G x`, each derived from a user and a set of slots.

    Attributes:
      user: int32[R].
      start: int64[R + 1], members of cut r are `slot[start[r]:start[r + 1]]`.
      slot: int32[E].
      slope: float64[E], pi of each member, at least 0.
    """

    user: np.ndarray
    start: np.ndarray
    slot: np.ndarray
    slope: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    @classmethod
    def first(cls, users: np.ndarray) -> Cuts:
        """The inequality of the empty set, `q_u <= sum p_su x_s`, for each of the given users."""
        start = np.zeros(len(users) + 1, np.int64)
        return cls(users.astype(np.int32), start, np.zeros(0, np.int32), np.zeros(0))

    @classmethod
    def at_selection(cls, influence: Influence, users: np.ndarray, mask: np.ndarray) -> Cuts:
        """For each given user, the inequality of the chosen slots that can influence that user."""
        rows = influence.by_user_matrix[users]
        chosen = np.asarray(mask, bool)[rows.indices]
        slot = rows.indices[chosen]
        start = _starts(chosen, rows.indptr)
        return cls(users.astype(np.int32), start, slot, np.zeros(len(slot)))

    def take(self, index: np.ndarray) -> Cuts:
        """The cuts at the given positions (or where a mask is true), in that order."""
        index = np.flatnonzero(index) if index.dtype == bool else index
        length = np.diff(self.start)[index]
        start = np.concatenate([[0], np.cumsum(length)])
        position = np.repeat(self.start[index] - start[:-1], length) + np.arange(start[-1])
        return Cuts(self.user[index], start, self.slot[position], self.slope[position])

    @staticmethod
    def join(parts: list[Cuts]) -> Cuts:
        """All cuts of all parts, in order."""
        lengths = np.concatenate([np.diff(part.start) for part in parts])
        return Cuts(
            np.concatenate([part.user for part in parts]),
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            np.concatenate([part.slot for part in parts]),
            np.concatenate([part.slope for part in parts]),
        )

    @property
    def sloped(self) -> np.ndarray:
        """Whether any member has a slope, bool[R]."""
        steep = np.concatenate([[0], np.cumsum(self.slope > 0)])
        return steep[self.start[1:]] > steep[self.start[:-1]]

    def coefficients(self, influence: Influence) -> tuple[np.ndarray, sparse.csr_array]:
        """Derive every inequality from the influence data, in float64.

        Returns:
          h float64[R] and G float64[R, S].

        Raises:
          ValueError: an inequality with slopes has more than `MOST_SLOPED` members, or a slope is
            negative or not finite.

        Work is O(sum over cuts of the number of slots of its user), and 2^members for one with
        slopes.
        """
        if not (np.isfinite(self.slope).all() and (self.slope >= 0).all()):
            raise ValueError("slopes of inequalities must be finite and at least 0")
        if not len(self.slot):
            # The inequalities of the empty set are the data themselves.
            return np.zeros(len(self)), influence.by_user_matrix[self.user]
        n_cuts, n_slots = len(self), influence.n_slots
        rows = influence.by_user_matrix[self.user]
        row = np.repeat(np.arange(n_cuts), np.diff(rows.indptr))
        member, at = self._members(rows.indices, row, n_slots)
        # p = 1 gives -inf, and a rest of exactly 0.
        with np.errstate(divide="ignore"):
            log_miss = np.log1p(-rows.data)
        log_rest = np.bincount(row[member], weights=log_miss[member], minlength=n_cuts)
        # Logarithms of n members, added one by one, err by n units in their last place.
        ulps = (8 + 2 * np.diff(self.start)) * np.finfo(np.float64).eps
        size = np.minimum(np.abs(log_rest), -LOG_ZERO)
        intercept = -np.expm1(log_rest) * (1 + ulps)
        outside = np.exp(log_rest) * (1 + ulps * (1 + size))
        sloped = np.flatnonzero(self.sloped)
        if len(sloped):
            steepness = np.where(member, 1.0, -log_miss / rows.data)
            steepest = np.maximum.reduceat(steepness, rows.indptr[:-1])[sloped]
            probability = np.zeros(len(self.slot))
            probability[at[member]] = rows.data[member]
            intercept[sloped], outside[sloped] = self._derive(sloped, probability, steepest)
        slope = outside[row] * rows.data
        slope[member] = self.slope[at[member]]
        matrix = sparse.csr_array((slope, rows.indices, rows.indptr), shape=(n_cuts, n_slots))
        matrix.eliminate_zeros()
        return intercept, matrix

    def _members(
        self, slots: np.ndarray, row: np.ndarray, n_slots: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Which of the given slots of users are members, and where they stand in `slot`."""
        keys = np.repeat(np.arange(len(self)), np.diff(self.start)) * n_slots + self.slot
        order = np.argsort(keys, kind="stable")
        wanted = row * n_slots + slots
        found = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
        at = order[found]
        return keys[at] == wanted, at

    def _derive(
        self, index: np.ndarray, probability: np.ndarray, steepest: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """H and theta of the inequalities with slopes, float64[len(index)] each."""
        size = np.diff(self.start)[index]
        if size.max() > MOST_SLOPED:
            raise ValueError(f"an inequality with slopes has more than {MOST_SLOPED} members")
        intercept, outside = np.zeros(len(index)), np.zeros(len(index))
        for n_members in np.unique(size):
            of_size = np.flatnonzero(size == n_members)
            for block in np.array_split(of_size, len(of_size) * 2**n_members // _BLOCK + 1):
                place = self.start[index[block], None] + np.arange(n_members)
                p, pi = probability[place], self.slope[place]
                intercept[block], outside[block] = derive_sloped(p, pi, steepest[block])
        return intercept, outside


def subset_table(n_members: int) -> np.ndarray:
    """All subsets of a set as rows, float64[2^n, n]."""
    return (np.arange(2**n_members)[:, None] >> np.arange(n_members) & 1).astype(np.float64)


def derive_sloped(
    p: np.ndarray, pi: np.ndarray, steepest: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """H and theta of inequalities whose members have slopes.

    Args:
      p: float64[n, m], probability of each member.
      pi: float64[n, m], slope of each member.
      steepest: float64[n], rho of the slots outside, at least 1, or infinite.

    Returns:
      float64[n] each, both rounded up.
    """
    subsets = subset_table(p.shape[1])
    with np.errstate(divide="ignore"):
        log_miss = np.maximum(np.log1p(-p), LOG_ZERO)
    miss = np.where((p >= 1) @ subsets.T > 0, 0.0, np.exp(log_miss @ subsets.T))
    total = pi @ subsets.T
    intercept = np.maximum((1 - miss - total).max(axis=1), 0.0) + _OUTWARD
    slack = intercept[:, None] + total - (1 - miss)
    # m(t) <= min(t, 1) gives an upper end for theta.
    low, high = np.zeros(len(p)), np.maximum((miss - slack).max(axis=1), 0.0)
    rho = np.minimum(steepest, _STEEPEST)[:, None]
    knee = _knee(rho)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        theta = np.maximum(middle, 1e-300)[:, None]
        # The most of q m(t) - theta t: where its derivative vanishes if that is beyond the knee.
        peak = np.log(np.maximum(miss * rho / theta, 1e-300)) / rho
        beyond = miss * -np.expm1(-rho * np.maximum(peak, 0.0)) - theta * peak
        most = np.where(peak >= knee, beyond, np.maximum(miss - theta, 0.0) * knee)
        enough = (most <= slack).all(axis=1)
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return intercept, high * (1 + _OUTWARD) + _OUTWARD


def _knee(rho: np.ndarray) -> np.ndarray:
    """At least the t where t = 1 - exp(-rho t): the iteration comes down to it."""
    t = np.ones_like(rho)
    for _ in range(_BISECTIONS):
        t = -np.expm1(-rho * t)
    return t


def _starts(kept: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(kept)])[indptr].astype(np.int64)
