"""Figures of the paper's experiments, with the trends that are expected beside what is seen.

    python bench/paper_figures.py

draws bench/results/figures/*.png from bench/results/paper.json; `bench/paper.py` does so itself.
A figure is one problem and one sweep: a column for each city, a row for each measure. A hollow
marker means that some demand is not met. Above a row stands what is expected of it and where that
comes from; in each panel what happened, from the first to the last value.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, NamedTuple

from harness import RESULTS
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from jaxcampaign.report import design

_DPI = 130
# Inches: width and height of a panel, from row to row, and the margins.
_PANEL, _HIGH, _PITCH = 2.3, 1.2, 1.85
_LEFT, _GAP, _HEAD, _FOOT = 1.15, 0.5, 1.6, -0.15
_LEAST_WIDTH = 7.6


class Look(NamedTuple):
    """How an algorithm is drawn: colours of Okabe and Ito, told apart by shape and dash too."""

    colour: str
    marker: str
    line: str


class Factor(NamedTuple):
    """What is varied, and how it is written."""

    symbol: str
    meaning: str
    unit: str
    times: float

    @property
    def label(self) -> str:
        """Of an axis."""
        return f"{self.symbol}, {self.unit}" if self.unit else self.symbol


LOOKS = {
    "BCA, guarantee": Look("#0072b2", "v", "--"),
    "BCA, demand": Look("#0072b2", "o", "-"),
    "Top-k": Look("#7a7a7a", "s", ":"),
    "Random": Look("#e69f00", "X", ":"),
    "branch and cut": Look("#000000", "D", "-."),
    "RA": Look("#d55e00", "o", "-"),
    "greedy": Look("#009e73", "^", "--"),
    "LP rounding": Look("#000000", "D", "-."),
}
SWEEPS = {
    "alpha": Factor("α", "demand of all products over supply", "%", 100),
    "beta": Factor("β", "mean demand of a product over supply", "%", 100),
    "radius_m": Factor("λ", "radius", "m", 1),
    "epsilon": Factor("ε", "what a guarantee or an estimate may lose", "", 1),
}
MEASURES = {
    "influence": "influence, users\nover all products",
    "slots": "slots bought",
    "cost": "cost, units of\ninfluence",
    "seconds": "time, s",
    "met_share": "demands met, %",
}
_LOGARITHMIC = ("cost", "seconds")
_FOLLOWED = {"common": "BCA, demand", "disjoint": "RA"}
"""The paper's own algorithm, whose trend is put into words."""

_INFEASIBLE = "All slots together influence less than I*, so that α near 100 % is often infeasible"
_FAILURE = "Paper: RA finds no feasible answer at α ≥ 100 %, β ≥ 10 %"
EXPECTED = {
    ("alpha", "influence"): "Expected: grows with α, as there are more products",
    ("alpha", "slots"): "Expected: grows with α",
    ("alpha", "seconds"): "Expected: grows with α",
    ("beta", "met_share"): _INFEASIBLE,
    ("alpha", "met_share"): _INFEASIBLE,
    ("radius_m", "influence"): "Expected: a larger radius raises influence",
    ("epsilon", "seconds"): "Expected: a smaller ε costs more time",
    ("epsilon", "slots"): "By definition: fewer roundings with a larger ε",
}
_OF_DISJOINT = {
    ("beta", "met_share"): _FAILURE,
    ("epsilon", "slots"): "By definition: RA draws fewer samples with a larger ε; 64 at most here",
}
_UNDEFINED = (
    "BCA has no meaning for ε ≥ 1 and no guarantee from 1 - 1/e = 0.632 on: nothing is drawn."
)


def draw(record: dict[str, Any]) -> list[Path]:
    """Draw every figure of a record of bench/paper.py; the files written."""
    folder = RESULTS / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for problem in _FOLLOWED:
        for sweep in SWEEPS:
            rows = select(record, problem, sweep)
            if rows:
                path = folder / f"{problem}-{sweep.removesuffix('_m')}.png"
                _save(rows, problem, sweep, path)
                written.append(path)
                print(f"wrote {path.relative_to(RESULTS.parents[1])}")
    return written


def select(record: dict[str, Any], problem: str, sweep: str) -> list[dict[str, Any]]:
    """Rows of a problem in which nothing but the swept factor differs from the defaults."""
    fixed = {key: value for key, value in record["defaults"].items() if key != sweep}
    kept = [
        row | {"met_share": None if row["met"] is None else 100 * row["met"] / row["products"]}
        for row in record["rows"]
        if row["problem"] == problem
        and all(row[key] == value for key, value in fixed.items())
        and (sweep != "epsilon" or row["algorithm"].startswith(("BCA", "RA")))
    ]
    varied = {city: len({r[sweep] for r in kept if r["city"] == city}) for city in _cities(kept)}
    return sorted((r for r in kept if varied[r["city"]] > 1), key=lambda row: row[sweep])


@design.styled
def _save(rows: list[dict[str, Any]], problem: str, sweep: str, path: Path) -> None:
    """A row of panels for each measure, a column for each city; sizes in inches."""
    cities, name = _cities(rows), SWEEPS[sweep]
    panel = max(_PANEL, (_LEAST_WIDTH - _LEFT) / len(cities) - _GAP)
    wide, high = _LEFT + (panel + _GAP) * len(cities), _HEAD + _PITCH * len(MEASURES) + _FOOT
    kind = "one set of slots for all products" if problem == "common" else "disjoint sets of slots"
    figure = design.new_figure(wide, high, f"{name.symbol}, {name.meaning}, varied: {kind}")
    figure.set_layout_engine("none")
    wide, high = figure.get_size_inches()
    top = high - _HEAD
    if figure._suptitle is not None:  # type: ignore[attr-defined]
        figure._suptitle.set_y(1 - 0.08 / high)  # type: ignore[attr-defined]
    handles = [
        _handle(look, algorithm)
        for algorithm, look in LOOKS.items()
        if any(row["algorithm"] == algorithm for row in rows)
    ]
    hollow = {"ls": "", "mfc": "white", "mec": design.MUTED}
    handles.append(Line2D([], [], marker="o", label="hollow: a demand is not met", **hollow))
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.0, 1 - 0.3 / high),
        ncols=3,
        columnspacing=1.4,
    )
    for i, measure in enumerate(MEASURES):
        roof = top - i * _PITCH
        expected = EXPECTED.get((sweep, measure), "")
        if problem == "disjoint":
            expected = _OF_DISJOINT.get((sweep, measure), expected)
        at = (0.08 / wide, (roof + (0.42 if i == 0 else 0.24)) / high)
        figure.text(*at, expected, fontsize=8.5, color=design.PLAN, va="bottom")
        for j, city in enumerate(cities):
            corner = (_LEFT + j * (panel + _GAP), roof - _HIGH)
            box = (corner[0] / wide, corner[1] / high, panel / wide, _HIGH / high)
            axes = figure.add_axes(box)
            own = [row for row in rows if row["city"] == city]
            _panel(axes, own, sweep, measure, _FOLLOWED[problem])
            if i == 0:
                axes.set_title(f"{city}\n{axes.get_title()}", fontsize=8.5, color=design.INK)
            if measure == list(MEASURES)[-1]:
                axes.set_xlabel(name.label)
        middle = (roof - _HIGH / 2) / high
        figure.text(
            0.08 / wide, middle, MEASURES[measure], rotation=90, ha="left", va="center",
            multialignment="center", color=design.MUTED,
        )  # fmt: skip
    if (problem, sweep) == ("common", "epsilon"):
        figure.text(0.08 / wide, 0.06 / high, _UNDEFINED, fontsize=8.5, color=design.MUTED)
    figure.savefig(path, dpi=_DPI)


def _panel(axes: Axes, rows: list[dict[str, Any]], sweep: str, measure: str, followed: str) -> None:
    """One measure of one city; values of the sweep stand at equal distances."""
    values = sorted({row[sweep] for row in rows})
    for name, look in LOOKS.items():
        own = [row for row in rows if row["algorithm"] == name and row[measure] is not None]
        x = [values.index(row[sweep]) for row in own]
        y = [row[measure] for row in own]
        axes.plot(x, y, color=look.colour, ls=look.line, lw=1.2, zorder=2)
        for place, height, row in zip(x, y, own, strict=True):
            full = row["met"] == row["products"]
            face = look.colour if full else "white"
            axes.plot(place, height, look.marker, ms=4.2, mfc=face, mec=look.colour, zorder=3)
        if name == followed:
            title = f"{name}: {trend(y)}" if measure != "met_share" else ""
            axes.set_title(title, fontsize=7.5, color=design.MUTED, pad=3)
    axes.set_xticks(range(len(values)), [f"{SWEEPS[sweep].times * v:g}" for v in values])
    axes.set_xlim(-0.3, len(values) - 0.7)
    heights = [row[measure] for row in rows if row[measure]]
    if measure in _LOGARITHMIC and heights and max(heights) > 5 * min(heights):
        axes.set_yscale("log")
        low, high = min(heights), max(heights)
        axes.set_ylim(low / 1.6, high * 1.6)
        steps = (1.0,) if high > 200 * low else (1.0, 2.0, 5.0)
        axes.yaxis.set_major_locator(LogLocator(subs=steps, numticks=12))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    elif measure == "met_share":
        axes.set_ylim(-6, 106)
        axes.set_yticks([0, 50, 100])
    else:
        axes.set_ylim(0, 1.1 * axes.get_ylim()[1])
        axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(labelsize=7.5)
    axes.grid(axis="y", color=design.RULE, lw=0.5)
    design.bare(axes, keep=("bottom", "left"))


def trend(values: list[float]) -> str:
    """What a series does from its first value to its last; below 2 % of change it is level."""
    if len(values) < 2:
        return "one value"
    steps = [after - before for before, after in itertools.pairwise(values)]
    change, small = values[-1] - values[0], 0.02 * max(map(abs, values))
    if abs(change) <= small:
        return "level" if max(values) - min(values) <= small else "rises and falls"
    word, sign = ("rises", 1) if change > 0 else ("falls", -1)
    return f"{word} throughout" if all(sign * step >= 0 for step in steps) else f"{word} overall"


def _handle(look: Look, name: str) -> Line2D:
    return Line2D([], [], color=look.colour, ls=look.line, marker=look.marker, ms=5, label=name)


def _cities(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["city"] for row in rows))


if __name__ == "__main__":
    draw(json.loads((RESULTS / "paper.json").read_text()))
