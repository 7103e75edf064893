"""Making and rechecking plans: what the commands billboards, campaign and verify do."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

from jaxcampaign import __version__
from jaxcampaign.cli.interruption import Interruption, Stopped
from jaxcampaign.cli.machine import check_folder, check_seed, check_time_limit, stage, use_device
from jaxcampaign.cli.options import Billboards, Campaigns
from jaxcampaign.cli.options import Verify as VerifyOptions
from jaxcampaign.errors import InputError
from jaxcampaign.plans import load_billboards, load_campaign, verify_plan, write_plan
from jaxcampaign.plans.folder import file_digest
from jaxcampaign.problems import Problem
from jaxcampaign.report import write_report
from jaxcampaign.solvers import (
    BicriteriaGreedy,
    BranchAndCut,
    BruteForce,
    CampaignSolution,
    DualDecomposition,
    Frontier,
    Greedy,
    LPRounding,
    MixedInteger,
    PermutationSampling,
    RandomAllocation,
    Solution,
    Solver,
    StochasticGreedy,
    TopK,
    frontier,
    solve,
)

STATUS_CODE = {
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
    "dual-decomposition": DualDecomposition(),
}
# Budgets of the plans beside the one asked for, as shares of its own; and how long each may take:
# so much of what that one took, and so many seconds in any case.
_SHARES = (0.5, 0.75, 1.25, 1.5)
_SHARE_OF_TIME, _LEAST_SECONDS = 0.2, 2.0
_PACKAGES = ("jax", "numpy", "scipy", "pandas", "cvxpy", "highspy")

Drawn = Mapping[str, pd.DataFrame | None]
"""Tables that a report draws, by name."""
Tables = Mapping[str, pd.DataFrame]
"""Tables for the plan folder, by file name."""


def run_billboards(options: Billboards, title: str | None = None) -> int:
    """Read, solve, certify, write; the exit status is that of the answer."""

    def load() -> tuple[Problem, Tables, Drawn]:
        loaded = load_billboards(options.inputs())
        drawn = {"checkins": loaded.checkins, "billboards": loaded.billboards}
        return loaded.problem, {}, drawn

    return _run(options, "read tables, derive influence", load, title)


def run_campaign(options: Campaigns, title: str | None = None) -> int:
    """Read or predict, solve, certify, write; the exit status is that of the answer."""

    def load() -> tuple[Problem, Tables, Drawn]:
        loaded = load_campaign(options.inputs(), key=jax.random.key(options.seed))
        return loaded.problem, loaded.tables, {}

    kind = (options.spending or {}).get("kind", "fixed_price")
    if options.solver == "mixed-integer" and kind != "fixed_price":
        raise InputError(
            "buys options whole, and here money may be shared out",
            table="solver",
            value=options.solver,
            remedy="use --solver dual-decomposition",
        )
    predicts = options.data is not None
    text = "read tables, fit the model, predict" if predicts else "read the options"
    return _run(options, text, load, title)


def _run(
    options: Billboards | Campaigns,
    text: str,
    load: Callable[[], tuple[Problem, Tables, Drawn]],
    title: str | None,
) -> int:
    check_time_limit(options.time_limit)
    check_seed(options.seed)
    check_folder(options.out)
    with Interruption() as interruption:
        return _made(options, text, load, title, interruption)


def _made(
    options: Billboards | Campaigns,
    text: str,
    load: Callable[[], tuple[Problem, Tables, Drawn]],
    title: str | None,
    interruption: Interruption,
) -> int:
    device = use_device(options.device)
    seconds: dict[str, float] = {}
    began = time.monotonic()
    inputs = options.inputs()
    with stage(text, seconds, "load"):
        problem, tables, drawn = load()
        digests = {name: file_digest(path) for name, path in inputs.files().items()}
    interruption.wait()
    with stage(f"solve {problem!r}", seconds, "solve"):
        solution = solve(
            problem,
            _SOLVERS.get(options.solver),
            key=jax.random.key(options.seed),
            time_limit=options.time_limit,
        )
    stopped = interruption.by is not None and solution.status not in ("optimal", "infeasible")
    if stopped and not solution.certificate.feasible:
        raise Stopped(f"stopped by {interruption.by} before there was a plan: nothing is written")
    others, fault = None, None
    try:
        others = _other_budgets(solution, options, seconds, interruption)
    except Exception as found:  # whatever it is, the plan that was asked for is sound
        fault = found
    interruption.finish()
    seconds["total"] = time.monotonic() - began
    run = {
        "jaxcampaign": __version__,
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

    def draw(path: Path) -> None:
        with stage("draw the report", {}, ""):
            write_report(solution, path, **drawn, title=title, run=run, frontier=others)

    record = write_plan(solution, options.out, run, tables, draw)
    if options.json:
        print(json.dumps(record, indent=2, ensure_ascii=False))
    else:
        _print_answer(solution, options.out)
    if fault is not None:
        raise fault
    if stopped:
        raise Stopped(
            f"stopped by {interruption.by}: the best plan so far is in {options.out}, certified; "
            "run it again to search on"
        )
    return STATUS_CODE[solution.status]


def _other_budgets(
    solution: Solution,
    options: Billboards | Campaigns,
    seconds: dict[str, float],
    interruption: Interruption,
) -> Frontier | None:
    """Plans of a campaign for less and for more money; None without any, or without the time."""
    if not (isinstance(options, Campaigns) and options.frontier and interruption.by is None):
        return None
    if not (isinstance(solution, CampaignSolution) and solution.certificate.feasible):
        return None
    budget = solution.problem.budget
    if not budget:
        return None
    with stage("plan other budgets", seconds, "frontier"):
        found = frontier(
            solution.problem,
            _SOLVERS.get(options.solver),
            budgets=[share * budget for share in _SHARES],
            key=jax.random.key(options.seed),
            time_limit=max(_SHARE_OF_TIME * seconds["solve"], _LEAST_SECONDS),
            known=solution,
        )
    return None if interruption.by else found


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
