"""Units in which prices are about 1 each."""

from __future__ import annotations

import numpy as np

# Of more numbers than this, about so many show what is typical of all.
_ENOUGH = 100_000


def typical(numbers: np.ndarray) -> float:
    """The median of the positive ones, or 1: solvers' tolerances are absolute."""
    some = numbers[:: max(len(numbers) // _ENOUGH, 1)]
    for sample in (some, numbers):
        positive = sample[sample > 0]
        if len(positive):
            return float(np.median(positive))
    return 1.0
