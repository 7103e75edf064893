"""Kernels on the device: seconds, bytes moved, and the share of the machine's copy bandwidth.

    python bench/kernels.py [--nnz 20000000] [--slots 200000] [--users 200000] [--repeats 25]

Rows: products by slot and by user, the reach of users, the gradient of the multilinear extension
and its value with the gradient, marginal gains for 100 products weighted in one pass; at a
twentieth of the pairs the gradient of each of the 100 products; and at the size of the public New
York instance the sampled value and gradients of the truncated objective, 128 samples.
`bench/exposure.py` has the building of influence from points.

Bytes are those that any method must move: 8 for each stored pair and pass, 4 for each number of the
vectors that go in and out, 1 for each pair and product where products are told apart. Their rate is
set against that of copying an array of 1 GiB in the same process, read and written, the faster of
NumPy and JAX; from cache a kernel can be faster. Where there is a rival it is scipy's CSR product,
as often as the kernel must pass over the pairs, in float32, in turns with the kernel.

On a CPU the chunked formulation runs once on one thread, which is all that scipy uses, and once on
all, and the flat one on all; on a GPU the flat one runs. Every run has a process of its own. On a
shared machine the minimum is the figure to read. Results go to bench/results/kernels.json.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from harness import copy_gb_s, device_name, machine, print_table, write_results
from scipy import sparse

from jaxcampaign import Influence
from jaxcampaign.influence.kernels import (
    expected_reach,
    matvec,
    multilinear_gradient,
    reach,
    reach_and_rest,
)
from jaxcampaign.influence.layout import build_layout, choose_formulation
from jaxcampaign.problems import ProductInfluence, Truncated
from jaxcampaign.relaxations import MonteCarlo, multilinear_gradients

N_PRODUCTS = 100
N_SAMPLES = 128
NEW_YORK = (11_047, 948, 15_708)
"""Slots, users and pairs of the authors' public instance."""


@dataclass(frozen=True)
class Case:
    """A kernel and what it is measured against.

    Attributes:
      name: row of the table.
      kernel: a function of the arguments, compiled at its first call.
      bytes: what must be moved.
      expected: the answer in float64.
      rival: scipy products that pass over the pairs as often.
      result: what of the kernel's results to compare.
    """

    name: str
    kernel: Callable[..., Any]
    arguments: tuple
    bytes: float
    expected: np.ndarray
    rival: Callable[[], Any] | None = None
    result: Callable[[Any], Any] = np.asarray


def power_law_degrees(n: int, total: int) -> np.ndarray:
    """Zipf-like degrees: the median is about two thirds of the mean, the largest far above it."""
    weights = (np.arange(n) + 3.0) ** -0.54
    edges = np.round(np.concatenate([[0.0], np.cumsum(weights)]) * (total / weights.sum()))
    return np.diff(edges.astype(np.int64))


def power_law_matrix(n_slots: int, n_users: int, nnz: int, seed: int = 0) -> sparse.csr_array:
    """About `nnz` random probabilities with power-law degrees on both sides, float32."""
    rng = np.random.default_rng(seed)
    slot_degree, user_degree = (
        rng.permutation(power_law_degrees(n, nnz)) for n in (n_slots, n_users)
    )
    slot = np.repeat(np.arange(n_slots), slot_degree)
    user = rng.permutation(np.repeat(np.arange(n_users), user_degree))
    pair = np.sort(slot[: user.size] * n_users + user[: slot.size])
    pair = pair[np.diff(pair, prepend=-1) > 0]
    slot, user = np.divmod(pair, n_users)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(slot, minlength=n_slots))])
    prob = np.minimum(rng.gamma(0.5, 0.2, pair.size), 1.0).astype(np.float32)
    return sparse.csr_array(
        (prob, user.astype(np.int32), indptr.astype(np.int32)), shape=(n_slots, n_users)
    )


class Instance:
    """A random matrix and audiences, on the host and laid out on the device."""

    def __init__(self, n_slots: int, n_users: int, nnz: int, formulation: Any):
        self.slots = power_law_matrix(n_slots, n_users, nnz)
        self.users = self.slots.T.tocsr()
        self.nnz, self.vector = self.slots.nnz, {"S": 4 * n_slots, "U": 4 * n_users}
        rng = np.random.default_rng(1)
        self.x = rng.random(n_slots, dtype=np.float32)
        self.weight = rng.random(n_users, dtype=np.float32)
        interested = rng.random((N_PRODUCTS, n_users), np.float32) < 0.1
        self.audience = sparse.csr_array(interested.astype(np.float64))
        self.price = rng.random(N_PRODUCTS, dtype=np.float32)

        def layout(matrix):
            arrays = (matrix.indptr, matrix.indices, matrix.data)
            return build_layout(*arrays, n_columns=matrix.shape[1], formulation=formulation)

        host = Influence(self.slots.astype(np.float64), pd.DataFrame(), np.zeros(0))
        self.by_slot, self.build_slot_s = timed(lambda: layout(self.slots))
        self.by_user, self.build_user_s = timed(lambda: layout(self.users))
        influence = Influence.tree_unflatten(host, (self.by_slot, self.by_user))
        audiences = layout(self.audience), layout(self.audience.T.tocsr())
        static = ProductInfluence(host, self.audience)
        self.objective = ProductInfluence.tree_unflatten(static, (influence, *audiences))

    def missed(self, x: np.ndarray) -> np.ndarray:
        """Chance that each user is missed, float64[U]."""
        with np.errstate(divide="ignore"):
            log_miss = np.log1p(-self.users.data.astype(float) * x[self.users.indices])
        return np.exp(_row_sums(self.users, log_miss))

    def moved(self, passes: int, vectors: str) -> float:
        """Bytes of so many passes over the pairs and of vectors, such as "SUU"."""
        return 8 * self.nnz * passes + sum(self.vector[axis] for axis in vectors)


def _row_sums(matrix: sparse.csr_array, data: np.ndarray) -> np.ndarray:
    entries = sparse.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)
    return entries.sum(axis=1)


def cases(at: Instance) -> list[Case]:
    """The kernels for one weighting of users or products, with their oracles in float64."""
    slots, users, x, weight = at.slots, at.users, at.x, at.weight
    slots64, rest = slots.astype(np.float64), at.missed(x)
    touched = np.repeat(x, np.diff(slots.indptr)) * slots64.data
    per_pair = slots64.data * (weight * rest)[slots.indices]
    gradient = _row_sums(slots, per_pair / (1.0 - touched))
    value_and_grad = jax.jit(jax.value_and_grad(lambda x, w, u, s: w @ expected_reach(u, s, x)))
    chosen = x > 0.99
    missed = at.missed(chosen)
    gains = np.where(chosen, 0.0, slots64 @ (missed * (at.audience.T @ at.price.astype(float))))
    x_device, weight_device = jnp.asarray(x), jnp.asarray(weight)
    weighted_rest = jnp.asarray(weight * rest, jnp.float32)

    def both():
        return users @ x, slots @ weight

    return [
        Case(
            "product by slot",
            matvec,
            (at.by_slot, weight_device),
            at.moved(1, "US"),
            slots64 @ weight.astype(float),
            lambda: slots @ weight,
        ),
        Case(
            "product by user",
            matvec,
            (at.by_user, x_device),
            at.moved(1, "SU"),
            slots64.T @ x.astype(float),
            lambda: users @ x,
        ),
        Case(
            "reach", reach, (at.by_user, x_device), at.moved(1, "SU"), 1 - rest, lambda: users @ x
        ),
        Case(
            "reach and rest",
            reach_and_rest,
            (at.by_user, x_device),
            at.moved(1, "SUU"),
            np.stack([1 - rest, rest]),
            lambda: users @ x,
        ),
        Case(
            "gradient",
            multilinear_gradient,
            (at.by_slot, x_device, weighted_rest),
            at.moved(1, "SUS"),
            gradient,
            lambda: slots @ weight,
        ),
        Case(
            "value and gradient",
            value_and_grad,
            (x_device, weight_device, at.by_user, at.by_slot),
            at.moved(2, "SUUUSS"),
            gradient,
            both,
            lambda results: results[1],
        ),
        Case(
            f"gains, {N_PRODUCTS} products weighted",
            ProductInfluence.marginal_gains,
            (at.objective, jnp.asarray(chosen, jnp.float32), jnp.asarray(at.price)),
            at.moved(2, "SUUUS") + 8 * at.audience.nnz,
            gains,
            both,
        ),
    ]


def gradient_of_each(at: Instance) -> Case:
    """The gradient of every product on its own."""
    touched = np.repeat(at.x, np.diff(at.slots.indptr)) * at.slots.data.astype(float)
    missed = at.missed(at.x)[:, None] * at.audience.T.toarray()
    entries = (at.slots.data / (1.0 - touched), at.slots.indices, at.slots.indptr)
    expected = (sparse.csr_array(entries, shape=at.slots.shape) @ missed).T
    missed32 = missed.astype(np.float32)
    return Case(
        f"gradient, each of {N_PRODUCTS} products",
        multilinear_gradients,
        (at.objective, jnp.asarray(at.x)),
        at.moved(2, "SUU" + N_PRODUCTS * "S") + N_PRODUCTS * at.nnz,
        expected,
        lambda: at.slots @ missed32,
    )


def sampled(at: Instance) -> Case:
    """Value and gradient of the truncated objective from samples; the value is compared."""
    demand = 0.5 * (at.audience @ (1 - at.missed(at.x)))
    objective = Truncated(at.objective, jnp.asarray(demand, jnp.float32))

    @jax.jit
    def estimate(objective, x, key):
        found = MonteCarlo(samples=N_SAMPLES).estimate(objective, x, key)
        return found.value, found.gradient

    return Case(
        f"{N_SAMPLES} samples, truncated",
        estimate,
        (objective, jnp.asarray(at.x), jax.random.key(0)),
        at.moved(N_SAMPLES, ""),
        demand,
        result=lambda results: results[0],
    )


def interleaved(calls: dict[Any, Callable[[], Any]], repeats: int) -> dict[Any, np.ndarray]:
    """Milliseconds of every call, all calls taking turns."""
    took = {name: np.empty(repeats) for name in calls}
    for repeat in range(repeats):
        for name, call in calls.items():
            took[name][repeat] = 1e3 * timed(call)[1]
    return took


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """A result and the seconds it took."""
    began = time.perf_counter()
    result = jax.block_until_ready(call())
    return result, time.perf_counter() - began


def measure_cases(at: Instance, listed: list[Case], repeats: int) -> list[dict[str, Any]]:
    """Every kernel and its rival in turns."""
    rows, calls = [], {}
    for case in listed:
        ours = partial(case.kernel, *case.arguments)
        found, first_s = timed(ours)
        result = np.asarray(case.result(found))
        rows.append(
            {
                "kernel": case.name,
                "nnz": at.nnz,
                "compile_s": first_s,
                "megabytes": case.bytes / 1e6,
                "max_error": float(np.abs(result - case.expected).max()),
                "largest": float(np.abs(case.expected).max()),
            }
        )
        calls[case.name, "ours"] = ours
        if case.rival is not None:
            calls[case.name, "scipy"] = case.rival
    took = interleaved(calls, repeats)
    for row in rows:
        for side in ("ours", "scipy"):
            found = took.get((row["kernel"], side))
            row[f"{side}_ms"] = None if found is None else float(found.min())
            row[f"{side}_median_ms"] = None if found is None else float(np.median(found))
        row["compile_s"] -= 1e-3 * row["ours_ms"]
        row["gb_s"] = row["megabytes"] / row["ours_ms"]
    return rows


def measure(formulation: Any, sizes: tuple[int, int, int], repeats: int) -> dict[str, Any]:
    """Everything, in this process."""
    chosen = formulation or choose_formulation()
    n_slots, n_users, nnz = sizes
    bandwidth = copy_gb_s()
    at = Instance(n_slots, n_users, nnz, chosen)
    rows = measure_cases(at, cases(at), repeats)
    degrees = np.diff(at.slots.indptr)
    layout_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(at.by_slot))
    report = {
        "device": device_name(),
        "platform": jax.default_backend(),
        "formulation": chosen,
        "slots": n_slots,
        "users": n_users,
        "nnz": at.nnz,
        "median_degree": float(np.median(degrees)),
        "largest_degree": int(degrees.max()),
        "bytes_per_pair": layout_bytes / at.nnz,
        "build_s": at.build_slot_s + at.build_user_s,
        "copy_gb_s": bandwidth,
        "repeats": repeats,
    }
    fewer = max(repeats // 5, 3)
    at = Instance(n_slots // 10, n_users // 10, nnz // 20, chosen)
    rows += measure_cases(at, [gradient_of_each(at)], fewer)
    at = Instance(*NEW_YORK, chosen)
    rows += measure_cases(at, [sampled(at)], fewer)
    for row in rows:
        row["of_copy"] = row["gb_s"] / bandwidth
    return report | {"kernels": rows}


def in_own_process(threads: set[int], *arguments: Any) -> dict[str, Any]:
    """Measures in a process bound to some processors, which it must be before JAX starts there."""
    context = multiprocessing.get_context("spawn")
    load = os.getloadavg()[0]
    with context.Pool(1, os.sched_setaffinity, (0, threads)) as pool:
        return {"threads": len(threads), "load": load} | pool.apply(measure, arguments)


def show(report: dict[str, Any]) -> None:
    print(
        f"{report['device']}, {report['formulation']} layout, {report['threads']} threads at load "
        f"{report['load']:.1f}, copy {report['copy_gb_s']:.1f} GB/s\n{report['nnz']:,} pairs, "
        f"{report['slots']:,} slots x {report['users']:,} users, degrees "
        f"{report['median_degree']:g} median, {report['largest_degree']:,} largest; laid out both "
        f"ways in {report['build_s']:.2f} s, {report['bytes_per_pair']:.2f} bytes a pair"
    )
    formats = {"kernel": "<", "ours_ms": ".2f", "ours_median_ms": ".2f", "scipy_ms": ".2f"}
    formats |= {"compile_s": ".2f", "megabytes": ".0f", "gb_s": ".1f", "of_copy": ".0%"}
    print_table(report["kernels"], formats | {"max_error": ".0e", "largest": ".0e"})
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description="Kernels and the machine's copy bandwidth.")
    parser.add_argument("--nnz", type=int, default=20_000_000)
    parser.add_argument("--slots", type=int, default=200_000)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=25)
    args = parser.parse_args()
    sizes = (args.slots, args.users, args.nnz)
    every = os.sched_getaffinity(0)
    runs = [in_own_process(every, None, sizes, args.repeats)]
    show(runs[0])
    if runs[0]["platform"] == "cpu":
        for threads, formulation in (({min(every)}, "chunked"), (every, "flat")):
            runs.append(in_own_process(threads, formulation, sizes, args.repeats))
            show(runs[-1])
    write_results("kernels", machine() | {"device": runs[0]["device"], "runs": runs})


if __name__ == "__main__":
    main()
