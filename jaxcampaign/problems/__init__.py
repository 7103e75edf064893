"""What is asked: objectives, constraint rows, problems, and the multipliers that prove bounds."""

from jaxcampaign.problems.assessment import FEASIBILITY_TOLERANCE, Assessment, Problem
from jaxcampaign.problems.branching import (
    BranchedMultipliers,
    Proof,
    proven_bound,
    refutation,
    tightest,
)
from jaxcampaign.problems.campaign import (
    AtLeast,
    AtMost,
    BudgetOfDeviations,
    Campaign,
    CampaignMultipliers,
    ConcaveResponse,
    ConditionalShortfall,
    Conflict,
    Exclude,
    FactorDeviation,
    FixedPrice,
    MaxShare,
    MinimumSpend,
    Require,
    SummedDeviation,
)
from jaxcampaign.problems.cuts import Cuts
from jaxcampaign.problems.disjoint import DisjointSlots
from jaxcampaign.problems.lagrangian import Multipliers, lagrangian_bound
from jaxcampaign.problems.objectives import ProductInfluence, SetFunction, reach_reference
from jaxcampaign.problems.rounding import RoundedRows
from jaxcampaign.problems.rows import Rows
from jaxcampaign.problems.slots import (
    BudgetedSlots,
    CommonSlots,
    SlotProblem,
)
from jaxcampaign.problems.wrappers import Truncated, Weighted

__all__ = [
    "FEASIBILITY_TOLERANCE",
    "Assessment",
    "AtLeast",
    "AtMost",
    "BranchedMultipliers",
    "BudgetOfDeviations",
    "BudgetedSlots",
    "Campaign",
    "CampaignMultipliers",
    "CommonSlots",
    "ConcaveResponse",
    "ConditionalShortfall",
    "Conflict",
    "Cuts",
    "DisjointSlots",
    "Exclude",
    "FactorDeviation",
    "FixedPrice",
    "MaxShare",
    "MinimumSpend",
    "Multipliers",
    "Problem",
    "ProductInfluence",
    "Proof",
    "Require",
    "RoundedRows",
    "Rows",
    "SetFunction",
    "SlotProblem",
    "SummedDeviation",
    "Truncated",
    "Weighted",
    "lagrangian_bound",
    "proven_bound",
    "reach_reference",
    "refutation",
    "tightest",
]
