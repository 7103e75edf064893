"""Nemhauser-Wolsey inequalities, kept as their derivations: a user and a set of slots."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
from scipy import sparse

from jaxcampaign.influence.matrix import Influence


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Cuts:
    """R inequalities `q_u(x) <= h + G x`, each derived from one user u and one set T of slots:

        q_u(x) <= f_u(T) + sum_{s not in T} p_su prod_{t in T} (1 - p_tu) x_s,

    valid for every 0/1 vector x because the reach of a user is monotone and submodular
    (Nemhauser and Wolsey, 1981). The empty set gives the first inequality, `q_u <= sum p_su x_s`.

    Attributes:
      user: int32[R].
      start: int64[R + 1], slots of cut r are `slot[start[r]:start[r + 1]]`.
      slot: int32[E].
    """

    user: np.ndarray
    start: np.ndarray
    slot: np.ndarray

    def __len__(self) -> int:
        return len(self.user)

    @classmethod
    def first(cls, users: np.ndarray) -> Cuts:
        """The inequality of the empty set, for each of the given users."""
        none = np.zeros(0, np.int32)
        return cls(users.astype(np.int32), np.zeros(len(users) + 1, np.int64), none)

    @classmethod
    def at_selection(cls, influence: Influence, users: np.ndarray, mask: np.ndarray) -> Cuts:
        """For each given user, the inequality of the chosen slots that can influence that user."""
        rows = influence.by_user_matrix[users]
        chosen = np.asarray(mask, bool)[rows.indices]
        return cls(users.astype(np.int32), _starts(chosen, rows.indptr), rows.indices[chosen])

    def take(self, index: np.ndarray) -> Cuts:
        """The cuts at the given positions (or where a mask is true), in that order."""
        index = np.flatnonzero(index) if index.dtype == bool else index
        length = np.diff(self.start)[index]
        start = np.concatenate([[0], np.cumsum(length)])
        position = np.repeat(self.start[index] - start[:-1], length) + np.arange(start[-1])
        return Cuts(self.user[index], start, self.slot[position])

    @staticmethod
    def join(parts: list[Cuts]) -> Cuts:
        """All cuts of all parts, in order."""
        lengths = np.concatenate([np.diff(part.start) for part in parts])
        return Cuts(
            np.concatenate([part.user for part in parts]),
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            np.concatenate([part.slot for part in parts]),
        )

    def coefficients(self, influence: Influence) -> tuple[np.ndarray, sparse.csr_array]:
        """Derive every inequality from the influence data, in float64.

        Returns:
          h float64[R] and G float64[R, S].

        Work is O(sum over cuts of the number of slots of its user).
        """
        n_cuts, n_slots = len(self), influence.n_slots
        rows = influence.by_user_matrix[self.user]
        row = np.repeat(np.arange(n_cuts), np.diff(rows.indptr))
        in_set = _member(row * n_slots + rows.indices, self._keys(n_slots))
        with np.errstate(divide="ignore"):
            log_miss = np.log1p(-rows.data[in_set])
        log_rest = np.bincount(row[in_set], weights=log_miss, minlength=n_cuts)
        slope = np.where(in_set, 0.0, rows.data * np.exp(log_rest)[row])
        matrix = sparse.csr_array((slope, rows.indices, rows.indptr), shape=(n_cuts, n_slots))
        matrix.eliminate_zeros()
        return -np.expm1(log_rest), matrix

    def _keys(self, n_slots: int) -> np.ndarray:
        row = np.repeat(np.arange(len(self)), np.diff(self.start))
        return np.sort(row * n_slots + self.slot)


def _member(keys: np.ndarray, sorted_set: np.ndarray) -> np.ndarray:
    if not len(sorted_set):
        return np.zeros(len(keys), bool)
    found = np.searchsorted(sorted_set, keys)
    return sorted_set[np.minimum(found, len(sorted_set) - 1)] == keys


def _starts(kept: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(kept)])[indptr].astype(np.int64)
