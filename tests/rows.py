"""Small tables of features with known outcomes, and a stand-in for the network."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jax import Array

from jaxcampaign.effectiveness import Features, Prediction


def random_features(n: int, seed: int = 0, n_ids: int = 30) -> Features:
    """Five numeric columns (I, I, H, H, M), an id and a type, some missing."""
    rng = np.random.default_rng(seed)
    numeric = rng.normal(size=(n, 5)).astype(np.float32)
    numeric[rng.random((n, 5)) < 0.1] = np.nan
    codes = [rng.integers(-1, n_ids, n), rng.integers(0, 4, n)]
    return Features(
        numeric=numeric,
        categorical=np.stack(codes, axis=1).astype(np.int32),
        numeric_names=tuple("abcde"),
        categorical_names=("influencer_id", "season"),
        numeric_sources=("I", "I", "H", "H", "M"),
        categorical_sources=("I", "M"),
        categories=(
            np.array(sorted(f"u{i}" for i in range(n_ids + 10))),
            np.array(["a", "b", "c", "d"]),
        ),
    )


def outcomes(features: Features, seed: int = 0, noise: float = 0.3) -> np.ndarray:
    """Outcomes with an interaction of sources, an effect of ids, and noise that varies with b."""
    rng = np.random.default_rng(seed)
    effect = np.random.default_rng(99).normal(size=41)
    a, b, c, d, e = np.nan_to_num(features.numeric.astype(float)).T
    clean = np.sin(2 * a) + c * a + 0.5 * d + e + effect[features.categorical[:, 0]]
    return clean + noise * np.exp(0.7 * b) * rng.normal(size=len(features))


def permuted(features: Features, sources: str, seed: int = 0) -> Features:
    """The columns of these sources in another order of rows."""
    order = np.random.default_rng(seed).permutation(len(features))
    away = np.isin(features.numeric_sources, list(sources))
    numeric = np.where(away, features.numeric[order], features.numeric)
    away = np.isin(features.categorical_sources, list(sources))
    categorical = np.where(away, features.categorical[order], features.categorical)
    return replace(features, numeric=numeric, categorical=categorical)


def design(features: Features) -> np.ndarray:
    """Numbers of a linear model; missing ones are 0."""
    hot = [features.categorical == code for code in range(-1, 40)]
    return np.column_stack([np.nan_to_num(features.numeric), *hot]).astype(float)


@dataclass(frozen=True)
class RidgeNetwork:
    """A linear model that speaks as the network does, and keeps a record of its fits."""

    epochs: int = 20
    record: list | None = None

    def fit(
        self,
        features: Features,
        target: np.ndarray,
        *,
        key: Array,
        validation: object = 0.15,
        progress: bool = True,
        room: int = 0,
    ) -> FittedRidge:
        matrix = design(features)
        gram = matrix.T @ matrix + np.eye(matrix.shape[1])
        middle = float(np.mean(target))
        slope = np.linalg.solve(gram, matrix.T @ (target - middle))
        std = float(np.std(target - middle - matrix @ slope)) + 1e-3
        if self.record is not None:
            self.record.append((features, np.asarray(target), self.epochs, validation))
        return FittedRidge(middle, slope, std, np.array([[1, 3.0], [1, 1.0], [1, 2.0]]))


@dataclass(frozen=True, eq=False)
class FittedRidge:
    middle: float
    slope: np.ndarray
    std: float
    history: np.ndarray

    def predict(self, features: Features, *, parts: bool = True) -> Prediction:
        mean = self.middle + design(features) @ self.slope
        spread = np.array([[-0.1], [0.1]])
        return Prediction(mean, np.full(len(mean), self.std), mean + spread)
