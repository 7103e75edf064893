"""Relaxations that may have no solution: then their Farkas multipliers say so."""

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
# Beyond many it has no vertex in good time.
_FEW_PAIRS, _MANY_PAIRS = 20_000, 80_000
_VIOLATIONS = (0.1, 1e-3)
# Parts of a ray below this share of its largest are rounding.
_NOISE = 1e-9
# Share of the time in which a first-order method looks for a proof first; it is much quicker at
# that. The simplex method, where there are not too many pairs for it, gives the points to round.
_QUICK = 0.5


@dataclass(frozen=True, eq=False)
class Refuted:
    """The relaxation has no solution, so no selection meets every demand and limit.

    Attributes:
      multipliers: the proof. Without costs nothing is to be paid, and still their bound is above 0
        (Farkas, 1902), which `certify` recomputes.
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
      relaxation: how it is tightened; only a linear relaxation can refute. On large problems a
        first-order method comes before the simplex method or, on very large ones, in its place.
      seconds: time limit; the tightest finished round is returned.

    Returns:
      What the rounds before gave, None if there was none; and the proof of infeasibility, None
      where there is none. Both are None if the first LP did not finish in time.
    """
    if not isinstance(relaxation, LinearRelaxation):
        return relaxation.solve(problem, seconds=seconds), None
    began = time.monotonic()
    program = CutProgram(problem, problem.active_users)
    vertices: list[Vertex] = []
    stages = [relaxation]
    quick = None
    if problem.influence.n_pairs > _FEW_PAIRS:
        alone = problem.influence.n_pairs > _MANY_PAIRS
        quick = FirstOrderRelaxation().solve(
            problem, seconds=seconds if alone else _QUICK * seconds
        )
        if _refutes(problem, quick.multipliers):
            return quick, Refuted(quick.multipliers, quick.statistics)
        if alone:
            return quick, None
        # The simplex method goes on from the inequalities that turned out to matter.
        cuts = quick.multipliers.cuts
        program.add(cuts.take((quick.multipliers.cut > 0) & (np.diff(cuts.start) > 0)))
        stages = [replace(relaxation, tolerance=least, rounding=False) for least in _VIOLATIONS]
    for stage in stages:
        vertices += stage.tighten(program, seconds=seconds - (time.monotonic() - began))
        if program.infeasible or time.monotonic() - began >= seconds:
            break
    statistics: dict[str, float] = {
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
    if quick is not None:
        statistics |= {f"first_order_{name}": value for name, value in quick.statistics.items()}
        if relaxed is None:
            relaxed = quick
        elif quick.bound > relaxed.bound:
            relaxed = replace(relaxed, bound=quick.bound, multipliers=quick.multipliers)
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
