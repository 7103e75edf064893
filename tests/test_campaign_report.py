"""The page of a campaign: what it says is what is true, and nothing is left out or made up."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from campaign_desk import options_table
from test_report import HOSTILE, Page

import jaxcampaign as jc
from jaxcampaign.report import (
    group_figure,
    group_frame,
    price_frame,
    report_html,
    value_figure,
    week_figure,
    week_frame,
)
from jaxcampaign.report.campaign.frames import budget_price
from jaxcampaign.report.campaign.wording import more_budget, rule_text
from jaxcampaign.report.design import NARROW_IN, WIDE_IN, svg
from jaxcampaign.report.wording import number

RULES = [
    jc.AtMost(2, per="influencer_id"),
    jc.AtLeast(2, per="event_id"),
    jc.MaxShare(0.5, per="genre", of="spend"),
]


def answered(table=None, *, budget=90.0, rules=RULES, **kwargs):
    table = (
        options_table().drop(columns=[f"member_{k}" for k in range(4)]) if table is None else table
    )
    problem = jc.Campaign(table, budget=budget, constraints=rules, **kwargs)
    return jc.solve(problem, jc.MixedInteger())


@pytest.fixture(scope="module")
def plan():
    return answered(risk_aversion=0.3)


@pytest.fixture(scope="module")
def impossible():
    return answered(budget=20.0, rules=[jc.AtLeast(6, per="event_id")])


@pytest.fixture
def unrendered(monkeypatch):
    monkeypatch.setattr("jaxcampaign.report.blocks.svg", lambda figure: b"<svg></svg>")


@pytest.mark.parametrize("name", ["genre", "event_id", "influencer_id"])
def test_groups_add_up(plan, name):
    table = plan.problem.options.assign(chosen=plan.selection)
    frame = group_frame(plan, name).set_index(name)
    assert set(frame.index) == set(table[name])
    for label, rows in table[table["chosen"]].groupby(name):
        assert frame.loc[label, "posts"] == len(rows)
        assert frame.loc[label, "spend"] == pytest.approx(rows["price"].sum())
        assert frame.loc[label, "expected"] == pytest.approx(rows["mean"].sum())
    assert frame["spend"].sum() == pytest.approx(plan.certificate.cost)
    assert (frame["spend"].diff().dropna() <= 0).all()
    assert group_frame(plan, "tier") is None


def test_weeks_have_no_gaps_and_add_up(plan):
    frame = week_frame(plan)
    assert (frame["week"].diff().dropna() == pd.Timedelta(7, "D")).all()
    assert (frame["week"].dt.day_of_week == 0).all()
    assert frame["spend"].sum() == pytest.approx(plan.certificate.cost)
    posted = plan.problem.options.loc[plan.selection, "posted_at"].dt.tz_localize(None)
    for week, posts in zip(frame["week"], frame["posts"], strict=True):
        assert posts == ((posted >= week) & (posted < week + pd.Timedelta(7, "D"))).sum()


def test_options_without_a_value_are_a_group():
    table = options_table().drop(columns=[f"member_{k}" for k in range(4)])
    table.loc[table["genre"] == "art", "genre"] = np.nan
    frame = group_frame(answered(table, rules=[]), "genre")
    assert set(frame["genre"]) == {"(none)", "music", "sport"}


def test_more_budget_promises_no_less_than_there_is(plan):
    """Solved again with a tenth more, the best plan keeps to what the page says."""
    price = budget_price(plan)
    assert price > 0
    text = more_budget(plan, price)
    most = float(re.search(r"worth more than ([\d.]+)", text)[1])
    again = answered(budget=99.0, risk_aversion=0.3)
    assert plan.certificate.value <= again.certificate.value <= most
    assert more_budget(plan, 0.0).startswith("The budget has no price")
    assert more_budget(answered(budget=None), None) == ""


def test_many_limits_are_folded(unrendered):
    rng = np.random.default_rng(0)
    table = pd.concat([options_table(60, seed) for seed in range(3)], ignore_index=True)
    table = table.drop(columns=[f"member_{k}" for k in range(4)])
    table["offset_hours"] = np.arange(len(table), dtype=float)
    table["audience"] = [f"a{k}" for k in rng.integers(0, 40, len(table))]
    plan = answered(table, budget=None, rules=[jc.AtMost(8.0, per="audience", of="spend")])
    n_limits = len(price_frame(plan))
    assert n_limits > 20
    page = report_html(plan)
    shown, _, rest = page.partition("<details>")
    assert f"{n_limits - 15} more limits" in rest
    folded = rest.partition("</details>")[0]
    prices = plan.shadow_prices()
    for reason in prices["reason"]:
        assert (f">{reason}<" in shown) != (f">{reason}<" in folded)


def test_prices_are_those_of_the_proof(plan):
    frame = price_frame(plan)
    proof = plan.multipliers.upper - plan.multipliers.lower
    assert sorted(frame["price"]) == pytest.approx(sorted(proof[proof != 0]))
    budget = frame[frame["limit"] == "at most 90 spend"]
    assert budget["price"].item() == budget_price(plan)
    assert budget[["has", "most"]].to_numpy().tolist() == [[plan.certificate.cost, 90.0]]
    shares = frame[frame["limit"].str.contains("of all spend")]
    assert shares[["has", "most"]].isna().all(axis=None)


def test_definitions_of_flags_have_no_price():
    distinct = answered(rules=[jc.AtLeast(6, of="influencer_id")], budget=30.0)
    rows = distinct.shadow_prices()
    assert not rows["reason"].str.contains("counts|chosen option").any()


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (jc.AtMost(2, per="influencer_id"), "at most 2 posts per influencer"),
        (
            jc.AtMost(1, per="influencer_id", days=7),
            "at most 1 post per influencer within any 7 days",
        ),
        (jc.AtMost({"art": 300}, per="genre", of="spend"), "at most 300 (art) spend per genre"),
        (jc.AtLeast(5, of="followers"), "at least 5 followers in all"),
        (
            jc.MaxShare(0.4, per=["genre"], of="spend"),
            "at most 40.0 % of all spend for one genre",
        ),
        (jc.Require({"event_id": "gala"}), "every post required where event is gala"),
        (jc.Exclude({"price": (None, 3)}), "no post where price is at most 3"),
        (
            jc.Conflict({"genre": "art"}, {"genre": ["music"]}, per="event_id"),
            "no post where genre is art beside one where genre is music per event",
        ),
    ],
    ids=str,
)
def test_rules_in_words(rule, text):
    assert rule_text(rule) == text


@pytest.mark.parametrize("width_in", [WIDE_IN, NARROW_IN])
def test_every_figure_draws(plan, width_in):
    for name in ("genre", "event_id", "influencer_id"):
        assert svg(group_figure(plan, name, width_in=width_in)).startswith(b"<?xml")
    assert svg(week_figure(plan, width_in=width_in))
    assert svg(value_figure(plan, width_in=width_in))


def test_many_groups_are_drawn_as_a_few():
    table = options_table(60).assign(genre=[f"g{i:02d}" for i in range(60)])
    solution = answered(table.drop(columns=[f"member_{k}" for k in range(4)]), rules=[])
    figure = group_figure(solution, "genre")
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(labels) == 16
    assert labels[-1] == "45 others"
    drawn = sum(bar.get_width() for bar in figure.axes[0].patches)
    assert drawn == pytest.approx(solution.certificate.cost)


def test_the_page_is_sound_and_needs_nothing_else(plan):
    page = Page(report_html(plan, run={"inputs": {"target": "engagement"}}))
    assert "script" not in page.tags
    assert not [v for _, name, v in page.attributes if name in ("src", "href") and "http" in v]
    assert len(page.images) == 2 * 4  # by genre, event, week; bound: each wide and narrow
    for heading in ("By genre", "By event", "By week", "What limits it", "The plan"):
        assert heading in page.text
    assert "expected engagement" in page.text


@pytest.mark.usefixtures("unrendered")
def test_the_page_holds_the_numbers_of_the_certificate(plan):
    page = Page(report_html(plan))
    c = plan.certificate
    for value in (c.cost, c.value, c.bound, c.rechecked_bound):
        assert repr(float(value)) in page.text
    assert f"{int(plan.selection.sum())} posts by" in page.text
    assert "at most 50.0 % of all spend for one genre" in page.text
    word = "The solver's exhaustive search says"
    assert (word in page.text) == (c.bound_proof == "branch_and_bound")
    assert ("proven best possible" in page.text) == (c.bound_proof == "multipliers")


@pytest.mark.usefixtures("unrendered")
def test_other_budgets_stand_on_the_page(plan, unrendered):
    budgets = [plan.problem.budget * share for share in (0.02, 0.5, 1.5)]
    found = jc.frontier(plan.problem, jc.MixedInteger(), budgets=budgets, known=plan)
    assert [p.certificate.feasible for p in found] == [False, True, True, True]
    page = Page(report_html(plan, frontier=found))
    assert "With another budget" in page.text
    table = page.text.split("With another budget")[1].split("The plan")[0]
    assert "infeasible" in table
    for other in found:
        assert number(other.problem.budget) in table
        assert not other.certificate.feasible or number(other.certificate.value) in table
    assert "With another" not in Page(report_html(plan)).text
    risks = jc.frontier(plan.problem, jc.MixedInteger(), risk_aversions=[0.0, 1.0], known=plan)
    assert "another aversion to risk" in Page(report_html(plan, frontier=risks)).text
    none = jc.frontier(plan.problem, jc.MixedInteger(), budgets=budgets[:1])
    assert "With another" not in Page(report_html(plan, frontier=none)).text


def test_an_impossible_page_says_what_would_have_to_change(impossible):
    page = Page(report_html(impossible))
    assert "Infeasible: no plan can keep every rule" in page.text
    assert "as the stored multipliers prove" in page.text
    changes = impossible.statistics["smallest_change"]
    assert changes
    for change in changes:
        assert change["reason"] in page.text
    assert "smallest change" not in page.text.lower()
    assert "What limits it" not in page.text
    assert "There is no bound" in page.text


@pytest.mark.usefixtures("unrendered")
def test_a_solvers_word_that_there_is_no_plan_is_called_so(impossible):
    unproven = replace(
        impossible, certificate=replace(impossible.certificate, reasons=()), statistics={}
    )
    page = Page(report_html(unproven))
    assert "Infeasible, by the solver's word" in page.text
    assert "No smallest change of the limits was worked out." in page.text


@pytest.mark.usefixtures("unrendered")
def test_hostile_ids_are_text():
    table = options_table().drop(columns=[f"member_{k}" for k in range(4)])
    table["influencer_id"] = table["influencer_id"].replace({"i3": HOSTILE})
    table["genre"] = table["genre"].replace({"art": HOSTILE})
    required = [jc.Require({"influencer_id": HOSTILE})]
    page = Page(report_html(answered(table, rules=required, budget=None)))
    assert "script" not in page.tags
    assert " ".join(HOSTILE.replace("\x0b", " ").split())[:20] in page.text


@pytest.mark.usefixtures("unrendered")
@pytest.mark.parametrize("gone", [["posted_at"], ["genre"], ["posted_at", "genre", "followers"]])
def test_what_options_lack_is_left_out(gone):
    table = options_table().drop(columns=[*gone, *[f"member_{k}" for k in range(4)]])
    page = Page(report_html(answered(table, rules=RULES[:2])))
    assert ("By week" in page.text) == ("posted_at" not in gone)
    assert ("By genre" in page.text) == ("genre" not in gone)
    assert ("Hours from the event" in page.text) == ("posted_at" in gone)


@pytest.mark.usefixtures("unrendered")
def test_an_empty_plan_has_a_page():
    page = Page(report_html(answered(rules=[], budget=0.0)))
    assert "No post is chosen." in page.text
