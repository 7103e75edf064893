"""Disjoint sets of slots: how often an answer is found, and what it costs, against permutations.

    python bench/disjoint.py [--data DIR] [--cities nyc la-by-row] [--seeds 1] [--seconds 45]
                             [--max-slots]

The experiment of arXiv 2510.09050 on the authors' New York and Los Angeles pairs: alpha, the sum of
demands over the supply I*, from 40 to 120 %; beta, the mean demand over I*, from 1 to 20 %; alpha /
beta products, `demand_j = floor(w beta I*)`, w uniform on [0.8, 1.2]. Products are drawn from the
authors' 250 venue categories, each with its own audience, among those that all slots together could
serve alone; where too few are left, the rest have the largest audiences, and no answer exists.

Every instance is asked twice with the same key: `LPRounding` with a time limit and, unless that
proves that there is no answer, `PermutationSampling` as it comes. The table says how often each has
a feasible answer, how often it is proven that there is none, by reach (some product alone) or by
multipliers, what is left open, and the ratio of the costs where both are feasible. `--max-slots`
gives each product a limit of 1.5 times the number of slots that it would have if all were shared
out evenly. Results go to bench/results/disjoint.json, with a limit to disjoint-limited.json.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pandas as pd
from harness import add_data_flag, machine, print_table, write_results
from instances import published

from jaxcampaign import DisjointSlots, Influence, LPRounding, PermutationSampling, solve
from jaxcampaign.certificate import unreachable
from jaxcampaign.influence import experiment_demands

CITIES = ("nyc", "la-by-row", "la")
ALPHAS = (0.4, 0.6, 0.8, 1.0, 1.2)
BETAS = (0.01, 0.02, 0.05, 0.1, 0.2)
# A limit of slots per product, as a multiple of what each would have if all were shared out.
_MODERATE = 1.5


class City(NamedTuple):
    """A city's influence, and who would want what.

    Attributes:
      influence: who may see which slot.
      audiences: product_id, user_id of all venue categories.
      reach: influence of all slots together on each product's audience, by product_id.
    """

    influence: Influence
    audiences: pd.DataFrame
    reach: pd.Series


def read_city(folder: Path, name: str) -> City:
    """One reading of the authors' files, values above 1 clipped."""
    tables = published(folder, name)
    influence = Influence.from_pairs(tables.pairs, tables.slots, clip=True)
    file = folder / "spatial" / f"mpim_{name.removesuffix('-by-row')}_product_users.parquet"
    columns = ["product_id", "user_id"]
    audiences = pd.read_parquet(file)[columns].astype("str").drop_duplicates(ignore_index=True)
    miss = 1 - tables.pairs["prob"].clip(upper=1)
    seen = 1 - miss.groupby(tables.pairs["user_id"]).prod()
    reached = audiences["user_id"].map(seen).fillna(0.0)
    return City(influence, audiences, reached.groupby(audiences["product_id"]).sum())


def instance(
    city: City, *, alpha: float, beta: float, seed: int, limited: bool
) -> tuple[DisjointSlots, int | None]:
    """The problem and its limit of slots; the largest demand chooses its product first."""
    demand = experiment_demands(city.influence.singleton, alpha=alpha, beta=beta, seed=seed)
    rng = np.random.default_rng(seed)
    drawn = city.reach.iloc[rng.permutation(len(city.reach))]
    wanted: dict[str, float] = {}
    for amount in np.sort(demand)[::-1]:
        left = drawn[~drawn.index.isin(list(wanted))]
        able = left[left >= amount]
        product = able.index[0] if len(able) else left.idxmax()
        wanted[str(product)] = float(amount)
    own = city.audiences[city.audiences["product_id"].isin(list(wanted))]
    limit = int(_MODERATE * city.influence.n_slots / len(wanted)) if limited else None
    return DisjointSlots(city.influence, own, None, wanted, limit), limit


def measure(problem: DisjointSlots, seconds: float, seed: int) -> dict[str, Any]:
    """Both solvers on one instance."""
    row: dict[str, Any] = {"products": len(problem.product_ids), "items": problem.n_items}
    row["beyond_reach"] = len(unreachable(problem))
    if row["beyond_reach"]:
        # Known without any search.
        return row | {"proven_infeasible": "reach", "sampling": None, "rounding": None}
    row |= {"proven_infeasible": None, "sampling": None}
    for name, solver, limit in (
        ("rounding", LPRounding(), seconds),
        ("sampling", PermutationSampling(), None),
    ):
        began = time.perf_counter()
        found = solve(problem, solver, key=jax.random.key(seed), time_limit=limit)
        c = found.certificate
        row[name] = {
            "status": found.status,
            "feasible": c.feasible,
            "cost": c.cost,
            "bound": c.bound,
            "missed_share": float(c.shortfall @ problem.inverse_demand),
            "seconds": time.perf_counter() - began,
            "samples": found.statistics.get("samples"),
            "hoeffding_samples": found.statistics.get("hoeffding_samples"),
        }
        if found.status == "infeasible":
            return row | {"proven_infeasible": "multipliers"}
    return row


def grid(args: argparse.Namespace) -> Iterator[tuple[str, float, float, int, bool]]:
    """City, alpha, beta, seed and whether slots are limited."""
    for city, alpha, beta, seed in itertools.product(args.cities, ALPHAS, BETAS, range(args.seeds)):
        yield city, alpha, beta, seed, args.max_slots


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Counts per city and alpha."""
    lines = []
    groups: dict[tuple[str, bool, float], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["city"], row["limited"], row["alpha"]), []).append(row)
    for (city, limited, alpha), group in groups.items():
        tried = [row for row in group if row["rounding"] is not None]
        possible = [row for row in tried if row["proven_infeasible"] is None]
        pairs = [(row["sampling"], row["rounding"]) for row in possible]
        both = [(s, r) for s, r in pairs if s["feasible"] and r["feasible"]]
        gaps = [1 - r["bound"] / r["cost"] for _, r in pairs if r["feasible"]]
        lines.append(
            {
                "city": f"{city}, at most {_MODERATE} S / L" if limited else city,
                "alpha": alpha,
                "instances": len(group),
                "beyond reach": len(group) - len(tried),
                "refuted": len(tried) - len(possible),
                "sampling feasible": sum(s["feasible"] for s, _ in pairs),
                "rounding feasible": sum(r["feasible"] for _, r in pairs),
                "open": sum(not r["feasible"] for _, r in pairs),
                "cost / sampling": np.mean([r["cost"] / s["cost"] for s, r in both])
                if both
                else None,
                "worst": max((r["cost"] / s["cost"] for s, r in both), default=None),
                "gap": np.mean(gaps) if gaps else None,
                "sampling s": np.mean([s["seconds"] for s, _ in pairs]) if pairs else None,
                "rounding s": np.mean([row["rounding"]["seconds"] for row in tried])
                if tried
                else None,
            }
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Disjoint sets against permutation sampling.")
    add_data_flag(parser)
    parser.add_argument("--seeds", type=int, default=1, help="instances of each kind")
    parser.add_argument("--seconds", type=float, default=45.0, help="limit of LPRounding")
    parser.add_argument("--cities", nargs="+", choices=CITIES, default=CITIES[:2])
    parser.add_argument("--max-slots", action="store_true", help="with a limit of slots")
    args = parser.parse_args()
    cities = {name: read_city(args.data, name) for name in args.cities}
    rows = []
    began = time.perf_counter()
    for city, alpha, beta, seed, limited in grid(args):
        problem, limit = instance(cities[city], alpha=alpha, beta=beta, seed=seed, limited=limited)
        kind = {"city": city, "alpha": alpha, "beta": beta, "seed": seed}
        kind |= {"limited": limited, "max_slots": limit}
        rows.append(kind | measure(problem, args.seconds, seed))
        print(".", end="", flush=True)
    print()
    lines = summary(rows)
    formats = {"city": "", "alpha": ".0%", "instances": "d", "beyond reach": "d", "refuted": "d"}
    formats |= {"sampling feasible": "d", "rounding feasible": "d", "open": "d"}
    formats |= {"cost / sampling": ".3f", "worst": ".3f", "gap": ".1%"}
    formats |= {"sampling s": ".1f", "rounding s": ".1f"}
    print_table(lines, formats)
    tried = [row for row in rows if row["rounding"] is not None]
    possible = [row for row in tried if row["proven_infeasible"] is None]
    record = {
        **machine(),
        "rounding_limit_s": args.seconds,
        "seconds": time.perf_counter() - began,
        "instances": len(rows),
        "beyond_reach": len(rows) - len(tried),
        "refuted_by_multipliers": len(tried) - len(possible),
        "not_refuted": len(possible),
        "sampling_feasible": sum(row["sampling"]["feasible"] for row in possible),
        "rounding_feasible": sum(row["rounding"]["feasible"] for row in possible),
        "rounding_dearer_than_sampling": sum(
            row["rounding"]["cost"] > row["sampling"]["cost"] * (1 + 1e-12)
            for row in possible
            if row["sampling"]["feasible"]
        ),
        "summary": lines,
        "rows": rows,
    }
    print(
        f"of {record['not_refuted']} instances that are not proven infeasible, sampling serves "
        f"{record['sampling_feasible']} and rounding {record['rounding_feasible']}; "
        f"{record['rounding_dearer_than_sampling']} times rounding is dearer; "
        f"{record['seconds']:.0f} s, load {record['load_average']:.1f}"
    )
    write_results("disjoint-limited" if args.max_slots else "disjoint", record)


if __name__ == "__main__":
    main()
