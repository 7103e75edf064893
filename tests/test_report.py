"""The report: what it says is what is true, and the page is sound HTML that needs nothing else."""

import base64
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser

import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex

from jaxcampaign.certificate import certify
from jaxcampaign.errors import InputError
from jaxcampaign.influence.geodesy import great_circle_m
from jaxcampaign.influence.matrix import Influence
from jaxcampaign.problems import BudgetedSlots, CommonSlots
from jaxcampaign.report import (
    board_frame,
    bound_figure,
    demand_figure,
    hour_frame,
    hours_figure,
    map_figure,
    place_frame,
    plan_frame,
    product_frame,
    report_html,
    write_report,
)
from jaxcampaign.report.design import LACK, NARROW_IN, PLAN, WIDE_IN, svg
from jaxcampaign.report.geography import LocalPlane, close_up, extent_of
from jaxcampaign.report.markup import Markup, element
from jaxcampaign.report.wording import answer, ceiling, clock, floor, number, percent
from jaxcampaign.solvers import Greedy, Solution, solve

N_SLOTS, N_USERS, N_BOARDS = 40, 60, 7
HOSTILE = "<script>alert('x')</script>\" onerror=1 $\\frac{1$ & 咖啡\x0b"


def city(n_products, *, seed=0, first_product=None, located=False):
    """Influence, audiences and boards of a small seeded city."""
    rng = np.random.default_rng(seed)
    board = rng.integers(0, N_BOARDS, N_SLOTS)
    start = rng.integers(0, 96, N_SLOTS) * 15
    boards = pd.DataFrame(
        {
            "board_id": [f"b{i}" for i in range(N_BOARDS)],
            "lat": 40.7 + 0.02 * rng.standard_normal(N_BOARDS),
            "lon": -74.0 + 0.02 * rng.standard_normal(N_BOARDS),
        }
    )
    slots = pd.DataFrame(
        {
            "slot_id": [f"s{i:03d}" for i in range(N_SLOTS)],
            "board_id": boards["board_id"].to_numpy()[board],
            "start_min": start,
            "end_min": start + 15,
            "cost": rng.integers(10, 400, N_SLOTS) / 8,
        }
    )
    if located:
        slots = slots.assign(lat=boards["lat"].to_numpy()[board], lon=boards["lon"][board].values)
    slot, user = np.divmod(np.arange(N_SLOTS * N_USERS), N_USERS)
    prob = np.where(rng.random(slot.size) < 0.15, rng.uniform(0.05, 0.6, slot.size), 0.0)
    influence = Influence.from_arrays(slot, user, prob, slots, np.arange(N_USERS).astype(str))
    names = [f"product {j:03d}" for j in range(n_products)]
    names[0] = first_product or names[0]
    interested = rng.random((n_products, N_USERS)) < 0.5
    product, member = np.nonzero(interested | (np.arange(N_USERS) == 0))
    audiences = pd.DataFrame(
        {"product_id": np.array(names, object)[product], "user_id": member.astype(str)}
    )
    return influence, audiences, boards


def answered(problem, chosen, *, solver_bound=None, status=None):
    """A solution with the given slots, certified but not searched for."""
    selection = np.zeros(problem.n_items, bool)
    selection[chosen] = True
    certificate = certify(problem, selection, solver_bound=solver_bound)
    status = status or ("feasible" if certificate.feasible else "infeasible")
    return Solution(problem, selection, certificate, None, status, "Chosen()", {"seconds": 1.5})


def common(n_products=12, *, chosen=range(0, N_SLOTS, 2), demand_share=0.9, **kwargs):
    """A plan for the common problem; demands are a share of what it reaches."""
    influence, audiences, boards = city(n_products, **kwargs)
    reached = answered(CommonSlots(influence, audiences, None, 0.0), chosen).certificate
    demand = dict(zip(reached.product_ids, demand_share * reached.achieved, strict=True))
    problem = CommonSlots(influence, audiences, None, demand)
    return answered(problem, chosen, solver_bound=0.8 * reached.cost), boards


def budgeted(n_products=12, *, chosen=range(5), **kwargs):
    """A plan for the budgeted problem."""
    influence, audiences, boards = city(n_products, **kwargs)
    problem = BudgetedSlots(influence, audiences, None, budget=600, max_slots=8)
    return answered(problem, chosen), boards


def infeasible():
    """One product of three asks for more than there is."""
    influence, audiences, boards = city(3, first_product=HOSTILE)
    reached = answered(CommonSlots(influence, audiences, None, 0.0), range(N_SLOTS)).certificate
    demand = dict(zip(reached.product_ids, reached.achieved * 0.5, strict=True))
    demand[HOSTILE] *= 3
    return answered(CommonSlots(influence, audiences, None, demand), range(N_SLOTS)), boards


def checkins(boards, n=500, seed=1):
    rng = np.random.default_rng(seed)
    board = rng.integers(0, len(boards), n)
    return pd.DataFrame(
        {
            "lat": boards["lat"].to_numpy()[board] + 0.01 * rng.standard_normal(n),
            "lon": boards["lon"].to_numpy()[board] + 0.01 * rng.standard_normal(n),
        }
    )


@pytest.fixture
def unrendered(monkeypatch):
    """Pages with empty images, which is quick: for what is said, not drawn."""
    monkeypatch.setattr("jaxcampaign.report.blocks.svg", lambda figure: b"<svg></svg>")


class Page(HTMLParser):
    """Parses a page strictly: every element is closed, in order."""

    void = frozenset({"img", "meta", "source", "br"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def images(self):
        links = [value for _, name, value in self.attributes if name in ("src", "srcset")]
        return [ET.fromstring(base64.b64decode(link.split(",")[1])) for link in links]


def drawn_text(image):
    return [node.text for node in image.iter("{http://www.w3.org/2000/svg}text")]


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


# Geography


def test_projection_is_true_to_scale_and_crosses_the_date_line():
    lat = np.array([-17.8, -17.7, -17.9, -17.75])
    lon = np.array([179.95, -179.95, 179.9, -179.9])
    x, y = LocalPlane.around(lat, lon).project(lat, lon)
    flat = 1000 * np.hypot(x[:, None] - x, y[:, None] - y)
    globe = great_circle_m(lat[:, None], lon[:, None], lat, lon)
    np.testing.assert_allclose(flat, globe, rtol=2e-3, atol=1.0)


def test_projection_inverts():
    plane = LocalPlane(40.7, -74.0)
    x, y = plane.project(40.8, -73.9)
    np.testing.assert_allclose(plane.degrees(float(x), float(y)), (40.8, -73.9))


def test_close_up_only_where_the_plan_is_in_a_corner():
    rng = np.random.default_rng(0)
    whole = extent_of(rng.uniform(0, 50, (2, 300)), ratio=(1.0, 1.0))
    cluster = rng.uniform(10, 14, (2, 90))
    few_afar = np.concatenate([cluster, rng.uniform(0, 50, (2, 10))], axis=1)
    view = close_up(few_afar, whole)
    assert view is not None
    assert view.contains(cluster).mean() > 0.8
    assert view.width < 0.2 * whole.width
    assert close_up(rng.uniform(0, 50, (2, 100)), whole) is None
    assert close_up(cluster[:, :1], whole) is None


# Figures


@pytest.mark.parametrize(
    ("ask", "n_products", "chosen", "width_in"),
    [
        (common, 1, [], WIDE_IN),
        (common, 12, [3], WIDE_IN),
        (common, 150, range(0, N_SLOTS, 2), NARROW_IN),
        (budgeted, 1, [3], NARROW_IN),
        (budgeted, 12, range(8), NARROW_IN),
        (budgeted, 150, [], WIDE_IN),
    ],
)
def test_every_figure_draws(ask, n_products, chosen, width_in):
    solution, boards = ask(n_products, chosen=chosen, first_product=HOSTILE)
    figures = [
        map_figure(solution, checkins(boards), boards, width_in=width_in),
        demand_figure(solution, width_in=width_in),
        bound_figure(solution, width_in=width_in),
        hours_figure(solution, width_in=width_in),
    ]
    for figure in figures:
        image = svg(figure)
        assert drawn_text(ET.fromstring(image))


def test_bars_show_the_shares_and_lacking_ones_are_marked():
    solution, _ = infeasible()
    axes = demand_figure(solution).axes[0]
    frame = product_frame(solution)
    bars = axes.containers[1]
    np.testing.assert_allclose([bar.get_width() for bar in bars], frame["share"])
    colors = [to_hex(bar.get_facecolor()) for bar in bars]
    assert colors == [LACK if short else PLAN for short in frame["shortfall"] > 0]
    assert sum(c == LACK for c in colors) == 1


def test_strip_shows_every_product_in_order():
    solution, _ = common(150, demand_share=np.linspace(0.8, 1.2, 150))
    figure = demand_figure(solution)
    met, lacking = (patch.get_data().values for patch in figure.axes[0].patches)
    share = product_frame(solution)["share"].to_numpy()
    np.testing.assert_allclose(np.where(share < 1, lacking, met), share)
    assert (np.where(share < 1, met, lacking) == 1).all()
    tightest = product_frame(solution)["product_id"][0]
    assert tightest in figure.axes[0].get_title(loc="left")


def test_bound_is_drawn_from_zero_to_scale():
    solution, _ = common()
    c = solution.certificate
    axes = bound_figure(solution).axes[0]
    low, rest = (bar[0] for bar in axes.containers)
    assert (low.get_x(), low.get_width()) == (0, pytest.approx(c.bound))
    assert rest.get_x() + rest.get_width() == pytest.approx(c.cost)
    assert axes.get_xlim()[0] == 0


def test_map_marks_the_chosen_places_in_proportion():
    solution, boards = common(chosen=range(0, N_SLOTS, 4))
    axes = map_figure(solution, checkins(boards), boards).axes[-1]
    everything, chosen = (c for c in axes.collections if c.get_zorder() in (2, 3))
    places = place_frame(solution, boards)
    assert len(everything.get_offsets()) == len(boards)
    bought = places[places["slots"] > 0].sort_values("cost", ascending=False)
    x, y = LocalPlane.around(boards["lat"], boards["lon"]).project(bought["lat"], bought["lon"])
    np.testing.assert_allclose(chosen.get_offsets(), np.stack([x, y], axis=1))
    area = chosen.get_sizes()
    np.testing.assert_allclose(
        np.diff(area) / np.diff(bought["cost"]), np.ptp(area) / np.ptp(bought["cost"])
    )
    assert axes.get_aspect() == 1


def test_map_opens_a_close_up_of_a_dense_plan():
    solution, boards = common()
    far = pd.DataFrame({"board_id": ["far", "away"], "lat": [41.7, 39.7], "lon": [-75.0, -73.0]})
    assert len(map_figure(solution, billboards=boards).axes) == 1
    assert len(map_figure(solution, billboards=pd.concat([boards, far])).axes) == 2


def test_figures_leave_matplotlib_as_it_was():
    before = dict(matplotlib.rcParams)
    solution, _ = common()
    svg(demand_figure(solution))
    assert dict(matplotlib.rcParams) == before


def test_no_display_no_pyplot():
    code = (
        "import sys, jaxcampaign.report\n"
        "from jaxcampaign.report.design import new_figure, svg\n"
        "assert svg(new_figure(4, 3, 'title'))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    quiet = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "MPLBACKEND")}
    subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code], check=True, env=quiet)


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
    text = Page(report_html(solution, run=run)).text
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
