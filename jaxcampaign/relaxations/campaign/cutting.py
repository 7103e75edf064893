"""The linear relaxation of a whole campaign: options in fractions, risk as cuts.

A risk that is the worst of many linear prices, `max_q (R q) . y`, is met by a few of them: the
worst at each point is added as a row, and the program's dual mixes the q of the proof (Kelley,
1960). Where money is decided on as well, each option gets the share of its price that the smoothed
dual gives it: the bound holds whatever the shares are, and is tight where these prices are.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from jaxcampaign.problems.campaign import Campaign, CampaignMultipliers, priced
from jaxcampaign.progress import moment
from jaxcampaign.relaxations.campaign.pricing import price_steps
from jaxcampaign.relaxations.campaign.program import CoreProgram

# Rounds of cuts at most.
_ROUNDS = 200


@dataclass(frozen=True, eq=False)
class RelaxedCampaign:
    """What the relaxation found.

    Attributes:
      point: float64[N], fractions of options; None without an answer.
      money: float64[N], what an option gets if it is chosen.
      multipliers: the best proof.
      bound: what it proves.
      infeasible: not even fractions keep all rows, with the money as it is.
      rounds: linear programs solved.
      weights: float64[T, n], of the risk, whose cuts were added.
      values: float64[T, N], what options are worth at each of them.
    """

    point: np.ndarray | None
    money: np.ndarray
    multipliers: CampaignMultipliers
    bound: float
    infeasible: bool
    rounds: int
    weights: np.ndarray
    values: np.ndarray


def relax(problem: Campaign, *, gap: float = 1e-7, end: float = np.inf) -> RelaxedCampaign:
    """Solve the relaxation by HiGHS.

    Args:
      problem: the campaign.
      gap: relative gap of the risk at which no more cuts are added.
      end: when to stop, in seconds of `time.monotonic`.
    """
    best, bound = CampaignMultipliers.zero(problem), problem.trivial_bound
    known = [best]
    if problem.spending.least < 1:
        known = [step.multipliers for step in price_steps(problem, end=end)]
    for multipliers in known:
        found = problem.proven_bound(multipliers)
        if found < bound:
            best, bound = multipliers, found
    share = priced(problem, best).share
    money, effect = problem.paid(share), problem.spending.response(share)
    weights = [best.weights]
    values = [problem.value_prices(best.weights) * effect]
    risky = bool(problem.risk_aversion and len(best.weights))
    point, rounds, infeasible = None, 0, False
    none = np.zeros(problem.n_items, bool)
    while rounds < _ROUNDS and not (rounds and moment() >= end):
        rounds += 1
        program = CoreProgram(problem, np.array(values), money, np.arange(problem.n_items), none)
        answer = program.solve(integer=False, seconds=max(end - time.monotonic(), 0.0))
        if answer.infeasible:
            point, infeasible = None, True
            break
        if answer.fraction is None or answer.price is None or answer.mixture is None:
            break
        point = answer.fraction
        mixed = np.array(weights).T @ answer.mixture if risky else weights[0]
        multipliers = answer.multipliers(problem, mixed)
        found = problem.proven_bound(multipliers)
        if found < bound:
            best, bound = multipliers, found
        if not risky:
            break
        worst = problem.measure.worst(point * effect)
        value = problem.value_prices(worst) * effect
        if answer.bound - value @ point <= gap * abs(answer.bound):
            break
        weights.append(worst)
        values.append(value)
    return RelaxedCampaign(
        point, money, best, bound, infeasible, rounds, np.array(weights), np.array(values)
    )
