"""A fitted hybrid on disk: the network's arrays, the trees' text, a manifest with checksums."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from jaxcampaign.effectiveness.assessment.calibration import Calibration
from jaxcampaign.effectiveness.hybrid.fitted import FittedHybrid, SeenCodes, Stack
from jaxcampaign.effectiveness.network.store import network_from_store, network_store
from jaxcampaign.effectiveness.store import StoredModel, read_model, write_model
from jaxcampaign.effectiveness.trees.boosting import booster_from_text
from jaxcampaign.effectiveness.trees.spread import FittedSpread
from jaxcampaign.errors import InputError


def save_hybrid(
    fitted: FittedHybrid,
    folder: str | os.PathLike[str],
    *,
    texts: Mapping[str, str] | None = None,
) -> None:
    """Write a hybrid of a `TowerNetwork` to a folder, whole or not at all.

    Args:
      fitted: the hybrid.
      folder: where to.
      texts: further texts by file name, kept beside it.
    """
    stack, seen = fitted.stack, fitted.seen
    network = network_store(stack.network)
    arrays = {
        "hybrid.centre": np.asarray(fitted.centre, np.float64),
        "hybrid.background_numeric": fitted.background.numeric,
        "hybrid.background_categorical": fitted.background.categorical,
        **{f"hybrid.seen.{name}": mark for name, mark in zip(seen.ids, seen.seen, strict=True)},
    }
    own = {
        "hybrid-trees.json": stack.trees.to_text(),
        "hybrid-plain.json": stack.plain.to_text(),
        "hybrid-spread.json": stack.spread.trees.to_text(),
        "hybrid-calibration.json": fitted.calibration.to_json(),
    }
    record = {
        "ids": seen.ids,
        "weights": stack.weights.tolist(),
        "additive": stack.additive,
        "spread_scale": stack.spread.scale,
        "spread_range": stack.spread.range,
    }
    write_model(
        folder,
        {**network.arrays, **arrays},
        {**network.texts, **own, **(texts or {})},
        {**network.manifest, "hybrid": record},
    )


def load_hybrid(folder: str | os.PathLike[str]) -> FittedHybrid:
    """The hybrid of a folder; it predicts the same bits on the same device.

    Raises:
      InputError: see `read_model`; or the folder holds another kind of model.
    """
    return hybrid_from_store(read_model(folder), folder)


def hybrid_from_store(stored: StoredModel, folder: str | os.PathLike[str]) -> FittedHybrid:
    """The hybrid of a model that was read from a folder; see `load_hybrid`."""
    network = network_from_store(stored)
    try:
        record = stored.manifest["hybrid"]
        low, high = record["spread_range"]
        spread = FittedSpread(
            booster_from_text(stored.texts["hybrid-spread.json"]),
            record["spread_scale"],
            (low, high),
        )
        trees, plain = (
            booster_from_text(stored.texts[f"hybrid-{name}.json"]) for name in ("trees", "plain")
        )
        weights = np.array(record["weights"])
        ids = tuple(record["ids"])
        return FittedHybrid(
            stack=Stack(network, trees, plain, spread, weights, record["additive"]),
            calibration=Calibration.from_json(stored.texts["hybrid-calibration.json"]),
            seen=SeenCodes(ids, tuple(stored.arrays[f"hybrid.seen.{name}"] for name in ids)),
            background=replace(
                network.columns,
                numeric=stored.arrays["hybrid.background_numeric"],
                categorical=stored.arrays["hybrid.background_categorical"],
            ),
            centre=stored.arrays["hybrid.centre"],
        )
    except (KeyError, TypeError, ValueError) as problem:
        raise InputError(
            f"the model holds no hybrid that this version can read ({problem})",
            table="model",
            value=str(folder),
            remedy="load a network by load_network",
        ) from problem
