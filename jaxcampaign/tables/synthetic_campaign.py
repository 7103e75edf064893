"""A seeded influencer campaign of any size, whose truth is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from jaxcampaign.errors import InputError
from jaxcampaign.tables.campaign_makers import (
    CONTENTS,
    OFFSETS_PER_EVENT,
    START,
    WEEK,
    make_events,
    make_influencers,
    make_market,
    make_overlaps,
    make_posting_times,
    make_prices,
    make_traits,
)
from jaxcampaign.tables.campaign_truth import (
    BASE,
    DAY,
    PARTS,
    CampaignTruth,
    Memory,
    Past,
    Scaling,
    Traits,
)
from jaxcampaign.tables.database import Database, open_database
from jaxcampaign.tables.labels import picked

_WAVE = 1.2  # log of how much more, or less, an influencer is booked than on average
_WAVE_DAYS = (120.0, 300.0)  # length of a wave
_NEWCOMERS = 0.5  # share of influencers who are first worked with some time later
_NEVER = -20.0  # log of how much influencers are booked before that


@dataclass(frozen=True, eq=False)
class SyntheticCampaign:
    """Canonical tables and, apart from them, the truth.

    Attributes:
      tables: influencers, prices, events, posting_times, history, market, overlaps (if any).
      truth: exact mean, deviation and parts of every post.
      as_of: the planning cut-off: history ends before it, and the last events follow it.
    """

    tables: dict[str, pd.DataFrame]
    truth: CampaignTruth
    as_of: pd.Timestamp

    def database(self) -> Database:
        """The tables, opened."""
        return open_database(self.tables)


def synth_campaign(
    *,
    n_influencers: int = 400,
    n_events: int = 150,
    n_future_events: int = 12,
    n_history: int = 20_000,
    days: int = 730,
    cold: float = 0.1,
    non_additive: float = 0.0,
    drift: float = 0.1,
    seed: int = 0,
) -> SyntheticCampaign:
    """A believable campaign with exactly known effects; the same arguments give the same tables.

    A post of influencer i, content type c, event e at time t, planned at the cut-off tau, brings

        y = f + sigma * eps,    eps ~ N(0, 1) independent,
        f = 40 + g_I + g_H + g_M + interaction        (engagements per 1,000 people reached)

    g_I = 3.5 * standardised[0.4 appeal_i + 0.15 tanh(audience) + 0.1 rate + 0.6 a_c
          + 0.4 b_{c, type e} + drift_c * years + 0.5 tanh(scale_e) + 0.6 [genre i = genre e]
          + 0.3 [location i = location e] + 0.9 exp(-(days before e - 2)^2 / 4.5)
          + 0.3 sin(2 pi (hour - 13) / 24) + 0.5 tanh(log(price / fair price))],
    g_H = 5 tanh(form_i / 3) + 2 tanh(2 around_i / 3) + 5 practice / (practice + 6)
          - 5 load^2 / (load^2 + 36),
    g_M = 3 * standardised[tanh(popularity of genre e in location e) + 0.6 sin(2 pi (day of year /
          year - 0.2))], the index as last published strictly before tau,
    sigma = 4 exp(s_c - 0.15 tanh(audience)) (0.85 + 0.3 / (1 + load)).

    What lasts belongs to g_I, what changes with past campaigns to g_H; so the parts can be told
    apart. The appeal of an influencer stands in no table: outcomes reveal it, and those of others
    who share the audience, to whom it is alike (audiences of the ten nearest of a genre overlap).
    The state of past campaigns rests on the outcomes known strictly before tau, with weights w_j =
    2^(-(tau - known_j) / 45 days):

        form = sum_j w_j (y_j - level) / (sum_j w_j + 2), level = 40 + sum_j (y_j - 40) / (n + 2):
               a run of success carries the next post, and fades;
        around = mean form of those who share the audience, by overlap;
        practice = outcomes of the influencer with the content type;
        load = sum_j w_j: an audience that is asked often tires.

    Standardised means: centred and scaled over the posts of history. The interaction, a product
    of the standardised g_I with g_M and with tanh(g_H / 3), is scaled to about the share
    `non_additive` of the variance of f; at 0, f is exactly additive. All else that f and sigma
    depend on stands in the tables, so the truth is the best that any model can do. Half of the
    influencers are worked with from the start, the others join at some time; they are booked to
    different degrees and in waves of 4 to 10 months. Outcomes become known 2 to 10 days after
    posting; posts are planned on Mondays, 7 to 28 days ahead.

    Args:
      n_influencers: influencers.
      n_events: past events, which history is about.
      n_future_events: events after the cut-off, to be planned.
      n_history: rows of history.
      days: length of the past, at least 120.
      cold: share of influencers without history.
      non_additive: share of the variance of f that is not additive, in [0, 1).
      drift: standard deviation of the change of a content type's appeal per year, in standard
        deviations of g_I before scaling.
      seed: seed of the one generator that everything is drawn from.

    Raises:
      InputError: a size below 1 or a share out of range.
    """
    _check(
        {
            "n_influencers": (n_influencers, 1, np.inf),
            "n_events": (n_events, 1, np.inf),
            "n_future_events": (n_future_events, 1, np.inf),
            "n_history": (n_history, 1, np.inf),
            "days": (days, 120, np.inf),
            "cold": (cold, 0, 0.99),
            "non_additive": (non_additive, 0, 0.99),
            "drift": (drift, 0, np.inf),
        }
    )
    rng = np.random.default_rng(seed)
    end = START + (days // 7) * WEEK  # a Monday: plans are made on Mondays
    influencers = make_influencers(rng, n_influencers)
    events = make_events(rng, n_events, n_future_events, end)
    market, popularity, published = make_market(rng, end)
    overlaps = make_overlaps(rng, influencers)
    traits = make_traits(rng, influencers, events, popularity, published, overlaps, drift)
    prices, price = make_prices(rng, influencers, traits.fair_price)
    posting_times = make_posting_times(rng, events)
    rows = _history_rows(
        rng, n_history, price, posting_times["offset_hours"].to_numpy(), n_events, traits, cold
    )
    parts, scaling, outcome = _lived(rng, rows, traits, non_additive)
    history = _history(rng, rows, influencers, events, outcome)
    tables = {
        "influencers": influencers,
        "prices": prices,
        "events": events,
        "posting_times": posting_times,
        "history": history,
        "market": market,
    }
    if len(overlaps):  # a few influencers may share no genre, hence no audience
        tables["overlaps"] = overlaps
    truth = CampaignTruth(BASE, parts, tables, traits, scaling)
    return SyntheticCampaign(tables, truth, pd.Timestamp(end, tz="UTC"))


def _check(ranges: dict[str, tuple[float, float, float]]) -> None:
    for name, (value, low, high) in ranges.items():
        if not low <= value <= high:
            remedy = f"give at least {low:g}" if high == np.inf else f"give {low:g} to {high:g}"
            raise InputError("out of range", table=name, value=value, remedy=remedy)


def _history_rows(
    rng: np.random.Generator,
    n: int,
    price: np.ndarray,
    offsets: np.ndarray,
    n_past: int,
    traits: Traits,
    cold: float,
) -> dict[str, np.ndarray]:
    """What was posted when, in order of planning."""
    n_influencers = len(price)
    active = rng.gamma(2.0, size=n_influencers) + 0.2
    n_cold = min(round(cold * n_influencers), n_influencers - 1)
    active[rng.permutation(n_influencers)[:n_cold]] = 0.0
    offers_i, offers_c = np.nonzero(~np.isnan(price))
    share = active[offers_i] / np.bincount(offers_i)[offers_i]
    e = rng.integers(0, n_past, n)
    offer = _booked(rng, e, share, offers_i, traits.event_date[:n_past])
    place = rng.integers(0, OFFSETS_PER_EVENT, n)
    hours = offsets.reshape(-1, OFFSETS_PER_EVENT)[e, place]
    # A little after the hour, so that no two posts of one influencer coincide.
    late = rng.integers(0, 1_800_000_000, n).astype("timedelta64[us]")
    posted = traits.event_date[e] + (hours * 3_600_000_000).astype("timedelta64[us]") + late
    ahead = rng.uniform(7, 28, n)
    planned = posted - (ahead * 86_400_000_000).astype("timedelta64[us]")
    planned -= (planned - START) % WEEK
    wait = (rng.uniform(2, 10, n) * 86_400_000_000).astype("timedelta64[us]")
    order = np.lexsort((posted, planned))
    i, c = offers_i[offer], offers_c[offer]
    rows = {"i": i, "c": c, "e": e, "price": price[i, c]}
    rows |= {"posted": posted, "planned": planned, "known": posted + wait}
    return {name: values[order] for name, values in rows.items()}


def _booked(
    rng: np.random.Generator,
    e: np.ndarray,
    share: np.ndarray,
    offers_i: np.ndarray,
    date: np.ndarray,
) -> np.ndarray:
    """i64[N], the offer taken for each post: influencers join, and are booked in waves."""
    n_influencers = offers_i.max() + 1
    period = rng.uniform(*_WAVE_DAYS, n_influencers)
    phase = rng.uniform(0, 1, n_influencers)
    late = rng.random(n_influencers) < _NEWCOMERS
    joined = np.where(late, rng.uniform(0, 1, n_influencers), 0.0)
    day = (date - START) / DAY
    wave = _WAVE * np.sin(2 * np.pi * (day[:, None] / period + phase))
    # Not yet there is next to never, so that an event before all of them finds somebody.
    wave = np.exp(np.where(day[:, None] < joined * day.max(), _NEVER, wave))[:, offers_i]
    reached = np.cumsum(share * wave, axis=1)
    reached /= reached[:, -1:]
    # One search in all events' distributions at once: event e's lies between e and e + 1.
    sought = e + rng.random(len(e))
    found = np.searchsorted((reached + np.arange(len(date))[:, None]).ravel(), sought)
    return np.minimum(found - e * len(offers_i), len(offers_i) - 1)


def _lived(
    rng: np.random.Generator, rows: dict[str, np.ndarray], traits: Traits, non_additive: float
) -> tuple[pd.DataFrame, Scaling, np.ndarray]:
    """Truth and outcomes, week by week, because outcomes depend on those known before."""
    i, c, e, planned, known = (rows[name] for name in ("i", "c", "e", "planned", "known"))
    own = traits.raw_own(i, c, e, rows["posted"], rows["price"])
    market = traits.raw_market(e, rows["posted"], planned)
    scaling = Scaling(
        own.mean(), own.std() or 1.0, market.mean(), market.std() or 1.0, non_additive
    )
    noise = traits.noise_of(i, c)
    eps = rng.normal(size=len(i))
    outcome = np.empty(len(i))
    truth = np.empty((len(i), len(PARTS)))
    by_known = np.argsort(known, kind="stable")
    past = Past(traits.fair_price.shape, traits.overlap, planned[0])
    learned = 0
    weeks, starts = np.unique(planned, return_index=True)
    reached = np.searchsorted(known[by_known], weeks)  # strictly before the week
    for week, start, stop, upto in zip(weeks, starts, [*starts[1:], len(i)], reached, strict=True):
        past.move(week)
        new = by_known[learned:upto]
        past.learn(i[new], c[new], known[new], outcome[new] - BASE)
        learned = upto
        now = slice(start, stop)
        memory: Memory = past.recall(i[now], c[now])
        parts = scaling.parts(own[now], market[now], memory, noise[now])
        truth[now] = parts[PARTS].to_numpy()
        outcome[now] = parts["f"] + parts["sigma"] * eps[now]
    return pd.DataFrame(truth, columns=PARTS), scaling, outcome


def _history(
    rng: np.random.Generator,
    rows: dict[str, np.ndarray],
    influencers: pd.DataFrame,
    events: pd.DataFrame,
    outcome: np.ndarray,
) -> pd.DataFrame:
    reach = 0.3 * influencers["followers"].to_numpy()[rows["i"]]
    reach = reach * np.exp(0.02 * (outcome - BASE) + rng.normal(0, 0.3, len(outcome)))
    times = {
        name: pd.Series(rows[column]).dt.tz_localize("UTC")
        for name, column in (
            ("posted_at", "posted"),
            ("planned_at", "planned"),
            ("outcome_known_at", "known"),
        )
    }
    return pd.DataFrame(
        {
            "campaign_id": picked("c" + events["event_id"].str[1:], rows["e"]),
            "influencer_id": picked(influencers["influencer_id"], rows["i"]),
            "content_type": picked(pd.Series(CONTENTS), rows["c"]),
            "event_id": picked(events["event_id"], rows["e"]),
            **times,
            "spend": rows["price"],
            "engagement": outcome,
            "impressions": np.round(reach),
        }
    )
