"""What money does: options bought at their price, or money that buys effect with falling returns.

As it is written, `maximise sum f y subject to sum b <= B, b <= p y` never spends anything. Each way
out says how the money b given to a chosen option of price p bears on its value `v r(b / p)`. All of
it works on NumPy and on JAX arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxcampaign.errors import InputError
from jaxcampaign.problems.inputs import positive_number


@runtime_checkable
class Spending(Protocol):
    """How money given to a chosen option bears on its value."""

    @property
    def least(self) -> float:
        """Least share of its price that a chosen option gets; in any case a cent."""
        ...

    def response(self, share: Any) -> Any:
        """r, the share of the value that a share of the price buys; r(1) = 1, float[N]."""
        ...

    def best_share(self, value: Any, price_of_share: Any) -> Any:
        """The z in [least, 1] with the highest `value r(z) - price_of_share z`, float[N]."""
        ...

    def softness(self, value: Any, price_of_share: Any) -> Any:
        """By how much that z falls per unit of its price, float[N]; 0 where it does not move."""
        ...


@dataclass(frozen=True)
class FixedPrice:
    """A chosen option costs its price, `b = p y`: what a post is in most markets."""

    @property
    def least(self) -> float:
        """All of it."""
        return 1.0

    def response(self, share: Any) -> Any:
        """Everything, for the whole price."""
        return _like(share, 1.0)

    def best_share(self, value: Any, price_of_share: Any) -> Any:
        """1: there is no choice."""
        return _like(price_of_share, 1.0)

    def softness(self, value: Any, price_of_share: Any) -> Any:
        """0: it does not move."""
        return _like(price_of_share, 0.0)


@dataclass(frozen=True)
class MinimumSpend:
    """A chosen option has its whole value from a least share of its price on, `l y <= b <= p y`.

    Args:
      least: share of the price, between 0 and 1; begun cents are paid, and one at least.
    """

    least: float

    def __post_init__(self) -> None:
        _check_share(self.least, "MinimumSpend")

    def response(self, share: Any) -> Any:
        """Everything."""
        return _like(share, 1.0)

    def best_share(self, value: Any, price_of_share: Any) -> Any:
        """As little as may be where money has a price."""
        xp = price_of_share.__array_namespace__()
        return xp.where(price_of_share >= 0, self.least, _like(price_of_share, 1.0))

    def softness(self, value: Any, price_of_share: Any) -> Any:
        """0: it jumps."""
        return _like(price_of_share, 0.0)


@dataclass(frozen=True)
class ConcaveResponse:
    """Falling returns, `r(z) = (1 - exp(-c z)) / (1 - exp(-c))`.

    Args:
      curvature: c, above 0; with 3, half of the money buys 82 % of the effect.
      least: share of its price that a chosen option gets at least; in any case a cent, so that no
        post counts that is not paid.
    """

    curvature: float = 2.0
    least: float = 0.0

    def __post_init__(self) -> None:
        curvature = positive_number(self.curvature, "ConcaveResponse.curvature")
        if not _STRAIGHTEST <= curvature <= _STEEPEST:
            raise InputError(
                f"is between {_STRAIGHTEST:g} and {_STEEPEST:g}",
                table="ConcaveResponse",
                column="curvature",
                value=self.curvature,
                remedy="below it returns do not fall; above it the first cents buy everything",
            )
        _check_share(self.least, "ConcaveResponse")

    def response(self, share: Any) -> Any:
        """r, increasing and concave."""
        xp = share.__array_namespace__()
        return xp.expm1(-self.curvature * share) / math.expm1(-self.curvature)

    def marginal(self, share: Any) -> Any:
        """r', falling."""
        xp = share.__array_namespace__()
        c = self.curvature
        return c * xp.exp(-c * share) / -math.expm1(-c)

    def best_share(self, value: Any, price_of_share: Any) -> Any:
        """Where the marginal value is the price, cut to what is allowed."""
        xp = price_of_share.__array_namespace__()
        share = xp.where(price_of_share > 0, self._turning(value, price_of_share), 1.0)
        return xp.where(value > 0, xp.clip(share, self.least, 1.0), self.least)

    def softness(self, value: Any, price_of_share: Any) -> Any:
        """`1 / (c price)` between the ends."""
        xp = price_of_share.__array_namespace__()
        share = self._turning(value, price_of_share)
        inside = (value > 0) & (price_of_share > 0) & (share > self.least) & (share < 1)
        return xp.where(inside, 1 / (self.curvature * xp.where(inside, price_of_share, 1.0)), 0.0)

    def _turning(self, value: Any, price_of_share: Any) -> Any:
        """The z with `value r'(z) = price_of_share`, wherever it lies."""
        xp = price_of_share.__array_namespace__()
        c = self.curvature
        most = xp.where(value > 0, value, 1.0) * c / -math.expm1(-c)
        return xp.log(most / xp.where(price_of_share > 0, price_of_share, 1.0)) / c


_STRAIGHTEST, _STEEPEST = 1e-2, 50.0


def _like(values: Any, number: float) -> Any:
    xp = values.__array_namespace__()
    return xp.full(values.shape, number, dtype=values.dtype)


def _check_share(share: float, kind: str) -> None:
    if positive_number(share, f"{kind}.least") > 1:
        raise InputError(
            "a share of the price is at most 1",
            table=kind,
            column="least",
            value=share,
            remedy="0.2 stands for 20 %",
        )
