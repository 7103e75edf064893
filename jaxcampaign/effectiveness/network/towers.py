"""Three towers, one per source, each a packed ensemble with heads for mean and deviation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxcampaign.effectiveness.network.numeric import NumericEncoding, encode_numeric

_STD_ONE = 0.5413  # softplus of this is 1: the deviation of a standardised target


@dataclass(frozen=True)
class TowerPlan:
    """Every size of a network; hashable, so that equal plans share compiled code."""

    numeric: tuple[tuple[int, ...], ...]  # by source: numeric columns
    categorical: tuple[tuple[int, ...], ...]  # by source: categorical columns
    n_rows: tuple[int, ...]  # C, rows of the embedding tables
    sizes: tuple[int, ...]  # C, widths of the embedding tables
    dropped: tuple[float, ...]  # C, chance that training hides a category
    n_bins: int
    members: int
    width: int
    depth: int
    dropout: float
    additive: bool

    @property
    def towers(self) -> tuple[tuple[int, ...], ...]:
        """The sources that each tower sees: one each, or all in one; none without columns."""
        present = tuple(s for s in range(3) if self.numeric[s] or self.categorical[s])
        return tuple((s,) for s in present) if self.additive else (present,)

    def block_size(self, source: int) -> int:
        """Length of the source's block: encoded numbers and embeddings."""
        numbers = len(self.numeric[source]) * (self.n_bins + 2)
        return numbers + sum(self.sizes[c] for c in self.categorical[source])

    def columns_of_block(self, source: int) -> np.ndarray:
        """i64[block_size], the column behind each number of a block; categories after numbers."""
        n_numeric = sum(map(len, self.numeric))
        numbers = np.repeat(np.array(self.numeric[source], np.int64), self.n_bins + 2)
        own = self.categorical[source]
        sizes = [self.sizes[c] for c in own]
        return np.concatenate([numbers, n_numeric + np.repeat(np.array(own, np.int64), sizes)])


class Encoder(nnx.Module):
    """Embeddings of the categories of one source, beside its encoded numbers."""

    def __init__(self, plan: TowerPlan, source: int, rng: np.random.Generator):
        columns = plan.categorical[source]
        self.numeric = plan.numeric[source]
        self.columns = columns
        shapes = [(plan.n_rows[c], plan.sizes[c]) for c in columns]
        self.tables = nnx.List([_table(shape, rng) for shape in shapes])

    def __call__(self, encoding: NumericEncoding, numeric: Array, rows: Array) -> Array:
        """f32[..., D], the block of f32[..., F] numbers and i32[..., C] embedding rows."""
        own = np.asarray(self.numeric, np.int32)
        encoded = encode_numeric(jax.tree.map(lambda of: of[own], encoding), numeric[..., own])
        flat = encoded.reshape(*encoded.shape[:-2], -1)
        found = [t[...][rows[..., c]] for t, c in zip(self.tables, self.columns, strict=True)]
        return jnp.concatenate([flat, *found], axis=-1)


class Tower(nnx.Module):
    """TabM-mini: K members share all matrices but scale and shift the first hidden layer each.

    After Gorishniy, Kotelnikov and Babenko (2025). There the members scale the input; scaling
    behind the first matrix has the same parameters' effect on the units and costs one product
    with the wide input instead of K.
    """

    def __init__(self, plan: TowerPlan, n_inputs: int, rng: np.random.Generator):
        members, width = plan.members, plan.width
        self.first = _drawn(rng.normal(size=(n_inputs, width)) / np.sqrt(max(n_inputs, 1)))
        self.scale = _drawn(rng.choice([-1.0, 1.0], size=(members, width)))
        self.shift = _drawn(rng.uniform(-0.5, 0.5, size=(members, width)))
        deeper = range(plan.depth - 1)
        kernels = [rng.normal(size=(width, width)) / np.sqrt(width) for _ in deeper]
        self.kernels = nnx.List([_drawn(kernel) for kernel in kernels])
        self.biases = nnx.List([_drawn(np.zeros(width)) for _ in deeper])
        self.head = _drawn(rng.normal(size=(members, width, 2)) / np.sqrt(width))

    def __call__(self, inputs: Array, kept: Array | None = None) -> Array:
        """f32[..., K, 2], summands of each member's mean and raw deviation.

        Args:
          inputs: f32[..., D].
          kept: f32[..., depth, width], what dropout multiplies the hidden units of all members by.
        """
        return self.after_first(inputs @ self.first[...], kept)

    def after_first(self, products: Array, kept: Array | None = None) -> Array:
        """The same of f32[..., width] products of the inputs with the first matrix."""
        units = products[..., None, :] * self.scale[...] + self.shift[...]
        units = nnx.relu(units)
        for layer, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            units = units if kept is None else units * kept[..., None, layer, :]
            units = nnx.relu(units @ kernel[...] + bias[...])
        units = units if kept is None else units * kept[..., None, -1, :]
        # One product with a block-diagonal matrix is several times quicker than K small ones.
        members, width, outputs = self.head.shape
        blocks = jnp.eye(members)[:, None, :, None] * self.head[...][:, :, None, :]
        flat = units.reshape(*units.shape[:-2], members * width)
        sums = flat @ blocks.reshape(members * width, members * outputs)
        return sums.reshape(*sums.shape[:-1], members, outputs)


class Network(nnx.Module):
    """Encoders of the sources, towers over them and each member's intercepts."""

    def __init__(self, plan: TowerPlan, rng: np.random.Generator):
        self.plan = plan
        self.encoders = nnx.List([Encoder(plan, source, rng) for source in range(3)])
        inputs = [sum(map(plan.block_size, sources)) for sources in plan.towers]
        self.towers = nnx.List([Tower(plan, n, rng) for n in inputs])
        self.intercept = _drawn(np.tile([0.0, _STD_ONE], (plan.members, 1)))

    def encode(self, encoding: NumericEncoding, numeric: Array, rows: Array) -> list[Array]:
        """The blocks of the three sources, f32[..., D_s] each; linear in the embeddings."""
        return [encoder(encoding, numeric, rows) for encoder in self.encoders]

    def contributions(self, blocks: Sequence[Array], key: Array | None = None) -> Array:
        """f32[G, ..., K, 2], the outputs of the G towers; `key` switches dropout on."""
        kept = None if key is None else self._kept(blocks[0].shape[:-1], key)
        outputs = []
        for index, (tower, sources) in enumerate(zip(self.towers, self.plan.towers, strict=True)):
            inputs = jnp.concatenate([blocks[source] for source in sources], axis=-1)
            outputs.append(tower(inputs, None if kept is None else kept[index]))
        return jnp.stack(outputs)

    def _kept(self, shape: tuple[int, ...], key: Array) -> Array | None:
        """f32[G, ..., depth, width] dropout masks, drawn at once: each draw is slow to compile."""
        share = 1.0 - self.plan.dropout
        if share == 1.0:
            return None
        size = (len(self.towers), *shape, self.plan.depth, self.plan.width)
        return jax.random.bernoulli(key, share, size) / share

    def hide(self, rows: Array, key: Array) -> Array:
        """i32[..., C], embedding rows of which some are replaced by the unknown row."""
        if not rows.shape[-1]:
            return rows
        chance = jnp.asarray(self.plan.dropped, jnp.float32)
        hidden = jax.random.uniform(key, rows.shape) < chance
        return jnp.where(hidden, 0, rows)


def parameter_shapes(plan: TowerPlan) -> nnx.State:
    """Shapes and dtypes in place of the parameters."""
    return _split_shapes(plan)[1]


def initial_parameters(plan: TowerPlan, key: Array) -> nnx.State:
    """Parameters of a new network. The key is consumed."""
    # Drawn on the host: compiling a draw of each shape takes longer than a short training.
    seed = np.asarray(jax.random.bits(key, (4,), "uint32"))
    return nnx.split(Network(plan, np.random.default_rng(seed)), nnx.Param)[1]


def merged(plan: TowerPlan, parameters: nnx.State) -> Network:
    """The network with these parameters; cheap inside `jit`."""
    return nnx.merge(_split_shapes(plan)[0], parameters)


@lru_cache(maxsize=64)
def _split_shapes(plan: TowerPlan) -> tuple[Any, nnx.State]:
    """The graph definition of the plan's network, and its parameters without values."""
    return nnx.split(nnx.eval_shape(lambda: Network(plan, np.random.default_rng(0))), nnx.Param)


def _table(shape: tuple[int, int], rng: np.random.Generator) -> nnx.Param:
    """An embedding table whose unknown row starts at zero, among the others' mean."""
    table = 0.1 * rng.normal(size=shape)
    table[0] = 0.0
    return _drawn(table)


def _drawn(values: np.ndarray) -> nnx.Param:
    return nnx.Param(jnp.asarray(values, jnp.float32))
