"""A campaign while its constraints are being added: families, sparse rows, flags, fixed options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from scipy import sparse

from jaxcampaign.errors import InputError
from jaxcampaign.problems.campaign.families import Family
from jaxcampaign.problems.rows import Rows, Texts


@dataclass(eq=False)
class Draft:
    """What constraints add their rows to.

    Flags are further columns of 0 and 1, after the options: flag f is up where any of its members
    is chosen, and only there.

    Attributes:
      options: N options.
      families: rows with one number of a group per option.
      required: bool[N].
      excluded: bool[N].
    """

    options: pd.DataFrame
    families: list[Family] = field(default_factory=list)
    required: np.ndarray = field(init=False)
    excluded: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.required = np.zeros(len(self.options), bool)
        self.excluded = np.zeros(len(self.options), bool)
        self._why: list[str] = []
        self._blocks: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._limits: list[tuple[np.ndarray, np.ndarray]] = []
        self._names: list[tuple[str, tuple[np.ndarray, ...]]] = []
        self._reasons: list[tuple[str, tuple[np.ndarray, ...]]] = []
        self._definitions: list[np.ndarray] = []
        self._members: list[sparse.csr_array] = []
        self._n_flags = self._n_rows = 0

    def add_family(self, family: Family, name: str, reason: str, *columns: np.ndarray) -> None:
        """Add a family whose texts are templates over one value of each column for each row."""
        if not len(family):
            return
        names, reasons = (Texts(((text, columns),)) for text in (name, reason))
        self.families.append(replace(family, names=names, reasons=reasons))

    def add_flags(self, flag: np.ndarray, option: np.ndarray, n_flags: int) -> np.ndarray:
        """Add flags with their members, as pairs; their columns, int64[n_flags], come back."""
        n_options = len(self.options)
        columns = n_options + self._n_flags + np.arange(n_flags)
        ones = np.ones(len(flag))
        members = sparse.coo_array((ones, (flag, option)), shape=(n_flags, n_options)).tocsr()
        self._members.append(members)
        self._n_flags += n_flags
        self.add_rows(
            np.concatenate([np.arange(n_flags), flag]),
            np.concatenate([columns, option]),
            np.concatenate([np.ones(n_flags), -ones]),
            np.full(n_flags, -np.inf),
            np.zeros(n_flags),
            "flag {0}",
            "what counts as chosen has a chosen option",
            (columns - n_options,),
            definition=True,
        )
        return columns

    def add_rows(
        self,
        row: np.ndarray,
        column: np.ndarray,
        coefficient: np.ndarray,
        lower: np.ndarray,
        upper: np.ndarray,
        name: str,
        reason: str,
        columns: Sequence[np.ndarray],
        *,
        definition: bool = False,
    ) -> None:
        """Add sparse rows as triplets, numbered from 0; texts as for `add_family`.

        A definition says what a flag means, and is nothing that a user could give way in.
        """
        if not len(lower):
            return
        self._blocks.append((row + self._n_rows, column, coefficient))
        self._limits.append((lower, upper))
        self._names.append((name, tuple(columns)))
        self._reasons.append((reason, tuple(columns)))
        self._definitions.append(np.full(len(lower), definition))
        self._n_rows += len(lower)

    def require(self, options: np.ndarray, why: str) -> None:
        """Options bool[N] that must be chosen."""
        self.required |= options
        self._check_fixed(why)

    def exclude(self, options: np.ndarray, why: str) -> None:
        """Options bool[N] that must not be."""
        self.excluded |= options
        self._check_fixed(why)

    def rows(self) -> Rows:
        """All sparse rows, over options and flags."""
        n_columns = len(self.options) + self._n_flags
        if not self._n_rows:
            return Rows.empty(n_columns)
        row, column, coefficient = (
            np.concatenate(part) for part in zip(*self._blocks, strict=True)
        )
        lower, upper = (np.concatenate(part) for part in zip(*self._limits, strict=True))
        return Rows(
            lower,
            upper,
            row.astype(np.int32),
            column.astype(np.int32),
            coefficient,
            n_columns,
            Texts(tuple(self._names)),
            Texts(tuple(self._reasons)),
        )

    def definitions(self) -> np.ndarray:
        """Which sparse rows are definitions, bool[M]."""
        return np.concatenate([np.zeros(0, bool), *self._definitions])

    def members(self) -> sparse.csr_array:
        """Members of all flags, 0/1 [F, N]."""
        if not self._members:
            return sparse.csr_array((0, len(self.options)))
        return sparse.vstack(self._members, format="csr")

    def _check_fixed(self, why: str) -> None:
        self._why.append(why)
        both = np.flatnonzero(self.required & self.excluded)
        if len(both):
            raise InputError(
                f"options are required and excluded at once ({'; '.join(self._why)})",
                table="options",
                rows=both[:20].tolist(),
                remedy="drop one of the two",
            )
