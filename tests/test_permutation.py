"""Permutation sampling: the kernel is plain greedy, and orders are drawn as promised."""

import itertools
import math

import jax
import numpy as np
import pytest
from catalogue import dense_influence
from disjoint import medium

import jaxcampaign as jc
from jaxcampaign.solvers.allocation import Allocation
from jaxcampaign.solvers.permutation import _canonical, _orders
from jaxcampaign.solvers.sequence import Sequences


def textbook(problem, order, divisor, selection=None) -> np.ndarray:
    """Products in order pick greedily from what is left, float64, every gain anew: int[S]."""
    allocation = Allocation(problem, selection)
    picked = np.full(problem.base.n_slots, -1)
    for product in order:
        span = allocation.items(product)
        while allocation.lacking[product] > 2e-6 * problem.demand[product]:
            worth = np.minimum(allocation.gains(product), allocation.lacking[product])
            worth = np.where(allocation.is_free(product), worth / divisor[span], 0)
            if worth.max() <= 0:
                break
            item = span.start + int(np.argmax(worth))
            allocation.add(item)
            picked[problem.item_slot[item]] = item
    return picked


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("scale", "max_slots"), [(1.0, None), (1.4, None), (1.0, 8)])
def test_each_order_is_served_by_the_textbook_greedy(seed, scale, max_slots):
    rng = np.random.default_rng(seed)
    problem = medium(seed, scale, max_slots)
    orders = np.stack([rng.permutation(6) for _ in range(5)])
    # Ties may be broken either way: nearly plain gain has none.
    for divisor in (problem.divisor, rng.uniform(0.99, 1.01, problem.n_items)):
        picked = Sequences(problem, divisor).serve(orders)
        for order, items in zip(orders, picked, strict=True):
            np.testing.assert_array_equal(items, textbook(problem, order, divisor))


@pytest.mark.parametrize("seed", range(4))
def test_slots_that_are_taken_beforehand_count_and_stay(seed):
    rng = np.random.default_rng(seed)
    problem = medium(seed, 1.2, max_slots=15)
    starts = []
    for _ in range(3):
        start = Allocation(problem)
        for item in rng.permutation(problem.n_items)[:60]:
            product = int(problem.item_product[item])
            if start.is_free(product)[item - start.items(product).start] and rng.random() < 0.5:
                start.add(int(item))
        starts.append(start)
    orders = np.stack([rng.permutation(6) for _ in starts])
    picked = Sequences(problem, problem.divisor).serve(orders, starts)
    for start, order, items in zip(starts, orders, picked, strict=True):
        want = textbook(problem, order, problem.divisor, start.selection)
        np.testing.assert_array_equal(items, want)
        assert (items[start.holder >= 0] == -1).all()


def test_items_with_many_users_and_ties():
    """Rows longer than a tile; equal slots, of which the picks are as good as the textbook's."""
    prob = np.zeros((40, 30))
    prob[:20, :] = 0.25
    prob[20:, :11] = 0.5
    influence = dense_influence(prob, np.ones(40))
    problem = jc.DisjointSlots(influence, None, None, 25.0)
    picked = Sequences(problem, problem.divisor).serve(np.array([[0]]))
    items = picked[0][picked[0] >= 0]
    want = textbook(problem, [0], problem.divisor)
    assert len(items) == (want >= 0).sum()
    selection = np.zeros(problem.n_items, bool)
    selection[items] = True
    assert jc.certify(problem, selection).feasible


def test_twins_are_not_permuted_against_each_other():
    """Of four products two are alike in demand, audience and limit: 12 orders instead of 24."""
    influence = dense_influence(np.full((6, 3), 0.5), np.arange(1.0, 7))
    users = {"a": ["u0"], "b": ["u1"], "c": ["u0"], "d": ["u0"]}
    demand = {"a": 0.5, "b": 0.5, "c": 0.5, "d": 0.4}
    problem = jc.DisjointSlots(influence, users, None, demand)
    orders = _orders(problem, 100, jax.random.key(0))
    assert len(orders) == len(np.unique(orders, axis=0)) == 12
    assert all(list(order).index(0) < list(order).index(2) for order in orders)
    found = jc.solve(problem, jc.PermutationSampling())
    assert found.statistics["samples"] == 12

    apart = jc.DisjointSlots(influence, users, None, demand, max_slots={"a": 1})
    assert len(_orders(apart, 100, jax.random.key(0))) == 24


def test_orders_are_distinct_and_follow_the_key():
    problem = medium(0)
    first = _orders(problem, 50, jax.random.key(1))
    assert len(np.unique(first, axis=0)) == len(first)
    np.testing.assert_array_equal(np.sort(first, axis=1), np.tile(np.arange(6), (len(first), 1)))
    np.testing.assert_array_equal(first, _orders(problem, 50, jax.random.key(1)))
    assert not np.array_equal(first[:20], _orders(problem, 50, jax.random.key(2))[:20])


@pytest.mark.parametrize("groups", [[0, 0, 2, 3, 2, 0], [0, 1, 2], [0, 0, 0]])
def test_canonical_orders_merge_exactly_the_twins(groups):
    twin_of = np.array(groups)
    every = np.array(list(itertools.permutations(range(len(groups)))))
    canonical = _canonical(every, twin_of)
    np.testing.assert_array_equal(twin_of[canonical], twin_of[every])
    sizes = np.unique(twin_of, return_counts=True)[1]
    distinct = math.factorial(len(groups)) / np.prod([math.factorial(n) for n in sizes])
    assert len(np.unique(canonical, axis=0)) == distinct


def test_products_without_a_demand_are_left_out():
    problem = medium(0)
    demand = problem.demand.copy()
    demand[[1, 4]] = 0
    orders = _orders(problem.with_demand(demand), 10**6, jax.random.key(0))
    assert sorted(set(orders.ravel())) == [0, 2, 3, 5]
    assert len(orders) == 24


def test_sample_size_is_hoeffdings():
    problem = medium(0)
    everything = problem.base.slots["cost"].sum()
    for epsilon, delta, width in [(0.1, 0.1, None), (0.2, 0.05, 30.0), (0.01, 0.5, 1000.0)]:
        solver = jc.PermutationSampling(epsilon=epsilon, delta=delta, width=width)
        want = math.log(2 / delta) * everything**2 / (2 * (epsilon * (width or everything)) ** 2)
        assert solver.wanted_samples(problem) == math.ceil(want)
    found = jc.solve(problem, jc.PermutationSampling(max_samples=3))
    assert found.statistics["hoeffding_samples"] == math.ceil(math.log(20) / 0.02)
    assert found.statistics["samples"] == 3
    free = jc.PermutationSampling().wanted_samples(problem.without_cost())
    assert free == 1


def test_the_cheapest_order_is_kept():
    problem = medium(2, 0.8)
    solver = jc.PermutationSampling(prune=False, max_samples=12)
    found = jc.solve(problem, solver, key=jax.random.key(3))
    costs = []
    for order in _orders(problem, 12, jax.random.key(3)):
        items = textbook(problem, order, problem.divisor)
        selection = np.zeros(problem.n_items, bool)
        selection[items[items >= 0]] = True
        c = jc.certify(problem, selection)
        costs.append(c.cost if c.feasible else np.inf)
    assert found.certificate.cost == pytest.approx(min(costs))


@pytest.mark.parametrize(
    "wrong",
    [
        {"epsilon": 0},
        {"delta": 1.0},
        {"width": -1.0},
        {"max_samples": 0},
        {"by": "cost"},
    ],
    ids=str,
)
def test_parameters_are_checked(wrong):
    with pytest.raises(jc.InputError):
        jc.PermutationSampling(**wrong)


def test_other_problems_are_refused():
    problem = jc.CommonSlots(dense_influence([[0.5]], [1]), None, None, 0.2)
    with pytest.raises(jc.InputError, match="common problem"):
        jc.solve(problem, jc.PermutationSampling())
