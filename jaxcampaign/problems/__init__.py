"""What is asked: objectives, constraint rows, problems, and the multipliers that prove bounds."""

from jaxcampaign.problems.cuts import Cuts
from jaxcampaign.problems.lagrangian import Multipliers, lagrangian_bound
from jaxcampaign.problems.objectives import ProductInfluence, SetFunction, reach_reference
from jaxcampaign.problems.rows import Rows
from jaxcampaign.problems.slots import (
    FEASIBILITY_TOLERANCE,
    BudgetedSlots,
    CommonSlots,
    SlotProblem,
)

__all__ = [
    "FEASIBILITY_TOLERANCE",
    "BudgetedSlots",
    "CommonSlots",
    "Cuts",
    "Multipliers",
    "ProductInfluence",
    "Rows",
    "SetFunction",
    "SlotProblem",
    "lagrangian_bound",
    "reach_reference",
]
