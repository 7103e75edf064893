"""Rows cut into pieces of bounded width, on the host.

Degrees are skewed: one slot may reach 10,000 users where the median reaches 60. Both layouts
therefore store pieces of rows, never whole rows, and join the pieces of long rows afterwards by
small gathers, level by level: no atomics, so the same bits on every run.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

JOIN_WIDTH = 8
"""How many pieces one step of joining merges; a power of two."""

MOST_PADDING = 9 / 8
"""Most that `padded_size` adds, as a factor."""

_SMALLEST_JOIN = 64


class Pieces(NamedTuple):
    """Consecutive pieces of rows, in row order. P pieces, R rows."""

    start: np.ndarray
    """i64[P], where the piece starts among the entries."""
    length: np.ndarray
    """i64[P], between 1 and the width."""
    row: np.ndarray
    """i64[P], the row it belongs to."""
    first: np.ndarray
    """i64[R + 1], first piece of each row; `first[-1] == P`."""


class Joins(NamedTuple):
    """The gathers that turn results of pieces into results of rows."""

    levels: tuple[np.ndarray, ...]
    """Each i32[JOIN_WIDTH, M]: what to merge, as places among everything computed so far."""
    position: np.ndarray
    """i32[R], the place of the result of a row."""


def padded_size(size: int) -> int:
    """The least bucket that holds `size`: 0 to 16, or 9 to 16 times a power of two.

    Less than 12.5 % above `size`. Arrays whose sizes share a bucket share compiled code.
    """
    step = 1 << max(int(size).bit_length() - 4, 0)
    return -(-int(size) // step) * step


def split_rows(indptr: np.ndarray, width: int) -> Pieces:
    """Cuts every row into pieces of `width` entries and a remainder; empty rows have none.

    Args:
      indptr: i64[R + 1], compressed row pointers.
      width: most entries in a piece.
    """
    lengths = np.diff(indptr)
    first = np.zeros(indptr.size, np.int64)
    np.cumsum(-(-lengths // width), out=first[1:])
    row = np.repeat(np.arange(lengths.size), np.diff(first))
    start = indptr[row] + (np.arange(row.size) - first[row]) * width
    return Pieces(start, np.minimum(indptr[row + 1] - start, width), row, first)


def padded_table(
    entries: np.ndarray, start: np.ndarray, length: np.ndarray, width: int
) -> np.ndarray:
    """Pieces as the rows of a table `[P, width]`; the last of `entries` fills them up."""
    step = np.arange(width)
    inside = step < length[:, None]
    return entries[np.where(inside, start[:, None] + step, entries.size - 1)]


def plan_joins(first: np.ndarray, place: np.ndarray, n_places: int, empty: int) -> Joins:
    """Plans how the pieces of each row are merged.

    Args:
      first: i64[R + 1], first piece of each row.
      place: i64[P], where the result of each piece lies.
      n_places: how many places the results of pieces take, padding included.
      empty: a place that holds the identity.
    """
    position = np.full(first.size - 1, empty, np.int32)
    row = np.arange(first.size - 1)
    levels: list[np.ndarray] = []
    while True:
        count = np.diff(first)
        position[row[count == 1]] = place[first[:-1][count == 1]]
        several = count > 1
        if not several.any():
            return Joins(tuple(levels), position)
        place = place[np.repeat(several, count)]
        groups = split_rows(np.concatenate([[0], np.cumsum(count[several])]), JOIN_WIDTH)
        n_groups = groups.row.size
        size = max(_SMALLEST_JOIN, 1 << (n_groups - 1).bit_length())
        level = np.full((size, JOIN_WIDTH), empty, np.int32)
        level[:n_groups] = padded_table(
            np.append(place, empty), groups.start, groups.length, JOIN_WIDTH
        )
        levels.append(np.ascontiguousarray(level.T))
        row, first, place = row[several], groups.first, n_places + np.arange(n_groups)
        n_places += size


def join_bytes(n_rows: int, n_extra: int) -> int:
    """Most bytes that joining takes when `n_extra` pieces come after the first of their row.

    A level holds at most 9/8 groups for each of its extra pieces, and leaves an eighth of them
    to the next; sizes are rounded up to powers of two.
    """
    n_levels = -(-int(n_extra).bit_length() // 3)
    groups = 2 * (9 / 7) * n_extra + _SMALLEST_JOIN * n_levels
    return 4 * n_rows + 4 * JOIN_WIDTH * int(np.ceil(groups))
