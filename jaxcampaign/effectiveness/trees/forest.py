"""LightGBM's trees evaluated on many rows that share their values, as options do.

What a column's value says of a tree is a mask of the leaves that it leaves open (QuickScorer,
Lucchese et al. 2015). Masks depend on a column's value only through the thresholds between which
it lies; columns that take few values together share one table of masks; and a row's leaf is the
one bit that the masks of its few tables have in common. The numbers of a few neighbouring trees'
leaves make one number, whose sum of leaf values is looked up at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jaxcampaign.effectiveness.sharing import Shared, distinct_codes, in_chunks

_MOST_LEAVES = 512  # of a tree; for more, following its branches is quicker
_BYTES = 1 << 17  # of masks at once, so that they stay near the cores
_PASSES = 32  # of so many masks, by one thread with the same memory
_CATEGORICAL, _DEFAULT_LEFT = 1, 2  # bits of LightGBM's decision_type; two more say what misses


class _Words(NamedTuple):
    """How masks of leaves are kept: words of bits, a few words side by side looked up together."""

    dtype: type
    bits: int  # of a word
    code_bits: int  # of the number of a bit
    de_bruijn: int  # an isolated bit times this has a distinct number in its upper code bits
    together: int  # words in a lookup
    packed: type  # integer that holds them

    @property
    def place(self) -> np.ndarray:
        """i64[bits], the number of each bit."""
        ones = np.ones(self.bits, self.dtype) << np.arange(self.bits, dtype=self.dtype)
        return self.numbers(ones).astype(np.int64)

    def numbers(self, isolated: np.ndarray) -> np.ndarray:
        """The numbers of isolated bits, in their place; 0 is also the number of no bit."""
        np.multiply(isolated, self.dtype(self.de_bruijn), out=isolated)
        np.right_shift(isolated, self.dtype(self.bits - self.code_bits), out=isolated)
        return isolated

    def lookups(self, numbers: np.ndarray, spare: np.ndarray) -> None:
        """Packed numbers, in their place, with all bits together at the lower end."""
        gap, own = self.bits - self.code_bits, 2 * self.code_bits
        words = self.together // 2
        while True:
            np.right_shift(numbers, self.packed(gap), out=spare)
            np.bitwise_or(numbers, spare, out=numbers)
            # Of every two words, the lower one holds both numbers now.
            width = 8 * np.dtype(self.packed).itemsize // words
            kept = sum(((1 << own) - 1) << (k * width) for k in range(words))
            np.bitwise_and(numbers, self.packed(kept), out=numbers)
            if words == 1:
                return
            gap, own, words = width - own, 2 * own, words // 2

    def table(self, values: np.ndarray) -> np.ndarray:
        """f64[Q, 2^(code_bits * together)], sums for all numbers of f64[Q, together, bits]."""
        total = values[:, 0]
        for k in range(1, self.together):
            size = self.bits * total.shape[1]
            total = (values[:, k, :, None] + total[:, None, :]).reshape(len(values), size)
        return total


_NARROW = _Words(np.uint8, 8, 3, 0x17, 4, np.uint32)
_WIDE = _Words(np.uint32, 32, 5, 0x077CB531, 2, np.uint64)


class _Nodes(NamedTuple):
    """Splits on one column; a split of a tree of several words counts once for each of them."""

    word: np.ndarray  # i64[n], increasing
    threshold: np.ndarray  # f64[n]; of a category split, the place of its set
    missing_left: np.ndarray  # bool[n]
    if_left: np.ndarray  # leaves that stay open, [n] of the words' type
    if_right: np.ndarray
    sets: tuple[np.ndarray, ...]  # u32 words of each category split; empty for a number


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees as masks of leaves."""

    n_trees: int
    words: _Words
    columns: dict[int, _Nodes]  # by position in the matrix; only those that are split on
    values: np.ndarray  # f64[Q * 2^b], sums of leaves by the numbers that are looked up together
    leaves: np.ndarray  # [W], those that there are in each word
    constant: float  # sum of the trees without a split

    @classmethod
    def from_text(cls, model: str, groups: Sequence[Sequence[int]]) -> list[Forest] | None:
        """One forest per group of columns, of the trees that split on its columns only.

        Args:
          model: LightGBM's text.
          groups: positions of columns.

        Returns:
          None if a tree has very many leaves, or splits on columns of several groups. Trees
          without a split belong to the first group.
        """
        trees = [_fields(block) for block in model.split("\nTree=")[1:]]
        if any(int(tree["num_leaves"]) > _MOST_LEAVES for tree in trees):
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
        sizes = [int(tree["num_leaves"]) for tree in trees]
        split = [tree for tree, size in zip(trees, sizes, strict=True) if size > 1]
        flat = [tree for tree, size in zip(trees, sizes, strict=True) if size == 1]
        constant = sum(float(_numbers(tree, "leaf_value", np.float64)[0]) for tree in flat)
        most = max(sizes, default=0)
        words = _NARROW if most <= _NARROW.bits else _WIDE
        values, leaves, parts = [], [], []
        n_words = 0
        for tree in split:
            own = _numbers(tree, "leaf_value", np.float64)
            where = _bit_of_leaf(len(own), words.bits)
            size = int(where[-1]) // words.bits + 1
            table = np.zeros((size, words.bits))
            table[where // words.bits, words.place[where % words.bits]] = own
            there = _in_words([sum(1 << int(bit) for bit in where)], size, words)[0]
            parts.append(_splits(tree, where, n_words, size, words))
            values.append(table)
            leaves.append(there)
            n_words += size
        # Words that fill the last lookup: the number of their one leaf is 0, and so its value.
        spare = -n_words % words.together
        values.append(np.zeros((spare, words.bits)))
        leaves.append(np.ones(spare, words.dtype))
        sums = words.table(np.concatenate(values).reshape(-1, words.together, words.bits))
        return cls(
            len(trees), words, _by_column(parts), sums.ravel(), np.concatenate(leaves), constant
        )

    def scores(self, matrix: np.ndarray, shared: Sequence[Shared] = ()) -> np.ndarray:
        """f64[N], sums of the leaves of float32[N, F] rows, NaN where missing.

        Args:
          matrix: the rows.
          shared: groups of columns that together take few values.
        """
        joined = []
        alone = set(self.columns)
        for group in shared:
            own = [c for c in group.columns if c in self.columns]
            if own:
                number, masks = self._masks(matrix[group.first[:, None], own], own)
                joined.append((number[group.row], masks))
                alone -= set(own)
        joined += [_coded(self.columns[c], matrix[:, c], self.leaves) for c in sorted(alone)]
        if not joined:
            return np.full(len(matrix), self.constant)
        if len(joined) == 1:
            row, masks = joined[0]
            return self._summed([(np.arange(len(masks)), masks)])[row]
        return self._summed(joined)

    def _masks(self, values: np.ndarray, columns: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Of rows f32[D, n] of some columns, the number of each one's mask, and these masks."""
        found = [_coded(self.columns[c], values[:, k], self.leaves) for k, c in enumerate(columns)]
        number, first = distinct_codes(
            [codes for codes, _ in found], [len(table) for _, table in found]
        )
        codes, table = found[0]
        masks = table[codes[first]]
        for codes, table in found[1:]:
            masks &= table[codes[first]]
        return number, masks

    def _summed(self, joined: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        n, words = len(joined[0][0]), self.words
        n_words = len(self.leaves)
        n_lookups = n_words // words.together
        start = np.arange(n_lookups) * (len(self.values) // n_lookups)
        found = np.empty(n)
        size = max(_BYTES // (n_words * np.dtype(words.dtype).itemsize), 16)

        def fill(part: slice) -> None:
            masks: np.ndarray = np.empty((size, n_words), words.dtype)
            others = np.empty_like(masks)
            numbers: np.ndarray = masks.view(words.packed)
            spare: np.ndarray = others.view(words.packed)
            places = np.empty((size, n_lookups), np.int64)
            leaves = np.empty((size, n_lookups))
            for begin in range(part.start, part.stop, size):
                rows = slice(begin, min(begin + size, part.stop))
                some = slice(0, rows.stop - begin)
                row, table = joined[0]
                table.take(row[rows], axis=0, out=masks[some], mode="clip")
                for row, table in joined[1:]:
                    table.take(row[rows], axis=0, out=others[some], mode="clip")
                    np.bitwise_and(masks[some], others[some], out=masks[some])
                words.numbers(masks)
                words.lookups(numbers, spare)
                np.copyto(places, numbers, casting="unsafe")
                places += start
                self.values.take(places, out=leaves, mode="clip")
                leaves[some].sum(axis=1, out=found[rows])

        in_chunks(n, size * _PASSES, fill)
        return found + self.constant


def _fields(block: str) -> dict[str, str]:
    lines = (line.partition("=") for line in block.splitlines())
    return {name: value for name, equals, value in lines if equals}


def _numbers(tree: dict[str, str], name: str, dtype: type) -> np.ndarray:
    return np.array(tree.get(name, "").split(), dtype)


def _bit_of_leaf(n_leaves: int, bits: int) -> np.ndarray:
    """i64[n], the bit of each leaf; in trees of several words, none is the lowest bit of a word.

    Its number is that of no bit at all, which stands for no leaf of the word.
    """
    leaf = np.arange(n_leaves)
    return leaf if n_leaves <= bits else leaf // (bits - 1) * bits + leaf % (bits - 1) + 1


def _in_words(sets: list[int], size: int, words: _Words) -> np.ndarray:
    """Sets of bits in words, [len(sets), size]."""
    n_bytes = size * np.dtype(words.dtype).itemsize
    joined = b"".join(bits.to_bytes(n_bytes, "little") for bits in sets)
    return np.frombuffer(joined, words.dtype).reshape(len(sets), size)


def _splits(
    tree: dict[str, str], where: np.ndarray, first: int, size: int, words: _Words
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Columns, words, thresholds, missing_left, masks and places in the list of category sets.

    Each split counts once for each word in which it closes leaves; the place is -1 for numbers.
    """
    decision = _numbers(tree, "decision_type", np.int64)
    threshold = _numbers(tree, "threshold", np.float64)
    children = [_numbers(tree, name, np.int64).tolist() for name in ("left_child", "right_child")]
    bit = where.tolist()
    n = len(decision)
    under: list[list[int]] = [[0] * n, [0] * n]  # leaves to the left and right of each node
    for node in range(n - 1, -1, -1):  # children come after their parents
        for side in (0, 1):
            child = children[side][node]
            under[side][node] = (
                under[0][child] | under[1][child] if child >= 0 else 1 << bit[~child]
            )
    left_leaves, right_leaves = (_in_words(sets, size, words) for sets in under)
    category = (decision & _CATEGORICAL) > 0
    # Missing numbers go the way that the node names, or count as 0 where training had none.
    none_missing = (decision >> 2 & 3) == 0
    left = np.where(none_missing, threshold >= 0.0, (decision & _DEFAULT_LEFT) > 0) & ~category
    bounds = _numbers(tree, "cat_boundaries", np.int64)
    members = _numbers(tree, "cat_threshold", np.uint32)
    places = threshold[category].astype(np.int64)
    sets = [members[bounds[k] : bounds[k + 1]] for k in places]
    of_set = np.where(category, np.cumsum(category) - 1, -1)
    column = _numbers(tree, "split_feature", np.int64)
    at, word = np.nonzero(left_leaves | right_leaves)
    masks = [~right_leaves[at, word], ~left_leaves[at, word]]
    return [column[at], first + word, threshold[at], left[at], *masks, of_set[at]], sets


def _by_column(
    parts: list[tuple[list[np.ndarray], list[np.ndarray]]],
) -> dict[int, _Nodes]:
    """The splits of all trees by column."""
    if not parts:
        return {}
    offsets = np.cumsum([0, *(len(sets) for _, sets in parts)])
    sets = [members for _, own in parts for members in own]
    column, word, threshold, left, if_left, if_right, of_set = (
        np.concatenate(arrays) for arrays in zip(*(part[0] for part in parts), strict=True)
    )
    of_set += np.repeat(offsets[:-1], [len(part[0][0]) for part in parts]) * (of_set >= 0)
    columns = {}
    for c in np.unique(column):
        here = np.flatnonzero(column == c)
        here = here[np.argsort(word[here], kind="stable")]
        columns[int(c)] = _Nodes(
            word[here],
            threshold[here],
            left[here],
            if_left[here],
            if_right[here],
            tuple(sets[k] for k in of_set[here] if k >= 0),
        )
    return columns


def _coded(nodes: _Nodes, values: np.ndarray, leaves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """i32[N], what splits can tell of the values; [V, W], the leaves that each leaves open."""
    missing = np.isnan(values)
    if nodes.sets:
        n = 32 * max(len(members) for members in nodes.sets)
        member = np.zeros((len(nodes.sets), n + 1), bool)  # the last stands for all others
        for k, members in enumerate(nodes.sets):
            bits = np.unpackbits(members.view(np.uint8), bitorder="little")
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
    words, first = np.unique(nodes.word, return_index=True)
    table = np.tile(leaves, (left.shape[1], 1))
    table[:, words] &= np.bitwise_and.reduceat(masks, first, axis=0).T
    return codes, table
