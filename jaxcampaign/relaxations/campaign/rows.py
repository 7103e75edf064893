"""All rows of a campaign over a core of its options, as HiGHS reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import highspy
import numpy as np
from scipy import sparse

from jaxcampaign.problems.campaign import Campaign, Family
from jaxcampaign.problems.campaign.money import down_to_cents, in_cents, up_to_cents
from jaxcampaign.relaxations.scaling import typical

# Units of money in HiGHS: as a share of the least limit; the power of two of cents at most.
_SMALL, _MOST_HALVINGS = 1e-3, 20


@dataclass(frozen=True, eq=False)
class CoreRows:
    """Rows over the columns of the core, flags, and a total for each family with shares.

    Attributes:
      core: int64[n], options that are columns.
      matrix: float64[m, n + F + T], in units of each row.
      lower: float64[m], less what options outside of the core use.
      upper: float64[m].
      number: int64[m], number of each row among all families' rows and then the sparse ones; -1
        where it defines a total.
      unit: float64[m], what a coefficient of 1 stands for.
    """

    core: np.ndarray
    matrix: sparse.csr_array
    lower: np.ndarray
    upper: np.ndarray
    number: np.ndarray
    unit: np.ndarray

    @classmethod
    def of(
        cls, problem: Campaign, core: np.ndarray, was: np.ndarray, spend: np.ndarray
    ) -> CoreRows:
        """Rows that the core has a say in.

        Args:
          problem: the campaign.
          core: int64[n], options to decide on.
          was: bool[N], options outside of the core that are chosen.
          spend: float64[N], money that an option gets if it is chosen.
        """
        n_options, n_flags = len(core), problem.n_flags
        kept = np.flatnonzero(was)
        n_shared = sum(family.share > 0 for family in problem.families)
        width, total = n_options + n_flags + n_shared, n_options + n_flags
        made, begin = [], 0
        for family in problem.families:
            own = _of_family(family, core, kept, spend, width, total)
            made += [own[0]._replace(number=own[0].number + begin), *own[1:]]
            begin += len(family)
            total += family.share > 0
        if len(problem.rows):
            every = problem.rows.matrix
            taken = every[:, : problem.n_items] @ was.astype(np.float64)
            own = every[:, np.concatenate([core, problem.n_items + np.arange(n_flags)])]
            more = sparse.csr_array((len(problem.rows), n_shared))
            made.append(
                _Block(
                    sparse.hstack([own, more], format="csr"),
                    problem.rows.lower - taken,
                    problem.rows.upper - taken,
                    begin + np.arange(len(problem.rows)),
                    np.ones(len(problem.rows)),
                )
            )
        if not made:
            none = np.zeros(0)
            return cls(core, sparse.csr_array((0, width)), none, none, none.astype(int), none)
        matrix, *vectors = zip(*made, strict=True)
        stacked = sparse.csr_array(sparse.vstack(matrix, format="csr"))
        return cls(core, stacked, *(np.concatenate(part) for part in vectors))

    def limits_of_columns(self, problem: Campaign) -> tuple[np.ndarray, np.ndarray]:
        """Least and most of each column."""
        n_columns = self.matrix.shape[1]
        least, most = np.zeros(n_columns), np.ones(n_columns)
        least[: len(self.core)] = problem.required[self.core]
        most[: len(self.core)] = ~problem.excluded[self.core]
        totals = len(self.core) + problem.n_flags
        least[totals:], most[totals:] = -highspy.kHighsInf, highspy.kHighsInf
        return least, most

    def add_to(self, model: highspy.HighsLp) -> None:
        """Put rows and sizes into a model."""
        model.num_row_, model.num_col_ = self.matrix.shape
        model.row_lower_, model.row_upper_ = self.lower, self.upper
        model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        model.a_matrix_.start_, model.a_matrix_.index_ = self.matrix.indptr, self.matrix.indices
        model.a_matrix_.value_ = self.matrix.data

    def prices(self, problem: Campaign, dual: np.ndarray) -> np.ndarray:
        """A dual value of each row as signed prices of all rows of the campaign, float64[M]."""
        price = np.zeros(sum(map(len, problem.families)) + len(problem.rows))
        own = self.number >= 0
        price[self.number[own]] = dual[own] / self.unit[own]
        return price

    def totals(self, problem: Campaign, chosen: np.ndarray, spend: np.ndarray) -> np.ndarray:
        """Totals of the families with shares at a plan bool[N], in the units of their rows."""
        found = []
        for family in problem.families:
            if family.share:
                whole = weights_of(family, np.flatnonzero(chosen), spend).sum()
                found.append(whole / typical(np.abs(weights_of(family, self.core, spend))))
        return np.array(found)


class _Block(NamedTuple):
    matrix: sparse.csr_array
    lower: np.ndarray
    upper: np.ndarray
    number: np.ndarray
    unit: np.ndarray


def _of_family(
    family: Family, core: np.ndarray, kept: np.ndarray, spend: np.ndarray, width: int, total: int
) -> list[_Block]:
    """The rows of one family, numbered from 0, and the row that defines its total, if any."""
    own, fixed, lower, upper, unit, worth = _measured(family, core, kept, spend)
    outside = family.group[kept] + 1
    taken = np.bincount(outside, weights=fixed, minlength=len(family) + 1)[1:]
    group = family.group[core]
    column = np.flatnonzero((group >= 0) & (own != 0))
    # Rows that the core cannot break say nothing.
    most = np.bincount(group[column], weights=np.maximum(own[column], 0), minlength=len(family))
    least = np.bincount(group[column], weights=np.minimum(own[column], 0), minlength=len(family))
    says = (taken + most > upper) | (taken + least < lower) | (family.share > 0)
    needed = np.flatnonzero(says)
    at = np.full(len(family), -1)
    at[needed] = np.arange(len(needed))
    column_of = column[says[group[column]]]
    row, entry = at[group[column_of]], own[column_of] / unit
    made = []
    if family.share:
        made.append(
            _Block(
                sparse.coo_array(
                    (
                        np.append(own[column] / unit, -1.0),
                        (np.zeros(len(column) + 1, int), np.append(column, total)),
                    ),
                    shape=(1, width),
                ).tocsr(),
                np.array([-fixed.sum() / unit]),
                np.array([-fixed.sum() / unit]),
                np.array([-1]),
                np.ones(1),
            )
        )
        row = np.concatenate([row, np.arange(len(needed))])
        column_of = np.concatenate([column_of, np.full(len(needed), total)])
        entry = np.concatenate([entry, np.full(len(needed), -family.share)])
    rows = _Block(
        sparse.coo_array((entry, (row, column_of)), shape=(len(needed), width)).tocsr(),
        (lower[needed] - taken[needed]) / unit,
        (upper[needed] - taken[needed]) / unit,
        needed,
        np.full(len(needed), worth),
    )
    return [rows, *made]


def _measured(
    family: Family, core: np.ndarray, kept: np.ndarray, spend: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float, float]:
    """What options of the core and others add to rows, limits, their unit, what it stands for.

    Limits of money have next to no tolerance, so that HiGHS' own, which is 1e-9 of a row's
    unit, must be nothing beside it. Whole cents are counted in powers of two: exact numbers, of
    which two sums are equal or differ by far more. Other money is counted in units that are small
    beside the limits.
    """
    own, fixed = (weights_of(family, options, spend) for options in (core, kept))
    unit = typical(np.abs(own))
    if family.acts == "posts" or family.share:
        return own, fixed, family.lower, family.upper, unit, unit
    own_cents, fixed_cents = in_cents(own), in_cents(fixed)
    if own_cents is None or fixed_cents is None:
        limits = np.abs(np.concatenate([family.lower, family.upper]))
        limits = limits[np.isfinite(limits) & (limits > 0)]
        unit *= float(np.clip(_SMALL * limits.min(initial=np.inf) / unit, _SMALL, 1.0))
        return own, fixed, family.lower, family.upper, unit, unit
    unit = float(2.0 ** np.clip(np.round(np.log2(100 * unit)), 0, _MOST_HALVINGS))
    lower, upper = up_to_cents(family.lower), down_to_cents(family.upper)
    return own_cents, fixed_cents, lower, upper, unit, unit / 100


def weights_of(family: Family, options: np.ndarray, spend: np.ndarray) -> np.ndarray:
    """What options int64[n] that are chosen add to their rows, float64[n].

    Args:
      family: the rows.
      options: which.
      spend: float64[N], money that each of all options gets if it is chosen.
    """
    paid = spend[options] if family.acts == "spend" else np.ones(len(options))
    return family.take(options).weights(paid)
