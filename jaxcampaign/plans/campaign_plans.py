"""Plans of campaigns: posts, and the money that each gets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxcampaign.plans.archive import Reader
from jaxcampaign.plans.campaigns import OPTIONS, CampaignInputs, load_campaign
from jaxcampaign.plans.kind import Answer, Chosen, labels_index, same_numbers
from jaxcampaign.problems import Campaign, CampaignMultipliers
from jaxcampaign.tables import OPTION_KEY

_NUMBERS = ("price", "mean", "std")
_PROOF = ("upper", "lower", "weights")


class CampaignPlans:
    """Posts chosen from a flat list of options."""

    command = "campaign"
    item = "post is an option"
    may_refute = True

    def inputs(self, record: dict[str, Any]) -> CampaignInputs:
        """Data and parameters."""
        return CampaignInputs.from_record(record)

    def tables(self, inputs: Any) -> tuple[str, ...]:
        """The predictions that a plan was made from, where no input file holds them."""
        return (OPTIONS,) if inputs.effectiveness is None else ()

    def load(self, inputs: Any, folder: Path) -> Campaign:
        """Read the options; nothing is predicted again."""
        return load_campaign(inputs, folder=folder).problem

    def labels(self, problem: Campaign) -> list[Sequence[str]]:
        """Ids of the options."""
        return [problem.options[name].astype("str") for name in OPTION_KEY]

    def table(self, answer: Answer) -> pd.DataFrame:
        """Ids of posts, price, budget, mean and std, the most valuable first."""
        table = answer.table()
        return table[[name for name in table if name in _STATED]]

    def chosen(self, problem: Campaign, table: pd.DataFrame) -> Chosen:
        """Posts by id; price, mean and deviation must be those of the options."""
        mask = np.zeros(problem.n_items, bool)
        times = ("posted_at",) if "posted_at" in problem.options else ()
        lacking = [name for name in (*OPTION_KEY, *times, *_NUMBERS, "budget") if name not in table]
        if lacking:
            return Chosen(mask, fault=f"selection.csv has no column {lacking[0]}")
        table = table.assign(offset_hours=_floats(table["offset_hours"]))
        keys = list(OPTION_KEY)
        index = labels_index(problem.options[keys]).get_indexer(labels_index(table[keys]))
        if (index < 0).any():
            return Chosen(mask, fault=f"unknown {_named(table, int(np.argmin(index)))}")
        mask[index] = True
        if int(mask.sum()) != len(index):
            repeated = int(np.argmax(table.duplicated(keys)))
            return Chosen(mask, fault=f"{_named(table, repeated)} stands more than once")
        for name in _NUMBERS:
            known = getattr(problem, name)[index]
            if fault := _first_other(table, name, known, same_numbers(table[name], known)):
                return Chosen(mask, fault=fault)
        for name in times:
            known = problem.options[name].iloc[index].to_numpy("datetime64[us]")
            stated = pd.to_datetime(table[name], utc=True, errors="coerce", format="ISO8601")
            same = stated.to_numpy("datetime64[us]") == known
            if fault := _first_other(table, name, known, same):
                return Chosen(mask, fault=fault)
        budget = _floats(table["budget"])
        sound = np.isfinite(budget)
        if fault := _first_other(table, "budget", np.full(len(index), "a number"), sound):
            return Chosen(mask, fault=fault)
        spend = np.zeros(problem.n_items)
        spend[index] = budget
        return Chosen(mask, spend)

    def arrays(self, proof: CampaignMultipliers) -> dict[str, np.ndarray]:
        """Prices of limits and weights of risk."""
        return {name: getattr(proof, name) for name in _PROOF}

    def proof(self, read: Reader) -> CampaignMultipliers:
        """The inverse of `arrays`."""
        return CampaignMultipliers(*(read.numbers(name) for name in _PROOF))

    def malformed(self, problem: Campaign, proof: CampaignMultipliers) -> str:
        """Lengths, signs, and whether the bound can be evaluated."""
        needed = problem.measure.n_weights if problem.risk_aversion else 0
        if proof.weights.shape != (needed,) or not np.isfinite(proof.weights).all():
            return f"{needed} finite weights of risk are needed"
        try:
            problem.proven_bound(proof)
        except ValueError as fault:
            return str(fault)
        return ""


_STATED = (*OPTION_KEY, "posted_at", "price", "budget", "mean", "std")


def _floats(texts: pd.Series) -> np.ndarray:
    return pd.to_numeric(texts, errors="coerce").to_numpy(np.float64)


def _named(table: pd.DataFrame, row: int) -> str:
    who, what, event, hours = (table[name].iloc[row] for name in OPTION_KEY)
    return f"post of {who!r}, {what!r} for {event!r} at {hours:g} hours"


def _first_other(table: pd.DataFrame, name: str, known: np.ndarray, same: np.ndarray) -> str:
    if same.all():
        return ""
    row = int(np.argmin(same))
    return f"{_named(table, row)}: {name} is {known[row]}, not {table[name].iloc[row]}"
