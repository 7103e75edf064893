"""The experiments of the paper: sweeps of demand, products, radius and epsilon over four cities.

    python bench/paper.py [--data DIR] [--cities NAME ...] [--quick] [--seconds 3] [--seed 0]

Ali, Islam, Banerjee, arXiv 2510.09050, vary one of these around alpha = 100 %, beta = 5 %,
lambda = 100 m, epsilon = 0.1:

    alpha      40, 60, 80, 100, 120 %: demand of all products over the supply I* = sum_s I({s})
    beta       1, 2, 5, 10, 20 %: mean demand of a product over I*; alpha / beta products, 5 to 100
    lambda     25, 50, 100, 125, 150 m, where there are raw check-ins
    epsilon    .01, .05, .1, .2, .5, 1, 2

Demands are `floor(w beta I*)`, w uniform on [0.8, 1.2); products are the cities' own, in an order
drawn by the seed. Cities: `nyc-raw` (147,938 check-ins, 446 boards), `nyc` and `la` (the authors'
pairs, clipped at 1, and their costs), `synthetic` (4,000 users, 60 boards, hourly slots; largest
audiences first, as most of its hundred are tiny). Costs that no file gives are the literature's,
`d I({s}) / 10`.

One set for all products: the bi-criteria algorithm (BCA) up to its guarantee and up to the demands,
Top-k, Random, and branch and cut within `--seconds`. A set each, disjoint, without limits on their
sizes: permutation sampling (RA) and LP rounding, each within `--seconds`, and greedy over all
products at once. Top-k and Random are not defined for disjoint sets here.

An infeasible setting is a result: which products all slots together cannot serve, and the cheapest
answer found that serves each as far as it can be. BCA's number of roundings is a logarithm to the
base 1 / (1 - epsilon), which is nothing for epsilon >= 1, and from 1 - 1/e = 0.632 on its guarantee
is void: such rows say "undefined". RA's number of samples is defined for every epsilon; those
drawn, at most 64, stand beside it. Seconds are wall times of a second call, without compilation,
but for branch and cut, LP rounding and greedy. BCA's continuous greedy does not depend on epsilon
or on the repair, so it runs once a problem, and each row counts its time.

The authors' saved New York run is compared on the same files, with the demands that they published.
Results go to bench/results/paper.json, figures (bench/paper_figures.py) to bench/results/figures/.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from harness import add_data_flag, machine, print_table, write_results
from instances import RAW_RULE, published, raw
from paper_figures import draw
from saved_run import SAVED, WHAT_IS_KNOWN, Everybody, random_sets

import jaxcampaign as jc

CITIES = ("nyc-raw", "nyc", "la", "synthetic")
SWEEPS: dict[str, tuple[float, ...]] = {
    "alpha": (0.4, 0.6, 0.8, 1.0, 1.2),
    "beta": (0.01, 0.02, 0.05, 0.1, 0.2),
    "radius_m": (25.0, 50.0, 100.0, 125.0, 150.0),
    "epsilon": (0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0),
}
DEFAULTS = {"alpha": 1.0, "beta": 0.05, "radius_m": 100.0, "epsilon": 0.1}
COVERED = 1 - math.exp(-1)
MOST_SAMPLES = 64


class City:
    """A city whose influence depends on the radius, if it has raw check-ins."""

    def __init__(self, name: str, folder: Path, seed: int):
        self.name = name
        self.tables: Any
        self.rule: dict[str, Any] = {}
        if name == "nyc-raw":
            self.tables, self.rule = raw(folder), RAW_RULE
        elif name == "synthetic":
            self.tables = jc.synth_city(
                n_users=4000, n_boards=60, n_products=100, days=3, checkins_per_user=5, seed=seed
            )
            self.rule = {"slot_minutes": 60, "clock": "local"}
        else:
            self.tables = published(folder, name)
        users = self.tables.audiences.groupby("product_id")["user_id"].nunique()
        if name == "synthetic":
            users = users.sort_values(ascending=False, kind="stable")
            self.products = users.index.to_numpy(object)
        else:
            self.products = np.random.default_rng(seed).permutation(users.index.to_numpy(object))
        self._influence: dict[float, jc.Influence] = {}

    def sweeps(self) -> list[str]:
        """What can be varied."""
        return [name for name in SWEEPS if name != "radius_m" or self.rule]

    def influence(self, radius_m: float) -> jc.Influence:
        """Who may see which slot."""
        if radius_m not in self._influence:
            tables = self.tables
            self._influence[radius_m] = (
                jc.build_influence(
                    tables.checkins,
                    tables.billboards,
                    **{**self.rule, "radius_m": radius_m},
                )
                if self.rule
                else jc.Influence.from_pairs(tables.pairs, tables.slots, clip=True)
            )
        return self._influence[radius_m]

    def problems(self, setting: dict[str, float], seed: int) -> dict[str, jc.CommonSlots]:
        """The two problems of a setting; one that has more products contains the others'."""
        influence = self.influence(setting["radius_m"])
        demand = jc.experiment_demands(
            influence.singleton, alpha=setting["alpha"], beta=setting["beta"], seed=seed
        )
        chosen = self.products[: len(demand)]
        demands = pd.DataFrame({"product_id": chosen, "demand": demand}).astype(
            {"product_id": "str"}
        )
        audiences = self.tables.audiences
        audiences = audiences[audiences["product_id"].isin(chosen)]
        return {
            kind.name: kind(influence, audiences, None, demands)
            for kind in (jc.CommonSlots, jc.DisjointSlots)
        }


class SharedContinuous:
    """The continuous greedy of one problem, run once; what it took is counted at every use."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._relaxed: Any = None

    def solve(self, problem: jc.CommonSlots, *, seconds: float = math.inf) -> Any:
        """The one answer, whatever the problem: callers pass the same one."""
        if self._relaxed is None:
            jc.ContinuousGreedy(steps=1).solve(problem, seconds=seconds)  # compiles
            began = time.perf_counter()
            self._relaxed = jc.ContinuousGreedy().solve(problem, seconds=seconds)
            self.seconds = time.perf_counter() - began
        return self._relaxed

    def __repr__(self) -> str:
        return "ContinuousGreedy()"


def bicriteria(shared: SharedContinuous, epsilon: float) -> dict[str, Any]:
    """BCA up to its guarantee and up to the demands; None where epsilon leaves nothing of it."""
    return {
        f"BCA, {repair}": jc.BicriteriaGreedy(epsilon, repair, continuous=shared)  # type: ignore
        if epsilon < COVERED
        else None
        for repair in ("guarantee", "demand")
    }


def solvers(kind: str, shared: SharedContinuous, epsilon: float, seconds: float) -> dict[str, Any]:
    """Solvers of a problem, those that epsilon concerns first, and their time limits."""
    if kind == "common":
        return {
            **{name: (solver, None) for name, solver in bicriteria(shared, epsilon).items()},
            "Top-k": (jc.TopK(), None),
            "Random": (jc.RandomAllocation(), None),
            "branch and cut": (jc.BranchAndCut(), seconds),
        }
    sampling = jc.PermutationSampling(epsilon=epsilon, max_samples=MOST_SAMPLES)
    return {
        "RA": (sampling, seconds),
        "greedy": (jc.Greedy(), None),
        "LP rounding": (jc.LPRounding(), seconds),
    }


def measure(
    problem: jc.CommonSlots,
    solver: Any,
    limit: float | None,
    shared: SharedContinuous,
    seed: int,
) -> tuple[dict[str, Any], np.ndarray]:
    """One answer: what it achieves by its certificate, its wall time; and what is selected."""
    if solver is None:
        return {"status": "undefined", **dict.fromkeys(_MEASURED)}, np.zeros(problem.n_items, bool)
    key = jax.random.key(seed)
    # The first call compiles, and where the clock is looked at between batches one is enough.
    if not isinstance(solver, jc.BranchAndCut | jc.LPRounding | jc.Greedy):
        jc.solve(problem, solver, key=key, time_limit=limit and 1e-3)
    before, began = shared.seconds, time.perf_counter()
    found = jc.solve(problem, solver, key=key, time_limit=limit)
    seconds = time.perf_counter() - began
    if isinstance(solver, jc.BicriteriaGreedy):
        seconds += before
    certificate, statistics = found.certificate, found.statistics
    guaranteed = certificate.achieved >= COVERED * certificate.demand * (1 - 1e-9)
    row = {
        "status": found.status,
        "influence": float(certificate.achieved.sum()),
        "slots": int(found.selection.sum()),
        "cost": certificate.cost,
        "bound": certificate.bound,
        "gap": certificate.gap,
        "met": int((certificate.shortfall == 0).sum()),
        "met_guarantee": int(guaranteed.sum()),
        "shortfall": float(certificate.shortfall.sum()),
        "seconds": seconds,
        "roundings": statistics.get("roundings"),
        "samples": statistics.get("samples"),
        "hoeffding_samples": statistics.get("hoeffding_samples"),
    }
    return row, found.selection


# fmt: off
_MEASURED = ("influence", "slots", "cost", "bound", "gap", "met", "met_guarantee", "shortfall",
             "seconds", "roundings", "samples", "hoeffding_samples")
# fmt: on


def run_setting(
    city: City, setting: dict[str, float], epsilons: tuple[float, ...], seconds: float, seed: int
) -> list[dict[str, Any]]:
    """Every solver on both problems; further epsilons for those that they concern."""
    rows = []
    for kind, problem in city.problems(setting, seed).items():
        shared = SharedContinuous()
        everything = problem.objective.reference(np.ones(problem.n_items, bool))
        lacking = np.where(everything < problem.required, problem.demand - everything, 0.0)
        facts = {
            "city": city.name,
            "problem": kind,
            "products": len(problem.demand),
            "supply": jc.supply(city.influence(setting["radius_m"]).singleton),
            "demand": float(problem.demand.sum()),
            "reachable": float(everything.sum()),
            "products_out_of_reach": int((lacking > 0).sum()),
            "out_of_reach_by": float(lacking.sum()),
        }
        for epsilon in (setting["epsilon"], *epsilons):
            for name, (solver, limit) in solvers(kind, shared, epsilon, seconds).items():
                if epsilon == setting["epsilon"] or name.startswith(("BCA", "RA")):
                    row, _ = measure(problem, solver, limit, shared, seed)
                    rows.append(facts | setting | {"epsilon": epsilon, "algorithm": name} | row)
    return rows


def run_city(city: City, sweeps: dict[str, tuple[float, ...]], args: Any) -> list[dict[str, Any]]:
    """One factor at a time around the defaults; the defaults themselves once."""
    others = tuple(e for e in sweeps["epsilon"] if e != DEFAULTS["epsilon"])
    rows = run_setting(city, DEFAULTS, others, args.seconds, args.seed)
    for name in city.sweeps():
        for value in sweeps[name]:
            if name != "epsilon" and value != DEFAULTS[name]:
                rows += run_setting(city, DEFAULTS | {name: value}, (), args.seconds, args.seed)
    return rows


def in_sweep(rows: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Rows in which nothing else differs from the defaults, in order of the value."""
    fixed = {key: value for key, value in DEFAULTS.items() if key != name}
    kept = [row for row in rows if all(row[key] == value for key, value in fixed.items())]
    if name == "epsilon":
        kept = [row for row in kept if row["algorithm"].startswith(("BCA", "RA"))]
    return sorted(kept, key=lambda row: row[name])


def compare_saved(folder: Path, seed: int, seconds: float) -> dict[str, Any]:
    """The authors' saved New York run, as many slots at random, and ours: same files and demands.

    Influence is summed over products, each with its own audience, but for the saved run and the
    random sets, which are measured by the rule of the saved run; `everybody` measures ours by
    that rule with strengths clipped at 1.
    """
    tables = published(folder, "nyc")
    influence = jc.Influence.from_pairs(tables.pairs, tables.slots, clip=True)
    problem = jc.CommonSlots(influence, tables.audiences, None, tables.demands)
    everybody = Everybody(tables)
    random = random_sets(tables, everybody, seed)
    blank = dict.fromkeys(("seconds", "cost", "bound", "everybody"))
    drawn = {"slots": SAVED["slots"], **{key: random[key] for key in ("influence", "met", "cost")}}
    rows = [
        blank | {"algorithm": "authors' saved run", "who": "all users"} | SAVED,
        blank | {"algorithm": f"{random['sets']} random sets, median", "who": "all users"} | drawn,
    ]
    shared = SharedContinuous()
    for name, (solver, limit) in solvers("common", shared, 0.1, seconds).items():
        row, chosen = measure(problem, solver, limit, shared, seed)
        slots = influence.slot_ids[chosen]
        score = everybody(slots, clip=True)
        rows.append({"algorithm": name, "who": "its audience", "everybody": score} | row)
    return {"saved": SAVED, "random": random, "rows": rows}


FORMATS = {
    "algorithm": "<",
    "products": "d",
    "status": "<",
    "influence": ".1f",
    "slots": "d",
    "cost": ".3f",
    "bound": ".3f",
    "met": "d",
    "met_guarantee": "d",
    "products_out_of_reach": "d",
    "shortfall": ".1f",
    "seconds": ".2f",
}


def print_city(name: str, rows: list[dict[str, Any]], sweeps: list[str]) -> None:
    for sweep in sweeps:
        for kind in ("common", "disjoint"):
            print(f"\n{name}, {kind}, {sweep} varied")
            extra = {}
            if sweep == "epsilon":
                extra = {"roundings": "d"} if kind == "common" else {"samples": "d"}
            kept = [row for row in in_sweep(rows, sweep) if row["problem"] == kind]
            print_table(kept, {sweep: "g"} | FORMATS | extra)


def main() -> None:
    parser = argparse.ArgumentParser(description="The paper's experiments.")
    add_data_flag(parser)
    parser.add_argument("--cities", nargs="+", choices=CITIES, default=CITIES)
    parser.add_argument("--quick", action="store_true", help="the ends of each sweep, 1 s a search")
    parser.add_argument("--seconds", type=float, default=3.0, help="limit of a timed search")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    sweeps = SWEEPS
    if args.quick:
        args.seconds = min(args.seconds, 1.0)
        sweeps = {name: (values[0], DEFAULTS[name], values[-1]) for name, values in SWEEPS.items()}
    began, rows = time.perf_counter(), []
    for name in args.cities:
        city = City(name, args.data, args.seed)
        found = run_city(city, sweeps, args)
        print_city(name, found, city.sweeps())
        print(f"\n{name}: {time.perf_counter() - began:.0f} s so far", flush=True)
        rows += found
    saved = compare_saved(args.data, args.seed, args.seconds)
    print("\nnyc, the authors' files and demands: their saved run and ours")
    columns = {"algorithm": "<", "seconds": ",.1f", "slots": ",d", "who": "<", "influence": ".1f"}
    print_table(
        saved["rows"], columns | {"everybody": ".1f", "met": "d", "cost": ".3f", "bound": ".3f"}
    )
    print(WHAT_IS_KNOWN.format(**saved["random"]))
    record = {
        **machine(),
        "seed": args.seed,
        "seconds_limit": args.seconds,
        "quick": args.quick,
        "seconds_total": time.perf_counter() - began,
        "sweeps": sweeps,
        "defaults": DEFAULTS,
        "rows": rows,
        "published": saved,
    }
    write_results("paper", record)
    draw(record)


if __name__ == "__main__":
    main()
