"""Effectiveness on real creators, ads and ratings: the recommended model against tuned boosters.

    python bench/effectiveness.py                      # every task
    python bench/effectiveness.py --tasks thai_pages tiktok_videos --runs 0 1

What is held out: for posts, videos and talks the last two fifths of the rows, in five blocks, each
predicted from all rows before it; for the panel of creators November 2022 from the months before,
with five seeds (September from March and June is a task of its own); five folds of ads, brand
posts and ratings, those of each user spread evenly; and 20 random splits of 90 to 10 of the
patients, the protocol of deep ensembles (Lakshminarayanan et al. 2017).

Every rival has the same rows, columns and held-out rows. LightGBM and CatBoost choose the best of
four settings and the number of rounds on the last 15 % of the rows learned from (random ones in a
cross-section) and are then grown on all; their deviation is constant, that of the rows held back.
"catboost gaussian" learns mean and variance together by natural gradients, as NGBoost does. The
hybrid is `default_hybrid()`, what `EffectivenessModel` fits, untuned but for its trees, which it
chooses among the settings of its rival LightGBM. It is additive over the three sources of columns;
"hybrid, free" lets trees mix them (`additive=False`), as those of the rivals do. "network",
"stacked" and "plain" are its parents: the last two are its trees with and without outputs of the
network. Counts are learned under a log link.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from typing import Any

import harness
import jax
import numpy as np
from creators import TASKS, Task

from jaxcampaign.effectiveness import Features
from jaxcampaign.effectiveness.assessment.metrics import coverage, scores
from jaxcampaign.effectiveness.hybrid.folds import Fold
from jaxcampaign.effectiveness.model import default_hybrid
from jaxcampaign.effectiveness.trees.boosting import Booster
from jaxcampaign.effectiveness.trees.extra_boosters import CatBoost
from jaxcampaign.effectiveness.trees.tuning import BestOf, lightgbm_candidates, settled

_LEVELS = (0.5, 0.8, 0.9)
_MANY_ROWS = 20_000  # from here on CatBoost learns faster, and no variances
_PARENTS = ("network", "stacked", "plain")
_RIVALS = ("lightgbm", "catboost", "catboost gaussian", *_PARENTS, "hybrid, free", "hybrid")
_METRICS = ("rmse", "nll", "crps", "z_rms", "coverage_50", "coverage_80", "coverage_90")


def grids(task: Task, n_rows: int) -> dict[str, BestOf]:
    """Four settings of each rival."""
    objective = "tweedie" if task.log_link else "squared"
    rate = 0.15 if n_rows > _MANY_ROWS else 0.08
    catboost = [
        CatBoost(depth=depth, learning_rate=step, l2=l2, rounds=600, objective=objective, threads=1)
        for depth, step, l2 in [(4, rate, 3), (6, rate, 3), (6, rate / 2, 10), (8, rate, 3)]
    ]
    return {
        "lightgbm": lightgbm_candidates(objective, threads=1),
        "catboost": BestOf(tuple(catboost)),
    }


def gaussian_catboost(
    tuned: CatBoost, learned: Features, y: np.ndarray, held: np.ndarray, asked: Features, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of asked rows: natural gradients of the Gaussian likelihood."""
    from catboost import CatBoostRegressor, Pool

    def pool(features: Features, outcomes: np.ndarray | None = None) -> Pool:
        table = np.concatenate([features.numeric, features.categorical], axis=1).astype(object)
        width = features.numeric.shape[1]
        table[:, width:] = features.categorical
        return Pool(table, outcomes, cat_features=list(range(width, table.shape[1])))

    options = {
        "loss_function": "RMSEWithUncertainty",
        "depth": tuned.depth,
        "learning_rate": tuned.learning_rate,
        "l2_leaf_reg": tuned.l2,
        "thread_count": 1,
        "random_seed": seed,
        "logging_level": "Silent",
        "allow_writing_files": False,
    }
    trial = CatBoostRegressor(iterations=600, **options)
    early, late = pool(learned.take(~held), y[~held]), pool(learned.take(held), y[held])
    trial.fit(early, eval_set=late, early_stopping_rounds=tuned.patience)
    model = CatBoostRegressor(iterations=max(trial.tree_count_, 1), **options)
    mean, variance = model.fit(pool(learned, y)).predict(pool(asked)).T
    return mean, np.sqrt(variance)


def run(task: Task, fold: Fold, seed: int) -> dict[str, Any]:
    """Scores of all rivals on one held-out fold."""
    learned, asked = task.features(fold)
    y, truth = task.y[fold.train], task.y[fold.test]
    when = None if task.time is None else task.time[fold.train]
    shuffled = np.random.default_rng(seed).random(len(y))
    order = np.lexsort((shuffled,) if when is None else (shuffled, when))
    held = np.zeros(len(y), bool)
    held[order[int(0.85 * len(y)) :]] = True
    found: dict[str, Any] = {}

    def note(name: str, began: float, mean: np.ndarray, std: np.ndarray | None = None, **options):
        found[name] = scores(truth, mean, std, **options)
        found[name]["cpu_s"] = time.process_time() - began

    for name, grid in grids(task, len(y)).items():
        began = time.process_time()
        later = (learned.take(held), y[held])
        booster: Booster
        booster, grown = settled(grid, learned.take(~held), y[~held], validation=later, seed=seed)
        std = float(np.sqrt(np.mean((y[held] - grown.predict(later[0])) ** 2)))
        mean = booster.fit(learned, y, seed=seed).predict(asked)
        note(name, began, mean, np.full(len(truth), std))
    if not task.log_link and len(y) <= _MANY_ROWS:
        began = time.process_time()
        assert isinstance(booster, CatBoost)
        forecast = gaussian_catboost(booster, learned, y, held, asked, seed)
        note("catboost gaussian", began, *forecast)

    parts = {"hybrid": True}
    if len({*learned.numeric_sources, *learned.categorical_sources}) > 1:
        parts = {"hybrid, free": False, "hybrid": True}
    for name, additive in parts.items():
        began = time.process_time()
        hybrid = default_hybrid(count=task.log_link, additive=additive, n_rows=len(y))
        fitted = replace(hybrid, ids=task.ids).fit(
            learned, y, key=jax.random.key(seed), time=when, show=False
        )
        outlook = fitted.stack.outlook(asked, unweighted=True)
        prediction = fitted.predict(asked, parts=False)
        intervals = {level: fitted.interval(asked, level) for level in _LEVELS}
        note(name, began, prediction.mean, prediction.std, intervals=intervals)
        found[name]["weights"] = fitted.stack.weights.tolist()
        found[name]["scale"] = fitted.calibration.scale
        cold = fitted.cold(asked)
        low, high = intervals[0.9]
        for kind, chosen in (("warm", ~cold), ("cold", cold)):
            found[f"n_{kind}"] = int(chosen.sum())
            if chosen.any():
                share = coverage(truth[chosen], low[chosen], high[chosen])
                found[name][f"coverage_90_{kind}"] = share
    # The parents of the last one, the recommended.
    for name, mean in zip(_PARENTS, outlook.means, strict=True):
        found[name] = scores(truth, mean)
    found["observed"] = float(truth.sum())
    return found


def summary(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line per rival: mean and standard deviation over runs, totals of all of them.

    Coverage is over all held-out rows, and over warm and cold ones.
    """
    lines = []
    for name in _RIVALS:
        chosen = [run for run in runs if name in run]
        if not chosen:
            continue
        line: dict[str, Any] = {"model": name}
        for metric in _METRICS:
            values = [run[name][metric] for run in chosen if metric in run[name]]
            line[metric] = float(np.mean(values)) if values else None
            line[f"{metric}_sd"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
        rows = [run[name]["n"] for run in chosen]
        if line["coverage_90"] is not None:
            each = [run[name]["coverage_90"] for run in chosen]
            line["coverage_90"] = float(np.average(each, weights=rows))
        predicted = sum(run[name]["sum_ratio"] * run["observed"] for run in chosen)
        line["sum_ratio"] = float(predicted / sum(run["observed"] for run in chosen))
        times = [run[name]["cpu_s"] for run in chosen if "cpu_s" in run[name]]
        line["cpu_s"] = float(np.mean(times)) if times else None
        for kind in ("warm", "cold"):
            share = [run[name].get(f"coverage_90_{kind}", np.nan) for run in chosen]
            rows = [
                run[f"n_{kind}"] * np.isfinite(each)
                for run, each in zip(chosen, share, strict=True)
            ]
            total = np.nansum(np.multiply(share, rows))
            line[f"coverage_90_{kind}"] = float(total / sum(rows)) if sum(rows) else None
        lines.append(line)
    return lines


def report(name: str, target: str, lines: list[dict[str, Any]], n_runs: int) -> None:
    """Print what was found of one task."""
    print(f"\n{name}: {target}, {n_runs} runs")
    shown = {"model": "<", "rmse": ".4f", "rmse_sd": ".4f", "nll": ".4f", "nll_sd": ".4f"}
    shown |= {"crps": ".4f", "z_rms": ".3f", "coverage_90": ".3f"}
    shown |= {
        "coverage_90_warm": ".3f",
        "coverage_90_cold": ".3f",
        "sum_ratio": ".3f",
        "cpu_s": ".0f",
    }
    harness.print_table(lines, shown)
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    harness.add_data_flag(parser)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--runs", nargs="+", type=int, help="which of each task; by default all")
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    target = harness.RESULTS / "effectiveness.json"
    for name in arguments.tasks:
        task = TASKS[name](arguments.data)
        planned = [(fold, seed) for fold in task.folds for seed in range(task.seeds)]
        for place, (fold, seed) in enumerate(planned):
            if arguments.runs is not None and place not in arguments.runs:
                continue
            found = {"run": place, "seed": seed} | run(task, fold, seed)
            # Read again each time: other tasks may have been run meanwhile.
            record = json.loads(target.read_text()) if target.exists() else {"tasks": {}}
            before = record["tasks"].get(name, {"runs": []})["runs"]
            runs = [*(old for old in before if old["run"] != place), found]
            runs.sort(key=lambda each: each["run"])
            record["machine"] = harness.machine()
            lines = summary(runs)
            record["tasks"][name] = {"target": task.target, "summary": lines, "runs": runs}
            harness.write_results("effectiveness", record)
        if name in record["tasks"]:
            report(name, task.target, lines, len(runs))


if __name__ == "__main__":
    main()
