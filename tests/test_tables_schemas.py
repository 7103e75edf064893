"""Every fault of a table is refused with its table, column, rows, first value and a remedy."""

from __future__ import annotations

import decimal

import numpy as np
import pandas as pd
import pytest

from jaxcampaign.errors import InputError
from jaxcampaign.tables import SCHEMAS, validate

KINDS = ["checkins", "billboards", "slots", "pairs", "audiences", "demands"]


def _good(kind: str) -> pd.DataFrame:
    return {
        "checkins": pd.DataFrame(
            {
                "user_id": ["u1", "u2", "u1"],
                "time": pd.to_datetime(
                    ["2024-03-01 08:00", "2024-03-01 09:00", "2024-03-02 07:00"]
                ),
                "lat": [40.70, 40.71, 40.72],
                "lon": [-74.00, -74.01, -74.02],
            }
        ),
        "billboards": pd.DataFrame(
            {
                "board_id": ["b1", "b2", "b3"],
                "lat": [40.70, 40.71, 40.72],
                "lon": [-74.00, -74.01, -74.02],
                "size": [672.0, 240.0, 72.0],
                "cost": [3.0, 2.0, 0.0],
                "time_zone": ["America/New_York", "UTC", "Asia/Tokyo"],
            }
        ),
        "slots": pd.DataFrame(
            {
                "slot_id": ["s1", "s2", "s3"],
                "board_id": ["b1", "b1", "b2"],
                "start_min": [0, 5, 1435],
                "end_min": [5, 10, 1440],
                "cost": [1.0, 0.0, 2.5],
            }
        ),
        "pairs": pd.DataFrame(
            {
                "slot_id": ["s1", "s1", "s2"],
                "user_id": ["u1", "u2", "u1"],
                "prob": [0.0, 0.5, 1.0],
            }
        ),
        "audiences": pd.DataFrame({"product_id": ["p", "p", "q"], "user_id": ["u1", "u2", "u1"]}),
        "demands": pd.DataFrame(
            {
                "product_id": ["p", "q", "r"],
                "demand": [1.5, 0.0, 2.0],
                "max_slots": [1, 2, 3],
                "weight": [1.0, 0.0, 2.0],
            }
        ),
    }[kind]


def _refused(kind: str, frame: pd.DataFrame, **options) -> InputError:
    with pytest.raises(InputError) as caught:
        validate(kind, frame, **options)
    error = caught.value
    assert error.table == kind
    assert error.problem in str(error)
    return error


@pytest.mark.parametrize("kind", KINDS)
def test_sound_tables_pass_and_come_out_canonical(kind):
    frame = _good(kind)
    before = frame.copy(deep=True)
    clean = validate(kind, frame.iloc[::-1].assign(note="kept")[["note", *frame.columns[::-1]]])
    pd.testing.assert_frame_equal(frame, before)
    canonical = [name for name in SCHEMAS[kind].columns if name in frame]
    assert list(clean.columns) == [*canonical, "note"]
    assert clean.index.equals(pd.RangeIndex(len(frame)))
    for name in canonical:
        assert clean[name].dtype == SCHEMAS[kind].columns[name].dtype.type
    pd.testing.assert_frame_equal(validate(kind, clean), clean)


def test_the_argument_is_never_changed():
    frame = _good("pairs")
    frame["prob"] = [0.5, 2.0, 0.1]
    before = frame.copy(deep=True)
    clean = validate("pairs", frame, clip=True)
    clean.loc[0, "prob"] = 0.9
    pd.testing.assert_frame_equal(frame, before)


@pytest.mark.parametrize("kind", KINDS)
def test_case_31_empty_is_refused_and_a_single_row_is_fine(kind):
    assert "no rows" in str(_refused(kind, _good(kind).iloc[:0]))
    assert len(validate(kind, _good(kind).iloc[[1]])) == 1


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("billboards", ["board_id"]),
        ("slots", ["slot_id"]),
        ("pairs", ["slot_id", "user_id"]),
        ("demands", ["product_id"]),
    ],
)
def test_case_2_duplicate_keys_list_every_row(kind, keys):
    frame = pd.concat([_good(kind), _good(kind).iloc[[2, 0, 2]]])
    error = _refused(kind, frame)
    assert error.rows == [0, 2, 3, 4, 5]
    assert error.column == ", ".join(keys)
    first = tuple(frame[keys].iloc[0])
    assert error.value == (first if len(keys) > 1 else first[0])
    assert "duplicate" in error.problem
    assert error.remedy


def test_a_repeated_audience_row_counts_once():
    frame = pd.concat([_good("audiences"), _good("audiences").iloc[[2, 0]]])
    pd.testing.assert_frame_equal(validate("audiences", frame), _good("audiences").astype("str"))


def test_checkins_may_repeat():
    frame = pd.concat([_good("checkins")] * 2)
    assert len(validate("checkins", frame)) == 6


NUMERIC = [
    ("checkins", "lat"),
    ("checkins", "lon"),
    ("billboards", "size"),
    ("billboards", "cost"),
    ("slots", "cost"),
    ("slots", "start_min"),
    ("pairs", "prob"),
    ("demands", "demand"),
    ("demands", "max_slots"),
    ("demands", "weight"),
]


@pytest.mark.parametrize(("kind", "column"), NUMERIC)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_case_3_nan_and_infinity(kind, column, value):
    frame = _good(kind).astype({column: "float64"})
    frame.loc[[0, 2], column] = value
    error = _refused(kind, frame)
    assert (error.column, error.rows) == (column, [0, 2])


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        ("billboards", "size"),
        ("billboards", "cost"),
        ("slots", "cost"),
        ("slots", "start_min"),
        ("pairs", "prob"),
        ("demands", "demand"),
        ("demands", "max_slots"),
        ("demands", "weight"),
    ],
)
def test_case_4_negative(kind, column):
    frame = _good(kind)
    frame.loc[1, column] = -1
    error = _refused(kind, frame)
    assert column in error.column
    assert error.rows == [1]
    assert error.remedy


def test_a_board_without_area_is_refused():
    assert _refused("billboards", _good("billboards").assign(size=[1.0, 0.0, 1.0])).rows == [1]


@pytest.mark.parametrize(
    ("value", "kept"), [(1.0, 1.0), (0.0, 0.0), (1.0 + 1e-9, 1.0), (7.13, 1.0)]
)
def test_case_15_probabilities_above_one(value, kept):
    frame = _good("pairs")
    frame.loc[1, "prob"] = value
    if value > 1:
        error = _refused("pairs", frame)
        assert (error.column, error.rows, error.value) == ("prob", [1], value)
        assert "clip=True" in error.remedy
    assert validate("pairs", frame, clip=True)["prob"].tolist() == [0.0, kept, 1.0]


@pytest.mark.parametrize("value", [-1e-12, np.nan, -np.inf, np.inf])
def test_case_15_clipping_mends_nothing_else(value):
    frame = _good("pairs")
    frame.loc[1, "prob"] = value
    assert _refused("pairs", frame, clip=True).rows == [1]


@pytest.mark.parametrize(
    ("start", "end", "sound"),
    [(0, 1440, True), (5, 5, False), (10, 5, False), (-5, 5, False), (1435, 1441, False)],
)
def test_windows(start, end, sound):
    frame = _good("slots")
    frame.loc[1, ["start_min", "end_min"]] = start, end
    if sound:
        assert validate("slots", frame)["end_min"].tolist() == [5, end, 1440]
    else:
        error = _refused("slots", frame)
        assert (error.column, error.rows) == ("start_min, end_min", [1])
        assert error.value == (start, end)


def test_case_10_projected_coordinates():
    frame = _good("billboards").assign(lat=[40.7, 4_507_000.0, 40.7], lon=583_960.0)
    error = _refused("billboards", frame)
    assert (error.column, error.rows, error.value) == ("lat", [1], 4_507_000.0)
    assert "EPSG:4326" in error.remedy
    assert _refused("billboards", frame.assign(lat=40.7)).column == "lon"
    edge = _good("billboards").assign(lat=[90.0, -90.0, 0.0], lon=[180.0, -180.0, 0.0])
    assert len(validate("billboards", edge)) == 3


@pytest.mark.parametrize("names", [("x", "y"), ("easting", "northing"), ("X", "Y")])
def test_case_10_planar_columns_have_no_crs(names):
    frame = _good("billboards").rename(columns={"lon": names[0], "lat": names[1]})
    error = _refused("billboards", frame)
    assert "CRS" in error.problem
    assert "EPSG:4326" in error.remedy
    assert "CRS" in str(
        _refused("billboards", _good("billboards")[["board_id", "size"]].assign(geometry="POINT"))
    )


def test_missing_columns_name_a_near_match():
    renames = {"board_id": "B_id", "lat": "Latitude", "lon": "Longitude", "size": "B_Size"}
    frame = _good("billboards").rename(columns=renames)
    error = _refused("billboards", frame)
    mapping = {user: canonical for canonical, user in renames.items()}
    assert repr(mapping) in error.remedy
    assert validate("billboards", frame, columns=mapping)["board_id"].tolist() == ["b1", "b2", "b3"]
    error = _refused("demands", _good("demands").drop(columns="demand"))
    assert "demand" in error.problem


def test_a_mapping_must_fit_the_table():
    error = _refused("billboards", _good("billboards"), columns={"board": "board_id"})
    assert error.column == "board"
    assert "board_id" in error.remedy
    frame = _good("billboards").assign(latitude=0.0)
    assert "twice" in str(_refused("billboards", frame, columns={"latitude": "lat"}))


def test_options_must_fit_the_table():
    _refused("slots", _good("slots"), clip=True)
    _refused("slots", _good("slots"), time_zone="UTC")
    with pytest.raises(InputError, match="unknown kind of table 'slot'"):
        validate("slot", _good("slots"))
    with pytest.raises(InputError, match="expected a DataFrame, got list"):
        validate("slots", [])  # type: ignore[arg-type]


def test_unknown_time_zones():
    zones = ["UTC", "America/New_Yrok", "America/New_Yrok"]
    error = _refused("billboards", _good("billboards").assign(time_zone=zones))
    assert (error.column, error.rows, error.value) == ("time_zone", [1, 2], "America/New_Yrok")
    assert "America/New_York" in error.remedy
    for zone in ["America", "../UTC", "/etc/passwd", "", "EST5EDT4", "a\0b"]:
        _refused("billboards", _good("billboards").assign(time_zone=["UTC", "UTC", zone]))


# Text that readers like to turn into something else, and pairs that only look alike.
# fmt: off
STRANGE = [
    "007", "7", "NA", "nan", "NaN", "null", "None", " ", " a", "a ", "1e5", "1.0", "True", "é",
    "e\u0301", "日本", "\u200b", "a,b", 'q"q', "line\nbreak", "-", "2024-01-01", "#1",
]
# fmt: on


def test_case_17_ids_stay_the_text_they_are():
    frame = pd.DataFrame({"product_id": STRANGE, "user_id": STRANGE})
    clean = validate("audiences", frame)
    assert clean["product_id"].tolist() == STRANGE
    assert len(validate("demands", frame.assign(demand=1))) == len(set(STRANGE))


def test_integer_ids_are_written_out_exactly():
    for numbers in (
        pd.Series([7, 2**53 + 1, -(2**63)]),
        pd.Series([7, 8, 2**64 - 1], dtype="uint64"),
        pd.Series([7, 8, 9], dtype="Int64"),
        pd.Series([7, 8, 2**80], dtype=object),
        pd.Series([7, 8, 9], dtype="category"),
        pd.Series([7, 8, 9], dtype="int8"),
    ):
        clean = validate("demands", _good("demands").assign(product_id=numbers))
        assert clean["product_id"].tolist() == [str(number) for number in numbers]


@pytest.mark.parametrize("dtype", ["object", "category", "string[pyarrow]", "string[python]"])
def test_text_ids_of_any_dtype(dtype):
    ids = pd.Series(["007", "NA", "é"], dtype=dtype)
    clean = validate("demands", _good("demands").assign(product_id=ids))
    assert clean["product_id"].tolist() == ["007", "NA", "é"]


@pytest.mark.parametrize(
    ("ids", "rows"),
    [
        ([7.0, 8.0, 9.0], [0, 1, 2]),
        ([7, "7", "8"], [0, 1, 2]),
        ([True, False, True], [0, 1, 2]),
        ([b"a", b"b", b"c"], [0, 1, 2]),
        (["a", None, np.nan], [1, 2]),
        (["a", "", "b"], [1]),
        ([7, None, 8], [1]),
        (pd.Series(["a", None, "a"], dtype="category"), [1]),
        (pd.Series([1, None, 2], dtype="Int64"), [1]),
        (["a", "b", "\ud800"], []),
    ],
)
def test_other_ids_are_refused(ids, rows):
    ids = ids if isinstance(ids, pd.Series) else pd.Series(ids, dtype=object)
    error = _refused("demands", _good("demands").assign(product_id=ids))
    assert (error.column, error.rows) == ("product_id", rows)


def test_float_ids_say_how_they_came_about():
    error = _refused("demands", _good("demands").assign(product_id=[7.0, 8.0, 9.0]))
    assert "gaps" in error.remedy


def test_case_18_large_integers_do_not_wrap():
    frame = _good("demands").assign(
        max_slots=pd.Series([2**31, 2**40 + 1, 2**62 + 1]), demand=[2**31, 2**33, 1]
    )
    clean = validate("demands", frame)
    assert clean["max_slots"].tolist() == [2**31, 2**40 + 1, 2**62 + 1]
    assert clean["demand"].tolist() == [2.0**31, 2.0**33, 1.0]
    text = validate("demands", frame.astype({"max_slots": "str"}))
    assert text["max_slots"].tolist() == clean["max_slots"].tolist()
    for numbers in ([1, 2, 2**63], ["1", "2", str(2**63)], [1.0, 2.0, 1e300]):
        error = _refused("demands", frame.assign(max_slots=pd.Series(numbers)))
        assert (error.column, error.rows) == ("max_slots", [2])
    small = pd.Series([1, 2, 200], dtype="uint8")
    assert validate("demands", frame.assign(max_slots=small))["max_slots"].tolist() == [1, 2, 200]


def test_whole_numbers_may_be_written_as_floats_but_not_rounded():
    frame = _good("demands").assign(max_slots=["1", "2.0", "3e0"])
    assert validate("demands", frame)["max_slots"].tolist() == [1, 2, 3]
    error = _refused("demands", _good("demands").assign(max_slots=[1.0, 2.5, 3.0]))
    assert (error.rows, error.value) == ([1], 2.5)


@pytest.mark.parametrize("text", ["abc", "1,5", "1_000", "0x10", "1.5 m", "", "١"])
def test_text_that_is_no_number(text):
    error = _refused("demands", _good("demands").assign(demand=["1", text, text]))
    assert (error.column, error.rows, error.value) == ("demand", [1, 2], text)


@pytest.mark.parametrize(
    "numbers",
    [
        pd.Series([" 1.5", "0.1", "2e-3 "]),
        pd.Series([decimal.Decimal("1.5"), decimal.Decimal("0.1"), decimal.Decimal("0.002")]),
        pd.Series([1.5, 0.1, 0.002], dtype="float64[pyarrow]"),
        pd.Series([1.5, 0.1, 0.002], dtype="Float64"),
        pd.Series([1.5, 0.1, 0.002], dtype=object),
    ],
)
def test_numbers_of_any_dtype(numbers):
    clean = validate("demands", _good("demands").assign(demand=numbers))
    assert clean["demand"].tolist() == [1.5, 0.1, 0.002]


def test_booleans_are_no_numbers():
    assert "booleans" in str(
        _refused("demands", _good("demands").assign(demand=[True, False, True]))
    )


def test_all_rows_are_counted_and_the_message_stays_short():
    n = 5_000
    frame = pd.DataFrame({"product_id": np.arange(n), "demand": -1.0})
    error = _refused("demands", frame)
    assert error.rows == list(range(n))
    assert "and 4980 more" in str(error)
    assert len(str(error)) < 400
