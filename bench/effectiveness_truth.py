"""Effectiveness where the truth is known: parts, deviations, the leak of a random split, speed.

    python bench/effectiveness_truth.py [--seeds 0 1 2 3 4] [--history 20000]
    python bench/effectiveness_truth.py --overlaps | --speed

Seeded campaigns whose mean is exactly additive (`jaxcampaign synth campaign`). The model learns
from all of history and is asked about options of events to come, some with influencers nobody has
worked with: how well the parts are told apart, and whether deviations are those of outcomes that
are drawn from the truth. Then the same model is scored on the last fifth of history, planned after
everything that it learned from, and on a fifth drawn at random: the difference is what a random
split would have promised too much. `--overlaps` tells instead what the network gains by the table
of overlaps; `--speed` times the default model at 10^5 rows of history and 10^6 options. Results go
to bench/results/effectiveness_{truth,overlaps,speed}.json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import harness
import jax
import numpy as np

import jaxcampaign as jc
from jaxcampaign.effectiveness.assessment.metrics import scores

_OPTIONS = 20_000  # of a campaign that are looked at
_PARTS = ("g_I", "g_H", "g_M")
_REPEATS = 3  # of the prediction of all options
_COMPILATION = "/jax/core/compile/backend_compile_duration"


def recovery(seed: int, n_history: int) -> dict[str, Any]:
    """How well one campaign's truth is found."""
    world = jc.synth_campaign(n_history=n_history, seed=seed)
    data = world.database()
    began = time.perf_counter()
    model = jc.EffectivenessModel("engagement").fit(
        data, until=world.as_of, key=jax.random.key(seed), show=False
    )
    fit_s = time.perf_counter() - began
    rng = np.random.default_rng(seed)
    options = _asked(world, data, rng)
    outlook = model.predict(options)
    truth = world.truth.of(options, as_of=world.as_of)
    mean, std = truth["f"].to_numpy(), truth["sigma"].to_numpy()
    drawn = mean + std * rng.standard_normal(len(mean))
    row: dict[str, Any] = {"seed": seed, "history": n_history, "fit_s": fit_s}
    for name in _PARTS:
        row[f"r {name}"] = float(np.corrcoef(truth[name], getattr(outlook, name))[0, 1])
    row["r f"] = float(np.corrcoef(mean, outlook.mean)[0, 1])
    row["r sigma"] = float(np.corrcoef(std, outlook.std)[0, 1])
    z = (drawn - outlook.mean) / outlook.std
    within = (outlook.low <= drawn) & (drawn <= outlook.high)
    for kind, rows in (("warm", ~outlook.cold), ("cold", outlook.cold)):
        row[f"z_rms {kind}"] = float(np.sqrt(np.mean(z[rows] ** 2)))
        row[f"coverage {kind}"] = float(within[rows].mean())
    row["z_rms"] = float(np.sqrt(np.mean(z**2)))
    return row | leak_gap(data, seed)


def _asked(world: jc.SyntheticCampaign, data: jc.Database, rng: np.random.Generator) -> Any:
    """Some of the options of a campaign."""
    options = jc.enumerate_options(data, as_of=world.as_of)
    options = options.iloc[np.sort(rng.permutation(len(options))[:_OPTIONS])]
    return options.reset_index(drop=True)


def overlaps_gain(seed: int, n_history: int) -> dict[str, Any]:
    """What the network gains by the table of overlaps, for influencers with and without history."""
    world = jc.synth_campaign(n_history=n_history, seed=seed)
    found: dict[str, Any] = {"seed": seed, "history": n_history}
    for kind in ("with", "without"):
        left_out = set() if kind == "with" else {"overlaps"}
        data = jc.open_database({k: v for k, v in world.tables.items() if k not in left_out})
        history = data.history
        assert history is not None
        history = history.sort_values("planned_at", kind="stable")
        learned = jc.build_features(data, history, target="engagement")
        network = jc.TowerNetwork().fit(
            learned,
            history["engagement"].to_numpy(float),
            key=jax.random.key(seed),
            progress=False,
        )
        options = _asked(world, data, np.random.default_rng(seed))
        asked = jc.build_features(
            data, options, target="engagement", as_of=world.as_of, like=learned
        )
        told, truth = network.predict(asked), world.truth.of(options, as_of=world.as_of)
        cold = ~options["influencer_id"].astype("str").isin(set(history["influencer_id"]))
        for who, rows in (("warm", ~cold.to_numpy()), ("cold", cold.to_numpy())):
            error = told.mean[rows] - truth["f"].to_numpy()[rows]
            found[f"rmse of f, {who}, {kind}"] = float(np.sqrt(np.mean(error**2)))
            for name, part in zip(_PARTS, told.stacked_parts(), strict=True):
                r = np.corrcoef(truth[name].to_numpy()[rows], part[rows])[0, 1]
                found[f"r {name}, {who}, {kind}"] = float(r)
    return found


def leak_gap(data: jc.Database, seed: int) -> dict[str, float]:
    """RMSE of LightGBM on rows held out in time and at random, with features as of the planning."""
    history = data.history
    assert history is not None
    y = history["engagement"].to_numpy(float)
    features = jc.build_features(data, history, target="engagement")
    (split,) = jc.time_splits(
        history["planned_at"], history["outcome_known_at"], n_splits=1, first=0.8
    )
    order = np.random.default_rng(seed).permutation(len(y))
    cut = len(split.test)
    found = {}
    for name, train, test in (
        ("time", split.train, split.test),
        ("random", order[cut:], order[:cut]),
    ):
        trees = jc.LightGBM(rounds=300).fit(features.take(train), y[train], seed=seed)
        mean = trees.predict(features.take(test))
        found[f"rmse {name}"] = scores(y[test], mean, np.ones(len(test)))["rmse"]
    return found | {"leak gap": 1 - found["rmse random"] / found["rmse time"]}


class _Stages:
    """Seconds of the clock, of all processors, and of compilation, stage by stage."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self._compiling = 0.0
        jax.monitoring.register_event_duration_secs_listener(self._note)

    def _note(self, event: str, seconds: float, **_: Any) -> None:
        if event == _COMPILATION:
            self._compiling += seconds

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Adds a line for what is done meanwhile."""
        wall, cpu, compiling = time.perf_counter(), time.process_time(), self._compiling
        yield
        line = {
            "stage": stage,
            "wall_s": time.perf_counter() - wall,
            "cpu_s": time.process_time() - cpu,
            "compiling_s": self._compiling - compiling,
        }
        self.lines.append(line)
        print({k: v if k == "stage" else round(v, 2) for k, v in line.items()}, flush=True)


def speed() -> dict[str, Any]:
    """Seconds of the default model: 10^5 rows of history, 10^6 options with all three parts.

    Compilation is part of the fit and of the first prediction; of the later ones, which compile
    nothing, each is timed, features of the options included, and features apart as well.
    """
    stages = _Stages()
    world = jc.synth_campaign(n_history=100_000, n_influencers=4000, seed=10)
    data = world.database()
    options = jc.enumerate_options(data, as_of=world.as_of)[:1_000_000]
    with stages.time("fit"):
        model = jc.EffectivenessModel("engagement").fit(data, until=world.as_of, show=False)
    with stages.time("predict, first time"):
        outlook = model.predict(options)
    for _ in range(_REPEATS):
        with stages.time("predict"):
            outlook = model.predict(options)
    with stages.time("features alone"):
        model.features(options)
    total = outlook.base + outlook.g_I + outlook.g_H + outlook.g_M
    stack = model.hybrid.stack
    weights = zip(("network", "stacked", "plain"), stack.weights, strict=True)
    trees = (("stacked", stack.trees), ("plain", stack.plain), ("spread", stack.spread.trees))
    return {
        "rows": 100_000,
        "options": len(options),
        "stages": stages.lines,
        "fit_s": stages.lines[0]["wall_s"],
        "predict_s": float(
            np.median([x["wall_s"] for x in stages.lines if x["stage"] == "predict"])
        ),
        "largest_error_of_parts": float(np.abs(total - outlook.mean).max()),
        "weights": {name: float(weight) for name, weight in weights},
        "rounds": {name: grown.rounds for name, grown in trees},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--history", type=int, default=20_000)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--overlaps", action="store_true")
    args = parser.parse_args()
    if args.speed:
        found = {**harness.machine(), **speed()}
        shown = {"stage": "<", "wall_s": ".2f", "cpu_s": ".2f", "compiling_s": ".2f"}
        harness.print_table(found["stages"], shown)
        apart = ("weights", "rounds", "largest_error_of_parts", "load_average")
        print({name: found[name] for name in apart})
        harness.write_results("effectiveness_speed", found)
        return
    rows = []
    for seed in args.seeds:
        rows.append((overlaps_gain if args.overlaps else recovery)(seed, args.history))
        print({k: round(v, 3) for k, v in rows[-1].items()}, flush=True)
    names = [name for name in rows[0] if name not in ("seed", "history")]
    lines = [
        {
            "figure": name,
            "mean": float(np.mean([row[name] for row in rows])),
            "sd": float(np.std([row[name] for row in rows], ddof=1)) if len(rows) > 1 else None,
        }
        for name in names
    ]
    harness.print_table(lines, {"figure": "<", "mean": ".3f", "sd": ".3f"})
    harness.write_results(
        "effectiveness_overlaps" if args.overlaps else "effectiveness_truth",
        {**harness.machine(), "rows": rows, "summary": lines},
    )


if __name__ == "__main__":
    main()
