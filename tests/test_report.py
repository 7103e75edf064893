"""The report: what it says is what is true, and the page is sound HTML that needs nothing else."""

import os
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_cases import (
    HOSTILE,
    N_SLOTS,
    Page,
    answered,
    budgeted,
    checkins,
    city,
    common,
    drawn_text,
    infeasible,
)

from jaxcampaign.certificate import certify
from jaxcampaign.errors import InputError
from jaxcampaign.problems import CommonSlots
from jaxcampaign.report import (
    board_frame,
    hour_frame,
    map_figure,
    place_frame,
    plan_frame,
    product_frame,
    report_html,
    write_report,
)
from jaxcampaign.report.markup import Markup, element
from jaxcampaign.report.wording import answer, ceiling, clock, floor, number, percent
from jaxcampaign.solvers import Greedy, solve


@pytest.fixture
def unrendered(monkeypatch):
    """Pages with empty images, which is quick: for what is said, not drawn."""
    monkeypatch.setattr("jaxcampaign.report.blocks.svg", lambda figure: b"<svg></svg>")


# Words and numbers


@pytest.mark.parametrize(
    ("value", "below", "nearest", "above"),
    [
        (0.730067, "0.7300", "0.7301", "0.7301"),
        (12345.6, "12,345", "12,346", "12,346"),
        (2.9999999999, "3", "3", "3"),
        (4.0, "4", "4", "4"),
        (0.0, "0", "0", "0"),
        (1.00002, "1.000", "1.000", "1.001"),
        (float("inf"), "unlimited", "unlimited", "unlimited"),
    ],
)
def test_numbers_are_rounded_to_the_safe_side(value, below, nearest, above):
    assert (floor(value), number(value), ceiling(value)) == (below, nearest, above)


@given(st.floats(1e-6, 1e12))
def test_rounding_never_overstates(value):
    low, high = (float(text(value).replace(",", "")) for text in (floor, ceiling))
    assert low <= value * (1 + 1e-8)
    assert high >= value * (1 - 1e-8)
    assert high - low <= max(value * 1.001e-3, 1.0 if value >= 1000 else 0.0)


def test_clock_reaches_the_end_of_the_day():
    assert clock([0, 65, 1440]).tolist() == ["00:00", "01:05", "24:00"]
    assert clock([]).tolist() == []


def test_percent():
    assert percent(1.000014) == "100.0 %"
    assert percent(11.747) == "1,174.7 %"


def test_answer_names_cost_and_bound():
    solution, _ = common()
    c = solution.certificate
    text = " ".join(answer(solution))
    boards = solution.table()["board_id"].nunique()
    assert f"20 slots on {boards} boards for {number(c.cost)}." in text
    assert "Every one of 12 products gets the influence it needs." in text
    assert f"no plan can cost less than {floor(c.bound)}" in text
    assert "at most 25.0 % above the best possible" in text
    assert "exhaustive search" in text, "a bound of branch and bound is named as the solver's word"


def test_answer_credits_multipliers_without_a_caveat():
    solution, _ = common()
    c = solution.certificate
    proven = replace(c, rechecked_bound=c.bound, solver_bound=None)
    text = " ".join(answer(replace(solution, certificate=proven)))
    assert "exhaustive" not in text
    assert f"No plan can cost less than {floor(c.bound)}" in text


def test_trivial_bound_promises_nothing():
    solution, _ = common()
    bare = certify(solution.problem, solution.selection)
    text = " ".join(answer(replace(solution, certificate=bare)))
    assert "a much better plan is not ruled out" in text


# Frames


def test_frames_add_up():
    solution, boards = common()
    cost, slots = solution.certificate.cost, int(solution.selection.sum())
    per_board, per_hour = board_frame(solution), hour_frame(solution)
    places = place_frame(solution, boards)
    for frame in (per_board, per_hour, places):
        assert frame["slots"].sum() == slots
        assert frame["cost"].sum() == pytest.approx(cost)
    table = solution.table()
    for board, part in table.groupby("board_id"):
        row = per_board.set_index("board_id").loc[board]
        assert (row["slots"], row["cost"]) == (len(part), pytest.approx(part["cost"].sum()))
        assert row["first"] == min(f"{m // 60:02d}:{m % 60:02d}" for m in part["start_min"])
        assert row["last"] == max(f"{m // 60:02d}:{m % 60:02d}" for m in part["end_min"])
    assert plan_frame(solution)["slot_id"].tolist() == table["slot_id"].tolist()
    assert len(places) == len(boards)


def test_products_are_ordered_by_share_of_demand():
    solution, _ = common(demand_share=np.linspace(0.5, 1.0, 12))
    frame = product_frame(solution)
    assert frame["share"].is_monotonic_increasing
    np.testing.assert_allclose(frame["share"] * frame["demand"], frame["achieved"])
    assert (frame["attainable"] >= frame["achieved"]).all()


def test_places_take_integer_ids_and_coordinates_of_the_slots():
    solution, boards = common(located=True)
    own = place_frame(solution)
    used = boards[boards["board_id"].isin(solution.problem.influence.slots["board_id"])]
    pd.testing.assert_frame_equal(
        own[["lat", "lon"]], used[["lat", "lon"]].reset_index(drop=True), check_exact=False
    )
    numbered = boards.assign(board_id=range(len(boards)))
    assert set(place_frame(solution, numbered)["board_id"]) == set("0123456")


def test_no_coordinates_no_places():
    solution, boards = common()
    assert place_frame(solution) is None
    with pytest.raises(InputError, match="coordinates of the boards"):
        map_figure(solution)
    with pytest.raises(InputError, match="column lon"):
        map_figure(solution, billboards=boards.drop(columns="lon"))
    with pytest.raises(InputError, match="table checkins, column lat"):
        map_figure(solution, pd.DataFrame({"lon": [1.0]}), boards)


# The page


@pytest.mark.parametrize(
    "make",
    [common, budgeted, infeasible, lambda: common(150), lambda: common(chosen=[], demand_share=0)],
    ids=["common", "budgeted", "infeasible", "many", "empty"],
)
def test_page_is_sound_and_needs_nothing_else(make):
    solution, boards = make()
    text = report_html(solution, checkins=checkins(boards), billboards=boards)
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>")
    assert ("html", "lang", "en") in page.attributes
    assert not {"script", "link", "iframe", "object", "form"} & set(page.tags)
    for _, name, value in page.attributes:
        if name in ("src", "srcset", "href"):
            assert value.startswith("data:")
        assert not name.startswith("on")
    assert "url(" not in text
    assert "@import" not in text
    assert page.tags.count("img") == sum(
        name == "alt" and bool(v) for _, name, v in page.attributes
    )
    for image in page.images:
        for node in image.iter():
            for name, value in node.attrib.items():
                assert not name.endswith("href") or value.startswith(("#", "data:image/png"))
    for table in re.findall(r"<table.*?</table>", text, re.DOTALL):
        assert 'scope="' in table
    assert len(text) < 3_000_000


@pytest.mark.usefixtures("unrendered")
def test_page_holds_the_numbers_of_the_certificate():
    for solution, _ in (common(), budgeted()):
        c = solution.certificate
        text = Page(report_html(solution)).text
        for value in (c.cost, c.value, c.bound, c.rechecked_bound, c.gap):
            assert repr(float(value)) in text
        for achieved in c.achieved:
            assert number(achieved) in text
        for slot in solution.table()["slot_id"]:
            assert slot in text
        assert "jaxcampaign verify DIR" in text


def test_hostile_ids_are_text():
    influence, audiences, boards = city(3, first_product=HOSTILE)
    slots = influence.slots.assign(board_id=HOSTILE)
    influence = replace(influence, slots=slots)
    boards = boards.head(1).assign(board_id=HOSTILE)
    solution = answered(CommonSlots(influence, audiences, None, 0.5), range(N_SLOTS))
    text = report_html(
        solution, billboards=boards, title=HOSTILE, run={HOSTILE: {HOSTILE: HOSTILE}}
    )
    page = Page(text)
    assert "script" not in page.tags
    assert "alert('x')" in page.text
    assert "<script" not in text
    assert all("<script>" in " ".join(drawn_text(image)) for image in page.images[2:4])


def test_markup_escapes_by_default():
    assert (
        element("p", "<b>", Markup("<i></i>"), class_='"')
        == '<p class="&quot;">&lt;b&gt;<i></i></p>'
    )


@pytest.mark.usefixtures("unrendered")
def test_infeasible_page_names_the_reasons():
    solution, _ = infeasible()
    c = solution.certificate
    page = Page(report_html(solution))
    assert len(c.reasons) == 1
    assert "Infeasible: no plan can meet every demand" in page.text
    assert " ".join(c.reasons[0].split()) in page.text
    assert "1 of 3 products asks for more influence" in page.text
    assert "2 of 3 demands met" in page.text
    assert number(c.shortfall.max()) in page.text
    assert "best possible" not in page.text


@pytest.mark.usefixtures("unrendered")
def test_unmet_but_possible_is_not_called_infeasible():
    solution, _ = common(demand_share=1.1)
    assert not solution.certificate.reasons
    text = Page(report_html(solution)).text
    assert "Infeasible" not in text
    assert "another solver or more time" in text


@pytest.mark.usefixtures("unrendered")
def test_broken_limit_is_named():
    solution, _ = budgeted(chosen=range(9))
    text = Page(report_html(solution)).text
    assert "Limit max_slots is broken: 9 where" in text


@pytest.mark.usefixtures("unrendered")
def test_no_map_without_coordinates():
    solution, boards = common()
    without, having = Page(report_html(solution)), Page(report_html(solution, billboards=boards))
    assert "There is no map" in without.text
    assert "There is no map" not in having.text
    assert having.tags.count("img") == without.tags.count("img") + 1


@pytest.mark.usefixtures("unrendered")
def test_boards_without_coordinates_are_counted():
    solution, boards = common()
    text = Page(report_html(solution, billboards=boards.iloc[1:])).text
    assert "1 chosen board without coordinates cannot be shown" in text


@pytest.mark.usefixtures("unrendered")
def test_long_plans_are_cut_and_say_so(monkeypatch):
    monkeypatch.setattr("jaxcampaign.report.sections.MAX_ROWS", 5)
    solution, _ = common()
    text = Page(report_html(solution)).text
    assert "The 5 most expensive of 20 slots." in text
    assert "selection.csv has every slot" in text
    assert solution.table()["slot_id"][5] not in text


@pytest.mark.usefixtures("unrendered")
def test_page_tells_how_it_was_computed():
    solution, _ = common()
    solution = replace(solution, statistics={"chosen_because": "it is small", "seconds": 1.25})
    run = {"seed": 7, "versions": {"jax": "0.10.2"}, "device": "cpu", "nothing": None}
    run |= {"statistics": solution.statistics | {"rounds": 3}}
    text = Page(report_html(solution, run=run)).text
    assert "Statistics.rounds 3" in text and "Statistics.seconds" not in text
    for fact in ("it is small", "1.25", "Seed 7", "Versions.jax 0.10.2", "Device cpu", "Chosen()"):
        assert fact in text
    assert "None" not in text


def test_report_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    solution, boards = common()
    path = tmp_path / "report.html"
    write_report(solution, path, billboards=boards, title="First")
    first = path.read_text("utf-8")
    assert first == report_html(solution, billboards=boards, title="First")
    assert os.listdir(tmp_path) == ["report.html"]

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("jaxcampaign.report.blocks.svg", lambda figure: b"<svg></svg>")
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_report(solution, path, title="Second")
    assert path.read_text("utf-8") == first
    assert os.listdir(tmp_path) == ["report.html"]


@pytest.mark.usefixtures("unrendered")
def test_report_of_a_real_answer(tmp_path):
    influence, audiences, boards = city(3)
    problem = CommonSlots(influence, audiences, None, 4.0)
    solution = solve(problem, Greedy())
    write_report(solution, tmp_path / "report.html", billboards=boards)
    text = Page((tmp_path / "report.html").read_text("utf-8")).text
    assert f"No plan can cost less than {floor(solution.certificate.bound)}" in text
    assert "recomputes it from the input tables" in text
