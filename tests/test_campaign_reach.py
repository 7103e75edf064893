"""Rows that no plan can keep are named without a solver, and the budget that would do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from campaign_oracle import random_case, random_options

import jaxcampaign as jc
from jaxcampaign.problems.campaign import Decision, out_of_reach
from jaxcampaign.report import report_html


def _activities(problem, plans):
    """Left-hand sides of each family, and of the sparse rows, for plans bool[P, N]."""
    for family in problem.families:
        paid = problem.price if family.acts == "spend" else np.ones(problem.n_items)
        yield np.array([family.activity(plan * paid) for plan in plans])
    if len(problem.rows):
        columns = [problem.columns(Decision(plan, plan * problem.price)) for plan in plans]
        yield np.array([problem.rows.matrix @ column for column in columns])


@pytest.mark.parametrize("seed", range(12))
def test_what_rows_can_have_is_what_plans_have(seed):
    """All plans with the required options and without the excluded ones are tried."""
    problem = random_case(seed, n=9).problem
    plans = (np.arange(2**9)[:, None] >> np.arange(9) & 1).astype(bool)
    plans = plans[plans[:, problem.required].all(axis=1) & ~plans[:, problem.excluded].any(axis=1)]
    parts = zip(problem.extremes, _activities(problem, plans), strict=True)
    for number, ((least, most), activity) in enumerate(parts):
        low, high = activity.min(axis=0), activity.max(axis=0)
        assert (least <= low + 1e-9).all() and (most >= high - 1e-9).all()
        if number < len(problem.families):  # in sparse rows flags and options go together
            for end, found in ((least, low), (most, high)):
                told = np.isfinite(end)
                assert end[told] == pytest.approx(found[told])


def test_a_row_out_of_reach_is_never_kept_by_a_plan():
    known = [
        (out_of_reach(case.problem), case.allowed.any()) for case in map(random_case, range(60))
    ]
    assert sum(bool(told) for told, _ in known) >= 3
    assert not any(told and there_is_one for told, there_is_one in known)


def _options(**columns) -> pd.DataFrame:
    plain = {
        "influencer_id": ["a", "b", "c", "d", "e", "f"],
        "content_type": "post",
        "event_id": ["launch"] * 4 + ["gala"] * 2,
        "offset_hours": 0.0,
        "price": [10.0, 20.0, 30.0, 40.0, 50.0, 60.0],
        "mean": 5.0,
        "std": 0.0,
        "score": [-4.0, -1.0, 2.0, 3.0, -2.0, 1.0],
    }
    return pd.DataFrame(plain | columns)


@pytest.mark.parametrize(
    ("rules", "budget", "reason"),
    [
        (
            [jc.AtLeast(3, per="event_id")],
            500.0,
            "at least 3 posts for event_id=gala: all options that are allowed have 2 together, "
            "short by 1; lower the limit, or offer more options",
        ),
        (
            [jc.AtLeast(5), jc.Exclude({"event_id": "gala"})],
            500.0,
            "at least 5 posts: all options that are allowed have 4 together, short by 1; "
            "lower the limit, or offer more options",
        ),
        (
            [jc.Require({"event_id": "gala"})],
            100.0,
            "at most 100 spend: every plan has 110 or more, 10 too much; "
            "raise the limit, or require fewer posts",
        ),
        (
            [jc.AtLeast(4, of="content_type")],
            500.0,
            "at least 4 different content_type: all options that are allowed have 1 together, "
            "short by 3; lower the limit, or offer more options",
        ),
        (
            [
                jc.Conflict({"influencer_id": "a"}, {"influencer_id": "b"}),
                jc.Require({"influencer_id": ["a", "b"]}),
            ],
            500.0,
            "every plan has 2 or more, 1 too much",
        ),
        (
            [jc.AtLeast(7.0, of="score")],
            500.0,
            "at least 7 score: all options that are allowed have 6 together, short by 1",
        ),
    ],
)
def test_reasons_name_the_row_and_how_much_is_missing(rules, budget, reason):
    solution = jc.solve(jc.Campaign(_options(), budget=budget, constraints=rules))
    assert solution.status == "infeasible"
    (told,) = solution.certificate.reasons
    assert reason in told
    assert told in repr(solution) and told.split(":")[0] in solution._repr_html_()
    assert len(solution.changes())


def test_many_rows_out_of_reach_are_counted():
    options = random_options(np.random.default_rng(0), 60).drop_duplicates("influencer_id")
    rule = jc.AtLeast(2, per="influencer_id")
    reasons = out_of_reach(jc.Campaign(options, constraints=rule))
    n = options["influencer_id"].nunique()
    assert n > 15
    assert len(reasons) == min(n, 20) + (n > 20)


def test_the_budget_that_would_do_keeps_every_other_rule():
    """Coverage costs 60: letting one event go is the smaller change, more money the other."""
    options = _options(event_id=["x", "x", "x", "y", "y", "z"])
    problem = jc.Campaign(options, budget=52.0, constraints=[jc.AtLeast(1, per="event_id")])
    solution = jc.solve(problem)
    assert solution.status == "infeasible"
    assert solution.statistics["least_budget"] == 110.0
    assert solution.changes()["row"].tolist() == ["at least 1 posts event_id=z"]
    assert "or a budget of 110.00, with every other rule as it is" in repr(solution)
    assert "Or with a budget of 110, and every other limit as it is." in report_html(solution)
    assert jc.solve(problem.with_budget(110.0)).certificate.feasible
    assert not jc.solve(problem.with_budget(109.99)).certificate.feasible
    # No money helps where rules contradict each other.
    against = [jc.AtLeast(1, per="event_id"), jc.AtMost(2)]
    stuck = jc.solve(jc.Campaign(options, budget=52.0, constraints=against))
    assert stuck.statistics["least_budget"] is None
    assert "or a budget" not in repr(stuck)
