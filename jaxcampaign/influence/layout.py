"""The device layout of a sparse matrix: which formulation suits a platform, and building it."""

from __future__ import annotations

from typing import Literal, TypeAlias

import jax
import numpy as np
from numpy.typing import ArrayLike

from jaxcampaign.errors import InputError
from jaxcampaign.influence.chunked import ChunkedLayout, build_chunked, chunked_bytes
from jaxcampaign.influence.flat import FlatLayout, build_flat, flat_bytes

Formulation: TypeAlias = Literal["chunked", "flat"]
"""How entries lie in memory, and with that the shape of every kernel."""

Layout: TypeAlias = ChunkedLayout | FlatLayout
"""A sparse matrix on the device, in one orientation."""

_LARGEST_INT32 = np.iinfo(np.int32).max


def choose_formulation(platform: str | None = None) -> Formulation:
    """The formulation that is fast on a platform: the one place that decides it.

    Args:
      platform: "cpu", "gpu", ...; unless given, that of the device where new arrays go.
    """
    platform = platform or jax.device_put(np.float32(0)).devices().pop().platform
    return "chunked" if platform == "cpu" else "flat"


def build_layout(
    indptr: ArrayLike,
    indices: ArrayLike,
    values: ArrayLike,
    *,
    n_columns: int,
    formulation: Formulation | None = None,
) -> Layout:
    """Lays out a sparse matrix in compressed rows for the kernels.

    Arrays are padded to buckets, so that matrices of similar size share compiled code. The axes are
    not: where they vary as well, pad `indptr` with empty rows and `n_columns`, to `padded_size`.

    Args:
      indptr: int[n_rows + 1], where each row starts.
      indices: int[nnz], column of each entry, in any order; repeated entries count repeatedly.
      values: float[nnz], stored as float32.
      n_columns: number of columns.
      formulation: overrides `choose_formulation`.

    Raises:
      InputError: pointers, columns or values that make no matrix.
    """
    indptr = np.asarray(indptr, np.int64)
    indices, values = np.asarray(indices), np.asarray(values)
    _check(indptr, indices, values, n_columns)
    chosen = formulation or choose_formulation()
    build = build_chunked if chosen == "chunked" else build_flat
    return build(indptr, indices.astype(np.int32, copy=False), values, int(n_columns))


def estimate_layout_bytes(n_rows: int, nnz: int, formulation: Formulation | None = None) -> int:
    """Most bytes on the device that the layout of a matrix takes, whatever its degrees.

    Building takes about as much again on the host for a moment.

    Args:
      n_rows: number of rows.
      nnz: number of entries.
      formulation: overrides `choose_formulation`.
    """
    bound = {"chunked": chunked_bytes, "flat": flat_bytes}[formulation or choose_formulation()]
    return bound(n_rows, nnz)


def _check(indptr: np.ndarray, indices: np.ndarray, values: np.ndarray, n_columns: int) -> None:
    if not 0 <= n_columns <= _LARGEST_INT32:
        raise InputError(
            "number of columns is outside what 32-bit column ids can hold",
            table="n_columns",
            value=n_columns,
        )
    if indptr.ndim != 1 or not indptr.size or indptr[0] != 0 or (np.diff(indptr) < 0).any():
        raise InputError(
            "row pointers must be a vector that starts at 0 and never falls", table="indptr"
        )
    if indices.shape != values.shape or indices.shape != (indptr[-1],):
        raise InputError(
            f"{indices.shape} columns and {values.shape} values for {indptr[-1]} entries",
            table="indptr",
            remedy="give one column and one value for each entry",
        )
    outside = (indices < 0) | (indices >= n_columns)
    if outside.any():
        at = np.flatnonzero(outside)
        raise InputError(
            f"column is outside 0..{n_columns - 1}",
            table="indices",
            rows=at.tolist(),
            value=int(indices[at[0]]),
        )
    finite = np.isfinite(values)
    if not finite.all():
        at = np.flatnonzero(~finite)
        raise InputError(
            "value is not finite", table="values", rows=at.tolist(), value=float(values[at[0]])
        )
