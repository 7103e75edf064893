"""Rounding of a campaign's linear relaxation: thresholds and coin flips, packed, then exchanged."""

from __future__ import annotations

import jax
import numpy as np

from jaxcampaign.problems.campaign import Campaign, flip_costs, priced
from jaxcampaign.progress import progress
from jaxcampaign.relaxations.campaign.cutting import RelaxedCampaign, relax
from jaxcampaign.relaxations.campaign.program import CoreProgram
from jaxcampaign.solvers.base import Clock, Finding
from jaxcampaign.solvers.campaign.candidates import Candidates, refuted
from jaxcampaign.solvers.campaign.exchange import exchange
from jaxcampaign.solvers.campaign.greedy import pack_by_density
from jaxcampaign.solvers.campaign.packing import Packing, Preference, total_of

# A repair by branch and bound frees so many options at first, and so many times more each turn.
_FREED, _GROWTH = 300, 6
# It looks for any plan: gap at which it stops, and seconds for each size.
_REPAIR_GAP, _REPAIR_SECONDS = 1e-2, 30.0


def round_campaign(
    problem: Campaign,
    *,
    thresholds: tuple[float, ...],
    samples: int,
    polish: int,
    key: jax.Array,
    clock: Clock,
) -> Finding:
    """Round the relaxation of a campaign; the key is consumed.

    Options at or above each threshold come first, and in each sample those that win a coin flip
    with their fraction as the chance; the others follow by what they are worth beyond the price of
    their rows. Packing takes them in this order, what constraints ask for first, so that no upper
    limit is broken; greedy's orders at the relaxation's prices are tried as well. Where no order
    leads to a plan, branch and bound looks for one over the options that prices settle least
    (relaxation induced neighbourhoods: Danna, Rothberg, Le Pape, 2005). The best few plans are
    polished by exchanges. All options are in one linear program: up to some 10^5 of them.
    """
    relaxed = relax(problem, end=clock.end)
    whole = problem.spending.least == 1
    if relaxed.infeasible and whole:
        return refuted(problem, relaxed.multipliers, clock)
    at = priced(problem, relaxed.multipliers)
    found = Candidates(problem, relaxed.multipliers)
    point = np.zeros(problem.n_items) if relaxed.point is None else relaxed.point
    value = problem.value_prices(relaxed.multipliers.weights)
    moneys = [relaxed.money] if whole else [relaxed.money, problem.price]
    scores = [np.where(point >= threshold, 1 + point, 0.0) for threshold in thresholds]
    for sample in jax.random.split(key, samples):
        coins = np.asarray(jax.random.uniform(sample, point.shape))
        scores.append(np.where(coins < point, 1 + point, 0.0))
    scores = list({score.tobytes(): score for score in scores}.values())
    scale = np.abs(at.reduced).max(initial=0.0) or 1.0
    with progress(len(moneys) * len(scores), "round and repair", "plan") as bar:
        for money in moneys:
            packing = Packing(problem, money)
            totals = np.array([total_of(family, money, point) for family in problem.families])
            for score in scores:
                if clock.out and found.decision is not None:
                    break
                wanted = 2 * score + at.reduced / scale
                chosen = packing.packed(Preference.by(wanted, wanted, value), totals)
                found.offer(packing.trimmed(chosen, wanted), money)
                bar.update()
    pack_by_density(found, clock)
    repaired = 0
    if found.decision is None:
        repaired, impossible = _repair(problem, relaxed, found, clock)
        if impossible and whole:
            return refuted(problem, relaxed.multipliers, clock)
    plans = len(found.plans)
    for chosen, money in found.best_choices(polish):
        better = exchange(problem, chosen, money, at.reduced, clock)
        found.offer(better, money)
        for choice in (chosen, better):
            found.share_out(choice, clock.left)
    return found.finding(clock, lp_rounds=relaxed.rounds, plans=plans, freed_options=repaired)


def _repair(
    problem: Campaign, relaxed: RelaxedCampaign, found: Candidates, clock: Clock
) -> tuple[int, bool]:
    """Any plan, by branch and bound on growing cores; how many were freed, and whether none is."""
    at = priced(problem, relaxed.multipliers)
    flips = flip_costs(problem, at.reduced)
    point = np.zeros(problem.n_items) if relaxed.point is None else relaxed.point
    free = np.flatnonzero(~problem.required & ~problem.excluded)
    settled = np.abs(point - 0.5) > 0.5 - 1e-9
    free = free[np.lexsort((flips[free], settled[free]))]
    value = problem.value_prices(relaxed.multipliers.weights)
    size, freed = _FREED, 0
    while True:
        core = np.sort(free[:size])
        freed, every = len(core), len(core) == len(free)
        fixed = problem.required | (point > 0.5)
        fixed[core] = False
        for money in [relaxed.money, problem.price]:
            share = at.share if money is relaxed.money else np.ones(problem.n_items)
            worth = value * problem.spending.response(share)
            program = CoreProgram(problem, worth[None], money, core, fixed)
            answer = program.solve(
                integer=True, seconds=min(clock.left, _REPAIR_SECONDS), gap=_REPAIR_GAP
            )
            if answer.chosen is not None:
                found.offer(answer.chosen, money)
            if found.decision is not None or clock.out:
                return freed, False
            if problem.spending.least == 1:
                break
        if every:
            return freed, answer.infeasible
        size *= _GROWTH
