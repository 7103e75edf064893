"""What influencers and events are called by, and are like, in options and features.

Columns of influencers keep their names (`genre`, `followers`); those of events are prefixed
(`event_genre`, `event_scale`), so that a name says whose it is.
"""

from __future__ import annotations

import pandas as pd

from jaxcampaign.tables import Database

EVENT_PREFIX = "event_"
_EVENT_KEYS = ("event_id", "date")


def event_attributes(events: pd.DataFrame) -> pd.DataFrame:
    """Events with prefixed columns: event_id, event_date, event_location, event_genre, ..."""
    return events.rename(
        columns={name: EVENT_PREFIX + str(name) for name in events if name != "event_id"}
    )


def undated_columns(data: Database) -> tuple[str, ...]:
    """Numeric columns of which nobody said when they became known, such as "events.scale".

    Posts of the past are described by them as they stand today. A column that has grown since, or
    that rests on outcomes, such as a lifetime rate of engagement, then tells what nobody could know
    when the post was planned.
    """
    tables = {"influencers": data.influencers, "events": data.events, "overlaps": data.overlaps}
    return tuple(
        f"{table}.{name}"
        for table, rows in tables.items()
        if rows is not None and "as_of" not in rows
        for name in rows.select_dtypes(["number", "bool"])
    )


def latest_influencers(
    influencers: pd.DataFrame, before: pd.Timestamp | None = None
) -> pd.DataFrame:
    """One row per influencer, in order of id: the last state, or the last one before a time.

    Influencers with no state before then stay, with everything missing but their id.
    """
    if "as_of" not in influencers:
        return influencers.sort_values("influencer_id", ignore_index=True)
    ids = pd.Index(influencers["influencer_id"].unique()).sort_values()
    known = influencers if before is None else influencers[influencers["as_of"] < before]
    last = known.sort_values("as_of").drop_duplicates("influencer_id", keep="last")
    rows = last.set_index("influencer_id").drop(columns="as_of").reindex(ids)
    return rows.rename_axis("influencer_id").reset_index()
