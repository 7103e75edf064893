"""What each command does."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

from jaxcampaign import __version__
from jaxcampaign.cli.options import Billboards, Demo, Synth, SynthCampaign, SynthCity
from jaxcampaign.cli.options import Verify as VerifyOptions
from jaxcampaign.effectiveness import enumerate_options
from jaxcampaign.errors import DeviceError, InputError
from jaxcampaign.influence import build_influence, experiment_demands
from jaxcampaign.plans import load_billboards, verify_plan, write_plan
from jaxcampaign.plans.folder import file_digest
from jaxcampaign.report import write_report
from jaxcampaign.solvers import (
    BicriteriaGreedy,
    BranchAndCut,
    BruteForce,
    Greedy,
    LPRounding,
    MixedInteger,
    PermutationSampling,
    RandomAllocation,
    Solution,
    Solver,
    StochasticGreedy,
    TopK,
    solve,
)
from jaxcampaign.tables import synth_campaign, synth_city, write_table

_STATUS_CODE = {
    "optimal": 0,
    "feasible": 0,
    "bicriteria": 0,
    "infeasible": 3,
    "limit": 4,
    "unsolved": 4,
}
_SOLVERS: dict[str, Solver] = {
    "greedy": Greedy(),
    "stochastic-greedy": StochasticGreedy(),
    "top-k": TopK(),
    "random": RandomAllocation(),
    "lp-rounding": LPRounding(),
    "branch-and-cut": BranchAndCut(),
    "bicriteria": BicriteriaGreedy(),
    "permutation-sampling": PermutationSampling(),
    "mixed-integer": MixedInteger(),
    "brute-force": BruteForce(),
}
_DEMO_SECONDS = 20.0
_PACKAGES = ("jax", "numpy", "scipy", "pandas", "cvxpy", "highspy")


def run_billboards(options: Billboards, title: str | None = None) -> int:
    """Read, solve, certify, write; the exit status is that of the answer."""
    _check_time_limit(options.time_limit)
    _check_seed(options.seed)
    _check_folder(options.out)
    device = _use_device(options.device)
    seconds: dict[str, float] = {}
    began = time.monotonic()
    inputs = options.inputs()
    with _stage("read tables, derive influence", seconds, "load"):
        loaded = load_billboards(inputs)
        digests = {name: file_digest(path) for name, path in inputs.files().items()}
    with _stage(f"solve {loaded.problem!r}", seconds, "solve"):
        solution = solve(
            loaded.problem,
            _SOLVERS.get(options.solver),
            key=jax.random.key(options.seed),
            time_limit=options.time_limit,
        )
    seconds["total"] = time.monotonic() - began
    run = {
        "jaxcampaign": __version__,
        "command": "billboards",
        "inputs": inputs.to_record(),
        "input_sha256": digests,
        "solver": options.solver,
        "time_limit": options.time_limit,
        "seed": options.seed,
        "device": device,
        "versions": {name: version(name) for name in _PACKAGES} | {"python": _python()},
        "seconds": seconds,
        "statistics": {name: _plain(value) for name, value in solution.statistics.items()},
    }
    record = write_plan(solution, options.out, run)
    with _stage("draw the report", seconds, "report"):
        write_report(
            solution,
            options.out / "report.html",
            checkins=loaded.checkins,
            billboards=loaded.billboards,
            title=title,
            run=run,
        )
    if options.json:
        print(json.dumps(record, indent=2, ensure_ascii=False))
    else:
        _print_answer(solution, options.out)
    return _STATUS_CODE[solution.status]


def run_demo(options: Demo) -> int:
    """The whole way on a synthetic city: tables, plan, report, verification."""
    _check_seed(options.seed)
    _check_folder(options.out)
    _use_device(options.device)
    tables = options.out / "inputs"
    city = SynthCity(out=tables, seed=options.seed)
    with _stage("make a synthetic city", {}, ""):
        _write_city(city)
    code = run_billboards(
        Billboards(
            out=options.out,
            checkins=tables / "checkins.parquet",
            billboards=tables / "billboards.parquet",
            audiences=tables / "audiences.parquet",
            demands=tables / "demands.parquet",
            radius_m=city.radius_m,
            slot_minutes=city.slot_minutes,
            clock="local",
            seed=options.seed,
            device=options.device,
            time_limit=_DEMO_SECONDS,
        ),
        title="A synthetic city",
    )
    print()
    # That the time is up is no fault here: the demo shows what fits into it.
    code = 0 if code == _STATUS_CODE["limit"] else code
    return max(code, run_verify(VerifyOptions(options.out)))


def run_synth(options: Synth) -> int:
    """Write the tables of a synthetic world."""
    world = options.world
    _check_seed(world.seed)
    _check_folder(world.out)
    counts = _write_city(world) if isinstance(world, SynthCity) else _write_campaign(world)
    for name, rows in counts.items():
        print(f"{world.out / f'{name}.{world.format}'}: {rows:,} rows")
    return 0


def run_verify(options: VerifyOptions) -> int:
    """Recheck a plan and print every claim; 0 only if all hold, else 1."""
    began = time.monotonic()
    claims = verify_plan(options.folder, inputs_dir=options.inputs, strict=options.strict)
    for claim in claims:
        detail = f" ({claim.detail})" if claim.detail else ""
        print(f"{'ok    ' if claim.holds else 'FAILED'}  {claim.text}{detail}")
    failed = sum(not claim.holds for claim in claims)
    took = f"{len(claims)} claims rechecked in {time.monotonic() - began:.1f} s"
    print(f"{took}: {'every claim holds' if not failed else f'{failed} do not hold'}")
    return 1 if failed else 0


def _write_city(options: SynthCity) -> dict[str, int]:
    city = synth_city(
        n_users=options.n_users,
        n_boards=options.n_boards,
        n_products=options.n_products,
        days=options.days,
        checkins_per_user=options.checkins_per_user,
        seed=options.seed,
    )
    influence = build_influence(
        city.checkins,
        city.billboards,
        radius_m=options.radius_m,
        slot_minutes=options.slot_minutes,
        clock="local",
    )
    products = sorted(city.audiences["product_id"].unique())
    demand = experiment_demands(
        influence.singleton,
        alpha=options.demand_ratio,
        beta=options.demand_ratio / len(products),
        seed=options.seed,
    )
    demands = pd.DataFrame({"product_id": products, "demand": demand}).astype({"product_id": "str"})
    tables = city._asdict() | {"demands": demands}
    options.out.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        write_table(table, options.out / f"{name}.{options.format}")
    return {name: len(table) for name, table in tables.items()}


def _write_campaign(options: SynthCampaign) -> dict[str, int]:
    sizes = {f.name: getattr(options, f.name) for f in fields(options)}
    del sizes["out"], sizes["format"]
    campaign = synth_campaign(**sizes)
    choices = enumerate_options(campaign.database(), as_of=campaign.as_of)
    truth = pd.concat([choices, campaign.truth.of(choices, campaign.as_of)], axis=1)
    tables = campaign.tables | {
        "truth/history": campaign.truth.history,
        "truth/options": truth.assign(planned_at=campaign.as_of),
    }
    (options.out / "truth").mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        write_table(table, options.out / f"{name}.{options.format}")
    return {name: len(table) for name, table in tables.items()}


def _use_device(device: str) -> str:
    """Make kernels run on the asked device and name it.

    Raises:
      DeviceError: a GPU was asked for and there is none.
    """
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    chosen = None
    if device == "gpu":
        try:
            chosen = jax.devices("gpu")[0]
            jax.config.update("jax_default_device", chosen)
        except RuntimeError as fault:
            raise DeviceError(
                "no GPU is there for JAX to use",
                table="device",
                value="gpu",
                remedy="install jaxcampaign[gpu] on a machine with a GPU, or pass --device cpu",
            ) from fault
    chosen = chosen or jax.devices()[0]
    return f"{chosen.platform}: {chosen.device_kind}"


def _check_time_limit(limit: float | None) -> None:
    if limit is not None and not 0 < limit < float("inf"):
        raise InputError(
            "must be a positive number of seconds",
            table="time_limit",
            value=limit,
            remedy="correct it, or leave it out",
        )


def _check_seed(seed: int) -> None:
    if not 0 <= seed < 2**32:
        raise InputError(
            "must be a whole number from 0 to 2^32 - 1",
            table="seed",
            value=seed,
            remedy="pass one, such as 0",
        )


def _check_folder(out: Path) -> None:
    """Refuse, before any work, a folder that cannot receive the result."""
    nearest = next(path for path in (out, *out.absolute().parents) if os.path.exists(path))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise InputError(
            f"{nearest} is not a folder that can be written to",
            table="out",
            value=str(out),
            remedy="name another folder",
        )


@contextmanager
def _stage(text: str, seconds: dict[str, float], name: str) -> Iterator[None]:
    """Say on standard error what is being done, and keep how long it took."""
    print(f"{text} ...", end="", file=sys.stderr, flush=True)
    began = time.monotonic()
    try:
        yield
    finally:
        seconds[name] = time.monotonic() - began
        print(f" {seconds[name]:.1f} s", file=sys.stderr, flush=True)


def _print_answer(solution: Solution, out: Path) -> None:
    print(solution)
    lacking = solution.per_product().query("shortfall > 0")
    if len(lacking):
        print(lacking.to_string(index=False))
    print(f"report: {out / 'report.html'}")


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _python() -> str:
    return platform.python_version()
