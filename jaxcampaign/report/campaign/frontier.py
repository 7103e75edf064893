"""The frontier of a campaign as a chart: value against budget, or expectation against risk."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from jaxcampaign.report.campaign.frames import budget_price
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
    styled,
)
from jaxcampaign.report.wording import counted, number
from jaxcampaign.solvers import Frontier

_ROUND_STEPS = (1, 2, 5, 10)
_HEIGHT_IN = 2.9
_STEPS = 200


@styled
def frontier_figure(
    frontier: Frontier, *, unit: str = "expected effect", width_in: float = WIDE_IN
) -> Figure:
    """Certified plans of one campaign side by side.

    Against the budget: the value of each plan, which any larger budget can have as well; what is
    proven of every plan at any budget, by the prices of these; and what one more unit of money is
    worth. Against the risk: what each plan is expected to bring, named by
    its aversion to risk. Plans that are not feasible are left out, and the title counts them.

    Args:
      frontier: what `frontier` returned, with a feasible plan at least.
      unit: what is expected.
      width_in: width in inches.

    Raises:
      ValueError: no plan is feasible.
    """
    frame = frontier_frame(frontier)
    kept = frame[frame["value"].notna()]
    if kept.empty:
        raise ValueError("no plan of the frontier is feasible, so there is nothing to draw")
    lost = len(frame) - len(kept)
    title = (_budget_title if frontier.varied == "budget" else _risk_title)(kept, unit)
    if lost:
        title += f" ({counted(lost, 'infeasible plan')} left out)"
    if frontier.varied == "risk_aversion":
        figure = new_figure(width_in, _HEIGHT_IN, title)
        _against_risk(figure.subplots(), kept, unit)
        return figure
    wide = width_in > NARROW_IN
    figure = new_figure(width_in, _HEIGHT_IN if wide else 2 * _HEIGHT_IN, title)
    panels = figure.subplots(1, 2) if wide else figure.subplots(2, 1)
    _against_budget(panels[0], kept)
    _prices(panels[1], kept)
    return figure


def frontier_frame(frontier: Frontier) -> pd.DataFrame:
    """The frontier's table, with the price of the budget and what prices alone prove (proven)."""
    frame = frontier.table()
    frame["price"] = _numbers(budget_price(solution) for solution in frontier)
    frame["proven"] = _numbers(solution.certificate.rechecked_bound for solution in frontier)
    return frame


def proven_between(frame: pd.DataFrame, budgets: np.ndarray) -> np.ndarray:
    """What no plan at each budget float64[n] exceeds.

    Prices prove a bound whatever the limits are, and another budget changes it by the price of the
    budget times the change.

    Args:
      frame: budget, proven (by the prices) and price (of the budget), a row for each plan.
      budgets: float64[n].
    """
    known, proven, price = (frame[name].to_numpy() for name in ("budget", "proven", "price"))
    return (proven + price * (budgets[:, None] - known)).min(axis=1)


def _numbers(values: Iterable[float | None]) -> np.ndarray:
    """None as NaN."""
    return np.array(list(values), np.float64)


def _against_budget(axes: Axes, frame: pd.DataFrame) -> None:
    x, value = (frame[name].to_numpy() for name in ("budget", "value"))
    across = np.unique(np.append(np.linspace(x[0], x[-1], _STEPS), x))
    _quiet(axes, "budget", "value")
    axes.plot(across, proven_between(frame, across), color=MIDDLE, label="no plan is worth more")
    axes.step(x, value, where="post", color=PLAN, linewidth=1.2)
    axes.plot(x, value, color=PLAN, linewidth=0, marker="o", markersize=4, label="the plan")
    axes.legend(loc="lower right")
    axes.set_xlim(left=0.0)
    axes.set_ylim(bottom=min(0.0, float(value.min())))


def _prices(axes: Axes, frame: pd.DataFrame) -> None:
    _quiet(axes, "budget", "worth of one more unit of money")
    price = frame["price"].to_numpy(np.float64)
    axes.plot(frame["budget"], price, color=INK, linewidth=1.4, marker="o", markersize=4)
    axes.set_xlim(left=0.0)
    axes.set_ylim(bottom=0.0)


def _against_risk(axes: Axes, frame: pd.DataFrame, unit: str) -> None:
    _quiet(axes, "risk of the plan", unit)
    x, y = frame["risk"].to_numpy(), frame["mean"].to_numpy()
    axes.plot(x, y, color=PLAN, linewidth=1.8, marker="o", markersize=4)
    axes.margins(0.08, 0.15)
    # Plans that are alike have one label.
    labels: dict[tuple[float, float], str] = {}
    for point, rho in zip(zip(x, y, strict=True), frame["risk_aversion"], strict=True):
        before = labels.get(point)
        labels[point] = number(rho) if before is None else f"{before}, {number(rho)}"
    for point, text in labels.items():
        axes.annotate(
            text, point, xytext=(0, 6), textcoords="offset points", ha="center", color=MUTED
        )


def _quiet(axes: Axes, across: str, up: str) -> None:
    bare(axes)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=_ROUND_STEPS))
        axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axes.grid(axis="y", color=QUIET, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)


def _budget_title(frame: pd.DataFrame, unit: str) -> str:
    first, last = frame.iloc[0], frame.iloc[-1]
    low = f"value {number(first['value'])} with a budget of {number(first['budget'])}"
    if len(frame) == 1:
        return low[0].upper() + low[1:]
    return f"{low[0].upper()}{low[1:]}, {number(last['value'])} with {number(last['budget'])}"


def _risk_title(frame: pd.DataFrame, unit: str) -> str:
    first, last = frame.iloc[0], frame.iloc[-1]
    text = f"{unit[:1].upper()}{unit[1:]} of {number(first['mean'])} at a risk of "
    text += number(first["risk"])
    if len(frame) > 1:
        text += f", {number(last['mean'])} at {number(last['risk'])}"
    return f"{text}; labels: aversion to risk"
