"""Campaigns with known answers, and a family of them at any size.

Chu and Beasley's multidimensional knapsacks (J. Heuristics 4, 1998) and the generalised assignment
problems of OR-Library (J. E. Beasley), read from `--data`; and a seeded family: influencers with a
hundred options each, a few posts of each, one budget, a least number of posts for each event, and
a limit of money for each genre.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from jaxcampaign import AtLeast, AtMost, Campaign, Conflict, Exclude, MaxShare, Require


def _numbers(path: Path, member: str) -> Iterator[float]:
    with tarfile.open(path) as archive:
        names = [name for name in archive.getnames() if name.split("/")[-1] == member]
        file = archive.extractfile(names[0])
        assert file is not None
        yield from map(float, file.read().split())


def best_known(data: Path) -> dict[str, float]:
    """Best known values of Chu and Beasley's instances by name, `5.100-00`.

    The first thirty, of 5 rows and 100 options, stand there without names.
    """
    with tarfile.open(data / "optim" / "orlib_mknapcb1-6.tar.gz") as archive:
        name = next(name for name in archive.getnames() if name.endswith("mkcbres.txt"))
        file = archive.extractfile(name)
        assert file is not None
        words = [line.split() for line in file.read().decode().splitlines()]
    alone = [float(word[0]) for word in words if len(word) == 1 and word[0].isdigit()]
    found = {f"5.100-{index:02d}": value for index, value in enumerate(alone[:30])}
    for word in words:
        if len(word) >= 2 and "-" in word[0] and "." in word[0]:
            found.setdefault(word[0], float(word[1]))  # a second table has the relaxations' values
    return found


_OPTIMA = {
    1: (336, 327, 339, 341, 326),
    2: (434, 436, 420, 419, 428),
    3: (580, 564, 573, 570, 564),
    4: (656, 644, 673, 647, 664),
    5: (563, 558, 564, 568, 559),
    6: (761, 759, 758, 752, 747),
    7: (942, 949, 968, 945, 951),
    8: (1133, 1134, 1141, 1117, 1127),
    9: (709, 717, 712, 723, 706),
    10: (958, 963, 960, 947, 947),
    11: (1139, 1178, 1195, 1171, 1171),
    12: (1451, 1449, 1433, 1447, 1446),
}
"""Optima of gap1 to gap12 (Osman, OR Spektrum 17, 1995)."""


def optimum(name: str) -> float:
    """The optimum of a generalised assignment by name, `gap3-1`."""
    file, _, index = name.removeprefix("gap").partition("-")
    return float(_OPTIMA[int(file)][int(index) - 1])


def knapsacks(data: Path, number: int) -> Iterator[tuple[str, Campaign]]:
    """The thirty instances of the file `mknapcb<number>.txt`."""
    read = _numbers(data / "optim" / "orlib_mknapcb1-6.tar.gz", f"mknapcb{number}.txt")
    for index in range(int(next(read))):
        n, m, _ = (int(next(read)) for _ in range(3))
        profit = np.array([next(read) for _ in range(n)])
        weight = np.array([[next(read) for _ in range(n)] for _ in range(m)])
        capacity = [next(read) for _ in range(m)]
        columns = {f"weight_{k}": weight[k] for k in range(m)}
        table = _options(profit, np.zeros(n)).assign(**columns)
        limits = [AtMost(capacity[k], of=f"weight_{k}") for k in range(m)]
        yield f"{m}.{n}-{index:02d}", Campaign(table, constraints=limits)


def assignments(data: Path, number: int) -> Iterator[tuple[str, Campaign]]:
    """The five instances of the file `gap<number>.txt`: jobs to agents, for most profit."""
    read = _numbers(data / "optim" / "orlib_gap1-12_a-c.tar.gz", f"gap{number}.txt")
    for index in range(int(next(read))):
        m, n = int(next(read)), int(next(read))
        profit, resource = (
            np.array([[next(read) for _ in range(n)] for _ in range(m)]) for _ in range(2)
        )
        capacity = {f"a{i}": next(read) for i in range(m)}
        agent, job = np.divmod(np.arange(m * n), n)
        table = _options(profit.ravel(), resource.ravel()).assign(
            agent=[f"a{i}" for i in agent], job=[f"j{j}" for j in job]
        )
        constraints = [
            AtMost(1, per="job"),
            AtLeast(1, per="job"),
            AtMost(capacity, per="agent", of="spend"),
        ]
        yield f"gap{number}-{index + 1}", Campaign(table, constraints=constraints)


def family(
    n_influencers: int,
    *,
    options_each: int = 100,
    events: int = 50,
    genres: int = 20,
    uneven: bool = False,
    weeks: int = 0,
    budget: float = 1.0,
    seed: int = 0,
) -> Campaign:
    """Two posts of each influencer at most; a budget, events to cover, genres with limits.

    Args:
      n_influencers: groups.
      options_each: options of each, on average.
      events: rows of coverage.
      genres: rows of money.
      weeks: where above 0, options fall into so many weeks, in each of which an influencer posts
        once at most.
      uneven: groups of 1 to 100 times the average size, as 1 / size.
      budget: as a share of the usual one.
      seed: of everything.
    """
    rng = np.random.default_rng(seed)
    if uneven:
        size = np.minimum(1 + rng.pareto(1.0, n_influencers) * options_each / 8, 100 * options_each)
        size = np.maximum(size * n_influencers * options_each / size.sum(), 1).astype(np.int64)
    else:
        size = np.full(n_influencers, options_each)
    influencer = np.repeat(np.arange(n_influencers), size)
    n = len(influencer)
    price = rng.lognormal(5, 1, n_influencers)[influencer] * rng.lognormal(0, 0.3, n)
    table = pd.DataFrame(
        {
            "influencer_id": _labels("i", influencer),
            "content_type": _labels("c", np.arange(n) - np.repeat(np.cumsum(size) - size, size)),
            "event_id": _labels("e", rng.integers(0, events, n)),
            "offset_hours": 0.0,
            "price": price,
            "mean": price**0.7 * rng.lognormal(0, 0.6, n),
            "std": 0.0,
            "genre": _labels("g", rng.integers(0, genres, n_influencers)[influencer]),
        }
    )
    table["when"] = _labels("w", rng.integers(0, max(weeks, 1), n))
    usual = 0.4 * n_influencers * float(price.mean())
    least = int(0.3 * n_influencers / events)
    return Campaign(
        table,
        budget=budget * usual,
        constraints=[
            AtMost(2, per="influencer_id"),
            AtLeast(least, per="event_id"),
            AtMost(1.5 * usual / genres, per="genre", of="spend"),
            *([AtMost(1, per=["influencer_id", "when"])] if weeks else []),
        ],
    )


def random_rules(seed: int, n: int = 60) -> Campaign:
    """A small campaign with some of all kinds of constraints; about a third cannot be met."""
    rng = np.random.default_rng(seed)
    influencer = rng.integers(0, n // 4, n)
    start = pd.Timestamp("2026-03-01", tz="UTC")
    table = pd.DataFrame(
        {
            "influencer_id": [f"i{i}" for i in influencer],
            "content_type": [f"c{i}" for i in rng.integers(0, 3, n)],
            "event_id": [f"e{i}" for i in rng.integers(0, 4, n)],
            "offset_hours": np.arange(n, dtype=float),
            "posted_at": start + pd.to_timedelta(rng.integers(0, 20, n), unit="D"),
            "genre": np.array(["art", "music", "sport"])[influencer % 3],
            "followers": rng.integers(1, 50, n).astype(float),
            "price": rng.integers(1, 30, n).astype(float),
            "mean": rng.normal(8, 5, n).round(3),
            "std": 0.0,
        }
    )
    money = float(table["price"].sum())
    first = {"offset_hours": float(rng.integers(0, n))}
    offers = [
        AtMost(int(rng.integers(1, 3)), per="influencer_id"),
        AtMost(1, per=["influencer_id", "week"]),
        AtMost(1, per="influencer_id", days=float(rng.integers(2, 6))),
        AtLeast(int(rng.integers(1, 6)), per="event_id"),
        AtLeast(float(rng.integers(50, 400)), of="followers", where={"genre": "art"}),
        AtMost(float(rng.uniform(0.05, 0.3)) * money, per="genre", of="spend"),
        MaxShare(float(rng.uniform(0.34, 0.7)), per="genre"),
        MaxShare(float(rng.uniform(0.34, 0.7)), per="genre", of="spend"),
        AtLeast(int(rng.integers(2, 8)), of="influencer_id"),
        AtMost(int(rng.integers(1, 4)), per="genre", of="influencer_id"),
        Conflict({"content_type": "c0"}, {"content_type": "c1"}, per="event_id"),
        Require(first),
        Exclude({"offset_hours": float((first["offset_hours"] + 1) % n)}),
    ]
    budget = float(rng.uniform(0.02, 0.5)) * money if rng.random() < 0.7 else None
    taken = [offer for offer in offers if rng.random() < 0.4]
    return Campaign(table, budget=budget, constraints=taken)


def _options(mean: np.ndarray, price: np.ndarray) -> pd.DataFrame:
    n = len(mean)
    return pd.DataFrame(
        {
            "influencer_id": _labels("i", np.arange(n)),
            "content_type": "post",
            "event_id": "e",
            "offset_hours": 0.0,
            "price": price,
            "mean": mean,
            "std": 0.0,
        }
    )


def _labels(prefix: str, number: np.ndarray) -> pd.Categorical:
    width = len(str(number.max()))
    names = prefix + pd.Series(np.arange(number.max() + 1)).astype("str").str.zfill(width)
    return pd.Categorical.from_codes(number, categories=pd.Index(names))
