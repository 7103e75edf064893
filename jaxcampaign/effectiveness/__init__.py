"""What a post will bring: options, point-in-time features, models of mean and deviation.

Models are imported on first use: Flax and LightGBM are slow to import.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from jaxcampaign.effectiveness.features import SOURCES, Features, Source
from jaxcampaign.effectiveness.posts.build import build_features
from jaxcampaign.effectiveness.posts.options import enumerate_options
from jaxcampaign.effectiveness.posts.point_in_time import check_point_in_time
from jaxcampaign.effectiveness.posts.splits import TimeSplit, time_splits
from jaxcampaign.effectiveness.prediction import Prediction

_MODULE_OF = {
    "Calibration": "assessment.calibration",
    "CatBoost": "trees.extra_boosters",
    "Checkpoints": "network.checkpoints",
    "Effectiveness": "outlook",
    "EffectivenessModel": "model",
    "FittedHybrid": "hybrid.fitted",
    "FittedModel": "model",
    "FittedNetwork": "network.fitted",
    "Hybrid": "hybrid.fit",
    "LightGBM": "trees.lightgbm",
    "OverlapGraph": "network.graph",
    "Review": "assessment.reviews",
    "TowerNetwork": "network.tower_network",
    "XGBoost": "trees.extra_boosters",
    "booster_from_text": "trees.boosting",
    "light_gcn": "network.graph",
    "load_hybrid": "hybrid.store",
    "load_network": "network.store",
    "overlap_features": "network.graph",
    "random_folds": "hybrid.folds",
    "read_model": "store",
    "review": "assessment.reviews",
    "save_hybrid": "hybrid.store",
    "scores": "assessment.metrics",
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
    from jaxcampaign.effectiveness.assessment.calibration import Calibration
    from jaxcampaign.effectiveness.assessment.metrics import scores
    from jaxcampaign.effectiveness.assessment.reviews import Review, review
    from jaxcampaign.effectiveness.hybrid.fit import Hybrid
    from jaxcampaign.effectiveness.hybrid.fitted import FittedHybrid
    from jaxcampaign.effectiveness.hybrid.folds import random_folds
    from jaxcampaign.effectiveness.hybrid.store import load_hybrid, save_hybrid
    from jaxcampaign.effectiveness.model import EffectivenessModel, FittedModel
    from jaxcampaign.effectiveness.network.checkpoints import Checkpoints
    from jaxcampaign.effectiveness.network.fitted import FittedNetwork
    from jaxcampaign.effectiveness.network.graph import OverlapGraph, light_gcn, overlap_features
    from jaxcampaign.effectiveness.network.store import load_network
    from jaxcampaign.effectiveness.network.tower_network import TowerNetwork
    from jaxcampaign.effectiveness.outlook import Effectiveness
    from jaxcampaign.effectiveness.store import read_model, write_model
    from jaxcampaign.effectiveness.trees.boosting import booster_from_text
    from jaxcampaign.effectiveness.trees.extra_boosters import CatBoost, XGBoost
    from jaxcampaign.effectiveness.trees.lightgbm import LightGBM


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
