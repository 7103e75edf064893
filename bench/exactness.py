"""Certificates against brute force on random tiny problems: nothing may disagree.

    python bench/exactness.py [--problems 1000] [--seed 0]

Both kinds of problem, with ties, zero costs, probabilities of exactly 1, demands and budgets that a
selection meets exactly, and about one common problem in ten that nothing can satisfy. The oracle
tries all selections in float64 NumPy and imports nothing of the package. Every solver's answer is
judged from its table of chosen slots. Counted are disagreements on feasibility, on what was reached
and paid, on the order bound <= optimum <= cost (reversed for a maximum), on the word "optimal", and
on whether the problem can be satisfied at all; apart from these, how often a solver that tries to
prove optimality did not. Results go to bench/results/exactness.json.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pandas as pd
from harness import machine, print_table, write_results

import jaxcampaign as jc

TOLERANCE = 1e-9
PROVEN_GAP = 2e-6  # an answer counts as optimal up to a gap of 1e-6 of its value
SOLVERS = {
    "default": None,
    "Greedy": jc.Greedy(),
    "Greedy, not pruned": jc.Greedy(prune=False),
    "StochasticGreedy": jc.StochasticGreedy(),
    "TopK": jc.TopK(),
    "TopK per cost": jc.TopK(per_cost=True),
    "RandomAllocation": jc.RandomAllocation(),
    "LPRounding": jc.LPRounding(),
    "MixedInteger": jc.MixedInteger(),
    "BruteForce": jc.BruteForce(),
}
EXACT = ("default", "MixedInteger", "BruteForce")


@dataclass(frozen=True, eq=False)
class Tiny:
    """A problem in plain arrays.

    Attributes:
      prob: float64[S, U].
      audience: bool[L, U].
      cost: float64[S].
      demand: float64[L], or None when maximising.
      weight: float64[L].
      budget: most that may be paid; infinite without a limit.
      max_slots: most slots; S without a limit.
    """

    prob: np.ndarray
    audience: np.ndarray
    cost: np.ndarray
    demand: np.ndarray | None
    weight: np.ndarray
    budget: float = np.inf
    max_slots: int = 99


def random_problem(rng: np.random.Generator) -> Tiny:
    n_slots, n_users, n_products = rng.integers([3, 2, 1], [11, 9, 5])
    prob = rng.random((n_slots, n_users)) * (rng.random((n_slots, n_users)) < rng.uniform(0.3, 0.9))
    prob[rng.random(prob.shape) < 0.15] = 1.0
    prob[rng.integers(n_slots), rng.integers(n_users)] = 0.5  # never without any pair
    if rng.random() < 0.4:
        prob = np.ceil(4 * prob) / 4
    if rng.random() < 0.3:
        prob[1] = prob[0]
    audience = rng.random((n_products, n_users)) < 0.6
    audience[:, 0] |= ~audience.any(axis=1)
    audience[0, np.flatnonzero(prob.any(axis=0))[0]] = True
    cost = rng.uniform(0.1, 3, n_slots)
    if rng.random() < 0.4:
        cost = rng.integers(0, 4, n_slots).astype(float)
    cost[rng.random(n_slots) < 0.1] = 0.0
    some = rng.random(n_slots) < 0.5
    if rng.random() < 0.5:
        everything = reached(prob, np.ones((1, n_slots), bool)) @ audience.T
        demand = rng.uniform(0, 0.95, n_products) * everything[0]
        if rng.random() < 0.3:
            demand = (reached(prob, some[None]) @ audience.T)[0]
        if rng.random() < 0.2:
            demand[0] = everything[0, 0] * rng.choice([1.0, 1.001, 1.5]) + rng.choice([0.0, 0.2])
        return Tiny(prob, audience, cost, demand, np.zeros(n_products))
    kind = rng.integers(3)
    return Tiny(
        prob,
        audience,
        cost,
        None,
        rng.integers(0, 4, n_products) / 2.0 if rng.random() < 0.5 else np.ones(n_products),
        rng.choice([0.0, cost[some].sum(), 0.4 * cost.sum()]) if kind != 1 else np.inf,
        int(rng.integers(0, n_slots + 1)) if kind else 99,
    )


def reached(prob: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Chance that each user is influenced by each selection, float64[masks, U]."""
    return 1 - np.prod(np.where(masks[:, :, None], 1 - prob, 1.0), axis=1)


def judge(tiny: Tiny, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Feasible bool[M], cost [M], influence per product [M, L] and value [M] of selections."""
    influence = reached(tiny.prob, masks) @ tiny.audience.T
    paid, counted = masks @ tiny.cost, masks.sum(axis=1)
    if tiny.demand is not None:
        met = np.all(influence >= tiny.demand * (1 - TOLERANCE), axis=1)
        return np.asarray(met), paid, influence, paid
    feasible = (paid <= tiny.budget * (1 + TOLERANCE)) & (counted <= tiny.max_slots)
    return feasible, paid, influence, influence @ tiny.weight


def optimum(tiny: Tiny) -> float | None:
    """Value of the best of all selections; None if none is feasible."""
    n_slots = len(tiny.cost)
    masks = (np.arange(2**n_slots)[:, None] >> np.arange(n_slots) & 1).astype(bool)
    feasible, _, _, value = judge(tiny, masks)
    if not feasible.any():
        return None
    return float(value[feasible].min() if tiny.demand is not None else value[feasible].max())


def stated(tiny: Tiny) -> jc.CommonSlots | jc.BudgetedSlots:
    """The same problem in the package's words, through its tables."""
    slot_ids = np.array([f"s{i:02d}" for i in range(len(tiny.cost))])
    user_ids = np.array([f"u{i}" for i in range(tiny.prob.shape[1])])
    product_ids = [f"p{i}" for i in range(len(tiny.audience))]
    slot, user = np.nonzero(tiny.prob)
    pairs = pd.DataFrame(
        {"slot_id": slot_ids[slot], "user_id": user_ids[user], "prob": tiny.prob[slot, user]}
    )
    slots = pd.DataFrame(
        {"slot_id": slot_ids, "board_id": "b", "start_min": 0, "end_min": 5, "cost": tiny.cost}
    )
    influence = jc.Influence.from_pairs(pairs, slots)
    audiences = {
        product: user_ids[wanted].tolist()
        for product, wanted in zip(product_ids, tiny.audience, strict=True)
    }
    if tiny.demand is not None:
        demand = dict(zip(product_ids, tiny.demand.tolist(), strict=True))
        return jc.CommonSlots(influence, audiences, None, demand)
    return jc.BudgetedSlots(
        influence,
        audiences,
        budget=None if tiny.budget == np.inf else tiny.budget,
        max_slots=None if tiny.max_slots == 99 else tiny.max_slots,
        weight=dict(zip(product_ids, tiny.weight.tolist(), strict=True)),
    )


def disagreements(tiny: Tiny, best: float | None, solution: jc.Solution) -> dict[str, float]:
    """What of an answer is not so: what kind, and by how much."""
    certificate = solution.certificate
    mask = np.zeros((1, len(tiny.cost)), bool)
    mask[0, [int(slot[1:]) for slot in solution.table()["slot_id"]]] = True
    (feasible,), (paid,), (influence,), (value,) = judge(tiny, mask)
    sign = 1 if tiny.demand is not None else -1
    scale = max(1.0, abs(value), abs(best or 0.0))
    wrong = {
        "feasible": float(certificate.feasible != feasible),
        "cost": abs(certificate.cost - paid) / scale,
        "value": abs(certificate.value - value) / scale,
        "achieved": float(np.abs(certificate.achieved - influence).max()) / scale,
        "status infeasible": float((solution.status == "infeasible") != (best is None)),
        "no feasible answer": float(best is not None and not feasible),
    }
    if best is not None:
        wrong["optimum above cost"] = sign * (best - value) / scale if feasible else 0.0
        for name in ("bound", "rechecked_bound", "solver_bound"):
            bound = getattr(certificate, name)
            if bound is not None:
                wrong[f"{name} above optimum"] = sign * (bound - best) / scale
        missed = abs(value - best) > PROVEN_GAP * scale
        wrong["optimal, but not"] = float(solution.status == "optimal" and missed)
    else:
        wrong["bound of the infeasible"] = float(certificate.bound is not None)
    return {kind: by for kind, by in wrong.items() if by > TOLERANCE}


def main() -> None:
    parser = argparse.ArgumentParser(description="Certificates against brute force.")
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    counts: Counter[str] = Counter()
    found: dict[str, Counter[str]] = {name: Counter() for name in SOLVERS}
    seconds = dict.fromkeys(SOLVERS, 0.0)
    examples: list[dict[str, Any]] = []
    optimal: Counter[str] = Counter()
    short: list[dict[str, Any]] = []
    began = time.perf_counter()
    for index in range(args.problems):
        tiny = random_problem(np.random.default_rng([args.seed, index]))
        best, problem = optimum(tiny), stated(tiny)
        counts["common" if tiny.demand is not None else "budgeted"] += 1
        counts["infeasible"] += best is None
        for name, solver in SOLVERS.items():
            start = time.perf_counter()
            solution = jc.solve(problem, solver, key=jax.random.key(index))
            seconds[name] += time.perf_counter() - start
            counts["answers"] += 1
            optimal[name] += solution.status == "optimal"
            if name in EXACT and best is not None and solution.status != "optimal":
                short.append({"problem": index, "solver": name, "gap": solution.certificate.gap})
            wrong = disagreements(tiny, best, solution)
            found[name].update(wrong.keys())
            if wrong:
                examples.append({"problem": index, "solver": name, "wrong": wrong})
    total = sum(sum(kinds.values()) for kinds in found.values())
    record = {
        **machine(),
        "seed": args.seed,
        "problems": args.problems,
        **counts,
        "tolerance": TOLERANCE,
        "disagreements": total,
        "by_solver": {name: dict(kinds) for name, kinds in found.items()},
        "first_disagreements": examples[:20],
        "proven_optimal": dict(optimal),
        "exact_solvers_stopped_short": short,
        "seconds": time.perf_counter() - began,
        "seconds_by_solver": seconds,
    }
    print(f"on {record['cpu']}, load {record['load_average']:.1f}, seed {args.seed}")
    rows = [
        {
            "solver": name,
            "disagreements": sum(kinds.values()),
            "proven optimal": optimal[name],
            "ms a problem": 1e3 * seconds[name] / args.problems,
            "of which": ", ".join(f"{n} {kind}" for kind, n in kinds.items()),
        }
        for name, kinds in found.items()
    ]
    formats = {"solver": "", "disagreements": "", "proven optimal": "", "ms a problem": ".1f"}
    print_table(rows, formats | {"of which": "<"})
    print(
        f"{args.problems} problems ({counts['common']} common, {counts['infeasible']} of them "
        f"infeasible, {counts['budgeted']} budgeted), {counts['answers']} answers, "
        f"{total} disagreements, {len(short)} times an exact solver stopped short of a proof, "
        f"{record['seconds']:.0f} s"
    )
    for example in (examples + short)[:5]:
        print(example)
    write_results("exactness", record)


if __name__ == "__main__":
    main()
