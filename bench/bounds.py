"""Lower bounds without a simplex: the first-order relaxation against HiGHS.

    python bench/bounds.py [--data DIR] [--limit 60] [--repeats 3]
        [--slots 100000] [--users 100000] [--pairs 5000000]

Two questions per instance. *Same inequalities*: the linear program with the inequalities that the
first-order relaxation priced in the end, from scratch: seconds that HiGHS through CVXPY takes, and
seconds after which the bound of the first-order method is within 0.5 % and 0.1 % of HiGHS' optimum.
*Rounds*: both relaxations as they are used, `LinearRelaxation` (without rounded demands, which the
other has not) and `FirstOrderRelaxation`: their bounds and seconds. Runs of the two are interleaved
and the minimum counts; compiling, paid by the first run of a shape, stands apart. HiGHS gets
`--limit` seconds each time, and so does the first-order method on the disjoint and the random
instance.

Instances are those of bench/instances.py; New York with a budget of twice the best known cost; New
York with disjoint sets; and a random one (`--pairs 0` leaves it out). Results go to
bench/results/bounds.json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from harness import add_data_flag, device_name, machine, print_table, write_results
from instances import published
from scale import Stages, city, common_problem

from jaxcampaign import (
    BudgetedSlots,
    CommonSlots,
    Cuts,
    DisjointSlots,
    FirstOrderRelaxation,
    Influence,
    LinearRelaxation,
)
from jaxcampaign.problems import SlotProblem
from jaxcampaign.relaxations import Relaxed
from jaxcampaign.relaxations.program import solve_program

NYC_COST = 0.768  # best known for New York
_CHECK = 40  # steps between two looks at the bound
_LONGER = 0.05  # share of its steps by which a run is longer than the last one
DISJOINT_SHARE = 0.3  # of the authors' demands, which disjoint sets need not be able to meet


def instances(args: argparse.Namespace) -> Iterator[tuple[str, SlotProblem, float]]:
    """Name, problem, and seconds that the first-order method gets."""
    for name in ("nyc", "nyc-half", "la-by-row", "la-by-row-0.3"):
        tables = published(args.data, name)
        influence = Influence.from_pairs(tables.pairs, tables.slots, clip=True)
        yield name, CommonSlots(influence, tables.audiences, None, tables.demands), np.inf
        if name == "nyc":
            budgeted = BudgetedSlots(influence, tables.audiences, budget=2 * NYC_COST)
            yield "nyc-budgeted", budgeted, np.inf
            demands = tables.demands.assign(demand=DISJOINT_SHARE * tables.demands["demand"])
            disjoint = DisjointSlots(influence, tables.audiences, None, demands)
            yield "nyc-disjoint", disjoint, args.limit
    if args.pairs:
        influence = city(Stages(), args.slots, args.users, args.pairs)
        yield f"random {args.pairs:.0e}", common_problem(influence, 100), args.limit


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result


def first_order(
    relaxation: FirstOrderRelaxation, problem: SlotProblem, **options: Any
) -> tuple[float, float, Relaxed]:
    """Seconds without compiling, seconds of compiling, and the answer."""
    seconds, relaxed = timed(lambda: relaxation.solve(problem, **options))
    compiling = relaxed.statistics["compile_seconds"]
    return seconds - compiling, compiling, relaxed


def seconds_to_within(
    share: float, problem: SlotProblem, cuts: Cuts, optimum: float, limit: float
) -> float | None:
    """Seconds of the shortest run, in multiples of its checks, whose bound is so near."""
    steps, spent = 80, 0.0
    while spent < limit:
        relaxation = FirstOrderRelaxation(max_rounds=0, max_steps=steps, min_progress=0.0)
        spent, _, relaxed = first_order(relaxation, problem, cuts=cuts, seconds=limit)
        if abs(relaxed.bound - optimum) <= share * abs(optimum):
            return spent
        steps += _CHECK * max(round(_LONGER * steps / _CHECK), 1)
    return None


def same_inequalities(
    problem: SlotProblem, cuts: Cuts, repeats: int, limit: float
) -> dict[str, float | None]:
    """One linear program, from scratch."""
    users = problem.active_users
    every = Cuts.join([Cuts.first(users), cuts])
    seconds: dict[str, list[float]] = {"highs": [], "half": [], "tenth": []}
    optimum = None
    for _ in range(repeats):
        spent, answer = timed(lambda: solve_program(problem, users, every, seconds=limit))
        if not answer.finished:
            break
        optimum = float(answer.bound if problem.sense == "min" else -answer.bound)
        seconds["highs"].append(spent)
        for name, share in (("half", 0.005), ("tenth", 0.001)):
            spent_or_none = seconds_to_within(share, problem, cuts, optimum, limit)
            seconds[name] += [] if spent_or_none is None else [spent_or_none]
    least = {name: min(values, default=None) for name, values in seconds.items()}
    return {
        "lp_optimum": optimum,
        "lp_highs_s": least["highs"],
        "lp_to_0.5%_s": least["half"],
        "lp_to_0.1%_s": least["tenth"],
    }


def compare(problem: SlotProblem, args: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """Both questions about one problem."""
    repeats = args.repeats if np.isinf(seconds) else 1
    simplex = LinearRelaxation(rounding=False)
    ours, theirs = [], []
    for _ in range(repeats):
        ours.append(first_order(FirstOrderRelaxation(), problem, seconds=seconds))
        theirs.append(timed(lambda: simplex.solve(problem, seconds=args.limit)))
    relaxed, highs = ours[-1][2], theirs[-1][1]
    cuts = relaxed.multipliers.cuts
    cuts = cuts.take(np.diff(cuts.start) > 0)
    return {
        "items": problem.n_items,
        "users": problem.influence.n_users,
        "pairs": problem.influence.n_pairs,
        "cuts": len(cuts),
        **same_inequalities(problem, cuts, repeats, args.limit),
        "highs_bound": None if highs is None else highs.bound,
        "bound": relaxed.bound,
        "short": None if highs is None else _short(problem, relaxed, highs),
        "highs_s": min(spent for spent, _ in theirs),
        "seconds": min(spent for spent, _, _ in ours),
        "compile_s": max(compiling for _, compiling, _ in ours),
        "steps": relaxed.statistics["steps"],
    }


def _short(problem: SlotProblem, ours: Relaxed, theirs: Relaxed) -> float:
    """What our bound is short of theirs, as a share; below 0 where it is better."""
    short = 1 - ours.bound / theirs.bound
    return short if problem.sense == "min" else -short


def main() -> None:
    parser = argparse.ArgumentParser(description="First-order bounds against HiGHS.")
    add_data_flag(parser)
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for HiGHS each time")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--slots", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=5_000_000)
    args = parser.parse_args()
    rows = []
    for name, problem, seconds in instances(args):
        rows.append({"instance": name, **compare(problem, args, seconds)})
        print(f"{name}: {problem!r}", flush=True)
    record = {**machine(), "device": device_name(), "limit_s": args.limit, "instances": rows}
    print(f"on {record['cpu']}, {record['device']}, load {record['load_average']:.1f}")
    print_table(
        rows,
        {
            "instance": "",
            "cuts": "",
            "lp_optimum": ".5g",
            "lp_highs_s": ".2f",
            "lp_to_0.5%_s": ".2f",
            "lp_to_0.1%_s": ".2f",
            "highs_bound": ".5g",
            "bound": ".5g",
            "short": ".2%",
            "highs_s": ".1f",
            "seconds": ".1f",
            "compile_s": ".1f",
            "steps": "",
        },
    )
    write_results("bounds", record)


if __name__ == "__main__":
    main()
