"""The network to fit: three towers of one source each, or one over all columns."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcampaign.effectiveness.features import SOURCES, Features
from jaxcampaign.effectiveness.network.buckets import bucket, pad_rows
from jaxcampaign.effectiveness.network.categories import (
    CategoryRows,
    embedding_rows,
    fit_categories,
)
from jaxcampaign.effectiveness.network.checkpoints import Checkpoints, fingerprint
from jaxcampaign.effectiveness.network.fitted import FittedNetwork, chunks
from jaxcampaign.effectiveness.network.forward import blank_constants, tower_contributions
from jaxcampaign.effectiveness.network.losses import Link
from jaxcampaign.effectiveness.network.numeric import NumericEncoding, fit_numeric
from jaxcampaign.effectiveness.network.towers import TowerPlan
from jaxcampaign.effectiveness.network.training import (
    Recipe,
    Rows,
    TrainState,
    batch_size,
    default_epochs,
    initial_state,
    train,
)
from jaxcampaign.errors import InputError

_HELD_SHARE = 0.15  # of the rows of a table that room is made for, to validate on
_ID_LIKE = 16  # categories; columns with more are ids, whose newcomers must be expected


@dataclass(frozen=True)
class TowerNetwork:
    """A network for mean and deviation; settings only, `fit` does the work.

    With `additive`, the link of the mean is `b + g_I + g_H + g_M`, one tower a source. Without,
    one tower sees all columns: more accurate where sources interact, less explained.
    """

    link: Link = "identity"  # "log" for counts and other targets that are never negative
    power: float = 1.5  # log link: the variance grows as mean^power; 1 Poisson, 2 gamma
    additive: bool = True
    members: int = 8  # of the packed ensemble; 32 where a GPU is at hand
    width: int = 64
    depth: int = 2  # hidden layers of a tower
    n_bins: int = 16  # of the piecewise-linear encoding
    embedding: int = 16  # widest embedding of a categorical column
    dropout: float = 0.05  # more blurs the deviations where there is little noise
    id_dropout: float = 0.1  # chance that training hides an id; a fifth of it for few categories
    epochs: int | None = None  # at most; by default 60, fewer beyond 50,000 rows, but 8
    patience: int = 12  # epochs without a better score before it stops; at most a third of all
    batch: int | None = None  # rows of a minibatch; by default 1/32 of all, within 32..256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    max_gradient: float = 1.0  # norm at which gradients are clipped
    warmup: float = 0.05  # share of the steps in which the learning rate rises

    def __post_init__(self):
        whole = ("members", "width", "depth", "n_bins", "embedding", "patience")
        for name in whole:
            _require(name, getattr(self, name), getattr(self, name) >= 1, "a number from 1 on")
        for name in ("learning_rate", "max_gradient"):
            _require(name, getattr(self, name), getattr(self, name) > 0, "a positive number")
        for name in ("dropout", "id_dropout", "warmup"):
            _require(name, getattr(self, name), 0 <= getattr(self, name) < 1, "within [0, 1)")
        _require("link", self.link, self.link in ("identity", "log"), "identity or log")
        _require("power", self.power, 1 <= self.power <= 2, "within 1 to 2")
        _require("weight_decay", self.weight_decay, self.weight_decay >= 0, "not negative")
        _require(
            "epochs", self.epochs, self.epochs is None or self.epochs >= 1, "a number from 1 on"
        )
        _require("batch", self.batch, self.batch is None or self.batch >= 1, "a number from 1 on")

    def fit(
        self,
        features: Features,
        target: np.ndarray,
        *,
        key: Array,
        validation: tuple[Features, np.ndarray] | float = 0.15,
        weight: np.ndarray | None = None,
        progress: bool = True,
        checkpoint: str | os.PathLike[str] | Checkpoints | None = None,
        room: int = 0,
    ) -> FittedNetwork:
        """Train on N rows.

        Args:
          features: N rows; in order of time if a share of them is to be the validation.
          target: float[N], in natural units.
          key: consumed.
          validation: rows for early stopping: features and target, or the share of the given rows
            to take from the end. With 0, all epochs are run and the last parameters kept.
          weight: float[N], not negative, of the rows' errors.
          progress: show a bar where somebody watches.
          checkpoint: a folder to save to and, when it holds an interrupted training of the same
            network, rows and key, to resume from. The result is the same to the last bit.
          room: rows to lay out for, at least: fits of parts of one table, given the length of the
            table, share compiled code and the size of minibatches.

        Raises:
          InputError: no rows or columns, targets that are missing, or negative under a log link.
        """
        target = _checked_target(features, target, self.link)
        weight = _checked_weight(weight, len(target))
        if isinstance(validation, tuple):
            held, held_target = validation
            held_target = _checked_target(held, held_target, self.link)
            held_weight = np.ones(len(held_target))
        else:
            _require("validation", validation, 0 <= validation < 1, "a share within [0, 1)")
            cut = len(target) - int(validation * len(target))
            held, held_target, held_weight = (
                features.take(slice(cut, None)),
                target[cut:],
                weight[cut:],
            )
            features, target, weight = features.take(slice(cut)), target[:cut], weight[:cut]

        plan, numeric, categories = self._fit_columns(features)
        location, scale = _standard(target, weight, self.link)
        padded = bucket(len(target))
        laid_out = max(padded, bucket(room))
        recipe = self._recipe(laid_out)
        size = max(laid_out, recipe.batch)
        rows = _rows(features, (target - location) / scale, weight, categories, size)
        standard = (held_target - location) / scale
        held_size = max(bucket(len(held)), bucket(math.ceil(_HELD_SHARE * room)))
        held_rows = _rows(held, standard, held_weight, categories, held_size)

        start_key, train_key = jax.random.split(key)
        epochs = self.epochs or default_epochs(padded)
        state = initial_state(plan, recipe, epochs, start_key)
        save: Callable[[TrainState], None] = _no_save
        if checkpoint is not None:
            store = checkpoint if isinstance(checkpoint, Checkpoints) else Checkpoints(checkpoint)
            mark = fingerprint(
                plan, (recipe, self.patience), (rows, held_rows), jax.random.key_data(key)
            )
            state = store.resume(state, mark)
            save = store.saver(mark, epochs)
        state = train(
            plan,
            recipe,
            state,
            numeric,
            rows,
            len(target),
            held_rows,
            train_key,
            patience=min(self.patience, max(epochs // 3, 3)),
            after_epoch=save,
            show=progress,
        )
        fitted = FittedNetwork(
            model=self,
            columns=features.take(slice(0, 0)),
            plan=plan,
            parameters=state.best,
            constants=blank_constants(plan, [len(c) for c in features.categories])._replace(
                numeric=numeric,
                categories=categories,
                location=jnp.asarray(location, jnp.float32),
                scale=jnp.asarray(scale, jnp.float32),
            ),
            history=np.asarray(state.history)[: int(state.epoch)],
        )
        fitted = _centred(fitted, features, weight)
        if self.link == "log":
            fitted = _balanced(
                fitted, [(features, target, weight), (held, held_target, held_weight)]
            )
        return fitted

    def _recipe(self, n_rows: int) -> Recipe:
        return Recipe(
            link=self.link,
            power=float(self.power),
            batch=self.batch or batch_size(n_rows),
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            max_gradient=self.max_gradient,
            warmup=self.warmup,
        )

    def _fit_columns(self, features: Features) -> tuple[TowerPlan, NumericEncoding, CategoryRows]:
        n_codes = np.array([len(c) for c in features.categories], np.int64)
        categories = fit_categories(features.categorical, n_codes)
        return self.plan(features), fit_numeric(features.numeric, self.n_bins), categories

    def plan(self, columns: Features) -> TowerPlan:
        """Sizes of the network for these columns; the same for all parts of one table."""
        known = np.array([len(c) for c in columns.categories], float)
        sizes = np.minimum(self.embedding, np.ceil(1.6 * np.maximum(known, 1) ** 0.56))
        dropped = np.where(known > _ID_LIKE, self.id_dropout, self.id_dropout / 5)
        return TowerPlan(
            numeric=_by_source(columns.numeric_sources),
            categorical=_by_source(columns.categorical_sources),
            n_rows=tuple(bucket(int(n) + 1, minimum=4) for n in known),
            sizes=tuple(int(size) for size in sizes),
            dropped=tuple(float(chance) for chance in dropped),
            n_bins=self.n_bins,
            members=self.members,
            width=self.width,
            depth=self.depth,
            dropout=self.dropout,
            additive=self.additive,
        )


def _centred(fitted: FittedNetwork, features: Features, weight: np.ndarray) -> FittedNetwork:
    """With the training means of contributions and blocks, summed in float64."""
    total = weight.sum()
    centre = np.zeros(fitted.constants.centre.shape)
    sums: list[np.ndarray] | None = None
    for part, numeric, categorical in chunks(features):
        contributions, _, blocks = tower_contributions(
            fitted.plan, fitted.parameters, fitted.constants, numeric, categorical
        )
        share = pad_rows(weight[part] / total, len(numeric))
        centre += np.einsum("gnk,n->gk", np.asarray(contributions, np.float64), share)
        if not fitted.plan.additive:
            means = [share @ np.asarray(block, np.float64) for block in blocks]
            sums = means if sums is None else list(map(np.add, sums, means))
    constants = fitted.constants
    if sums is not None:
        constants = constants._replace(reference=[jnp.asarray(mean, jnp.float32) for mean in sums])
    return fitted.replaced(constants._replace(centre=jnp.asarray(centre, jnp.float32)))


def _balanced(
    fitted: FittedNetwork, samples: list[tuple[Features, np.ndarray, np.ndarray]]
) -> FittedNetwork:
    """With intercepts such that each member predicts the observed total of all rows it has seen.

    A likelihood with a log link does so by itself at its optimum, where early stopping never is.
    """
    predicted = np.zeros(fitted.plan.members)
    observed = 0.0
    for features, target, weight in samples:
        if len(target):
            predicted += fitted.predict(features, parts=False).members @ weight
            observed += float(target @ weight)
    shift = np.log(observed / predicted) if observed > 0 else np.zeros_like(predicted)
    return fitted.replaced(fitted.constants._replace(shift=jnp.asarray(shift, jnp.float32)))


def _rows(
    features: Features, target: np.ndarray, weight: np.ndarray, rows: CategoryRows, size: int
) -> Rows:
    found = embedding_rows(rows, jnp.asarray(features.categorical))
    return Rows(
        numeric=jnp.asarray(pad_rows(features.numeric, size)),
        embedding_rows=jnp.asarray(pad_rows(np.asarray(found), size)),
        target=jnp.asarray(pad_rows(target.astype(np.float32), size)),
        weight=jnp.asarray(pad_rows(weight.astype(np.float32), size)),
    )


def _standard(target: np.ndarray, weight: np.ndarray, link: Link) -> tuple[float, float]:
    """Location and scale of the target: mean and deviation, or 0 and the mean for a log link."""
    mean = float(np.average(target, weights=weight))
    if link == "log":
        return 0.0, mean if mean > 0 else 1.0
    deviation = float(np.sqrt(np.average((target - mean) ** 2, weights=weight)))
    return mean, deviation if deviation > 1e-9 * max(abs(mean), 1e-30) else 1.0


def _by_source(sources: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(i for i, s in enumerate(sources) if s == source) for source in SOURCES)


def _checked_target(features: Features, target: np.ndarray, link: Link) -> np.ndarray:
    target = np.asarray(target, np.float64)
    if not len(features):
        raise InputError("there are no rows to learn from", table="features")
    if not features.numeric_names and not features.categorical_names:
        raise InputError("there are no columns to learn from", table="features")
    if target.shape != (len(features),):
        raise InputError(
            f"shape {target.shape} does not fit {len(features)} rows of features", table="target"
        )
    bad = np.flatnonzero(~np.isfinite(target) | ((target < 0) if link == "log" else False))
    if bad.size:
        problem = "a target is missing, infinite" + (" or negative" * (link == "log"))
        remedy = "leave out rows without outcome"
        if link == "log" and np.isfinite(target[bad]).all():
            remedy = 'use link="identity" for targets below zero'
        raise InputError(
            problem, table="target", rows=bad.tolist(), value=float(target[bad[0]]), remedy=remedy
        )
    return target


def _checked_weight(weight: np.ndarray | None, n_rows: int) -> np.ndarray:
    if weight is None:
        return np.ones(n_rows)
    weight = np.asarray(weight, np.float64)
    if weight.shape != (n_rows,):
        raise InputError(f"shape {weight.shape} does not fit {n_rows} rows", table="weight")
    if (bad := np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))).size:
        raise InputError(
            "a weight is missing, infinite or negative",
            table="weight",
            rows=bad.tolist(),
            value=float(weight[bad[0]]),
        )
    if not weight.sum() > 0:
        raise InputError("all weights are zero", table="weight")
    return weight


def _require(name: str, value: object, holds: bool, what: str) -> None:
    if not holds:
        raise InputError(f"must be {what}", table="TowerNetwork", column=name, value=value)


def _no_save(state: TrainState) -> None:
    """No checkpoint was asked for."""
