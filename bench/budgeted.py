"""Most influence from 200 slots, against submodlib, and the paper's full size in little memory.

    python bench/budgeted.py [--data DIR] [--repeats 9] [--dense]

On the authors' New York pairs (clipped) both sides maximise the expected number of users that 200
slots influence: submodlib's `ProbabilisticSetCover` with its lazy greedy, and
`BudgetedSlots(max_slots=200)` with `Greedy`, in turns, in one process. Ours is timed from the table
of pairs to the certified answer, submodlib from a dense array that is already filled. submodlib
breaks ties by the last slot and this package by the first id, so it is given the slots backwards:
then both make the same picks. Both values are recomputed in float64 from the table.

The full size of arXiv 2510.09050 (1,031,040 slots x 1,083 users, here with random pairs of
power-law degrees) runs in a process of its own, whose peak memory is read. submodlib needs a dense
array there; `--dense` runs it too, and needs twice that array. Results go to
bench/results/budgeted.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from harness import add_data_flag, machine, print_table, write_results
from instances import published

from jaxcampaign import BudgetedSlots, Greedy, Influence, solve, synth_pairs
from jaxcampaign.solvers.coverage import Coverage
from jaxcampaign.solvers.lazy import lazy_tables, run_lazy_greedy

N_CHOSEN = 200
FULL = {"n_slots": 1_031_040, "n_users": 1_083, "n_pairs": 1_200_000}


class Timer:
    """Seconds of named stages, one after the other."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self._began = time.perf_counter()

    def lap(self, name: str) -> None:
        """End a stage and begin the next."""
        now = time.perf_counter()
        self.seconds[name] = now - self._began
        self._began = now


def expected_users(pairs: pd.DataFrame, chosen: np.ndarray) -> float:
    """`sum_u 1 - prod_s (1 - p_su)` in float64, from the table alone."""
    bought = pairs[pairs["slot_id"].isin(chosen)]
    miss = 1 - bought.set_index("user_id")["prob"]
    return float((1 - miss.groupby(level=0).prod()).sum())


def ours(pairs: pd.DataFrame, slots: pd.DataFrame) -> tuple[dict[str, float], np.ndarray, float]:
    """From tables to the certified answer: seconds per stage, chosen slots, proven bound."""
    timer = Timer()
    influence = Influence.from_pairs(pairs, slots)
    problem = BudgetedSlots(influence, max_slots=N_CHOSEN)
    timer.lap("construct")
    solution = solve(problem, Greedy())
    timer.lap("solve")
    assert solution.certificate.bound is not None
    return timer.seconds, influence.slot_ids[solution.selection], solution.certificate.bound


def ours_uncertified(pairs: pd.DataFrame, slots: pd.DataFrame) -> dict[str, float]:
    """The same picks with no bound and no certificate: seconds per stage."""
    timer = Timer()
    problem = BudgetedSlots(Influence.from_pairs(pairs, slots), max_slots=N_CHOSEN)
    timer.lap("construct")
    run_lazy_greedy(
        problem,
        lazy_tables(problem),
        Coverage(problem),
        weights=problem.weight,
        per_cost=False,
        max_picks=N_CHOSEN,
    )
    timer.lap("select")
    return timer.seconds


def theirs(dense: np.ndarray) -> tuple[dict[str, float], list[int]]:
    """The rival from a filled array: seconds per stage, chosen rows."""
    from submodlib.functions.probabilisticSetCover import ProbabilisticSetCoverFunction

    timer = Timer()
    n_slots, n_users = dense.shape
    function = ProbabilisticSetCoverFunction(n=n_slots, probs=dense, num_concepts=n_users)
    timer.lap("construct")
    picks = function.maximize(budget=N_CHOSEN, optimizer="LazyGreedy", show_progress=False)
    timer.lap("select")
    return timer.seconds, [row for row, _ in picks]


def filled(pairs: pd.DataFrame, slot_ids: np.ndarray) -> np.ndarray:
    """The pairs as a dense float32 array in the given order of slots."""
    user, user_ids = pd.factorize(pairs["user_id"])
    dense = np.zeros((len(slot_ids), len(user_ids)), np.float32)
    dense[pd.Index(slot_ids).get_indexer(pairs["slot_id"]), user] = pairs["prob"]
    return dense


def new_york(folder: Path, repeats: int) -> dict[str, Any]:
    """Both sides in turns on the authors' pairs."""
    tables = published(folder, "nyc")
    pairs = tables.pairs.assign(prob=tables.pairs["prob"].clip(upper=1.0))
    slot_ids = np.sort(tables.slots["slot_id"].to_numpy(object))[::-1]
    began = time.perf_counter()
    dense = filled(pairs, slot_ids)
    fill_s = time.perf_counter() - began

    first, chosen, bound = ours(pairs, tables.slots)
    ours_uncertified(pairs, tables.slots)
    runs: dict[str, list[dict[str, float]]] = {"ours": [], "ours_uncertified": [], "submodlib": []}
    rows: list[int] = []
    for _ in range(repeats):
        seconds, rows = theirs(dense)
        runs["submodlib"].append(seconds)
        runs["ours"].append(ours(pairs, tables.slots)[0])
        runs["ours_uncertified"].append(ours_uncertified(pairs, tables.slots))
    mine, rival = expected_users(pairs, chosen), expected_users(pairs, slot_ids[rows])
    return {
        "pairs": len(pairs),
        "max_slots": N_CHOSEN,
        "influence": mine,
        "submodlib_influence": rival,
        "relative_difference": abs(mine - rival) / rival,
        "same_slots": set(chosen) == set(slot_ids[rows]),
        "bound": bound,
        "first_call_s": first,
        "submodlib_fill_s": fill_s,
        "seconds": {side: summary(laps) for side, laps in runs.items()},
    }


def summary(laps: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Least and median seconds of each stage and of the total."""
    stages = {name: [lap[name] for lap in laps] for name in laps[0]}
    stages["total"] = [sum(lap.values()) for lap in laps]
    return {
        name: {"min": min(values), "median": statistics.median(values)}
        for name, values in stages.items()
    }


def full_size() -> dict[str, Any]:
    """Ours at the full size, in this process: a plan, its peak memory, and its seconds when warm.

    The peak includes making the tables, importing everything and compiling.
    """
    pairs, slots = synth_pairs(**FULL)
    first, chosen, bound = ours(pairs, slots)
    peak = peak_gb()
    again = ours(pairs, slots)[0]
    return {
        "influence": expected_users(pairs, chosen),
        "bound": bound,
        "first_call_s": first,
        "seconds": again | {"total": sum(again.values())},
        "peak_gb": peak,
        "peak_of_two_plans_gb": peak_gb(),
    }


def full_size_dense() -> dict[str, Any]:
    """The rival at the full size, in this process."""
    pairs, slots = synth_pairs(**FULL)
    slot_ids = np.sort(slots["slot_id"].to_numpy(object))[::-1]
    seconds, rows = theirs(filled(pairs, slot_ids))
    return {
        "influence": expected_users(pairs, slot_ids[rows]),
        "seconds": seconds | {"total": sum(seconds.values())},
        "peak_gb": peak_gb(),
    }


def peak_gb() -> float:
    """Largest resident memory of this process so far, GB (ru_maxrss is in KiB on Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def in_own_process(part: str) -> dict[str, Any]:
    """Run one part in a fresh process, so that its peak memory is its own."""
    command = [sys.executable, __file__, "--part", part]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def show(record: dict[str, Any]) -> None:
    city, full = record["new_york"], record["full_size"]
    rows = [
        {"seconds": f"{side}, {stage}", **values}
        for side, stages in city["seconds"].items()
        for stage, values in stages.items()
    ]
    print(f"on {record['cpu']}, load {record['load_average']:.1f}")
    print_table(rows, {"seconds": "", "min": ".4f", "median": ".4f"})
    print(
        f"influence {city['influence']:.6f} (bound {city['bound']:.2f}), submodlib "
        f"{city['submodlib_influence']:.6f}: {city['relative_difference']:.1e} apart, "
        f"{'the same' if city['same_slots'] else 'different'} slots; filling its array took "
        f"{city['submodlib_fill_s']:.3f} s more"
    )
    print(
        f"full size: {full['peak_gb']:.2f} GB at the peak, everything included; "
        f"{full['seconds']['construct']:.1f} s to construct, {full['seconds']['solve']:.1f} s to "
        f"solve and certify; submodlib's array alone is {record['dense_gb']:.1f} GB"
    )
    if "full_size_dense" in record:
        dense = record["full_size_dense"]
        print(f"submodlib: {dense['peak_gb']:.2f} GB, {dense['seconds']['total']:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description="Budgeted slots against submodlib.")
    add_data_flag(parser)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--dense", action="store_true", help="run submodlib at the full size too")
    parser.add_argument("--part", choices=("full_size", "full_size_dense"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        print(json.dumps(full_size() if args.part == "full_size" else full_size_dense()))
        return
    record: dict[str, Any] = {**machine(), "sizes": FULL}
    record["dense_gb"] = FULL["n_slots"] * FULL["n_users"] * 4 / 1e9
    # First, while this process is small: a child's peak starts at its parent's.
    record["full_size"] = in_own_process("full_size")
    if args.dense:
        record["full_size_dense"] = in_own_process("full_size_dense")
    record["new_york"] = new_york(args.data, args.repeats)
    show(record)
    write_results("budgeted", record)


if __name__ == "__main__":
    main()
