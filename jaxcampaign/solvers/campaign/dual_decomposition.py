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
    ConcaveResponse,
    Decision,
    MinimumSpend,
    Priced,
    best_few,
    bound_at,
    priced,
    violations,
)
from jaxcampaign.relaxations.campaign.allocation import allocate
from jaxcampaign.relaxations.campaign.payable import payable
from jaxcampaign.relaxations.campaign.pricing import price_steps
from jaxcampaign.relaxations.campaign.program import CoreProgram
from jaxcampaign.solvers.base import Clock, Finding, check_gap, check_time_limit
from jaxcampaign.solvers.campaign.candidates import Candidates, refuted
from jaxcampaign.solvers.campaign.core import least_settled
from jaxcampaign.solvers.campaign.flips import can_flip, flipped
from jaxcampaign.solvers.campaign.greedy import pack_by_density
from jaxcampaign.solvers.campaign.near import PlanSearch, search_near
from jaxcampaign.solvers.campaign.population import Population
from jaxcampaign.solvers.campaign.warm import Start, start_from

if TYPE_CHECKING:
    from jaxcampaign.solvers.solution import Solution

# The core holds so many options for each coupling row, and at least and at most so many.
_PER_ROW, _FEWEST, _MOST = 20, 1500, 200_000
_GROWTH, _LP_ROUNDS = 2.0, 6
# Options up to which the linear program takes all of them, so that nothing needs to come before.
_ALL = 12_000
# The same for whole options, and by what factor it grows.
_WHOLE_PER_ROW, _WHOLE_FEWEST, _WHOLE_GROWTH = 5, 300, 5.0
# And at the prices as they are, before any linear program.
_FIRST_PER_ROW, _FIRST_FEWEST = 2, 150
# Share of the time that is left which a linear program may take.
_LP_SHARE = 0.3
# Branch and bound on the core and programs around its plan take turns: the first of so many seconds
# and of so large a share of the time that is left, each so much longer, none longer than the last.
_TURN, _TURN_SHARE, _LONGER, _LONGEST = 3.0, 0.1, 4.0, 600.0
# HiGHS looks at the clock between its steps only, whose times grow by so much more than the core.
_SLOWER = 2.0
# Options at most whose choice and money are sought in one program.
_FEW_PAID = 2000
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
      warm: an answer to another campaign, whose prices the search begins at: of the rows that both
        have, by name, whatever their limits, and whatever options there are. Its multipliers alone
        do as well where all rows are the same.
    """

    gap: float = 5e-7
    time_limit: float = 60.0
    warm: CampaignMultipliers | Solution | None = field(default=None, repr=False)

    def __post_init__(self):
        check_gap(self.gap)
        check_time_limit(self.time_limit)

    def search(self, problem: Campaign, *, key: jax.Array, clock: Clock) -> Finding:
        """Search; nothing is random."""
        limit = Clock.after(self.time_limit)
        clock = limit if limit.end < clock.end else clock
        start = None if self.warm is None else start_from(problem, self.warm)
        return _Search(problem, self.gap, clock).run(start)


class _Search:
    """One search.

    Attributes:
      best: the multipliers with the best bound.
      bound: what they prove.
      decision: the best plan.
      worth: its value; -inf without one.
      claimed: bound of the branch and bound, for the whole campaign.
      infeasible: the branch and bound found no plan at all.
      priced: prices were sought, so those of rows that do not bind are 0.
      cut_short: there was no time for a larger core.
      around: the search around the best plan, which goes on at its next turn.
    """

    def __init__(self, problem: Campaign, gap: float, clock: Clock):
        self.problem, self.gap, self.clock = problem, gap, clock
        self.best = CampaignMultipliers.zero(problem)
        self._standing: tuple[Priced, np.ndarray] | None = None
        self.bound = problem.trivial_bound
        self.decision: Decision | None = None
        self.worth = -np.inf
        self.claimed: float | None = None
        self.infeasible = False
        self.priced = False
        self.cut_short = False
        self.around: tuple[PlanSearch, np.ndarray] | None = None
        self.statistics: dict[str, Any] = {}

    def run(self, start: Start | None) -> Finding:
        began = time.monotonic()
        if start is not None or not (self.problem.is_linear and self.all_in_core()):
            self.prices(start)
        self.statistics["dual_seconds"] = time.monotonic() - began
        if not self.at_once() and self.relax():
            self.whole()
        if self.decision is None and not self.infeasible:
            self.pack()
        if self.problem.spending.least < 1 and self.problem.n_items <= _FEW_PAID:
            self.pay()
        if self.decision is None:
            return refuted(
                self.problem,
                self.best,
                self.clock,
                claimed=self.claimed,
                infeasible=self.infeasible,
                statistics=self.statistics,
            )
        whole = self.problem.spending.least == 1
        return Finding(
            self.decision.chosen,
            self.best,
            self.claimed,
            limit_hit=self.clock.out or self.cut_short,
            statistics=self.statistics,
            spend=None if whole else self.decision.spend,
        )

    def prices(self, start: Start | None) -> None:
        """Prices of rows; and weights of the risk, which step towards the worst."""
        problem, known, reduced = self.problem, None, None
        if start is not None:
            known = start.multipliers
            reduced = priced(problem, known).reduced if start.complete else None
        evaluations = 0
        for step in price_steps(problem, known, reduced, end=self.clock.end):
            evaluations += step.evaluations
            self.consider(step.multipliers)
        self.priced = True
        self.statistics["evaluations"] = evaluations

    def at_once(self) -> bool:
        """A few options, as many have plans that meet the bound: turned in pairs, then solved."""
        problem = self.problem
        if not (self.priced and problem.is_linear) or self.clock.out:
            return False
        size, turn = self.size(_FIRST_PER_ROW, _FIRST_FEWEST), self.first_turn
        enough = self.bound - self.gap * abs(self.bound)
        if can_flip(problem):
            _, _, program = self.program(size)
            answer = program.solve(integer=False, seconds=_LP_SHARE * self.clock.left)
            plan = flipped(program, answer, enough, self.clock) if answer.finished else None
            if plan is not None:
                self.take(plan, program.spend)
            if self.worth >= enough:
                return True
        finished, _ = self.integer_program(size, turn)
        # Until there is a plan, nothing else is worth the time.
        while self.decision is None and not (finished or self.clock.out) and turn < _LONGEST:
            turn = min(_LONGER * turn, _LONGEST)
            finished, _ = self.integer_program(size, turn)
        return self.worth >= enough

    def relax(self) -> bool:
        """Linear programs over cores until they prove the bound; False where nothing is left."""
        problem, size = self.problem, self.size(_PER_ROW, _FEWEST)
        if problem.spending.least < 1:
            # Money can be shared out anew, so the choice at the prices may do as it is.
            at, chosen = self.standing()
            self.take(chosen, at.share * problem.price)
        rounds = 0
        while rounds < _LP_ROUNDS:
            core, elsewhere, program = self.program(size)
            self.statistics["core"] = len(core)
            answer = program.solve(integer=False, seconds=_LP_SHARE * self.clock.left)
            if answer.infeasible:
                if elsewhere == -np.inf:
                    # With money that could be shared out otherwise it proves nothing.
                    self.infeasible = problem.spending.least == 1
                    return False
                if self.clock.out:
                    return False
                if size >= problem.n_items:
                    break  # no core is larger: those of better plans have no solution
                size = int(size * _GROWTH)
                continue
            rounds, before = rounds + 1, self.bound
            if answer.price is not None:
                self.consider(answer.multipliers(problem, self.best.weights))
            if self.clock.out:
                return False
            if self.bound - answer.value <= _NEAR * abs(self.bound) or self.bound >= before:
                break
        return True

    def whole(self) -> None:
        """Integer programs over growing cores until they close the gap."""
        problem, began = self.problem, time.monotonic()
        turn = self.first_turn
        # The fewest options that might do: small programs are solved in no time.
        size = self.size(_PER_ROW, _FEWEST)
        if problem.is_linear:
            size = self.size(_WHOLE_PER_ROW, _WHOLE_FEWEST)
        while not (self.near_enough() or self.clock.out):
            start = time.monotonic()
            finished, every = self.integer_program(size, turn)
            if self.infeasible or (finished and (every or size >= problem.n_items)):
                break
            if finished:
                took = max(time.monotonic() - start, 1e-3)
                growth = min(_WHOLE_GROWTH, self.clock.left / (_SLOWER * took))
                self.cut_short = growth <= 1
                if self.cut_short:
                    self.search_around(self.clock.left)
                    break
                size = int(growth * size)
            else:
                leads_on = self.search_around(turn)
                if turn >= _LONGEST:
                    break
                # Where small programs find nothing better, the time is the bound's.
                turn = min(turn * (_LONGER if leads_on else _LONGER**2), _LONGEST)
        self.statistics["integer_seconds"] = time.monotonic() - began

    def integer_program(self, size: int, seconds: float) -> tuple[bool, bool]:
        """A plan from a core, and what that proves: whether it finished, and held every option."""
        problem = self.problem
        core, elsewhere, program = self.program(size)
        self.statistics["integer_core"] = len(core)
        answer = program.solve(
            integer=True,
            seconds=min(seconds, self.clock.left),
            gap=self.gap / 2,
            start=None if self.decision is None else self.decision.chosen,
        )
        if answer.chosen is not None:
            self.take(answer.chosen, program.spend)
        every = elsewhere == -np.inf
        if answer.infeasible and every:
            self.infeasible = problem.spending.least == 1
        elif problem.is_linear:
            claim = max(answer.bound, elsewhere, self.worth)
            self.claimed = claim if self.claimed is None else min(self.claimed, claim)
        return answer.finished, every

    def search_around(self, seconds: float) -> bool:
        """Improve the plan: by crossing many where that can be done, else by small programs.

        Returns:
          False where small programs found nothing better. Crossing may take long to.
        """
        if self.decision is None:
            return True
        first, began = self.worth, time.monotonic()
        end = Clock.after(min(seconds, self.clock.left))
        if self.around is None:
            at, center = self.standing()
            self.around = search_near(
                self.problem, self.best.weights, at, center, self.decision.chosen, self.gap / 2
            )
        search, spend = self.around
        while not (end.out or search.exhausted or self.near_enough()):
            before = self.worth
            found = search.step(self.decision.chosen, end.left)
            if found is not None:
                self.take(found, spend)
            if self.worth > before:
                search.improved()
        spent = self.statistics.get("around_seconds", 0.0)
        self.statistics["around_seconds"] = spent + time.monotonic() - began
        return self.worth > first or isinstance(search, Population)

    @property
    def first_turn(self) -> float:
        """Seconds of the first branch and bound."""
        return min(_TURN, _TURN_SHARE * self.clock.left)

    def size(self, per_row: int, fewest: int) -> int:
        """Options of a first core, by the rows that couple groups, where known those that bind."""
        problem = self.problem
        n_rows = sum(len(f) for i, f in enumerate(problem.families) if i != problem.kept)
        if self.priced:
            n_rows = int((self.best.upper > 0).sum() + (self.best.lower > 0).sum())
        return int(np.clip(per_row * (n_rows + len(problem.rows)), fewest, _MOST))

    def all_in_core(self) -> bool:
        """The first core holds every option: its linear program has all the prices."""
        return self.problem.n_items <= _ALL

    def pack(self) -> None:
        """A plan that keeps upper limits by construction, where no core had one in time."""
        found = Candidates(self.problem, self.best)
        pack_by_density(found, self.clock)
        if found.decision is not None:
            self.decision, self.worth = found.decision, found.worth

    def pay(self) -> None:
        """Choice and money in one program: for any plan, or the best one where that is linear."""
        problem = self.problem
        at, _ = self.standing()
        risky = problem.risk_aversion and problem.measure.n_weights
        # Only where money is known to buy nothing may a choice be worth the same whatever is paid.
        linear = not risky and isinstance(problem.spending, MinimumSpend)
        value = problem.value_prices(self.best.weights) * problem.spending.response(at.share)
        for whole_cents in (False, True):
            if self.clock.out or (self.near_enough() if linear else self.decision is not None):
                return
            answer = payable(
                problem, value, whole_cents=whole_cents, seconds=self.clock.left, gap=self.gap / 2
            )
            if answer.infeasible:
                self.infeasible = self.decision is None
                return
            if answer.chosen is not None and answer.spend is not None:
                self.take(answer.chosen, answer.spend)
            if linear:
                claim = max(answer.bound, self.worth)
                self.claimed = claim if self.claimed is None else min(self.claimed, claim)

    def near_enough(self) -> bool:
        """The plan is within the gap that was asked for."""
        best = self.bound if self.claimed is None else min(self.bound, self.claimed)
        return best - self.worth <= self.gap * abs(best)

    def program(self, size: int) -> tuple[np.ndarray, float, CoreProgram]:
        """The options whose choice is least settled, and a program over these.

        The number is what a plan can be worth at most that makes another choice anywhere else, by
        the prices that the choices were settled at: better ones found later say nothing of these.
        """
        problem = self.problem
        at, fixed = self.standing()
        core, elsewhere = least_settled(
            problem,
            at.reduced,
            size,
            bound=self.bound,
            worth=self.worth if problem.is_linear else -np.inf,
        )
        fixed = fixed.copy()
        fixed[core] = False
        weights = [self.best.weights]
        if self.decision is not None and len(self.best.weights) and problem.risk_aversion:
            weights.append(problem.measure.worst(problem.effect(self.decision)))
        values, spend = [problem.value_prices(q) for q in weights], problem.price
        if problem.spending.least < 1:
            effect, spend = problem.spending.response(at.share), at.share * problem.price
            values = [value * effect for value in values]
        return core, elsewhere, CoreProgram(problem, np.stack(values), spend, core, fixed)

    def consider(self, multipliers: CampaignMultipliers) -> None:
        """Keep multipliers if they prove more."""
        at = priced(self.problem, multipliers)
        chosen = best_few(self.problem, at.reduced)
        bound = bound_at(self.problem, at, chosen)
        if bound < self.bound:
            self.best, self.bound, self._standing = multipliers, bound, (at, chosen)

    def standing(self) -> tuple[Priced, np.ndarray]:
        """Options at the best prices, and which of them those choose, bool[N]."""
        if self._standing is None:
            at = priced(self.problem, self.best)
            self._standing = at, best_few(self.problem, at.reduced)
        return self._standing

    def take(self, chosen: np.ndarray, spend: np.ndarray) -> None:
        """Keep a plan if it is feasible and the best; money is shared out anew where it may be."""
        problem = self.problem
        offers: list[np.ndarray | None] = [problem.in_part(chosen, spend).spend]
        if isinstance(problem.spending, ConcaveResponse):
            value = problem.value_prices(self.best.weights)
            offers.append(allocate(problem, value, chosen, seconds=self.clock.left))
        for offer in offers:
            if offer is None:
                continue
            decision = Decision(chosen, offer)
            worth = problem.value(decision)
            if worth > self.worth and not violations(problem, decision):
                self.decision, self.worth = decision, worth
