"""The canonical tables: their columns, what these may hold, and the check of a table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaError, SchemaErrorReason

from jaxcampaign.errors import InputError
from jaxcampaign.tables.campaign_schemas import (
    CAMPAIGN_SCHEMAS,
    EFFECTIVENESS_SCHEMA,
    check_measures,
)
from jaxcampaign.tables.coercion import (
    FLOAT,
    INTEGER,
    TEXT,
    TIME,
    check_time_zone,
    closest,
    coerce,
)
from jaxcampaign.tables.rules import DUPLICATE, NOT_NEGATIVE, ONE_PER_KEY, column, frame_rule, rule

_POSITIVE = rule(lambda x: x > 0, "a value is not above 0", "give the panel's area")
_CHANCE = rule(
    lambda x: (x >= 0) & (x <= 1),
    "a probability is outside [0, 1]",
    "mend the negative ones; where values are relative strengths, read the pairs with clip=True",
)
_DEGREES_HINT = (
    "give WGS84 degrees: reproject planar coordinates to EPSG:4326, and exchange lat and lon if "
    "they are swapped"
)
_LATITUDE = rule(lambda x: x.abs() <= 90, "a latitude is outside [-90, 90] degrees", _DEGREES_HINT)
_LONGITUDE = rule(
    lambda x: x.abs() <= 180, "a longitude is outside [-180, 180] degrees", _DEGREES_HINT
)
_WINDOW = frame_rule(
    ["start_min", "end_min"],
    lambda slots: (
        (slots["start_min"] >= 0)
        & (slots["start_min"] < slots["end_min"])
        & (slots["end_min"] <= 1440)
    ),
    "a slot's window must satisfy 0 <= start_min < end_min <= 1440 (minutes of the day)",
    "cut a window that passes midnight into two slots",
)

SCHEMAS: dict[str, pa.DataFrameSchema] = {
    "checkins": pa.DataFrameSchema(
        {
            "user_id": column(TEXT),
            "time": column(TIME),
            "lat": column(FLOAT, _LATITUDE),
            "lon": column(FLOAT, _LONGITUDE),
        }
    ),
    "billboards": pa.DataFrameSchema(
        {
            "board_id": column(TEXT, unique=True),
            "lat": column(FLOAT, _LATITUDE),
            "lon": column(FLOAT, _LONGITUDE),
            "size": column(FLOAT, _POSITIVE),
            "cost": column(FLOAT, NOT_NEGATIVE, required=False),
            "time_zone": column(TEXT, required=False),
        }
    ),
    "slots": pa.DataFrameSchema(
        {
            "slot_id": column(TEXT, unique=True),
            "board_id": column(TEXT),
            "start_min": column(INTEGER),
            "end_min": column(INTEGER),
            "cost": column(FLOAT, NOT_NEGATIVE),
        },
        checks=_WINDOW,
    ),
    "pairs": pa.DataFrameSchema(
        {
            "slot_id": column(TEXT),
            "user_id": column(TEXT),
            "prob": column(FLOAT, _CHANCE),
        },
        unique=["slot_id", "user_id"],
    ),
    "audiences": pa.DataFrameSchema({"product_id": column(TEXT), "user_id": column(TEXT)}),
    "demands": pa.DataFrameSchema(
        {
            "product_id": column(TEXT, unique=True),
            "demand": column(FLOAT, NOT_NEGATIVE),
            "max_slots": column(INTEGER, NOT_NEGATIVE, required=False),
            "weight": column(FLOAT, NOT_NEGATIVE, required=False),
        }
    ),
    **CAMPAIGN_SCHEMAS,
    "effectiveness": EFFECTIVENESS_SCHEMA,
}
"""pandera schema of every canonical table; further columns are allowed and kept."""

# Tables that are sets of rows: a repeated row says nothing new and is dropped.
_SETS = ("audiences",)

# What the same column is called elsewhere, for remedies only: nothing is renamed unasked.
_ALIASES = {
    "lat": ("latitude",),
    "lon": ("longitude", "lng", "long"),
    "time": ("utctime", "timestamp", "datetime", "checkintime"),
    "user_id": ("user", "userid", "uid"),
    "board_id": ("bid", "billboardid", "board", "id"),
    "slot_id": ("bindex", "slot", "id"),
    "size": ("bsize", "panelsize", "area"),
    "prob": ("probability", "influence", "p"),
    "cost": ("price", "bcost"),
    "product_id": ("product", "id"),
    "influencer_id": ("influencer", "creatorid", "creator", "handle", "id"),
    "event_id": ("event", "id"),
    "campaign_id": ("campaign",),
    "content_type": ("content", "format", "posttype"),
    "followers": ("followercount", "audience", "subscribers"),
    "price": ("fee", "rate", "cost"),
    "offset_hours": ("offset", "hours"),
    "outcome_known_at": ("knownat", "measuredat"),
    "available_at": ("publishedat", "knownat"),
}
_PLANAR = ("x", "y", "geometry", "geom", "easting", "northing")


def validate(
    kind: str,
    frame: pd.DataFrame,
    *,
    columns: Mapping[str, str] | None = None,
    time_zone: str | None = None,
    clip: bool = False,
) -> pd.DataFrame:
    """A clean copy of a table: canonical columns first, in canonical dtypes, every rule held.

    Args:
      kind: name of the canonical table, a key of `SCHEMAS`.
      frame: the table; never changed. Columns beyond the canonical ones are kept as they are.
      columns: from the table's own column names to canonical ones, `{"B_id": "board_id"}`.
      time_zone: IANA zone of naive times, which are UTC when None (tables with times only).
      clip: probabilities above 1 become 1 (pairs only); negative ones are refused all the same.

    Returns:
      DataFrame with a fresh range index. Ids are `str`, unchanged except that integers are
      written out; times `datetime64[us, UTC]`; other numbers float64 or int64.

      A row of audiences that stands more than once counts once.

    Raises:
      InputError: anything that is missing, duplicate, not finite or out of range. It names the
        table, the column, every row (data rows from 0), the first value and a remedy.
    """
    if kind not in SCHEMAS:
        remedy = f"choose one of {', '.join(SCHEMAS)}"
        raise InputError(f"unknown kind of table {kind!r}", remedy=remedy)
    if not isinstance(frame, pd.DataFrame):
        raise InputError(f"expected a DataFrame, got {type(frame).__name__}", table=kind)
    schema = SCHEMAS[kind]
    _check_options(kind, time_zone=time_zone, clip=clip)
    clean = _renamed(kind, frame, columns or {}).reset_index(drop=True)
    _check_columns(kind, list(clean.columns))
    if clean.empty:
        raise InputError("the table has no rows", table=kind, remedy="give at least one row")
    canonical = [name for name in schema.columns if name in clean]
    for name in canonical:
        wanted = schema.columns[name]
        clean[name] = coerce(
            clean[name],
            wanted.dtype.type,
            table=kind,
            time_zone=time_zone,
            nullable=wanted.nullable,
        )
    if kind in _SETS:
        clean = clean.drop_duplicates(canonical, ignore_index=True)
    if clip:
        clean["prob"] = clean["prob"].clip(upper=1.0)
    _check_rules(kind, clean)
    check_measures(kind, clean)
    if "time_zone" in canonical:
        _check_zones(kind, clean["time_zone"])
    return clean[canonical + [name for name in clean if name not in schema.columns]]


def _check_options(kind: str, *, time_zone: str | None, clip: bool) -> None:
    if clip and kind != "pairs":
        raise InputError("clip applies to the table pairs only", table=kind)
    if time_zone is not None:
        if not any(column.dtype.type == TIME for column in SCHEMAS[kind].columns.values()):
            raise InputError("time_zone applies to tables with times only", table=kind)
        check_time_zone(time_zone, table=kind)


def _renamed(kind: str, frame: pd.DataFrame, columns: Mapping[str, str]) -> pd.DataFrame:
    for name in columns:
        if name not in frame.columns:
            near = closest(name, map(str, frame.columns))
            raise InputError(
                "columns= names a column that the table lacks",
                table=kind,
                column=name,
                remedy=f"the table has {', '.join(near or map(str, frame.columns))}",
            )
    return frame.rename(columns=dict(columns))


def _check_columns(kind: str, names: list[Any]) -> None:
    repeated = sorted({str(name) for name in names if names.count(name) > 1})
    if repeated:
        remedy = "rename or drop one of them"
        raise InputError("a column appears twice", table=kind, column=repeated[0], remedy=remedy)
    required = [name for name, column in SCHEMAS[kind].columns.items() if column.required]
    missing = [name for name in required if name not in names]
    if not missing:
        return
    planar = [str(name) for name in names if str(name).lower() in _PLANAR]
    if planar and {"lat", "lon"} & set(missing):
        raise InputError(
            f"found {', '.join(planar)} but no coordinate reference system (CRS) to read it by",
            table=kind,
            column=missing[0],
            remedy="give columns lat and lon in WGS84 degrees (reproject to EPSG:4326)",
        )
    near = {found: name for name in missing if (found := _namesake(name, names))}
    raise InputError(
        f"missing {'column' if len(missing) == 1 else 'columns'} {', '.join(missing)}",
        table=kind,
        column=missing[0],
        remedy=f"pass columns={near}" if near else f"the table has {', '.join(map(str, names))}",
    )


def _namesake(name: str, names: list[Any]) -> str | None:
    plain = {re.sub(r"[\W_]", "", str(other).lower()): str(other) for other in names}
    known = [plain[alias] for alias in _ALIASES.get(name, ()) if alias in plain]
    near = known or [plain[found] for found in closest(name.replace("_", ""), plain)]
    return near[0] if near else None


def _check_rules(kind: str, clean: pd.DataFrame) -> None:
    try:
        SCHEMAS[kind].validate(clean)
    except SchemaError as error:
        cases: Any = error.failure_cases
        rows = np.unique(cases["index"].to_numpy()).tolist()
        duplicate = error.reason_code in (
            SchemaErrorReason.DUPLICATES,
            SchemaErrorReason.SERIES_CONTAINS_DUPLICATES,
        )
        broken: Any = error.check
        if isinstance(error.schema, pa.Column):
            keys = [str(error.schema.name)]
        else:
            named = SCHEMAS[kind].unique if duplicate else broken.statistics["columns"]
            keys = [name for name in named or [] if name in clean]
        first = clean.loc[rows[:1], keys].to_numpy(dtype=object).ravel().tolist()
        raise InputError(
            DUPLICATE if duplicate else broken.title,
            table=kind,
            column=", ".join(keys),
            rows=rows,
            value=first[0] if len(first) == 1 else tuple(first),
            remedy=ONE_PER_KEY if duplicate else broken.description,
        ) from None


def _check_zones(kind: str, zones: pd.Series) -> None:
    for zone in zones.unique():
        check_time_zone(zone, table=kind, rows=np.flatnonzero(zones == zone).tolist())
