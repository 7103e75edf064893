"""A fitted network as arrays, texts and a manifest, and back."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcampaign.effectiveness.features import Features
from jaxcampaign.effectiveness.network.fitted import FittedNetwork
from jaxcampaign.effectiveness.network.forward import blank_constants
from jaxcampaign.effectiveness.network.tower_network import TowerNetwork
from jaxcampaign.effectiveness.network.towers import TowerPlan, parameter_shapes
from jaxcampaign.effectiveness.store import StoredModel, read_model, write_model
from jaxcampaign.errors import InputError


def network_store(fitted: FittedNetwork, prefix: str = "network") -> StoredModel:
    """The network as a part of a stored model; names start with the prefix."""
    columns = fitted.columns
    text = json.dumps(
        {
            "numeric_names": columns.numeric_names,
            "categorical_names": columns.categorical_names,
            "numeric_sources": columns.numeric_sources,
            "categorical_sources": columns.categorical_sources,
            "categories": [values.tolist() for values in columns.categories],
        },
        ensure_ascii=False,
    )
    return StoredModel(
        arrays=_named(prefix, (fitted.parameters, fitted.constants, fitted.history)),
        texts={f"{prefix}-columns.json": text},
        manifest={prefix: {"settings": asdict(fitted.model), "plan": asdict(fitted.plan)}},
    )


def network_from_store(stored: StoredModel, prefix: str = "network") -> FittedNetwork:
    """The network that `network_store` put into a stored model.

    Raises:
      InputError: the model lacks it, or arrays have other shapes than its settings ask for.
    """
    try:
        record = stored.manifest[prefix]
        model = TowerNetwork(**record["settings"])
        plan = TowerPlan(**{name: _hashable(value) for name, value in record["plan"].items()})
        told = json.loads(stored.texts[f"{prefix}-columns.json"])
    except (KeyError, TypeError, ValueError) as problem:
        raise InputError(
            f"the model holds no network that this version can read ({problem})", table="model"
        ) from problem
    columns = Features(
        numeric=np.zeros((0, len(told["numeric_names"])), np.float32),
        categorical=np.zeros((0, len(told["categorical_names"])), np.int32),
        categories=tuple(np.array(values, np.str_) for values in told.pop("categories")),
        **{name: tuple(values) for name, values in told.items()},
    )
    n_codes = [len(values) for values in columns.categories]
    parameters = parameter_shapes(plan)
    constants = blank_constants(plan, n_codes)
    epochs = stored.arrays.get(f"{prefix}.2", np.zeros((0, 2), np.float32))
    template = (parameters, constants, epochs)
    leaves = []
    for name, expected in _named(prefix, template).items():
        found = stored.arrays.get(name)
        if found is None or found.shape != expected.shape or found.dtype != expected.dtype:
            raise InputError(
                "an array is missing or has another shape than the network asks for",
                table="model",
                column=name,
                value=None if found is None else found.shape,
                remedy=f"expected {expected.shape}",
            )
        leaves.append(jnp.asarray(found))
    parameters, constants, history = jax.tree.unflatten(jax.tree.structure(template), leaves)
    return FittedNetwork(
        model=model,
        columns=columns,
        plan=plan,
        parameters=parameters,
        constants=constants,
        history=np.asarray(history),
    )


def save_network(fitted: FittedNetwork, folder: str | os.PathLike[str]) -> None:
    """Write the network to a folder, whole or not at all."""
    stored = network_store(fitted)
    write_model(folder, stored.arrays, stored.texts, stored.manifest)


def load_network(folder: str | os.PathLike[str]) -> FittedNetwork:
    """The network of a folder; it predicts the same bits on the same device.

    Raises:
      InputError: see `read_model` and `network_from_store`.
    """
    return network_from_store(read_model(folder))


def _named(prefix: str, tree: Any) -> dict[str, Any]:
    found = jax.tree_util.tree_leaves_with_path(tree)
    return {
        f"{prefix}.{jax.tree_util.keystr(path, simple=True, separator='.')}": leaf
        for path, leaf in found
    }


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, (list, tuple)) else value
