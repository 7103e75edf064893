"""What each part of branch and cut contributes, on cities it may and may not have been tuned on.

    python bench/ablation.py [--data DIR] [--time-limit 60] [--seed 0] [--instances NAME ...]

Each instance of bench/instances.py, and two synthetic cities with other seeds and densities, is
solved with parts switched off: greedy alone; prefix inequalities and rounding; facets of users'
hulls; rounded demands; then, with the time that is left, the tree alone, the neighbourhoods alone,
and both. Every bound is proven by multipliers. Results go to bench/results/ablation.json.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from harness import add_data_flag, machine, print_table, write_results
from instances import PUBLISHED, published

import jaxcampaign as jc

SYNTHETIC = {"city-a": (11, 0.4), "city-b": (12, 0.15)}
"""Seed of the city, and the share of what is reachable that is asked for."""


def problem_of(name: str, folder: Path) -> jc.CommonSlots:
    """A published instance or a synthetic city as a common problem."""
    if name in PUBLISHED:
        tables = published(folder, name)
        pairs = tables.pairs.assign(prob=tables.pairs["prob"].clip(upper=1))
        influence = jc.Influence.from_pairs(pairs, tables.slots)
        return jc.CommonSlots(influence, tables.audiences, None, tables.demands)
    seed, share = SYNTHETIC[name]
    city = jc.synth_city(n_users=1500, n_boards=150, n_products=30, seed=seed)
    influence = jc.build_influence(city.checkins, city.billboards, slot_minutes=60, clock="local")
    audiences = city.audiences
    everything = jc.CommonSlots(influence, audiences, None, 0.0)
    most = everything.objective.reference(np.ones(everything.n_items))
    demand = dict(zip(everything.product_ids, share * most, strict=True))
    return jc.CommonSlots(influence, audiences, None, demand)


def configurations(seconds: float) -> dict[str, Any]:
    """Solvers, each with one part more than the one before."""
    prefix = jc.LinearRelaxation(hull=False, rounding=False)
    hull = jc.LinearRelaxation(rounding=False)
    full = jc.LinearRelaxation()
    return {
        "greedy": jc.Greedy(),
        "prefix inequalities": jc.LPRounding(prefix),
        "+ hull facets": jc.LPRounding(hull),
        "+ rounded demands": jc.LPRounding(full),
        "+ tree": jc.BranchAndCut(seconds, neighbourhoods=False),
        "+ neighbourhoods": jc.BranchAndCut(seconds, branching=False),
        "+ both": jc.BranchAndCut(seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="The parts of branch and cut, one by one.")
    add_data_flag(parser)
    parser.add_argument("--time-limit", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    names = [*PUBLISHED, *SYNTHETIC]
    parser.add_argument("--instances", nargs="+", choices=names, default=names)
    args = parser.parse_args()
    rows = []
    for name in args.instances:
        problem = problem_of(name, args.data)
        # Compile what every configuration compiles.
        jc.solve(problem, jc.Greedy())
        for label, solver in configurations(args.time_limit).items():
            began = time.perf_counter()
            solution = jc.solve(problem, solver, key=jax.random.key(args.seed))
            certificate = solution.certificate
            rows.append(
                {
                    "instance": name,
                    "parts": label,
                    "cost": certificate.cost,
                    "bound": certificate.bound,
                    "gap": certificate.gap,
                    "proof": certificate.bound_proof,
                    "nodes": solution.statistics.get("nodes"),
                    "neighbourhoods": solution.statistics.get("neighbourhoods"),
                    "seconds": time.perf_counter() - began,
                }
            )
            print_table(rows[-1:], FORMATS)
    print()
    print_table(rows, FORMATS)
    record = {**machine(), "seed": args.seed, "time_limit": args.time_limit, "rows": rows}
    write_results("ablation", record)


FORMATS = {
    "instance": "",
    "parts": "<",
    "cost": ".4f",
    "bound": ".4f",
    "gap": ".2%",
    "nodes": "",
    "neighbourhoods": "",
    "seconds": ".1f",
}

if __name__ == "__main__":
    main()
