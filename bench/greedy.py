"""Greedy selection against a tuned NumPy one: 1,000 picks for 100 products, at three sizes.

    python bench/greedy.py [--data DIR] [--sizes nyc 1e6 2e7] [--picks 1000] [--repeats 7]

Both sides maximise `sum_j min(I_j, k_j) / k_j` by lazy evaluation, by plain gain and by gain per
cost, from the same matrix, in turns, in one process. Demands are 0.3 to 1.5 times what the 1,000
slots of most influence give, so that about half of them are met on the way.

The peers keep stale bounds in a heap beside compressed rows and renew the best of them in doubling
batches: "int8" gathers int8 rows of audiences and adds them up, "float32" runs scipy's compiled
sparse-times-dense product over float32 rows, four times the memory. Whatever serves any number of
runs is made before: float32 copies and interest tables for them, tables and the compiled loop for
us. All selections are valued again in float64.

New York is the authors' public instance (see bench/README.md), left out where it is absent; the
synthetic sizes have power-law degrees on both sides. Results go to bench/results/greedy.json.
"""

from __future__ import annotations

import argparse
import heapq
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from harness import ROOT, device_name, machine, print_table, write_results
from instances import published
from kernels import power_law_matrix
from scipy import sparse
from scipy.sparse import _sparsetools

from jaxcampaign import CommonSlots, Influence
from jaxcampaign.problems import SlotProblem
from jaxcampaign.solvers.coverage import Coverage
from jaxcampaign.solvers.lazy import lazy_tables, run_lazy_greedy

N_PRODUCTS = 100
SYNTHETIC = {"1e6": (20_000, 20_000, 1_000_000), "2e7": (200_000, 200_000, 20_000_000)}
PEERS = ("int8", "float32")
_BATCH = 64
_NOISE = np.float32(2e-6)


class HeapGreedy:
    """Lazy greedy in NumPy: sorted first bounds, a heap of renewed ones, rows renewed together.

    Args:
      problem: what is asked.
      table: how audiences are stored, "int8" or "float32".
      divisor: float[S], what gains are divided by.
    """

    def __init__(self, problem: SlotProblem, table: str, divisor: np.ndarray):
        matrix = problem.influence.matrix
        self.start = matrix.indptr.tolist()
        self.user, self.prob = matrix.indices, matrix.data.astype(np.float32)
        self.matrix = sparse.csr_array((self.prob, self.user, matrix.indptr), shape=matrix.shape)
        self.interest = problem.objective.interest.astype(table)
        self.weight = problem.inverse_demand.astype(np.float32)
        self.demand = problem.demand.astype(np.float32)
        self.divisor = divisor.astype(np.float32)
        self.sum_rows = self._sum_gathered if table == "int8" else self._sum_compiled

    def run(self, picks: int) -> np.ndarray:
        """The slots picked, in order; ties go to the lower slot."""
        self.rest = np.ones(len(self.interest), np.float32)
        self.residual, self.open_weight = self.demand.copy(), self.weight
        bound = (self.matrix @ (self.interest @ self.weight)) / self.divisor
        order = np.argsort(-bound, kind="stable")
        untouched = list(zip((-bound[order]).tolist(), order.tolist(), strict=True))
        untouched.reverse()
        renewed: list[tuple[float, int]] = []
        fresh: set[int] = set()
        chosen: list[int] = []
        while len(chosen) < picks:
            size = 1
            while rows := self._stale(untouched, renewed, fresh, size):
                for row, gain in zip(rows, self._gains(rows), strict=True):
                    heapq.heappush(renewed, (-gain, row))
                fresh.update(rows)
                size = min(2 * size, _BATCH)
            gain, slot = heapq.heappop(renewed)
            if gain >= 0:
                break
            self._cover(slot)
            chosen.append(slot)
            fresh.clear()
        return np.array(chosen)

    @staticmethod
    def _stale(untouched: list, renewed: list, fresh: set[int], most: int) -> list[int]:
        """The best bounds, as long as they are stale: none where the best of all is fresh."""
        rows: list[int] = []
        while len(rows) < most:
            if renewed and (not untouched or renewed[0] <= untouched[-1]):
                if renewed[0][1] in fresh:
                    break
                rows.append(heapq.heappop(renewed)[1])
            elif untouched:
                rows.append(untouched.pop()[1])
            else:
                break
        return rows

    def _gains(self, rows: list[int]) -> list[float]:
        spans = [(self.start[row], self.start[row + 1]) for row in rows]
        users = np.concatenate([self.user[begin:end] for begin, end in spans])
        prob = np.concatenate([self.prob[begin:end] for begin, end in spans])
        first = np.cumsum([0, *(end - begin for begin, end in spans)], dtype=np.int32)
        per_product = self.sum_rows(first, users, prob * self.rest[users])
        return (
            np.minimum(per_product, self.residual) @ self.open_weight / self.divisor[rows]
        ).tolist()

    def _sum_gathered(self, first: np.ndarray, users: np.ndarray, fresh: np.ndarray) -> np.ndarray:
        return np.add.reduceat(fresh[:, None] * self.interest[users], first[:-1], axis=0)

    def _sum_compiled(self, first: np.ndarray, users: np.ndarray, fresh: np.ndarray) -> np.ndarray:
        n_users, n_products = self.interest.shape
        sums = np.zeros((len(first) - 1, n_products), np.float32)
        _sparsetools.csr_matvecs(
            *(len(sums), n_users, n_products),
            *(first, users, fresh, self.interest.ravel(), sums.ravel()),
        )
        return sums

    def _cover(self, slot: int) -> None:
        users = self.user[self.start[slot] : self.start[slot + 1]]
        prob = self.prob[self.start[slot] : self.start[slot + 1]]
        gain = (prob * self.rest[users]) @ self.interest[users]
        self.residual = np.maximum(self.residual - gain, 0)
        self.open_weight = np.where(
            self.residual > _NOISE * self.demand, self.weight, np.float32(0)
        )
        self.rest[users] *= 1 - prob


def instance(name: str, data: Path) -> CommonSlots:
    """A problem that 1,000 picks do not exhaust."""
    rng = np.random.default_rng(2)
    if name == "nyc":
        tables = published(data, "nyc")
        influence = Influence.from_pairs(tables.pairs, tables.slots, clip=True)
        audiences: Any = tables.audiences
        demands: Any = tables.demands.assign(demand=1.0)
    else:
        influence = synthetic(*SYNTHETIC[name], rng)
        audiences = rng.random((N_PRODUCTS, influence.n_users), np.float32) < 0.2
        demands = 1.0
    problem = CommonSlots(influence, audiences, None, demands)
    likely = np.zeros(problem.n_items, bool)
    likely[np.argsort(-influence.singleton)[:1000]] = True
    share = rng.uniform(0.3, 1.5, len(problem.demand))
    return problem.with_demand(share * problem.objective.reference(likely))


def synthetic(n_slots: int, n_users: int, nnz: int, rng: np.random.Generator) -> Influence:
    """Power-law degrees on both sides; costs within 10 % of one another."""
    pairs = power_law_matrix(n_slots, n_users, nnz).tocoo()
    numbers = np.arange(max(n_slots, n_users)).astype("U7").astype(object)
    slots = pd.DataFrame(
        {
            "slot_id": numbers[:n_slots],
            "board_id": "b",
            "start_min": 0,
            "end_min": 5,
            "cost": rng.uniform(0.9, 1.1, n_slots),
        }
    )
    return Influence.from_arrays(pairs.row, pairs.col, pairs.data, slots, numbers[:n_users])


def value(problem: SlotProblem, picks: np.ndarray) -> float:
    """`sum_j min(I_j, k_j) / k_j` in float64."""
    selection = np.zeros(problem.n_items, bool)
    selection[picks] = True
    achieved = problem.objective.reference(selection)
    return float(np.minimum(achieved, problem.demand) @ problem.inverse_demand)


def timed(call, *args, **keywords) -> tuple[float, Any]:
    began = time.perf_counter()
    result = jax.block_until_ready(call(*args, **keywords))
    return time.perf_counter() - began, result


def measure(problem: SlotProblem, *, per_cost: bool, picks: int, repeats: int) -> dict[str, Any]:
    """All sides in turns on one problem."""
    divisor = problem.divisor if per_cost else np.ones(problem.n_items)
    peers = {name: timed(HeapGreedy, problem, name, divisor) for name in PEERS}
    tables_s, tables = timed(lazy_tables, problem)

    def ours() -> np.ndarray:
        return run_lazy_greedy(
            problem,
            tables,
            Coverage(problem),
            weights=problem.inverse_demand,
            per_cost=per_cost,
            max_picks=picks,
        )

    first_s, _ = timed(ours)
    sides = {"ours": ours} | {name: partial(peer.run, picks) for name, (_, peer) in peers.items()}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    chosen: dict[str, np.ndarray] = {}
    for _ in range(repeats):
        for name, side in sides.items():
            took, chosen[name] = timed(side)
            seconds[name].append(took)
    values = {name: value(problem, slots) for name, slots in chosen.items()}
    best_peer = min(PEERS, key=lambda name: min(seconds[name]))
    return {
        "rule": "gain per cost" if per_cost else "gain",
        "picks": len(chosen["ours"]),
        "setup_s": tables_s,
        "compile_s": first_s - min(seconds["ours"]),
        "run_s": min(seconds["ours"]),
        **{f"{name}_s": min(seconds[name]) for name in PEERS},
        "peer_over_ours": min(seconds[best_peer]) / min(seconds["ours"]),
        "peer_setup_s": {name: took for name, (took, _) in peers.items()},
        "seconds": seconds,
        "same_picks": bool(np.array_equal(chosen["ours"], chosen[best_peer])),
        "value": values["ours"],
        "value_off": max(abs(values[name] / values["ours"] - 1) for name in PEERS),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Lazy greedy against a tuned NumPy one.")
    default = os.environ.get("JAXCAMPAIGN_DATA", ROOT.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=Path(default), help="the public data")
    parser.add_argument(
        "--sizes", nargs="+", default=["nyc", *SYNTHETIC], choices=["nyc", *SYNTHETIC]
    )
    parser.add_argument("--picks", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    rows = []
    for name in args.sizes:
        if name == "nyc" and not (args.data / "spatial").is_dir():
            print(f"nyc: no public data in {args.data}, left out")
            continue
        problem = instance(name, args.data)
        size = {"size": name, "slots": problem.n_items, "nnz": problem.influence.n_pairs}
        for per_cost in (False, True):
            rows.append(
                size | measure(problem, per_cost=per_cost, picks=args.picks, repeats=args.repeats)
            )
            if rows[-1]["value_off"] > 1e-6:
                raise AssertionError(f"values differ: {rows[-1]}")
    record = machine() | {"device": device_name(), "products": N_PRODUCTS, "rows": rows}
    print(f"{record['device']} of {record['cpu']}, load {record['load_average']:.1f}; seconds")
    formats = {"size": "<", "rule": "<", "picks": "d"}
    formats |= {f"{part}_s": ".3f" for part in ("setup", "compile", "run", *PEERS)}
    print_table(rows, formats | {"peer_over_ours": ".2f", "same_picks": "", "value_off": ".0e"})
    write_results("greedy", record)


if __name__ == "__main__":
    main()
