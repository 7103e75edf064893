"""The parts of the page of a billboard plan, each from a solution to markup."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from jaxcampaign.certificate import FEASIBILITY_TOLERANCE
from jaxcampaign.problems import reach_reference
from jaxcampaign.report import wording
from jaxcampaign.report.blocks import (
    MAX_ROWS,
    card,
    drawn,
    how_many,
    listed,
    making_section,
    note,
    section,
    trust,
)
from jaxcampaign.report.figures import bound_figure, demand_figure, hours_figure
from jaxcampaign.report.frames import (
    board_frame,
    hour_frame,
    place_frame,
    plan_frame,
    product_frame,
)
from jaxcampaign.report.maps import map_figure
from jaxcampaign.report.markup import (
    Column,
    Markup,
    data_table,
    element,
    join,
)
from jaxcampaign.report.wording import counted, number, percent
from jaxcampaign.solvers import Solution


def slot_sections(
    solution: Solution,
    title: str,
    checkins: pd.DataFrame | None,
    billboards: pd.DataFrame | None,
    run: Mapping[str, Any],
) -> list[Markup]:
    """The page from top to bottom; arguments as for `report_html`."""
    return [
        headline(solution, title),
        key_figures(solution),
        map_section(solution, checkins, billboards),
        demand_section(solution),
        bound_section(solution),
        hours_section(solution),
        plan_section(solution),
        proof_section(solution),
        making_section(solution, run),
    ]


def headline(solution: Solution, title: str) -> Markup:
    """What was asked, and the answer."""
    c = solution.certificate
    return element(
        "header",
        element("h1", title),
        element("p", wording.question(solution), class_="asked"),
        element("p", wording.verdict(solution), class_="verdict"),
        element("p", " ".join(wording.answer(solution)), class_="answer"),
        listed(c.reasons, label="Reasons"),
        class_="" if c.feasible else "failed",
    )


def key_figures(solution: Solution) -> Markup:
    """The numbers that a reader looks for first."""
    problem, c = solution.problem, solution.certificate
    boards = problem.base.slots["board_id"].to_numpy()
    bought = np.zeros(problem.base.n_slots, bool)
    bought[problem.item_slot[solution.selection]] = True
    used, offered = len(np.unique(boards[bought])), len(np.unique(boards))
    reached = reach_reference(problem.base, bought).sum()
    cards = [
        card("Slots", f"{bought.sum():,}", f"of {problem.base.n_slots:,} on offer"),
        card("Boards", f"{used:,}", f"of {offered:,}"),
        card("Cost", number(c.cost), _limits(solution)),
    ]
    if c.sense == "max":
        cards.append(card("Influence", number(c.value), wording.influence_unit(solution)))
    else:
        asked, lacking = int((c.demand > 0).sum()), int((c.shortfall > 0).sum())
        short = f"short by {number(c.shortfall.sum())} in all" if lacking else "none falls short"
        met = f"of {asked:,}; {short}"
        cards.append(card("Demands met", f"{asked - lacking:,}", met, failed=lacking > 0))
    people = f"expected, of {problem.base.n_users:,} who pass a slot"
    cards.append(card("People influenced", number(reached, 3), people))
    if c.feasible and c.bound is not None:
        shown, word = wording.ceiling, "no plan has more"
        if c.sense == "min":
            shown, word = wording.floor, "no plan costs less"
        exact = number if solution.status == "optimal" else shown
        cards.append(card("Proven bound", exact(c.bound), word))
    return element("dl", *cards, class_="figures")


def map_section(
    solution: Solution, checkins: pd.DataFrame | None, billboards: pd.DataFrame | None
) -> Markup:
    """The map, or a word on why there is none."""
    places = place_frame(solution, billboards)
    if places is None:
        return section(
            "Map",
            note("There is no map: the input has no coordinates of the boards."),
        )
    slots = places["slots"].to_numpy()
    boards = board_frame(solution)
    crowd = "" if checkins is None else " over the check-ins that the plan is built on"
    caption = f"Each blue mark is a place where slots are bought{crowd}; a larger mark means more."
    if boards.empty:
        caption = "The boards on offer; no slot is bought."
    lost = len(boards) - int(np.count_nonzero(slots))
    if lost:
        caption += f" {counted(lost, 'chosen board')} without coordinates cannot be shown."
    largest = ", ".join(
        f"{name} (cost {number(cost)})"
        for name, cost in zip(boards["board_id"][:5], boards["cost"][:5], strict=True)
    )
    alt = f"Map of {counted(len(places), 'board')}, {np.count_nonzero(slots):,} of them chosen."
    alt += f" Most is spent on: {largest}." if largest else ""
    draw = partial(map_figure, solution, checkins, billboards)
    return section("Where", drawn(draw, alt, caption))


def demand_section(solution: Solution) -> Markup:
    """Influence per product, as figure and table."""
    frame = product_frame(solution)
    is_cover = solution.problem.sense == "min"
    shown = frame.head(MAX_ROWS)
    columns = [
        Column("product_id", "Product"),
        Column("achieved", "Influence", number, True),
    ]
    if is_cover:
        columns += [
            Column("demand", "Demand", number, True),
            Column("share", "Share", lambda share: percent(share) if share == share else "", True),
            Column("shortfall", "Shortfall", number, True),
        ]
        if "slots" in frame:
            columns += [
                Column("slots", "Slots", "{:,}".format, True),
                Column("cost", "Cost", number, True),
            ]
        caption = (
            "Influence: how many people of the product's audience are expected to be influenced."
        )
        first = ", ".join(
            f"{name} {percent(share)}"
            for name, share in zip(frame["product_id"][:5], frame["share"][:5], strict=True)
        )
        alt = f"Influence of each product as a share of its demand, the lowest: {first}."
    else:
        columns.append(Column("attainable", "With every slot", number, True))
        if np.any(solution.problem.weight != 1):
            columns.append(Column("weight", "Weight", number, True))
        caption = "Influence: how many people of the audience are expected to be influenced."
        alt = f"Influence of {counted(len(frame), 'product')}."
    figure = drawn(partial(demand_figure, solution), alt, caption)
    if is_cover and not (solution.certificate.demand > 0).any():
        figure = note("No product has a demand.")
    return section(
        "Demand met per product" if is_cover else "Influence per product",
        figure,
        how_many(len(shown), len(frame), "product", "tightest" if is_cover else "most influential"),
        data_table(shown, columns, label="Influence per product"),
    )


def bound_section(solution: Solution) -> Markup:
    """The figure of the plan against its bound."""
    c = solution.certificate
    heading = "Cost against the proven bound" if c.sense == "min" else "Influence against the bound"
    if c.bound is None:
        return section(heading, note("No plan is feasible, so there is no best one to bound."))
    if not c.feasible:
        return section(heading, note("The bound is for plans that meet every demand and limit."))
    caption = wording.proof(solution)
    if solution.status != "optimal":
        saved = "saved" if c.sense == "min" else "gained"
        caption += f" Hatched: what could at most be {saved}."
    draw = partial(bound_figure, solution)
    return section(heading, drawn(draw, wording.bound_title(solution), caption))


def hours_section(solution: Solution) -> Markup:
    """Slots and spend by hour of day."""
    if not solution.selection.any():
        return Markup()
    frame = hour_frame(solution)
    used = frame[frame["slots"] > 0]
    alt = "Slots by hour of the day: " + ", ".join(
        f"{hour:02d}:00 {slots}" for hour, slots in zip(used["hour"], used["slots"], strict=True)
    )
    caption = "A slot counts in the hour it starts in, by the clock of the table of slots."
    return section("When", drawn(partial(hours_figure, solution), alt, caption))


def plan_section(solution: Solution) -> Markup:
    """The plan by slot and by board."""
    plan, boards = plan_frame(solution), board_frame(solution)
    if plan.empty:
        return section("The plan", note("No slot is chosen."))
    cost = Column("cost", "Cost", number, True)
    slots = data_table(
        plan.head(MAX_ROWS),
        [
            Column("slot_id", "Slot"),
            *([Column("product_id", "Product")] if "product_id" in plan else []),
            Column("board_id", "Board"),
            Column("start", "From"),
            Column("end", "To"),
            cost,
            Column("influence", "Influence alone", number, True),
        ],
        label="Chosen slots",
    )
    totals = data_table(
        boards.head(MAX_ROWS),
        [
            Column("board_id", "Board"),
            Column("slots", "Slots", "{:,}".format, True),
            cost,
            Column("first", "First from"),
            Column("last", "Last to"),
        ],
        label="Chosen boards",
    )
    return join(
        [
            section(
                "The plan",
                how_many(min(len(plan), MAX_ROWS), len(plan), "slot", "most expensive"),
                slots,
                note("selection.csv has every slot of the plan."),
            ),
            section(
                "By board",
                how_many(min(len(boards), MAX_ROWS), len(boards), "board", "most expensive"),
                totals,
            ),
        ]
    )


def proof_section(solution: Solution) -> Markup:
    """What is claimed, in full digits, and how each claim can be checked."""
    return trust(
        solution,
        "Feasibility, cost and influence are recomputed in double precision (float64) from the "
        "input tables and the list of slots, by code that imports no solver; a demand counts "
        f"as met within {FEASIBILITY_TOLERANCE:g} of its size.",
        value="Influence",
    )


def _limits(solution: Solution) -> str:
    problem = solution.problem
    if problem.sense == "max" and "budget" in problem.rows.names:
        budget = problem.rows.upper[list(problem.rows.names).index("budget")]
        return f"of a budget of {number(budget)}"
    return "every slot: " + number(problem.cost_of_all)
