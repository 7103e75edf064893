"""Counts of exposure against counting by hand, for every minute of the day; what is refused."""

from __future__ import annotations

import collections
import datetime as dt
import os
import tracemalloc
import zoneinfo
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from places import cloud, textbook_m

from jaxcampaign.errors import InputError, MemoryLimitError
from jaxcampaign.influence.exposure import (
    count_exposures,
    estimate_exposure_bytes,
    find_exposures,
)

DATA = Path(
    os.environ.get("JAXCAMPAIGN_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")
)


def tables(rng, n_checkins=2000, n_boards=12, zones=("America/New_York",)):
    centre = (40.7, -74.0)
    lat, lon = cloud(rng, n_checkins, centre, 150.0)
    start = dt.datetime(2012, 4, 3, tzinfo=dt.UTC).timestamp()
    seconds = start + rng.integers(0, 330 * 86_400, n_checkins)
    checkins = pd.DataFrame(
        {
            "user_id": pd.Series([f"u{k:02d}é" for k in rng.integers(0, 25, n_checkins)]),
            "time": pd.to_datetime(seconds * 1_000_000, unit="us", utc=True).as_unit("us"),
            "lat": lat,
            "lon": lon,
        }
    )
    lat, lon = cloud(rng, n_boards, centre, 150.0)
    billboards = pd.DataFrame({"board_id": np.arange(n_boards).astype(str), "lat": lat, "lon": lon})
    billboards["time_zone"] = [zones[k % len(zones)] for k in range(n_boards)]
    return checkins, billboards


def counted_by_hand(checkins, billboards, radius_m, slot_minutes, clock):
    """(board, start, end, user) -> check-ins, one pair at a time with the standard library."""
    count = collections.Counter()
    for row in checkins.itertuples():
        for at, board in enumerate(billboards.itertuples()):
            if textbook_m(row.lat, row.lon, board.lat, board.lon) > radius_m:
                continue
            zone = zoneinfo.ZoneInfo(board.time_zone) if clock == "local" else dt.UTC
            there = row.time.to_pydatetime().astimezone(zone)
            minute = there.hour * 60 + there.minute
            start = minute - minute % slot_minutes
            count[at, start, min(start + slot_minutes, 1440), row.user_id] += 1
    return count


def as_counter(found):
    slot = found.slot
    keys = zip(
        found.board[slot].tolist(),
        found.start_min[slot].tolist(),
        found.end_min[slot].tolist(),
        found.user_ids[found.user].tolist(),
        strict=True,
    )
    return dict(zip(keys, found.hits.tolist(), strict=True))


@pytest.mark.parametrize("clock", ["utc", "local"])
@pytest.mark.parametrize("slot_minutes", [1, 7, 60, 1440])
def test_counts_equal_counting_by_hand(slot_minutes, clock):
    zones = ("America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe")
    checkins, billboards = tables(np.random.default_rng(7), n_checkins=500, zones=zones)
    given = {"radius_m": 100.0, "slot_minutes": slot_minutes, "clock": clock}
    found = count_exposures(checkins, billboards, **given)
    assert as_counter(found) == counted_by_hand(checkins, billboards, **given)


def test_counts_are_ordered_and_compact():
    checkins, billboards = tables(np.random.default_rng(8))
    found = count_exposures(checkins, billboards, radius_m=100, slot_minutes=30, clock="utc")
    assert (np.diff(found.board * 1440 + found.start_min) > 0).all()
    assert (np.diff(found.slot.astype(np.int64) * found.user_ids.size + found.user) > 0).all()
    assert found.user_ids.tolist() == sorted(set(found.user_ids))
    assert set(found.user) == set(range(found.user_ids.size))
    assert found.indptr[0] == 0
    assert (np.diff(found.indptr) > 0).all()
    assert found.indptr[-1] == found.user.size == found.hits.size
    for name in ("board", "start_min", "end_min", "user", "hits"):
        assert getattr(found, name).dtype == np.int32


def test_order_of_checkins_changes_nothing():
    rng = np.random.default_rng(9)
    checkins, billboards = tables(rng)
    given = {"radius_m": 120.0, "slot_minutes": 5, "clock": "local"}
    expected = count_exposures(checkins.sort_values("time"), billboards, **given)
    for order in (np.arange(len(checkins)), rng.permutation(len(checkins))):
        found = count_exposures(checkins.iloc[order], billboards, **given)
        for name in ("board", "start_min", "end_min", "user_ids", "indptr", "user", "hits"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def one_place(*stamps, zone="UTC"):
    checkins = pd.DataFrame(
        {
            "user_id": pd.Series(["007"] * len(stamps), dtype="str"),
            "time": pd.DatetimeIndex(stamps, tz="UTC").as_unit("us"),
            "lat": 40.7,
            "lon": -74.0,
        }
    )
    board = {"board_id": ["b"], "lat": [40.7], "lon": [-74.0], "time_zone": [zone]}
    return checkins, pd.DataFrame(board)


@pytest.mark.parametrize(
    ("stamp", "slot_minutes", "window"),
    [
        ("2020-05-01 00:04:59.999999", 5, (0, 5)),
        ("2020-05-01 00:05:00", 5, (5, 10)),
        ("2020-05-01 23:59:59.999999", 5, (1435, 1440)),
        ("2020-05-02 00:00:00", 5, (0, 5)),
        ("2020-05-01 23:54:59", 7, (1428, 1435)),
        ("2020-05-01 23:55:00", 7, (1435, 1440)),
        ("2020-05-01 12:00:00", 1439, (0, 1439)),
        ("2020-05-01 23:59:00", 1439, (1439, 1440)),
        ("1969-12-31 23:59:59", 1, (1439, 1440)),
    ],
)
def test_windows_are_half_open(stamp, slot_minutes, window):
    found = count_exposures(*one_place(stamp), radius_m=1, slot_minutes=slot_minutes, clock="utc")
    assert (found.start_min.tolist(), found.end_min.tolist()) == ([window[0]], [window[1]])
    assert found.user_ids.tolist() == ["007"]


def test_daylight_saving_follows_the_local_clock():
    """05:30 UTC is 00:30 in winter and 01:30 in summer; autumn's 01:30 comes twice."""
    stamps = ["2021-01-10 05:30", "2021-07-10 05:30", "2021-11-07 05:30", "2021-11-07 06:30"]
    stamps += ["2021-03-14 06:59", "2021-03-14 07:00"]  # spring: 01:59, then 03:00
    tables_ = one_place(*stamps, zone="America/New_York")
    found = count_exposures(*tables_, radius_m=1, slot_minutes=1, clock="local")
    assert found.start_min.tolist() == [30, 90, 119, 180]
    assert found.hits.tolist() == [1, 3, 1, 1]


@pytest.mark.parametrize("unit", ["s", "ms", "ns"])
def test_unit_of_times_changes_nothing(unit):
    checkins, billboards = one_place("2020-05-01 00:07", "2020-05-03 00:09")
    checkins["time"] = checkins["time"].dt.as_unit(unit)
    found = count_exposures(checkins, billboards, radius_m=1, slot_minutes=5, clock="utc")
    assert (found.start_min.tolist(), found.hits.tolist()) == ([5], [2])


def test_nobody_passes():
    checkins, billboards = one_place("2020-05-01 00:07")
    for left, right in ((checkins, billboards.assign(lat=41.0)), (checkins.iloc[:0], billboards)):
        found = count_exposures(left, right, radius_m=50, slot_minutes=5, clock="local")
        assert found.board.size == found.user_ids.size == found.hits.size == found.slot.size == 0
        assert found.indptr.tolist() == [0]


# Refusals


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"radius_m": 0}, "radius_m"),
        ({"radius_m": float("nan")}, "radius_m"),
        ({"radius_m": 20_001.0}, "20,000"),
        ({"radius_m": "100"}, "radius_m"),
        ({"slot_minutes": 0}, "1 to 1440"),
        ({"slot_minutes": 1441}, "1 to 1440"),
        ({"slot_minutes": 5.0}, "slot_minutes"),
        ({"slot_minutes": True}, "slot_minutes"),
        ({"clock": "Local"}, 'did you mean "local"'),
        ({"clock": "gmt"}, '"local" or "utc"'),
        ({"memory_limit_gb": 0}, "memory_limit_gb"),
        ({"memory_limit_gb": float("nan")}, "memory_limit_gb"),
    ],
)
def test_bad_parameters_are_refused(change, words):
    given = {"radius_m": 100, "slot_minutes": 5, "clock": "utc"} | change
    with pytest.raises(InputError, match=words):
        count_exposures(*one_place("2020-05-01"), **given)


@pytest.mark.parametrize(
    ("column", "value"), [("lat", 90.1), ("lat", np.nan), ("lon", -180.5), ("lon", np.inf)]
)
def test_bad_coordinates_are_refused_with_their_rows(column, value):
    places = {"lat": np.full(5, 40.0), "lon": np.full(5, -74.0)}
    places[column][[1, 3]] = value
    with pytest.raises(InputError) as caught:
        find_exposures(**places, board_lat=[40.0], board_lon=[-74.0], radius_m=10)
    assert (caught.value.table, caught.value.column) == ("checkins", column)
    assert caught.value.rows == [1, 3]
    with pytest.raises(InputError, match="billboards"):
        find_exposures([40.0], [-74.0], places["lat"], places["lon"], radius_m=10)


def test_unequal_lengths_are_refused():
    with pytest.raises(InputError, match="two lists"):
        find_exposures([1.0, 2.0], [1.0], [1.0], [1.0], radius_m=10)


def test_local_clock_needs_zones():
    checkins, billboards = one_place("2020-05-01")
    with pytest.raises(InputError, match="time_zone"):
        count_exposures(
            checkins,
            billboards.drop(columns="time_zone"),
            radius_m=9,
            slot_minutes=5,
            clock="local",
        )


def test_naive_times_are_refused():
    checkins, billboards = one_place("2020-05-01")
    checkins["time"] = checkins["time"].dt.tz_localize(None)
    with pytest.raises(InputError, match="no time zone"):
        count_exposures(checkins, billboards, radius_m=9, slot_minutes=5, clock="utc")


def test_memory_is_refused_before_it_is_taken():
    """One place, so that all 4e6 pairs are exposures: 48 MB of result."""
    lat, lon = np.full(2000, 40.7), np.full(2000, -74.0)
    estimate = estimate_exposure_bytes(lat, lon, lat, lon, radius_m=100)
    assert estimate >= 4_000_000 * 12
    tracemalloc.start()
    with pytest.raises(MemoryLimitError, match=r"4,000,000 exposures.*lower radius_m"):
        find_exposures(lat, lon, lat, lon, radius_m=100, memory_limit_gb=estimate / 1e9 * 0.99)
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()
    found = find_exposures(lat, lon, lat, lon, radius_m=100, memory_limit_gb=estimate / 1e9)
    assert found[0].size == 4_000_000


@pytest.mark.parametrize("spread_m", [1.0, 120.0, 600.0])
def test_estimate_covers_what_counting_takes(spread_m):
    rng = np.random.default_rng(11)
    checkins, billboards = tables(rng, n_checkins=20_000)
    for table in (checkins, billboards):
        table["lat"], table["lon"] = cloud(rng, len(table), (40.7, -74.0), spread_m)
    billboards = pd.concat([billboards] * 5)
    places = (table[column] for table in (checkins, billboards) for column in ("lat", "lon"))
    estimate = estimate_exposure_bytes(*places, radius_m=100)
    tracemalloc.start()
    count_exposures(checkins, billboards, radius_m=100, slot_minutes=5, clock="local")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < estimate + 4_000_000  # the table of cells


# The published New York pairs


@pytest.mark.skipif(not (DATA / "spatial").is_dir(), reason="reference data not present")
def test_published_new_york_pairs_come_out():
    folder = DATA / "spatial"
    raw = pd.read_parquet(folder / "nyc_checkins_venues10plus.parquet")
    lamar = pd.read_csv(folder / "lamar_nyc_billboards.csv")
    slots = pd.read_parquet(folder / "mpim_nyc_slots.parquet")
    listed = pd.read_parquet(folder / "mpim_nyc_user_slot_influence.parquet")
    checkins = raw.assign(
        user_id=raw["user_id"].astype("str"),
        time=raw["utc_time"].dt.as_unit("us").dt.tz_localize("UTC"),
    )
    billboards = lamar.rename(columns={"Latitude": "lat", "Longitude": "lon"})
    found = count_exposures(checkins, billboards, radius_m=100, slot_minutes=5, clock="utc")

    hour, minute = slots["Start_time"].str.split(":", expand=True).astype(int).T.to_numpy()
    slots["start_min"] = hour * 60 + minute  # "00:60" is 01:00
    # Two board ids have two places each.
    key = ["B_id", "Latitude", "Longitude", "start_min"]
    ours = lamar.iloc[found.board[found.slot]].assign(
        start_min=found.start_min[found.slot], user_id=found.user_ids[found.user].astype(int)
    )
    ours = ours[[*key, "user_id"]].merge(slots[[*key, "B_index"]], on=key)
    theirs = ours.merge(listed, left_on=["B_index", "user_id"], right_on=["b_index", "user_id"])
    assert len(theirs) >= 10_200
    assert len(theirs) / len(ours) >= 0.99
