"""The solver of a campaign by its size and structure."""

from __future__ import annotations

from jaxcampaign.problems.campaign import Campaign
from jaxcampaign.solvers.base import Solver
from jaxcampaign.solvers.campaign.dual_decomposition import DualDecomposition


def choose_campaign_solver(problem: Campaign) -> tuple[Solver, str]:
    """The solver that `solve` takes by default, and why."""
    return DualDecomposition(), f"{problem.n_items:,} options: prices of rows, then a core"
