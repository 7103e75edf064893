"""Tiny problems with known optima, and seeded random ones: every solver goes through them.

A new solver adds one line to `SOLVERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

import jaxcampaign as jc
from jaxcampaign.problems import SlotProblem

EXACT = [jc.BruteForce(), jc.MixedInteger(), jc.BranchAndCut()]
SOLVERS = [
    *EXACT,
    jc.LPRounding(),
    jc.Greedy(),
    jc.StochasticGreedy(),
    jc.TopK(),
    jc.TopK(per_cost=True),
    jc.RandomAllocation(),
]


def slot_table(cost) -> pd.DataFrame:
    """Slots s00, s01, ... of one board, an hour each."""
    n = len(cost)
    return pd.DataFrame(
        {
            "slot_id": [f"s{i:02d}" for i in range(n)],
            "board_id": ["b"] * n,
            "start_min": np.arange(n) * 60 % 1440,
            "end_min": np.arange(n) * 60 % 1440 + 60,
            "cost": np.asarray(cost, float),
        }
    )


def dense_influence(prob, cost) -> jc.Influence:
    """Influence from a full matrix float[S, U]; users u0, u1, ...; zeros are no pairs."""
    prob = np.asarray(prob, float)
    slot, user = np.nonzero(prob)
    pairs = pd.DataFrame(
        {
            "slot_id": [f"s{i:02d}" for i in slot],
            "user_id": [f"u{i}" for i in user],
            "prob": prob[slot, user],
        }
    )
    return jc.Influence.from_pairs(pairs, slot_table(cost))


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable[[], SlotProblem]
    optimum: float | None  # None: no feasible selection

    def __str__(self) -> str:
        return self.name


def _one_user() -> SlotProblem:
    influence = dense_influence([[0.5], [0.5], [0.6]], [1, 1, 3])
    return jc.CommonSlots(influence, None, None, 0.7)


def _certain() -> SlotProblem:
    influence = dense_influence([[1, 1, 0], [0, 1, 1], [1, 1, 1]], [1, 1, 3])
    return jc.CommonSlots(influence, None, None, 3.0)


def _two_products() -> SlotProblem:
    influence = dense_influence([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]], [2, 2, 2, 3])
    audiences = {"a": ["u0", "u1"], "b": ["u1", "u2"]}
    return jc.CommonSlots(influence, audiences, None, {"a": 2, "b": 2})


def _greedy_trap() -> SlotProblem:
    # Greedy takes the cheap middle slot first, and then still needs both ends.
    influence = dense_influence(
        [[1, 1, 0, 0, 0, 0], [0, 1, 1, 1, 1, 0], [0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 0, 0]],
        [1.9, 1.0, 1.9, 0.8],
    )
    return jc.CommonSlots(influence, None, None, 6.0)


def _nothing_wanted() -> SlotProblem:
    return jc.CommonSlots(dense_influence([[0.5]], [1]), None, None, 0.0)


def _out_of_reach() -> SlotProblem:
    return jc.CommonSlots(dense_influence([[0.5], [0.5]], [1, 1]), None, None, 0.8)


def _all_needed() -> SlotProblem:
    return jc.CommonSlots(dense_influence([[0.5], [0.5]], [1, 2]), None, None, 0.75)


def _k_slots() -> SlotProblem:
    influence = dense_influence([[1, 1, 0, 0], [0, 0, 1, 1], [0, 1, 1, 0.5]], [1, 1, 1])
    return jc.BudgetedSlots(influence, max_slots=2)


def _money() -> SlotProblem:
    # The dearest slot alone beats what its price buys otherwise; gain per cost misses it.
    influence = dense_influence([[1, 0, 0], [0, 1, 1], [0, 0, 0.4]], [1, 10, 1])
    return jc.BudgetedSlots(influence, budget=10)


def _weights() -> SlotProblem:
    influence = dense_influence([[1, 1, 0], [0, 0, 1]], [1, 1])
    audiences = {"a": ["u0", "u1"], "b": ["u2"]}
    return jc.BudgetedSlots(influence, audiences, max_slots=1, weight={"a": 1, "b": 5})


def _no_money() -> SlotProblem:
    return jc.BudgetedSlots(dense_influence([[1.0]], [1]), budget=0)


def _both_limits() -> SlotProblem:
    influence = dense_influence([[0.9, 0], [0, 0.9], [0.8, 0.8]], [1, 1, 2.5])
    return jc.BudgetedSlots(influence, budget=2.5, max_slots=1)


CASES = [
    Case("one user", _one_user, 2.0),
    Case("certain exposures", _certain, 2.0),
    Case("two products", _two_products, 5.0),
    Case("greedy trap", _greedy_trap, 4.6),
    Case("nothing wanted", _nothing_wanted, 0.0),
    Case("out of reach", _out_of_reach, None),
    Case("all slots needed", _all_needed, 3.0),
    Case("k slots", _k_slots, 4.0),
    Case("a budget", _money, 2.0),
    Case("product weights", _weights, 5.0),
    Case("no money", _no_money, 0.0),
    Case("budget and number", _both_limits, 1.6),
]


def random_problem(seed: int) -> SlotProblem:
    """A random problem of 3 to 9 slots: ties, certain exposures, free slots, unmeetable demands."""
    rng = np.random.default_rng(seed)
    n_slots, n_users, n_products = rng.integers(3, 10), rng.integers(2, 8), rng.integers(1, 4)
    prob = rng.choice([0, 0, 0.25, 0.5, 1.0], (n_slots, n_users))
    loose = rng.random((n_slots, n_users))
    prob = np.where(rng.random() < 0.5, prob, np.where(prob > 0, loose, 0.0))
    prob[0, 0] = prob[0, 0] or 0.5
    cost = rng.choice([rng.integers(0, 4, n_slots), rng.random(n_slots)])
    influence = dense_influence(prob, cost)
    users = list(influence.user_ids)
    audiences = {
        f"p{j}": list(rng.choice(users, rng.integers(1, len(users) + 1), replace=False))
        for j in range(n_products)
    }
    if rng.random() < 0.4:
        limits = {"budget": rng.random() * influence.slots["cost"].sum()}
        limits = limits if rng.random() < 0.5 else {"max_slots": int(rng.integers(0, n_slots))}
        return jc.BudgetedSlots(
            influence, audiences, weight=dict.fromkeys(audiences, 1.5), **limits
        )
    reach = jc.CommonSlots(influence, audiences, None, 0.0).objective.reference(
        np.ones(influence.n_slots)
    )
    share = rng.choice([0.3, 0.6, 0.9, 1.0, 1.1], n_products, p=[0.3, 0.3, 0.2, 0.15, 0.05])
    demand = dict(zip(sorted(audiences), share * reach, strict=True))
    return jc.CommonSlots(influence, audiences, None, demand)


def optimum(problem: SlotProblem) -> float | None:
    """The optimum by enumeration, written without the package's solvers or reach."""
    n = problem.n_items
    prob = problem.influence.matrix.toarray()
    audience = problem.objective.audience.toarray()
    best = None
    for code in range(2**n):
        chosen = [i for i in range(n) if code >> i & 1]
        miss = np.ones(prob.shape[1])
        for i in chosen:
            miss = miss * (1 - prob[i])
        reached = audience @ (1 - miss)
        if any(reached < problem.demand * (1 - 1e-9)):
            continue
        use = problem.rows.matrix.toarray()[:, chosen].sum(axis=1)
        if any(use > problem.rows.upper * (1 + 1e-9)):
            continue
        cost = sum(problem.cost[i] for i in chosen)
        value = cost if problem.sense == "min" else float(problem.weight @ reached)
        if best is None or (value < best if problem.sense == "min" else value > best):
            best = value
    return best
