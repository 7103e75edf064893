"""The options of a campaign: every influencer, content type, event and posting time on offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxcampaign.effectiveness.posts.attributes import event_attributes, latest_influencers
from jaxcampaign.effectiveness.posts.conditions import holds, timestamp
from jaxcampaign.errors import InputError, MemoryLimitError
from jaxcampaign.tables import Database
from jaxcampaign.tables.coercion import closest
from jaxcampaign.tables.memory import memory_limit_bytes
from jaxcampaign.tables.references import check_known

# Attributes that options carry where nothing else is asked for, as far as the tables have them.
_ATTRIBUTES = (
    "genre",
    "location",
    "event_location",
    "event_genre",
    "event_scale",
    "event_type",
)
_MICROSECONDS = 3_600_000_000  # per hour
_NUMBER_BYTES, _CODE_BYTES = 8, 4
_COPIES = 1.5  # at the peak, while a column is being made


def enumerate_options(
    data: Database,
    *,
    events: Sequence[str] | None = None,
    influencers: Sequence[str] | None = None,
    content_types: Sequence[str] | None = None,
    where: Mapping[str, Any] | None = None,
    as_of: pd.Timestamp | str | None = None,
    attributes: Sequence[str] | None = None,
    memory_limit_gb: float | None = None,
) -> pd.DataFrame:
    """All posts that can be bought: prices x (events x posting times).

    Args:
      data: influencers, events, prices and posting_times.
      events: only these event ids; all when None.
      influencers: only these influencer ids; all when None.
      content_types: only these content types; all when None.
      where: conditions that must all hold, from a column to a value, to a list of values, or to a
        pair `(low, high)` of inclusive limits, None for an open one: `{"genre": ["music", "art"],
        "followers": (10_000, None), "event_type": "launch", "posted_at": (None, "2026-07-01")}`.
        Columns are those of influencers and prices, of events with the prefix `event_`
        (`event_date`), offset_hours and posted_at. A missing value meets no condition.
      as_of: planning cut-off (a naive time is UTC): no post at or before it is an option, and
        influencers are as they were known before it. Without it, all times and the last state.
      attributes: further columns to carry along, by the names that `where` takes; by default what
        constraints most often name: genre and location of the influencer, and event_location,
        event_genre, event_scale and event_type, where the tables have them.
      memory_limit_gb: limit in 1e9 bytes; the machine's free memory when None.

    Returns:
      DataFrame with influencer_id, content_type, event_id (categorical, categories sorted),
      offset_hours, posted_at (UTC; event date + offset), price, and the attributes (text as
      categories). Rows are in order of the first four columns, whatever the order of the tables.

    Raises:
      InputError: a table is missing, or an id, a column or a text value is unknown (near matches
        are named).
      MemoryLimitError: the options would not fit.
    """
    cut = None if as_of is None else timestamp(as_of, "as_of")
    offers, times = _offers(data, cut), _times(data)
    keep = {"offers": np.ones(len(offers), bool), "times": np.ones(len(times), bool)}
    if cut is not None:
        keep["times"] &= (times["posted_at"] > cut).to_numpy()
    for column, side, chosen, home in (
        ("influencer_id", "offers", influencers, data.influencers),
        ("content_type", "offers", content_types, offers),
        ("event_id", "times", events, data.events),
    ):
        if chosen is not None:
            frame = offers if side == "offers" else times
            keep[side] &= _chosen(frame[column], chosen, home[column])
    for column, condition in (where or {}).items():
        if _is_of_offers(column, offers, times):
            keep["offers"] &= holds(offers[column], condition)
        else:
            keep["times"] &= holds(times[column], condition)
    if attributes is None:
        attributes = [name for name in _ATTRIBUTES if name in offers or name in times]
    of_offers = {
        "influencer_id": True,
        "content_type": True,
        "event_id": False,
        "offset_hours": False,
        "posted_at": False,
        "price": True,
    } | {name: _is_of_offers(name, offers, times) for name in attributes}
    offers, times = offers[keep["offers"]], times[keep["times"]]
    row_bytes = sum(
        _CODE_BYTES if isinstance(table[name].dtype, pd.StringDtype) else _NUMBER_BYTES
        for name, table in ((n, offers if of else times) for n, of in of_offers.items())
    )
    _check_memory(len(offers) * len(times), row_bytes, memory_limit_gb)
    columns = {
        name: _spread(offers[name], each=len(times))
        if is_of_offers
        else _spread(times[name], times=len(offers))
        for name, is_of_offers in of_offers.items()
    }
    return pd.DataFrame(columns, copy=False)


def _offers(data: Database, cut: pd.Timestamp | None) -> pd.DataFrame:
    """Prices with their influencers, in order of influencer and content type."""
    prices = data.table("prices", "enumerating options")
    people = latest_influencers(data.influencers, cut)
    _check_distinct(prices, people, "influencers")
    offers = prices.merge(people, on="influencer_id", how="left", validate="many_to_one")
    return offers.sort_values(["influencer_id", "content_type"], ignore_index=True)


def _times(data: Database) -> pd.DataFrame:
    """Posting times with their events, in order of event and offset."""
    offsets = data.table("posting_times", "enumerating options")
    events = event_attributes(data.events)
    _check_distinct(offsets, events, "events")
    times = offsets.merge(events, on="event_id", how="left", validate="many_to_one")
    shift = (times["offset_hours"].to_numpy() * _MICROSECONDS).round().astype("timedelta64[us]")
    times["posted_at"] = times["event_date"] + pd.Series(shift, index=times.index)
    return times.sort_values(["event_id", "offset_hours"], ignore_index=True)


def _check_distinct(one: pd.DataFrame, other: pd.DataFrame, table: str) -> None:
    shared = one.columns.intersection(other.columns).difference(["influencer_id", "event_id"])
    if len(shared):
        raise InputError(
            "two tables that are joined have a column of this name",
            table=table,
            column=str(shared[0]),
            remedy="rename it in one of them",
        )


def _chosen(ids: pd.Series, chosen: Sequence[str], known: pd.Series) -> np.ndarray:
    """bool[rows], where an id is among the chosen ones."""
    if isinstance(chosen, str):
        raise InputError(
            "one id where a list is due",
            table="options",
            column=str(ids.name),
            value=chosen,
            remedy=f"give [{chosen!r}]",
        )
    home = {"influencer_id": "influencers", "event_id": "events"}.get(str(ids.name), "prices")
    wanted = pd.Series(list(chosen), name=ids.name, dtype=object)
    check_known(wanted, known, table="options", home=home)
    return ids.isin(wanted).to_numpy(dtype=bool)


def _is_of_offers(column: str, offers: pd.DataFrame, times: pd.DataFrame) -> bool:
    if (column in offers) != (column in times):
        return column in offers
    if column in offers:
        problem = "both influencers and events have a column of this name"
        remedy = "rename it in one of them"
    else:
        names = [str(name) for name in (*offers, *times)]
        problem = "no such column"
        remedy = f"choose from {', '.join(closest(str(column), names) or names)}"
    raise InputError(problem, table="options", column=str(column), remedy=remedy)


def _check_memory(rows: int, row_bytes: int, limit_gb: float | None) -> None:
    estimate = rows * row_bytes * _COPIES
    limit = memory_limit_bytes(limit_gb)
    if estimate > limit:
        raise MemoryLimitError(
            f"{rows:,} options would take {estimate / 1e9:.3g} GB and the limit is "
            f"{limit / 1e9:.3g} GB",
            table="options",
            remedy="choose fewer by events, influencers, content_types or where, "
            "or raise memory_limit_gb",
        )


def _spread(values: pd.Series, *, each: int = 1, times: int = 1) -> Any:
    """A column with every value `each` times, all of it `times` times; text as categories."""
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        repeated = _repeated(values.to_numpy("datetime64[us]"), each, times)
        return pd.Series(repeated, copy=False).dt.tz_localize("UTC")
    if isinstance(values.dtype, pd.StringDtype):
        coded = pd.Categorical(values)
        codes = _repeated(coded.codes, each, times)
        return pd.Categorical.from_codes(codes, dtype=coded.dtype, validate=False)
    if pd.api.types.is_extension_array_dtype(values.dtype):
        values = values.astype("float64")
    return _repeated(values.to_numpy(), each, times)


def _repeated(values: np.ndarray, each: int, times: int) -> np.ndarray:
    return np.tile(values, times) if each == 1 and times != 1 else np.repeat(values, each)
