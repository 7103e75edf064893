"""Inequalities beyond prefixes, the tree that proves a bound by cases, and the search on both."""

import dataclasses
import time

import numpy as np
import pytest
from catalogue import dense_influence, optimum, random_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import jaxcampaign as jc
from jaxcampaign.problems import Cuts, RoundedRows, proven_bound
from jaxcampaign.problems.branching import exclusion_values
from jaxcampaign.relaxations.core import Core
from jaxcampaign.relaxations.hull import violated_hull_cuts
from jaxcampaign.relaxations.rounding import violated_rounded_rows
from jaxcampaign.relaxations.simplex import CutProgram
from jaxcampaign.relaxations.tree import Tree


def _all_selections(n):
    return ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(bool)


def _feasible(problem):
    """Every feasible selection, as rows."""
    masks = _all_selections(problem.n_items)
    miss = 1 - problem.influence.matrix.toarray()
    reach = np.array([1 - np.prod(np.where(x[:, None], miss, 1), axis=0) for x in masks])
    met = (reach @ problem.objective.audience.T.toarray() >= problem.required).all(axis=1)
    use = masks @ problem.rows.matrix.T.toarray()
    return masks[met & (use <= problem.rows.upper * (1 + 1e-9)).all(axis=1)]


@pytest.fixture(scope="module")
def city_problem():
    """150 slots, 120 users, 6 products: small, and not solved in a second."""
    rng = np.random.default_rng(0)
    prob = np.where(rng.random((150, 120)) < 0.05, rng.random((150, 120)) ** 0.5, 0.0)
    influence = dense_influence(prob, rng.random(150) + 0.2)
    audience = rng.random((6, influence.n_users)) < 0.4
    most = jc.CommonSlots(influence, audience, None, 0.0).objective.reference(np.ones(150))
    return jc.CommonSlots(influence, audience, None, 0.6 * most)


def _searched(problem, cutoff=np.inf, seconds=5.0, **relaxation):
    relaxation = jc.LinearRelaxation(**relaxation)
    program = CutProgram(problem, problem.active_users)
    vertices = relaxation.tighten(program)
    tree = Tree(program, vertices[-1], relaxation)
    tree.search(lambda: cutoff, time.monotonic() + seconds)
    return tree


@pytest.mark.parametrize("seed", range(6))
def test_a_hull_cut_is_the_concave_envelope_at_the_point(seed):
    rng = np.random.default_rng(seed)
    m = int(rng.integers(2, 8))
    p = np.where(rng.random(m) < 0.2, 1.0, rng.random(m) * 0.9 + 0.05)
    influence = dense_influence(p[:, None], np.ones(m))
    x = rng.random(m) * 0.9 + 0.05
    cuts = violated_hull_cuts(influence, x, np.ones(1), np.zeros(1, int), -9.0)
    intercept, slope = cuts.coefficients(influence)
    masks = _all_selections(m)
    worth = 1 - np.prod(np.where(masks, 1 - p, 1.0), axis=1)
    columns = np.vstack([masks.T, np.ones(len(masks))])
    envelope = -linprog(-worth, A_eq=columns, b_eq=np.append(x, 1.0)).fun
    assert (intercept + slope @ x)[0] == pytest.approx(envelope, abs=1e-3)
    assert (intercept + slope @ x)[0] >= envelope - 1e-9


def test_a_hull_cut_holds_for_slots_outside_its_members():
    rng = np.random.default_rng(0)
    for _ in range(40):
        p = np.where(rng.random(9) < 0.15, 1.0, rng.random(9) ** 2)
        influence = dense_influence(np.maximum(p, 1e-3)[:, None], np.ones(9))
        x = np.where(rng.random(9) < 0.5, 0.0, rng.random(9))
        cuts = violated_hull_cuts(influence, x, np.ones(1), np.zeros(1, int), -9.0, members=4)
        if not len(cuts):
            continue
        intercept, slope = cuts.coefficients(influence)
        masks = _all_selections(9)
        p = influence.matrix.toarray().ravel()
        reach = 1 - np.prod(np.where(masks, 1 - p, 1.0), axis=1)
        assert (intercept + masks @ slope.T.toarray() >= reach[:, None]).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_rounded_rows_keep_every_feasible_selection(seed):
    rng = np.random.default_rng(seed)
    problem = random_problem(seed)
    if problem.sense == "max" or not (problem.demand > 0).any():
        return
    feasible = _feasible(problem)
    users = problem.active_users
    x = rng.random(problem.n_items) * (rng.random(problem.n_items) < 0.8)
    cuts = Cuts.join([Cuts.first(users), Cuts.at_selection(problem.influence, users, x > 0.6)])
    rows = violated_rounded_rows(problem, x, np.zeros(len(users)), users, cuts, -np.inf)
    if not len(rows):
        return
    right, matrix = rows.coefficients(problem)
    assert (feasible @ matrix.T.toarray() >= right - 1e-9).all()
    # So does a row with any divisor and complement, priced at random.
    other = dataclasses.replace(rows, divisor=rng.random(len(rows)) + 0.05)
    right, matrix = other.coefficients(problem)
    assert (feasible @ matrix.T.toarray() >= right - 1e-9).all()


def test_a_rounded_row_closes_a_knapsack_gap():
    # Each slot reaches one user surely; 2.5 users are wanted, so three slots are needed.
    problem = jc.CommonSlots(dense_influence(np.eye(4), np.ones(4)), None, None, 2.5)
    plain = jc.LinearRelaxation(rounding=False).solve(problem)
    rounded = jc.LinearRelaxation().solve(problem)
    assert plain.bound == pytest.approx(2.5, abs=1e-6)
    assert rounded.bound == pytest.approx(3.0, abs=1e-6)


def test_rounded_rows_refuse_what_proves_nothing():
    problem = jc.CommonSlots(dense_influence(np.eye(4), np.ones(4)), None, None, 2.5)
    multipliers = jc.LinearRelaxation().solve(problem).multipliers
    rows = multipliers.rounded_rows
    assert len(rows)
    for bad in (np.zeros(len(rows)), np.full(len(rows), np.nan), -np.ones(len(rows))):
        with pytest.raises(ValueError, match="divisors"):
            dataclasses.replace(rows, divisor=bad).coefficients(problem)
    negative = rows.cut_price.copy()
    negative.data[0] = -1.0
    with pytest.raises(ValueError, match="prices"):
        dataclasses.replace(rows, cut_price=negative).coefficients(problem)
    assert len(RoundedRows.join([rows, rows]).take(np.array([1]))) == 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_a_finished_tree_proves_the_optimum(seed):
    problem = random_problem(seed)
    best = optimum(problem)
    if best is None:
        return
    sign = 1 if problem.sense == "min" else -1
    tree = _searched(problem, cutoff=sign * best - 1e-7 * abs(best), hull=bool(seed % 2))
    bound = proven_bound(problem, tree.proof())
    assert sign * bound <= sign * best
    assert bound == pytest.approx(best, rel=2e-6, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_a_tree_that_is_stopped_proves_a_valid_bound(seed):
    problem = random_problem(seed)
    best = optimum(problem)
    if best is None:
        return
    relaxation = jc.LinearRelaxation(max_rounds=1, rounding=False)
    program = CutProgram(problem, problem.active_users)
    tree = Tree(program, relaxation.tighten(program)[-1], relaxation)
    for nodes in range(4):
        bound = proven_bound(problem, tree.proof())
        assert bound <= best if problem.sense == "min" else bound >= best
        tree.search(lambda n=nodes: np.inf if tree.n_nodes <= n else -np.inf, time.monotonic() + 5)


def test_a_node_without_any_selection_is_proven_empty():
    # Both halves of the first user are needed: leaving either out leaves nothing.
    influence = dense_influence([[0.6, 0], [0.6, 0], [0, 0.7], [0, 0.8]], [1, 1, 1, 3])
    problem = jc.CommonSlots(influence, {"a": ["u0"], "b": ["u1"]}, None, {"a": 0.8, "b": 0.5})
    tree = _searched(problem, cutoff=2.99, max_rounds=1, rounding=False)
    assert proven_bound(problem, tree.proof()) >= 2.99 - 1e-6


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_exclusion_values_bound_the_selections_that_have_a_slot(seed):
    problem = random_problem(seed)
    if optimum(problem) is None or problem.sense == "max":
        return
    values = exclusion_values(problem, jc.LinearRelaxation().solve(problem).multipliers)
    feasible = _feasible(problem)
    cost = feasible @ problem.cost
    for slot in range(problem.n_items):
        having = cost[feasible[:, slot]]
        assert not len(having) or values[slot] <= having.min() + 1e-9


def _branched():
    """A problem whose tree has several nodes, and the tree."""
    for seed in range(200):
        problem = random_problem(seed)
        best = optimum(problem)
        if problem.sense == "max" or best is None or problem.n_items < 6:
            continue
        tree = _searched(problem, cutoff=best * 10 + 1, max_rounds=1, hull=False, rounding=False)
        if len(tree.proof().leaf) >= 3:
            return problem, tree.proof(), best
    raise AssertionError("no tree of three leaves")


def test_a_tree_that_misses_selections_proves_nothing():
    problem, proof, best = _branched()
    assert proven_bound(problem, proof) <= best
    one_child = proof.slot.copy()
    one_child[-1] = (one_child[-1] + 1) % problem.n_items
    both_out = proof.inside.copy()
    both_out[1:3] = False
    shorter = {name: getattr(proof, name)[:-1] for name in ("parent", "slot", "inside")}
    for forged in (
        {"slot": one_child},
        {"inside": both_out},
        {"leaf": proof.leaf[:-1]},
        {"leaf": np.append(proof.leaf[:-1], 0)},
        {"parent": np.where(proof.parent == 0, 1, proof.parent)},
        {"excluded": np.array([problem.n_items])},
        shorter,
    ):
        with pytest.raises(ValueError, match="does not cover"):
            proven_bound(problem, dataclasses.replace(proof, **forged))
    # Sides that are exchanged make another tree, whose prices prove what they prove.
    swapped = dataclasses.replace(proof, inside=~proof.inside)
    assert proven_bound(problem, swapped) <= best


def test_leaving_out_a_slot_that_is_needed_costs_the_bound():
    problem, proof, best = _branched()
    every = dataclasses.replace(proof, excluded=np.arange(problem.n_items))
    assert proven_bound(problem, every) <= best


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_a_core_finds_the_best_way_to_complete_a_plan(seed):
    problem = random_problem(seed)
    rng = np.random.default_rng(seed)
    feasible = _feasible(problem)
    if problem.sense == "max" or not len(feasible):
        return
    free = np.flatnonzero(rng.random(problem.n_items) < 0.7)
    taken = feasible[rng.integers(len(feasible))].copy()
    taken[free] = False
    fixed = np.setdiff1d(np.arange(problem.n_items), free)
    matching = feasible[(feasible[:, fixed] == taken[fixed]).all(axis=1)]
    users = problem.active_users
    # With the inequality of every selection the program is exact.
    cuts = Cuts.join(
        [
            Cuts.at_selection(problem.influence, users, mask)
            for mask in _all_selections(problem.n_items)
        ]
    )
    answer = Core(problem, free, taken, cuts).solve(seconds=10)
    best = (matching @ problem.cost).min()
    assert answer.finished
    assert problem.cost[answer.selection].sum() == pytest.approx(best, abs=1e-7)
    assert answer.bound <= best + 1e-6
    below = Core(problem, free, taken, cuts).solve(seconds=10, cutoff=best * 0.99 - 1e-3)
    assert below.selection is None and below.bound == np.inf


def test_stopped_at_any_time_it_returns_a_plan_and_a_bound(city_problem):
    for seconds in (1e-3, 0.5, 5.0):
        solution = jc.solve(city_problem, jc.BranchAndCut(time_limit=seconds))
        assert solution.certificate.feasible
        assert solution.certificate.bound <= solution.certificate.cost
        assert solution.certificate.bound_proof == "multipliers"


def test_both_sides_help(city_problem):
    # Few rounds and time to spare, so that the root is the same whatever else the machine does.
    relaxation = jc.LinearRelaxation(max_rounds=4)
    alone = {"neighbourhoods": False, "branching": False}
    root = jc.solve(city_problem, jc.BranchAndCut(12.0, relaxation=relaxation, **alone))
    both = jc.solve(city_problem, jc.BranchAndCut(12.0, relaxation=relaxation))
    assert both.certificate.cost <= root.certificate.cost
    assert both.certificate.bound >= root.certificate.bound
    assert both.certificate.gap < min(root.certificate.gap, 0.1)
