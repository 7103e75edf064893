"""What each item is worth to sampled selections: `f_j(R + s) - f_j(R - s)`, exactly, in batches.

Differences are kept for the pairs (item, function) where they can differ from zero, in blocks of C
pairs, so that no array of items x functions x samples is ever made. The samples of a batch are the
last axis: a gather then reads a row of samples, which is contiguous.

`differences` chooses the form for a set function; a new set function that has a better form than
the general one registers it there.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxcampaign.errors import MemoryLimitError
from jaxcampaign.influence.folds import take
from jaxcampaign.influence.kernels import reach_and_rest
from jaxcampaign.influence.layout import Layout
from jaxcampaign.problems import ProductInfluence, SetFunction, Truncated, Weighted

_BLOCK = 256
_LARGEST_INT32 = np.iinfo(np.int32).max
# Half of float32's eps, as in the kernels: an exposure never fails with less than this chance.
_TINY = 2.0**-24


class Sampled(NamedTuple):
    """A batch of R sampled selections, and what its differences are made of."""

    masks: Array
    """f32[S, R], 1 where an item is chosen."""
    values: Array
    """f32[L, R], the functions."""
    source: Any
    """Whatever `block` reads."""


class Differences(Protocol):
    """Differences of L functions of S items, for the pairs that matter; a registered pytree."""

    @property
    def item(self) -> Array:
        """Item of each pair, i32[B, C]; padded pairs are any pair, with a difference of 0."""
        ...

    @property
    def function(self) -> Array:
        """Function of each pair, i32[B, C]."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """Functions and items, L and S."""
        ...

    @property
    def row_size(self) -> int:
        """Numbers held for each sample of a batch."""
        ...

    def values(self, masks: Array) -> Array:
        """The functions alone, f32[L, R], at selections f32[S, R]."""
        ...

    def sample(self, masks: Array) -> Sampled:
        """Evaluates selections, f32[S, R]."""
        ...

    def block(self, sampled: Sampled, index: Array) -> Array:
        """Differences of the pairs of one block, f32[C, R]."""
        ...


@singledispatch
def differences(objective: SetFunction) -> Differences:
    """Differences of any set function, in the best form that is known for its type.

    Raises:
      MemoryLimitError: more (slot, user, product) triples than 32-bit indices can tell apart.
    """
    with jax.ensure_compile_time_eval():
        # Lets the function build its tables, which it could not under a transformation.
        nothing = jnp.zeros(objective.n_items, jnp.float32)
        jax.block_until_ready((objective.value(nothing), objective.marginal_gains(nothing)))
    return _General(objective, *_all_pairs(objective.n_objectives, objective.n_items))


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class _General:
    """From value and marginal gains alone: one evaluation more for each item that is chosen."""

    objective: SetFunction = field(metadata={"static": True})
    item: Array
    function: Array

    @property
    def shape(self) -> tuple[int, int]:
        return self.objective.n_objectives, self.objective.n_items

    @property
    def row_size(self) -> int:
        return 2 * self.shape[0] * self.shape[1]

    def values(self, masks: Array) -> Array:
        return lax.map(self.objective.value, masks.T).T

    def sample(self, masks: Array) -> Sampled:
        values, each = lax.map(self._value_and_differences, masks.T)
        size = self.item.size
        table = each.reshape(len(each), -1).T
        return Sampled(masks, values.T, jnp.pad(table, ((0, size - len(table)), (0, 0))))

    def block(self, sampled: Sampled, index: Array) -> Array:
        return lax.dynamic_slice_in_dim(sampled.source, index * _BLOCK, _BLOCK)

    def _value_and_differences(self, mask: Array) -> tuple[Array, Array]:
        value = self.objective.value(mask)
        chosen_first = jnp.argsort(-mask)

        def remove(k, each):
            item = chosen_first[k]
            return each.at[:, item].set(value - self.objective.value(mask.at[item].set(0.0)))

        gains = self.objective.marginal_gains(mask)
        return value, lax.fori_loop(0, jnp.sum(mask > 0), remove, gains)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class _OfInfluence:
    """Influence per product: sums over the users that a slot and a product share.

    `p_su prod_{t in R - s} (1 - p_tu)` is computed once for each of the E pairs of slot and user;
    a pair of slot and product sums the entries of its users.
    """

    by_user: Layout
    interest: Array
    """i8[U, L]."""
    slot: Array
    """i32[E]."""
    user: Array
    """i32[E]."""
    prob: Array
    """f32[E]."""
    entry: Array
    """i32[T, C]: entries of the pairs of a block, step by step; E where a pair has no more."""
    start: Array
    """i32[B], first step of a block."""
    depth: Array
    """i32[B], steps of a block."""
    item: Array
    function: Array

    @property
    def shape(self) -> tuple[int, int]:
        return self.interest.shape[1], self.by_user.n_columns

    @property
    def row_size(self) -> int:
        # Masks, reach and rest of users, and entries with the temporaries of their computation.
        return sum(self.shape) + 2 * self.by_user.n_rows + 2 * self.prob.size

    def values(self, masks: Array) -> Array:
        reached, _ = _reach(self.by_user, masks)
        return self._per_product(reached)

    def sample(self, masks: Array) -> Sampled:
        reached, rest = _reach(self.by_user, masks)
        prob = self.prob[:, None]
        fresh = prob * take(rest, self.user) / jnp.maximum(1 - take(masks, self.slot) * prob, _TINY)
        nothing = jnp.zeros((1, masks.shape[1]), jnp.float32)
        return Sampled(masks, self._per_product(reached), jnp.concatenate([fresh, nothing]))

    def block(self, sampled: Sampled, index: Array) -> Array:
        start = self.start[index]

        def add(step, total):
            return total + take(sampled.source, self.entry[start + step])

        first = take(sampled.source, self.entry[start])
        return lax.fori_loop(1, self.depth[index], add, first)

    def _per_product(self, reached: Array) -> Array:
        interest = self.interest.T.astype(jnp.float32)
        return jnp.matmul(interest, reached, precision=lax.Precision.HIGHEST)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class _Truncated:
    """`min(f, k)`: with base = f(R - s), the difference is what of it fits under k."""

    inner: Differences
    limit: Array
    """f32[L]."""

    @property
    def item(self) -> Array:
        return self.inner.item

    @property
    def function(self) -> Array:
        return self.inner.function

    @property
    def shape(self) -> tuple[int, int]:
        return self.inner.shape

    @property
    def row_size(self) -> int:
        return self.inner.row_size

    def values(self, masks: Array) -> Array:
        return jnp.minimum(self.inner.values(masks), self.limit[:, None])

    def sample(self, masks: Array) -> Sampled:
        inner = self.inner.sample(masks)
        return Sampled(masks, jnp.minimum(inner.values, self.limit[:, None]), inner)

    def block(self, sampled: Sampled, index: Array) -> Array:
        inner, item, function = sampled.source, self.item[index], self.function[index]
        difference = self.inner.block(inner, index)
        base = take(inner.values, function) - take(inner.masks, item) * difference
        room = take(self.limit, function)[:, None] - base
        return jnp.minimum(difference, jnp.maximum(room, 0.0))


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class _Weighted:
    """`sum_j w_j f_j`: differences summed over functions, one block after the other."""

    inner: Differences
    weights: Array
    """f32[L]."""
    item: Array
    function: Array

    @property
    def shape(self) -> tuple[int, int]:
        return 1, self.inner.shape[1]

    @property
    def row_size(self) -> int:
        return self.inner.row_size + self.inner.shape[1]

    def values(self, masks: Array) -> Array:
        return self._sum(self.inner.values(masks))

    def sample(self, masks: Array) -> Sampled:
        inner = self.inner.sample(masks)

        def add(index, total):
            weight = take(self.weights, self.inner.function[index])
            part = weight[:, None] * self.inner.block(inner, index)
            return total.at[self.inner.item[index]].add(part)

        total = jnp.zeros((self.item.size, masks.shape[1]), jnp.float32)
        total = lax.fori_loop(0, len(self.inner.item), add, total)
        return Sampled(masks, self._sum(inner.values), total)

    def block(self, sampled: Sampled, index: Array) -> Array:
        return lax.dynamic_slice_in_dim(sampled.source, index * _BLOCK, _BLOCK)

    def _sum(self, values: Array) -> Array:
        return jnp.matmul(self.weights, values, precision=lax.Precision.HIGHEST)[None]


@differences.register
def _(objective: Truncated) -> Differences:
    return _Truncated(differences(objective.objective), jnp.asarray(objective.limit, jnp.float32))


@differences.register
def _(objective: Weighted) -> Differences:
    weights = jnp.asarray(objective.weights, jnp.float32)
    return _Weighted(differences(objective.objective), weights, *_all_pairs(1, objective.n_items))


_known: weakref.WeakKeyDictionary[ProductInfluence, Differences] = weakref.WeakKeyDictionary()


@differences.register
def _(objective: ProductInfluence) -> Differences:
    # As long as the layouts of the objective itself.
    if objective not in _known:
        with jax.ensure_compile_time_eval():
            _known[objective] = _of_influence(objective)
    return _known[objective]


def _of_influence(objective: ProductInfluence) -> _OfInfluence:
    """Lists the entries of every (slot, product) pair, in blocks of pairs with equally many."""
    matrix, audience = objective.influence.matrix, objective.audience.T.tocsr()
    n_entries, n_products = matrix.nnz, objective.n_objectives
    wanting = np.diff(audience.indptr)[matrix.indices]
    n_triples = int(wanting.sum())
    if n_triples >= _LARGEST_INT32:
        raise MemoryLimitError(
            f"has {n_triples:,} triples of slot, user and product; differences hold at most 2^31",
            table="objective",
            remedy="sample fewer products at a time",
        )
    slot = np.repeat(np.arange(objective.n_items), np.diff(matrix.indptr))
    entry = np.repeat(np.arange(n_entries), wanting)
    nth = np.arange(n_triples) - np.repeat(np.cumsum(wanting) - wanting, wanting)
    product = audience.indices[audience.indptr[matrix.indices[entry]] + nth]
    pair = slot[entry] * np.int64(n_products) + product
    order = np.argsort(pair, kind="stable")
    pair, entry = pair[order], entry[order]
    first = np.flatnonzero(np.diff(pair, prepend=-1))
    length = np.diff(np.append(first, n_triples))
    # The longest first: a block is as deep as its first pair.
    falling = np.argsort(-length, kind="stable")
    first, length = _in_blocks(first[falling]), _in_blocks(length[falling])
    item, function = np.divmod(
        _in_blocks(pair[np.minimum(first, n_triples - 1)].ravel()), n_products
    )
    depth = np.maximum(length[:, 0], 1)
    start = np.cumsum(depth) - depth
    block = np.repeat(np.arange(len(depth)), depth)
    step = (np.arange(len(block)) - start[block])[:, None]
    place = np.minimum(first[block] + step, n_triples - 1)
    return _OfInfluence(
        by_user=objective.influence.by_user,
        interest=jnp.asarray(objective.interest),
        slot=jnp.asarray(slot, jnp.int32),
        user=jnp.asarray(matrix.indices, jnp.int32),
        prob=jnp.asarray(matrix.data, jnp.float32),
        entry=jnp.asarray(np.where(step < length[block], entry[place], n_entries), jnp.int32),
        start=jnp.asarray(start, jnp.int32),
        depth=jnp.asarray(depth, jnp.int32),
        item=jnp.asarray(item, jnp.int32),
        function=jnp.asarray(function, jnp.int32),
    )


def _all_pairs(n_functions: int, n_items: int) -> tuple[Array, Array]:
    """Item and function of every pair, i32[B, C], function by function."""
    pair = _in_blocks(np.arange(n_functions * n_items))
    function, item = np.divmod(pair, n_items)
    return jnp.asarray(item, jnp.int32), jnp.asarray(function, jnp.int32)


def _in_blocks(values: np.ndarray) -> np.ndarray:
    """Rows of `_BLOCK`, at least one, filled up with zeros."""
    n_blocks = max(-(-len(values) // _BLOCK), 1)
    return np.pad(values, (0, n_blocks * _BLOCK - len(values))).reshape(n_blocks, _BLOCK)


def _reach(by_user: Layout, masks: Array) -> tuple[Array, Array]:
    return jax.vmap(reach_and_rest, (None, 1), 1)(by_user, masks)
