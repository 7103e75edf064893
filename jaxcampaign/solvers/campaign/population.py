"""Better plans of knapsacks with several limits: a genetic algorithm over a core.

Where all rows are limits that options only use up, any set of options can be repaired: drop those
that bring least for what they use, at the prices of the rows, until all limits hold, then add those
that bring most while they fit. So plans can be crossed at random, many at once. Branch and bound
needs far longer for plans as good where several limits bind and nothing else is there.

Source: Chu and Beasley (1998), with the prices of the Lagrangian dual, and on its core alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxcampaign.problems.campaign import Campaign
from jaxcampaign.relaxations.campaign.rows import CoreRows

# Plans of the population, and children made at once.
_PLANS, _CHILDREN = 200, 128
# Options of a core, at each new beginning the next of these in turn.
_SIZES = (100, 150, 220)
# Batches without a better plan, after which it begins anew, and so many times in vain at most.
_PATIENCE, _BEGINNINGS = 250, 9
# Options that are turned round in a child at random, and the range of shares in first plans.
_TURNED, _SPREAD = 2, (0.02, 0.3)
# Entries of the dense matrix of a core at most.
_MOST_ENTRIES = 200_000


@dataclass(frozen=True, eq=False)
class _Core:
    """Options to decide on, those that bring least for what they use first.

    Attributes:
      option: int64[n], their numbers.
      value: float64[n].
      use: float64[n, m], what each takes of each limit.
      room: float64[m], what the options outside of the core leave.
    """

    option: np.ndarray
    value: np.ndarray
    use: np.ndarray
    room: np.ndarray

    @classmethod
    def of(
        cls,
        problem: Campaign,
        value: np.ndarray,
        spend: np.ndarray,
        reduced: np.ndarray,
        option: np.ndarray,
        chosen: np.ndarray,
    ) -> _Core | None:
        """A core, or None where it has too many rows."""
        fixed = chosen.copy()
        fixed[option] = False
        rows = CoreRows.of(problem, option, fixed, spend)
        if rows.matrix.shape[0] * len(option) > _MOST_ENTRIES:
            return None
        dense = rows.matrix.toarray()
        # What is not reduced is what an option pays for the rows.
        paid = value[option] - reduced[option]
        worth = value[option] / np.maximum(paid, 1e-9 * np.abs(value[option]).max(initial=1e-9))
        order = np.argsort(worth, kind="stable")
        # Powers of two keep whole numbers whole in float32.
        unit = 2.0 ** np.round(np.log2(np.maximum(rows.upper, 1e-30)))
        return cls(
            option[order],
            value[option[order]],
            np.ascontiguousarray((dense / unit[:, None]).T[order]),
            rows.upper / unit,
        )

    def repaired(self, plans: np.ndarray) -> np.ndarray:
        """Plans bool[b, n] made to fit, those that rounding spoils left out."""
        use, room = jnp.asarray(self.use, jnp.float32), jnp.asarray(self.room, jnp.float32)
        found = np.asarray(_repaired(jnp.asarray(plans), use, room))
        return found[(found @ self.use <= self.room * (1 + 1e-12)).all(axis=1)]


def only_limits(problem: Campaign) -> bool:
    """Whether all rows are limits that chosen options use up, so that fewer options always fit."""
    if problem.n_flags or problem.required.any() or (problem.rows.matrix.data < 0).any():
        return False
    lower = [*(family.lower for family in problem.families), problem.rows.lower]
    return all(np.isneginf(each).all() for each in lower) and not any(
        family.share or (family.coefficient is not None and (family.coefficient < 0).any())
        for family in problem.families
    )


class Population:
    """Plans that are crossed and repaired.

    Args:
      problem: a campaign whose options are bought whole.
      value: float64[N], what each is worth.
      spend: float64[N], money that an option gets if it is chosen.
      reduced: float64[N], values less the prices of rows.
      flips: float64[N], flip costs; the core are the options with the least.
      center: bool[N], the choice at the prices, feasible or not: first plans are around it.
      seed: of everything that is random.
    """

    def __init__(
        self,
        problem: Campaign,
        value: np.ndarray,
        spend: np.ndarray,
        reduced: np.ndarray,
        flips: np.ndarray,
        center: np.ndarray,
        seed: int = 0,
    ):
        self._problem, self._value, self._spend, self._reduced = problem, value, spend, reduced
        self._center = center
        order = np.argsort(flips, kind="stable")
        self._order = order[np.isfinite(flips[order])]
        self._rng = np.random.default_rng(seed)
        self._begun = self._idle = self._vain = 0
        self._core: _Core | None = None

    @classmethod
    def of(cls, problem: Campaign, chosen: np.ndarray, **found: Any) -> Population | None:
        """A population around a plan, bool[N]; None where rows are not of this kind, or many.

        Args:
          problem: the campaign.
          chosen: a plan.
          found: the further arguments of the class.
        """
        made = cls(problem, **found)
        return made if only_limits(problem) and made._begin(chosen) else None

    @property
    def exhausted(self) -> bool:
        """Nothing better was found for long."""
        return self._vain >= _BEGINNINGS

    def step(self, chosen: np.ndarray, seconds: float) -> np.ndarray | None:
        """The best plan, bool[N], of the population after one more batch of children.

        Outside of the core all plans agree with the one that was given when it began. A batch takes
        milliseconds, whatever the seconds that are left.
        """
        if self._core is None and not self._begin(chosen):
            self._vain = _BEGINNINGS
            return None
        core = self._core
        assert core is not None
        before = self._worth.max()
        self._join(core.repaired(self._children()))
        best = self._worth.max()
        self._idle = 0 if best > before else self._idle + 1
        found = self._outside.copy()
        found[core.option[self._plans[self._worth.argmax()]]] = True
        if self._idle > _PATIENCE:
            self._core, self._idle = None, 0
            self._vain += 1
        return found

    def improved(self) -> None:
        """The last plan was better than any before."""
        self._vain = 0

    def _begin(self, chosen: np.ndarray) -> bool:
        """A first population around a plan; False where there are too many rows."""
        option = self._order[: _SIZES[self._begun % len(_SIZES)]]
        self._begun += 1
        # In turn around the choice at the prices, which a plan may have missed where it is settled.
        around = chosen if self._begun % 2 else self._center
        core = _Core.of(
            self._problem, self._value, self._spend, self._reduced, np.sort(option), around
        )
        if core is None:
            return False
        self._core, self._outside = core, around.copy()
        self._outside[core.option] = False
        first = self._center[core.option]
        turned = self._rng.random((_PLANS, len(first))) < self._rng.uniform(*_SPREAD, (_PLANS, 1))
        # Not around the best plan: what crossing makes of others is news more often.
        self._plans, self._worth = np.zeros((0, len(first)), bool), np.zeros(0)
        self._join(core.repaired(first ^ turned))
        return bool(len(self._plans))

    def _children(self) -> np.ndarray:
        """Each is crossed of two plans at random; then a few options are turned.

        The better ones have no more children than others: all soon would be alike.
        """
        rng, n = self._rng, self._plans.shape[1]
        one, other = rng.integers(0, len(self._plans), (2, _CHILDREN))
        child = np.where(rng.random((_CHILDREN, n)) < 0.5, self._plans[one], self._plans[other])
        child[np.arange(_CHILDREN)[:, None], rng.integers(0, n, (_CHILDREN, _TURNED))] ^= True
        return child

    def _join(self, more: np.ndarray) -> None:
        """The best different plans of the population and more."""
        assert self._core is not None
        plans = np.concatenate([self._plans, more])
        _, first = np.unique(np.packbits(plans, axis=1), axis=0, return_index=True)
        plans = plans[first]
        worth = plans @ self._core.value
        best = np.argsort(-worth, kind="stable")[:_PLANS]
        self._plans, self._worth = plans[best], worth[best]


@jax.jit
def _repaired(plans: Array, use: Array, room: Array) -> Array:
    """Drop the first options until all limits hold, then add the last ones that fit.

    Args:
      plans: bool[b, n].
      use: f32[n, m].
      room: f32[m].
    """

    def drop(load: Array, item: tuple[Array, Array]) -> tuple[Array, Array]:
        own, taken = item
        gone = taken & (load > room).any(axis=1)
        return load - gone[:, None] * own, taken & ~gone

    def add(load: Array, item: tuple[Array, Array]) -> tuple[Array, Array]:
        own, taken = item
        fits = ~taken & (load + own <= room).all(axis=1)
        return load + fits[:, None] * own, taken | fits

    load = plans.astype(jnp.float32) @ use
    load, taken = lax.scan(drop, load, (use, plans.T))
    _, taken = lax.scan(add, load, (use, taken), reverse=True)
    return taken.T
