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
from jaxcampaign.relaxations.campaign.program import CoreProgram
from jaxcampaign.relaxations.campaign.smoothed.newton import minimise
from jaxcampaign.relaxations.campaign.smoothed.oracle import Coupling

# Rounds of cuts at most, and steps of the weights of a risk where money is decided on.
_ROUNDS, _RISK_ROUNDS = 200, 12


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
    """

    point: np.ndarray | None
    money: np.ndarray
    multipliers: CampaignMultipliers
    bound: float
    infeasible: bool
    rounds: int


def relax(
    problem: Campaign,
    *,
    gap: float = 1e-7,
    end: float = np.inf,
    warm: CampaignMultipliers | None = None,
) -> RelaxedCampaign:
    """Solve the relaxation by HiGHS.

    Args:
      problem: the campaign.
      gap: relative gap of the risk at which no more cuts are added.
      end: when to stop, in seconds of `time.monotonic`.
      warm: prices of an earlier answer, for problems in which money is decided on.
    """
    best, bound = CampaignMultipliers.zero(problem), problem.trivial_bound
    known = [best]
    if problem.spending.least < 1:
        known = _prices(problem, warm, end)
    for multipliers in known:
        found = problem.proven_bound(multipliers)
        if found < bound:
            best, bound = multipliers, found
    share = priced(problem, best).share
    money, effect = problem.paid(share), problem.spending.response(share)
    weights = [best.weights]
    values = [problem.value_prices(best.weights) * effect]
    risky = bool(problem.risk_aversion and len(best.weights))
    point, rounds = None, 0
    none = np.zeros(problem.n_items, bool)
    while rounds < _ROUNDS and not (rounds and moment() >= end):
        rounds += 1
        program = CoreProgram(problem, np.array(values), money, np.arange(problem.n_items), none)
        answer = program.solve(integer=False, seconds=max(end - time.monotonic(), 0.0))
        if answer.infeasible:
            return RelaxedCampaign(None, money, best, bound, True, rounds)
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
    return RelaxedCampaign(point, money, best, bound, False, rounds)


def _prices(
    problem: Campaign, warm: CampaignMultipliers | None, end: float
) -> list[CampaignMultipliers]:
    """Prices from the smoothed dual; weights of risk step towards the worst (Frank, Wolfe)."""
    weights, known, found = CampaignMultipliers.zero(problem).weights, None, []
    risky = bool(problem.risk_aversion and len(weights))
    for turn in range(_RISK_ROUNDS if risky else 1):
        coupling = Coupling.of(problem, weights)
        known = coupling.price_of(problem, warm) if turn == 0 else known
        prices = minimise(coupling, known, end=end)
        known = prices.price
        found.append(coupling.multipliers(problem, known, weights))
        if not risky or moment() >= end:
            break
        worst = problem.measure.worst(prices.effect(problem.n_items))
        weights = weights + 2 / (turn + 2) * (worst - weights)
    return found
