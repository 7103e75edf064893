"""The multilinear extension of influence in closed form, for any number of products at once.

    F_j(x) = E[I_j(R)] = sum_u a_ju [1 - prod_s (1 - x_s p_su)],   slot s in R with chance x_s,
    dF_j/dx_s          = sum_u a_ju p_su prod_{t != s} (1 - x_t p_tu).

Exact and finite at p = 1 and x = 1. The kernels are those of `influence.kernels`; set functions
without a closed form are estimated by `MonteCarlo`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from jaxcampaign.errors import InputError
from jaxcampaign.influence.chunked import ChunkedLayout
from jaxcampaign.influence.folds import join_pieces, take
from jaxcampaign.influence.kernels import (
    expected_reach,
    matvec,
    multilinear_gradient,
    multiply,
    reach_and_rest,
)
from jaxcampaign.influence.layout import Layout
from jaxcampaign.problems import ProductInfluence, SetFunction, Weighted

# Rows of audiences gathered together, and steps between two writes of their sums: what stays in
# the second-level cache for some hundred products.
_LANES = 512
_STEPS = 8
# Half of float32's eps, as in the kernels: an exposure never fails with less than this chance.
_TINY = 2.0**-24


def multilinear(objective: SetFunction, x: ArrayLike) -> Array:
    """Multilinear extension of influence per product.

    Works under `jit` and `vmap`, and is differentiable: `jax.vjp` costs one pass over the pairs by
    user and one by slot, whatever the number of products, as the products' cotangents are first
    summed per user.

    Args:
      objective: influence per product, or `Weighted` sums of it.
      x: float[S] in [0, 1], the chance with which each slot is chosen.

    Returns:
      float32[L].

    Raises:
      InputError: a set function without a closed form.
    """
    if isinstance(objective, Weighted):
        weights = jnp.asarray(objective.weights, jnp.float32)
        return jnp.dot(weights, multilinear(objective.objective, x))[None]
    return _value(*_layouts(objective), jnp.asarray(x, jnp.float32))


def multilinear_value_and_gradient(
    objective: SetFunction, x: ArrayLike, weights: ArrayLike
) -> tuple[Array, Array]:
    """Value of every product, and the gradient of a weighted sum of them, one pass each.

    Args:
      objective: as for `multilinear`.
      x: float[S] in [0, 1].
      weights: float[L], lambda.

    Returns:
      `F_j(x)`, float32[L]; and `sum_j lambda_j dF_j/dx_s`, float32[S].
    """
    weights, x = jnp.asarray(weights, jnp.float32), jnp.asarray(x, jnp.float32)
    if isinstance(objective, Weighted):
        inner = weights * jnp.asarray(objective.weights, jnp.float32)
        value, gradient = multilinear_value_and_gradient(objective.objective, x, inner)
        return jnp.dot(jnp.asarray(objective.weights, jnp.float32), value)[None], gradient
    return _value_and_gradient(*_layouts(objective), x, weights)


def multilinear_gradients(objective: SetFunction, x: ArrayLike) -> Array:
    """Every product's own gradient.

    On a CPU one pass over the pairs gathers the rows of the table of audiences, one byte a user and
    product; elsewhere it is one gradient pass per product.

    Args:
      objective: as for `multilinear`.
      x: float[S] in [0, 1].

    Returns:
      `dF_j/dx_s`, float32[L, S].
    """
    x = jnp.asarray(x, jnp.float32)
    if isinstance(objective, Weighted):
        ones = jnp.ones(1, jnp.float32)
        return multilinear_value_and_gradient(objective, x, ones)[1][None]
    by_user, by_slot, _, by_audience = _layouts(objective)
    if isinstance(by_slot, ChunkedLayout):
        assert isinstance(objective, ProductInfluence)
        return _gradients_by_rows(by_user, by_slot, jnp.asarray(objective.interest), x)
    return _gradients_one_by_one(by_user, by_slot, by_audience, x)


def _layouts(objective: SetFunction) -> tuple[Layout, Layout, Layout, Layout]:
    """By user, by slot, audiences by product and by user; built now, even inside a `jit`."""
    if not isinstance(objective, ProductInfluence):
        raise InputError(
            "its multilinear extension has no closed form",
            table="objective",
            value=type(objective).__name__,
            remedy="estimate it with MonteCarlo",
        )
    with jax.ensure_compile_time_eval():
        influence = objective.influence
        return (
            influence.by_user,
            influence.by_slot,
            objective.audience_by_product,
            objective.audience_by_user,
        )


@jax.jit
def _value(by_user: Layout, by_slot: Layout, by_product: Layout, by_audience: Layout, x: Array):
    return multiply(by_product, by_audience, expected_reach(by_user, by_slot, x))


@jax.jit
def _value_and_gradient(
    by_user: Layout,
    by_slot: Layout,
    by_product: Layout,
    by_audience: Layout,
    x: Array,
    weights: Array,
):
    reached, rest = reach_and_rest(by_user, x)
    worth = matvec(by_audience, weights)
    return matvec(by_product, reached), multilinear_gradient(by_slot, x, worth * rest)


@jax.jit
def _gradients_one_by_one(by_user: Layout, by_slot: Layout, by_audience: Layout, x: Array):
    _, rest = reach_and_rest(by_user, x)

    def gradient(weights):
        return multilinear_gradient(by_slot, x, matvec(by_audience, weights) * rest)

    return lax.map(gradient, jnp.eye(by_audience.n_columns, dtype=jnp.float32))


@jax.jit
def _gradients_by_rows(by_user: Layout, by_slot: ChunkedLayout, interest: Array, x: Array):
    """Shapes: interest int8[U, L], x float32[S]; float32[L, S]."""
    _, rest = reach_and_rest(by_user, x)
    n_products = interest.shape[1]
    n_chunks, all_lanes = by_slot.row.shape
    lanes = min(all_lanes, _LANES)

    def add(step, sums, width, begin, lane, own):
        corner, block = (begin + step * width, lane), (width, lanes)
        column = lax.dynamic_slice(by_slot.columns, corner, block)
        prob = lax.dynamic_slice(by_slot.values, corner, block)
        share = prob * take(rest, column) / jnp.maximum(1.0 - own * prob, _TINY)
        for k in range(width):
            sums = sums + share[k][:, None] * take(interest, column[k]).astype(jnp.float32)
        return sums

    def sums_of_lanes(place):
        chunk, lane = place // (all_lanes // lanes), place % (all_lanes // lanes) * lanes
        start, depth = by_slot.start[chunk], by_slot.depth[chunk]
        own = take(x, lax.dynamic_slice(by_slot.row, (chunk, lane), (1, lanes))[0])
        sums = jnp.zeros((lanes, n_products), jnp.float32)
        for width in (_STEPS, 1):
            trips = depth // width
            sums = lax.fori_loop(
                0,
                trips,
                lambda k, sums, width=width, start=start: add(k, sums, width, start, lane, own),
                sums,
            )
            start, depth = start + trips * width, depth - trips * width
        return sums

    pieces = lax.map(sums_of_lanes, jnp.arange(n_chunks * (all_lanes // lanes)))
    pieces = pieces.reshape(-1, n_products)
    return join_pieces(jnp.add, pieces, by_slot.joins, by_slot.position).T
