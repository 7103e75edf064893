"""Exchanged coordinates are found, and sound tables never refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from jaxcampaign.errors import InputError
from jaxcampaign.tables import check_overlap

CITIES = {
    "New York": (40.7, -74.0),
    "Los Angeles": (34.0, -118.2),
    "Nairobi": (-1.3, 36.8),
    "Sydney": (-33.9, 151.2),
    "Lagos": (6.5, 3.4),
    "Cairo": (30.0, 31.2),
    "Suva": (-18.1, 178.4),
    "Reykjavik": (64.1, -21.9),
    "Origin": (0.0, 0.0),
    "Diagonal": (45.0, 45.0),
}


def _around(lat: float, lon: float, n: int, seed: int = 0, spread: float = 0.1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    points = rng.normal((lat, lon), spread, (n, 2))
    return pd.DataFrame({"lat": points[:, 0], "lon": points[:, 1]})


def _exchanged(frame: pd.DataFrame, rows=slice(None)) -> pd.DataFrame:
    frame = frame.copy()
    lat, lon = frame["lat"].to_numpy().copy(), frame["lon"].to_numpy().copy()
    frame.loc[frame.index[rows], "lat"] = lon[rows]
    frame.loc[frame.index[rows], "lon"] = lat[rows]
    return frame


@pytest.mark.parametrize("place", CITIES.values(), ids=CITIES)
def test_sound_tables_pass(place):
    check_overlap(_around(*place, 500), _around(*place, 30, seed=1))
    check_overlap(_around(*place, 500, spread=0.6), _around(*place, 1, seed=1))
    check_overlap(_around(*place, 1), _around(*place, 1, seed=1))


@pytest.mark.parametrize("place", [CITIES["New York"], CITIES["Nairobi"], CITIES["Reykjavik"]])
def test_case_9_single_rows(place):
    checkins, billboards = _around(*place, 400), _around(*place, 50, seed=1)
    rows = [3, 17, 399]
    with pytest.raises(InputError) as caught:
        check_overlap(_exchanged(checkins, rows), billboards)
    assert (caught.value.table, caught.value.rows) == ("checkins", rows)
    first = checkins.iloc[3]
    assert caught.value.value == (first["lon"], first["lat"])
    assert "exchange" in caught.value.remedy
    with pytest.raises(InputError) as caught:
        check_overlap(checkins, _exchanged(billboards, [0, 49]))
    assert (caught.value.table, caught.value.rows) == ("billboards", [0, 49])


@pytest.mark.parametrize("place", [CITIES["New York"], CITIES["Nairobi"], CITIES["Reykjavik"]])
def test_case_9_whole_tables(place):
    checkins, billboards = _around(*place, 400), _around(*place, 50, seed=1)
    for pair in [(_exchanged(checkins), billboards), (checkins, _exchanged(billboards))]:
        with pytest.raises(InputError, match="exchanged in checkins or in billboards"):
            check_overlap(*pair)
    single = _exchanged(billboards.iloc[[0]].reset_index(drop=True))
    with pytest.raises(InputError, match="exchanged"):
        check_overlap(checkins, single)


def test_case_9_most_rows():
    checkins, billboards = _around(40.7, -74.0, 400), _around(40.7, -74.0, 50, seed=1)
    with pytest.raises(InputError) as caught:
        check_overlap(_exchanged(checkins, np.arange(10, 400)), billboards)
    assert caught.value.rows == list(range(10, 400))


def test_tables_of_two_places_do_not_overlap():
    with pytest.raises(InputError, match="do not overlap") as caught:
        check_overlap(_around(40.7, -74.0, 100), _around(34.0, -118.2, 10))
    assert "checkins span lat 40." in str(caught.value)
    assert "billboards span lat 33." in str(caught.value)


def test_travellers_are_welcome():
    home = _around(40.7, -74.0, 300)
    abroad = pd.concat([_around(*place, 20) for place in CITIES.values()])
    random = np.random.default_rng(5).uniform((-60, -180), (75, 180), (500, 2))
    anywhere = pd.DataFrame(random, columns=["lat", "lon"])
    checkins = pd.concat([home, abroad, anywhere], ignore_index=True)
    check_overlap(checkins, _around(40.7, -74.0, 20, seed=1))
    check_overlap(checkins.iloc[::-1], _around(40.7, -74.0, 20, seed=1))


def test_several_cities_do_not_blur_the_picture():
    billboards = pd.concat([_around(*place, 20) for place in CITIES.values()], ignore_index=True)
    checkins = pd.concat([_around(*place, 50, seed=2) for place in CITIES.values()])
    checkins = checkins.reset_index(drop=True)
    check_overlap(checkins, billboards)
    new_york = [0, 7]
    with pytest.raises(InputError) as caught:
        check_overlap(_exchanged(checkins, new_york), billboards)
    assert caught.value.rows == new_york


def test_a_diagonal_city_is_not_judged():
    checkins, billboards = _around(45.0, 45.0, 100), _around(45.0, 45.0, 10, seed=1)
    check_overlap(_exchanged(checkins, [1, 2]), billboards)


def test_neighbours_of_the_mirrored_city_are_not_judged():
    # Port Harcourt lies where a wide box around Lagos would be, were its coordinates exchanged.
    checkins = pd.concat([_around(6.5, 3.4, 40), _around(4.8, 7.0, 60)], ignore_index=True)
    check_overlap(checkins, _around(6.5, 3.4, 10, seed=1, spread=0.05))


@pytest.mark.parametrize("lons", [(179.9, -179.9), (-179.9, 179.9), (-180.0, 180.0)])
def test_the_date_line(lons):
    checkins, billboards = (pd.DataFrame({"lat": [-18.0], "lon": [lon]}) for lon in lons)
    check_overlap(checkins, billboards)
