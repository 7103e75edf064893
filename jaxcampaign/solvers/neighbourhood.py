"""Large-neighbourhood search: a part of the plan is reopened and decided anew by branch and bound.

Shaw (1998). A neighbourhood takes some chosen slots back, at random, by reduced cost, because they
serve the same products, or because a vertex of the relaxation has less of them (Danna, Rothberg, Le
Pape, 2005), and asks HiGHS for the best way to fill the gap from these and the slots with the least
reduced cost, or those of the vertex.
"""

from __future__ import annotations

import time

import numpy as np

from jaxcampaign.problems import Cuts, SlotProblem
from jaxcampaign.relaxations.core import Core
from jaxcampaign.solvers.base import Clock
from jaxcampaign.solvers.coverage import Coverage
from jaxcampaign.solvers.repair import finished

_KINDS = ("random", "price", "profile", "vertex")
# How much luck may add to a share in a vertex, and the least share that counts.
_LUCK, _PRESENT = 0.3, 1e-6
_FIRST_SIZE = 24
_LEAST_SIZE = 5
_CANDIDATES = 300
_SECONDS = 3.0
# A better plan must be better by this share: below it, it is rounding.
_BETTER = 1e-6
# Rounds of branch and bound on one neighbourhood: the program overstates reach until the
# inequalities of what it chose are known.
_ROUNDS = 3
_CLAIM_TOLERANCE = 1e-7


class Neighbourhoods:
    """The search around a plan; sizes adapt to what branch and bound can decide in its time.

    Args:
      problem: what is asked.
      reduced_cost: float64[S], of the relaxation: slots that are worth a look have little.
      cuts: inequalities that the relaxation found.
      seed: of the random choices.
    """

    def __init__(self, problem: SlotProblem, reduced_cost: np.ndarray, cuts: Cuts, seed: int):
        self._problem = problem
        self._users = problem.active_users
        self._cuts = Cuts.join([Cuts.first(self._users), cuts])
        self._price = reduced_cost
        self._typical = float(np.median(np.abs(reduced_cost))) if len(reduced_cost) else 0.0
        self._rng = np.random.default_rng(seed)
        self._size = dict.fromkeys(_KINDS, float(_FIRST_SIZE))
        self._turn = 0
        self.tried = self.improved = 0

    def step(self, best: Coverage, clock: Clock, point: np.ndarray | None = None) -> Coverage:
        """Search one neighbourhood of a plan; a better plan, or the same.

        Args:
          best: the plan.
          clock: when to stop.
          point: float64[S], the latest vertex of the relaxation, where there is a new one.
        """
        kind = _KINDS[self._turn % len(_KINDS)]
        self._turn += 1
        if kind == "vertex" and point is None:
            kind = _KINDS[self._turn % len(_KINDS)]
            self._turn += 1
        chosen = np.flatnonzero(best.selection)
        count = min(round(self._size[kind]), len(chosen))
        price = self._price
        if kind == "vertex" and point is not None:
            share = point[chosen] + _LUCK * self._rng.random(len(chosen))
            removed = chosen[np.argsort(share, kind="stable")[:count]]
            # What the vertex has comes before whatever it could have had.
            price = np.where(point > _PRESENT, -1.0 - point, price)
        else:
            removed = self._removed(kind, best, chosen, count)
        taken = best.selection.copy()
        taken[removed] = False
        free = np.sort(np.concatenate([removed, self._candidates(best.selection, price)]))
        began = time.monotonic()
        limit = Clock(min(clock.end, began + _SECONDS))
        self.tried += 1
        found, decided = self._decide(best, taken, free, limit)
        if found.score < best.score:
            self.improved += 1
        elif decided and limit.left > _SECONDS / 2:
            self._size[kind] = self._size[kind] * 1.1 + 0.5
        elif not decided:
            self._size[kind] = max(self._size[kind] * 0.9, _LEAST_SIZE)
        return found

    def _removed(self, kind: str, best: Coverage, chosen: np.ndarray, count: int) -> np.ndarray:
        problem, rng = self._problem, self._rng
        if kind == "random" or not len(chosen):
            return rng.choice(chosen, count, replace=False)
        if kind == "price":
            price = np.maximum(self._price[chosen], 0.0) + 0.01 * problem.cost[chosen].mean()
            # Weighted sampling without replacement (Efraimidis and Spirakis, 2006).
            draw = rng.exponential(size=len(chosen)) / np.maximum(price, 1e-300)
            return chosen[np.argsort(draw, kind="stable")[:count]]
        block = problem.influence.matrix[chosen]
        users = np.unique(block.indices)
        profile = block[:, users] @ problem.objective.interest[users].astype(np.float64)
        profile *= problem.inverse_demand if problem.sense == "min" else problem.weight
        length = np.sqrt((profile**2).sum(axis=1)) + 1e-300
        likeness = profile @ profile[rng.integers(len(chosen))] / length
        draw = likeness + 0.2 * likeness.max() * rng.random(len(chosen))
        return chosen[np.argsort(-draw, kind="stable")[:count]]

    def _candidates(self, selection: np.ndarray, price: np.ndarray) -> np.ndarray:
        """Slots with the least price, with some luck, among those not chosen."""
        noise = 0.1 * self._typical * self._rng.random(len(price))
        price = np.where(selection, np.inf, price + noise)
        count = min(_CANDIDATES, int((~selection).sum()))
        return np.argpartition(price, count - 1)[:count] if count else np.zeros(0, np.int64)

    def _decide(
        self, best: Coverage, taken: np.ndarray, free: np.ndarray, limit: Clock
    ) -> tuple[Coverage, bool]:
        """The best plan found, and whether the neighbourhood was searched to its end."""
        problem, users = self._problem, self._users
        cuts = Cuts.join(
            [
                self._cuts,
                Cuts.at_selection(problem.influence, users, best.selection),
                Cuts.at_selection(problem.influence, users, taken),
            ]
        )
        for _ in range(_ROUNDS):
            if limit.out:
                return best, False
            cutoff = below(best.score, _BETTER)
            answer = Core(problem, free, taken, cuts).solve(
                seconds=limit.left, cutoff=cutoff, gap=1e-4
            )
            if answer.selection is None or answer.reach is None:
                return best, answer.finished
            candidate = finished(problem, answer.selection, limit)
            if candidate.score < cutoff:
                best = candidate
            true = 1 - Coverage(problem, answer.selection).rest
            overstated = users[answer.reach[users] > true[users] + _CLAIM_TOLERANCE]
            if not len(overstated):
                return best, answer.finished
            cuts = Cuts.join(
                [cuts, Cuts.at_selection(problem.influence, overstated, answer.selection)]
            )
        return best, True


def below(score: float, share: float) -> float:
    """A score that is better by a share of itself; without a feasible plan anything is better."""
    return score - share * abs(score) if np.isfinite(score) else np.inf
