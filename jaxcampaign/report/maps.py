"""The map of a plan: chosen boards over the places where people are."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from jaxcampaign.errors import InputError
from jaxcampaign.report.design import (
    INK,
    MUTED,
    NARROW_IN,
    PLAN,
    RULE,
    WIDE_IN,
    new_figure,
    nice_below,
    shortened,
    styled,
)
from jaxcampaign.report.frames import place_frame, point_frame
from jaxcampaign.report.geography import Extent, LocalPlane, close_up, extent_of
from jaxcampaign.report.wording import counted, number
from jaxcampaign.solvers import Solution

_DENSITY = LinearSegmentedColormap.from_list("density", ["#eef2f5", "#c9d3dc", "#8d9fb0"])
_MAX_VECTOR_MARKS = 2_000
_LABELS = 5
_HALO = [patheffects.withStroke(linewidth=2.4, foreground="white")]
_MARGIN_IN = 0.7  # what tick labels take
_LARGEST_MARK = 330.0  # square points
_SMALLEST_MARK = 26.0


class _Layers(NamedTuple):
    """What every panel of the map shows, in km on the plane."""

    plane: LocalPlane
    sites: pd.DataFrame  # x, y, board_id, slots, cost, amount; one row per place
    people: NDArray | None  # float64[2, E]


@styled
def map_figure(
    solution: Solution,
    checkins: pd.DataFrame | None = None,
    billboards: pd.DataFrame | None = None,
    *,
    width_in: float = WIDE_IN,
) -> Figure:
    """Chosen boards over the check-ins: the larger the mark, the more is spent there.

    True to scale, north is up. Boards at the same coordinates are one mark. Without any cost the
    marks show numbers of slots. Where most of the plan lies in a small part of the city, that part
    has a panel of its own.

    Args:
      solution: the plan.
      checkins: table with lat and lon, drawn as a density with a logarithmic scale; optional.
      billboards: table board_id, lat, lon; without it, columns lat and lon of the slots are used.
      width_in: width in inches.

    Raises:
      InputError: no coordinates of the boards, or a table without its columns.
    """
    boards = place_frame(solution, billboards)
    if boards is None:
        raise InputError(
            "a map needs the coordinates of the boards",
            table="billboards",
            remedy="pass billboards with columns board_id, lat, lon",
        )
    layers = _layers(boards, checkins)
    whole, detail = _views(layers, width_in)
    shape = (1, 1) if detail is None else (1, 2) if width_in > NARROW_IN else (2, 1)
    panel_in = width_in / shape[1] - _MARGIN_IN
    height_in = shape[0] * (panel_in * whole.height / whole.width + 0.3)
    legend_in = 0.3 if width_in > NARROW_IN else 0.75
    figure = new_figure(width_in, height_in + legend_in, _title(boards))
    panels = figure.subplots(*shape, squeeze=False).ravel()
    _panel(panels[0], layers, whole, panel_in)
    if detail is not None:
        _panel(panels[1], layers, detail, panel_in)
        corner, size = (detail.left, detail.bottom), (detail.width, detail.height)
        panels[0].add_patch(Rectangle(corner, *size, fill=False, edgecolor=INK, zorder=4))
    _labels(panels[-1], layers.sites, panel_in)
    figure.legend(
        handles=_keys(layers),
        loc="outside lower center",
        ncols=6 if width_in > NARROW_IN else 2,
        columnspacing=1.6,
        handletextpad=0.5,
    )
    return figure


def _layers(boards: pd.DataFrame, checkins: pd.DataFrame | None) -> _Layers:
    plane = LocalPlane.around(boards["lat"].to_numpy(), boards["lon"].to_numpy())
    totals = boards.groupby(["lat", "lon"], sort=True).agg(
        board_id=("board_id", "first"), slots=("slots", "sum"), cost=("cost", "sum")
    )
    sites = totals.reset_index()
    sites["x"], sites["y"] = plane.project(sites["lat"].to_numpy(), sites["lon"].to_numpy())
    sites["amount"] = sites["cost" if sites["cost"].sum() > 0 else "slots"].astype("float64")
    # Large marks are drawn first, so that small ones lie on top.
    sites = sites.sort_values("amount", ascending=False, kind="stable", ignore_index=True)
    points = None if checkins is None else point_frame(checkins)
    if points is None or points.empty:
        return _Layers(plane, sites, None)
    people = np.stack(plane.project(points["lat"].to_numpy(), points["lon"].to_numpy()))
    return _Layers(plane, sites, people)


def _views(layers: _Layers, width_in: float) -> tuple[Extent, Extent | None]:
    """The whole city, and the close-up where one is worth it."""
    sites = layers.sites
    parts = [sites[["x", "y"]].to_numpy().T]
    if layers.people is not None:
        # A few check-ins far away must not shrink the city.
        parts.append(np.quantile(layers.people, [0.02, 0.98], axis=1).T)
    everything = np.concatenate(parts, axis=1)
    square = extent_of(everything, ratio=1.0)
    detail = close_up(np.repeat(parts[0], sites["slots"], axis=1), square)
    if detail is not None:
        return square, detail
    return extent_of(everything, ratio=0.7 if width_in > NARROW_IN else 1.1), None


def _panel(axes: Axes, layers: _Layers, view: Extent, panel_in: float) -> None:
    axes.set(xlim=(view.left, view.right), ylim=(view.bottom, view.top), aspect="equal")
    if layers.people is not None:
        _density(axes, layers.people, view, cells=int(panel_in * 12))
    _marks(axes, layers.sites)
    _degrees(axes, layers.plane, view, panel_in)
    _scale_bar(axes, view)


def _density(axes: Axes, people: NDArray, view: Extent, cells: int) -> None:
    x, y = people[:, view.contains(people)]
    if not x.size:
        return
    rows = max(round(cells * view.height / view.width / math.sqrt(3)), 1)
    hexagons = axes.hexbin(
        x,
        y,
        gridsize=(cells, rows),
        extent=(view.left, view.right, view.bottom, view.top),
        mincnt=1,
        cmap=_DENSITY,
        linewidths=0.2,
        edgecolors="face",
        rasterized=True,
        zorder=1,
    )
    counts = np.asarray(hexagons.get_array())
    hexagons.set_norm(LogNorm(counts.min(), max(counts.max(), counts.min() + 1)))


def _marks(axes: Axes, sites: pd.DataFrame) -> None:
    axes.scatter(
        sites["x"],
        sites["y"],
        s=9,
        facecolors="white",
        edgecolors=MUTED,
        linewidths=0.6,
        zorder=2,
        rasterized=len(sites) > _MAX_VECTOR_MARKS,
    )
    chosen = sites[sites["slots"] > 0]
    axes.scatter(
        chosen["x"],
        chosen["y"],
        s=_area(chosen["amount"], sites["amount"].max()),
        facecolors=PLAN,
        edgecolors="white",
        linewidths=0.8,
        alpha=0.88,
        zorder=3,
        rasterized=len(chosen) > _MAX_VECTOR_MARKS,
    )


def _area(amount, most: float):
    """Square points of a mark: in proportion to the amount, above a visible least."""
    return _SMALLEST_MARK + (_LARGEST_MARK - _SMALLEST_MARK) * amount / (most or 1.0)


def _labels(axes: Axes, sites: pd.DataFrame, panel_in: float) -> None:
    """Boards with the largest marks; labels that would run into a larger one's are left out."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    shown = sites["x"].between(left, right) & sites["y"].between(bottom, top)
    largest = sites[(sites["slots"] > 0) & shown].head(_LABELS)
    places = largest[["x", "y"]].to_numpy()
    inch = (right - left) / panel_in
    gaps = np.abs(places[:, None] - places[None]) < [0.8 * inch, 0.2 * inch]
    free = ~np.tril(gaps.all(axis=2), -1).any(axis=1)
    radius = np.sqrt(_area(largest["amount"].to_numpy(), sites["amount"].max())) / 2
    for name, place, rise in zip(
        largest["board_id"].to_numpy()[free], places[free], radius[free], strict=True
    ):
        axes.annotate(
            shortened(str(name), 18),
            place,
            xytext=(0, rise + 1),
            textcoords="offset points",
            ha="center",
            fontsize=8.5,
            fontweight="bold",
            path_effects=_HALO,
            zorder=5,
            clip_on=True,
        )


def _degrees(axes: Axes, plane: LocalPlane, view: Extent, panel_in: float) -> None:
    """A few ticks in degrees, so that the place can be found on other maps."""
    few = 4 if panel_in > 5 else 2
    south, west = plane.degrees(view.left, view.bottom)
    north, east = plane.degrees(view.right, view.top)
    lon, lat = _round_between(west, east, few), _round_between(south, north, few)
    x, y = plane.project(np.full_like(lon, plane.lat), lon)[0], plane.project(lat, plane.lon)[1]
    axes.set_xticks(x, _bearings(lon, "E", "W"))
    axes.set_yticks(y, _bearings(lat, "N", "S"))
    axes.tick_params(labelsize=8, color=RULE)
    for spine in axes.spines.values():
        spine.set_color(RULE)


def _round_between(low: float, high: float, wanted: int) -> NDArray:
    step = nice_below((high - low) / wanted)
    return np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step


def _bearings(degrees: NDArray, positive: str, negative: str) -> list[str]:
    """Texts with as many decimals as the ticks are apart."""
    step = float(np.diff(degrees)[0]) if len(degrees) > 1 else 0.01
    decimals = max(math.ceil(-math.log10(step) - 1e-9), 0)
    wrapped = (degrees + 180) % 360 - 180
    return [f"{abs(d):.{decimals}f}° {positive if d >= 0 else negative}" for d in wrapped]


def _scale_bar(axes: Axes, view: Extent) -> None:
    length = nice_below(view.width / 5)
    x, y = view.left + 0.04 * view.width, view.bottom + 0.05 * view.height
    axes.plot([x, x + length], [y, y], color=INK, linewidth=2.2, path_effects=_HALO, zorder=6)
    axes.annotate(
        f"{length:g} km" if length >= 1 else f"{1000 * length:g} m",
        (x, y),
        xytext=(0, 4),
        textcoords="offset points",
        fontsize=8.5,
        path_effects=_HALO,
        zorder=6,
    )


def _keys(layers: _Layers) -> list[Line2D | Patch]:
    sites = layers.sites
    most = float(sites["amount"].max())
    keys: list[Line2D | Patch] = []
    if most > 0:
        word = "spent here" if sites["cost"].sum() > 0 else "slots here"
        large = nice_below(most)
        keys += [
            _mark(f"{number(amount)} {word}", _area(amount, most), PLAN, "white")
            for amount in (large, large / 10)
            if word == "spent here" or amount >= 1
        ]
    keys.append(_mark("board not chosen", 9, "white", MUTED))
    if layers.people is not None:
        keys.append(Patch(color=_DENSITY(0.7), label="check-ins, darker: more"))
    return keys


def _mark(label: str, area: float, face: str, edge: str) -> Line2D:
    return Line2D(
        [],
        [],
        label=label,
        marker="o",
        linestyle="none",
        markersize=math.sqrt(area),
        markerfacecolor=face,
        markeredgecolor=edge,
    )


def _title(boards: pd.DataFrame) -> str:
    slots, used = boards["slots"].sum(), np.count_nonzero(boards["slots"])
    return f"{counted(slots, 'slot')} on {used:,} of {counted(len(boards), 'board')}; north is up"
