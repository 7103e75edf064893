"""From a campaign database to predictions of what posts will bring, and back from disk."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from jaxcampaign.effectiveness.assessment.reviews import Review, review
from jaxcampaign.effectiveness.features import Features
from jaxcampaign.effectiveness.hybrid.fit import Hybrid
from jaxcampaign.effectiveness.hybrid.fitted import FittedHybrid
from jaxcampaign.effectiveness.hybrid.settings import settings_from_record, settings_record
from jaxcampaign.effectiveness.hybrid.store import hybrid_from_store, save_hybrid
from jaxcampaign.effectiveness.network.tower_network import TowerNetwork
from jaxcampaign.effectiveness.outlook import Effectiveness
from jaxcampaign.effectiveness.posts.attributes import undated_columns
from jaxcampaign.effectiveness.posts.build import build_features
from jaxcampaign.effectiveness.posts.conditions import timestamp
from jaxcampaign.effectiveness.posts.splits import time_splits
from jaxcampaign.effectiveness.store import read_model
from jaxcampaign.effectiveness.trees.boosting import Objective
from jaxcampaign.effectiveness.trees.tuning import lightgbm_candidates
from jaxcampaign.errors import InputError
from jaxcampaign.tables import Database

_ID = "influencer_id"
_LEVEL = 0.9
_MANY_ROWS = 100_000


def default_hybrid(*, count: bool = False, additive: bool = True, n_rows: int = 0) -> Hybrid:
    """The recommended model: three towers and boosted trees on their out-of-fold outputs.

    Args:
      count: outcomes are counts, or other numbers from 0 on with a heavy tail: log links.
      additive: the trees, like the towers, see one source each, so that the link of the mean is
        exactly base + g_I + g_H + g_M, and parts cost nothing. Otherwise trees mix sources, and
        parts are a Shapley split that takes some 50 evaluations.
      n_rows: posts to learn from; of many, trees learn twice as fast in half the rounds.
    """
    objective: Objective = "tweedie" if count else "squared"
    faster = 2.0 if n_rows >= _MANY_ROWS else 1.0
    trees = lightgbm_candidates(objective, additive=additive, faster=faster)
    return Hybrid(TowerNetwork(link="log" if count else "identity"), trees, ids=(_ID,))


@dataclass(frozen=True)
class EffectivenessModel:
    """What a post will bring, learned from influencer, historical and market data.

    Settings only; `fit` does the work.

    Attributes:
      target: the outcome column of history that is predicted.
      count: outcomes are counts, or other numbers from 0 on with a heavy tail, such as impressions:
        log links, and history in logarithms. Predictions are in natural units either way.
      hybrid: the model; `default_hybrid(count=count)` by default.
      half_life_days: age at which a past outcome counts half in recent rates.
      level: probability of the intervals.
    """

    target: str
    count: bool = False
    hybrid: Hybrid | None = None
    half_life_days: float = 45.0
    level: float = _LEVEL

    def fit(
        self,
        data: Database,
        *,
        until: pd.Timestamp | str | None = None,
        key: jax.Array | None = None,
        show: bool = True,
    ) -> FittedModel:
        """Learn from the posts of history whose outcome was known before a cut-off.

        Attributes of influencers without as_of, those of events, and overlaps without as_of are
        taken as they stand today, for posts of the past too. `review` names such columns.

        Args:
          data: the database, with history.
          until: planning cut-off (a naive time is UTC); after everything that is known by default.
          key: source of randomness, consumed; `jax.random.key(0)` by default.
          show: a progress bar, where somebody watches.

        Raises:
          InputError: no history, an unknown target, or too few rows to learn from.
        """
        rows = _posts(data, self.target)
        cut = _after(rows) if until is None else timestamp(until, "until")
        rows = rows[(rows["outcome_known_at"] < cut) & (rows["planned_at"] < cut)]
        key = jax.random.key(0) if key is None else key
        return self._fitted(data, rows, cut, key, show)

    def _fitted(
        self, data: Database, rows: pd.DataFrame, cut: pd.Timestamp, key: jax.Array, show: bool
    ) -> FittedModel:
        if rows.empty:
            raise InputError(
                "no outcome was known before the cut-off",
                table="history",
                column="outcome_known_at",
                value=str(cut),
                remedy="choose a later one",
            )
        rows = rows.sort_values(["planned_at", "posted_at", _ID], kind="stable", ignore_index=True)
        features = self._features(data, rows)
        key, kept = jax.random.split(key)
        hybrid = self.hybrid or default_hybrid(count=self.count, n_rows=len(rows))
        fitted = hybrid.fit(
            features,
            rows[self.target].to_numpy(np.float64),
            key=key,
            time=rows["planned_at"],
            known_at=rows["outcome_known_at"],
            show=show,
        )
        return FittedModel(self, fitted, features.take(slice(0)), cut, data, kept)

    def _features(
        self,
        data: Database,
        rows: pd.DataFrame,
        as_of: pd.Timestamp | None = None,
        like: Features | None = None,
    ) -> Features:
        return build_features(
            data,
            rows,
            target=self.target,
            as_of=as_of,
            half_life_days=self.half_life_days,
            log_target=self.count,
            like=like,
        )


@dataclass(frozen=True, eq=False, repr=False)
class FittedModel:
    """What `EffectivenessModel.fit` returns.

    Attributes:
      model: the settings.
      hybrid: the fitted network, trees and calibration.
      columns: features without rows: names, sources and categories.
      until: the planning cut-off; nothing that became known later was learned from.
      data: the database that features of options are built from.
      key: source of randomness left for `review`.
      settings_kept: False for a model from a folder that does not tell the settings of its
        hybrid; it predicts, but there is nothing to review it by.
    """

    model: EffectivenessModel
    hybrid: FittedHybrid
    columns: Features
    until: pd.Timestamp
    data: Database
    key: jax.Array = field(repr=False)
    settings_kept: bool = True

    def __repr__(self) -> str:
        return f"FittedModel({self.model.target}, until {self.until:%Y-%m-%d})"

    def features(
        self, options: pd.DataFrame, *, as_of: pd.Timestamp | str | None = None
    ) -> Features:
        """Features of N options as of a planning cut-off, `until` by default."""
        cut = self.until if as_of is None else timestamp(as_of, "as_of")
        return self.model._features(self.data, options, cut, self.columns)

    def predict(
        self,
        options: pd.DataFrame,
        *,
        as_of: pd.Timestamp | str | None = None,
        parts: bool = True,
    ) -> Effectiveness:
        """Mean, deviation, interval, parts and members of N options.

        Args:
          options: as from `enumerate_options`.
          as_of: planning cut-off, `until` by default; what became known later is not looked at.
          parts: whether to split the mean by source, which takes longest; zeros without.

        Raises:
          InputError: unknown ids, or posts before the cut-off.
        """
        features = self.features(options, as_of=as_of)
        found = self.hybrid.predict(features, parts=parts)
        return Effectiveness.of(
            options.reset_index(drop=True),
            found,
            self.hybrid.interval(features, self.model.level, found),
            self.hybrid.cold(features),
            level=self.model.level,
            target=self.model.target,
        )

    def review(self, *, share: float = 0.2, show: bool = True) -> Review:
        """How well this kind of model predicts posts later than those it was fitted on.

        The last share of the posts, in order of planning, is held out; the model is fitted again
        on those whose outcomes were known before, and asked about the held-out ones as of when
        each was planned.

        Attributes that no as_of dates are the same before and after, see `build_features`; the
        review names the numeric ones.

        Raises:
          InputError: too few posts before or after, or the settings of the hybrid were not kept.
        """
        if not self.settings_kept:
            raise InputError(
                "the folder does not tell the settings of the hybrid, so no other can be fitted",
                table="model",
                remedy="fit the model again and review that one",
            )
        rows = _posts(self.data, self.model.target)
        rows = rows[(rows["outcome_known_at"] < self.until) & (rows["planned_at"] < self.until)]
        rows = rows.reset_index(drop=True)
        (split,) = time_splits(
            rows["planned_at"], rows["outcome_known_at"], n_splits=1, first=1 - share
        )
        held = rows.iloc[split.test]
        cut = held["planned_at"].min()
        key = jax.random.clone(self.key)  # every review is the same
        earlier = self.model._fitted(self.data, rows.iloc[split.train], cut, key, show)
        asked = self.model._features(self.data, held, like=earlier.columns)
        outcome = held[self.model.target].to_numpy(np.float64)
        found = review(earlier.hybrid, asked, outcome, target=self.model.target)
        return replace(found, undated=undated_columns(self.data))

    def importance(self) -> pd.DataFrame:
        """Feature, source and gain of the trees, largest first."""
        return self.hybrid.importance()

    @property
    def predict_fn(self) -> Any:
        """The network as a pure function `(parameters, numeric, categorical) -> (mean, std)`.

        Differentiable in parameters and numbers, for `jit`, `vmap` and `grad`; `parameters` are
        `hybrid.stack.network.parameters`, numbers and codes those of `features(options)`. Trees
        have no gradient and take no part.
        """
        return self.hybrid.stack.network.predict_fn

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the model to a folder, whole or not at all: safetensors, texts and checksums.

        Settings of networks and boosters from elsewhere are not kept; `review` then refuses.
        """
        settings: dict[str, Any] = {
            "target": self.model.target,
            "count": self.model.count,
            "half_life_days": self.model.half_life_days,
            "level": self.model.level,
            "until": self.until.isoformat(),
            "key": np.asarray(jax.random.key_data(jax.random.clone(self.key))).tolist(),
        }
        hybrid = self.model.hybrid
        record = None if hybrid is None else settings_record(hybrid)
        if self.settings_kept and (hybrid is None or record is not None):
            settings["hybrid"] = record  # null is the default; without an entry nobody knows
        save_hybrid(self.hybrid, folder, texts={_SETTINGS: json.dumps(settings)})

    @classmethod
    def load(cls, folder: str | os.PathLike[str], data: Database) -> FittedModel:
        """The model of a folder, for options of a database; it predicts the same bits.

        Raises:
          InputError: files that are missing, changed, or of another kind of model.
        """
        stored = read_model(folder)
        hybrid = hybrid_from_store(stored, folder)
        try:
            told = json.loads(stored.texts[_SETTINGS])
            until, key = pd.Timestamp(told.pop("until")), told.pop("key")
            kept, record = "hybrid" in told, told.pop("hybrid", None)
            own = None if record is None else settings_from_record(record)
            model = EffectivenessModel(**told, hybrid=own)
            raw = jax.random.wrap_key_data(jnp.asarray(key, jnp.uint32))
        except (KeyError, TypeError, ValueError) as problem:
            raise InputError(
                f"the folder holds no effectiveness model that this version can read ({problem})",
                table="model",
                value=str(Path(folder)),
                remedy="load a hybrid by load_hybrid",
            ) from problem
        return cls(model, hybrid, hybrid.background.take(slice(0)), until, data, raw, kept)


_SETTINGS = "effectiveness.json"


def _posts(data: Database, target: str) -> pd.DataFrame:
    """Rows of history with an outcome, priced by what was spent on them."""
    history = data.table("history", "learning what posts bring")
    if target not in data.outcomes:
        raise InputError(
            "no such outcome, or it is no number",
            table="history",
            column=target,
            remedy=f"choose from {', '.join(data.outcomes) or 'numeric columns'}",
        )
    return history[history[target].notna()]


def _after(rows: pd.DataFrame) -> pd.Timestamp:
    """A moment after everything that is known."""
    last = max(rows["outcome_known_at"].max(), rows["planned_at"].max())
    return last + pd.Timedelta(1, "s")
