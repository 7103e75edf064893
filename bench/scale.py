"""A city of 1e6 slots, 1e6 users and 1e8 pairs: built, differentiated, planned, certified.

    python bench/scale.py [--slots 1000000] [--users 1000000] [--pairs 100000000] [--products 100]
        [--bound-seconds 120]

In one process: random pairs with power-law degrees, the influence matrix and its device layouts, 20
values and gradients of the multilinear extension at random points, then a common plan for 100
products with its certificate, checked once more from the selection and the stored multipliers as
`verify` would. Demands are 2 to 6 % of an audience, each audience a random 2 % of all users: some
thousands of slots. Where `--bound-seconds` is above 0 the first-order relaxation then gets so many
seconds for a better bound. Prints seconds and memory of every stage: what the process holds at its
end, and the largest it ever held. Results go to bench/results/scale.json.
"""

from __future__ import annotations

import argparse
import gc
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from harness import device_name, machine, write_results
from scipy import sparse

import jaxcampaign as jc
from jaxcampaign.problems import SlotProblem
from jaxcampaign.relaxations.first_order.relaxation import FirstOrderRelaxation
from jaxcampaign.tables.labels import numbered
from jaxcampaign.tables.random_pairs import slot_table, synth_pair_arrays

N_GRADIENTS = 20
AUDIENCE_SHARE = 0.02
DEMAND_SHARE = (0.02, 0.06)


class Stages:
    """Seconds and memory of one stage after the other, printed as they end."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[dict[str, Any]]:
        """Time a stage; what is put into the dictionary is kept and printed with it."""
        facts: dict[str, Any] = {}
        began = time.perf_counter()
        yield facts
        seconds = time.perf_counter() - began
        gc.collect()
        row = {"stage": name, "seconds": seconds, "held_gb": held_gb(), "peak_gb": peak_gb()}
        self.rows.append(row | facts)
        told = ", ".join(f"{key} {value:.6g}" for key, value in facts.items())
        print(
            f"{name:28}{seconds:9.1f} s  {row['held_gb']:6.2f} GB held"
            f"{row['peak_gb']:7.2f} GB peak  {told}",
            flush=True,
        )


def held_gb() -> float:
    """Resident memory of this process, GB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e9


def peak_gb() -> float:
    """Largest resident memory of this process so far, GB (ru_maxrss is in KiB on Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def city(stages: Stages, n_slots: int, n_users: int, n_pairs: int) -> jc.Influence:
    """The influence matrix with both layouts on the device."""
    with stages.stage("random pairs"):
        pairs = synth_pair_arrays(n_slots=n_slots, n_users=n_users, n_pairs=n_pairs)
    with stages.stage("tables of slots and users"):
        singleton = np.bincount(pairs.slot, weights=pairs.prob, minlength=n_slots)
        slots = slot_table(singleton, seed=0)
        user_ids = numbered("u", n_users).to_numpy(object)
    with stages.stage("influence matrix"):
        influence = jc.Influence.from_arrays(*pairs, slots, user_ids)
    del pairs, slots, user_ids
    with stages.stage("device layouts"):
        jax.block_until_ready((influence.by_slot, influence.by_user))
    return influence


def common_problem(influence: jc.Influence, n_products: int) -> jc.CommonSlots:
    """Random audiences and demands."""
    rng = np.random.default_rng(1)
    size = round(AUDIENCE_SHARE * influence.n_users)
    users = [np.sort(rng.choice(influence.n_users, size, replace=False)) for _ in range(n_products)]
    start = size * np.arange(n_products + 1)
    audiences = sparse.csr_array(
        (np.ones(size * n_products), np.concatenate(users), start),
        shape=(n_products, influence.n_users),
    )
    demand = size * rng.uniform(*DEMAND_SHARE, n_products)
    return jc.CommonSlots(influence, audiences, None, demand)


def gradients(stages: Stages, problem: SlotProblem) -> None:
    """Value and gradient of the weighted sum of all products at random points."""

    @jax.jit
    def value_and_gradient(objective, weights, x):
        return jax.value_and_grad(lambda x: weights @ objective.value(x))(x)

    weights = jnp.asarray(problem.inverse_demand, jnp.float32)
    keys = jax.random.split(jax.random.key(0), N_GRADIENTS)
    with stages.stage("compile the gradient"):
        x = jnp.zeros(problem.n_items)
        jax.block_until_ready(value_and_gradient(problem.objective, weights, x))
    with stages.stage(f"{N_GRADIENTS} values and gradients") as facts:
        for key in keys:
            x = jax.random.uniform(key, (problem.n_items,))
            value, gradient = value_and_gradient(problem.objective, weights, x)
        facts["value"], facts["largest"] = float(value), float(jnp.max(gradient))


def plan(stages: Stages, problem: SlotProblem, bound_seconds: float) -> None:
    """A certified plan, checked again, and a better bound."""
    with stages.stage("plan with certificate") as facts:
        solution = jc.solve(problem, jc.Greedy())
        facts |= plan_facts(solution.certificate, solution.selection)
        facts["picks"] = solution.statistics["picks"]
    with stages.stage("certificate once more") as facts:
        again = jc.certify(problem, solution.selection, solution.multipliers)
        facts |= plan_facts(again, solution.selection)
    assert again.feasible and again.bound == solution.certificate.bound
    if bound_seconds > 0:
        with stages.stage("first-order bound") as facts:
            found = FirstOrderRelaxation().solve(problem, seconds=bound_seconds)
            facts["bound"] = found.bound
        with stages.stage("certificate with it") as facts:
            better = jc.certify(problem, solution.selection, found.multipliers)
            facts |= plan_facts(better, solution.selection)


def plan_facts(certificate: jc.Certificate, selection: np.ndarray) -> dict[str, float]:
    assert certificate.bound is not None and certificate.gap is not None
    return {
        "slots": int(selection.sum()),
        "cost": certificate.cost,
        "bound": certificate.bound,
        "gap": certificate.gap,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="A city of 1e8 pairs in bounded memory.")
    parser.add_argument("--slots", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=100_000_000)
    parser.add_argument("--products", type=int, default=100)
    parser.add_argument("--bound-seconds", type=float, default=120.0)
    args = parser.parse_args()
    record = machine() | {"device": device_name()} | vars(args)
    stages = Stages()
    began = time.perf_counter()
    influence = city(stages, args.slots, args.users, args.pairs)
    with stages.stage("problem"):
        problem = common_problem(influence, args.products)
    gradients(stages, problem)
    plan(stages, problem, args.bound_seconds)
    record |= {"seconds": time.perf_counter() - began, "peak_gb": peak_gb(), "stages": stages.rows}
    print(f"{record['seconds']:.0f} s, {record['peak_gb']:.2f} GB at the peak, {record['device']}")
    write_results("scale", record)


if __name__ == "__main__":
    main()
