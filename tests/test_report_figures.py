"""Figures of plans of slots: they draw what the frames hold, true to scale."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from report_cases import HOSTILE, N_SLOTS, budgeted, checkins, common, drawn_text, infeasible

from jaxcampaign.influence.geodesy import great_circle_m
from jaxcampaign.report import (
    bound_figure,
    demand_figure,
    hours_figure,
    map_figure,
    place_frame,
    product_frame,
)
from jaxcampaign.report.design import LACK, NARROW_IN, PLAN, WIDE_IN, svg
from jaxcampaign.report.geography import LocalPlane, close_up, extent_of

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
