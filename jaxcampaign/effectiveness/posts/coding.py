"""Posts in codes: which influencer, content type and event, when, at what price, known when."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from jaxcampaign.effectiveness.posts.columns import looked_up
from jaxcampaign.effectiveness.posts.conditions import timestamp
from jaxcampaign.effectiveness.posts.point_in_time import Timeline, microseconds
from jaxcampaign.errors import InputError
from jaxcampaign.tables import Database
from jaxcampaign.tables.references import check_known

_KEYS = ("influencer_id", "content_type", "event_id", "posted_at")


class PostRows(NamedTuple):
    """N posts in codes."""

    ids: pd.Index  # influencer ids
    contents: pd.Index  # content types, sorted
    influencer: np.ndarray  # i64[N], places in `ids`
    state: np.ndarray  # i64[N], rows of influencers as known before the cut-off; -1 is none
    content: np.ndarray  # i64[N], places in `contents`
    event: np.ndarray  # i64[N], rows of events
    posted: np.ndarray  # datetime64[us, N]
    price: np.ndarray  # f64[N]
    cut: np.ndarray  # i64[N] in microseconds, or i64[1] when it is the same for all


def coded_posts(data: Database, rows: pd.DataFrame, as_of: pd.Timestamp | str | None) -> PostRows:
    """Posts of a table in codes; see `build_features` for its columns.

    Raises:
      InputError: a column is missing, an id is unknown, or a post lies before its cut-off.
    """
    needed = [*_KEYS, *(["planned_at"] if as_of is None else [])]
    missing = [name for name in needed if name not in rows]
    price = next((name for name in ("price", "spend") if name in rows), None)
    if missing or price is None:
        raise InputError(
            "the rows lack a column",
            table="rows",
            column=", ".join(missing) or "price",
            remedy="give rows of history with their planned_at, or options with as_of",
        )
    posted = _utc(rows["posted_at"])
    if as_of is None:
        cut = _utc(rows["planned_at"])
    else:
        cut = np.array([timestamp(as_of, "as_of").tz_localize(None)], "datetime64[us]")
    early = np.flatnonzero(~(posted >= cut))
    if early.size:
        raise InputError(
            "a post lies before its cut-off, where its outcome may be known",
            table="rows",
            column="posted_at",
            rows=early.tolist(),
            value=str(posted[early[0]]),
            remedy="plan it earlier, or leave it out",
        )
    ids = pd.Index(data.influencers["influencer_id"].unique())
    influencer = codes_of(rows["influencer_id"], ids, "influencers")
    contents = _contents(data, rows["content_type"])
    moments = cut.astype(np.int64)
    return PostRows(
        ids=ids,
        contents=contents,
        influencer=influencer,
        state=_states(data.influencers, ids, influencer, moments),
        content=codes_of(rows["content_type"], contents, "prices"),
        event=codes_of(rows["event_id"], pd.Index(data.events["event_id"]), "events"),
        posted=posted,
        price=rows[price].to_numpy(float, na_value=np.nan),
        cut=moments,
    )


def _contents(data: Database, used: pd.Series) -> pd.Index:
    """Content types of prices and history, or of the rows where no table has any."""
    tables = [table for table in (data.prices, data.history) if table is not None]
    known = pd.concat([table["content_type"] for table in tables] or [used.astype("str")])
    return pd.Index(known.unique()).sort_values()


def codes_of(values: pd.Series, known: pd.Index, home: str) -> np.ndarray:
    """i64[N], the place of each value among the known ones.

    Raises:
      InputError: a value is not among them; near matches are named.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        place = known.get_indexer(values.cat.categories.astype(object))
        codes = looked_up(place, values.cat.codes.to_numpy())
    else:
        codes = known.get_indexer(values)
    if (codes < 0).any():
        texts = values.astype("str")
        check_known(texts, pd.Series(known, dtype="str"), table="rows", home=home)
    return codes.astype(np.int64)


def _states(
    people: pd.DataFrame, ids: pd.Index, influencer: np.ndarray, cut: np.ndarray
) -> np.ndarray:
    """i64[N], the last row of each influencer that was known before the cut-off; -1 if none."""
    group = ids.get_indexer(people["influencer_id"]).astype(np.int64)
    if "as_of" not in people:
        row = np.empty(len(ids), np.int64)
        row[group] = np.arange(len(people))
        return row[influencer]
    line = Timeline(group, microseconds(people["as_of"]))
    alike = len(cut) == 1
    asked = np.arange(len(ids)) if alike else influencer
    first, stop = line.before(asked, np.broadcast_to(cut, len(asked)))
    row = np.where(stop > first, line.order[np.maximum(stop - 1, 0)], -1)
    return row[influencer] if alike else row


def _utc(times: pd.Series) -> np.ndarray:
    """datetime64[us, N]; naive times are UTC already."""
    if not pd.api.types.is_datetime64_any_dtype(times):
        raise InputError(
            "expected times",
            table="rows",
            column=str(times.name),
            remedy="convert it by pandas.to_datetime(column, utc=True)",
        )
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        times = times.dt.tz_convert("UTC").dt.tz_localize(None)
    return times.to_numpy("datetime64[us]")
