"""What a prediction may look at: columns of numbers and categories, each from one source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd

from jaxcampaign.effectiveness.sharing import Shared, shared_columns
from jaxcampaign.errors import InputError

Source: TypeAlias = Literal["I", "H", "M"]
"""I: influencer, content, event, time and price; H: historical campaigns; M: the market."""

SOURCES: tuple[Source, ...] = ("I", "H", "M")


@dataclass(frozen=True, eq=False)
class Features:
    """N rows of predictors. Missing values stay missing.

    Two tables with equal names, sources and categories have the same columns, so that what was
    fitted on one predicts the other (`like=` of `from_frame`).
    """

    numeric: np.ndarray  # float32[N, F]; NaN is missing
    categorical: np.ndarray  # int32[N, C]; indices of `categories`, -1 is missing or never seen
    numeric_names: tuple[str, ...]  # F
    categorical_names: tuple[str, ...]  # C
    numeric_sources: tuple[Source, ...]  # F
    categorical_sources: tuple[Source, ...]  # C
    categories: tuple[np.ndarray, ...]  # C arrays of str, sorted

    def __len__(self) -> int:
        return len(self.numeric)

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        sources: Mapping[str, Source],
        *,
        like: Features | None = None,
    ) -> Features:
        """Features of the columns that `sources` names, in its order.

        Args:
          frame: N rows; numbers and bools become numeric, text and categories categorical.
          sources: the source of each column that is to be used.
          like: features whose columns and categories to use; values that it lacks are -1.

        Raises:
          InputError: a column that the frame lacks, an unknown source, a column of another kind
            than in `like`, or an infinite value.
        """
        for name, source in sources.items():
            if name not in frame:
                remedy = f"the table has {', '.join(map(str, frame.columns))}"
                raise InputError("no such column", table="features", column=name, remedy=remedy)
            if source not in SOURCES:
                remedy = f"choose one of {', '.join(SOURCES)}"
                raise InputError("unknown source", table="features", value=source, remedy=remedy)
        numeric_names = [name for name in sources if _is_numeric(frame[name])]
        names = [name for name in sources if name not in numeric_names]
        if like is not None:
            found = (tuple(numeric_names), tuple(names))
            if found != (like.numeric_names, like.categorical_names):
                known = {*like.numeric_names, *like.categorical_names}
                different = sorted(known ^ set(sources))
                raise InputError(
                    "the columns are not those that the model was fitted on",
                    table="features",
                    column=", ".join(different) or "(their order or kind)",
                    remedy="build both with the same options",
                )
        numeric = np.full((len(frame), len(numeric_names)), np.nan, np.float32)
        for f, name in enumerate(numeric_names):
            numeric[:, f] = frame[name].to_numpy(np.float64, na_value=np.nan)
            if (bad := np.flatnonzero(np.isinf(numeric[:, f]))).size:
                raise InputError(
                    "a value is infinite or beyond float32",
                    table="features",
                    column=name,
                    rows=bad.tolist(),
                    value=frame[name].iloc[bad[0]],
                    remedy="leave it empty if it is unknown",
                )
        categorical = np.full((len(frame), len(names)), -1, np.int32)
        categories = []
        for c, name in enumerate(names):
            values = frame[name].astype("str")
            codes = np.sort(values.dropna().unique()) if like is None else like.categories[c]
            categorical[:, c] = pd.Index(codes, dtype="str").get_indexer(values)
            categories.append(np.asarray(codes, dtype=np.str_))
        return cls(
            numeric=numeric,
            categorical=categorical,
            numeric_names=tuple(numeric_names),
            categorical_names=tuple(names),
            numeric_sources=tuple(sources[name] for name in numeric_names),
            categorical_sources=tuple(sources[name] for name in names),
            categories=tuple(categories),
        )

    @cached_property
    def shared(self) -> tuple[Shared, ...]:
        """Columns of one source that together take few values; categorical column c is ~c."""
        bits = np.concatenate(
            [self.numeric.view(np.uint32), self.categorical.view(np.uint32)], axis=1
        )
        found = shared_columns(bits, (*self.numeric_sources, *self.categorical_sources))
        width = self.numeric.shape[1]
        return tuple(
            group._replace(columns=tuple(c if c < width else ~(c - width) for c in group.columns))
            for group in found
        )

    def source_of(self, column: int) -> Source:
        """The source of numeric column c, or of categorical column ~c."""
        return self.numeric_sources[column] if column >= 0 else self.categorical_sources[~column]

    def take(self, rows: np.ndarray | slice) -> Features:
        """These rows only, in this order."""
        return replace(self, numeric=self.numeric[rows], categorical=self.categorical[rows])

    def with_numeric(
        self, columns: Mapping[str, np.ndarray], sources: Sequence[Source]
    ) -> Features:
        """These numeric columns (float32[N] each) besides, after the present ones."""
        added = [np.asarray(column, np.float32)[:, None] for column in columns.values()]
        wider = replace(
            self,
            numeric=np.concatenate([self.numeric, *added], axis=1),
            numeric_names=(*self.numeric_names, *columns),
            numeric_sources=(*self.numeric_sources, *sources),
        )
        if "shared" in vars(self):  # which the new columns do not change
            vars(wider)["shared"] = self.shared
        return wider


def _is_numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)
