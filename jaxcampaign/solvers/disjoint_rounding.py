"""Rounding of the linear relaxation for disjoint sets, with permutation sampling to beat."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import numpy as np

from jaxcampaign.problems import DisjointSlots
from jaxcampaign.progress import progress
from jaxcampaign.relaxations import Relaxation, Relaxed, prefix_bound
from jaxcampaign.relaxations.feasibility import refute_by_supply, relax_or_refute
from jaxcampaign.solvers.allocate import (
    complete_allocation,
    move_slots,
    prune_allocation,
    swap_allocation,
)
from jaxcampaign.solvers.allocation import Allocation, without_conflicts
from jaxcampaign.solvers.base import Clock, Finding
from jaxcampaign.solvers.permutation import PermutationSampling
from jaxcampaign.solvers.sequence import Sequences

# Where time is limited: shares of what is left for the relaxation, then for sampling, then for
# completing roundings. The rest is for polishing.
_RELAXING, _SAMPLING, _ROUNDING = 0.5, 0.3, 0.5
# Seconds for the relaxation, limit or not: its later rounds improve the bound, hardly the answer.
_MOST_RELAXING_S = 60.0
# Most moves of slots between products, and where no answer is feasible.
_MOVES, _PARTIAL_MOVES = 4000, 200


def round_disjoint(
    problem: DisjointSlots,
    relaxation: Relaxation,
    *,
    thresholds: tuple[float, ...],
    samples: int,
    polish: int,
    key: jax.Array,
    clock: Clock,
) -> Finding:
    """The best of permutation sampling and of rounded points, each completed and polished.

    A rounding gives a slot that several products claim to the one with the larger x. What a
    product then lacks it picks greedily from free slots, products with the least to choose from
    first; costs are the slots' own, or with the relaxation's price of the slot on top. The best
    few are polished: slots move between products while demands are missed, slots that no demand
    needs are given back, and cheaper free slots are swapped in.

    Args:
      problem: what is asked.
      relaxation: gives points, prices and the proof of the bound or of infeasibility.
      thresholds: items with x at least this are taken.
      samples: random roundings.
      polish: candidates that are polished.
      key: source of randomness; it is consumed.
      clock: when to stop.
    """
    relaxed, refuted = None, refute_by_supply(problem)
    if refuted is None:
        seconds = min(_RELAXING * clock.left, _MOST_RELAXING_S)
        relaxed, refuted = relax_or_refute(problem, relaxation, seconds=seconds)
    # Where nothing is feasible, a few orders make a good partial answer.
    sampling = PermutationSampling() if refuted is None else PermutationSampling(max_samples=4)
    sampled, statistics = sampling.sample(problem, key, _share(clock, _SAMPLING))
    found: list[Allocation] = []
    if relaxed is not None and refuted is None:
        points = list(_roundings(problem, relaxed, thresholds, samples, key))
        statistics |= {f"lp_{name}": value for name, value in relaxed.statistics.items()}
        found = _completed(problem, relaxed, points, polish, _share(clock, _ROUNDING))
    # Sampling's own answer is always polished: what is returned never costs more.
    found.append(sampled)
    moves = swaps = 0
    # Where nothing is feasible a short search makes the partial answer good.
    most = _MOVES if refuted is None else _PARTIAL_MOVES
    for one in found:
        if not one.feasible:
            moves += move_slots(one, clock, max_moves=most)
            one.refresh()
        prune_allocation(one, clock)
        swaps += swap_allocation(one, clock)
        prune_allocation(one, clock)
        one.refresh()
    best = min(found, key=lambda one: one.score)
    if refuted is not None:
        multipliers = refuted.multipliers
    elif relaxed is not None:
        multipliers = relaxed.multipliers
    else:
        _, multipliers = prefix_bound(problem, [])
    return Finding(
        best.selection,
        multipliers,
        limit_hit=clock.out or (relaxed is None and refuted is None),
        statistics=dict(statistics) | {"moves": moves, "swaps": swaps},
    )


def _share(clock: Clock, share: float) -> Clock:
    """A clock that runs out after a share of the time that is left."""
    return clock if clock.end == np.inf else Clock.after(share * clock.left)


def _roundings(
    problem: DisjointSlots,
    relaxed: Relaxed,
    thresholds: tuple[float, ...],
    samples: int,
    key: jax.Array,
) -> Iterator[np.ndarray]:
    """Disjoint sets that the tightest points suggest, bool[N] each."""
    last = len(relaxed.points) - 1
    for i in sorted({last, last // 2}, reverse=True):
        point = relaxed.points[i]
        for threshold in thresholds:
            yield without_conflicts(problem, np.where(point >= threshold, point, 0.0))
    point = relaxed.points[-1]
    rng = np.random.default_rng([*np.asarray(jax.random.key_data(key)).ravel(), 1])
    for _ in range(samples):
        yield without_conflicts(problem, np.where(rng.random(len(point)) < point, point, 0.0))


def _completed(
    problem: DisjointSlots,
    relaxed: Relaxed,
    starts: list[np.ndarray],
    polish: int,
    clock: Clock,
) -> list[Allocation]:
    """The best few of all roundings, completed with costs alone and with slots' prices on top."""
    price = problem.rows.matrix.T @ relaxed.multipliers.row_upper if len(problem.rows) else 0.0
    divisors = [np.maximum(problem.divisor, problem.cost + price), problem.divisor]
    # Roundings that agree are completed once.
    starts = list({start.tobytes(): start for start in starts}.values())
    best: list[Allocation] = []
    with progress(2 * len(starts), "round and repair", "plan") as bar:
        for divisor in divisors:
            sequences = Sequences(problem, divisor)
            for begin in range(0, len(starts), sequences.batch):
                if clock.out:
                    return best
                lanes = [
                    Allocation(problem, start) for start in starts[begin : begin + sequences.batch]
                ]
                orders = np.stack([_scarcest_first(lane) for lane in lanes])
                picked = sequences.serve(orders, lanes)
                for lane, items in zip(lanes, picked, strict=True):
                    lane.selection[items[items >= 0]] = True
                    lane.refresh()
                    if not lane.feasible:
                        weights = problem.inverse_demand
                        complete_allocation(lane, clock, weights=weights, divisor=divisor)
                    prune_allocation(lane, clock)
                best = sorted([*best, *lanes], key=lambda one: one.score)[:polish]
                bar.update(len(lanes))
    return best


def _scarcest_first(allocation: Allocation) -> np.ndarray:
    """Products with a demand, those first that need most of what free slots could add: int[K]."""
    problem = allocation.problem
    offers, matrix = problem.offers, problem.influence.matrix
    gain = np.asarray(matrix @ allocation.rest)
    free = allocation.holder[offers.slot] < 0
    within_reach = np.bincount(offers.product[free], gain[free], minlength=len(problem.demand))
    share = allocation.lacking / np.maximum(within_reach, 1e-300)
    order = np.argsort(-share, kind="stable")
    return order[problem.demand[order] > 0]
