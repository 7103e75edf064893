"""Every solver on every problem of the catalogue: sound answers, proven bounds, known optima."""

import jax
import numpy as np
import pytest
from catalogue import CASES, EXACT, SOLVERS, dense_influence, optimum, random_problem

import jaxcampaign as jc
from jaxcampaign.solvers import Solver


def _name(solver) -> str:
    return type(solver).__name__ + ("-per-cost" if getattr(solver, "per_cost", False) else "")


def _check(problem, solver, best):
    found = jc.solve(problem, solver, key=jax.random.key(7))
    proof = jc.certify(problem, found.selection, found.multipliers)
    c = found.certificate
    assert proof.feasible == c.feasible
    if best is None:
        assert found.status == "infeasible"
        assert not c.feasible
        assert c.reasons
        assert c.bound is None
        assert c.shortfall.any()
        return found
    assert c.feasible, repr(found)
    assert not c.reasons
    slack = 1e-7 * max(abs(best), 1e-9)
    assert c.bound <= c.value if c.sense == "min" else c.bound >= c.value
    if c.sense == "min":
        assert c.bound <= best + slack
        assert best <= c.cost + slack
        assert c.rechecked_bound <= best + 1e-12 * abs(best)
    else:
        assert c.bound >= best - slack
        assert best >= c.value - slack
        assert c.rechecked_bound >= best - 1e-12 * abs(best)
    if found.status == "optimal":
        assert c.value == pytest.approx(best, rel=2e-6, abs=1e-12)
    return found


@pytest.mark.parametrize("solver", SOLVERS, ids=_name)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_answer_is_sound(case, solver):
    _check(case.make(), solver, case.optimum)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_catalogue_states_the_true_optimum(case):
    assert optimum(case.make()) == (
        None if case.optimum is None else pytest.approx(case.optimum, abs=1e-12)
    )


@pytest.mark.parametrize("solver", EXACT, ids=_name)
@pytest.mark.parametrize("case", [c for c in CASES if c.optimum is not None], ids=str)
def test_exact_solvers_prove_the_optimum(case, solver):
    found = jc.solve(case.make(), solver)
    assert found.status == "optimal"
    assert found.certificate.value == pytest.approx(case.optimum, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("seed", range(25))
def test_random_problems_against_enumeration(seed):
    problem = random_problem(seed)
    best = optimum(problem)
    for solver in SOLVERS:
        found = _check(problem, solver, best)
        if best is not None and solver in EXACT:
            assert found.certificate.value == pytest.approx(best, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("solver", SOLVERS, ids=_name)
def test_solvers_keep_to_the_protocol_and_repeat_themselves(solver):
    assert isinstance(solver, Solver)
    problem = random_problem(3)
    first, second = (jc.solve(problem, solver, key=jax.random.key(5)) for _ in range(2))
    np.testing.assert_array_equal(first.selection, second.selection)
    assert first.certificate.value == second.certificate.value
    assert first.certificate.bound == second.certificate.bound


def test_greedy_is_the_textbook_greedy():
    """Lazy evaluation in blocks picks what full evaluation picks."""
    rng = np.random.default_rng(4)
    prob = np.where(rng.random((300, 60)) < 0.05, rng.random((300, 60)), 0)
    prob[:, 0] = rng.random(300)  # one user whom every slot reaches: a long row for users
    prob[7] = rng.random(60)
    influence = dense_influence(prob, rng.random(300))
    audiences = {f"p{j}": list(influence.user_ids[rng.random(60) < 0.4]) for j in range(5)}
    reach = jc.CommonSlots(influence, audiences, None, 0.0).objective.reference(np.ones(300))
    problem = jc.CommonSlots(
        influence, audiences, None, dict(zip(sorted(audiences), 0.7 * reach, strict=True))
    )
    miss, left = np.ones(influence.n_users), problem.demand.copy()
    matrix, audience = influence.matrix.toarray(), problem.objective.audience.toarray()
    picks = []
    while (left > 2e-6 * problem.demand).any():
        gains = np.minimum((matrix * miss) @ audience.T, left) @ (1 / problem.demand)
        gains[picks] = 0
        picks.append(int(np.argmax(gains / problem.cost)))
        left = np.maximum(left - audience @ (miss * matrix[picks[-1]]), 0)
        miss = miss * (1 - matrix[picks[-1]])
    found = jc.solve(problem, jc.Greedy(prune=False))
    assert set(np.flatnonzero(found.selection)) == set(picks)


def test_cardinality_greedy_reaches_its_guarantee():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        prob = np.where(rng.random((10, 12)) < 0.4, rng.random((10, 12)), 0)
        prob[0, 0] = 0.5
        problem = jc.BudgetedSlots(dense_influence(prob, np.ones(10)), max_slots=3)
        found = jc.solve(problem, jc.Greedy())
        assert found.certificate.value >= (1 - 1 / np.e) * optimum(problem)


@pytest.mark.parametrize(("price", "n"), [(0.1, 3), (19.99, 13), (0.1, 10)])
@pytest.mark.parametrize("solver", SOLVERS, ids=_name)
def test_a_budget_that_is_exactly_the_price_of_all_buys_all(solver, price, n):
    problem = jc.BudgetedSlots(dense_influence(np.eye(n), np.full(n, price)), budget=price * n)
    assert jc.solve(problem, solver).certificate.value == pytest.approx(n)
    rounded = jc.BudgetedSlots(
        dense_influence(np.eye(n), np.full(n, price)), budget=round(price * n, 2)
    )
    assert jc.solve(rounded, solver).certificate.value == pytest.approx(n)


@pytest.mark.parametrize("seed", range(8))
def test_mixed_integer_is_exact_where_a_demand_is_missed_by_next_to_nothing(seed):
    rng = np.random.default_rng(seed)
    prob = np.where(rng.random((8, 5)) < 0.5, rng.random((8, 5)), 0)
    prob[:, 0] = rng.random(8)
    influence = dense_influence(prob, rng.random(8))
    first = jc.solve(jc.CommonSlots(influence, None, None, 0.7 * influence.n_users * 0.8))
    achieved = float(first.certificate.achieved[0])
    problem = jc.CommonSlots(influence, None, None, achieved * (1 + rng.uniform(2e-7, 1e-6)))
    best = optimum(problem)
    found = jc.solve(problem, jc.MixedInteger(time_limit=20))
    if best is None:
        assert found.status == "infeasible"
    else:
        assert found.status == "optimal"
        assert found.certificate.cost == pytest.approx(best, rel=1e-9)


def test_a_search_that_ends_empty_handed_is_not_called_infeasible():
    class Idle:
        def search(self, problem, *, key, clock):
            return jc.Finding(np.zeros(problem.n_items, bool))

    found = jc.solve(CASES[0].make(), Idle())
    assert found.status == "unsolved"
    assert found.certificate.gap is None


def test_default_solver_depends_on_size_and_is_named():
    found = jc.solve(random_problem(0))
    assert found.solver == "BruteForce(max_slots=20)"
    assert "slots" in found.statistics["chosen_because"]
    assert "chosen because" in repr(found)


def test_a_time_limit_returns_the_incumbent_and_its_bound():
    rng = np.random.default_rng(0)
    prob = np.where(rng.random((120, 40)) < 0.1, rng.random((120, 40)), 0)
    influence = dense_influence(prob, rng.random(120))
    reach = float((1 - np.prod(1 - prob, axis=0)).sum())
    problem = jc.CommonSlots(influence, None, None, 0.9 * reach)
    found = jc.solve(problem, jc.MixedInteger(), time_limit=0.05)
    assert found.status == "limit"
    assert found.certificate.feasible
    assert 0 <= found.certificate.bound <= found.certificate.cost


def test_brute_force_refuses_large_problems():
    problem = jc.BudgetedSlots(dense_influence(np.full((21, 1), 0.5), np.ones(21)), max_slots=2)
    with pytest.raises(jc.InputError, match="21 slots"):
        jc.solve(problem, jc.BruteForce())


def test_infeasible_answer_serves_every_product_as_far_as_it_goes():
    influence = dense_influence([[0.5, 0], [0.5, 0], [0, 0.4], [0, 0.1]], [1, 1, 1, 9])
    problem = jc.CommonSlots(influence, {"a": ["u0"], "b": ["u1"]}, None, {"a": 0.9, "b": 0.4})
    found = jc.solve(problem)
    assert found.status == "infeasible"
    np.testing.assert_allclose(found.certificate.achieved, [0.75, 0.4])
    np.testing.assert_allclose(found.certificate.shortfall, [0.15, 0])
    assert "product a" in found.certificate.reasons[0]
    assert "short by 0.15" in found.certificate.reasons[0]
