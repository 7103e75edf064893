"""What every gradient-boosted tree model offers here, whichever library grows the trees."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import pandas as pd

from jaxcampaign.effectiveness.features import SOURCES, Features, Source
from jaxcampaign.errors import InputError

Objective: TypeAlias = Literal["squared", "poisson", "tweedie"]
"""squared: identity link; poisson and tweedie: log link, sums right in natural units."""


class Contributions(NamedTuple):
    """An additive account of raw scores: score = base + parts["I"] + parts["H"] + parts["M"].

    The score is the prediction itself, under a log link its logarithm.
    """

    base: float
    parts: dict[Source, np.ndarray]  # f64[N] each


class FittedBooster(Protocol):
    """Boosted trees that were grown."""

    @property
    def rounds(self) -> int:
        """Number of trees used, after early stopping."""

    @property
    def log_link(self) -> bool:
        """Whether the score is the logarithm of the prediction."""

    def predict(self, features: Features) -> np.ndarray:
        """f64[N], expected outcomes in natural units."""

    def contributions(self, features: Features) -> Contributions:
        """An account of the scores by source: exact where no tree mixes sources.

        Otherwise by SHAP values (Lundberg et al. 2020).
        """

    def importance(self) -> pd.DataFrame:
        """feature, source, gain (share of the total loss reduction), largest first."""

    def to_text(self) -> str:
        """The model as JSON text, for `booster_from_text`."""


class Booster(Protocol):
    """How boosted trees are to be grown: a frozen dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def rounds(self) -> int:
        """The most trees."""

    @property
    def objective(self) -> Objective:
        """What is minimised."""

    def fit(
        self,
        features: Features,
        y: np.ndarray,
        *,
        validation: tuple[Features, np.ndarray] | None = None,
        weight: np.ndarray | None = None,
        seed: int = 0,
    ) -> FittedBooster:
        """Grow trees on N rows.

        Args:
          features: N rows; missing numbers and unknown categories are handled by the trees.
          y: f64[N] outcomes; non-negative under a log link.
          validation: later rows and their outcomes; growing stops when they gain no more.
          weight: f64[N], non-negative.
          seed: of row and column samples.

        Raises:
          InputError: outcomes that do not fit the rows or the objective.
        """


@dataclass(frozen=True)
class Columns:
    """The columns that trees were grown on, numeric ones first, and checks against others."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    sources: tuple[Source, ...]
    n_categories: tuple[int, ...]

    @classmethod
    def of(cls, features: Features) -> Columns:
        """The columns of these features."""
        return cls(
            numeric=features.numeric_names,
            categorical=features.categorical_names,
            sources=(*features.numeric_sources, *features.categorical_sources),
            n_categories=tuple(map(len, features.categories)),
        )

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Columns:
        """The columns that `record()` wrote."""
        return cls(**{name: tuple(values) for name, values in record.items()})

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the order of the matrix."""
        return (*self.numeric, *self.categorical)

    @property
    def categorical_positions(self) -> list[int]:
        """Where the categories stand in the matrix."""
        return list(range(len(self.numeric), len(self.names)))

    @property
    def present(self) -> tuple[Source, ...]:
        """The sources that have columns."""
        return tuple(source for source in SOURCES if source in self.sources)

    def groups(self) -> list[list[int]]:
        """Positions of the columns of each source that has any."""
        return [[i for i, s in enumerate(self.sources) if s == source] for source in self.present]

    def check(self, features: Features) -> None:
        """Refuse features of other columns."""
        if Columns.of(features) != self:
            wrong = set(self.names) ^ {*features.numeric_names, *features.categorical_names}
            raise InputError(
                "the columns are not those that the trees were grown on",
                table="features",
                column=", ".join(sorted(wrong)) or "(their order, source or categories)",
                remedy="build both with Features.from_frame(..., like=...)",
            )

    def matrix(self, features: Features) -> np.ndarray:
        """float32[N, F + C] of these columns, NaN where missing or unknown."""
        self.check(features)
        codes = features.categorical.astype(np.float32)
        codes[codes < 0] = np.nan
        return np.concatenate([features.numeric, codes], axis=1)

    def by_source(self, shap: np.ndarray) -> Contributions:
        """Contributions from SHAP values f64[N, F + C + 1], whose last column is the base."""
        sources = np.array(self.sources)
        parts: dict[Source, np.ndarray] = {
            source: shap[:, :-1][:, sources == source].sum(axis=1) for source in SOURCES
        }
        return Contributions(float(shap[0, -1]) if len(shap) else 0.0, parts)

    def importance(self, gain: np.ndarray) -> pd.DataFrame:
        """The table of `FittedBooster.importance` from gains f64[F + C]."""
        share = gain / gain.sum() if gain.sum() else gain
        table = pd.DataFrame({"feature": self.names, "source": self.sources, "gain": share})
        return table.sort_values("gain", ascending=False, kind="stable", ignore_index=True)


def check_outcomes(
    features: Features,
    y: np.ndarray,
    objective: Objective,
    weight: np.ndarray | None = None,
) -> np.ndarray:
    """The outcomes as f64[N], if they fit the rows and the objective."""
    y = np.asarray(y, np.float64)
    if y.shape != (len(features),) or not len(y):
        problem = f"{len(features)} rows of features, but outcomes of shape {y.shape}"
        raise InputError(problem, table="y")
    if (bad := np.flatnonzero(~np.isfinite(y))).size:
        raise InputError("an outcome is not finite", table="y", rows=bad.tolist(), value=y[bad[0]])
    if objective not in ("squared", "poisson", "tweedie"):
        remedy = "choose squared, poisson or tweedie"
        raise InputError("unknown objective", table="booster", value=objective, remedy=remedy)
    if objective != "squared":
        remedy = 'take objective="squared"'
        if (bad := np.flatnonzero(y < 0)).size:
            problem = "a log link needs outcomes that are not negative"
            raise InputError(problem, table="y", rows=bad.tolist(), value=y[bad[0]], remedy=remedy)
        if not y.any():
            raise InputError("every outcome is zero: no rate to learn", table="y", remedy=remedy)
    if weight is not None:
        weight = np.asarray(weight)
        if weight.shape != y.shape or not ((weight >= 0) & np.isfinite(weight)).all():
            raise InputError("weights must be non-negative, one a row", table="weight")
    return y


def checked_rows(
    features: Features,
    y: np.ndarray,
    objective: Objective,
    weight: np.ndarray | None,
    validation: tuple[Features, np.ndarray] | None,
) -> tuple[Columns, np.ndarray, np.ndarray | None]:
    """The columns, the outcomes and those of the validation rows, if they fit; see `Booster.fit`.

    Validation rows are later ones: a log link may meet nothing but zeros there.
    """
    y = check_outcomes(features, y, objective, weight)
    held = None if validation is None else check_outcomes(*validation, "squared")
    return Columns.of(features), y, held


def booster_text(kind: str, columns: Columns, model: str, **details: Any) -> str:
    """What `to_text` returns: one JSON object."""
    record = {"kind": kind, "columns": columns.record(), **details, "model": model}
    return json.dumps(record, separators=(",", ":"))


def booster_from_text(text: str) -> FittedBooster:
    """The fitted booster that `to_text` wrote; it predicts the same bits.

    Raises:
      InputError: text of another kind.
    """
    try:
        record = json.loads(text)
        kind = record.pop("kind")
        columns = Columns.from_record(record.pop("columns"))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        remedy = "pass what to_text() returned"
        raise InputError("not the text of a booster", remedy=remedy) from error
    if kind == "lightgbm":
        from jaxcampaign.effectiveness.trees.lightgbm import FittedLightGBM

        return FittedLightGBM(columns, **record)
    from jaxcampaign.effectiveness.trees import extra_boosters

    kinds = {"xgboost": extra_boosters.FittedXGBoost, "catboost": extra_boosters.FittedCatBoost}
    if kind not in kinds:
        raise InputError("unknown kind of booster", value=kind, remedy="update jaxcampaign")
    return kinds[kind](columns, **record)
