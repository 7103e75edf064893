"""Campaigns against all 2^N plans: rows, bounds, plans, refutations."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from campaign_oracle import random_case

import jaxcampaign as jc
from jaxcampaign.problems.campaign import CampaignMultipliers, violations

SEEDS = range(40)


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


@pytest.mark.parametrize("seed", SEEDS)
def test_the_best_plan_is_found_and_proven(seed):
    case = random_case(seed)
    solution = jc.solve(case.problem, key=jax.random.key(seed))
    if case.best is None:
        assert solution.status == "infeasible", case.kinds
        return
    assert solution.status == "optimal", case.kinds
    assert np.isclose(solution.certificate.value, case.best, rtol=1e-9)
    assert solution.certificate.rechecked_bound >= case.best * (1 - 1e-12)
