"""The command campaign: plan.toml, refusals, exit codes, the same answer for the same question."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from campaign_desk import RULES, lay_out, options_table, run_campaign
from small_campaign import small_campaign

import jaxcampaign as jc
from jaxcampaign.cli import main
from jaxcampaign.plans import CampaignInputs, load_campaign, rules

EVERY_RULE = """
effectiveness = "options.parquet"
out = "plan"
solver = "mixed-integer"
events = ["launch", "gala"]
seed = 3
[[at_most]]
k = { art = { launch = 2, gala = 1 }, music = { launch = 1 } }
per = ["genre", "event_id"]
[[at_most]]
k = { art = 30.5 }
per = "genre"
of = "spend"
name = "art"
[[at_most]]
k = 1
per = "influencer_id"
days = 7
[[at_least]]
k = 2
of = "influencer_id"
where = { posted_at = { low = 2026-03-05, high = 2026-03-28T12:00:00Z } }
[[max_share]]
share = 0.8
per = ["event_id"]
[[require]]
where = { offset_hours = 101.5 }
[[exclude]]
where = { followers = { high = 14000 }, genre = ["art", "sport"] }
[[conflict]]
one = { content_type = "reel", genre = "music" }
other = { content_type = "story" }
per = "event_id"
[spending]
kind = "fixed_price"
[risk]
kind = "budget_of_deviations"
gamma = 2.5
[where]
price = { high = 18 }
"""


@pytest.fixture(autouse=True)
def _no_report(monkeypatch):
    monkeypatch.setattr("jaxcampaign.cli.jobs.write_report", lambda *args, **options: None)


def test_every_rule_reads_like_python(tmp_path):
    lay_out(tmp_path, EVERY_RULE)
    assert main(["campaign", "--config", str(tmp_path / "plan.toml"), "--risk-aversion", "1"]) == 0
    record = json.loads((tmp_path / "plan" / "run.json").read_text("utf-8"))["inputs"]
    problem = load_campaign(CampaignInputs.from_record(record)).problem
    times = ("2026-03-05", "2026-03-28T12:00:00+00:00")
    assert list(problem.constraints) == [
        jc.AtMost(
            {("art", "launch"): 2, ("art", "gala"): 1, ("music", "launch"): 1},
            per=("genre", "event_id"),
        ),
        jc.AtMost({"art": 30.5}, per="genre", of="spend", name="art"),
        jc.AtMost(1, per="influencer_id", days=7),
        jc.AtLeast(2, of="influencer_id", where={"posted_at": times}),
        jc.MaxShare(0.8, per=("event_id",)),
        jc.Require({"offset_hours": 101.5}),
        jc.Exclude({"followers": (None, 14000), "genre": ["art", "sport"]}),
        jc.Conflict(
            {"content_type": "reel", "genre": "music"}, {"content_type": "story"}, per="event_id"
        ),
    ]
    assert problem.spending == jc.FixedPrice()
    assert problem.risk == jc.BudgetOfDeviations(2.5)
    table = options_table().drop(columns=[f"member_{k}" for k in range(4)])
    kept = table[table["event_id"].isin(["launch", "gala"]) & (table["price"] <= 18)]
    direct = jc.Campaign(kept, risk_aversion=1, risk=problem.risk, constraints=problem.constraints)
    best = jc.solve(direct, jc.MixedInteger()).certificate
    stated = json.loads((tmp_path / "plan" / "certificate.json").read_text("utf-8"))
    assert stated["value"] == pytest.approx(best.value)
    assert stated["status"] == "optimal"
    assert main(["verify", str(tmp_path / "plan")]) == 0


@pytest.mark.parametrize(
    ("toml", "record"),
    [
        ("minimum_spend", {"least": 0.5}),
        ("concave_response", {"curvature": 3.0, "least": 0.1}),
        ("fixed_price", {}),
    ],
)
def test_spending_by_name(toml, record):
    found = rules.rule(rules.SPENDING, {"kind": toml, **record}, source="plan.toml")
    assert found == rules.SPENDING[toml](**record)


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("budgets = 3", ["budgets", "did you mean 'budget'?"]),
        ('budget = "3"', ["budget", "must be float", "'3'"]),
        ("[[at_mots]]\nk = 1", ["at_mots", "did you mean 'at_most'?"]),
        ("[at_most]\nk = 1", ["at_most", "[[at_most]]"]),
        ("[[at_most]]\nk = 1\npre = 'genre'", ["at_most 1.pre", "did you mean per"]),
        ("[[at_most]]\nper = 'genre'", ["at_most 1.k", "a value is missing"]),
        ("[[at_most]]\nk = 1\n[[at_most]]\nk = 'two'", ["at_most 2.k", "a number", "'two'"]),
        ("[[at_most]]\nk = true", ["at_most 1.k", "a number"]),
        ("[[at_most]]\nk = { a = 1, b = { c = 2 } }", ["at_most 1.k", "different depth"]),
        ("[[at_most]]\nk = { a = 'one' }", ["at_most 1.k.a", "must be a number"]),
        ("[[at_most]]\nk = 1\nper = 3", ["at_most 1.per", "list of columns"]),
        ("[[at_most]]\nk = 1\nof = 3", ["at_most 1.of", "must be text"]),
        ("[[at_most]]\nk = 1\ndays = '7'", ["at_most 1.days", "must be a number"]),
        ("[[at_most]]\nk = 1\nwhere = 'art'", ["at_most 1.where", "a table of columns"]),
        (
            "[[exclude]]\nwhere = { price = { most = 1 } }",
            ["exclude 1.where.price", "low and high"],
        ),
        ("[[exclude]]\nwhere = { price = [[1]] }", ["exclude 1.where.price", "a list of values"]),
        ("[[conflict]]\none = { genre = 'art' }", ["conflict 1.other", "a value is missing"]),
        ("[risk]\nlevel = 0.5", ["risk.kind", "unknown kind", "factor_deviation"]),
        ("[risk]\nkind = 'tail'", ["risk.kind", "'tail'"]),
        ("[risk]\nkind = 'conditional_shortfall'\nlevel = 2", ["ConditionalShortfall", "level"]),
        ("[spending]\nkind = 'minimum_spent'", ["spending.kind", "minimum_spend"]),
        ("spending = 3", ["spending", "a table of names"]),
        ("where = 3", ["where", "a table of columns"]),
        ("events = 'launch'", ["events", "must be a list"]),
        ("events = ['lunch']", ["event_id", "lunch", "did you mean launch"]),
        ("[where]\ngenre = 'musik'", ["genre", "musik", "did you mean music"]),
        ("[where]\ngenres = 'music'", ["genres", "did you mean genre"]),
        ("[[at_most]]\nk = 1\nper = 'gener'", ["gener", "did you mean genre"]),
        ("[[at_most]]\nk = { musik = 1 }\nper = 'genre'", ["musik", "did you mean music"]),
        ("[[at_least]]\nk = 1.5", ["AtLeast.k", "1.5"]),
        ("budget = -1", ["budget", "-1"]),
        ("budget = nan", ["budget", "nan"]),
        ("until = 2026-01-01", ["until", "predicted already"]),
        ("data = 'somewhere'", ["--data PATH_OR_URL, or --effectiveness F"]),
        ("[spending]\nkind = 'concave_response'", ["solver", "--solver dual-decomposition"]),
    ],
)
def test_a_plan_file_that_is_wrong_is_refused(tmp_path, capsys, monkeypatch, toml, words):
    monkeypatch.setattr("jaxcampaign.cli.jobs.solve", None)  # calling it would fail otherwise
    lay_out(tmp_path / "inputs", toml)
    out = tmp_path / "plan"
    assert run_campaign(tmp_path / "inputs", out, "--solver", "mixed-integer") == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    error = shown.err[shown.err.index("jaxcampaign: error: ") :]
    assert all(word in error for word in words), error
    assert "; " in error  # the remedy
    assert not out.exists()


@pytest.mark.parametrize(
    ("column", "value", "word"),
    [
        ("price", np.nan, "missing"),
        ("price", -1.0, "negative"),
        ("price", np.inf, "finite"),
        ("std", -0.1, "negative"),
        ("mean", "high", "high"),
        ("influencer_id", None, "missing"),
        ("member_1", np.nan, "member_1"),
    ],
)
def test_options_that_are_wrong_are_refused(tmp_path, capsys, column, value, word):
    table = options_table()
    table[column] = table[column].astype(object)
    table.loc[3, column] = value
    lay_out(tmp_path)
    table.to_csv(tmp_path / "options.csv", index=False)
    flags = ["--effectiveness", str(tmp_path / "options.csv"), "--out", str(tmp_path / "plan")]
    assert main(["campaign", *flags]) == 2
    error = capsys.readouterr().err
    assert column in error
    assert word in error
    assert "3" in error


def test_an_option_that_stands_twice_is_refused(tmp_path, capsys):
    table = options_table()
    lay_out(tmp_path, RULES, pd.concat([table, table.iloc[[5]]]))
    assert run_campaign(tmp_path, tmp_path / "plan") == 2
    assert "duplicate key" in capsys.readouterr().err


@pytest.mark.parametrize("solver", ["lp-rounding", "greedy"])
def test_quick_solvers_are_proven_too(tmp_path, capsys, solver):
    lay_out(tmp_path)
    flags = ("--solver", solver, "--budget", 40, "--json")
    assert run_campaign(tmp_path, tmp_path / "plan", *flags) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["feasible"]
    assert record["cost"] <= 40
    assert record["value"] <= record["rechecked_bound"] <= 1.2 * record["value"]
    assert main(["verify", str(tmp_path / "plan")]) == 0


@pytest.mark.parametrize("solver", ["auto", "dual-decomposition", "mixed-integer"])
def test_every_solver_finds_the_same_value(tmp_path, capsys, solver):
    lay_out(tmp_path)
    flags = ("--solver", solver, "--budget", 40, "--json")
    assert run_campaign(tmp_path, tmp_path / "plan", *flags) == 0
    record = json.loads(capsys.readouterr().out)
    assert record == json.loads((tmp_path / "plan" / "certificate.json").read_text("utf-8"))
    assert record["status"] == "optimal"
    assert record["cost"] <= 40
    table = options_table().drop(columns=[f"member_{k}" for k in range(4)])
    constraints = [
        jc.AtMost(2, per="influencer_id"),
        jc.AtLeast(2, per="event_id"),
        jc.MaxShare(0.5, per="genre", of="spend"),
    ]
    problem = jc.Campaign(table, budget=40, risk_aversion=0.3, constraints=constraints)
    assert record["value"] == pytest.approx(jc.solve(problem, jc.MixedInteger()).certificate.value)


def test_neither_order_nor_file_format_says_anything(tmp_path):
    table = options_table()
    lay_out(tmp_path / "one", RULES, table)
    lay_out(tmp_path / "other", RULES, table.sample(frac=1, random_state=1))
    table.to_csv(tmp_path / "other" / "options.csv", index=False)
    found = []
    for folder, flags in (("one", ()), ("other", ()), ("other", ("options.csv",))):
        given = ["--effectiveness", tmp_path / folder / flags[0]] if flags else []
        out = tmp_path / f"plan{len(found)}"
        assert run_campaign(tmp_path / folder, out, *given) == 0
        found.append(((out / "selection.csv").read_bytes(), (out / "proof.npz").read_bytes()))
    assert found[0] == found[1] == found[2]


def test_ids_come_back_as_they_were(tmp_path):
    lay_out(tmp_path, "[[require]]\nwhere = { influencer_id = ['007', 'NA', 'é'] }")
    assert run_campaign(tmp_path, tmp_path / "plan", "--solver", "mixed-integer") == 0
    chosen = pd.read_csv(tmp_path / "plan" / "selection.csv", dtype="str", na_filter=False)
    assert {"007", "NA", "é"} <= set(chosen["influencer_id"])
    assert main(["verify", str(tmp_path / "plan")]) == 0


def test_a_zero_budget_buys_nothing(tmp_path):
    lay_out(tmp_path, "budget = 0")
    assert run_campaign(tmp_path, tmp_path / "plan", "--solver", "mixed-integer") == 0
    record = json.loads((tmp_path / "plan" / "certificate.json").read_text("utf-8"))
    assert (record["n_selected"], record["cost"], record["value"]) == (0, 0.0, 0.0)
    assert main(["verify", str(tmp_path / "plan")]) == 0


def test_money_that_is_shared_out_is_kept(tmp_path):
    """Falling returns: posts get less than their price, and the certificate says so."""
    rules_ = 'budget = 30\n[spending]\nkind = "concave_response"\ncurvature = 3.0\n'
    lay_out(tmp_path, rules_, options_table(20))
    assert run_campaign(tmp_path, tmp_path / "plan", "--time-limit", 20) in (0, 4)
    chosen = pd.read_csv(tmp_path / "plan" / "selection.csv")
    assert (chosen["budget"] < chosen["price"] - 1e-6).any()
    assert chosen["budget"].sum() <= 30 * (1 + 1e-9)
    share = chosen["budget"] / chosen["price"]
    value = (chosen["mean"] * np.expm1(-3 * share) / np.expm1(-3)).sum()
    record = json.loads((tmp_path / "plan" / "certificate.json").read_text("utf-8"))
    assert record["value"] == pytest.approx(value)
    assert main(["verify", str(tmp_path / "plan")]) == 0


def test_wrong_rules_are_refused_before_a_model_is_fitted(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("jaxcampaign.effectiveness.EffectivenessModel.fit", None)
    for name, table in small_campaign().items():
        table = table.fillna({"genre": "fashion"}) if name == "influencers" else table
        jc.write_table(table, tmp_path / f"{name}.parquet")
    (tmp_path / "plan.toml").write_text("[[at_most]]\nk = { musik = 1 }\nper = 'genre'")
    args = ["campaign", "--data", str(tmp_path), "--config", str(tmp_path / "plan.toml")]
    for given, word in (
        (["--events", "lunch"], "launch"),
        (["--until", "soon"], "soon"),
        (["--events", "launch"], "music"),
    ):
        assert main([*args, *given, "--out", str(tmp_path / "plan")]) == 2
        assert word in capsys.readouterr().err
    assert not (tmp_path / "plan").exists()


def test_other_budgets_are_planned_for_the_report(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "jaxcampaign.cli.jobs.write_report", lambda *args, **given: drawn.append(given["frontier"])
    )
    lay_out(tmp_path)
    assert run_campaign(tmp_path, tmp_path / "plan", frontier=True) == 0
    assert run_campaign(tmp_path, tmp_path / "plan") == 0
    lay_out(tmp_path, RULES.replace("budget = 90", ""))
    assert run_campaign(tmp_path, tmp_path / "plan", frontier=True) == 0
    assert drawn[1:] == [None, None]
    budgets = [plan.problem.budget for plan in drawn[0]]
    assert budgets == [90 * share for share in (0.5, 0.75, 1.0, 1.25, 1.5)]
    best = [plan.certificate.value for plan in drawn[0]]
    for budget, value in zip(budgets, best, strict=True):
        assert run_campaign(tmp_path, tmp_path / "alone", "--budget", budget) == 0
        alone = json.loads((tmp_path / "alone" / "certificate.json").read_text("utf-8"))
        assert value == pytest.approx(alone["value"], rel=1e-5)


def test_a_fault_in_other_budgets_costs_no_plan(tmp_path, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("no other budgets")

    monkeypatch.setattr("jaxcampaign.cli.jobs.frontier", fail)
    lay_out(tmp_path)
    with pytest.raises(RuntimeError, match="no other budgets"):
        run_campaign(tmp_path, tmp_path / "plan", frontier=True)
    assert main(["verify", str(tmp_path / "plan")]) == 0


@pytest.mark.parametrize("line", ["budget = inf", "[where]\nprice = { low = 1, high = inf }"])
def test_numbers_without_end_are_refused_before_any_work(tmp_path, line, capsys):
    (tmp_path / "plan.toml").write_text(line)
    args = ["campaign", "--data", str(tmp_path), "--config", str(tmp_path / "plan.toml")]
    assert main([*args, "--out", str(tmp_path / "out")]) == 2
    assert "must be a finite number" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
