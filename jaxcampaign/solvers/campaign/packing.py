"""Plans made by taking options in an order of preference, as far as every upper limit leaves room.

A pass looks at all options at once: one is taken if it fits together with every option before it
that is still wanted. Whatever fails that and would not fit alone is dropped, and the next pass
looks at the rest. Where coefficients are not below 0, the fixed point is the plan that one option
after the other would give, in a few passes over arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from jaxcampaign.problems.assessment import FEASIBILITY_TOLERANCE
from jaxcampaign.problems.campaign import Campaign, Family

# Passes at most, and turns in which the total that shares are taken of is corrected.
_PASSES, _TURNS = 1000, 12
# Options that are looked at for a row that asks for some, as a multiple of what it asks for.
_AMPLE = 2.0


@dataclass(frozen=True, eq=False)
class Preference:
    """What is taken first, and what at all.

    Attributes:
      rank: int64[N], place of each option when the constraints are what is looked after.
      order: int64[n], options that are wanted for their own sake, the best first.
    """

    rank: np.ndarray
    order: np.ndarray

    @classmethod
    def by(cls, wanted: np.ndarray, needed: np.ndarray, worth: np.ndarray) -> Preference:
        """From scores float64[N], the highest first and ties by place.

        Args:
          wanted: score of options for their own sake.
          needed: score where constraints ask for options.
          worth: only options above 0 are wanted for their own sake.
        """
        order = np.argsort(-wanted, kind="stable")
        rank = np.empty(len(wanted), np.int64)
        rank[np.argsort(-needed, kind="stable")] = np.arange(len(wanted))
        return cls(rank, order[worth[order] > 0])


class Packing:
    """All rows of a campaign as entries of options and flags, for the money that each option gets.

    Shares are limits of money or posts that move with the whole: they are limits of a total that
    is assumed, and the plan is packed anew until its own total bears them out.

    Args:
      problem: the campaign.
      money: float64[N], what an option gets if it is chosen.
    """

    def __init__(self, problem: Campaign, money: np.ndarray):
        self.problem, self.money = problem, money
        n, begin = problem.n_items, 0
        rows, items, uses = [], [], []
        lower, upper = [], []
        ones = np.ones(n)
        for family in problem.families:
            weight = family.weights(money if family.acts == "spend" else ones)
            own = np.flatnonzero(weight)
            rows.append(begin + family.group[own].astype(np.int64))
            items.append(own)
            uses.append(weight[own])
            lower.append(family.lower)
            upper.append(family.upper)
            begin += len(family)
        if len(problem.rows):
            matrix = problem.rows.matrix.tocoo()
            # Rows with a coefficient below 0 say what a flag means: so they hold by themselves.
            negative = np.bincount(matrix.row, matrix.data < 0, len(problem.rows)) > 0
            kept = ~(negative | problem.definitions)[matrix.row]
            rows.append(begin + matrix.row[kept])
            items.append(matrix.col[kept])
            uses.append(matrix.data[kept])
            lower.append(np.where(negative | problem.definitions, -np.inf, problem.rows.lower))
            upper.append(np.where(negative | problem.definitions, np.inf, problem.rows.upper))
            begin += len(problem.rows)
        row, item, use = (np.concatenate([np.zeros(0), *part]) for part in (rows, items, uses))
        self.lower, self.upper = (np.concatenate([np.zeros(0), *part]) for part in (lower, upper))
        self.n_items = n + problem.n_flags
        shape = (self.n_items, begin)
        entries = sparse.coo_array((use, (item.astype(np.int64), row.astype(np.int64))), shape)
        self._entries = entries.tocsr()
        self._columns = self._entries.T.tocsr()
        # The largest entry of each row: while there is room for it there is for all.
        self._largest = np.zeros(begin)
        np.maximum.at(self._largest, row.astype(np.int64), use)
        self._flags_of = problem.flag_members.T.tocsr()
        # Row, item and amount of what meets lower limits; flags and their members.
        helping = (use > 0) & np.isfinite(self.lower[row.astype(np.int64)])
        self.helps = row[helping].astype(np.int64), item[helping].astype(np.int64), use[helping]
        pairs = problem.flag_members.tocoo()
        self.members = n + pairs.row, pairs.col

    def packed(self, preference: Preference, totals: np.ndarray | None = None) -> np.ndarray:
        """The plan of a preference, bool[N]: what lower limits ask for first, then what is wanted.

        Args:
          preference: what is taken first.
          totals: float64[families], what families with shares are assumed to have in all; by
            default all that there is.
        """
        shared = [k for k, family in enumerate(self.problem.families) if family.share]
        if totals is None:
            every = np.ones(self.problem.n_items)
            totals = np.array([self._total(k, every) for k in range(len(self.problem.families))])
        chosen = self._filled(preference, totals)
        for _ in range(_TURNS):
            found = np.array([self._total(k, chosen) for k in shared])
            if not len(shared) or (found >= totals[shared] * (1 - FEASIBILITY_TOLERANCE)).all():
                return chosen
            if not self._over(chosen, shared):
                return chosen
            totals = totals.copy()
            totals[shared] = np.minimum(totals[shared], found)
            chosen = self._filled(preference, totals)
        return chosen

    def trimmed(self, chosen: np.ndarray, worth: np.ndarray) -> np.ndarray:
        """A plan bool[N] without the least worthy options of groups that have more than a share."""
        chosen, problem = chosen.copy(), self.problem
        for _ in range(_PASSES):
            out = np.zeros(len(chosen), bool)
            for family in problem.families:
                if not family.share:
                    continue
                counts = chosen.astype(np.float64)
                activity = family.activity(counts * self._decided(family.acts))
                _, most = family.tolerated(FEASIBILITY_TOLERANCE)
                over = np.append(activity > most + FEASIBILITY_TOLERANCE, False)[family.group]
                own = np.flatnonzero(over & chosen & ~problem.required & ~out)
                if len(own):
                    own = own[np.lexsort((worth[own], family.group[own]))]
                    out[own[np.diff(family.group[own], prepend=-1) > 0]] = True
            if not out.any():
                break
            chosen &= ~out
        return chosen

    def _decided(self, acts: str) -> np.ndarray:
        return self.money if acts == "spend" else np.ones(len(self.money))

    def _total(self, k: int, chosen: np.ndarray) -> float:
        return total_of(self.problem.families[k], self.money, chosen)

    def _over(self, chosen: np.ndarray, shared: list[int]) -> bool:
        for k in shared:
            family = self.problem.families[k].loosened(FEASIBILITY_TOLERANCE)
            activity = family.activity(chosen * self._decided(family.acts))
            if (activity > family.tolerated(FEASIBILITY_TOLERANCE)[1]).any():
                return True
        return False

    def _filled(self, preference: Preference, totals: np.ndarray) -> np.ndarray:
        problem, begin = self.problem, 0
        upper = self.upper.copy()
        for k, family in enumerate(problem.families):
            rows = slice(begin, begin + len(family))
            begin = rows.stop
            if family.share:
                upper[rows] += family.share * totals[k]
        slack = FEASIBILITY_TOLERANCE * np.abs(upper)
        state = _State(self, upper + np.where(np.isfinite(slack), slack, 0.0))
        state.add(np.flatnonzero(problem.required))
        state.cover(preference.rank)
        state.fill(preference.order)
        return state.chosen


def total_of(family: Family, money: np.ndarray, part: np.ndarray) -> float:
    """What all groups of a family have together of options in parts float[N] or bool[N]."""
    decision = money if family.acts == "spend" else np.ones(len(money))
    return float(family.weights(part * decision).sum())


class _State:
    """A plan in the making: what is chosen, which flags are up, and the activity of each row."""

    def __init__(self, packing: Packing, upper: np.ndarray):
        self.packing, self.upper = packing, upper
        n = packing.problem.n_items
        self.chosen = np.zeros(n, bool)
        self.open = ~packing.problem.excluded  # may still be taken
        self.up = np.zeros(packing.n_items, bool)
        self.activity = np.zeros(len(upper))

    def add(self, options: np.ndarray) -> None:
        self.chosen[options] = True
        self.open[options] = False
        self.up[: len(self.chosen)] = self.chosen
        flags = self.packing.problem.flag_members @ self.chosen.astype(np.float64) > 0
        self.up[len(self.chosen) :] = flags
        self.activity = self.packing._columns @ self.up.astype(np.float64)

    def fill(self, order: np.ndarray) -> None:
        """Options in order, as far as there is room."""
        for _ in range(_PASSES):
            order = order[self.open[order]]
            if not len(order):
                return
            self._take(order)

    def cover(self, rank: np.ndarray) -> None:
        """Options that rows with lower limits still ask for; those of the scarcest rows first."""
        packing, n = self.packing, len(self.chosen)
        lower = packing.lower - FEASIBILITY_TOLERANCE * np.abs(packing.lower)
        for _ in range(_PASSES):
            needy = self.activity < lower
            if not needy.any():
                return
            self._close()
            short = np.where(needy, packing.lower - self.activity, 1.0)
            free = np.append(self.open, np.ones(packing.n_items - n, bool)) & ~self.up
            row, item, amount = (part[needy[packing.helps[0]]] for part in packing.helps)
            row, item, amount = (part[free[item]] for part in (row, item, amount))
            flag, member = packing.members
            live = self.open[member]
            flag, member = flag[live], member[live]
            # How often over the open options could fill what is lacking.
            supply = np.bincount(row, amount, len(short)) / short
            scarce, place = np.full((2, packing.n_items), np.inf)
            np.minimum.at(scarce, item, supply[row])
            np.minimum.at(scarce, member, scarce[flag])
            place[:n] = rank
            np.minimum.at(place, flag, place[member])
            # The first few of each row are enough to look at.
            order = np.lexsort((place[item], row))
            row, item, amount = row[order], item[order], amount[order]
            before = pd.Series(amount).groupby(row).cumsum().to_numpy() - amount
            looked_at = np.zeros(packing.n_items, bool)
            looked_at[item[before < _AMPLE * short[row]]] = True
            looked_at[member[looked_at[flag]]] = True
            options = np.flatnonzero(looked_at[:n] & self.open)
            if not len(options):
                return
            options = options[np.lexsort((rank[options], scarce[options]))]
            self._take(options, needy)

    def _close(self) -> None:
        """Drop the options that have no room left in one of their own rows."""
        packing = self.packing
        room = self.upper - self.activity
        full = np.flatnonzero(packing._largest > room)
        tight = packing._columns[full].tocoo()
        out = tight.col[tight.data > room[full][tight.row]]
        self.open[out[out < len(self.chosen)]] = False

    def _take(self, options: np.ndarray, needy: np.ndarray | None = None) -> None:
        """One pass over open options in order: take those that fit, drop those that never will.

        Args:
          options: int64[n].
          needy: bool[rows], rows that ask for more; then only what they still need is taken.
            None takes all.
        """
        packing, n = self.packing, len(self.chosen)
        # A flag that is down goes up with the first of its members.
        down = packing._flags_of[options].tocoo()
        raised = ~self.up[n + down.col]
        by, flag = down.row[raised], n + down.col[raised]
        first = np.full(packing.n_items, len(options))
        np.minimum.at(first, flag, by)
        first[options] = np.arange(len(options))
        flags = np.unique(flag)
        items = np.concatenate([options, flags])
        items = items[np.lexsort((items, first[items]))]
        item, row, use = _entries(packing._entries, items)
        room = (self.upper - self.activity)[row]
        takes = np.maximum(use, 0.0)
        total = pd.Series(takes).groupby(row).cumsum().to_numpy()
        fits = np.ones(packing.n_items, bool)
        fits[item[total > room]] = False
        alone = np.ones(packing.n_items, bool)
        alone[item[takes > room]] = False
        good, ever = fits[options], alone[options]
        np.logical_and.at(good, by, fits[flag])
        np.logical_and.at(ever, by, alone[flag])
        if needy is not None:
            needs = np.where(needy, packing.lower - self.activity, 0.0)
            helps = (total - takes < needs[row]) & (use > 0) & (needs[row] > 0)
            wanted = np.zeros(packing.n_items, bool)
            wanted[item[helps]] = True
            own = wanted[options]
            firsts = by == first[flag]
            np.logical_or.at(own, by[firsts], wanted[flag[firsts]])
            good &= own
        self.open[options[~ever]] = False
        self.add(options[good & ever])


def _entries(matrix: sparse.csr_array, items: np.ndarray) -> tuple[np.ndarray, ...]:
    """Item, row and coefficient of all entries of some items, in their order."""
    begin, size = matrix.indptr[items], np.diff(matrix.indptr)[items]
    start = np.cumsum(size) - size
    place = np.repeat(begin - start, size) + np.arange(size.sum())
    return np.repeat(items, size), matrix.indices[place], matrix.data[place]
