"""Every selection, one after the other: the oracle of tiny problems."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np

from jaxcampaign.errors import InputError
from jaxcampaign.problems import FEASIBILITY_TOLERANCE, SlotProblem
from jaxcampaign.relaxations import LinearRelaxation, prefix_bound
from jaxcampaign.relaxations.feasibility import relax_or_refute
from jaxcampaign.solvers.base import Clock, Finding

# Numbers in one block of reaches.
_BLOCK = 4_000_000


@dataclass(frozen=True)
class BruteForce:
    """Evaluates all 2^S selections and keeps the best; ties go to the first in binary order.

    Where none is feasible the answer is the one within the limits that misses the least, with
    a proof of infeasibility if the linear relaxation has one.

    Args:
      max_slots: larger problems are refused.
    """

    max_slots: int = 20

    def search(self, problem: SlotProblem, *, key: jax.Array, clock: Clock) -> Finding:
        """Select; the key is not used.

        Raises:
          InputError: the problem has more than `max_slots` slots, or is a campaign.
        """
        del key, clock
        if not isinstance(problem, SlotProblem):
            raise InputError(
                "tries selections of slots, and this is a campaign",
                table="solver",
                value="BruteForce",
                remedy="use MixedInteger, which proves the best plan as well",
            )
        n = problem.n_items
        if n > self.max_slots:
            raise InputError(
                f"has {n} slots, and trying all selections is limited to {self.max_slots}",
                table="problem",
                remedy="use MixedInteger, or raise BruteForce(max_slots=...)",
            )
        n_users = problem.influence.n_users
        split = min(n, max(int(np.log2(max(_BLOCK // n_users, 1))), 0))
        low = _combinations(split)
        miss = 1.0 - problem.influence.matrix.toarray()
        audience = problem.objective.audience
        low_rest = _rest(low, miss[:split])
        best_score, best = np.inf, np.zeros(n, bool)
        least_missing = np.inf
        for high in _combinations(n - split):
            masks = np.concatenate([low, np.broadcast_to(high, (len(low), n - split))], axis=1)
            rest = low_rest * np.prod(np.where(high[:, None], miss[split:], 1.0), axis=0)
            achieved = (audience @ (1 - rest).T).T
            score, missing = _score(problem, masks, achieved)
            first = int(np.argmin(score))
            if score[first] < best_score:
                best_score, best = score[first], masks[first]
            closest = int(np.argmin(missing))
            if best_score == np.inf and missing[closest] < least_missing:
                least_missing, best = missing[closest], masks[closest]
        statistics = {"selections": 2**n}
        if best_score == np.inf:
            _, refuted = relax_or_refute(problem, LinearRelaxation(rounding=False))
            multipliers = None if refuted is None else refuted.multipliers
            return Finding(best, multipliers, statistics=statistics)
        _, multipliers = prefix_bound(problem, [best] if problem.sense == "max" else [])
        proven = float(best_score) if problem.sense == "min" else -float(best_score)
        return Finding(best, multipliers, solver_bound=proven, statistics=statistics)


def _combinations(n: int) -> np.ndarray:
    """All 0/1 vectors of length n in binary order, bool[2^n, n]."""
    return (np.arange(2**n)[:, None] >> np.arange(n)[None, :] & 1).astype(bool)


def _rest(masks: np.ndarray, miss: np.ndarray) -> np.ndarray:
    """Chance that each user is missed by each selection, float64[len(masks), U]."""
    rest = np.ones((len(masks), miss.shape[1]))
    for column, missed in zip(masks.T, miss, strict=True):
        rest[column] *= missed
    return rest


def _score(
    problem: SlotProblem, masks: np.ndarray, achieved: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How good each selection is.

    Returns:
      Value in the minimised form, infinite where infeasible, float64[len(masks)]; and the shares of
      demands that are missed, infinite beyond the limits.
    """
    within = np.ones(len(masks), bool)
    if len(problem.rows):
        activity = masks @ problem.rows.matrix.T.toarray()
        lower, upper = problem.rows.tolerated(FEASIBILITY_TOLERANCE)
        within = ((activity <= upper) & (activity >= lower)).all(axis=1)
    short = np.maximum(problem.required - achieved, 0.0) @ problem.inverse_demand
    met = within & (achieved >= problem.required).all(axis=1)
    value = masks @ problem.cost if problem.sense == "min" else -(achieved @ problem.weight)
    return np.where(met, value, np.inf), np.where(within, short, np.inf)
