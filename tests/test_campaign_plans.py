"""Plans of campaigns on disk: written, verified without a solver, refused when altered."""

from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd
import pytest
from alterations import (
    PLAN_FILES,
    Alteration,
    Case,
    _arrays,
    _cut_short,
    _field,
    _nudged,
    _pickled_members,
    _run,
    _selection,
    stated,
)
from campaign_desk import RULES, lay_out, options_table, run_campaign
from plan_desk import check_refused

import jaxcampaign as jc
from jaxcampaign.cli import main
from jaxcampaign.plans import CampaignInputs, load_campaign, read_plan

# No plan holds six posts of each event for so little: fractions could not either.
IMPOSSIBLE = 'budget = 20\n[[at_least]]\nk = 6\nper = "event_id"'
RISKY = RULES + '[risk]\nkind = "conditional_shortfall"\nlevel = 0.5\n'


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, Case]:
    folder = tmp_path_factory.mktemp("campaigns")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxcampaign.cli.jobs.write_report", lambda *args, **options: None)
        for name, rules, code in (
            ("plain", RULES, 0),
            ("risky", RISKY, 0),
            ("impossible", IMPOSSIBLE, 3),
        ):
            lay_out(folder / name / "inputs", rules)
            flags = ("--solver", "mixed-integer")
            assert run_campaign(folder / name / "inputs", folder / name / "plan", *flags) == code
    return {name: Case(folder / name / "plan", folder / name / "inputs") for name in _NAMES}


_NAMES = ("plain", "risky", "impossible")


@pytest.mark.parametrize("kind", _NAMES)
def test_an_untouched_plan_is_verified(made, tmp_path, kind):
    case = made[kind].copy(tmp_path)
    assert {path.name for path in case.plan.iterdir()} == set(PLAN_FILES)
    assert case.verify() == 0
    case.forge_digests()
    assert case.verify() == 0
    assert main(["verify", str(made[kind].plan)]) == 0


def test_verification_runs_no_solver(made, tmp_path, monkeypatch):
    case = made["plain"].copy(tmp_path)
    for name in list(sys.modules):
        if name.startswith("jaxcampaign.solvers") or name.startswith("highspy"):
            monkeypatch.setitem(sys.modules, name, None)  # an import would fail
    assert all(claim.holds for claim in jc.verify_plan(case.plan, inputs_dir=case.inputs))


def test_the_certificate_states_what_the_table_says(made):
    """Rules, spend and value once more, by pandas from the selection and the options."""
    case = made["plain"]
    record = case.json("certificate.json")
    chosen = pd.read_csv(
        case.plan / "selection.csv", dtype={"influencer_id": "str"}, na_filter=False
    )
    columns = ["influencer_id", "content_type", "event_id", "offset_hours", "posted_at"]
    assert list(chosen) == [*columns, "price", "budget", "mean", "std"]
    assert record["cost"] == chosen["budget"].sum() <= 90
    value = (chosen["mean"] - 0.3 * chosen["std"]).sum()
    assert record["value"] == pytest.approx(value)
    assert record["n_selected"] == len(chosen)
    assert chosen.groupby("influencer_id").size().max() <= 2
    assert chosen.groupby("event_id").size().min() >= 2
    genre = options_table().drop_duplicates("influencer_id").set_index("influencer_id")["genre"]
    spent = chosen.groupby(chosen["influencer_id"].map(genre))["budget"].sum()
    assert spent.max() <= 0.5 * spent.sum() * (1 + 1e-9)
    assert record["value"] <= record["bound"] <= record["rechecked_bound"]
    assert (record["problem"], record["sense"], record["per_product"]) == ("campaign", "max", [])


def test_the_proof_is_read_as_it_was_found(made):
    case = made["risky"]
    plan = read_plan(case.plan)
    inputs = CampaignInputs.from_record(case.json("run.json")["inputs"])
    problem = load_campaign(inputs).problem
    assert len(plan.multipliers.weights) == 4
    bound = problem.proven_bound(plan.multipliers)
    assert bound == plan.certificate["rechecked_bound"]


def test_the_record_of_inputs_goes_there_and_back(tmp_path):
    inputs = CampaignInputs(
        data="postgresql://me:secret@host:5432/db?sslpassword=secret",
        budget=3.0,
        constraints=(
            {"kind": "at_most", "k": {"art": {"launch": 2}}, "per": ["genre", "event_id"]},
        ),
        risk={"kind": "factor_deviation"},
        where={"followers": {"low": 10}},
        events=("launch",),
        until="2026-03-01",
    )
    record = json.loads(json.dumps(inputs.to_record()))
    assert "secret" not in json.dumps(record)
    again = CampaignInputs.from_record(record)
    assert again.data == "postgresql://me@host:5432/db"
    assert again.rules() == inputs.rules()
    assert again.filters() == inputs.filters() == {"followers": (10, None), "event_id": ["launch"]}


# A solver's word


def test_a_bound_that_is_a_solvers_word_is_said_and_strictly_refused(made, tmp_path, capsys):
    case = made["plain"].copy(tmp_path)
    assert case.json("certificate.json")["bound_proof"] == "branch_and_bound"
    assert case.verify() == 0
    shown = capsys.readouterr().out
    assert "bound, given solver_bound" in shown
    # What was rechecked comes first.
    assert 0 < shown.index("which proves a gap of") < shown.index("gap, given solver_bound")
    assert main(["verify", str(case.plan), "--inputs", str(case.inputs), "--strict"]) == 1
    assert "FAILED  the bound is proven by multipliers" in capsys.readouterr().out


def test_infeasible_by_a_solvers_word_is_said_and_strictly_refused(tmp_path, capsys, monkeypatch):
    """Five thousand followers, of posts with two each: fractions could, whole posts cannot."""
    monkeypatch.setattr("jaxcampaign.cli.jobs.write_report", lambda *args, **options: None)
    table = options_table(8).assign(price=[3.0] * 8, followers=[2.0] * 8)
    rules = 'budget = 20\n[[at_least]]\nk = 5\nof = "followers"\n'
    rules += '[[at_most]]\nk = 5\nof = "followers"\n'
    lay_out(tmp_path / "inputs", rules, table)
    out = tmp_path / "plan"
    assert run_campaign(tmp_path / "inputs", out, "--solver", "mixed-integer") == 3
    record = json.loads((out / "certificate.json").read_text("utf-8"))
    assert (record["status"], record["reasons"]) == ("infeasible", [])
    capsys.readouterr()
    assert main(["verify", str(out)]) == 0
    assert "a branch and bound's word that there is no plan" in capsys.readouterr().out
    assert main(["verify", str(out), "--strict"]) == 1


def test_an_impossible_plan_says_why(made, tmp_path):
    record = made["impossible"].json("certificate.json")
    assert record["status"] == "infeasible"
    assert record["bound"] is record["gap"] is None
    assert any("at least 6 posts" in reason for reason in record["reasons"])
    assert made["impossible"].json("run.json")["statistics"]["smallest_change"]
    strict = ["verify", str(made["impossible"].plan), "--strict"]
    assert main(strict) == 0  # the multipliers prove it


# Alterations


def _other_post(case: Case) -> pd.DataFrame:
    """A row of selection.csv for a post that was not chosen, true in every column."""
    chosen = pd.read_csv(case.plan / "selection.csv", dtype="str", keep_default_na=False)
    table = pd.read_parquet(case.inputs / "options.parquet")
    free = table[~table["offset_hours"].isin(chosen["offset_hours"].astype(float))]
    row = free.assign(budget=free["price"]).head(1)
    return row.assign(posted_at=row["posted_at"].dt.strftime("%Y-%m-%d %H:%M:%S+00:00"))


def _add(dropped: int) -> Alteration:
    def alter(case: Case) -> None:
        other = _other_post(case).astype("str")
        case.edit_selection(lambda t: pd.concat([t.iloc[dropped:], other])[t.columns])

    return alter


def _priced(name: str, change) -> Alteration:
    """The price of the budget, which is the first row."""

    def edit(arrays: dict[str, np.ndarray]) -> None:
        assert arrays[name][0] > 0
        arrays[name][0] = change(arrays[name][0])

    return lambda case: case.edit_proof(edit)


def _input(column: str, change) -> Alteration:
    """An option that is chosen, in the table that the plan was made from."""

    def alter(case: Case) -> None:
        hours = pd.read_csv(case.plan / "selection.csv")["offset_hours"].iloc[0]

        def edit(table: pd.DataFrame) -> None:
            at = table["offset_hours"] == hours
            table.loc[at, column] = change(table.loc[at, column])

        case.edit_input("options", edit)

    return alter


def _both(*alterations: Alteration) -> Alteration:
    def alter(case: Case) -> None:
        for each in alterations:
            each(case)

    return alter


ALTERATIONS: dict[str, Alteration] = {
    "post replaced": _add(1),
    "post added": _add(0),
    "post removed": _selection(lambda t: t.iloc[1:]),
    "all posts removed": _selection(lambda t: t.iloc[:0]),
    "post duplicated": _selection(lambda t: pd.concat([t, t.iloc[:1]])),
    "post unknown": _field("influencer_id", lambda s: s + "x"),
    "post at another time": _field("posted_at", lambda s: s.replace("2026", "2027")),
    "post at no time": _field("posted_at", lambda _: "soon"),
    "post at other hours": _field("offset_hours", lambda s: str(float(s) + 1)),
    "post cheaper": _field("price", lambda s: repr(float(s) * 0.99)),
    "post better": _field("mean", lambda s: repr(float(s) * 1.01)),
    "post surer": _field("std", lambda s: repr(float(s) * 0.9 - 0.01)),
    "budget less": _field("budget", lambda s: repr(float(s) * 0.99)),
    "budget more": _field("budget", lambda s: repr(float(s) * 1.01)),
    "budget nothing": _field("budget", lambda _: "0"),
    "budget missing": _field("budget", lambda _: ""),
    "budget NaN": _field("budget", lambda _: "nan"),
    "budget infinite": _field("budget", lambda _: "inf"),
    "price and budget less": _both(
        _field("price", lambda s: repr(float(s) - 1)),
        _field("budget", lambda s: repr(float(s) - 1)),
    ),
    "column dropped": _selection(lambda t: t.drop(columns="budget")),
    "time dropped": _selection(lambda t: t.drop(columns="posted_at")),
    "cost": stated(cost=_nudged),
    "value": stated(value=_nudged),
    "bound": stated(bound=_nudged),
    "rechecked bound": stated(rechecked_bound=_nudged),
    "a bound below the plan": lambda c: stated(
        solver_bound=0.9 * c.json("certificate.json")["value"],
        bound=0.9 * c.json("certificate.json")["value"],
        gap=0.1,
    )(c),
    "gap": stated(gap=0.5),
    "status": stated(status="feasible"),
    "infeasible": stated(status="infeasible", feasible=False),
    "reasons": stated(reasons=["because"]),
    "violations": stated(violations=[{"row": "budget"}]),
    "problem": stated(problem="budgeted"),
    "number of posts": stated(n_selected=lambda n: n - 1),
    "a product": stated(per_product=[{"product_id": "p", "demand": 0.0}]),
    "prices 1 % more": _arrays(upper=lambda x: 1.01 * x, lower=lambda x: 1.01 * x),
    "price of the budget 1 % less": _priced("upper", lambda x: 0.99 * x),
    "price of the budget negative": _priced("upper", lambda x: -x),
    "price of the budget NaN": _priced("upper", lambda _: np.nan),
    "price of the budget infinite": _priced("upper", lambda _: np.inf),
    "prices huge": _arrays(upper=lambda x: np.where(x > 0, 1e308, 0.0)),
    "all prices zero": _arrays(upper=np.zeros_like, lower=np.zeros_like),
    "a price left out": _arrays(upper=lambda x: x[:-1]),
    "weights of a risk that is not there": _arrays(weights=lambda x: np.append(x, 0.5)),
    "prices as text": _arrays(upper=lambda x: x.astype("U")),
    "an array more": lambda c: c.edit_proof(lambda arrays: arrays.update(cut=np.zeros(1))),
    "an array less": lambda c: c.edit_proof(lambda arrays: arrays.pop("lower")),
    "proof of other tables": _arrays(order=lambda _: np.array("0" * 64)),
    "proof truncated": _cut_short("proof.npz"),
    "proof pickled inside": _pickled_members,
    "input: a price": _input("price", lambda x: x - 1),
    "input: a mean": _input("mean", lambda x: x + 0.001),
    "input: an option fewer": lambda c: c.edit_input("options", lambda t: t.iloc[1:]),
    "input: a genre": _input("genre", lambda x: x + "s"),
    "run: a larger budget": _run(lambda run: run["inputs"].update(budget=99.0)),
    "run: no aversion to risk": _run(lambda run: run["inputs"].update(risk_aversion=0.0)),
    "run: a rule fewer": _run(lambda run: run["inputs"].update(constraints=[])),
    "run: a rule unheard of": _run(
        lambda run: run["inputs"].update(constraints=[{"kind": "at_mots"}])
    ),
    "run: rules of another kind": _run(lambda run: run["inputs"].update(constraints={"a": 1})),
    "run: falling returns": _run(
        lambda run: run["inputs"].update(spending={"kind": "concave_response"})
    ),
    "run: billboards": _run(lambda run: run.update(command="billboards")),
    "run: no command": _run(lambda run: run.pop("command")),
    "run: no inputs": _run(lambda run: run.update(inputs=[])),
    "run: an unknown key": _run(lambda run: run["inputs"].update(budgets=1)),
}
ONLY_RISKY: dict[str, Alteration] = {
    "weights of scenarios": _arrays(weights=lambda x: x[::-1].copy() * 0.9),
    "weights that are no weights": _arrays(weights=lambda x: x + 1),
    "weights NaN": _arrays(weights=lambda x: x * np.nan),
    "weights left out": _arrays(weights=lambda x: x[:0]),
    "input: a scenario": _input("member_0", lambda x: x - 30),
    "run: another risk": _run(lambda run: run["inputs"].update(risk=None)),
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_altered_plan_is_refused(made, tmp_path, capsys, name):
    check_refused(made["plain"].copy(tmp_path), ALTERATIONS[name], capsys)


@pytest.mark.parametrize("name", ONLY_RISKY)
def test_an_altered_risky_plan_is_refused(made, tmp_path, capsys, name):
    check_refused(made["risky"].copy(tmp_path), ONLY_RISKY[name], capsys)


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
def test_an_impossible_plan_cannot_claim_otherwise(made, tmp_path, changes):
    case = made["impossible"].copy(tmp_path)
    case.edit_json("certificate.json", lambda record: record.update(changes))
    case.forge_digests()
    assert case.verify() == 1
