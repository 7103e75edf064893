"""What money does: options bought at their price, or money that buys effect with falling returns.

As it is written, `maximise sum f y subject to sum b <= B, b <= p y` never spends anything. Each way
out says how the money b given to a chosen option of price p bears on its value `v r(b / p)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from jaxcampaign.errors import InputError
from jaxcampaign.problems.inputs import positive_number


@runtime_checkable
class Spending(Protocol):
    """How money given to a chosen option bears on its value."""

    @property
    def least(self) -> float:
        """Least share of its price that a chosen option gets."""
        ...

    def response(self, share: np.ndarray) -> np.ndarray:
        """r, the share of the value that a share of the price buys; r(1) = 1, float64[N]."""
        ...

    def best_share(self, value: np.ndarray, price_of_share: np.ndarray) -> np.ndarray:
        """The z in [least, 1] with the highest `value r(z) - price_of_share z`, float64[N]."""
        ...


@dataclass(frozen=True)
class FixedPrice:
    """A chosen option costs its price, `b = p y`: what a post is in most markets."""

    @property
    def least(self) -> float:
        """All of it."""
        return 1.0

    def response(self, share: np.ndarray) -> np.ndarray:
        """Everything, for the whole price."""
        return np.ones_like(share)

    def best_share(self, value: np.ndarray, price_of_share: np.ndarray) -> np.ndarray:
        """1: there is no choice."""
        return np.ones_like(value + price_of_share)


@dataclass(frozen=True)
class MinimumSpend:
    """A chosen option has its whole value from a least share of its price on, `l y <= b <= p y`.

    Args:
      least: share of the price, between 0 and 1.
    """

    least: float

    def __post_init__(self) -> None:
        _check_share(self.least, "MinimumSpend")

    def response(self, share: np.ndarray) -> np.ndarray:
        """Everything."""
        return np.ones_like(share)

    def best_share(self, value: np.ndarray, price_of_share: np.ndarray) -> np.ndarray:
        """As little as may be where money has a price."""
        return np.where(price_of_share >= 0, self.least, np.ones_like(value))


@dataclass(frozen=True)
class ConcaveResponse:
    """Falling returns, `r(z) = (1 - exp(-c z)) / (1 - exp(-c))`; c = 0 is proportional.

    Args:
      curvature: c >= 0; with 3, half of the money buys 82 % of the effect.
      least: share of its price that a chosen option gets at least.
    """

    curvature: float = 2.0
    least: float = 0.0

    def __post_init__(self) -> None:
        positive_number(self.curvature, "ConcaveResponse.curvature")
        if self.curvature > _STEEPEST:
            raise InputError(
                f"is at most {_STEEPEST:g}",
                table="ConcaveResponse",
                column="curvature",
                value=self.curvature,
                remedy="beyond it the first cents buy everything; say MinimumSpend",
            )
        _check_share(self.least, "ConcaveResponse")

    def response(self, share: np.ndarray) -> np.ndarray:
        """r, increasing and concave."""
        c = self.curvature
        return share if c < _STRAIGHT else np.expm1(-c * share) / np.expm1(-c)

    def best_share(self, value: np.ndarray, price_of_share: np.ndarray) -> np.ndarray:
        """Where the marginal value is the price, cut to what is allowed."""
        c = self.curvature
        if c < _STRAIGHT:
            return np.where(value >= price_of_share, 1.0, self.least)
        # v c exp(-c z) = -expm1(-c) price
        slope = np.maximum(value, 0.0) * c / -np.expm1(-c)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.log(slope / np.maximum(price_of_share, 0.0)) / c
        free = np.where(slope > 0, 1.0, self.least)
        share = np.where(price_of_share > 0, share, free)
        return np.clip(np.where(slope > 0, share, self.least), self.least, 1.0)


_STRAIGHT = 1e-6
_STEEPEST = 50.0


def _check_share(share: float, kind: str) -> None:
    if positive_number(share, f"{kind}.least") > 1:
        raise InputError(
            "a share of the price is at most 1",
            table=kind,
            column="least",
            value=share,
            remedy="0.2 stands for 20 %",
        )
