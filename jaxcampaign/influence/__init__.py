"""Who can see which slot: geometry, exposure, probability links, the sparse slot-user matrix."""

from jaxcampaign.influence.build import build_influence
from jaxcampaign.influence.exposure import count_exposures, find_exposures
from jaxcampaign.influence.links import (
    Clip,
    IndependentExposures,
    Link,
    ProportionalHits,
    SizeRatio,
)
from jaxcampaign.influence.matrix import Influence
from jaxcampaign.influence.supply import experiment_demands, influence_proportional_cost, supply

__all__ = [
    "Clip",
    "IndependentExposures",
    "Influence",
    "Link",
    "ProportionalHits",
    "SizeRatio",
    "build_influence",
    "count_exposures",
    "experiment_demands",
    "find_exposures",
    "influence_proportional_cost",
    "supply",
]
