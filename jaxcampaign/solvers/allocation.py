"""Disjoint sets of slots in the making: who has which slot and what that achieves, in float64."""

from __future__ import annotations

import numpy as np

from jaxcampaign.errors import InputError
from jaxcampaign.problems import DisjointSlots, SlotProblem


class Allocation:
    """Slots given to products, changed one slot at a time.

    Every item belongs to one product, so a change concerns the users of that product alone. The
    chance that a user is missed is kept as in `Coverage`: a logarithm over the slots with p < 1
    and a count of those with p = 1.

    Attributes:
      selection: bool[N].
      holder: int64[S], the chosen item of each slot, -1 where the slot is free.
      rest: float64[V], chance that each (user, product) pair is still missed.
      achieved: float64[L], influence per product.
      count: int64[L], slots per product.
    """

    def __init__(self, problem: DisjointSlots, selection: np.ndarray | None = None):
        self.problem = problem
        matrix, offers = problem.influence.matrix, problem.offers
        self._start, self._user, self._prob = matrix.indptr, matrix.indices, matrix.data
        self._slot, self._product = offers.slot, offers.product
        products = np.arange(len(problem.product_ids) + 1)
        self._item_start = np.searchsorted(offers.product, products)
        self.selection = np.zeros(problem.n_items, bool)
        if selection is not None:
            self.selection |= selection
        self.refresh()

    def refresh(self) -> None:
        """Recompute everything from the selection, which must obey the rows."""
        problem = self.problem
        n_users = problem.influence.n_users
        chosen = np.flatnonzero(self.selection)
        block = problem.influence.matrix[chosen].tocoo()
        sure = block.data >= 1
        self._certain = np.bincount(block.col[sure], minlength=n_users)
        self._log_miss = np.zeros(n_users)
        np.add.at(self._log_miss, block.col[~sure], np.log1p(-block.data[~sure]))
        self.rest = np.where(self._certain > 0, 0.0, np.exp(self._log_miss))
        self.achieved = problem.objective.audience @ (1 - self.rest)
        self.holder = np.full(problem.base.n_slots, -1, np.int64)
        self.holder[self._slot[chosen]] = chosen
        self.count = np.bincount(self._product[chosen], minlength=len(problem.product_ids))

    @property
    def lacking(self) -> np.ndarray:
        """Influence that each product still lacks, float64[L]; 0 where its demand is met."""
        problem = self.problem
        return np.where(self.achieved < problem.required, problem.demand - self.achieved, 0.0)

    @property
    def slack(self) -> np.ndarray:
        """Influence that each product could lose, float64[L]; negative where it lacks some."""
        return self.achieved - self.problem.required

    @property
    def feasible(self) -> bool:
        """Every demand is met."""
        return bool((self.achieved >= self.problem.required).all())

    @property
    def cost(self) -> float:
        """What the chosen slots cost."""
        return float(self.problem.cost[self.selection].sum())

    @property
    def score(self) -> tuple[float, float]:
        """Shares of demands that are missed, then cost: less is better."""
        return float(self.lacking @ self.problem.inverse_demand), self.cost

    def items(self, product: int) -> slice:
        """The items of a product."""
        return slice(self._item_start[product], self._item_start[product + 1])

    def gains(self, product: int) -> np.ndarray:
        """Influence that each item of a product would add, float64[.]."""
        span = self.items(product)
        first, last = self._start[span.start], self._start[span.stop]
        if first == last:
            return np.zeros(0)
        fresh = self._prob[first:last] * self.rest[self._user[first:last]]
        return np.add.reduceat(fresh, self._start[span] - first)

    def is_free(self, product: int) -> np.ndarray:
        """Items of a product whose slot nobody has, bool[.]; none where its limit is reached."""
        if self.count[product] >= self.problem.max_slots[product]:
            return np.zeros(self._item_start[product + 1] - self._item_start[product], bool)
        return self.holder[self._slot[self.items(product)]] < 0

    def losses(self, chosen: np.ndarray) -> np.ndarray:
        """Influence that giving back each of the chosen items alone would cost, float64[.]."""
        if not len(chosen):
            return np.zeros(0)
        length = self._start[chosen + 1] - self._start[chosen]
        begin = np.cumsum(length) - length
        at = np.repeat(self._start[chosen] - begin, length) + np.arange(length.sum())
        users, prob = self._user[at], self._prob[at]
        return np.add.reduceat(self._rest_without(users, prob) - self.rest[users], begin)

    def loss(self, item: int) -> float:
        """`losses` of one item."""
        users, prob = self._row(item)
        return float((self._rest_without(users, prob) - self.rest[users]).sum())

    def add(self, item: int) -> None:
        """Give a free slot to a product."""
        users, prob = self._row(item)
        product = self._product[item]
        self.achieved[product] += prob @ self.rest[users]
        self._change(item, users, prob, 1)
        self.selection[item] = True
        self.holder[self._slot[item]] = item
        self.count[product] += 1

    def remove(self, item: int) -> None:
        """Take a slot back."""
        users, prob = self._row(item)
        product = self._product[item]
        self.achieved[product] -= self.loss(item)
        self._change(item, users, prob, -1)
        self.selection[item] = False
        self.holder[self._slot[item]] = -1
        self.count[product] -= 1

    def _change(self, item: int, users: np.ndarray, prob: np.ndarray, sign: int) -> None:
        sure = prob >= 1
        self._certain[users] += sign * sure
        self._log_miss[users[~sure]] += sign * np.log1p(-prob[~sure])
        self.rest[users] = np.where(self._certain[users] > 0, 0.0, np.exp(self._log_miss[users]))

    def _row(self, item: int) -> tuple[np.ndarray, np.ndarray]:
        span = slice(self._start[item], self._start[item + 1])
        return self._user[span], self._prob[span]

    def _rest_without(self, users: np.ndarray, prob: np.ndarray) -> np.ndarray:
        sure = prob >= 1
        own = np.log1p(-np.where(sure, 0.0, prob))
        return np.where(self._certain[users] > sure, 0.0, np.exp(self._log_miss[users] - own))


def without_conflicts(problem: DisjointSlots, score: np.ndarray) -> np.ndarray:
    """The items that are left when each slot goes to its highest bidder, bool[N].

    Args:
      problem: what is asked; a product that has more slots than its limit keeps its highest.
      score: float64[N], bid of each item; items without a positive bid are left out. Ties go to
        the earlier item.
    """
    offers = problem.offers
    bidding = np.flatnonzero(score > 0)
    won = bidding[_first_of_each(offers.slot[bidding], score[bidding], np.ones(1))]
    limits = problem.max_slots
    kept = won[_first_of_each(offers.product[won], score[won], limits)]
    selection = np.zeros(problem.n_items, bool)
    selection[kept] = True
    return selection


def refuse_disjoint(problem: SlotProblem, solver: object) -> None:
    """For solvers that know one set only: an error that names those that keep sets apart."""
    if isinstance(problem, DisjointSlots):
        raise InputError(
            f"{type(solver).__name__} chooses one set of slots, and each product needs its own",
            table="solver",
            remedy="use PermutationSampling, Greedy, LPRounding or MixedInteger",
        )


def _first_of_each(group: np.ndarray, score: np.ndarray, most: np.ndarray) -> np.ndarray:
    """Positions of the best of each group: `most[group]` of them, or `most[0]` of every group."""
    order = np.lexsort((-score, group))
    sorted_group = group[order]
    begin = np.searchsorted(sorted_group, sorted_group)
    rank = np.arange(len(order)) - begin
    return order[rank < (most[0] if len(most) == 1 else most[sorted_group])]
