"""From columns to mean, deviation and the values of the coalitions of sources: pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jaxcampaign.effectiveness.network.categories import CategoryRows, embedding_rows
from jaxcampaign.effectiveness.network.losses import Link, mean_and_std
from jaxcampaign.effectiveness.network.numeric import NumericEncoding
from jaxcampaign.effectiveness.network.towers import Network, TowerPlan, merged
from jaxcampaign.effectiveness.shapley import COALITIONS


class Constants(NamedTuple):
    """What the training rows fixed besides the parameters."""

    numeric: NumericEncoding
    categories: CategoryRows
    centre: Array  # f32[G, K], mean contribution of each tower to the link
    shift: Array  # f32[K], added to the link
    reference: list[Array]  # mean block of each source; read by a joint tower only
    location: Array  # f32[], of the target
    scale: Array  # f32[]


def blank_constants(plan: TowerPlan, n_codes: Sequence[int]) -> Constants:
    """Constants of the right shapes that change nothing; columns and target are to be set."""
    n_numeric = sum(map(len, plan.numeric))
    column = jnp.zeros(n_numeric)
    bins = jnp.zeros((n_numeric, plan.n_bins))
    codes = jnp.zeros(len(n_codes), jnp.int32)
    sizes = [0 if plan.additive else plan.block_size(source) for source in range(3)]
    return Constants(
        numeric=NumericEncoding(column, column + 1, bins, bins, column),
        categories=CategoryRows(jnp.zeros(sum(n_codes) + 1, jnp.int32), codes, codes),
        centre=jnp.zeros((len(plan.towers), plan.members)),
        shift=jnp.zeros(plan.members),
        reference=[jnp.zeros(size) for size in sizes],
        location=jnp.zeros(()),
        scale=jnp.ones(()),
    )


class Outcome(NamedTuple):
    """What one pass says of n rows, on the natural scale."""

    mean: Array  # f32[n]
    std: Array  # f32[n]
    members: Array  # f32[K, n]
    values: Array  # f32[V, n]: V = 8 coalitions, or the link contributions of the G towers
    link: Array  # f32[G, n], centred summands of the link by tower, means over the members


def predict_moments(
    plan: TowerPlan,
    link: Link,
    power: float,
    parameters: nnx.State,
    constants: Constants,
    numeric: Array,
    categorical: Array,
) -> tuple[Array, Array, Array]:
    """Mean f32[...], deviation f32[...] and members f32[..., K] of f32[..., F] and i32[..., C].

    The variance is the members' mean noise plus the variance of their means.
    """
    network, blocks = _blocks(plan, parameters, constants, numeric, categorical)
    raw = network.contributions(blocks).sum(axis=0) + network.intercept[...]
    return _moments(raw, constants, link, power)


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def predict_rows(
    plan: TowerPlan,
    link: Link,
    power: float,
    with_parts: bool,
    parameters: nnx.State,
    constants: Constants,
    numeric: Array,
    categorical: Array,
) -> Outcome:
    """The outcome of f32[n, F] numbers and i32[n, C] categories.

    With parts, `values` are the contributions of additive towers under the identity link, whose
    Shapley split they are; otherwise the natural-scale means of all coalitions, in which a source
    that takes no part contributes its training mean (its mean block, in a joint tower).
    """
    network, blocks = _blocks(plan, parameters, constants, numeric, categorical)
    contributions = network.contributions(blocks)
    found = _outcome(plan, link, power, with_parts, network, constants, contributions)
    if not with_parts or plan.additive:
        return found

    def value(taking_part: Array) -> Array:
        mixed = [
            jnp.where(used, block, mean)
            for used, block, mean in zip(taking_part, blocks, constants.reference, strict=True)
        ]
        raw = network.contributions(mixed)[..., 0].sum(axis=0) + network.intercept[:, 0]
        return _natural_mean(raw, constants, link, power)

    return found._replace(values=jax.lax.map(value, jnp.asarray(COALITIONS, bool)))


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def outcome_of_towers(
    plan: TowerPlan,
    link: Link,
    power: float,
    with_parts: bool,
    parameters: nnx.State,
    constants: Constants,
    contributions: Array,
) -> Outcome:
    """The outcome of what additive towers contribute, f32[G, n, K, 2]; see `tower_outputs`."""
    network = merged(plan, parameters)
    return _outcome(plan, link, power, with_parts, network, constants, contributions)


@partial(jax.jit, static_argnums=(0, 1))
def tower_outputs(
    plan: TowerPlan,
    tower: int,
    parameters: nnx.State,
    constants: Constants,
    numeric: Array,
    categorical: Array,
) -> Array:
    """f32[n, K, 2], what one additive tower contributes to each member's mean and raw deviation."""
    network = merged(plan, parameters)
    rows = embedding_rows(constants.categories, categorical)
    block = network.encoders[plan.towers[tower][0]](constants.numeric, numeric, rows)
    return network.towers[tower](block)


@partial(jax.jit, static_argnums=(0, 1))
def first_products(
    plan: TowerPlan,
    tower: int,
    parameters: nnx.State,
    constants: Constants,
    numeric: Array,
    categorical: Array,
    used: Array,
) -> Array:
    """f32[n, width], what some columns add to the first matrix product of one additive tower.

    The product is linear in what each column is encoded to: those of columns that vary apart from
    each other are computed apart, and added.

    Args:
      plan: sizes of the network.
      tower: which.
      parameters: of the network.
      constants: of the training rows.
      numeric: f32[n, F].
      categorical: i32[n, C].
      used: bool[F + C], the columns.
    """
    network = merged(plan, parameters)
    rows = embedding_rows(constants.categories, categorical)
    (source,) = plan.towers[tower]
    block = network.encoders[source](constants.numeric, numeric, rows)
    own = jnp.where(used[plan.columns_of_block(source)], block, 0.0)
    return own @ network.towers[tower].first[...]


@partial(jax.jit, static_argnums=(0, 1))
def outputs_of_products(
    plan: TowerPlan, tower: int, parameters: nnx.State, products: Array
) -> Array:
    """What `tower_outputs` returns, from the sum of `first_products` over all columns."""
    return merged(plan, parameters).towers[tower].after_first(products)


def _outcome(
    plan: TowerPlan,
    link: Link,
    power: float,
    with_parts: bool,
    network: Network,
    constants: Constants,
    contributions: Array,
) -> Outcome:
    intercept = network.intercept[...]
    mean, std, members = _moments(contributions.sum(axis=0) + intercept, constants, link, power)
    centre = constants.centre[:, None]
    centred = contributions[..., 0] - centre
    unit = constants.scale if link == "identity" else 1.0
    summands = unit * centred.mean(axis=-1)
    values = jnp.zeros((0, len(mean)))
    if with_parts and plan.additive and link == "identity":
        values = summands
    elif with_parts and plan.additive:
        taking_part = COALITIONS[:, [sources[0] for sources in plan.towers]]
        eta = jnp.einsum("sg,gnk->snk", taking_part, centred)
        raw = eta + centre.sum(axis=0) + intercept[:, 0]
        values = _natural_mean(raw, constants, link, power)
    return Outcome(mean, std, jnp.moveaxis(members, -1, 0), values, summands)


@partial(jax.jit, static_argnums=0)
def tower_contributions(
    plan: TowerPlan,
    parameters: nnx.State,
    constants: Constants,
    numeric: Array,
    categorical: Array,
) -> tuple[Array, Array, list[Array]]:
    """f32[G, n, K] contributions to the link, f32[K] intercepts, and the blocks of the rows."""
    network, blocks = _blocks(plan, parameters, constants, numeric, categorical)
    return network.contributions(blocks)[..., 0], network.intercept[:, 0], blocks


def _blocks(
    plan: TowerPlan,
    parameters: nnx.State,
    constants: Constants,
    numeric: Array,
    categorical: Array,
) -> tuple[Network, list[Array]]:
    network = merged(plan, parameters)
    rows = embedding_rows(constants.categories, categorical)
    return network, network.encode(constants.numeric, numeric, rows)


def _moments(
    raw: Array, constants: Constants, link: Link, power: float
) -> tuple[Array, Array, Array]:
    shifted = raw.at[..., 0].add(constants.shift)
    mean, noise = mean_and_std(shifted, link, power)
    variance = jnp.square(noise).mean(axis=-1) + mean.var(axis=-1)
    members = constants.location + constants.scale * mean
    average = constants.location + constants.scale * mean.mean(axis=-1)
    return average, constants.scale * jnp.sqrt(variance), members


def _natural_mean(raw_mean: Array, constants: Constants, link: Link, power: float) -> Array:
    raw = jnp.stack([raw_mean + constants.shift, jnp.zeros_like(raw_mean)], axis=-1)
    mean, _ = mean_and_std(raw, link, power)
    return constants.location + constants.scale * mean.mean(axis=-1)
