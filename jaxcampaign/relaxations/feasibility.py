"""Relaxations that may have no solution: then their multipliers prove it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from jaxcampaign.problems import (
    Cuts,
    DisjointSlots,
    Multipliers,
    SlotProblem,
    lagrangian_bound,
    refutation,
)
from jaxcampaign.relaxations.first_order.relaxation import FirstOrderRelaxation
from jaxcampaign.relaxations.linear import LinearRelaxation, Relaxation, Relaxed
from jaxcampaign.relaxations.simplex import CutProgram, Vertex

# Steps of the search for prices at which the supply is too small, and the size of the first.
_STEPS, _FIRST_STEP = 80, 0.5
# Beyond so many pairs the simplex method would drown in slightly violated inequalities: there the
# worst come first, none below the last of these violations, and rounded demands gain nothing.
# Beyond many it has no vertex in good time, and a first-order method refutes far sooner.
_FEW_PAIRS, _MANY_PAIRS = 20_000, 70_000
_VIOLATIONS = (0.1, 1e-3)
# Parts of a ray below this share of its largest are rounding.
_NOISE = 1e-9


@dataclass(frozen=True, eq=False)
class Refuted:
    """The relaxation has no solution, so no selection meets every demand and limit.

    Attributes:
      multipliers: the proof, which `certify` recomputes: without costs nothing is to be paid, and
        still their bound is above 0 (Farkas, 1902), or with costs it is above that of everything.
      statistics: rounds, cuts, seconds.
    """

    multipliers: Multipliers
    statistics: dict[str, float]


def refute_by_supply(problem: DisjointSlots) -> Refuted | None:
    """Prices of influence at which the demands are worth more than all slots could ever serve.

    Whoever reaches a user twice is counted twice: a slot s then brings a product j at most
    `I_j({s})`, and at prices mu_j of a unit of influence all slots together are worth at most
    `sum_s max_j mu_j I_j({s})`. Prices are sought at which that is less than `sum_j mu_j k_j`, by
    multiplicative weights: a product that wins too little gets dearer. A step is one pass over
    the items, so this refutes what is far out of reach long before a simplex method would.

    Args:
      problem: what is asked.

    Returns:
      The proof; None where no such prices were found, which proves nothing.
    """
    began = time.monotonic()
    offers, alone = problem.offers, problem.influence.singleton
    by_slot = np.lexsort((offers.product, offers.slot))
    slot, product, supply = offers.slot[by_slot], offers.product[by_slot], alone[by_slot]
    first = np.flatnonzero(np.append(True, slot[1:] != slot[:-1]))
    size = np.diff(np.append(first, len(slot)))
    price = problem.inverse_demand / max(float((problem.demand > 0).sum()), 1.0)
    for step in range(_STEPS):
        worth = price[product] * supply
        most = np.maximum.reduceat(worth, first)
        if float(price @ problem.required) > most.sum():
            multipliers = _supply_prices(problem, price, offers.slot[by_slot][first], most)
            if _refutes(problem, multipliers):
                statistics = {"steps": step, "seconds": time.monotonic() - began}
                return Refuted(multipliers, statistics)
        # A slot goes to the first of those to whom it is worth most.
        won = np.flatnonzero(worth == np.repeat(most, size))
        won = won[np.append(True, slot[won][1:] != slot[won][:-1])]
        served = np.bincount(product[won], supply[won], minlength=len(price))
        lacking = (problem.demand - served) * problem.inverse_demand
        price = price * np.exp(_FIRST_STEP / np.sqrt(1 + step) * np.clip(lacking, -1, 1))
        price = price / max(float(price @ problem.demand), 1e-300)
    return None


def _supply_prices(
    problem: DisjointSlots, price: np.ndarray, slots: np.ndarray, most: np.ndarray
) -> Multipliers:
    """Multipliers that say what `refute_by_supply` found; `most` is the worth of each slot."""
    rows = problem.rows
    worth = np.zeros(problem.base.n_slots)
    worth[slots] = most
    # Rows of limits come after those of slots, and are not priced.
    of_slot = np.full(len(rows), -1)
    of_slot[rows.row] = problem.offers.slot[rows.item]
    n_limits = int(np.isfinite(problem.max_slots[np.unique(problem.offers.product)]).sum())
    priced = np.arange(len(rows)) < len(rows) - n_limits
    users = problem.active_users
    return Multipliers(
        price,
        np.where(priced, worth[of_slot], 0.0),
        np.zeros(len(rows)),
        price[problem.offers.user_product[users]],
        Cuts.first(users),
    )


def relax_or_refute(
    problem: SlotProblem, relaxation: Relaxation, *, seconds: float = float("inf")
) -> tuple[Relaxed | None, Refuted | None]:
    """Solve the relaxation, which may turn out to be infeasible in any of its rounds.

    Args:
      problem: what is asked.
      relaxation: how it is tightened. On large problems a first-order method takes the place of
        the simplex method of a linear relaxation.
      seconds: time limit; the tightest finished round is returned.

    Returns:
      What the rounds before gave, None if there was none; and the proof of infeasibility, None
      where there is none. Both are None if the first LP did not finish in time.
    """
    n_pairs = problem.influence.n_pairs
    if not isinstance(relaxation, LinearRelaxation) or n_pairs > _MANY_PAIRS:
        linear = isinstance(relaxation, LinearRelaxation)
        method = FirstOrderRelaxation() if linear else relaxation
        relaxed = method.solve(problem, seconds=seconds)
        if relaxed is not None and _refutes(problem, relaxed.multipliers):
            return relaxed, Refuted(relaxed.multipliers, relaxed.statistics)
        return relaxed, None
    began = time.monotonic()
    program = CutProgram(problem, problem.active_users)
    vertices: list[Vertex] = []
    stages = [relaxation]
    if n_pairs > _FEW_PAIRS:
        stages = [replace(relaxation, tolerance=least, rounding=False) for least in _VIOLATIONS]
    for stage in stages:
        vertices += stage.tighten(program, seconds=seconds - (time.monotonic() - began))
        if program.infeasible or time.monotonic() - began >= seconds:
            break
    statistics = {
        "rounds": len(vertices),
        "cuts": program.n_rows,
        "seconds": time.monotonic() - began,
    }
    relaxed = refuted = None
    if program.infeasible:
        ray = program.ray()
        if ray is not None:
            multipliers = _scaled(program.multipliers(ray)).clipped()
            if _refutes(problem, multipliers):
                refuted = Refuted(multipliers, statistics)
    if vertices:
        multipliers = program.multipliers(vertices[-1].prices).clipped()
        bound = lagrangian_bound(problem, multipliers)
        points = tuple(vertex.x for vertex in vertices)
        relaxed = Relaxed(bound, multipliers, points, statistics)
    return relaxed, refuted


def _refutes(problem: SlotProblem, multipliers: Multipliers) -> bool:
    try:
        return max(refutation(problem, multipliers)) > 0
    except ValueError:  # a ray that cannot be evaluated
        return False


def _scaled(multipliers: Multipliers) -> Multipliers:
    """A ray whose largest price is 1; prices that are rounding, even of open limits, are 0."""
    rounded = np.zeros(0) if multipliers.rounded is None else multipliers.rounded
    prices = (multipliers.demand, multipliers.row_upper, multipliers.row_lower, multipliers.cut)
    size = max(float(part.max(initial=0.0)) for part in (*prices, rounded)) or 1.0

    def clean(price: np.ndarray) -> np.ndarray:
        return np.where(price > _NOISE * size, price / size, 0.0)

    demand, upper, lower, cut = map(clean, prices)
    kept = None if multipliers.rounded is None else clean(rounded)
    return replace(
        multipliers, demand=demand, row_upper=upper, row_lower=lower, cut=cut, rounded=kept
    )
