"""The sparse layout for CPUs: pieces of rows side by side, in chunks of equal depth.

SELL-C-sigma (Kreutzer et al., "A unified sparse matrix data format for efficient general sparse
matrix-vector multiplication on modern processors with wide SIMD units", SIAM J. Sci. Comput. 36,
2014) with rows split into pieces: pieces are sorted by length, so that the C pieces of a chunk,
one per lane, have nearly the same, and a loop runs to the depth of its own chunk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxcampaign.influence.folds import Fold, combine_tree, join_pieces, take
from jaxcampaign.influence.pieces import (
    MOST_PADDING,
    join_bytes,
    padded_size,
    plan_joins,
    split_rows,
)

PIECE_WIDTH = 256
"""Most entries in a piece: bounds the depth of a chunk, and the error of a running sum."""

_MOST_LANES = 4096
_FEWEST_LANES = 32
_CHUNKS_WANTED = 16
# Steps are folded sixteen at a time, what remains of a depth one by one. XLA does not fuse a
# producer into sixteen readers: the gather runs once, in one pass over contiguous memory, and each
# accumulator then reads its result from cache. With eight it would gather again for each.
_STEP_WIDTHS = (16, 1)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class ChunkedLayout:
    """A sparse matrix as chunks of C lanes; a lane holds a piece of a row. T steps, K chunks."""

    columns: Array
    """i32[T, C], column of an entry; 0 where padded."""
    values: Array
    """f32[T, C], value of an entry; 0 where padded."""
    start: Array
    """i32[K], first step of a chunk."""
    depth: Array
    """i32[K], steps of a chunk; 0 where padded."""
    row: Array
    """i32[K, C], row of a lane; 0 where padded."""
    joins: tuple[Array, ...]
    """Each i32[JOIN_WIDTH, M]: pieces of long rows to merge."""
    position: Array
    """i32[n_rows], where the result of a row lies among lanes and merged pieces."""
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
        lanes = self.values.shape[1]

        def chunk(args):
            start, depth, own_lanes = args
            folded = jax.tree.map(lambda leaf: jnp.full(lanes, leaf, jnp.float32), fold.identity)
            for width in _STEP_WIDTHS:
                trips = depth // width

                def advance(trip, folded, start=start, width=width):
                    corner, block = (start + trip * width, 0), (width, lanes)
                    column = lax.dynamic_slice(self.columns, corner, block)
                    value = lax.dynamic_slice(self.values, corner, block)
                    lifted = fold.lift(value, take(gathered, column), own_lanes)
                    parts = [fold.expand(lifted[k]) for k in range(width)]
                    return fold.combine(folded, combine_tree(fold.combine, parts))

                folded = lax.fori_loop(0, trips, advance, folded)
                start, depth = start + trips * width, depth - trips * width
            return folded

        own_lanes = None if own is None else take(own, self.row)
        pieces = lax.map(chunk, (self.start, self.depth, own_lanes))
        pieces = jax.tree.map(jnp.ravel, pieces)
        return join_pieces(fold.combine, pieces, self.joins, self.position)


def build_chunked(
    indptr: np.ndarray, indices: np.ndarray, values: np.ndarray, n_columns: int
) -> ChunkedLayout:
    """Lays out a matrix given in compressed rows, which the caller has checked."""
    pieces = split_rows(indptr, PIECE_WIDTH)
    n_pieces = pieces.row.size
    lanes = _lanes(n_pieces)
    # One lane more than pieces: the first lane beyond them holds the identity.
    n_chunks = padded_size(n_pieces // lanes + 1)
    order = np.argsort((PIECE_WIDTH - pieces.length).astype(np.uint16), kind="stable")

    def in_lanes(array: np.ndarray) -> np.ndarray:
        return np.pad(array[order], (0, n_chunks * lanes - n_pieces)).reshape(n_chunks, lanes)

    length, start = in_lanes(pieces.length), in_lanes(pieces.start)
    depth = length[:, 0]
    end_step = np.cumsum(depth)
    n_steps = padded_size(max(int(end_step[-1]), _STEP_WIDTHS[0]))
    columns = np.zeros((n_steps, lanes), np.int32)
    laid_values = np.zeros((n_steps, lanes), np.float32)
    # Chunk by chunk, so that temporaries stay in cache.
    for chunk in np.flatnonzero(depth):
        step = np.arange(depth[chunk])
        inside = step < length[chunk][:, None]
        entry = np.where(inside, start[chunk][:, None] + step, 0)
        steps = slice(end_step[chunk] - depth[chunk], end_step[chunk])
        columns[steps] = np.where(inside, indices[entry], 0).T
        laid_values[steps] = np.where(inside, values[entry], 0).T

    place = np.empty(n_pieces, np.int64)
    place[order] = np.arange(n_pieces)
    joins = plan_joins(pieces.first, place, n_chunks * lanes, empty=n_pieces)
    return ChunkedLayout(
        columns=jax.device_put(columns),
        values=jax.device_put(laid_values),
        start=jax.device_put((end_step - depth).astype(np.int32)),
        depth=jax.device_put(depth.astype(np.int32)),
        row=jax.device_put(in_lanes(pieces.row).astype(np.int32)),
        joins=jax.device_put(joins.levels),
        position=jax.device_put(joins.position),
        n_columns=n_columns,
    )


def chunked_bytes(n_rows: int, nnz: int) -> int:
    """Most bytes that the layout of a matrix of this size takes.

    Pieces are sorted by length, so a chunk is no deeper than the shortest piece of the chunk
    before it: the padding of all chunks together is at most one chunk of full depth.
    """
    n_extra = nnz // PIECE_WIDTH
    n_pieces = min(n_rows, nnz) + n_extra
    lanes = _lanes(n_pieces)
    entries = MOST_PADDING * (nnz + (PIECE_WIDTH + _STEP_WIDTHS[0]) * lanes)
    per_lane = MOST_PADDING * (n_pieces + 2 * lanes)
    return int(8 * entries + 8 * per_lane) + join_bytes(n_rows, n_extra)


def _lanes(n_pieces: int) -> int:
    """Lanes of a chunk: fewer where there are few pieces, or one long one would pad them all."""
    wanted = max(n_pieces // _CHUNKS_WANTED, 1)
    return min(max(1 << (wanted.bit_length() - 1), _FEWEST_LANES), _MOST_LANES)
