"""Rechecking a finished plan from its input tables and stored multipliers, with no solver.

Nothing that the folder states is believed: the problem is built again from the input tables, the
certificate is computed again from the selection and the multipliers, and every number is compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxcampaign.certificate import Certificate, certify
from jaxcampaign.errors import InputError
from jaxcampaign.plans.billboards import BillboardInputs, load_billboards
from jaxcampaign.plans.folder import Plan, file_digest, order_digest, per_product, read_plan
from jaxcampaign.problems import Multipliers, SlotProblem

# Two float64 evaluations of the same sum on different machines agree to this share of it.
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Claim:
    """One statement of a plan.

    Attributes:
      text: what is claimed.
      holds: whether the recomputation agrees.
      detail: the numbers compared, or why the claim fails.
    """

    text: str
    holds: bool
    detail: str = ""


def verify_plan(folder: str | Path, *, inputs_dir: str | Path | None = None) -> list[Claim]:
    """Recheck every claim of a plan folder.

    Args:
      folder: what `--out` named.
      inputs_dir: where the input tables are now, if they were moved; the file names stay.

    Returns:
      All claims. The plan is verified only if every one holds.

    Raises:
      InputError: the folder or an input table is missing or unreadable.
    """
    folder = Path(folder)
    plan = read_plan(folder)
    inputs = _inputs(plan, inputs_dir)
    claims = list(_unchanged(folder, plan, inputs))
    problem = load_billboards(inputs).problem
    selection, faults = _selection(problem, plan.selection)
    claims.append(Claim("every chosen slot is in the inventory, once", not faults, faults))
    if faults:
        return claims
    claims += _proof_claims(problem, plan)
    multipliers = plan.multipliers if claims[-1].holds else None
    stated = plan.certificate
    again = certify(problem, selection, multipliers, stated.get("solver_bound"))
    if again.reasons:
        again = replace(again, bound=None, gap=None, solver_bound=None)
    return claims + list(_compare(stated, again, int(selection.sum())))


def _inputs(plan: Plan, inputs_dir: str | Path | None) -> BillboardInputs:
    if "inputs" not in plan.run:
        raise InputError("has no key 'inputs'", table="run.json", remedy="make the plan again")
    inputs = BillboardInputs.from_record(plan.run["inputs"])
    if inputs_dir is not None:
        moved: dict[str, Any] = {
            name: Path(inputs_dir) / path.name for name, path in inputs.files().items()
        }
        inputs = replace(inputs, **moved)
    for name, path in inputs.files().items():
        if not path.is_file():
            raise InputError(
                f"{path} is not there any more",
                table=name,
                remedy="name the folder that holds it now with --inputs DIR",
            )
    return inputs


def _unchanged(folder: Path, plan: Plan, inputs: BillboardInputs) -> Iterator[Claim]:
    stated = plan.run.get("sha256", {})
    for name in ("selection.csv", "certificate.json", "proof.npz"):
        same = stated.get(name) == file_digest(folder / name)
        yield Claim(f"{name} is as it was written", same, "" if same else "its digest differs")
    stated = plan.run.get("input_sha256", {})
    for name, path in inputs.files().items():
        same = stated.get(name) == file_digest(path)
        yield Claim(f"input table {name} is unchanged", same, "" if same else "its digest differs")


def _selection(problem: SlotProblem, table: pd.DataFrame) -> tuple[np.ndarray, str]:
    mask = np.zeros(problem.n_slots, bool)
    if "slot_id" not in table:
        return mask, "selection.csv has no column slot_id"
    index = pd.Index(problem.influence.slot_ids).get_indexer(table["slot_id"])
    if (index < 0).any():
        return mask, f"unknown slot {table['slot_id'].iloc[int(np.argmin(index))]!r}"
    mask[index] = True
    if int(mask.sum()) != len(index):
        repeated = table["slot_id"][table["slot_id"].duplicated()].iloc[0]
        return mask, f"slot {repeated!r} stands more than once"
    stated = pd.to_numeric(table["cost"], errors="coerce").to_numpy(np.float64)
    wrong = np.flatnonzero(~np.isclose(stated, problem.cost[index], rtol=_TOLERANCE, atol=0))
    if len(wrong):
        slot = table["slot_id"].iloc[int(wrong[0])]
        return mask, f"slot {slot!r} costs {problem.cost[index[wrong[0]]]!r}"
    return mask, ""


def _proof_claims(problem: SlotProblem, plan: Plan) -> Iterator[Claim]:
    same = plan.order == order_digest(problem)
    yield Claim("the proof belongs to these tables", same, "" if same else "it numbers other ids")
    faults = "" if plan.multipliers is None else _malformed(problem, plan.multipliers)
    text = "the multipliers are finite, non-negative and refer to this problem"
    yield Claim(text, same and not faults, faults)


def _malformed(problem: SlotProblem, m: Multipliers) -> str:
    influence, cuts = problem.influence, m.cuts
    shapes = {
        "demand": (m.demand.shape, (len(problem.demand),)),
        "row_upper": (m.row_upper.shape, (len(problem.rows),)),
        "row_lower": (m.row_lower.shape, (len(problem.rows),)),
        "cut": (m.cut.shape, cuts.user.shape),
        "cut_start": (cuts.start.shape, (len(cuts.user) + 1,)),
    }
    for name, (found, needed) in shapes.items():
        if found != needed:
            return f"{name} has shape {found}, not {needed}"
    for name, values in (
        ("demand", m.demand),
        ("row_upper", m.row_upper),
        ("row_lower", m.row_lower),
        ("cut", m.cut),
    ):
        if not (np.isfinite(values).all() and (values >= 0).all()):
            return f"{name} is negative or not finite"
    bounds = [(cuts.user, influence.n_users), (cuts.slot, influence.n_slots)]
    if any(len(index) and (index.min() < 0 or index.max() >= n) for index, n in bounds):
        return "an inequality refers to a user or slot that does not exist"
    steps = np.diff(cuts.start)
    if cuts.start[0] != 0 or (steps < 0).any() or cuts.start[-1] != len(cuts.slot):
        return "the inequalities' sets are not well formed"
    return ""


def _compare(stated: dict[str, Any], again: Certificate, n_selected: int) -> Iterator[Claim]:
    exact = {
        "problem": again.problem,
        "sense": again.sense,
        "feasible": again.feasible,
        "bound_proof": again.bound_proof,
        "n_selected": n_selected,
        "reasons": list(again.reasons),
    }
    for name, value in exact.items():
        yield Claim(name, stated.get(name) == value, _differ(stated.get(name), value))
    numbers = {
        "cost": again.cost,
        "value": again.value,
        "rechecked_bound": again.rechecked_bound,
        "bound": again.bound,
        "gap": again.gap,
    }
    for name, value in numbers.items():
        scale = abs(again.value) if name.endswith("bound") else None
        same = _same(stated.get(name), value, scale)
        yield Claim(name, same, f"{value!r}" if same else _differ(stated.get(name), value))
    yield _products(stated.get("per_product"), per_product(again))
    rows = [row["row"] for row in stated.get("violations", [])]
    found = [row["row"] for row in again.violations]
    yield Claim("violations", rows == found, _differ(rows, found))
    if again.solver_bound is not None:
        yield Claim(
            "solver_bound is consistent with the plan (a branch and bound's word: not rechecked)",
            again.gap is not None and _respects(again),
        )


def _products(stated: Any, again: list[dict[str, Any]]) -> Claim:
    text = "demand, achieved influence and shortfall of every product"
    if not isinstance(stated, list) or len(stated) != len(again):
        return Claim(text, False, "the products differ")
    for one, other in zip(stated, again, strict=True):
        if one.get("product_id") != other["product_id"]:
            return Claim(text, False, f"product {other['product_id']} is missing")
        scale = max(abs(other["demand"]), abs(other["achieved"]))
        for name in ("demand", "achieved", "shortfall"):
            if not _same(one.get(name), other[name], scale):
                product = f"product {other['product_id']}: {name} "
                return Claim(text, False, product + _differ(one.get(name), other[name]))
    return Claim(text, True, f"{len(again)} products")


def _respects(c: Certificate) -> bool:
    assert c.solver_bound is not None
    slack = _TOLERANCE * abs(c.value)
    if c.sense == "min":
        return c.solver_bound <= c.value + slack
    return c.solver_bound >= c.value - slack


def _same(stated: Any, value: float | None, scale: float | None = None) -> bool:
    if stated is None or value is None or isinstance(stated, (str, bool)):
        return stated is value
    size = max(abs(stated), abs(value), scale or 0.0)
    return math.isfinite(stated) and abs(stated - value) <= _TOLERANCE * size


def _differ(stated: Any, value: Any) -> str:
    return "" if stated == value else f"stated {stated!r}, recomputed {value!r}"
