"""Families of constraint rows over a flat list of options: one number of a group for each option.

Frequency, coverage, budgets and shares all have one row for each group of options and one
coefficient for each option. So a family stores two arrays of the length of the options, however
many groups there are, and its products are one gather or one scatter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias

import jax
import numpy as np
from scipy import sparse

from jaxcampaign.problems.campaign.money import CENT

# Share of a limit of money that the rounding of sums may take.
_ROUNDING = 1e-12
# Units in the last place of a row's absolute terms by which their sum may be off.
_ULPS = 8

Acts: TypeAlias = Literal["posts", "spend"]
"""What a family counts: chosen options, or money allocated to them."""


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, eq=False)
class Family:
    """`lower_g <= sum_{i in g} a_i d_i - share * sum_i a_i d_i <= upper_g` for each of G groups.

    d is 1 for a chosen option, or the money that it gets; the second sum runs over all options of
    all groups, and counts only where shares are limited.

    Attributes:
      group: int32[N], group of each option; -1 for an option that is in none.
      lower: float64[G], -inf where open.
      upper: float64[G], inf where open.
      acts: "posts" or "spend".
      coefficient: float64[N], a; None for 1.
      share: part of the total that is taken off, 0 without one.
      names: G short names.
      reasons: G sentences that say why a row is there.
    """

    group: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    acts: Acts = "posts"
    coefficient: np.ndarray | None = None
    share: float = 0.0
    names: Sequence[str] = ()
    reasons: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.lower)

    @property
    def counts(self) -> bool:
        """Whether rows do nothing but limit how many options of a group are chosen."""
        return (
            self.acts == "posts"
            and self.coefficient is None
            and not self.share
            and bool(np.isneginf(self.lower).all())
        )

    def weights(self, decision: np.ndarray) -> np.ndarray:
        """`a_i d_i`, float64[N]; 0 outside of all groups."""
        weighed = decision if self.coefficient is None else self.coefficient * decision
        return np.where(self.group >= 0, weighed, 0.0)

    def activity(self, decision: np.ndarray) -> np.ndarray:
        """Left-hand sides at a decision float64[N], float64[G]."""
        weighed = self.weights(decision)
        # Options outside of all groups go to a group of their own, which is cut off.
        total = np.bincount(self.group + 1, weights=weighed, minlength=len(self) + 1)[1:]
        return total - self.share * weighed.sum() if self.share else total

    def sizes(self, decision: np.ndarray) -> np.ndarray:
        """Sums of the absolute terms of each group, float64[G]: what rounding is measured by."""
        weighed = np.abs(self.weights(decision))
        if len(self) == 1:
            return weighed.sum(keepdims=True)
        return np.bincount(self.group + 1, weights=weighed, minlength=len(self) + 1)[1:]

    def prices(self, price: np.ndarray) -> np.ndarray:
        """What prices of rows, float64[G], make of each option: the transpose, float64[N]."""
        if len(self) == 1:
            at = np.where(self.group >= 0, price[0], 0.0)
        else:
            at = np.concatenate([[0.0], price])[self.group + 1]
        if self.share:
            at = at - np.where(self.group >= 0, self.share * price.sum(), 0.0)
        return at if self.coefficient is None else self.coefficient * at

    def tolerated(self, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper limits, each given way by so large a share of itself.

        Money gives way by rounding only, and never by a cent. Sums of a column give way by their
        rounding as well: 0.1 + 0.2 - 0.3 keeps a limit of 0.
        """
        lower, upper = self.lower, self.upper
        with np.errstate(invalid="ignore"):
            slack = [tolerance * abs(limit) + self._rounding for limit in (lower, upper)]
            if self.acts == "spend":
                slack = [np.minimum(_ROUNDING * abs(limit), CENT / 2) for limit in (lower, upper)]
            return (
                np.where(np.isfinite(lower), lower - slack[0], -np.inf),
                np.where(np.isfinite(upper), upper + slack[1], np.inf),
            )

    @cached_property
    def _rounding(self) -> np.ndarray:
        """How far off each row's sum may be, float64[G]; counts are exact."""
        if self.coefficient is None:
            return np.zeros(len(self))
        ulps = _ULPS * float(np.finfo(np.float64).eps)
        size = self.sizes(np.ones(len(self.group)))
        return ulps * (size + self.share * size.sum())

    def loosened(self, tolerance: float) -> Family:
        """The same rows with a share that is larger by so large a part of itself."""
        return replace(self, share=self.share * (1 + tolerance)) if self.share else self

    def matrix(self) -> sparse.csr_array:
        """Coefficients of the decision, float64[G, N]; full rows where shares are limited."""
        inside = np.flatnonzero(self.group >= 0)
        a = np.ones(len(inside)) if self.coefficient is None else self.coefficient[inside]
        shape = (len(self), len(self.group))
        own = sparse.coo_array((a, (self.group[inside], inside)), shape=shape).tocsr()
        if not self.share:
            return own
        row = np.repeat(np.arange(len(self)), len(inside))
        column = np.tile(inside, len(self))
        all_of_it = sparse.coo_array((np.tile(a, len(self)), (row, column)), shape=shape).tocsr()
        return (own - self.share * all_of_it).tocsr()

    def take(self, options: np.ndarray) -> Family:
        """The same rows over some of the options, int[n]."""
        coefficient = None if self.coefficient is None else self.coefficient[options]
        return replace(self, group=self.group[options], coefficient=coefficient)

    def tree_flatten(self):
        """Leaves: arrays. Static: what is counted, the share, which decides on code, and texts."""
        leaves = (self.group, self.lower, self.upper, self.coefficient)
        return leaves, (self.acts, self.share, self.names, self.reasons)

    @classmethod
    def tree_unflatten(cls, static, leaves) -> Family:
        """Rebuild from leaves."""
        group, lower, upper, coefficient = leaves
        acts, share, names, reasons = static
        return cls(group, lower, upper, acts, coefficient, share, names, reasons)
