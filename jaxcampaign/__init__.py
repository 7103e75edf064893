"""Certified billboard and influencer campaign plans on GPU or CPU arrays.

Public names are imported on first use, so that `import jaxcampaign` is quick and starts no device.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_ROOMS = {
    "errors": ["DeviceError", "InputError", "MemoryLimitError"],
    "tables": [
        "City",
        "Database",
        "SyntheticCampaign",
        "audiences_from_categories",
        "open_database",
        "read_audiences",
        "read_billboards",
        "read_checkins",
        "read_demands",
        "read_foursquare",
        "read_pairs",
        "read_slots",
        "read_table",
        "synth_campaign",
        "synth_city",
        "synth_pairs",
        "write_table",
    ],
    "influence": [
        "Clip",
        "IndependentExposures",
        "Influence",
        "ProportionalHits",
        "SizeRatio",
        "build_influence",
        "experiment_demands",
        "influence_proportional_cost",
        "supply",
    ],
    "effectiveness": [
        "Effectiveness",
        "EffectivenessModel",
        "FittedModel",
        "Hybrid",
        "LightGBM",
        "TowerNetwork",
        "build_features",
        "enumerate_options",
        "time_splits",
    ],
    "problems": [
        "AtLeast",
        "AtMost",
        "BranchedMultipliers",
        "BudgetOfDeviations",
        "BudgetedSlots",
        "Campaign",
        "CampaignMultipliers",
        "CommonSlots",
        "ConcaveResponse",
        "ConditionalShortfall",
        "Conflict",
        "Cuts",
        "DisjointSlots",
        "Exclude",
        "FactorDeviation",
        "FixedPrice",
        "MaxShare",
        "MinimumSpend",
        "Multipliers",
        "ProductInfluence",
        "Require",
        "Rows",
        "SetFunction",
        "SummedDeviation",
        "Truncated",
        "Weighted",
        "lagrangian_bound",
        "proven_bound",
    ],
    "relaxations": [
        "ContinuousGreedy",
        "FirstOrderRelaxation",
        "LinearRelaxation",
        "MonteCarlo",
        "multilinear",
        "multilinear_gradients",
        "multilinear_value_and_gradient",
        "prefix_bound",
    ],
    "certificate": ["Certificate", "certify"],
    "solvers": [
        "BicriteriaGreedy",
        "BranchAndCut",
        "BruteForce",
        "CampaignSolution",
        "Clock",
        "DualDecomposition",
        "Finding",
        "Frontier",
        "Greedy",
        "LPRounding",
        "MixedInteger",
        "PermutationSampling",
        "RandomAllocation",
        "Solution",
        "Solver",
        "StochasticGreedy",
        "TopK",
        "choose_solver",
        "frontier",
        "solve",
    ],
    "plans": ["verify_plan"],
    "report": ["write_report"],
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = ["__version__", *_ROOM_OF]

if TYPE_CHECKING:
    from jaxcampaign.certificate import Certificate, certify
    from jaxcampaign.effectiveness import (
        Effectiveness,
        EffectivenessModel,
        FittedModel,
        Hybrid,
        LightGBM,
        TowerNetwork,
        build_features,
        enumerate_options,
        time_splits,
    )
    from jaxcampaign.errors import DeviceError, InputError, MemoryLimitError
    from jaxcampaign.influence import (
        Clip,
        IndependentExposures,
        Influence,
        ProportionalHits,
        SizeRatio,
        build_influence,
        experiment_demands,
        influence_proportional_cost,
        supply,
    )
    from jaxcampaign.plans import verify_plan
    from jaxcampaign.problems import (
        AtLeast,
        AtMost,
        BranchedMultipliers,
        BudgetedSlots,
        BudgetOfDeviations,
        Campaign,
        CampaignMultipliers,
        CommonSlots,
        ConcaveResponse,
        ConditionalShortfall,
        Conflict,
        Cuts,
        DisjointSlots,
        Exclude,
        FactorDeviation,
        FixedPrice,
        MaxShare,
        MinimumSpend,
        Multipliers,
        ProductInfluence,
        Require,
        Rows,
        SetFunction,
        SummedDeviation,
        Truncated,
        Weighted,
        lagrangian_bound,
        proven_bound,
    )
    from jaxcampaign.relaxations import (
        ContinuousGreedy,
        FirstOrderRelaxation,
        LinearRelaxation,
        MonteCarlo,
        multilinear,
        multilinear_gradients,
        multilinear_value_and_gradient,
        prefix_bound,
    )
    from jaxcampaign.report import write_report
    from jaxcampaign.solvers import (
        BicriteriaGreedy,
        BranchAndCut,
        BruteForce,
        CampaignSolution,
        Clock,
        DualDecomposition,
        Finding,
        Frontier,
        Greedy,
        LPRounding,
        MixedInteger,
        PermutationSampling,
        RandomAllocation,
        Solution,
        Solver,
        StochasticGreedy,
        TopK,
        choose_solver,
        frontier,
        solve,
    )
    from jaxcampaign.tables import (
        City,
        Database,
        SyntheticCampaign,
        audiences_from_categories,
        open_database,
        read_audiences,
        read_billboards,
        read_checkins,
        read_demands,
        read_foursquare,
        read_pairs,
        read_slots,
        read_table,
        synth_campaign,
        synth_city,
        synth_pairs,
        write_table,
    )


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
