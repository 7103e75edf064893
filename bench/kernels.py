"""Sparse kernels against scipy's CSR product, interleaved in one process.

    python bench/kernels.py [--nnz 20000000] [--slots 200000] [--users 200000] [--repeats 25]

Both sides compute in float32, once on one thread, which is all that scipy uses, and once on all
threads that the process may use, each time in a process of its own. On a shared machine the minimum
of interleaved runs is the figure to read. Results go to bench/results/kernels.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from scipy import sparse

from jaxcampaign.influence.kernels import (
    expected_reach,
    matvec,
    multilinear_gradient,
    reach,
    reach_and_rest,
)
from jaxcampaign.influence.layout import build_layout

RESULTS = Path(__file__).parent / "results" / "kernels.json"


@dataclass(frozen=True)
class Case:
    """A kernel, scipy products that do the least a rival would need, and the float64 answer."""

    name: str
    kernel: Any
    arguments: tuple
    peers: list[Callable[[], Any]]
    expected: np.ndarray
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


def cases(slots, users, by_slot, by_user) -> list[Case]:
    """The kernels at one random point, by slot and by user, with their oracles in float64."""
    rng = np.random.default_rng(1)
    x = rng.random(slots.shape[0], dtype=np.float32)
    weight = rng.random(slots.shape[1], dtype=np.float32)
    slots64, users64 = slots.astype(np.float64), users.astype(np.float64)

    def row_sums(matrix, data):
        entries = sparse.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)
        return entries.sum(axis=1)

    log_rest = row_sums(users64, np.log1p(-users64.data * x[users.indices]))
    weighted_rest = weight * np.exp(log_rest)
    touched = np.repeat(x, np.diff(slots.indptr)) * slots64.data
    gradient = row_sums(slots64, slots64.data * weighted_rest[slots.indices] / (1.0 - touched))
    reached = -np.expm1(log_rest)

    def product_by_slot():
        return slots @ weight

    def product_by_user():
        return users @ x

    value_and_grad = jax.jit(jax.value_and_grad(lambda x, w, u, s: w @ expected_reach(u, s, x)))
    x_device, weight_device = jnp.asarray(x), jnp.asarray(weight)
    rest = jnp.asarray(weighted_rest, jnp.float32)
    both = (x_device, weight_device, by_user, by_slot)
    return [
        Case(
            "slot product",
            matvec,
            (by_slot, weight_device),
            [product_by_slot],
            slots64 @ weight.astype(np.float64),
        ),
        Case(
            "user product",
            matvec,
            (by_user, x_device),
            [product_by_user],
            users64 @ x.astype(np.float64),
        ),
        Case("reach", reach, (by_user, x_device), [product_by_user], reached),
        Case(
            "reach and rest",
            reach_and_rest,
            (by_user, x_device),
            [product_by_user],
            np.stack([reached, np.exp(log_rest)]),
        ),
        Case(
            "gradient",
            multilinear_gradient,
            (by_slot, x_device, rest),
            [product_by_slot],
            gradient,
        ),
        Case(
            "value and gradient",
            value_and_grad,
            both,
            [product_by_user, product_by_slot],
            gradient,
            lambda value_and_gradient: value_and_gradient[1],
        ),
    ]


def interleaved(calls: dict[Any, Callable[[], Any]], repeats: int) -> dict[Any, np.ndarray]:
    """Milliseconds of every call, all calls taking turns."""
    took = {name: np.empty(repeats) for name in calls}
    for repeat in range(repeats):
        for name, call in calls.items():
            begin = time.perf_counter()
            jax.block_until_ready(call())
            took[name][repeat] = 1e3 * (time.perf_counter() - begin)
    return took


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """A result and the seconds it took."""
    begin = time.perf_counter()
    result = jax.block_until_ready(call())
    return result, time.perf_counter() - begin


def measure(n_slots: int, n_users: int, nnz: int, repeats: int) -> dict[str, Any]:
    """Builds both layouts and times every kernel, its rival and a plain copy of memory."""
    slots = power_law_matrix(n_slots, n_users, nnz)
    users = slots.T.tocsr()

    def layout(matrix, n_columns):
        return build_layout(matrix.indptr, matrix.indices, matrix.data, n_columns=n_columns)

    by_slot, slot_seconds = timed(lambda: layout(slots, n_users))
    by_user, user_seconds = timed(lambda: layout(users, n_slots))
    source = np.ones(2 * slots.nnz, np.float32)
    target = np.empty_like(source)
    calls: dict[Any, Callable[[], Any]] = {"copy": lambda: np.copyto(target, source)}
    rows = []
    for case in cases(slots, users, by_slot, by_user):
        lowered = case.kernel.lower(*case.arguments)
        compiled, compile_seconds = timed(lowered.compile)
        result = np.asarray(case.result(compiled(*case.arguments)))
        rows.append(
            {
                "kernel": case.name,
                "compile_s": compile_seconds,
                "bytes": len(case.peers) * (8 * slots.nnz + 4 * (n_slots + n_users)),
                "max_abs_error": float(np.abs(result - case.expected).max()),
                "largest_value": float(np.abs(case.expected).max()),
            }
        )
        calls[case.name, "ours"] = lambda c=compiled, a=case.arguments: c(*a)
        calls[case.name, "scipy"] = lambda peers=case.peers: [peer() for peer in peers]
    took = interleaved(calls, repeats)
    copy_gb_s = 2e-6 * source.nbytes / took["copy"].min()
    for row in rows:
        for side in ("ours", "scipy"):
            row[f"{side}_min_ms"] = float(took[row["kernel"], side].min())
            row[f"{side}_median_ms"] = float(np.median(took[row["kernel"], side]))
        row["share_of_copy_bandwidth"] = 1e-6 * row["bytes"] / row["ours_min_ms"] / copy_gb_s
    degrees = np.diff(slots.indptr)
    return {
        "device": str(jax.devices()[0]),
        "slots": n_slots,
        "users": n_users,
        "nnz": slots.nnz,
        "median_degree": float(np.median(degrees)),
        "largest_degree": int(degrees.max()),
        "formulation": type(by_slot).__name__,
        "layout_bytes": sum(leaf.nbytes for leaf in jax.tree.leaves(by_slot)),
        "build_s": {"by_slot": slot_seconds, "by_user": user_seconds},
        "copy_gb_s": copy_gb_s,
        "repeats": repeats,
        "kernels": rows,
    }


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }


def on_threads(threads: set[int], flags: argparse.Namespace) -> dict[str, Any]:
    """Measures in a process bound to some processors, which it must be before JAX starts there."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, os.sched_setaffinity, (0, threads)) as pool:
        sizes = (flags.slots, flags.users, flags.nnz, flags.repeats)
        load = os.getloadavg()[0]
        return {"threads": len(threads), "load_average": load} | pool.apply(measure, sizes)


def show(report: dict[str, Any]) -> None:
    build_s = report["build_s"]
    print(
        f"{report['threads']} threads at load {report['load_average']:.1f} on {report['device']}, "
        f"copy {report['copy_gb_s']:.1f} GB/s\n{report['nnz']:,} non-zeros, {report['slots']:,} "
        f"slots x {report['users']:,} users, degrees {report['median_degree']:g} median, "
        f"{report['largest_degree']:,} largest\nbuilt in {build_s['by_slot']:.2f} + "
        f"{build_s['by_user']:.2f} s, {report['layout_bytes'] / report['nnz']:.2f} bytes each\n"
        f"{'milliseconds':20s}{'min':>9s}{'median':>9s}{'scipy':>9s}{'median':>9s}"
        f"{'compile s':>11s}{'of copy':>9s}{'max error':>11s}"
    )
    for row in report["kernels"]:
        print(
            f"{row['kernel']:20s}{row['ours_min_ms']:9.2f}{row['ours_median_ms']:9.2f}"
            f"{row['scipy_min_ms']:9.2f}{row['scipy_median_ms']:9.2f}{row['compile_s']:11.2f}"
            f"{row['share_of_copy_bandwidth']:9.0%}{row['max_abs_error']:11.1e}"
        )
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description="Sparse kernels against scipy's CSR product.")
    parser.add_argument("--nnz", type=int, default=20_000_000)
    parser.add_argument("--slots", type=int, default=200_000)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=25)
    flags = parser.parse_args()
    every = os.sched_getaffinity(0)
    runs = []
    for threads in ({min(every)}, every):
        runs.append(on_threads(threads, flags))
        show(runs[-1])
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(machine() | {"runs": runs}, indent=2) + "\n")


if __name__ == "__main__":
    main()
