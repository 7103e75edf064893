"""The restarted Halpern primal-dual hybrid gradient method, in one jitted loop.

A step T of the primal-dual hybrid gradient method (Chambolle and Pock, 2011; for linear programs
PDLP, Applegate et al., 2021) costs one product with K and one with its transpose. The iteration is
Halpern's, reflected: `w <- a (2 T(w) - w) + (1 - a) w0` with a = k / (k + 1) in the k-th step after
a restart at w0 (Lu and Yang, 2024, arXiv 2407.16144). It restarts where the fixed-point residual
`|w - T(w)|` has fallen enough, and then weighs primal against dual steps by how far either moved.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jaxcampaign.relaxations.first_order.saddle import Dual, Primal, Saddle

_SAFE = 0.998  # share of the largest step that converges
# Restart when the residual has fallen to the first share since the last restart; or to the second
# and rises again; or when the iterations since are this share of all.
_SUFFICIENT, _NECESSARY, _LONGEST = 0.2, 0.8, 0.36
_SMOOTHING = 0.5  # of the primal weight, on a logarithmic scale


class Point(NamedTuple):
    """A primal and a dual point."""

    primal: Primal
    dual: Dual


class State(NamedTuple):
    """Where the iteration stands.

    Attributes:
      point: the iterate w.
      image: T(w).
      anchor: where it restarted, w0.
      age: i32, steps since.
      residual: f32[2], at the restart and at the last check.
      weight: f32, primal weight.
      steps: i32, all steps.
      bound: f32, the best Lagrangian bound at a check, in the minimised form and in scaled costs.
      best: the prices that give it, feasible to float32.
    """

    point: Point
    image: Point
    anchor: Point
    age: Array
    residual: Array
    weight: Array
    steps: Array
    bound: Array
    best: Dual


def start(point: Point, weight: float) -> State:
    """The state before the first step."""
    infinite = jnp.full(2, jnp.inf, jnp.float32)
    zero, bound = jnp.int32(0), jnp.float32(-jnp.inf)
    weigh = jnp.float32(weight)
    return State(point, point, point, zero, infinite, weigh, zero, bound, point.dual)


@jax.jit
def advance(saddle: Saddle, state: State, checks: int, steps: int) -> State:
    """Run `checks` times `steps` steps; restarts and bounds are looked at after each `steps`."""

    def block(_, state: State) -> State:
        return _check(saddle, lax.fori_loop(0, steps, lambda _, s: _step(saddle, s), state))

    return lax.fori_loop(0, checks, block, state)


@jax.jit
def norms(saddle: Saddle, point: Point) -> Array:
    """Norms of a primal and a dual point in the metric of the step sizes, f32[2]."""
    return jnp.stack([_norm(point.primal, saddle.primal_step), _norm(point.dual, saddle.dual_step)])


def _step(saddle: Saddle, state: State) -> State:
    share = state.age / (state.age + 1.0)
    point = jax.tree.map(
        lambda w, image, anchor: share * (2 * image - w) + (1 - share) * anchor,
        state.point,
        state.image,
        state.anchor,
    )
    image = _image(saddle, point, state.weight)
    return state._replace(point=point, image=image, age=state.age + 1, steps=state.steps + 1)


def _image(saddle: Saddle, point: Point, weight: Array) -> Point:
    """A step of the primal-dual hybrid gradient method, T."""
    frame = saddle.frame
    primal = jax.tree.map(
        lambda w, cost, worth, step: jnp.clip(w - _SAFE / weight * step * (cost - worth), 0, 1),
        point.primal,
        frame.cost,
        saddle.worth(point.dual),
        saddle.primal_step,
    )
    ahead = jax.tree.map(lambda new, old: 2 * new - old, primal, point.primal)
    step = jax.tree.map(lambda size: _SAFE * weight * size, saddle.dual_step)
    moved = jax.tree.map(
        lambda w, size, rise: w - size * rise, point.dual, step, saddle.rise(ahead)
    )
    row = moved.row + step.row * jnp.clip(-moved.row / step.row, frame.row_lower, frame.row_upper)
    # Rounding must not leave a price on an open side.
    row = jnp.where(jnp.isinf(frame.row_lower), jnp.minimum(row, 0), row)
    row = jnp.where(jnp.isinf(frame.row_upper), jnp.maximum(row, 0), row)
    dual = Dual(
        jnp.maximum(moved.demand + step.demand * frame.demand, 0),
        row,
        jnp.maximum(moved.first, 0),
        jnp.maximum(moved.cut - step.cut * saddle.intercept, 0),
    )
    return Point(primal, dual)


def _check(saddle: Saddle, state: State) -> State:
    moved = jax.tree.map(jnp.subtract, state.image, state.point)
    primal = _norm(moved.primal, saddle.primal_step)
    dual = _norm(moved.dual, saddle.dual_step)
    residual = jnp.sqrt(state.weight * primal**2 + dual**2 / state.weight)
    first, last = state.residual
    due = residual <= _SUFFICIENT * first
    due |= (residual <= _NECESSARY * first) & (residual > last)
    due |= state.age >= _LONGEST * state.steps
    # Without a restart behind it, the first residual is what later ones are measured by.
    first = jnp.where(jnp.isinf(first) | due, residual, first)

    gone = jax.tree.map(jnp.subtract, state.image, state.anchor)
    primal, dual = _norm(gone.primal, saddle.primal_step), _norm(gone.dual, saddle.dual_step)
    moves = (primal > 1e-10) & (dual > 1e-10)
    ratio = jnp.where(moves, dual / jnp.where(moves, primal, 1.0), state.weight)
    weight = jnp.where(due, ratio**_SMOOTHING * state.weight ** (1 - _SMOOTHING), state.weight)

    restarted = jax.tree.map(lambda a, b: jnp.where(due, a, b), state.image, state.point)
    anchor = jax.tree.map(lambda a, b: jnp.where(due, a, b), state.image, state.anchor)
    prices = saddle.affordable(state.image.dual)
    bound = _bound(saddle, prices)
    best = jax.tree.map(lambda a, b: jnp.where(bound > state.bound, a, b), prices, state.best)
    return state._replace(
        point=restarted,
        anchor=anchor,
        age=jnp.where(due, 0, state.age),
        residual=jnp.stack([first, residual]),
        weight=weight,
        bound=jnp.maximum(bound, state.bound),
        best=best,
    )


def _bound(saddle: Saddle, dual: Dual) -> Array:
    """The Lagrangian bound of feasible prices."""
    frame, price = saddle.frame, dual.row
    lower = jnp.where(price > 0, price * frame.row_lower, 0.0)
    upper = jnp.where(price < 0, price * frame.row_upper, 0.0)
    reduced = jax.tree.map(jnp.subtract, frame.cost, saddle.worth(dual))
    return (
        dual.demand @ frame.demand
        + (lower + upper).sum()
        - dual.cut @ saddle.intercept
        + sum(jnp.minimum(part, 0).sum() for part in reduced)
    )


def _norm(parts: NamedTuple, steps: NamedTuple) -> Array:
    return jnp.sqrt(
        sum((part * part / step).sum() for part, step in zip(parts, steps, strict=True))
    )
