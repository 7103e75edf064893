"""Times: one meaning or a refusal."""

from __future__ import annotations

import datetime
import zoneinfo

import numpy as np
import pandas as pd
import pytest

from jaxcampaign.errors import InputError
from jaxcampaign.tables import read_checkins


def _checkins(times) -> pd.DataFrame:
    return pd.DataFrame({"user_id": "u", "time": times, "lat": 40.7, "lon": -74.0})


def _read(times, **options) -> list[str]:
    clean = read_checkins(_checkins(times), **options)
    assert clean["time"].dtype == pd.DatetimeTZDtype("us", "UTC")
    return clean["time"].dt.strftime("%Y-%m-%d %H:%M:%S.%f").tolist()


def _refused(times, **options) -> InputError:
    with pytest.raises(InputError) as caught:
        read_checkins(_checkins(times), **options)
    assert (caught.value.table, caught.value.column) == ("checkins", "time")
    return caught.value


@pytest.mark.parametrize(
    "text",
    [
        "2012-04-03 18:00:09",
        "2012-04-03T18:00:09",
        "2012-04-03 18:00:09.000",
        " 2012-04-03 18:00:09 ",
        "2012-04-03 18:00:09Z",
        "2012-04-03T14:00:09-04:00",
        "2012-04-03T14:00:09-0400",
        "2012-04-03 14:00:09-04",
        "2012-04-03 23:30:09+05:30",
        "2012-04-03 18:00:09.000000000Z",
    ],
)
@pytest.mark.parametrize("dtype", ["str", object])
def test_one_moment_however_it_is_written(text, dtype):
    assert _read(pd.Series([text] * 2, dtype=dtype)) == ["2012-04-03 18:00:09.000000"] * 2


def test_offsets_and_precisions_may_vary_within_a_column():
    times = ["2012-04-03 18:00:09+00:00", "2012-04-03T14:00-04:00", "2012-04-03T18:00:09.25Z"]
    assert _read(times) == [
        "2012-04-03 18:00:09.000000",
        "2012-04-03 18:00:00.000000",
        "2012-04-03 18:00:09.250000",
    ]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York", "Asia/Kolkata"])
def test_datetime_columns(unit, zone):
    moment = pd.Timestamp("2012-04-03 18:00:09", tz="UTC")
    times = pd.Series([moment, moment + pd.Timedelta("1h")]).dt.as_unit(unit)
    times = times.dt.tz_localize(None) if zone is None else times.dt.tz_convert(zone)
    expected = ["2012-04-03 18:00:09.000000", "2012-04-03 19:00:09.000000"]
    assert _read(times) == expected
    assert _read(times.astype(object)) == expected


def test_naive_times_are_local_when_a_zone_is_given():
    winter_and_summer = ["2012-01-03 18:00:09", "2012-07-03 18:00:09"]
    expected = ["2012-01-03 23:00:09.000000", "2012-07-03 22:00:09.000000"]
    assert _read(winter_and_summer, time_zone="America/New_York") == expected
    naive = pd.to_datetime(pd.Series(winter_and_summer))
    assert _read(naive, time_zone="America/New_York") == expected
    aware = [time + "Z" for time in winter_and_summer]
    assert _read(aware, time_zone="America/New_York") == [t + ".000000" for t in winter_and_summer]


def test_local_times_against_zoneinfo():
    rng = np.random.default_rng(3)
    seconds = rng.integers(0, 366 * 86_400, 200)
    naive = [datetime.datetime(2024, 1, 1) + datetime.timedelta(seconds=int(s)) for s in seconds]
    zone = zoneinfo.ZoneInfo("Australia/Lord_Howe")  # its summer shift is half an hour
    expected = [
        time.replace(tzinfo=zone).astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        for time in naive
    ]
    assert _read(naive, time_zone="Australia/Lord_Howe") == expected


@pytest.mark.parametrize(
    ("bad", "fault"),
    [("2024-03-10 02:30:00", "does not exist"), ("2024-11-03 01:30:00", "occurs twice")],
)
@pytest.mark.parametrize("parse", [pd.Series, lambda times: pd.Series(pd.to_datetime(times))])
def test_case_12_gap_and_fold(bad, fault, parse):
    around = ["2024-03-10 01:59:59", "2024-03-10 03:00:00", "2024-11-03 00:59:59"]
    times = parse([around[0], bad, around[1], bad, around[2]])
    error = _refused(times, time_zone="America/New_York")
    assert error.rows == [1, 3]
    assert fault in error.problem
    assert "America/New_York" in error.problem
    assert "offset" in error.remedy
    assert len(_read(parse(around), time_zone="America/New_York")) == 3
    assert len(_read(times)) == 5  # as UTC they are all fine


def test_case_13_naive_and_aware_are_not_mixed():
    times = ["2024-03-01 08:00:00", "2024-03-01 08:00:00Z", "2024-03-01 08:00:00", "2024-03-01"]
    for mixed in (times, pd.Series([pd.Timestamp(time) for time in times], dtype=object)):
        error = _refused(mixed)
        assert error.rows == [1]
        assert "mixed" in error.problem
    error = _refused([times[0], times[1], times[1]])
    assert error.rows == [0]
    assert _refused(times, time_zone="America/New_York").rows == [1]


@pytest.mark.parametrize(
    "bad",
    ["yesterday", "now", "today", "03/04/2012 18:00", "2012-02-30 00:00", "2012-04-03 25:00",
     "1333476009", "18:00", "2012", "NaT", "2012-04-03 18:00 EST"],
)  # fmt: skip
def test_unreadable_times(bad):
    error = _refused(["2012-04-03 18:00:09", bad, "2012-04-03", bad])
    assert (error.rows, error.value) == ([1, 3], bad)
    assert "2012-04-03 18:00:09" in error.remedy


def test_missing_times():
    assert _refused(pd.Series(["2012-04-03 18:00:09", None])).rows == [1]
    assert _refused(pd.Series([pd.NaT, pd.Timestamp("2012-04-03")])).rows == [0]


@pytest.mark.parametrize("numbers", [[1333476009, 1333476010], [1.5e9, 1.6e9]])
def test_bare_numbers_have_no_unit(numbers):
    assert "unit" in _refused(numbers).remedy


def test_unknown_zone():
    with pytest.raises(InputError, match="America/New_York") as caught:
        read_checkins(_checkins(["2012-04-03"]), time_zone="America/NewYork")
    assert caught.value.value == "America/NewYork"


def test_case_11_unsorted_times_give_the_same_rows():
    rng = np.random.default_rng(0)
    frame = _checkins(pd.date_range("2024-01-01", periods=500, freq="37min"))
    frame["user_id"] = rng.integers(0, 9, 500).astype(str)
    order = rng.permutation(500)
    shuffled = read_checkins(frame.iloc[order])
    pd.testing.assert_frame_equal(
        shuffled.sort_values("time", ignore_index=True), read_checkins(frame)
    )
    assert shuffled["time"].tolist() == read_checkins(frame)["time"].iloc[order].tolist()
