"""Numbers as a network likes them: robust scaling and piecewise-linear encoding (PLE)."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

_MAX_ROWS = 200_000  # quantiles of more rows than this are those of evenly spaced rows
_CLIP = 3.0  # scaled values approach this, as in RealMLP (Holzmüller et al. 2024, section 3)
_NARROW = 1e-5  # bins narrower than this, in scaled units, tell rounding errors apart, not values


class NumericEncoding(NamedTuple):
    """Scales and bins of F numeric columns, fitted on training rows."""

    centre: Array  # f32[F], medians
    scale: Array  # f32[F], interquartile ranges
    low: Array  # f32[F, T], lower edges of the bins, in scaled units
    inverse_width: Array  # f32[F, T], 0 for a bin without width
    has_missing: Array  # f32[F], 1 where training rows lacked a value


def fit_numeric(numeric: np.ndarray, n_bins: int) -> NumericEncoding:
    """Medians, interquartile ranges and quantile bins of float32[N, F], in float64.

    Equal quantiles give bins without width, which encode to 0; so a column with two values has
    one bin. Columns without any value encode to 0.
    """
    if not numeric.shape[1]:
        column, bins = jnp.zeros(0), jnp.zeros((0, n_bins))
        return NumericEncoding(column, column, bins, bins, column)
    step = -(-len(numeric) // _MAX_ROWS)
    sample = numeric[::step].astype(np.float64)
    missing = np.isnan(sample)
    sample[:, missing.all(axis=0)] = 0.0
    quantiles = np.nanquantile(sample, np.linspace(0.0, 1.0, n_bins + 1), axis=0)
    low, centre, high = np.nanquantile(sample, [0.25, 0.5, 0.75], axis=0)
    spread = np.ptp(quantiles, axis=0)
    scale = np.where(high > low, high - low, np.where(spread > 0, spread, 1.0))
    edges = ((quantiles - centre) / scale).T
    width = np.diff(edges, axis=1)
    inverse = np.divide(1.0, width, out=np.zeros_like(width), where=width > _NARROW)
    return NumericEncoding(
        centre=jnp.asarray(centre, jnp.float32),
        scale=jnp.asarray(scale, jnp.float32),
        low=jnp.asarray(edges[:, :-1], jnp.float32),
        inverse_width=jnp.asarray(inverse, jnp.float32),
        has_missing=jnp.asarray(np.isnan(numeric).any(axis=0), jnp.float32),
    )


def encode_numeric(encoding: NumericEncoding, numeric: Array) -> Array:
    """PLE, smoothly clipped value and missing indicator of each column.

    Args:
      encoding: of F columns and T bins.
      numeric: f32[..., F], NaN where missing.

    Returns:
      f32[..., F, T + 2]. Bin t of a value x holds clip((x - low_t) / width_t, 0, 1), after
      Gorishniy, Rubachev and Babenko (2022), equation 1; but the outer bins are clipped as well,
      and the clipped value carries what lies beyond them. A missing value counts as the median.
    """
    missing = jnp.isnan(numeric)
    # The value is replaced before the arithmetic, so that gradients of missing values are 0.
    known = jnp.where(missing, encoding.centre, numeric)
    scaled = ((known - encoding.centre) / encoding.scale)[..., None]
    bins = jnp.clip((scaled - encoding.low) * encoding.inverse_width, 0.0, 1.0)
    clipped = scaled / jnp.sqrt(1.0 + jnp.square(scaled / _CLIP))
    indicator = (missing * encoding.has_missing)[..., None]
    return jnp.concatenate([bins, clipped, indicator], axis=-1)
