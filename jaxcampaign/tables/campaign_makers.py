"""The tables of a synthetic campaign that do not depend on what is posted."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jaxcampaign.tables.campaign_truth import DAY, Overlaps, Traits
from jaxcampaign.tables.labels import numbered, picked

GENRES = np.array(["art", "beauty", "fashion", "food", "gaming", "music", "sport", "travel"])
LOCATIONS = np.array(["Berlin", "Lagos", "London", "Mumbai", "Paris", "Tokyo"])
CONTENTS = np.array(["live", "photo", "reel", "story", "video"])
TYPES = np.array(["concert", "festival", "launch", "sale"])
OFFSETS_PER_EVENT = 6
WEEK = np.timedelta64(7, "D")
START = np.datetime64("2024-01-01", "us")  # a Monday
_OFFSETS_HOURS = np.array([-168.0, -120, -96, -72, -48, -30, -24, -6, 0, 8, 24, 48])
_APPEAL = 0.4  # deviation of the lasting appeal, before g_I is scaled
_ROUNDS_OF_SHARING = 3
_WARM_UP_DAYS, _SETTLED_DAYS, _HORIZON_DAYS = 45, 15, 45


def make_influencers(rng: np.random.Generator, n: int) -> pd.DataFrame:
    """Log-normal audiences; the age of an audience is noise, and missing for a tenth."""
    followers = np.round(np.exp(rng.normal(10.5, 1.3, n)), -2) + 100
    rate = 0.05 * (followers / 3e4) ** -0.15 * rng.lognormal(0, 0.4, n)
    age = np.where(rng.random(n) < 0.1, np.nan, rng.normal(29, 6, n).round(1))
    return pd.DataFrame(
        {
            "influencer_id": numbered("i", n),
            "genre": picked(pd.Series(GENRES), rng.integers(0, len(GENRES), n)),
            "location": picked(pd.Series(LOCATIONS), rng.integers(0, len(LOCATIONS), n)),
            "followers": followers,
            "engagement_rate": rate.round(5),
            "er_basis": pd.Series(["followers"] * n, dtype="str"),
            "audience_age": age,
        }
    )


def make_events(
    rng: np.random.Generator, n_past: int, n_future: int, end: np.datetime64
) -> pd.DataFrame:
    """Past events within the past, later ones within six weeks after its end."""
    past = int((end - START) / DAY)
    first, last = _WARM_UP_DAYS, past - _SETTLED_DAYS
    day = np.concatenate(
        [
            np.sort(rng.uniform(first, last, n_past)),
            past + np.sort(rng.uniform(10, _HORIZON_DAYS, n_future)),
        ]
    ).astype(int)
    n = n_past + n_future
    hour = rng.integers(10, 22, n)
    date = START + day.astype("timedelta64[D]") + hour.astype("timedelta64[h]")
    return pd.DataFrame(
        {
            "event_id": numbered("e", n),
            "date": pd.Series(date).dt.tz_localize("UTC"),
            "location": picked(pd.Series(LOCATIONS), rng.integers(0, len(LOCATIONS), n)),
            "genre": picked(pd.Series(GENRES), rng.integers(0, len(GENRES), n)),
            "scale": np.exp(rng.normal(8, 1, n)).round(),
            "type": picked(pd.Series(TYPES), rng.integers(0, len(TYPES), n)),
        }
    )


def make_market(
    rng: np.random.Generator, end: np.datetime64
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Weekly indices per genre and location, published three days later, none after the end."""
    time = np.arange(START - 8 * WEEK, end - 3 * DAY, WEEK)
    shape = (len(time), len(GENRES), len(LOCATIONS))
    shock = (
        0.8 * rng.normal(size=(shape[0], shape[1], 1))
        + 0.5 * rng.normal(size=(shape[0], 1, shape[2]))
        + 0.35 * rng.normal(size=shape)
    )
    keep = 0.9
    level = shock[0]
    levels = [level]
    for week in range(1, len(time)):
        level = keep * level + np.sqrt(1 - keep**2) * shock[week]
        levels.append(level)
    popularity = np.round(np.stack(levels), 6)
    places = np.indices(shape).reshape(3, -1)
    published = time + 3 * DAY
    frame = pd.DataFrame(
        {
            "genre": picked(pd.Series(GENRES), places[1]),
            "location": picked(pd.Series(LOCATIONS), places[2]),
            "time": pd.Series(time[places[0]]).dt.tz_localize("UTC"),
            "available_at": pd.Series(published[places[0]]).dt.tz_localize("UTC"),
            "popularity": popularity.ravel(),
            "ad_cost": np.round(rng.lognormal(1.0, 0.2, popularity.size), 4),
        }
    )
    return frame, popularity, published


def make_traits(
    rng: np.random.Generator,
    influencers: pd.DataFrame,
    events: pd.DataFrame,
    popularity: np.ndarray,
    published: np.ndarray,
    overlaps: pd.DataFrame,
    drift: float,
) -> Traits:
    """Attributes in codes, and the coefficients of the truth."""
    followers = influencers["followers"].to_numpy()
    ids = pd.Index(influencers["influencer_id"])
    shared = Overlaps.between(
        ids.get_indexer(overlaps["influencer_id"]),
        ids.get_indexer(overlaps["other_id"]),
        overlaps["weight"].to_numpy(),
        len(ids),
    )
    factor = np.array([1.6, 0.8, 1.4, 0.5, 1.9])
    n_contents = len(CONTENTS)
    return Traits(
        genre=np.searchsorted(GENRES, influencers["genre"].to_numpy(str)),
        location=np.searchsorted(LOCATIONS, influencers["location"].to_numpy(str)),
        log_followers=(np.log(followers) - 10.5) / 1.3,
        rate=(np.log(influencers["engagement_rate"].to_numpy()) + 3) / 0.45,
        event_genre=np.searchsorted(GENRES, events["genre"].to_numpy(str)),
        event_location=np.searchsorted(LOCATIONS, events["location"].to_numpy(str)),
        event_type=np.searchsorted(TYPES, events["type"].to_numpy(str)),
        event_scale=np.log(events["scale"].to_numpy()) - 8,
        event_date=events["date"].to_numpy("datetime64[us]"),
        content=rng.permutation(np.linspace(-1.2, 1.2, n_contents)),
        content_by_type=rng.normal(size=(n_contents, len(TYPES))),
        trend=drift * rng.normal(size=n_contents),
        noise=0.3 * rng.permutation(np.linspace(-1.0, 1.0, n_contents)),
        fair_price=0.05 * followers[:, None] ** 0.85 * factor,
        appeal=_APPEAL * _alike(rng.normal(size=len(ids)), shared),
        overlap=shared,
        popularity=popularity,
        published=published,
        origin=START,
    )


def _alike(values: np.ndarray, overlap: Overlaps) -> np.ndarray:
    """Values that those who share an audience have in common, for the most part; deviation 1."""
    for _ in range(_ROUNDS_OF_SHARING):
        values = 0.5 * values + overlap.mean(values)
    return (values - values.mean()) / (values.std() or 1.0)


def make_prices(
    rng: np.random.Generator, influencers: pd.DataFrame, fair: np.ndarray
) -> tuple[pd.DataFrame, np.ndarray]:
    """The table, and f64[I, C] with NaN where there is no offer."""
    offered: np.ndarray = rng.random(fair.shape) < 0.75
    offered[np.arange(len(fair)), rng.integers(0, fair.shape[1], len(fair))] = True
    price = np.where(offered, np.round(fair * rng.lognormal(0, 0.4, fair.shape), 2), np.nan)
    i, c = np.nonzero(offered)
    frame = pd.DataFrame(
        {
            "influencer_id": picked(influencers["influencer_id"], i),
            "content_type": picked(pd.Series(CONTENTS), c),
            "price": price[i, c],
        }
    )
    return frame, price


def make_posting_times(rng: np.random.Generator, events: pd.DataFrame) -> pd.DataFrame:
    """Six of twelve offsets for each event, in order."""
    shuffled = rng.random((len(events), len(_OFFSETS_HOURS))).argsort(axis=1)
    chosen = np.sort(shuffled[:, :OFFSETS_PER_EVENT], axis=1)
    return pd.DataFrame(
        {
            "event_id": picked(
                events["event_id"], np.repeat(np.arange(len(events)), OFFSETS_PER_EVENT)
            ),
            "offset_hours": _OFFSETS_HOURS[chosen].ravel(),
        }
    )


def make_overlaps(rng: np.random.Generator, influencers: pd.DataFrame) -> pd.DataFrame:
    """Audiences shared with the ten nearest influencers of the same genre."""
    genre = influencers["genre"].to_numpy(str)
    order = np.lexsort((rng.random(len(genre)), genre))
    steps = np.arange(1, 6)
    left = np.repeat(np.arange(len(order)), len(steps))
    right = left + np.tile(steps, len(order))
    inside = right < len(order)
    i, j = order[left[inside]], order[right[inside]]
    alike = genre[i] == genre[j]
    i, j = i[alike], j[alike]
    return pd.DataFrame(
        {
            "influencer_id": picked(influencers["influencer_id"], i),
            "other_id": picked(influencers["influencer_id"], j),
            "weight": rng.beta(1.5, 8, len(i)).round(4),
        }
    )
