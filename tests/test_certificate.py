"""What certificates believe: a solver's word only as far as the plan does not refute it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from catalogue import random_problem

import jaxcampaign as jc


def _campaign() -> jc.Campaign:
    table = pd.DataFrame(
        {
            "influencer_id": ["a", "b"],
            "content_type": "post",
            "event_id": "launch",
            "offset_hours": 0.0,
            "price": 50.0,
            "mean": [1.0, 2.0],
            "std": 0.0,
        }
    )
    return jc.Campaign(table, budget=60.0)


@pytest.mark.parametrize("claim", [1.5, -np.inf, np.nan, 2 - 1e-6])
def test_a_claim_that_the_plan_beats_is_left_out(claim):
    problem, plan = _campaign(), np.array([False, True])
    c = jc.certify(problem, plan, None, claim)
    assert (c.value, c.solver_bound, c.bound_proof) == (2.0, None, "multipliers")
    assert c.bound == c.rechecked_bound == jc.certify(problem, plan).bound
    assert f"{claim:g}" in c.refuted_claim


@pytest.mark.parametrize("claim", [None, 2.0, 2 - 1e-12, 2.5, 10.0])
def test_other_claims_stand(claim):
    c = jc.certify(_campaign(), np.array([False, True]), None, claim)
    assert not c.refuted_claim
    assert c.solver_bound == (2.0 if claim == 2 - 1e-12 else claim)
    assert c.bound >= 2.0
    # A plan that breaks a row refutes nothing.
    both = jc.certify(_campaign(), np.ones(2, bool), None, claim)
    assert not both.feasible
    assert both.solver_bound == claim


def test_costs_are_bounded_from_below():
    problem = random_problem(0)
    plan = jc.solve(problem, jc.BruteForce())
    cost = plan.certificate.value
    assert plan.certificate.feasible
    above = jc.certify(problem, plan.selection, plan.multipliers, 1.01 * cost)
    assert above.solver_bound is None
    assert above.bound <= cost
    assert "left out" in above.refuted_claim
    below = jc.certify(problem, plan.selection, plan.multipliers, 0.99 * cost)
    assert below.solver_bound == 0.99 * cost
