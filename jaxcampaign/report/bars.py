"""A plan's value against its proven bound, as one bar."""

from __future__ import annotations

from typing import Literal

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from jaxcampaign.certificate import Certificate
from jaxcampaign.report.design import INK, MIDDLE, PLAN, bare, new_figure, styled
from jaxcampaign.report.wording import ceiling, floor, number

_ROUND_STEPS = (1, 2, 5, 10)


@styled
def bound_bar(c: Certificate, title: str, unit: str, *, width_in: float) -> Figure:
    """The value of a plan against what is proven of every plan, drawn from zero.

    Args:
      c: the certificate.
      title: what the figure says.
      unit: what the axis measures.
      width_in: width in inches.
    """
    figure = new_figure(width_in, 1.25, title)
    axes = figure.subplots()
    bare(axes)
    known = [value for value in (c.value, c.bound) if value is not None]
    low, high = min(known), max(known)
    is_cost = c.sense == "min"
    axes.barh(0, low, height=0.6, color=MIDDLE if is_cost else PLAN)
    hatch = PLAN if is_cost else MIDDLE
    open_part = axes.barh(0, high - low, left=low, height=0.6, linewidth=0, hatch="////")
    open_part[0].set(facecolor="white", edgecolor=hatch)
    axes.plot([c.value, c.value], [-0.42, 0.42], color=PLAN, linewidth=3, solid_capstyle="butt")
    axes.set(xlim=(0, high * 1.02 or 1), ylim=(-1.05, 1.05), yticks=[])
    axes.set_xlabel(unit)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x)))
    axes.xaxis.set_major_locator(MaxNLocator(max(int(width_in), 4), steps=_ROUND_STEPS))
    plan = f"this plan: {number(c.value)}"
    side = _side_with_room(c.value, high)
    axes.text(c.value, 0.5, plan, ha=side, va="bottom", color=PLAN, fontweight="bold")
    if c.bound is not None:
        axes.plot([c.bound, c.bound], [-0.42, 0.42], color=INK, linewidth=1.4)
        # Nobody but the solver vouches for the bound of a branch and bound.
        whose = "proven" if c.bound_proof == "multipliers" else "by the solver's word"
        least = f"{whose}: no plan below {floor(c.bound)}"
        most = f"{whose}: no plan above {ceiling(c.bound)}"
        side = _side_with_room(c.bound, high)
        axes.text(c.bound, -0.52, least if is_cost else most, ha=side, va="top")
    return figure


def _side_with_room(value: float, high: float) -> Literal["left", "right"]:
    """How a text at a value on an axis up to `high` is aligned."""
    return "right" if value > 0.4 * high else "left"
