"""Files: what is written comes back, what is malformed is quoted with its line."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxcampaign.errors import InputError
from jaxcampaign.tables import (
    read_audiences,
    read_billboards,
    read_checkins,
    read_demands,
    read_pairs,
    read_slots,
    read_table,
    replacing,
    validate,
    write_table,
)


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path


def _csv(folder: Path, text: str | bytes, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def _refused(read, *args, **options) -> InputError:
    with pytest.raises(InputError) as caught:
        read(*args, **options)
    return caught.value


DEMANDS = "product_id,demand\n007,1.5\nNA,2\n"


@pytest.mark.parametrize(
    "data",
    [
        DEMANDS.encode(),
        b"\xef\xbb\xbf" + DEMANDS.encode(),
        DEMANDS.replace("\n", "\r\n").encode(),
        DEMANDS.rstrip("\n").encode(),
        (DEMANDS + "\n\n").encode(),
        b'"product_id","demand"\n"007","1.5"\n"NA","2"\n',
        b"demand,product_id\n1.5,007\n 2 ,NA\n",
    ],
)
def test_csv_dialects(folder, data):
    clean = read_demands(_csv(folder, data))
    assert clean["product_id"].tolist() == ["007", "NA"]
    assert clean["demand"].tolist() == [1.5, 2.0]
    assert clean.columns.tolist() == ["product_id", "demand"]


@pytest.mark.parametrize("name", ["a b.csv", "a[1].csv", "*.csv", "q'.csv", "é.csv", "~x.CSV"])
def test_file_names_are_no_patterns(folder, name):
    _csv(folder, "product_id,demand\nother,9\n", "1.csv")
    _csv(folder, "product_id,demand\nother,9\n", "a1.csv")
    assert read_demands(_csv(folder, DEMANDS, name))["product_id"].tolist() == ["007", "NA"]


def test_relative_and_text_paths(folder, monkeypatch):
    _csv(folder, DEMANDS)
    monkeypatch.chdir(folder)
    assert len(read_demands("table.csv")) == 2


def test_empty_fields_are_missing_and_quoted_ones_are_empty_text(folder):
    text = 'product_id,user_id,note\na,u1,\nb,u2,""\nc,u3,NA\n'
    clean = read_audiences(_csv(folder, text))
    assert clean["note"].isna().tolist() == [True, False, False]
    assert clean["note"].tolist()[1:] == ["", "NA"]
    for field in ("", '""'):
        error = _refused(read_audiences, _csv(folder, f"product_id,user_id\na,u\n{field},u\n"))
        assert (error.column, error.rows) == ("product_id", [1])


@pytest.mark.parametrize(
    ("body", "lines", "raw"),
    [
        ("a,1\nb\nc,3\n", [3], "'b'"),
        ("a,1\nb,2,3\nc,3\n", [3], "'b,2,3'"),
        ("a,1\nb,2,3\nc\nd,4\ne\n", [3, 4, 6], "'b,2,3'"),
        ('"a\nb",1\nc\n', [4], "'c'"),
        ('a,1\nb,"2"x\nc,3\n', [3], "'b,\"2\"x'"),
        ('a,1\nb,"2\nc,3\n', [3], "'b,\"2"),
        ("a,1\n\n\nb\n", [5], "'b'"),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_case_1_malformed_lines(folder, body, lines, raw, newline):
    text = f"product_id,demand\n{body}".replace("\n", newline)
    error = _refused(read_demands, _csv(folder, text))
    assert error.table == "demands"
    assert error.rows == [f"line {line}" for line in lines]
    assert f"table.csv, line {lines[0]} " in error.problem
    assert raw in error.problem


def test_case_1_an_unparsable_number_quotes_its_line(folder):
    error = _refused(read_demands, _csv(folder, 'product_id,demand\n"a\nb",1\nc,1.5.2\nd,x\n'))
    assert (error.table, error.column) == ("demands", "demand")
    assert (error.rows, error.value) == ([1, 2], "1.5.2")
    assert "line 4: 'c,1.5.2'" in error.problem


def test_every_refusal_of_a_csv_row_quotes_its_line(folder):
    board = "board_id,lat,lon,size\n"
    cases = {
        board + "a,40,-74,1\n\nb,40,-74,-1\n": "line 4: 'b,40,-74,-1'",
        board.replace("\n", "\r\n") + "a,40,-74,1\r\nb,40,-74,0\r\n": "line 3: 'b,40,-74,0'",
        board + "a,40,-74,1\nb,40,-74,1\na,41,-74,1\n": "line 2: 'a,40,-74,1'",
        board + "a,40,-74,1\nb,40,-74,nan\n": "line 3: 'b,40,-74,nan'",
        "\ufeff" + board + "é,400,-74,1\n": "line 2: 'é,400,-74,1'",
    }
    for text, quoted in cases.items():
        assert quoted in _refused(read_billboards, _csv(folder, text)).problem
    assert len(str(_refused(read_billboards, _csv(folder, board + "a" * 5_000 + ",1,1,0")))) < 600


@pytest.mark.parametrize(
    ("data", "part"),
    [
        ("product_id,demand\né,1\n".encode("latin-1"), "not UTF-8"),
        ("product_id,dé\na,1\n".encode("latin-1"), "not UTF-8"),
        ("product_id,demand\na,1\n".encode("utf-16"), "UTF-16"),
        (b"", "no header"),
        (b"\n\n", "no header"),
        (b"product_id;demand\na;1\n", "separated by ';'"),
        (b"product_id\tdemand\na\t1\n", "separated by '\\t'"),
        (b"product_id,demand\na,1\r\nb,2\nc,3\r\n", "line ending"),
        (b"product_id,demand,demand\na,1,2\n", "twice"),
        (b"product_id," + b"x" * 200_000 + b"\na,1\n", "no header"),
        (b"product_id,demand,x\na,-1," + b"x" * 200_000 + b"\n", "negative"),
        (b"product_id,demand\n", "no rows"),
        (b"product_id,demand", "no rows"),
    ],
)
def test_files_that_are_not_such_tables(folder, data, part):
    error = _refused(read_demands, _csv(folder, data))
    assert error.table == "demands"
    assert part in str(error)


def test_files_that_cannot_be_opened(folder):
    assert "no file" in str(_refused(read_demands, folder / "absent.csv"))
    assert "no file" in str(_refused(read_demands, folder / "absent.parquet"))
    (folder / "folder.csv").mkdir()
    assert "no file" in str(_refused(read_demands, folder / "folder.csv"))
    assert ".parquet" in _refused(read_demands, folder / "table.xlsx").remedy
    assert "NoneType" in str(_refused(read_demands, None))
    _csv(folder, b"PAR1 no parquet", "bad.parquet")
    assert "Parquet" in str(_refused(read_demands, folder / "bad.parquet"))
    assert "unknown kind" in str(_refused(read_table, "slot", _csv(folder, DEMANDS)))


def test_further_columns_become_numbers_only_when_nothing_is_lost(folder):
    text = (
        "product_id,user_id,count,share,gaps,zip,mixed,venue_id,long,longgap,whole_gap\n"
        "a,u,1,0.5,1.5,00501,1,17,1234567890123456789,12345678901234567,4\n"
        "b,u,-2,1e-3,,10027,x,18,2,,\n"
        "c,u,300000000000,7,2,10028,3,19,3,1,6\n"
    )
    clean = read_audiences(_csv(folder, text))
    kinds = {
        "count": "int64",
        "share": "float64",
        "gaps": "float64",
        "zip": "str",
        "mixed": "str",
        "venue_id": "str",
        "long": "str",
        "longgap": "str",
        "whole_gap": "float64",
    }
    assert {name: str(clean[name].dtype) for name in kinds} == kinds
    assert clean["count"].tolist() == [1, -2, 300_000_000_000]
    assert clean["share"].tolist() == [0.5, 1e-3, 7.0]
    assert clean["zip"].tolist() == ["00501", "10027", "10028"]
    assert np.isnan(clean["gaps"][1])


def test_a_column_mapping_applies_to_every_source(folder):
    frame = pd.DataFrame({"B": ["1", "2"], "A": [3.0, 4.0]})
    mapping = {"B": "product_id", "A": "demand"}
    expected = validate("demands", frame, columns=mapping)
    for suffix in ("csv", "parquet"):
        write_table(frame, folder / f"t.{suffix}")
        pd.testing.assert_frame_equal(
            read_demands(folder / f"t.{suffix}", columns=mapping), expected
        )
    pd.testing.assert_frame_equal(read_demands(frame, columns=mapping), expected)


def test_slots_and_pairs(folder):
    slots = "slot_id,board_id,start_min,end_min,cost\n01,1,0,5,0.25\n02,1,5,10,1\n"
    clean = read_slots(_csv(folder, slots))
    assert clean.dtypes.astype(str).tolist() == ["str", "str", "int64", "int64", "float64"]
    pairs = _csv(folder, "slot_id,user_id,prob\n01,1,1.5\n02,1,0.5\n")
    assert "clip=True" in _refused(read_pairs, pairs).remedy
    assert read_pairs(pairs, clip=True)["prob"].tolist() == [1.0, 0.5]


def test_local_times_in_a_csv(folder):
    path = _csv(folder, "user_id,time,lat,lon\n1,2024-07-01 08:00,40.7,-74\n")
    assert read_checkins(path)["time"][0] == pd.Timestamp("2024-07-01 08:00Z")
    local = read_checkins(path, time_zone="America/New_York")
    assert local["time"][0] == pd.Timestamp("2024-07-01 12:00Z")


class TestParquet:
    def test_integer_and_dictionary_ids(self, folder):
        frame = pd.DataFrame({"product_id": pd.Categorical(["007", "NA"]), "user_id": [7, 2**60]})
        write_table(frame, folder / "t.parquet")
        clean = read_audiences(folder / "t.parquet")
        assert clean["product_id"].tolist() == ["007", "NA"]
        assert clean["user_id"].tolist() == ["7", str(2**60)]

    def test_integer_ids_with_gaps_name_the_gap(self, folder):
        ids = pd.array([7, None, 2**60 + 1], dtype="Int64")
        write_table(pd.DataFrame({"product_id": "p", "user_id": ids}), folder / "t.parquet")
        error = _refused(read_audiences, folder / "t.parquet")
        assert (error.column, error.rows) == ("user_id", [1])

    def test_an_index_that_pandas_stored_is_a_column(self, folder):
        frame = pd.DataFrame({"product_id": ["p", "q"], "demand": [1, 2]})
        frame.set_index("product_id").to_parquet(folder / "t.parquet")
        assert read_demands(folder / "t.parquet")["product_id"].tolist() == ["p", "q"]

    def test_folder_names_are_no_columns(self, folder):
        (folder / "year=2012").mkdir()
        path = folder / "year=2012" / "t.parquet"
        write_table(pd.DataFrame({"product_id": ["p"], "demand": [1]}), path)
        assert list(read_demands(path).columns) == ["product_id", "demand"]


# All of Unicode but lone surrogates, which no file can hold.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
IDS = TEXTS.filter(bool) | st.sampled_from(
    ["007", "NA", "nan", "null", "é", "e\u0301", " ", '"', "\r\n", ",", "\n", "\r", "\ufeff", "'"]
)
TIMES = st.datetimes(pd.Timestamp("1800-01-01"), pd.Timestamp("2200-01-01"))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def _rows(**columns):
    return st.lists(st.fixed_dictionaries(columns), min_size=1, max_size=8).map(pd.DataFrame)


CHECKINS = _rows(
    user_id=IDS,
    time=TIMES,
    lat=st.floats(-90, 90),
    lon=st.floats(-180, 180),
    venue_id=st.none() | TEXTS,
    offset=st.integers(-(10**17), 10**17),
    ratio=FLOATS,
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(frame=CHECKINS, suffix=st.sampled_from(["csv", "parquet"]))
def test_case_17_what_is_written_comes_back(tmp_path_factory, frame, suffix):
    clean = validate("checkins", frame.astype({"user_id": "str", "venue_id": "str"}))
    path = tmp_path_factory.getbasetemp() / f"roundtrip.{suffix}"
    write_table(clean, path)
    back = read_checkins(path)
    assert back["user_id"].tolist() == frame["user_id"].tolist()
    pd.testing.assert_frame_equal(back.drop(columns="ratio"), clean.drop(columns="ratio"))
    # A column of whole floats comes back from CSV as integers: the values are the same.
    assert back["ratio"].astype("float64").tolist() == frame["ratio"].tolist()


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    frame=_rows(product_id=IDS, demand=st.floats(0, 1e300), max_slots=st.integers(0, 2**63 - 1)),
    suffix=st.sampled_from(["csv", "parquet"]),
)
def test_demands_come_back(tmp_path_factory, frame, suffix):
    clean = validate("demands", frame.drop_duplicates("product_id"))
    path = tmp_path_factory.getbasetemp() / f"demands.{suffix}"
    write_table(clean, path)
    pd.testing.assert_frame_equal(read_demands(path), clean)


class TestWriting:
    FRAME = pd.DataFrame({"product_id": ["p"], "demand": [1.0]})

    def test_a_failure_leaves_the_old_file_and_nothing_else(self, folder):
        path = folder / "t.csv"
        write_table(self.FRAME, path)
        before = path.read_bytes()
        unwritable = self.FRAME.assign(other=[[1, 2]])  # a list has no CSV form
        assert "t.csv" in str(_refused(write_table, unwritable, path))
        with pytest.raises(KeyboardInterrupt):
            self._interrupted(path)
        assert path.read_bytes() == before
        assert os.listdir(folder) == ["t.csv"]

    @staticmethod
    def _interrupted(path):
        with replacing(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    def test_a_file_is_replaced_with_ordinary_permissions(self, folder):
        path = folder / "t.parquet"
        write_table(self.FRAME, path)
        write_table(self.FRAME.assign(demand=2.0), path)
        assert read_demands(path)["demand"].tolist() == [2.0]
        plain = folder / "plain"
        plain.touch()
        assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)

    def test_refusals(self, folder):
        assert ".csv" in _refused(write_table, self.FRAME, folder / "t.txt").remedy
        assert "folder" in str(_refused(write_table, self.FRAME, folder / "absent" / "t.csv"))
        assert os.listdir(folder) == []

    def test_categories_are_written_as_their_values(self, folder):
        frame = self.FRAME.assign(kind=pd.Categorical(["x"]))
        write_table(frame, folder / "t.csv")
        assert read_demands(folder / "t.csv")["kind"].tolist() == ["x"]
