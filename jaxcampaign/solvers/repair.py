"""From any selection to a good feasible one: complete it, drop what is not needed, swap."""

from __future__ import annotations

import numpy as np

from jaxcampaign.problems import FEASIBILITY_TOLERANCE, SlotProblem
from jaxcampaign.solvers.base import Clock
from jaxcampaign.solvers.coverage import Coverage


def complete(coverage: Coverage, weights: np.ndarray) -> None:
    """Add slots, best truncated gain per cost first, until every demand is met, in float64.

    The float32 loop leaves at most rounding to do here: every pick looks at all slots. No upper
    limit is passed, and demands that cannot be met are left open.
    """
    while not coverage.feasible:
        lacking = np.flatnonzero(coverage.residual > 0)
        weight = np.maximum(weights[lacking], 1e-12)
        gains = np.minimum(coverage.gains(lacking), coverage.residual[lacking]) @ weight
        gains[coverage.selection | ~_allowed(coverage.problem, coverage.selection)] = 0
        best = int(np.argmax(gains / coverage.problem.divisor))
        if gains[best] <= 0:
            return
        coverage.add(best)


def reverse_delete(coverage: Coverage, clock: Clock) -> None:
    """Drop slots that no demand needs, the most expensive first, ties by id."""
    chosen = np.flatnonzero(coverage.selection)
    order = chosen[np.argsort(-coverage.problem.cost[chosen], kind="stable")]
    for slot in order:
        if clock.out:
            return
        if coverage.spares(coverage.loss(slot)):
            coverage.remove(slot)


def swap(coverage: Coverage, clock: Clock, *, max_pairs: int = 2_000_000) -> int:
    """Replace one chosen slot by a cheaper one where every demand stays met.

    One sweep over the chosen slots, the most expensive first; for each, the cheapest sufficient
    slot of all is taken.

    Args:
      coverage: a feasible selection; it is improved in place.
      clock: when to stop.
      max_pairs: larger instances are left as they are: each trial is a pass over the pairs.

    Returns:
      Number of swaps.
    """
    problem = coverage.problem
    if problem.influence.n_pairs > max_pairs:
        return 0
    chosen = np.flatnonzero(coverage.selection)
    swaps = 0
    for slot in chosen[np.argsort(-problem.cost[chosen], kind="stable")]:
        if clock.out:
            break
        coverage.remove(slot)
        lacking = np.flatnonzero(coverage.residual > 0)
        cheaper = (problem.cost < problem.cost[slot]) & ~coverage.selection
        cheaper &= _allowed(problem, coverage.selection)
        enough = (coverage.gains(lacking) >= coverage.residual[lacking]).all(axis=1)
        found = np.flatnonzero(cheaper & enough)
        if len(found):
            coverage.add(int(found[np.argmin(problem.cost[found])]))
            swaps += 1
            if coverage.feasible:
                continue
            # Rounding at the edge of a demand: take it back.
            coverage.remove(int(found[np.argmin(problem.cost[found])]))
        coverage.add(slot)
    return swaps


def fill(coverage: Coverage, order: np.ndarray) -> None:
    """Add slots in the given order wherever every upper limit still allows it.

    Limits must have non-negative coefficients, as a budget and a number of slots do.
    """
    rows = coverage.problem.rows
    use = rows.matrix.toarray()
    left = rows.tolerated(FEASIBILITY_TOLERANCE)[1] - use @ coverage.selection
    order = order[~coverage.selection[order]]
    while len(order):
        order = order[(use[:, order] <= left[:, None]).all(axis=0)]
        total = np.cumsum(use[:, order], axis=1)
        stop = (total > left[:, None]).any(axis=0)
        count = int(np.argmax(stop)) if stop.any() else len(order)
        coverage.selection[order[:count]] = True
        left = left - (total[:, count - 1] if count else 0.0)
        order = order[count:]
    coverage.refresh()


def finished(problem: SlotProblem, selection: np.ndarray, clock: Clock) -> Coverage:
    """A selection made feasible, and without what it does not need."""
    if problem.sense == "max":
        coverage = Coverage(problem)
        fill(coverage, np.flatnonzero(selection))
        return coverage
    coverage = Coverage(problem, selection)
    complete(coverage, problem.inverse_demand)
    reverse_delete(coverage, clock)
    return coverage


def _allowed(problem: SlotProblem, selection: np.ndarray) -> np.ndarray:
    """Items that no upper limit keeps out of a selection, bool[N]."""
    rows, allowed = problem.rows, np.ones(problem.n_items, bool)
    if len(rows):
        left = rows.tolerated(FEASIBILITY_TOLERANCE)[1] - rows.matrix @ selection
        allowed[rows.item[rows.coefficient > left[rows.row]]] = False
    return allowed
