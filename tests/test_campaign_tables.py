"""Every fault of a campaign table is refused with its table, column, rows, value and a remedy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from small_campaign import small_campaign

from jaxcampaign.errors import InputError
from jaxcampaign.tables import SCHEMAS, read_table, validate, write_table
from jaxcampaign.tables.references import check_references

KINDS = list(small_campaign())
KEYS = {
    "influencers": ["influencer_id"],
    "prices": ["influencer_id", "content_type"],
    "events": ["event_id"],
    "posting_times": ["event_id", "offset_hours"],
    "history": ["campaign_id", "influencer_id", "content_type", "event_id", "posted_at"],
    "market": ["genre", "location", "time", "available_at"],
    "overlaps": ["influencer_id", "other_id"],
}
NUMBERS = [
    ("influencers", "followers"),
    ("influencers", "engagement_rate"),
    ("influencers", "audience_age"),
    ("prices", "price"),
    ("events", "scale"),
    ("posting_times", "offset_hours"),
    ("history", "spend"),
    ("history", "engagement"),
    ("market", "popularity"),
    ("overlaps", "weight"),
]


def _refused(kind: str, frame: pd.DataFrame) -> InputError:
    with pytest.raises(InputError) as caught:
        validate(kind, frame)
    assert caught.value.table == kind
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
def test_sound_tables_come_out_canonical_and_unchanged(kind):
    frame = small_campaign()[kind]
    before = frame.copy(deep=True)
    clean = validate(kind, frame[frame.columns[::-1]])
    pd.testing.assert_frame_equal(frame, before)
    canonical = [name for name in SCHEMAS[kind].columns if name in frame]
    assert list(clean.columns[: len(canonical)]) == canonical
    assert set(clean.columns) == set(frame.columns)
    for name in canonical:
        assert clean[name].dtype == SCHEMAS[kind].columns[name].dtype.type
        assert clean[name].isna().tolist() == frame[name].isna().tolist()
        assert clean[name].dropna().tolist() == frame[name].dropna().tolist()
    pd.testing.assert_frame_equal(validate(kind, clean), clean)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_files_give_the_same_table(tmp_path, kind, suffix):
    clean = validate(kind, small_campaign()[kind])
    path = tmp_path / f"{kind}.{suffix}"
    write_table(clean, path)
    pd.testing.assert_frame_equal(read_table(kind, path), clean)


@pytest.mark.parametrize("kind", KINDS)
def test_case_2_duplicate_keys_list_every_row(kind):
    frame = small_campaign()[kind]
    n = len(frame)
    error = _refused(kind, pd.concat([frame, frame.iloc[[1, 0]].assign(note="other")]))
    assert error.rows == [0, 1, n, n + 1]
    assert error.column == ", ".join(KEYS[kind])
    assert "duplicate" in error.problem
    assert error.remedy


@pytest.mark.parametrize("kind", ["influencers", "overlaps"])
def test_one_row_per_key_and_time_where_the_table_has_times(kind):
    frame = small_campaign()[kind].assign(as_of=pd.Timestamp("2026-01-01", tz="UTC"))
    later = frame.assign(as_of=pd.Timestamp("2026-02-01", tz="UTC"))
    assert len(validate(kind, pd.concat([frame, later]))) == 2 * len(frame)
    error = _refused(kind, pd.concat([frame, later, later.iloc[:1]]))
    assert error.rows == [len(frame), 2 * len(frame)]
    assert error.column == ", ".join([*KEYS[kind], "as_of"])


@pytest.mark.parametrize(("kind", "column"), NUMBERS)
@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_case_3_infinite_numbers(tmp_path, kind, column, value):
    frame = small_campaign()[kind].astype({column: "float64"})
    frame.loc[1, column] = value
    error = _refused(kind, frame)
    assert (error.column, error.rows) == (column, [1])
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(InputError):
        read_table(kind, tmp_path / "t.csv")


@pytest.mark.parametrize("value", [np.nan, None])
def test_case_3_a_price_must_be_there(value):
    frame = small_campaign()["prices"]
    frame.loc[[0, 2], "price"] = value
    error = _refused("prices", frame)
    assert (error.column, error.rows) == ("price", [0, 2])


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        ("influencers", "followers"),
        ("influencers", "engagement_rate"),
        ("prices", "price"),
        ("events", "scale"),
        ("history", "spend"),
        ("overlaps", "weight"),
    ],
)
def test_case_4_negative(kind, column):
    frame = small_campaign()[kind]
    frame.loc[0, column] = -1e-9
    error = _refused(kind, frame)
    assert (error.column, error.rows, error.value) == (column, [0], -1e-9)
    assert error.remedy


@pytest.mark.parametrize(
    ("kind", "column"),
    [(kind, name) for kind in KINDS for name, c in SCHEMAS[kind].columns.items() if c.required],
)
def test_gaps_are_kept_where_they_mean_something_and_refused_elsewhere(kind, column):
    frame = small_campaign()[kind].astype({column: object})
    frame[column] = [None, *frame[column].iloc[1:]]
    if SCHEMAS[kind].columns[column].nullable:
        clean = validate(kind, frame)
        assert clean[column].isna().iloc[0]
        empty = validate(kind, frame.iloc[:1])  # nothing but gaps in this column
        assert empty[column].isna().all()
        assert empty[column].dtype == clean[column].dtype
    else:
        error = _refused(kind, frame)
        assert (error.column, error.rows) == (column, [0])


def test_faults_beside_gaps_name_the_right_rows():
    frame = small_campaign()["influencers"].astype({"followers": object})
    frame["followers"] = [None, "12", "many"]
    error = _refused("influencers", frame)
    assert (error.column, error.rows, error.value) == ("followers", [2], "many")


def test_engagement_rates_have_a_known_basis():
    frame = small_campaign()["influencers"]
    frame.loc[1, "er_basis"] = "likes"
    error = _refused("influencers", frame)
    assert (error.column, error.rows, error.value) == ("er_basis", [1], "likes")
    assert "followers, reach, impressions, views" in error.remedy


@pytest.mark.parametrize(
    ("kind", "earlier", "later", "equal_is_sound"),
    [
        ("history", "planned_at", "posted_at", True),
        ("history", "posted_at", "outcome_known_at", False),
        ("market", "time", "available_at", True),
    ],
)
def test_times_in_order(kind, earlier, later, equal_is_sound):
    frame = small_campaign()[kind]
    one = frame.copy()
    one.loc[1, earlier] = one.loc[1, later]
    if kind == "history" and earlier == "posted_at":
        one.loc[1, "planned_at"] = frame.loc[1, "planned_at"]
    if equal_is_sound:
        validate(kind, one)
        one.loc[1, earlier] += pd.Timedelta("1us")
    error = _refused(kind, one)
    assert (error.column, error.rows) == (f"{earlier}, {later}", [1])
    assert error.remedy


def test_case_13_naive_times_are_utc_or_of_the_zone_given():
    frame = small_campaign()["events"]
    naive = frame.assign(date=frame["date"].dt.tz_localize(None))
    pd.testing.assert_frame_equal(validate("events", naive), validate("events", frame))
    local = validate("events", naive, time_zone="Europe/Paris")
    assert local["date"].iloc[0] == pd.Timestamp("2026-05-01 16:00", tz="UTC")
    mixed = frame.assign(date=["2026-05-01", "2026-06-10T00:00Z", "2026-02-01"])
    error = _refused("events", mixed)
    assert (error.column, error.rows) == ("date", [1])


def test_overlaps_join_two_influencers():
    frame = small_campaign()["overlaps"].assign(other_id=["007", "NA"])
    assert _refused("overlaps", frame).rows == [0]


def test_missing_columns_name_a_near_match():
    frame = small_campaign()["history"].rename(columns={"influencer_id": "Creator_ID"})
    assert "'Creator_ID': 'influencer_id'" in _refused("history", frame).remedy


@pytest.mark.parametrize(
    ("table", "column", "home", "near"),
    [
        ("prices", "influencer_id", "influencers", "'007'"),
        ("history", "influencer_id", "influencers", "'007'"),
        ("history", "event_id", "events", "launch"),
        ("posting_times", "event_id", "events", "launch"),
        ("overlaps", "influencer_id", "influencers", "'007'"),
        ("overlaps", "other_id", "influencers", "'007'"),
    ],
)
def test_case_14_unknown_ids_are_refused_with_near_matches(table, column, home, near):
    tables = {kind: validate(kind, frame) for kind, frame in small_campaign().items()}
    check_references(tables)
    wrong = "lanch" if home == "events" else "0007"
    tables[table].loc[1, column] = wrong
    with pytest.raises(InputError) as caught:
        check_references(tables)
    error = caught.value
    assert (error.table, error.column, error.rows, error.value) == (table, column, [1], wrong)
    assert home in error.problem
    assert near.strip("'") in error.remedy


def test_ids_without_a_likeness_get_another_remedy():
    tables = {kind: validate(kind, frame) for kind, frame in small_campaign().items()}
    tables["prices"].loc[2, "influencer_id"] = "zzzzzzzz"
    with pytest.raises(InputError, match="add them to influencers"):
        check_references(tables)
