"""Plans of disjoint sets: written, verified, altered, reported, and the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from alterations import (
    ALTERATIONS,
    ONLY_COMMON,
    Alteration,
    Case,
    _arrays,
    _multiplier,
    _run,
    _selection,
    loaded,
    problem_of,
    stated,
)
from desk import DEMANDS, READY, Desk
from plan_desk import check_refused, run_billboards

import jaxcampaign as jc
from jaxcampaign.cli import main
from jaxcampaign.report import plan_frame, product_frame, report_html

LIMIT = 40


def _hard(table: pd.DataFrame, problem) -> pd.DataFrame:
    """Demands that each product alone could have, and all together could not."""
    most = problem.objective.reference(np.ones(problem.n_items, bool))
    return table.sort_values("product_id").assign(demand=0.97 * most)


@pytest.fixture(scope="module")
def made(city, tmp_path_factory) -> dict[str, Case]:
    """A feasible plan and one that is proven impossible; the tests alter copies."""
    folder = tmp_path_factory.mktemp("disjoint")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxcampaign.cli.jobs.write_report", lambda *args, **options: None)
        flags = ("--problem", "disjoint", "--max-slots", LIMIT, "--solver", "lp-rounding")
        assert run_billboards(city, folder / "feasible", *flags) == 0
        feasible = Case(folder / "feasible", city)
        hard = Case(folder / "impossible", shutil.copytree(city, folder / "inputs"))
        hard.edit_input("demands", lambda table: _hard(table, problem_of(feasible)))
        flags = ("--problem", "disjoint", "--solver", "lp-rounding")
        assert run_billboards(hard.inputs, hard.plan, *flags) == 3
    return {"feasible": feasible, "impossible": hard}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("jaxcampaign.plans.slot_plans.load_billboards", loaded)


@pytest.mark.parametrize("kind", ["feasible", "impossible"])
def test_an_untouched_plan_is_verified(made, tmp_path, kind):
    case = made[kind].copy(tmp_path)
    assert case.verify() == 0
    case.forge_digests()
    assert case.verify() == 0
    assert main(["verify", str(made[kind].plan), "--strict"]) == 0


def test_selection_lists_each_slot_once_with_its_product(made):
    case = made["feasible"]
    chosen = pd.read_csv(case.plan / "selection.csv")
    record = case.json("certificate.json")
    assert record["problem"] == "disjoint"
    assert chosen["slot_id"].is_unique
    assert record["n_selected"] == len(chosen)
    assert record["cost"] == pytest.approx(chosen["cost"].sum())
    assert (chosen.groupby("product_id").size() <= LIMIT).all()
    assert record["bound"] > 0
    inputs = problem_of(case)
    pairs = inputs.base.to_pairs()
    audience = pd.read_parquet(case.inputs / "audiences.parquet")
    for product in record["per_product"]:
        own = chosen.loc[chosen["product_id"] == product["product_id"], "slot_id"]
        users = audience.loc[audience["product_id"] == product["product_id"], "user_id"]
        seen = pairs[pairs["slot_id"].isin(own) & pairs["user_id"].isin(users)]
        reach = 1 - (1 - seen["prob"]).groupby(seen["user_id"]).prod()
        assert product["achieved"] == pytest.approx(reach.sum())


def test_an_impossible_plan_carries_its_proof(made):
    case = made["impossible"]
    record = case.json("certificate.json")
    assert record["status"] == "infeasible"
    assert record["bound"] is record["gap"] is None
    assert "the demands cannot all be met" in record["reasons"][0]
    short = [product for product in record["per_product"] if product["shortfall"] > 0]
    assert len(record["reasons"]) == 1 + len(short)
    for reason, product in zip(record["reasons"][1:], short, strict=True):
        assert reason.startswith(f"product {product['product_id']}: this answer has ")
        assert f"short by {product['shortfall']:g}" in reason
    assert case.proof()["row_upper"].any()


def _first_other_product(table: pd.DataFrame) -> str:
    return next(p for p in table["product_id"] if p != table["product_id"].iloc[0])


def _exchange(table: pd.DataFrame) -> pd.DataFrame:
    """Two products exchange a slot."""
    other = int(np.argmax(table["product_id"] != table["product_id"].iloc[0]))
    names = table["product_id"].to_numpy().copy()
    names[[0, other]] = names[[other, 0]]
    return table.assign(product_id=names)


def _sold_twice(table: pd.DataFrame) -> pd.DataFrame:
    again = table.iloc[:1].assign(product_id=_first_other_product(table))
    return pd.concat([table, again])


ONLY_DISJOINT: dict[str, Alteration] = {
    "problem": stated(problem="common"),
    "slot given to another product": _selection(
        lambda t: t.assign(product_id=[_first_other_product(t), *t["product_id"][1:]])
    ),
    "slots exchanged": _selection(_exchange),
    "slot sold twice": _selection(_sold_twice),
    "product unknown": _selection(lambda t: t.assign(product_id=["x", *t["product_id"][1:]])),
    "products dropped": _selection(lambda t: t.drop(columns="product_id")),
    "prices of all cuts, doubled": _arrays(cut=lambda x: 2 * x),
    "price of the limits, 1 % less": _multiplier("row_upper", lambda x: 0.99 * x),
    "price of the limits, negative": _multiplier("row_upper", lambda x: -x),
    "run: a limit that is passed": _run(lambda run: run["inputs"].update(max_slots=1)),
    "run: no limit": _run(lambda run: run["inputs"].update(max_slots=None)),
    "run: common": _run(lambda run: run["inputs"].update(problem="common", max_slots=None)),
    "input: a limit": lambda c: c.edit_input("demands", lambda t: t.assign(max_slots=1)),
}
# What is stated beside the selection and the proof does not depend on the kind of problem. A single
# price of a degenerate program may rise without any change to what is proven.
_KINDS = ("slot", "id column", "price", "cut ", "product", "input", "run: budgeted")
SHARED = {
    name: alter
    for name, alter in (ALTERATIONS | ONLY_COMMON).items()
    if name.startswith(_KINDS) and name != "price of a cut, 1 % more"
}


@pytest.mark.parametrize("name", [*SHARED, *ONLY_DISJOINT])
def test_an_altered_plan_is_refused(made, tmp_path, capsys, name):
    check_refused(made["feasible"].copy(tmp_path), (SHARED | ONLY_DISJOINT)[name], capsys)


@pytest.mark.parametrize(
    "alter",
    [
        stated(feasible=True),
        stated(status="unsolved"),
        stated(reasons=lambda reasons: reasons[1:]),
        stated(reasons=[]),
        stated(bound=0.0, rechecked_bound=0.0, bound_proof="multipliers"),
        _arrays(row_upper=lambda x: 2 * x),
        _arrays(demand=np.zeros_like, row_upper=np.zeros_like, cut=np.zeros_like),
        lambda case: case.edit_input("demands", lambda t: t.assign(demand=t["demand"] / 9)),
    ],
)
def test_an_impossible_plan_cannot_claim_otherwise(made, tmp_path, capsys, alter):
    check_refused(made["impossible"].copy(tmp_path), alter, capsys)


# The command line and the report


def test_every_solver_of_sets_runs_from_the_command_line(desk: Desk):
    desk.lay_out(READY)
    for solver in ("auto", "greedy", "permutation-sampling", "lp-rounding", "mixed-integer"):
        assert desk.run("--problem", "disjoint", "--solver", solver) == 0
        assert desk.certificate()["cost"] == pytest.approx(6.0)
        assert set(desk.selection()["product_id"]) == {"coffee", "gym"}
        assert main(["verify", str(desk.plan)]) == 0


def test_limits_from_the_command_line_and_the_table(desk: Desk):
    desk.lay_out(READY | {"demands": DEMANDS.assign(demand=[1.9, 0.4])})
    flags = ("--problem", "disjoint", "--solver", "lp-rounding")
    assert desk.run(*flags) == 0
    assert desk.run(*flags, "--max-slots", 1) == 3
    assert "cannot all be met" in desk.certificate()["reasons"][0]
    assert desk.run(*flags, "--max-slots", 2) == 0
    desk.lay_out({"demands": DEMANDS.assign(demand=[1.9, 0.4], max_slots=[2, 1])})
    assert desk.run(*flags, "--max-slots", 1) == 2  # given twice


def test_bad_input_is_refused(desk: Desk, no_solver):
    desk.lay_out(READY)
    assert "no such limit" in desk.refused("--problem", "disjoint", "--budget", 3)
    assert "max_slots" in desk.refused("--problem", "disjoint", "--max-slots", -1)
    desk.files.pop("demands")
    assert "disjoint problem needs it" in desk.refused("--problem", "disjoint")


def test_a_solver_of_one_set_is_refused(desk: Desk):
    desk.lay_out(READY)
    message = desk.refused("--problem", "disjoint", "--solver", "top-k")
    assert "each product needs its own" in message


def test_report_says_who_gets_what(made, tmp_path):
    problem = problem_of(made["feasible"])
    found = jc.solve(problem, jc.PermutationSampling())
    page = report_html(found)
    assert "no slot for two of them" in page
    assert "within its limit of slots" in page
    frame = product_frame(found)
    table = found.table()
    for row in frame.itertuples():
        own = table[table["product_id"] == row.product_id]
        assert row.slots == len(own)
        assert row.cost == pytest.approx(own["cost"].sum())
    assert list(plan_frame(found).columns[:3]) == ["slot_id", "product_id", "board_id"]
    bought = problem.base.slots["slot_id"].isin(table["slot_id"]).to_numpy()
    reached = problem.base.matrix[bought].toarray()
    people = (1 - np.prod(1 - reached, axis=0)).sum()
    assert f"{people:.3g}" in page.replace(",", "")
    assert f"of {problem.base.n_slots:,} on offer" in page


def test_report_of_an_impossible_plan_says_why(made):
    problem = problem_of(made["impossible"])
    found = jc.solve(problem, jc.LPRounding())
    page = report_html(found)
    assert "as the stored multipliers prove" in page
    assert "the demands cannot all be met" in page
    assert "stored multipliers and the sums" in page


def test_a_plan_states_its_configuration(made):
    run = json.loads(Path(made["feasible"].plan / "run.json").read_text("utf-8"))
    assert run["inputs"]["problem"] == "disjoint"
    assert run["inputs"]["max_slots"] == LIMIT
    assert run["statistics"]["hoeffding_samples"] >= run["statistics"]["samples"]
