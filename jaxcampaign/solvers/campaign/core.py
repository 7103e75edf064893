"""The core of a campaign: the options whose choice is least settled at prices."""

from __future__ import annotations

import numpy as np

from jaxcampaign.problems.campaign import Campaign, flip_costs

# A core may hold so many times as many options as asked for, if it has all that matter then: they
# cost HiGHS less than another program would.
_MORE = 4.0
# Costs that are looked at to tell how low the least are.
_SAMPLE = 50_000


def least_settled(
    problem: Campaign, reduced: np.ndarray, size: int, *, bound: float, worth: float = -np.inf
) -> tuple[np.ndarray, float]:
    """Options with the least flip costs, and what those of the others prove.

    Args:
      problem: the campaign.
      reduced: float64[N], reduced values at the prices.
      size: about how many.
      bound: what the prices prove.
      worth: of a plan, where the flip costs of options add up for whole plans: what a better one
        could not turn round need not be looked at.

    Returns:
      Options int64[n], rising; and the most that a plan can be worth that makes another choice
      anywhere else, -inf where no other choice is left.
    """
    flips = flip_costs(problem, reduced)
    if worth > -np.inf:
        # Where few others are left out, nothing is proven without them.
        n_open = int((flips <= bound - worth).sum()) + 1
        size = n_open if n_open <= _MORE * size else size
    if np.isfinite(flips).sum() <= _MORE * size:
        return np.flatnonzero(np.isfinite(flips)), -np.inf
    least = _least(flips, size + 1)
    return np.sort(least[:-1]), bound - float(flips[least[-1]])


def _least(costs: np.ndarray, n: int) -> np.ndarray:
    """Places of the n least costs, the largest of them last."""
    step = max(len(costs) // _SAMPLE, 1)
    some = costs[::step]
    # Twice as many as a sample says there are below: all are partitioned only where it misleads.
    place = 2 * n // step + 10
    level = np.partition(some, place)[place] if place < len(some) else np.inf
    near = np.flatnonzero(costs <= level)
    if len(near) < n:
        near = np.arange(len(costs))
    return near[np.argpartition(costs[near], n - 1)[:n]]
