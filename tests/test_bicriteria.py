"""The continuous greedy and the bi-criteria algorithm: what they promise, against enumeration."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from catalogue import CASES, dense_influence, optimum, random_problem

import jaxcampaign as jc
from jaxcampaign.plans.verify import _possible_statuses
from jaxcampaign.problems import CommonSlots, lagrangian_bound
from jaxcampaign.relaxations import ContinuousGreedy, multilinear_gradients
from jaxcampaign.relaxations.extension import continuous_greedy
from jaxcampaign.report import report_html
from jaxcampaign.solvers import BicriteriaGreedy, Clock, Solver

ONE_OF_E = 1 - 1 / math.e
COVERING = [case for case in CASES if isinstance(case.make(), CommonSlots)]
SEEDS = [s for s in range(40) if isinstance(random_problem(s), CommonSlots)][:8]


def reachable(problem):
    """The problem with demands lowered to what all slots together reach."""
    everything = problem.objective.reference(np.ones(problem.n_items, bool))
    return problem.with_demand(np.minimum(problem.demand, everything))


def recorded(monkeypatch):
    """Collects (point, allowed, direction) of every step."""
    steps = []
    plain = continuous_greedy._Directions.at

    def at(self, point, allowed):
        direction = plain(self, point, allowed)
        steps.append((point, allowed, direction))
        return direction

    monkeypatch.setattr(continuous_greedy._Directions, "at", at)
    return steps


@pytest.mark.parametrize("seed", SEEDS)
def test_every_direction_is_the_one_that_the_algorithm_asks_for(seed, monkeypatch):
    """0 <= v <= 1 and v . grad F_j(y) >= k_j - F_j(y), for no more than the optimum."""
    steps = recorded(monkeypatch)
    problem = reachable(random_problem(seed))
    best = optimum(problem)
    relaxed = ContinuousGreedy(steps=4).solve(problem)
    for point, allowed, direction in steps:
        if not math.isfinite(direction.cost):
            continue
        assert ((direction.v >= 0) & (direction.v <= 1 + 1e-9)).all()
        assert (direction.v[~allowed] <= 1e-9).all()
        gradients = np.asarray(multilinear_gradients(problem.objective, point), np.float64)
        lacking = problem.demand - problem.objective.reference(point)
        assert (gradients @ direction.v >= lacking - 1e-5 * problem.demand - 1e-6).all()
        if allowed.all():
            assert direction.cost <= best * (1 + 1e-6) + 1e-9
    assert relaxed.bound <= best * (1 + 1e-9)
    assert relaxed.bound == lagrangian_bound(problem, relaxed.multipliers)


@pytest.mark.parametrize("steps", [1, 3, 20])
def test_the_fractional_selection_keeps_its_promise_with_any_number_of_steps(steps):
    for seed in SEEDS[:3]:
        problem = reachable(random_problem(seed))
        best = optimum(problem)
        relaxed = ContinuousGreedy(steps=steps).solve(problem)
        (point,) = relaxed.points
        assert ((point >= 0) & (point <= 1)).all()
        share = problem.objective.reference(point)
        assert (share >= ONE_OF_E * problem.demand * (1 - 1e-5)).all()
        least = float(np.min(problem.cost[problem.cost > 0], initial=math.inf))
        assert relaxed.statistics["budget"] <= max(best * 1.1, least) * (1 + 1e-5)
        assert problem.cost @ point <= relaxed.statistics["budget"] * (1 + 1e-5)
        assert relaxed.statistics["share"] >= ONE_OF_E * (1 - 1e-5)


def test_the_budget_is_searched_where_a_dear_slot_is_needed():
    """The LP buys a tenth of a slot whose price alone exceeds what it pays."""
    prob = np.zeros((12, 12))
    prob[0] = 1.0
    prob[np.arange(1, 12), np.arange(11)] = 0.05
    influence = dense_influence(prob, [10.0, *[0.1] * 11])
    problem = jc.CommonSlots(influence, None, None, 6.0)
    assert optimum(problem) == 10.0
    relaxed = ContinuousGreedy(steps=4).solve(problem)
    assert relaxed.statistics["budgets"] > 2
    assert 10.0 <= relaxed.statistics["budget"] <= 11.0
    found = jc.solve(problem, BicriteriaGreedy())
    assert found.certificate.cost == 10.0


@pytest.mark.parametrize("repair", ["demand", "guarantee"])
@pytest.mark.parametrize("case", COVERING, ids=str)
def test_known_optima(case, repair):
    problem = case.make()
    found = jc.solve(problem, BicriteriaGreedy(repair=repair), key=jax.random.key(7))
    facts = found.statistics
    assert facts["guarantee_met"]
    if case.optimum is None:
        assert found.status == "infeasible"
        return
    check(problem, found, repair, case.optimum)


def check(problem, found, repair, best):
    facts, certificate = found.statistics, found.certificate
    assert facts["guarantee"] == pytest.approx(ONE_OF_E - 0.1)
    assert facts["guarantee_met"]
    target = 1.0 if repair == "demand" else ONE_OF_E
    assert facts["target"] == target
    wanted = problem.demand > 0
    share = certificate.achieved[wanted] / problem.demand[wanted]
    assert (share >= target - 1e-9).all()
    assert facts["least_share"] == pytest.approx(share.min(initial=math.inf) if wanted.any() else 1)
    assert certificate.least_share >= target - 1e-9
    if repair == "demand":
        assert certificate.feasible
        assert certificate.cost >= best - 1e-9
    else:
        assert found.status == "bicriteria" or certificate.feasible
    assert certificate.bound <= best * (1 + 1e-9)
    if certificate.bound > 0:
        assert facts["cost_ratio"] == pytest.approx(certificate.cost / certificate.bound, rel=1e-6)
    # Far below what the theorem allows on problems this small.
    assert certificate.cost <= 3 * best + 1e-9


@pytest.mark.parametrize("seed", SEEDS)
def test_random_problems(seed):
    problem = random_problem(seed)
    best = optimum(problem)
    repair = ("demand", "guarantee")[seed % 2]
    solver = BicriteriaGreedy(repair=repair)
    assert isinstance(solver, Solver)
    found = jc.solve(problem, solver, key=jax.random.key(1))
    if best is None:
        assert found.status == "infeasible"
        assert found.statistics["guarantee_met"]
    else:
        check(problem, found, repair, best)
    again = jc.solve(problem, solver, key=jax.random.key(1))
    np.testing.assert_array_equal(found.selection, again.selection)


def test_guarantee_is_cheaper_and_pruning_never_dearer():
    rng = np.random.default_rng(0)
    prob = np.where(rng.random((60, 25)) < 0.15, rng.random((60, 25)), 0)
    influence = dense_influence(prob, rng.random(60) + 0.1)
    audience = rng.random((6, influence.n_users)) < 0.4
    reach = jc.CommonSlots(influence, audience, None, 0.0).objective.reference(
        np.ones(influence.n_slots)
    )
    problem = jc.CommonSlots(influence, audience, None, 0.6 * reach)
    cost = {
        (repair, prune): jc.solve(problem, BicriteriaGreedy(repair=repair, prune=prune))
        for repair in ("demand", "guarantee")
        for prune in (False, True)
    }
    assert cost["guarantee", True].certificate.cost < cost["demand", True].certificate.cost
    for repair in ("demand", "guarantee"):
        full, lean = cost[repair, False], cost[repair, True]
        assert lean.certificate.cost < full.certificate.cost
        assert full.statistics["repaired_cost"] == pytest.approx(full.certificate.cost)
    facts = cost["demand", True].statistics
    assert facts["sparsity"] <= 6
    assert facts["roundings"] == math.ceil(math.log(facts["sparsity"]) / -math.log(0.9))
    tighter = jc.solve(problem, BicriteriaGreedy(relaxation=jc.LinearRelaxation()))
    assert tighter.certificate.bound >= cost["demand", True].certificate.bound


def test_repair_completes_what_rounding_leaves_open():
    """With one rounding and no fractional selection to speak of, repair does the work."""
    rng = np.random.default_rng(1)
    prob = np.where(rng.random((40, 20)) < 0.2, rng.random((40, 20)), 0)
    influence = dense_influence(prob, rng.random(40) + 0.1)
    audience = rng.random((5, influence.n_users)) < 0.5
    reach = jc.CommonSlots(influence, audience, None, 0.0).objective.reference(
        np.ones(influence.n_slots)
    )
    problem = jc.CommonSlots(influence, audience, None, 0.8 * reach)
    late = BicriteriaGreedy().search(problem, key=jax.random.key(0), clock=Clock.after(0.0))
    assert late.limit_hit
    assert late.statistics["repaired"] >= 1
    assert jc.certify(problem, late.selection).feasible
    assert ContinuousGreedy().solve(problem, seconds=0.0) is None


def test_other_problems_are_refused():
    problem = jc.BudgetedSlots(dense_influence([[0.5]], [1]), budget=1)
    with pytest.raises(jc.InputError, match=r"BudgetedSlots.*use Greedy\(\)"):
        jc.solve(problem, BicriteriaGreedy())
    with pytest.raises(jc.InputError, match=r"use LinearRelaxation\(\)"):
        ContinuousGreedy().solve(problem)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BicriteriaGreedy(epsilon=0.7), "table epsilon, value 0.7"),
        (lambda: BicriteriaGreedy(repair="half"), "table repair, value 'half'"),
        (lambda: ContinuousGreedy(steps=0), "table steps"),
        (lambda: ContinuousGreedy(precision=0.0), "table precision"),
    ],
)
def test_misuse_is_refused(make, message):
    with pytest.raises(jc.InputError, match=message):
        make()


ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("JAXCAMPAIGN_DATA", ROOT.parent / "shared" / "data"))


@pytest.mark.skipif(not (DATA / "spatial").is_dir(), reason="public data is absent")
def test_new_york_is_covered_within_the_guarantee():
    sys.path.append(str(ROOT / "bench"))
    instances = pytest.importorskip("instances", reason="bench/ is not here")
    tables = instances.published(DATA, "nyc")
    influence = jc.Influence.from_pairs(tables.pairs, tables.slots, clip=True)
    problem = jc.CommonSlots(influence, tables.audiences, None, tables.demands)
    found = jc.solve(problem, BicriteriaGreedy(repair="guarantee"), key=jax.random.key(0))
    assert found.statistics["seconds"] < 60
    assert (found.certificate.achieved >= (ONE_OF_E - 0.1) * problem.demand).all()
    assert found.certificate.cost < 0.65
    assert found.certificate.rechecked_bound > 0.69


def test_a_plan_at_its_guarantee_says_so():
    prob = np.eye(6)
    influence = dense_influence(prob, np.ones(6))
    problem = jc.CommonSlots(influence, None, None, 6.0)
    found = jc.solve(problem, BicriteriaGreedy(repair="guarantee"))
    assert not found.certificate.feasible
    assert ONE_OF_E <= found.certificate.least_share < 1
    assert found.status == "bicriteria"
    assert "share that was asked of the solver" in repr(found)
    page = report_html(found)
    assert "every demand is met to 66" in page
    assert "breaks a demand" not in page and "more time" not in page
    assert _possible_statuses(found.certificate, found.target) == ["bicriteria"]
    for other in (1.0, 0.99, None, "0.5", 0.0):
        assert _possible_statuses(found.certificate, other) == ["unsolved"]
