"""Season and market indices as they were available before a cut-off."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from jaxcampaign.effectiveness.posts.point_in_time import Timeline, microseconds

_YEAR_DAYS = 365.2425


class Indices(NamedTuple):
    """Market indices of one level at Q cut-offs."""

    values: dict[str, np.ndarray]
    """Per feature, float64[Q]; NaN where nothing was available."""
    newest: np.ndarray
    """datetime64[us, Q], when the newest thing used became available; NaT if nothing."""


def season(posted_at: np.ndarray) -> dict[str, np.ndarray]:
    """First two harmonics of the day of the year.

    Args:
      posted_at: datetime64[N].
    """
    start = posted_at.astype("datetime64[Y]")
    day = (posted_at - start) / np.timedelta64(1, "D")
    angle = 2 * np.pi * day / _YEAR_DAYS
    return {
        "season_sin": np.sin(angle),
        "season_cos": np.cos(angle),
        "half_season_sin": np.sin(2 * angle),
        "half_season_cos": np.cos(2 * angle),
    }


def market_indices(
    market: pd.DataFrame,
    columns: tuple[str, ...],
    genre: pd.Series,
    location: pd.Series,
    cut: np.ndarray,
) -> list[Indices]:
    """The last state of each index that was available before each cut-off.

    A market row names a genre and a location, one of them, or neither; each of these four levels
    that the market has gives features of its own, `genre_region_`, `genre_`, `region_` and
    `market_` before the name of the index. Of the rows available, the one that describes the
    latest time counts, and of revisions of one time the last.

    Args:
      market: validated market.
      columns: the indices.
      genre: Q genres of events.
      location: Q locations of events.
      cut: i64[Q], microseconds.
    """
    has_genre, has_location = market["genre"].notna(), market["location"].notna()
    found = []
    for level, rows, keys in (
        ("genre_region", has_genre & has_location, ["genre", "location"]),
        ("genre", has_genre & ~has_location, ["genre"]),
        ("region", ~has_genre & has_location, ["location"]),
        ("market", ~has_genre & ~has_location, []),
    ):
        if rows.any():
            wanted = pd.DataFrame({"genre": genre, "location": location})[keys]
            found.append(_level(market[rows], columns, wanted, cut, level))
    return found


def _level(
    market: pd.DataFrame,
    columns: tuple[str, ...],
    wanted: pd.DataFrame,
    cut: np.ndarray,
    level: str,
) -> Indices:
    group = np.zeros(len(market), np.int64)
    asked = np.zeros(len(wanted), np.int64)
    if len(wanted.columns):
        groups = pd.MultiIndex.from_frame(market[list(wanted)].drop_duplicates())
        group = groups.get_indexer(pd.MultiIndex.from_frame(market[list(wanted)]))
        asked = groups.get_indexer(pd.MultiIndex.from_frame(wanted))
    available, time = microseconds(market["available_at"]), microseconds(market["time"])
    line = Timeline(group.astype(np.int64), available)
    # The best of all rows available so far: a late revision of an old time does not displace it.
    age_rank = np.empty(len(market), np.int64)
    age_rank[np.lexsort((available, time))] = np.arange(len(market))
    best = pd.Series(age_rank[line.order]).groupby(group[line.order]).cummax().to_numpy()
    row_of_rank = np.argsort(age_rank)
    first, stop = line.before(np.maximum(asked, 0), cut)
    there = (stop > first) & (asked >= 0)
    row = row_of_rank[best[np.maximum(stop - 1, 0)]]
    newest = available[line.order[np.maximum(stop - 1, 0)]].astype("datetime64[us]")
    newest[~there] = np.datetime64("NaT")
    values = {}
    for name in columns:
        index = market[name].to_numpy(np.float64, na_value=np.nan)
        values[f"{level}_{name}"] = np.where(there, index[row], np.nan)
    return Indices(values, newest)
