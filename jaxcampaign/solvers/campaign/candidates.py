"""The best of several plans of one campaign, each checked in full and paid as well as may be."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxcampaign.problems.campaign import (
    Campaign,
    CampaignMultipliers,
    ConcaveResponse,
    Decision,
    best_few,
    priced,
    violations,
)
from jaxcampaign.relaxations.campaign.allocation import allocate
from jaxcampaign.relaxations.campaign.elastic import smallest_change
from jaxcampaign.solvers.base import Clock, Finding

# Seconds at least and at most for the smallest change of limits that leaves a plan.
_LEAST_SECONDS, _MOST_SECONDS = 1.0, 30.0
# Options at most for which it is sought.
_MOST_EXPLAINED = 200_000


class Candidates:
    """Plans that were offered, the best first.

    Attributes:
      plans: value, choice bool[N] and money float64[N] of the feasible ones, as they were offered.
      decision: the best plan with its money; None without one.
      worth: its value; -inf without one.
      nearest: of plans that break rows, the one that breaks fewest; None where none was offered.
    """

    def __init__(self, problem: Campaign, multipliers: CampaignMultipliers):
        self.problem, self.multipliers = problem, multipliers
        self.plans: list[tuple[float, np.ndarray, np.ndarray]] = []
        self.decision: Decision | None = None
        self.worth = -np.inf
        self.nearest: np.ndarray | None = None
        self._fewest = np.inf
        self._seen: set[bytes] = set()

    def offer(self, chosen: np.ndarray, money: np.ndarray) -> None:
        """Consider a plan; money float64[N] is shared out anew where that pays."""
        mark = np.packbits(chosen).tobytes() + money[chosen].tobytes()
        if mark in self._seen:
            return
        self._seen.add(mark)
        plan = Decision(chosen, np.where(chosen, money, 0.0))
        broken = violations(self.problem, plan)
        if not broken:
            worth = self.problem.value(plan)
            self.plans.append((worth, chosen, money))
            self._keep(plan, worth)
        elif len(broken) < self._fewest:
            self.nearest, self._fewest = chosen, len(broken)

    def share_out(self, chosen: np.ndarray, seconds: float = np.inf) -> None:
        """Where money buys effect, give the options bool[N] what is best for them, if in time."""
        if isinstance(self.problem.spending, ConcaveResponse):
            value = self.problem.value_prices(self.multipliers.weights)
            money = allocate(self.problem, value, chosen, seconds=seconds)
            if money is not None:
                self._keep(Decision(chosen, money), None)

    def best_choices(self, n: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """The n best feasible plans, bool[N], with their money, float64[N]."""
        ranked = sorted(self.plans, key=lambda plan: -plan[0])
        return [(chosen, money) for _, chosen, money in ranked[:n]]

    def finding(self, clock: Clock, **statistics: object) -> Finding:
        """The answer: the best plan, or the one that breaks fewest rows."""
        problem = self.problem
        if self.decision is None:
            chosen = self.nearest
            if chosen is None:
                chosen = best_few(problem, priced(problem, self.multipliers).reduced)
            return Finding(
                chosen, self.multipliers, limit_hit=clock.out, statistics=dict(statistics)
            )
        whole = problem.spending.least == 1
        return Finding(
            self.decision.chosen,
            self.multipliers,
            limit_hit=clock.out,
            statistics=dict(statistics),
            spend=None if whole else self.decision.spend,
        )

    def _keep(self, plan: Decision, worth: float | None) -> None:
        worth = self.problem.value(plan) if worth is None else worth
        if worth > self.worth and not violations(self.problem, plan):
            self.decision, self.worth = plan, worth


def refuted(
    problem: Campaign,
    multipliers: CampaignMultipliers,
    clock: Clock,
    *,
    claimed: float | None = None,
    infeasible: bool = True,
    statistics: dict[str, Any] | None = None,
) -> Finding:
    """Without a plan: the one that breaks rows least, and a proof that some must break if any.

    Args:
      problem: the campaign.
      multipliers: the best known.
      clock: of the search.
      claimed: bound of a branch and bound.
      infeasible: HiGHS says that no plan keeps all rows.
      statistics: of the search.
    """
    chosen, spend, known = None, None, dict(statistics or {})
    if problem.n_items <= _MOST_EXPLAINED:
        seconds = max(min(clock.left, _MOST_SECONDS), _LEAST_SECONDS)
        conflict = smallest_change(problem, seconds=seconds)
        if conflict is not None:
            chosen, spend = conflict.chosen, conflict.spend
            known["smallest_change"] = conflict.table.to_dict("records")
            known["least_budget"] = conflict.budget
            if conflict.multipliers is not None:
                multipliers = conflict.multipliers
    if chosen is None:
        chosen = best_few(problem, priced(problem, multipliers).reduced)
    return Finding(
        chosen,
        multipliers,
        claimed,
        limit_hit=clock.out,
        statistics=known,
        spend=spend,
        infeasible=infeasible,
    )
