"""Cheap prices of a campaign's rows: each family's rows at once, by bisection, family by family.

Groups of one family share no option, so with the prices of all other families held, the price of
each of its rows can be sought alone: synchronous coordinate descent on the dual (Zhang, Qi, Hua,
Yang, "Solving billion-scale knapsack problems", WWW 2020). It needs no second derivatives and may
stop short of the optimum where families interact; its bound holds anyway, and only improvements are
kept.
"""

from __future__ import annotations

import numpy as np

from jaxcampaign.problems.campaign import Campaign, CampaignMultipliers, best_few, priced
from jaxcampaign.progress import moment

_SWEEPS, _BISECTIONS = 3, 14


def coordinate_prices(
    problem: Campaign, *, sweeps: int = _SWEEPS, end: float = np.inf
) -> tuple[CampaignMultipliers, float]:
    """Prices of the rows of families, and the bound that they prove.

    Rows with flags and of windows have no price. Weights of a risk step towards the worst at the
    choice of each sweep.

    Args:
      problem: the campaign.
      sweeps: times that each family has its turn.
      end: when to stop, in seconds of `time.monotonic`.
    """
    best, bound = CampaignMultipliers.zero(problem), problem.trivial_bound
    families = problem.families
    begin = np.concatenate([[0], np.cumsum([len(family) for family in families])]).astype(np.int64)
    signed, weights = np.zeros(len(best.upper)), best.weights
    risky = bool(problem.risk_aversion and len(weights))
    # Money first: it binds nearly always.
    turns = [k for k in range(len(families)) if k != problem.kept]
    turns.sort(key=lambda k: families[k].acts != "spend")
    for sweep in range(sweeps):
        before = bound
        for k in turns:
            if moment() >= end:
                return best, bound
            rows = slice(begin[k], begin[k + 1])
            for side in _bisected(problem, k, signed, rows, weights):
                trial = signed.copy()
                trial[rows] = side
                multipliers = CampaignMultipliers.of(problem, trial, weights)
                found = problem.proven_bound(multipliers)
                if found < bound:
                    best, bound, signed = multipliers, found, trial
        if not risky and bound >= before * (1 - 1e-6):
            break
        if risky:
            at = priced(problem, CampaignMultipliers.of(problem, signed, weights))
            effect = np.where(best_few(problem, at.reduced), problem.spending.response(at.share), 0)
            weights = weights + 2 / (sweep + 2) * (problem.measure.worst(effect) - weights)
            multipliers = CampaignMultipliers.of(problem, signed, weights)
            found = problem.proven_bound(multipliers)
            if found < bound:
                best, bound = multipliers, found
    return best, bound


def _bisected(
    problem: Campaign, k: int, signed: np.ndarray, rows: slice, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of the last interval of each row's price, float64[G], all others held."""
    family = problem.families[k]
    decision = problem.price if family.acts == "spend" else np.ones(problem.n_items)
    use = np.abs(family.weights(decision))
    own = np.flatnonzero(use > 0)
    free = signed.copy()
    free[rows] = 0.0
    at = priced(problem, CampaignMultipliers.of(problem, free, weights))
    # At a price so high nothing of a group is worth it, and at so low a one everything is.
    reach = np.abs(at.reduced[own]) / use[own]
    most = np.zeros(len(family))
    np.maximum.at(most, family.group[own], reach)
    most *= 1 + 1e-9
    low = np.where(np.isfinite(family.lower), -most, 0.0)
    high = np.where(np.isfinite(family.upper), most, 0.0)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        free[rows] = middle
        at = priced(problem, CampaignMultipliers.of(problem, free, weights))
        chosen = best_few(problem, at.reduced).astype(np.float64)
        money = chosen * at.share * problem.price if family.acts == "spend" else chosen
        activity = family.activity(money)
        up = (activity > family.upper) | ((middle < 0) & (activity >= family.lower))
        low, high = np.where(up, middle, low), np.where(up, high, middle)
    return low, high
