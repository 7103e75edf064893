"""Columns in their canonical dtypes: ids as text, numbers checked as numbers, times in UTC.

Nothing is guessed: a value that has no exact canonical form is refused with its rows.
"""

from __future__ import annotations

import difflib
import zoneinfo
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api import types

from jaxcampaign.errors import InputError

TEXT = pd.StringDtype(na_value=np.nan)
FLOAT = np.dtype("float64")
INTEGER = np.dtype("int64")
TIME = pd.DatetimeTZDtype("us", "UTC")

_EXACT_IN_FLOAT = 2**53
_DATE_TIME = r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?"
_AWARE = _DATE_TIME[:-1] + r" ?(Z|[+-]\d{2}(:?\d{2})?)"  # an offset needs a time before it
_WHOLE = r"-?(0|[1-9]\d*)"
_NUMBER = r"-?((0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?|inf)"


def coerce(
    values: pd.Series,
    dtype: Any,
    *,
    table: str,
    time_zone: str | None = None,
    nullable: bool = False,
) -> pd.Series:
    """One column in a canonical dtype.

    Args:
      values: the column as the user gave it.
      dtype: `TEXT`, `FLOAT`, `INTEGER` or `TIME`.
      table: name of the table, for errors.
      time_zone: zone of naive times; UTC when None.
      nullable: missing values are allowed and stay missing.

    Raises:
      InputError: missing values, or values with no exact canonical form; all rows are named.
    """
    if isinstance(values.dtype, pd.ArrowDtype):
        values = pd.Series(pa.array(values).to_pandas(), name=values.name)
    missing = values.isna().to_numpy()
    if missing.any() and nullable:
        return _beside_gaps(values, missing, dtype, table, time_zone)
    if missing.any():  # first, because gaps turn integers into floats
        _refuse(values, missing, "a value is missing (empty, null or NaN)", table, "fill or drop")
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    if dtype == TIME:
        return _to_time(values, table, time_zone)
    return _CONVERTERS[dtype](values, table)


def _beside_gaps(
    values: pd.Series, missing: np.ndarray, dtype: Any, table: str, time_zone: str | None
) -> pd.Series:
    rows = np.flatnonzero(~missing)
    whole = pd.Series([None] * len(values), index=values.index, name=values.name, dtype=dtype)
    if not len(rows):
        return whole
    try:
        whole.iloc[rows] = coerce(values.iloc[rows], dtype, table=table, time_zone=time_zone).array
    except InputError as error:
        raise InputError(
            error.problem,
            table=error.table,
            column=error.column,
            rows=rows[error.rows].tolist(),
            value=error.value,
            remedy=error.remedy,
        ) from None
    return whole


def closest(name: str, known: Iterable[str], n: int = 3) -> list[str]:
    """Names in `known` that look like `name`, best first."""
    return difflib.get_close_matches(name, list(known), n=n, cutoff=0.5)


def check_time_zone(name: str, *, table: str, rows: Iterable[int] = ()) -> None:
    """Refuses a zone name that the IANA database lacks."""
    if not _is_time_zone(name):
        near = closest(name, zoneinfo.available_timezones())
        raise InputError(
            "unknown time zone",
            table=table,
            column="time_zone",
            rows=rows,
            value=name,
            remedy=f"did you mean {' or '.join(near)}?" if near else "give an IANA name",
        )


def numbers_where_exact(values: pd.Series) -> pd.Series:
    """A text column as numbers when every value is written as one; otherwise unchanged.

    `007` and digits too long for an exact number are not numbers here, so that codes survive.
    Whole numbers become int64 (float64 beside gaps), others float64.
    """
    present = values.dropna()
    if present.empty or not present.iloc[:1_000].str.fullmatch(_NUMBER).all():
        return values
    dtype = pa.float64()
    if present.str.fullmatch(_WHOLE).all():
        digits = present.str.lstrip("-").str.len().max()
        if digits <= 18 and len(present) == len(values):
            dtype = pa.int64()
        elif digits > 15:
            return values
    elif not present.str.fullmatch(_NUMBER).all():
        return values
    return _cast(values, dtype)


def _to_text(values: pd.Series, table: str) -> pd.Series:
    kind = types.infer_dtype(values, skipna=False)
    if kind not in ("string", "integer"):
        remedy = (
            "ids read as numbers with gaps become floats: read them as text"
            if kind == "floating"
            else "give every id as text, or every id as an integer"
        )
        everything = np.ones(len(values), bool)
        _refuse(values, everything, f"ids must be text, not {kind} values", table, remedy)
    try:
        texts = values.astype(TEXT)
    except UnicodeEncodeError as error:
        raise InputError(
            "an id is not valid Unicode text",
            table=table,
            column=str(values.name),
            value=str(error),
        ) from None
    empty = (texts == "").to_numpy(dtype=bool)
    if empty.any():
        _refuse(values, empty, "an id is empty", table, "fill or drop")
    return texts


def _to_float(values: pd.Series, table: str) -> pd.Series:
    if types.is_bool_dtype(values.dtype):
        _refuse(values, np.ones(len(values), bool), "expected numbers, found booleans", table)
    if types.is_float_dtype(values.dtype) or types.is_integer_dtype(values.dtype):
        numbers = values.astype(FLOAT)
    else:
        numbers = _parsed(values, table)
    infinite = ~np.isfinite(numbers.to_numpy())
    if infinite.any():
        _refuse(values, infinite, "a value is NaN or infinite", table, "give a finite number")
    return numbers


def _to_integer(values: pd.Series, table: str) -> pd.Series:
    if types.is_signed_integer_dtype(values.dtype):
        return values.astype(INTEGER)
    if not types.is_numeric_dtype(values.dtype):
        try:
            return _cast(_texts(values), pa.int64())
        except pa.ArrowInvalid:  # `5.0` and `1e3` are whole too: decided below
            pass
    numbers = _to_float(values, table).to_numpy()
    fractional = numbers != np.floor(numbers)
    if fractional.any():
        _refuse(values, fractional, "a value is not a whole number", table)
    beyond = np.abs(numbers) > _EXACT_IN_FLOAT
    if beyond.any():
        _refuse(values, beyond, "a whole number is too large to hold exactly", table)
    return pd.Series(numbers.astype(INTEGER), name=values.name)


def _to_time(values: pd.Series, table: str, time_zone: str | None) -> pd.Series:
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return values.astype(TIME)
    if types.is_datetime64_dtype(values.dtype):
        return _localised(values.astype("datetime64[us]"), table, time_zone)
    if types.is_numeric_dtype(values.dtype):
        remedy = "convert it first, for example pandas.to_datetime(column, unit='s', utc=True)"
        everything = np.ones(len(values), bool)
        _refuse(values, everything, "a bare number has no unit of time", table, remedy)
    texts = _texts(values)
    for dtype in (pa.timestamp("us", "UTC"), pa.timestamp("us")):
        try:  # Arrow casts only a column that is wholly aware, or wholly naive
            times = _cast(texts, dtype)
        except pa.ArrowInvalid:
            continue
        return times.astype(TIME) if dtype.tz else _localised(times, table, time_zone)
    return _slowly_parsed(values, texts, table, time_zone)


def _slowly_parsed(
    values: pd.Series, texts: pd.Series, table: str, time_zone: str | None
) -> pd.Series:
    aware = texts.str.fullmatch(_AWARE).to_numpy(dtype=bool)
    times = pd.to_datetime(texts, format="ISO8601", utc=True, errors="coerce")
    # The shape is tested too, because pandas also reads `now` and `today`.
    shapeless = ~(aware | texts.str.fullmatch(_DATE_TIME).to_numpy(dtype=bool))
    bad = times.isna().to_numpy() | shapeless
    if bad.any():
        remedy = "write times as 2012-04-03 18:00:09, with Z or an offset such as -04:00 if known"
        _refuse(values, bad, "a time cannot be read", table, remedy)
    if aware.any() and not aware.all():
        rare, kind = (aware, "with") if aware.sum() < (~aware).sum() else (~aware, "without")
        problem = f"times with and without a UTC offset are mixed; these rows are {kind} one"
        _refuse(values, rare, problem, table, "give every time an offset, or none")
    if aware.all():
        return times.astype(TIME)
    return _localised(times.dt.tz_localize(None).astype("datetime64[us]"), table, time_zone)


def _localised(naive: pd.Series, table: str, time_zone: str | None) -> pd.Series:
    if time_zone is None:
        return naive.dt.tz_localize("UTC")
    check_time_zone(time_zone, table=table)
    local = naive.dt.tz_localize(time_zone, ambiguous="NaT", nonexistent="NaT")
    bad = local.isna().to_numpy()
    if bad.any():
        first = naive[bad].iloc[:1].dt
        in_gap = first.tz_localize(time_zone, ambiguous=np.ones(1, bool), nonexistent="NaT").isna()
        fault = "does not exist" if in_gap.iloc[0] else "occurs twice"
        problem = f"a local time {fault} in {time_zone}, where the clocks change"
        _refuse(naive, bad, problem, table, "give UTC times or times with an offset")
    return local.astype(TIME)


def _is_time_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of zones
        return False
    return True


def _parsed(values: pd.Series, table: str) -> pd.Series:
    texts = _texts(values)
    try:
        return _cast(texts, pa.float64())
    except pa.ArrowInvalid:
        bad = pd.to_numeric(texts, errors="coerce").isna().to_numpy()
        _refuse(values, bad, "a value is not a number", table, "write numbers as -73.9857")


def _texts(values: pd.Series) -> pd.Series:
    """Values as trimmed text; objects by their own `str`, which keeps offsets and digits."""
    texts = values.map(str) if values.dtype == object else values
    return texts.astype(TEXT).str.strip()


def _cast(texts: pd.Series, dtype: pa.DataType) -> pd.Series:
    """Text as numbers or times by Arrow, which is strict, exact and fast."""
    cast = pa.array(texts).cast(dtype).to_pandas()
    return pd.Series(cast.array, index=texts.index, name=texts.name)


def _refuse(
    values: pd.Series, mask: np.ndarray, problem: str, table: str, remedy: str = ""
) -> NoReturn:
    rows = np.flatnonzero(mask)
    value = values.iloc[rows[0]] if len(rows) else None
    raise InputError(
        problem,
        table=table,
        column=str(values.name),
        rows=rows.tolist(),
        value=value.item() if isinstance(value, np.generic) else value,
        remedy=remedy,
    )


_CONVERTERS: dict[Any, Callable[[pd.Series, str], pd.Series]] = {
    TEXT: _to_text,
    FLOAT: _to_float,
    INTEGER: _to_integer,
}
