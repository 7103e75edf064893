"""Why posts are in: what they bring beyond their limits, and which limits have a price."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from campaign_oracle import random_case

import jaxcampaign as jc
from jaxcampaign.problems.campaign import priced


def _options() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "influencer_id": ["a", "b", "c", "d"],
            "content_type": "post",
            "event_id": ["launch", "launch", "gala", "gala"],
            "offset_hours": 0.0,
            "price": [10.0, 10.0, 10.0, 10.0],
            "mean": [9.0, 8.0, 2.0, 1.0],
            "std": 0.0,
        }
    )


def test_a_post_that_a_rule_asks_for_says_so():
    rules = [jc.AtLeast(1, per="event_id"), jc.Require({"influencer_id": "d"})]
    plan = jc.solve(jc.Campaign(_options(), budget=20.0, constraints=rules[:1]))
    table = plan.table().set_index("influencer_id")
    assert list(table.index) == ["a", "c"]
    assert table.loc["c", "why"].startswith("needed for: at least 1 posts")
    assert "event_id=gala" in table.loc["c", "binding_rows"]
    assert table.loc["a", "why"].startswith("brings ")
    assert "budget" in table.loc["a", "binding_rows"]
    plan = jc.solve(jc.Campaign(_options(), budget=30.0, constraints=rules[1:]))
    assert plan.table().set_index("influencer_id").loc["d", "why"] == "required"


def test_a_plan_that_breaks_rules_gives_no_reasons():
    plan = jc.solve(jc.Campaign(_options(), budget=5.0, constraints=jc.AtLeast(1, per="event_id")))
    assert plan.status == "infeasible"
    assert "why" not in plan.table()


@pytest.mark.parametrize("seed", range(10))
def test_rows_with_a_price_explain_the_reduced_value(seed):
    """Each is named where, and only where, an option of the plan counts in it."""
    problem = random_case(seed).problem
    plan = jc.solve(problem, jc.DualDecomposition())
    if not plan.certificate.feasible or plan.multipliers is None:
        return
    table = plan.table()
    keys = ["influencer_id", "content_type", "event_id", "offset_hours"]
    place = problem.options.reset_index().merge(table[keys], on=keys)["index"]
    order = table.merge(problem.options[keys].reset_index(), on=keys, how="left")["index"]
    assert sorted(place) == sorted(np.flatnonzero(plan.selection))
    reduced = priced(problem, plan.multipliers).reduced[order]
    assert table["reduced_value"].to_numpy() == pytest.approx(reduced)
    price, start = plan.multipliers.upper - plan.multipliers.lower, 0
    expected = [set() for _ in order]
    for family in problem.families:
        for i, option in enumerate(order):
            group = family.group[option]
            if group >= 0 and price[start + group] != 0:
                expected[i].add(family.names[int(group)])
        start += len(family)
    for row in np.flatnonzero(~problem.definitions & (price[start:] != 0)):
        for i, option in enumerate(order):
            if problem.rows.matrix[[row]].toarray()[0, option] != 0:
                expected[i].add(problem.rows.names[int(row)])
    named = [set(filter(None, text.split("; "))) for text in table["binding_rows"]]
    assert named == expected
