"""The multilinear extension of 100 products at 2e7 pairs against two CSR products of scipy.

    python bench/multilinear.py [--pairs 20000000] [--slots 200000] [--users 200000] [--repeats 15]

Value of every product and the gradient of a weighted sum of them need the pairs twice, once by user
and once by slot: the least that any code does is two sparse matrix-vector products. Both sides
compute in float32, take turns in one process, and are timed on one thread, which is all that scipy
uses, and on all, each in a process of its own. The value is checked against float64 NumPy.

Also measured, on random pairs of the size of New York: Monte Carlo on the truncated influence of
all products with all its gradients, milliseconds a sample; and, without truncation, the error of
the gradients against the closed form, beside what the standard errors predict. Results go to
bench/results/multilinear.json.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from harness import machine, print_table, write_results
from scipy import sparse

from jaxcampaign import MonteCarlo, Truncated, multilinear_gradients, multilinear_value_and_gradient
from jaxcampaign.influence import Influence
from jaxcampaign.problems import ProductInfluence
from jaxcampaign.tables import synth_pairs
from jaxcampaign.tables.random_pairs import synth_pair_arrays

N_PRODUCTS = 100
INTEREST = 0.05
"""Share of users that a product is for."""


def random_objective(n_slots: int, n_users: int, n_pairs: int) -> ProductInfluence:
    """Random pairs with power-law degrees, and audiences of 5 % of the users."""
    slot, user, prob = synth_pair_arrays(n_slots=n_slots, n_users=n_users, n_pairs=n_pairs)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(slot, minlength=n_slots))])
    matrix = sparse.csr_array((prob.astype(np.float64), user, indptr), shape=(n_slots, n_users))
    audience = sparse.random_array(
        (N_PRODUCTS, n_users), density=INTEREST, rng=np.random.default_rng(0), format="csr"
    )
    audience.data[:] = 1.0
    # Only the numbers matter here, so the table of slots is left out.
    influence = Influence(matrix, None, np.arange(n_users))  # type: ignore[arg-type]
    return ProductInfluence(influence, audience)


def interleaved(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Milliseconds of every call, all calls taking turns."""
    took: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            began = time.perf_counter()
            jax.block_until_ready(call())
            took[name].append(1e3 * (time.perf_counter() - began))
    return took


def closed_form(n_slots: int, n_users: int, n_pairs: int, repeats: int) -> dict[str, Any]:
    """Value and gradient against two scipy products, and all gradients against one scipy SpMM."""
    objective = random_objective(n_slots, n_users, n_pairs)
    matrix = objective.influence.matrix.astype(np.float32)
    by_user = matrix.T.tocsr()
    rng = np.random.default_rng(1)
    x = rng.random(n_slots, np.float32) * 0.1
    weights, per_user = rng.random(N_PRODUCTS, np.float32), rng.random(n_users, np.float32)
    x_device, weights_device = jnp.asarray(x), jnp.asarray(weights)
    source = np.ones(2 * matrix.nnz, np.float32)
    target = np.empty_like(source)
    audience = objective.audience.T.astype(np.float32).tocsr()
    calls: dict[str, Callable[[], Any]] = {
        "copy": lambda: np.copyto(target, source),
        "value and gradient": lambda: multilinear_value_and_gradient(
            objective, x_device, weights_device
        ),
        "two scipy products": lambda: (by_user @ x, matrix @ per_user),
    }
    value, gradient = jax.block_until_ready(calls["value and gradient"]())
    took = interleaved(calls, repeats)
    slow: dict[str, Callable[[], Any]] = {
        "all gradients": lambda: multilinear_gradients(objective, x_device),
        "scipy, all products": lambda: matrix @ audience,
    }
    jax.block_until_ready(slow["all gradients"]())
    took |= interleaved(slow, 3)

    exact = objective.reference(x)
    least = {name: min(times) for name, times in took.items()}
    n_bytes = 2 * (8 * matrix.nnz + 4 * (n_slots + n_users)) + 2 * 8 * objective.audience.nnz
    copied = 2 * source.nbytes / least["copy"]
    return {
        "pairs": matrix.nnz,
        "slots": n_slots,
        "users": n_users,
        "products": N_PRODUCTS,
        "ms": {
            name: {"min": min(times), "median": float(np.median(times))}
            for name, times in took.items()
        },
        "ratio_to_scipy": least["value and gradient"] / least["two scipy products"],
        "median_ratio_to_scipy": float(
            np.median(np.divide(took["value and gradient"], took["two scipy products"]))
        ),
        "bytes": n_bytes,
        "copy_gb_s": copied / 1e6,
        "share_of_copy_bandwidth": n_bytes / least["value and gradient"] / copied,
        "relative_error_of_value": float(np.max(np.abs(np.asarray(value) / exact - 1))),
        "finite": bool(np.isfinite(np.asarray(gradient)).all()),
    }


def monte_carlo() -> dict[str, Any]:
    """Sampling at the size of a city: time a truncated sample, errors against the closed form."""
    tables = synth_pairs(n_slots=11_047, n_users=948, n_pairs=15_708)
    influence = Influence.from_pairs(tables.pairs, tables.slots)
    rng = np.random.default_rng(0)
    audience = sparse.csr_array((rng.random((N_PRODUCTS, influence.n_users)) < 0.3).astype(float))
    objective = ProductInfluence(influence, audience)
    x = rng.random(influence.n_slots) * 0.2
    truncated = Truncated(objective, objective.reference(x))
    exact = np.asarray(multilinear_gradients(objective, x))
    rows = []
    for samples in (16, 64, 256, 1024):
        for antithetic in (False, True):
            estimator = MonteCarlo(samples=samples, antithetic=antithetic)
            jax.block_until_ready(estimator.estimate(truncated, x, jax.random.key(1)))
            seconds, off, stated = [], [], []
            for key in jax.random.split(jax.random.key(2), 8):
                began = time.perf_counter()
                jax.block_until_ready(estimator.estimate(truncated, x, jax.random.clone(key)))
                seconds.append(time.perf_counter() - began)
                found = estimator.estimate(objective, x, key)
                off.append(np.mean((np.asarray(found.gradient) - exact) ** 2, dtype=np.float64))
                stated.append(np.mean(np.asarray(found.gradient_error) ** 2, dtype=np.float64))
            error = float(np.sqrt(np.mean(off)))
            rows.append(
                {
                    "samples": samples,
                    "antithetic": antithetic,
                    "ms_per_sample": 1e3 * min(seconds) / samples,
                    "error": error,
                    "error_over_stated": error / float(np.sqrt(np.mean(stated))),
                }
            )
    plain = [row for row in rows if not row["antithetic"]]
    exponent = np.polyfit(
        np.log([row["samples"] for row in plain]), np.log([row["error"] for row in plain]), 1
    )[0]
    return {"rows": rows, "exponent": float(exponent)}


def in_process(cores: set[int], flags: argparse.Namespace) -> dict[str, Any]:
    """The closed form in a process bound to some cores, which it must be before JAX starts."""
    with multiprocessing.get_context("spawn").Pool(1, os.sched_setaffinity, (0, cores)) as pool:
        sizes = (flags.slots, flags.users, flags.pairs, flags.repeats)
        return {"threads": len(cores)} | pool.apply(closed_form, sizes)


def show(run: dict[str, Any]) -> None:
    print(f"\n{run['threads']} threads, {run['pairs']:,} pairs, {run['products']} products")
    print_table(
        [{"milliseconds": name, **times} for name, times in run["ms"].items()],
        {"milliseconds": "<", "min": ".1f", "median": ".1f"},
    )
    print(
        f"{run['ratio_to_scipy']:.2f} x two scipy products (median of pairs "
        f"{run['median_ratio_to_scipy']:.2f}); {run['bytes'] / 1e6:.0f} MB, "
        f"{run['share_of_copy_bandwidth']:.0%} of copy bandwidth ({run['copy_gb_s']:.1f} GB/s); "
        f"value off by {run['relative_error_of_value']:.1e}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Multilinear extension against scipy.")
    parser.add_argument("--pairs", type=int, default=20_000_000)
    parser.add_argument("--slots", type=int, default=200_000)
    parser.add_argument("--users", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=15)
    flags = parser.parse_args()
    record: dict[str, Any] = {**machine(), "runs": []}
    every = os.sched_getaffinity(0)
    for cores in ({min(every)}, every):
        record["runs"].append(in_process(cores, flags))
        show(record["runs"][-1])
    record["monte_carlo"] = monte_carlo()
    print("\nMonte Carlo, 100 products, 11,047 slots: truncated (time), plain (error of gradients)")
    print_table(
        record["monte_carlo"]["rows"],
        {
            "samples": "d",
            "antithetic": "",
            "ms_per_sample": ".2f",
            "error": ".2e",
            "error_over_stated": ".2f",
        },
    )
    print(f"error ~ samples^{record['monte_carlo']['exponent']:.3f}")
    write_results("multilinear", record)


if __name__ == "__main__":
    main()
