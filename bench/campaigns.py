"""Campaigns: classic instances, ten million options, changed budgets, falling returns.

    python bench/campaigns.py                         # everything
    python bench/campaigns.py --parts classic scale --largest 1000000

*classic*: multidimensional knapsacks and generalised assignment with known answers, 30 s each.
*scale*: the family of bench/campaign_instances.py at 10^4 to `--largest` options, with groups of
very unequal size, and with 600 rows, beside HiGHS on the whole program (LP and ILP, `--limit`
seconds each, up to `--peers` options) in the same run. *warm*: the same campaign at another budget,
from scratch and from the prices of the first. *concave*: 4,000 options with falling returns against
CVXPY's conic answer. Seconds contain everything from the table of options to the certified answer,
compiling apart where it says so. Results go to bench/results/campaigns.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pandas as pd
from campaign_instances import assignments, best_known, family, knapsacks

import jaxcampaign as jc
from jaxcampaign.problems import Campaign
from jaxcampaign.relaxations.campaign.program import CoreProgram

_PARTS = ("classic", "scale", "warm", "concave")


def answered(problem: Campaign, solver: Any = None) -> tuple[dict[str, Any], jc.Solution]:
    """Seconds and what is proven."""
    began = time.perf_counter()
    solution = jc.solve(problem, solver)
    seconds = time.perf_counter() - began
    c = solution.certificate
    assert c.bound is not None and c.rechecked_bound is not None
    row = {
        "seconds": seconds,
        "status": solution.status,
        "value": c.value,
        "bound": c.bound,
        "gap": c.gap,
        "rechecked_gap": (c.rechecked_bound - c.value) / abs(c.value),
    }
    return row, solution


def classic(data: Path, every: int) -> list[dict[str, Any]]:
    """Known answers."""
    rows, known = [], best_known(data)
    solver = jc.DualDecomposition(time_limit=30.0)
    for number in range(1, 7):
        for index, (name, problem) in enumerate(knapsacks(data, number)):
            if index % every == 0:
                row, _ = answered(problem, solver)
                short = 1 - row["value"] / known[name]
                rows.append({"instance": name, **row, "known": known[name], "short": short})
                print(name, {k: row[k] for k in ("value", "bound", "seconds")}, flush=True)
    for number in range(1, 13):
        for name, problem in assignments(data, number):
            row, _ = answered(problem, solver)
            rows.append({"instance": name, **row})
        print(name, row["value"], row["status"], flush=True)
    return rows


def scale(largest: int, peers: int, limit: float) -> list[dict[str, Any]]:
    """The family at growing sizes."""
    rows = []
    sizes = [n for n in (10_000, 100_000, 1_000_000, 10_000_000) if n <= largest]
    kinds: list[tuple[str, int, dict[str, Any]]] = [(f"{n:.0e}", n, {}) for n in sizes]
    middle = min(1_000_000, largest)
    kinds += [
        (f"{middle:.0e} unequal groups", middle, {"uneven": True}),
        (f"{middle:.0e}, 601 rows", middle, {"events": 400, "genres": 200}),
    ]
    for name, n, options in kinds:
        began = time.perf_counter()
        problem = family(n // 100, **options)
        made = time.perf_counter() - began
        row, _ = answered(problem)
        row = {"instance": name, "options": problem.n_items, "made_s": made, **row}
        row["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        if n <= peers:
            row |= highs(problem, limit)
        rows.append(row)
        print(
            {k: v if isinstance(v, str) else float(f"{v:.6g}") for k, v in row.items()}, flush=True
        )
    return rows


def highs(problem: Campaign, limit: float) -> dict[str, Any]:
    """HiGHS on the whole program: the relaxation, and branch and bound."""
    found: dict[str, Any] = {}
    program = CoreProgram.whole(problem, problem.mean[None])
    for name, integer in (("lp", False), ("ilp", True)):
        began = time.perf_counter()
        answer = program.solve(integer=integer, seconds=limit, gap=1e-7)
        found[f"highs_{name}_s"] = time.perf_counter() - began
        found[f"highs_{name}_value"] = answer.value
        found[f"highs_{name}_bound"] = answer.bound
    return found


def warm(n: int) -> list[dict[str, Any]]:
    """Another budget, from scratch and from the prices of the first."""
    _, first = answered(family(n // 100))
    rows = []
    for budget in (0.9, 1.1):
        problem = family(n // 100, budget=budget)
        cold, _ = answered(problem)
        again, _ = answered(problem, jc.DualDecomposition(warm=first))
        rows.append(
            {
                "budget": budget,
                "options": problem.n_items,
                "cold_s": cold["seconds"],
                "warm_s": again["seconds"],
                "ratio": cold["seconds"] / again["seconds"],
                "cold_gap": cold["gap"],
                "warm_gap": again["gap"],
                "same_value": abs(cold["value"] - again["value"]) / cold["value"],
            }
        )
        print(rows[-1], flush=True)
    return rows


def concave(n: int, seeds: int) -> list[dict[str, Any]]:
    """Falling returns against CVXPY's conic answer."""
    import cvxpy as cp

    rows = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        price = rng.lognormal(5, 1, n).round(2)
        mean = price**0.7 * rng.lognormal(0, 0.6, n)
        genre = rng.integers(0, 10, n)
        table = pd.DataFrame(
            {
                "influencer_id": [f"i{k}" for k in range(n)],
                "content_type": "post",
                "event_id": "e",
                "offset_hours": 0.0,
                "price": price,
                "mean": mean,
                "std": 0.0,
                "genre": [f"g{k}" for k in genre],
            }
        )
        budget, curvature = 0.2 * float(price.sum()), 2.0
        cap, floor = 0.12 * budget, 0.07 * budget
        problem = jc.Campaign(
            table,
            budget=budget,
            spending=jc.ConcaveResponse(curvature),
            constraints=[
                jc.AtMost(cap, per="genre", of="spend"),
                jc.AtLeast(floor, per="genre", of="spend"),
            ],
        )
        row, solution = answered(problem)
        share = cp.Variable(n)
        by_genre = np.equal.outer(np.arange(10), genre) * price
        limits = [share >= 0, share <= 1, price @ share <= budget]
        limits += [by_genre @ share <= cap, by_genre @ share >= floor]
        gain = mean @ (1 - cp.exp(-curvature * share)) / -np.expm1(-curvature)
        conic = cp.Problem(cp.Maximize(gain), limits)
        began = time.perf_counter()
        conic.solve(solver=cp.CLARABEL)
        spend = solution.spend
        assert spend is not None
        rows.append(
            {
                "seed": seed,
                **row,
                "conic": float(conic.value),
                "conic_s": time.perf_counter() - began,
                "short_of_conic": 1 - row["value"] / float(conic.value),
                "bound_above_conic": row["bound"] / float(conic.value) - 1,
                "left_of_budget": budget - solution.certificate.cost,
                "whole_cents": bool(np.allclose(spend * 100, np.round(spend * 100), atol=1e-6)),
            }
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    harness.add_data_flag(parser)
    parser.add_argument("--parts", nargs="+", choices=_PARTS, default=list(_PARTS))
    parser.add_argument("--every", type=int, default=10, help="every how many knapsacks")
    parser.add_argument("--largest", type=int, default=10_000_000)
    parser.add_argument("--peers", type=int, default=100_000, help="options at most for HiGHS")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds for HiGHS each time")
    args = parser.parse_args()
    target = harness.RESULTS / "campaigns.json"
    record = json.loads(target.read_text()) if target.exists() else {}
    for part in args.parts:
        if part == "classic":
            rows = classic(args.data, args.every)
        elif part == "scale":
            rows = scale(args.largest, args.peers, args.limit)
        elif part == "warm":
            rows = warm(min(1_000_000, args.largest))
        else:
            rows = concave(4000, 3)
        record |= {part: rows, "machine": harness.machine(), "device": harness.device_name()}
        names = list(dict.fromkeys(name for row in rows for name in row))
        rows = [{name: row.get(name) for name in names} for row in rows]
        text = {name for row in rows for name, value in row.items() if isinstance(value, str)}
        harness.print_table(rows, {name: "<" if name in text else ".6g" for name in names})
        harness.write_results("campaigns", record)


if __name__ == "__main__":
    main()
