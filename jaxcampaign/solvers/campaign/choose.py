"""The solver of a campaign by its size and structure."""

from __future__ import annotations

from jaxcampaign.problems.campaign import Campaign
from jaxcampaign.solvers.base import Solver
from jaxcampaign.solvers.campaign.dual_decomposition import DualDecomposition
from jaxcampaign.solvers.campaign.population import only_limits
from jaxcampaign.solvers.mixed_integer import MixedInteger

# Options up to which branch and bound takes all of them at once.
_FEW = 2000
# Seconds for each option, where there are more than so many.
_SECONDS_PER_OPTION, _MANY = 3e-5, 2_000_000


def choose_campaign_solver(problem: Campaign) -> tuple[Solver, str]:
    """The solver that `solve` takes by default, and why."""
    n = problem.n_items
    size = f"{n:,} options"
    # Crossing plans needs values that add up.
    knapsack = only_limits(problem) and problem.is_linear
    if n <= _FEW and problem.spending.least == 1 and not knapsack:
        return MixedInteger(), f"{size}: branch and bound over all of them"
    if n > _MANY:
        limit = n * _SECONDS_PER_OPTION
        return DualDecomposition(time_limit=limit), f"{size}: prices of rows, then a core"
    return DualDecomposition(), f"{size}: prices of rows, then a core"
