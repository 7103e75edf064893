"""Writing a plan folder: a fault or a kill at any step loses no earlier plan."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest
from alterations import (
    PLAN_FILES,
    Case,
)
from plan_desk import run_billboards

from jaxcampaign.plans.placing import STAGE

pytestmark = pytest.mark.usefixtures("tables_are_read_once")


@pytest.fixture(scope="module")
def made(city, tmp_path_factory) -> Case:
    """A plan; the tests write over copies."""
    folder = tmp_path_factory.mktemp("plans")
    assert run_billboards(city, folder / "common", "--solver", "lp-rounding") == 0
    return Case(folder / "common", city)


@pytest.fixture
def common(made, tmp_path) -> Case:
    return made.copy(tmp_path)


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("fault", ["proof_bytes", "_write_json", "write_table", "file_digest"])
def test_a_fault_while_writing_leaves_the_earlier_plan(common, monkeypatch, fault):
    before = _content(common.plan)

    def fail(*args: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(f"jaxcampaign.plans.folder.{fault}", fail)
    with pytest.raises(OSError, match="no space"):
        run_billboards(common.inputs, common.plan, "--solver", "greedy")
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
                run_billboards(with_more.inputs, with_more.plan, "--solver", "greedy")
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
            run_billboards(with_more.inputs, with_more.plan, "--solver", "greedy")
    (stage,) = with_more.plan.glob(f"{STAGE}*")
    assert _files(with_more.plan) | _files(stage / "old") == before
    assert run_billboards(with_more.inputs, with_more.plan, "--solver", "greedy") == 0
    assert with_more.verify() == 0
    assert not list(with_more.plan.glob(f"{STAGE}*"))


class _Killed(BaseException):
    pass


def test_a_killed_run_leaves_the_old_plan_the_new_one_or_one_that_says_it_is_unfinished(
    with_more, monkeypatch, capsys
):
    monkeypatch.setattr("jaxcampaign.cli.jobs.write_report", _draw)
    whole = with_more.copy(with_more.plan.parent / "new")
    assert run_billboards(with_more.inputs, whole.plan, "--solver", "greedy") == 0
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
                run_billboards(case.inputs, case.plan, "--solver", "greedy")
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
        assert run_billboards(case.inputs, case.plan, "--solver", "greedy") == 0
        assert case.verify() == 0
        assert not list(case.plan.glob(f"{STAGE}*"))
        capsys.readouterr()
    assert seen == {"old", "unfinished", "new"}


def test_the_report_of_an_earlier_plan_does_not_stay(with_more):
    assert run_billboards(with_more.inputs, with_more.plan, "--solver", "greedy") == 0  # draws none
    assert not (with_more.plan / "report.html").exists()
    assert _owned(with_more.plan) == ["mine", "mine too"]


def test_a_report_that_cannot_be_drawn_costs_no_plan(with_more, monkeypatch):
    def fail(solution: object, path: Path, **options: object) -> None:
        path.write_text("half a rep")
        raise RuntimeError("no font")

    monkeypatch.setattr("jaxcampaign.cli.jobs.write_report", fail)
    before = (with_more.plan / "selection.csv").read_bytes()
    with pytest.raises(RuntimeError, match="no font"):
        run_billboards(with_more.inputs, with_more.plan, "--solver", "greedy")
    assert (with_more.plan / "selection.csv").read_bytes() != before
    assert not (with_more.plan / "report.html").exists()
    assert with_more.verify() == 0


def test_a_new_plan_takes_the_place_of_the_earlier_one(common):
    before = _content(common.plan)
    assert run_billboards(common.inputs, common.plan, "--solver", "greedy") == 0
    after = _content(common.plan)
    assert set(after) == set(before) == set(PLAN_FILES)
    assert after["selection.csv"] != before["selection.csv"]
    assert common.verify() == 0


def test_a_refused_run_leaves_the_earlier_plan(common):
    before = _content(common.plan)
    assert run_billboards(common.inputs, common.plan, "--radius-m", -1) == 2
    assert _content(common.plan) == before
