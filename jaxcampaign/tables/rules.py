"""The words that schemas are written in: columns, and rules that name their remedy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import pandera.pandas as pa

DUPLICATE = "duplicate key"
ONE_PER_KEY = "keep one row per key, or give each row a key of its own"


def column(
    dtype: Any,
    *rules: pa.Check,
    unique: bool = False,
    required: bool = True,
    nullable: bool = False,
) -> pa.Column:
    """A column of a canonical dtype that obeys these rules; only `nullable` ones may have gaps."""
    return pa.Column(dtype, checks=list(rules), unique=unique, required=required, nullable=nullable)


def rule(test: Any, problem: str, remedy: str) -> pa.Check:
    """What every value of a column must satisfy; missing values are not asked."""
    return pa.Check(test, title=problem, description=remedy)


def frame_rule(columns: Sequence[str], test: Any, problem: str, remedy: str) -> pa.Check:
    """What every row must satisfy in these columns together."""
    return pa.Check(
        test,
        title=problem,
        description=remedy,
        statistics={"columns": tuple(columns)},
        ignore_na=False,
    )


def one_per_key(*keys: str) -> pa.Check:
    """No two rows agree in all of these columns, as far as the table has them; gaps are equal."""

    def unrepeated(frame: pd.DataFrame) -> pd.Series:
        present = [key for key in keys if key in frame]
        return ~frame.duplicated(present, keep=False)

    return frame_rule(keys, unrepeated, DUPLICATE, ONE_PER_KEY)


NOT_NEGATIVE = rule(lambda x: x >= 0, "a value is negative", "give 0 or more")
