"""The training loop: whole epochs on the device, one look at the validation rows after each."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import Array

from jaxcampaign.effectiveness.network.losses import Link, loss, mean_and_std, score
from jaxcampaign.effectiveness.network.numeric import NumericEncoding
from jaxcampaign.effectiveness.network.towers import TowerPlan, initial_parameters, merged
from jaxcampaign.progress import progress

_EVALUATED_AT_ONCE = 4096
_TICKS = 1000  # of the learning-rate schedule, whatever the number of steps


@dataclass(frozen=True)
class Recipe:
    """How to train; hashable and the same for all folds of a study."""

    link: Link
    power: float
    batch: int
    learning_rate: float
    weight_decay: float
    max_gradient: float
    warmup: float


class Rows(NamedTuple):
    """Training or validation rows, padded below with rows of weight 0."""

    numeric: Array  # f32[R, F]
    embedding_rows: Array  # i32[R, C]
    target: Array  # f32[R], standardised
    weight: Array  # f32[R]


class TrainState(NamedTuple):
    """Everything that the next epoch depends on, besides data, recipe and key."""

    parameters: nnx.State
    optimiser: optax.OptState
    best: nnx.State  # the parameters of the best epoch so far
    best_score: Array  # f32[]
    epoch: Array  # i32[], epochs done
    stale: Array  # i32[], epochs since the best one
    history: np.ndarray  # f32[epochs, 2], mean training loss and validation score; NaN where none


def initial_state(plan: TowerPlan, recipe: Recipe, epochs: int, key: Array) -> TrainState:
    """The state before the first epoch. The key is consumed."""
    parameters = initial_parameters(plan, key)
    return TrainState(
        parameters=parameters,
        optimiser=_optimiser(recipe).init(parameters),
        best=parameters,
        best_score=jnp.asarray(jnp.inf, jnp.float32),
        epoch=jnp.asarray(0, jnp.int32),
        stale=jnp.asarray(0, jnp.int32),
        history=np.full((epochs, 2), np.nan, np.float32),
    )


def train(
    plan: TowerPlan,
    recipe: Recipe,
    state: TrainState,
    encoding: NumericEncoding,
    rows: Rows,
    n_rows: int,
    validation: Rows,
    key: Array,
    *,
    patience: int,
    after_epoch: Callable[[TrainState], None] = lambda state: None,
    show: bool = True,
) -> TrainState:
    """Epochs from `state` on, as many as its history has room for unless validation stalls.

    Args:
      plan: sizes of the network.
      recipe: how to train it.
      state: where to start; `initial_state` or a restored one.
      encoding: of the numeric columns.
      rows: training rows, padded; the first `n_rows` of them are real.
      n_rows: number of real training rows.
      validation: rows that early stopping watches; if all have weight 0, all epochs are run.
      key: of the whole training; epoch e uses `fold_in(key, e)`, so that resuming changes nothing.
      patience: epochs without a better score after which to stop.
      after_epoch: is told the state after each epoch.
      show: a progress bar, where somebody watches.
    """
    batches = max(n_rows // recipe.batch, 1)
    epochs = len(state.history)
    with progress(epochs if show else 0, "training", "epochs") as bar:
        bar.update(int(state.epoch))
        while int(state.epoch) < epochs and int(state.stale) < patience:
            epoch, history = int(state.epoch), state.history.copy()
            after, history[epoch] = _run_epoch(
                plan,
                recipe,
                state._replace(history=np.zeros((0, 2), np.float32)),
                encoding,
                rows,
                validation,
                n_rows,
                batches,
                batches * epochs,
                jax.random.fold_in(key, epoch),
            )
            state = after._replace(history=history)
            if show:
                mean_loss, found = history[epoch].tolist()
                bar.set_postfix(loss=f"{mean_loss:.4g}", score=f"{found:.4g}")
                bar.update()
            after_epoch(state)
    return state


def batch_size(n_rows: int) -> int:
    """A power of two: about 1/32 of the rows, at least 32 and at most 256.

    Larger ones save little time on a CPU, and need more epochs.
    """
    return min(max(1 << int(math.log2(max(n_rows / 24, 1))), 32), 256)


def default_epochs(n_rows: int) -> int:
    """60, and fewer beyond 50,000 rows: about 3 million rows are then seen; never under 8."""
    return min(max(3_000_000 // n_rows, 8), 60)


def _optimiser(recipe: Recipe) -> optax.GradientTransformation:
    chain = optax.chain(
        optax.clip_by_global_norm(recipe.max_gradient),
        optax.scale_by_adam(),
        optax.add_decayed_weights(recipe.weight_decay),
    )
    # One vector instead of many arrays: fewer kernels to compile and to start.
    return optax.flatten(chain)


@partial(jax.jit, static_argnums=(0, 1))
def _run_epoch(
    plan: TowerPlan,
    recipe: Recipe,
    state: TrainState,
    encoding: NumericEncoding,
    rows: Rows,
    validation: Rows,
    n_rows: Array,
    batches: Array,
    total: Array,
    key: Array,
) -> tuple[TrainState, Array]:
    """One pass over the rows in a new order; then f32[2], mean loss and validation score."""
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, recipe.learning_rate, max(round(_TICKS * recipe.warmup), 1), _TICKS
    )
    optimiser = _optimiser(recipe)
    order_key, step_key = jax.random.split(key)
    places = jnp.arange(len(rows.target))
    # Real rows in random order, then the padding.
    order = jnp.argsort(jax.random.uniform(order_key, places.shape) + 2.0 * (places >= n_rows))

    def step(index: Array, carry: tuple[nnx.State, optax.OptState, Array]):
        parameters, optimiser_state, loss_sum = carry
        chosen = jax.lax.dynamic_slice_in_dim(order, index * recipe.batch, recipe.batch)
        batch = jax.tree.map(lambda column: column[chosen], rows)
        key = jax.random.fold_in(step_key, index)
        cost, gradient = jax.value_and_grad(_batch_loss, argnums=2)(
            plan, recipe, parameters, encoding, batch, key
        )
        updates, optimiser_state = optimiser.update(gradient, optimiser_state, parameters)
        rate = schedule(_TICKS * (state.epoch * batches + index) / total)
        parameters = jax.tree.map(lambda p, u: p - rate * u, parameters, updates)
        return parameters, optimiser_state, loss_sum + cost

    # A loop whose bound is traced: other numbers of rows in the same bucket need no compilation.
    start = (state.parameters, state.optimiser, jnp.zeros(()))
    parameters, optimiser_state, loss_sum = jax.lax.fori_loop(0, batches, step, start)
    watched = validation.weight.sum() > 0
    found = jax.lax.cond(
        watched,
        lambda: _validation_score(plan, recipe, parameters, encoding, validation),
        lambda: jnp.float32(jnp.nan),
    )
    better = ~watched | (found < state.best_score)
    best = jax.tree.map(lambda new, old: jnp.where(better, new, old), parameters, state.best)
    after = state._replace(
        parameters=parameters,
        optimiser=optimiser_state,
        best=best,
        best_score=jnp.where(better, found, state.best_score),
        epoch=state.epoch + 1,
        stale=jnp.where(better, 0, state.stale + 1),
    )
    return after, jnp.stack([loss_sum / batches, found])


def _batch_loss(
    plan: TowerPlan,
    recipe: Recipe,
    parameters: nnx.State,
    encoding: NumericEncoding,
    batch: Rows,
    key: Array,
) -> Array:
    """Mean over rows and members: each member is trained on its own error."""
    network = merged(plan, parameters)
    hide_key, dropout_key = jax.random.split(key)
    hidden = network.hide(batch.embedding_rows, hide_key)
    blocks = network.encode(encoding, batch.numeric, hidden)
    raw = network.contributions(blocks, dropout_key).sum(axis=0) + network.intercept[...]
    costs = loss(raw, batch.target[:, None], recipe.link, recipe.power).mean(axis=-1)
    return jnp.sum(batch.weight * costs) / jnp.maximum(jnp.sum(batch.weight), 1e-12)


def _validation_score(
    plan: TowerPlan,
    recipe: Recipe,
    parameters: nnx.State,
    encoding: NumericEncoding,
    validation: Rows,
) -> Array:
    network = merged(plan, parameters)

    def moments(rows: Rows) -> tuple[Array, Array]:
        blocks = network.encode(encoding, rows.numeric, rows.embedding_rows)
        raw = network.contributions(blocks).sum(axis=0) + network.intercept[...]
        mean, noise = mean_and_std(raw, recipe.link, recipe.power)
        return mean.mean(axis=-1), jnp.sqrt(jnp.square(noise).mean(axis=-1) + mean.var(axis=-1))

    mean, std = jax.lax.map(moments, validation, batch_size=_EVALUATED_AT_ONCE)
    link, power = recipe.link, recipe.power
    return score(mean, std, validation.target, validation.weight, link, power)
