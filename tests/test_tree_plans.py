"""Plans whose bound is proven by a tree: rechecked from the folder, refused when altered."""

import json

import numpy as np
import pandas as pd
import pytest
from alterations import Case

from jaxcampaign.cli import main
from jaxcampaign.tables import write_table

TABLES = ("pairs", "slots", "audiences", "demands")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Case:
    """A plan of forty slots whose bound needs a tree."""
    rng = np.random.default_rng(5)
    folder = tmp_path_factory.mktemp("tree")
    (folder / "inputs").mkdir()
    prob = np.where(rng.random((40, 30)) < 0.15, rng.random((40, 30)) ** 0.5, 0.0)
    slot, user = np.nonzero(prob)
    pairs = pd.DataFrame({"slot_id": slot, "user_id": user, "prob": prob[slot, user]})
    start = np.arange(40) * 30
    slots = pd.DataFrame({"slot_id": range(40), "board_id": "b", "start_min": start})
    slots = slots.assign(end_min=start + 30, cost=rng.random(40) + 0.3)
    wanted = np.nonzero(rng.random((4, 30)) < 0.5)
    audiences = pd.DataFrame({"product_id": wanted[0], "user_id": wanted[1]})
    demands = pd.DataFrame({"product_id": range(4), "demand": 0.35 * np.bincount(wanted[0])})
    texts = {"slot_id": "str", "user_id": "str", "product_id": "str"}
    for name, table in zip(TABLES, (pairs, slots, audiences, demands), strict=True):
        own = {column: kind for column, kind in texts.items() if column in table}
        write_table(table.astype(own), folder / "inputs" / f"{name}.parquet")
    given = [text for t in TABLES for text in (f"--{t}", str(folder / "inputs" / f"{t}.parquet"))]
    flags = ["--solver", "branch-and-cut", "--out", str(folder / "plan")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxcampaign.cli.jobs.write_report", lambda *args, **options: None)
        assert main(["billboards", *given, *flags]) == 0
    return Case(folder / "plan", folder / "inputs")


@pytest.fixture
def plan(made, tmp_path) -> Case:
    return made.copy(tmp_path)


def test_the_tree_is_stored_and_rechecked(plan):
    proof = plan.proof()
    assert len(proof["leaf"]) > 2
    record = json.loads((plan.plan / "certificate.json").read_text("utf-8"))
    assert record["bound_proof"] == "multipliers" and record["solver_bound"] is None
    assert record["status"] == "optimal"
    assert plan.verify() == 0
    assert main(["verify", str(plan.plan), "--inputs", str(plan.inputs), "--strict"]) == 0


def _set(name, value):
    def edit(arrays):
        arrays[name] = value(arrays[name])

    return edit


def _drop_last(arrays):
    for name in ("parent", "slot", "inside"):
        arrays[name] = arrays[name][:-1]


@pytest.mark.parametrize(
    "edit",
    [
        _set("leaf", lambda a: a[1:]),
        _set("inside", lambda a: np.ones_like(a)),
        _set("slot", lambda a: np.where(np.arange(len(a)) == len(a) - 1, 0, a) + 0 * a),
        _set("slot", lambda a: np.where(a >= 0, 10**6, a)),
        _set("parent", lambda a: np.zeros_like(a)),
        _set("leaf_demand_value", lambda a: -a),
        _set("leaf_demand_value", lambda a: a * np.nan),
        _set("leaf_cut_index", lambda a: a + 10**6),
        _set("leaf_cut_value", lambda a: a * 2),
        _set("leaf_cut_shape", lambda a: a * 0 + 10**9),
        _set("cut_user", lambda a: a - 1),
        _set("cut_slope", lambda a: a - 1),
        _set("excluded", lambda a: np.arange(40)),
        _set("excluded", lambda a: np.array([-1])),
        _set("root_demand", lambda a: a[:-1]),
        _drop_last,
        lambda arrays: arrays.pop("leaf_rounded_value"),
        lambda arrays: arrays.update(more=np.zeros(3)),
    ],
)
def test_an_altered_tree_is_refused(plan, edit):
    before = plan.proof()
    plan.edit_proof(edit)
    plan.forge_digests()
    after = plan.proof()
    assert before.keys() != after.keys() or any(
        not np.array_equal(before[name], after[name]) for name in before
    )
    assert plan.verify() != 0
