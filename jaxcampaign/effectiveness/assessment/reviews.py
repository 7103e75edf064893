"""One look at how well a model fits rows that it was not fitted on."""

from __future__ import annotations

import html
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from jaxcampaign.effectiveness.assessment.metrics import (
    LEVELS,
    decile_table,
    gaussian_interval,
    pit_histogram,
    rmse,
    scores,
)
from jaxcampaign.effectiveness.features import SOURCES, Features, Source
from jaxcampaign.effectiveness.prediction import Prediction
from jaxcampaign.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_IMPORTANCE_ROWS = 2000
_FORMATS = {
    "n": "{:,.0f}",
    "rmse": "{:.4g}",
    "wmape": "{:.1%}",
    "r2": "{:.3f}",
    "sum_ratio": "{:.3f}",
    "nll": "{:.3f}",
    "crps": "{:.4g}",
    "z_rms": "{:.3f}",
    "sharpness": "{:.4g}",
    **{f"coverage_{100 * level:g}": "{:.1%}" for level in LEVELS},
}


class Predictor(Protocol):
    """A model that can be reviewed.

    If it also has `interval(features, level)` and `cold(features)`, as `FittedHybrid` has, these
    are used; otherwise intervals are Gaussian.
    """

    def predict(self, features: Features) -> Prediction:
        """Mean and deviation of N rows, with parts if the model gives any."""


@dataclass(frozen=True, eq=False, repr=False)
class Review:
    """How a model does on held-out rows.

    Attributes:
      scores: every score of `metrics.scores`, by group: all, and warm and cold where there are
        both.
      deciles: observed against predicted means, in ten groups by prediction.
      pit: share of the observations in each tenth of their predicted distribution.
      waterfall: from the base by source to the mean prediction of the highest decile, then what
        was observed there: columns step, value; None where the model gives no parts.
      importance: feature, source and rise, the growth of the RMSE when the column is shuffled.
      target: what is predicted, with units.
      sample: observed and predicted values of up to 2,000 rows.
      undated: columns taken as they stand today for posts of the past, as their tables have no
        as_of: if they rest on what came later, the scores are too good.
    """

    scores: dict[str, dict[str, float]]
    deciles: pd.DataFrame
    pit: np.ndarray
    waterfall: pd.DataFrame | None
    importance: pd.DataFrame
    target: str
    sample: pd.DataFrame
    undated: tuple[str, ...] = ()

    def table(self) -> pd.DataFrame:
        """One row per group, one column per score."""
        return pd.DataFrame.from_dict(self.scores, orient="index").rename_axis("rows")

    def figure(self) -> Figure:
        """Deciles, coverage, PIT, waterfall and importance on one page."""
        from jaxcampaign.effectiveness.assessment.review_figures import review_figure

        return review_figure(self)

    def __str__(self) -> str:
        shown = self._formatted().T.to_string()
        ratio = self.scores["all"]["sum_ratio"]
        told = f"{self.target} on held-out rows\n{shown}\npredicted / observed total: {ratio:.3f}"
        return "\n".join([told, *self._remarks()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from jaxcampaign.effectiveness.assessment.review_figures import embedded

        remarks = "".join(f"<p>{html.escape(remark)}</p>" for remark in self._remarks())
        return self._formatted().to_html() + remarks + embedded(self.figure())

    def _remarks(self) -> list[str]:
        if not self.undated:
            return []
        return [f"columns without as_of, taken as they are today: {', '.join(self.undated)}"]

    def _formatted(self) -> pd.DataFrame:
        table = self.table()
        text = {name: table[name].map(_FORMATS[name].format) for name in table}
        return pd.DataFrame(text)


def review(
    model: Predictor,
    features: Features,
    y: np.ndarray,
    *,
    cold: np.ndarray | None = None,
    target: str = "outcome",
    seed: int = 0,
) -> Review:
    """Review a model on held-out rows, which should be later than those it was fitted on.

    Args:
      model: fitted.
      features: N rows.
      y: f64[N] observed.
      cold: bool[N], rows with an id that was never learned from; by default what the model says.
      target: what is predicted, with units, for the figures.
      seed: of the shuffles behind the importance.

    Raises:
      InputError: no rows, or observations that do not fit them.
    """
    y = np.asarray(y, np.float64)
    if y.shape != (len(features),) or not len(y):
        raise InputError(f"{len(features)} rows but observations of shape {y.shape}", table="y")
    found = model.predict(features)
    intervals = _intervals(model, features, found)
    if cold is None and hasattr(model, "cold"):
        cold = model.cold(features)
    by_group = {"all": np.ones(len(y), bool)}
    if cold is not None and cold.any() and not cold.all():
        by_group |= {"warm": ~cold, "cold": np.asarray(cold, bool)}
    rows = np.random.default_rng(seed).permutation(len(y))[:_IMPORTANCE_ROWS]
    return Review(
        scores={
            name: scores(
                y[own],
                found.mean[own],
                found.std[own],
                intervals={k: (low[own], high[own]) for k, (low, high) in intervals.items()},
            )
            for name, own in by_group.items()
        },
        deciles=decile_table(y, found.mean),
        pit=pit_histogram(y, found.mean, found.std),
        waterfall=_waterfall(y, found) if found.parts else None,
        importance=permutation_importance(model, features.take(rows), y[rows], seed=seed),
        target=target,
        sample=pd.DataFrame({"observed": y[rows], "predicted": found.mean[rows]}),
    )


def permutation_importance(
    model: Predictor, features: Features, y: np.ndarray, *, seed: int = 0
) -> pd.DataFrame:
    """How much the RMSE grows when one column is shuffled (Breiman 2001), largest first.

    Returns:
      Columns feature, source, rise; in the units of y.
    """
    order = np.random.default_rng(seed).permutation(len(y))
    predict = _mean_of(model)
    before = rmse(y, predict(features))
    found: list[tuple[str, Source, float]] = []
    for kind in ("numeric", "categorical"):
        values = getattr(features, kind)
        names, sources = (getattr(features, f"{kind}_{what}") for what in ("names", "sources"))
        for column, (name, source) in enumerate(zip(names, sources, strict=True)):
            shuffled = values.copy()
            shuffled[:, column] = values[order, column]
            changed = replace(features, **{kind: shuffled})
            found.append((name, source, rmse(y, predict(changed)) - before))
    table = pd.DataFrame(found, columns=["feature", "source", "rise"])
    return table.sort_values("rise", ascending=False, kind="stable", ignore_index=True)


def _mean_of(model: Predictor) -> Any:
    """The mean of a model's prediction; without parts where the model can leave them out."""
    import inspect

    plain = "parts" in inspect.signature(model.predict).parameters
    options = {"parts": False} if plain else {}
    return lambda features: model.predict(features, **options).mean


def _intervals(
    model: Predictor, features: Features, found: Prediction
) -> dict[float, tuple[np.ndarray, np.ndarray]]:
    if hasattr(model, "interval"):
        return {level: model.interval(features, level) for level in LEVELS}
    return {level: gaussian_interval(found.mean, found.std, level) for level in LEVELS}


def _waterfall(y: np.ndarray, found: Prediction) -> pd.DataFrame:
    """Steps from the base to the mean prediction of the highest decile, and its mean outcome."""
    top = np.argsort(found.mean, kind="stable")[-max(len(y) // 10, 1) :]
    parts = [
        float(found.parts[source][top].mean()) if source in found.parts else 0.0
        for source in SOURCES
    ]
    values = [found.base, *parts, float(found.mean[top].mean()), float(y[top].mean())]
    return pd.DataFrame({"step": ["base", *SOURCES, "predicted", "observed"], "value": values})
