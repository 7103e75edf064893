"""How the people of a synthetic city live: where, and at what local time of day.

Metres on a plane around the city's centre. Streets run along x, avenues along y; homes stand on
streets, shops and offices on corners, and a commute follows one street and then one avenue.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

DAY_MIN = 1440
BLOCK_M = 80.0  # between streets
_AVENUE_M = 240.0  # between avenues
_N_CENTERS = 9  # the first is the central business district
_TRAVEL_M_PER_MIN = 280.0
_GPS_M = 8.0

Visits: TypeAlias = tuple[np.ndarray, np.ndarray]
"""Local minute of the day, f64[N], and position in metres, f64[N, 2]."""


@dataclass(frozen=True, eq=False)
class Places:
    """Shops, offices and bars, grouped by centre."""

    position: np.ndarray  # f64[V, 2], metres
    first: np.ndarray  # i64[centres], index of each centre's first place
    count: np.ndarray  # i64[centres]

    def visited(self, rng: np.random.Generator, center: np.ndarray) -> np.ndarray:
        """Positions of one place per given centre, by Zipf's law: the k-th has weight 1 / k."""
        rank = (self.count[center] + 1.0) ** rng.random(len(center))
        return self.position[self.first[center] + rank.astype(int) - 1]


@dataclass(frozen=True, eq=False)
class People:
    """Who lives and works where."""

    home: np.ndarray  # f64[U, 2], metres
    work: np.ndarray  # f64[U, 2]
    haunt: np.ndarray  # f64[U, 2], a favourite place for the evening
    home_center: np.ndarray  # i64[U]
    work_center: np.ndarray  # i64[U]
    departure_min: np.ndarray  # f64[U], local time of leaving home on a working day

    @property
    def travel_min(self) -> np.ndarray:
        """Minutes from home to work, f64[U]."""
        return 4 + np.abs(self.home - self.work).sum(axis=1) / _TRAVEL_M_PER_MIN


def settle(rng: np.random.Generator, n_users: int) -> tuple[People, Places]:
    """Lays out a city and gives everybody a home and a work place."""
    radius = 1_500.0 + 1_500.0 * np.log1p(n_users / 500.0)  # larger cities sprawl
    turns = (np.arange(_N_CENTERS - 1) + rng.uniform(0.0, 0.6, _N_CENTERS - 1)) / (_N_CENTERS - 1)
    distance = radius * rng.uniform(0.45, 1.0, _N_CENTERS - 1)
    angle = 2 * np.pi * turns
    around = distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    center = np.concatenate([np.zeros((1, 2)), around])
    spread = radius * np.concatenate([[0.16], rng.uniform(0.10, 0.22, _N_CENTERS - 1)])

    n_places = 60 + 4 * n_users**0.65
    share = np.concatenate([[0.35], np.full(_N_CENTERS - 1, 0.65 / (_N_CENTERS - 1))])
    count = np.maximum(1, np.round(n_places * share)).astype(int)
    of = np.repeat(np.arange(_N_CENTERS), count)
    corners = _scattered(rng, center[of], 0.6 * spread[of])
    grid = np.array([_AVENUE_M, BLOCK_M])
    places = Places(np.round(corners / grid) * grid, np.cumsum(count) - count, count)

    residents = rng.lognormal(0.0, 0.5, _N_CENTERS)
    residents[0] = 0.5 * residents[1:].min()  # few live among the offices
    home_center = rng.choice(_N_CENTERS, n_users, p=residents / residents.sum())
    elsewhere = rng.integers(0, _N_CENTERS, n_users)
    kind = rng.random(n_users)
    work_center = np.where(kind < 0.5, 0, np.where(kind < 0.7, home_center, elsewhere))
    home = _scattered(rng, center[home_center], spread[home_center])
    home[:, 1] = np.round(home[:, 1] / BLOCK_M) * BLOCK_M
    people = People(
        home=home,
        work=places.visited(rng, work_center),
        haunt=places.visited(rng, np.where(rng.random(n_users) < 0.4, 0, home_center)),
        home_center=home_center,
        work_center=work_center,
        departure_min=np.clip(rng.normal(8 * 60 + 5, 40, n_users), 5.5 * 60, 11 * 60),
    )
    return people, places


def live(
    rng: np.random.Generator,
    user: np.ndarray,
    weekend: np.ndarray,
    people: People,
    places: Places,
) -> Visits:
    """One moment in the day of each given user.

    Args:
      rng: the city's generator, consumed.
      user: i64[N], who.
      weekend: bool[N], on a day off?
      people: who lives where.
      places: where they go.
    """
    draw = rng.random(len(user))
    activity = np.where(
        weekend, np.searchsorted(_DAY_OFF, draw), np.searchsorted(_WORKING_DAY, draw)
    )
    minute = np.empty(len(user))
    position = np.empty((len(user), 2))
    for number, (pursue, _, _) in enumerate(_ACTIVITIES):
        rows = np.flatnonzero(activity == number)
        minute[rows], position[rows] = pursue(rng, user[rows], weekend[rows], people, places)
    position += rng.normal(0.0, _GPS_M, position.shape)
    return np.clip(minute, 0.0, DAY_MIN - 0.02), position


def _morning_at_home(
    rng: np.random.Generator, user: np.ndarray, weekend: np.ndarray, people: People, _: Places
) -> Visits:
    until = np.where(weekend, 11 * 60, people.departure_min[user])
    return until * np.sqrt(rng.random(len(user))), people.home[user]


def _commute_out(
    rng: np.random.Generator, user: np.ndarray, _: np.ndarray, people: People, __: Places
) -> Visits:
    way = rng.random(len(user))
    return people.departure_min[user] + way * people.travel_min[user], _along(people, user, way)


def _work(
    rng: np.random.Generator, user: np.ndarray, _: np.ndarray, people: People, __: Places
) -> Visits:
    arrival = people.departure_min[user] + people.travel_min[user]
    return arrival + (17.2 * 60 - arrival) * rng.random(len(user)), people.work[user]


def _errand(
    rng: np.random.Generator, user: np.ndarray, weekend: np.ndarray, people: People, places: Places
) -> Visits:
    n = len(user)
    lunch, shopping = rng.normal(12 * 60 + 40, 25, n), rng.normal(14 * 60 + 30, 120, n)
    somewhere = np.where(rng.random(n) < 0.5, rng.integers(0, _N_CENTERS, n), 0)
    center = np.where(weekend, somewhere, people.work_center[user])
    return np.where(weekend, shopping, lunch), places.visited(rng, center)


def _commute_back(
    rng: np.random.Generator, user: np.ndarray, _: np.ndarray, people: People, __: Places
) -> Visits:
    way = rng.random(len(user))
    leaving = rng.normal(17 * 60 + 35, 45, len(user))
    return leaving + way * people.travel_min[user], _along(people, user, 1 - way)


def _evening_out(
    rng: np.random.Generator, user: np.ndarray, weekend: np.ndarray, people: People, places: Places
) -> Visits:
    n = len(user)
    center = np.where(rng.random(n) < 0.4, 0, people.home_center[user])
    usual = rng.random((n, 1)) < 0.5
    position = np.where(usual, people.haunt[user], places.visited(rng, center))
    return rng.normal(np.where(weekend, 21 * 60, 20 * 60), 75, n), position


def _night_at_home(
    rng: np.random.Generator, user: np.ndarray, _: np.ndarray, people: People, __: Places
) -> Visits:
    return rng.uniform(20.5 * 60, DAY_MIN, len(user)), people.home[user]


def _along(people: People, user: np.ndarray, way: np.ndarray) -> np.ndarray:
    """Positions at a share `way` (f64[N]) of the street, then avenue, from home to work."""
    home, leg = people.home[user], (people.work - people.home)[user]
    length = np.abs(leg)
    gone = way * length.sum(axis=1)
    on_street = np.minimum(gone, length[:, 0])
    walked = np.stack([on_street, gone - on_street], axis=1)
    return home + np.sign(leg) * walked


def _scattered(rng: np.random.Generator, around: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return around + spread[:, None] * rng.normal(size=around.shape)


# What people do, and its share of the check-ins of a working day and of a day off.
_ACTIVITIES: tuple[tuple[Callable[..., Visits], float, float], ...] = (
    (_morning_at_home, 0.12, 0.20),
    (_commute_out, 0.19, 0.00),
    (_work, 0.16, 0.00),
    (_errand, 0.11, 0.38),
    (_commute_back, 0.20, 0.00),
    (_evening_out, 0.14, 0.27),
    (_night_at_home, 0.08, 0.15),
)
_WORKING_DAY = np.cumsum([share for _, share, _ in _ACTIVITIES])[:-1]
_DAY_OFF = np.cumsum([share for _, _, share in _ACTIVITIES])[:-1]
