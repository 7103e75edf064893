"""XGBoost and CatBoost behind the interface of `boosting`; they come with the extra `boost`."""

from __future__ import annotations

import importlib
import tempfile
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxcampaign.effectiveness.features import Features
from jaxcampaign.effectiveness.trees.boosting import (
    Columns,
    Contributions,
    Objective,
    booster_text,
    checked_rows,
)
from jaxcampaign.errors import InputError

_XGBOOST = {"squared": "reg:squarederror", "poisson": "count:poisson", "tweedie": "reg:tweedie"}


@dataclass(frozen=True)
class XGBoost:
    """Settings of XGBoost (Chen and Guestrin 2016), histogram trees with native categories.

    The attributes are those of `LightGBM`; `depth` limits a tree.
    """

    rounds: int = 1000
    learning_rate: float = 0.05
    depth: int = 6
    objective: Objective = "squared"
    additive: bool = False
    l2: float = 1.0
    row_fraction: float = 0.8
    column_fraction: float = 0.8
    tweedie_power: float = 1.5
    patience: int = 50
    threads: int = 0

    def fit(
        self,
        features: Features,
        y: np.ndarray,
        *,
        validation: tuple[Features, np.ndarray] | None = None,
        weight: np.ndarray | None = None,
        seed: int = 0,
    ) -> FittedXGBoost:
        """Grow trees; see `Booster.fit`."""
        xgb = _library("xgboost")
        columns, y, later = checked_rows(features, y, self.objective, weight, validation)
        options: dict[str, Any] = {"verbose_eval": False}
        if validation is not None:
            options["evals"] = [(_dmatrix(columns, validation[0], later), "validation")]
            options["early_stopping_rounds"] = self.patience
        rows = _dmatrix(columns, features, y, weight)
        grown = xgb.train(self._parameters(columns, seed), rows, self.rounds, **options)
        if validation is not None:
            grown = grown[: grown.best_iteration + 1]
        seen = [np.unique(codes[codes >= 0]).tolist() for codes in features.categorical.T]
        return FittedXGBoost(columns, grown.save_raw("json").decode(), seen)

    def _parameters(self, columns: Columns, seed: int) -> dict[str, Any]:
        parameters = {
            "objective": _XGBOOST[self.objective],
            "eta": self.learning_rate,
            "max_depth": self.depth,
            "lambda": self.l2,
            "subsample": self.row_fraction,
            "colsample_bytree": self.column_fraction,
            "tree_method": "hist",
            "nthread": self.threads,
            "seed": seed,
            "verbosity": 0,
        }
        if self.objective == "tweedie":
            parameters["tweedie_variance_power"] = self.tweedie_power
        if self.additive:
            parameters["interaction_constraints"] = str(columns.groups())
        return parameters


@dataclass(frozen=True, eq=False)
class FittedXGBoost:
    """Trees that XGBoost grew, kept as its JSON."""

    columns: Columns
    model: str
    seen: list[list[int]]  # codes of each categorical column that the trees were grown on

    @cached_property
    def _trees(self) -> Any:
        return _library("xgboost").Booster(model_file=bytearray(self.model.encode()))

    @property
    def rounds(self) -> int:
        """Number of trees used."""
        return self._trees.num_boosted_rounds()

    @cached_property
    def log_link(self) -> bool:
        """Whether the score is the logarithm of the prediction."""
        return '"reg:squarederror"' not in self.model

    def predict(self, features: Features) -> np.ndarray:
        """f64[N], expected outcomes in natural units."""
        return self._trees.predict(self._rows(features)).astype(np.float64)

    def contributions(self, features: Features) -> Contributions:
        """SHAP values of the scores, summed by source."""
        shap = self._trees.predict(self._rows(features), pred_contribs=True)
        return self.columns.by_source(shap.astype(np.float64))

    def importance(self) -> pd.DataFrame:
        """Feature, source, gain (share of the total), largest first."""
        found = self._trees.get_score(importance_type="total_gain")
        positions = range(len(self.columns.names))
        return self.columns.importance(np.array([found.get(f"f{i}", 0.0) for i in positions]))

    def to_text(self) -> str:
        """The model as JSON text, for `booster_from_text`."""
        return booster_text("xgboost", self.columns, self.model, seen=self.seen)

    def _rows(self, features: Features) -> Any:
        # XGBoost sends a code that it never saw to one side of a split, not where missing ones go.
        codes = features.categorical.copy()
        for column, seen in zip(codes.T, self.seen, strict=True):
            column[~np.isin(column, seen)] = -1
        return _dmatrix(self.columns, replace(features, categorical=codes))


@dataclass(frozen=True)
class CatBoost:
    """Settings of CatBoost (Prokhorenkova et al. 2018): ordered statistics of the categories.

    The attributes are those of `LightGBM`; `depth` limits a tree. CatBoost knows no interaction
    constraints, so there is no additive form.
    """

    rounds: int = 1000
    learning_rate: float = 0.05
    depth: int = 6
    objective: Objective = "squared"
    l2: float = 3.0
    tweedie_power: float = 1.5
    patience: int = 50
    threads: int = 0

    def fit(
        self,
        features: Features,
        y: np.ndarray,
        *,
        validation: tuple[Features, np.ndarray] | None = None,
        weight: np.ndarray | None = None,
        seed: int = 0,
    ) -> FittedCatBoost:
        """Grow trees; see `Booster.fit`."""
        catboost = _library("catboost")
        columns, y, later = checked_rows(features, y, self.objective, weight, validation)
        # Under a log link CatBoost starts from 1 and, where outcomes are large, diverges.
        start = float(np.log(np.average(y, weights=weight))) if self.objective != "squared" else 0.0
        held = None
        if validation is not None:
            held = _pool(columns, validation[0], later, start=start)
        losses = {
            "squared": "RMSE",
            "poisson": "Poisson",
            "tweedie": f"Tweedie:variance_power={self.tweedie_power}",
        }
        grown = catboost.CatBoost(
            {
                "loss_function": losses[self.objective],
                "iterations": self.rounds,
                "learning_rate": self.learning_rate,
                "depth": self.depth,
                "l2_leaf_reg": self.l2,
                "thread_count": self.threads or -1,
                "random_seed": seed,
                "logging_level": "Silent",
                "allow_writing_files": False,
            }
        )
        rows = _pool(columns, features, y, weight, start)
        stop = self.patience if held is not None else None
        grown.fit(rows, eval_set=held, use_best_model=held is not None, early_stopping_rounds=stop)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.json"
            grown.save_model(str(path), format="json", pool=rows)
            model = path.read_text("utf-8")
        gain = grown.get_feature_importance(type="PredictionValuesChange").tolist()
        return FittedCatBoost(columns, model, gain, self.objective != "squared", start)


@dataclass(frozen=True, eq=False)
class FittedCatBoost:
    """Trees that CatBoost grew, kept as its JSON."""

    columns: Columns
    model: str
    gain: list[float]
    log_link: bool
    start: float = 0.0  # score before the first tree

    @cached_property
    def _trees(self) -> Any:
        trees = _library("catboost").CatBoost()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.json"
            path.write_text(self.model, "utf-8")
            return trees.load_model(str(path), format="json")

    @property
    def rounds(self) -> int:
        """Number of trees used."""
        return self._trees.tree_count_

    def predict(self, features: Features) -> np.ndarray:
        """f64[N], expected outcomes in natural units."""
        score = np.asarray(self._trees.predict(_pool(self.columns, features)), np.float64)
        score = self.start + score
        return np.exp(score) if self.log_link else score

    def contributions(self, features: Features) -> Contributions:
        """SHAP values of the scores, summed by source."""
        pool = _pool(self.columns, features)
        found = self.columns.by_source(self._trees.get_feature_importance(pool, "ShapValues"))
        return found._replace(base=self.start + found.base)

    def importance(self) -> pd.DataFrame:
        """Feature, source, gain (share of the mean change of predictions), largest first."""
        return self.columns.importance(np.asarray(self.gain))

    def to_text(self) -> str:
        """The model as JSON text, for `booster_from_text`."""
        details = {"gain": self.gain, "log_link": self.log_link, "start": self.start}
        return booster_text("catboost", self.columns, self.model, **details)


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        remedy = 'run pip install "jaxcampaign[boost]", or use LightGBM'
        raise InputError(f"{name} is not installed", table="booster", remedy=remedy) from error


def _dmatrix(
    columns: Columns,
    features: Features,
    y: np.ndarray | None = None,
    weight: np.ndarray | None = None,
) -> Any:
    kinds = ["q"] * len(columns.numeric) + ["c"] * len(columns.categorical)
    matrix = columns.matrix(features)
    dmatrix = _library("xgboost").DMatrix
    return dmatrix(matrix, y, weight=weight, feature_types=kinds, enable_categorical=True)


def _pool(
    columns: Columns,
    features: Features,
    y: np.ndarray | None = None,
    weight: np.ndarray | None = None,
    start: float = 0.0,
) -> Any:
    columns.check(features)
    # CatBoost takes categories as whole numbers; -1 is one of its own, as it has no missing ones.
    numeric, codes = pd.DataFrame(features.numeric), pd.DataFrame(features.categorical)
    frame = pd.concat([numeric, codes], axis=1, ignore_index=True)
    positions = columns.categorical_positions
    before = np.full(len(features), start) if start else None
    pool = _library("catboost").Pool
    return pool(frame, y, weight=weight, cat_features=positions, baseline=before)
