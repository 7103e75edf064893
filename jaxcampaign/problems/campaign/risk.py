"""Measures of the risk that a plan's value falls short, each a support function.

Every measure is the worst of many linear prices, `risk(e) = max_{q in Q} (R q) . e`, where e is the
effect that is bought of each option (1 where it is chosen and paid in full). So any q in Q bounds
it from below, and a bound on the plan's value for prices `v - rho R q` holds for the plan: q is the
part of a proof that speaks of risk. The worst q at a plan is a subgradient.

Sources: Markowitz (1952) with a factor model; Rockafellar and Uryasev (2000) for conditional value
at risk; Bertsimas and Sim (2004) for a budget of deviations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from jaxcampaign.errors import InputError
from jaxcampaign.problems.inputs import positive_number

# By how much q may be outside of Q, the rounding of its sums: it is put into Q before it is used.
_TOLERANCE = 1e-12


@runtime_checkable
class Measure(Protocol):
    """A risk of N options with K scenarios, bound to the data of one campaign."""

    @property
    def n_weights(self) -> int:
        """Length of q."""
        ...

    def worst(self, effect: np.ndarray) -> np.ndarray:
        """The q at which the risk of an effect float64[N] is attained."""
        ...

    def prices(self, q: np.ndarray) -> np.ndarray:
        """R q, float64[N].

        Raises:
          ValueError: q is not in Q, so that nothing is proven.
        """
        ...

    def prices_size(self, q: np.ndarray) -> np.ndarray:
        """`|R| |q|`, the terms of R q each taken positive: what rounding is measured by."""
        ...


@runtime_checkable
class Risk(Protocol):
    """How risk is measured; `bind` gives it the numbers of a campaign."""

    def bind(self, std: np.ndarray, members: np.ndarray) -> Measure:
        """The measure for deviations float64[N] and members' means float[K, N]."""
        ...


def risk_of(measure: Measure, effect: np.ndarray) -> float:
    """The risk of an effect, float64."""
    return float(measure.prices(measure.worst(effect)) @ effect)


@dataclass(frozen=True)
class SummedDeviation:
    """`sum_i sigma_i e_i`: errors that all go wrong together, so it never understates."""

    def bind(self, std: np.ndarray, members: np.ndarray) -> Measure:
        """The measure; members are not used."""
        return _Linear(std)


@dataclass(frozen=True)
class FactorDeviation:
    """The standard deviation of the plan, `sqrt(|F e|^2 + sum_i s_i^2 e_i^2)`.

    Rows of F are the ensemble members' deviations from their mean over `sqrt(K - 1)`: what the
    model does not know is shared by options of one influencer. What F does not explain of the
    deviation, `s_i^2 = sigma_i^2 - sum_k F_ki^2` (not below 0), is noise of its own.
    """

    def bind(self, std: np.ndarray, members: np.ndarray) -> Measure:
        """The measure."""
        members = _checked(members, "FactorDeviation", len(std))
        factors = (members - members.mean(axis=0)) / np.sqrt(len(members) - 1)
        own = np.sqrt(np.maximum(std**2 - (factors**2).sum(axis=0), 0.0))
        return _Ellipsoid(factors, own)


@dataclass(frozen=True)
class ConditionalShortfall:
    """What the mean value exceeds the mean of the worst scenarios by (CVaR deviation).

    Scenarios are the ensemble's members: what the model holds possible of the means.

    Args:
      level: the worst `1 - level` of the scenarios count, 0 <= level < 1.
    """

    level: float = 0.9

    def __post_init__(self) -> None:
        if not 0 <= self.level < 1:
            raise InputError(
                "is at least 0 and below 1",
                table="ConditionalShortfall",
                column="level",
                value=self.level,
                remedy="0.9 looks at the worst tenth",
            )

    def bind(self, std: np.ndarray, members: np.ndarray) -> Measure:
        """The measure."""
        members = _checked(members, "ConditionalShortfall", len(std))
        return _Tail(members.mean(axis=0) - members, 1 / ((1 - self.level) * len(members)))


@dataclass(frozen=True)
class BudgetOfDeviations:
    """The largest deviations of the plan, as many as may go wrong at once: `Gamma`-robust.

    Args:
      gamma: how many options may fall short by their deviation at once; a fraction counts in part.
    """

    gamma: float

    def __post_init__(self) -> None:
        positive_number(self.gamma, "BudgetOfDeviations.gamma")

    def bind(self, std: np.ndarray, members: np.ndarray) -> Measure:
        """The measure; members are not used."""
        return _Largest(std, self.gamma)


@dataclass(frozen=True, eq=False)
class _Linear:
    std: np.ndarray
    n_weights = 0

    def worst(self, effect: np.ndarray) -> np.ndarray:
        return np.zeros(0)

    def prices(self, q: np.ndarray) -> np.ndarray:
        if q.shape != (0,):
            raise ValueError("a summed deviation has no weights")
        return self.std

    def prices_size(self, q: np.ndarray) -> np.ndarray:
        return np.abs(self.std)


@dataclass(frozen=True, eq=False)
class _Ellipsoid:
    """Q is the unit ball of R^(K + N)."""

    factors: np.ndarray
    own: np.ndarray

    @property
    def n_weights(self) -> int:
        return len(self.factors) + len(self.own)

    def worst(self, effect: np.ndarray) -> np.ndarray:
        ahead = np.concatenate([self.factors @ effect, self.own * effect])
        norm = np.linalg.norm(ahead)
        return ahead / norm if norm > 0 else ahead

    def prices(self, q: np.ndarray) -> np.ndarray:
        _check(q, self.n_weights)
        norm = np.linalg.norm(q)
        if norm > 1 + _TOLERANCE:
            raise ValueError("weights of a standard deviation must have a norm of at most 1")
        q = q / max(norm, 1.0)
        k = len(self.factors)
        return q[:k] @ self.factors + q[k:] * self.own

    def prices_size(self, q: np.ndarray) -> np.ndarray:
        k = len(self.factors)
        return np.abs(q[:k]) @ np.abs(self.factors) + np.abs(q[k:]) * self.own


@dataclass(frozen=True, eq=False)
class _Tail:
    """Q holds weights of scenarios that add up to 1, none above `most`."""

    loss: np.ndarray
    most: float

    @property
    def n_weights(self) -> int:
        return len(self.loss)

    def worst(self, effect: np.ndarray) -> np.ndarray:
        order = np.argsort(-(self.loss @ effect), kind="stable")
        before = self.most * np.arange(len(order))
        q = np.zeros(len(order))
        q[order] = np.clip(1 - before, 0.0, self.most)
        return q

    def prices(self, q: np.ndarray) -> np.ndarray:
        _check(q, self.n_weights)
        if (q < 0).any() or (q > self.most * (1 + _TOLERANCE)).any():
            raise ValueError("a weight of a scenario is out of its limits")
        if abs(q.sum() - 1) > _TOLERANCE:
            raise ValueError("weights of scenarios must add up to 1")
        q = np.minimum(q, self.most)
        room = self.most - q
        # What the weights lack goes where there is room, what they have too much is taken from all.
        lacking = max(1 - q.sum(), 0.0) / max(room.sum(), np.finfo(np.float64).tiny)
        q = q + min(lacking, 1.0) * room
        return q / max(q.sum(), 1.0) @ self.loss

    def prices_size(self, q: np.ndarray) -> np.ndarray:
        return np.abs(q) @ np.abs(self.loss)


@dataclass(frozen=True, eq=False)
class _Largest:
    """Q holds a weight for each option, between 0 and 1, that add up to gamma at most."""

    std: np.ndarray
    gamma: float

    @property
    def n_weights(self) -> int:
        return len(self.std)

    def worst(self, effect: np.ndarray) -> np.ndarray:
        q = np.zeros(len(self.std))
        weight = self.std * effect
        n = min(int(np.ceil(self.gamma)), len(weight))
        if n:
            top = np.argpartition(-weight, n - 1)[:n]
            top = top[np.argsort(-weight[top], kind="stable")]
            q[top] = np.clip(self.gamma - np.arange(n), 0.0, 1.0)
        return q

    def prices(self, q: np.ndarray) -> np.ndarray:
        _check(q, self.n_weights)
        if (q < 0).any() or (q > 1).any() or q.sum() > self.gamma * (1 + _TOLERANCE):
            raise ValueError("weights of deviations are out of their limits")
        return q / max(q.sum() / self.gamma, 1.0) * self.std if self.gamma else 0.0 * self.std

    def prices_size(self, q: np.ndarray) -> np.ndarray:
        return np.abs(q) * self.std


def _check(q: np.ndarray, length: int) -> None:
    if q.shape != (length,) or not np.isfinite(q).all():
        raise ValueError(f"{length} finite weights are needed")


def _checked(members: np.ndarray, kind: str, n: int) -> np.ndarray:
    members = np.asarray(members, np.float64)
    if members.ndim != 2 or members.shape[1] != n or len(members) < 2:
        raise InputError(
            f"needs means of at least two ensemble members for each of {n:,} options",
            table=kind,
            column="members",
            value=members.shape,
            remedy="predict with a model, or measure risk by SummedDeviation",
        )
    return members
