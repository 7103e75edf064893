"""Campaigns against all 2^N plans: rows, bounds, plans, refutations."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from campaign_oracle import random_case, random_options

import jaxcampaign as jc
from jaxcampaign.effectiveness import Effectiveness
from jaxcampaign.problems.campaign import (
    BudgetOfDeviations,
    CampaignMultipliers,
    ConditionalShortfall,
    FactorDeviation,
    SummedDeviation,
    violations,
)

SEEDS = range(24)


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_allow_what_the_rules_allow(seed):
    case = random_case(seed, n=9)
    problem = case.problem
    found = [not violations(problem, problem.in_full(plan)) for plan in case.plans]
    assert np.array_equal(found, case.allowed), case.kinds


@pytest.mark.parametrize("seed", SEEDS)
def test_no_prices_prove_less_than_the_best_plan(seed):
    case = random_case(seed, n=9)
    if case.best is None:
        return
    rng = np.random.default_rng(seed)
    zero = CampaignMultipliers.zero(case.problem)
    for scale in (0.0, 0.1, 1.0, 10.0):
        least, most = case.problem.limits
        upper = np.where(np.isfinite(most), scale * rng.exponential(size=len(most)), 0.0)
        lower = np.where(np.isfinite(least), scale * rng.exponential(size=len(most)), 0.0)
        bound = case.problem.proven_bound(CampaignMultipliers(upper, lower, zero.weights))
        assert bound >= case.best - 1e-12 * abs(case.best)


@pytest.mark.parametrize("solver", [None, jc.MixedInteger()], ids=["default", "mixed integer"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_best_plan_is_found_and_proven(seed, solver):
    case = random_case(seed)
    solution = jc.solve(case.problem, solver, key=jax.random.key(seed))
    if case.best is None:
        assert solution.status == "infeasible", case.kinds
        return
    assert solution.status == "optimal", case.kinds
    assert np.isclose(solution.certificate.value, case.best, rtol=1e-9)
    assert solution.certificate.rechecked_bound >= case.best * (1 - 1e-12)


RISKS = {
    "summed": SummedDeviation(),
    "factors": FactorDeviation(),
    "tail": ConditionalShortfall(0.7),
    "largest": BudgetOfDeviations(2.5),
}


@pytest.mark.parametrize("kind", RISKS)
@pytest.mark.parametrize("seed", range(6))
def test_risk_of_the_best_plan_against_all_plans(kind, seed):
    rng = np.random.default_rng(seed)
    n, n_members = 10, 6
    options = random_options(rng, n)
    members = options["mean"].to_numpy() + rng.normal(0, 2, (n_members, n))
    outlook = _outlook(options, members)
    problem = jc.Campaign(
        outlook,
        budget=60.0,
        risk_aversion=0.7,
        risk=RISKS[kind],
        constraints=[jc.AtMost(2, per="influencer_id")],
    )
    plans = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)
    value = np.array([_worth(kind, plan, options, members) for plan in plans])
    allowed = plans @ options["price"].to_numpy() <= 60
    for name in options["influencer_id"].unique():
        allowed &= plans @ (options["influencer_id"] == name).to_numpy(float) <= 2
    solution = jc.solve(problem, jc.MixedInteger())
    assert np.isclose(solution.certificate.value, value[allowed].max(), rtol=1e-6)
    assert solution.certificate.rechecked_bound >= value[allowed].max() - 1e-9
    # Prices with any other weights of the risk prove no less.
    m = solution.multipliers
    for _ in range(3):
        other = problem.measure.worst(rng.random(n))
        bound = problem.proven_bound(CampaignMultipliers(m.upper, m.lower, other))
        assert bound >= value[allowed].max() - 1e-9


def _outlook(options, members):
    n = len(options)
    none = np.zeros(n)
    return Effectiveness(
        options=options.drop(columns=["mean", "std"]),
        mean=options["mean"].to_numpy(),
        std=options["std"].to_numpy(),
        low=none,
        high=none,
        level=0.9,
        cold=none > 1,
        members=members,
        g_I=none,
        g_H=none,
        g_M=none,
        base=0.0,
        target="engagement",
    )


def _worth(kind, plan, options, members):
    """Mean less .7 times the risk, from the definitions."""
    mean, std = (options[name].to_numpy()[plan] for name in ("mean", "std"))
    own = members[:, plan]
    if kind == "summed":
        risk = std.sum()
    elif kind == "factors":
        spread = own - own.mean(axis=0)
        factors = spread / np.sqrt(len(own) - 1)
        noise = np.maximum(std**2 - (factors**2).sum(axis=0), 0).sum()
        risk = np.sqrt((factors.sum(axis=1) ** 2).sum() + noise)
    elif kind == "tail":
        # The worst .3 of 6 scenarios: one in full and .8 of the next.
        losses = np.sort((own.mean(axis=0) - own).sum(axis=1))[::-1]
        risk = (losses[0] + 0.8 * losses[1]) / 1.8
    else:
        risk = np.sort(np.append(std, [0, 0, 0]))[::-1][:3] @ [1, 1, 0.5]
    return mean.sum() - 0.7 * risk
