"""Greedy plans of campaigns: value per binding resource, coverage first, every upper limit kept."""

from __future__ import annotations

import itertools

import numpy as np

from jaxcampaign.problems.campaign import Campaign, CampaignMultipliers, best_few, priced
from jaxcampaign.relaxations.campaign.coordinate import coordinate_prices
from jaxcampaign.solvers.base import Clock, Finding
from jaxcampaign.solvers.campaign.candidates import Candidates
from jaxcampaign.solvers.campaign.packing import Packing, Preference, total_of

# What an option pays at least for what it uses, as a share of the largest value.
_FREE = 1e-9


def greedy_campaign(problem: Campaign, *, clock: Clock) -> Finding:
    """Pack options by what they bring for what they use of scarce rows; the best of a few orders.

    What a row is worth is its price in a cheap dual (`coordinate_prices`), which also proves the
    bound. The density of an option is its value over the price of what it uses (Pirkul, 1987): with
    a budget alone, value per money. The orders are: density; plain value; what the prices choose,
    before all else; and density after the least resources for what constraints ask for. Rows that
    ask for options come first, the scarcest of them before others, and nothing that is taken breaks
    an upper limit. A plan that leaves a lower limit unmet is not feasible, and the answer says so.
    """
    multipliers, _ = coordinate_prices(problem, end=clock.end)
    found = Candidates(problem, multipliers)
    pack_by_density(found, clock)
    for chosen, _ in found.best_choices(1):
        found.share_out(chosen, clock.left)
    return found.finding(clock, plans=len(found.plans))


def pack_by_density(found: Candidates, clock: Clock) -> None:
    """Offer a plan for each of greedy's orders at the prices that the candidates are proven by."""
    problem, multipliers = found.problem, found.multipliers
    at = priced(problem, multipliers)
    money = problem.paid(at.share)
    worth = problem.value_prices(multipliers.weights) * problem.spending.response(at.share)
    paid = _paid(problem, multipliers, money)
    largest = np.abs(worth).max(initial=0.0) or 1.0
    density = worth / np.maximum(paid, _FREE * largest)
    at_prices = best_few(problem, at.reduced)
    first = np.where(at_prices, 2 * np.abs(at.reduced).max(initial=0.0), 0.0)
    ahead = np.where(at_prices, 2 * np.abs(density).max(initial=0.0), 0.0)
    orders = [
        (density + ahead, at.reduced + first),
        (density, at.reduced),
        (worth, worth),
        (density, -_used(problem, money)),
    ]
    totals: list[np.ndarray | None] = [None]
    if any(family.share for family in problem.families):
        every = [total_of(family, money, at_prices) for family in problem.families]
        totals = [np.array(every), None]
    for amount in [money] if problem.spending.least == 1 else [money, problem.price]:
        packing = Packing(problem, amount)
        for (wanted, needed), assumed in itertools.product(orders, totals):
            if clock.out and found.decision is not None:
                return
            chosen = packing.packed(Preference.by(wanted, needed, worth), assumed)
            found.offer(packing.trimmed(chosen, wanted), amount)


def _paid(problem: Campaign, multipliers: CampaignMultipliers, money: np.ndarray) -> np.ndarray:
    """What each option pays for limits above, float64[N]; what limits below pay it counts not."""
    total, begin = np.zeros(problem.n_items), 0
    for family in problem.families:
        rows = slice(begin, begin + len(family))
        begin = rows.stop
        price = multipliers.upper[rows]
        if price.any():
            decision = money if family.acts == "spend" else np.ones(problem.n_items)
            total += np.maximum(decision * family.prices(price), 0.0)
    return total


def _used(problem: Campaign, money: np.ndarray) -> np.ndarray:
    """Shares of the limits above that each option uses, added up, float64[N]."""
    total = np.zeros(problem.n_items)
    for family in problem.families:
        if family.share:
            continue
        decision = money if family.acts == "spend" else np.ones(problem.n_items)
        limit = np.append(np.where(family.upper > 0, family.upper, np.inf), np.inf)[family.group]
        total += np.maximum(family.weights(decision), 0.0) / limit
    return total
