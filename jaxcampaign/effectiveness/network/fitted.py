"""A trained network: predictions, their parts, and a pure function for gradients."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from jaxcampaign.effectiveness.features import SOURCES, Features, Source
from jaxcampaign.effectiveness.network.buckets import pad_rows
from jaxcampaign.effectiveness.network.forward import (
    Constants,
    Outcome,
    first_products,
    outcome_of_towers,
    outputs_of_products,
    predict_moments,
    predict_rows,
    tower_outputs,
)
from jaxcampaign.effectiveness.network.towers import TowerPlan
from jaxcampaign.effectiveness.prediction import Prediction
from jaxcampaign.effectiveness.shapley import COALITIONS, shapley_split
from jaxcampaign.effectiveness.sharing import Shared, distinct_codes
from jaxcampaign.errors import InputError

if TYPE_CHECKING:
    from jaxcampaign.effectiveness.network.tower_network import TowerNetwork

_FEW_ROWS = 64  # of a pass over a short table
BATCH = 2048  # rows of a pass: the hidden units of all members then stay near the cores
_WORKERS = 8
_MANY_ROWS = 4096  # from here on, distinct rows are worth looking for
_JOINED_ROWS = 8192  # of a pass that adds up what the towers say


@dataclass(frozen=True, eq=False)
class FittedNetwork:
    """What `TowerNetwork.fit` returns."""

    model: TowerNetwork
    columns: Features  # 0 rows; names, sources and categories that predictions must have
    plan: TowerPlan
    parameters: nnx.State
    constants: Constants
    history: np.ndarray  # f32[epochs, 2], mean training loss and validation score; NaN where none

    def predict(self, features: Features, *, batch: int = BATCH, parts: bool = True) -> Prediction:
        """Mean, deviation, members and parts of N rows.

        Args:
          features: with the columns and categories that the network was fitted on.
          batch: rows of a pass on the device.
          parts: split the mean by source, so that `mean = base + g_I + g_H + g_M`: the exact
            Shapley split, in which a source that takes no part is at its training mean. For a
            joint tower it costs eight further passes.

        Raises:
          InputError: other columns or categories than those of the fit.
        """
        check_columns(self.columns, features)
        shared = self.plan.additive and len(features) >= _MANY_ROWS
        outcomes = (self._joined if shared else self._passes)(features, batch, parts)
        if not outcomes:
            nothing = np.zeros(0)
            return Prediction(nothing, nothing, np.zeros((self.plan.members, 0)), base=self.base)
        mean, std, members, values, summands = (
            np.concatenate(arrays, axis=-1) for arrays in zip(*outcomes, strict=True)
        )
        told = Prediction(mean, std, members, base=self.base)
        if self.plan.additive:
            told = replace(told, summands=self._by_source(summands))
        if not parts:
            return told
        if len(values) == len(COALITIONS):
            values[0] = self.base
            values[-1] = mean
            return replace(told, parts=dict(zip(SOURCES, shapley_split(values), strict=True)))
        return replace(told, parts=self._by_source(values), mean=self.base + values.sum(axis=0))

    def _by_source(self, values: np.ndarray) -> dict[Source, np.ndarray]:
        """f64[G, N] of the towers by their source; zeros for sources without a tower."""
        split: dict[Source, np.ndarray] = {source: np.zeros(values.shape[1]) for source in SOURCES}
        return split | {SOURCES[s]: g for (s,), g in zip(self.plan.towers, values, strict=True)}

    def _passes(self, features: Features, batch: int, parts: bool) -> list[list[np.ndarray]]:
        """The outcomes of consecutive rows, in one pass each over all sources."""

        def outcome(chunk: tuple[slice, np.ndarray, np.ndarray]) -> list[np.ndarray]:
            part, numeric, categorical = chunk
            return _kept(self._outcome(numeric, categorical, parts), part)

        # One pass keeps one core busy: several passes at once use them all.
        with ThreadPoolExecutor(min(os.cpu_count() or 1, _WORKERS)) as pool:
            return list(pool.map(outcome, chunks(features, batch)))

    def _joined(self, features: Features, batch: int, parts: bool) -> list[list[np.ndarray]]:
        """The outcomes of consecutive rows, where each tower saw its distinct rows only."""
        link, power = self.model.link, float(self.model.power)
        shape = (self.plan.members, 2)
        numbers, found = [], []
        with ThreadPoolExecutor(min(os.cpu_count() or 1, _WORKERS)) as pool:
            for tower in range(len(self.plan.towers)):
                number, output = self._of_distinct(features, tower, batch, pool)
                numbers.append(number)
                found.append(output)

            def outcome(start: int) -> list[np.ndarray]:
                part = slice(start, min(start + _JOINED_ROWS, len(features)))
                gathered = np.zeros((len(found), _JOINED_ROWS, *shape), np.float32)
                for tower, (number, output) in enumerate(zip(numbers, found, strict=True)):
                    gathered[tower, : part.stop - start] = output[number[part]]
                told = outcome_of_towers(
                    self.plan, link, power, parts, self.parameters, self.constants, gathered
                )
                return _kept(told, part)

            return list(pool.map(outcome, range(0, len(features), _JOINED_ROWS)))

    def _of_distinct(
        self, features: Features, tower: int, batch: int, pool: ThreadPoolExecutor
    ) -> tuple[np.ndarray, np.ndarray]:
        """The number of each row among those distinct to a tower; its outputs f32[D, K, 2]."""
        (source,) = self.plan.towers[tower]
        shared = [g for g in features.shared if features.source_of(g.columns[0]) == SOURCES[source]]
        n_columns = len(self.plan.numeric[source]) + len(self.plan.categorical[source])
        fixed = (self.plan, tower, self.parameters)
        if sum(len(group.columns) for group in shared) < n_columns:  # some column has many values
            output = np.empty((len(features), self.plan.members, 2), np.float32)

            def fill(chunk: tuple[slice, np.ndarray, np.ndarray]) -> None:
                part, *columns = chunk
                told = tower_outputs(*fixed, self.constants, *columns)
                output[part] = np.asarray(told)[: part.stop - part.start]

            list(pool.map(fill, chunks(features, batch)))
            return np.arange(len(features)), output

        def products(group: Shared) -> np.ndarray:
            used = np.zeros(features.numeric.shape[1] + features.categorical.shape[1], bool)
            used[[c if c >= 0 else features.numeric.shape[1] + ~c for c in group.columns]] = True

            def part_of(chunk: tuple[slice, np.ndarray, np.ndarray]) -> np.ndarray:
                part, *columns = chunk
                told = first_products(*fixed, self.constants, *columns, used)
                return np.asarray(told)[: part.stop - part.start]

            return np.concatenate(list(pool.map(part_of, chunks(features.take(group.first)))))

        number, first = distinct_codes([g.row for g in shared], [len(g.first) for g in shared])
        summands = [(group.row[first], products(group)) for group in shared]
        output = np.empty((len(first), self.plan.members, 2), np.float32)

        def add_up(start: int) -> None:
            part = slice(start, min(start + batch, len(first)))
            total = sum(values[row[part]] for row, values in summands)
            told = outputs_of_products(*fixed, pad_rows(total, batch))
            output[part] = np.asarray(told)[: part.stop - part.start]

        list(pool.map(add_up, range(0, len(first), batch)))
        return number, output

    @property
    def _intercept(self) -> float:
        """Mean intercept of the link, with the means of the towers."""
        own = np.asarray(self.parameters["intercept"][...], np.float64)[:, 0]
        shifted = (
            own + np.asarray(self.constants.shift) + np.asarray(self.constants.centre).sum(axis=0)
        )
        if self.model.link == "log":
            return float(shifted.mean() + np.log(float(self.constants.scale)))
        return float(self.constants.location) + float(self.constants.scale) * float(shifted.mean())

    def predict_fn(
        self, parameters: nnx.State, numeric: Array, categorical: Array
    ) -> tuple[Array, Array]:
        """Mean and deviation as a pure function, for `jit`, `vmap` and `grad`.

        Args:
          parameters: like `self.parameters`.
          numeric: f32[..., F], NaN where missing.
          categorical: i32[..., C], -1 where unknown.

        Returns:
          f32[...] each, in natural units.
        """
        mean, std, _ = predict_moments(
            self.plan,
            self.model.link,
            float(self.model.power),
            parameters,
            self.constants,
            jnp.asarray(numeric),
            jnp.asarray(categorical),
        )
        return mean, std

    @cached_property
    def base(self) -> float:
        """The prediction when every source is at its training mean."""
        if self.plan.additive and self.model.link == "identity":
            return self._intercept
        nothing = self.columns
        numeric = np.zeros((1, len(nothing.numeric_names)), np.float32)
        categorical = np.full((1, len(nothing.categorical_names)), -1, np.int32)
        return float(self._outcome(numeric, categorical, True).values[0, 0])

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the network to a folder, whole or not at all; see `network_store`."""
        from jaxcampaign.effectiveness.network.store import save_network

        save_network(self, folder)

    @staticmethod
    def load(folder: str | os.PathLike[str]) -> FittedNetwork:
        """The network of a folder; it predicts the same bits on the same device."""
        from jaxcampaign.effectiveness.network.store import load_network

        return load_network(folder)

    def replaced(self, constants: Constants) -> FittedNetwork:
        """The same network with other constants."""
        return replace(self, constants=constants)

    def _outcome(self, numeric: np.ndarray, categorical: np.ndarray, parts: bool) -> Outcome:
        link, power = self.model.link, float(self.model.power)
        return predict_rows(
            self.plan, link, power, parts, self.parameters, self.constants, numeric, categorical
        )


def _kept(outcome: Outcome, part: slice) -> list[np.ndarray]:
    """The outcome of the rows of a pass, without those that pad it."""
    return [np.asarray(a)[..., : part.stop - part.start].astype(np.float64) for a in outcome]


def chunks(
    features: Features, batch: int = BATCH
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """The rows in passes of equal size: where they stand, their numbers, their categories.

    The last pass is padded, a short table to one of few sizes, so that compiled code is used again.
    """
    n = len(features)
    size = min(batch, _FEW_ROWS) if n <= _FEW_ROWS else batch
    for start in range(0, n, size):
        part = slice(start, min(start + size, n))
        yield (
            part,
            pad_rows(features.numeric[part], size),
            pad_rows(features.categorical[part], size),
        )


def check_columns(fitted: Features, given: Features) -> None:
    """Refuse features whose columns, sources or categories are not those of the fit."""
    for kind in ("numeric", "categorical"):
        names = f"{kind}_names"
        if getattr(fitted, names) != getattr(given, names):
            different = set(getattr(fitted, names)) ^ set(getattr(given, names))
            raise InputError(
                f"the {kind} columns are not those that the model was fitted on",
                table="features",
                column=", ".join(sorted(different)) or "(their order)",
                remedy="build both with the same options",
            )
    sources = ("numeric_sources", "categorical_sources")
    if any(getattr(fitted, name) != getattr(given, name) for name in sources):
        raise InputError("a column has another source than in the fit", table="features")
    for name, old, new in zip(
        fitted.categorical_names, fitted.categories, given.categories, strict=True
    ):
        if old is not new and not np.array_equal(old, new):
            raise InputError(
                "the categories are not those that the model was fitted on",
                table="features",
                column=name,
                remedy="build the features with like= those of the fit",
            )
