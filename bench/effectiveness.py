"""Effectiveness on real creators, ads and ratings: the hybrid against tuned boosted trees.

    python bench/effectiveness.py                      # every task
    python bench/effectiveness.py --tasks thai_pages --seeds 0 1 2 3 4

Every rival has the same rows, columns and held-out rows. Boosted trees choose the best of four
settings and the number of rounds on the last 15 % of the rows learned from (random ones in a
cross-section) and are then grown on all; their deviation is constant, that of the rows held back.
The hybrid takes LightGBM's setting, and no tuning of the network. Tasks in time have one
chronological hold-out and five seeds, cross-sections five folds.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from typing import Any

import harness
import jax
import numpy as np
from creators import TASKS, Task

from jaxcampaign.effectiveness import Features, TowerNetwork
from jaxcampaign.effectiveness.assessment.metrics import coverage, scores
from jaxcampaign.effectiveness.hybrid.fit import Hybrid
from jaxcampaign.effectiveness.trees.extra_boosters import CatBoost
from jaxcampaign.effectiveness.trees.lightgbm import LightGBM
from jaxcampaign.effectiveness.trees.spread import refitted

_GRIDS: dict[str, list[Any]] = {
    "lightgbm": [
        LightGBM(leaves=leaves, learning_rate=rate, leaf_rows=rows, threads=1)
        for leaves, rate, rows in [(8, 0.05, 20), (31, 0.05, 20), (31, 0.03, 60), (127, 0.05, 20)]
    ],
    "catboost": [
        CatBoost(depth=depth, learning_rate=rate, l2=l2, threads=1)
        for depth, rate, l2 in [(4, 0.08, 3), (6, 0.08, 3), (6, 0.05, 10), (8, 0.08, 3)]
    ],
}
_ALL_LEVELS = (0.5, 0.8, 0.9)


def tuned(grid: list[Any], learned: Features, y: np.ndarray, held: np.ndarray, seed: int):
    """The setting that predicts the rows held back best, its rounds, and its deviation there."""
    tried = []
    for booster in grid:
        validation = (learned.take(held), y[held])
        grown = booster.fit(learned.take(~held), y[~held], validation=validation, seed=seed)
        error = y[held] - grown.predict(learned.take(held))
        tried.append((float(np.sqrt(np.mean(error**2))), booster, grown.rounds))
    std, booster, rounds = min(tried, key=lambda found: found[0])
    return booster, rounds, std


def run(task: Task, fold: int, seed: int, epochs: int | None, n_folds: int) -> dict[str, Any]:
    """Scores of all rivals on one held-out fold."""
    rows = task.folds[fold]
    learned, asked = task.features(rows)
    y, truth = task.y[rows.train], task.y[rows.test]
    when = None if task.time is None else task.time[rows.train]
    rank = np.random.default_rng(seed).random(len(y)) if when is None else when
    held = np.argsort(np.argsort(rank, kind="stable")) >= 0.85 * len(y)
    found: dict[str, Any] = {"fold": fold, "seed": seed}
    best = {}
    for name, grid in _GRIDS.items():
        began = time.perf_counter()
        objective = "poisson" if task.log_link else "squared"
        settings = [replace(booster, objective=objective) for booster in grid]
        best[name], rounds, std = tuned(settings, learned, y, held, seed)
        mean = refitted(best[name], rounds, learned, y, seed).predict(asked)
        found[name] = scores(truth, mean, np.full(len(truth), std))
        found[name]["seconds"] = time.perf_counter() - began
    began = time.perf_counter()
    network = TowerNetwork(epochs=epochs)
    if task.log_link:
        network = replace(network, link="log", power=1.0)
    hybrid = Hybrid(network, best["lightgbm"], ids=task.ids, n_folds=n_folds)
    fitted = hybrid.fit(learned, y, key=jax.random.key(seed), time=when, show=False)
    outlook, forecast = fitted.stack.outlook(asked), fitted.predict(asked, parts=False)
    intervals = {level: fitted.interval(asked, level) for level in _ALL_LEVELS}
    found["hybrid"] = scores(truth, forecast.mean, forecast.std, intervals=intervals)
    found["hybrid"]["seconds"] = time.perf_counter() - began
    found["network"] = scores(truth, outlook.means[0])
    found["stacked trees"] = scores(truth, outlook.means[1])
    found["weights"] = fitted.stack.weights.tolist()
    found["scale"] = fitted.calibration.scale
    cold = fitted.cold(asked)
    low, high = intervals[0.9]
    for kind, chosen in (("warm", ~cold), ("cold", cold)):
        found[f"n_{kind}"] = int(chosen.sum())
        if chosen.any():
            found[f"coverage_90_{kind}"] = coverage(truth[chosen], low[chosen], high[chosen])
    found["sums"] = {
        "observed": truth.sum(),
        "hybrid": forecast.mean.sum(),
    }
    return found


def summary(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line per rival: mean and standard deviation over folds or seeds."""
    lines = []
    for name in ("lightgbm", "catboost", "network", "stacked trees", "hybrid"):
        line: dict[str, Any] = {"model": name}
        for metric in ("rmse", "nll", "crps", "z_rms", "coverage_90"):
            values = [run[name][metric] for run in runs if metric in run[name]]
            line[metric] = float(np.mean(values)) if values else None
            line[f"{metric}_sd"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
        total = sum(run["sums"]["observed"] for run in runs)
        shares = [run[name]["sum_ratio"] * run["sums"]["observed"] for run in runs]
        line["sum_ratio"] = float(sum(shares) / total)
        lines.append(line)
    for kind in ("warm", "cold"):
        values = [run[f"coverage_90_{kind}"] for run in runs if f"coverage_90_{kind}" in run]
        lines[-1][f"coverage_90_{kind}"] = float(np.mean(values)) if values else None
    return lines


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    harness.add_data_flag(parser)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--epochs", type=int, help="by default those of the network")
    parser.add_argument("--folds", type=int, default=4, help="folds inside the hybrid")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    target = harness.RESULTS / "effectiveness.json"
    for name in arguments.tasks:
        task = TASKS[name](arguments.data)
        for seed in arguments.seeds:
            fold = seed % len(task.folds)
            found = run(task, fold, seed, arguments.epochs, arguments.folds)
            # Read again each time: other tasks may have been run meanwhile.
            record = json.loads(target.read_text()) if target.exists() else {"tasks": {}}
            before = record["tasks"].get(name, {"runs": []})["runs"]
            runs = [*(old for old in before if old["seed"] != seed), found]
            runs.sort(key=lambda each: each["seed"])
            record["machine"] = harness.machine()
            lines = summary(runs)
            record["tasks"][name] = {"target": task.target, "summary": lines, "runs": runs}
            print(f"\n{name}: {task.target}, {len(runs)} runs")
            shown = {"model": "<", "rmse": ".4f", "rmse_sd": ".4f", "nll": ".4f", "nll_sd": ".4f"}
            shown |= {"crps": ".4f", "z_rms": ".3f", "coverage_90": ".3f", "sum_ratio": ".3f"}
            harness.print_table(lines, shown)
            warm, cold = (lines[-1][f"coverage_90_{kind}"] for kind in ("warm", "cold"))
            print(f"coverage of 90 % intervals: warm {warm}, cold {cold}", flush=True)
            harness.write_results("effectiveness", record)


if __name__ == "__main__":
    main()
