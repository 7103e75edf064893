"""LightGBM's trees evaluated on many rows that share their values, as options do.

A tree has at most 32 leaves, so what a column's value says of a tree is a mask of the leaves that
it leaves open (QuickScorer, Lucchese et al. 2015). Masks depend on a column's value only through
the thresholds between which it lies; columns that take few values together share one table of
masks; and a row's leaf is the one bit that the masks of its few tables have in common.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

_LEAVES = 32
_SAMPLE, _FEW = 65_536, 32_768  # rows on which columns are grouped; distinct ones that are few
_ROWS = 512  # at once, so that masks stay near the cores
# De Bruijn's sequence: an isolated bit b times it has a distinct number in its upper five bits.
_DE_BRUIJN, _SHIFT = np.uint32(0x077CB531), np.uint32(27)
_PLACE = (np.uint32(1) << np.arange(_LEAVES, dtype=np.uint32)) * _DE_BRUIJN >> _SHIFT
_CATEGORICAL, _DEFAULT_LEFT = 1, 2  # bits of LightGBM's decision_type; two more say what misses


class _Nodes(NamedTuple):
    """Splits on one column, by tree."""

    tree: np.ndarray  # i64[n], increasing
    threshold: np.ndarray  # f64[n]; of a category split, the place of its set
    missing_left: np.ndarray  # bool[n]
    if_left: np.ndarray  # u32[n], leaves that stay open
    if_right: np.ndarray  # u32[n]
    sets: tuple[np.ndarray, ...]  # u32 words of each category split; empty for a number


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees as masks of leaves."""

    columns: dict[int, _Nodes]  # by position in the matrix; only those that are split on
    values: np.ndarray  # f64[T * 32], of leaves, in the order of their numbers after De Bruijn
    leaves: np.ndarray  # u32[T], those that each tree has

    @property
    def n_trees(self) -> int:
        """T."""
        return len(self.values) // _LEAVES

    @classmethod
    def from_text(cls, model: str, groups: Sequence[Sequence[int]]) -> list[Forest] | None:
        """One forest per group of columns, of the trees that split on its columns only.

        Args:
          model: LightGBM's text.
          groups: positions of columns.

        Returns:
          None if a tree has more than 32 leaves, or splits on columns of several groups. Trees
          without a split belong to the first group.
        """
        trees = [_fields(block) for block in model.split("\nTree=")[1:]]
        if any(int(tree["num_leaves"]) > _LEAVES for tree in trees):
            return None
        home = np.zeros(max((max(group, default=0) for group in groups), default=0) + 1, int)
        for number, group in enumerate(groups):
            home[list(group)] = number
        owned: list[list[dict[str, str]]] = [[] for _ in groups]
        for tree in trees:
            split_on = np.unique(home[_numbers(tree, "split_feature", np.int64)])
            if len(split_on) > 1:
                return None
            owned[split_on[0] if len(split_on) else 0].append(tree)
        return [cls._of(own) for own in owned]

    @classmethod
    def _of(cls, trees: list[dict[str, str]]) -> Forest:
        n = len(trees)
        values = np.zeros((n, _LEAVES))
        open_leaves = np.zeros(n, np.uint32)
        parts = []
        for t, tree in enumerate(trees):
            leaves = _numbers(tree, "leaf_value", np.float64)
            values[t, _PLACE[: len(leaves)]] = leaves
            open_leaves[t] = (1 << len(leaves)) - 1
            if len(leaves) > 1:
                parts.append(_splits(tree, t))
        columns = {}
        if parts:
            merged = [
                np.concatenate(arrays) for arrays in zip(*(part[0] for part in parts), strict=True)
            ]
            sets = [words for part in parts for words in part[1]]
            column, place = merged[0], np.cumsum(merged[6]) - 1
            for c in np.unique(column):
                here = np.flatnonzero(column == c)
                own = tuple(sets[k] for k in place[here]) if merged[6][here[0]] else ()
                number, threshold, left, if_left, if_right = (part[here] for part in merged[1:6])
                columns[int(c)] = _Nodes(number, threshold, left, if_left, if_right, own)
        return cls(columns, values.ravel(), open_leaves)

    def scores(self, matrix: np.ndarray) -> np.ndarray:
        """f64[N], sums of the leaves of float32[N, F] rows, NaN where missing."""
        if not self.n_trees:
            return np.zeros(len(matrix))
        coded, tables = [], []
        for c, nodes in self.columns.items():
            codes, table = _coded(nodes, matrix[:, c], self.leaves)
            coded.append(codes)
            tables.append(table)
        if not tables:
            return np.full(len(matrix), self.values.reshape(-1, _LEAVES)[:, _PLACE[0]].sum())
        sizes = [len(table) for table in tables]
        joined = []
        for block in _blocks(coded, sizes):
            row, first = _distinct([coded[c] for c in block], [sizes[c] for c in block])
            masks = tables[block[0]][coded[block[0]][first]]
            for c in block[1:]:
                masks &= tables[c][coded[c][first]]
            joined.append((row, masks))
        if len(joined) == 1:
            row, masks = joined[0]
            return self._summed([(np.arange(len(masks)), masks)])[row]
        return self._summed(joined)

    def _summed(self, joined: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        n = len(joined[0][0])
        start = np.arange(self.n_trees, dtype=np.uint32) * np.uint32(_LEAVES)
        found = np.empty(n)

        def fill(begin: int) -> None:
            part = slice(begin, begin + _ROWS)
            row, masks = joined[0]
            bits = masks[row[part]]
            for row, masks in joined[1:]:
                bits &= masks[row[part]]
            bits *= _DE_BRUIJN
            bits >>= _SHIFT
            bits += start
            found[part] = self.values.take(bits).sum(axis=1)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(fill, range(0, n, _ROWS)))
        return found


def _fields(block: str) -> dict[str, str]:
    lines = (line.partition("=") for line in block.splitlines())
    return {name: value for name, equals, value in lines if equals}


def _numbers(tree: dict[str, str], name: str, dtype: type) -> np.ndarray:
    return np.array(tree.get(name, "").split(), dtype)


def _splits(tree: dict[str, str], t: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Columns, trees, thresholds, missing_left, masks, and whether of categories; their sets."""
    decision = _numbers(tree, "decision_type", np.int64)
    threshold = _numbers(tree, "threshold", np.float64)
    children = [_numbers(tree, name, np.int64) for name in ("left_child", "right_child")]
    n = len(decision)
    under = np.zeros((2, n), np.uint32)  # leaves to the left and right of each node
    for node in range(n - 1, -1, -1):  # children come after their parents
        for side in (0, 1):
            child = children[side][node]
            under[side, node] = (
                under[0, child] | under[1, child]
                if child >= 0
                else np.uint32(1) << np.uint32(~child)
            )
    category = (decision & _CATEGORICAL) > 0
    # Missing numbers go the way that the node names, or count as 0 where training had none.
    none_missing = (decision >> 2 & 3) == 0
    left = np.where(none_missing, threshold >= 0.0, (decision & _DEFAULT_LEFT) > 0) & ~category
    bounds = _numbers(tree, "cat_boundaries", np.int64)
    words = _numbers(tree, "cat_threshold", np.uint32)
    places = threshold[category].astype(np.int64)
    sets = [words[bounds[k] : bounds[k + 1]] for k in places]
    column = _numbers(tree, "split_feature", np.int64)
    trees = np.full(n, t, np.int64)
    return [column, trees, threshold, left, ~under[1], ~under[0], category], sets


def _coded(nodes: _Nodes, values: np.ndarray, leaves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """i32[N], what splits can tell of the values; u32[V, T], the leaves that each leaves open."""
    missing = np.isnan(values)
    if nodes.sets:
        n = 32 * max(len(words) for words in nodes.sets)
        member = np.zeros((len(nodes.sets), n + 1), bool)  # the last stands for all others
        for k, words in enumerate(nodes.sets):
            bits = np.unpackbits(words.view(np.uint8), bitorder="little")
            member[k, : len(bits)] = bits
        inside = ~missing & (values >= 0) & (values < n)
        codes = np.where(inside, np.where(inside, values, 0), n).astype(np.int32)
        left = member
    else:
        cuts = np.unique(nodes.threshold)
        # float64 thresholds, so that a float32 value falls on the side that LightGBM sees.
        codes = np.searchsorted(cuts, values.astype(np.float64)).astype(np.int32)
        codes[missing] = len(cuts) + 1
        rank = np.searchsorted(cuts, nodes.threshold)
        left = np.arange(len(cuts) + 2) <= rank[:, None]
        left[:, -1] = nodes.missing_left
    masks = np.where(left, nodes.if_left[:, None], nodes.if_right[:, None])
    trees, first = np.unique(nodes.tree, return_index=True)
    table = np.tile(leaves, (left.shape[1], 1))
    table[:, trees] &= np.bitwise_and.reduceat(masks, first, axis=0).T
    return codes, table


def _blocks(coded: list[np.ndarray], sizes: list[int]) -> list[list[int]]:
    """Columns in groups that take few values together, as far as a sample of the rows tells."""
    step = -(-len(coded[0]) // _SAMPLE)
    sample = [codes[::step] for codes in coded]
    blocks: list[list[int]] = []
    keys: list[np.ndarray] = []
    counts = [len(np.unique(codes)) for codes in sample]
    few = min(_FEW, len(sample[0]) // 2)
    for c in np.argsort(counts)[::-1]:
        best, size, key = -1, few + 1, sample[c]
        for b, held in enumerate(keys):
            merged, distinct = pd.factorize(held.astype(np.int64) * sizes[c] + sample[c])
            if len(distinct) < size:
                best, size, key = b, len(distinct), merged
        if best < 0:
            blocks.append([int(c)])
            keys.append(key)
        else:
            blocks[best].append(int(c))
            keys[best] = key
    return blocks


def _distinct(coded: list[np.ndarray], sizes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """The number of each row's combination, i64[N], and the first row of each combination."""
    key, n = coded[0].astype(np.int64), sizes[0]
    for codes, size in zip(coded[1:], sizes[1:], strict=True):
        if n > 2**62 // size:
            key, distinct = pd.factorize(key)
            n = len(distinct)
        key, n = key * size + codes, n * size
    row, distinct = pd.factorize(key)
    first = np.empty(len(distinct), np.int64)
    first[row[::-1]] = np.arange(len(row))[::-1]
    return row, first
