"""A finished plan on disk: selection.csv, certificate.json, proof.npz, run.json."""

from __future__ import annotations

import hashlib
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from jaxcampaign.certificate import Certificate
from jaxcampaign.errors import InputError
from jaxcampaign.problems import Cuts, Multipliers, SlotProblem
from jaxcampaign.tables import replacing, write_table

_PROOF_ARRAYS = ("demand", "row_upper", "row_lower", "cut", "cut_user", "cut_start", "cut_slot")
_HASHED = ("selection.csv", "certificate.json", "proof.npz")


class Answer(Protocol):
    """What is written: a solver's `Solution` has this form."""

    @property
    def problem(self) -> SlotProblem: ...  # noqa: D102
    @property
    def selection(self) -> np.ndarray: ...  # noqa: D102
    @property
    def certificate(self) -> Certificate: ...  # noqa: D102
    @property
    def multipliers(self) -> Multipliers | None: ...  # noqa: D102
    @property
    def status(self) -> str: ...  # noqa: D102
    @property
    def solver(self) -> str: ...  # noqa: D102
    def table(self) -> pd.DataFrame: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Plan:
    """What a plan folder states.

    Attributes:
      selection: the rows of selection.csv, all columns as text.
      certificate: the content of certificate.json.
      multipliers: the proof; None where the folder has none.
      order: digest of the ids that the proof's indices refer to.
      run: the content of run.json.
    """

    selection: pd.DataFrame
    certificate: dict[str, Any]
    multipliers: Multipliers | None
    order: str
    run: dict[str, Any]


def certificate_record(answer: Answer, run: dict[str, Any]) -> dict[str, Any]:
    """The content of certificate.json; a number that does not exist is null."""
    c = answer.certificate
    return {
        "problem": c.problem,
        "solver": answer.solver,
        "status": answer.status,
        "sense": c.sense,
        "feasible": c.feasible,
        "cost": c.cost,
        "value": c.value,
        "bound": _number(c.bound),
        "rechecked_bound": _number(c.rechecked_bound),
        "solver_bound": _number(c.solver_bound),
        "bound_proof": c.bound_proof,
        "gap": _number(c.gap),
        "n_selected": int(answer.selection.sum()),
        "per_product": per_product(c),
        "violations": [
            {key: _number(v) if isinstance(v, float) else v for key, v in row.items()}
            for row in c.violations
        ],
        "reasons": list(c.reasons),
        "seed": run.get("seed"),
        "seconds": run.get("seconds", {}).get("total"),
        "device": run.get("device"),
    }


def per_product(certificate: Certificate) -> list[dict[str, Any]]:
    """One record per product: product_id, demand, achieved, shortfall."""
    columns = (certificate.demand, certificate.achieved, certificate.shortfall)
    return [
        {"product_id": product, "demand": demand, "achieved": achieved, "shortfall": shortfall}
        for product, demand, achieved, shortfall in zip(
            certificate.product_ids, *(column.tolist() for column in columns), strict=True
        )
    ]


def write_plan(answer: Answer, folder: Path, run: dict[str, Any]) -> dict[str, Any]:
    """Write the folder; each file appears whole, run.json last.

    Args:
      answer: what was found.
      folder: made if need be; files of an earlier plan there are replaced.
      run: configuration under "inputs", seed, versions, device, seconds per stage.

    Returns:
      The content of certificate.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = certificate_record(answer, run)
    write_table(answer.table(), folder / "selection.csv")
    _write_json(record, folder / "certificate.json")
    with replacing(folder / "proof.npz") as file:
        file.write(_proof_bytes(answer))
    digests = {name: file_digest(folder / name) for name in _HASHED}
    _write_json(run | {"sha256": digests}, folder / "run.json")
    return record


def read_plan(folder: Path) -> Plan:
    """Read a plan folder.

    Raises:
      InputError: a file is missing or is not what `write_plan` makes.
    """
    run = _read_json(folder / "run.json")
    multipliers, order = _read_proof(_present(folder / "proof.npz"))
    return Plan(
        pd.read_csv(_present(folder / "selection.csv"), dtype="str", keep_default_na=False),
        _read_json(folder / "certificate.json"),
        multipliers,
        order,
        run,
    )


def order_digest(problem: SlotProblem) -> str:
    """Digest of the ids of slots, users and products in their order: what indices refer to."""
    digest = hashlib.sha256()
    influence = problem.influence
    for ids in (influence.slot_ids, influence.user_ids, problem.product_ids):
        digest.update("\x1f".join(ids).encode() + b"\x1e")
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _proof_bytes(answer: Answer) -> bytes:
    arrays: dict[str, np.ndarray] = {"order": np.array(order_digest(answer.problem))}
    m = answer.multipliers
    if m is not None:
        m = m.clipped()
        values = (m.demand, m.row_upper, m.row_lower, m.cut, m.cuts.user, m.cuts.start, m.cuts.slot)
        arrays |= dict(zip(_PROOF_ARRAYS, values, strict=True))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _read_proof(path: Path) -> tuple[Multipliers | None, str]:
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {name: data[name] for name in data.files}
        order = str(arrays.pop("order"))
        if not arrays:
            return None, order
        demand, upper, lower, cut, user, start, slot = (arrays[name] for name in _PROOF_ARRAYS)
    except (KeyError, ValueError, OSError, EOFError, BadZipFile) as fault:
        raise InputError(
            f"is not a readable proof ({fault})", table=str(path), remedy="make the plan again"
        ) from fault
    return Multipliers(demand, upper, lower, cut, Cuts(user, start, slot)), order


def _write_json(record: dict[str, Any], path: Path) -> None:
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    with replacing(path) as file:
        file.write(text.encode() + b"\n")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(_present(path).read_text("utf-8"))
    except ValueError as fault:
        raise InputError(
            f"is not readable JSON ({fault})", table=str(path), remedy="make the plan again"
        ) from fault


def _present(path: Path) -> Path:
    if not path.is_file():
        raise InputError(
            "there is no such file",
            table=str(path),
            remedy="give the folder that --out named when the plan was made",
        )
    return path


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
