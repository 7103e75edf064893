"""Few array sizes instead of many, so that compiled code is used again."""

from __future__ import annotations

import numpy as np


def bucket(size: int, *, minimum: int = 16) -> int:
    """The next size of the form m * 2^k with m in 4..7: at most a quarter more than asked for."""
    if size <= minimum:
        return minimum
    step = 1 << max((size - 1).bit_length() - 3, 0)
    return -(-size // step) * step


def pad_rows(rows: np.ndarray, size: int) -> np.ndarray:
    """The rows, with zeros below up to `size` rows."""
    if len(rows) == size:
        return rows
    return np.concatenate([rows, np.zeros((size - len(rows), *rows.shape[1:]), rows.dtype)])
