"""Folds: associative reductions over the entries of a row, on the device.

Every kernel of this package is one fold over one layout, so that a layout need only know how to
fold, and a kernel only what to fold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


@dataclass(frozen=True)
class Fold:
    """How the entries of a row become one result.

    Attributes:
      lift: `(value, gathered, own)` of an entry, as arrays that broadcast, to one array;
        `gathered` belongs to the column of the entry and `own` to its row.
      expand: what was lifted to a contribution, any pytree of arrays of that shape.
      combine: merges two contributions; associative and commutative up to rounding.
      identity: what an empty row gives, scalars. A zero value must lift and expand to it: that
        makes padding inert.
    """

    lift: Callable[[Array, Array, Any], Array]
    expand: Callable[[Array], Any]
    combine: Callable[[Any, Any], Any]
    identity: Any


def take(array: Array, index: Array) -> Array:
    """`array[index]` without the checks that indices known to be valid do not need."""
    return array.at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)


def combine_tree(combine: Callable[[Any, Any], Any], parts: list[Any]) -> Any:
    """Merges contributions, a power of two of them, as a balanced tree to keep rounding small."""
    while len(parts) > 1:
        parts = [combine(a, b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def join_pieces(
    combine: Callable[[Any, Any], Any], pieces: Any, levels: tuple[Array, ...], position: Array
) -> Any:
    """Results of rows from the results of their pieces.

    Args:
      combine: of the fold.
      pieces: results of pieces, each leaf f32[places].
      levels: each i32[JOIN_WIDTH, M], places to merge; results are appended to the places.
      position: i32[n_rows], where the result of a row ends up.
    """
    for level in levels:
        several = jax.tree.map(lambda a, at=level: take(a, at), pieces)
        parts = [jax.tree.map(lambda a, k=k: a[k], several) for k in range(level.shape[0])]
        merged = combine_tree(combine, parts)
        pieces = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), pieces, merged)
    return jax.tree.map(lambda a: take(a, position), pieces)
