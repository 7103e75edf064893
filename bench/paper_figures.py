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
from matplotlib.ticker import MaxNLocator

from jaxcampaign.report import design

_DPI = 130
_PANEL_IN = (2.45, 1.5)
_MARGIN_IN = 1.0


class Look(NamedTuple):
    """How an algorithm is drawn: colours of Okabe and Ito, told apart by shape and dash too."""

    colour: str
    marker: str
    line: str


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
    "alpha": ("α, demand of all products over supply, %", 100),
    "beta": ("β, mean demand of a product over supply, %", 100),
    "radius_m": ("λ, radius, m", 1),
    "epsilon": ("ε", 1),
}
MEASURES = {
    "influence": "influence\n(users, summed\nover products)",
    "slots": "slots bought",
    "cost": "cost\n(units of influence)",
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
    ("epsilon", "slots"): "By definition: a larger ε means fewer roundings (BCA) or samples (RA)",
}
_UNDEFINED = " BCA is not defined for ε ≥ 1, and from 1 - 1/e its guarantee is void: not drawn."


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
    """A row of panels for each measure, a column for each city."""
    cities = _cities(rows)
    wide, high = _PANEL_IN
    size = (max(wide * len(cities) + 0.6, 7.6), (high + 0.35) * len(MEASURES) + _MARGIN_IN)
    kind = "one set of slots for all products" if problem == "common" else "disjoint sets of slots"
    note = _UNDEFINED if (problem, sweep) == ("common", "epsilon") else ""
    followed = _FOLLOWED[problem]
    title = f"{SWEEPS[sweep][0]}: {kind}"
    figure = design.new_figure(*size, title)
    head, *bands = figure.subfigures(
        len(MEASURES) + 1, 1, height_ratios=[0.42 if note else 0.3, *[1] * len(MEASURES)]
    )
    names = [name for name in LOOKS if any(row["algorithm"] == name for row in rows)]
    handles = [_handle(LOOKS[name], name) for name in names]
    handles.append(Line2D([], [], marker="o", ls="", mfc="white", mec=design.MUTED))
    head.legend(
        handles,
        [*names, "hollow: a demand is not met"],
        loc="upper left",
        ncols=len(handles) if len(handles) < 5 else 3,
        borderaxespad=0.2,
        columnspacing=1.4,
    )
    for band, measure in zip(bands, MEASURES, strict=True):
        expected = EXPECTED.get((sweep, measure), "")
        if problem == "disjoint" and measure == "met_share" and sweep in ("alpha", "beta"):
            expected = _FAILURE
        band.suptitle(expected, x=0.01, ha="left", fontsize=8.5, color=design.PLAN)
        for axes, city in zip(band.subplots(1, len(cities), squeeze=False)[0], cities, strict=True):
            own = [row for row in rows if row["city"] == city]
            _panel(axes, own, sweep, measure, followed)
            if city == cities[0]:
                axes.set_ylabel(MEASURES[measure])
            if measure == next(iter(MEASURES)):
                axes.set_title(f"{city}\n{axes.get_title()}", fontsize=8.5)
            if measure == list(MEASURES)[-1]:
                axes.set_xlabel(SWEEPS[sweep][0].split(",")[0] + _unit(sweep))
    if note:
        bands[-1].text(0.01, -0.02, note.strip(), fontsize=8.5, color=design.MUTED, va="top")
    figure.savefig(path, dpi=_DPI)


def _unit(sweep: str) -> str:
    _, _, unit = SWEEPS[sweep][0].rpartition(", ")
    return f", {unit}" if "," in SWEEPS[sweep][0] else ""


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
    axes.set_xticks(range(len(values)), [f"{SWEEPS[sweep][1] * v:g}" for v in values])
    axes.set_xlim(-0.3, len(values) - 0.7)
    if measure in _LOGARITHMIC:
        axes.set_yscale("log")
    elif measure == "met_share":
        axes.set_ylim(-6, 106)
        axes.set_yticks([0, 50, 100])
    else:
        axes.set_ylim(bottom=0)
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
