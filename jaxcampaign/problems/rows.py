"""Linear constraint rows over the items of a problem, each with a name and a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import overload

import jax
import numpy as np
from scipy import sparse


def literal(text: str) -> str:
    """A text that stands for itself in a template of `Texts`."""
    return text.replace("{", "{{").replace("}", "}}")


@dataclass(frozen=True, eq=False)
class Texts(Sequence[str]):
    """Many texts of few kinds, each made when it is read: a million rows need no million strings.

    Attributes:
      kinds: template with `str.format` fields, and one column of equal length for each field.
    """

    kinds: tuple[tuple[str, tuple[np.ndarray, ...]], ...]

    def __len__(self) -> int:
        return sum(len(columns[0]) for _, columns in self.kinds)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = index + len(self) if index < 0 else index
        for template, columns in self.kinds:
            if 0 <= place < len(columns[0]):
                return template.format(*(column[place] for column in columns))
            place -= len(columns[0])
        raise IndexError(index)


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, eq=False)
class Rows:
    """`lower <= A x <= upper`, A as triplets.

    Attributes:
      lower: float64[M], -inf where open.
      upper: float64[M], inf where open.
      row: int32[E], constraint of each triplet.
      item: int32[E], item of each triplet.
      coefficient: float64[E].
      n_items: number of columns of A.
      names: M short names, for messages and shadow prices.
      reasons: M sentences that say why the row is there.
    """

    lower: np.ndarray
    upper: np.ndarray
    row: np.ndarray
    item: np.ndarray
    coefficient: np.ndarray
    n_items: int
    names: Sequence[str] = ()
    reasons: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.lower)

    @classmethod
    def empty(cls, n_items: int) -> Rows:
        """No rows at all."""
        none, index = np.zeros(0), np.zeros(0, np.int32)
        return cls(none, none, index, index, none, n_items)

    @classmethod
    def dense(cls, coefficients, lower, upper, names, reasons) -> Rows:
        """Rows from full coefficient vectors, float[M, N]."""
        coefficients = np.asarray(coefficients, np.float64)
        n_rows, n_items = coefficients.shape
        row, item = np.nonzero(coefficients)
        return cls(
            np.asarray(lower, np.float64),
            np.asarray(upper, np.float64),
            row.astype(np.int32),
            item.astype(np.int32),
            coefficients[row, item],
            n_items,
            tuple(names),
            tuple(reasons),
        )

    @cached_property
    def matrix(self) -> sparse.csr_array:
        """A, float64[M, N]."""
        shape = (len(self), self.n_items)
        return sparse.coo_array((self.coefficient, (self.row, self.item)), shape=shape).tocsr()

    def tolerated(self, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper limits, each given way by so large a share of itself."""
        with np.errstate(invalid="ignore"):
            lower = np.where(
                np.isfinite(self.lower), self.lower - tolerance * abs(self.lower), -np.inf
            )
            upper = np.where(
                np.isfinite(self.upper), self.upper + tolerance * abs(self.upper), np.inf
            )
        return lower, upper

    def tree_flatten(self):
        """Leaves: numbers. Static: sizes and texts."""
        leaves = (self.lower, self.upper, self.row, self.item, self.coefficient)
        return leaves, (self.n_items, self.names, self.reasons)

    @classmethod
    def tree_unflatten(cls, static, leaves) -> Rows:
        """Rebuild from leaves."""
        return cls(*leaves, *static)
