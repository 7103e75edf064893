"""Settings of a hybrid as JSON values, so that a model from disk can be fitted again."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from jaxcampaign.effectiveness.hybrid.fit import Hybrid
from jaxcampaign.effectiveness.network.tower_network import TowerNetwork
from jaxcampaign.effectiveness.trees.extra_boosters import CatBoost, XGBoost
from jaxcampaign.effectiveness.trees.lightgbm import LightGBM
from jaxcampaign.effectiveness.trees.tuning import BestOf

_KINDS = {
    kind.__name__: kind for kind in (Hybrid, TowerNetwork, BestOf, LightGBM, XGBoost, CatBoost)
}
_KIND = "kind"


def settings_record(hybrid: Hybrid) -> dict[str, Any] | None:
    """The settings as JSON has them; None if a part of them is of a kind from elsewhere."""
    try:
        return _told(hybrid)
    except TypeError:
        return None


def settings_from_record(record: dict[str, Any]) -> Hybrid:
    """What `settings_record` told.

    Raises:
      KeyError: a kind that is not known here.
      TypeError: a setting that is not known here.
    """
    found = _read(record)
    if not isinstance(found, Hybrid):
        raise TypeError("these are no settings of a hybrid")
    return found


def _told(value: Any) -> Any:
    if _KINDS.get(type(value).__name__) is type(value):
        own = {field.name: _told(getattr(value, field.name)) for field in fields(value)}
        return {_KIND: type(value).__name__, **own}
    if isinstance(value, tuple | list):
        return [_told(each) for each in value]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"settings of {type(value).__name__} cannot be kept")


def _read(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_read, value))
    if isinstance(value, dict):
        own = dict(value)
        return _KINDS[own.pop(_KIND)](**{name: _read(each) for name, each in own.items()})
    return value
