"""Plans of campaigns made from a database: predictions are kept, and are part of the proof."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from alterations import (
    HASHED,
    Case,
    sha256,
)
from campaign_desk import lay_out, options_table, run_campaign

import jaxcampaign as jc
from jaxcampaign.cli import main

QUICKEST = {"members": 2, "width": 8, "depth": 1, "n_bins": 4, "embedding": 4, "epochs": 2}


@pytest.fixture(scope="module")
def predicted(tmp_path_factory) -> Path:
    """A plan whose options were predicted; its database is gone afterwards."""
    folder = tmp_path_factory.mktemp("predicted")
    world = jc.synth_campaign(
        n_influencers=25, n_events=20, n_future_events=3, n_history=500, seed=3
    )
    (folder / "data").mkdir()
    for name, table in world.tables.items():
        jc.write_table(table, folder / "data" / f"{name}.parquet")
    (folder / "plan.toml").write_text(
        'data = "data"\nbudget = 3000\nrisk_aversion = 0.2\nmodel = "quick"\n'
        f"until = {world.as_of:%Y-%m-%d}\n"
        '[[at_most]]\nk = 2\nper = "influencer_id"\n[[at_most]]\nk = 3\nper = "tier"\n'
        "[where]\nfollowers = { low = 1 }\n".replace("tier", "location")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxcampaign.cli.jobs.write_report", lambda *args, **options: None)
        patch.setattr("jaxcampaign.plans.predicting._quick_hybrid", _quickest)
        args = ["campaign", "--config", str(folder / "plan.toml"), "--solver", "mixed-integer"]
        assert main([*args, "--out", str(folder / "plan")]) == 0
    for path in (folder / "data").iterdir():
        path.unlink()
    return folder / "plan"


def _quickest(count: bool) -> jc.Hybrid:
    trees = jc.LightGBM(rounds=20, leaves=4, threads=1)
    network = jc.TowerNetwork(**QUICKEST)
    return jc.Hybrid(network, trees, spread=trees, ids=("influencer_id",), n_folds=2)


def test_predictions_are_kept_and_not_made_again(predicted, monkeypatch):
    monkeypatch.setattr("jaxcampaign.plans.campaigns.predict_options", None)
    assert main(["verify", str(predicted)]) == 0
    options = pd.read_parquet(predicted / "options.parquet")
    chosen = pd.read_csv(predicted / "selection.csv")
    assert chosen["budget"].sum() <= 3000
    assert chosen["mean"].isin(options["mean"]).all()
    assert {"genre", "location", "member_0", "member_1", "cold"} <= set(options)
    assert json.loads((predicted / "run.json").read_text())["sha256"]["options.parquet"]


@pytest.mark.parametrize("forged", [False, True])
def test_altered_predictions_are_refused(predicted, tmp_path, forged):
    case = Case(predicted, predicted).copy(tmp_path)
    table = pd.read_parquet(case.plan / "options.parquet")
    hours = pd.read_csv(case.plan / "selection.csv").iloc[0]
    at = (table["mean"] - hours["mean"]).abs() < 1e-9
    table.loc[at, "mean"] += 1.0
    table.to_parquet(case.plan / "options.parquet", index=False)
    if forged:
        digests = {name: sha256(case.plan / name) for name in (*HASHED, "options.parquet")}
        case.edit_json("run.json", lambda run: run.update(sha256=digests))
    assert main(["verify", str(case.plan)]) == 1


def test_a_plan_leaves_no_predictions_of_an_earlier_one_behind(predicted, tmp_path, monkeypatch):
    monkeypatch.setattr("jaxcampaign.cli.jobs.write_report", lambda *args, **options: None)
    lay_out(tmp_path / "rules")
    case = Case(predicted, predicted).copy(tmp_path)
    (case.plan / "notes.parquet").write_bytes(b"mine")
    assert run_campaign(tmp_path / "rules", case.plan) == 0
    assert not (case.plan / "options.parquet").exists()
    assert (case.plan / "notes.parquet").read_bytes() == b"mine"
    assert main(["verify", str(case.plan)]) == 0


def test_tables_that_are_not_a_plans_own_stay(predicted, tmp_path, monkeypatch):
    monkeypatch.setattr("jaxcampaign.cli.jobs.write_report", lambda *args, **options: None)
    lay_out(tmp_path / "rules")
    case = Case(predicted, predicted).copy(tmp_path)
    predictions = case.plan / "options.parquet"
    # The new plan's input is the table of the earlier one.
    args = ["campaign", "--effectiveness", predictions, "--budget", 500, "--out", case.plan]
    assert main([str(arg) for arg in [*args, "--solver", "mixed-integer"]]) == 0
    assert predictions.exists()
    assert main(["verify", str(case.plan)]) == 0
    # One that somebody changed since is nobody's to remove.
    other = Case(predicted, predicted).copy(tmp_path / "other")
    options_table().to_parquet(other.plan / "options.parquet", index=False)
    assert run_campaign(tmp_path / "rules", other.plan) == 0
    assert (other.plan / "options.parquet").exists()
