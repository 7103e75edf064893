"""The smoothed dual of a campaign on the device: value, activity of rows and choice at prices.

Only rows that couple groups are priced. Given their prices, each group of the family that is kept
takes the best few of its options. With entropy of temperature gamma that choice is

    y_j = sigmoid((c_j - mu) / gamma),    mu >= 0 with sum_j y_j <= k,

c the values less prices (the most of `v r(z) - price z` where money buys effect). A group is worth
`k mu + gamma sum_j softplus((c_j - mu) / gamma)`: smooth, above the best few by at most gamma log 2
an option, equal to it as gamma falls to 0.
Values are in units of `scale`, coefficients in units of their row's typical one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jaxcampaign.problems.campaign import Campaign, CampaignMultipliers, Family
from jaxcampaign.problems.campaign.spending import Spending
from jaxcampaign.relaxations.scaling import typical

# Steps of the search for mu, at most, and how near the count must come to the limit.
_STEPS, _NEAR = 40, 1e-5
# Partial sums of activity: a sum of a million terms in float32 would keep four digits.
_PARTS = 256
# Options of a group that take part where it is known which stand best: for each that the group has
# room for, and at least.
_STANDING, _FEWEST_STANDING = 4, 8
# Value of padding, and of an option that nothing could make worthwhile.
_NEVER = -1e30


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Table:
    """Groups of like size on the device. P families that are priced."""

    value: Array
    """f32[g, w], what each option brings; `_NEVER` where there is none."""
    row: Array
    """i32[P, g, w], its row in each family, counted over all families from 1; 0 for none."""
    coefficient: Array
    """f32[P, g, w], 0 without a row."""
    room: Array
    """f32[g], k."""
    spends: tuple[bool, ...] = field(metadata={"static": True})
    """P, whether a family's coefficients are money, for the whole price."""


class Answer(NamedTuple):
    """The smoothed choice of one table."""

    worth: Array
    """f32[g], of each group."""
    choice: Array
    """f32[g, w], y."""
    share: Array
    """f32[g, w], z, the share of its price that an option gets if it is chosen."""
    soft: Array
    """f32[g, w], by how much z falls per unit of its price."""
    level: Array
    """f32[g], mu."""
    activity: Array
    """f32[parts, M + 1], sums of coefficient times y, by parts."""


@dataclass(frozen=True, eq=False)
class Coupling:
    """The rows that prices are sought for, in the units of the device.

    Attributes:
      scale: what a value of 1 stands for.
      tables: options of each bucket.
      options: int64[g, w] for each table, -1 for padding.
      family: int64[P], the families that are priced.
      start: int64[P + 1], where the rows of each begin among the M rows.
      unit: float64[M], what a coefficient of 1 stands for.
      share: float64[P], share of each family's total that is taken off.
      fixed: float64[M], activity of the options that are required, before shares are taken off.
      spending: what money does.
    """

    scale: float
    tables: tuple[Table, ...]
    options: tuple[np.ndarray, ...]
    family: np.ndarray
    start: np.ndarray
    unit: np.ndarray
    share: np.ndarray
    fixed: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    spending: Spending

    @classmethod
    def of(
        cls, problem: Campaign, weights: np.ndarray, reduced: np.ndarray | None = None
    ) -> Coupling:
        """Lay out a campaign at weights of its risk.

        Args:
          problem: the campaign.
          weights: of its risk.
          reduced: float64[N], reduced values at prices near by: of each group only the options
            that stand best there take part, for a fraction of the time.
        """
        value = problem.value_prices(weights)
        scale = typical(value)
        numbers = [i for i in range(len(problem.families)) if i != problem.kept]
        families = [problem.families[i] for i in numbers]
        start = np.concatenate([[0], np.cumsum([len(f) for f in families])]).astype(np.int64)
        layout = _tables(problem, reduced)
        places = [option[option >= 0] for option, _ in layout]
        part = np.concatenate([np.zeros(0, np.int64), *places])
        required = np.flatnonzero(problem.required)
        rows, coefficients, units, fixed = [], [], [], []
        for family, first in zip(families, start, strict=False):
            weighed, group = _weights(problem, family, part), family.group[part]
            unit = typical(weighed)
            units.append(np.full(len(family), unit))
            rows.append(np.where(group >= 0, group + 1 + first, 0).astype(np.int32))
            coefficients.append((weighed / unit).astype(np.float32))
            own, group = _weights(problem, family, required), family.group[required] + 1
            fixed.append(np.bincount(group, weights=own, minlength=len(family) + 1)[1:])
        tables, begin = [], 0
        for (option, room), place in zip(layout, places, strict=True):
            here = slice(begin, begin + len(place))
            begin = here.stop
            inside = option >= 0
            tables.append(
                Table(
                    jnp.asarray(_spread(value[place] / scale, inside, _NEVER), jnp.float32),
                    jnp.asarray(_stacked([_spread(r[here], inside) for r in rows], option)),
                    jnp.asarray(
                        _stacked([_spread(c[here], inside) for c in coefficients], option),
                        jnp.float32,
                    ),
                    jnp.asarray(room, jnp.float32),
                    tuple(family.acts == "spend" for family in families),
                )
            )
        return cls(
            scale=scale,
            tables=tuple(tables),
            options=tuple(option for option, _ in layout),
            family=np.array(numbers, np.int64),
            start=start,
            unit=np.concatenate([np.zeros(0), *units]),
            share=np.array([family.share for family in families]),
            fixed=np.concatenate([np.zeros(0), *fixed]),
            lower=np.concatenate([np.zeros(0), *(f.lower for f in families)]),
            upper=np.concatenate([np.zeros(0), *(f.upper for f in families)]),
            spending=problem.spending,
        )

    @property
    def n_rows(self) -> int:
        """Number of rows, M."""
        return len(self.unit)

    @property
    def largest_family(self) -> slice:
        """The rows of the family that has most of them; none where shares tie rows together."""
        if self.share.any() or not len(self.share):
            return slice(0, 0)
        p = int(np.argmax(np.diff(self.start)[: len(self.share)]))
        return slice(int(self.start[p]), int(self.start[p + 1]))

    def shared(self, total: np.ndarray) -> np.ndarray:
        """Activity out of the sums of each group, float64[M] or [M, n]: shares are taken off.

        The map is symmetric, so it also turns prices of rows into prices of the groups' sums.
        """
        total = np.array(total)
        for p in np.flatnonzero(self.share):
            rows = slice(self.start[p], self.start[p + 1])
            total[rows] -= self.share[p] * total[rows].sum(axis=0)
        return total

    def multipliers(
        self, problem: Campaign, price: np.ndarray, weights: np.ndarray
    ) -> CampaignMultipliers:
        """Signed prices float64[M] in the units of the device as multipliers of the campaign."""
        sizes = np.array([len(family) for family in problem.families], np.int64)
        begin = np.concatenate([[0], np.cumsum(sizes)])
        every = np.zeros(begin[-1] + len(problem.rows))
        for p, number in enumerate(self.family):
            rows = slice(self.start[p], self.start[p + 1])
            every[begin[number] : begin[number + 1]] = self.scale * price[rows] / self.unit[rows]
        return CampaignMultipliers.of(problem, every, weights)

    def price_of(
        self, problem: Campaign, multipliers: CampaignMultipliers | None
    ) -> np.ndarray | None:
        """Prices of an earlier answer in the units of the device, float64[M]."""
        if multipliers is None:
            return None
        begin = np.concatenate([[0], np.cumsum([len(family) for family in problem.families])])
        every = multipliers.upper - multipliers.lower
        found = [every[begin[number] : begin[number + 1]] for number in self.family]
        return np.concatenate([np.zeros(0), *found]) * self.unit / self.scale


def evaluate(
    coupling: Coupling, price: np.ndarray, gamma: float, levels: list[Array] | None
) -> tuple[float, np.ndarray, list[Answer]]:
    """Value and activity at signed prices, in the units of the device.

    Args:
      coupling: the rows.
      price: float64[M], above 0 for upper limits and below for lower ones.
      gamma: temperature.
      levels: mu of each table at prices near by, to start from.

    Returns:
      The worth of all groups; sums of each row's group over the options, float64[M], before shares
      are taken off; and the answers by table.
    """
    of_row = coupling.shared(price)
    at = jnp.asarray(np.concatenate([[0.0], of_row]), jnp.float32)
    worth, total, answers = 0.0, np.zeros(coupling.n_rows + 1), []
    for number, table in enumerate(coupling.tables):
        level = np.zeros(table.room.shape, np.float32) if levels is None else levels[number]
        answer = choose(table, at, jnp.float32(gamma), level, coupling.spending)
        answers.append(answer)
        worth += float(np.asarray(answer.worth, np.float64).sum())
        total += np.asarray(answer.activity, np.float64).sum(axis=0)
    return worth, total[1:], answers


@partial(jax.jit, static_argnames="spending")
def choose(table: Table, price: Array, gamma: Array, level: Array, spending: Spending) -> Answer:
    """The smoothed choice at prices f32[M + 1], the first of which is 0."""
    money = choice = jnp.zeros_like(table.value)
    # One family after the other: fused into a sum over families, a gather takes ten times as long.
    for number, spends in enumerate(table.spends):
        paid = table.coefficient[number] * price[table.row[number]]
        money, choice = (money + paid, choice) if spends else (money, choice + paid)
    share, soft = spending.best_share(table.value, money), spending.softness(table.value, money)
    c = table.value * spending.response(share) - money * share - choice
    c = jnp.where(table.value > _NEVER, c, _NEVER)

    def count(mu: Array) -> tuple[Array, Array]:
        y = jax.nn.sigmoid((c - mu[:, None]) / gamma)
        return y.sum(axis=1) - table.room, (y * (1 - y)).sum(axis=1) / gamma

    def step(state):
        n, mu, low, high, _ = state
        over, slope = count(mu)
        low, high = jnp.where(over > 0, mu, low), jnp.where(over > 0, high, mu)
        new = mu + over / jnp.maximum(slope, 1e-30)
        new = jnp.where((new > low) & (new < high), new, (low + high) / 2)
        met = (jnp.abs(over) <= _NEAR * table.room) | (high - low <= 1e-7 * (1 + high))
        met |= (over <= 0) & (mu <= 0)
        return n + 1, jnp.where(met, mu, new), low, high, met

    def going(state) -> Array:
        return (state[0] < _STEPS) & ~state[4].all()

    top = jnp.maximum(c.max(axis=1), 0.0) + gamma * jnp.log(1.0 * c.shape[1] + 1.0)
    over, _ = count(jnp.zeros_like(level))
    idle = over <= 0
    start = jnp.where(idle, 0.0, jnp.clip(level, 0.0, top))
    state = (0, start, jnp.zeros_like(top), top, idle)
    _, mu, _, _, _ = lax.while_loop(going, step, state)
    z = (c - mu[:, None]) / gamma
    y = jax.nn.sigmoid(z)
    worth = table.room * mu + gamma * jax.nn.softplus(z).sum(axis=1)
    parts = min(_PARTS, c.shape[0])
    part = jnp.arange(c.shape[0]) * parts // c.shape[0]
    n_rows = price.shape[0]
    activity = jnp.zeros(parts * n_rows)
    for number, spends in enumerate(table.spends):
        place = part[:, None] * n_rows + table.row[number]
        used = table.coefficient[number] * (share * y if spends else y)
        activity += jax.ops.segment_sum(used.ravel(), place.ravel(), num_segments=len(activity))
    return Answer(worth, y, share, soft, mu, activity.reshape(parts, n_rows))


def _tables(problem: Campaign, reduced: np.ndarray | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Options and room of each bucket; options without a limit are groups of their own."""
    found = []
    for bucket in problem.buckets:
        option, room = bucket.option, problem.free_room[bucket.group]
        width = max(_FEWEST_STANDING, int(_STANDING * room.max()))
        if reduced is not None and width < option.shape[1]:
            worth = bucket.of_options(reduced, -np.inf)
            best = np.argpartition(-worth, width - 1, axis=1)[:, :width]
            option = np.take_along_axis(option, np.sort(best, axis=1), axis=1)
        found.append((option, room))
    if len(problem.unlimited):
        found.append((problem.unlimited[:, None], np.ones(len(problem.unlimited))))
    return found


def _weights(problem: Campaign, family: Family, options: np.ndarray) -> np.ndarray:
    """What options int64[n] add to the rows of a family for their whole price, float64[n]."""
    paid = problem.price[options] if family.acts == "spend" else np.ones(len(options))
    return family.take(options).weights(paid)


def _spread(numbers: np.ndarray, inside: np.ndarray, padding: float = 0) -> np.ndarray:
    """Numbers [n] at the places bool[g, w] that hold an option."""
    found = np.full(inside.shape, padding, numbers.dtype)
    found[inside] = numbers
    return found


def _stacked(parts: list[np.ndarray], like: np.ndarray) -> np.ndarray:
    return np.stack(parts) if parts else np.zeros((0, *like.shape), np.int32)
