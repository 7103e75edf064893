"""Options are exactly the tuples on offer, in one order, however the tables are sorted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_campaign import small_campaign, utc

from jaxcampaign.effectiveness import enumerate_options
from jaxcampaign.errors import InputError, MemoryLimitError
from jaxcampaign.tables import Database, open_database


@pytest.fixture(scope="module")
def small() -> Database:
    return open_database(small_campaign())


def _brute_force(data: Database, keep=lambda person, price, event, offset: True) -> pd.DataFrame:
    rows = []
    assert data.prices is not None and data.posting_times is not None
    people = data.influencers.set_index("influencer_id")
    events = data.events.set_index("event_id")
    for price in data.prices.to_dict("records"):
        for time in data.posting_times.to_dict("records"):
            event = events.loc[time["event_id"]]
            person = people.loc[price["influencer_id"]]
            if keep(person, price, event, time["offset_hours"]):
                at = event["date"] + pd.Timedelta(hours=time["offset_hours"])
                rows.append({**price, **time, "posted_at": at})
    frame = pd.DataFrame(rows)
    keys = ["influencer_id", "content_type", "event_id", "offset_hours"]
    return frame.sort_values(keys, ignore_index=True)[[*keys, "posted_at", "price"]]


CARRIED = ["genre", "location", "event_location", "event_genre", "event_scale", "event_type"]


def _plain(options: pd.DataFrame) -> pd.DataFrame:
    categories = options.select_dtypes("category").columns
    return options.astype(dict.fromkeys(categories, "str"))


def _bare(options: pd.DataFrame) -> pd.DataFrame:
    return _plain(options.drop(columns=CARRIED))


def test_every_tuple_on_offer_once(small):
    options = enumerate_options(small)
    assert len(options) == 16
    pd.testing.assert_frame_equal(_bare(options), _brute_force(small))
    for name in ("influencer_id", "content_type", "event_id"):
        assert options[name].dtype == "category"
        assert list(options[name].cat.categories) == sorted(set(options[name]))
    assert str(options["posted_at"].dtype) == "datetime64[us, UTC]"


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_tables_does_not_matter(random):
    tables = small_campaign()
    for name, frame in tables.items():
        rows = list(range(len(frame)))
        random.shuffle(rows)
        tables[name] = frame.iloc[rows]
    shuffled = enumerate_options(open_database(tables))
    pd.testing.assert_frame_equal(shuffled, enumerate_options(open_database(small_campaign())))


WHERE: list[tuple[dict[str, Any], Any]] = [
    ({"genre": "music"}, lambda p, o, e, t: p["genre"] == "music"),
    ({"genre": ["music", "fashion"]}, lambda p, o, e, t: p["genre"] in ("music", "fashion")),
    ({"followers": (1e4, None)}, lambda p, o, e, t: p["followers"] >= 1e4),
    ({"followers": (None, 1e4)}, lambda p, o, e, t: p["followers"] <= 1e4),
    ({"followers": (None, None)}, lambda p, o, e, t: p["followers"] == p["followers"]),
    ({"price": (50, 120.5)}, lambda p, o, e, t: 50 <= o["price"] <= 120.5),
    ({"price": 0}, lambda p, o, e, t: o["price"] == 0),
    ({"content_type": ["reel"]}, lambda p, o, e, t: o["content_type"] == "reel"),
    ({"influencer_id": "007"}, lambda p, o, e, t: o["influencer_id"] == "007"),
    ({"event_type": ["gala", "tour"]}, lambda p, o, e, t: e["type"] in ("gala", "tour")),
    ({"event_scale": (1.5, 2)}, lambda p, o, e, t: 1.5 <= e["scale"] <= 2),
    ({"offset_hours": [0, -24]}, lambda p, o, e, t: t in (0, -24)),
    (
        {"posted_at": ("2026-04-01", "2026-05-01 18:00")},
        lambda p, o, e, t: e.name == "launch" and t < 0,
    ),
    ({"event_date": "2026-06-10"}, lambda p, o, e, t: e.name == "gala"),
    (
        {"genre": "music", "event_location": "Paris", "price": (None, 100)},
        lambda p, o, e, t: p["genre"] == "music" and e["location"] == "Paris" and o["price"] <= 100,
    ),
]


@pytest.mark.parametrize(
    ("where", "keep"), WHERE, ids=lambda case: "rows" if callable(case) else str(case)[:60]
)
def test_where(small, where, keep):
    found = enumerate_options(small, where=where)
    assert 0 < len(found) < 16
    pd.testing.assert_frame_equal(_bare(found), _brute_force(small, keep))


def test_choosing_ids(small):
    found = enumerate_options(
        small, events=["launch", "tour"], influencers=["NA", "007"], content_types=["reel"]
    )
    expected = _brute_force(
        small,
        lambda p, o, e, t: (
            o["influencer_id"] in ("NA", "007")
            and o["content_type"] == "reel"
            and e.name in ("launch", "tour")
        ),
    )
    pd.testing.assert_frame_equal(_bare(found), expected)
    assert len(enumerate_options(small, events=[])) == 0


def test_nothing_left_is_an_answer(small):
    none = enumerate_options(small, where={"price": (1e9, None)}, attributes=["genre"])
    assert len(none) == 0
    pd.testing.assert_index_equal(
        none.columns, enumerate_options(small, attributes=["genre"]).columns
    )


def test_no_option_lies_before_the_cut_off(small):
    found = enumerate_options(small, as_of="2026-04-29 18:00")
    assert set(found["event_id"]) == {"launch", "gala"}
    assert (found["posted_at"] > utc(["2026-04-29 18:00"])[0]).all()
    assert len(found) == 8


def test_influencers_as_they_were_known_before_the_cut_off():
    tables = small_campaign()
    early, late = pd.Timestamp("2025-01-01", tz="UTC"), pd.Timestamp("2026-03-01", tz="UTC")
    people = tables["influencers"]
    tables["influencers"] = pd.concat(
        [people.assign(as_of=late, followers=9.0), people.iloc[:2].assign(as_of=early)]
    )
    data = open_database(tables)
    now = enumerate_options(data, attributes=["followers"])
    assert set(now["followers"]) == {9.0}
    then = enumerate_options(data, as_of=late, attributes=["followers", "genre"])
    of = then.drop_duplicates("influencer_id").set_index("influencer_id")
    assert of.loc["007", "followers"] == 1e4
    assert np.isnan(of.loc["é", "followers"])  # no state known before the cut-off
    assert len(enumerate_options(data, as_of=late, where={"followers": 9.0})) == 0


def test_what_constraints_name_rides_along(small):
    found = enumerate_options(small)
    assert list(found.columns[-6:]) == CARRIED
    asked = enumerate_options(small, attributes=CARRIED)
    pd.testing.assert_frame_equal(found, asked)
    assert list(enumerate_options(small, attributes=()).columns)[-1] == "price"


def test_attributes_ride_along(small):
    names = ["genre", "tier", "audience_age", "event_genre", "event_scale"]
    found = enumerate_options(small, attributes=names)
    assert list(found.columns[-5:]) == names
    people = small.influencers.set_index("influencer_id")
    events = small.events.set_index("event_id")
    for option in _plain(found).to_dict("records"):
        person, event = people.loc[option["influencer_id"]], events.loc[option["event_id"]]
        for name in names[:3]:
            assert option[name] == person[name] or (pd.isna(option[name]) and pd.isna(person[name]))
        assert option["event_genre"] == event["genre"]
        np.testing.assert_equal(option["event_scale"], event["scale"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"events": ["lanch"]}, "launch"),
        ({"influencers": ["07"]}, "007"),
        ({"content_types": ["reels"]}, "reel"),
        ({"events": "launch"}, r"give \['launch'\]"),
        ({"where": {"genr": "music"}}, "genre"),
        ({"where": {"genre": "musik"}}, "music"),
        ({"where": {"genre": ("a", "z")}}, "limits are numbers"),
        ({"where": {"price": (1, 2, 3)}}, "pair"),
        ({"where": {"price": (float("nan"), None)}}, "limits are numbers"),
        ({"where": {"event_date": ("soon", None)}}, "not a time"),
        ({"where": {"price; drop table": 1}}, "no such column"),
        ({"attributes": ["tear"]}, "tier"),
        ({"as_of": "tomorrow-ish"}, "not a time"),
    ],
)
def test_case_14_and_20_unknown_names_are_refused(small, arguments, says):
    with pytest.raises(InputError, match=says):
        enumerate_options(small, **arguments)


@pytest.mark.parametrize("missing", ["prices", "posting_times"])
def test_tables_that_are_needed(missing):
    tables = small_campaign()
    del tables[missing]
    with pytest.raises(InputError) as caught:
        enumerate_options(open_database(tables))
    assert caught.value.table == missing


def test_case_19_too_many_options_are_refused_before_they_are_made(small):
    with pytest.raises(MemoryLimitError, match="16 options"):
        enumerate_options(small, memory_limit_gb=1e-6)
    n = 60_000
    tables = small_campaign()
    ids = [f"i{k}" for k in range(n)]
    people = {"genre": "a", "location": "b", "er_basis": None}
    tables["influencers"] = pd.DataFrame(
        {"influencer_id": ids, "followers": 1.0, "engagement_rate": 0.1, **people}
    )
    tables["prices"] = pd.DataFrame({"influencer_id": ids, "content_type": "x", "price": 1.0})
    hours = np.arange(n, dtype=float)
    tables["posting_times"] = pd.DataFrame({"event_id": "gala", "offset_hours": hours})
    del tables["history"], tables["overlaps"]
    with pytest.raises(MemoryLimitError, match="3,600,000,000 options"):
        enumerate_options(open_database(tables))


def test_a_name_that_two_tables_share():
    tables = small_campaign()
    tables["influencers"]["price"] = 1.0
    with pytest.raises(InputError, match="rename it") as caught:
        enumerate_options(open_database(tables))
    assert caught.value.column == "price"
