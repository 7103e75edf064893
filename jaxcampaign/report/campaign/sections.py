"""The parts of a campaign's page, each from a solution to markup."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from jaxcampaign.certificate import FEASIBILITY_TOLERANCE
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
from jaxcampaign.report.campaign import wording
from jaxcampaign.report.campaign.figures import group_figure, value_figure, week_figure
from jaxcampaign.report.campaign.frames import budget_price, group_frame, price_frame, week_frame
from jaxcampaign.report.campaign.frontier import frontier_figure, frontier_frame
from jaxcampaign.report.markup import Column, Markup, data_table, element, folded
from jaxcampaign.report.wording import ceiling, counted, number
from jaxcampaign.solvers import CampaignSolution, Frontier

_CHANGES = ("smallest_change", "least_budget")
_BROKEN = [
    Column("row", "Limit"),
    Column("need", "Asked", number, True),
    Column("have", "To be had", number, True),
]
# Limits that the page shows at once; the others are folded.
_FIRST_LIMITS = 15
_GROUPS = {"genre": "By genre", "event_id": "By event"}


def campaign_sections(
    solution: CampaignSolution,
    title: str,
    run: Mapping[str, Any],
    frontier: Frontier | None = None,
) -> list[Markup]:
    """The page from top to bottom."""
    unit = wording.unit_of(run)
    parts = [headline(solution, title, unit), key_figures(solution, unit), change_section(solution)]
    parts += [group_section(solution, name, unit) for name in _GROUPS]
    parts += [
        week_section(solution, unit),
        bound_section(solution),
        price_section(solution),
        frontier_section(frontier, unit),
        plan_section(solution, unit),
        proof_section(solution),
        making_section(solution, run, leave_out=_CHANGES),
    ]
    return parts


def headline(solution: CampaignSolution, title: str, unit: str) -> Markup:
    """What was asked, and the answer."""
    return element(
        "header",
        element("h1", title),
        element("p", wording.question(solution.problem, unit), class_="asked"),
        element("p", wording.verdict(solution), class_="verdict"),
        element("p", " ".join(wording.answer(solution, unit)), class_="answer"),
        listed(solution.certificate.reasons, label="Reasons"),
        class_="" if solution.certificate.feasible else "failed",
    )


def key_figures(solution: CampaignSolution, unit: str) -> Markup:
    """The numbers that a reader looks for first."""
    problem, c, chosen = solution.problem, solution.certificate, solution.selection
    mean = float((problem.mean * problem.effect(solution.decision)).sum())
    spent = "no budget is given" if problem.budget is None else f"of {number(problem.budget)}"
    cards = [
        card("Posts", f"{chosen.sum():,}", f"of {counted(problem.n_items, 'option')}"),
        _distinct(solution, "influencer_id", "Influencers"),
        _distinct(solution, "event_id", "Events"),
        card("Spend", number(c.cost), spent),
        card(unit[:1].upper() + unit[1:], number(mean), "over all posts"),
    ]
    if c.feasible and c.bound is not None:
        exact = number if solution.status == "optimal" else ceiling
        risk = "after the risk; " if problem.risk_aversion else ""
        word = "" if c.bound_proof == "multipliers" else ", by the solver's search"
        best = f"{risk}none is above {exact(c.bound)}{word}"
        cards.append(card("Value", number(c.value), best))
    if not c.feasible:
        broken = counted(len(c.violations), "limit")
        cards.append(card("Broken", broken, "of this plan", failed=True))
    return element("dl", *cards, class_="figures")


def change_section(solution: CampaignSolution) -> Markup:
    """What would have to give way so that all rules can be kept; nothing where they can."""
    if solution.certificate.feasible:
        return Markup()
    frame = solution.changes()
    heading = "What would have to change"
    if frame.empty:
        return section(
            heading,
            note("No smallest change of the limits was worked out. The plan breaks these."),
            data_table(_broken(solution).head(MAX_ROWS), _BROKEN, label="Broken limits"),
        )
    frame["reason"] = frame["reason"].where(frame["reason"] != "", frame["row"])
    columns = [
        Column("reason", "Limit"),
        Column("need", "Asked", number, True),
        Column("have", "To be had", number, True),
        Column("change", "Change", _signed, True),
    ]
    given, budget = len(frame), solution.statistics.get("least_budget")
    money = Markup()
    if budget is not None and list(frame["row"]) != ["budget"]:
        text = f"Or with a budget of {number(budget)}, and every other limit as it is."
        money = element("p", text)
    return section(
        heading,
        element(
            "p",
            f"If {'this limit' if given == 1 else f'these {given:,} limits'} gave way as far as "
            "stated, the plan on this page would keep every rule. No other way was found that asks "
            "for less, each change taken as a share of its limit.",
        ),
        data_table(frame.head(MAX_ROWS), columns, label="Smallest change"),
        money,
    )


def _broken(solution: CampaignSolution) -> pd.DataFrame:
    """Row, what it asks, and what the plan has, of the limits that it breaks."""
    records = [
        {
            "row": row["row"],
            "need": row["lower"] if row["activity"] < row["lower"] else row["upper"],
            "have": row["activity"],
        }
        for row in solution.certificate.violations
    ]
    return pd.DataFrame(records, columns=[column.name for column in _BROKEN])


def group_section(solution: CampaignSolution, name: str, unit: str) -> Markup:
    """Money and what it brings by group; nothing where the options have no such column."""
    frame = group_frame(solution, name)
    if frame is None or not solution.selection.any():
        return Markup()
    alt = f"{_GROUPS[name]}: " + ", ".join(
        f"{label} spend {number(spend)}, {unit} {number(expected)}"
        for label, spend, expected in zip(
            frame[name].head(8), frame["spend"], frame["expected"], strict=False
        )
    )
    caption = f"Grey: money. Blue: {unit}, as predicted, before any risk is taken off."
    draw = partial(group_figure, solution, name, unit=unit)
    return section(_GROUPS[name], drawn(draw, alt, caption))


def week_section(solution: CampaignSolution, unit: str) -> Markup:
    """Money and what it brings by week."""
    frame = week_frame(solution)
    if frame is None or not solution.selection.any():
        return Markup()
    used = frame[frame["posts"] > 0]
    alt = "Posts by week: " + ", ".join(
        f"{week:%Y-%m-%d} {posts}" for week, posts in zip(used["week"], used["posts"], strict=True)
    )
    caption = "A post counts in the week in which it is posted; weeks begin on Mondays (UTC)."
    return section("By week", drawn(partial(week_figure, solution, unit=unit), alt, caption))


def bound_section(solution: CampaignSolution) -> Markup:
    """The figure of the plan against its bound."""
    c, heading = solution.certificate, "Value against the bound"
    if c.bound is None:
        return section(heading, note("No plan is feasible, so there is no best one to bound."))
    if not c.feasible:
        return section(heading, note("A bound is for plans that keep every rule."))
    if c.value < 0 or c.bound <= 0:
        return section(heading, note(wording.proof(solution)))
    caption = wording.proof(solution)
    if solution.status != "optimal":
        caption += " Hatched: what could at most be gained."
    title = wording.bound_title(solution)
    return section(heading, drawn(partial(value_figure, solution), title, caption))


def price_section(solution: CampaignSolution) -> Markup:
    """What limits the plan, and what more of it would be worth."""
    if not solution.certificate.feasible:
        return Markup()
    heading, frame = "What limits it", price_frame(solution)
    if frame.empty:
        return section(heading, note("No limit has a price: the best posts are bought."))
    columns = [
        Column("limit", "Limit"),
        Column("price", "Worth of one more", _rough, True),
        Column("has", "The plan has", _or_nothing, True),
        Column("most", "Limit", _or_nothing, True),
    ]
    more = wording.more_budget(solution, budget_price(solution))
    below = frame.iloc[_FIRST_LIMITS:MAX_ROWS]
    n_more, rest = len(below), data_table(below, columns, label="More shadow prices")
    return section(
        heading,
        element("p", more) if more else Markup(),
        how_many(min(len(frame), MAX_ROWS), len(frame), "limit", "weightiest"),
        data_table(frame.head(_FIRST_LIMITS), columns, label="Shadow prices"),
        *([folded(rest, summary=f"{counted(n_more, 'more limit')}")] if n_more else []),
        note(
            "Shadow prices: what one more unit of a limit is worth at most, and about that for "
            "small changes; below 0 for what the plan must have at least. They are the proof of "
            "the bound. Limits on posts that are kept exactly within each group have no price. "
            "Those with the most at stake, price times limit, come first."
        ),
    )


def frontier_section(frontier: Frontier | None, unit: str) -> Markup:
    """Plans for other budgets, or other aversions to risk; nothing without them."""
    if frontier is None or not any(plan.certificate.feasible for plan in frontier):
        return Markup()
    frame = frontier_frame(frontier)
    # What an infeasible plan is made of is no answer.
    facts = ["posts", "spend", "mean", "risk", "price", "proven"]
    frame[facts] = frame[facts].astype(float).where(frame["value"].notna())
    money = frontier.varied == "budget"
    columns = [
        Column("budget", "Budget", number, True)
        if money
        else Column("risk_aversion", "Aversion to risk", number, True),
        Column("posts", "Posts", _or_nothing, True),
        Column("spend", "Spend", _or_nothing, True),
        Column("value", "Value", _or_nothing, True),
        Column("proven", "No plan above", partial(_or_nothing, shown=ceiling), True),
        Column("price", "Worth of one more", partial(_or_nothing, shown=_rough), True)
        if money
        else Column("risk", "Risk", _or_nothing, True),
        Column("status", "Status"),
    ]
    if any(plan.problem.risk_aversion for plan in frontier):
        columns.insert(-1, Column("mean", unit[:1].upper() + unit[1:], _or_nothing, True))
    alt = "; ".join(
        f"{row['status']} at {number(row[frontier.varied])}: {_or_nothing(row['value']) or 'none'}"
        for row in frame.to_dict("records")
    )
    caption = (
        "Each plan is solved and certified by itself; all limits but the budget stay as they are."
        if money
        else "Each plan is solved and certified by itself; all but the aversion stays as it is."
    )
    return section(
        "With another budget" if money else "With another aversion to risk",
        drawn(partial(frontier_figure, frontier, unit=unit), f"Value: {alt}", caption),
        data_table(frame, columns, label="Frontier"),
    )


def plan_section(solution: CampaignSolution, unit: str) -> Markup:
    """The posts, the most valuable first."""
    plan = solution.table()
    if plan.empty:
        return section("The plan", note("No post is chosen."))
    if "effect" in plan:  # a part of the price buys a part of the effect
        plan = plan.assign(**{name: plan[name] * plan["effect"] for name in ("mean", "std")})
    paid_in_full = np.allclose(plan["budget"], plan["price"])
    columns = [
        Column("influencer_id", "Influencer"),
        Column("content_type", "Content"),
        Column("event_id", "Event"),
        Column("posted_at", "Posted (UTC)", _moment, wraps=False)
        if "posted_at" in plan
        else Column("offset_hours", "Hours from the event", number, True),
        Column("price", "Price", number, True),
        *([] if paid_in_full else [Column("budget", "Budget", number, True)]),
        Column("mean", unit[:1].upper() + unit[1:], number, True),
        Column("std", "Deviation", number, True),
    ]
    if "why" in plan and solution.certificate.feasible:
        columns.append(Column("why", "Why"))
    return section(
        "The plan",
        how_many(min(len(plan), MAX_ROWS), len(plan), "post", "most valuable"),
        data_table(plan.head(MAX_ROWS), columns, label="Chosen posts"),
        note("selection.csv has every post of the plan."),
    )


def proof_section(solution: CampaignSolution) -> Markup:
    """What is claimed, in full digits, and how each claim can be checked."""
    return trust(
        solution,
        "Feasibility, spend and value are recomputed in double precision (float64) from the table "
        "of options and the list of posts, by code that imports no solver; a limit counts as kept "
        f"within {FEASIBILITY_TOLERANCE:g} of its size. That the predictions come true is not a "
        "part of the proof.",
        value="Value",
    )


def _distinct(solution: CampaignSolution, name: str, label: str) -> Markup:
    ids = solution.problem.options[name].astype("str").to_numpy(object)
    chosen, every = (len(pd.unique(part)) for part in (ids[solution.selection], ids))
    return card(label, f"{chosen:,}", f"of {every:,}")


def _signed(value: float) -> str:
    return f"+{number(value)}" if value > 0 else number(value)


def _or_nothing(value: float, shown: Callable[[float], str] = number) -> str:
    return "" if np.isnan(value) else shown(value)


def _rough(value: float) -> str:
    return number(value, 3)


def _moment(time: pd.Timestamp) -> str:
    return f"{time:%Y-%m-%d}\N{NO-BREAK SPACE}{time:%H:%M}"
