"""Parts that the pages of all kinds of plan are made of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from jaxcampaign.certificate import unreachable
from jaxcampaign.report.design import NARROW_IN, WIDE_IN, svg
from jaxcampaign.report.markup import Markup, element, fact_table, picture, scroll_box
from jaxcampaign.report.wording import counted, number
from jaxcampaign.solvers import Solution

MAX_ROWS = 200
"""Rows of a table that a page shows."""


def trust(solution: Solution, how: str, *, value: str) -> Markup:
    """What is claimed, in full digits, and how each claim can be checked.

    Args:
      solution: the plan.
      how: where feasibility, cost and value come from.
      value: what is maximised.
    """
    c = solution.certificate
    facts = [("Feasible", "yes" if c.feasible else "no"), ("Cost", digits(c.cost))]
    if c.sense == "max":
        facts.append((value, digits(c.value)))
    facts += [
        ("Bound", digits(c.bound)),
        ("Bound from multipliers", digits(c.rechecked_bound)),
        ("Bound of branch and bound", digits(c.solver_bound)),
        ("Gap, |value - bound| / |value|", digits(c.gap)),
    ]
    facts += [
        (f"Violated: {row['row']}", f"{row['activity']!r} outside {row['lower']} to {row['upper']}")
        for row in c.violations
    ]
    return section(
        "Why this can be trusted",
        element("p", how),
        element("p", *bound_source(solution)),
        fact_table(facts, label="Certificate"),
    )


def making_section(
    solution: Solution, run: Mapping[str, Any], *, leave_out: Collection[str] = ()
) -> Markup:
    """Solver, statistics and the run's own record.

    Args:
      solution: the plan.
      run: nested names and values.
      leave_out: statistics that stand elsewhere on the page.
    """
    statistics = {name: v for name, v in solution.statistics.items() if name not in leave_out}
    told = run.get("statistics")
    if isinstance(told, Mapping):
        # A record of the run that found this plan holds the plan's own once more.
        known = {*leave_out, *solution.statistics}
        run = {**run, "statistics": {name: v for name, v in told.items() if name not in known}}
    because = statistics.pop("chosen_because", None)
    facts = [("Problem", repr(solution.problem)), ("Solver", solution.solver)]
    if because:
        facts.append(("Chosen because", str(because)))
    facts.append(("Status", solution.status))
    facts += flat(statistics)
    facts += flat(run)
    return section("How it was computed", fact_table(facts, label="How it was computed"))


def listed(sentences: Sequence[str], *, label: str) -> Markup:
    """Sentences as a list in a box of its own; nothing where there are none."""
    items = [element("li", text) for text in sentences[:MAX_ROWS]]
    if len(sentences) > MAX_ROWS:
        items.append(element("li", f"and {len(sentences) - MAX_ROWS:,} more"))
    return scroll_box(element("ul", *items), label=label) if items else Markup()


def section(heading: str, *parts: str) -> Markup:
    """A heading and what belongs to it."""
    return element("section", element("h2", heading), *parts)


def note(text: str) -> Markup:
    """A remark in small letters."""
    return element("p", text, class_="note")


def how_many(shown: int, total: int, noun: str, first: str) -> Markup:
    """How many of how many rows a table shows."""
    if shown == total:
        return note(f"{counted(total, noun)}, the {first} first.")
    return note(f"The {shown:,} {first} of {counted(total, noun)}.")


def card(label: str, value: str, note: str, *, failed: bool = False) -> Markup:
    """One key figure."""
    return element(
        "div",
        element("dt", label),
        element("dd", value, class_="value"),
        element("dd", note),
        class_="short" if failed else None,
    )


def drawn(draw: Callable[..., Figure], alt: str, caption: str) -> Markup:
    """A figure in both widths."""
    wide, narrow = (svg(draw(width_in=width_in)) for width_in in (WIDE_IN, NARROW_IN))
    return picture(wide, narrow, alt=alt, caption=caption)


def bound_source(solution: Solution) -> list[str]:
    """Whose word the bound is, and how it can be checked."""
    c = solution.certificate
    verify = element("code", "jaxcampaign verify DIR")
    if c.bound is None:
        proof = "stored multipliers and the " if not unreachable(solution.problem) else ""
        return [
            "There is no bound: the problem has no feasible plan. ",
            f"The {proof}sums behind that are recomputed by ",
            verify,
            ".",
        ]
    recheck = [
        "The bound follows from stored Lagrangian multipliers by weak duality: it holds whatever "
        "solver found them, and ",
        verify,
        " recomputes it from the input tables, where DIR is the folder of this report.",
    ]
    if c.bound_proof == "multipliers":
        return recheck
    return [
        "The bound is the word of the solver's exhaustive search (branch and bound), which cannot "
        "be rechecked without repeating it. What can be rechecked is the weaker bound from "
        "multipliers. ",
        *recheck,
    ]


def digits(value: float | None) -> str:
    """All digits of a number."""
    return "none" if value is None else repr(float(value))


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested mappings as rows, names joined by dots."""
    for name, value in values.items():
        label = f"{prefix}{name}".replace("_", " ")
        label = label[:1].upper() + label[1:]
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        elif isinstance(value, float):
            yield label, number(value, 6)
        elif value is not None:
            yield label, str(value)
