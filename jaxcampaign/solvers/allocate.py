"""From any disjoint sets to good feasible ones: complete, move between products, prune, swap."""

from __future__ import annotations

import numpy as np

from jaxcampaign.solvers.allocation import Allocation
from jaxcampaign.solvers.base import Clock

# A short product's weight grows by this factor when no move helps it.
_IMPATIENCE = 1.4
# Moves without a new best answer before the search for a feasible one is given up: so many, or
# twice the number of slots where there are few.
_PATIENCE = 400


def complete_allocation(
    allocation: Allocation, clock: Clock, *, weights: np.ndarray, divisor: np.ndarray
) -> int:
    """Give free slots to products that lack influence, best weighted gain per divisor first.

    Gains are truncated at what the product lacks; ties go to the earlier product, then slot. Only
    products whose best item changed are looked at again. Demands that free slots cannot meet are
    left open.

    Args:
      allocation: changed in place.
      clock: when to stop.
      weights: float64[L], worth of a unit of influence of each product.
      divisor: float64[N], positive, such as costs.

    Returns:
      Number of slots given.
    """
    problem = allocation.problem
    best = np.full(len(problem.product_ids), -1)
    value = np.zeros(len(best))

    def look(product: int) -> None:
        lacking = allocation.lacking[product]
        best[product], value[product] = -1, 0.0
        if lacking <= 0:
            return
        span = allocation.items(product)
        worth = np.minimum(allocation.gains(product), lacking) / divisor[span]
        worth = np.where(allocation.is_free(product), worth, 0.0)
        if len(worth) and worth.max() > 0:
            best[product] = span.start + int(np.argmax(worth))
            value[product] = weights[product] * worth.max()

    for lacking_one in np.flatnonzero(allocation.lacking > 0):
        look(int(lacking_one))
    given = 0
    while (best >= 0).any() and not clock.out:
        item = int(best[np.argmax(np.where(best >= 0, value, -1.0))])
        allocation.add(item)
        given += 1
        slot = problem.offers.slot[item]
        lost = (best >= 0) & (problem.offers.slot[best] == slot)
        for changed in np.flatnonzero(lost):
            look(int(changed))
    return given


def move_slots(allocation: Allocation, clock: Clock, *, max_moves: int = 4_000) -> int:
    """Take slots from products that can spare or replace them for products that lack influence.

    A descent on the weighted sum of what products lack. A move gives a product a slot that it
    lacks; the product that had it, if it then lacks something, takes free slots instead. What
    lowers the sum is kept. Where nothing does, the weights of the products that still lack
    something grow, so that the lack moves on to products that may find a way to cover it
    (breakout local search: Morris, 1993).

    Args:
      allocation: changed in place; it ends with the least lack that was found.
      clock: when to stop.
      max_moves: moves that are tried.

    Returns:
      Number of moves that were kept.
    """
    problem = allocation.problem
    weights = problem.inverse_demand.copy()
    best, best_lack = allocation.selection.copy(), allocation.score[0]
    patience = min(2 * problem.base.n_slots, _PATIENCE)
    moves = failures = idle = 0
    for _ in range(max_moves):
        lacking = allocation.lacking
        if not lacking.any() or clock.out or idle > patience:
            break
        idle += 1
        # The product with the greatest lack first; each failure lets the next one try.
        short = np.flatnonzero(lacking)
        order = short[np.argsort(-(weights * lacking)[short], kind="stable")]
        product = int(order[failures % len(order)])
        if _move_one(allocation, product, weights):
            moves += 1
            failures = 0
            if allocation.score[0] < best_lack * (1 - 1e-9):
                best, best_lack = allocation.selection.copy(), allocation.score[0]
                idle = 0
        else:
            failures += 1
            weights[product] *= _IMPATIENCE
    if allocation.score[0] > best_lack:
        allocation.selection = best
        allocation.refresh()
    return moves


def _move_one(allocation: Allocation, product: int, weights: np.ndarray) -> bool:
    """Give one more slot to a product where that lowers the weighted lack; else change nothing."""
    problem = allocation.problem
    slot_of, product_of = problem.offers.slot, problem.offers.product
    span = allocation.items(product)
    lacking = allocation.lacking
    gain = np.minimum(allocation.gains(product), lacking[product])
    gain[allocation.selection[span]] = 0.0
    dropped, dropping = -1, 0.0
    if allocation.count[product] >= problem.max_slots[product]:
        own = np.flatnonzero(allocation.selection[span]) + span.start
        if not len(own):
            return False
        losses = allocation.losses(own)
        dropped, dropping = int(own[np.argmin(losses)]), float(losses.min())
    holder = allocation.holder[slot_of[span]]
    useful = np.flatnonzero(gain > dropping)
    held = useful[holder[useful] >= 0]
    created = np.zeros(len(gain))
    victims = holder[held]
    beyond = allocation.losses(victims) - np.maximum(allocation.slack[product_of[victims]], 0.0)
    created[held] = weights[product_of[victims]] * np.maximum(beyond, 0.0)
    balance = weights[product] * (gain - dropping) - 0.5 * created
    tried = useful[np.argsort(-balance[useful], kind="stable")][:4]
    before = weights @ lacking
    for place in tried[balance[tried] > 0]:
        done = _exchange(allocation, int(span.start + place), dropped)
        if weights @ allocation.lacking < before * (1 - 1e-9):
            return True
        for item, was_added in reversed(done):
            (allocation.remove if was_added else allocation.add)(item)
    return False


def _exchange(allocation: Allocation, item: int, dropped: int) -> list[tuple[int, bool]]:
    """Give an item's slot to its product; who had it may take free slots. Returns what was done."""
    offers = allocation.problem.offers
    done: list[tuple[int, bool]] = []

    def change(item: int, add: bool) -> None:
        (allocation.add if add else allocation.remove)(item)
        done.append((item, add))

    victim = int(allocation.holder[offers.slot[item]])
    if victim >= 0:
        change(victim, False)
    if dropped >= 0:
        change(dropped, False)
    change(item, True)
    if victim < 0:
        return done
    loser = int(offers.product[victim])
    for _ in range(3):
        lacking = allocation.lacking[loser]
        if lacking <= 0:
            break
        gain = np.where(allocation.is_free(loser), allocation.gains(loser), 0.0)
        gain = np.minimum(gain, lacking)
        if not len(gain) or gain.max() <= 0:
            break
        change(allocation.items(loser).start + int(np.argmax(gain)), True)
    return done


def prune_allocation(allocation: Allocation, clock: Clock) -> None:
    """Give back slots that their product does not need, the most expensive first, ties by item.

    A product that lacks influence keeps what it has, unless it adds nothing.
    """
    problem = allocation.problem
    chosen = np.flatnonzero(allocation.selection)
    spare = np.maximum(allocation.slack, 0.0)[problem.offers.product[chosen]]
    # Losses only grow and slack only falls: what cannot be spared now never can.
    chosen = chosen[allocation.losses(chosen) <= spare]
    for item in chosen[np.argsort(-problem.cost[chosen], kind="stable")]:
        if clock.out:
            return
        product = problem.offers.product[item]
        if allocation.loss(int(item)) <= max(allocation.slack[product], 0.0):
            allocation.remove(int(item))


def swap_allocation(allocation: Allocation, clock: Clock) -> int:
    """Replace slots by cheaper free ones where the product's demand stays met.

    One sweep over the chosen slots of served products, the most expensive first; for each, the
    cheapest sufficient free slot is taken. Returns the number of swaps.
    """
    problem = allocation.problem
    chosen = np.flatnonzero(allocation.selection)
    swaps = 0
    for item in chosen[np.argsort(-problem.cost[chosen], kind="stable")]:
        if clock.out:
            break
        product = int(problem.offers.product[item])
        if allocation.slack[product] < 0:
            continue
        allocation.remove(int(item))
        span = allocation.items(product)
        cost = problem.cost[span]
        needed = problem.required[product] - allocation.achieved[product]
        fit = allocation.is_free(product) & (cost < problem.cost[item])
        fit &= allocation.gains(product) >= needed
        place = int(np.argmin(np.where(fit, cost, np.inf)))
        if fit[place]:
            allocation.add(span.start + place)
            if allocation.slack[product] >= 0:
                swaps += 1
                continue
            allocation.remove(span.start + place)  # rounding at the edge of a demand
        allocation.add(int(item))
    return swaps
