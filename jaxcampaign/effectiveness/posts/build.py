"""Features of posts, as they stood when each post was planned."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jaxcampaign.effectiveness.features import Features
from jaxcampaign.effectiveness.posts.attributes import event_attributes
from jaxcampaign.effectiveness.posts.audiences import Audiences, Surroundings
from jaxcampaign.effectiveness.posts.coding import PostRows, coded_posts, codes_of
from jaxcampaign.effectiveness.posts.columns import Columns, looked_up
from jaxcampaign.effectiveness.posts.history import Outcomes, Rates, strength
from jaxcampaign.effectiveness.posts.market import market_indices, season
from jaxcampaign.effectiveness.posts.point_in_time import (
    check_point_in_time,
    microseconds,
)
from jaxcampaign.errors import InputError
from jaxcampaign.tables import Database
from jaxcampaign.tables.coercion import closest

_KEPT = {
    "influencer": ("rate", "count", "recency_days", "momentum", "weight", "spread"),
    "influencer_content": ("rate", "count", "recency_days", "momentum", "weight"),
    "influencer_genre": ("rate", "count", "recency_days"),
    "content_event_type": ("rate", "count", "recency_days", "momentum"),
}
# A lasting level tells what something is like; only what departs from it is an effect of history.
_LASTING = "rate"
_GROUPINGS = ("influencer", "influencer_content", "influencer_genre", "content_event_type")


def build_features(
    data: Database,
    rows: pd.DataFrame,
    *,
    target: str,
    as_of: pd.Timestamp | str | None = None,
    half_life_days: float = 45.0,
    log_target: bool = False,
    like: Features | None = None,
) -> Features:
    """What is known about each post when it is planned, and nothing later.

    I: influencer_id, the influencer's genre, location and further columns as of the cut-off, the
    content type, price and price per 1,000 followers, the event's attributes, whether genres and
    locations agree, days_to_event (positive before it), weekday (0 is Monday) and hour in UTC. The
    event's own id is left out: planned events are new. Besides, lasting levels: shrunken rates of
    all past outcomes of the influencer, of influencer x content type, of influencer x genre of the
    event, of content type x type of event, and of those who share the influencer's audience.
    H: how the state of past campaigns departs from these levels: their momentum (the rate with
    weights that halve in `half_life_days`, less the lasting one), also of those who share the
    audience; counts, recency and recent weight; the spread of the influencer's outcomes and the
    level of all outcomes (overall_rate). See `history` and `audiences`.
    M: the season, and the market's indices for the event's genre and location. See `market`.

    Attributes of influencers and overlaps with a column as_of are those last known before the
    cut-off. Without one, and for events, which have none, they are taken to have been known
    always: leave out columns that change with time or rest on outcomes, or a model will look
    better on the past than it is. `undated_columns` in `attributes` lists the numeric ones.

    Missing values stay missing. A rate without outcomes of its own is that of its parent, with
    count 0 and no recency.

    Args:
      data: the database; without history or market their features are left out.
      rows: N posts: influencer_id, content_type, event_id, posted_at, price (or spend), and
        planned_at unless `as_of` is given. Rows of history and options both will do.
      target: the outcome whose history is used.
      as_of: one planning cut-off for all rows (naive times are UTC); each row's planned_at if None.
      half_life_days: age at which an outcome counts half in the recent rates.
      log_target: rates of log(1 + outcome), for heavy-tailed counts.
      like: features whose columns and categories to use, those that a model was fitted on.

    Returns:
      Features of N rows; the same for any order of the tables' rows and of `rows`.

    Raises:
      InputError: a column is missing, an id or the target is unknown, a post lies before its
        cut-off, or the leakage guard found a feature that is newer than the cut-off.
    """
    coded = coded_posts(data, rows, as_of)
    columns = Columns(len(rows))
    newest: dict[str, np.ndarray] = {}
    _describe(columns, data, coded, newest)
    if data.history is not None:
        _recall(columns, data, coded, newest, target, half_life_days, log_target)
    for name, values in season(coded.posted).items():
        columns.number(name, "M", values)
    if data.market is not None:
        _survey(columns, data, coded, newest)
    check_point_in_time(coded.cut.astype("datetime64[us]"), newest)
    return columns.features(like)


def _describe(
    columns: Columns, data: Database, rows: PostRows, newest: dict[str, np.ndarray]
) -> None:
    """I: the influencer, the content, the event, the time and the price."""
    people, events = data.influencers, event_attributes(data.events)
    columns.attribute("influencer_id", "I", pd.Series(rows.ids), rows.influencer)
    states = people["as_of"].to_numpy("datetime64[us]") if "as_of" in people else None
    for name in people.columns.difference(["influencer_id", "as_of"], sort=False):
        columns.attribute(name, "I", people[name], rows.state)
        if states is not None:
            newest[name] = looked_up(states, rows.state)
    columns.attribute("content_type", "I", pd.Series(rows.contents), rows.content)
    columns.number("price", "I", rows.price)
    followers = looked_up(people["followers"].to_numpy(float), rows.state)
    thousands = np.where(followers > 0, followers, np.nan) / 1_000
    columns.number("price_per_thousand", "I", rows.price / thousands)
    for name in events.columns.difference(["event_id", "event_date"], sort=False):
        columns.attribute(name, "I", events[name], rows.event)
    for name in ("genre", "location"):
        same = _agreement(people[name], data.events[name], rows.state, rows.event)
        columns.number(f"same_{name}", "I", same)
    date = events["event_date"].to_numpy("datetime64[us]")[rows.event]
    columns.number("days_to_event", "I", (date - rows.posted) / np.timedelta64(1, "D"))
    day = rows.posted.astype("datetime64[D]")
    columns.number("weekday", "I", (day.astype(np.int64) + 3) % 7)  # 1970-01-01 was a Thursday
    columns.number("hour", "I", (rows.posted - day) / np.timedelta64(1, "h"))


def _recall(
    columns: Columns,
    data: Database,
    rows: PostRows,
    newest: dict[str, np.ndarray],
    target: str,
    half_life_days: float,
    log_target: bool,
) -> None:
    """H: past outcomes of what the row shares with history."""
    assert data.history is not None
    past = data.history[_target_known(data, target)]
    value = past[target].to_numpy(float, na_value=np.nan)
    if log_target:
        value = _logarithms(value, past.index, target)
    known = microseconds(past["outcome_known_at"])
    before = _Groups(
        data.events,
        codes_of(past["influencer_id"], rows.ids, "influencers"),
        codes_of(past["content_type"], rows.contents, "prices"),
        codes_of(past["event_id"], pd.Index(data.events["event_id"]), "events"),
        len(rows.contents),
    )
    now = _Groups(data.events, rows.influencer, rows.content, rows.event, len(rows.contents))
    questions = {name: _Questions(now[name], rows.cut) for name in _GROUPINGS}
    outcomes = {name: Outcomes(before[name], known, value, half_life_days) for name in _GROUPINGS}

    variances = {name: outcomes[name].variances(rows.cut) for name in _GROUPINGS}
    overall = outcomes["influencer"].mean(rows.cut)
    columns.number("overall_rate", "H", np.broadcast_to(overall, len(rows.posted)))
    own: np.ndarray | None = None
    for name in _GROUPINGS:
        under_influencer = name in ("influencer_content", "influencer_genre")
        parent = own if under_influencer and own is not None else overall
        within_parent = variances["influencer"] if under_influencer else None
        weights = strength(variances[name], within_parent)
        rates = questions[name].ask(outcomes[name], parent, weights)
        if name == "influencer":
            own = rates.rate
        for part in _KEPT[name]:
            columns.number(f"{name}_{part}", "I" if part == _LASTING else "H", getattr(rates, part))
            newest[f"{name}_{part}"] = rates.newest
    if data.overlaps is not None:
        audiences = Audiences(data.overlaps, rows.ids)
        around = questions["influencer"].surroundings(
            audiences, outcomes["influencer"], overall, strength(variances["influencer"])
        )
        columns.number("audience_rate", "I", around.rate)
        columns.number("audience_momentum", "H", around.momentum)
        newest["audience_rate"] = newest["audience_momentum"] = around.newest


def _survey(
    columns: Columns, data: Database, rows: PostRows, newest: dict[str, np.ndarray]
) -> None:
    """M: the market's indices for the event."""
    assert data.market is not None
    # With one cut-off for all rows it is enough to look once per event.
    alike = len(rows.cut) == 1
    asked = np.arange(len(data.events)) if alike else rows.event
    back = rows.event if alike else slice(None)
    for level in market_indices(
        data.market,
        data.indices,
        data.events["genre"].iloc[asked].reset_index(drop=True),
        data.events["location"].iloc[asked].reset_index(drop=True),
        np.broadcast_to(rows.cut, len(asked)),
    ):
        for name, values in level.values.items():
            columns.number(name, "M", values[back])
            newest[name] = level.newest[back]


class _Groups:
    """i64[N] codes of each grouping of history."""

    def __init__(
        self,
        events: pd.DataFrame,
        influencer: np.ndarray,
        content: np.ndarray,
        event: np.ndarray,
        n_contents: int,
    ):
        self._influencer, self._content, self._n_contents = influencer, content, n_contents
        # A missing genre or type is a group of its own.
        genres, types = pd.Categorical(events["genre"]), pd.Categorical(events["type"])
        self._genre = genres.codes.astype(np.int64)[event] + 1
        self._type = types.codes.astype(np.int64)[event] + 1
        self._n_genres, self._n_types = len(genres.categories) + 1, len(types.categories) + 1

    def __getitem__(self, name: str) -> np.ndarray:
        if name == "influencer":
            return self._influencer
        if name == "influencer_content":
            return self._influencer * self._n_contents + self._content
        if name == "influencer_genre":
            return self._influencer * self._n_genres + self._genre
        return self._content * self._n_types + self._type


class _Questions:
    """Groups to ask about, each once where all rows share one cut-off."""

    def __init__(self, group: np.ndarray, cut: np.ndarray):
        self._n_rows = len(group)
        self._back: np.ndarray | None = None
        if len(cut) == 1:
            self._back, group = pd.factorize(group)
            self._first = np.zeros(len(group), np.int64)
            self._first[self._back[::-1]] = np.arange(self._n_rows)[::-1]
        self._group, self._cut = group, np.broadcast_to(cut, len(group))

    def ask(self, outcomes: Outcomes, parent: np.ndarray, weights: np.ndarray) -> Rates:
        """Rates of all rows; parents and weights by row, or one for all."""
        if self._back is None:
            return outcomes.ask(self._group, self._cut, parent, weights)
        parent = parent[self._first] if len(parent) == self._n_rows else parent
        found = outcomes.ask(self._group, self._cut, parent, weights)
        return found.take(self._back)

    def surroundings(
        self, audiences: Audiences, outcomes: Outcomes, parent: np.ndarray, weights: np.ndarray
    ) -> Surroundings:
        """Of influencers, what those who share their audience say; parents and weights by cut."""
        n = len(self._group)
        found = audiences.ask(
            outcomes,
            self._group,
            self._cut,
            np.broadcast_to(parent, n),
            np.broadcast_to(weights, n),
        )
        return found if self._back is None else Surroundings(*(part[self._back] for part in found))


def _agreement(
    mine: pd.Series, theirs: pd.Series, my_row: np.ndarray, their_row: np.ndarray
) -> np.ndarray:
    """1 where both name the same, 0 where they differ, NaN where one is missing."""
    labels = pd.Index(pd.concat([mine, theirs]).dropna().unique())
    left = looked_up(labels.get_indexer(mine), my_row)
    right = looked_up(labels.get_indexer(theirs), their_row)
    return np.where((left < 0) | (right < 0), np.nan, left == right)


def _target_known(data: Database, target: str) -> np.ndarray:
    assert data.history is not None
    if target not in data.outcomes:
        near = closest(target, data.outcomes) or data.outcomes
        raise InputError(
            "no such outcome, or it is no number",
            table="history",
            column=target,
            remedy=f"choose from {', '.join(near)}" if near else "add a numeric column to history",
        )
    return data.history[target].notna().to_numpy()


def _logarithms(value: np.ndarray, index: pd.Index, target: str) -> np.ndarray:
    negative = np.flatnonzero(value < 0)
    if negative.size:
        raise InputError(
            "a negative outcome has no logarithm here",
            table="history",
            column=target,
            rows=index[negative].tolist(),
            value=float(value[negative[0]]),
            remedy="leave log_target out",
        )
    return np.log1p(value)
