"""Units in which prices are about 1 each."""

from __future__ import annotations

import numpy as np


def typical(numbers: np.ndarray) -> float:
    """The median of the positive ones, or 1: solvers' tolerances are absolute."""
    positive = numbers[numbers > 0]
    return float(np.median(positive)) if len(positive) else 1.0
