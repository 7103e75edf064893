"""The report: one self-contained HTML page from a solution."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import pandas as pd

from jaxcampaign.report.campaign.sections import campaign_sections
from jaxcampaign.report.markup import Markup, element, join
from jaxcampaign.report.sections import slot_sections
from jaxcampaign.solvers import CampaignSolution, Frontier, Solution
from jaxcampaign.tables import replacing


def write_report(
    solution: Solution,
    path: str | os.PathLike[str],
    *,
    checkins: pd.DataFrame | None = None,
    billboards: pd.DataFrame | None = None,
    title: str | None = None,
    run: Mapping[str, Any] | None = None,
    frontier: Frontier | None = None,
) -> None:
    """Write the report of a solution as one HTML file that needs nothing else.

    No scripts and no requests: figures and style are inside. The file appears whole or not at
    all. Arguments as for `report_html`.

    Args:
      solution: the plan.
      path: the file, by custom `report.html`.
      checkins: table with lat and lon, the background of the map.
      billboards: table with board_id, lat, lon: where the boards are.
      title: heading of the page.
      run: how it was computed: any nested mapping of names to values, such as `run.json`.
      frontier: of a campaign, plans for other budgets or aversions to risk.

    Raises:
      InputError: a table for the map lacks a column.
      OSError: the file cannot be written.
    """
    page = report_html(
        solution,
        checkins=checkins,
        billboards=billboards,
        title=title,
        run=run,
        frontier=frontier,
    )
    with replacing(path) as file:
        file.write(page.encode("utf-8"))


def report_html(
    solution: Solution,
    *,
    checkins: pd.DataFrame | None = None,
    billboards: pd.DataFrame | None = None,
    title: str | None = None,
    run: Mapping[str, Any] | None = None,
    frontier: Frontier | None = None,
) -> str:
    """The report of a solution as text, also for notebooks: `IPython.display.HTML(text)`.

    Args:
      solution: the plan.
      checkins: table with lat and lon, the background of the map.
      billboards: table with board_id, lat, lon: where the boards are; without it, columns lat
        and lon of the slots are used. Without either, the report has no map and says so.
      title: heading of the page.
      run: how it was computed: any nested mapping of names to values, such as `run.json`; for
        campaigns its inputs say which outcome is predicted.
      frontier: of a campaign, plans for other budgets or aversions to risk.

    Raises:
      InputError: a table for the map lacks a column.
    """
    if isinstance(solution, CampaignSolution):
        title = title or "Campaign plan"
        sections = campaign_sections(solution, title, run or {}, frontier)
    else:
        title = title or "Billboard plan"
        sections = slot_sections(solution, title, checkins, billboards, run or {})
    body = element("main", *sections, class_="jc-report")
    style = files("jaxcampaign.report").joinpath("report.css").read_text("utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Markup(style)),
    )
    page = element("html", head, element("body", body, style="margin: 0"), lang="en")
    return str(join([Markup("<!DOCTYPE html>\n"), page, Markup("\n")]))
