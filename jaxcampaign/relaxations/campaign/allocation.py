"""Money for chosen options with falling returns: a conic program, then whole cents."""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from jaxcampaign.problems import FEASIBILITY_TOLERANCE
from jaxcampaign.problems.campaign import Campaign, ConcaveResponse, Family
from jaxcampaign.problems.campaign.money import CENT, down_to_cents, up_to_cents

# Passes over the options with a cent for each.
_PASSES = 20
# A limit that is met to this share of a cent is met.
_ROUNDING = 1e-6
# What a share of the price costs an option that it brings nothing, against values of about 1.
_IDLE = 1e-6


def allocate(
    problem: Campaign, value: np.ndarray, chosen: np.ndarray, *, seconds: float = np.inf
) -> np.ndarray | None:
    """The best money for each chosen option, in whole cents.

    maximise `sum_i v_i r(b_i / p_i)` subject to the rows on money and `least p <= b <= p`, by CVXPY
    and Clarabel; then everything is cut to whole cents, and cents that are left go where they bring
    most.

    Args:
      problem: a campaign with a `ConcaveResponse`.
      value: float64[N], what the whole effect of each option is worth.
      chosen: bool[N].
      seconds: time limit of Clarabel.

    Returns:
      float64[N], 0 where nothing is chosen; None if the rows on money cannot be kept, or Clarabel
      finds no answer, or none in time.
    """
    if seconds <= 0:
        return None
    import cvxpy as cp

    end = time.monotonic() + seconds
    spending = problem.spending
    assert isinstance(spending, ConcaveResponse)
    spend = np.zeros(problem.n_items)
    index = np.flatnonzero(chosen & (problem.price > 0))
    if not len(index):
        return spend
    price, worth = problem.price[index], value[index]
    least = problem.least_payment[index]
    most = np.maximum(down_to_cents(price) / 100, least)
    families = [family for family in problem.families if family.acts == "spend" and len(family)]
    share = cp.Variable(len(index))
    paid = cp.multiply(price, share)
    limits = [paid >= least, paid <= most]
    for family in families:
        own = family.take(index)
        matrix = replace(own, share=0.0).matrix()
        size = abs(matrix).sum(axis=1)
        activity, spare = matrix @ paid, np.zeros(len(family))
        if family.share:
            # The total is a variable of its own: written out, every row would be full.
            total = cp.Variable()
            limits.append(total == matrix.sum(axis=0) @ paid)
            activity = activity - family.share * total
            # Cutting to cents takes less than a cent from each option.
            spare = CENT * (size * (1 - family.share) + family.share * (size.sum() - size))
            size = np.full(len(family), size.sum())
        below = np.flatnonzero(np.isfinite(family.upper) & (size > 0))
        above = np.flatnonzero(np.isfinite(family.lower))
        if len(below):
            limits.append(activity[below] <= family.upper[below] - spare[below])
        if len(above):
            limits.append(activity[above] >= family.lower[above] + spare[above])
    c = spending.curvature
    scale = np.abs(worth).max() or 1.0
    gain = cp.multiply(np.maximum(worth, 0) / scale / -np.expm1(-c), 1 - cp.exp(-c * share))
    # What is worth nothing gets no more than it must.
    loss = np.where(worth > 0, 0.0, worth / scale - _IDLE)
    program = cp.Problem(cp.Maximize(cp.sum(gain) + loss @ share), limits)
    options: dict[str, Any] = {}
    if np.isfinite(seconds):
        options["time_limit"] = max(end - time.monotonic(), 0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program.solve(solver=cp.CLARABEL, **options)
        except cp.error.SolverError:
            return None
    if share.value is None or program.status not in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
        return None
    exact = np.clip(price * np.asarray(share.value), least, most)
    spend[index] = np.maximum(down_to_cents(exact) / 100, least)
    marginal = worth * spending.marginal(spend[index] / price) / price
    order = np.argsort(-marginal, kind="stable")
    gains = (marginal > 0)[order]
    order = index[order]
    floor = np.zeros(problem.n_items)
    floor[index] = least
    for family in families:
        _relieve(family, spend, order[::-1], floor)
    # What a lower limit lost by cutting comes first.
    needed = np.zeros(problem.n_items, bool)
    for family in families:
        short = family.lower - family.activity(spend)
        if not family.share and family.coefficient is None and (short > 0).any():
            needed[order] |= _first(family.group[order], np.ceil(short / CENT - _ROUNDING))
    order = np.concatenate([order[needed[order]], order[~needed[order] & gains]])
    for _ in range(_PASSES):
        before = spend.sum()
        _spread(problem, spend, order, most, index)
        if spend.sum() == before:
            break
    return problem.in_part(chosen, spend).spend


def _first(group: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The first `count[g]` of each group, bool[n]; -1 is no group."""
    order = np.argsort(group, kind="stable")
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - np.searchsorted(group[order], group[order])
    return (group >= 0) & (rank < count[group])


def _so_far(group: np.ndarray, amount: np.ndarray) -> np.ndarray:
    """Sum of the amounts of each one's group up to it and with it, float64[n]."""
    order = np.argsort(group, kind="stable")
    use = np.cumsum(amount[order])
    begin = np.flatnonzero(np.diff(group[order], prepend=-2))
    size = np.diff(begin, append=len(order))
    found = np.empty(len(group))
    found[order] = use - np.repeat(use[begin] - amount[order][begin], size)
    return found


def _relieve(family: Family, spend: np.ndarray, order: np.ndarray, floor: np.ndarray) -> None:
    """Take the cents that are above upper limits from options in order, as far as their floor.

    A conic solver keeps limits to a share of the numbers in its program only.
    """
    if family.share or family.coefficient is not None:
        return
    over = up_to_cents(family.activity(spend) - family.tolerated(FEASIBILITY_TOLERANCE)[1])
    order = order[(family.group[order] >= 0) & (over > 0)[family.group[order]]]
    room = down_to_cents(spend[order] - floor[order])
    before = _so_far(family.group[order], room) - room
    spend[order] -= np.clip(over[family.group[order]] - before, 0.0, room) / 100


def _spread(
    problem: Campaign, spend: np.ndarray, order: np.ndarray, most: np.ndarray, index: np.ndarray
) -> None:
    """One more cent for each option in order, as far as every upper limit leaves room."""
    top = np.zeros(len(spend))
    top[index] = most
    order = order[spend[order] + CENT <= top[order] + _ROUNDING]
    # The limit of all money comes last, so that what a part's limit stops does not count in it.
    for family in sorted(problem.families, key=len, reverse=True):
        if family.acts != "spend":
            continue
        if family.share:
            return
        room = family.upper - family.activity(spend)
        a = np.ones(len(order)) if family.coefficient is None else family.coefficient[order]
        group = family.group[order]
        fits = _so_far(group, CENT * a) <= room[group] + _ROUNDING * CENT
        order = order[(group < 0) | fits]
    spend[order] += CENT
