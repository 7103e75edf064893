"""Greedy selection: lazy and exact, or on a random sample of slots at each pick."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import jax
import numpy as np

from jaxcampaign.errors import InputError
from jaxcampaign.problems import FEASIBILITY_TOLERANCE, DisjointSlots, SlotProblem, tightest
from jaxcampaign.problems.campaign import Campaign
from jaxcampaign.relaxations import Relaxation, prefix_bound
from jaxcampaign.solvers.allocate import complete_allocation, prune_allocation
from jaxcampaign.solvers.allocation import Allocation, refuse_disjoint
from jaxcampaign.solvers.base import Clock, Finding
from jaxcampaign.solvers.campaign.greedy import greedy_campaign
from jaxcampaign.solvers.coverage import Coverage
from jaxcampaign.solvers.lazy import LazyTables, lazy_tables, run_lazy_greedy
from jaxcampaign.solvers.repair import complete, fill, reverse_delete


@dataclass(frozen=True)
class Greedy:
    """Best gain per cost first, evaluated lazily.

    For demands, the gain of a slot is `sum_j min(I_j gain, what j lacks) / k_j` per cost
    (Wolsey, 1982), for disjoint sets that of the product that the slot then goes to; for a
    budget, the better of gain and gain per cost is kept (Lin and Bilmes, 2010); for a number of
    slots alone, plain gain, with its 1 - 1/e guarantee. For campaigns, value per what an option
    uses of scarce rows; see `greedy_campaign`.

    Args:
      prune: afterwards drop slots that no demand needs, the most expensive first.
      relaxation: of slots, proves a bound; without one it is in closed form, and weak for demands.
    """

    prune: bool = True
    relaxation: Relaxation | None = None

    def search(self, problem: SlotProblem | Campaign, *, key: jax.Array, clock: Clock) -> Finding:
        """Select; the key is not used. The greedy pass itself is not interrupted.

        Raises:
          InputError: a relaxation of slots for a campaign.
        """
        del key
        if isinstance(problem, Campaign):
            if self.relaxation is not None:
                raise InputError(
                    "relaxes problems of slots, and this is a campaign",
                    table="Greedy",
                    column="relaxation",
                    value=self.relaxation,
                    remedy="leave it out: a campaign's bound comes from prices of its rows",
                )
            return greedy_campaign(problem, clock=clock)
        if isinstance(problem, DisjointSlots):
            found = _allocate(problem, self.prune, clock)
        elif problem.sense == "min":
            found = _cover(problem, self.prune, clock)
        else:
            found = _pack(problem, clock)
        if self.relaxation is None or clock.out:
            return found
        relaxed = self.relaxation.solve(problem, seconds=clock.left)
        if relaxed is None:
            return replace(found, limit_hit=True)
        proofs = [proof for proof in (found.multipliers, relaxed.multipliers) if proof is not None]
        return replace(found, multipliers=tightest(problem, proofs))


@dataclass(frozen=True)
class StochasticGreedy:
    """Greedy over a fresh random sample of slots at each pick, respecting costs.

    With a sample of `S / k * log(1 / epsilon)` slots the expected guarantee of greedy worsens by
    epsilon only (Mirzasoleiman et al., 2015). Costs count as in `Greedy`: gain per cost where
    there is a cost to pay, and only slots that the budget still allows.

    Args:
      epsilon: loss of the guarantee that is accepted, in (0, 1).
      prune: as for `Greedy`.
    """

    epsilon: float = 0.1
    prune: bool = True

    def __post_init__(self):
        if not 0 < self.epsilon < 1:
            raise InputError(
                "must lie between 0 and 1",
                table="epsilon",
                value=self.epsilon,
                remedy="such as 0.1",
            )

    def search(self, problem: SlotProblem, *, key: jax.Array, clock: Clock) -> Finding:
        """Select; the key is consumed.

        Raises:
          InputError: the problem is one of disjoint sets.
        """
        refuse_disjoint(problem, self)
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        coverage, picks = Coverage(problem), 0
        covering = problem.sense == "min"
        weights = problem.inverse_demand if covering else problem.weight
        per_cost = covering or "budget" in problem.rows.names
        cost = problem.divisor if per_cost else np.ones(problem.n_items)
        size = self._sample_size(problem)
        use = problem.rows.matrix.toarray()
        left = problem.rows.tolerated(FEASIBILITY_TOLERANCE)[1]
        pool = np.arange(problem.n_items)
        while len(pool) and not clock.out and not (covering and coverage.feasible):
            pool = pool[(use[:, pool] <= left[:, None]).all(axis=0)]
            sample = np.sort(rng.choice(pool, min(size, len(pool)), replace=False))
            gains = coverage.truncated_gains(sample, weights) / cost[sample]
            if not len(sample) or (gains.max() <= 0 and len(sample) == len(pool)):
                break
            best = int(sample[np.argmax(gains)])
            if gains.max() > 0:
                coverage.add(best)
                left = left - use[:, best]
                picks += 1
                pool = pool[pool != best]
            else:  # a whole sample of useless slots: gains only fall, so none is ever useful
                pool = np.setdiff1d(pool, sample, assume_unique=True)
        if covering:
            complete(coverage, weights)
            if self.prune:
                reverse_delete(coverage, clock)
        _, multipliers = prefix_bound(problem, [] if covering else [coverage.selection])
        return Finding(
            coverage.selection,
            multipliers,
            limit_hit=clock.out,
            statistics={"picks": picks, "sample": size},
        )

    def _sample_size(self, problem: SlotProblem) -> int:
        picks = 1.0
        if problem.sense == "max":
            mean_use = np.asarray(problem.rows.matrix.mean(axis=1)).ravel()
            picks = float(np.min(problem.rows.upper / np.maximum(mean_use, 1e-300), initial=np.inf))
        elif problem.demand.any():
            supply = (
                problem.objective.audience
                @ np.asarray(problem.influence.matrix.mean(axis=0)).ravel()
            )
            picks = float(np.max(problem.demand / np.maximum(supply, 1e-300)))
        picks = min(max(picks, 1.0), problem.n_items)
        return max(1, math.ceil(problem.n_items / picks * math.log(1 / self.epsilon)))


def cover_greedily(
    coverage: Coverage, weights: np.ndarray, tables: LazyTables, clock: Clock, *, prune: bool
) -> int:
    """Add slots until every demand is met, then drop what none needs; returns the slots added."""
    problem, before = coverage.problem, int(coverage.selection.sum())
    if not coverage.feasible:
        order = run_lazy_greedy(
            problem, tables, coverage, weights=weights, per_cost=True, max_picks=problem.n_items
        )
        coverage.selection[order] = True
        coverage.refresh()
        complete(coverage, weights)
    added = int(coverage.selection.sum()) - before
    if prune:
        reverse_delete(coverage, clock)
    return added


def pack_greedily(coverage: Coverage, tables: LazyTables, *, per_cost: bool) -> np.ndarray:
    """Add slots while the limits allow; returns the slots that greedy picked, in order."""
    problem = coverage.problem
    limits = dict(zip(problem.rows.names, problem.rows.upper, strict=True))
    spent = float(problem.cost[coverage.selection].sum())
    room = limits.get("max_slots", problem.n_items) - coverage.selection.sum()
    order = run_lazy_greedy(
        problem,
        tables,
        coverage,
        weights=problem.weight,
        per_cost=per_cost,
        max_picks=int(max(room, 0)),
        budget=float(limits.get("budget", np.inf)) - spent,
    )
    fill(coverage, order)
    # What rounding or a refused pick left of the limits still buys something.
    gains = coverage.weighted_gains(problem.weight)
    rest = np.argsort(-gains / problem.divisor if per_cost else -gains, kind="stable")
    fill(coverage, rest[gains[rest] > 0])
    return order


def _allocate(problem: DisjointSlots, prune: bool, clock: Clock) -> Finding:
    allocation = Allocation(problem)
    picks = complete_allocation(
        allocation, clock, weights=problem.inverse_demand, divisor=problem.divisor
    )
    if prune:
        prune_allocation(allocation, clock)
    _, multipliers = prefix_bound(problem, [])
    return Finding(
        allocation.selection, multipliers, limit_hit=clock.out, statistics={"picks": picks}
    )


def _cover(problem: SlotProblem, prune: bool, clock: Clock) -> Finding:
    coverage = Coverage(problem)
    picks = cover_greedily(
        coverage, problem.inverse_demand, lazy_tables(problem), clock, prune=prune
    )
    _, multipliers = prefix_bound(problem, [])
    return Finding(
        coverage.selection, multipliers, limit_hit=clock.out, statistics={"picks": picks}
    )


def _pack(problem: SlotProblem, clock: Clock) -> Finding:
    tables = lazy_tables(problem)
    found: list[Coverage] = []
    prefixes: list[np.ndarray] = []
    for per_cost in (False, True) if "budget" in problem.rows.names else (False,):
        found.append(Coverage(problem))
        order = pack_greedily(found[-1], tables, per_cost=per_cost)
        prefixes += [_prefix(order, share, problem.n_items) for share in (0.25, 0.5, 0.75, 1.0)]
    best = min(found, key=lambda coverage: coverage.score)
    _, multipliers = prefix_bound(problem, prefixes)
    picks = int(best.selection.sum())
    return Finding(best.selection, multipliers, limit_hit=clock.out, statistics={"picks": picks})


def _prefix(order: np.ndarray, share: float, n_slots: int) -> np.ndarray:
    mask = np.zeros(n_slots, bool)
    mask[order[: math.ceil(share * len(order))]] = True
    return mask
