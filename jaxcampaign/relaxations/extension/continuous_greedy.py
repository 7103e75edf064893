"""Continuous greedy for many demands under a budget: from nothing to a fractional selection.

At a point y of the multilinear extension F, the direction v has to satisfy, at the least cost,

    0 <= v <= 1,   grad F_j(y) . v >= k_j - F_j(y)   for every product j.               (1)

The linear program that is solved is a little stronger. With `r_u` the chance that y misses user u,

    minimise    sum_s c_s (1 - y_s p_s) t_s,         p_s the least p_su of the slot,
    subject to  sum_u a_ju r_u w_u >= k_j - F_j(y),   w_u <= sum_s p_su t_s,   0 <= t, w <= 1,

and `v_s = (1 - y_s p_s) t_s`. Then (1) holds, since `dF_j/dx_s = sum_u a_ju r_u p_su / (1 - y_s
p_su)`; and the optimal set S* still passes, as t = 1 on S* and w_u = f_u(S*), so that no direction
costs more than the optimum. Because w is capped at 1, a step of length d leaves at most
`exp(-d) (k_j - F_j)` open: `F_j >= (1 - 1/e) k_j` at the end holds for any number of steps, where
the uncapped (1) holds it in the limit alone.
"""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from scipy import sparse

from jaxcampaign.errors import InputError
from jaxcampaign.influence.kernels import reach_and_rest
from jaxcampaign.problems import CommonSlots, Cuts, Multipliers, SlotProblem, lagrangian_bound
from jaxcampaign.progress import moment, progress
from jaxcampaign.relaxations.linear import Relaxed

# Share of a demand that float32 and the tolerances of the LP may leave open.
_SLACK = 1e-6


@dataclass(frozen=True)
class ContinuousGreedy:
    """A fractional selection with `F_j(y) >= (1 - 1/e) k_j` for every product, on a budget.

    The budget B is guessed: slots with c > B are dropped, and B is too small if some direction
    costs more, as the optimal set would itself be such a direction. The guess grows geometrically
    from the cost of the first direction and is then narrowed by bisection. Where no slot is dropped
    nothing is too dear, as no direction costs more than the optimum.

    Args:
      steps: directions from nothing to the end. More make the answer cheaper, not safer.
      precision: the budget is at most this share above one that is too small.

    Source: Chekuri, Inamdar, Quanrud, Varadarajan, Zhang, "Algorithms for covering multiple
    submodular constraints and applications", J. Comb. Optim. 44, 2022, section 3; with the closed
    form in place of the truncated function, which the optimal set allows.
    """

    steps: int = 10
    precision: float = 0.1

    def __post_init__(self):
        if self.steps < 1 or int(self.steps) != self.steps:
            raise InputError("must be a whole number above 0", table="steps", value=self.steps)
        if not self.precision > 0:
            raise InputError("must be positive", table="precision", value=self.precision)

    def solve(self, problem: SlotProblem, *, seconds: float = math.inf) -> Relaxed | None:
        """The fractional selection, and a bound proven by the prices of the first direction.

        Args:
          problem: common slots, not `unreachable`.
          seconds: time limit; None if it ends before a budget was found.

        Returns:
          One point y, float64[S]. Statistics: `budget`, `budgets` tried, `lps` solved, `share`
          (least F_j(y) / k_j), `cost` (c . y), `seconds`.

        Raises:
          InputError: not a problem of common slots.
        """
        if not isinstance(problem, CommonSlots):
            raise InputError(
                "the continuous greedy covers demands with one set of slots",
                table="problem",
                value=type(problem).__name__,
                remedy="use LinearRelaxation()",
            )
        began = time.monotonic()
        if not problem.inverse_demand.any():
            return _nothing(problem)
        directions = _Directions(problem)
        first = directions.at(np.zeros(problem.n_items), np.ones(problem.n_items, bool))
        walk, tried = self._search(directions, first, began + seconds)
        if walk is None:
            return None
        wanted = problem.inverse_demand > 0
        share = (problem.objective.reference(walk.point) * problem.inverse_demand)[wanted]
        multipliers = first.multipliers.clipped()
        statistics = {
            "budget": walk.budget,
            "budgets": tried,
            "lps": directions.solved,
            "share": float(share.min(initial=1.0)),
            "cost": float(problem.cost @ walk.point),
            "seconds": time.monotonic() - began,
        }
        return Relaxed(
            lagrangian_bound(problem, multipliers), multipliers, (walk.point,), statistics
        )

    def _search(
        self, directions: _Directions, first: _Direction, end: float
    ) -> tuple[_Walk | None, int]:
        """The walk of the least budget found, and how many budgets were tried."""
        paid = directions.cost[directions.cost > 0]
        # Nothing less can do, or has done.
        low = max(
            first.cost, float(paid.min(initial=math.inf)) if first.cost <= 0 < len(paid) else 0.0
        )
        guess, growth, tried = low, 1 + self.precision, 0
        best: _Walk | None = None
        while moment() < end:
            walk = self._walk(directions, guess, end)
            tried += 1
            if walk is not None:
                best = walk
                low = max(low, walk.dearest if walk.complete else 0.0)
            elif moment() < end:
                low = guess
            if best is None:
                guess, growth = guess * growth, growth**2
            elif best.budget <= low * (1 + self.precision):
                break
            else:
                guess = math.sqrt(low * best.budget)
        return best, tried

    def _walk(self, directions: _Directions, budget: float, end: float) -> _Walk | None:
        """All steps with slots of at most this cost; None if the budget or the time is short."""
        allowed = directions.cost <= budget
        complete = bool(allowed.all())
        point, dearest = np.zeros(len(allowed)), 0.0
        with progress(self.steps, "continuous greedy", "step") as bar:
            for _ in range(self.steps):
                if moment() >= end:
                    return None
                step = directions.at(point, allowed)
                if step.cost > budget * (1 + _SLACK) and not complete:
                    return None
                dearest = max(dearest, step.cost)
                point = np.minimum(point + step.v / self.steps, 1.0)
                bar.update()
        # Any budget that allows the same slots and pays for the dearest step walks this way.
        least = float(directions.cost[allowed].max(initial=dearest))
        return _Walk(point, least, dearest, complete)


class _Walk(NamedTuple):
    """A walk from nothing to the end.

    Attributes:
      point: where it ended, float64[S].
      budget: the least that walks this way.
      dearest: cost of its dearest step.
      complete: every slot was in play, so that no step costs more than the optimum.
    """

    point: np.ndarray
    budget: float
    dearest: float
    complete: bool


class _Direction(NamedTuple):
    """The cheapest v, float64[S], its cost (infinite without any), and the prices of the rows."""

    v: np.ndarray
    cost: float
    multipliers: Multipliers


class _Directions:
    """The linear program of a step: stated once, solved anew at each point.

    Only vectors change between points, never the matrix of slots and users, so CVXPY compiles the
    program once and a new point costs a solve alone.

    Attributes:
      cost: float64[S].
      solved: programs solved so far.
    """

    def __init__(self, problem: CommonSlots):
        import cvxpy as cp  # slow to import, so only where it is used

        self.problem, self.cost, self.solved = problem, problem.cost, 0
        self._users = problem.active_users
        self._wanted = np.flatnonzero(problem.inverse_demand)
        matrix = problem.influence.matrix
        # Every slot reaches somebody, so no run of entries is empty.
        self._least = np.minimum.reduceat(matrix.data, matrix.indptr[:-1])
        # HiGHS' tolerances are absolute: costs are scaled to be about 1 each, demands to be 1.
        positive = self.cost[self.cost > 0]
        self._scale = float(np.median(positive)) if len(positive) else 1.0
        audience = problem.objective.audience[self._wanted][:, self._users]
        share = sparse.diags_array(problem.inverse_demand[self._wanted]) @ audience
        n_slots, n_users = problem.n_items, len(self._users)
        self._price = cp.Parameter(n_slots, nonneg=True)
        self._dropped = cp.Parameter(n_slots, nonneg=True)
        self._rest = cp.Parameter(n_users, nonneg=True)
        self._need = cp.Parameter(len(self._wanted), nonneg=True)
        self._t = cp.Variable(n_slots, bounds=[np.zeros(n_slots), np.ones(n_slots)])
        w = cp.Variable(n_users, bounds=[np.zeros(n_users), np.ones(n_users)])
        gain = cp.Variable(n_users)
        self._reach_rows = problem.influence.by_user_matrix[self._users] @ self._t >= w
        self._demand_rows = share @ gain >= self._need
        rows = [
            self._reach_rows,
            gain == cp.multiply(self._rest, w),
            self._demand_rows,
            self._dropped @ self._t <= 0,
        ]
        self._program = cp.Problem(cp.Minimize(self._price @ self._t), rows)

    def at(self, point: np.ndarray, allowed: np.ndarray) -> _Direction:
        """The cheapest direction at a point, with the allowed slots alone.

        Args:
          point: y, float64[S].
          allowed: bool[S].
        """
        import cvxpy as cp

        problem = self.problem
        reached, rest = reach_and_rest(problem.influence.by_user, jnp.asarray(point, jnp.float32))
        achieved = problem.objective.audience @ np.asarray(reached, np.float64)
        shrunk = 1 - point * self._least
        self._price.value = shrunk * self.cost / self._scale
        self._dropped.value = (~allowed).astype(np.float64)
        self._rest.value = np.asarray(rest, np.float64)[self._users]
        open_share = 1 - (achieved * problem.inverse_demand)[self._wanted]
        self._need.value = np.maximum(open_share - _SLACK, 0.0)
        with warnings.catch_warnings():
            # CVXPY warns of answers that may be inaccurate: plans are repaired and certified.
            warnings.simplefilter("ignore")
            self._program.solve(solver=cp.HIGHS)
        self.solved += 1
        if self._t.value is None:
            if not allowed.all():
                return _Direction(np.zeros(len(point)), math.inf, _no_prices(problem))
            # All slots together meet every demand, so that only rounding can say otherwise.
            return _Direction(shrunk, float(self.cost.sum()), _no_prices(problem))
        v = shrunk * np.clip(self._t.value, 0.0, 1.0)
        return _Direction(v, float(self.cost @ v), self._prices())

    def _prices(self) -> Multipliers:
        """The proof of a bound that the program gives at the point 0."""
        demand = np.zeros(len(self.problem.demand))
        demand[self._wanted] = (
            self._scale
            * np.asarray(self._demand_rows.dual_value, np.float64)
            * self.problem.inverse_demand[self._wanted]
        )
        reach = self._scale * np.asarray(self._reach_rows.dual_value, np.float64)
        none = np.zeros(len(self.problem.rows))
        return Multipliers(demand, none, none, reach, Cuts.first(self._users))


def _no_prices(problem: SlotProblem) -> Multipliers:
    none = np.zeros(len(problem.rows))
    nobody = np.zeros(0, np.int32)
    return Multipliers(np.zeros(len(problem.demand)), none, none, np.zeros(0), Cuts.first(nobody))


def _nothing(problem: SlotProblem) -> Relaxed:
    """The answer where nothing is wanted."""
    statistics = dict.fromkeys(("budget", "budgets", "lps", "cost", "seconds"), 0.0)
    point = np.zeros(problem.n_items)
    return Relaxed(0.0, _no_prices(problem), (point,), statistics | {"share": 1.0})
