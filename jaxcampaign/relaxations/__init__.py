"""Easier problems whose answers bound the true one, with the multipliers that prove it."""

from jaxcampaign.relaxations.linear import LinearRelaxation, Relaxed
from jaxcampaign.relaxations.prefix import prefix_bound

__all__ = ["LinearRelaxation", "Relaxed", "prefix_bound"]
