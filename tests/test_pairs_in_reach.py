"""Who comes near which board, against brute force: every distance, pair and edge."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from places import METRE, cloud, textbook_m

from jaxcampaign.influence import exposure
from jaxcampaign.influence.exposure import (
    estimate_exposure_bytes,
    find_exposures,
)
from jaxcampaign.influence.geodesy import EARTH_RADIUS_M, great_circle_m


def brute_force(lat, lon, board_lat, board_lon, radius_m, distance=textbook_m):
    return np.nonzero(distance(lat[:, None], lon[:, None], board_lat, board_lon) <= radius_m)


def assert_same(found, expected):
    assert found[0].dtype == np.int64
    assert found[1].dtype == np.int32
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


CENTRES = {
    "city": (40.7, -74.0),
    "equator": (0.0, 0.0),
    "seam": (-16.8, 180.0),
    "high north": (78.2, 15.6),
    "near the pole": (88.995, -30.0),
    "pole on the seam": (89.9999, 180.0),
    "south pole": (-90.0, 0.0),
}


# Distance


def test_known_distances():
    quarter = np.pi / 2 * EARTH_RADIUS_M
    assert great_circle_m(0, 0, 0, 90) == pytest.approx(quarter, rel=1e-15)
    assert great_circle_m(90, 12, 0, -50) == pytest.approx(quarter, rel=1e-15)
    assert great_circle_m(90, 0, -90, 77) == pytest.approx(2 * quarter, rel=1e-15)
    assert great_circle_m(90, 0, 90, 123) < 1e-9
    assert great_circle_m(10, -180, 10, 180) == 0
    assert great_circle_m(0, 179.9995, 0, -179.9995) == pytest.approx(0.001 / METRE, rel=1e-9)


def test_distance_is_exact_to_a_nanometre():
    rng = np.random.default_rng(0)
    for centre in CENTRES.values():
        a, b = cloud(rng, 500, centre, 1e4), cloud(rng, 500, centre, 1e4)
        reference = textbook_m(*a, *b, dtype=np.longdouble)
        near = reference < 1e5
        assert np.abs(great_circle_m(*a, *b) - reference)[near].max() < 2e-9


# Pairs


@pytest.mark.parametrize("radius_m", [0.5, 100.0, 3000.0, 20_000.0])
@pytest.mark.parametrize("centre", CENTRES.values(), ids=CENTRES.keys())
def test_pairs_equal_brute_force(centre, radius_m):
    rng = np.random.default_rng(3)
    for spread in (0.3, 1.0, 5.0):
        points = cloud(rng, 400, centre, spread * radius_m)
        boards = cloud(rng, 60, centre, spread * radius_m)
        found = find_exposures(*points, *boards, radius_m=radius_m)
        assert found[0].size
        assert_same(found, brute_force(*points, *boards, radius_m))


@pytest.mark.parametrize("centre", CENTRES.values(), ids=CENTRES.keys())
def test_radius_edge_is_inclusive_to_the_last_bit(centre):
    rng = np.random.default_rng(4)
    points, boards = cloud(rng, 60, centre, 200.0), cloud(rng, 20, centre, 200.0)
    distance = great_circle_m(points[0][:, None], points[1][:, None], *boards)
    for at in rng.choice(distance[distance > 1], 8):
        for radius_m in (at, np.nextafter(at, 0)):
            found = find_exposures(*points, *boards, radius_m=radius_m)
            assert_same(found, brute_force(*points, *boards, radius_m, great_circle_m))


def test_both_names_of_the_seam_and_of_the_pole():
    lat, lon = np.array([10.0, 10.0, 90.0, 90.0]), np.array([180.0, -180.0, 5.0, -120.0])
    found = find_exposures(lat, lon, lat, lon, radius_m=1.0)
    assert_same(found, (np.repeat(np.arange(4), 2), np.array([0, 1, 0, 1, 2, 3, 2, 3])))


def test_boards_all_over_the_world():
    """Cities on every continent and a board at the pole share one folded table."""
    rng = np.random.default_rng(5)
    centres = [
        (90.0, 0.0),
        *zip(rng.uniform(-75, 89.5, 60), rng.uniform(-180, 180, 60), strict=True),
    ]
    points = np.concatenate([cloud(rng, 30, c, 300.0) for c in centres], axis=1)
    boards = np.concatenate([cloud(rng, 12, c, 300.0) for c in centres], axis=1)
    found = find_exposures(*points, *boards, radius_m=150.0)
    assert_same(found, brute_force(*points, *boards, 150.0))


def test_duplicates_each_count():
    lat, lon = np.full(3, 40.7), np.full(3, -74.0)
    found = find_exposures(lat, lon, lat[:2], lon[:2], radius_m=100)
    assert_same(found, (np.repeat(np.arange(3), 2), np.tile([0, 1], 3)))


def test_blocks_join_without_a_seam(monkeypatch):
    rng = np.random.default_rng(6)
    points, boards = cloud(rng, 500, (40.7, -74.0), 400.0), cloud(rng, 50, (40.7, -74.0), 400.0)
    for block in (1, 7, 64):
        monkeypatch.setattr(exposure, "_BLOCK", block)
        found = find_exposures(*points, *boards, radius_m=200.0)
        assert_same(found, brute_force(*points, *boards, 200.0))


_steps = st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=1, max_size=12)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
    points=_steps,
    boards=_steps,
    centre=st.sampled_from(list(CENTRES.values())),
    step_m=st.sampled_from([0.01, 25.0, 4000.0]),
    radius_steps=st.integers(1, 5),
)
def test_pairs_on_a_lattice_full_of_ties(points, boards, centre, step_m, radius_steps):
    def places(steps):
        north, east = np.array(steps, float).T * step_m * METRE
        shrink = max(np.cos(np.radians(centre[0])), 1e-3)
        lon = (centre[1] + east / shrink + 180) % 360 - 180
        return np.clip(centre[0] + north, -90, 90), lon

    points, boards, radius_m = places(points), places(boards), radius_steps * step_m
    found = find_exposures(*points, *boards, radius_m=radius_m)
    assert_same(found, brute_force(*points, *boards, radius_m, great_circle_m))


def test_nothing_to_find():
    none, one = np.empty(0), np.array([10.0])
    for places in ((none, none, one, one), (one, one, none, none), (one, one, -one, -one)):
        assert_same(find_exposures(*places, radius_m=50), (np.empty(0), np.empty(0)))
        assert estimate_exposure_bytes(*places, radius_m=50) == 0
