"""The same campaign from every kind of source; nothing but the campaign can be read."""

from __future__ import annotations

import decimal
import sys
import types
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from small_campaign import small_campaign

import jaxcampaign as jc
from jaxcampaign.errors import InputError
from jaxcampaign.tables import Database, open_database, write_table

KINDS = list(small_campaign())
URL = "postgresql://me:secret@server/campaigns"


def _folder(at: Path, suffix: str) -> Path:
    at.mkdir()
    for kind, frame in small_campaign().items():
        write_table(frame, at / f"{kind}.{suffix}")
    (at / "notes.txt").write_text("no table")
    write_table(pd.DataFrame({"a": [1]}), at / "other.csv")
    return at


def _duckdb(at: Path, schema: str = "main") -> Path:
    with duckdb.connect(str(at)) as connection:
        connection.execute("SET TimeZone = 'Asia/Tokyo'")
        if schema != "main":
            connection.execute(f"CREATE SCHEMA {schema}")
        for kind, frame in small_campaign().items():
            connection.register("given", frame)
            connection.execute(f"CREATE TABLE {schema}.{kind} AS SELECT * FROM given")
            connection.unregister("given")
    return at


class _Cursor:
    """What an ADBC cursor of PostgreSQL does, on DuckDB."""

    def __init__(self, path: Path, asked: list[str]):
        self.connection = duckdb.connect(str(path), read_only=True)
        self.asked = asked

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def cursor(self):
        return self

    def execute(self, query: str) -> None:
        self.asked.append(query)
        self.result = None if query.startswith("SET") else self.connection.sql(query)

    def fetch_arrow_table(self):
        assert self.result is not None
        return self.result.to_arrow_table()


@pytest.fixture
def server(tmp_path, monkeypatch) -> list[str]:
    """A server on which URL works; returns the queries that it is asked."""
    path = _duckdb(tmp_path / "server.duckdb", "public")
    asked: list[str] = []

    def connect(url: str) -> _Cursor:
        if url != URL:
            raise duckdb.Error("FATAL: password authentication failed")
        return _Cursor(path, asked)

    driver = types.ModuleType("adbc_driver_postgresql")
    driver.dbapi = types.SimpleNamespace(connect=connect, Error=duckdb.Error)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", driver)
    return asked


def _same(one: Database, other: Database) -> None:
    assert list(one.tables()) == list(other.tables())
    for kind, frame in one.tables().items():
        pd.testing.assert_frame_equal(frame, other.tables()[kind], check_dtype=True)


@pytest.fixture
def small() -> Database:
    return open_database(small_campaign())


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_folders_hold_what_the_frames_hold(tmp_path, small, suffix):
    _same(open_database(_folder(tmp_path / "data", suffix)), small)
    _same(open_database(str(tmp_path / "data")), small)


def test_duckdb_holds_what_the_frames_hold(tmp_path, small):
    path = _duckdb(tmp_path / "campaigns.duckdb")
    before = path.read_bytes()
    _same(open_database(path), small)
    assert path.read_bytes() == before
    _same(open_database(_duckdb(tmp_path / "b.db", "sales"), schema="sales"), small)


def test_postgres_is_read_in_one_snapshot(server, small):
    _same(open_database(URL), small)
    assert server[0].startswith("SET TRANSACTION")
    assert "READ ONLY" in server[0]
    assert all(query.startswith("SELECT") for query in server[1:])


def test_postgres_errors_keep_the_password(server):
    wrong = URL.replace("secret", "hunter2")
    with pytest.raises(InputError, match="authentication failed") as caught:
        open_database(wrong)
    assert "hunter2" not in str(caught.value)


def test_without_the_driver_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
    with pytest.raises(InputError, match=r"jaxcampaign\[postgres\]") as caught:
        open_database(URL)
    assert "secret" not in str(caught.value)


def test_case_17_ids_stay_text(small):
    assert small.influencers["influencer_id"].tolist() == ["007", "NA", "é"]
    assert small.prices["influencer_id"].dtype == "str"


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "history; DROP TABLE history",
        'history" UNION SELECT * FROM "prices',
        "information_schema.tables",
        "History",
    ],
)
def test_case_26_table_names_are_looked_up_never_run(tmp_path, server, name):
    write_table(small_campaign()["history"], tmp_path / "secret.csv")
    sources = [
        _folder(tmp_path / "data", "csv"),
        _duckdb(tmp_path / "data" / "c.duckdb"),
        URL,
        small_campaign(),
    ]
    for source in sources:
        with pytest.raises(InputError) as caught:
            open_database(source, names={"history": name})
        assert (caught.value.table, caught.value.value) == ("history", name)


def test_case_26_a_file_is_no_table_of_a_duckdb(tmp_path):
    path = _duckdb(tmp_path / "c.duckdb")
    write_table(small_campaign()["history"], tmp_path / "secret.csv")
    with pytest.raises(InputError):
        open_database(path, names={"history": str(tmp_path / "secret.csv")})


def test_strange_names_that_exist_are_read(tmp_path, small):
    path = tmp_path / "c.duckdb"
    odd = 'past "posts"; 2026.csv'
    with duckdb.connect(str(_duckdb(path))) as connection:
        connection.execute("""ALTER TABLE history RENAME TO "past ""posts""; 2026.csv" """)
    _same(open_database(path, names={"history": odd}), small)


def test_case_27_a_view_cannot_leave_the_folder(tmp_path, small):
    inside = tmp_path / "data"
    inside.mkdir()
    outside = tmp_path / "outside.parquet"
    write_table(small_campaign()["history"], outside)
    path = _duckdb(inside / "c.duckdb")
    with duckdb.connect(str(path)) as connection:
        connection.execute("DROP TABLE history")
        connection.execute(f"CREATE VIEW history AS SELECT * FROM '{outside}'")
    with pytest.raises(InputError, match="own folder"):
        open_database(path)
    within = inside / "past.parquet"
    write_table(small_campaign()["history"], within)
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"CREATE OR REPLACE VIEW history AS SELECT * FROM '{within}'")
    _same(open_database(path), small)


def test_only_influencers_and_events_are_needed():
    tables = small_campaign()
    data = open_database({kind: tables[kind] for kind in ("events", "influencers")})
    assert data.history is None
    assert data.outcomes == data.indices == ()
    with pytest.raises(InputError, match="planning needs this table") as caught:
        data.table("prices", "planning")
    assert caught.value.table == "prices"
    for kind in ("events", "influencers"):
        with pytest.raises(InputError) as caught:
            open_database({name: frame for name, frame in tables.items() if name != kind})
        assert caught.value.table == kind


def test_faults_name_their_table_and_line(tmp_path):
    folder = _folder(tmp_path / "data", "csv")
    text = (folder / "prices.csv").read_text()
    (folder / "prices.csv").write_text(text.replace("50", "-50"))
    with pytest.raises(InputError) as caught:
        open_database(folder)
    error = caught.value
    assert (error.table, error.column, error.rows, error.value) == ("prices", "price", [1], -50.0)
    assert "prices.csv, line 3" in error.problem


def test_case_14_ids_are_checked_on_arrival():
    tables = small_campaign()
    tables["history"].loc[3, "event_id"] = "lunch"
    with pytest.raises(InputError, match="did you mean for 'lunch': launch"):
        open_database(tables)


def test_a_table_that_lies_there_twice(tmp_path):
    folder = _folder(tmp_path / "data", "csv")
    write_table(small_campaign()["prices"], folder / "prices.parquet")
    with pytest.raises(InputError, match=r"prices\.csv and prices\.parquet") as caught:
        open_database(folder)
    assert caught.value.table == "prices"


def test_columns_names_and_zones_are_mapped(small):
    tables = small_campaign()
    past = tables.pop("history").rename(columns={"spend": "paid"})
    naive = {name: past[name].dt.tz_localize(None) for name in past.select_dtypes("datetimetz")}
    mapped = open_database(
        tables | {"past": past.assign(**naive)},
        names={"history": "past"},
        columns={"history": {"paid": "spend"}},
        time_zone="Europe/Paris",
    )
    assert mapped.history is not None and small.history is not None
    shift = small.history["posted_at"] - mapped.history["posted_at"]
    assert shift.dt.total_seconds().tolist() == [3600, 3600, 3600, 7200]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"influencer": pd.DataFrame()}, "choose influencers"),
        ("no/such/folder", "no folder"),
        ("no/such.duckdb", "no such file"),
        ("mysql://me:secret@server/x", "postgresql://"),
        (7, "cannot read int"),
    ],
)
def test_other_sources_are_refused(source, says):
    with pytest.raises(InputError, match=says) as caught:
        open_database(source)
    assert "secret" not in str(caught.value)


def test_a_broken_duckdb_file(tmp_path):
    path = tmp_path / "c.duckdb"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(InputError, match=r"c\.duckdb cannot be read"):
        open_database(path)
    with duckdb.connect(str(tmp_path / "empty.duckdb")):
        pass
    with pytest.raises(InputError, match="no tables"):
        open_database(tmp_path / "empty.duckdb")


def test_decimals_are_numbers():
    tables = small_campaign()
    money = [decimal.Decimal("1.5"), None, decimal.Decimal("2"), decimal.Decimal("3")]
    tables["history"]["revenue"] = money
    data = open_database(tables)
    assert data.outcomes == ("engagement", "revenue")
    assert data.history is not None
    assert data.history["revenue"].dtype == "float64"


def test_summary_is_for_people(small):
    assert small.outcomes == ("engagement",)
    assert small.indices == ("popularity",)
    text = repr(small)
    assert "4 + engagement" in text
    assert "2026-01-31 to 2026-04-29" in text
    page = small._repr_html_()
    assert page.startswith("<table>")
    hostile = small_campaign()
    hostile["history"]["<script>"] = 1
    assert "<script>" not in open_database(hostile)._repr_html_()


def test_public_names():
    assert jc.open_database is open_database
    assert jc.Database is Database
