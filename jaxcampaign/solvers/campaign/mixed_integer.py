"""Campaigns by HiGHS: one linear program, and risk as cuts where it is attained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jaxcampaign.errors import InputError
from jaxcampaign.problems.campaign import Campaign, CampaignMultipliers
from jaxcampaign.relaxations.campaign.program import CoreProgram
from jaxcampaign.solvers.base import Clock, Finding
from jaxcampaign.solvers.campaign.candidates import Candidates, refuted
from jaxcampaign.solvers.campaign.greedy import pack_by_density

# Rounds of cuts at most, of the relaxation and of branch and bound.
_RELAXED_ROUNDS, _WHOLE_ROUNDS = 200, 200


def solve_whole(problem: Campaign, *, gap: float, clock: Clock) -> Finding:
    """Branch and bound over all options, each bought whole.

    A risk that is the worst of many linear prices, `max_q (R q) . y`, is met by a few of them: the
    worst at each answer is added, first for the relaxation, whose dual mixes the q of the proof,
    and then for whole options (Kelley, 1960).

    Raises:
      InputError: the campaign's options need not be bought whole.
    """
    if problem.spending.least < 1:
        raise InputError(
            "buys options whole, and here money is decided on as well",
            table="solver",
            value="MixedInteger",
            remedy="use DualDecomposition",
        )
    weights = [CampaignMultipliers.zero(problem).weights]
    values = [problem.value_prices(weights[0])]
    n_weights = len(weights[0])
    best = CampaignMultipliers.zero(problem)
    bound = problem.proven_bound(best)
    statistics: dict[str, object] = {"options": problem.n_items}
    rounds = 0
    while rounds < _RELAXED_ROUNDS:
        rounds += 1
        answer = CoreProgram.whole(problem, np.array(values)).solve(
            integer=False, seconds=clock.left
        )
        if answer.infeasible:
            return refuted(problem, best, clock)
        if answer.price is None or answer.mixture is None or answer.fraction is None:
            break
        mixed = np.array(weights).T @ answer.mixture if n_weights else weights[0]
        multipliers = answer.multipliers(problem, mixed)
        found = problem.proven_bound(multipliers)
        if found < bound:
            best, bound = multipliers, found
        if not n_weights or not problem.risk_aversion or clock.out:
            break
        worst = problem.measure.worst(answer.fraction)
        value = problem.value_prices(worst)
        if answer.bound - value @ answer.fraction <= gap / 2 * abs(answer.bound):
            break
        weights.append(worst)
        values.append(value)
    chosen, worth, claimed = None, -np.inf, bound
    turns = 0
    while turns < _WHOLE_ROUNDS and not clock.out:
        turns += 1
        answer = CoreProgram.whole(problem, np.array(values)).solve(
            integer=True, seconds=clock.left, gap=gap / 2, start=chosen
        )
        if answer.infeasible:
            return refuted(problem, best, clock)
        claimed = min(claimed, answer.bound)
        if answer.chosen is None:
            break
        facts = problem.assess(answer.chosen)
        if facts.feasible and facts.value > worth:
            chosen, worth = answer.chosen, facts.value
        if not n_weights or claimed - worth <= gap * abs(worth):
            break
        worst = problem.measure.worst(answer.chosen.astype(np.float64))
        if any(np.array_equal(worst, known) for known in weights):
            break
        weights.append(worst)
        values.append(problem.value_prices(worst))
    statistics |= {"relaxed_rounds": rounds, "whole_rounds": turns}
    if chosen is None:
        # None in time: a plan that keeps upper limits by construction is better than none.
        packed = Candidates(problem, best)
        pack_by_density(packed, clock)
        return replace(packed.finding(clock, **statistics), solver_bound=max(claimed, packed.worth))
    return Finding(chosen, best, max(claimed, worth), limit_hit=clock.out, statistics=statistics)
