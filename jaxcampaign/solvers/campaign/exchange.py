"""Better plans by exchange: one option out, another in, or one more in."""

from __future__ import annotations

import numpy as np

from jaxcampaign.problems.assessment import FEASIBILITY_TOLERANCE
from jaxcampaign.problems.campaign import Campaign, Decision, violations
from jaxcampaign.solvers.base import Clock

# Options that may go, and that may come, at most: those that prices speak against, and for.
_OUT, _IN = 300, 1500
# Exchanges that are made, and that are tried for each of them, at most.
_ROUNDS, _TRIES = 60, 25


def exchange(
    problem: Campaign,
    chosen: np.ndarray,
    money: np.ndarray,
    reduced: np.ndarray,
    clock: Clock,
) -> np.ndarray:
    """Make the best exchange that keeps all rows, until there is none or the clock is out.

    Families screen all pairs at once; rows with flags, shares and the risk are looked at for the
    most promising pairs only.

    Args:
      problem: the campaign.
      chosen: bool[N], a feasible plan.
      money: float64[N], what an option gets if it is chosen.
      reduced: float64[N], what options are worth beyond the price of their rows.
      clock: when to stop.
    """
    effect = problem.spending.response(_share(problem, money))
    best = problem.value(_plan(chosen, money))
    for _ in range(_ROUNDS):
        if clock.out:
            break
        out = np.flatnonzero(chosen & ~problem.required)
        out = np.append(out[np.argsort(reduced[out], kind="stable")[:_OUT]], -1)  # -1 is nothing
        come = np.flatnonzero(~chosen & ~problem.excluded)
        come = come[np.argsort(-reduced[come], kind="stable")[:_IN]]
        weights = problem.measure.worst(np.where(chosen, effect, 0.0)) if _risky(problem) else None
        value = problem.value_prices(np.zeros(0) if weights is None else weights) * effect
        gain = value[come] - np.append(value, 0.0)[out][:, None]
        gain[~_possible(problem, chosen, money, out, come)] = -np.inf
        order = np.argsort(-gain, axis=None, kind="stable")[:_TRIES]
        improved = False
        for place in order[gain.ravel()[order] > FEASIBILITY_TOLERANCE * abs(best)]:
            went, came = np.unravel_index(place, gain.shape)
            trial = chosen.copy()
            trial[out[went]] &= out[went] < 0
            trial[come[came]] = True
            plan = _plan(trial, money)
            worth = problem.value(plan)
            if worth > best and not violations(problem, plan):
                chosen, best, improved = trial, worth, True
                break
        if not improved:
            break
    return chosen


def _possible(
    problem: Campaign, chosen: np.ndarray, money: np.ndarray, out: np.ndarray, come: np.ndarray
) -> np.ndarray:
    """Exchanges that families without shares allow, bool[out, come]."""
    found = np.ones((len(out), len(come)), bool)
    counts = chosen.astype(np.float64)
    for family in problem.families:
        if family.share:
            continue
        decision = money if family.acts == "spend" else np.ones(len(money))
        activity = np.append(family.activity(counts * decision), 0.0)
        lower, upper = (
            np.append(end, open_end)
            for end, open_end in zip(
                family.tolerated(FEASIBILITY_TOLERANCE), (-np.inf, np.inf), strict=True
            )
        )
        weight = np.append(family.weights(decision), 0.0)
        group = np.append(family.group, -1)
        gone, arrived = weight[out][:, None], weight[come]
        same = group[out][:, None] == group[come]
        there = activity[group[come]] + arrived - np.where(same, gone, 0.0)
        found &= (there <= upper[group[come]]) & (there >= lower[group[come]])
        here = activity[group[out]][:, None] - gone + np.where(same, arrived, 0.0)
        found &= (here <= upper[group[out]][:, None]) & (here >= lower[group[out]][:, None])
    return found


def _risky(problem: Campaign) -> bool:
    return bool(problem.risk_aversion and problem.measure.n_weights)


def _share(problem: Campaign, money: np.ndarray) -> np.ndarray:
    paid = problem.price > 0
    return np.where(paid, money / np.where(paid, problem.price, 1.0), 1.0)


def _plan(chosen: np.ndarray, money: np.ndarray) -> Decision:
    return Decision(chosen, np.where(chosen, money, 0.0))
