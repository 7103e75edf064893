"""Groups of options as tables, a row for each group, groups of like size together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Widths of tables are these multiples of a power of two, so that at most a third is padding.
_STEPS = (1.0, 1.5)
# Where all groups fill so much of the widest one's width, one table holds them all.
_FULL = 0.75
# Cells that one table may waste so that there is one table less: a kernel is compiled for each.
_WASTE = 200_000


@dataclass(frozen=True, eq=False)
class Bucket:
    """Groups of like size.

    Attributes:
      group: int64[g], numbers of the groups.
      option: int64[g, w], their options in order; -1 where a group has fewer.
      begin: the first option where the table holds this and all that follow, in their order.
    """

    group: np.ndarray
    option: np.ndarray
    begin: int | None = None

    def of_options(self, numbers: np.ndarray, padding: float) -> np.ndarray:
        """Numbers [N] of all options as a table [g, w], a view of them where that can be."""
        if self.begin is not None:
            stop = self.begin + self.option.size
            return numbers[self.begin : stop].reshape(self.option.shape)
        return np.where(self.option >= 0, numbers[self.option], padding)


def buckets_of(group: np.ndarray, options: np.ndarray) -> tuple[Bucket, ...]:
    """Tables of the given options, int64[n], by their groups int64[N]; none for empty groups."""
    of = group[options]
    if (np.diff(of) < 0).any():
        order = np.argsort(of, kind="stable")
        options, of = options[order], of[order]
    begin = np.flatnonzero(np.diff(of, prepend=-1))
    size = np.diff(begin, append=len(of))
    if not len(begin):
        return ()
    if len(of) >= _FULL * size.max() * len(begin):
        width = np.full(len(begin), size.max())
    else:
        power = 2.0 ** np.floor(np.log2(size))
        width = np.select(
            [size <= step * power for step in _STEPS], [s * power for s in _STEPS], 2 * power
        )
        width = _merged(np.ceil(width).astype(np.int64))
    found = []
    for w in np.unique(width):
        rows = np.flatnonzero(width == w)
        place = begin[rows, None] + np.arange(w)
        inside = np.arange(w) < size[rows, None]
        table = np.where(inside, options[np.minimum(place, len(options) - 1)], -1)
        in_order = inside.all() and bool((np.diff(table.ravel()) == 1).all())
        found.append(Bucket(of[begin[rows]], table, int(table[0, 0]) if in_order else None))
    return tuple(found)


def _merged(width: np.ndarray) -> np.ndarray:
    """Widths int64[G] of which narrow ones are made one where that wastes little."""
    widths, counts = np.unique(width, return_counts=True)
    joined, first = widths.copy(), 0
    for last in range(1, len(widths)):
        chain = slice(first, last + 1)
        if ((widths[last] - widths[chain]) * counts[chain]).sum() <= _WASTE:
            joined[chain] = widths[last]
        else:
            first = last
    return joined[np.searchsorted(widths, width)]
