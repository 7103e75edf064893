"""Plan folders carry their proof: what was altered is refused, with or without forged digests."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from alterations import (
    ALTERATIONS,
    ONLY_BUDGETED,
    ONLY_COMMON,
    PLAN_FILES,
    Case,
    problem_of,
)
from plan_desk import check_refused, run_billboards

import jaxcampaign as jc
from jaxcampaign.cli import main
from jaxcampaign.plans import read_plan

pytestmark = pytest.mark.usefixtures("tables_are_read_once")


@pytest.fixture(scope="module")
def made(city, tmp_path_factory) -> dict[str, Case]:
    """A plan of each kind; the tests alter copies."""
    folder = tmp_path_factory.mktemp("plans")
    limits = ("--problem", "budgeted", "--budget", 3, "--max-slots", 12)
    for name, flags in {"common": (), "budgeted": limits}.items():
        assert run_billboards(city, folder / name, *flags, "--solver", "lp-rounding") == 0
    cases = {name: Case(folder / name, city) for name in ("common", "budgeted")}
    hard = Case(folder / "infeasible", shutil.copytree(city, folder / "inputs"))
    hard.edit_input("demands", lambda table: table.assign(demand=[1e-3, 1e-3, 500.0]))
    assert run_billboards(hard.inputs, hard.plan, "--solver", "greedy") == 3
    return cases | {"infeasible": hard}


@pytest.fixture
def common(made, tmp_path) -> Case:
    return made["common"].copy(tmp_path)


@pytest.fixture
def budgeted(made, tmp_path) -> Case:
    return made["budgeted"].copy(tmp_path)


@pytest.fixture
def infeasible(made, tmp_path) -> Case:
    """One product asks for more than all slots together reach."""
    return made["infeasible"].copy(tmp_path)


@pytest.mark.parametrize("kind", ["common", "budgeted", "infeasible"])
def test_an_untouched_plan_is_verified(made, tmp_path, capsys, kind):
    case = made[kind].copy(tmp_path)
    assert case.verify() == 0
    assert "every claim holds" in capsys.readouterr().out
    claims = jc.verify_plan(case.plan, inputs_dir=case.inputs)
    assert all(claim.holds for claim in claims)
    assert main(["verify", str(made[kind].plan)]) == 0  # and where it was made


def test_forging_the_digests_of_an_untouched_plan_changes_nothing(common):
    common.forge_digests()
    assert common.verify() == 0


def test_the_proof_is_read_as_it_was_found(made):
    problem = problem_of(made["common"])
    plan = read_plan(made["common"].plan)
    assert plan.multipliers is not None
    assert len(plan.multipliers.cuts) == len(plan.multipliers.cut) > 0
    assert (plan.multipliers.cut > 0).all()
    bound = jc.lagrangian_bound(problem, plan.multipliers)
    assert bound == plan.certificate["rechecked_bound"]
    assert set(plan.selection["slot_id"]) <= set(problem.influence.slot_ids)


def test_moved_inputs_are_named(common, tmp_path, capsys):
    moved = tmp_path / "elsewhere"
    common.inputs.rename(moved)
    assert Case(common.plan, moved).verify() == 0
    capsys.readouterr()

    assert common.verify() == 2
    error = capsys.readouterr().err
    assert "checkins.parquet is not there any more" in error
    assert "--inputs DIR" in error


def test_a_true_statement_may_be_weaker(common):
    """Without prices the bound is 0: less is proven, and what is said is true."""
    for name in ("demand", "cut", "rounded"):
        common.edit_proof(lambda arrays, name=name: name in arrays and arrays[name].fill(0.0))
    weaker = {"rechecked_bound": 0.0, "bound": 0.0, "gap": 1.0}
    common.edit_json("certificate.json", lambda record: record.update(weaker))
    assert common.verify() == 1
    common.forge_digests()
    assert common.verify() == 0


def test_strict_verification_refuses_a_branch_and_bounds_word(common, capsys):
    assert main(["verify", str(common.plan), "--strict"]) == 0

    def claim_more(stated):
        bound = (stated["bound"] + stated["cost"]) / 2
        stated |= {"bound": bound, "solver_bound": bound, "bound_proof": "branch_and_bound"}
        stated["gap"] = (stated["cost"] - bound) / stated["cost"]

    common.edit_json("certificate.json", claim_more)
    common.forge_digests()
    assert main(["verify", str(common.plan)]) == 0
    assert "given solver_bound" in capsys.readouterr().out
    assert main(["verify", str(common.plan), "--strict"]) == 1
    assert "FAILED  the bound is proven by multipliers" in capsys.readouterr().out


def test_the_order_of_chosen_slots_says_nothing(common):
    common.edit_selection(lambda table: table.iloc[::-1])
    common.forge_digests()
    assert common.verify() == 0


# Infeasible and budgeted plans


def test_an_infeasible_plan_says_why_and_is_verified(infeasible):
    record = infeasible.json("certificate.json")
    assert record["status"] == "infeasible"
    assert record["feasible"] is False
    assert record["bound"] is record["rechecked_bound"] is record["gap"] is None
    products = record["per_product"]
    assert [product["shortfall"] > 0 for product in products] == [False, False, True]
    lacking = products[2]
    assert lacking["shortfall"] == pytest.approx(lacking["demand"] - lacking["achieved"])
    (reason,) = record["reasons"]
    reach = problem_of(infeasible).objective.reference(
        np.ones(problem_of(infeasible).n_items, bool)
    )[2]
    assert f"product {lacking['product_id']}: demand 500" in reason
    assert f"reach {reach:g}, short by {500 - reach:g}" in reason
    assert lacking["achieved"] == pytest.approx(reach, rel=1e-8)  # the best partial answer
    assert infeasible.verify() == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"feasible": True},
        {"status": "feasible"},
        {"reasons": []},
        {"bound": 0.0, "rechecked_bound": 0.0, "bound_proof": "multipliers"},
        {"solver_bound": 0.0},
    ],
    ids=str,
)
def test_an_infeasible_plan_cannot_claim_otherwise(infeasible, changes):
    infeasible.edit_json("certificate.json", lambda record: record.update(changes))
    infeasible.forge_digests()
    assert infeasible.verify() == 1


@pytest.mark.parametrize(
    ("budget", "max_slots"), [(2.0, None), (None, 5), (2.0, 5), (0.0, None), (None, 0), (0, 0)]
)
def test_a_budgeted_plan_keeps_to_its_limits(city, tmp_path, budget, max_slots):
    case = Case(tmp_path / "plan", city)
    flags: list[object] = ["--problem", "budgeted", "--solver", "greedy"]
    flags += [] if budget is None else ["--budget", budget]
    flags += [] if max_slots is None else ["--max-slots", max_slots]
    tables = ("checkins", "billboards", "audiences")
    assert run_billboards(city, case.plan, *flags, tables=tables) == 0
    record, chosen = case.json("certificate.json"), pd.read_csv(case.plan / "selection.csv")
    assert record["sense"] == "max"
    assert record["cost"] == pytest.approx(chosen["cost"].sum())
    assert record["cost"] <= (np.inf if budget is None else budget)
    assert record["n_selected"] == len(chosen) <= (np.inf if max_slots is None else max_slots)
    assert record["value"] <= record["bound"]
    assert (len(chosen) == 0) == (0 in (budget, max_slots))
    if not len(chosen):
        assert record["value"] == 0 <= record["bound"] <= 1e-6
    assert case.verify() == 0


def test_without_audiences_every_user_counts_once(city, tmp_path):
    case = Case(tmp_path / "plan", city)
    flags = ("--problem", "budgeted", "--max-slots", 3, "--solver", "greedy")
    assert run_billboards(city, case.plan, *flags, tables=("checkins", "billboards")) == 0
    (product,) = case.json("certificate.json")["per_product"]
    pairs = problem_of(case).influence.to_pairs()
    chosen = pd.read_csv(case.plan / "selection.csv")["slot_id"]
    missed = (1 - pairs["prob"]).where(pairs["slot_id"].isin(chosen), 1.0)
    reach = 1 - missed.groupby(pairs["user_id"]).prod()
    assert product["achieved"] == pytest.approx(reach.sum())
    assert case.verify() == 0


# Alterations


@pytest.mark.parametrize("name", [*ALTERATIONS, *ONLY_COMMON])
def test_an_altered_common_plan_is_refused(common, capsys, name):
    check_refused(common, (ALTERATIONS | ONLY_COMMON)[name], capsys)


@pytest.mark.parametrize("name", [*ALTERATIONS, *ONLY_BUDGETED])
def test_an_altered_budgeted_plan_is_refused(budgeted, capsys, name):
    check_refused(budgeted, (ALTERATIONS | ONLY_BUDGETED)[name], capsys)


@pytest.mark.parametrize("name", PLAN_FILES)
def test_damaged_files_are_refused_or_say_the_same(made, tmp_path, name):
    """Random bytes change: verification never crashes, and never believes another content."""
    rng = np.random.default_rng(list(name.encode()))
    case = made["common"].copy(tmp_path)
    whole = {file: (case.plan / file).read_bytes() for file in PLAN_FILES}
    truth = read_plan(case.plan)
    for _ in range(30):
        for file, content in whole.items():
            (case.plan / file).write_bytes(content)
        damaged = bytearray(whole[name])
        for at in rng.integers(0, len(damaged), rng.integers(1, 4)):
            damaged[at] = rng.integers(0, 256)
        (case.plan / name).write_bytes(bytes(damaged[: rng.integers(1, 2 * len(damaged))]))
        try:
            if name != "run.json":
                case.forge_digests()
            claims = jc.verify_plan(case.plan, inputs_dir=case.inputs)
        except jc.InputError:
            continue
        if all(claim.holds for claim in claims):
            plan = read_plan(case.plan)
            assert sorted(plan.selection["slot_id"]) == sorted(truth.selection["slot_id"])
            for claim in ("cost", "value", "bound", "gap"):
                assert plan.certificate[claim] == pytest.approx(truth.certificate[claim])
