"""Money for chosen options with falling returns: a conic program, then whole cents."""

from __future__ import annotations

import warnings

import numpy as np

from jaxcampaign.problems.campaign import Campaign, ConcaveResponse

# What is paid out is a multiple of it.
_CENT = 0.01
# Passes over the options with a cent for each.
_PASSES = 20
# A limit that is met to this share of itself is met.
_ROUNDING = 1e-9


def allocate(problem: Campaign, value: np.ndarray, chosen: np.ndarray) -> np.ndarray | None:
    """The best money for each chosen option, in whole cents.

    maximise `sum_i v_i r(b_i / p_i)` subject to the rows on money and `least p <= b <= p`, by CVXPY
    and Clarabel; then everything is cut to whole cents, and cents that are left go where they bring
    most.

    Args:
      problem: a campaign with a `ConcaveResponse`.
      value: float64[N], what the whole effect of each option is worth.
      chosen: bool[N].

    Returns:
      float64[N], 0 where nothing is chosen; None if the rows on money cannot be kept.
    """
    import cvxpy as cp

    spending = problem.spending
    assert isinstance(spending, ConcaveResponse)
    spend = np.zeros(problem.n_items)
    index = np.flatnonzero(chosen & (problem.price > 0))
    if not len(index):
        return spend
    price, worth = problem.price[index], value[index]
    least = np.ceil(spending.least * price / _CENT - _ROUNDING) * _CENT
    most = np.floor(price / _CENT + _ROUNDING) * _CENT
    families = [family for family in problem.families if family.acts == "spend" and len(family)]
    share = cp.Variable(len(index))
    paid = cp.multiply(price, share)
    limits = [paid >= least, paid <= np.maximum(most, least)]
    for family in families:
        own = family.take(index)
        matrix = own.matrix()
        # Cutting to cents takes less than a cent from each option.
        cut = abs(matrix) @ np.full(len(index), _CENT)
        activity = matrix @ paid
        below = np.flatnonzero(np.isfinite(family.upper) & (abs(matrix).sum(axis=1) > 0))
        above = np.flatnonzero(np.isfinite(family.lower))
        spare = cut if family.share else np.zeros(len(family))
        if len(below):
            limits.append(activity[below] <= family.upper[below] - spare[below])
        if len(above):
            limits.append(activity[above] >= family.lower[above] + spare[above])
    c = spending.curvature
    scale = np.abs(worth).max()
    gain = cp.multiply(np.maximum(worth, 0) / scale / -np.expm1(-c), 1 - cp.exp(-c * share))
    program = cp.Problem(cp.Maximize(cp.sum(gain)), limits)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program.solve(solver=cp.CLARABEL)
    if share.value is None:
        return None
    exact = np.clip(price * np.asarray(share.value), least, np.maximum(most, least))
    cents = np.floor(exact / _CENT + _ROUNDING) * _CENT
    marginal = worth * spending.marginal(cents / price) / price
    spend[index] = np.maximum(cents, least)
    order = index[np.argsort(-marginal, kind="stable")]
    # What a lower limit lost by cutting comes first.
    needed = np.zeros(problem.n_items, bool)
    for family in families:
        short = family.lower - family.activity(spend)
        if not family.share and family.coefficient is None and (short > 0).any():
            needed[order] |= _first(family.group[order], np.ceil(short / _CENT - _ROUNDING))
    order = np.concatenate([order[needed[order]], order[~needed[order]]])
    for _ in range(_PASSES):
        before = spend.sum()
        _spread(problem, spend, order, most, index)
        if spend.sum() == before:
            break
    return np.round(spend, 2)


def _first(group: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The first `count[g]` of each group, bool[n]; -1 is no group."""
    order = np.argsort(group, kind="stable")
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - np.searchsorted(group[order], group[order])
    return (group >= 0) & (rank < count[group])


def _spread(
    problem: Campaign, spend: np.ndarray, order: np.ndarray, most: np.ndarray, index: np.ndarray
) -> None:
    """One more cent for each option in order, as far as every upper limit leaves room."""
    top = np.zeros(len(spend))
    top[index] = most
    order = order[spend[order] + _CENT <= top[order] + _ROUNDING]
    taken = np.ones(len(order), bool)
    for family in problem.families:
        if family.acts != "spend" or family.share:
            taken &= not family.share
            continue
        room = family.upper - family.activity(spend)
        a = np.ones(len(order)) if family.coefficient is None else family.coefficient[order]
        group = family.group[order]
        inside = np.flatnonzero(group >= 0)
        by_group = inside[np.argsort(group[inside], kind="stable")]
        use = np.cumsum(_CENT * a[by_group])
        begin = np.flatnonzero(np.diff(group[by_group], prepend=-1))
        size = np.diff(begin, append=len(by_group))
        used = use - np.repeat(use[begin] - _CENT * a[by_group][begin], size)
        taken[by_group] &= used <= room[group[by_group]] + _ROUNDING * _CENT
    spend[order[taken]] += _CENT
