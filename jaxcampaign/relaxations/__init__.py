"""Easier problems whose answers bound the true one, with the multipliers that prove it."""

from jaxcampaign.relaxations.extension.closed_form import (
    multilinear,
    multilinear_gradients,
    multilinear_value_and_gradient,
)
from jaxcampaign.relaxations.extension.continuous_greedy import ContinuousGreedy
from jaxcampaign.relaxations.extension.monte_carlo import Estimate, MonteCarlo
from jaxcampaign.relaxations.first_order.relaxation import FirstOrderRelaxation
from jaxcampaign.relaxations.linear import LinearRelaxation, Relaxation, Relaxed
from jaxcampaign.relaxations.prefix import prefix_bound

__all__ = [
    "ContinuousGreedy",
    "Estimate",
    "FirstOrderRelaxation",
    "LinearRelaxation",
    "MonteCarlo",
    "Relaxation",
    "Relaxed",
    "multilinear",
    "multilinear_gradients",
    "multilinear_value_and_gradient",
    "prefix_bound",
]
