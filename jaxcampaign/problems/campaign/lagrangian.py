"""The proof behind a campaign's bound: prices of rows and weights of risk, valid whatever they are.

For prices nu_up, nu_lo >= 0 of the rows and weights q of the risk, no plan has a value above

    nu_up . upper - nu_lo . lower + sum over groups of the best few max(0, h_i) + sum_f max(0, w_f),
    h_i = max_z (v_i - rho (R q)_i) r(z) - (money price)_i p_i z - (price)_i,

where the groups are those of the family that is kept (see `Campaign.kept`), required options count
in any case, and w_f is what the rows pay for a flag. One pass over the options in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np

from jaxcampaign.problems.assessment import FEASIBILITY_TOLERANCE
from jaxcampaign.problems.campaign.problem import Campaign, Decision

# Rounding of one term, in units in the last place; sums add one unit per term they run over.
_ULPS_PER_TERM = 128


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class CampaignMultipliers:
    """Prices of everything that was relaxed; the stored proof of a campaign's bound.

    Attributes:
      upper: float64[M], price of each row's upper limit; rows of all families in their order, then
        sparse rows.
      lower: float64[M], price of each row's lower limit.
      weights: float64[n], q, weights of the measure of risk; empty where it has none.
    """

    upper: np.ndarray
    lower: np.ndarray
    weights: np.ndarray

    @classmethod
    def zero(cls, problem: Campaign) -> CampaignMultipliers:
        """No prices at all, and the weights of no risk that is worst."""
        n_rows = sum(map(len, problem.families)) + len(problem.rows)
        weights = np.zeros(0)
        if problem.risk_aversion:
            weights = problem.measure.worst(np.zeros(problem.n_items))
        return cls(np.zeros(n_rows), np.zeros(n_rows), weights)

    @classmethod
    def of(cls, problem: Campaign, price: np.ndarray, weights: np.ndarray) -> CampaignMultipliers:
        """From one signed price for each row: above 0 for its upper limit, below for its lower.

        Prices of the family that bounds keep would prove nothing, and are left out.
        """
        price = np.nan_to_num(price, nan=0.0, posinf=0.0, neginf=0.0)
        if problem.kept is not None:
            begin = sum(map(len, problem.families[: problem.kept]))
            price[begin : begin + len(problem.families[problem.kept])] = 0.0
        lower, upper = problem.limits
        return cls(
            np.where(np.isfinite(upper), np.maximum(price, 0.0), 0.0),
            np.where(np.isfinite(lower), np.maximum(-price, 0.0), 0.0),
            weights,
        )

    def priced_rows(self, problem: Campaign) -> list[tuple[str, str]]:
        """Name and reason of the rows with a price, the dearest first."""
        price = self.upper + self.lower
        order = np.argsort(-price, kind="stable")
        begin = np.concatenate([[0], np.cumsum([len(family) for family in problem.families])])
        found = []
        for i in order[: np.count_nonzero(price)]:
            at = int(np.searchsorted(begin, i, side="right")) - 1
            rows = problem.families[at] if at < len(problem.families) else problem.rows
            found.append((rows.names[int(i - begin[at])], rows.reasons[int(i - begin[at])]))
        return found


@dataclass(frozen=True, eq=False)
class Priced:
    """Options at prices.

    Attributes:
      reduced: float64[N], h, what each option is worth beyond what its rows cost.
      share: float64[N], the share of its price at which that is attained.
      flag: float64[F], w.
      limits: what the limits of rows are worth.
      magnitude: sum of all terms, each taken positive.
    """

    reduced: np.ndarray
    share: np.ndarray
    flag: np.ndarray
    limits: float
    magnitude: float


def priced(problem: Campaign, multipliers: CampaignMultipliers) -> Priced:
    """What options, flags and limits are worth at prices, float64.

    Raises:
      ValueError: a price is negative, not finite or too large, or weights are out of their set.
    """
    m, n = multipliers, problem.n_items
    n_rows = sum(map(len, problem.families)) + len(problem.rows)
    for part in (m.upper, m.lower):
        if part.shape != (n_rows,) or not (np.isfinite(part).all() and (part >= 0).all()):
            raise ValueError(f"{n_rows} multipliers are needed, finite and at least 0")
    least, most = problem.limits
    if (m.upper > 0)[np.isinf(most)].any() or (m.lower > 0)[np.isinf(least)].any():
        raise ValueError("a limit that is open has a price")
    value = problem.value_prices(m.weights)
    money, choice = np.zeros(n), np.zeros(n)
    limits, magnitude = 0.0, _size_of_values(problem, value, m.weights)
    start = 0
    with np.errstate(over="ignore", invalid="ignore"):
        for number, family in enumerate(problem.families):
            rows = slice(start, start + len(family))
            start = rows.stop
            up, low = m.upper[rows], m.lower[rows]
            if number == problem.kept or not (up.any() or low.any()):
                continue
            lower, upper = family.tolerated(FEASIBILITY_TOLERANCE)
            worth = _priced(up, upper) - _priced(low, lower)
            limits, magnitude = limits + worth.sum(), magnitude + np.abs(worth).sum()
            loose, each = family.loosened(FEASIBILITY_TOLERANCE), problem.row_sizes[number]
            gross = up + low
            magnitude += float(gross @ each + loose.share * gross.sum() * each.sum())
            price = loose.prices(up - low)
            if family.acts == "spend":
                money += price
            else:
                choice += price
        flag = np.zeros(problem.n_flags)
        if len(problem.rows):
            up, low = m.upper[start:], m.lower[start:]
            lower, upper = problem.rows.tolerated(FEASIBILITY_TOLERANCE)
            worth = _priced(up, upper) - _priced(low, lower)
            limits, magnitude = limits + worth.sum(), magnitude + np.abs(worth).sum()
            price = problem.rows.matrix.T @ (up - low)
            choice += price[:n]
            flag = -price[n:]
            magnitude += float(
                (abs(problem.rows.matrix) @ np.ones(n + problem.n_flags)) @ (up + low)
            )
        reduced, share = _best(problem, value, money * problem.price)
        reduced -= choice
    if not np.isfinite(magnitude):
        raise ValueError("multipliers are too large to evaluate")
    return Priced(reduced, share, flag, float(limits), float(magnitude))


def _size_of_values(problem: Campaign, value: np.ndarray, weights: np.ndarray) -> float:
    """Sum of the absolute terms that values are made of."""
    if not problem.risk_aversion:
        return 2 * problem.mean_size
    size = problem.risk_aversion * problem.measure.prices_size(weights).sum()
    return problem.mean_size + float(np.abs(value).sum() + size)


def campaign_bound(problem: Campaign, multipliers: CampaignMultipliers) -> float:
    """The bound on the value of any plan that multipliers prove, float64, rounded up.

    It holds for every plan whose rows are kept as `violations` asks, tolerances included.

    Raises:
      ValueError: see `priced`.
    """
    at = priced(problem, multipliers)
    return bound_at(problem, at, best_few(problem, at.reduced))


def bound_at(problem: Campaign, at: Priced, chosen: np.ndarray) -> float:
    """The same of what prices make of the options, and the options that they choose, bool[N]."""
    total = at.limits + at.reduced[chosen].sum() + np.maximum(at.flag, 0.0).sum()
    per_column = len(problem.families)
    if len(problem.rows):
        per_column += int(np.bincount(problem.rows.matrix.indices, minlength=1).max())
    ulps = _ULPS_PER_TERM + 4 * per_column
    return float(total + ulps * np.finfo(np.float64).eps * at.magnitude)


def refuting_excess(problem: Campaign, multipliers: CampaignMultipliers) -> float:
    """By how much prices show that no plan keeps all rows; only a number above 0 shows it.

    With nothing to gain every feasible plan is worth 0, so a bound below 0 leaves none (Farkas).

    Raises:
      ValueError: see `priced`.
    """
    bare = CampaignMultipliers(multipliers.upper, multipliers.lower, np.zeros(0))
    return -campaign_bound(problem.without_value(), bare)


def best_few(problem: Campaign, reduced: np.ndarray) -> np.ndarray:
    """The options that reduced values choose, bool[N]: required ones, and the best of each group.

    Of each group of the family that is kept as many as it has room for, and none at 0 or below;
    ties go to the first.
    """
    chosen = problem.required.copy()
    chosen[problem.unlimited] = reduced[problem.unlimited] > 0
    for bucket in problem.buckets:
        worth = bucket.of_options(reduced, 0.0)
        taken = worth > 0
        room = problem.free_room[bucket.group]
        full = np.flatnonzero(taken.sum(axis=1) > room)
        if len(full):
            taken[full] = _largest(worth[full], room[full])
        chosen[bucket.option[taken]] = True
    return chosen


def _largest(worth: np.ndarray, room: np.ndarray) -> np.ndarray:
    """The `room` largest of each row, bool[g, w]; the first of equal ones."""
    taken = np.zeros(worth.shape, bool)
    for k in np.unique(room[room > 0]):
        rows = np.flatnonzero(room == k)
        part = worth[rows]
        kth = np.partition(part, part.shape[1] - k, axis=1)[:, part.shape[1] - k]
        above = part > kth[:, None]
        tied = part == kth[:, None]
        left = k - above.sum(axis=1)
        taken[rows] = above | (tied & (np.cumsum(tied, axis=1) <= left[:, None]))
    return taken


def flip_costs(problem: Campaign, reduced: np.ndarray) -> np.ndarray:
    """By how much the bound falls if an option's choice is turned round, float64[N].

    Infinite for options that are required or excluded, and where a group has no room at all. A
    plan that is better than the bound less the flip cost of an option agrees with it there.
    """
    cost = np.full(problem.n_items, np.inf)
    cost[problem.unlimited] = np.abs(reduced[problem.unlimited])
    for bucket in problem.buckets:
        worth = bucket.of_options(reduced, -np.inf)
        room = problem.free_room[bucket.group]
        width = worth.shape[1]
        for k in np.unique(room[room > 0]):
            rows = np.flatnonzero(room == k)
            every = len(rows) == len(room)
            part = worth if every else worth[rows]
            ranked = np.sort(-np.partition(-part, min(k, width - 1), axis=1)[:, : k + 1], axis=1)
            # Of k + 1 or fewer that are ranked, rising, the first is out and the next the last in.
            limited = k < width
            first_out = np.maximum(ranked[:, 0], 0.0) if limited else np.zeros(len(rows))
            last_in = np.maximum(ranked[:, 1], 0.0) if limited else np.zeros(len(rows))
            chosen = (part > 0) & (part >= last_in[:, None])
            flip = np.where(chosen, part - first_out[:, None], last_in[:, None] - part)
            flip = np.maximum(flip, 0.0)
            if every and bucket.begin is not None:
                cost[bucket.begin : bucket.begin + flip.size] = flip.ravel()
                continue
            option = bucket.option[rows]
            own = option >= 0
            cost[option[own]] = flip[own]
    return cost


def chosen_at(problem: Campaign, multipliers: CampaignMultipliers) -> Decision:
    """What prices choose: the plan that attains their bound, feasible or not."""
    at = priced(problem, multipliers)
    return problem.in_part(best_few(problem, at.reduced), at.share * problem.price)


def _best(
    problem: Campaign, value: np.ndarray, price_of_share: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The most of `value r(z) - price_of_share z` over the shares allowed, and where it is."""
    spending = problem.spending
    if spending.least == 1:
        return value - price_of_share, np.broadcast_to(1.0, len(value))
    found = np.full(len(value), -np.inf)
    where = np.ones(len(value))
    least = problem.least_share
    between = np.maximum(spending.best_share(value, price_of_share), least)
    for share in (least, np.ones(len(value)), between):
        worth = value * spending.response(share) - price_of_share * share
        better = worth > found
        found, where = np.where(better, worth, found), np.where(better, share, where)
    return found, where


def _priced(price: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Price times limit; an unpriced limit counts nothing, even an infinite one."""
    return np.where(price > 0, price * np.where(price > 0, limit, 0.0), 0.0)
