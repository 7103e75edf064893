"""The look of the figures: colours, letters, an empty figure, and its image."""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Blue is the plan and vermilion is what it lacks: apart for every kind of colour vision, and in
# grey. All else stays quiet.
INK = "#1b2a38"
MUTED = "#5a6875"
RULE = "#d5dde4"
QUIET = "#dfe6ec"
MIDDLE = "#a9b7c4"
PLAN = "#0b5fa5"
LACK = "#c2410c"

WIDE_IN = 10.0
NARROW_IN = 3.9
_RASTER_DPI = 180
_INCH_PER_LETTER = 0.089  # of a title

_STYLE: dict[Any, Any] = {
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans", "Helvetica Neue", "Helvetica", "Arial"],
    "font.size": 9.0,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9.0,
    "axes.linewidth": 0.7,
    "axes.facecolor": "none",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 3.0,
    "ytick.major.size": 3.0,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "figure.facecolor": "white",
    "hatch.linewidth": 0.8,
    # The reader's browser sets the letters, so that ids in any script are legible.
    "svg.fonttype": "none",
    "svg.hashsalt": "jaxcampaign",
}

_NOTEBOOK_DPI = 110

_Arguments = ParamSpec("_Arguments")


def styled(build: Callable[_Arguments, Figure]) -> Callable[_Arguments, Figure]:
    """A function that builds a figure, in the style of the report and of nothing else."""

    @wraps(build)
    def inner(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> Figure:
        with matplotlib.rc_context(_STYLE):
            return build(*args, **kwargs)

    return inner


class NotebookFigure(Figure):
    """A figure that a notebook shows without pyplot or a magic command."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        with matplotlib.rc_context(_STYLE):
            self.savefig(buffer, format="png", dpi=_NOTEBOOK_DPI)
        return buffer.getvalue()


def new_figure(width_in: float, height_in: float, title: str) -> Figure:
    """An empty figure with a title at its upper left, wrapped to the width.

    It belongs to no window and no pyplot: it is freed like any other object.
    """
    lines = textwrap.wrap(title, max(int(width_in / _INCH_PER_LETTER), 20))
    figure = NotebookFigure((width_in, height_in + 0.2 * len(lines)))
    figure.set_layout_engine("constrained", w_pad=0.06, h_pad=0.05)
    figure.suptitle(
        "\n".join(lines), x=0.06 / width_in, ha="left", fontsize=10.5, fontweight="bold"
    )
    return figure


def bare(axes: Axes, *, keep: tuple[str, ...] = ("bottom",)) -> None:
    """Take away the frame but for the named sides."""
    for side, spine in axes.spines.items():
        spine.set_visible(side in keep)


def shortened(label: str, letters: int) -> str:
    """A label on one line, cut to so many letters with an ellipsis.

    Control characters, which XML forbids, become a dot.
    """
    label = "".join(letter if letter.isprintable() else "·" for letter in " ".join(label.split()))
    return label if len(label) <= letters else label[: letters - 1].rstrip() + "…"


def nice_below(value: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is at most a positive value."""
    power = 10.0 ** math.floor(math.log10(value))
    return max(step * power for step in (0.5, 1, 2, 5) if step * power <= value * (1 + 1e-9))


def svg(figure: Figure) -> bytes:
    """The figure as one self-contained SVG file, without a date, hence the same every time."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # Letters that the measuring font lacks are set by the reader's browser.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(
            buffer,
            format="svg",
            dpi=_RASTER_DPI,
            metadata={"Date": None, "Creator": None},
        )
    return buffer.getvalue()
