"""What a person sees of a solution: tidy tables, figures, and one self-contained page."""

from jaxcampaign.report.campaign import (
    frontier_figure,
    group_figure,
    group_frame,
    price_frame,
    value_figure,
    week_figure,
    week_frame,
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
from jaxcampaign.report.page import report_html, write_report

__all__ = [
    "board_frame",
    "bound_figure",
    "demand_figure",
    "frontier_figure",
    "group_figure",
    "group_frame",
    "hour_frame",
    "hours_figure",
    "map_figure",
    "place_frame",
    "plan_frame",
    "price_frame",
    "product_frame",
    "report_html",
    "value_figure",
    "week_figure",
    "week_frame",
    "write_report",
]
