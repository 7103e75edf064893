"""Charts of a solution: demand met per product, value against the bound, slots by hour."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from jaxcampaign.report.bars import bound_bar
from jaxcampaign.report.design import (
    INK,
    LACK,
    MIDDLE,
    MUTED,
    NARROW_IN,
    PLAN,
    QUIET,
    WIDE_IN,
    bare,
    new_figure,
    shortened,
    styled,
)
from jaxcampaign.report.frames import hour_frame, product_frame
from jaxcampaign.report.wording import (
    bound_title,
    counted,
    influence_unit,
    number,
    percent,
)
from jaxcampaign.solvers import Solution

# More products than this are drawn as one sorted strip, and only the tightest are named.
_MAX_BARS = 30
_NAMED = 5
# Shares of demand beyond this are cut off: what matters is close to 100 %.
_MAX_SHARE = 2.5
_SHARE_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 1.5, 2, 5, 10, 20, 50, 100, 1e3, 1e4, 1e5)
# Above this the white gaps between the bars of a strip would hide the bars.
_BARS_PER_INCH = 20
_ROUND_STEPS = (1, 2, 5, 10)
_BAR_IN = 0.27


@styled
def demand_figure(solution: Solution, *, width_in: float = WIDE_IN) -> Figure:
    """How much influence each product gets: against its demand where demands are asked.

    Up to 30 products have a named bar each; more become one strip in order of size, in which the
    extremes are named. What is lacking is set in a warning colour.

    Args:
      solution: the plan.
      width_in: width in inches.
    """
    frame = product_frame(solution)
    if solution.problem.sense == "max":
        return _influence_figure(solution, frame, width_in)
    asked = frame.loc[frame["demand"] > 0]
    lacking = np.count_nonzero(asked["shortfall"])
    title = f"{len(asked) - lacking:,} of {counted(len(asked), 'demand')} met"
    if len(asked) < len(frame):
        title += f" ({counted(len(frame) - len(asked), 'product')} without a demand not shown)"
    if len(asked) > _MAX_BARS:
        return _share_strip(asked, title, width_in)
    return _share_bars(asked, title, width_in)


def bound_figure(solution: Solution, *, width_in: float = WIDE_IN) -> Figure:
    """The plan's cost or influence against what is proven of every plan, drawn from zero.

    Args:
      solution: the plan.
      width_in: width in inches.
    """
    unit = "cost" if solution.problem.sense == "min" else influence_unit(solution)
    return bound_bar(solution.certificate, bound_title(solution), unit, width_in=width_in)


@styled
def hours_figure(solution: Solution, *, width_in: float = WIDE_IN) -> Figure:
    """Slots bought and money spent in each hour of the day, by start of the slot.

    Args:
      solution: the plan.
      width_in: width in inches.
    """
    frame = hour_frame(solution)
    figure = new_figure(width_in, 2.9, _hours_title(frame))
    panels = figure.subplots(2, 1, sharex=True)
    _hour_bars(panels[0], frame["slots"].to_numpy(), "slots", PLAN)
    _hour_bars(panels[1], frame["cost"].to_numpy(), "cost", MIDDLE)
    panels[0].yaxis.get_major_locator().set_params(integer=True)
    step = 3 if width_in > NARROW_IN else 6
    hours = np.arange(0, 25, step)
    panels[1].set(xlim=(-0.2, 24.2), xticks=hours, xlabel="hour of the day, by start of the slot")
    panels[1].set_xticklabels([f"{hour:02d}:00" for hour in hours])
    return figure


def _share_bars(frame: pd.DataFrame, title: str, width_in: float) -> Figure:
    figure = new_figure(width_in, 0.75 + _BAR_IN * max(len(frame), 1), title)
    axes = figure.subplots()
    share = frame["share"].to_numpy()
    limit = min(max(share.max(initial=1.0), 1.0) * 1.04, _MAX_SHARE)
    lacking = (frame["shortfall"] > 0).to_numpy()
    rows = np.arange(len(frame))
    axes.barh(rows, np.ones(len(frame)), height=0.66, color=QUIET)
    axes.barh(rows, np.minimum(share, limit), height=0.66, color=np.where(lacking, LACK, PLAN))
    axes.axvline(1.0, color=INK, linewidth=1.2)
    for row in np.flatnonzero(share > limit):
        axes.annotate("›  ", (limit, row), ha="right", va="center", color="white", fontsize=12)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("influence reached, as a share of the product's demand")
    parts = zip(frame["achieved"], frame["demand"], frame["share"], strict=True)
    notes = [f"{number(a)} of {number(d)}  ({percent(s)})" for a, d, s in parts]
    _name_bars(axes, frame["product_id"], notes, limit, width_in, lacking)
    return figure


def _influence_figure(solution: Solution, frame: pd.DataFrame, width_in: float) -> Figure:
    achieved, attainable = frame["achieved"].to_numpy(), frame["attainable"].to_numpy()
    title = f"Influence of {number(achieved.sum())} on {counted(len(frame), 'product')}"
    if len(frame) > _MAX_BARS:
        return _influence_strip(frame, title, width_in)
    figure = new_figure(width_in, 0.95 + _BAR_IN * max(len(frame), 1), title)
    axes = figure.subplots()
    rows = np.arange(len(frame))
    axes.barh(rows, attainable, height=0.66, color=QUIET, label="if every slot was bought")
    axes.barh(rows, achieved, height=0.66, color=PLAN, label="this plan")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x)))
    axes.set_xlabel("expected people influenced")
    limit = float(attainable.max(initial=0.0)) * 1.02 or 1.0
    notes = [f"{number(a)} of {number(b)}" for a, b in zip(achieved, attainable, strict=True)]
    _name_bars(axes, frame["product_id"], notes, limit, width_in, np.zeros(len(frame), bool))
    figure.legend(loc="outside lower left", ncols=2, handlelength=1.2, reverse=True)
    return figure


def _name_bars(axes: Axes, names, notes, limit: float, width_in: float, lacking) -> None:
    bare(axes)
    letters = 26 if width_in > NARROW_IN else 14
    axes.set_yticks(np.arange(len(notes)), [shortened(name, letters) for name in names])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set(xlim=(0, limit), ylim=(len(notes) - 0.45, -0.55))
    axes.xaxis.set_major_locator(MaxNLocator(5 if width_in > NARROW_IN else 3, steps=_ROUND_STEPS))
    for row, (note, short) in enumerate(zip(notes, lacking, strict=True)):
        if width_in <= NARROW_IN:
            note = note.split("  ")[0]
        axes.annotate(
            note,
            (1, row),
            xytext=(6, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            color=LACK if short else MUTED,
            fontweight="bold" if short else "normal",
        )


def _share_strip(frame: pd.DataFrame, title: str, width_in: float) -> Figure:
    share = frame["share"].to_numpy()
    lacking = (frame["shortfall"] > 0).to_numpy()
    heading = "Furthest below their demand" if lacking.any() else "Closest to their demand"
    values = [percent(value) for value in share[:_NAMED]]
    note = _first_few(heading, frame["product_id"], values, width_in)
    low, high = _share_limits(share)
    color = LACK if lacking.any() else MUTED
    figure = _strip(np.maximum(share, low), lacking, 1.0, title, note, color, width_in)
    axes = figure.axes[0]
    axes.set(yscale="log", ylim=(low, high), ylabel="share of demand")
    axes.axhline(1.0, color=INK, linewidth=1.2)
    ticks = [step for step in _SHARE_TICKS if low <= step <= high]
    axes.set_yticks(ticks, [f"{100 * step:,g} %" for step in ticks])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(f"{counted(len(frame), 'product')}, the tightest first")
    return figure


def _share_limits(share: np.ndarray) -> tuple[float, float]:
    """Limits of a logarithmic axis that shows 100 % and all shares down to the lowest tick."""
    low = max(min(float(share.min()), 1.0) / 1.05, _SHARE_TICKS[0])
    return min(low, 0.97), max(float(share.max()) * 1.08, 2.0)


def _influence_strip(frame: pd.DataFrame, title: str, width_in: float) -> Figure:
    achieved = frame["achieved"].to_numpy()
    values = [number(value) for value in achieved[:_NAMED]]
    note = _first_few("Most influence", frame["product_id"], values, width_in)
    none = np.zeros(len(frame), bool)
    figure = _strip(achieved, none, 0.0, title, note, MUTED, width_in)
    axes = figure.axes[0]
    axes.set(ylim=(0, achieved.max() * 1.04 or 1.0), ylabel="expected people influenced")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x)))
    axes.set_xlabel(f"{counted(len(frame), 'product')}, the most influence first")
    return figure


def _strip(
    heights: np.ndarray,
    lacking: np.ndarray,
    baseline: float,
    title: str,
    note: str,
    note_color: str,
    width_in: float,
) -> Figure:
    """Bars side by side as two outlines, however many they are, below a note."""
    figure = new_figure(width_in, 2.6 + 0.18 * (1 + note.count("\n")), title)
    axes = figure.subplots()
    bare(axes, keep=("left",))
    axes.set_title(note, loc="left", fontsize=9, color=note_color)
    edges = np.arange(len(heights) + 1)
    for part, color in ((~lacking, PLAN), (lacking, LACK)):
        tops = np.where(part, heights, baseline)
        axes.stairs(tops, edges, baseline=baseline, fill=True, color=color, linewidth=0)
    if len(heights) <= _BARS_PER_INCH * width_in:
        axes.vlines(edges, 0, 1, transform=axes.get_xaxis_transform(), color="white", linewidth=0.8)
    axes.set(xlim=(0, len(heights)), xticks=[])
    return figure


def _first_few(heading: str, names, values: list[str], width_in: float) -> str:
    """The first few names with their values, wrapped to the width."""
    letters = 30 if width_in > NARROW_IN else 16
    parts = [f"{shortened(name, letters)} ({v})" for name, v in zip(names, values, strict=False)]
    # A name and its value stay on one line.
    whole = [part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts]
    lines = textwrap.fill(f"{heading}: {', '.join(whole)}", int((width_in - 0.8) * 12))
    return lines.replace("\N{NO-BREAK SPACE}", " ")


def _hour_bars(axes: Axes, heights: np.ndarray, label: str, color: str) -> None:
    bare(axes)
    axes.bar(np.arange(24) + 0.5, heights, width=0.8, color=color)
    axes.set_ylabel(label)
    axes.set_ylim(0, heights.max() * 1.08 or 1.0)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=_ROUND_STEPS))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: number(y)))
    axes.grid(axis="y", color=QUIET, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)


def _hours_title(frame: pd.DataFrame) -> str:
    slots = frame["slots"].to_numpy()
    if not slots.any():
        return "No slot is bought"
    hour = int(np.argmax(slots))
    return (
        f"Busiest hour: {hour:02d}:00 to {hour + 1:02d}:00 with {slots[hour]:,} of "
        f"{counted(int(slots.sum()), 'slot')}"
    )
