"""Rows that share their values: what depends on few columns is computed once per distinct row.

Options are products of influencers, content types, events and times, so that a column, and even
many columns together, take few values in many rows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd

_SAMPLE, _FEW = 65_536, 32_768  # rows that columns are grouped by; distinct ones that are few
_CHUNK = 8192  # rows at once, so that they stay near a core
_SEED = 20_240_229
_MIX = np.uint64(0x9E3779B97F4A7C15)

_Found = TypeVar("_Found")


class Shared(NamedTuple):
    """Columns that together take few values, and where each row finds its own."""

    columns: tuple[int, ...]
    row: np.ndarray  # i64[N], the number of each row's values
    first: np.ndarray  # i64[D], the first row with each of them


def shared_columns(bits: np.ndarray, kinds: Sequence[object]) -> tuple[Shared, ...]:
    """Groups of columns of few distinct rows; columns of many distinct values are in none.

    Args:
      bits: u32[N, F]; values are alike if all their bits are.
      kinds: F labels; only columns of one kind are put together.
    """
    n = len(bits)
    size = min(_SAMPLE, n)
    rng = np.random.default_rng(_SEED)
    sample = bits if size == n else bits[np.sort(rng.integers(n, size=size))]
    few = min(_FEW, size // 2)
    groups: list[list[int]] = []
    keys: list[np.ndarray] = []
    coded = [pd.factorize(column) for column in np.ascontiguousarray(sample.T)]
    counts = [len(values) for _, values in coded]
    for c in np.argsort(counts, kind="stable")[::-1]:
        if counts[c] > few:
            continue
        best, least, key = -1, few + 1, coded[c][0]
        for g, held in enumerate(keys):
            if kinds[groups[g][0]] == kinds[c]:
                merged, distinct = pd.factorize(held * counts[c] + coded[c][0])
                if len(distinct) < least:
                    best, least, key = g, len(distinct), merged
        if best < 0:
            groups.append([int(c)])
            keys.append(key)
        else:
            groups[best].append(int(c))
            keys[best] = key
    numbers = _numbered(bits, groups)
    return tuple(
        Shared(tuple(sorted(group)), *own) for group, own in zip(groups, numbers, strict=True)
    )


def distinct_rows(*columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which rows are alike.

    Args:
      columns: arrays [N, F] of 4-byte numbers; rows are alike if all their bits are.

    Returns:
      The number of each row's value, i64[N], and the first row of each value, i64[D].
    """
    bits = np.concatenate([part.view(np.uint32) for part in columns], axis=1)
    return _numbered(bits, [list(range(bits.shape[1]))])[0]


def distinct_codes(
    coded: Sequence[np.ndarray], sizes: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """The number of each row's combination of codes, i64[N], and the first row of each, i64[D].

    Args:
      coded: int[N] arrays.
      sizes: above all codes of each.
    """
    key, n = coded[0].astype(np.int64), sizes[0]
    for codes, size in zip(coded[1:], sizes[1:], strict=True):
        if n > 2**62 // size:
            key, distinct = pd.factorize(key)
            n = len(distinct)
        key, n = key * size + codes, n * size
    number, distinct = pd.factorize(key)
    return number, _first(number, len(distinct))


def in_chunks(n: int, size: int, work: Callable[[slice], _Found]) -> list[_Found]:
    """What `work` returns for consecutive slices of n rows, several at once."""
    parts = [slice(start, min(start + size, n)) for start in range(0, n, size)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(work, parts))


def _numbered(bits: np.ndarray, groups: list[list[int]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Numbers of the rows and their first ones, for each group of columns; found by hashing."""
    n, width = bits.shape
    rng = np.random.default_rng(_SEED)
    factors = np.asarray(2 * rng.integers(2**62, size=width) + 1, np.uint64)
    marks = np.zeros((len(groups), n), np.uint64)

    def mark(part: slice) -> None:
        rows = np.ascontiguousarray(bits[part].T)
        for own, group in zip(marks[:, part], groups, strict=True):
            for c in group:
                mixed = rows[c] * _MIX
                mixed ^= mixed >> np.uint64(29)
                mixed *= factors[c]
                own += mixed

    in_chunks(n, _CHUNK, mark)
    found = []
    for own in marks:
        number, distinct = pd.factorize(own)
        found.append((number, _first(number, len(distinct))))
    values = [bits[first][:, group] for (_, first), group in zip(found, groups, strict=True)]

    def collides(part: slice) -> list[bool]:
        rows = bits[part]
        return [
            not np.array_equal(rows[:, group], own[number[part]])
            for (number, _), own, group in zip(found, values, groups, strict=True)
        ]

    wrong = [any(ones) for ones in zip(*in_chunks(n, _CHUNK, collides), strict=True)]
    wrong = wrong or [False] * len(groups)  # without rows
    # One table of 10^6 rows in 10^7; then every row counts as distinct.
    same = (np.arange(n), np.arange(n))
    return [same if bad else own for bad, own in zip(wrong, found, strict=True)]


def _first(number: np.ndarray, n_distinct: int) -> np.ndarray:
    first = np.empty(n_distinct, np.int64)
    first[number[::-1]] = np.arange(len(number))[::-1]
    return first
