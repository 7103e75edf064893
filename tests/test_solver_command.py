"""Every solver from the command line, on ready-made pairs: each brackets the optimum."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jaxcampaign.cli import main

SOLVERS = [
    "auto",
    "greedy",
    "stochastic-greedy",
    "top-k",
    "random",
    "lp-rounding",
    "branch-and-cut",
    "mixed-integer",
    "brute-force",
]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    """Seven slots and five users: few enough to try every selection."""
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(4)
    slots = [f"s{i}" for i in range(7)]
    users = [f"u{i}" for i in range(5)]
    prob = rng.uniform(0.2, 0.9, (7, 5)) * (rng.random((7, 5)) < 0.6)
    tables = {
        "slots": pd.DataFrame(
            {
                "slot_id": slots,
                "board_id": "b",
                "start_min": 60 * np.arange(7),
                "end_min": 60 * np.arange(1, 8),
                "cost": rng.uniform(1, 3, 7).round(2),
            }
        ),
        "pairs": pd.DataFrame(
            [(slots[i], users[j], prob[i, j]) for i, j in zip(*np.nonzero(prob), strict=True)],
            columns=["slot_id", "user_id", "prob"],
        ),
        "audiences": pd.DataFrame({"product_id": list("aabbb"), "user_id": users}),
        "demands": pd.DataFrame({"product_id": ["a", "b"], "demand": [0.9, 1.5]}),
    }
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    return folder


def _optimum(folder: Path, sense: str) -> float:
    """Every selection tried: least cost for the demands, or most influence with three slots."""
    slots = pd.read_parquet(folder / "slots.parquet").set_index("slot_id")
    table = pd.read_parquet(folder / "pairs.parquet")
    prob = table.pivot(index="slot_id", columns="user_id", values="prob").fillna(0.0)
    demands = pd.read_parquet(folder / "demands.parquet").set_index("product_id")["demand"]
    product = pd.read_parquet(folder / "audiences.parquet").set_index("user_id")["product_id"]
    best = np.inf if sense == "min" else -np.inf
    for size in range(len(prob) + 1):
        for chosen in itertools.combinations(prob.index, size):
            reach = 1 - (1 - prob.loc[list(chosen)]).prod()
            if sense == "max":
                best = max(best, reach.sum()) if size <= 3 else best
            elif (reach.groupby(product).sum() >= demands).all():
                best = min(best, slots.loc[list(chosen), "cost"].sum())
    return best


@pytest.fixture(scope="module")
def optima(pairs) -> dict[str, float]:
    return {sense: _optimum(pairs, sense) for sense in ("min", "max")}


@pytest.mark.usefixtures("tables_are_read_once")
@pytest.mark.parametrize("problem", ["common", "budgeted"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_brackets_the_optimum(
    pairs, optima, tmp_path, capsys, monkeypatch, problem, solver
):
    monkeypatch.setattr("jaxcampaign.cli.jobs.write_report", lambda *args, **options: None)
    names = ("pairs", "slots", "audiences", "demands")
    args = [text for name in names for text in (f"--{name}", str(pairs / f"{name}.parquet"))]
    args += ["--problem", problem, "--solver", solver, "--out", str(tmp_path)]
    args += ["--max-slots", "3"] if problem == "budgeted" else []
    assert main(["billboards", *args]) == 0
    record = json.loads((tmp_path / "certificate.json").read_text("utf-8"))
    assert record["feasible"] is True
    optimum = optima[record["sense"]]
    low, high = sorted([record["bound"], record["value"]])
    assert low <= optimum * (1 + 1e-9) and optimum <= high * (1 + 1e-9)
    if solver in ("auto", "branch-and-cut", "mixed-integer", "brute-force"):
        assert record["value"] == pytest.approx(optimum)
        assert record["status"] == "optimal"
    capsys.readouterr()
    assert main(["verify", str(tmp_path)]) == 0
    word = "not rechecked" in capsys.readouterr().out
    assert word == (record["solver_bound"] is not None)
