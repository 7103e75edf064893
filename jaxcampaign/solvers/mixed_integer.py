"""Branch and bound by HiGHS on the cut relaxation, repeated until its answer is true."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import numpy as np

from jaxcampaign.problems import Cuts, SlotProblem
from jaxcampaign.problems.campaign import Campaign
from jaxcampaign.relaxations.program import solve_program
from jaxcampaign.solvers.base import Clock, Finding, check_gap, check_time_limit
from jaxcampaign.solvers.campaign.mixed_integer import solve_whole
from jaxcampaign.solvers.coverage import Coverage
from jaxcampaign.solvers.lp_rounding import LPRounding
from jaxcampaign.solvers.repair import finished

# How far the program may overstate a reach before it is corrected: HiGHS' own tolerance.
_CLAIM_TOLERANCE = 1e-7


@dataclass(frozen=True)
class MixedInteger:
    """Exact on small problems; an incumbent and a bound whenever it is stopped.

    The cut relaxation with whole slots overstates what a selection reaches. So after each branch
    and bound the inequalities of its selection are added, where they are violated, and it runs
    again: each round's bound is valid, and the rounds end at the optimum (Nemhauser and
    Wolsey, 1981). A selection T that misses a demand is also excluded with all its subsets, by
    `sum_{s not in T} x_s >= 1`, which influence being monotone allows.

    Args:
      time_limit: seconds at most, for everything.
      gap: relative gap at which to stop.
      warm: finds the first incumbent and the root relaxation's proof; campaigns need none.
    """

    time_limit: float = 60.0
    gap: float = 1e-6
    warm: LPRounding = field(
        default_factory=lambda: LPRounding(samples=2, thresholds=(0.5, 0.8)), repr=False
    )

    def __post_init__(self):
        check_gap(self.gap)
        check_time_limit(self.time_limit)

    def search(self, problem: SlotProblem | Campaign, *, key: jax.Array, clock: Clock) -> Finding:
        """Search; the key is consumed."""
        limit = Clock.after(self.time_limit)
        clock = limit if limit.end < clock.end else clock
        if isinstance(problem, Campaign):
            return solve_whole(problem, gap=self.gap, clock=clock)
        first = self.warm.search(problem, key=key, clock=clock)
        best = Coverage(problem, first.selection)
        users = problem.active_users
        cuts = Cuts.first(users)
        if first.multipliers is not None and len(first.multipliers.cuts):
            cuts = Cuts.join([cuts, first.multipliers.cuts])
        covers: list[np.ndarray] = []
        bound, rounds = -np.inf, 0
        while not clock.out:
            answer = solve_program(
                problem, users, cuts, integer=True, covers=covers, seconds=clock.left
            )
            bound = max(bound, answer.bound)
            rounds += 1
            if answer.x is None or answer.reach is None:
                break
            chosen = answer.x > 0.5
            candidate = finished(problem, chosen, clock)
            if candidate.score < best.score:
                best = candidate
            if best.score - bound <= self.gap * abs(best.score):
                break
            true = Coverage(problem, chosen)
            overstated = users[answer.reach > 1 - true.rest[users] + _CLAIM_TOLERANCE]
            if not len(overstated) and true.feasible:
                break  # the program's answer is true, and its bound is all that it can prove
            if not true.feasible:
                covers.append(chosen)
            cuts = Cuts.join([cuts, Cuts.at_selection(problem.influence, overstated, chosen)])
        solver_bound = None
        if np.isfinite(bound):
            # The branch and bound works to tolerances: its bound never counts beyond the answer.
            bound = min(bound, best.score)
            solver_bound = bound if problem.sense == "min" else -bound
        return Finding(
            best.selection,
            first.multipliers,
            solver_bound=solver_bound,
            limit_hit=clock.out,
            statistics={"rounds": rounds, "cuts": len(cuts), **first.statistics},
        )
