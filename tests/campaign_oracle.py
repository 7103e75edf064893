"""Tiny random campaigns with all kinds of constraints, and their optimum by trying everything.

The rules are written down a second time, as sums over tables of plans, and share no code with the
package.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from jaxcampaign.problems.campaign import (
    AtLeast,
    AtMost,
    Campaign,
    Conflict,
    Exclude,
    MaxShare,
    Require,
)

TOLERANCE = 1e-9


def random_options(rng: np.random.Generator, n: int) -> pd.DataFrame:
    """Options of few influencers, events and genres, at prices in whole money."""
    influencer = rng.integers(0, max(n // 3, 1), n)
    return pd.DataFrame(
        {
            "influencer_id": [f"i{i}" for i in influencer],
            "content_type": [f"c{i}" for i in rng.integers(0, 3, n)],
            "event_id": [f"e{i}" for i in rng.integers(0, 3, n)],
            "offset_hours": np.arange(n, dtype=float),
            "posted_at": pd.Timestamp("2026-03-01", tz="UTC")
            + pd.to_timedelta(rng.integers(0, 20, n), unit="D"),
            "genre": np.array(["art", "music", "sport"])[influencer % 3],
            "followers": rng.integers(1, 50, n).astype(float),
            "price": rng.integers(1, 30, n).astype(float),
            "mean": rng.normal(8, 5, n).round(3),
            "std": rng.uniform(0, 4, n).round(3),
        }
    )


@dataclass
class Case:
    """A campaign and which of all 2^N plans its rules allow."""

    problem: Campaign
    allowed: np.ndarray
    plans: np.ndarray
    kinds: list[str] = field(default_factory=list)

    @property
    def best(self) -> float | None:
        """The most valuable plan's value; None where there is none."""
        if not self.allowed.any():
            return None
        value = self.problem.mean - self.problem.risk_aversion * self.problem.std
        return float((self.plans[self.allowed] @ value).max())


def random_case(seed: int, n: int = 12) -> Case:
    """A campaign with a few of all the kinds of constraints."""
    rng = np.random.default_rng(seed)
    options = random_options(rng, n)
    plans = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(float)
    ok = np.ones(len(plans), bool)
    constraints, kinds = [], []
    budget = None

    def sums(weights, mask):
        return plans @ (weights * mask)

    def groups(name):
        return {value: (options[name] == value).to_numpy(float) for value in options[name].unique()}

    def hide(kind):
        return rng.random() < {"hard": 0.35}.get(kind, 0.4)

    price, ones = options["price"].to_numpy(), np.ones(n)
    if hide("budget"):
        budget = float(rng.uniform(0.2, 0.7) * price.sum())
        ok &= sums(price, ones) <= budget + TOLERANCE
        kinds.append("budget")
    if hide("frequency"):
        k = int(rng.integers(1, 3))
        constraints.append(AtMost(k, per="influencer_id"))
        for mask in groups("influencer_id").values():
            ok &= sums(ones, mask) <= k
        kinds.append("frequency")
    if hide("coverage"):
        k = int(rng.integers(1, 3))
        constraints.append(AtLeast(k, per="event_id"))
        for mask in groups("event_id").values():
            ok &= sums(ones, mask) >= k
        kinds.append("coverage")
    if hide("sub-budget"):
        limits = {g: float(rng.integers(10, 60)) for g in list(groups("genre"))[:2]}
        constraints.append(AtMost(limits, per="genre", of="spend"))
        for genre, limit in limits.items():
            ok &= sums(price, groups("genre")[genre]) <= limit + TOLERANCE
        kinds.append("sub-budget")
    if hide("reach"):
        k = float(rng.integers(20, 120))
        constraints.append(AtLeast(k, of="followers", where={"genre": options["genre"].iloc[0]}))
        mask = groups("genre")[options["genre"].iloc[0]]
        ok &= sums(options["followers"].to_numpy(), mask) >= k - TOLERANCE
        kinds.append("reach")
    if hide("share"):
        of = ["posts", "spend"][rng.integers(0, 2)]
        share = float(rng.uniform(0.34, 0.8))
        constraints.append(MaxShare(share, per="genre", of=of))
        weights = ones if of == "posts" else price
        for mask in groups("genre").values():
            ok &= sums(weights, mask) <= share * sums(weights, ones) + TOLERANCE
        kinds.append("share")
    if hide("distinct"):
        k = int(rng.integers(1, 4))
        constraints.append(AtLeast(k, of="influencer_id"))
        different = sum((sums(ones, mask) > 0) for mask in groups("influencer_id").values())
        ok &= different >= k
        kinds.append("distinct")
    if hide("few distinct"):
        k = int(rng.integers(1, 3))
        constraints.append(AtMost(k, per="genre", of="influencer_id"))
        for genre in groups("genre").values():
            own = groups("influencer_id").values()
            ok &= sum((sums(ones, genre * mask) > 0) for mask in own) <= k
        kinds.append("few distinct")
    if hide("gap"):
        days = int(rng.integers(2, 6))
        constraints.append(AtMost(1, per="influencer_id", days=days))
        day = (options["posted_at"] - options["posted_at"].min()).dt.days.to_numpy()
        for a in range(n):
            for b in range(a):
                same = options["influencer_id"].iloc[a] == options["influencer_id"].iloc[b]
                if same and abs(day[a] - day[b]) < days:
                    ok &= plans[:, a] + plans[:, b] <= 1
        kinds.append("gap")
    if hide("conflict"):
        one, other = {"content_type": "c0"}, {"content_type": "c1"}
        types = groups("content_type")
        if "c0" in types and "c1" in types:
            constraints.append(Conflict(one, other, per="event_id"))
            for mask in groups("event_id").values():
                first = sums(ones, mask * types["c0"]) > 0
                ok &= ~(first & (sums(ones, mask * types["c1"]) > 0))
            kinds.append("conflict")
    chosen = int(rng.integers(0, n))
    if hide("require"):
        constraints.append(Require({"offset_hours": float(chosen)}))
        ok &= plans[:, chosen] == 1
        kinds.append("require")
    if hide("exclude"):
        banned = (chosen + 1) % n
        constraints.append(Exclude({"offset_hours": float(banned)}))
        ok &= plans[:, banned] == 0
        kinds.append("exclude")
    problem = Campaign(
        options, budget=budget, risk_aversion=float(rng.uniform(0, 1)), constraints=constraints
    )
    return Case(problem, ok, plans.astype(bool), kinds)
