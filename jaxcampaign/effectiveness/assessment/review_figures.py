"""The page of charts that reviews a model; the only matplotlib here."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from jaxcampaign.effectiveness.assessment.metrics import LEVELS

if TYPE_CHECKING:
    from jaxcampaign.effectiveness.assessment.reviews import Review

# Blue is what is predicted, vermilion what was observed; the three sources have hues of their own
# that differ in grey as well.
_INK, _MUTED, _RULE, _MIDDLE = "#1b2a38", "#5a6875", "#d5dde4", "#c3ced8"
_PREDICTED, _OBSERVED = "#0b5fa5", "#c2410c"
_SOURCE = {"I": "#0b5fa5", "H": "#6f9fc8", "M": "#9a7bb5"}
_SOURCE_NAME = {"I": "influencer", "H": "history", "M": "market"}
_GROUP = {"all": _INK, "warm": _PREDICTED, "cold": _OBSERVED}
_STYLE: dict[Any, Any] = {
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "text.color": _INK,
    "text.parse_math": False,
    "axes.edgecolor": _MUTED,
    "axes.labelcolor": _MUTED,
    "axes.linewidth": 0.7,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
}
_MAX_FEATURES = 12
_LABEL_LETTERS = 26
_DPI = 110


class NotebookFigure(Figure):
    """A figure that a notebook shows without pyplot."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        with matplotlib.rc_context(_STYLE):
            self.savefig(buffer, format="png", dpi=_DPI)
        return buffer.getvalue()


def review_figure(review: Review) -> Figure:
    """Deciles, coverage, PIT, waterfall and importance on one page."""
    with matplotlib.rc_context(_STYLE):
        figure = NotebookFigure((11.5, 7.2))
        figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1, wspace=0.03, hspace=0.05)
        found = review.scores["all"]
        ratio = found["sum_ratio"]
        figure.suptitle(
            f"{review.target}: {found['n']:,} held-out rows, R² {found['r2']:.2f}, "
            f"predicted / observed total {ratio:.3f}",
            x=0.012,
            ha="left",
            fontsize=11.5,
            fontweight="bold",
        )
        rows: Any = figure.subfigures(2, 1)
        above, below = rows
        deciles, coverage, pit = above.subplots(1, 3, width_ratios=(1.25, 1, 1))
        _deciles(deciles, review)
        _coverage(coverage, review)
        _pit(pit, review)
        if review.waterfall is None:
            _importance(below.subplots(1, 1), review)
        else:
            waterfall, importance = below.subplots(1, 2)
            _waterfall(waterfall, review)
            _importance(importance, review)
        return figure


def embedded(figure: Figure) -> str:
    """The figure as an HTML image."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure.savefig(buffer, format="png", dpi=_DPI)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="review" style="max-width:100%" src="data:image/png;base64,{data}">'


def _deciles(axes: Axes, review: Review) -> None:
    table, sample = review.deciles, review.sample
    axes.scatter(
        sample["predicted"], sample["observed"], s=6, color=_MIDDLE, linewidth=0, rasterized=True
    )
    axes.axline((table["predicted"].iloc[0],) * 2, slope=1, color=_MUTED, linewidth=0.8, zorder=1)
    axes.errorbar(
        table["predicted"],
        table["observed"],
        yerr=1.96 * table["standard_error"].fillna(0.0),
        fmt="o",
        markersize=4.5,
        color=_PREDICTED,
        elinewidth=1.2,
    )
    low, high = np.quantile(sample.to_numpy(), [0.005, 0.995])
    margin = 0.05 * (high - low) or 1.0
    axes.set(
        xlim=(low - margin, high + margin),
        ylim=(low - margin, high + margin),
        title="Observed against predicted, by decile",
        xlabel=f"predicted {review.target}",
        ylabel=f"observed {review.target}",
    )


def _coverage(axes: Axes, review: Review) -> None:
    axes.plot([0, 1], [0, 1], color=_MUTED, linewidth=0.8)
    for name, found in review.scores.items():
        observed = [found[f"coverage_{100 * level:g}"] for level in LEVELS]
        label = f"{name} ({found['n']:,})"
        axes.plot(
            LEVELS, observed, "o-", color=_GROUP[name], markersize=4.5, linewidth=1.3, label=label
        )
    axes.set(
        xlim=(0.4, 1.0),
        ylim=(0.4, 1.0),
        xticks=LEVELS,
        yticks=LEVELS,
        title="Share of outcomes within intervals",
        xlabel="nominal level",
        ylabel="observed share",
    )
    axes.grid(color=_RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.legend(loc="upper left")


def _pit(axes: Axes, review: Review) -> None:
    bins = len(review.pit)
    edges = np.arange(bins) / bins
    axes.bar(edges, review.pit * bins, 0.94 / bins, align="edge", color=_SOURCE["H"])
    axes.axhline(1, color=_INK, linewidth=1)
    axes.annotate("calibrated", (1, 1), (0, 3), textcoords="offset points", ha="right", color=_INK)
    axes.set(
        xlim=(0, 1),
        ylim=(0, max(1.6, 1.1 * bins * review.pit.max())),
        title="Where outcomes fall in their forecast",
        xlabel="predicted probability of less (PIT)",
        ylabel="relative frequency",
    )


def _waterfall(axes: Axes, review: Review) -> None:
    assert review.waterfall is not None
    value = review.waterfall.set_index("step")["value"]
    parts = value[list(_SOURCE)]
    starts = value["base"] + np.concatenate([[0.0], np.cumsum(parts)])
    labels = ["average\noption", *(f"{_SOURCE_NAME[s]}\ng_{s}" for s in _SOURCE), "predicted"]
    labels.append("observed")
    bottoms = np.array([0.0, *starts[:-1], 0.0, 0.0])
    heights = np.array([value["base"], *parts, value["predicted"], value["observed"]])
    colours = [_MUTED, *_SOURCE.values(), _PREDICTED, _OBSERVED]
    axes.bar(range(6), heights, 0.62, bottoms, color=colours)
    ends = bottoms + heights
    for i in range(4):
        axes.plot([i + 0.31, i + 0.69], [ends[i]] * 2, color=_MUTED, linewidth=0.7)
    for i, (end, height) in enumerate(zip(np.maximum(ends, bottoms), heights, strict=True)):
        text = f"{height:+.3g}" if 1 <= i <= 3 else f"{height:.4g}"
        axes.annotate(text, (i, end), (0, 3), textcoords="offset points", ha="center")
    reach = np.concatenate([ends, bottoms[1:4]])
    span = max(float(np.ptp(reach)), 1e-9)
    # From zero where that shows the steps, otherwise cut, and the title says so.
    cut = reach.min() - 0.6 * span if span < 0.3 * abs(reach).max() else min(reach.min(), 0.0)
    note = "" if cut <= 0 else " (axis cut)"
    axes.set(
        xticks=range(6),
        xticklabels=labels,
        ylim=(cut, reach.max() + 0.15 * span),
        title=f"What lifts the highest decile{note}",
        ylabel=f"mean {review.target}",
    )
    axes.tick_params(axis="x", length=0)


def _importance(axes: Axes, review: Review) -> None:
    table = review.importance.head(_MAX_FEATURES).iloc[::-1]
    axes.barh(range(len(table)), table["rise"], 0.66, color=table["source"].map(_SOURCE))
    names = [
        name if len(name) <= _LABEL_LETTERS else name[: _LABEL_LETTERS - 1] + "…"
        for name in table["feature"]
    ]
    axes.set_yticks(range(len(table)), names)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.axvline(0, color=_MUTED, linewidth=0.7)
    axes.spines["left"].set_visible(False)
    hues = [Patch(color=colour, label=_SOURCE_NAME[s]) for s, colour in _SOURCE.items()]
    axes.legend(handles=hues, loc="lower right")
    axes.set(
        title="Rise of the error when a column is shuffled",
        xlabel=f"rise of the RMSE ({review.target})",
    )
