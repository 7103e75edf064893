"""Case 21: SIGTERM and Ctrl-C end a run in good order, with exit status 75."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
from campaign_desk import lay_out, run_campaign
from desk import AUDIENCES, DEMANDS, small_influence

import jaxcampaign as jc
from jaxcampaign.cli import main
from jaxcampaign.progress import ask_to_stop, moment
from jaxcampaign.relaxations.campaign.program import CoreProgram
from jaxcampaign.solvers.base import Clock, Finding

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

# Weights of several limits that are about the values: branch and bound has long to go.
_HARD = "\n".join(
    ["budget = 4000", *(f"[[at_most]]\nk = 4000.0\nof = 'use_{k}'\n" for k in range(9))]
)


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setattr("jaxcampaign.cli.jobs.write_report", lambda *args, **options: None)
    before = [signal.getsignal(number) for number in _SIGNALS]
    yield
    ask_to_stop(False)
    assert [signal.getsignal(number) for number in _SIGNALS] == before


def _hard_table(n: int = 250) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    use = rng.integers(20, 100, (9, n)).astype(float)
    columns = {f"use_{k}": use[k] for k in range(9)}
    return pd.DataFrame(
        {
            "influencer_id": [f"i{k:03d}" for k in range(n)],
            "content_type": "reel",
            "event_id": "launch",
            "offset_hours": 0.0,
            "price": rng.integers(20, 100, n).astype(float),
            "mean": use.mean(axis=0) + rng.integers(0, 40, n),
            "std": 0.0,
            **columns,
        }
    )


@pytest.mark.parametrize("solver", ["dual-decomposition", "mixed-integer"])
@pytest.mark.parametrize("number", _SIGNALS, ids=str)
def test_a_stopped_search_leaves_its_best_certified_plan(
    tmp_path, capfd, monkeypatch, solver, number
):
    lay_out(tmp_path / "inputs", _HARD, _hard_table())
    out = tmp_path / "plan"
    solve = CoreProgram.solve

    def signalled(self, **options):
        if options["integer"]:
            threading.Timer(1.0, signal.raise_signal, [number]).start()
        return solve(self, **options)

    monkeypatch.setattr(CoreProgram, "solve", signalled)
    began = time.monotonic()
    code = run_campaign(tmp_path / "inputs", out, "--solver", solver, "--time-limit", 500)
    assert time.monotonic() - began < 200
    shown = capfd.readouterr()
    assert code == 75, shown.err
    (line,) = [line for line in shown.err.splitlines() if line.startswith("jaxcampaign: ")]
    assert f"stopped by {signal.Signals(number).name}" in line and "certified" in line
    record = json.loads((out / "certificate.json").read_text())
    assert record["feasible"] and record["status"] == "limit"
    assert 0 < record["value"] <= record["bound"] < 1.2 * record["value"]
    assert main(["verify", str(out)]) == 0


def test_a_signal_before_the_search_writes_nothing(tmp_path, capsys, monkeypatch):
    lay_out(tmp_path / "inputs")
    out = tmp_path / "plan"
    assert run_campaign(tmp_path / "inputs", out) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    capsys.readouterr()

    def load(*args, **options):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("jaxcampaign.cli.jobs.load_campaign", load)
    assert run_campaign(tmp_path / "inputs", out) == 75
    assert "jaxcampaign: stopped by SIGTERM: nothing is written" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


class _Nothing:
    """Finds the empty selection."""

    def search(self, problem, *, key, clock):
        return Finding(np.zeros(problem.n_items, bool), limit_hit=clock.out)


def test_a_search_without_a_plan_writes_nothing(tmp_path, capsys, monkeypatch):
    lay_out(tmp_path / "inputs")

    def solve(problem, *args, **options):
        signal.raise_signal(signal.SIGTERM)
        return jc.solve(problem, _Nothing())

    monkeypatch.setattr("jaxcampaign.cli.jobs.solve", solve)
    assert run_campaign(tmp_path / "inputs", tmp_path / "plan") == 75
    assert "before there was a plan: nothing is written" in capsys.readouterr().err
    assert not (tmp_path / "plan").exists()


def test_an_answer_that_is_complete_keeps_its_own_status(tmp_path, monkeypatch):
    lay_out(tmp_path / "inputs")
    write = jc.plans.folder.write_table

    def late(*args, **options):
        signal.raise_signal(signal.SIGTERM)
        return write(*args, **options)

    monkeypatch.setattr("jaxcampaign.plans.folder.write_table", late)
    assert run_campaign(tmp_path / "inputs", tmp_path / "plan") == 0
    assert main(["verify", str(tmp_path / "plan")]) == 0


def test_a_second_signal_ends_the_process():
    text = (
        "import signal\nfrom jaxcampaign.cli.interruption import Interruption\n"
        "with Interruption() as stop:\n    stop.wait()\n"
        "    signal.raise_signal(signal.SIGTERM)\n    print('asked', flush=True)\n"
        "    signal.raise_signal(signal.SIGTERM)\n    print('still there')\n"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "asked\n")


def test_a_wish_to_stop_is_a_clock_that_is_out():
    clocks = [Clock(), Clock.after(100.0)]
    assert not any(clock.out for clock in clocks)
    assert clocks[0].left == np.inf and 0 < clocks[1].left <= 100
    ask_to_stop()
    assert moment() == np.inf
    assert all(clock.out for clock in clocks) and [clock.left for clock in clocks] == [0, 0]
    ask_to_stop(False)
    assert not any(clock.out for clock in clocks)


@pytest.mark.parametrize(
    "solver", [jc.BranchAndCut(), jc.LPRounding(), jc.MixedInteger()], ids=repr
)
def test_searches_for_slots_end_as_well(solver):
    """Each with a plan and a bound, which prove themselves as ever."""
    problem = jc.CommonSlots(small_influence(), AUDIENCES, None, DEMANDS)
    ask_to_stop()
    c = jc.solve(problem, solver).certificate
    assert c.feasible and 0 <= c.bound <= c.value
