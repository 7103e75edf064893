"""What constraints of campaigns say: rows that bind what they should, and texts that name it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import jaxcampaign as jc


def _options(n: int = 6, **columns) -> pd.DataFrame:
    """Options of n influencers at 100 each, worth 1, 2, ... n."""
    plain = {
        "influencer_id": [f"i{k}" for k in range(n)],
        "content_type": "post",
        "event_id": "launch",
        "offset_hours": 0.0,
        "price": 100.0,
        "mean": np.arange(1.0, n + 1),
        "std": 0.0,
    }
    return pd.DataFrame(plain | columns)


@pytest.mark.parametrize("per", [None, "event_id"])
@pytest.mark.parametrize("of", ["posts", "spend", "followers", "influencer_id"])
def test_a_least_number_of_nothing_cannot_be_met(of, per):
    few = _options(followers=np.arange(6.0))
    nobody = {"followers": (1e6, None)}
    limit = jc.AtLeast(2, per=per, of=of, where=nobody)
    solution = jc.solve(jc.Campaign(few, budget=300, constraints=[limit]))
    assert solution.status == "infeasible"
    (change,) = solution.statistics["smallest_change"]
    assert (change["have"], change["need"]) == (0, 2)
    assert "followers" in change["reason"]
    # What asks for nothing is met by nothing.
    none = jc.Campaign(few, budget=300, constraints=[jc.AtLeast(0, of=of, where=nobody)])
    assert jc.solve(none).status == "optimal"


def test_only_groups_that_options_have_need_to_be_covered():
    table = _options(genre=pd.Categorical(["art", "music"] * 3, ["art", "music", "sport"]))
    solution = jc.solve(jc.Campaign(table, constraints=[jc.AtLeast(1, per="genre")]))
    assert solution.status == "optimal"
    names = solution.problem.families[0].names
    assert len(names) == 2
