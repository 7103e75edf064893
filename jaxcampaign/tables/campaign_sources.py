"""Where campaign tables may lie: a folder of files, a DuckDB file, a PostgreSQL server.

Every source is only read. Table names are looked up in what the source itself lists, never put
into a path or a query unseen: quoting alone would not do, because DuckDB reads `"x.csv"` as a
file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow as pa

from jaxcampaign.errors import InputError
from jaxcampaign.tables.coercion import closest

_SUFFIXES = (".parquet", ".csv")
_LISTING = "SELECT table_schema, table_name FROM information_schema.tables"
_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"


def folder_tables(folder: Path, names: Mapping[str, str]) -> dict[str, Path]:
    """The file of each table, `NAME.parquet` or `NAME.csv`; other files are left alone.

    Args:
      folder: an existing folder.
      names: from the canonical name of a table to the name of its file, without suffix.

    Raises:
      InputError: a table lies there twice.
    """
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in _SUFFIXES and path.is_file():
            files.setdefault(path.stem, []).append(path)
    found = {}
    for kind in located(names, files):
        first, *others = files[names[kind]]
        if others:
            both = " and ".join(path.name for path in (first, *others))
            remedy = "keep one of them"
            raise InputError(f"{both} are both there", table=kind, remedy=remedy)
        found[kind] = first
    return found


def duckdb_tables(
    path: Path, names: Mapping[str, str], schema: str | None
) -> dict[str, pd.DataFrame]:
    """Tables or views of a DuckDB file, which cannot reach files outside its own folder."""
    try:
        with duckdb.connect(str(path), read_only=True, config=_QUIET) as connection:
            folder = str(path.absolute().parent).replace("'", "''")
            connection.execute(f"SET allowed_directories = ['{folder}']")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            return _selected(
                lambda query: connection.sql(query).to_arrow_table(), names, schema or "main"
            )
    except duckdb.Error as error:
        raise InputError(
            f"{path.name} cannot be read: {str(error).splitlines()[0]}",
            table="database",
            remedy="give a DuckDB file whose tables and views stay within its own folder",
        ) from None


def postgres_tables(
    url: str, names: Mapping[str, str], schema: str | None
) -> dict[str, pd.DataFrame]:
    """Tables or views of a PostgreSQL server, all from one read-only snapshot."""
    try:
        from adbc_driver_postgresql import dbapi
    except ImportError:
        raise InputError(
            "reading PostgreSQL needs the ADBC driver",
            table="database",
            remedy='install it by pip install "jaxcampaign[postgres]"',
        ) from None
    try:
        with dbapi.connect(url) as connection, connection.cursor() as cursor:
            cursor.execute(_SNAPSHOT)

            def fetch(query: str) -> pa.Table:
                cursor.execute(query)
                return cursor.fetch_arrow_table()

            return _selected(fetch, names, schema or "public")
    except dbapi.Error as error:
        # The message of the driver, never the URL: it may hold a password.
        raise InputError(
            f"the server cannot be read: {(str(error).splitlines() or [''])[0]}",
            table="database",
            remedy="check the URL postgresql://user:password@host:port/name and the rights to read",
        ) from None


def located(names: Mapping[str, str], present: Mapping[str, object] | set[str]) -> list[str]:
    """Canonical names of the tables that are present.

    Raises:
      InputError: a table that was given a name of its own is not there.
    """
    for kind, name in names.items():
        if name != kind and name not in present:
            near = closest(name, present) or sorted(present)
            raise InputError(
                "no such table in the source",
                table=kind,
                value=name,
                remedy=f"it has {', '.join(near)}" if near else "it has no tables",
            )
    return [kind for kind, name in names.items() if name in present]


def _selected(
    fetch: Callable[[str], pa.Table], names: Mapping[str, str], schema: str
) -> dict[str, pd.DataFrame]:
    listed = fetch(_LISTING).to_pylist()
    present = {row["table_name"] for row in listed if row["table_schema"] == schema}
    if not present:
        others = sorted({row["table_schema"] for row in listed})
        remedy = f"pass schema=, one of {', '.join(others)}" if others else "fill it first"
        raise InputError(
            "the schema holds no tables", table="database", value=schema, remedy=remedy
        )
    return {
        kind: fetch(f"SELECT * FROM {_quoted(schema)}.{_quoted(names[kind])}").to_pandas(
            ignore_metadata=True
        )
        for kind in located(names, present)
    }


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


# Nothing is fetched from the internet on the way.
_QUIET: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
