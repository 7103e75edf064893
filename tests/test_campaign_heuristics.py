"""Rounding and greedy for campaigns: against all 2^N plans, one option at a time, all exchanges."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from campaign_oracle import random_case, random_options
from test_campaign import RISKS, _outlook, _worth
from test_campaign_dual import _campaign

import jaxcampaign as jc
from jaxcampaign.problems.campaign import priced, violations
from jaxcampaign.relaxations.campaign.coordinate import coordinate_prices
from jaxcampaign.relaxations.campaign.program import CoreProgram
from jaxcampaign.solvers.campaign.exchange import exchange
from jaxcampaign.solvers.campaign.packing import Packing, Preference

SOLVERS = [jc.LPRounding(samples=2), jc.Greedy()]


def _name(solver) -> str:
    return type(solver).__name__


@pytest.mark.parametrize("solver", SOLVERS, ids=_name)
def test_plans_are_sound_and_near_the_best(solver):
    share, missed, feasible = [], 0, 0
    for seed in range(26):
        case = random_case(seed)
        solution = jc.solve(case.problem, solver, key=jax.random.key(seed))
        c = solution.certificate
        place = np.flatnonzero((case.plans == solution.selection).all(axis=1))[0]
        assert c.feasible == case.allowed[place], case.kinds
        if case.best is None:
            assert solution.status in ("infeasible", "unsolved")
            missed += isinstance(solver, jc.LPRounding) and solution.status != "infeasible"
            continue
        feasible += 1
        missed += not c.feasible
        assert solution.status != "infeasible", case.kinds
        assert c.rechecked_bound >= case.best - 1e-9 * abs(case.best)
        if c.feasible:
            assert c.value <= case.best + 1e-9 * abs(case.best)
            share += [c.value / case.best] if case.best > 1 else []
    assert missed == 0 if isinstance(solver, jc.LPRounding) else missed <= 0.1 * feasible
    assert np.mean(share) > 0.98


@pytest.mark.parametrize("seed", range(20))
def test_packing_is_one_option_after_the_other(seed):
    case = random_case(seed)
    if {"coverage", "reach", "distinct", "share", "require"} & set(case.kinds):
        return
    problem, rng = case.problem, np.random.default_rng(seed)
    wanted, worth = rng.random(problem.n_items), rng.normal(size=problem.n_items)
    plan = np.zeros(problem.n_items, bool)
    for option in np.argsort(-wanted):
        trial = plan.copy()
        trial[option] = True
        allowed = case.allowed[(case.plans == trial).all(axis=1)][0]
        if worth[option] > 0 and allowed:
            plan = trial
    packing = Packing(problem, problem.price)
    packed = packing.packed(Preference.by(wanted, wanted, worth))
    assert np.array_equal(packed, plan), case.kinds


@pytest.mark.parametrize("seed", range(12))
def test_packing_breaks_no_upper_limit(seed):
    case = random_case(seed + 100, n=10)
    rng = np.random.default_rng(seed)
    wanted = rng.random(case.problem.n_items)
    packing = Packing(case.problem, case.problem.price)
    plan = packing.trimmed(packing.packed(Preference.by(wanted, wanted, wanted)), wanted)
    if "require" in case.kinds:
        return  # what is required may break limits by itself
    broken = violations(case.problem, case.problem.in_full(plan))
    assert all(row["activity"] < row["lower"] for row in broken), case.kinds


@pytest.mark.parametrize("seed", range(12))
def test_no_single_exchange_is_left(seed):
    case = random_case(seed)
    if case.best is None:
        return
    problem = case.problem
    value = problem.mean - problem.risk_aversion * problem.std
    worst = case.plans[case.allowed][np.argmin(case.plans[case.allowed] @ value)]
    reduced = np.random.default_rng(seed).normal(size=problem.n_items)
    plan = exchange(problem, worst, problem.price, reduced, jc.Clock())
    worth = plan @ value
    assert worth >= worst @ value
    changes = case.plans.astype(int) - plan.astype(int)
    near = ((changes == 1).sum(axis=1) == 1) & ((changes == -1).sum(axis=1) <= 1)
    near |= (changes == 0).all(axis=1)
    best = (case.plans[near & case.allowed] @ value).max()
    assert worth >= best - 1e-8 * abs(best)


@pytest.mark.parametrize("solver", SOLVERS, ids=_name)
@pytest.mark.parametrize("kind", RISKS)
def test_every_measure_of_risk(kind, solver):
    rng = np.random.default_rng(5)
    n = 10
    options = random_options(rng, n)
    members = options["mean"].to_numpy() + rng.normal(0, 2, (6, n))
    problem = jc.Campaign(
        _outlook(options, members), budget=60.0, risk_aversion=0.7, risk=RISKS[kind]
    )
    plans = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)
    value = np.array([_worth(kind, plan, options, members) for plan in plans])
    best = value[plans @ options["price"].to_numpy() <= 60].max()
    c = jc.solve(problem, solver).certificate
    assert c.feasible
    assert 0.9 * best <= c.value <= best + 1e-9
    assert c.rechecked_bound >= best - 1e-9
    assert c.rechecked_bound <= 1.35 * best


SPENDINGS = [jc.MinimumSpend(0.5), jc.ConcaveResponse(2.0), jc.ConcaveResponse(2.0, least=0.2)]


@pytest.mark.parametrize("spending", SPENDINGS, ids=repr)
def test_every_model_of_spending(spending):
    problem = _campaign(1, n_influencers=30, spending=spending)
    answers = [jc.solve(problem, solver) for solver in SOLVERS]
    values = [answer.certificate.value for answer in answers]
    for answer in answers:
        c = answer.certificate
        assert c.feasible
        assert c.rechecked_bound >= max(values)
        assert c.gap < 0.02
        spend, chosen = answer.spend, answer.selection
        assert (spend[chosen] >= spending.least * problem.price[chosen] - 1e-9).all()
        assert (spend[~chosen] == 0).all()
        assert spend.sum() <= problem.budget * (1 + 1e-9)


def test_rounding_is_near_the_optimum_of_a_larger_campaign():
    problem = _campaign(0)
    best = jc.solve(problem, jc.MixedInteger(gap=1e-6)).certificate
    for solver, short in zip(SOLVERS, (3e-3, 1e-2), strict=True):
        c = jc.solve(problem, solver).certificate
        assert best.value * (1 - short) <= c.value <= best.bound * (1 + 1e-9)
        assert best.value <= c.rechecked_bound <= best.value * 1.01


@pytest.mark.parametrize("seed", range(3))
def test_cheap_prices_come_near_the_linear_program(seed):
    problem = _campaign(seed, n_influencers=40)
    multipliers, bound = coordinate_prices(problem)
    relaxed = CoreProgram.whole(problem, problem.mean[None]).solve(integer=False)
    assert problem.proven_bound(multipliers) == bound
    assert relaxed.value * (1 - 1e-9) <= bound <= relaxed.value * 1.01
    assert np.isfinite(priced(problem, multipliers).reduced).all()


def test_a_refuted_campaign_says_what_would_have_to_change():
    options = random_options(np.random.default_rng(0), 12)
    rules = [jc.AtLeast(3, per="event_id"), jc.AtMost(2)]
    solution = jc.solve(jc.Campaign(options, constraints=rules), jc.LPRounding(samples=1))
    assert solution.status == "infeasible"
    assert solution.certificate.reasons
    assert solution.statistics["smallest_change"]


@pytest.mark.parametrize(
    "solver",
    [jc.LPRounding(jc.FirstOrderRelaxation()), jc.Greedy(relaxation=jc.LinearRelaxation())],
    ids=_name,
)
def test_relaxations_of_slots_are_refused(solver):
    problem = jc.Campaign(random_options(np.random.default_rng(0), 6), budget=20.0)
    with pytest.raises(jc.InputError, match="relaxes problems of slots"):
        jc.solve(problem, solver)


def test_the_same_key_gives_the_same_plan():
    problem = _campaign(2, n_influencers=20)
    one, other = (jc.solve(problem, SOLVERS[0], key=jax.random.key(3)) for _ in range(2))
    assert np.array_equal(one.selection, other.selection)
    assert one.certificate.bound == other.certificate.bound
