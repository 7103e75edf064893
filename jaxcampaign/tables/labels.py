"""Ids for generated tables."""

from __future__ import annotations

import numpy as np
import pandas as pd


def numbered(prefix: str, n: int) -> pd.Series:
    """`n` ids such as `u0042`, as wide as the last needs, so that text order is number order."""
    width = len(str(max(n - 1, 0)))
    return prefix + pd.Series(np.arange(n)).astype("str").str.zfill(width)


def picked(labels: pd.Series, index: np.ndarray) -> pd.Series:
    """`labels[index]` for millions of rows, as text."""
    return labels.take(index).reset_index(drop=True)
