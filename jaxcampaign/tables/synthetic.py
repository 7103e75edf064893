"""A seeded city of any size, as canonical tables."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from jaxcampaign.errors import InputError
from jaxcampaign.tables.city_life import BLOCK_M, DAY_MIN, People, live, settle
from jaxcampaign.tables.coercion import check_time_zone
from jaxcampaign.tables.labels import numbered, picked

_CENTER_LAT, _CENTER_LON = 39.6, -74.9
_M_PER_DEGREE = 111_195.0  # of latitude, on a sphere of radius 6,371 km
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday

_PANELS = np.array(["bulletin", "premiere panel", "poster", "junior poster", "transit shelter"])
_PANEL_SQFT = np.array([672.0, 300.0, 240.0, 72.0, 24.0])  # 14 x 48 feet ... 4 x 6 feet
_PANEL_SHARES = np.array([0.22, 0.08, 0.38, 0.20, 0.12])

# fmt: off
_PRODUCTS = [
    "coffee shop", "gym", "bar", "grocery store", "cinema", "bookstore", "pizza place", "park",
    "clothing store", "airline", "pharmacy", "museum", "bank", "music venue", "bakery", "hotel",
    "electronics store", "pet store", "bike shop", "theater", "ice cream shop", "spa",
    "car dealer", "toy store",
]
# fmt: on


class City(NamedTuple):
    """Canonical tables of one city.

    Attributes:
      checkins: user_id, time, lat, lon; grouped by user, in order of time.
      billboards: board_id, lat, lon, size (square feet), time_zone, panel; no cost, so that the
        influence-proportional cost of the literature applies.
      audiences: product_id, user_id.
    """

    checkins: pd.DataFrame
    billboards: pd.DataFrame
    audiences: pd.DataFrame


def synth_city(
    *,
    n_users: int = 2_000,
    n_boards: int = 200,
    n_products: int = 12,
    days: int = 7,
    checkins_per_user: float = 40.0,
    start: str = "2026-03-16",
    time_zone: str = "America/New_York",
    seed: int = 0,
) -> City:
    """A believable city; the same arguments give the same tables.

    Working days: home, the commute along the streets, work, lunch near it, an evening out, home.
    Days off: shops by day, later evenings. All by local time, daylight saving included. Activity
    per user is log-normal and the popularity of places follows Zipf's law.

    Args:
      n_users: people, each with at least one check-in.
      n_boards: billboards, each near a random passer-by away from home, hence where it is busy.
      n_products: products. Audience sizes fall off as a power law from 45 % of the users, and
        follow neighbourhood and lifestyle.
      days: length of the observed period.
      checkins_per_user: mean number of check-ins per user over the whole period, at least 1.
      start: first local day, `YYYY-MM-DD`.
      time_zone: IANA zone of the city.
      seed: seed of the one generator that everything is drawn from.

    Raises:
      InputError: a size below 1, a start that is no date, or an unknown time zone.
    """
    sizes = {
        "n_users": n_users,
        "n_boards": n_boards,
        "n_products": n_products,
        "days": days,
        "checkins_per_user": checkins_per_user,
    }
    for name, size in sizes.items():
        if not size >= 1:
            raise InputError("must be at least 1", table=name, value=size)
    check_time_zone(time_zone, table="synth_city")
    first_day = _day(start)
    rng = np.random.default_rng(seed)
    people, places = settle(rng, n_users)

    rate = rng.lognormal(0.0, 0.9, n_users)
    count = 1 + rng.poisson((checkins_per_user - 1) * rate / rate.mean())
    user = np.repeat(np.arange(n_users), count)
    day = rng.integers(0, days, len(user))
    weekend = (first_day.astype(int) + day + _EPOCH_WEEKDAY) % 7 >= 5
    minute, position = live(rng, user, weekend, people, places)
    second = np.floor((day * DAY_MIN + minute) * 60).astype(np.int64)

    order = np.argsort(user * (days * DAY_MIN * 60) + second, kind="stable")
    user, second, position = user[order], second[order], position[order]
    user_ids = numbered("u", n_users)
    lat, lon = _degrees(position)
    checkins = pd.DataFrame(
        {
            "user_id": picked(user_ids, user),
            "time": _utc(first_day, second, time_zone),
            "lat": lat,
            "lon": lon,
        }
    )
    away = np.abs(position - people.home[user]).max(axis=1) > BLOCK_M
    passers_by = position[away] if away.any() else position
    return City(
        checkins,
        _billboards(rng, passers_by, n_boards, time_zone),
        _audiences(rng, people, user_ids, n_products),
    )


def _billboards(
    rng: np.random.Generator, passers_by: np.ndarray, n_boards: int, time_zone: str
) -> pd.DataFrame:
    site = passers_by[rng.integers(0, len(passers_by), n_boards)]
    lat, lon = _degrees(site + rng.normal(0.0, 15.0, site.shape))
    panel = rng.choice(len(_PANELS), n_boards, p=_PANEL_SHARES)
    return pd.DataFrame(
        {
            "board_id": numbered("b", n_boards),
            "lat": lat,
            "lon": lon,
            "size": _PANEL_SQFT[panel],
            "time_zone": time_zone,
            "panel": _PANELS[panel],
        }
    )


def _audiences(
    rng: np.random.Generator, people: People, user_ids: pd.Series, n_products: int
) -> pd.DataFrame:
    """The users who score highest on neighbourhood, lifestyle and chance, so many per product."""
    n_users, n_centers = len(user_ids), people.home_center.max() + 1
    lifestyle = rng.normal(size=(n_users, 3))
    neighbourhood = 0.8 * rng.normal(size=(n_products, n_centers))
    appeal = 0.6 * rng.normal(size=(n_products, 3))
    share = 0.45 * rng.permutation(np.arange(1, n_products + 1)) ** -0.9
    size = np.maximum(1, np.round(share * n_users)).astype(int)

    def audience(product: int) -> np.ndarray:
        score = neighbourhood[product, people.home_center] + lifestyle @ appeal[product]
        score += rng.gumbel(0.0, 0.8, n_users)
        return np.sort(np.argpartition(-score, size[product] - 1)[: size[product]])

    members = np.concatenate([audience(product) for product in range(n_products)])
    cycle = np.arange(n_products) // len(_PRODUCTS)
    names = [
        _PRODUCTS[i % len(_PRODUCTS)] + (f" {cycle[i] + 1}" if cycle[i] else "")
        for i in range(n_products)
    ]
    product_ids = pd.Series(names, dtype="str")
    return pd.DataFrame(
        {
            "product_id": picked(product_ids, np.repeat(np.arange(n_products), size)),
            "user_id": picked(user_ids, members),
        }
    )


def _day(start: str) -> np.datetime64:
    try:
        return np.datetime64(start, "D")
    except ValueError:
        remedy = "write it as 2026-03-16"
        raise InputError("not a date", table="start", value=start, remedy=remedy) from None


def _degrees(position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """WGS84 latitude and longitude of metres east and north of the centre, to about 0.1 m."""
    lat = _CENTER_LAT + position[:, 1] / _M_PER_DEGREE
    lon = _CENTER_LON + position[:, 0] / (_M_PER_DEGREE * np.cos(np.radians(_CENTER_LAT)))
    return lat.round(6), lon.round(6)


def _utc(first_day: np.datetime64, second: np.ndarray, time_zone: str) -> pd.Series:
    local = pd.Series(first_day.astype("datetime64[us]") + second.astype("timedelta64[s]"))
    # In the hour that occurs twice the first is meant; the hour that is skipped moves on.
    zoned = local.dt.tz_localize(
        time_zone, ambiguous=np.ones(len(local), bool), nonexistent="shift_forward"
    )
    return zoned.dt.tz_convert("UTC").dt.as_unit("us")
