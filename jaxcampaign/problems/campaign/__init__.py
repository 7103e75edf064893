"""Campaigns: which posts should a budget buy."""

from jaxcampaign.problems.campaign.assessment import violations
from jaxcampaign.problems.campaign.constraints import (
    AtLeast,
    AtMost,
    Conflict,
    Constraint,
    Exclude,
    MaxShare,
    Require,
)
from jaxcampaign.problems.campaign.families import Family
from jaxcampaign.problems.campaign.lagrangian import (
    CampaignMultipliers,
    Priced,
    best_few,
    bound_at,
    campaign_bound,
    chosen_at,
    flip_costs,
    priced,
    refuting_excess,
)
from jaxcampaign.problems.campaign.problem import Campaign, Decision
from jaxcampaign.problems.campaign.reach import out_of_reach
from jaxcampaign.problems.campaign.risk import (
    BudgetOfDeviations,
    ConditionalShortfall,
    FactorDeviation,
    SummedDeviation,
)
from jaxcampaign.problems.campaign.spending import ConcaveResponse, FixedPrice, MinimumSpend

__all__ = [
    "AtLeast",
    "AtMost",
    "BudgetOfDeviations",
    "Campaign",
    "CampaignMultipliers",
    "ConcaveResponse",
    "ConditionalShortfall",
    "Conflict",
    "Constraint",
    "Decision",
    "Exclude",
    "FactorDeviation",
    "Family",
    "FixedPrice",
    "MaxShare",
    "MinimumSpend",
    "Priced",
    "Require",
    "SummedDeviation",
    "best_few",
    "bound_at",
    "campaign_bound",
    "chosen_at",
    "flip_costs",
    "out_of_reach",
    "priced",
    "refuting_excess",
    "violations",
]
