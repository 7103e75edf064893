"""Rounding of the linear relaxation: thresholds and coin flips, repaired, pruned and polished."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import jax
import numpy as np

from jaxcampaign.errors import InputError
from jaxcampaign.problems import DisjointSlots, SlotProblem
from jaxcampaign.problems.campaign import Campaign
from jaxcampaign.problems.inputs import positive_number
from jaxcampaign.progress import progress
from jaxcampaign.relaxations import LinearRelaxation, Relaxation, Relaxed, prefix_bound
from jaxcampaign.solvers.base import Clock, Finding
from jaxcampaign.solvers.campaign.rounding import round_campaign
from jaxcampaign.solvers.coverage import Coverage
from jaxcampaign.solvers.disjoint_rounding import round_disjoint
from jaxcampaign.solvers.greedy import Greedy, cover_greedily, pack_greedily
from jaxcampaign.solvers.lazy import LazyTables, lazy_tables
from jaxcampaign.solvers.repair import fill, reverse_delete, swap

# Points of the relaxation that are rounded.
_POINTS = 5


@dataclass(frozen=True)
class LPRounding:
    """Round fractional points of the linear relaxation; keep the best repaired selection.

    Points of several rounds of cuts are rounded at each threshold, and the tightest one also at
    random (each slot with probability x_s). What a rounding lacks is added greedily, with the
    LP's product prices and with 1 / k_j as weights; what no demand needs is dropped; the
    best few are polished by swaps. Greedy alone is always among the candidates, so the answer is
    never worse than greedy.

    Of a campaign, options are rounded in the same ways and packed into all limits, what its
    constraints ask for first; see `round_campaign`.

    Args:
      relaxation: gives points, prices and the proof of the bound. Campaigns have one of their own.
      thresholds: slots or options with x_s at least this are taken.
      samples: random roundings.
      polish: candidates that are polished by swaps.
    """

    relaxation: Relaxation = field(default_factory=LinearRelaxation)
    thresholds: tuple[float, ...] = (0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 0.999)
    samples: int = 8
    polish: int = 3

    def __post_init__(self):
        positive_number(self.samples, "samples", integer=True)
        positive_number(self.polish, "polish", integer=True)

    def search(self, problem: SlotProblem | Campaign, *, key: jax.Array, clock: Clock) -> Finding:
        """Relax, round, repair, polish; the key is consumed.

        When the clock runs out before the first LP is solved, the answer is greedy's.

        Raises:
          InputError: another relaxation than the default for a campaign.
        """
        if isinstance(problem, Campaign):
            if self.relaxation != LinearRelaxation():
                raise InputError(
                    "relaxes problems of slots, and this is a campaign",
                    table="LPRounding",
                    column="relaxation",
                    value=self.relaxation,
                    remedy="leave it out: campaigns have one of their own",
                )
            return round_campaign(
                problem,
                thresholds=self.thresholds,
                samples=self.samples,
                polish=self.polish,
                key=key,
                clock=clock,
            )
        if isinstance(problem, DisjointSlots):
            return round_disjoint(
                problem,
                self.relaxation,
                thresholds=self.thresholds,
                samples=self.samples,
                polish=self.polish,
                key=key,
                clock=clock,
            )
        greedy = Greedy().search(problem, key=key, clock=clock)
        relaxed = self.relaxation.solve(problem, seconds=clock.left)
        if relaxed is None:
            return Finding(greedy.selection, greedy.multipliers, limit_hit=True)
        best, statistics = self.round(problem, relaxed, greedy.selection, key=key, clock=clock)
        statistics |= {f"lp_{name}": value for name, value in relaxed.statistics.items()}
        multipliers = relaxed.multipliers
        if problem.sense == "max":
            bound, proof = prefix_bound(problem, [best.selection])
            multipliers = proof if bound < relaxed.bound else multipliers
        return Finding(best.selection, multipliers, limit_hit=clock.out, statistics=statistics)

    def round(
        self,
        problem: SlotProblem,
        relaxed: Relaxed,
        start: np.ndarray,
        *,
        key: jax.Array,
        clock: Clock,
    ) -> tuple[Coverage, dict[str, float]]:
        """The best of a given selection and the roundings of a relaxation; the key is consumed.

        Args:
          problem: what is asked.
          relaxed: points and prices.
          start: bool[S], a selection to beat.
          key: source of randomness.
          clock: when to stop.

        Returns:
          The best selection, and counts.
        """
        tables = lazy_tables(problem)
        weightings = _weightings(problem, relaxed)
        found = [Coverage(problem, start)]
        starts = list(self._roundings(relaxed, key))
        with progress(len(starts) * len(weightings), "round and repair", "plan") as bar:
            for scores, weights in itertools.product(starts, weightings):
                if clock.out:
                    break
                found.append(_finished(problem, scores, weights, tables, clock))
                bar.update()
        found.sort(key=lambda coverage: coverage.score)
        swaps = 0
        if problem.sense == "min":
            for coverage in found[: self.polish]:
                swaps += swap(coverage, clock)
                reverse_delete(coverage, clock)
            found.sort(key=lambda coverage: coverage.score)
        return found[0], {"candidates": len(found), "swaps": swaps}

    def _roundings(self, relaxed: Relaxed, key: jax.Array) -> Iterator[np.ndarray]:
        """Starting scores, float64[S]: slots above 1 are taken, the others follow in order."""
        # Neighbouring rounds hardly differ, and the tightest need not round to the best.
        picked = np.unique(np.linspace(0, len(relaxed.points) - 1, _POINTS).round().astype(int))
        for i in picked[::-1]:
            point = relaxed.points[i]
            for threshold in self.thresholds:
                yield np.where(point >= threshold, 1.0 + point, 0.0)
        point = relaxed.points[-1]
        for sample in jax.random.split(key, self.samples):
            coins = np.asarray(jax.random.uniform(sample, point.shape))
            yield np.where(coins < point, 1.0 + point, 0.0)


def _weightings(problem: SlotProblem, relaxed: Relaxed) -> list[np.ndarray]:
    if problem.sense == "max":
        return [problem.weight]
    inverse = problem.inverse_demand
    m = relaxed.multipliers
    prices = m.demand
    if m.rounded is not None and m.rounded_rows is not None:
        # A rounded demand is priced in units of its divisor.
        prices = prices + (m.rounded / m.rounded_rows.divisor) @ m.rounded_rows.demand_price
    if not prices.any():
        return [inverse]
    # A product without a price still has to be completed: it counts, but last.
    floor = 1e-3 * inverse * (prices @ problem.demand) / max(inverse @ problem.demand, 1e-300)
    return [np.maximum(prices, floor), inverse]


def _finished(
    problem: SlotProblem, start: np.ndarray, weights: np.ndarray, tables: LazyTables, clock: Clock
) -> Coverage:
    """A rounding made feasible and completed."""
    if problem.sense == "min":
        coverage = Coverage(problem, start > 0)
        cover_greedily(coverage, weights, tables, clock, prune=True)
        return coverage
    coverage = Coverage(problem)
    taken = np.flatnonzero(start > 0)
    fill(coverage, taken[np.argsort(-start[taken], kind="stable")])
    pack_greedily(coverage, tables, per_cost="budget" in problem.rows.names)
    return coverage
