"""A selection that is changed one slot at a time, with what it achieves, in float64 on the host."""

from __future__ import annotations

import numpy as np

from jaxcampaign.problems import SlotProblem


class Coverage:
    """What a changing selection achieves.

    The chance that a user is missed is kept as a logarithm over the slots with p < 1 and a count
    of the slots with p = 1, so that removing a slot is exact to rounding.

    Attributes:
      selection: bool[S].
      rest: float64[U], chance that each user is still missed.
      achieved: float64[L], influence per product.
    """

    def __init__(self, problem: SlotProblem, selection: np.ndarray | None = None):
        self.problem = problem
        matrix = problem.influence.matrix
        self._start, self._user, self._prob = matrix.indptr, matrix.indices, matrix.data
        self._interest = problem.objective.interest
        self.selection = np.zeros(problem.n_items, bool)
        if selection is not None:
            self.selection |= selection
        self.refresh()

    def refresh(self) -> None:
        """Recompute everything from the selection."""
        n_users = self.problem.influence.n_users
        block = self.problem.influence.matrix[np.flatnonzero(self.selection)].tocoo()
        sure = block.data >= 1
        self._certain = np.bincount(block.col[sure], minlength=n_users)
        log_miss = np.log1p(-block.data[~sure])
        missed = np.bincount(block.col[~sure], weights=log_miss, minlength=n_users)
        self._log_miss = missed.astype(
            np.float64
        )  # without any weight, bincount counts in integers
        self.rest = np.where(self._certain > 0, 0.0, np.exp(self._log_miss))
        self.achieved = self.problem.objective.audience @ (1 - self.rest)

    @property
    def residual(self) -> np.ndarray:
        """Influence that each product still lacks, float64[L]; 0 where its demand is met."""
        problem = self.problem
        return np.where(self.achieved < problem.required, problem.demand - self.achieved, 0.0)

    @property
    def feasible(self) -> bool:
        """Every demand is met."""
        return self.spares(0.0)

    def spares(self, loss: np.ndarray | float) -> bool:
        """Every demand stays met after a loss of influence, float64[L]."""
        return bool((self.achieved - loss >= self.problem.required).all())

    @property
    def score(self) -> float:
        """Value in the minimised form; infinite where a demand is not met."""
        if self.problem.sense == "max":
            return -float(self.problem.weight @ self.achieved)
        return float(self.problem.cost[self.selection].sum()) if self.feasible else np.inf

    def gain(self, slot: int) -> np.ndarray:
        """Influence per product that adding a slot would bring, float64[L]."""
        users, prob = self._row(slot)
        return (prob * self.rest[users]) @ self._interest[users]

    def loss(self, slot: int) -> np.ndarray:
        """Influence per product that removing a chosen slot would cost, float64[L]."""
        users, prob = self._row(slot)
        return (self._rest_without(users, prob) - self.rest[users]) @ self._interest[users]

    def add(self, slot: int) -> None:
        """Choose a slot."""
        users, prob = self._row(slot)
        self.achieved = self.achieved + self.gain(slot)
        self.selection[slot] = True
        sure = prob >= 1
        self._certain[users] += sure
        self._log_miss[users[~sure]] += np.log1p(-prob[~sure])
        self._settle(users)

    def remove(self, slot: int) -> None:
        """Give a chosen slot back."""
        users, prob = self._row(slot)
        self.achieved = self.achieved - self.loss(slot)
        self.selection[slot] = False
        sure = prob >= 1
        self._certain[users] -= sure
        self._log_miss[users[~sure]] -= np.log1p(-prob[~sure])
        self._settle(users)

    def gains(self, products: np.ndarray) -> np.ndarray:
        """Influence that each slot would add to each of the given products, float64[S, len]."""
        matrix = self.problem.influence.matrix
        return matrix @ (self.rest[:, None] * self._interest[:, products])

    def weighted_gains(self, weights: np.ndarray) -> np.ndarray:
        """Weighted influence that each slot would add, float64[S]."""
        return self.problem.influence.matrix @ (
            self.rest * (self.problem.objective.audience.T @ weights)
        )

    def truncated_gains(self, slots: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Weighted gain of each given slot, products truncated at what they lack, float64[len].

        For a maximum nothing is truncated. Work is the pairs of the given slots times L.
        """
        block = self.problem.influence.matrix[slots]
        fresh = block.data * self.rest[block.indices]
        if self.problem.sense == "max":
            worth = self.problem.user_value[block.indices]
            return np.add.reduceat(fresh * worth, block.indptr[:-1])
        per_pair = fresh[:, None] * self._interest[block.indices]
        per_product = np.add.reduceat(per_pair, block.indptr[:-1], axis=0)
        return np.minimum(per_product, self.residual) @ weights

    def _row(self, slot: int) -> tuple[np.ndarray, np.ndarray]:
        span = slice(self._start[slot], self._start[slot + 1])
        return self._user[span], self._prob[span]

    def _rest_without(self, users: np.ndarray, prob: np.ndarray) -> np.ndarray:
        sure = prob >= 1
        own = np.log1p(-np.where(sure, 0.0, prob))
        return np.where(self._certain[users] > sure, 0.0, np.exp(self._log_miss[users] - own))

    def _settle(self, users: np.ndarray) -> None:
        self.rest[users] = np.where(self._certain[users] > 0, 0.0, np.exp(self._log_miss[users]))
