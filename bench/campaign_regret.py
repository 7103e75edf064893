"""What plans on predicted effectiveness realise, against plans with perfect knowledge.

    python bench/campaign_regret.py [--seeds 1 2 3] [--history 5000]

Seeded campaigns whose truth is known (`jaxcampaign synth campaign`). The default model learns from
everything known at the planning cut-off and predicts the posts on offer for events to come; a plan
is made at several budgets for `mean - rho std`, with and without a limit on the number of posts,
and judged by the true effects f of what it chose. `realised / perfect` is against the proven bound
on plans that know f, at equal budget and constraints; `lift` is the share of the way from plans
made at random to that bound; `realised / predicted` is below 1 where the highest predictions were
chosen because they were too high (the winner's curse): to be read beside the same ratio over all
options, which is the model's error of level.

rho is tuned without any truth: a model that learned from what was known 120 days earlier predicts
the posts that were made since; sub-plans of these are chosen with each rho, and the one whose
posts had the best recorded outcomes is taken, over all budgets; ties go to the smallest. Nothing
else is tuned. Results go to bench/results/campaign_regret.json.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import Any

import harness
import jax
import numpy as np
import pandas as pd

import jaxcampaign as jc

_RHOS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5)
_BUDGETS = (0.05, 0.1, 0.2)  # of what two posts of each influencer cost
_POSTS = 0.1  # share of the influencers' posts that a limited number of posts allows
_VALIDATION_DAYS = 120
_RANDOM = 3  # plans at random
_TARGET = "engagement"
_FEW = 2000  # options that branch and bound takes as they are


@dataclass(frozen=True)
class Forecast:
    """Predictions, and what came of them.

    Attributes:
      outlook: options with predictions.
      outcome: f64[N], what each option brings: recorded or true.
      covered: whether each event needs posts.
    """

    outlook: jc.Effectiveness
    outcome: np.ndarray
    covered: bool


def forecasts(seed: int, n_history: int) -> tuple[Forecast, Forecast, dict[str, float]]:
    """What is predicted at the earlier and at the planning cut-off of one world."""
    world = jc.synth_campaign(
        n_influencers=200, n_events=80, n_future_events=8, n_history=n_history, seed=seed
    )
    data = world.database()
    model = jc.EffectivenessModel(_TARGET)
    early, late = jax.random.split(jax.random.key(seed))
    began = time.process_time()
    cut = world.as_of - pd.Timedelta(_VALIDATION_DAYS, "D")
    before = model.fit(data, until=cut, key=early, show=False)
    now = model.fit(data, until=world.as_of, key=late, show=False)
    seconds = time.process_time() - began
    made = _made(data, cut, world.as_of)
    known = Forecast(
        before.predict(made.drop(columns=_TARGET), parts=False), made[_TARGET].to_numpy(), False
    )
    options = jc.enumerate_options(data, as_of=world.as_of)
    truth = world.truth.of(options, as_of=world.as_of)["f"].to_numpy()
    coming = Forecast(now.predict(options, parts=False), truth, True)
    error = coming.outlook.mean - truth
    facts = {
        "fits_cpu_s": seconds,
        "made": len(made),
        "options": len(options),
        "r_f": float(np.corrcoef(coming.outlook.mean, truth)[0, 1]),
        "rmse_f": float(np.sqrt(np.mean(error**2))),
        "sd_f": float(truth.std()),
        "true / predicted": float(truth.sum() / coming.outlook.mean.sum()),
    }
    return known, coming, facts


def _made(data: jc.Database, cut: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    """Posts that were planned after one cut-off and whose outcome was known at the next."""
    history = data.history
    assert history is not None
    rows = history[(history["planned_at"] >= cut) & (history["outcome_known_at"] < end)]
    rows = rows[rows["posted_at"] > cut].reset_index(drop=True)
    date = data.events.set_index("event_id")["date"]
    since = rows["posted_at"] - rows["event_id"].map(date)
    names = ["influencer_id", "content_type", "event_id", "posted_at", _TARGET]
    hours = since / pd.Timedelta(1, "h")
    return rows[names].assign(offset_hours=hours, price=rows["spend"])


def campaign(
    forecast: Forecast, share: float, limited: bool, rho: float, mean: np.ndarray | None = None
) -> jc.Campaign:
    """The campaign of a forecast, or with other means and no deviations."""
    options = forecast.outlook.options
    mean_price = options.groupby("influencer_id", observed=True)["price"].mean()
    table = options.assign(
        mean=forecast.outlook.mean if mean is None else mean,
        std=forecast.outlook.std if mean is None else 0.0,
    )
    rules: list[Any] = [jc.AtMost(2, per="influencer_id")]
    if forecast.covered:
        rules.append(jc.AtLeast(1, per="event_id"))
    if limited:
        rules.append(jc.AtMost(max(round(2 * _POSTS * len(mean_price)), 1)))
    budget = share * 2 * float(mean_price.sum())
    return jc.Campaign(table, budget=budget, risk_aversion=rho, constraints=rules)


def planned(problem: jc.Campaign) -> jc.Solution:
    """A certified plan."""
    few = problem.n_items <= _FEW
    solver = jc.MixedInteger(gap=1e-5) if few else jc.DualDecomposition(gap=1e-4, time_limit=20.0)
    solution = jc.solve(problem, solver)
    assert solution.certificate.feasible
    return solution


def tuned(known: Forecast, limited: bool) -> tuple[float, dict[str, float]]:
    """The rho whose plans of posts that were made had the best outcomes."""
    found = {}
    for rho in _RHOS:
        realised = [
            known.outcome[planned(campaign(known, share, limited, rho)).selection].sum()
            for share in _BUDGETS
        ]
        found[rho] = np.array(realised)
    score = {rho: float((sums / found[0.0]).mean()) for rho, sums in found.items()}
    best = max(score, key=lambda rho: (score[rho], -rho))
    return best, {str(rho): value for rho, value in score.items()}


def judged(known: Forecast, coming: Forecast, seed: int) -> list[dict[str, Any]]:
    """One row for each budget, with and without a limit on posts."""
    rows = []
    rng = np.random.default_rng(seed)
    for limited in (False, True):
        rho, scores = tuned(known, limited)
        for share in _BUDGETS:
            perfect = planned(campaign(coming, share, limited, 0.0, mean=coming.outcome))
            best = perfect.certificate.bound
            assert best is not None
            chance = np.mean(
                [
                    coming.outcome[_at_random(coming, share, limited, rng)].sum()
                    for _ in range(_RANDOM)
                ]
            )
            row = {"seed": seed, "limited": limited, "budget": share, "rho": rho}
            for name, value in (("rho = 0", 0.0), ("tuned", rho)):
                solution = planned(campaign(coming, share, limited, value))
                chosen = solution.selection
                realised = coming.outcome[chosen].sum()
                row[f"posts, {name}"] = int(chosen.sum())
                row[f"realised / perfect, {name}"] = float(realised / best)
                row[f"lift, {name}"] = float((realised - chance) / (best - chance))
                predicted = coming.outlook.mean[chosen].sum()
                row[f"realised / predicted, {name}"] = float(realised / predicted)
                row[f"gap, {name}"] = solution.certificate.gap
            row["random / perfect"] = float(chance / best)
            row["gap, perfect"] = perfect.certificate.gap
            rows.append(row | {"validation": scores})
    return rows


def _at_random(
    forecast: Forecast, share: float, limited: bool, rng: np.random.Generator
) -> np.ndarray:
    """A plan for effects that are drawn at random, all alike in level: bool[N]."""
    drawn = rng.permutation(forecast.outcome)
    problem = campaign(forecast, share, limited, 0.0, mean=drawn)
    return jc.solve(problem, jc.Greedy()).selection


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--history", type=int, default=5000)
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    worlds: list[dict[str, Any]] = []
    for seed in args.seeds:
        known, coming, facts = forecasts(seed, args.history)
        worlds.append({"seed": seed, **facts})
        print({k: round(v, 3) for k, v in worlds[-1].items()}, flush=True)
        rows += judged(known, coming, seed)
        report(rows, worlds, args.history)


def report(rows: list[dict[str, Any]], worlds: list[dict[str, Any]], n_history: int) -> None:
    """Print and write what is known so far."""
    labels = ("world", "seed", "limited", "budget", "validation")
    names = [name for name in rows[0] if name not in labels]
    shown = {"world": "<", "budget": ".0%"} | {
        name: ".3f" for name in names if not name.startswith(("gap", "posts"))
    }
    for row in rows:
        row["world"] = f"{row['seed']}{', few posts' if row['limited'] else ''}"
    harness.print_table(rows, shown)
    summary = {
        f"{'few posts: ' if limited else ''}{name}": {
            "mean": float(np.mean([row[name] for row in rows if row["limited"] == limited])),
            "least": float(np.min([row[name] for row in rows if row["limited"] == limited])),
        }
        for limited in (False, True)
        for name in names
        if name != "rho"
    }
    for name, values in summary.items():
        print(f"{name:45} mean {values['mean']:.4f}  least {values['least']:.4f}")
    harness.write_results(
        "campaign_regret",
        {
            **harness.machine(),
            "history": n_history,
            "worlds": worlds,
            "rows": rows,
            "summary": summary,
        },
    )


if __name__ == "__main__":
    main()
