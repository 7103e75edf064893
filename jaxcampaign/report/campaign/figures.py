"""Charts of a campaign: money and what it brings by group and by week, value against the bound."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from jaxcampaign.report.bars import bound_bar
from jaxcampaign.report.campaign.frames import group_frame, week_frame
from jaxcampaign.report.campaign.wording import bound_title
from jaxcampaign.report.design import (
    INK,
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
from jaxcampaign.report.wording import counted, number, percent
from jaxcampaign.solvers import CampaignSolution

# More groups than this are drawn as one bar, "others".
_MAX_BARS = 16
_BAR_IN = 0.27
_ROUND_STEPS = (1, 2, 5, 10)


@styled
def group_figure(
    solution: CampaignSolution, name: str, *, unit: str = "expected", width_in: float = WIDE_IN
) -> Figure:
    """Money spent on each group of options, and what it is expected to bring.

    Args:
      solution: the plan.
      name: a column of the options.
      unit: what is expected.
      width_in: width in inches.
    """
    frame = group_frame(solution, name)
    assert frame is not None
    few = _few(frame, name)
    wide = width_in > NARROW_IN
    bars = _BAR_IN * len(few) + 0.75
    figure = new_figure(width_in, bars if wide else 2 * bars, _group_title(frame, name))
    panels = figure.subplots(1, 2, sharey=True) if wide else figure.subplots(2, 1)
    labels = [shortened(label, 26 if wide else 16) for label in few[name]]
    shares = few["spend"].to_numpy() / (frame["spend"].sum() or 1.0)
    notes = [f"{number(s)}  ({percent(q)})" for s, q in zip(few["spend"], shares, strict=True)]
    _bars(panels[0], labels, few["spend"].to_numpy(), notes, "spend", MIDDLE)
    notes = [
        f"{number(v)}  ({counted(n, 'post')})"
        for v, n in zip(few["expected"], few["posts"], strict=True)
    ]
    _bars(panels[1], labels, few["expected"].to_numpy(), notes, unit, PLAN)
    return figure


@styled
def week_figure(
    solution: CampaignSolution, *, unit: str = "expected", width_in: float = WIDE_IN
) -> Figure:
    """Money spent on posts of each week, and what they are expected to bring.

    Args:
      solution: the plan; its options have `posted_at`.
      unit: what is expected.
      width_in: width in inches.
    """
    frame = week_frame(solution)
    assert frame is not None
    figure = new_figure(width_in, 2.9, _week_title(frame))
    panels = figure.subplots(2, 1, sharex=True)
    middle = frame["week"] + pd.Timedelta(84, "h")
    for axes, heights, label, color in (
        (panels[0], frame["spend"], "spend", MIDDLE),
        (panels[1], frame["expected"], unit, PLAN),
    ):
        bare(axes)
        axes.bar(middle, heights, width=pd.Timedelta(6, "D"), color=color)
        axes.set_ylabel(shortened(label, 20))
        axes.set_ylim(min(heights.min(), 0.0), heights.max() * 1.08 or 1.0)
        axes.yaxis.set_major_locator(MaxNLocator(4, steps=_ROUND_STEPS))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: number(y)))
        axes.grid(axis="y", color=QUIET, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
    ends = frame["week"].iloc[0], frame["week"].iloc[-1] + pd.Timedelta(7, "D")
    locator = AutoDateLocator(maxticks=9 if width_in > NARROW_IN else 5)
    panels[1].set_xlim(*ends)
    panels[1].xaxis.set_major_locator(locator)
    panels[1].xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=True))
    return figure


@styled
def value_figure(solution: CampaignSolution, *, width_in: float = WIDE_IN) -> Figure:
    """The plan's value against what is proven of every plan, drawn from zero.

    Args:
      solution: a feasible plan of positive value.
      width_in: width in inches.
    """
    unit = "value, after the risk" if solution.problem.risk_aversion else "value"
    return bound_bar(solution.certificate, bound_title(solution), unit, width_in=width_in)


def _few(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The groups with the most spend, and the rest as one."""
    if len(frame) <= _MAX_BARS:
        return frame
    head, rest = frame.iloc[: _MAX_BARS - 1], frame.iloc[_MAX_BARS - 1 :]
    others = rest[["posts", "spend", "expected"]].sum().to_dict()
    others = {key: [value] for key, value in others.items()}
    last = pd.DataFrame({name: [f"{len(rest):,} others"], **others}).astype({"posts": "int64"})
    return pd.concat([head, last], ignore_index=True)


def _bars(
    axes: Axes, labels: list[str], values: np.ndarray, notes: list[str], unit: str, color: str
) -> None:
    bare(axes)
    rows = np.arange(len(labels))
    axes.barh(rows, values, height=0.66, color=color)
    axes.set_yticks(rows, labels)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(len(labels) - 0.45, -0.55)
    # Room for the notes at the ends of the bars.
    most, least = max(values.max(initial=0.0), 0.0), min(values.min(initial=0.0), 0.0)
    span = (most - least) or 1.0
    axes.set_xlim(least, most + 0.42 * span if most else least + 1.42 * span)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=_ROUND_STEPS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x)))
    axes.set_xlabel(unit)
    for row, (value, note) in enumerate(zip(values, notes, strict=True)):
        axes.annotate(
            note,
            (max(value, 0.0), row),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=MUTED,
            fontsize=8.5,
        )


def _group_title(frame: pd.DataFrame, name: str) -> str:
    noun = name.removesuffix("_id").replace("_", " ")
    used = int((frame["posts"] > 0).sum())
    total = frame["spend"].sum()
    title = f"{used:,} of {counted(len(frame), noun)} with posts"
    if total > 0:
        most = percent(frame["spend"].iloc[0] / total)
        title += f"; {shortened(str(frame[name].iloc[0]), 40)} has the most spend, {most}"
    return title


def _week_title(frame: pd.DataFrame) -> str:
    if not frame["posts"].any():
        return "No post is bought"
    top = frame.loc[frame["posts"].idxmax()]
    whole = counted(int(frame["posts"].sum()), "post")
    return f"Busiest week: from {top['week']:%d %B %Y}, with {top['posts']:,} of {whole}"
