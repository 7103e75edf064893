"""The sparse layout for GPUs: one table of short pieces, reduced in one fused pass.

A loop over chunks would be thousands of small launches there; instead every piece of 32 entries
is one row of a table, which one warp reads and reduces.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jax import Array, lax

from jaxcampaign.influence.folds import Fold, join_pieces, take
from jaxcampaign.influence.pieces import (
    MOST_PADDING,
    join_bytes,
    padded_size,
    padded_table,
    plan_joins,
    split_rows,
)

PIECE_WIDTH = 32
"""Entries in a piece: one warp."""

_FEWEST_PIECES = 64


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class FlatLayout:
    """A sparse matrix as a table of pieces of rows. V pieces, D = 32 entries each."""

    columns: Array
    """i32[V, D], column of an entry; 0 where padded."""
    values: Array
    """f32[V, D], value of an entry; 0 where padded."""
    row: Array
    """i32[V], row of a piece; 0 where padded."""
    joins: tuple[Array, ...]
    """Each i32[JOIN_WIDTH, M]: pieces of long rows to merge."""
    position: Array
    """i32[n_rows], where the result of a row lies among pieces and merged pieces."""
    n_columns: int = field(metadata={"static": True})

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return self.position.shape[0]

    def fold(self, fold: Fold, gathered: Array, own: Array | None = None) -> Any:
        """Reduces every row.

        Args:
          fold: what to compute.
          gathered: f32[n_columns], read at the column of each entry.
          own: f32[n_rows], read at the row of each entry.

        Returns:
          Like `fold.identity`, each leaf f32[n_rows].
        """
        own_pieces = None if own is None else take(own, self.row)[:, None]
        lifted = fold.lift(self.values, take(gathered, self.columns), own_pieces)
        identity = jax.tree.map(np.float32, fold.identity)
        pieces = lax.reduce(fold.expand(lifted), identity, fold.combine, (1,))
        return join_pieces(fold.combine, pieces, self.joins, self.position)


def build_flat(
    indptr: np.ndarray, indices: np.ndarray, values: np.ndarray, n_columns: int
) -> FlatLayout:
    """Lays out a matrix given in compressed rows, which the caller has checked."""
    pieces = split_rows(indptr, PIECE_WIDTH)
    n_pieces = pieces.row.size
    # One row more than pieces: the first row beyond them holds the identity.
    padding = padded_size(max(n_pieces + 1, _FEWEST_PIECES)) - n_pieces

    def table(entries: np.ndarray, dtype: type) -> Array:
        entries = np.append(entries, 0).astype(dtype)
        laid = padded_table(entries, pieces.start, pieces.length, PIECE_WIDTH)
        return jax.device_put(np.pad(laid, ((0, padding), (0, 0))))

    joins = plan_joins(pieces.first, np.arange(n_pieces), n_pieces + padding, empty=n_pieces)
    return FlatLayout(
        columns=table(indices, np.int32),
        values=table(values, np.float32),
        row=jax.device_put(np.pad(pieces.row, (0, padding)).astype(np.int32)),
        joins=jax.device_put(joins.levels),
        position=jax.device_put(joins.position),
        n_columns=n_columns,
    )


def flat_bytes(n_rows: int, nnz: int) -> int:
    """Most bytes that the layout of a matrix of this size takes."""
    n_extra = nnz // PIECE_WIDTH
    n_pieces = MOST_PADDING * (min(n_rows, nnz) + n_extra + _FEWEST_PIECES)
    return int((8 * PIECE_WIDTH + 4) * n_pieces) + join_bytes(n_rows, n_extra)
