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

from jaxcampaign.certificate import OPTIMALITY_GAP, Certificate, certify
from jaxcampaign.errors import InputError
from jaxcampaign.plans.folder import (
    Plan,
    file_digest,
    order_digest,
    per_product,
    read_plan,
    violations,
)
from jaxcampaign.plans.kind import TOLERANCE
from jaxcampaign.plans.records import Inputs
from jaxcampaign.problems import Problem


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


def verify_plan(
    folder: str | Path, *, inputs_dir: str | Path | None = None, strict: bool = False
) -> list[Claim]:
    """Recheck every claim of a plan folder.

    Args:
      folder: what `--out` named.
      inputs_dir: where the input tables are now, if they were moved; the file names stay.
      strict: refuse a bound that rests on a branch and bound's word, which cannot be rechecked.

    Returns:
      All claims. The plan is verified only if every one holds.

    Raises:
      InputError: the folder or an input table is missing or unreadable.
    """
    folder = Path(folder)
    plan = read_plan(folder)
    inputs = _inputs(plan, inputs_dir)
    claims = list(_unchanged(folder, plan, inputs))
    problem = plan.kind.load(inputs, folder)
    chosen = plan.kind.chosen(problem, plan.selection)
    text = f"every chosen {plan.kind.item}, once, as it is described"
    claims.append(Claim(text, not chosen.fault, chosen.fault))
    if chosen.fault:
        return claims
    claims += _proof_claims(problem, plan)
    multipliers = plan.multipliers if claims[-1].holds else None
    stated = plan.certificate
    given = _finite(stated.get("solver_bound"))
    again = certify(problem, chosen.selection, multipliers, given, chosen.spend)
    claims += _compare(stated, again, int(chosen.selection.sum()), plan.kind.may_refute)
    if strict:
        text = "the bound is proven by multipliers, not by a solver's word"
        claims.append(Claim(text, again.bound_proof != "branch_and_bound"))
        if _is_word(stated.get("status"), again):
            text = "that there is no plan is proven by multipliers, not by a solver's word"
            claims.append(Claim(text, False))
    return claims


def _inputs(plan: Plan, inputs_dir: str | Path | None) -> Inputs:
    record = plan.run.get("inputs")
    if not isinstance(record, dict):
        raise InputError("has no record 'inputs'", table="run.json", remedy="make the plan again")
    inputs = plan.kind.inputs(record)
    if inputs_dir is not None:
        moved: dict[str, Any] = {
            name: Path(inputs_dir) / path.name for name, path in inputs.files().items()
        }
        inputs = replace(inputs, **moved)  # type: ignore[type-var]
    for name, path in inputs.files().items():
        if not path.is_file():
            raise InputError(
                f"{path} is not there any more",
                table=name,
                remedy="name the folder that holds it now with --inputs DIR",
            )
    return inputs


def _unchanged(folder: Path, plan: Plan, inputs: Inputs) -> Iterator[Claim]:
    stated = _record(plan.run.get("sha256"))
    for name in ("selection.csv", "certificate.json", "proof.npz", *plan.kind.tables(inputs)):
        same = stated.get(name) == file_digest(folder / name)
        yield Claim(f"{name} is as it was written", same, "" if same else "its digest differs")
    stated = _record(plan.run.get("input_sha256"))
    for name, path in inputs.files().items():
        same = stated.get(name) == file_digest(path)
        yield Claim(f"input table {name} is unchanged", same, "" if same else "its digest differs")


def _proof_claims(problem: Problem, plan: Plan) -> Iterator[Claim]:
    same = plan.order == order_digest(problem)
    yield Claim("the proof belongs to these tables", same, "" if same else "it numbers other ids")
    faults = "" if plan.multipliers is None else plan.kind.malformed(problem, plan.multipliers)
    text = "the multipliers are finite, non-negative and refer to this problem"
    yield Claim(text, same and not faults, faults)


def _compare(
    stated: dict[str, Any], again: Certificate, n_selected: int, may_refute: bool
) -> Iterator[Claim]:
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
    status, possible = stated.get("status"), _possible_statuses(again, stated.get("target"))
    detail = "" if status in possible else f"stated {status!r}, possible {' or '.join(possible)}"
    given = again.bound_proof == "branch_and_bound"
    text = "status, given solver_bound" if given else "status"
    if may_refute and _is_word(status, again):
        text = "status (a branch and bound's word that there is no plan: not rechecked)"
        possible, detail = ["infeasible"], ""
    yield Claim(text, status in possible, detail)
    numbers = {
        "cost": again.cost,
        "value": again.value,
        "rechecked_bound": again.rechecked_bound,
        "bound": again.bound,
        "gap": _finite(again.gap),
    }
    # A bound and a gap are differences: their rounding is a share of what was subtracted.
    scales = {"rechecked_bound": abs(again.value), "bound": abs(again.value), "gap": 1.0}
    for name, value in numbers.items():
        same = _same(stated.get(name), value, scales.get(name))
        detail = f"{value!r}" if same else _differ(stated.get(name), value)
        if name == "rechecked_bound" and same and again.rechecked_gap is not None:
            detail += f", which proves a gap of {100 * again.rechecked_gap:.3g} %"
        text = f"{name}, given solver_bound" if given and name in ("bound", "gap") else name
        yield Claim(text, same, detail)
    yield _products(stated.get("per_product"), per_product(again))
    found, claimed = violations(again), stated.get("violations")
    yield Claim("violations", _agree(claimed, found), _differ(claimed, found))
    if again.feasible and again.bound is not None:
        yield Claim("the plan is not better than its bound", _respects(again))
    if stated.get("solver_bound") is not None:
        of = "a plan that was sought" if may_refute else "a feasible plan"
        yield Claim(
            f"solver_bound belongs to {of} (a branch and bound's word: not rechecked)",
            again.solver_bound is not None and (may_refute or again.gap is not None),
        )


def _is_word(status: Any, c: Certificate) -> bool:
    """No plan is said to exist, and the multipliers do not prove it."""
    return status == "infeasible" and not c.feasible and not c.reasons


def _possible_statuses(c: Certificate, target: Any) -> list[str]:
    if c.reasons:
        return ["infeasible"]
    if not c.feasible:
        share = isinstance(target, float) and 0 < target < 1
        return ["bicriteria"] if share and c.meets(target) else ["unsolved"]
    optimal = c.gap is not None and c.gap <= OPTIMALITY_GAP
    return ["optimal"] if optimal else ["feasible", "limit"]


def _products(stated: Any, again: list[dict[str, Any]]) -> Claim:
    text = "demand, achieved influence and shortfall of every product"
    if not again:
        text = "no product is stated, as campaigns have none"
    if not isinstance(stated, list) or len(stated) != len(again):
        return Claim(text, False, "the products differ")
    for one, other in zip(stated, again, strict=True):
        if not isinstance(one, dict) or one.get("product_id") != other["product_id"]:
            return Claim(text, False, f"product {other['product_id']} is missing")
        scale = max(abs(other["demand"]), abs(other["achieved"]))
        for name in ("demand", "achieved", "shortfall"):
            if not _same(one.get(name), other[name], scale):
                product = f"product {other['product_id']}: {name} "
                return Claim(text, False, product + _differ(one.get(name), other[name]))
    return Claim(text, True, f"{len(again)} products" if again else "")


def _respects(c: Certificate) -> bool:
    assert c.bound is not None
    slack = TOLERANCE * abs(c.value)
    return c.bound <= c.value + slack if c.sense == "min" else c.bound >= c.value - slack


def _agree(stated: Any, value: Any) -> bool:
    """Whether two records agree, numbers to rounding."""
    if isinstance(value, list):
        return (
            isinstance(stated, list)
            and len(stated) == len(value)
            and all(map(_agree, stated, value))
        )
    if isinstance(value, dict):
        return (
            isinstance(stated, dict)
            and stated.keys() == value.keys()
            and all(_agree(stated[name], value[name]) for name in value)
        )
    return stated == value if isinstance(value, str) else _same(stated, value)


def _same(stated: Any, value: float | None, scale: float | None = None) -> bool:
    number = _finite(stated)
    if number is None or value is None:
        return stated is value
    return abs(number - value) <= TOLERANCE * max(abs(number), abs(value), scale or 0.0)


def _finite(stated: Any) -> float | None:
    """A stated number, None where it is no finite one."""
    if type(stated) not in (int, float):
        return None
    try:
        number = float(stated)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _record(stated: Any) -> dict[str, Any]:
    return stated if isinstance(stated, dict) else {}


def _differ(stated: Any, value: Any) -> str:
    return "" if stated == value else f"stated {stated!r}, recomputed {value!r}"
