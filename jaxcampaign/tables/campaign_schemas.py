"""The tables of an influencer campaign: what their columns may hold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandera.pandas as pa

from jaxcampaign.errors import InputError
from jaxcampaign.tables.coercion import FLOAT, TEXT, TIME
from jaxcampaign.tables.rules import NOT_NEGATIVE, column, frame_rule, one_per_key, rule

OPTION_KEY = ("influencer_id", "content_type", "event_id", "offset_hours")
"""Columns that tell one option of a campaign from another."""

ER_BASES = ("followers", "reach", "impressions", "views")
"""What an engagement rate is a share of: rates of different bases do not compare."""

_BASIS = rule(
    lambda x: x.isin(ER_BASES),
    "unknown basis of an engagement rate",
    f"say what the rate is a share of: {', '.join(ER_BASES)}",
)
_PLANNED_FIRST = frame_rule(
    ["planned_at", "posted_at"],
    lambda rows: rows["planned_at"] <= rows["posted_at"],
    "a post is planned after it is posted",
    "planned_at is the cut-off of the decision: what was known later cannot have guided it",
)
_KNOWN_LATER = frame_rule(
    ["posted_at", "outcome_known_at"],
    lambda rows: rows["posted_at"] < rows["outcome_known_at"],
    "an outcome is known before its post",
    "outcome_known_at is when the outcome was measured, later than posted_at",
)
_MEASURED_FIRST = frame_rule(
    ["time", "available_at"],
    lambda rows: rows["time"] <= rows["available_at"],
    "an index is available before the time that it describes",
    "available_at is when the index was published; for a forecast, time is when it was made",
)
_NOT_ONESELF = frame_rule(
    ["influencer_id", "other_id"],
    lambda rows: rows["influencer_id"] != rows["other_id"],
    "an influencer overlaps with itself",
    "drop these rows",
)

CAMPAIGN_SCHEMAS: dict[str, pa.DataFrameSchema] = {
    "influencers": pa.DataFrameSchema(
        {
            "influencer_id": column(TEXT),
            "genre": column(TEXT, nullable=True),
            "location": column(TEXT, nullable=True),
            "followers": column(FLOAT, NOT_NEGATIVE, nullable=True),
            "engagement_rate": column(FLOAT, NOT_NEGATIVE, nullable=True),
            "er_basis": column(TEXT, _BASIS, nullable=True),
            "as_of": column(TIME, required=False),
        },
        checks=one_per_key("influencer_id", "as_of"),
    ),
    "prices": pa.DataFrameSchema(
        {
            "influencer_id": column(TEXT),
            "content_type": column(TEXT),
            "price": column(FLOAT, NOT_NEGATIVE),
        },
        unique=["influencer_id", "content_type"],
    ),
    "events": pa.DataFrameSchema(
        {
            "event_id": column(TEXT, unique=True),
            "date": column(TIME),
            "location": column(TEXT, nullable=True),
            "genre": column(TEXT, nullable=True),
            "scale": column(FLOAT, NOT_NEGATIVE, nullable=True),
            "type": column(TEXT, nullable=True),
        }
    ),
    "posting_times": pa.DataFrameSchema(
        {"event_id": column(TEXT), "offset_hours": column(FLOAT)},
        unique=["event_id", "offset_hours"],
    ),
    "history": pa.DataFrameSchema(
        {
            "campaign_id": column(TEXT),
            "influencer_id": column(TEXT),
            "content_type": column(TEXT),
            "event_id": column(TEXT),
            "posted_at": column(TIME),
            "planned_at": column(TIME),
            "outcome_known_at": column(TIME),
            "spend": column(FLOAT, NOT_NEGATIVE, nullable=True),
        },
        checks=[
            _PLANNED_FIRST,
            _KNOWN_LATER,
            one_per_key("campaign_id", "influencer_id", "content_type", "event_id", "posted_at"),
        ],
    ),
    "market": pa.DataFrameSchema(
        {
            "genre": column(TEXT, nullable=True),
            "location": column(TEXT, nullable=True),
            "time": column(TIME),
            "available_at": column(TIME),
        },
        checks=[_MEASURED_FIRST, one_per_key("genre", "location", "time", "available_at")],
    ),
    "overlaps": pa.DataFrameSchema(
        {
            "influencer_id": column(TEXT),
            "other_id": column(TEXT),
            "weight": column(FLOAT, NOT_NEGATIVE),
            "as_of": column(TIME, required=False),
        },
        checks=[_NOT_ONESELF, one_per_key("influencer_id", "other_id", "as_of")],
    ),
}
"""Schemas of the campaign tables.

Genre and location of the market may be missing: such an index holds for all genres, or all
locations. Further columns are attributes (influencers, events), outcomes (history) and indices
(market); numbers among them may be missing, never infinite.
"""


EFFECTIVENESS_SCHEMA = pa.DataFrameSchema(
    {
        "influencer_id": column(TEXT),
        "content_type": column(TEXT),
        "event_id": column(TEXT),
        "offset_hours": column(FLOAT),
        "posted_at": column(TIME, required=False),
        "price": column(FLOAT, NOT_NEGATIVE),
        "mean": column(FLOAT),
        "std": column(FLOAT, NOT_NEGATIVE),
    },
    unique=list(OPTION_KEY),
)
"""Options with what each will bring, ready to be planned with."""


def check_measures(kind: str, clean: pd.DataFrame) -> None:
    """Refuses infinite values in the further columns of a campaign table."""
    if kind not in CAMPAIGN_SCHEMAS:
        return
    further = clean.columns.difference(list(CAMPAIGN_SCHEMAS[kind].columns), sort=False)
    for name in further:
        if not pd.api.types.is_numeric_dtype(clean[name]):
            continue
        values = clean[name].to_numpy(np.float64, na_value=np.nan)
        infinite = np.flatnonzero(np.isinf(values))
        if infinite.size:
            raise InputError(
                "a value is infinite",
                table=kind,
                column=str(name),
                rows=infinite.tolist(),
                value=float(values[infinite[0]]),
                remedy="leave it empty if it is unknown",
            )
