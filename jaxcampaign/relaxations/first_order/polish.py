"""Multipliers out of float32 prices, each as good as a pass over the data in float64 makes it."""

from __future__ import annotations

import numpy as np

from jaxcampaign.problems import FEASIBILITY_TOLERANCE, Cuts, Multipliers, SlotProblem
from jaxcampaign.relaxations.first_order.saddle import Dual
from jaxcampaign.relaxations.first_order.terms import Terms


def polished(problem: SlotProblem, terms: Terms, dual: Dual, scale: float) -> Multipliers:
    """Prices made feasible, none above what it can earn, and scaled by an exact line search.

    Given its prices z, a problem of least cost has the bound of t z for every t > 0, which is
    concave and piecewise linear in t; for a maximum the same holds of the prices of its rows.

    Args:
      problem: what is asked.
      terms: inequalities beside those of the empty set.
      dual: prices in units of `scale`; the inequalities may be padded.
      scale: what a price of 1 stands for.
    """
    influence, rows, users = problem.influence, problem.rows, problem.active_users
    n_users, wanted_products = influence.n_users, problem.demand > 0
    demand = np.zeros(len(problem.demand))
    demand[wanted_products] = np.maximum(_doubled(dual.demand, scale), 0.0)
    row = _doubled(dual.row, scale)
    first = np.maximum(_doubled(dual.first, scale), 0.0)
    cut = np.maximum(_doubled(dual.cut, scale)[: len(terms)], 0.0)

    # Beyond what a user is worth, a price earns nothing and costs its right-hand side.
    worth = problem.user_value + problem.objective.audience.T @ demand
    spent = first + terms.per_user(cut, n_users)
    share = np.minimum(worth / np.maximum(spent, 1e-300), 1.0)
    first, cut, spent = share * first, share[terms.cuts.user] * cut, share * spent

    gains = influence.matrix @ (first + terms.per_user(terms.theta * cut, n_users))
    gains = gains + terms.correction.T @ cut
    use = -(rows.matrix.T @ row)
    lower, upper = rows.tolerated(FEASIBILITY_TOLERANCE)
    limits = float(row[row > 0] @ lower[row > 0] + row[row < 0] @ upper[row < 0])
    if problem.sense == "min":
        rise = demand @ problem.required - cut @ terms.intercept + (spent - worth).sum() + limits
        t = _best_multiple(rise, problem.item_cost, use - gains)
        demand, first, cut, row = t * demand, t * first, t * cut, t * row
    else:
        row = row * _best_multiple(limits, problem.item_cost - gains, use)
    return Multipliers(
        demand,
        np.maximum(-row, 0.0),
        np.maximum(row, 0.0),
        np.concatenate([first[users], cut]),
        Cuts.join([Cuts.first(users), terms.cuts]),
    ).clipped()


def _best_multiple(rise: float, constant: np.ndarray, slope: np.ndarray) -> float:
    """The t >= 0 at which `t rise + sum min(0, constant + t slope)` is highest; 1 if none is."""
    below = (constant < 0) | ((constant == 0) & (slope < 0))
    turning = np.flatnonzero(constant * slope < 0)
    at = -constant[turning] / slope[turning]
    order = np.argsort(at, kind="stable")
    # The derivative only falls: by each slope that turns negative, or stops being counted.
    derivative = rise + slope[below].sum() - np.cumsum(np.abs(slope[turning])[order])
    falling = derivative <= 0
    if rise + slope[below].sum() <= 0:
        return 0.0
    return float(at[order][np.argmax(falling)]) if falling.any() else 1.0


def _doubled(price, scale: float) -> np.ndarray:
    return scale * np.asarray(price, np.float64)
