"""A campaign's tables in one record, checked table by table and against each other."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from jaxcampaign.errors import InputError
from jaxcampaign.tables.campaign_schemas import CAMPAIGN_SCHEMAS
from jaxcampaign.tables.campaign_sources import (
    duckdb_tables,
    folder_tables,
    located,
    postgres_tables,
)
from jaxcampaign.tables.coercion import closest
from jaxcampaign.tables.references import check_references
from jaxcampaign.tables.sources import Source, read_table

DatabaseSource: TypeAlias = str | os.PathLike[str] | Mapping[str, pd.DataFrame]
"""A folder, a DuckDB file, a postgresql:// URL, or DataFrames by table."""

_REQUIRED = ("influencers", "events")
_DUCKDB = (".duckdb", ".db", ".ddb")
_POSTGRES = ("postgresql://", "postgres://")


@dataclass(frozen=True, eq=False, repr=False)
class Database:
    """Validated campaign tables; those that the source lacks are None.

    Attributes:
      influencers: influencer_id, genre, location, followers, engagement_rate, er_basis, [as_of].
      events: event_id, date, location, genre, scale, type.
      prices: influencer_id, content_type, price.
      posting_times: event_id, offset_hours.
      history: campaign_id, influencer_id, content_type, event_id, posted_at, planned_at,
        outcome_known_at, spend, outcomes.
      market: genre, location, time, available_at, indices.
      overlaps: influencer_id, other_id, weight, [as_of].
    """

    influencers: pd.DataFrame
    events: pd.DataFrame
    prices: pd.DataFrame | None = None
    posting_times: pd.DataFrame | None = None
    history: pd.DataFrame | None = None
    market: pd.DataFrame | None = None
    overlaps: pd.DataFrame | None = None

    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables that are there, by name."""
        every = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: table for name, table in every.items() if table is not None}

    def table(self, name: str, purpose: str) -> pd.DataFrame:
        """One table that is needed.

        Args:
          name: canonical name.
          purpose: what it is needed for, for the message.

        Raises:
          InputError: it is not there.
        """
        found = self.tables().get(name)
        if found is None:
            raise InputError(
                f"{purpose} needs this table, and the database lacks it",
                table=name,
                remedy=f"give it the columns {', '.join(CAMPAIGN_SCHEMAS[name].columns)}",
            )
        return found

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The numeric columns of history that a model may predict."""
        return () if self.history is None else _measures("history", self.history)

    @property
    def indices(self) -> tuple[str, ...]:
        """The numeric columns of the market."""
        return () if self.market is None else _measures("market", self.market)

    def summary(self) -> dict[str, str]:
        """Rows and further columns of each table, and the time that history spans."""
        facts = {}
        for name, frame in self.tables().items():
            further = [str(c) for c in frame if c not in CAMPAIGN_SCHEMAS[name].columns]
            facts[name] = f"{len(frame):,}" + (f" + {', '.join(further)}" if further else "")
        if self.history is not None:
            first, last = self.history["posted_at"].min(), self.history["posted_at"].max()
            facts["posted"] = f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"
        return facts

    def __repr__(self) -> str:
        facts = self.summary()
        width = max(map(len, facts))
        lines = [f"  {label:<{width}}  {text}" for label, text in facts.items()]
        return "\n".join(["Database (rows + further columns)", *lines])

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(label)}</th>"
            f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
            for label, text in self.summary().items()
        )
        return f"<table><caption>Database (rows + further columns)</caption>{cells}</table>"


def open_database(
    source: DatabaseSource,
    *,
    names: Mapping[str, str] | None = None,
    schema: str | None = None,
    columns: Mapping[str, Mapping[str, str]] | None = None,
    time_zone: str | None = None,
) -> Database:
    """Reads the tables of a campaign, read-only, and checks them on arrival.

    Args:
      source: DataFrames by table name; a folder with `influencers.parquet` or `influencers.csv`
        and so on; a DuckDB file (.duckdb, .ddb or .db), which may read no file outside its own
        folder; or a URL `postgresql://user:password@host:port/name`, read in one snapshot (needs
        `jaxcampaign[postgres]`).
      names: from canonical table names to the source's own, `{"history": "past_posts"}`.
      schema: schema of the tables in a database; `main` (DuckDB) or `public` (PostgreSQL).
      columns: per table, from its own column names to canonical ones.
      time_zone: IANA zone of naive times, which are UTC when None.

    Returns:
      Database; influencers and events must be there, other tables where they are needed.

    Raises:
      InputError: a source or table that cannot be read, or anything that `read_table` or
        `check_references` refuses: it names table, column, rows, value and a remedy.
    """
    chosen = _names(names)
    found = _found(source, chosen, schema)
    for kind in _REQUIRED:
        if kind not in found:
            raise InputError(
                "the source lacks this table",
                table=kind,
                remedy=f'add it, or pass names={{"{kind}": ...}} if it is called otherwise',
            )
    tables = {}
    for kind, table in found.items():
        given = (columns or {}).get(kind)
        # Tables without times refuse a zone.
        zone = time_zone if _has_times(kind) else None
        tables[kind] = _plain(read_table(kind, table, columns=given, time_zone=zone))
    check_references(tables)
    return Database(**tables)


def _names(names: Mapping[str, str] | None) -> dict[str, str]:
    for kind in names or {}:
        _check_kind(kind)
    return {kind: kind for kind in CAMPAIGN_SCHEMAS} | dict(names or {})


def _check_kind(kind: str) -> None:
    if kind not in CAMPAIGN_SCHEMAS:
        near = closest(str(kind), CAMPAIGN_SCHEMAS) or list(CAMPAIGN_SCHEMAS)
        raise InputError(
            "unknown table of a campaign", table=str(kind), remedy=f"choose {', '.join(near)}"
        )


def _found(
    source: DatabaseSource, names: dict[str, str], schema: str | None
) -> Mapping[str, Source]:
    if isinstance(source, Mapping):
        for kind in source:
            if kind not in names.values():
                _check_kind(kind)
        return {kind: source[names[kind]] for kind in located(names, source)}
    if isinstance(source, str) and source.startswith(_POSTGRES):
        return postgres_tables(source, names, schema)
    try:
        path = Path(source)
    except TypeError:
        raise InputError(
            f"cannot read {type(source).__name__}",
            table="database",
            remedy="give a folder, a DuckDB file, a postgresql:// URL or DataFrames by table name",
        ) from None
    if path.is_dir():
        return folder_tables(path, names)
    if path.suffix.lower() not in _DUCKDB:
        raise InputError(
            "no folder and no DuckDB file",
            table="database",
            value=str(source).split("://")[0] if "://" in str(source) else str(source),
            remedy="give a folder of tables, a .duckdb file or a postgresql:// URL",
        )
    if not path.is_file():
        raise InputError("no such file", table="database", value=str(path), remedy="check the path")
    return duckdb_tables(path, names, schema)


def _has_times(kind: str) -> bool:
    return any(
        isinstance(column.dtype.type, pd.DatetimeTZDtype)
        for column in CAMPAIGN_SCHEMAS[kind].columns.values()
    )


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Decimals of further columns as floats, as all other numbers are."""
    decimals = [
        name
        for name in frame
        if pd.api.types.is_object_dtype(frame[name])
        and pd.api.types.infer_dtype(frame[name], skipna=True) == "decimal"
    ]
    return frame.astype(dict.fromkeys(decimals, "float64")) if decimals else frame


def _measures(kind: str, frame: pd.DataFrame) -> tuple[str, ...]:
    further = frame.drop(columns=list(CAMPAIGN_SCHEMAS[kind].columns), errors="ignore")
    return tuple(map(str, further.select_dtypes(["number"]).columns))
