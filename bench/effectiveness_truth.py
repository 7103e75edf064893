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
from typing import Any

import harness
import jax
import numpy as np

import jaxcampaign as jc
from jaxcampaign.effectiveness.assessment.metrics import scores

_OPTIONS = 20_000  # of a campaign that are looked at
_PARTS = ("g_I", "g_H", "g_M")


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


def speed() -> dict[str, Any]:
    """Seconds, of the clock and of processors, of the default model: 10^5 rows, 10^6 options."""
    world = jc.synth_campaign(n_history=100_000, n_influencers=4000, seed=10)
    data = world.database()
    options = jc.enumerate_options(data, as_of=world.as_of)[:1_000_000]
    found: dict[str, Any] = {"rows": 100_000, "options": len(options)}
    began = _clocks()
    model = jc.EffectivenessModel("engagement").fit(data, until=world.as_of, show=False)
    found |= _since("fit", began)
    stack = model.hybrid.stack
    for name, trees in (("stacked", stack.trees), ("plain", stack.plain)):
        found[f"{name} trees"] = trees.rounds
    found["spread trees"] = stack.spread.trees.rounds
    for name, weight in zip(("network", "stacked", "plain"), stack.weights, strict=True):
        found[f"weight {name}"] = float(weight)
    began = _clocks()
    model.predict(options[:20_000])
    found |= _since("first 20,000 options", began)
    began = _clocks()
    outlook = model.predict(options)
    found |= _since("predict", began)
    total = outlook.base + outlook.g_I + outlook.g_H + outlook.g_M
    found["parts: largest error"] = float(np.abs(total - outlook.mean).max())
    began = _clocks()
    model.features(options)
    return found | _since("features alone", began)


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _since(what: str, began: tuple[float, float]) -> dict[str, float]:
    wall, cpu = _clocks()
    return {f"{what}: wall s": wall - began[0], f"{what}: cpu s": cpu - began[1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--history", type=int, default=20_000)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--overlaps", action="store_true")
    args = parser.parse_args()
    if args.speed:
        found = speed()
        for name, value in found.items():
            print(f"{name:32} {value:,.3g}" if abs(value) < 100 else f"{name:32} {value:,.0f}")
        harness.write_results("effectiveness_speed", {**harness.machine(), **found})
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
