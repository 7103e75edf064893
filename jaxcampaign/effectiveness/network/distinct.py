"""The distinct rows of a table, found by hashing: what depends on them is computed once each."""

from __future__ import annotations

import numpy as np
import pandas as pd

_SEED = 20_240_229
_MIX = np.uint64(0x9E3779B97F4A7C15)


def distinct_rows(*columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which rows are alike.

    Args:
      columns: arrays [N, F] of 4-byte numbers; rows are alike if all their bits are.

    Returns:
      The number of each row's value, i64[N], and the first row of each value, i64[D].
    """
    n = len(columns[0])
    bits = np.concatenate([part.view(np.uint32) for part in columns], axis=1)
    rng = np.random.default_rng(_SEED)
    factors = np.asarray(2 * rng.integers(2**62, size=bits.shape[1]) + 1, np.uint64)
    mark = np.zeros(n, np.uint64)
    for column, factor in enumerate(factors):
        mixed = bits[:, column] * _MIX
        mixed ^= mixed >> np.uint64(29)
        mark += mixed * factor
    number, distinct = pd.factorize(mark)
    first = np.empty(len(distinct), np.int64)
    first[number[::-1]] = np.arange(n)[::-1]
    if not np.array_equal(
        bits, bits[first][number]
    ):  # a collision: one in 10^7 tables of 10^6 rows
        return np.arange(n), np.arange(n)
    return number, first
