"""The authors' cities through the command line, as good as promised; skipped without their data."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import jaxcampaign as jc
from jaxcampaign.cli import main

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("JAXCAMPAIGN_DATA", ROOT.parent / "shared" / "data"))
sys.path.append(str(ROOT / "bench"))
instances = pytest.importorskip("instances", reason="bench/ is not here")
pytestmark = pytest.mark.skipif(not (DATA / "spatial").is_dir(), reason="public data is absent")


@pytest.fixture(autouse=True)
def _no_report(monkeypatch):
    """Drawing has tests of its own."""
    monkeypatch.setattr("jaxcampaign.cli.jobs.write_report", lambda *args, **options: None)


def plan(tables, folder: Path, *flags: str, code: int = 0) -> dict:
    """Plan by the command line; certificate.json of the plan, which must be verified."""
    arguments = instances.write_instance(tables, folder / "inputs")
    assert main(["billboards", *arguments, *flags, "--out", str(folder / "plan")]) == code
    assert main(["verify", str(folder / "plan")]) == 0
    return json.loads((folder / "plan" / "certificate.json").read_text())


def recomputed(tables, folder: Path) -> tuple[float, np.ndarray]:
    """Cost of the chosen slots and influence per demand, from the tables by textbook formula."""
    chosen = pd.read_csv(folder / "plan" / "selection.csv", dtype={"slot_id": "str"})["slot_id"]
    cost = tables.slots.set_index("slot_id")["cost"].loc[chosen].sum()
    bought = tables.pairs[tables.pairs["slot_id"].isin(chosen)]
    miss = (1 - bought["prob"].clip(upper=1)).groupby(bought["user_id"]).prod()
    users = tables.audiences.groupby("product_id")["user_id"].agg(list)
    reach = [(1 - miss.reindex(users[j], fill_value=1.0)).sum() for j in tables.demands.product_id]
    return cost, np.array(reach)


@pytest.mark.parametrize(
    ("name", "cost", "bound"), [("nyc", 0.83, 0.73), ("la-by-row", 1.10, 0.99)], ids=str
)
def test_a_city_is_planned_as_well_as_promised(tmp_path, name, cost, bound):
    tables = instances.published(DATA, name)
    found = plan(tables, tmp_path, "--time-limit", "20", code=4)
    assert found["feasible"]
    assert found["cost"] <= cost
    assert bound <= found["rechecked_bound"] <= found["bound"] <= found["cost"]
    paid, reach = recomputed(tables, tmp_path)
    assert paid == pytest.approx(found["cost"], rel=1e-12)
    assert (reach >= tables.demands["demand"] * (1 - 1e-9)).all()


def test_los_angeles_read_by_key_has_prices_that_follow_influence():
    by_key, by_row = (instances.published(DATA, name).slots for name in ("la", "la-by-row"))
    strength = instances.published(DATA, "la").pairs.groupby("slot_id")["prob"].first()
    assert (by_key.set_index("slot_id")["cost"] / strength).between(0.0899, 0.1101).all()
    assert sorted(by_key["cost"]) == sorted(by_row["cost"])
    assert not np.array_equal(by_key["cost"], by_row["cost"])


def test_the_published_pairs_come_out_of_raw_check_ins():
    tables = instances.raw(DATA)
    influence = jc.build_influence(tables.checkins, tables.billboards, **instances.RAW_RULE)
    ours = influence.to_pairs().merge(influence.slots, on="slot_id")
    ours = ours[["board_id", "start_min", "user_id"]]
    slots, theirs = instances.listed_pairs(DATA)
    assert len(theirs.merge(ours)) >= 10_200
    on_their_slots = ours.merge(slots.drop_duplicates())
    assert len(ours.merge(theirs.drop_duplicates())) / len(on_their_slots) >= 0.99


def test_raw_check_ins_are_planned_for_a_hundred_products(tmp_path):
    found = plan(instances.raw(DATA), tmp_path, "--solver", "greedy")
    assert found["feasible"]
    assert len(found["per_product"]) == 100
    assert 0 < found["bound"] <= found["cost"]
