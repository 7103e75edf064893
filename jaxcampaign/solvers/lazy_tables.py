"""What the lazy greedy loop reads: rows of similar width side by side, in blocks of equal size.

Rows are padded to powers of two and sorted by width, so that a block of `TILE` entries holds one
slot of a thousand pairs or hundreds of slots with a few, and renewing their gains is the same
contiguous pass either way. Within a width the slots that promise most come first: they are the
ones that are renewed together.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

from jaxcampaign.errors import MemoryLimitError
from jaxcampaign.problems import SlotProblem

TILE = 1024
"""Entries of a block. A longer row has a block of several tiles to itself."""

NARROWEST = 4
"""Entries of the narrowest padded row."""

LANES = TILE // NARROWEST
"""Most rows of a block."""

WIDEST = LANES.bit_length() - 1
"""Class of the widest rows, one to a block; a row of class c takes `NARROWEST << c` entries."""

GROUP = 64
"""Blocks whose best bounds are kept as one."""

_ENTRIES_AT_ONCE = 1 << 22


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LazyTables:
    """A problem in the form that the loop reads, padded so that similar sizes share a program.

    T tiles, B blocks, R rows. Padded rows stand for the idle slot S, padded entries for chance 0
    of an idle user.

    Attributes:
      user: int32[T * TILE], users of all rows.
      prob: float32[T * TILE], their chances; 0 where padded.
      slot: int32[R + LANES], slot of a row; S where padded.
      first_row: int32[B], first row of a block.
      first_tile: int32[B], first tile of a block.
      n_tiles: int32[B]; more than 1 where a block is one long row.
      width: int32[B], class of the width of the rows.
      interest: int8[L', U'], who wants what; int8[8, 1] when maximising, where products need not
        be told apart.
      interest_by_user: int8[U', L'], the same.
    """

    user: jax.Array
    prob: jax.Array
    slot: jax.Array
    first_row: jax.Array
    first_tile: jax.Array
    n_tiles: jax.Array
    width: jax.Array
    interest: jax.Array
    interest_by_user: jax.Array


def lazy_tables(problem: SlotProblem) -> LazyTables:
    """Tables of a problem; they serve any number of runs.

    Raises:
      MemoryLimitError: more pairs than the tables' 32-bit indices can tell apart.
    """
    influence = problem.influence
    degree = np.diff(influence.matrix.indptr)
    promise = influence.singleton
    if problem.sense == "min":
        promise = promise / problem.divisor
    width = np.clip(np.ceil(np.log2(np.maximum(degree, 1) / NARROWEST)), 0, WIDEST).astype(np.int64)
    order = np.lexsort((-promise, width))

    # Rows of one width fill its blocks one after the other.
    n_rows = np.bincount(width, minlength=WIDEST + 1)
    per_block = LANES >> np.arange(WIDEST + 1)
    n_blocks = -(-n_rows // per_block)
    block_width = np.repeat(np.arange(WIDEST + 1), n_blocks)
    rank = np.arange(len(order)) - np.repeat(np.cumsum(n_rows) - n_rows, n_rows)
    turn, lane = np.divmod(rank, np.repeat(per_block, n_rows))
    block = np.repeat(np.cumsum(n_blocks) - n_blocks, n_rows) + turn

    n_tiles = np.ones(len(block_width), np.int64)
    n_tiles[block_width == WIDEST] = -(-degree[order[len(order) - n_rows[WIDEST] :]] // TILE)
    first_tile = np.cumsum(n_tiles) - n_tiles
    first_row = np.cumsum(per_block[block_width]) - per_block[block_width]
    tiles = bucket(int(n_tiles.sum()) + 1, 8)
    if tiles * TILE >= 2**31:
        raise MemoryLimitError(
            f"has {influence.n_pairs:,} pairs, and one table holds at most 2^31, padding included",
            table="influence",
            remedy="split the city, or raise slot_minutes",
        )
    rows = bucket(int(per_block[block_width].sum()))
    slot = np.full(rows + LANES, problem.n_items, np.int32)
    slot[first_row[block] + lane] = order
    place = np.empty(len(order), np.int64)
    place[order] = first_tile[block] * TILE + lane * (NARROWEST << block_width[block])
    interest = _interest(problem)
    users = padded_users(problem)
    user, prob = _entries(influence.matrix, place, tiles * TILE, idle=users - 1)
    blocks = -(-bucket(len(block_width)) // GROUP) * GROUP
    return LazyTables(
        user=jnp.asarray(user),
        prob=jnp.asarray(prob),
        slot=jnp.asarray(slot),
        first_row=jnp.asarray(padded(first_row, blocks, rows, np.int32)),
        first_tile=jnp.asarray(padded(first_tile, blocks, tiles - 1, np.int32)),
        n_tiles=jnp.asarray(padded(n_tiles, blocks, 1, np.int32)),
        width=jnp.asarray(padded(block_width, blocks, 0, np.int32)),
        interest=jnp.asarray(np.ascontiguousarray(interest.T)),
        interest_by_user=jnp.asarray(interest),
    )


def bucket(n: int, least: int = 64) -> int:
    """The next size of a geometric grid (steps of an eighth): few programs, little padding."""
    n = max(n, least)
    step = max(2 ** (int(n - 1).bit_length() - 4), 1)
    return -(-n // step) * step


def padded_users(problem: SlotProblem) -> int:
    """Number of users with padding, U'; the last is always idle."""
    return bucket(problem.influence.n_users + 1)


def padded(values: np.ndarray, size: int, fill: float, dtype) -> np.ndarray:
    """The values and then the filling, up to the size."""
    full = np.full(size, fill, dtype)
    full[: len(values)] = values
    return full


def _interest(problem: SlotProblem) -> np.ndarray:
    if problem.sense == "max":
        return np.zeros((1, 8), np.int8)
    table = problem.objective.interest
    full = np.zeros((padded_users(problem), bucket(table.shape[1], 8)), np.int8)
    full[: len(table), : table.shape[1]] = table
    return full


def _entries(
    matrix: sparse.csr_array, place: np.ndarray, size: int, *, idle: int
) -> tuple[np.ndarray, np.ndarray]:
    """Columns and values of every row from its place on, some rows at a time."""
    user, prob = np.full(size, idle, np.int32), np.zeros(size, np.float32)
    start = matrix.indptr
    cuts = np.searchsorted(start, np.arange(_ENTRIES_AT_ONCE, matrix.nnz, _ENTRIES_AT_ONCE))
    cuts = np.unique(np.concatenate([[0], cuts, [matrix.shape[0]]]))
    for low, high in itertools.pairwise(cuts):
        entries = slice(start[low], start[high])
        shift = np.repeat(place[low:high] - start[low:high], np.diff(start[low : high + 1]))
        target = np.arange(entries.start, entries.stop) + shift
        user[target] = matrix.indices[entries]
        prob[target] = matrix.data[entries]
    return user, prob
