"""The TSMC2014 text layout and audiences from venue categories, on a text written here."""

from __future__ import annotations

import pandas as pd
import pytest

from jaxcampaign.errors import InputError
from jaxcampaign.tables import audiences_from_categories, read_foursquare, validate

CRAFTS = "\t4bf5\tArts & Crafts Store\t"
LINES = [
    f"470\t49bbd6c0{CRAFTS}40.7198\t-74.0025\t-240\tTue Apr 03 18:00:09 +0000 2012",
    '979\t4a43c0ae\t4bf6\tCafé "Zoë"\t40.6067\t-74.0441\t-240\tTue Apr 03 18:00:25 +0000 2012',
    f"069\t4c5cc7b4{CRAFTS}40.7161\t-73.8830\t-300\tSat Feb 16 02:35:36 +0000 2013",
    f"470\t49bbd6c0{CRAFTS}40.7198\t-74.0025\t-240\tWed Apr 04 18:00:09 +0000 2012",
]


@pytest.fixture
def write(tmp_path):
    def write(lines):
        path = tmp_path / "dataset_TSMC2014_NYC.txt"
        path.write_bytes("".join(line + "\r\n" for line in lines).encode("latin-1"))
        return path

    return write


def _refused(path) -> InputError:
    with pytest.raises(InputError) as caught:
        read_foursquare(path)
    assert caught.value.table == "checkins"
    return caught.value


def test_the_layout(write):
    expected = pd.DataFrame(
        {
            "user_id": ["470", "979", "069", "470"],
            "time": pd.to_datetime(
                [
                    "2012-04-03 18:00:09Z",
                    "2012-04-03 18:00:25Z",
                    "2013-02-16 02:35:36Z",
                    "2012-04-04 18:00:09Z",
                ]
            ).as_unit("us"),
            "lat": [40.7198, 40.6067, 40.7161, 40.7198],
            "lon": [-74.0025, -74.0441, -73.8830, -74.0025],
            "venue_id": ["49bbd6c0", "4a43c0ae", "4c5cc7b4", "49bbd6c0"],
            "venue_category": ["Arts & Crafts Store", 'Café "Zoë"'] + ["Arts & Crafts Store"] * 2,
            "tz_offset_min": [-240, -240, -300, -240],
        }
    )
    clean = read_foursquare(write(LINES))
    pd.testing.assert_frame_equal(clean, expected)
    pd.testing.assert_frame_equal(validate("checkins", clean), clean)


def test_months_do_not_depend_on_the_locale(write):
    months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    lines = [LINES[0].replace("Apr", month) for month in months]
    assert read_foursquare(write(lines))["time"].dt.month.tolist() == list(range(1, 13))


def test_an_offset_in_the_time_counts(write):
    clean = read_foursquare(write([LINES[0].replace("+0000", "-0400")]))
    assert clean["time"][0] == pd.Timestamp("2012-04-03 22:00:09Z")


def test_faults_name_their_line(write):
    error = _refused(write([*LINES[:2], LINES[2].rsplit("\t", 1)[0]]))
    assert error.rows == ["line 3"]
    error = _refused(write([LINES[0], LINES[1].replace("Apr", "Abr")]))
    assert (error.column, error.rows) == ("time", [1])
    assert "line 2: '979" in error.problem
    assert 'Café "Zoë"' in error.problem
    error = _refused(write([LINES[0], LINES[1].replace("40.6067", "x")]))
    assert (error.column, error.rows, error.value) == ("lat", [1], "x")
    assert _refused(write([LINES[0].replace("-240", "-240.5")])).column == "tz_offset_min"
    assert "no rows" in str(_refused(write([])))
    assert "no file" in str(_refused("absent.txt"))


def test_audiences_are_the_distinct_visitors(write):
    checkins = read_foursquare(write(LINES))
    audiences = audiences_from_categories(checkins)
    assert audiences.values.tolist() == [
        ["Arts & Crafts Store", "069"],
        ["Arts & Crafts Store", "470"],
        ['Café "Zoë"', "979"],
    ]
    pd.testing.assert_frame_equal(validate("audiences", audiences), audiences)
    reverse = audiences_from_categories(checkins.iloc[::-1])
    pd.testing.assert_frame_equal(reverse, audiences)


def test_audiences_of_some_products(write):
    checkins = read_foursquare(write(LINES))
    checkins.loc[0, "venue_category"] = None
    chosen = audiences_from_categories(checkins, products=["Arts & Crafts Store"])
    assert chosen.values.tolist() == [
        ["Arts & Crafts Store", "069"],
        ["Arts & Crafts Store", "470"],
    ]
    with pytest.raises(InputError, match=r"Arts & Crafts Store\?") as caught:
        audiences_from_categories(checkins, products=["Art & Craft Store"])
    assert caught.value.value == "Art & Craft Store"
    by_venue = audiences_from_categories(checkins, column="venue_id")
    assert by_venue["product_id"].nunique() == 3
    with pytest.raises(InputError, match="venue_category"):
        audiences_from_categories(checkins, column="category")
