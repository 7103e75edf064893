"""What a campaign takes for options: ids as text, numbers as numbers, times in UTC, or an error."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import jaxcampaign as jc
from jaxcampaign.errors import InputError


def _options(n: int = 6, **columns) -> pd.DataFrame:
    plain = {
        "influencer_id": [f"i{k}" for k in range(n)],
        "content_type": "post",
        "event_id": "launch",
        "offset_hours": np.arange(float(n)),
        "price": 100.0,
        "mean": np.arange(1.0, n + 1),
        "std": 0.0,
    }
    return pd.DataFrame(plain | columns)


def test_whole_numbers_for_ids_are_text():
    table = _options(influencer_id=[7, 7, 7, 8, 8, 9])
    three = jc.AtLeast(3, per="event_id", of="influencer_id")
    solution = jc.solve(jc.Campaign(table, budget=300, constraints=[three]))
    assert solution.status == "optimal"
    assert sorted(solution.table()["influencer_id"]) == ["7", "8", "9"]
    problem = jc.Campaign(table, constraints=[jc.Exclude({"influencer_id": "7"})])
    assert problem.excluded.tolist() == [True] * 3 + [False] * 3


@pytest.mark.parametrize(
    ("column", "values", "rows"),
    [
        ("influencer_id", [None, "b", "c"], [0]),
        ("influencer_id", [1.0, np.nan, 3.0], [1]),
        ("event_id", ["", "b", "c"], [0]),
        ("price", [True, True, True], [0, 1, 2]),
        ("price", ["1", "2", "1,5"], [2]),
        ("price", [1.0, -1.0, np.inf], [2]),
        ("price", [1.0, -1.0, 2.0], [1]),
        ("std", [0.0, np.nan, 0.0], [1]),
        ("mean", [0.0, np.nan, 0.0], [1]),
        ("posted_at", pd.to_datetime(["2026-03-01", None, "2026-03-02"], utc=True), [1]),
        ("posted_at", ["2026-03-01", "soon", "2026-03-02"], [1]),
    ],
)
def test_what_is_none_of_these_is_refused_with_its_rows(column, values, rows):
    with pytest.raises(InputError) as caught:
        jc.Campaign(_options(3, **{column: values}), budget=3)
    assert caught.value.column == column
    assert caught.value.rows == rows


def test_a_repeated_option_is_refused():
    with pytest.raises(InputError, match="duplicate") as caught:
        jc.Campaign(_options(3, influencer_id=["a", "a", "b"], offset_hours=0.0))
    assert caught.value.rows == [0, 1]


@pytest.mark.parametrize("dtype", [object, "str", "category"])
def test_a_misspelt_text_is_refused_whatever_holds_it(dtype):
    table = _options(genre=["art", "music"] * 3).astype({"genre": dtype})
    with pytest.raises(InputError, match="did you mean music"):
        jc.Campaign(table, constraints=[jc.AtLeast(2, where={"genre": "musik"})])


def test_times_as_text_make_weeks():
    texts = [f"2026-03-0{day}T12:00:00Z" for day in (1, 2, 3, 8, 9, 9)]
    problem = jc.Campaign(_options(posted_at=texts), constraints=[jc.AtMost(1, per="week")])
    assert np.bincount(problem.families[0].group).tolist() == [1, 3, 2]


def test_days_are_those_of_utc_whatever_the_zone():
    late, early = "2026-03-01T23:30Z", "2026-03-02T00:30Z"
    for zone in ("Europe/Paris", "Asia/Tokyo", "UTC"):
        times = pd.to_datetime([late, early]).tz_convert(zone)
        problem = jc.Campaign(_options(2, posted_at=times), constraints=[jc.AtMost(1, per="day")])
        names = [name.removeprefix("at most 1 posts ") for name in problem.families[0].names]
        assert names == ["day=2026-03-01", "day=2026-03-02"], zone


def test_trying_every_selection_is_refused_for_campaigns():
    with pytest.raises(InputError, match="campaign"):
        jc.solve(jc.Campaign(_options(), budget=300), jc.BruteForce())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"risk": "cvar"}, "is no measure of risk.*ConditionalShortfall"),
        ({"spending": "fixed"}, "what money does.*FixedPrice"),
        ({"constraints": [jc.AtMost(1, where={"price": "> 100"})]}, "is no number.*pair"),
        ({"constraints": [jc.AtMost(1, where={"price": [100, None]})]}, "is no number.*pair"),
    ],
)
def test_what_is_no_part_of_a_campaign_is_refused(given, words):
    with pytest.raises(InputError, match=words):
        jc.Campaign(_options(), budget=300, **given)


def test_options_are_a_table_and_frontiers_of_campaigns():
    with pytest.raises(InputError, match="neither a table"):
        jc.Campaign({"price": [1.0]}, budget=300)
    plan = jc.solve(jc.Campaign(_options(), budget=300))
    with pytest.raises(InputError, match=r"pass plan\.problem"):
        jc.frontier(plan, budgets=[100.0])


def test_one_constraint_needs_no_list():
    problem = jc.Campaign(_options(), constraints=jc.AtMost(2, per="event_id"))
    assert jc.solve(problem).selection.sum() == 2


def test_a_plan_of_no_value_has_no_share_of_it_for_a_gap():
    solution = jc.solve(jc.Campaign(_options(), budget=0.0))
    assert "inf" not in repr(solution)
    assert "nan" not in repr(solution)


def test_where_money_buys_effect_the_table_says_how_much():
    campaign = jc.Campaign(_options(), budget=250.0, spending=jc.ConcaveResponse(2.0))
    solution = jc.solve(campaign)
    table = solution.table()
    assert (table["effect"] * table["mean"]).sum() == pytest.approx(solution.certificate.value)
    assert "effect" not in jc.solve(jc.Campaign(_options(), budget=250.0)).table()
