"""Influence and its derivatives over a sparse layout, in float32 on the device.

For x in [0, 1]^S, the chance with which each slot is chosen, and probabilities p:

    reach   q_u = 1 - prod_s (1 - x_s p_su)
    F(x)  = sum_u w_u q_u                                     the multilinear extension
    dF/dx_s = sum_u p_su w_u prod_{t != s} (1 - x_t p_tu)

No logarithms: q is accumulated as `q + t (1 - q)`, t = x p, which is exact for tiny p, and beside
it the product `r = prod max(1 - t, eps/2)`. The clamp changes only an exact zero, so that
`r / max(1 - t, eps/2)` is the product over the other slots even where one slot is certain.

`by_user` layouts have users as rows and slots as columns, `by_slot` layouts the reverse. All
functions work under `jit` and `vmap`. For many long vectors on a CPU, `jax.lax.map` is faster than
`vmap`, which gathers for all vectors at once and so leaves the cache.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxcampaign.errors import InputError
from jaxcampaign.influence.folds import Fold
from jaxcampaign.influence.layout import Layout

_TINY = 2.0**-24
"""Half of float32's eps: the spacing below 1, so that 1 - t is never nearer to 0 but for t = 1."""


def _rest(touched: Array) -> Array:
    """Chance that an exposure fails, kept away from zero."""
    return jnp.maximum(1.0 - touched, _TINY)


def _either(a: Array, b: Array) -> Array:
    """Chance of one event or another, independent of it."""
    return a + b * (1.0 - a)


def _either_and_rest(a: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array]:
    reach = _either(a[0], b[0])
    # Below a half, 1 - q is exact to the last bit of q, where many factors near 1 would each round.
    return reach, jnp.where(reach < 0.5, 1.0 - reach, a[1] * b[1])


def _same(lifted: Array) -> Array:
    return lifted


_SUM = Fold(lambda p, x, own: p * x, _same, jnp.add, 0.0)
_REACH = Fold(lambda p, x, own: p * x, _same, _either, 0.0)
_REACH_AND_REST = Fold(
    lambda p, x, own: p * x, lambda t: (t, _rest(t)), _either_and_rest, (0.0, 1.0)
)
_GRADIENT = Fold(lambda p, rest, x: p * rest / _rest(x * p), _same, jnp.add, 0.0)


@jax.jit
def matvec(layout: Layout, x: ArrayLike) -> Array:
    """Sums `value * x` over each row.

    Args:
      layout: the matrix.
      x: f32[n_columns], finite.

    Returns:
      f32[n_rows].
    """
    return layout.fold(_SUM, _vector(x, layout.n_columns, "x"))


@jax.jit
def reach(layout: Layout, x: ArrayLike) -> Array:
    """Chance that each row is influenced, `1 - prod (1 - value * x)`.

    Args:
      layout: probabilities, by user.
      x: f32[S] in [0, 1].

    Returns:
      f32[U].
    """
    return layout.fold(_REACH, _vector(x, layout.n_columns, "x"))


@jax.jit
def reach_and_rest(layout: Layout, x: ArrayLike) -> tuple[Array, Array]:
    """Reach, and the clamped chance of the opposite that gradients are made of.

    Args:
      layout: probabilities, by user.
      x: f32[S] in [0, 1].

    Returns:
      f32[U], as `reach`; and f32[U], `prod max(1 - value * x, eps/2)`.
    """
    return layout.fold(_REACH_AND_REST, _vector(x, layout.n_columns, "x"))


@jax.jit
def multilinear_gradient(by_slot: Layout, x: ArrayLike, weighted_rest: ArrayLike) -> Array:
    """Gradient of the multilinear extension, for any weighting of users in one pass.

    Several products weigh users by `w = A^T lambda` first, A their audiences: one pass then gives
    the gradient of the lambda-weighted sum of all products.

    Args:
      by_slot: probabilities, by slot.
      x: f32[S] in [0, 1].
      weighted_rest: f32[U], `w_u r_u`, with r of `reach_and_rest` at the same x.

    Returns:
      f32[S], `sum_u p_su w_u r_u / max(1 - x_s p_su, eps/2)`.
    """
    return by_slot.fold(
        _GRADIENT,
        _vector(weighted_rest, by_slot.n_columns, "weighted_rest"),
        _vector(x, by_slot.n_rows, "x"),
    )


@jax.jit
def multiply(layout: Layout, transposed: Layout, x: ArrayLike) -> Array:
    """`matvec` with a reverse mode: differentiable in x.

    Second derivatives are taken forward over reverse (`jax.hessian`, `jax.jvp` of `jax.grad`); the
    forward mode alone is that of `matvec`.

    Args:
      layout: the matrix.
      transposed: the same matrix in the other orientation.
      x: f32[n_columns], finite.

    Returns:
      f32[n_rows].
    """
    x = _vector(x, layout.n_columns, "x")
    return _multiply(_constant(layout), _constant(transposed), x)


@jax.jit
def expected_reach(by_user: Layout, by_slot: Layout, x: ArrayLike) -> Array:
    """`reach` with a reverse mode: differentiable in x.

    Second derivatives are taken forward over reverse (`jax.hessian`, `jax.jvp` of `jax.grad`), and
    hold where every `x_s p_su` is below 1; the forward mode alone is that of `reach`.

    Args:
      by_user: probabilities, by user.
      by_slot: the same, by slot.
      x: f32[S] in [0, 1].

    Returns:
      f32[U].
    """
    x = _vector(x, by_user.n_columns, "x")
    return _expected_reach(_constant(by_user), _constant(by_slot), x)


@jax.custom_vjp
def _multiply(layout: Layout, transposed: Layout, x: Array) -> Array:
    return matvec(layout, x)


# Rules call the plain kernels, which have a forward mode, so that it can run over this reverse one.
def _multiply_forward(layout, transposed, x):
    return matvec(layout, x), transposed


def _multiply_backward(transposed, cotangent):
    return None, None, matvec(transposed, cotangent)


_multiply.defvjp(_multiply_forward, _multiply_backward)


@jax.custom_vjp
def _expected_reach(by_user: Layout, by_slot: Layout, x: Array) -> Array:
    return reach(by_user, x)


def _expected_reach_forward(by_user, by_slot, x):
    reached, rest = reach_and_rest(by_user, x)
    return reached, (by_slot, x, rest)


def _expected_reach_backward(residuals, cotangent):
    by_slot, x, rest = residuals
    return None, None, multilinear_gradient(by_slot, x, cotangent * rest)


_expected_reach.defvjp(_expected_reach_forward, _expected_reach_backward)


@jax.custom_jvp
def _constant(layout: Layout) -> Layout:
    """The layout itself; differentiating through it is an error, where custom rules return zero."""
    return layout


@_constant.defjvp
def _refuse(primals, tangents):
    raise TypeError("the kernels have no derivative in the probabilities of a layout, only in x")


def _vector(x: ArrayLike, size: int, name: str) -> Array:
    x = jnp.asarray(x, jnp.float32)
    if x.shape != (size,):
        raise InputError(
            f"shape is {x.shape}, the layout needs ({size},)",
            table=name,
            remedy="pass the layout of the other orientation, or use vmap for several vectors",
        )
    # Padding gathers element 0, so there must be one.
    return x if size else jnp.zeros(1, jnp.float32)
