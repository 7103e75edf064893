"""Which search goes on around a campaign's best plan."""

from __future__ import annotations

import numpy as np

from jaxcampaign.problems.campaign import Campaign, Priced, flip_costs
from jaxcampaign.solvers.campaign.neighbourhood import Neighbourhoods
from jaxcampaign.solvers.campaign.population import Population

PlanSearch = Population | Neighbourhoods
"""A search that offers plans one after the other."""


def search_near(
    problem: Campaign,
    weights: np.ndarray,
    at: Priced,
    center: np.ndarray,
    chosen: np.ndarray,
    gap: float,
) -> tuple[PlanSearch, np.ndarray]:
    """Crossing many plans where rows only limit, else small programs around one.

    Args:
      problem: the campaign.
      weights: of its risk.
      at: options at the best prices.
      center: bool[N], what those choose.
      chosen: bool[N], the best plan.
      gap: relative gap at which a program stops.

    Returns:
      The search, and the money float64[N] that it pays for options.
    """
    spend, effect = at.share * problem.price, problem.spending.response(at.share)
    value = problem.value_prices(weights) * effect
    flips = flip_costs(problem, at.reduced)
    crossed = Population.of(
        problem,
        chosen,
        value=value,
        spend=spend,
        reduced=at.reduced,
        flips=flips,
        center=center,
    )
    if crossed is not None:
        return crossed, spend
    return Neighbourhoods(problem, value[None], spend, flips, gap), spend
