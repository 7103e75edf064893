"""Categories as rows of embedding tables: row 0 for whatever the training rows did not show."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array


class CategoryRows(NamedTuple):
    """Where the codes of C categorical columns lie in their embedding tables."""

    row: Array  # i32[total + 1], rows of all codes of all columns; 0 is unknown
    start: Array  # i32[C], where a column's codes start in `row`
    n_codes: Array  # i32[C]


def fit_categories(categorical: np.ndarray, n_codes: np.ndarray) -> CategoryRows:
    """Rows for the codes that occur in int32[N, C]."""
    start = np.concatenate([[0], np.cumsum(n_codes)[:-1]]).astype(np.int32)[: len(n_codes)]
    total = int(np.sum(n_codes))
    places = (categorical + start)[categorical >= 0]
    seen = np.bincount(places, minlength=total + 1)[: total + 1] > 0
    before = np.concatenate([[0], np.cumsum(seen)])
    column_of = np.repeat(np.arange(len(n_codes)), n_codes)
    row = np.zeros(total + 1, np.int32)
    row[:total] = np.where(seen[:total], before[1 : total + 1] - before[start][column_of], 0)
    return CategoryRows(*(jnp.asarray(a, jnp.int32) for a in (row, start, n_codes)))


def embedding_rows(rows: CategoryRows, categorical: Array) -> Array:
    """i32[..., C], the embedding rows of codes; 0 for codes that are unknown or out of range."""
    valid = (categorical >= 0) & (categorical < rows.n_codes)
    return jnp.where(valid, rows.row[jnp.where(valid, categorical + rows.start, 0)], 0)
