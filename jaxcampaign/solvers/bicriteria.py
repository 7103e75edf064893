"""The bi-criteria algorithm: continuous greedy, randomized rounding, repair product by product."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import numpy as np

from jaxcampaign.errors import InputError
from jaxcampaign.problems import CommonSlots, Multipliers, SlotProblem
from jaxcampaign.relaxations import ContinuousGreedy, Relaxation, Relaxed, prefix_bound
from jaxcampaign.solvers.base import Clock, Finding
from jaxcampaign.solvers.coverage import Coverage
from jaxcampaign.solvers.lazy import lazy_tables, run_lazy_greedy
from jaxcampaign.solvers.repair import complete, reverse_delete

# What a fractional selection of optimal cost reaches of every demand.
_COVERED = 1 - 1 / math.e


@dataclass(frozen=True)
class BicriteriaGreedy:
    """Cover many demands, each up to a share, at a cost within a logarithm of the optimum.

    1. `ContinuousGreedy` finds a fractional selection y with `F_j(y) >= (1 - 1/e) k_j` for at most
       the optimal cost.
    2. The union of `l = ceil(log_{1/(1-epsilon)} r)` independent roundings of y is taken, r the
       number of products with a demand or, if that is less, the most of them that one slot serves.
    3. A product that is still short gets slots of its own, best gain per cost first.

    `I_j >= (1 - 1/e - epsilon) k_j` holds for every product with high probability after step 2, and
    always after step 3; the expected cost is `O(log(r) / epsilon)` times the optimum.

    Args:
      epsilon: loss of the guaranteed share, in (0, 1 - 1/e).
      repair: "demand" completes every product to its demand k_j, which is what a plan needs;
        "guarantee" stops at `(1 - 1/e) k_j`, as the paper does: such a plan is cheaper, and its
        certificate rightly says that demands are not met, and its status is "bicriteria".
      prune: afterwards drop slots that the repair's target does not need, the dearest first.
      continuous: finds the fractional selection.
      relaxation: proves the bound; by default the better of `prefix_bound` and what the continuous
        greedy proves on the way.

    Statistics of a finding: `guarantee` (the share 1 - 1/e - epsilon), `target` (the share that
    repair works towards), `least_share` (min_j I_j / k_j), `guarantee_met`, `budget`,
    `fractional_share` and `fractional_cost` (of y), `lps`, `sparsity` (r), `roundings` (l),
    `rounded_cost` (before repair), `repaired` (products), `repaired_cost` (before pruning), and
    `cost_ratio`, the cost over the proven bound.

    Source: Chekuri, Inamdar, Quanrud, Varadarajan, Zhang, "Algorithms for covering multiple
    submodular constraints and applications", J. Comb. Optim. 44, 2022; for billboards Ali, Islam,
    Banerjee, arXiv 2510.09050.
    """

    epsilon: float = 0.1
    repair: Literal["demand", "guarantee"] = "demand"
    prune: bool = True
    continuous: ContinuousGreedy = field(default_factory=ContinuousGreedy)
    relaxation: Relaxation | None = None

    def __post_init__(self):
        if not 0 < self.epsilon < _COVERED:
            raise InputError(
                "must lie between 0 and 1 - 1/e",
                table="epsilon",
                value=self.epsilon,
                remedy="such as 0.1",
            )
        if self.repair not in ("demand", "guarantee"):
            raise InputError(
                "there is no such repair",
                table="repair",
                value=self.repair,
                remedy='use "demand" or "guarantee"',
            )

    def search(self, problem: SlotProblem, *, key: jax.Array, clock: Clock) -> Finding:
        """Select; the key is consumed.

        When the clock runs out before there is a fractional selection, everything is left to the
        repair.

        Raises:
          InputError: not a problem of common slots.
        """
        if not isinstance(problem, CommonSlots):
            raise InputError(
                "the bi-criteria algorithm covers demands with one set of slots",
                table="problem",
                value=type(problem).__name__,
                remedy="use Greedy(), LPRounding(), or leave the choice to solve",
            )
        target = _COVERED if self.repair == "guarantee" else 1.0
        relaxed = self.continuous.solve(problem, seconds=clock.left)
        coverage = Coverage(problem.with_demand(target * problem.demand))
        sparsity = _sparsity(problem)
        statistics: dict[str, Any] = {"guarantee": _COVERED - self.epsilon, "target": target}
        statistics["sparsity"] = sparsity
        if relaxed is not None:
            roundings = max(math.ceil(math.log(sparsity) / -math.log1p(-self.epsilon)), 1)
            coverage.selection |= _union(relaxed.points[-1], roundings, key)
            coverage.refresh()
            found = relaxed.statistics
            statistics |= {"budget": found["budget"], "lps": found["lps"], "roundings": roundings}
            statistics |= {"fractional_share": found["share"], "fractional_cost": found["cost"]}
        statistics["rounded_cost"] = _spent(coverage)
        statistics["repaired"] = _complete_each(coverage)
        statistics["repaired_cost"] = _spent(coverage)
        if self.prune:
            reverse_delete(coverage, clock)

        bound, proof = self._proof(problem, relaxed, clock)
        wanted = problem.inverse_demand > 0
        share = (coverage.achieved * problem.inverse_demand)[wanted]
        least = float(share.min()) if len(share) else 1.0
        statistics |= {
            "least_share": least,
            "guarantee_met": least >= _COVERED - self.epsilon,
            "cost_ratio": _spent(coverage) / bound if bound > 0 else None,
        }
        return Finding(
            coverage.selection,
            proof,
            limit_hit=clock.out,
            target=target,
            statistics=statistics,
        )

    def _proof(
        self, problem: SlotProblem, relaxed: Relaxed | None, clock: Clock
    ) -> tuple[float, Multipliers]:
        """The best bound at hand and what proves it."""
        proofs = [prefix_bound(problem, [])]
        if relaxed is not None:
            proofs.append((relaxed.bound, relaxed.multipliers))
        if self.relaxation is not None and not clock.out:
            tighter = self.relaxation.solve(problem, seconds=clock.left)
            if tighter is not None:
                proofs.append((tighter.bound, tighter.multipliers))
        return max(proofs, key=lambda proof: proof[0])


def _sparsity(problem: SlotProblem) -> int:
    """The fewer of the products with a demand and the most of them that one slot serves, or 1."""
    wanted = np.flatnonzero(problem.inverse_demand)
    # Reached users per slot and product; their number does not matter.
    served = problem.influence.matrix @ problem.objective.audience[wanted].T
    return max(int(np.diff(served.tocsr().indptr).max(initial=1)), 1)


def _union(point: np.ndarray, roundings: int, key: jax.Array) -> np.ndarray:
    """The union of independent roundings, bool[S]: slot s is in it by 1 - (1 - y_s)^l."""
    with np.errstate(divide="ignore"):
        chance = -np.expm1(roundings * np.log1p(-point))
    return np.asarray(jax.random.uniform(key, point.shape)) < chance


def _complete_each(coverage: Coverage) -> int:
    """Serve products that are short one after the other; returns how many."""
    problem = coverage.problem
    short = np.flatnonzero(coverage.residual > 0)
    repaired = 0
    if not len(short):
        return repaired
    tables = lazy_tables(problem)
    for product in short:
        if coverage.residual[product] <= 0:
            continue  # what served another product served this one too
        order = run_lazy_greedy(
            problem,
            tables,
            coverage,
            weights=np.where(np.arange(len(problem.demand)) == product, 1.0, 0.0),
            per_cost=True,
            max_picks=problem.n_items,
        )
        coverage.selection[order] = True
        coverage.refresh()
        repaired += 1
    complete(coverage, problem.inverse_demand)
    return repaired


def _spent(coverage: Coverage) -> float:
    return float(coverage.problem.cost[coverage.selection].sum())
