"""Better plans by freeing a few options at a time: branch and bound on random small cores."""

from __future__ import annotations

import time

import numpy as np

from jaxcampaign.problems.campaign import Campaign
from jaxcampaign.relaxations.campaign.program import CoreProgram

# Options that are freed at first, and at least; the factors by which their number is changed.
_FIRST, _LEAST, _MORE, _LESS = 40, 12, 1.15, 0.8
# Seconds that one program should take: larger ones are tried where it takes less.
_AIM = 0.5
# Without a better plan in so many programs, the search is given up.
_PATIENCE = 60
# How unsettled options are preferred: by their place in the order of flip costs over this share.
_SPREAD = 2.5


class Neighbourhoods:
    """A sequence of small programs around the best plan.

    Options are freed at random, those whose choice is least settled most often: the place k in the
    order of flip costs has the weight `exp(-k / (2.5 size))`. The size follows from how long the
    last program took.

    Args:
      problem: the campaign.
      values: float64[T, N], as for `CoreProgram`.
      spend: float64[N].
      flips: float64[N], flip costs at the best prices.
      gap: relative gap at which a program stops.
      seed: of the choice.
    """

    def __init__(
        self,
        problem: Campaign,
        values: np.ndarray,
        spend: np.ndarray,
        flips: np.ndarray,
        gap: float,
        seed: int = 0,
    ):
        self._problem, self._values, self._spend, self._gap = problem, values, spend, gap
        order = np.argsort(flips, kind="stable")
        self._order = order[np.isfinite(flips[order])]
        self._rng = np.random.default_rng(seed)
        self._size = float(_FIRST)
        self._idle = 0

    @property
    def exhausted(self) -> bool:
        """Nothing better was found for long, or there is nothing small to free."""
        return self._idle >= _PATIENCE or len(self._order) <= _FIRST

    def step(self, chosen: np.ndarray, seconds: float) -> np.ndarray | None:
        """The best plan, bool[N], that agrees with a plan but for the options freed now."""
        size = int(min(self._size, len(self._order) / 2))
        near = min(len(self._order), int(8 * _SPREAD * size))
        weight = np.exp(-np.arange(near) / (_SPREAD * size))
        core = self._rng.choice(self._order[:near], size, replace=False, p=weight / weight.sum())
        core.sort()
        fixed = chosen.copy()
        fixed[core] = False
        program = CoreProgram(self._problem, self._values, self._spend, core, fixed)
        began = time.monotonic()
        answer = program.solve(
            integer=True, seconds=min(4 * _AIM, seconds), gap=self._gap, start=chosen
        )
        took = time.monotonic() - began
        grow = took < _AIM and answer.finished
        self._size = max(self._size * (_MORE if grow else _LESS), _LEAST)
        found = answer.chosen
        self._idle += 1
        if found is None or np.array_equal(found, chosen):
            return None
        return found

    def improved(self) -> None:
        """The last plan was better."""
        self._idle = 0
