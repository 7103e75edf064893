"""Plan folders carry their proof: what was altered is refused, with or without forged digests."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from alterations import (
    ALTERATIONS,
    HASHED,
    ONLY_BUDGETED,
    ONLY_COMMON,
    PLAN_FILES,
    Alteration,
    Case,
    loaded,
    problem_of,
)

import jaxcampaign as jc
from jaxcampaign.cli import main
from jaxcampaign.plans import read_plan
from jaxcampaign.plans.placing import STAGE

CITY_TABLES = ("checkins", "billboards", "audiences", "demands")


def _billboards(inputs: Path, out: Path, *flags: object, tables=CITY_TABLES) -> int:
    given = [text for name in tables for text in (f"--{name}", inputs / f"{name}.parquet")]
    args = ["billboards", *given, "--slot-minutes", 60, *flags, "--out", out]
    return main([str(arg) for arg in args])


@pytest.fixture(scope="module", autouse=True)
def _quick():
    """No reports, and tables of the same content are read once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxcampaign.cli.jobs.write_report", lambda *args, **options: None)
        patch.setattr("jaxcampaign.plans.slot_plans.load_billboards", loaded)
        yield


@pytest.fixture(scope="module")
def made(city, tmp_path_factory) -> dict[str, Case]:
    """A plan of each kind; the tests alter copies."""
    folder = tmp_path_factory.mktemp("plans")
    limits = ("--problem", "budgeted", "--budget", 3, "--max-slots", 12)
    for name, flags in {"common": (), "budgeted": limits}.items():
        assert _billboards(city, folder / name, *flags, "--solver", "lp-rounding") == 0
    cases = {name: Case(folder / name, city) for name in ("common", "budgeted")}
    hard = Case(folder / "infeasible", shutil.copytree(city, folder / "inputs"))
    hard.edit_input("demands", lambda table: table.assign(demand=[1e-3, 1e-3, 500.0]))
    assert _billboards(hard.inputs, hard.plan, "--solver", "greedy") == 3
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
    assert _billboards(city, case.plan, *flags, tables=tables) == 0
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
    assert _billboards(city, case.plan, *flags, tables=("checkins", "billboards")) == 0
    (product,) = case.json("certificate.json")["per_product"]
    pairs = problem_of(case).influence.to_pairs()
    chosen = pd.read_csv(case.plan / "selection.csv")["slot_id"]
    missed = (1 - pairs["prob"]).where(pairs["slot_id"].isin(chosen), 1.0)
    reach = 1 - missed.groupby(pairs["user_id"]).prod()
    assert product["achieved"] == pytest.approx(reach.sum())
    assert case.verify() == 0


# Writing


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("fault", ["proof_bytes", "_write_json", "write_table", "file_digest"])
def test_a_fault_while_writing_leaves_the_earlier_plan(common, monkeypatch, fault):
    before = _content(common.plan)

    def fail(*args: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(f"jaxcampaign.plans.folder.{fault}", fail)
    with pytest.raises(OSError, match="no space"):
        _billboards(common.inputs, common.plan, "--solver", "greedy")
    monkeypatch.undo()
    assert _content(common.plan) == before
    assert common.verify() == 0


def _stopped_at(patch: pytest.MonkeyPatch, step: int, fault: type[BaseException], dead: bool):
    """Moving the step-th file fails; a process that is dead cannot tidy up either."""
    moves = []

    def wrapped(name: str):
        whole = getattr(Path, name)

        def run(self: Path, *args: object, **options: object):
            if name == "replace" and ".tmp" not in self.name:
                moves.append(self)
                if len(moves) == step:
                    raise fault
            if dead and len(moves) >= step:
                raise fault
            return whole(self, *args, **options)

        patch.setattr(Path, name, run)

    for name in ("replace", "unlink"):
        wrapped(name)
    if dead:
        rmtree = shutil.rmtree
        patch.setattr(
            "shutil.rmtree", lambda *a, **k: None if len(moves) >= step else rmtree(*a, **k)
        )


@pytest.fixture
def with_more(common) -> Case:
    """A plan with a report, beside a file and a folder of the user's own."""
    (common.plan / "report.html").write_text("the earlier report")
    (common.plan / "notes.txt").write_text("mine")
    (common.plan / "inputs").mkdir()
    (common.plan / "inputs" / "notes.txt").write_text("mine too")
    return common


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def _owned(folder: Path) -> list[str]:
    return [(folder / name).read_text() for name in ("notes.txt", "inputs/notes.txt")]


def _draw(solution: object, path: Path, **options: object) -> None:
    path.write_text("the new report")


@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError])
def test_a_fault_while_files_are_moved_leaves_the_earlier_plan(with_more, monkeypatch, fault):
    before = _files(with_more.plan)
    monkeypatch.setattr("jaxcampaign.cli.jobs.write_report", _draw)
    for step in (1, 4, 7, 10):
        with pytest.MonkeyPatch.context() as patch:
            _stopped_at(patch, step, fault, dead=False)
            with pytest.raises(fault):
                _billboards(with_more.inputs, with_more.plan, "--solver", "greedy")
        assert _files(with_more.plan) == before
        assert not list(with_more.plan.glob(f"{STAGE}*"))
    assert _owned(with_more.plan) == ["mine", "mine too"]
    assert with_more.verify() == 0


def test_what_cannot_be_put_back_is_kept(with_more):
    before, replace = _files(with_more.plan), Path.replace

    def run(self: Path, target: Path) -> Path:
        if self.parent.name in ("new", "old") and ".tmp" not in self.name:
            raise OSError("no more moves")
        return replace(self, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", run)
        with pytest.raises(OSError, match="no more moves"):
            _billboards(with_more.inputs, with_more.plan, "--solver", "greedy")
    (stage,) = with_more.plan.glob(f"{STAGE}*")
    assert _files(with_more.plan) | _files(stage / "old") == before
    assert _billboards(with_more.inputs, with_more.plan, "--solver", "greedy") == 0
    assert with_more.verify() == 0
    assert not list(with_more.plan.glob(f"{STAGE}*"))


class _Killed(BaseException):
    pass


def test_a_killed_run_leaves_the_old_plan_the_new_one_or_one_that_says_it_is_unfinished(
    with_more, monkeypatch, capsys
):
    monkeypatch.setattr("jaxcampaign.cli.jobs.write_report", _draw)
    whole = with_more.copy(with_more.plan.parent / "new")
    assert _billboards(with_more.inputs, whole.plan, "--solver", "greedy") == 0
    chosen = {
        "old": (with_more.plan / "selection.csv").read_bytes(),
        "new": (whole.plan / "selection.csv").read_bytes(),
    }
    assert chosen["old"] != chosen["new"]
    report = {"old": b"the earlier report", "new": b"the new report"}
    seen = set()
    for step in (1, 2, 6, 10, 11):
        case = with_more.copy(with_more.plan.parent / f"step {step}")
        with pytest.MonkeyPatch.context() as patch:
            _stopped_at(patch, step, _Killed, dead=True)
            with contextlib.suppress(_Killed):
                _billboards(case.inputs, case.plan, "--solver", "greedy")
        capsys.readouterr()
        code, left = case.verify(), _files(case.plan)
        if code == 0:
            state = "old" if left["selection.csv"] == chosen["old"] else "new"
            assert left["selection.csv"] == chosen[state]
            assert left["report.html"] == report[state]
        else:
            state = "unfinished"
            assert code == 2
            assert "the plan is unfinished" in capsys.readouterr().err
        seen.add(state)
        assert _owned(case.plan) == ["mine", "mine too"]
        # The next run makes it whole, and leaves nothing behind.
        assert _billboards(case.inputs, case.plan, "--solver", "greedy") == 0
        assert case.verify() == 0
        assert not list(case.plan.glob(f"{STAGE}*"))
        capsys.readouterr()
    assert seen == {"old", "unfinished", "new"}


def test_the_report_of_an_earlier_plan_does_not_stay(with_more):
    assert _billboards(with_more.inputs, with_more.plan, "--solver", "greedy") == 0  # draws none
    assert not (with_more.plan / "report.html").exists()
    assert _owned(with_more.plan) == ["mine", "mine too"]


def test_a_report_that_cannot_be_drawn_costs_no_plan(with_more, monkeypatch):
    def fail(solution: object, path: Path, **options: object) -> None:
        path.write_text("half a rep")
        raise RuntimeError("no font")

    monkeypatch.setattr("jaxcampaign.cli.jobs.write_report", fail)
    before = (with_more.plan / "selection.csv").read_bytes()
    with pytest.raises(RuntimeError, match="no font"):
        _billboards(with_more.inputs, with_more.plan, "--solver", "greedy")
    assert (with_more.plan / "selection.csv").read_bytes() != before
    assert not (with_more.plan / "report.html").exists()
    assert with_more.verify() == 0


def test_a_new_plan_takes_the_place_of_the_earlier_one(common):
    before = _content(common.plan)
    assert _billboards(common.inputs, common.plan, "--solver", "greedy") == 0
    after = _content(common.plan)
    assert set(after) == set(before) == set(PLAN_FILES)
    assert after["selection.csv"] != before["selection.csv"]
    assert common.verify() == 0


def test_a_refused_run_leaves_the_earlier_plan(common):
    before = _content(common.plan)
    assert _billboards(common.inputs, common.plan, "--radius-m", -1) == 2
    assert _content(common.plan) == before


# Alterations


def _check_refused(case: Case, alter: Alteration, capsys) -> None:
    alter(case)
    assert case.verify() in (1, 2)
    # The digests catch it all. Whoever alters a plan can alter those too: then only sums speak.
    if all((case.plan / name).is_file() for name in HASHED) and _states_inputs(case.plan):
        case.forge_digests()
    capsys.readouterr()
    code = case.verify()
    shown = capsys.readouterr()
    assert code in (1, 2), shown.out
    if code == 2:
        assert shown.err.startswith("jaxcampaign: error: ")
        assert "; " in shown.err  # a remedy follows the problem
    else:
        lines = shown.out.splitlines()
        assert any(line.startswith("FAILED") and "digest" not in line for line in lines)
    assert not (case.plan / "exploded").exists()


def _states_inputs(plan: Path) -> bool:
    try:
        return isinstance(json.loads((plan / "run.json").read_text()).get("inputs"), dict)
    except ValueError:
        return False


@pytest.mark.parametrize("name", [*ALTERATIONS, *ONLY_COMMON])
def test_an_altered_common_plan_is_refused(common, capsys, name):
    _check_refused(common, (ALTERATIONS | ONLY_COMMON)[name], capsys)


@pytest.mark.parametrize("name", [*ALTERATIONS, *ONLY_BUDGETED])
def test_an_altered_budgeted_plan_is_refused(budgeted, capsys, name):
    _check_refused(budgeted, (ALTERATIONS | ONLY_BUDGETED)[name], capsys)


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
