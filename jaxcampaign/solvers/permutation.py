"""Permutation sampling for disjoint sets: products in random orders pick what is left."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import jax
import numpy as np

from jaxcampaign.errors import InputError
from jaxcampaign.problems import DisjointSlots, SlotProblem
from jaxcampaign.progress import progress
from jaxcampaign.relaxations import prefix_bound
from jaxcampaign.solvers.allocate import complete_allocation, prune_allocation
from jaxcampaign.solvers.allocation import Allocation
from jaxcampaign.solvers.base import Clock, Finding
from jaxcampaign.solvers.sequence import Sequences

# Products up to which all orders are listed rather than drawn, if the samples suffice for that.
_MOST_LISTED = 7
# Errors are not asked for below this share of the cost of all slots: nobody draws so many samples.
_LEAST_SHARE = 1e-9


@dataclass(frozen=True)
class PermutationSampling:
    """Serve the products in random orders, each greedily from what is left; keep the cheapest.

    In each order, products in turn pick slots by truncated gain per cost until their demand is
    met, or their limit of slots. The cheapest feasible outcome is the answer, else the one that
    misses the least. This is the randomised algorithm (RA) of arXiv 2510.09050. Orders that
    differ only in products with the same demand, audience and limit give the same cost, so such
    products always stand in order of id, and no order is tried twice.

    The mean cost over all orders is known to within `epsilon * width` with probability
    `1 - delta` after `ln(2 / delta) c(all)^2 / (2 epsilon^2 width^2)` samples (Hoeffding, 1963,
    costs lying between 0 and c(all)); the statistics report this number beside those drawn.

    Args:
      by: what slots are picked by, gain per cost or gain.
      epsilon: accepted error of the mean cost as a share of `width`.
      delta: accepted probability of a larger error.
      width: amount of money that `epsilon` is a share of; None for the cost of all slots.
      max_samples: orders at most, whatever the formula asks for.
      prune: afterwards give back slots that their product does not need, the most expensive first.
    """

    by: Literal["gain_per_cost", "gain"] = "gain_per_cost"
    epsilon: float = 0.1
    delta: float = 0.1
    width: float | None = None
    max_samples: int = 32
    prune: bool = True

    def __post_init__(self):
        if self.by not in ("gain_per_cost", "gain"):
            raise InputError(
                "unknown rule", table="by", value=self.by, remedy="gain_per_cost or gain"
            )
        for name, most in (("epsilon", math.inf), ("delta", 1.0), ("width", math.inf)):
            value = getattr(self, name)
            if not (value is None and name == "width") and not 0 < value < most:
                problem = f"must lie between 0 and {most:g}"
                raise InputError(problem, table=name, value=value, remedy="such as 0.1")
        if self.max_samples < 1:
            raise InputError(
                "must be at least 1", table="max_samples", value=self.max_samples, remedy="raise it"
            )

    def search(self, problem: SlotProblem, *, key: jax.Array, clock: Clock) -> Finding:
        """Sample; the key is consumed. The clock is looked at between batches of orders.

        Raises:
          InputError: the problem is not one of disjoint sets.
        """
        if not isinstance(problem, DisjointSlots):
            raise InputError(
                f"PermutationSampling serves disjoint sets, not the {problem.name} problem",
                table="solver",
                remedy="use Greedy or LPRounding, or ask a DisjointSlots problem",
            )
        best, statistics = self.sample(problem, key, clock)
        _, multipliers = prefix_bound(problem, [])
        return Finding(
            best.selection, multipliers, limit_hit=clock.out, statistics=dict(statistics)
        )

    def sample(
        self, problem: DisjointSlots, key: jax.Array, clock: Clock
    ) -> tuple[Allocation, dict[str, float]]:
        """The best allocation and the counts of samples; the key is consumed."""
        wanted = self.wanted_samples(problem)
        orders = _orders(problem, min(wanted, self.max_samples), key)
        divisor = problem.divisor if self.by == "gain_per_cost" else np.ones(problem.n_items)
        sequences = Sequences(problem, divisor)
        best = Allocation(problem)
        drawn = feasible = 0
        with progress(len(orders), "permutations", "order") as bar:
            for start in range(0, len(orders), sequences.batch):
                if start and clock.out:
                    break
                batch = orders[start : start + sequences.batch]
                for picked in sequences.serve(batch):
                    found = self._finished(problem, picked[picked >= 0], divisor, clock)
                    feasible += found.feasible
                    best = found if found.score < best.score or not drawn else best
                    drawn += 1
                bar.update(len(batch))
        counts: dict[str, float] = {
            "samples": drawn,
            "feasible_samples": feasible,
            "hoeffding_samples": wanted,
        }
        return best, counts

    def wanted_samples(self, problem: DisjointSlots) -> int:
        """The number of samples that Hoeffding's inequality asks for."""
        everything = problem.cost_of_all
        width = self.width or everything
        if everything == 0:
            return 1
        share = everything / max(self.epsilon * width, everything * _LEAST_SHARE)
        return math.ceil(math.log(2 / self.delta) * share * share / 2)

    def _finished(
        self, problem: DisjointSlots, items: np.ndarray, divisor: np.ndarray, clock: Clock
    ) -> Allocation:
        """The outcome of an order, completed in float64 where float32 stopped a little early."""
        selection = np.zeros(problem.n_items, bool)
        selection[items] = True
        found = Allocation(problem, selection)
        if not found.feasible:
            complete_allocation(found, clock, weights=problem.inverse_demand, divisor=divisor)
        if self.prune:
            prune_allocation(found, clock)
            found.refresh()
        return found


def _orders(problem: DisjointSlots, samples: int, key: jax.Array) -> np.ndarray:
    """Distinct orders of the products with a demand, int[B, K]; twins always in order of id."""
    products = np.flatnonzero(problem.demand > 0)
    if not len(products):
        return np.zeros((1, 0), np.int64)
    twin_of = _twins(problem, products)
    if len(products) <= _MOST_LISTED:
        every = _canonical(np.array(list(itertools.permutations(range(len(products))))), twin_of)
        every = np.unique(every, axis=0)
        if len(every) <= samples:
            return products[every]
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    drawn = rng.permuted(np.tile(np.arange(len(products)), (samples, 1)), axis=1)
    drawn = _canonical(drawn, twin_of)
    _, first = np.unique(drawn, axis=0, return_index=True)
    return products[drawn[np.sort(first)]]


def _twins(problem: DisjointSlots, products: np.ndarray) -> np.ndarray:
    """For each product, the first that has the same demand, limit and audience, int[K]."""
    audience = problem.objective.audience
    first: dict[tuple[float, float, bytes], int] = {}
    twin = np.empty(len(products), np.int64)
    for i, product in enumerate(products):
        own = audience.indices[audience.indptr[product] : audience.indptr[product + 1]]
        who = problem.offers.user[own].tobytes()
        alike = (float(problem.demand[product]), float(problem.max_slots[product]), who)
        twin[i] = first.setdefault(alike, i)
    return twin


def _canonical(orders: np.ndarray, twin_of: np.ndarray) -> np.ndarray:
    """The same orders with twins in rising order, int[B, K]."""
    group = twin_of[orders]
    # Within each group the members take the group's places in rising order.
    places = np.argsort(group, axis=1, kind="stable")
    members = np.argsort(twin_of, kind="stable")
    canonical = np.empty_like(orders)
    np.put_along_axis(canonical, places, np.broadcast_to(members, orders.shape), axis=1)
    return canonical
