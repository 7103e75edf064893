"""Cuts, multipliers and certificates: valid whatever the multipliers, exact where they can be."""

import dataclasses

import numpy as np
import pytest
from catalogue import dense_influence, optimum, random_problem
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxcampaign as jc
from jaxcampaign.certificate import relative_gap, unreachable
from jaxcampaign.problems import Cuts, Multipliers
from jaxcampaign.relaxations.separation import violated_prefix_cuts


def _random_cuts(problem, rng, n=6, sloped=False):
    n_users, n_slots = problem.influence.n_users, problem.n_items
    sets = [rng.choice(n_slots, rng.integers(0, n_slots), replace=False) for _ in range(n)]
    start = np.concatenate([[0], np.cumsum([len(s) for s in sets])])
    slot = np.concatenate([np.asarray(s, np.int32) for s in sets]).astype(np.int32)
    slope = np.zeros(len(slot))
    if sloped:
        slope = rng.random(len(slot)) * rng.choice([0, 0.3, 1, 3], len(slot))
    return Cuts(rng.integers(0, n_users, n).astype(np.int32), start, slot, slope)


def _all_selections(n):
    return ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(bool)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_every_cut_is_valid_and_tight_at_its_set(seed):
    rng = np.random.default_rng(seed)
    problem = random_problem(seed)
    cuts = _random_cuts(problem, rng)
    intercept, slope = cuts.coefficients(problem.influence)
    miss = 1 - problem.influence.matrix.toarray()
    for x in _all_selections(problem.n_items):
        reach = 1 - np.prod(np.where(x[:, None], miss, 1), axis=0)
        limit = intercept + slope @ x
        assert (reach[cuts.user] <= limit + 1e-12).all()
        for r in range(len(cuts)):
            if set(np.flatnonzero(x)) == set(cuts.slot[cuts.start[r] : cuts.start[r + 1]]):
                assert limit[r] == pytest.approx(reach[cuts.user[r]], abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_every_cut_with_slopes_is_valid_and_touches_a_selection(seed):
    rng = np.random.default_rng(seed)
    problem = random_problem(seed)
    cuts = _random_cuts(problem, rng, sloped=True)
    intercept, slope = cuts.coefficients(problem.influence)
    miss = 1 - problem.influence.matrix.toarray()
    masks = _all_selections(problem.n_items)
    reach = np.array([1 - np.prod(np.where(x[:, None], miss, 1), axis=0) for x in masks])
    slack = intercept + masks @ slope.T - reach[:, cuts.user]
    assert slack.min() >= 0 or not cuts.sloped[slack.min(axis=0) < 0].any()
    assert slack.min() > -1e-12
    # h is as small as it can be: some set of members alone is met with equality.
    assert slack.min(axis=0) == pytest.approx(np.zeros(len(cuts)), abs=1e-12)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6))
def test_any_multipliers_give_a_valid_bound(seed):
    rng = np.random.default_rng(seed)
    problem = random_problem(seed)
    best = optimum(problem)
    if best is None:
        return
    cuts = _random_cuts(problem, rng, sloped=bool(seed % 2))
    scale = 10.0 ** rng.integers(-3, 3)
    multipliers = Multipliers(
        scale * rng.random(len(problem.demand)),
        scale * rng.random(len(problem.rows)),
        np.zeros(len(problem.rows)),
        scale * rng.random(len(cuts)),
        cuts,
    )
    bound = jc.lagrangian_bound(problem, multipliers)
    assert bound <= best if problem.sense == "min" else bound >= best


def test_negative_or_undefined_multipliers_prove_nothing():
    problem = random_problem(1)
    _, multipliers = jc.prefix_bound(problem, [])
    for poison in (-1e-9, np.nan, np.inf):
        demand = multipliers.demand.copy()
        demand[0] = poison
        with pytest.raises(ValueError, match="multipliers"):
            jc.lagrangian_bound(problem, dataclasses.replace(multipliers, demand=demand))
        assert np.isfinite(dataclasses.replace(multipliers, demand=demand).clipped().demand).all()


def test_take_and_join_keep_the_sets():
    problem = random_problem(2)
    cuts = _random_cuts(problem, np.random.default_rng(0))
    halves = [cuts.take(np.arange(3)), cuts.take(np.arange(6) >= 3)]
    again = Cuts.join(halves)
    for name in ("user", "start", "slot"):
        np.testing.assert_array_equal(getattr(again, name), getattr(cuts, name))


@pytest.mark.parametrize("seed", range(10))
def test_separation_finds_every_violated_prefix(seed):
    rng = np.random.default_rng(seed)
    prob = np.where(rng.random((9, 5)) < 0.7, rng.choice([0.3, 0.7, 1.0], (9, 5)), 0)
    prob[0] = 0.5
    influence = dense_influence(prob, np.ones(9))
    prob = influence.matrix.toarray()
    x = np.where(rng.random(len(prob)) < 0.3, 0, rng.random(len(prob)))
    users = np.arange(influence.n_users)
    reach = np.minimum(prob.T @ x, 1)
    want = set()
    for u in users:
        order = sorted(np.flatnonzero(prob[:, u]), key=lambda s: (-x[s], s))
        for m in range(1, len(order) + 1):
            inside, outside = order[:m], order[m:]
            rest = np.prod(1 - prob[inside, u])
            limit = 1 - rest + rest * (prob[outside, u] @ x[outside])
            if reach[u] > limit + 1e-6 and x[order[m - 1]] > 1e-6:
                want.add((u, frozenset(inside)))
    cuts = violated_prefix_cuts(influence, x, reach, users, 1e-6)
    found = {
        (u, frozenset(cuts.slot[cuts.start[r] : cuts.start[r + 1]]))
        for r, u in enumerate(cuts.user)
    }
    assert found == want
    intercept, slope = cuts.coefficients(influence)
    assert (reach[cuts.user] > intercept + slope @ x).all()


@pytest.mark.parametrize("seed", range(12))
def test_linear_relaxation_bounds_and_beats_the_closed_form(seed):
    problem = random_problem(seed)
    best = optimum(problem)
    if best is None:
        return
    relaxed = jc.LinearRelaxation().solve(problem)
    closed, _ = jc.prefix_bound(problem, [np.ones(problem.n_items, bool)])
    assert relaxed.bound == jc.lagrangian_bound(problem, relaxed.multipliers)
    slack = 1e-6 * max(abs(best), 1)
    if problem.sense == "min":
        assert relaxed.bound <= best
        assert closed <= relaxed.bound + slack
    else:
        assert relaxed.bound >= best
        assert closed >= relaxed.bound - slack


def test_prefix_bound_solves_a_knapsack_relaxation_exactly():
    influence = dense_influence(np.diag([0.9, 0.8, 0.5, 0.4]), [1, 2, 1, 3])
    problem = jc.BudgetedSlots(influence, budget=2.5)
    bound, _ = jc.prefix_bound(problem, [])
    assert bound == pytest.approx(0.9 + 0.5 + 0.8 * 0.25, rel=3e-9)


def test_certificate_recomputes_and_names_what_is_wrong():
    influence = dense_influence([[0.5, 0], [0, 0.25]], [2, 3])
    problem = jc.CommonSlots(influence, {"a": ["u0"], "b": ["u1"]}, None, {"a": 0.5, "b": 0.25})
    c = jc.certify(problem, np.array([True, False]))
    assert not c.feasible
    assert c.gap is None
    np.testing.assert_allclose(c.shortfall, [0, 0.25])
    c = jc.certify(problem, np.array([True, True]))
    assert c.feasible
    assert (c.cost, c.value, c.bound) == (5, 5, 0)
    assert c.gap == 1

    over = jc.BudgetedSlots(influence, budget=4)
    c = jc.certify(over, np.array([True, True]))
    assert not c.feasible
    assert c.violations == ({"row": "budget", "activity": 5.0, "lower": -np.inf, "upper": 4.0},)


def test_certificate_states_both_bounds_and_which_is_which():
    problem = random_problem(0)
    found = jc.solve(problem, jc.BruteForce())
    c = jc.certify(problem, found.selection, found.multipliers, solver_bound=found.certificate.cost)
    assert c.bound_proof == "branch_and_bound"
    assert c.rechecked_bound < c.bound
    assert c.solver_bound == found.certificate.cost
    weaker = jc.certify(problem, found.selection, found.multipliers, solver_bound=0.0)
    assert weaker.bound == weaker.rechecked_bound
    assert weaker.bound_proof == "multipliers"


def test_certify_refuses_a_selection_of_another_problem():
    problem = random_problem(0)
    with pytest.raises(ValueError, match="bool"):
        jc.certify(problem, np.ones(problem.n_items + 1, bool))
    with pytest.raises(ValueError, match="bool"):
        jc.certify(problem, np.ones(problem.n_items))


def test_relative_gap_is_that_of_branch_and_bound():
    assert relative_gap(4.0, 3.0) == 0.25
    assert relative_gap(0.0, 0.0) == 0
    assert relative_gap(0.0, -1.0) == np.inf


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_unreachable_is_exact_for_the_common_problem(seed):
    problem = random_problem(seed)
    if problem.sense == "min":
        assert (optimum(problem) is None) == bool(unreachable(problem))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.floats(1e-3, 1e3))
def test_scaling_all_costs_scales_the_answer(seed, factor):
    problem = random_problem(seed)
    if problem.sense == "max":
        return
    influence = problem.influence
    demand = dict(zip(problem.product_ids, problem.demand, strict=True))
    audience = {
        product: list(influence.user_ids[np.flatnonzero(row)])
        for product, row in zip(
            problem.product_ids, problem.objective.audience.toarray(), strict=True
        )
    }
    audience = {p: users or ["nobody"] for p, users in audience.items()}
    scaled = jc.CommonSlots(influence, audience, problem.cost * factor, demand)
    one, other = jc.solve(problem, jc.BruteForce()), jc.solve(scaled, jc.BruteForce())
    assert other.certificate.cost == pytest.approx(factor * one.certificate.cost, rel=1e-9)


def test_outward_rounding_covers_long_sums_and_huge_multipliers():
    """300 users of one slot, each with many equal cuts: the optimum is 1 at any scale."""
    rng = np.random.default_rng(0)
    prob = rng.uniform(1e-3, 1, (1, 300))
    problem = jc.CommonSlots(dense_influence(prob, [1.0]), None, None, prob.sum())
    for power in (0, 10, 20, 30, 40):
        scale = 2.0**power
        cuts = Cuts.first(np.repeat(np.arange(300), 300))
        multipliers = Multipliers(
            np.array([scale]), np.zeros(0), np.zeros(0), np.full(len(cuts), scale / 300), cuts
        )
        assert jc.lagrangian_bound(problem, multipliers) <= 1


def test_multipliers_that_overflow_prove_nothing():
    problem = random_problem(1)
    _, multipliers = jc.prefix_bound(problem, [])
    huge = dataclasses.replace(multipliers, demand=np.full_like(multipliers.demand, 1e308))
    with pytest.raises(ValueError, match="too large"):
        jc.lagrangian_bound(problem, huge)


def test_no_gap_is_forgiven_because_multipliers_are_large():
    influence = dense_influence([[0.5, 1e-17], [0.5, 0]], [1, 1000])
    problem = jc.CommonSlots(influence, None, None, 0.4)
    multipliers = Multipliers(
        np.zeros(1), np.zeros(0), np.zeros(0), np.array([1e17]), Cuts.first(np.array([1]))
    )
    c = jc.certify(problem, np.array([False, True]), multipliers)
    assert c.bound == 0  # never below what holds without any multiplier
    assert c.gap == 1


def test_bounds_hold_for_all_that_counts_as_feasible():
    """A slot that misses the demand within the tolerance is feasible, and no bound denies it."""
    influence = dense_influence([[1 - 0.9e-9], [1.0]], [1, 1000])
    problem = jc.CommonSlots(influence, None, None, 1.0)
    cut = Cuts.at_selection(influence, np.array([0]), np.array([True, False]))
    price = 1000 / 0.9e-9
    multipliers = Multipliers(np.array([price]), np.zeros(0), np.zeros(0), np.array([price]), cut)
    c = jc.certify(problem, np.array([True, False]), multipliers)
    assert c.feasible
    assert c.bound <= c.cost == 1
    for solver in (jc.BruteForce(), jc.MixedInteger(), jc.Greedy()):
        assert jc.solve(problem, solver).certificate.cost == 1


def test_lower_limits_are_priced_the_right_way_round():
    """A row with a lower limit: at least two of three slots, the cheapest two cost 3."""
    influence = dense_influence(np.eye(3), [1, 2, 4])
    problem = jc.CommonSlots(influence, None, None, 0.0)
    (objective, cost, demand, weight, _), ids = problem.tree_flatten()
    rows = jc.Rows.dense(np.ones((1, 3)), [2], [np.inf], ["at least two"], ["why not"])
    problem = jc.CommonSlots.tree_unflatten(ids, (objective, cost, demand, weight, rows))
    none = Cuts.first(np.zeros(0, int))
    multipliers = Multipliers(np.zeros(1), np.zeros(1), np.array([2.0]), np.zeros(0), none)
    assert jc.lagrangian_bound(problem, multipliers) == pytest.approx(3)
    assert not jc.certify(problem, np.array([True, False, False])).feasible
    assert jc.certify(problem, np.array([True, True, False]), multipliers).gap == pytest.approx(
        0, abs=1e-8
    )


def test_infeasible_problems_have_no_bound():
    problem = jc.CommonSlots(dense_influence([[0.5]], [1]), None, None, 0.8)
    c = jc.certify(problem, np.array([True]), None, solver_bound=3.0)
    assert (c.bound, c.rechecked_bound, c.solver_bound, c.gap) == (None, None, None, None)
    assert c.reasons
