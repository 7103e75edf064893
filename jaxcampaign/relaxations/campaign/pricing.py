"""Prices of rows by the smoothed dual, at weights of the risk that step towards the worst."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxcampaign.problems.campaign import Campaign, CampaignMultipliers
from jaxcampaign.progress import moment
from jaxcampaign.relaxations.campaign.smoothed.newton import minimise
from jaxcampaign.relaxations.campaign.smoothed.oracle import Coupling

# Steps of the weights of a risk.
_RISK_STEPS = 12


class Step(NamedTuple):
    """Prices for one choice of the risk's weights, and the evaluations of the dual they took."""

    multipliers: CampaignMultipliers
    evaluations: int


def price_steps(
    problem: Campaign,
    start: CampaignMultipliers | None = None,
    reduced: np.ndarray | None = None,
    *,
    end: float = np.inf,
) -> Iterator[Step]:
    """Prices for the weights of the risk to begin with, then for weights nearer to the worst.

    The k-th step mixes the worst weights at the last choice in by 2 / (k + 1) (Frank and Wolfe).

    Args:
      problem: the campaign.
      start: multipliers to begin with.
      reduced: float64[N], reduced values at these: options that stand badly in them are left out.
      end: when to stop, in seconds of `time.monotonic`.
    """
    weights = CampaignMultipliers.zero(problem).weights if start is None else start.weights
    risky = bool(problem.risk_aversion and len(weights))
    known = None
    for turn in range(_RISK_STEPS if risky else 1):
        coupling = Coupling.of(problem, weights, reduced)
        if turn == 0 and start is not None:
            known = coupling.price_of(problem, start)
        found = minimise(coupling, known, end=end)
        known = found.price
        yield Step(coupling.multipliers(problem, known, weights), found.evaluations)
        if not risky or moment() >= end:
            return
        worst = problem.measure.worst(found.effect(problem.n_items))
        weights = weights + 2 / (turn + 2) * (worst - weights)
