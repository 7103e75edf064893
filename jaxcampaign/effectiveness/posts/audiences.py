"""What past outcomes of those who share an influencer's audience say, as known at a cut-off."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import pandas as pd

from jaxcampaign.effectiveness.posts.history import Outcomes
from jaxcampaign.effectiveness.posts.point_in_time import microseconds

_EDGES_AT_ONCE = 4_000_000


class Surroundings(NamedTuple):
    """Means over those who share the audience and have outcomes, by overlap; NaN without any."""

    rate: np.ndarray  # f64[Q], lasting level
    momentum: np.ndarray  # f64[Q], recent level less the lasting one
    newest: np.ndarray  # datetime64[us, Q], when the newest thing used became known


class Audiences:
    """Overlaps of audiences, each in both directions, by influencer."""

    def __init__(self, overlaps: pd.DataFrame, ids: pd.Index):
        """Sorts the overlaps of influencers `ids`."""
        first, second = (ids.get_indexer(overlaps[name]) for name in ("influencer_id", "other_id"))
        weight = overlaps["weight"].to_numpy(np.float64)
        since = np.full(len(overlaps), np.iinfo(np.int64).min)
        if "as_of" in overlaps:
            since = microseconds(overlaps["as_of"])
        known = (first >= 0) & (second >= 0) & (weight > 0)
        one, other = np.concatenate([first, second]), np.concatenate([second, first])
        both = np.flatnonzero(np.concatenate([known, known]))
        order = both[np.lexsort((other[both], one[both]))]
        self._other = other[order]
        self._weight, self._since = np.tile(weight, 2)[order], np.tile(since, 2)[order]
        self._start = np.searchsorted(one[order], np.arange(len(ids) + 1))

    def ask(
        self,
        outcomes: Outcomes,
        influencer: np.ndarray,
        cut: np.ndarray,
        parent: np.ndarray,
        strength: np.ndarray,
    ) -> Surroundings:
        """What Q influencers are surrounded by.

        Args:
          outcomes: of influencers.
          influencer: i64[Q].
          cut: i64[Q], microseconds.
          parent: f64[Q], what an influencer without outcomes is expected to bring.
          strength: f64[Q], the outcomes that the parent counts for.
        """
        degree = np.diff(self._start)[influencer]
        found = np.full((2, len(cut)), np.nan)
        newest = np.full(len(cut), np.datetime64("NaT"), "datetime64[us]")
        ends = np.cumsum(degree)
        blocks = np.searchsorted(ends, np.arange(0, degree.sum(), _EDGES_AT_ONCE))
        bounds = np.unique([0, *blocks, len(cut)])
        for begin, end in itertools.pairwise(bounds):
            part = slice(begin, end)
            row = np.repeat(np.arange(end - begin), degree[part])
            first = np.cumsum(degree[part]) - degree[part]
            edge = self._start[influencer[part]][row] + np.arange(len(row)) - first[row]
            asked = outcomes.ask(
                self._other[edge], cut[part][row], parent[part][row], strength[part][row]
            )
            usable = (asked.count > 0) & (self._since[edge] < cut[part][row])
            weight = np.where(usable, self._weight[edge], 0.0)
            total = np.bincount(row, weight, end - begin)
            nothing = np.full(len(total), np.nan)
            for values, known in zip((asked.rate, asked.momentum), found, strict=True):
                summed = np.bincount(row, weight * np.where(usable, values, 0.0), end - begin)
                known[part] = np.divide(summed, total, out=nothing.copy(), where=total > 0)
            latest = np.full(end - begin, np.iinfo(np.int64).min)  # NaT
            seen = asked.newest.astype(np.int64)
            np.maximum.at(latest, row[usable], seen[usable])
            newest[part] = latest.astype("datetime64[us]")
        return Surroundings(found[0], found[1], newest)
