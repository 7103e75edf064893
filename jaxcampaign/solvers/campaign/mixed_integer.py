"""Campaigns by HiGHS: one linear program, and risk as cuts where it is attained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jaxcampaign.errors import InputError
from jaxcampaign.problems.campaign import Campaign
from jaxcampaign.relaxations.campaign.cutting import relax
from jaxcampaign.relaxations.campaign.program import CoreProgram
from jaxcampaign.solvers.base import Clock, Finding
from jaxcampaign.solvers.campaign.candidates import Candidates, refuted
from jaxcampaign.solvers.campaign.greedy import pack_by_density

# Rounds of cuts at most.
_WHOLE_ROUNDS = 200


def solve_whole(problem: Campaign, *, gap: float, clock: Clock) -> Finding:
    """Branch and bound over all options, each bought whole.

    The cuts that the relaxation made of a risk stay, and the worst prices at each answer are added
    (Kelley, 1960).

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
    relaxed = relax(problem, gap=gap / 2, end=clock.end)
    best = relaxed.multipliers
    if relaxed.infeasible:
        return refuted(problem, best, clock)
    weights, values = list(relaxed.weights), list(relaxed.values)
    risky = bool(problem.risk_aversion and len(weights[0]))
    chosen, worth, claimed = None, -np.inf, relaxed.bound
    turns = 0
    while turns < _WHOLE_ROUNDS and not clock.out:
        turns += 1
        answer = CoreProgram.whole(problem, np.array(values)).solve(
            integer=True, seconds=clock.left, gap=gap / 2, start=chosen
        )
        if answer.infeasible:
            if chosen is None:
                return refuted(problem, best, clock)
            break
        claimed = min(claimed, answer.bound)
        if answer.chosen is None:
            break
        facts = problem.assess(answer.chosen)
        if facts.feasible and facts.value > worth:
            chosen, worth = answer.chosen, facts.value
        if not risky or claimed - worth <= gap * abs(worth):
            break
        worst = problem.measure.worst(answer.chosen.astype(np.float64))
        if any(np.array_equal(worst, known) for known in weights):
            break
        weights.append(worst)
        values.append(problem.value_prices(worst))
    statistics: dict[str, object] = {
        "options": problem.n_items,
        "relaxed_rounds": relaxed.rounds,
        "whole_rounds": turns,
    }
    if chosen is None:
        # None in time: a plan that keeps upper limits by construction is better than none.
        packed = Candidates(problem, best)
        pack_by_density(packed, clock)
        return replace(packed.finding(clock, **statistics), solver_bound=max(claimed, packed.worth))
    return Finding(chosen, best, max(claimed, worth), limit_hit=clock.out, statistics=statistics)
