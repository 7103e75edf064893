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
    "Calibration": "calibration",
    "CatBoost": "extra_boosters",
    "Checkpoints": "checkpoints",
    "Effectiveness": "outlook",
    "EffectivenessModel": "model",
    "FittedHybrid": "fitted_hybrid",
    "FittedModel": "model",
    "FittedNetwork": "fitted",
    "Hybrid": "hybrid",
    "LightGBM": "lightgbm",
    "OverlapGraph": "graph",
    "Review": "reviews",
    "TowerNetwork": "network",
    "XGBoost": "extra_boosters",
    "booster_from_text": "boosting",
    "light_gcn": "graph",
    "load_hybrid": "hybrid_store",
    "load_network": "network_store",
    "overlap_features": "graph",
    "random_folds": "folds",
    "read_model": "store",
    "review": "reviews",
    "save_hybrid": "hybrid_store",
    "scores": "metrics",
    "write_model": "store",
}

__all__ = [
    "SOURCES",
    "Calibration",
    "CatBoost",
    "Checkpoints",
    "Effectiveness",
    "EffectivenessModel",
    "Features",
    "FittedHybrid",
    "FittedModel",
    "FittedNetwork",
    "Hybrid",
    "LightGBM",
    "OverlapGraph",
    "Prediction",
    "Review",
    "Source",
    "TimeSplit",
    "TowerNetwork",
    "XGBoost",
    "booster_from_text",
    "build_features",
    "check_point_in_time",
    "enumerate_options",
    "light_gcn",
    "load_hybrid",
    "load_network",
    "overlap_features",
    "random_folds",
    "read_model",
    "review",
    "save_hybrid",
    "scores",
    "time_splits",
    "write_model",
]

if TYPE_CHECKING:
    from jaxcampaign.effectiveness.boosting import booster_from_text
    from jaxcampaign.effectiveness.calibration import Calibration
    from jaxcampaign.effectiveness.checkpoints import Checkpoints
    from jaxcampaign.effectiveness.extra_boosters import CatBoost, XGBoost
    from jaxcampaign.effectiveness.fitted import FittedNetwork
    from jaxcampaign.effectiveness.fitted_hybrid import FittedHybrid
    from jaxcampaign.effectiveness.folds import random_folds
    from jaxcampaign.effectiveness.graph import OverlapGraph, light_gcn, overlap_features
    from jaxcampaign.effectiveness.hybrid import Hybrid
    from jaxcampaign.effectiveness.hybrid_store import load_hybrid, save_hybrid
    from jaxcampaign.effectiveness.lightgbm import LightGBM
    from jaxcampaign.effectiveness.metrics import scores
    from jaxcampaign.effectiveness.model import EffectivenessModel, FittedModel
    from jaxcampaign.effectiveness.network import TowerNetwork
    from jaxcampaign.effectiveness.network_store import load_network
    from jaxcampaign.effectiveness.outlook import Effectiveness
    from jaxcampaign.effectiveness.reviews import Review, review
    from jaxcampaign.effectiveness.store import read_model, write_model


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
