"""What a kind of plan has to say for itself, so that all kinds are written and rechecked alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from jaxcampaign.certificate import Certificate
from jaxcampaign.plans.archive import Reader
from jaxcampaign.plans.records import Inputs
from jaxcampaign.problems import Problem


class Answer(Protocol):
    """What is written: a solver's `Solution` has this form."""

    @property
    def problem(self) -> Any: ...  # noqa: D102
    @property
    def selection(self) -> np.ndarray: ...  # noqa: D102
    @property
    def certificate(self) -> Certificate: ...  # noqa: D102
    @property
    def multipliers(self) -> Any: ...  # noqa: D102
    @property
    def status(self) -> str: ...  # noqa: D102
    @property
    def solver(self) -> str: ...  # noqa: D102
    @property
    def target(self) -> float: ...  # noqa: D102
    def table(self) -> pd.DataFrame: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Chosen:
    """What selection.csv says, in the order of a problem's items.

    Attributes:
      selection: bool[N].
      spend: float64[N], money that each option of a campaign gets; None for slots.
      fault: what is wrong with the file, as one sentence; empty where it is sound.
    """

    selection: np.ndarray
    spend: np.ndarray | None = None
    fault: str = ""


class Kind(Protocol):
    """One kind of plan.

    Attributes:
      command: what makes it, as run.json states.
      item: what is chosen, in a sentence.
      may_refute: a branch and bound's word that there is no plan is an answer.
    """

    command: str
    item: str
    may_refute: bool

    def inputs(self, record: dict[str, Any]) -> Inputs:
        """Configuration from run.json."""
        ...

    def tables(self, inputs: Inputs) -> tuple[str, ...]:
        """Files in the plan folder that the problem is built from, beside the input files."""
        ...

    def load(self, inputs: Inputs, folder: Path) -> Problem:
        """The problem, built again."""
        ...

    def labels(self, problem: Any) -> list[Sequence[str]]:
        """Ids that a proof's indices refer to, in order."""
        ...

    def table(self, answer: Answer) -> pd.DataFrame:
        """The content of selection.csv."""
        ...

    def chosen(self, problem: Any, table: pd.DataFrame) -> Chosen:
        """What selection.csv, all columns as text, says; every column is held to the problem."""
        ...

    def arrays(self, proof: Any) -> dict[str, np.ndarray]:
        """A proof as named arrays."""
        ...

    def proof(self, read: Reader) -> Any:
        """The inverse of `arrays`; anything may be raised where they are not well formed."""
        ...

    def malformed(self, problem: Any, proof: Any) -> str:
        """What is wrong with a proof, as one sentence; empty where it proves a bound."""
        ...


def labels_index(frame: pd.DataFrame) -> pd.Index:
    """The columns as one index of text."""
    columns = [frame[name].astype("str").to_numpy(object) for name in frame]
    return pd.Index(columns[0]) if len(columns) == 1 else pd.MultiIndex.from_arrays(columns)


def same_numbers(stated: pd.Series, known: np.ndarray) -> np.ndarray:
    """Which texts are these numbers, up to the rounding of another machine, bool[n]."""
    values = pd.to_numeric(stated, errors="coerce").to_numpy(np.float64)
    return np.isclose(values, known, rtol=TOLERANCE, atol=0)


TOLERANCE = 1e-9
"""Two float64 evaluations of the same sum on different machines agree to this share of it."""
