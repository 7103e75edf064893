"""The lazy greedy loop as one jitted kernel: stale gains bound, only the best is renewed.

Minoux (1978); Leskovec et al. (2007, CELF). Gains are renewed in blocks of similar slots (see
`lazy_tables`), and a two-level maximum finds the best block. Ties go to the lower slot.

A product is *far* while it lacks more than any slot looked at can reach. The gains of all far
products together are one sum, with one worth per user; only products that are nearly met need a sum
each. A product that stops being far leaves the worth of users for good, so that nothing is ever
subtracted, and gains are renewed once more.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxcampaign.problems import SlotProblem
from jaxcampaign.solvers.coverage import Coverage
from jaxcampaign.solvers.lazy_tables import (
    GROUP,
    LANES,
    NARROWEST,
    TILE,
    WIDEST,
    LazyTables,
    bucket,
    lazy_tables,
    padded,
    padded_users,
)

__all__ = ["LazyTables", "bucket", "lazy_tables", "run_lazy_greedy"]

# A residual below this share of its demand is float32 noise: the host finishes in float64.
_NOISE = 2e-6
# Share of a budget that float32 sums of costs can err by.
_MONEY_NOISE = 1e-6
# Covers what float32 rounding could take from an upper bound.
_ROUND_UP = np.float32(1 + 4e-7)
# Entries of a picked slot that are read at a time.
_PICKED = 256
# Near products up to which each is summed on its own.
_FEW_NEAR = 6
_NO_SLOT = np.int32(np.iinfo(np.int32).max)


def run_lazy_greedy(
    problem: SlotProblem,
    tables: LazyTables,
    coverage: Coverage,
    *,
    weights: np.ndarray,
    per_cost: bool,
    max_picks: int,
    budget: float = float("inf"),
) -> np.ndarray:
    """Pick slots greedily on top of a selection; the coverage is read, not changed.

    Args:
      problem: what is asked; for a minimum the gain of a product is truncated at its residual.
      tables: from `lazy_tables`.
      coverage: the selection to start from.
      weights: float[L], worth of a unit of each product's influence while its demand is open; a
        maximum has its own weights.
      per_cost: divide gains by cost.
      max_picks: picks at most.
      budget: money left.

    Returns:
      int[.], the slots in the order picked. Ties go to the lower slot.
    """
    if problem.sense == "min":
        residual, noise = coverage.residual, _NOISE * problem.demand
        worth = problem.objective.audience.T @ np.where(residual > noise, weights, 0.0)
        given_worth = None
    else:
        residual, noise, weights = np.array([np.inf]), np.zeros(1), np.ones(1)
        worth = problem.user_value
        given_worth = jnp.asarray(padded(worth, padded_users(problem), 0, np.float32))
    cost = problem.divisor if per_cost else np.ones(problem.n_items)
    # float32 sums of money may err: what exceeds the budget is left to the host to refuse.
    budget *= 1 + _MONEY_NOISE
    # Untruncated, in one product: the loop finds out which of these bounds are too high.
    first = problem.influence.matrix @ (coverage.rest * worth) / cost
    first = first.astype(np.float32) * _ROUND_UP
    first[coverage.selection | (problem.cost > budget)] = -1

    slot = np.asarray(tables.slot)
    rows = np.append(first, np.float32(-1))[slot]
    block_best = np.maximum.reduceat(rows, np.asarray(tables.first_row))
    n_products = len(tables.interest)
    order, count = _loop(
        tables,
        jnp.asarray(rows),
        jnp.asarray(block_best),
        jnp.asarray(np.append(cost, 1)[slot], jnp.float32),
        jnp.asarray(np.append(problem.cost, 1)[slot], jnp.float32),
        jnp.asarray(padded(coverage.rest, padded_users(problem), 0, np.float32)),
        given_worth,
        *(jnp.asarray(padded(v, n_products, 0, np.float32)) for v in (residual, noise, weights)),
        jnp.float32(budget),
        jnp.int32(min(max_picks, problem.n_items)),
    )
    return np.asarray(order)[: int(count)].astype(np.int64)


class _Bounds(NamedTuple):
    """Upper bounds on gains, and the best of each block and of each group of blocks.

    A best bound is *fresh* while its stamp is the current one. `slot` is the lowest slot with the
    best bound of a block, and counts only where it is fresh.
    """

    row: Array  # f32[R + LANES], -1 for what cannot be picked
    best: Array  # f32[B]
    slot: Array  # i32[B]
    stamp: Array  # i32[B]
    group_best: Array  # f32[B / GROUP]
    group_rank: Array  # i32[B / GROUP], as `_rank` of its best block
    group_stamp: Array  # i32[B / GROUP]


class _Top(NamedTuple):
    """The block to look at next: of equal bounds a stale one, or else that of the lowest slot."""

    block: Array
    best: Array
    fresh: Array


class _Demand(NamedTuple):
    """What is still asked for."""

    rest: Array  # f32[U'], chance that a user is still missed
    residual: Array  # f32[L']
    far: Array  # bool[L'], no slot in sight can meet the demand alone
    worth: Array  # f32[U'], sum of the weights of the far products that a user wants


@jax.jit
def _loop(
    tables: LazyTables,
    bounds: Array,
    block_best: Array,
    divisor: Array,
    cost: Array,
    rest: Array,
    given_worth: Array | None,
    residual: Array,
    noise: Array,
    weights: Array,
    budget: Array,
    max_picks: Array,
):
    """Order of picks, int32[R + LANES], and their number.

    Shapes: bounds, divisor, cost float32[R + LANES]; block_best float32[B]; rest and given_worth
    float32[U'], the latter only when maximising; residual, noise, weights float32[L'].
    """
    covering = given_worth is None

    def is_open(residual):
        return (residual > noise) & (weights > 0)

    def with_far(demand: _Demand, far, changed):
        """Other far products, and where that is a change, the worth of users to match."""

        def add(i, carry):
            worth, left = carry
            product = jnp.argmax(left)
            weight = jnp.where(left[product], weights[product], 0.0)
            wants = lax.dynamic_index_in_dim(tables.interest, product, keepdims=False)
            worth = jnp.where(i == 0, 0.0, worth) + weight * wants.astype(jnp.float32)
            return worth, left.at[product].set(False)

        trips = jnp.where(changed, jnp.maximum(jnp.sum(far), 1), 0)
        worth, _ = lax.fori_loop(0, trips, add, (demand.worth, far))
        return demand._replace(far=far, worth=worth)

    def rows_of(block, array):
        return lax.dynamic_slice(array, (tables.first_row[block],), (LANES,))

    def in_block(block):
        return jnp.arange(LANES) < (LANES >> tables.width[block])

    def summed(block, demand: _Demand, part):
        """Sums over each row of a block of what `part` makes of users and `p rest`, [LANES, 4]."""
        first = tables.first_tile[block]

        def tile(i):
            user = lax.dynamic_slice(tables.user, ((first + i) * TILE,), (TILE,))
            prob = lax.dynamic_slice(tables.prob, ((first + i) * TILE,), (TILE,))
            fresh = prob * _take(demand.rest, user)
            return part(user.reshape(LANES, -1), fresh.reshape(LANES, -1))

        def add(i, sums):
            return jax.tree.map(jnp.add, sums, tile(i))

        zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), jax.eval_shape(tile, 0))
        sums = lax.fori_loop(0, tables.n_tiles[block], add, zeros)
        return lax.switch(tables.width[block], _ROW_SUMS, sums)

    def worth_and_reach(demand: _Demand, user, fresh):
        return (fresh * _take(demand.worth, user)).sum(axis=1), fresh.sum(axis=1)

    def of_product(product, user, fresh):
        return (fresh * _take(tables.interest, (product, user))).sum(axis=1)

    def of_every_product(user, fresh):
        # Column by column, which XLA turns into one pass without the array of all entries.
        wants = [_take(tables.interest_by_user, user[:, k]) for k in range(NARROWEST)]
        return sum(fresh[:, k, None] * wants[k].astype(jnp.float32) for k in range(NARROWEST))

    def near_gains(block, demand: _Demand):
        """Weighted truncated gains of the near products."""
        near = is_open(demand.residual) & ~demand.far

        def one_by_one():
            def add(_, carry):
                gain, left = carry
                product = jnp.argmax(left)
                own = summed(block, demand, partial(of_product, product))
                gain += weights[product] * jnp.minimum(own, demand.residual[product])
                return gain, left.at[product].set(False)

            return lax.fori_loop(0, jnp.sum(near), add, (jnp.zeros(LANES, jnp.float32), near))[0]

        def all_at_once():
            own = summed(block, demand, of_every_product)
            return jnp.minimum(own, demand.residual) @ jnp.where(near, weights, 0.0)

        return lax.cond(jnp.sum(near) > _FEW_NEAR, all_at_once, one_by_one)

    def renewed(block, demand: _Demand):
        """Gains of the slots of a block, and the far products that are far no more."""
        gain, reach = summed(block, demand, partial(worth_and_reach, demand))
        if not covering:
            return gain, jnp.zeros_like(demand.far)
        # What a slot gives a product is at most its reach.
        leaving = demand.far & (demand.residual < jnp.max(reach) * _ROUND_UP)
        return gain + near_gains(block, demand), leaving

    def settled(bounds: _Bounds, block, version):
        """Renews what is known of the best of a block, and of its group, from its rows."""
        score = jnp.where(in_block(block), rows_of(block, bounds.row), -1.0)
        best = jnp.max(score)
        slot = jnp.min(jnp.where(score == best, rows_of(block, tables.slot), _NO_SLOT))
        bounds = bounds._replace(
            best=bounds.best.at[block].set(best),
            slot=bounds.slot.at[block].set(slot),
            stamp=bounds.stamp.at[block].set(version),
        )
        group = block // GROUP
        best, rank = _group(bounds, group, version)
        top = jnp.max(best)
        return bounds._replace(
            group_best=bounds.group_best.at[group].set(top),
            group_rank=bounds.group_rank.at[group].set(
                jnp.min(jnp.where(best == top, rank, _NO_SLOT))
            ),
            group_stamp=bounds.group_stamp.at[group].set(version),
        )

    def renew(state):
        bounds, top, demand, money, version = state
        gain, leaving = renewed(top.block, demand)
        changed = jnp.any(leaving)
        version = version + changed
        old = rows_of(top.block, bounds.row)
        affordable = rows_of(top.block, cost) <= money
        score = jnp.where(affordable, gain / rows_of(top.block, divisor), -1.0)
        # Rounding must not let a renewed bound rise; what is gone (-1) stays gone.
        keep = ~in_block(top.block) | changed
        score = jnp.where(keep, old, jnp.minimum(score, old))
        row = lax.dynamic_update_slice(bounds.row, score, (tables.first_row[top.block],))
        # The barriers keep reads of the old array from being moved behind the update, which would
        # copy all of it every time.
        bounds = bounds._replace(row=lax.optimization_barrier(row))
        bounds = settled(bounds, top.block, jnp.where(changed, -1, version))
        demand = with_far(demand, demand.far & ~leaving, changed)
        return bounds, _top(bounds, version), demand, money, version

    def pick(state, order, count):
        bounds, top, demand, money, version = state
        slot, first = bounds.slot[top.block], tables.first_row[top.block]
        ours = in_block(top.block) & (rows_of(top.block, tables.slot) == slot)
        lane = lax.optimization_barrier(jnp.argmax(ours))
        width = NARROWEST << tables.width[top.block]
        begin = tables.first_tile[top.block] * TILE + lane * width
        length = jnp.where(top.best > 0, width * tables.n_tiles[top.block], 0)

        def cover(i, carry):
            rest, gain = carry
            inside = i * _PICKED + jnp.arange(_PICKED) < length
            user = lax.dynamic_slice(tables.user, (begin + i * _PICKED,), (_PICKED,))
            prob = lax.dynamic_slice(tables.prob, (begin + i * _PICKED,), (_PICKED,))
            user = jnp.where(inside, user, len(rest) - 1)
            prob = jnp.where(inside, prob, 0.0)
            before = lax.optimization_barrier(_take(rest, user))
            if covering:
                wants = _take(tables.interest_by_user, user).astype(jnp.float32)
                gain += (prob * before) @ wants
            after = before * (1.0 - prob)
            return rest.at[user].set(after, mode="promise_in_bounds"), gain

        trips = (length + _PICKED - 1) // _PICKED
        start = (demand.rest, jnp.zeros_like(demand.residual))
        rest, gain = lax.fori_loop(0, trips, cover, start)
        residual = jnp.maximum(demand.residual - gain, 0.0)
        demand = demand._replace(rest=rest, residual=residual)
        if covering:
            met = demand.far & ~is_open(residual)
            demand = with_far(demand, demand.far & ~met, jnp.any(met))
        useful = top.best > 0
        row = bounds.row.at[first + lane].set(jnp.where(useful, -1.0, top.best))
        bounds = bounds._replace(row=lax.optimization_barrier(row))
        version = version + 1
        bounds = settled(bounds, top.block, -1)
        money = money - jnp.where(useful, cost[first + lane], 0.0)
        order = order.at[count].set(jnp.where(useful, slot, order[count]))
        state = bounds, _top(bounds, version), demand, money, version
        return state, order, count + useful

    def go_on(carry):
        (_, top, demand, _, _), _, count = carry
        return (count < max_picks) & (top.best > 0) & jnp.any(is_open(demand.residual))

    def step(carry):
        # Two nested loops rather than a conditional: a conditional would copy all bounds each time.
        state, order, count = carry
        state = lax.while_loop(lambda s: ~s[1].fresh & (s[1].best > 0), renew, state)
        return pick(state, order, count)

    n_groups = len(block_best) // GROUP
    start = _Bounds(
        row=bounds,
        best=block_best,
        slot=jnp.zeros_like(tables.width),
        stamp=jnp.full_like(tables.width, -1),
        group_best=jnp.max(block_best.reshape(n_groups, GROUP), axis=1),
        group_rank=jnp.zeros(n_groups, jnp.int32),
        group_stamp=jnp.full(n_groups, -1, jnp.int32),
    )
    far = is_open(residual)
    worth = jnp.zeros_like(rest) if given_worth is None else given_worth
    demand = with_far(_Demand(rest, residual, far, worth), far, covering)
    version = jnp.int32(0)
    state = start, _top(start, version), demand, budget, version
    order = jnp.zeros(len(divisor), jnp.int32)
    _, order, count = lax.while_loop(go_on, step, (state, order, jnp.int32(0)))
    return order, count


def _top(bounds: _Bounds, version: Array) -> _Top:
    rank = jnp.where(bounds.group_stamp == version, bounds.group_rank, -1)
    group = _lowest(bounds.group_best, rank)
    best, rank = _group(bounds, group, version)
    at = _lowest(best, rank)
    return _Top(group * GROUP + at, best[at], rank[at] >= 0)


def _group(bounds: _Bounds, group: Array, version: Array) -> tuple[Array, Array]:
    """Best bounds of the blocks of a group and their ranks: -1 if stale, else the slot."""

    def blocks(array):
        return lax.dynamic_slice(array, (group * GROUP,), (GROUP,))

    rank = jnp.where(blocks(bounds.stamp) == version, blocks(bounds.slot), -1)
    return blocks(bounds.best), rank


def _lowest(best: Array, rank: Array) -> Array:
    """Where the lowest rank of those with the best bound stands."""
    return jnp.argmin(jnp.where(best == jnp.max(best), rank, _NO_SLOT))


def _row_sums(width: int, parts: Any) -> Any:
    """Sums over the rows of a class of widths, each leaf [LANES, ...], 0 beyond the rows."""
    rows = LANES >> width

    def leaf(array):
        sums = array.reshape(rows, 1 << width, *array.shape[1:]).sum(axis=1)
        return jnp.pad(sums, ((0, LANES - rows), *((0, 0) for _ in array.shape[1:])))

    return jax.tree.map(leaf, parts)


_ROW_SUMS = [partial(_row_sums, width) for width in range(WIDEST + 1)]


def _take(array: Array, index: Array | tuple[Array, Array]) -> Array:
    return array.at[index].get(mode="promise_in_bounds")
