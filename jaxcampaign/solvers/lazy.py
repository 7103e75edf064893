"""The lazy greedy loop as one jitted kernel: stale gains bound, only the best is renewed.

Minoux (1978); Leskovec et al. (2007, CELF). A demand that is nearly met lowers the gains of many
slots at once, so gains are renewed in blocks of similar slots: one renewal costs a few array
operations whatever the block holds. Blocks are formed by degree, so that a skewed degree
distribution does not pad, and within a degree by first gain, so that the promising slots are
renewed together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxcampaign.errors import MemoryLimitError
from jaxcampaign.influence.kernels import matvec
from jaxcampaign.problems import SlotProblem
from jaxcampaign.solvers.coverage import Coverage

# A residual below this share of its demand is float32 noise: the host finishes in float64.
_NOISE = 2e-6
# Pairs times open products up to which the first gains are computed one product at a time.
_EXACT_FIRST = 50_000_000
# Share of a budget that float32 sums of costs can err by.
_MONEY_NOISE = 1e-6
# Covers what float32 rounding could take from an upper bound.
_ROUND_UP = 1 + 4e-7
# Widths that rows are padded to, and how many rows of that width one block holds. Rows beyond the
# last width are read in tiles of it.
_WIDTHS = (4, 32, 256)
_LANES = 128
_ROWS = (128, 64, 8)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LazyTables:
    """A problem in the form that the loop reads, padded so that similar sizes share a program.

    Attributes:
      start: int32[S' + 1], CSR rows by slot; padded slots are empty.
      user: int32[E'], padded entries point at the idle user U'.
      prob: float32[E'], 0 where padded.
      interest: int8[U' + 1, L'] when covering demands; float32[U' + 1, 1], the worth of each user,
        when maximising, where products need not be told apart.
      cost: float32[S' + 1], 1 where padded.
    """

    start: jax.Array
    user: jax.Array
    prob: jax.Array
    interest: jax.Array
    cost: jax.Array


def lazy_tables(problem: SlotProblem) -> LazyTables:
    """Tables of a problem; they serve any number of runs.

    Raises:
      MemoryLimitError: more pairs than the tables' 32-bit indices can tell apart.
    """
    matrix = problem.influence.matrix
    if matrix.nnz + _WIDTHS[-1] >= 2**31:
        raise MemoryLimitError(
            f"has {matrix.nnz:,} pairs, and one table holds at most 2^31",
            table="influence",
            remedy="split the city, or raise slot_minutes",
        )
    n_slots, n_users = matrix.shape
    slots, users = bucket(n_slots), bucket(n_users)
    pairs = bucket(matrix.nnz + _WIDTHS[-1], 1024)
    start = np.full(slots + 2, matrix.nnz, np.int32)
    start[: n_slots + 1] = matrix.indptr
    if problem.sense == "min":
        interest = np.zeros((users + 1, bucket(len(problem.demand), 8)), np.int8)
        interest[:n_users, : len(problem.demand)] = problem.objective.interest
    else:
        interest = np.zeros((users + 1, 1), np.float32)
        interest[:n_users, 0] = problem.user_value
    return LazyTables(
        jnp.asarray(start),
        jnp.asarray(_padded(matrix.indices, pairs, users, np.int32)),
        jnp.asarray(_padded(matrix.data, pairs, 0, np.float32)),
        jnp.asarray(interest),
        jnp.asarray(_padded(problem.cost, slots + 1, 1, np.float32)),
    )


def bucket(n: int, least: int = 64) -> int:
    """The next size of a geometric grid (steps of an eighth): few programs, little padding."""
    n = max(n, least)
    step = max(2 ** (int(n - 1).bit_length() - 4), 1)
    return -(-n // step) * step


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
    n_slots = problem.n_items
    if problem.sense == "min":
        residual, noise = coverage.residual, _NOISE * problem.demand
    else:
        residual, noise, weights = np.array([np.inf]), np.zeros(1), np.ones(1)
    first = _first_bounds(problem, coverage, np.where(residual > noise, weights, 0.0))
    cost = problem.divisor if per_cost else np.ones(n_slots)
    # float32 sums of money may err: what exceeds the budget is left to the host to refuse.
    budget *= 1 + _MONEY_NOISE
    first = (first / cost).astype(np.float32)
    first = np.where(coverage.selection | (problem.cost > budget), -1.0, first)
    member, width = _blocks(problem, first)

    users, products = tables.interest.shape
    order, count = _loop(
        tables,
        jnp.asarray(member),
        jnp.asarray(width),
        jnp.asarray(np.append(first, np.float32(-1))[np.minimum(member, n_slots)], jnp.float32),
        jnp.asarray(_padded(coverage.rest, users, 0, np.float32)),
        jnp.asarray(_padded(residual, products, 0, np.float32)),
        jnp.asarray(_padded(noise, products, 0, np.float32)),
        jnp.asarray(_padded(weights, products, 0, np.float32)),
        jnp.asarray(_padded(cost, len(tables.cost), 1, np.float32)),
        jnp.float32(np.float32(budget)),
        jnp.int32(min(max_picks, n_slots)),
    )
    return np.asarray(order)[: int(count)].astype(np.int64)


def _first_bounds(problem: SlotProblem, coverage: Coverage, weights: np.ndarray) -> np.ndarray:
    """Upper bounds on the first gains, float32[S]: exact where that is cheap."""
    if problem.sense == "max":
        worth = problem.user_value
    else:
        lacking = np.flatnonzero(weights > 0)
        if problem.influence.n_pairs * len(lacking) <= _EXACT_FIRST:
            gains = np.minimum(coverage.gains(lacking), coverage.residual[lacking])
            return (gains @ weights[lacking] * _ROUND_UP).astype(np.float32)
        worth = problem.objective.audience.T @ weights
    fresh = jnp.asarray(coverage.rest * worth, jnp.float32)
    return np.asarray(matvec(problem.influence.by_slot, fresh)) * np.float32(_ROUND_UP)


def _blocks(problem: SlotProblem, first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slots in blocks of similar degree and first gain.

    Returns:
      member int32[B', 128], padded with the number of padded slots; width class int32[B'].
    """
    degree = np.diff(problem.influence.matrix.indptr)
    pad = bucket(problem.n_items)
    parts, classes = [], []
    of_class = np.searchsorted(_WIDTHS[:-1], degree)
    for i, rows in enumerate(_ROWS):
        slots = np.flatnonzero(of_class == i)
        slots = slots[np.argsort(-first[slots], kind="stable")]
        n_blocks = -(-len(slots) // rows)
        part = np.full((n_blocks, _LANES), pad, np.int32)
        filled = np.full(n_blocks * rows, pad, np.int32)
        filled[: len(slots)] = slots
        part[:, :rows] = filled.reshape(n_blocks, rows)
        parts.append(part)
        classes.append(np.full(n_blocks, i, np.int32))
    member, width = np.concatenate(parts), np.concatenate(classes)
    size = bucket(len(member), 8)
    idle = np.full((size - len(member), _LANES), pad, np.int32)
    return np.concatenate([member, idle]), _padded(width, size, 0, np.int32)


@jax.jit
def _loop(
    tables: LazyTables,
    member: jax.Array,
    width: jax.Array,
    bounds: jax.Array,
    rest: jax.Array,
    residual: jax.Array,
    noise: jax.Array,
    weights: jax.Array,
    divisor: jax.Array,
    budget: jax.Array,
    max_picks: jax.Array,
):
    """Order of picks, int32[S' + 1], and their number.

    Shapes: member int32[B, 128], width int32[B], bounds float32[B, 128], rest float32[U' + 1],
    residual, noise, weights float32[L'], divisor float32[S' + 1].
    """
    renewals = [
        partial(_renewed_gains, tables, rows=rows, width=width)
        for rows, width in zip(_ROWS, _WIDTHS, strict=True)
    ]
    none = jnp.int32(np.iinfo(np.int32).max)

    def best_block(bounds_state):
        # Of equal bounds a stale block goes first, then the lower slot: ties are broken by id.
        _, block_best, block_slot, fresh = bounds_state
        rank = jnp.where(fresh, block_slot, -1)
        return jnp.argmin(jnp.where(block_best == jnp.max(block_best), rank, none))

    def renew(bounds_state, rest, residual, money):
        bounds, block_best, block_slot, fresh = bounds_state
        block = best_block(bounds_state)
        slots = member[block]
        open_weights = jnp.where(residual > noise, weights, 0.0)
        gains = jax.lax.switch(width[block], renewals, slots, rest, residual, open_weights)
        score = jnp.where(tables.cost[slots] <= money, gains / divisor[slots], -1.0)
        # Rounding must not let a renewed bound rise; what is gone (-1) stays gone.
        score = jnp.minimum(score, bounds[block])
        best = jnp.max(score)
        return (
            bounds.at[block].set(score),
            block_best.at[block].set(best),
            block_slot.at[block].set(jnp.min(jnp.where(score == best, slots, none))),
            fresh.at[block].set(True),
        )

    def go_on(state):
        (_, block_best, _, _), _, residual, _, _, count = state
        open_left = jnp.any((residual > noise) & (weights > 0))
        return (count < max_picks) & (jnp.max(block_best) > 0) & open_left

    def step(state):
        # Two nested loops rather than a conditional: a conditional would copy all bounds each time.
        bounds_state, rest, residual, money, order, count = state
        bounds_state = jax.lax.while_loop(
            lambda b: ~b[3][best_block(b)] & (jnp.max(b[1]) > 0),
            lambda b: renew(b, rest, residual, money),
            bounds_state,
        )
        bounds, block_best, block_slot, fresh = bounds_state
        block = best_block(bounds_state)
        useful = block_best[block] > 0
        slot = block_slot[block]
        begin, end = tables.start[slot], tables.start[slot + 1]

        def cover(i, carry):
            rest, gain = carry
            user, prob = _row_tile(tables, begin + i * _LANES, end, _LANES)
            gain += (prob * rest[user]) @ tables.interest[user].astype(jnp.float32)
            return rest.at[user].multiply(1.0 - prob), gain

        n_tiles = jnp.where(useful, (end - begin + _LANES - 1) // _LANES, 0)
        rest, gain = jax.lax.fori_loop(0, n_tiles, cover, (rest, jnp.zeros_like(residual)))
        score = jnp.where(member[block] == slot, -1.0, bounds[block])
        bounds_state = (
            bounds.at[block].set(score),
            block_best.at[block].set(jnp.max(score)),
            block_slot,
            jnp.zeros_like(fresh),
        )
        residual = jnp.maximum(residual - gain, 0.0)
        money = money - jnp.where(useful, tables.cost[slot], 0.0)
        order = order.at[count].set(jnp.where(useful, slot, order[count]))
        return bounds_state, rest, residual, money, order, count + useful

    n_blocks = len(bounds)
    bounds_state = (
        bounds,
        jnp.max(bounds, axis=1),
        jnp.zeros(n_blocks, jnp.int32),
        jnp.zeros(n_blocks, bool),
    )
    order = jnp.zeros(len(tables.cost), jnp.int32)
    start = (bounds_state, rest, residual, budget, order, jnp.int32(0))
    *_, order, count = jax.lax.while_loop(go_on, step, start)
    return order, count


def _renewed_gains(
    tables: LazyTables,
    slots: jax.Array,
    rest: jax.Array,
    residual: jax.Array,
    weights: jax.Array,
    *,
    rows: int,
    width: int,
) -> jax.Array:
    """Truncated weighted gains of the slots of one block, float32[128], 0 beyond its rows."""
    slots = slots[:rows]
    begin, end = tables.start[slots], tables.start[slots + 1]

    def add_tile(i, gain):
        user, prob = _row_tile(tables, (begin + i * width)[:, None], end[:, None], width)
        wanted = tables.interest[user].astype(jnp.float32)
        return gain + jnp.einsum("rw,rwl->rl", prob * rest[user], wanted)

    gain = jnp.zeros((rows, residual.size), jnp.float32)
    if width == _WIDTHS[-1]:
        gain = jax.lax.fori_loop(0, jnp.max(end - begin + width - 1) // width, add_tile, gain)
    else:
        gain = add_tile(0, gain)
    worth = jnp.minimum(gain, residual) @ weights
    return jnp.zeros(_LANES, jnp.float32).at[:rows].set(worth)


def _row_tile(tables: LazyTables, begin: jax.Array, end: jax.Array, width: int):
    """Users and probabilities from `begin` on, `width` of them, idle beyond `end`."""
    index = begin + jnp.arange(width, dtype=jnp.int32)
    inside = index < end
    index = jnp.minimum(index, len(tables.user) - 1)
    user = tables.user.at[index].get(mode="promise_in_bounds")
    return user, jnp.where(inside, tables.prob.at[index].get(mode="promise_in_bounds"), 0.0)


def _padded(values: np.ndarray, size: int, fill: float, dtype) -> np.ndarray:
    full = np.full(size, fill, dtype)
    full[: len(values)] = values
    return full
