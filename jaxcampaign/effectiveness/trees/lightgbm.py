"""Boosted trees of LightGBM: leaf-wise growth, native categories and missing values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from jaxcampaign.effectiveness.features import SOURCES, Features, Source
from jaxcampaign.effectiveness.sharing import Shared
from jaxcampaign.effectiveness.trees.boosting import (
    Columns,
    Contributions,
    Objective,
    booster_text,
    checked_rows,
)
from jaxcampaign.effectiveness.trees.forest import Forest

_MANY_ROWS = 4096  # from here on, looking up leaves by masks saves more than laying them out takes
_MANY_ALONE = 6  # columns that share their values with none; with more, branches are quicker
_OBJECTIVES = {"squared": "regression", "poisson": "poisson", "tweedie": "tweedie"}


@dataclass(frozen=True)
class LightGBM:
    """Settings of LightGBM (Ke et al. 2017); unknown categories are missing values.

    Attributes:
      rounds: the most trees.
      learning_rate: shrinkage of each tree.
      leaves: the most leaves of a tree.
      objective: "squared", or with a log link "poisson" or "tweedie".
      additive: a tree sees one source only, so the score is exactly g_I + g_H + g_M.
      leaf_rows: the fewest rows of a leaf.
      l2: ridge penalty on the leaves.
      row_fraction: share of rows drawn for each tree.
      column_fraction: share of columns drawn for each tree.
      category_l2: ridge penalty when categories are split into two sets.
      category_smoothing: rows below which a category counts for less in that split.
      tweedie_power: of the variance, between 1 (Poisson) and 2 (gamma).
      patience: rounds without gain on the validation rows before growing stops.
      max_bins: histogram bins of a numeric column.
      threads: 0 for all; the trees do not depend on it.
    """

    rounds: int = 1000
    learning_rate: float = 0.05
    leaves: int = 31
    objective: Objective = "squared"
    additive: bool = False
    leaf_rows: int = 20
    l2: float = 1.0
    row_fraction: float = 0.8
    column_fraction: float = 0.8
    category_l2: float = 10.0
    category_smoothing: float = 10.0
    tweedie_power: float = 1.5
    patience: int = 50
    max_bins: int = 255
    threads: int = 0

    def fit(
        self,
        features: Features,
        y: np.ndarray,
        *,
        validation: tuple[Features, np.ndarray] | None = None,
        weight: np.ndarray | None = None,
        seed: int = 0,
    ) -> FittedLightGBM:
        """Grow trees; see `Booster.fit`."""
        import lightgbm as lgb

        columns, y, later = checked_rows(features, y, self.objective, weight, validation)
        parameters = self._parameters(columns, seed)
        options: dict[str, Any] = {
            "categorical_feature": columns.categorical_positions,
            "params": parameters,
        }
        rows = lgb.Dataset(columns.matrix(features), y, weight=weight, **options)
        held: list[Any] = []
        callbacks: list[Any] = []
        if validation is not None:
            held = [lgb.Dataset(columns.matrix(validation[0]), later, reference=rows)]
            callbacks = [lgb.early_stopping(self.patience, verbose=False)]
        grown = lgb.train(parameters, rows, self.rounds, held, callbacks=callbacks)
        best = grown.best_iteration if validation is not None else -1
        return FittedLightGBM(columns, grown.model_to_string(num_iteration=best))

    def _parameters(self, columns: Columns, seed: int) -> dict[str, Any]:
        parameters = {
            "objective": _OBJECTIVES[self.objective],
            "learning_rate": self.learning_rate,
            "num_leaves": self.leaves,
            "min_data_in_leaf": self.leaf_rows,
            "lambda_l2": self.l2,
            "bagging_fraction": self.row_fraction,
            "bagging_freq": int(self.row_fraction < 1),
            "feature_fraction": self.column_fraction,
            "cat_l2": self.category_l2,
            "cat_smooth": self.category_smoothing,
            "max_bin": self.max_bins,
            "num_threads": self.threads,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }
        if self.objective == "tweedie":
            parameters["tweedie_variance_power"] = self.tweedie_power
        if self.additive:
            parameters["interaction_constraints"] = columns.groups()
        return parameters


@dataclass(frozen=True, eq=False)
class FittedLightGBM:
    """Trees that LightGBM grew, kept as its text."""

    columns: Columns
    model: str

    @cached_property
    def _trees(self) -> Any:
        import lightgbm as lgb

        return lgb.Booster(model_str=self.model)

    @cached_property
    def _sources(self) -> list[Forest] | None:
        """A forest per source of columns, if every tree looks at one source only."""
        return Forest.from_text(self.model, self.columns.groups())

    @cached_property
    def _whole(self) -> list[Forest] | None:
        """All trees as one forest, or one per source."""
        everything = [list(range(len(self.columns.names)))]
        return self._sources or Forest.from_text(self.model, everything)

    @property
    def rounds(self) -> int:
        """Number of trees used."""
        return self._trees.num_trees()

    @cached_property
    def log_link(self) -> bool:
        """Whether the score is the logarithm of the prediction."""
        return "\nobjective=regression" not in self.model

    def predict(self, features: Features) -> np.ndarray:
        """f64[N], expected outcomes in natural units."""
        if len(features) < _MANY_ROWS or self._whole is None:
            return np.asarray(self._predicted(features), np.float64)
        shared = self._shared(features)
        alone = {c for forest in self._whole for c in forest.columns}
        if len(alone.difference(*(group.columns for group in shared))) > _MANY_ALONE:
            return np.asarray(self._predicted(features), np.float64)
        matrix = self.columns.matrix(features)
        scores = np.sum([forest.scores(matrix, shared) for forest in self._whole], axis=0)
        return np.exp(scores) if self.log_link else scores

    def contributions(self, features: Features) -> Contributions:
        """What trees of each source add to the score; SHAP values where trees mix sources."""
        if self._sources is None:
            return self.columns.by_source(self._predicted(features, pred_contrib=True))
        matrix, sources = self.columns.matrix(features), self.columns.present
        shared = self._shared(features)
        parts: dict[Source, np.ndarray] = {source: np.zeros(len(features)) for source in SOURCES}
        for source, forest in zip(sources, self._sources, strict=True):
            parts[source] = forest.scores(matrix, shared)
        return Contributions(0.0, parts)

    def importance(self) -> pd.DataFrame:
        """Feature, source, gain (share of the total), largest first."""
        return self.columns.importance(self._trees.feature_importance("gain"))

    def to_text(self) -> str:
        """The model as JSON text, for `booster_from_text`."""
        return booster_text("lightgbm", self.columns, self.model)

    def _shared(self, features: Features) -> list[Shared]:
        """Columns that together take few values, by their place in the matrix; none of few rows."""
        if len(features) < _MANY_ROWS:
            return []
        width = len(self.columns.numeric)
        return [
            group._replace(columns=tuple(c if c >= 0 else width + ~c for c in group.columns))
            for group in features.shared
        ]

    def _predicted(self, features: Features, **options: Any) -> np.ndarray:
        matrix = self.columns.matrix(features)
        if not len(matrix):
            return np.zeros((0, matrix.shape[1] + 1) if options else 0)
        return self._trees.predict(matrix, **options)
