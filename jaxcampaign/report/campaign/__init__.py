"""What a person sees of a campaign: where the money goes, and what limits it."""

from jaxcampaign.report.campaign.figures import group_figure, value_figure, week_figure
from jaxcampaign.report.campaign.frames import group_frame, price_frame, week_frame
from jaxcampaign.report.campaign.frontier import frontier_figure

__all__ = [
    "frontier_figure",
    "group_figure",
    "group_frame",
    "price_frame",
    "value_figure",
    "week_figure",
    "week_frame",
]
