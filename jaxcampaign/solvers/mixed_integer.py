"""Branch and bound by HiGHS on the cut relaxation, repeated until its answer is true."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import numpy as np

from jaxcampaign.problems import Cuts, SlotProblem
from jaxcampaign.relaxations.program import solve_program
from jaxcampaign.solvers.base import Clock, Finding
from jaxcampaign.solvers.coverage import Coverage
from jaxcampaign.solvers.lp_rounding import LPRounding
from jaxcampaign.solvers.repair import complete, fill, inverse_demand, reverse_delete


@dataclass(frozen=True)
class MixedInteger:
    """Exact on small problems; an incumbent and a bound whenever it is stopped.

    The cut relaxation with whole slots overstates what a selection reaches. So after each branch
    and bound the inequalities of its selection are added, where they are violated, and it runs
    again: each round's bound is valid, and the rounds end at the optimum (Nemhauser and
    Wolsey, 1981).

    Args:
      time_limit: seconds at most, for everything.
      gap: relative gap at which to stop.
      warm: finds the first incumbent and the root relaxation's proof.
    """

    time_limit: float = 60.0
    gap: float = 1e-6
    warm: LPRounding = field(default_factory=lambda: LPRounding(samples=2, thresholds=(0.5, 0.8)))

    def search(self, problem: SlotProblem, *, key: jax.Array, clock: Clock) -> Finding:
        """Search; the key is consumed."""
        limit = Clock.after(self.time_limit)
        clock = limit if limit.end < clock.end else clock
        first = self.warm.search(problem, key=key, clock=clock)
        best, best_score = first.selection, _score(problem, first.selection)
        users = problem.active_users
        cuts = Cuts.first(users)
        if first.multipliers is not None and len(first.multipliers.cuts):
            cuts = Cuts.join([cuts, first.multipliers.cuts])
        bound, rounds, done = -np.inf, 0, False
        while not clock.out and not done:
            answer = solve_program(problem, users, cuts, integer=True, seconds=clock.left)
            bound = max(bound, answer.bound)
            rounds += 1
            if answer.x is None or answer.reach is None:
                break
            chosen = answer.x > 0.5
            candidate = _made_feasible(problem, chosen)
            if (score := _score(problem, candidate)) < best_score:
                best, best_score = candidate, score
            new = _violated(problem, chosen, users, answer.reach)
            done = best_score - bound <= self.gap * abs(best_score)
            # A true answer of a finished search is optimal: nothing is left to cut off.
            if not len(new):
                break
            cuts = Cuts.join([cuts, new])
        solver_bound = None
        if np.isfinite(bound):
            # The branch and bound works to tolerances: its bound never counts beyond the answer.
            bound = min(bound, best_score)
            solver_bound = bound if problem.sense == "min" else -bound
        return Finding(
            best,
            first.multipliers,
            solver_bound=solver_bound,
            limit_hit=clock.out,
            statistics={"rounds": rounds, "cuts": len(cuts), **first.statistics},
        )


def _violated(
    problem: SlotProblem, chosen: np.ndarray, users: np.ndarray, claimed: np.ndarray
) -> Cuts:
    """Inequalities at the selection, for users whose reach the program overstates."""
    reach = 1 - Coverage(problem, chosen).rest[users]
    return Cuts.at_selection(problem.influence, users[claimed > reach + 1e-7], chosen)


def _made_feasible(problem: SlotProblem, chosen: np.ndarray) -> np.ndarray:
    if problem.sense == "max":
        coverage = Coverage(problem)
        fill(coverage, np.flatnonzero(chosen))
        return coverage.selection
    coverage = Coverage(problem, chosen)
    complete(coverage, inverse_demand(problem))
    reverse_delete(coverage)
    return coverage.selection


def _score(problem: SlotProblem, selection: np.ndarray) -> float:
    coverage = Coverage(problem, selection)
    if not coverage.feasible:
        return np.inf
    if problem.sense == "min":
        return float(problem.cost[selection].sum())
    return -float(problem.weight @ coverage.achieved)
