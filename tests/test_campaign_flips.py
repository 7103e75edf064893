"""Plans near a relaxation's point: feasible, and left alone by any turn of one or two choices."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from campaign_oracle import random_case

import jaxcampaign as jc
from jaxcampaign.problems.campaign import violations
from jaxcampaign.relaxations.campaign.program import CoreProgram
from jaxcampaign.solvers.base import Clock
from jaxcampaign.solvers.campaign import flips
from jaxcampaign.solvers.campaign.flips import can_flip, flipped


def _program(problem: jc.Campaign, core: np.ndarray | None = None) -> CoreProgram:
    if core is None:
        return CoreProgram.whole(problem, problem.mean[None])
    fixed = np.zeros(problem.n_items, bool)
    return CoreProgram(problem, problem.mean[None], problem.price, core, fixed)


def _knapsack(seed: int, n: int = 60) -> jc.Campaign:
    rng = np.random.default_rng(seed)
    price = rng.integers(100, 10_000, n) / 100
    options = pd.DataFrame(
        {
            "influencer_id": [f"i{i}" for i in rng.integers(0, n // 3, n)],
            "content_type": [f"c{i}" for i in range(n)],
            "event_id": [f"e{i}" for i in rng.integers(0, 4, n)],
            "offset_hours": 0.0,
            "price": price,
            "mean": price**0.8 * rng.lognormal(0, 0.4, n),
            "std": 0.0,
        }
    )
    rules = [jc.AtMost(2, per="influencer_id"), jc.AtLeast(2, per="event_id")]
    return jc.Campaign(options, budget=round(0.3 * float(price.sum()), 2), constraints=rules)


@pytest.mark.parametrize("seed", range(4))
def test_no_turn_of_one_or_two_choices_does_better(seed):
    problem = _knapsack(seed)
    program = _program(problem)
    answer = program.solve(integer=False)
    plan = flipped(program, answer, np.inf, Clock.after(None))
    assert plan is not None
    assert not violations(problem, problem.in_full(plan))
    worth = problem.mean[plan].sum()
    assert worth <= answer.value
    for pair in itertools.chain(
        itertools.combinations(range(problem.n_items), 1),
        itertools.combinations(range(problem.n_items), 2),
    ):
        other = plan.copy()
        other[list(pair)] ^= True
        better = problem.mean[other].sum() > worth * (1 + 1e-9)
        assert not better or violations(problem, problem.in_full(other))


def test_turns_stop_at_what_is_enough():
    worth = []
    for seed in range(4):
        problem = _knapsack(seed)
        program = _program(problem)
        answer = program.solve(integer=False)
        for enough in (-np.inf, np.inf):
            plan = flipped(program, answer, enough, Clock.after(None))
            assert plan is not None
            assert not violations(problem, problem.in_full(plan))
            worth.append(problem.mean[plan].sum())
    first, best = np.array(worth).reshape(4, 2).T
    assert (first <= best).all()
    assert (first < best).any()


def test_options_outside_of_the_core_stay():
    problem = _knapsack(1)
    core = np.arange(0, problem.n_items, 2)
    program = _program(problem, core)
    plan = flipped(program, program.solve(integer=False), np.inf, Clock.after(None))
    assert plan is not None
    assert not plan[1::2].any()


@pytest.mark.parametrize("seed", range(24))
def test_what_comes_out_is_a_plan_under_all_rules(seed):
    """Flags and shares are left to others; a core that has no plan gives none."""
    case = random_case(seed)
    problem = case.problem
    assert can_flip(problem) == (not problem.n_flags and "share" not in str(problem.constraints))
    if not (problem.is_linear and can_flip(problem)):
        return
    value = problem.value_prices(np.zeros(0))
    program = CoreProgram.whole(problem, value[None])
    answer = program.solve(integer=False)
    if answer.infeasible:
        return
    plan = flipped(program, answer, np.inf, Clock.after(None))
    if plan is not None:
        assert not violations(problem, problem.in_full(plan))
        assert case.best is not None
        assert value[plan].sum() <= case.best + 1e-6


@pytest.mark.parametrize("cells", [0, 1, 10_000])
def test_with_little_memory_fewer_options_are_turned(cells, monkeypatch):
    monkeypatch.setattr(flips, "_CELLS", cells)
    problem = _knapsack(3)
    program = _program(problem)
    answer = program.solve(integer=False)
    plan = flipped(program, answer, np.inf, Clock.after(None))
    assert plan is None or not violations(problem, problem.in_full(plan))
    assert cells < 10_000 or plan is not None


def test_no_turn_is_made_after_the_end():
    problem = _knapsack(0)
    program = _program(problem)
    answer = replace(program.solve(integer=False), fraction=np.zeros(problem.n_items))
    assert flipped(program, answer, np.inf, Clock.after(0.0)) is None  # events lack posts
    assert flipped(program, answer, np.inf, Clock.after(60.0)) is not None


def test_with_many_options_no_integer_program_is_needed(monkeypatch):
    """Multipliers alone prove the plan."""
    problem = _knapsack(2, 20_000)
    solve = CoreProgram.solve

    def solved(self, *, integer, **given):
        assert not integer
        return solve(self, integer=integer, **given)

    monkeypatch.setattr(CoreProgram, "solve", solved)
    solution = jc.solve(problem, jc.DualDecomposition())
    assert solution.status == "optimal"
    assert solution.certificate.bound_proof == "multipliers"
