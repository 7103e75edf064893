"""A campaign small enough to check by hand, with ids that readers like to turn into numbers."""

from __future__ import annotations

import pandas as pd


def utc(texts: list[str]) -> pd.DatetimeIndex:
    return pd.to_datetime(texts, utc=True, format="ISO8601")


def small_campaign() -> dict[str, pd.DataFrame]:
    """Fresh copies of all seven tables; no table is in any order."""
    return {
        "influencers": pd.DataFrame(
            {
                "influencer_id": ["007", "NA", "é"],
                "genre": ["music", "fashion", None],
                "location": ["London", "Paris", "London"],
                "followers": [1e4, None, 5e5],
                "engagement_rate": [0.03, 0.01, None],
                "er_basis": ["followers", "reach", None],
                "audience_age": [24.5, None, 31.0],
                "tier": ["micro", "nano", "macro"],
            }
        ),
        "prices": pd.DataFrame(
            {
                "influencer_id": ["é", "007", "NA", "007"],
                "content_type": ["reel", "story", "reel", "reel"],
                "price": [900.0, 50.0, 0.0, 120.5],
            }
        ),
        "events": pd.DataFrame(
            {
                "event_id": ["launch", "gala", "tour"],
                "date": utc(["2026-05-01 18:00", "2026-06-10", "2026-02-01"]),
                "location": ["Paris", "London", "Paris"],
                "genre": ["fashion", "music", "music"],
                "scale": [3.0, None, 1.5],
                "type": ["launch", "gala", "tour"],
            }
        ),
        "posting_times": pd.DataFrame(
            {
                "event_id": ["launch", "gala", "launch", "tour"],
                "offset_hours": [-48.0, 0.0, 6.5, -24.0],
            }
        ),
        "history": pd.DataFrame(
            {
                "campaign_id": ["c1", "c1", "c2", "c2"],
                "influencer_id": ["007", "NA", "007", "é"],
                "content_type": ["reel", "reel", "story", "reel"],
                "event_id": ["tour", "tour", "tour", "launch"],
                "posted_at": utc(["2026-01-31", "2026-01-31 12:00", "2026-02-02", "2026-04-29"]),
                "planned_at": utc(["2026-01-10", "2026-01-10", "2026-02-02", "2026-04-01"]),
                "outcome_known_at": utc(["2026-02-03", "2026-02-04", "2026-02-09", "2026-05-03"]),
                "spend": [100.0, 0.0, None, 900.0],
                "engagement": [12.0, 7.5, 9.0, None],
            }
        ),
        "market": pd.DataFrame(
            {
                "genre": ["music", "fashion", "music", None],
                "location": ["Paris", "Paris", None, "London"],
                "time": utc(["2026-01-01", "2026-01-01", "2026-01-02", "2026-01-01"]),
                "available_at": utc(["2026-01-03"] * 4),
                "popularity": [1.0, 2.0, None, 4.0],
            }
        ),
        "overlaps": pd.DataFrame(
            {"influencer_id": ["007", "é"], "other_id": ["é", "NA"], "weight": [0.2, 0.0]}
        ),
    }
