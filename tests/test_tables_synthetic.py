"""The synthetic city is seeded, of the size asked for, and lives by its local clock."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from jaxcampaign.errors import InputError
from jaxcampaign.tables import (
    City,
    check_overlap,
    synth_city,
    synth_pair_arrays,
    synth_pairs,
    validate,
)

ZONE = "America/New_York"


@pytest.fixture(scope="module")
def city() -> City:
    return synth_city(n_users=1_500, days=14, seed=4)


def _metres(frame: pd.DataFrame, lat, lon) -> np.ndarray:
    north = (frame["lat"] - lat) * 111_195
    east = (frame["lon"] - lon) * 111_195 * np.cos(np.radians(frame["lat"]))
    return np.hypot(north, east).to_numpy()


def test_the_seed_decides(city):
    again = synth_city(n_users=1_500, days=14, seed=4)
    other = synth_city(n_users=1_500, days=14, seed=5)
    for table, same, different in zip(city, again, other, strict=True):
        pd.testing.assert_frame_equal(table, same)
        assert not table.equals(different)


def test_tables_are_canonical(city):
    for kind, table in city._asdict().items():
        pd.testing.assert_frame_equal(validate(kind, table), table)
    check_overlap(city.checkins, city.billboards)
    assert set(city.audiences["user_id"]) <= set(city.checkins["user_id"])
    order = city.checkins.sort_values(["user_id", "time"], kind="stable", ignore_index=True)
    pd.testing.assert_frame_equal(order, city.checkins)


@pytest.mark.parametrize(
    "sizes",
    [
        {"n_users": 1, "n_boards": 1, "n_products": 1, "days": 1, "checkins_per_user": 1.0},
        {"n_users": 50, "n_boards": 3_000, "n_products": 60, "days": 2},
        {"n_users": 4_000, "n_boards": 10, "n_products": 3, "checkins_per_user": 8.5},
    ],
)
def test_sizes(sizes):
    city = synth_city(**sizes)
    assert city.checkins["user_id"].nunique() == sizes["n_users"]
    assert len(city.billboards) == sizes["n_boards"]
    assert city.audiences["product_id"].nunique() == sizes["n_products"]
    days = sizes.get("days", 7)
    local = city.checkins["time"].dt.tz_convert(ZONE)
    assert local.min() >= pd.Timestamp("2026-03-16", tz=ZONE)
    assert local.max() < pd.Timestamp("2026-03-16", tz=ZONE) + pd.Timedelta(days=days)
    if sizes["n_users"] >= 4_000:
        assert len(city.checkins) / 4_000 == pytest.approx(8.5, rel=0.05)
    for kind, table in city._asdict().items():
        validate(kind, table)


@pytest.mark.parametrize("start", ["2026-03-02", "2026-10-26"])  # clocks change within both
@pytest.mark.parametrize("zone", [ZONE, "Asia/Tokyo"])
def test_rhythm_follows_the_local_clock(start, zone):
    checkins = synth_city(n_users=1_500, days=14, start=start, time_zone=zone).checkins
    local = checkins["time"].dt.tz_convert(zone)
    hour, working = local.dt.hour, local.dt.day_of_week < 5
    share = {
        kind: np.bincount(hour[days], minlength=24) / days.sum()
        for kind, days in {"working": working, "off": ~working}.items()
    }
    assert share["working"][[8, 17]].min() > 2 * share["working"][[3, 10, 15]].max()  # rush hours
    assert share["off"][8] < 0.5 * share["working"][8]
    assert share["off"][14] > 1.5 * share["working"][14]
    assert share["working"][[1, 2, 3, 4]].max() < 0.03


def test_people_sleep_at_home_and_work_elsewhere(city):
    checkins = city.checkins
    local = checkins["time"].dt.tz_convert(ZONE)
    night, noon = local.dt.hour < 5, local.dt.hour.isin([10, 11]) & (local.dt.day_of_week < 5)
    homes = checkins[night].groupby("user_id")[["lat", "lon"]].median()
    at = homes.reindex(checkins["user_id"]).reset_index(drop=True)
    known = at["lat"].notna()
    distance = _metres(checkins, at["lat"], at["lon"])
    assert np.quantile(distance[night & known], 0.95) < 60
    assert np.median(distance[noon & known]) > 500


def test_activity_is_skewed(city):
    counts = city.checkins["user_id"].value_counts()
    assert counts.mean() == pytest.approx(40, rel=0.05)
    assert counts.median() < 0.8 * counts.mean()
    assert counts.nlargest(150).sum() > 0.3 * counts.sum()  # the most active tenth


def test_places_are_skewed_and_boards_stand_where_it_is_busy(city):
    checkins, boards = city.checkins, city.billboards
    cell = (checkins[["lat", "lon"]] / 0.002).round().astype(int)
    visits = cell.value_counts()
    assert visits.head(len(visits) // 20).sum() > 0.4 * visits.sum()
    of_board = (boards[["lat", "lon"]] / 0.002).round().astype(int)
    near = visits.reindex(pd.MultiIndex.from_frame(of_board), fill_value=0)
    assert near.median() > 5 * visits.median()
    assert boards["size"].nunique() == boards["panel"].nunique() == 5
    assert "cost" not in boards


def test_audiences_are_skewed_and_local(city):
    sizes = city.audiences["product_id"].value_counts()
    assert sizes.max() == 675  # 45 % of 1,500
    assert sizes.max() > 5 * sizes.min()
    # Members live closer together than users at large: some product's homes are shifted.
    places = city.checkins.groupby("user_id")[["lat", "lon"]].median()
    members = city.audiences.join(places, on="user_id").groupby("product_id")[["lat", "lon"]]
    shift = (members.mean() - places.mean()).abs() / places.std() * np.sqrt(members.count())
    assert shift.max().max() > 4  # standard errors


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_users": 0},
        {"n_boards": -1},
        {"n_products": 0},
        {"days": 0},
        {"checkins_per_user": float("nan")},
        {"time_zone": "Mars/Olympus"},
        {"start": "tomorrow"},
    ],
)
def test_wrong_sizes(wrong):
    with pytest.raises(InputError) as caught:
        synth_city(**wrong)
    assert caught.value.value is not None


@pytest.mark.parametrize(
    ("n_slots", "n_users", "n_pairs"),
    [(1, 1, 1), (40, 30, 1200), (40, 30, 1199), (40, 30, 301), (40, 30, 299), (500, 9, 1100),
     (1, 5_000, 1_200), (20_000, 3_000, 200_000)],
)  # fmt: skip
def test_pairs_are_exactly_as_many_and_distinct(n_slots, n_users, n_pairs):
    slot, user, prob = synth_pair_arrays(n_slots=n_slots, n_users=n_users, n_pairs=n_pairs, seed=1)
    code = slot.astype(np.int64) * n_users + user
    assert len(code) == len(prob) == n_pairs
    assert (np.diff(code) > 0).all()
    assert 0 <= slot.min() <= slot.max() < n_slots
    assert 0 <= user.min() <= user.max() < n_users
    assert 0 < prob.min() <= prob.max() < 1
    assert (slot.dtype, user.dtype, prob.dtype) == (np.int32, np.int32, np.float32)


def test_pair_degrees_are_power_laws_on_both_sides():
    slot, user, _ = synth_pair_arrays(n_slots=20_000, n_users=3_000, n_pairs=200_000)
    for side, n in ((slot, 20_000), (user, 3_000)):
        degree = np.sort(np.bincount(side, minlength=n))[::-1]
        assert degree[0] > 10 * degree.mean()
        assert np.median(degree) < 0.75 * degree.mean()
        rank = np.unique(np.logspace(1, np.log10(n / 3), 20).astype(int))
        slope, _ = np.polyfit(np.log(rank), np.log(degree[rank]), 1)
        assert -0.85 < slope < -0.45
    assert abs(np.corrcoef(np.arange(3_000), np.bincount(user, minlength=3_000))[0, 1]) < 0.1


def test_pair_tables_hold_the_arrays_and_the_costs_of_the_literature():
    size = {"n_slots": 300, "n_users": 50, "n_pairs": 2_000, "seed": 2}
    pairs, slots = synth_pairs(**size)
    arrays = synth_pair_arrays(**size)
    pd.testing.assert_frame_equal(validate("pairs", pairs), pairs)
    pd.testing.assert_frame_equal(validate("slots", slots), slots)
    assert slots["slot_id"].tolist() == sorted(slots["slot_id"])
    assert pairs["slot_id"].tolist() == slots["slot_id"].iloc[arrays.slot].tolist()
    influence = pairs.groupby("slot_id")["prob"].sum().reindex(slots["slot_id"], fill_value=0)
    ratio = slots["cost"].to_numpy() * 10 - influence.to_numpy() * 0.9
    assert (ratio >= -1e-9).all()
    assert (ratio <= influence.to_numpy() * 0.2 + 1e-9).all()
    for again, first in zip(synth_pairs(**size), (pairs, slots), strict=True):
        pd.testing.assert_frame_equal(again, first)


def test_more_pairs_than_cells():
    with pytest.raises(InputError, match="at most 6"):
        synth_pair_arrays(n_slots=2, n_users=3, n_pairs=7)
    with pytest.raises(InputError):
        synth_pair_arrays(n_slots=2, n_users=0, n_pairs=1)


def test_draws_in_several_parts_are_as_good(monkeypatch):
    size = {"n_slots": 300, "n_users": 200, "n_pairs": 9_000, "seed": 4}
    monkeypatch.setattr("jaxcampaign.tables.random_pairs._AT_ONCE", 1_000)
    slot, user, prob = synth_pair_arrays(**size)
    code = slot.astype(np.int64) * 200 + user
    assert len(code) == 9_000
    assert (np.diff(code) > 0).all()
    assert ((prob > 0) & (prob < 1)).all()
    degrees = np.sort(np.bincount(slot, minlength=300))
    assert degrees[-1] > 3 * degrees[150]
