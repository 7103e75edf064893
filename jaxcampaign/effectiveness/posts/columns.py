"""Features put together column by column, from codes rather than text."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jaxcampaign.effectiveness.features import Features, Source
from jaxcampaign.errors import InputError


class Columns:
    """Columns of N rows, gathered in order."""

    def __init__(self, n_rows: int):
        self._n_rows = n_rows
        self._numbers: dict[str, tuple[Source, np.ndarray]] = {}
        self._categories: dict[str, tuple[Source, np.ndarray, np.ndarray]] = {}

    def number(self, name: str, source: Source, values: np.ndarray) -> None:
        """Adds a numeric column; NaN is missing."""
        self._numbers[name] = (source, values)

    def category(self, name: str, source: Source, codes: np.ndarray, labels: np.ndarray) -> None:
        """Adds a categorical column: indices of distinct labels, -1 for missing."""
        self._categories[name] = (source, codes, labels)

    def attribute(self, name: str, source: Source, values: pd.Series, rows: np.ndarray) -> None:
        """Adds `values[rows]` by kind: numbers, or text as categories; times are left out.

        Args:
          name: name of the feature.
          source: its source.
          values: a column of a small table.
          rows: int[N], where each row looks it up; -1 is nowhere.
        """
        if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
            self.number(name, source, looked_up(values.to_numpy(float, na_value=np.nan), rows))
        elif not pd.api.types.is_datetime64_any_dtype(values):
            coded = pd.Categorical(values.astype("str"))
            codes = looked_up(coded.codes.astype(np.int32), rows)
            self.category(name, source, codes, np.asarray(coded.categories, dtype=np.str_))

    def features(self, like: Features | None) -> Features:
        """The features, with the categories of `like`, or else those that occur in the rows."""
        names = tuple(self._numbers), tuple(self._categories)
        if like is not None and names != (like.numeric_names, like.categorical_names):
            different = {*names[0], *names[1]} ^ {*like.numeric_names, *like.categorical_names}
            raise InputError(
                "the columns are not those that the model was fitted on",
                table="features",
                column=", ".join(sorted(different)) or "(their order or kind)",
                remedy="build both from tables with the same columns, with the same options",
            )
        numeric = np.empty((self._n_rows, len(names[0])), np.float32)
        for f, (name, (_, values)) in enumerate(self._numbers.items()):
            with np.errstate(over="ignore"):
                numeric[:, f] = values
            infinite = np.flatnonzero(np.isinf(numeric[:, f]))
            if infinite.size:
                raise InputError(
                    "a value is infinite or beyond float32",
                    table="features",
                    column=name,
                    rows=infinite.tolist(),
                    value=float(values[infinite[0]]),
                    remedy="leave it empty if it is unknown",
                )
        categorical = np.empty((self._n_rows, len(names[1])), np.int32)
        categories = []
        for c, (_, codes, labels) in enumerate(self._categories.values()):
            if like is None:
                seen = np.bincount(codes[codes >= 0], minlength=len(labels)) > 0
                known = np.sort(labels[seen]).astype(np.str_)
            else:
                known = like.categories[c]
            index = pd.Index(known).get_indexer(pd.Index(labels)).astype(np.int32)
            categorical[:, c] = looked_up(index, codes)
            categories.append(known)
        return Features(
            numeric=numeric,
            categorical=categorical,
            numeric_names=names[0],
            categorical_names=names[1],
            numeric_sources=tuple(source for source, _ in self._numbers.values()),
            categorical_sources=tuple(source for source, _, _ in self._categories.values()),
            categories=tuple(categories),
        )


def looked_up(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """`values[rows]`; -1 (codes), NaN (numbers) or NaT where a row is -1."""
    nothing = {"i": -1, "M": np.datetime64("NaT")}.get(values.dtype.kind, np.nan)
    return np.append(values, np.asarray([nothing], values.dtype))[rows]
