"""Plans of billboard slots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxcampaign.plans import slot_proof
from jaxcampaign.plans.archive import Reader
from jaxcampaign.plans.billboards import BillboardInputs, load_billboards
from jaxcampaign.plans.kind import Answer, Chosen, labels_index, same_numbers
from jaxcampaign.problems import DisjointSlots, Proof, SlotProblem

_COLUMNS = ("slot_id", "board_id", "start_min", "end_min")


class SlotPlans:
    """Common, disjoint and budgeted slots."""

    command = "billboards"
    item = "slot is in the inventory"
    may_refute = False

    def inputs(self, record: dict[str, Any]) -> BillboardInputs:
        """Files and parameters."""
        return BillboardInputs.from_record(record)

    def tables(self, inputs: Any) -> tuple[str, ...]:
        """None: influence is derived again."""
        return ()

    def load(self, inputs: Any, folder: Path) -> SlotProblem:
        """Read the tables, derive the influence."""
        return load_billboards(inputs).problem

    def labels(self, problem: SlotProblem) -> list[Sequence[str]]:
        """Items, users and products."""
        influence = problem.influence
        labels = [influence.slots[name] for name in problem.item_key]
        labels += [influence.user_ids, problem.product_ids]
        if isinstance(problem, DisjointSlots):
            labels.append(np.asarray(problem.product_ids, object)[problem.offers.user_product])
        return labels

    def table(self, answer: Answer) -> pd.DataFrame:
        """One row per slot, as `Solution.table` has it."""
        return answer.table()

    def chosen(self, problem: SlotProblem, table: pd.DataFrame) -> Chosen:
        """Slots by id; board, time, cost and influence must be those of the inventory."""
        mask = np.zeros(problem.n_items, bool)
        key = list(problem.item_key)
        lacking = [n for n in (*key, *_COLUMNS, "cost", "influence") if n not in table]
        if lacking:
            return Chosen(mask, fault=f"selection.csv has no column {lacking[0]}")
        index = labels_index(problem.influence.slots[key]).get_indexer(labels_index(table[key]))
        if (index < 0).any():
            return Chosen(mask, fault=f"unknown {_named(table[key], int(np.argmin(index)))}")
        mask[index] = True
        if int(mask.sum()) != len(index):
            repeated = int(np.argmax(table.duplicated(key)))
            return Chosen(mask, fault=f"{_named(table[key], repeated)} stands more than once")
        slots = problem.influence.slots.iloc[index]
        for name in _COLUMNS:
            known = slots[name].astype("str").to_numpy(object)
            if fault := _first_other(table, name, known, table[name].to_numpy(object) == known):
                return Chosen(mask, fault=fault)
        numbers = {"cost": problem.cost[index], "influence": problem.influence.singleton[index]}
        for name, known in numbers.items():
            if fault := _first_other(table, name, known, same_numbers(table[name], known)):
                return Chosen(mask, fault=fault)
        return Chosen(mask)

    def arrays(self, proof: Proof) -> dict[str, np.ndarray]:
        """Multipliers with their cuts, or a tree of them."""
        return slot_proof.proof_arrays(proof)

    def proof(self, read: Reader) -> Proof:
        """The inverse of `arrays`."""
        return slot_proof.proof_of(read)

    def malformed(self, problem: SlotProblem, proof: Proof) -> str:
        """Shapes, signs, indices, and whether the bound can be evaluated."""
        return slot_proof.malformed(problem, proof)


def _named(keys: pd.DataFrame, row: int) -> str:
    values = keys.iloc[row].tolist()
    return f"slot {values[0]!r}" + "".join(f" of product {value!r}" for value in values[1:])


def _first_other(table: pd.DataFrame, name: str, known: np.ndarray, same: np.ndarray) -> str:
    if same.all():
        return ""
    row = int(np.argmin(same))
    slot, stated = table["slot_id"].iloc[row], table[name].iloc[row]
    return f"slot {slot!r}: {name} is {known[row]}, not {stated}"
