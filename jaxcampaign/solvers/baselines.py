"""The literature's baselines: the most influential slots, and slots at random."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np

from jaxcampaign.problems import SlotProblem
from jaxcampaign.relaxations import prefix_bound
from jaxcampaign.solvers.allocation import refuse_disjoint
from jaxcampaign.solvers.base import Clock, Finding
from jaxcampaign.solvers.coverage import Coverage
from jaxcampaign.solvers.repair import fill


@dataclass(frozen=True)
class TopK:
    """Slots by falling influence on their own until every demand is met or nothing more fits.

    Args:
      per_cost: rank by influence per cost instead.
    """

    per_cost: bool = False

    def search(self, problem: SlotProblem, *, key: jax.Array, clock: Clock) -> Finding:
        """Select; the key is not used.

        Raises:
          InputError: the problem is one of disjoint sets.
        """
        refuse_disjoint(problem, self)
        del key, clock
        score = problem.influence.singleton
        if self.per_cost:
            with np.errstate(divide="ignore"):
                score = score / problem.cost
        return _in_order(problem, np.argsort(-score, kind="stable"))


@dataclass(frozen=True)
class RandomAllocation:
    """Slots in random order until every demand is met or nothing more fits."""

    def search(self, problem: SlotProblem, *, key: jax.Array, clock: Clock) -> Finding:
        """Select; the key is consumed.

        Raises:
          InputError: the problem is one of disjoint sets.
        """
        refuse_disjoint(problem, self)
        del clock
        return _in_order(problem, np.asarray(jax.random.permutation(key, problem.n_items)))


def _in_order(problem: SlotProblem, order: np.ndarray) -> Finding:
    coverage = Coverage(problem)
    if problem.sense == "max":
        fill(coverage, order)
    else:
        coverage.selection[order[: _shortest_prefix(problem, order)]] = True
    _, multipliers = prefix_bound(problem, [coverage.selection] if problem.sense == "max" else [])
    return Finding(coverage.selection, multipliers)


def _shortest_prefix(problem: SlotProblem, order: np.ndarray) -> int:
    """Number of slots needed: influence is monotone, so a binary search finds it."""

    def enough(count: int) -> bool:
        mask = np.zeros(problem.n_items, bool)
        mask[order[:count]] = True
        return Coverage(problem, mask).feasible

    low, high = 0, len(order)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low
