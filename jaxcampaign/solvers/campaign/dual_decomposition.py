"""Plans of millions of options: prices of the coupling rows, then a small core solved exactly."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from jaxcampaign.problems.campaign import (
    Campaign,
    CampaignMultipliers,
    best_few,
    campaign_bound,
    flip_costs,
    priced,
    violations,
)
from jaxcampaign.relaxations.campaign.elastic import smallest_change
from jaxcampaign.relaxations.campaign.program import CoreProgram
from jaxcampaign.relaxations.campaign.smoothed.newton import minimise
from jaxcampaign.relaxations.campaign.smoothed.oracle import Coupling
from jaxcampaign.solvers.base import Clock, Finding

if TYPE_CHECKING:
    from jaxcampaign.solvers.solution import Solution

# The core holds so many options for each coupling row, and at least and at most so many.
_PER_ROW, _FEWEST, _MOST = 60, 3000, 200_000
_GROWTH = 2.0
_LP_ROUNDS = 6
# Options at most for which the smallest change of limits is sought.
_MOST_EXPLAINED = 200_000
# A core's relaxation proves the dual's best value where it comes so near.
_NEAR = 1e-9


@dataclass(frozen=True)
class DualDecomposition:
    """The Lagrangian dual by smoothed Newton steps, then branch and bound on a core.

    Only rows that couple groups are priced (budgets, coverage, shares); what is limited within a
    group, such as posts of an influencer, is solved exactly for each group. At the best prices
    nearly every option's choice is settled: turning it round would cost more than the gap. The few
    thousand others, the core, go to HiGHS, first as a linear program, whose prices sharpen the
    bound, and then as an integer program. Whatever differs from a settled choice loses at least
    its flip cost, so the bound of the core holds for the whole campaign where that is larger.

    Args:
      gap: relative gap at which to stop.
      time_limit: seconds at most.
      warm: prices of an answer to a campaign with the same rows but other limits or values, or
        that answer: where the search begins.
    """

    gap: float = 1e-7
    time_limit: float = 60.0
    warm: CampaignMultipliers | Solution | None = field(default=None, repr=False)

    def search(self, problem: Campaign, *, key: jax.Array, clock: Clock) -> Finding:
        """Search; nothing is random."""
        limit = Clock.after(self.time_limit)
        clock = limit if limit.end < clock.end else clock
        warm = self.warm if self.warm is None else getattr(self.warm, "multipliers", self.warm)
        return _Search(problem, self.gap, clock).run(warm)


class _Search:
    def __init__(self, problem: Campaign, gap: float, clock: Clock):
        self.problem, self.gap, self.clock = problem, gap, clock
        self.weights = CampaignMultipliers.zero(problem).weights
        self.value = problem.value_prices(self.weights)
        self.best = CampaignMultipliers.zero(problem)
        self.bound = campaign_bound(problem, self.best)
        self.chosen: np.ndarray | None = None
        self.worth = -np.inf
        self.infeasible = False
        self.statistics: dict[str, Any] = {}

    def run(self, start: CampaignMultipliers | None) -> Finding:
        began = time.monotonic()
        coupling = Coupling.of(self.problem, self.weights)
        prices = minimise(coupling, coupling.price_of(self.problem, start), end=self.clock.end)
        self.consider(coupling.multipliers(self.problem, prices.price, self.weights))
        self.statistics |= {
            "dual_seconds": time.monotonic() - began,
            "evaluations": prices.evaluations,
        }
        claimed = self.core()
        if self.chosen is None:
            return self.refuted(claimed)
        return Finding(
            self.chosen,
            self.best,
            claimed,
            limit_hit=self.clock.out,
            statistics=self.statistics,
        )

    def refuted(self, claimed: float | None) -> Finding:
        """Without a plan: the smallest change of limits, and a proof that one is needed."""
        at = priced(self.problem, self.best)
        chosen, multipliers = best_few(self.problem, at.reduced), self.best
        if self.problem.n_items <= _MOST_EXPLAINED:
            conflict = smallest_change(self.problem, seconds=max(self.clock.left, 1.0))
            if conflict is not None:
                chosen = conflict.chosen
                self.statistics["smallest_change"] = conflict.table.to_dict("records")
                multipliers = multipliers if conflict.multipliers is None else conflict.multipliers
        return Finding(
            chosen,
            multipliers,
            claimed,
            limit_hit=self.clock.out,
            statistics=self.statistics,
            infeasible=self.infeasible,
        )

    def consider(self, multipliers: CampaignMultipliers) -> None:
        bound = campaign_bound(self.problem, multipliers)
        if bound < self.bound:
            self.best, self.bound = multipliers, bound

    def core(self) -> float | None:
        """Linear programs over cores until they prove the bound, then an integer program."""
        problem = self.problem
        n_rows = sum(len(f) for i, f in enumerate(problem.families) if i != problem.kept)
        size = int(np.clip(_PER_ROW * n_rows, _FEWEST, _MOST))
        claimed = None
        relaxed = False
        for turn in range(12):
            at = priced(problem, self.best)
            flips = flip_costs(problem, at.reduced)
            status = best_few(problem, at.reduced)
            finite = np.flatnonzero(np.isfinite(flips))
            if len(finite) > size:
                core = finite[np.argpartition(flips[finite], size)[:size]]
                left_out = np.ones(problem.n_items, bool)
                left_out[core] = False
                margin = float(flips[left_out].min())
            else:
                core, margin = finite, np.inf
            core = np.sort(core)
            fixed = status.copy()
            fixed[core] = False
            program = CoreProgram(problem, self.value[None], problem.price, core, fixed)
            self.statistics["core"] = len(core)
            if not relaxed:
                answer = program.solve(integer=False, seconds=self.clock.left)
                if answer.price is not None:
                    before = self.bound
                    self.consider(answer.multipliers(problem, self.weights))
                    near = self.bound - answer.value <= _NEAR * abs(self.bound)
                    if near or turn >= _LP_ROUNDS or (before - self.bound) <= 0:
                        relaxed = True
                elif answer.infeasible:
                    if margin == np.inf:
                        self.infeasible = True
                        return None
                    size = int(size * _GROWTH)
                    continue
                if not relaxed or self.clock.out:
                    if self.clock.out:
                        break
                    continue
                at = None
            began = time.monotonic()
            answer = program.solve(
                integer=True, seconds=self.clock.left, gap=self.gap / 2, start=self.chosen
            )
            self.statistics["integer_seconds"] = time.monotonic() - began
            if answer.chosen is not None:
                self.take(answer.chosen)
            if answer.infeasible and margin == np.inf:
                self.infeasible = True
                return None
            whole = max(answer.bound, self.bound - margin, self.worth)
            claimed = whole if claimed is None else min(claimed, whole)
            best = min(claimed, self.bound)
            if best - self.worth <= self.gap * abs(best) or self.clock.out or margin == np.inf:
                break
            size = int(size * _GROWTH)
        return claimed

    def take(self, chosen: np.ndarray) -> None:
        """Keep a plan if it is feasible and the best."""
        if violations(self.problem, self.problem.in_full(chosen)):
            return
        worth = float(self.value[chosen].sum())
        if worth > self.worth:
            self.chosen, self.worth = chosen, worth
