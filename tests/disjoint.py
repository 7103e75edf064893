"""Tiny problems of disjoint sets with known optima, seeded random ones, and their oracle."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
from catalogue import dense_influence

import jaxcampaign as jc

DISJOINT_EXACT = [jc.BruteForce(), jc.MixedInteger()]
DISJOINT_SOLVERS = [
    *DISJOINT_EXACT,
    jc.LPRounding(),
    jc.Greedy(),
    jc.PermutationSampling(),
    jc.PermutationSampling(by="gain", prune=False),
]


@dataclass(frozen=True)
class Sets:
    """A problem in plain numbers, before the package sees it.

    Attributes:
      prob: float[S, U].
      cost: float[S].
      audiences: users of each product, by position.
      demand: float[L].
      max_slots: float[L]; infinite for no limit.
    """

    prob: np.ndarray
    cost: np.ndarray
    audiences: tuple[tuple[int, ...], ...]
    demand: np.ndarray
    max_slots: np.ndarray

    def problem(self) -> jc.DisjointSlots:
        influence = dense_influence(self.prob, self.cost)
        ids = [f"p{j}" for j in range(len(self.demand))]
        users = {p: [f"u{i}" for i in own] for p, own in zip(ids, self.audiences, strict=True)}
        limits = {p: int(k) for p, k in zip(ids, self.max_slots, strict=True) if np.isfinite(k)}
        demand = dict(zip(ids, self.demand, strict=True))
        return jc.DisjointSlots(influence, users, None, demand, limits or None)

    def optimum(self) -> float | None:
        """The least cost, by trying every way to give each slot to a product or to nobody."""
        n_slots, n_products = len(self.cost), len(self.demand)
        best = None
        for owner in itertools.product(range(-1, n_products), repeat=n_slots):
            cost = sum(self.cost[s] for s in range(n_slots) if owner[s] >= 0)
            if best is not None and cost >= best:
                continue
            for j, users in enumerate(self.audiences):
                own = [s for s in range(n_slots) if owner[s] == j]
                reached = sum(1 - np.prod([1 - self.prob[s][u] for s in own]) for u in users)
                if len(own) > self.max_slots[j] or reached < self.demand[j] * (1 - 1e-9):
                    break
            else:
                best = cost
        return best


def _sets(prob, cost, audiences, demand, max_slots=None) -> Sets:
    limits = np.full(len(demand), np.inf) if max_slots is None else np.asarray(max_slots, float)
    return Sets(
        np.asarray(prob, float),
        np.asarray(cost, float),
        tuple(tuple(own) for own in audiences),
        np.asarray(demand, float),
        limits,
    )


@dataclass(frozen=True)
class DisjointCase:
    name: str
    sets: Sets
    optimum: float | None  # None: no feasible sets
    by: str = field(default="")  # what the reasons of an infeasible one say

    def __str__(self) -> str:
        return self.name


ONE = [[1.0], [1.0], [1.0]]
# Whoever comes first takes what the other one cannot do without: a prefers s0 to s1, and b, which
# needs s0, prefers s1 to s2.
NO_ORDER = _sets([[1, 1, 0], [1, 0, 1], [0, 0, 1]], [1, 2, 3], [[0], [1, 2]], [1, 2])

DISJOINT_CASES = [
    DisjointCase("one slot each", _sets(ONE, [1, 2, 4], [[0], [0]], [1, 1]), 3.0),
    DisjointCase("no order succeeds", NO_ORDER, 6.0),
    DisjointCase(
        "limit forces the dear slot",
        _sets([[1, 0], [0, 1], [1, 1]], [1, 1, 5], [[0, 1]], [2], [1]),
        5.0,
    ),
    DisjointCase(
        "certain and uncertain",
        _sets([[0.5], [0.5], [1.0], [0.5]], [1, 1, 3, 1], [[0], [0]], [0.75, 0.5]),
        3.0,
    ),
    DisjointCase("nothing wanted", _sets(ONE, [1, 2, 4], [[0], [0]], [0, 0]), 0.0),
    DisjointCase("one product wants nothing", _sets(ONE, [1, 2, 4], [[0], [0]], [0, 1]), 1.0),
    DisjointCase("free slots", _sets(ONE, [0, 0, 4], [[0], [0]], [1, 1]), 0.0),
    DisjointCase(
        "too few slots", _sets(ONE[:2], [1, 2], [[0], [0], [0]], [1, 1, 1]), None, "multipliers"
    ),
    DisjointCase(
        "too few free slots", _sets(ONE[:1], [0], [[0], [0]], [1, 1]), None, "multipliers"
    ),
    DisjointCase(
        "limit too low",
        _sets([[0.5], [0.5], [0.5]], [1, 1, 1], [[0]], [0.8], [2]),
        None,
        "multipliers",
    ),
    DisjointCase("no slot allowed", _sets(ONE, [1, 2, 4], [[0]], [1], [0]), None, "multipliers"),
    DisjointCase(
        "out of reach", _sets([[0.5], [0.5]], [1, 1], [[0], [0]], [0.9, 0.1]), None, "product p0"
    ),
]


def random_sets(seed: int) -> Sets:
    """3 to 6 slots, 1 to 3 products: ties, certain exposures, free slots, limits, high demands."""
    rng = np.random.default_rng(seed)
    n_slots, n_users, n_products = rng.integers(3, 7), rng.integers(2, 6), rng.integers(1, 4)
    if n_products == 3:
        n_slots = min(n_slots, 5)
    prob = rng.choice([0, 0.25, 0.5, 1.0], (n_slots, n_users), p=[0.4, 0.2, 0.2, 0.2])
    loose = rng.random((n_slots, n_users))
    prob = np.where(rng.random() < 0.5, prob, np.where(prob > 0, loose, 0.0))
    prob[:, 0] = np.maximum(prob[:, 0], 0.1)
    cost = rng.choice([rng.integers(0, 4, n_slots).astype(float), rng.random(n_slots)])
    audiences = [
        np.unique([0, *rng.choice(n_users, rng.integers(1, n_users + 1), replace=False)])
        for _ in range(n_products)
    ]
    reach = [(1 - np.prod(1 - prob[:, own], axis=0)).sum() for own in audiences]
    share = rng.choice([0.0, 0.2, 0.4, 0.7, 1.0], n_products, p=[0.1, 0.35, 0.3, 0.2, 0.05])
    limits = np.where(rng.random(n_products) < 0.3, rng.integers(1, 4, n_products), np.inf)
    return _sets(prob, cost, [own.tolist() for own in audiences], share * reach, limits)


def chosen_sets(solution: jc.Solution) -> dict[str, list[str]]:
    """Slots of each product."""
    table = solution.table()
    return {p: rows["slot_id"].tolist() for p, rows in table.groupby("product_id")}


def medium(seed: int, scale: float = 1.0, max_slots=None) -> jc.DisjointSlots:
    """120 slots, 50 users, 6 products whose demands compete."""
    rng = np.random.default_rng(seed)
    prob = np.where(rng.random((120, 50)) < 0.06, rng.uniform(0.1, 1, (120, 50)), 0)
    prob[:, 0] = 0.05
    influence = dense_influence(prob, rng.uniform(0.5, 1.5, 120))
    audience = rng.random((6, 50)) < 0.4
    audience[:, 0] = True
    reach = audience @ (1 - np.prod(1 - prob, axis=0))
    demand = scale * reach * rng.uniform(0.3, 0.55, 6)
    users = {f"p{j}": [f"u{u}" for u in np.flatnonzero(audience[j])] for j in range(6)}
    wanted = {f"p{j}": demand[j] for j in range(6)}
    return jc.DisjointSlots(influence, users, None, wanted, max_slots)
