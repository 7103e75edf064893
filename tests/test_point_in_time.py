"""Features rest on what was known before the cut-off, and on nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_campaign import small_campaign, utc

from jaxcampaign.effectiveness import (
    build_features,
    check_point_in_time,
    enumerate_options,
    time_splits,
)
from jaxcampaign.errors import InputError
from jaxcampaign.tables import Database, open_database, synth_campaign

WORLD = synth_campaign(n_influencers=12, n_events=20, n_history=150, days=200, seed=3)
DATA = WORLD.database()


def _history() -> pd.DataFrame:
    assert DATA.history is not None
    return DATA.history


def _numbers(data: Database, rows: pd.DataFrame, **options) -> pd.DataFrame:
    features = build_features(data, rows, target="engagement", **options)
    return pd.DataFrame(features.numeric.astype(float), columns=features.numeric_names)


def _grouped(past: pd.DataFrame, row: pd.Series, name: str) -> pd.DataFrame:
    events = DATA.events.set_index("event_id")
    same = pd.Series(True, past.index)
    if name.startswith("influencer"):
        same &= past["influencer_id"] == row["influencer_id"]
    if "content" in name:
        same &= past["content_type"] == row["content_type"]
    for part in ("genre", "type"):
        if name.endswith(part):
            kind = past["event_id"].map(events[part])
            same &= kind == events.loc[row["event_id"], part]
    return past[same]


def _variances(past: pd.DataFrame, keys: pd.Series) -> tuple[float, float]:
    """One-way analysis of variance, from its textbook sums."""
    y, groups = past["engagement"], past["engagement"].groupby(keys)
    n, size = len(y), groups.size()
    within = float(((y - groups.transform("mean")) ** 2).sum())
    if n == len(size) or len(size) < 2:
        return np.nan, np.nan
    between = float((size * (groups.mean() - y.mean()) ** 2).sum()) / (len(size) - 1)
    inside = within / (n - len(size))
    average = (n - (size**2).sum() / n) / (len(size) - 1)
    return inside, max((between - inside) / average, 0.0)


def test_history_against_plain_loops():
    history, events = _history(), DATA.events.set_index("event_id")
    found = _numbers(DATA, history)
    rows = np.random.default_rng(0).choice(len(history), 60, replace=False)
    for r in rows:
        row = history.iloc[r]
        past = history[history["outcome_known_at"] < row["planned_at"]]
        assert found.loc[r, "overall_rate"] == pytest.approx(past["engagement"].mean(), nan_ok=True)
        if len(past) < 10:
            continue
        keys = {
            "influencer": past["influencer_id"],
            "influencer_content": past["influencer_id"] + "|" + past["content_type"],
            "influencer_genre": past["influencer_id"] + past["event_id"].map(events["genre"]),
            "content_event_type": past["content_type"] + past["event_id"].map(events["type"]),
        }
        own = None
        for name, key in keys.items():
            group = _grouped(past, row, name)
            inside, between = _variances(past, key)
            parent = past["engagement"].mean()
            if name in ("influencer_content", "influencer_genre"):
                parent = own
                between -= _variances(past, keys["influencer"])[1]
            k = 5.0 if np.isnan(inside) else np.clip(inside / max(between, 1e-300), 0.1, 1000)
            rate = (group["engagement"].sum() + k * parent) / (len(group) + k)
            own = rate if name == "influencer" else own
            assert found.loc[r, f"{name}_count"] == len(group)
            assert found.loc[r, f"{name}_rate"] == pytest.approx(rate, rel=1e-5)
            last = group["outcome_known_at"].max()
            days = (row["planned_at"] - last) / pd.Timedelta("1D") if len(group) else np.nan
            recency = found.loc[r, f"{name}_recency_days"]
            assert recency == pytest.approx(days, rel=1e-5, nan_ok=True)
            if name == "influencer":
                age = (row["planned_at"] - group["outcome_known_at"]) / pd.Timedelta("45D")
                weight = 0.5**age
                recent = ((weight * group["engagement"]).sum() + 5 * rate) / (weight.sum() + 5)
                assert found.loc[r, "influencer_weight"] == pytest.approx(weight.sum(), rel=1e-5)
                momentum = recent - rate
                found_momentum = found.loc[r, "influencer_momentum"]
                assert found_momentum == pytest.approx(momentum, rel=1e-4, abs=1e-4)
                spread = ((group["engagement"] - group["engagement"].mean()) ** 2).sum()
                spread = (spread + 5 * inside) / (max(len(group) - 1, 0) + 5)
                assert found.loc[r, "influencer_spread"] == pytest.approx(spread**0.5, rel=1e-5)


def test_market_against_plain_loops():
    assert DATA.market is not None
    history, events = _history(), DATA.events.set_index("event_id")
    found = _numbers(DATA, history)
    for r in range(0, len(history), 7):
        row, event = history.iloc[r], events.loc[history["event_id"].iloc[r]]
        same = DATA.market["genre"].eq(event["genre"]) & DATA.market["location"].eq(
            event["location"]
        )
        rows = DATA.market[same]
        rows = rows[rows["available_at"] < row["planned_at"]].sort_values(["time", "available_at"])
        expected = rows["popularity"].iloc[-1]
        assert found.loc[r, "genre_region_popularity"] == pytest.approx(expected, rel=1e-6)


def test_levels_and_revisions_of_the_market():
    tables = small_campaign()
    tables["market"] = pd.DataFrame(
        {
            "genre": ["fashion", "fashion", "fashion", None, None, "music"],
            "location": ["Paris", "Paris", "Paris", None, "Paris", None],
            "time": utc(["2026-01-01", "2026-02-01", "2026-01-01", *["2026-01-01"] * 3]),
            "available_at": utc(
                ["2026-01-02", "2026-02-02", "2026-03-01", *["2026-01-02"] * 3]
            ),
            "index": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        }
    )  # fmt: skip
    data = open_database(tables)
    options = enumerate_options(data, events=["launch"], influencers=["NA"])

    def at(time: str) -> dict[str, float]:
        found = _numbers(data, options, as_of=time).iloc[0]
        return {name: found[name] for name in found.index if name.endswith("_index")}

    known = {"region_index": 5.0, "market_index": 4.0}
    none = dict.fromkeys(at("2025-01-01"), np.nan)
    assert len(none) == 4
    np.testing.assert_equal(at("2026-01-02"), none)  # an exact match is too late
    np.testing.assert_equal(at("2026-01-03"), none | known | {"genre_region_index": 1.0})
    # The late revision of January does not displace February.
    np.testing.assert_equal(at("2026-04-01"), none | known | {"genre_region_index": 2.0})


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["change", "missing", "drop", "market"]))
def test_what_is_known_later_changes_no_bit(seed, how):
    rng = np.random.default_rng(seed)
    history = _history()
    cut = history["planned_at"].iloc[rng.integers(len(history))]
    rows = history[history["planned_at"] <= cut]
    before = build_features(DATA, rows, target="engagement")
    tables = dict(DATA.tables())
    late = (history["outcome_known_at"] >= cut).to_numpy()
    changed = history.copy()
    if how == "change":
        changed.loc[late, "engagement"] = rng.normal(0, 1e6, late.sum())
    elif how == "missing":
        changed.loc[late, "engagement"] = np.nan
    elif how == "drop":
        changed = changed[~late]
    else:
        unpublished = tables["market"]["available_at"] >= cut
        tables["market"] = tables["market"].copy()
        tables["market"].loc[unpublished, "popularity"] = rng.normal(0, 1e6, unpublished.sum())
    tables["history"] = changed
    after = build_features(Database(**tables), rows, target="engagement", like=before)
    assert before.numeric.tobytes() == after.numeric.tobytes()
    assert before.categorical.tobytes() == after.categorical.tobytes()


def test_what_was_known_before_does_matter():
    history = _history()
    changed = history.assign(engagement=history["engagement"] + 1)
    tables = DATA.tables() | {"history": changed}
    one, other = _numbers(DATA, history), _numbers(Database(**tables), history)
    assert (other["overall_rate"] - one["overall_rate"]).dropna().round(3).eq(1).all()


def test_one_cut_off_for_all_is_that_cut_off_for_each():
    options = enumerate_options(DATA, as_of=WORLD.as_of)
    rows = options.sample(50, random_state=1)
    at_once = build_features(DATA, rows, target="engagement", as_of=WORLD.as_of)
    each = build_features(DATA, rows.assign(planned_at=WORLD.as_of), target="engagement")
    np.testing.assert_array_equal(at_once.numeric, each.numeric)
    np.testing.assert_array_equal(at_once.categorical, each.categorical)
    plain = rows.astype(dict.fromkeys(rows.select_dtypes("category"), "str"))
    again = build_features(DATA, plain, target="engagement", as_of=WORLD.as_of)
    np.testing.assert_array_equal(at_once.numeric, again.numeric)


def test_the_order_of_rows_does_not_matter():
    history = _history()
    order = np.random.default_rng(2).permutation(len(history))
    tables = DATA.tables() | {"history": history.iloc[order].reset_index(drop=True)}
    one = build_features(DATA, history, target="engagement")
    other = build_features(Database(**tables), history.iloc[order], target="engagement", like=one)
    np.testing.assert_allclose(one.numeric[order], other.numeric, rtol=1e-5)
    np.testing.assert_array_equal(one.categorical[order], other.categorical)


def test_influencers_as_they_were_known():
    tables = small_campaign()
    people = tables["influencers"]
    tables["influencers"] = pd.concat(
        [
            people.assign(as_of=utc(["2026-01-01"])[0]),
            people.assign(as_of=utc(["2026-01-10"])[0], followers=7.0),
        ]
    )
    data = open_database(tables)
    found = _numbers(data, data.history)["followers"]
    np.testing.assert_array_equal(found, [1e4, np.nan, 7.0, 7.0])
    early = _numbers(data, data.history, as_of="2026-01-01")["followers"]
    assert early.isna().all()


def test_missing_stays_missing_and_columns_are_described():
    data = open_database(small_campaign())
    options = enumerate_options(data, events=["launch", "gala"], content_types=["reel"])
    features = build_features(data, options, target="engagement", as_of="2026-02-04")
    table = pd.DataFrame(features.numeric, columns=features.numeric_names)
    of = table.groupby(options["influencer_id"].astype(str))
    assert of["followers"].first()["007"] == 1e4 and np.isnan(of["followers"].max()["NA"])
    # Only the first outcome was known strictly before the second one's time.
    assert of["influencer_count"].max().tolist() == [1.0, 0.0, 0.0]
    assert of["influencer_rate"].max().tolist() == [12.0, 12.0, 12.0]
    assert of["influencer_recency_days"].max()["007"] == 1.0
    assert np.isnan(of["influencer_recency_days"].max()["NA"])
    launch = (options["event_id"] == "launch") & (options["offset_hours"] == -48)
    assert set(table.loc[launch.to_numpy(), "days_to_event"]) == {2.0}
    assert set(table.loc[launch.to_numpy(), "weekday"]) == {2.0}  # 29 April 2026, a Wednesday
    assert set(table.loc[launch.to_numpy(), "hour"]) == {18.0}
    genre = features.categories[features.categorical_names.index("genre")]
    assert genre.tolist() == ["fashion", "music"]
    assert {-1, 0, 1} == set(features.categorical[:, features.categorical_names.index("genre")])
    assert "event_id" not in features.categorical_names
    assert set(features.numeric_sources) == {"I", "H", "M"}


def test_ids_that_were_not_fitted_on_are_unknown():
    history = _history()
    known = history[history["influencer_id"] != "i03"]
    fitted = build_features(DATA, known, target="engagement")
    new = build_features(DATA, history, target="engagement", like=fitted)
    column = new.categorical[:, new.categorical_names.index("influencer_id")]
    np.testing.assert_array_equal(column < 0, history["influencer_id"] == "i03")
    without = Database(**{k: v for k, v in DATA.tables().items() if k != "market"})
    with pytest.raises(InputError, match="popularity"):
        build_features(without, history, target="engagement", like=fitted)


def test_the_guard_names_the_feature_that_is_newer():
    cut = np.array(["2026-01-02", "2026-01-02"], "datetime64[us]")
    sound = np.array(["2026-01-01", "NaT"], "datetime64[us]")
    check_point_in_time(cut, {"sound": sound})
    with pytest.raises(InputError) as caught:
        check_point_in_time(cut, {"sound": sound, "leaky": cut})
    assert (caught.value.column, caught.value.rows) == ("leaky", [0, 1])


def test_build_features_runs_the_guard(monkeypatch):
    # A join that lets exact matches and later outcomes in.
    monkeypatch.setattr(
        "jaxcampaign.effectiveness.posts.point_in_time.Timeline.before",
        lambda self, group, cut: (np.zeros(len(group), int), np.full(len(group), len(self.order))),
    )
    with pytest.raises(InputError, match="only at or after the cut-off"):
        build_features(DATA, _history(), target="engagement")


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        ({}, {"target": "engagment"}, "engagement"),
        ({"posted_at": "2020-01-01"}, {}, "lies before its cut-off"),
        ({"influencer_id": "i003"}, {}, "i0"),
        ({"event_id": "x"}, {}, "not in events"),
        ({"spend": None}, {}, "lack a column"),
        ({"planned_at": None}, {}, "lack a column"),
        ({}, {"half_life_days": 0.0}, "half_life_days"),
        ({}, {"as_of": "never"}, "not a time"),
    ],
)
def test_faults(change, options, says):
    rows = _history()
    for name, value in change.items():
        if value is None:
            rows = rows.drop(columns=name)
        else:
            rows = rows.assign(**{name: pd.Timestamp(value, tz="UTC") if "at" in name else value})
    with pytest.raises(InputError, match=says):
        build_features(DATA, rows, **{"target": "engagement"} | options)


def test_logarithms_of_counts():
    counts = build_features(DATA, _history(), target="impressions", log_target=True)
    level = counts.numeric[:, counts.numeric_names.index("overall_rate")]
    assert np.nanmax(level) < 15
    tables = DATA.tables()
    tables["history"] = _history().assign(engagement=-1.0)
    with pytest.raises(InputError, match="no logarithm"):
        build_features(Database(**tables), _history(), target="engagement", log_target=True)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(0, 10), st.booleans())
def test_splits_look_only_forward(seed, n_splits, gap_days, grouped):
    rng = np.random.default_rng(seed)
    n = 300
    planned = pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 200, n), "D")
    known = planned + pd.to_timedelta(rng.integers(1, 20, n), "D")
    groups = rng.integers(0, 60, n) if grouped else None
    try:
        splits = time_splits(planned, known, n_splits, gap=f"{gap_days}D", groups=groups)
    except InputError:
        assert grouped  # groups that span all time can leave nothing to fit on
        return
    assert len(splits) == n_splits
    tested = np.concatenate([split.test for split in splits])
    assert len(np.unique(tested)) == len(tested)
    for train, test in splits:
        start = planned[test].min()
        expected = known < start - pd.Timedelta(days=gap_days)
        if groups is not None:
            expected &= ~np.isin(groups, groups[test])
            assert not set(groups[train]) & set(groups[test])
        assert set(train) == set(np.flatnonzero(expected))
        assert (np.diff(planned[test]) >= pd.Timedelta(0)).all()


def test_splits_that_cannot_be():
    days = pd.date_range("2026-01-01", periods=20)
    for options in ({"n_splits": 0}, {"first": 1.0}, {"gap": "-1D"}, {"gap": "30D"}):
        with pytest.raises(InputError):
            time_splits(days, days + pd.Timedelta("1D"), **options)
    with pytest.raises(InputError, match="needs a time"):
        time_splits([1, 2], [3, 4])
