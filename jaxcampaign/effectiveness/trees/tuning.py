"""Which settings, and how many rounds: what predicts rows held back best."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from jaxcampaign.effectiveness.features import Features
from jaxcampaign.effectiveness.trees.boosting import Booster, FittedBooster, Objective
from jaxcampaign.effectiveness.trees.lightgbm import LightGBM
from jaxcampaign.errors import InputError

# Leaves, learning rate, rows of a leaf, and how much is needed to trust a split of categories.
_SETTINGS = (
    (8, 0.05, 20, 100.0),
    (31, 0.05, 20, 10.0),
    (31, 0.03, 60, 100.0),
    (127, 0.05, 20, 10.0),
)
_LEAST_MEAN = 1e-12


@dataclass(frozen=True)
class BestOf:
    """A booster that tries several settings and takes those that predict best.

    Attributes:
      candidates: boosters with one objective.
    """

    candidates: tuple[Booster, ...]

    def __post_init__(self):
        objectives = {booster.objective for booster in self.candidates}
        if len(objectives) != 1:
            raise InputError(
                "candidates must share an objective", table="booster", value=sorted(objectives)
            )

    @property
    def rounds(self) -> int:
        """The most trees."""
        return max(booster.rounds for booster in self.candidates)

    @property
    def additive(self) -> bool:
        """Whether each tree sees one source only."""
        return all(getattr(booster, "additive", False) for booster in self.candidates)

    @property
    def objective(self) -> Objective:
        """What is minimised."""
        return self.candidates[0].objective

    def fit(
        self,
        features: Features,
        y: np.ndarray,
        *,
        validation: tuple[Features, np.ndarray] | None = None,
        weight: np.ndarray | None = None,
        seed: int = 0,
    ) -> FittedBooster:
        """Grow the trees of the best settings; see `Booster.fit`.

        Without validation rows, the last sixth of the rows takes their part.
        """
        if validation is not None:
            best, _ = settled(self, features, y, validation=validation, weight=weight, seed=seed)
        else:
            cut = len(features) - last_sixth(len(features))
            early, late = features.take(slice(cut)), features.take(slice(cut, None))
            own = None if weight is None else weight[:cut]
            held = (late, y[cut:])
            best, _ = settled(self, early, y[:cut], validation=held, weight=own, seed=seed)
        return best.fit(features, y, weight=weight, seed=seed)


def lightgbm_candidates(
    objective: Objective = "squared",
    *,
    additive: bool = False,
    faster: float = 1.0,
    threads: int = 0,
) -> BestOf:
    """LightGBM with few to very many leaves, for small to large tables; half of them doubt ids.

    Args:
      objective: see `LightGBM`.
      additive: see `LightGBM`.
      faster: factor on the learning rates.
      threads: see `LightGBM`.
    """
    return BestOf(
        tuple(
            LightGBM(
                leaves=leaves,
                learning_rate=faster * rate,
                leaf_rows=rows,
                category_l2=doubt,
                category_smoothing=doubt,
                objective=objective,
                additive=additive,
                threads=threads,
            )
            for leaves, rate, rows, doubt in _SETTINGS
        )
    )


def settled(
    booster: Booster,
    features: Features,
    y: np.ndarray,
    *,
    validation: tuple[Features, np.ndarray],
    weight: np.ndarray | None = None,
    seed: int = 0,
    threads: int = 0,
) -> tuple[Booster, FittedBooster]:
    """The booster with the settings and the rounds that predict validation rows best.

    The arguments are those of `Booster.fit` and `limited`; a booster without candidates keeps its
    settings.

    Returns:
      The booster, and the trees that it grew on these rows.
    """
    candidates = booster.candidates if isinstance(booster, BestOf) else (booster,)
    held, truth = validation
    tried = []
    for candidate in candidates:
        grown = limited(candidate, threads).fit(
            features, y, validation=validation, weight=weight, seed=seed
        )
        cost = _cost(candidate.objective, truth, grown.predict(held))
        tried.append((cost, replace(candidate, rounds=max(grown.rounds, 1)), grown))
    _, booster, grown = min(tried, key=lambda found: found[0])
    return booster, grown


def last_sixth(n_rows: int) -> int:
    """How many of N rows, at their end, tell which settings to take and when to stop growing."""
    return max(n_rows // 6, 1)


def limited(booster: Booster, threads: int) -> Booster:
    """The booster on so many threads, if it would take all; 0 leaves it as it is."""
    if threads and getattr(booster, "threads", None) == 0:
        return replace(booster, threads=threads)
    return booster


def _cost(objective: Objective, y: np.ndarray, mean: np.ndarray) -> float:
    """Squared error, or under a log link the Poisson deviance, less what depends on y alone."""
    if objective == "squared":
        return float(np.mean((y - mean) ** 2))
    return float(np.mean(mean - y * np.log(np.maximum(mean, _LEAST_MEAN))))
