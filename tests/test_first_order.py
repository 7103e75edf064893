"""The first-order relaxation against HiGHS and enumeration, and its parts against dense NumPy."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import dense_influence, optimum
from scipy import sparse

import jaxcampaign as jc
from jaxcampaign.influence import layout
from jaxcampaign.problems import FEASIBILITY_TOLERANCE, Cuts, SlotProblem
from jaxcampaign.relaxations.first_order import saddle
from jaxcampaign.relaxations.first_order.deepest import deepest_cuts
from jaxcampaign.relaxations.first_order.polish import polished
from jaxcampaign.relaxations.first_order.saddle import (
    Dual,
    Primal,
    Room,
    Saddle,
    build_frame,
    build_saddle,
)
from jaxcampaign.relaxations.first_order.terms import Terms
from jaxcampaign.relaxations.program import solve_program

# Problems of one kind have one shape, so that they share a compiled program.
N_SLOTS, N_USERS = 8, 7
KINDS = ("common", "budgeted", "disjoint")
AUDIENCE = np.array([[1, 1, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1, 1]], bool)


def _problem(kind: str, seed: int) -> SlotProblem:
    rng = np.random.default_rng(seed)
    prob = np.where(rng.random((N_SLOTS, N_USERS)) < 0.6, rng.random((N_SLOTS, N_USERS)), 0.0)
    prob[np.arange(N_USERS), np.arange(N_USERS)] = rng.choice([0.3, 0.9, 1.0], N_USERS)
    prob[-1, 0] = 0.5
    return _problem_of(kind, prob, rng.uniform(0.5, 2, N_SLOTS), rng.uniform(0.4, 0.9, 2))


def _problem_of(kind: str, prob: np.ndarray, cost, share, budget: float = 3.0) -> SlotProblem:
    if kind == "budgeted":
        return jc.BudgetedSlots(dense_influence(prob, cost), AUDIENCE, budget=budget, max_slots=4)
    if kind == "disjoint":
        influence = dense_influence(np.maximum(prob, 0.05), cost)
        return jc.DisjointSlots(influence, AUDIENCE, None, np.array([2.0, 1.0]), max_slots=5)
    reach = AUDIENCE @ (1 - np.prod(1 - prob, axis=0))
    return jc.CommonSlots(dense_influence(prob, cost), AUDIENCE, None, share * reach)


def _minimised(problem: SlotProblem, bound: float) -> float:
    return bound if problem.sense == "min" else -bound


@pytest.mark.parametrize("kind", KINDS)
def test_bound_is_that_of_the_simplex_with_the_same_inequalities(kind):
    relaxation = jc.FirstOrderRelaxation(max_rounds=0, max_steps=3000, min_progress=0.0)
    for seed in range(4):
        problem = _problem(kind, seed)
        users = problem.active_users
        rng = np.random.default_rng(seed)
        cuts = Cuts.at_selection(problem.influence, users, rng.random(problem.n_items) < 0.4)
        exact = solve_program(problem, users, Cuts.join([Cuts.first(users), cuts])).bound
        found = relaxation.solve(problem, cuts=cuts)
        bound = _minimised(problem, found.bound)
        assert exact * (1 - np.sign(exact) * 1e-3) <= bound <= exact + 1e-6 * abs(exact)
        assert found.bound == jc.lagrangian_bound(problem, found.multipliers)
        assert found.points[-1].shape == (problem.n_items,)
        assert ((found.points[-1] >= 0) & (found.points[-1] <= 1)).all()


@pytest.mark.parametrize("kind", ["common", "budgeted"])
@pytest.mark.parametrize(
    "limits", [{"max_steps": 0}, {"max_steps": 1}, {"max_steps": 45}, {}], ids=str
)
def test_bound_never_passes_the_optimum(kind, limits):
    for seed in range(3):
        problem = _problem(kind, seed)
        best = optimum(problem)
        assert best is not None
        relaxed = jc.FirstOrderRelaxation(**limits).solve(problem)
        bound, best = _minimised(problem, relaxed.bound), _minimised(problem, best)
        assert bound <= best + 1e-9 * abs(best)
        if not limits:
            assert bound >= best - 0.35 * abs(best)


@pytest.mark.parametrize("seconds", [0.0, 1e-3, 0.05])
def test_a_time_limit_costs_strength_and_not_validity(seconds):
    problem = _problem("common", 5)
    relaxed = jc.FirstOrderRelaxation().solve(problem, seconds=seconds)
    best = optimum(problem)
    assert best is not None
    assert jc.prefix_bound(problem, [])[0] <= relaxed.bound <= best
    assert len(relaxed.points) >= 1
    assert seconds or relaxed.statistics["steps"] == 0


def test_a_time_limit_that_is_not_reached_changes_nothing():
    free = jc.FirstOrderRelaxation().solve(_problem("common", 5))
    limited = jc.FirstOrderRelaxation().solve(_problem("common", 5), seconds=600)
    assert limited.bound == free.bound
    assert limited.statistics["steps"] == free.statistics["steps"]


def test_rounds_of_inequalities_tighten_the_bound():
    gains = []
    for seed in range(4):
        problem = _problem("common", seed)
        none = jc.FirstOrderRelaxation(max_rounds=0).solve(problem)
        prefixes = jc.FirstOrderRelaxation(hull=False).solve(problem)
        hulls = jc.FirstOrderRelaxation().solve(problem)
        assert prefixes.statistics["rounds"] > 0
        assert none.bound <= prefixes.bound * (1 + 1e-3)
        assert prefixes.bound <= hulls.bound * (1 + 1e-2)
        gains.append(prefixes.bound / none.bound)
        # Starting from the inequalities that were found, few steps do what many did.
        cuts = hulls.multipliers.cuts
        again = jc.FirstOrderRelaxation(max_rounds=0, max_steps=800).solve(problem, cuts=cuts)
        assert again.bound >= hulls.bound * (1 - 1e-2)
    assert max(gains) > 1.05


def test_same_problem_same_answer():
    one, other = (jc.FirstOrderRelaxation().solve(_problem("common", 1)) for _ in range(2))
    assert one.bound == other.bound
    assert np.array_equal(one.multipliers.cut, other.multipliers.cut)
    assert np.array_equal(one.points[-1], other.points[-1])


PROB = np.random.default_rng(0).uniform(0.1, 0.6, (N_SLOTS, N_USERS))
COST = np.arange(1.0, N_SLOTS + 1)
DEGENERATE = {
    "no cost": lambda: _problem_of("common", PROB, 0 * COST, 0.5),
    "some slots free": lambda: _problem_of("common", PROB, np.maximum(COST - 4, 0), 0.9),
    "certain exposures": lambda: _problem_of("common", np.ones_like(PROB), COST, 1.0),
    "all slots needed": lambda: _problem_of("common", PROB, COST, 1.0),
    "nothing wanted": lambda: _problem_of("common", PROB, COST, 0.0),
    "no money": lambda: _problem_of("budgeted", PROB, COST, 0.0, budget=0.0),
    "money for all": lambda: _problem_of("budgeted", PROB, COST, 0.0, budget=100.0),
    "one slot": lambda: jc.CommonSlots(dense_influence([[0.5, 1.0]], [3]), None, None, 1.5),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_problems(name):
    problem = DEGENERATE[name]()
    best = optimum(problem)
    assert best is not None
    relaxed = jc.FirstOrderRelaxation(max_steps=400).solve(problem)
    bound, best = _minimised(problem, relaxed.bound), _minimised(problem, best)
    assert bound <= best + 1e-9 * abs(best)
    assert bound >= best - 0.5 * abs(best) - 1e-6
    assert all(np.isfinite(point).all() for point in relaxed.points)


def _some_cuts(problem: SlotProblem) -> Cuts:
    """Inequalities with and without slopes, in no order of users."""
    influence, rng = problem.influence, np.random.default_rng(0)
    users = np.arange(influence.n_users)
    flat = Cuts.at_selection(influence, users[::-1], rng.random(influence.n_slots) < 0.5)
    sloped = Cuts.at_selection(influence, users, rng.random(influence.n_slots) < 0.5)
    slope = rng.uniform(0.1, 0.9, len(sloped.slot))
    return Cuts.join([flat, Cuts(sloped.user, sloped.start, sloped.slot, slope)])


def test_terms_are_the_coefficients_of_the_inequalities():
    problem = _problem("common", 3)
    cuts = _some_cuts(problem)
    terms = Terms.of(problem.influence, cuts)
    intercept, matrix = cuts.coefficients(problem.influence)
    by_user = problem.influence.by_user_matrix[cuts.user].toarray()
    derived = terms.theta[:, None] * by_user + terms.correction.toarray()
    np.testing.assert_allclose(terms.intercept, intercept, atol=1e-12)
    np.testing.assert_allclose(derived, matrix.toarray(), atol=1e-12)
    assert terms.correction.nnz == len(cuts.slot)


def _dense(problem: SlotProblem, cuts: Cuts) -> np.ndarray:
    """K in full: demands, rows, first inequalities, others; columns x, y."""
    n_users = problem.influence.n_users
    audience = problem.objective.audience.toarray()[problem.demand > 0]
    rows, first = problem.rows.matrix.toarray(), problem.influence.by_user_matrix.toarray()
    of_user = np.eye(n_users)[cuts.user]
    matrix = cuts.coefficients(problem.influence)[1].toarray()
    return np.block(
        [
            [np.zeros((len(audience), problem.n_items)), audience],
            [rows, np.zeros((len(rows), n_users))],
            [first, -np.eye(n_users)],
            [matrix, -of_user],
        ]
    )


@pytest.mark.parametrize("form", ["full and triplets", "chunked", "flat"])
@pytest.mark.parametrize("kind", ["disjoint"])
def test_products_in_every_form(kind, form, monkeypatch):
    if form != "full and triplets":
        monkeypatch.setattr(saddle, "_FEW_ENTRIES", -1)
        monkeypatch.setattr(saddle, "_LARGEST_FULL", 0)
        monkeypatch.setattr(layout, "choose_formulation", lambda: form)
        monkeypatch.setattr(saddle, "choose_formulation", lambda: form)
    problem = _problem(kind, 2)
    cuts = _some_cuts(problem)
    terms = Terms.of(problem.influence, cuts)
    program = build_saddle(problem, build_frame(problem, 1.0), terms, Room.first(0))
    dense, rng = _dense(problem, cuts), np.random.default_rng(1)

    point = Primal(*(rng.random(len(cost), np.float32) for cost in program.frame.cost))
    rise = jax.jit(Saddle.rise)(program, point)
    assert not np.asarray(rise.cut)[len(cuts) :].any()
    flat = np.concatenate([*rise[:3], rise.cut[: len(cuts)]])
    np.testing.assert_allclose(flat, dense @ np.concatenate(point), atol=1e-5)

    sizes = [len(part) for part in rise[:3]]
    prices = rng.random(len(dense)).astype(np.float32)
    dual = Dual(*np.split(prices, np.cumsum(sizes)))
    dual = dual._replace(cut=np.pad(dual.cut, (0, len(rise.cut) - len(cuts))))
    worth = jax.jit(Saddle.worth)(program, dual)
    np.testing.assert_allclose(np.concatenate(worth), dense.T @ prices, atol=1e-4)

    # Pock and Chambolle's condition, which makes every primal weight safe.
    primal, step = np.concatenate(program.primal_step), np.concatenate(program.dual_step)
    scaled = np.sqrt(step[: len(dense), None]) * dense * np.sqrt(primal)
    assert np.linalg.norm(scaled, 2) <= 1 + 1e-5


def test_layouts_and_triplets_give_the_same_bound(monkeypatch):
    problem = _problem("common", 4)
    plain = jc.FirstOrderRelaxation(max_steps=800).solve(problem)
    monkeypatch.setattr(saddle, "_FEW_ENTRIES", -1)
    monkeypatch.setattr(saddle, "_LARGEST_FULL", 0)
    laid_out = jc.FirstOrderRelaxation(max_steps=800).solve(problem)
    assert laid_out.bound == pytest.approx(plain.bound, rel=5e-3)


@pytest.mark.parametrize("seed", range(5))
def test_deepest_inequalities(seed):
    rng = np.random.default_rng(seed)
    n_users, n_slots = 6, 7
    prob = rng.choice([0, 0.1, 0.5, 0.9, 1.0], (n_users, n_slots)) * rng.random((n_users, n_slots))
    by_user, x = sparse.csr_array(prob), rng.random(n_slots)
    reach = np.minimum(prob @ x, 1.0)
    cuts, violation = deepest_cuts(by_user, x, reach, tolerance=1e-6, most=1)
    influence = jc.Influence(by_user.T.tocsr(), None, np.arange(n_users))
    intercept, matrix = cuts.coefficients(influence)
    actual = reach[cuts.user] - intercept - matrix @ x
    np.testing.assert_allclose(violation, actual, atol=1e-12)
    found = np.zeros(n_users)
    np.maximum.at(found, cuts.user, violation)
    for user in range(n_users):
        slots = np.flatnonzero(prob[user])
        best = 0.0
        for size in range(len(slots) + 1):
            for members in itertools.combinations(slots, size):
                inside = np.isin(slots, members)
                p, at = prob[user, slots], x[slots]
                rest = np.prod(1 - p[inside])
                best = max(best, reach[user] - 1 + rest * (1 - p[~inside] @ at[~inside]))
        assert found[user] >= 0.9 * best - 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_polishing_only_helps(kind):
    problem = _problem(kind, 6)
    influence, rows = problem.influence, problem.rows
    cuts = _some_cuts(problem)
    terms = Terms.of(influence, cuts)
    rng = np.random.default_rng(0)
    dual = Dual(
        *(
            rng.random(size).astype(np.float32)
            for size in ((problem.demand > 0).sum(), len(rows), influence.n_users, len(cuts))
        )
    )
    upper = np.isfinite(rows.tolerated(FEASIBILITY_TOLERANCE)[1])
    dual = dual._replace(row=-dual.row * upper)
    demand = np.zeros(len(problem.demand))
    demand[problem.demand > 0] = dual.demand
    plain = jc.Multipliers(
        demand,
        -dual.row.astype(np.float64),
        np.zeros(len(rows)),
        np.concatenate([dual.first, dual.cut]).astype(np.float64),
        Cuts.join([Cuts.first(np.arange(influence.n_users)), cuts]),
    )
    bound = jc.lagrangian_bound(problem, polished(problem, terms, dual, 1.0))
    before = jc.lagrangian_bound(problem, plain)
    assert _minimised(problem, bound) >= _minimised(problem, before) - 1e-9
    if problem.sense == "min":
        assert bound >= -1e-9


def test_padding_has_no_price():
    problem = _problem("common", 0)
    empty = Terms.of(problem.influence, Cuts.first(np.zeros(0, int)))
    program = build_saddle(problem, build_frame(problem, 1.0), empty, Room.first(0))
    assert program.intercept.shape == (Room.first(0).cuts,)
    assert (program.intercept > 1).all()
    assert jnp.isfinite(program.dual_step.cut).all()
