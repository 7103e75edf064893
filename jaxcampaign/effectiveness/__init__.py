"""What a post will bring: options, point-in-time features, models of mean and deviation.

Models are imported on first use: Flax and LightGBM are slow to import.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from jaxcampaign.effectiveness.build import build_features
from jaxcampaign.effectiveness.features import SOURCES, Features, Source
from jaxcampaign.effectiveness.options import enumerate_options
from jaxcampaign.effectiveness.point_in_time import check_point_in_time
from jaxcampaign.effectiveness.prediction import Prediction
from jaxcampaign.effectiveness.splits import TimeSplit, time_splits

_MODULE_OF = {
    "Checkpoints": "checkpoints",
    "FittedNetwork": "fitted",
    "OverlapGraph": "graph",
    "TowerNetwork": "network",
    "light_gcn": "graph",
    "load_network": "network_store",
    "overlap_features": "graph",
    "read_model": "store",
    "write_model": "store",
}

__all__ = [
    "SOURCES",
    "Checkpoints",
    "Features",
    "FittedNetwork",
    "OverlapGraph",
    "Prediction",
    "Source",
    "TimeSplit",
    "TowerNetwork",
    "build_features",
    "check_point_in_time",
    "enumerate_options",
    "light_gcn",
    "load_network",
    "overlap_features",
    "read_model",
    "time_splits",
    "write_model",
]

if TYPE_CHECKING:
    from jaxcampaign.effectiveness.checkpoints import Checkpoints
    from jaxcampaign.effectiveness.fitted import FittedNetwork
    from jaxcampaign.effectiveness.graph import OverlapGraph, light_gcn, overlap_features
    from jaxcampaign.effectiveness.network import TowerNetwork
    from jaxcampaign.effectiveness.network_store import load_network
    from jaxcampaign.effectiveness.store import read_model, write_model


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
