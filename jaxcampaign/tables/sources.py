"""Reading canonical tables from CSV, Parquet and DataFrames, and writing them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import pandas as pd
import pyarrow as pa
from pyarrow import csv, parquet

from jaxcampaign.errors import InputError
from jaxcampaign.tables.campaign_schemas import check_measures
from jaxcampaign.tables.coercion import numbers_where_exact
from jaxcampaign.tables.csv_text import read_text, with_line
from jaxcampaign.tables.files import replacing
from jaxcampaign.tables.schemas import SCHEMAS, validate

Source: TypeAlias = str | os.PathLike[str] | pd.DataFrame
"""A path that ends in .csv or .parquet, or a DataFrame."""

_SUFFIXES = (".csv", ".parquet")


def read_table(
    kind: str,
    source: Source,
    *,
    columns: Mapping[str, str] | None = None,
    time_zone: str | None = None,
    clip: bool = False,
) -> pd.DataFrame:
    """A canonical table from a file or a DataFrame, checked by `validate`.

    CSV files are comma-separated UTF-8 with a header line. Ids are text and never parsed; an
    empty field is missing. A further column becomes numbers when all its values are plainly
    written as numbers (no leading zeros) and its name does not end in `_id`, otherwise text.

    Args:
      kind: name of the canonical table, a key of `SCHEMAS`.
      source: a path that ends in .csv or .parquet, or a DataFrame (never changed).
      columns: from the source's own column names to canonical ones, `{"B_id": "board_id"}`.
      time_zone: IANA zone of naive times, which are UTC when None.
      clip: probabilities above 1 become 1 (pairs only).

    Raises:
      InputError: a file that cannot be read, or anything that `validate` refuses; for CSV it
        also quotes the line of the file.
    """
    if isinstance(source, pd.DataFrame):
        return validate(kind, source, columns=columns, time_zone=time_zone, clip=clip)
    path = _existing(kind, source)
    if path.suffix.lower() == ".parquet":
        frame = _read_parquet(kind, path)
        return validate(kind, frame, columns=columns, time_zone=time_zone, clip=clip)
    frame = read_text(path, table=kind)
    try:
        clean = validate(kind, frame, columns=columns, time_zone=time_zone, clip=clip)
    except InputError as error:
        raise with_line(error, path) from None
    for name in clean.columns.difference(list(SCHEMAS[kind].columns)):
        if not name.endswith("_id"):
            clean[name] = numbers_where_exact(clean[name])
    check_measures(kind, clean)
    return clean


def read_checkins(
    source: Source, *, time_zone: str | None = None, columns: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Check-ins: user_id, time, lat, lon.

    Naive times are UTC, or local times of `time_zone`; a local time that the clocks skip or
    repeat is refused. Times with an offset are converted and need no zone. See `read_table`.
    """
    return read_table("checkins", source, columns=columns, time_zone=time_zone)


def read_billboards(source: Source, *, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Billboards: board_id, lat, lon, size, [cost], [time_zone]. See `read_table`."""
    return read_table("billboards", source, columns=columns)


def read_slots(source: Source, *, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Slots: slot_id, board_id, start_min, end_min, cost. See `read_table`."""
    return read_table("slots", source, columns=columns)


def read_pairs(
    source: Source, *, clip: bool = False, columns: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Slot-user pairs: slot_id, user_id, prob. See `read_table`.

    With `clip`, values above 1 become 1; negative and NaN ones are refused either way.
    """
    return read_table("pairs", source, columns=columns, clip=clip)


def read_audiences(source: Source, *, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Audiences: product_id, user_id. See `read_table`."""
    return read_table("audiences", source, columns=columns)


def read_demands(source: Source, *, columns: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Demands: product_id, demand, [max_slots], [weight]. See `read_table`."""
    return read_table("demands", source, columns=columns)


def write_table(frame: pd.DataFrame, path: str | os.PathLike[str]) -> None:
    """Writes a table as CSV or Parquet by suffix; the file appears whole or not at all.

    The index is not written. Text is quoted in CSV, so that an empty text and a missing value
    stay apart, and floats are written with the digits that give the same float back.

    Raises:
      InputError: another suffix, a folder that does not exist, or values without a file form.
    """
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError(f"cannot write {path.name}", remedy=f"end it in {' or '.join(_SUFFIXES)}")
    if not path.parent.is_dir():
        raise InputError(f"folder {path.parent} does not exist", remedy="make it first")
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        with replacing(path) as file:
            if path.suffix.lower() == ".parquet":
                parquet.write_table(table, file, compression="zstd")
            else:
                csv.write_csv(_plain(table), file)
    except pa.ArrowException as error:
        raise InputError(f"{path.name} cannot be written: {error}") from None


def _existing(kind: str, source: str | os.PathLike[str]) -> Path:
    try:
        path = Path(source)
    except TypeError:
        problem = f"cannot read {type(source).__name__}"
        raise InputError(problem, table=kind, remedy="give a path or a DataFrame") from None
    if path.suffix.lower() not in _SUFFIXES:
        remedy = f"give a file that ends in {' or '.join(_SUFFIXES)}, or a DataFrame"
        raise InputError(f"unknown kind of file {str(path)!r}", table=kind, remedy=remedy)
    if not path.is_file():
        raise InputError(f"no file {str(path)!r}", table=kind, remedy="check the path")
    return path


def _read_parquet(kind: str, path: Path) -> pd.DataFrame:
    try:
        # One file, not a data set: a folder called year=2012 must not become a column.
        with parquet.ParquetFile(path) as file:
            table = file.read()
        return table.to_pandas(ignore_metadata=True)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path.name} cannot be read as Parquet: {error}", table=kind) from None


def _plain(table: pa.Table) -> pa.Table:
    """Categories as their values, which is all that CSV can hold."""
    for i, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            decoded = table.column(i).cast(field.type.value_type)
            table = table.set_column(i, field.name, decoded)
    return table
