"""Bounds in closed form from selections at hand: a few passes over the data, at any size."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from jaxcampaign.problems import Cuts, Multipliers, SlotProblem, lagrangian_bound


def prefix_bound(
    problem: SlotProblem, selections: Iterable[np.ndarray]
) -> tuple[float, Multipliers]:
    """The best bound that the inequalities at the given selections prove, one at a time.

    For a maximum it is the data-dependent bound of Leskovec et al. (2007, CELF): the value of a
    selection T plus the best fractional packing of the gains at T. For a minimum, demands are
    priced in proportion to 1 / k_j and the price is set by an exact line search.

    Args:
      problem: what is asked.
      selections: bool[S] each; the empty selection is always tried too.

    Returns:
      The bound and the multipliers that prove it.
    """
    empty = np.zeros(problem.n_items, bool)
    best: tuple[float, Multipliers] | None = None
    for selection in [empty, *selections]:
        for multipliers in _proofs(problem, selection):
            bound = lagrangian_bound(problem, multipliers)
            gain = 0.0 if best is None else bound - best[0]
            if best is None or (gain > 0 if problem.sense == "min" else gain < 0):
                best = (bound, multipliers)
    assert best is not None
    return best


def _proofs(problem: SlotProblem, selection: np.ndarray) -> Iterable[Multipliers]:
    users = problem.active_users
    cuts = Cuts.at_selection(problem.influence, users, selection)
    none = np.zeros(len(problem.rows))
    if problem.sense == "min":
        yield _priced_demands(problem, users, cuts)
        return
    price = problem.user_value[users]
    _, slope = cuts.coefficients(problem.influence)
    gains = slope.T @ price
    demand = np.zeros(len(problem.demand))
    for i, upper in enumerate(problem.rows.upper):
        row_price = none.copy()
        weight = np.asarray(problem.rows.matrix[[i]].todense()).ravel()
        row_price[i] = _packing_price(gains, weight, upper)
        yield Multipliers(demand, row_price, none, price, cuts)


def _priced_demands(problem: SlotProblem, users: np.ndarray, cuts: Cuts) -> Multipliers:
    direction = problem.inverse_demand
    worth = (problem.objective.audience.T @ direction)[users]
    intercept, slope = cuts.coefficients(problem.influence)
    # bound(t) = t * rise - sum_s max(0, t * gain_s - c_s) is concave; its slope falls at c / gain.
    rise = direction @ problem.demand - worth @ intercept
    t = _packing_step(slope.T @ worth, problem.cost, rise)
    none = np.zeros(len(problem.rows))
    return Multipliers(t * direction, none, none, t * worth, cuts)


def _packing_price(gains: np.ndarray, weight: np.ndarray, capacity: float) -> float:
    """Price of capacity in the fractional knapsack `max gains.x, weight.x <= capacity`."""
    useful = (gains > 0) & (weight > 0)
    ratio, taken = gains[useful] / weight[useful], weight[useful]
    order = np.argsort(-ratio, kind="stable")
    full = np.cumsum(taken[order]) > capacity
    return float(ratio[order][np.argmax(full)]) if full.any() else 0.0


def _packing_step(gains: np.ndarray, cost: np.ndarray, rise: float) -> float:
    """The t at which slots with cost below t * gain together cover the rise."""
    useful = gains > 0
    threshold, gain = cost[useful] / gains[useful], gains[useful]
    order = np.argsort(threshold, kind="stable")
    covered = np.cumsum(gain[order]) >= rise
    return float(threshold[order][np.argmax(covered)]) if covered.any() else 0.0
