"""The command line: exit codes, files, configuration, and the same answer for the same question."""

from __future__ import annotations

import json
import platform
import re
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest

import jaxcampaign as jc
from jaxcampaign.cli import main

TABLES = ("checkins", "billboards", "audiences", "demands")
PLAN_FILES = {"selection.csv", "certificate.json", "proof.npz", "report.html", "run.json"}
# What a finished plan states under these names depends on the clock, not on the question.
TIMES = {"seconds"}


@pytest.fixture(scope="module")
def finished(city, tmp_path_factory) -> Path:
    """A plan with its report."""
    out = tmp_path_factory.mktemp("finished") / "plan"
    assert main(_args(city, out)) == 0
    return out


@pytest.fixture
def no_report(monkeypatch):
    monkeypatch.setattr("jaxcampaign.cli.jobs.write_report", lambda *args, **options: None)


def _args(inputs: Path, out: Path, *flags: object, suffix: str = "parquet") -> list[str]:
    files = [text for name in TABLES for text in (f"--{name}", inputs / f"{name}.{suffix}")]
    given = ["billboards", *files, "--slot-minutes", 60, "--solver", "greedy", *flags]
    return [str(arg) for arg in (*given, "--out", out)]


def _certificate(out: Path) -> dict[str, Any]:
    record = json.loads((out / "certificate.json").read_text("utf-8"))
    return {name: value for name, value in record.items() if name not in TIMES}


def _same_plan(one: Path, other: Path) -> bool:
    selection = (one / "selection.csv").read_bytes() == (other / "selection.csv").read_bytes()
    return selection and _certificate(one) == _certificate(other)


# What is written


def test_a_plan_is_five_files(finished):
    assert {path.name for path in finished.iterdir()} == PLAN_FILES
    report = (finished / "report.html").read_text("utf-8")
    assert report.lstrip().lower().startswith("<!doctype html>")
    assert main(["verify", str(finished)]) == 0


def test_the_certificate_states_what_the_tables_say(city, finished):
    """Cost, influence, shortfall and gap once more, by pandas from the selection and the tables."""
    record = _certificate(finished)
    assert set(record) >= {
        *("problem", "solver", "status", "sense", "feasible", "cost", "value", "bound"),
        *("rechecked_bound", "gap", "n_selected", "per_product", "violations", "seed", "device"),
    }
    chosen = pd.read_csv(finished / "selection.csv")
    columns = ["slot_id", "board_id", "start_min", "end_min", "cost", "influence"]
    assert list(chosen)[: len(columns)] == columns
    influence = jc.build_influence(
        jc.read_checkins(city / "checkins.parquet"),
        jc.read_billboards(city / "billboards.parquet"),
        slot_minutes=60,
    )
    pairs = influence.to_pairs()
    pairs = pairs[pairs["slot_id"].isin(chosen["slot_id"])]
    reach = 1 - (1 - pairs["prob"]).groupby(pairs["user_id"]).prod()
    audiences = pd.read_parquet(city / "audiences.parquet")
    achieved = audiences["user_id"].map(reach).fillna(0).groupby(audiences["product_id"]).sum()
    demand = pd.read_parquet(city / "demands.parquet").set_index("product_id")["demand"]
    products = pd.DataFrame(record["per_product"]).set_index("product_id")
    np.testing.assert_allclose(products["achieved"], achieved[products.index], rtol=1e-12)
    np.testing.assert_array_equal(products["demand"], demand[products.index])
    assert (products["shortfall"] == 0).all()
    assert (products["achieved"] >= products["demand"] * (1 - 1e-9)).all()
    assert record["cost"] == record["value"] == pytest.approx(chosen["cost"].sum(), rel=1e-12)
    assert 0 < record["bound"] <= record["value"]
    assert record["gap"] == pytest.approx(1 - record["bound"] / record["value"])
    assert record["n_selected"] == len(chosen)
    assert (record["problem"], record["sense"], record["status"]) == ("common", "min", "feasible")
    assert record["feasible"] is True
    assert record["violations"] == []


def test_run_json_says_how_the_plan_was_made(city, finished):
    run = json.loads((finished / "run.json").read_text("utf-8"))
    inputs = run["inputs"]
    assert {name: inputs[name] for name in TABLES} == {
        name: str((city / f"{name}.parquet").resolve()) for name in TABLES
    }
    stated = {name: inputs[name] for name in ("problem", "radius_m", "slot_minutes", "clock")}
    assert stated == {"problem": "common", "radius_m": 100.0, "slot_minutes": 60, "clock": "utc"}
    assert run["jaxcampaign"] == jc.__version__
    assert (run["solver"], run["seed"], run["time_limit"]) == ("greedy", 0, None)
    assert run["versions"]["jax"] == jax.__version__
    assert run["versions"]["highspy"] == version("highspy")
    assert run["versions"]["python"] == platform.python_version()
    assert run["device"].split(":")[0] == jax.devices()[0].platform
    assert {"load", "solve", "total"} <= set(run["seconds"])
    assert all(seconds >= 0 for seconds in run["seconds"].values())
    assert set(run["sha256"]) == {"selection.csv", "certificate.json", "proof.npz"}
    assert set(run["input_sha256"]) == set(TABLES)


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize(("factor", "code"), [(1, 0), (1000, 3)])
def test_json_prints_the_certificate_alone(city, tmp_path, capsys, factor, code):
    frame = pd.read_parquet(city / "demands.parquet")
    frame.assign(demand=factor * frame["demand"]).to_csv(tmp_path / "demands.csv", index=False)
    flags = ("--demands", tmp_path / "demands.csv", "--json")
    assert main(_args(city, tmp_path / "plan", *flags)) == code
    printed = capsys.readouterr().out
    record = json.loads(printed)  # and nothing before or after it
    assert record == json.loads((tmp_path / "plan" / "certificate.json").read_text("utf-8"))
    assert "NaN" not in printed
    assert "Infinity" not in printed


# Exit codes


@pytest.mark.parametrize("args", [["--version"], ["--help"], ["billboards", "--help"]])
def test_questions_about_the_command_exit_0(capsys, args):
    try:
        code = main(args)
    except SystemExit as end:
        code = end.code
    assert code == 0
    printed = capsys.readouterr().out
    assert (printed == f"{jc.__version__}\n") if args == ["--version"] else ("--" in printed)


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ([], "demo"),
        (["billbords"], "billbords"),
        (["billboards", "--out", "x", "--radius", "100"], "--radius"),
        (["billboards", "--out", "x", "--problem", "disjunct"], "disjunct"),
        (["billboards", "--out", "x", "--solver", "gready"], "gready"),
        (["billboards", "--out", "x", "--max-slots", "1.5"], "1.5"),
        (["billboards"], "--out"),
        (["verify"], "PATH"),
    ],
    ids=str,
)
def test_flags_that_cannot_be_read_exit_2(capsys, args, named):
    with pytest.raises(SystemExit) as end:
        main(args)
    assert end.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert named in shown.err


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--checkins", "nowhere.csv"], "nowhere.csv"),
        (["--checkins", "city.xlsx"], "city.xlsx"),
        (["--pairs", "pairs.csv"], "--pairs F --slots F"),
        (["--budget", "5"], "--problem budgeted"),
        (["--problem", "budgeted"], "max_slots="),
        (["--clock", "local", "--radius-m", "nan"], "radius_m"),
        (["--slot-minutes", "0"], "slot_minutes"),
        (["--seed", "-1"], "seed"),
        (["--time-limit", "0"], "time_limit"),
        (["--time-limit", "nan"], "time_limit"),
        (["--config", "nowhere.toml"], "nowhere.toml"),
    ],
    ids=str,
)
def test_options_that_make_no_problem_exit_2(city, tmp_path, capsys, monkeypatch, flags, named):
    monkeypatch.setattr("jaxcampaign.cli.jobs.solve", None)  # calling it would fail otherwise
    assert main(_args(city, tmp_path / "plan", *flags)) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    error = shown.err[shown.err.index("jaxcampaign: error: ") :]
    assert named in error
    assert "; " in error  # the remedy
    assert not (tmp_path / "plan").exists()


@pytest.mark.parametrize("out", ["taken", "taken/plan"])
def test_an_output_that_is_no_folder_is_refused_before_any_work(city, tmp_path, capsys, out):
    (tmp_path / "taken").write_text("mine")
    for args in (_args(city, tmp_path / out), ["synth", "city", "--out", str(tmp_path / out)]):
        assert main(args) == 2
        shown = capsys.readouterr()
        assert "taken is not a folder" in shown.err
        assert "..." not in shown.err  # no stage was begun
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize(
    "flags",
    [["--seed", "-1"], ["--n-users", "0"], ["--days", "0"], ["--demand-ratio", "-1"]],
    ids=str,
)
def test_a_world_that_cannot_be_made_exits_2(tmp_path, capsys, flags):
    assert main(["synth", "city", "--out", str(tmp_path / "city"), *flags]) == 2
    assert "jaxcampaign: error: " in capsys.readouterr().err
    assert not (tmp_path / "city").exists()


@pytest.mark.usefixtures("no_report")
def test_a_time_limit_exits_4_with_incumbent_bound_and_gap(city, tmp_path):
    flags = ("--solver", "mixed-integer", "--time-limit", "0.001")
    assert main(_args(city, tmp_path / "plan", *flags)) == 4
    record = _certificate(tmp_path / "plan")
    assert record["status"] == "limit"
    assert record["feasible"] is True
    assert 0 < record["bound"] < record["value"]
    assert 0 < record["gap"] < 1
    assert main(["verify", str(tmp_path / "plan")]) == 0


def test_verify_exits_1_where_a_claim_fails_and_2_where_there_is_no_plan(
    finished, tmp_path, capsys
):
    plan = tmp_path / "plan"
    shutil.copytree(finished, plan)
    record = json.loads((plan / "certificate.json").read_text("utf-8"))
    (plan / "certificate.json").write_text(json.dumps(record | {"cost": record["cost"] / 2}))
    assert main(["verify", str(plan)]) == 1
    shown = capsys.readouterr().out
    assert re.search(r"^FAILED  cost \(stated .*, recomputed .*\)$", shown, re.MULTILINE)
    assert "do not hold" in shown.splitlines()[-1]

    assert main(["verify", str(tmp_path / "nothing")]) == 2
    error = capsys.readouterr().err
    assert "run.json: there is no such file; give the folder that --out named" in error


# Configuration


@pytest.mark.usefixtures("no_report")
def test_a_configuration_file_stands_for_the_flags(city, tmp_path, monkeypatch, capsys):
    """Paths are relative to the file, wherever the command is run; given flags win."""
    settings = tmp_path / "settings"
    shutil.copytree(city, settings / "tables")
    lines = [f'{name} = "tables/{name}.parquet"' for name in TABLES]
    lines += [
        'out = "plan"',
        'solver = "greedy"',
        "slot_minutes = 60",
        "radius_m = 100",
        "seed = 3",
    ]
    (settings / "plan.toml").write_text("\n".join([*lines, "json = true"]))
    monkeypatch.chdir(tmp_path)
    args = ["billboards", "--config", "settings/plan.toml"]
    assert main(args) == 0
    assert json.loads(capsys.readouterr().out)["seed"] == 3
    run = json.loads((settings / "plan" / "run.json").read_text("utf-8"))
    assert (run["inputs"]["radius_m"], run["inputs"]["slot_minutes"]) == (100.0, 60)
    assert run["inputs"]["demands"] == str(settings / "tables" / "demands.parquet")
    assert main(_args(city, tmp_path / "by-flags", "--seed", 3)) == 0
    assert _same_plan(tmp_path / "by-flags", settings / "plan")

    flags = ["--seed", "4", "--no-json", "--out", "by-both"]
    assert main(["billboards", "--config=settings/plan.toml", *flags]) == 0
    assert not capsys.readouterr().out.startswith("{")
    run = json.loads((tmp_path / "by-both" / "run.json").read_text("utf-8"))
    assert (run["seed"], run["inputs"]["slot_minutes"]) == (4, 60)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('checkins = "checkins.csv', ["cannot be read"]),
        ("radius_m = '100'", ["column radius_m", "value '100'", "must be float"]),
        ("slot_minutes = 5.5", ["column slot_minutes", "value 5.5", "must be int"]),
        ("slot_minutes = true", ["column slot_minutes", "value True", "must be int"]),
        ("clip = 1", ["column clip", "value 1", "must be bool"]),
        ("checkins = 3", ["column checkins", "value 3", "must be a path"]),
        ('problem = "budgetted"', ["column problem", "'budgetted'", "one of common, disjoint"]),
        ("solver = ['greedy']", ["column solver", "['greedy']", "one of auto, greedy"]),
        ("[radius_m]", ["column radius_m", "must be float"]),
        ("config = 'a.toml'", ["column config", "unknown configuration key"]),
    ],
)
def test_a_configuration_of_the_wrong_kind_is_refused(city, tmp_path, capsys, line, words):
    path = tmp_path / "plan.toml"
    path.write_text(line)
    assert main(_args(city, tmp_path / "plan", "--config", path)) == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert all(word in error for word in words), error
    assert not (tmp_path / "plan").exists()


# The same question, the same answer


@pytest.mark.usefixtures("no_report")
def test_the_same_seed_gives_the_same_files(city, finished, tmp_path):
    assert main(_args(city, tmp_path / "again")) == 0
    assert _same_plan(finished, tmp_path / "again")
    assert (finished / "proof.npz").read_bytes() == (tmp_path / "again/proof.npz").read_bytes()
    assert main(_args(city, tmp_path / "other", "--seed", 1)) == 0  # the costs are seeded
    assert not _same_plan(finished, tmp_path / "other")


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("solver", ["random", "stochastic-greedy", "lp-rounding"])
def test_random_solvers_repeat_themselves(city, tmp_path, solver):
    for name in ("one", "two"):
        assert main(_args(city, tmp_path / name, "--solver", solver, "--seed", 5)) == 0
    assert _same_plan(tmp_path / "one", tmp_path / "two")


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("table", TABLES)
def test_the_order_of_rows_changes_nothing(city, finished, tmp_path, table):
    shutil.copytree(city, tmp_path / "city")
    path = tmp_path / "city" / f"{table}.parquet"
    frame = pd.read_parquet(path)
    mixed = frame.sample(frac=1.0, random_state=7)
    assert not mixed.index.equals(frame.index)
    mixed.to_parquet(path, index=False)
    assert main(_args(tmp_path / "city", tmp_path / "plan")) == 0
    assert _same_plan(finished, tmp_path / "plan")


@pytest.mark.usefixtures("no_report")
def test_csv_and_parquet_give_the_same_answer(city, finished, tmp_path):
    for name in TABLES:
        table = jc.read_table(name, city / f"{name}.parquet")
        jc.write_table(table, tmp_path / f"{name}.csv")
    assert main(_args(tmp_path, tmp_path / "plan", suffix="csv")) == 0
    assert _same_plan(finished, tmp_path / "plan")


def test_a_city_is_the_same_in_both_formats_and_every_time(city, tmp_path):
    sizes = ["--n-users", "150", "--n-boards", "20", "--n-products", "3", "--demand-ratio", "0.03"]
    assert main(["synth", "city", "--out", str(tmp_path), *sizes, "--format", "csv"]) == 0
    for name in TABLES:
        one = jc.read_table(name, city / f"{name}.parquet")
        other = jc.read_table(name, tmp_path / f"{name}.csv")
        pd.testing.assert_frame_equal(one, other)
