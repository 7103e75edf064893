"""The bi-criteria algorithm on the authors' cities: influence within its guarantee, and its cost.

    python bench/bicriteria.py [--data DIR] [--seeds 3]

For each city and each way to end (repair to the guarantee or to the demands, pruned or not): cost,
the least share of a demand that is reached, seconds; beside them greedy, LP rounding and the bounds
of the continuous greedy and of the linear relaxation, all for the full demands. Shares are
recomputed in float64 by the certificate. Results go to bench/results/bicriteria.json.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from harness import add_data_flag, machine, print_table, write_results
from instances import published

from jaxcampaign import (
    BicriteriaGreedy,
    CommonSlots,
    Greedy,
    Influence,
    LinearRelaxation,
    LPRounding,
    solve,
)

CITIES = ("nyc", "la-by-row")
GUARANTEE = 1 - 1 / math.e - 0.1


def city(folder: Path, name: str) -> CommonSlots:
    """A city with product-specific audiences and the authors' demands."""
    tables = published(folder, name)
    influence = Influence.from_pairs(tables.pairs, tables.slots, clip=True)
    return CommonSlots(influence, tables.audiences, None, tables.demands)


def run(problem: CommonSlots, solver: Any, key: jax.Array) -> dict[str, Any]:
    """One answer: cost, shares by its certificate, seconds, statistics."""
    began = time.perf_counter()
    found = solve(problem, solver, key=key)
    share = found.certificate.achieved / problem.demand
    return {
        "cost": found.certificate.cost,
        "least_share": float(share.min()),
        "within_guarantee": int((share >= GUARANTEE).sum()),
        "bound": found.certificate.bound,
        "seconds": time.perf_counter() - began,
        "statistics": {k: v for k, v in found.statistics.items() if k != "chosen_because"},
    }


def measure(problem: CommonSlots, seeds: int) -> list[dict[str, Any]]:
    """Every variant over the seeds, and the solvers to compare with."""
    variants: dict[str, Any] = {
        f"BCA, {repair}{', pruned' if prune else ''}": BicriteriaGreedy(repair=repair, prune=prune)
        for repair in ("guarantee", "demand")
        for prune in (False, True)
    }
    rows = []
    for name, solver in variants.items():
        runs = [run(problem, solver, jax.random.key(seed)) for seed in range(seeds)]
        middle = sorted(runs, key=lambda r: r["cost"])[len(runs) // 2]
        rows.append({"solver": name} | middle | {"costs": [r["cost"] for r in runs]})
    rows += [
        {"solver": type(solver).__name__} | run(problem, solver, jax.random.key(0))
        for solver in (Greedy(), LPRounding())
    ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="The bi-criteria algorithm on public cities.")
    add_data_flag(parser)
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    record: dict[str, Any] = {**machine(), "guarantee": GUARANTEE, "cities": {}}
    for name in CITIES:
        problem = city(args.data, name)
        rows = measure(problem, args.seeds)
        relaxed = LinearRelaxation().solve(problem)
        assert relaxed is not None
        record["cities"][name] = {"linear_bound": relaxed.bound, "rows": rows}
        n_products = int(np.count_nonzero(problem.demand))
        print(
            f"\n{name}: {n_products} products, guarantee {GUARANTEE:.3f} of the demand, "
            f"linear bound {relaxed.bound:.4f} for all of it"
        )
        columns = {"solver": "<", "cost": ".4f", "bound": ".4f", "least_share": ".3f"}
        print_table(rows, columns | {"within_guarantee": "d", "seconds": ".1f"})
    write_results("bicriteria", record)


if __name__ == "__main__":
    main()
