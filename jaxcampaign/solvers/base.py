"""What a solver is: an object that searches, and the raw finding it returns."""

from __future__ import annotations

import numbers
import time
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from jaxcampaign.errors import InputError
from jaxcampaign.progress import moment


@dataclass(frozen=True)
class Clock:
    """Time left to a search.

    Attributes:
      end: when to stop, in seconds of `time.monotonic`; infinite without a limit.
    """

    end: float = float("inf")

    @classmethod
    def after(cls, seconds: float | None) -> Clock:
        """A clock that runs out after so many seconds."""
        return cls() if seconds is None else cls(time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds left, at least 0."""
        return 0.0 if self.out else self.end - time.monotonic()

    @property
    def out(self) -> bool:
        """No time is left."""
        return moment() >= self.end


def check_time_limit(seconds: Any) -> None:
    """Refuse a time limit that is no number of seconds above 0; it may be infinite."""
    if not _is_number(seconds) or not seconds > 0:
        raise InputError(
            "must be a positive number of seconds",
            table="time_limit",
            value=seconds,
            remedy="correct it, or leave it out",
        )


def check_gap(gap: Any) -> None:
    """Refuse a relative gap that is no finite number of at least 0."""
    if not _is_number(gap) or not 0 <= gap < float("inf"):
        raise InputError(
            "must be a finite number of at least 0",
            table="gap",
            value=gap,
            remedy="such as 1e-6, which is a millionth of the value",
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


@dataclass(frozen=True, eq=False)
class Finding:
    """What a solver found; `solve` certifies it and believes nothing else.

    Attributes:
      selection: bool[N], of slots or options.
      multipliers: proof of a bound, if the solver has one: `Proof` or `CampaignMultipliers`.
      solver_bound: bound of a branch and bound, if there is one.
      limit_hit: a limit of time or iterations ended the search.
      target: the share of every demand that the search works towards; below 1 for a solver with
        two criteria that was told to stop at its guarantee.
      statistics: counts and seconds.
      spend: float64[N], money that each option of a campaign gets; None for its price.
      infeasible: a branch and bound found that there is no feasible selection, which is its word
        where the multipliers do not prove it.
    """

    selection: np.ndarray
    multipliers: Any = None
    solver_bound: float | None = None
    limit_hit: bool = False
    target: float = 1.0
    statistics: dict[str, Any] = field(default_factory=dict)
    spend: np.ndarray | None = None
    infeasible: bool = False


@runtime_checkable
class Solver(Protocol):
    """Searches for a good selection of a problem.

    A solver of slot problems is given one that has a feasible selection; one of campaigns may find
    that there is none.
    """

    def search(self, problem: Any, *, key: jax.Array, clock: Clock) -> Finding:
        """Search until done or the clock is out.

        Args:
          problem: what is asked.
          key: source of randomness; it is consumed.
          clock: when to stop.
        """
        ...
