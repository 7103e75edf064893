"""What is true of a selection, whatever was asked: the part of a problem that certificates read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

# A demand or limit counts as met within this share of its size: float64 rounding, nothing more.
# Bounds are proven for the problem with exactly this tolerance, so that none can exceed a value.
FEASIBILITY_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Assessment:
    """Facts about a selection, in float64.

    Attributes:
      feasible: every demand and every row is met, to `FEASIBILITY_TOLERANCE` of its size.
      cost: money.
      value: what the problem optimises.
      achieved: float64[L], influence per product; empty for campaigns.
      violations: rows that are not met, each with name, activity, lower, upper.
    """

    feasible: bool
    cost: float
    value: float
    achieved: np.ndarray
    violations: tuple[dict[str, Any], ...]


@runtime_checkable
class Problem(Protocol):
    """What can be asked: a choice among items, with an objective and rows."""

    @property
    def name(self) -> str:
        """Of the kind of problem."""
        ...

    @property
    def sense(self) -> str:
        """Either "min" or "max"."""
        ...

    @property
    def n_items(self) -> int:
        """Number of things to choose from."""
        ...

    @property
    def product_ids(self) -> tuple[str, ...]:
        """Ids of what has a demand."""
        ...

    @property
    def demand(self) -> np.ndarray:
        """float64[L]."""
        ...

    @property
    def trivial_bound(self) -> float:
        """What no selection can beat, without any proof."""
        ...

    def assess(self, selection: np.ndarray, spend: np.ndarray | None = None) -> Assessment:
        """What is true of a selection."""
        ...

    def proven_bound(self, proof: Any) -> float:
        """The bound that a proof proves; ValueError where it is malformed."""
        ...


def broken_rows(
    rows: Any, activity: np.ndarray, lower: np.ndarray, upper: np.ndarray
) -> tuple[dict[str, Any], ...]:
    """Rows whose activity is out of the tolerated limits, by name, with the limits themselves."""
    # Written so that an activity that is no number breaks its row.
    kept = (activity <= upper) & (activity >= lower)
    return tuple(
        {
            "row": rows.names[int(i)],
            "activity": float(activity[i]),
            "lower": float(rows.lower[i]),
            "upper": float(rows.upper[i]),
        }
        for i in np.flatnonzero(~kept)
    )
