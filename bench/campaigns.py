"""Campaigns: classic instances, ten million options, changed budgets, falling returns.

    python bench/campaigns.py                         # everything
    python bench/campaigns.py --parts classic scale --largest 1000000

*classic*: multidimensional knapsacks and generalised assignment with known answers, 30 s each.
*agreement*: random tiny campaigns with all kinds of constraints, infeasible ones included, and ten
thousand options, against HiGHS on the whole program. *scale*: the family of
bench/campaign_instances.py at 10^4 to `--largest` options, with groups of very unequal size, with
600 rows, and with limits by week within those of each influencer, beside HiGHS on the whole program
(LP and ILP), CVXPY's default solver on the same rows and, where ortools is installed, PDLP
(`--limit` seconds each, up to `--peers` options) in the same run. *rows*: 600 rows over 10^6
options within 30 s. *warm*: the same campaign at another budget, from scratch, from the answer to
the first (`with_budget`), and from that with all options given anew. *concave*: 4,000 options with
falling returns against CVXPY's conic answer. Seconds contain everything from the problem to the
certified answer; a first answer also compiles what its sizes need, so each part begins with a small
one. Results go to bench/results/campaigns.json, part by part.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pandas as pd
from campaign_instances import assignments, best_known, family, knapsacks, optimum, random_rules
from scipy import sparse

import jaxcampaign as jc
from jaxcampaign.problems import Campaign
from jaxcampaign.relaxations.campaign.program import CoreProgram

_PARTS = ("classic", "agreement", "scale", "rows", "warm", "concave")
# A value above a bound by more than so large a share of it would refute the bound.
_ROUNDING = 1e-9


def answered(
    problem: Campaign, solver: Any = None, *, seconds: float | None = None
) -> tuple[dict[str, Any], jc.Solution]:
    """Seconds and what is proven."""
    began, worked = time.perf_counter(), time.process_time()
    solution = jc.solve(problem, solver, time_limit=seconds)
    took, cpu = time.perf_counter() - began, time.process_time() - worked
    c = solution.certificate
    assert c.bound is not None and c.rechecked_bound is not None
    row = {
        "seconds": took,
        "cpu_s": cpu,
        "status": solution.status,
        "value": c.value,
        "bound": c.bound,
        "gap": c.gap,
        "rechecked_gap": (c.rechecked_bound - c.value) / abs(c.value),
    }
    return row, solution


def classic(data: Path, every: int) -> list[dict[str, Any]]:
    """Known answers, and whether bounds and values keep to their sides of them."""
    rows, known = [], best_known(data)
    for number in range(1, 7):
        for index, (name, problem) in enumerate(knapsacks(data, number)):
            if index % every == 0:
                row, _ = answered(problem, seconds=30.0)
                rows.append(_beside(name, row, known[name], proven=False))
    for number in range(1, 13):
        for name, problem in assignments(data, number):
            row, _ = answered(problem, seconds=30.0)
            rows.append(_beside(name, row, optimum(name), proven=True))
    return rows


def _beside(name: str, row: dict[str, Any], known: float, *, proven: bool) -> dict[str, Any]:
    """An answer beside the best known value, the optimum where it is proven."""
    sound = row["bound"] >= known * (1 - _ROUNDING)
    sound &= row["value"] <= row["bound"] * (1 + _ROUNDING)
    sound &= not proven or row["value"] <= known * (1 + _ROUNDING)
    row = {"instance": name, **row, "known": known, "short": 1 - row["value"] / known}
    row["sound"] = "yes" if sound else "NO"
    shown = ("value", "known", "short", "gap", "seconds")
    print(name, row["status"], row["sound"], {key: f"{row[key]:.6g}" for key in shown}, flush=True)
    return row


def agreement(cases: int, limit: float) -> list[dict[str, Any]]:
    """Our answers against branch and bound over the whole program."""
    counts = {"optimal": 0, "infeasible": 0, "disagree": 0}
    began = time.perf_counter()
    for seed in range(cases):
        problem = random_rules(seed)
        exact = CoreProgram.whole(problem, problem.mean[None]).solve(integer=True, gap=0.0)
        for solver in (None, jc.DualDecomposition()):
            solution = jc.solve(problem, solver)
            if solution.status == "infeasible" or exact.infeasible:
                same = exact.infeasible and solution.status == "infeasible"
            else:
                c = solution.certificate
                same = solution.status == "optimal" and bool(
                    abs(c.value - exact.value) <= 1e-6 * max(abs(exact.value), 1.0)
                )
            counts["disagree"] += not same
        counts["infeasible" if exact.infeasible else "optimal"] += 1
    rows: list[dict[str, Any]] = [
        {"instance": f"{cases} random", "seconds": time.perf_counter() - began, **counts}
    ]
    for seed in range(3):
        problem = family(100, seed=seed)
        row, _ = answered(problem)
        peer = peers(problem, limit, names=("highs_ilp",))
        bound = min(row["bound"], peer["highs_ilp_bound"])
        best = max(row["value"], peer["highs_ilp_value"])
        disagree = int(best > bound * (1 + _ROUNDING) or row["value"] < best * (1 - 1e-6))
        rows.append({"instance": f"1e+04, seed {seed}", **row, **peer, "disagree": disagree})
        print(rows[-1], flush=True)
    return rows


def scale(largest: int, most: int, limit: float) -> list[dict[str, Any]]:
    """The family at growing sizes."""
    rows = []
    sizes = [n for n in (10_000, 100_000, 1_000_000, 10_000_000) if n <= largest]
    kinds: list[tuple[str, int, dict[str, Any]]] = [(f"{n:.0e}", n, {}) for n in sizes]
    middle = min(1_000_000, largest)
    kinds += [
        (f"{middle:.0e} unequal groups", middle, {"uneven": True}),
        (f"{middle:.0e}, 601 rows", middle, {"events": 400, "genres": 200}),
        (f"{min(100_000, largest):.0e}, groups in groups", min(100_000, largest), {"weeks": 10}),
        (f"{middle:.0e}, groups in groups", middle, {"weeks": 10}),
    ]
    answered(family(100))
    for name, n, options in kinds:
        began = time.perf_counter()
        problem = family(n // 100, **options)
        made = time.perf_counter() - began
        row, _ = answered(problem)
        row = {"instance": name, "options": problem.n_items, "made_s": made, **row}
        row["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        if n <= most:
            row |= peers(problem, limit)
        rows.append(row)
        print(
            {k: v if isinstance(v, str) else float(f"{v:.6g}") for k, v in row.items()}, flush=True
        )
    return rows


def many_rows(n: int, seeds: int) -> list[dict[str, Any]]:
    """Six hundred rows that couple all groups, in half a minute."""
    answered(family(n // 100))
    rows = []
    for seed in range(seeds):
        problem = family(n // 100, events=400, genres=200, seed=seed)
        row, _ = answered(problem, seconds=30.0)
        rows.append({"instance": f"{n:.0e}, 601 rows, seed {seed}", **row})
        print(rows[-1], flush=True)
    return rows


def peers(
    problem: Campaign,
    limit: float,
    names: tuple[str, ...] = ("highs_lp", "highs_ilp", "cvxpy_ilp", "pdlp_lp"),
) -> dict[str, Any]:
    """Others on the whole program: seconds, value, and bound where one is given."""
    found: dict[str, Any] = {}
    program = CoreProgram.whole(problem, problem.mean[None])
    for name in names:
        began = time.perf_counter()
        bound = None
        if name.startswith("highs"):
            integer = name.endswith("ilp")
            answer = program.solve(integer=integer, seconds=limit, gap=1e-7)
            value, bound = answer.value, answer.bound
        elif name == "pdlp_lp":
            found |= {f"{name}_{key}": known for key, known in by_pdlp(program, limit).items()}
            continue
        else:
            value = by_cvxpy(problem, limit)
        found[f"{name}_s"] = time.perf_counter() - began
        found[f"{name}_value"] = value
        if bound is not None:
            found[f"{name}_bound"] = bound
    return found


def by_pdlp(program: CoreProgram, limit: float) -> dict[str, Any]:
    """The relaxation by PDLP: seconds, value and why it stopped; nothing without ortools."""
    if importlib.util.find_spec("ortools") is None:
        return {"reason": "ortools is not installed"}
    rows = program.rows
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "program.npz"
        np.savez(
            path,
            data=rows.matrix.data,
            indices=rows.matrix.indices,
            indptr=rows.matrix.indptr,
            lower=rows.lower,
            upper=rows.upper,
            value=program.values[0],
        )
        alone = Path(__file__).with_name("pdlp_alone.py")
        done = subprocess.run(
            [sys.executable, alone, path, f"{limit}"], capture_output=True, text=True, check=True
        )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def by_cvxpy(problem: Campaign, limit: float) -> float | None:
    """The value that CVXPY's default solver finds; None without one."""
    import cvxpy as cp

    chosen = cp.Variable(problem.n_items, boolean=True)
    limits = []
    for family_ in problem.families:
        matrix = family_.matrix()
        if family_.acts == "spend":
            matrix = matrix @ sparse.diags_array(problem.price)
        for end, sign in ((family_.upper, 1.0), (family_.lower, -1.0)):
            rows = np.flatnonzero(np.isfinite(end))
            if len(rows):
                limits.append(sign * (matrix[rows] @ chosen) <= sign * end[rows])
    asked = cp.Problem(cp.Maximize(problem.mean @ chosen), limits)
    try:
        asked.solve(time_limit=limit)
    except cp.SolverError:
        return None
    return None if chosen.value is None else float(problem.mean @ chosen.value)


def warm(largest: int, times: int = 3) -> list[dict[str, Any]]:
    """Another budget, from scratch and from the prices of the first; medians below 10^7 options."""
    middle = min(1_000_000, largest)
    kinds: list[tuple[str, int, dict[str, Any]]] = [
        (f"{middle:.0e}", middle, {}),
        (f"{middle:.0e} unequal groups", middle, {"uneven": True}),
        (f"{min(100_000, largest):.0e}, groups in groups", min(100_000, largest), {"weeks": 10}),
    ]
    if largest > middle:
        kinds.append((f"{largest:.0e}", largest, {}))
    rows = []
    for name, n, options in kinds:
        _, first = answered(family(n // 100, **options))
        solver = jc.DualDecomposition(warm=first)
        answered(family(n // 100, budget=1.05, **options), solver)
        for budget in (0.9, 1.1):
            # The same options, or all made anew: then groups and more are worked out once more.
            asked = family(n // 100, budget=budget, **options)
            assert asked.budget is not None
            cold, anew, again = [], [], []
            for _ in range(times if n <= middle else 1):
                cold.append(answered(family(n // 100, budget=budget, **options)))
                anew.append(answered(family(n // 100, budget=budget, **options), solver))
                again.append(answered(first.problem.with_budget(asked.budget), solver))
            took = [float(np.median([r["seconds"] for r, _ in way])) for way in (cold, again, anew)]
            prices = [
                float(np.median([s.statistics["dual_seconds"] for _, s in way]))
                for way in (cold, again)
            ]
            one, other = cold[-1][0], again[-1][0]
            rows.append(
                {
                    "instance": name,
                    "budget": budget,
                    "cold_s": took[0],
                    "warm_s": took[1],
                    "ratio": took[0] / took[1],
                    "warm_made_anew_s": took[2],
                    "ratio_made_anew": took[0] / took[2],
                    "prices_cold_s": prices[0],
                    "prices_warm_s": prices[1],
                    "prices_ratio": prices[0] / prices[1],
                    "cold_gap": one["gap"],
                    "warm_gap": other["gap"],
                    "values_apart": abs(one["value"] - other["value"]) / one["value"],
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
        cap, floor = 0.105 * budget, 0.095 * budget
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
                "limits_with_a_price": int((solution.shadow_prices()["price"] != 0).sum()),
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
    parser.add_argument("--cases", type=int, default=200, help="random campaigns of agreement")
    parser.add_argument("--largest", type=int, default=10_000_000)
    parser.add_argument("--peers", type=int, default=100_000, help="options at most for HiGHS")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds for HiGHS each time")
    args = parser.parse_args()
    target = harness.RESULTS / "campaigns.json"
    record = json.loads(target.read_text()) if target.exists() else {}
    for part in args.parts:
        if part == "classic":
            rows = classic(args.data, args.every)
        elif part == "agreement":
            rows = agreement(args.cases, args.limit)
        elif part == "scale":
            rows = scale(args.largest, args.peers, args.limit)
        elif part == "rows":
            rows = many_rows(min(1_000_000, args.largest), 3)
        elif part == "warm":
            rows = warm(args.largest)
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
