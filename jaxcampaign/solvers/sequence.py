"""Products in order pick slots greedily from what is left: many orders, one kernel.

A lane is one run: an order of products, and possibly slots that are taken beforehand. In it every
product in turn runs a lazy greedy (Minoux, 1978) on its own items alone. What a pick changes is
narrow, since most items share no user, so a step renews the last known gains of one candidate from
each of 64 columns and picks all of them that plain greedy would pick next: the best ones down to
the first that a stale bound exceeds or that shares a user with a better one. The picks are those
of greedy, several at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcampaign.influence.pieces import padded_size
from jaxcampaign.problems import DisjointSlots
from jaxcampaign.solvers.allocation import Allocation

# A residual below this share of its demand is float32 noise: the host finishes in float64.
_NOISE = 2e-6
# Covers what float32 rounding could take from an upper bound.
_ROUND_UP = 1 + 4e-7
# Candidates of a step, and users of an item that are read at once.
_COLUMNS = 64
_TILE = 4
# Lanes side by side on an accelerator. A CPU runs one after the other: a step of a single lane is
# already as wide as its vector units, and lanes in step would all wait for the slowest.
_LANES, _FEW_LANES = 64, 4


@partial(
    jax.tree_util.register_dataclass,
    data_fields=[
        *("item_start", "user_start", "pair_start", "entry", "user", "prob", "slot"),
        *("first", "divisor", "demand", "limit"),
    ],
    meta_fields=["slots", "span", "pairs", "users", "tiled"],
)
@dataclass(frozen=True)
class SequenceTables:
    """A disjoint problem in the form that the kernel reads; items of a product best first.

    Sizes are padded to buckets, so that similar problems share a program, and by the longest slice
    that a product reads. Padded products have no items.

    Attributes:
      item_start: int32[L' + 1], items of product j are `item_start[j]:item_start[j + 1]`.
      user_start: int32[L' + 1], (user, product) pairs of product j.
      pair_start: int32[L' + 1], pairs of an item and a user, by product.
      entry: int32[N' + 1], where the pairs of each item begin.
      user: int32[E'], counted from the first user of the product.
      prob: float32[E'].
      slot: int32[N'].
      first: float32[N'], upper bound on the gain of an item for a product with nothing.
      divisor: float32[N'], what gains are divided by.
      demand: float32[L'].
      limit: int32[L'], most slots.
      slots: static, S'.
      span: static, M: most items of one product, padded.
      pairs: static, most pairs of one product, padded.
      users: static, most users of one product, padded.
      tiled: static, some item has more users than are read at once.
    """

    item_start: Array
    user_start: Array
    pair_start: Array
    entry: Array
    user: Array
    prob: Array
    slot: Array
    first: Array
    divisor: Array
    demand: Array
    limit: Array
    slots: int
    span: int
    pairs: int
    users: int
    tiled: bool


class Sequences:
    """Runs of one problem with one divisor of gains: tables that serve any number of them.

    Args:
      problem: what is asked.
      divisor: float64[N], positive: ones for plain gain, costs for gain per cost.
    """

    def __init__(self, problem: DisjointSlots, divisor: np.ndarray):
        offers = problem.offers
        alone = problem.influence.singleton
        # Neighbours in rank fall into different columns, and are read from neighbouring places.
        self._item = np.lexsort((-alone / divisor, offers.product))
        self._n_slots, self._n_products = problem.base.n_slots, len(problem.product_ids)
        self._n_users = problem.influence.n_users
        self._tables = _tables(problem, self._item, alone[self._item], divisor[self._item])
        self._on_cpu = self._tables.demand.devices().pop().platform == "cpu"

    @property
    def batch(self) -> int:
        """Lanes that a call should have: fewer cost the same, more are a call of their own size."""
        return _FEW_LANES if self._on_cpu else _LANES

    def serve(self, orders: np.ndarray, starts: Sequence[Allocation] = ()) -> np.ndarray:
        """Serve the products of every lane in its order.

        Args:
          orders: int[B, K], products that are served, in order.
          starts: what is taken beforehand in each lane, B of them; nothing by default.

        Returns:
          int64[B, S], the item that takes each slot, -1 where none does; slots that were taken
          beforehand are -1 too.
        """
        tables, lanes = self._tables, len(orders)
        size = max(self.batch, 1 << max(lanes - 1, 0).bit_length())
        # A product reads a slice of fixed length, which may reach beyond the last user.
        n_products, n_users = len(tables.demand), _bucket(self._n_users + tables.users)
        start = {
            # The padded product has no items, so that it takes no time.
            "order": np.full((size, n_products), n_products - 1, np.int32),
            "taken": np.zeros((size, tables.slots), bool),
            "rest": np.ones((size, n_users), np.float32),
            "lacking": np.tile(np.asarray(tables.demand), (size, 1)),
            "count": np.zeros((size, n_products), np.int32),
        }
        start["order"][:lanes, : orders.shape[1]] = orders
        for lane, allocation in enumerate(starts):
            start["taken"][lane, : self._n_slots] = allocation.holder >= 0
            start["rest"][lane, : self._n_users] = allocation.rest
            start["lacking"][lane, : self._n_products] = allocation.lacking
            start["count"][lane, : self._n_products] = allocation.count
        picked = np.asarray(_serve(tables, start, None if self._on_cpu else _LANES))
        picked = picked[:lanes, : self._n_slots]
        return np.where(picked >= 0, self._item[picked], -1)


def _tables(
    problem: DisjointSlots, order: np.ndarray, alone: np.ndarray, divisor: np.ndarray
) -> SequenceTables:
    """The tables; items in the given order, what belongs to them in that order too."""
    offers, n_items = problem.offers, problem.n_items
    # One product more: it has nothing and stands for the places that orders are padded with.
    n_products = _bucket(len(problem.product_ids) + 1, 8)
    products = np.arange(n_products + 1)
    matrix = problem.influence.matrix[order]
    item_start = np.searchsorted(offers.product, products)
    user_start = np.searchsorted(offers.user_product, products)
    pair_start = matrix.indptr[item_start]
    degree = np.diff(matrix.indptr)
    # What a step costs grows with the span, so it is padded less.
    span = _COLUMNS * padded_size(max(-(-_longest(item_start) // _COLUMNS), 4))
    pairs = _bucket(_longest(pair_start) + _TILE)
    items, entries = _bucket(n_items + span), _bucket(matrix.nnz + pairs)

    def padded(values: np.ndarray, size: int, fill: float, dtype: type) -> Array:
        full: np.ndarray = np.full(size, fill, dtype)
        full[: len(values)] = values
        return jnp.asarray(full)

    limit = np.minimum(problem.max_slots, n_items)
    local = matrix.indices - np.repeat(user_start[offers.product], degree)
    return SequenceTables(
        jnp.asarray(item_start, jnp.int32),
        jnp.asarray(user_start, jnp.int32),
        jnp.asarray(pair_start, jnp.int32),
        padded(matrix.indptr, items + 1, matrix.nnz, np.int32),
        padded(local, entries, 0, np.int32),
        padded(matrix.data, entries, 0.0, np.float32),
        padded(offers.slot[order], items, 0, np.int32),
        padded(alone * _ROUND_UP, items, 0.0, np.float32),
        padded(divisor, items, 1.0, np.float32),
        padded(problem.demand, n_products, 0.0, np.float32),
        padded(limit, n_products, 0, np.int32),
        slots=_bucket(problem.base.n_slots),
        span=span,
        pairs=pairs,
        users=_bucket(_longest(user_start), 64),
        tiled=bool(degree.max(initial=0) > _TILE),
    )


@partial(jax.jit, static_argnums=2)
def _serve(tables: SequenceTables, starts: dict[str, Array], lanes: int | None) -> Array:
    """int32[B, S']: places in the tables."""
    return jax.lax.map(partial(_lane, tables), starts, batch_size=lanes)


def _lane(tables: SequenceTables, start: dict[str, Array]) -> Array:
    order = start["order"]
    cut = jax.lax.dynamic_slice_in_dim

    def serve(k: Array, picked: Array) -> Array:
        product = order[k]
        begin, n_items = tables.item_start[product], tables.item_start[product + 1]
        # Slices of the product: reading from the full tables in a loop is up to ten times slower.
        entry = cut(tables.entry, begin, tables.span + 1) - tables.pair_start[product]
        own = _Product(
            begin=begin,
            first_entry=entry[:-1],
            last_entry=entry[1:],
            user=cut(tables.user, tables.pair_start[product], tables.pairs),
            prob=cut(tables.prob, tables.pair_start[product], tables.pairs),
            slot=cut(tables.slot, begin, tables.span),
            divisor=cut(tables.divisor, begin, tables.span),
            users=tables.users,
            tiled=tables.tiled,
        )
        lacking = start["lacking"][product]
        room = tables.limit[product] - start["count"][product]
        rest = cut(start["rest"], tables.user_start[product], tables.users)
        usable = (_at(picked, own.slot) < 0) & ~_at(start["taken"], own.slot)
        usable &= begin + jnp.arange(tables.span, dtype=jnp.int32) < n_items
        bound = jnp.minimum(cut(tables.first, begin, tables.span), lacking) / own.divisor
        bound = jnp.where(usable, bound, -1.0).reshape(-1, _COLUMNS)
        # The idle user past the last one takes what is padded.
        rest = jnp.append(rest, 1.0)
        return _greedy(own, bound, rest, lacking, room, _NOISE * tables.demand[product], picked)

    return jax.lax.fori_loop(0, len(order), serve, jnp.full(tables.slots, -1, jnp.int32))


@dataclass(frozen=True)
class _Product:
    """The slice of the tables that one product reads; `begin` is where its items begin."""

    begin: Array
    first_entry: Array
    last_entry: Array
    user: Array
    prob: Array
    slot: Array
    divisor: Array
    users: int
    tiled: bool


def _greedy(
    own: _Product, bound: Array, rest: Array, lacking: Array, room: Array, noise: Array, picked
) -> Array:
    """Picks of one product, added to those of the lane: int32[S]."""
    height = jnp.arange(len(bound), dtype=jnp.int32)[:, None]
    column = jnp.arange(_COLUMNS, dtype=jnp.int32)

    def go_on(state):
        bound, _, lacking, room, _ = state
        return (lacking > noise) & (room > 0) & (jnp.max(bound) > 0)

    def step(state):
        bound, rest, lacking, room, picked = state
        best = jnp.max(bound, axis=0)
        place = jnp.min(jnp.where(bound == best, height, len(bound)), axis=0)
        here = height == place
        stale = jnp.max(jnp.where(here, -1.0, bound))
        item = place * _COLUMNS + column
        over_tiles = _tiles(own, item, best > 0)
        gain = over_tiles(
            lambda gain, user, prob: gain + jnp.sum(prob * _at(rest, user), axis=1),
            jnp.zeros(_COLUMNS, jnp.float32),
        )
        divisor = _at(own.divisor, item)
        score = jnp.where(best > 0, jnp.minimum(gain, lacking) / divisor, -1.0)
        # A gain that was renewed after a rounding error must not rise.
        score = jnp.minimum(score, best)
        rank = _rank(score)
        ahead = over_tiles(
            lambda least, user, _: least.at[user].min(
                jnp.broadcast_to(rank[:, None], user.shape), mode="promise_in_bounds"
            ),
            jnp.full(own.users + 1, _COLUMNS, jnp.int32),
        )
        behind = over_tiles(
            lambda behind, user, _: (
                behind | jnp.any((_at(ahead, user) < rank[:, None]) & (user < own.users), axis=1)
            ),
            jnp.zeros(_COLUMNS, bool),
        )
        # From the first candidate on whose gain a better one lowers, the order is not known.
        known = rank < jnp.min(jnp.where(behind, rank, _COLUMNS))
        several = known & (score >= stale) & (score > 0)
        fits = jnp.sum(jnp.where(several, gain, 0.0)) <= lacking
        fits &= jnp.sum(several) <= room
        taken = several & (fits | (rank == 0))
        gained = jnp.sum(jnp.where(taken, gain, 0.0))
        renewed = jnp.where(taken | (score <= 0), -1.0, score)
        rest = over_tiles(
            lambda rest, user, prob: rest.at[user].multiply(
                jnp.where(taken[:, None], 1.0 - prob, 1.0), mode="promise_in_bounds"
            ),
            rest,
        )
        slot = jnp.where(taken, _at(own.slot, item), len(picked))
        return (
            jnp.where(here, renewed, bound),
            rest,
            jnp.maximum(lacking - gained, 0.0),
            room - jnp.sum(taken),
            picked.at[slot].set(own.begin + item, mode="drop"),
        )

    state = (bound, rest, lacking, room, picked)
    return jax.lax.while_loop(go_on, step, state)[-1]


def _rank(score: Array) -> Array:
    """Places by falling score, ties by column, int32[columns]; the best has 0."""
    column = jnp.arange(len(score))
    tie = (score[:, None] == score[None, :]) & (column[:, None] > column[None, :])
    better = (score[:, None] < score[None, :]) | tie
    return jnp.sum(better, axis=1, dtype=jnp.int32)


def _tiles(own: _Product, item: Array, live: Array) -> Callable[[Callable, Array], Array]:
    """A loop over the users of some items, a tile of them at a time."""
    first, last = _at(own.first_entry, item), _at(own.last_entry, item)
    longest = jnp.max(jnp.where(live, last - first, 0))

    def over_tiles(change: Callable, value: Array) -> Array:
        def one(i, value):
            index = first[:, None] + i * _TILE + jnp.arange(_TILE, dtype=jnp.int32)
            inside = index < last[:, None]
            index = jnp.minimum(index, len(own.user) - 1)
            user = jnp.where(inside, _at(own.user, index), own.users)
            return change(value, user, jnp.where(inside, _at(own.prob, index), 0.0))

        if not own.tiled:
            return one(0, value)
        return jax.lax.fori_loop(0, (longest + _TILE - 1) // _TILE, one, value)

    return over_tiles


def _at(array: Array, index: Array) -> Array:
    return array.at[index].get(mode="promise_in_bounds")


def _bucket(size: int, least: int = 256) -> int:
    """A power of two: only memory depends on it, and few programs are compiled."""
    return 1 << (max(int(size), least) - 1).bit_length()


def _longest(start: np.ndarray) -> int:
    return int(np.diff(start).max())
