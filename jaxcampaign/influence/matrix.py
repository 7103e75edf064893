"""The sparse slot-user influence matrix, which every billboard problem is built on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import jax
import numpy as np
import pandas as pd
from scipy import sparse

from jaxcampaign.errors import InputError
from jaxcampaign.influence.layout import Layout, build_layout
from jaxcampaign.tables import validate

_SLOT_COLUMNS = ["slot_id", "board_id", "start_min", "end_min", "cost"]


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, eq=False)
class Influence:
    """Chance that a slot influences a user, `Pr(s, u)`, kept sparse in both orientations.

    Slots that influence nobody are dropped, as are users whom no slot reaches; ids are kept. Slots
    and users are ordered by id, so that the order of input rows never changes an answer.

    As a pytree its leaves are the two device layouts; the host tables ride along as static data
    that is compared by identity.

    Attributes:
      matrix: float64[S, U] on the host, rows are slots: the numbers that certificates use.
      slots: the canonical table of slots (slot_id, board_id, start_min, end_min, cost), S rows.
      user_ids: str[U].

    Source: Ali, Islam, Banerjee, arXiv 2510.09050, section 2.
    """

    matrix: sparse.csr_array
    slots: pd.DataFrame
    user_ids: np.ndarray

    @property
    def n_slots(self) -> int:
        """Number of slots, S."""
        return self.matrix.shape[0]

    @property
    def n_users(self) -> int:
        """Number of users, U."""
        return self.matrix.shape[1]

    @property
    def n_pairs(self) -> int:
        """Number of stored (slot, user) pairs."""
        return self.matrix.nnz

    @property
    def slot_ids(self) -> np.ndarray:
        """Slot ids, str[S]."""
        return self.slots["slot_id"].to_numpy(dtype=object)

    @cached_property
    def by_user_matrix(self) -> sparse.csr_array:
        """The same numbers with users as rows, float64[U, S]."""
        transposed = self.matrix.T.tocsr()
        transposed.sort_indices()
        return transposed

    @cached_property
    def by_slot(self) -> Layout:
        """Device layout whose rows are slots."""
        m = self.matrix
        return build_layout(m.indptr, m.indices, m.data, n_columns=self.n_users)

    @cached_property
    def by_user(self) -> Layout:
        """Device layout whose rows are users."""
        m = self.by_user_matrix
        return build_layout(m.indptr, m.indices, m.data, n_columns=self.n_slots)

    @cached_property
    def singleton(self) -> np.ndarray:
        """Influence of each slot on its own, `I({s})`, float64[S]."""
        return np.asarray(self.matrix.sum(axis=1)).ravel()

    @classmethod
    def from_arrays(
        cls, slot: np.ndarray, user: np.ndarray, prob: np.ndarray, slots: pd.DataFrame, user_ids
    ) -> Influence:
        """Assemble from index arrays, each pair once.

        Args:
          slot: int[E], row of `slots`.
          user: int[E], position in `user_ids`.
          prob: float[E] in [0, 1].
          slots: canonical slot table.
          user_ids: str[U].

        Raises:
          InputError: a probability outside [0, 1], or a pair that stands more than once.
        """
        user_ids = np.asarray(user_ids, dtype=object)
        slot, user, prob = np.asarray(slot), np.asarray(user), np.asarray(prob)
        bad = np.flatnonzero(~((prob >= 0) & (prob <= 1)))
        if len(bad):
            raise InputError(
                "a probability is outside [0, 1]",
                table="pairs",
                column="prob",
                rows=bad.tolist(),
                value=float(prob[bad[0]]),
                remedy="correct it, or clip",
            )
        keep = prob > 0
        if not keep.all():
            slot, user, prob = slot[keep], user[keep], prob[keep]
        slot_ids = slots["slot_id"].to_numpy(dtype=object)
        rows = _by_id(slot_ids, np.bincount(slot, minlength=len(slot_ids)) > 0)
        columns = _by_id(user_ids, np.bincount(user, minlength=len(user_ids)) > 0)
        places = (_inverse(rows, len(slot_ids))[slot], _inverse(columns, len(user_ids))[user])
        if prob.dtype != np.float32:  # single precision halves what is sorted
            prob = prob.astype(np.float64, copy=False)
        matrix = sparse.coo_array((prob, places), shape=(len(rows), len(columns))).tocsr()
        if matrix.nnz < len(prob):
            raise InputError(
                "a pair stands more than once", table="pairs", remedy="keep one row per pair"
            )
        del places
        matrix.sort_indices()
        matrix = matrix.astype(np.float64)
        kept = slots.iloc[rows].reset_index(drop=True)
        return cls(matrix, kept, user_ids[columns])

    @classmethod
    def from_pairs(
        cls, pairs: pd.DataFrame, slots: pd.DataFrame, *, clip: bool = False
    ) -> Influence:
        """Influence from a ready-made table of pairs.

        Args:
          pairs: slot_id, user_id, prob.
          slots: slot_id, board_id, start_min, end_min, cost; further columns are kept.
          clip: take a probability above 1 as 1 instead of refusing it.

        Raises:
          InputError: a probability outside [0, 1], a repeated pair, a slot that `slots` lacks.
        """
        pairs = validate("pairs", pairs, clip=clip)
        slots = validate("slots", slots)
        slot = pd.Index(slots["slot_id"]).get_indexer(pairs["slot_id"])
        if (slot < 0).any():
            unknown = np.flatnonzero(slot < 0)
            raise InputError(
                "slot is not in table slots",
                table="pairs",
                column="slot_id",
                rows=unknown.tolist(),
                value=pairs["slot_id"].iloc[unknown[0]],
                remedy="add the slot to slots or drop the pair",
            )
        user, user_ids = pd.factorize(pairs["user_id"], sort=True)
        prob = pairs["prob"].to_numpy(np.float64)
        influence = cls.from_arrays(slot, user, prob, slots, np.asarray(user_ids, dtype=object))
        if influence.n_pairs == 0:
            raise InputError(
                "no pair has a positive probability, so no slot can influence anyone",
                table="pairs",
                column="prob",
                remedy="check the column that was read as prob",
            )
        return influence

    def to_pairs(self) -> pd.DataFrame:
        """The canonical table slot_id, user_id, prob, ordered by slot and user."""
        coo = self.matrix.tocoo()
        return pd.DataFrame(
            {
                "slot_id": self.slot_ids[coo.row],
                "user_id": self.user_ids[coo.col],
                "prob": coo.data,
            }
        ).astype({"slot_id": "str", "user_id": "str"})

    def __repr__(self) -> str:
        return (
            f"Influence({self.n_slots:,} slots, {self.n_users:,} users, {self.n_pairs:,} pairs, "
            f"supply {self.singleton.sum():,.4g})"
        )

    def tree_flatten(self):
        """Leaves: the two layouts. Static: this object, compared by identity."""
        return (self.by_slot, self.by_user), self

    @classmethod
    def tree_unflatten(cls, static: Influence, leaves) -> Influence:
        """Rebuild around transformed layouts."""
        twin = cls(static.matrix, static.slots, static.user_ids)
        # cached_property reads the instance dictionary, so this is the layouts' place.
        twin.__dict__["by_slot"], twin.__dict__["by_user"] = leaves
        return twin


def _by_id(ids: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Positions of the kept ids, in order of id."""
    positions = np.flatnonzero(keep)
    kept = ids[positions]
    if (kept[1:] >= kept[:-1]).all():
        return positions
    return positions[np.argsort(kept, kind="stable")]


def _inverse(positions: np.ndarray, n: int) -> np.ndarray:
    """Where each of n things stands among those at the given positions, int32[n]."""
    inverse = np.empty(n, np.int32)
    inverse[positions] = np.arange(len(positions), dtype=np.int32)
    return inverse
