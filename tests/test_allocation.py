"""Allocations: what is kept up while slots are given and taken, and what repairs may not break."""

import numpy as np
import pytest
from disjoint import NO_ORDER, medium

import jaxcampaign as jc
from jaxcampaign.solvers.allocate import move_slots
from jaxcampaign.solvers.allocation import Allocation, without_conflicts
from jaxcampaign.solvers.coverage import Coverage
from jaxcampaign.solvers.repair import complete, swap


def test_moving_slots_mends_what_no_order_can():
    problem = NO_ORDER.problem()
    sampled = jc.solve(problem, jc.PermutationSampling())
    assert sampled.statistics["samples"] == 2
    assert not sampled.certificate.feasible
    allocation = Allocation(problem, sampled.selection)
    assert move_slots(allocation, jc.Clock()) > 0
    assert allocation.feasible
    assert jc.certify(problem, allocation.selection).feasible


@pytest.mark.parametrize("seed", range(5))
def test_an_allocation_is_what_its_selection_achieves(seed):
    """After any sequence of changes, to rounding; and losses are what a removal costs."""
    rng = np.random.default_rng(seed)
    problem = medium(seed)
    allocation = Allocation(problem)
    for _ in range(150):
        chosen = np.flatnonzero(allocation.selection)
        if len(chosen) and rng.random() < 0.4:
            item = int(rng.choice(chosen))
            loss, before = allocation.losses(np.array([item]))[0], allocation.achieved.sum()
            allocation.remove(item)
            assert before - allocation.achieved.sum() == pytest.approx(loss, abs=1e-12)
        else:
            product = int(rng.integers(6))
            free = np.flatnonzero(allocation.is_free(product))
            place = int(rng.choice(free))
            gain, before = allocation.gains(product)[place], allocation.achieved[product]
            allocation.add(allocation.items(product).start + place)
            assert allocation.achieved[product] - before == pytest.approx(gain, abs=1e-12)
    again = Allocation(problem, allocation.selection)
    np.testing.assert_allclose(
        allocation.achieved, problem.objective.reference(allocation.selection), atol=1e-10
    )
    np.testing.assert_array_equal(allocation.holder, again.holder)
    np.testing.assert_array_equal(allocation.count, again.count)
    np.testing.assert_allclose(allocation.rest, again.rest, atol=1e-10)


def test_conflicts_go_to_the_highest_bid_and_limits_keep_the_best():
    problem = medium(0, max_slots=5)
    score = np.random.default_rng(0).random(problem.n_items)
    kept = without_conflicts(problem, score)
    assert not jc.certify(problem, kept).violations
    winners = {}
    for item in range(problem.n_items):
        slot = int(problem.item_slot[item])
        if slot not in winners or score[item] > score[winners[slot]]:
            winners[slot] = item
    by_product = {}
    for item in sorted(winners.values(), key=lambda item: -score[item]):
        by_product.setdefault(int(problem.item_product[item]), []).append(item)
    want = {item for items in by_product.values() for item in items[:5]}
    assert set(np.flatnonzero(kept)) == want


@pytest.mark.parametrize("seed", range(5))
def test_completion_and_swaps_never_break_a_row(seed):
    problem = medium(seed, 0.7, max_slots=9)
    coverage = Coverage(problem)
    complete(coverage, problem.inverse_demand)
    swap(coverage, jc.Clock())
    assert not jc.certify(problem, coverage.selection).violations
    assert coverage.selection.any()
