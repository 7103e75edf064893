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

_DENSITY = LinearSegmentedColormap.from_list("density", ["#eef2f5", "#c9d3dc", "#8296a9"])
_MAX_VECTOR_MARKS = 500
_LABELS = 5
_HALO = [patheffects.withStroke(linewidth=2.4, foreground="white")]
_MARGIN_IN = 0.7  # what tick labels take
_LARGEST_MARK = 330.0  # square points
_SMALLEST_MARK = 22.0


class _Layers(NamedTuple):
    """What every panel of the map shows; P places that have boards, E check-ins."""

    plane: LocalPlane
    sites: NDArray  # float64[2, P], km on the plane; the most expensive places first
    names: NDArray  # str[P], one of the boards at each place
    slots: NDArray  # int64[P], bought there
    amount: NDArray  # float64[P], what the size of a mark shows
    measure: str  # "cost" or "slots"
    people: NDArray | None  # float64[2, E], km on the plane

    def area(self, amount):
        """Square points of a mark: in proportion to the amount, above a visible least.

        The more marks there are, the smaller all of them.
        """
        crowd = max(int(np.count_nonzero(self.slots)), 1)
        largest = _LARGEST_MARK * min(max((50 / crowd) ** 0.5, 0.4), 1.0)
        return _SMALLEST_MARK + (largest - _SMALLEST_MARK) * amount / (
            float(self.amount.max()) or 1.0
        )


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
    _labels(panels[-1], layers, whole if detail is None else detail, panel_in)
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
    sites = boards.groupby(["lat", "lon"], sort=True, as_index=False)
    sites = sites.agg(board_id=("board_id", "first"), slots=("slots", "sum"), cost=("cost", "sum"))
    measure = "cost" if boards["cost"].to_numpy().any() else "slots"
    # Large marks are drawn first, so that small ones lie on top.
    sites = sites.sort_values(measure, ascending=False, kind="stable")
    points = None if checkins is None else point_frame(checkins)
    return _Layers(
        plane=plane,
        sites=_projected(plane, sites),
        names=sites["board_id"].to_numpy(dtype=object),
        slots=sites["slots"].to_numpy(),
        amount=sites[measure].to_numpy(np.float64),
        measure=measure,
        people=None if points is None or points.empty else _projected(plane, points),
    )


def _projected(plane: LocalPlane, frame: pd.DataFrame) -> NDArray:
    return np.stack(plane.project(frame["lat"].to_numpy(), frame["lon"].to_numpy()))


def _views(layers: _Layers, width_in: float) -> tuple[Extent, Extent | None]:
    """The whole city, and the close-up where one is worth it."""
    parts = [layers.sites]
    if layers.people is not None:
        # A few check-ins far away must not shrink the city.
        parts.append(np.quantile(layers.people, [0.02, 0.98], axis=1).T)
    everything = np.concatenate(parts, axis=1)
    square = extent_of(everything, ratio=(1.0, 1.0))
    detail = close_up(np.repeat(layers.sites, layers.slots, axis=1), square)
    if detail is not None:
        return square, detail
    # A wide map must not be higher than a screen.
    return extent_of(everything, ratio=(0.5, 0.75 if width_in > NARROW_IN else 1.2)), None


def _panel(axes: Axes, layers: _Layers, view: Extent, panel_in: float) -> None:
    axes.set(xlim=(view.left, view.right), ylim=(view.bottom, view.top), aspect="equal")
    if layers.people is not None:
        _density(axes, layers.people, view, cells=int(panel_in * 12))
    _marks(axes, layers)
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


def _marks(axes: Axes, layers: _Layers) -> None:
    axes.scatter(
        layers.sites[0],
        layers.sites[1],
        s=9,
        facecolors="white",
        edgecolors=MUTED,
        linewidths=0.6,
        zorder=2,
        rasterized=len(layers.slots) > _MAX_VECTOR_MARKS,
    )
    chosen = layers.slots > 0
    axes.scatter(
        layers.sites[0, chosen],
        layers.sites[1, chosen],
        s=layers.area(layers.amount[chosen]),
        facecolors=PLAN,
        edgecolors="white",
        linewidths=0.8,
        alpha=0.88,
        zorder=3,
        rasterized=bool(chosen.sum() > _MAX_VECTOR_MARKS),
    )


def _labels(axes: Axes, layers: _Layers, view: Extent, panel_in: float) -> None:
    """Boards with the largest marks; labels that would run into a larger one's are left out."""
    largest = np.flatnonzero((layers.slots > 0) & view.contains(layers.sites))[:_LABELS]
    places = layers.sites[:, largest].T
    inch = view.width / panel_in
    gaps = np.abs(places[:, None] - places[None]) < [0.8 * inch, 0.2 * inch]
    crowded = np.tril(gaps.all(axis=2), -1).any(axis=1)
    rise = np.sqrt(layers.area(layers.amount[largest])) / 2 + 1
    for i in np.flatnonzero(~crowded):
        axes.annotate(
            shortened(str(layers.names[largest[i]]), 18),
            (places[i, 0], places[i, 1]),
            xytext=(0, rise[i]),
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
    most = float(layers.amount.max())
    keys: list[Line2D | Patch] = []
    if most > 0:
        word = "spent here" if layers.measure == "cost" else "slots here"
        large = nice_below(most)
        keys += [
            _mark(f"{number(amount)} {word}", layers.area(amount), PLAN, "white")
            for amount in (large, nice_below(large / 4))
            if layers.measure == "cost" or amount >= 1
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
    slots = boards["slots"].to_numpy()
    bought, used = counted(int(slots.sum()), "slot"), np.count_nonzero(slots)
    return f"{bought} on {used:,} of {counted(len(boards), 'board')}; north is up"
