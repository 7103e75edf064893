"""A finished plan on disk: selection.csv, certificate.json, proof.npz, run.json, maybe tables."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pandas as pd

from jaxcampaign.certificate import Certificate
from jaxcampaign.errors import InputError
from jaxcampaign.plans.archive import proof_bytes, proof_from_bytes
from jaxcampaign.plans.kind import Answer, Kind
from jaxcampaign.plans.kinds import kind_named, kind_of
from jaxcampaign.plans.placing import REPORT, STAGE, is_unfinished, put_in_place
from jaxcampaign.problems import Problem
from jaxcampaign.tables import replacing, write_table

_HASHED = ("selection.csv", "certificate.json", "proof.npz")


@dataclass(frozen=True, eq=False)
class Plan:
    """What a plan folder states.

    Attributes:
      kind: which kind of plan it is.
      selection: the rows of selection.csv, all columns as text.
      certificate: the content of certificate.json.
      multipliers: the proof; None where the folder has none.
      order: digest of the ids that the proof's indices refer to.
      run: the content of run.json.
    """

    kind: Kind
    selection: pd.DataFrame
    certificate: dict[str, Any]
    multipliers: Any
    order: str
    run: dict[str, Any]


def certificate_record(answer: Answer, run: dict[str, Any]) -> dict[str, Any]:
    """The content of certificate.json; a number that does not exist is null."""
    c = answer.certificate
    return {
        "problem": c.problem,
        "solver": answer.solver,
        "status": answer.status,
        "target": answer.target,
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
        "violations": violations(c),
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


def violations(certificate: Certificate) -> list[dict[str, Any]]:
    """One record per broken row: row, activity, lower, upper; an open limit is null."""
    return [
        {key: _number(v) if isinstance(v, float) else v for key, v in row.items()}
        for row in certificate.violations
    ]


def write_plan(
    answer: Answer,
    folder: Path,
    run: dict[str, Any],
    tables: Mapping[str, pd.DataFrame] | None = None,
    draw: Callable[[Path], None] | None = None,
) -> dict[str, Any]:
    """Write the folder: all files are made first and then put in place, see `put_in_place`.

    A fault while they are made leaves an earlier plan in the folder as it was; one while the report
    is drawn is raised after the plan is in place without it.

    Args:
      answer: what was found.
      folder: made if need be; files of an earlier plan there are replaced, and tables and a report
        that it wrote and this one does not are removed.
      run: configuration under "inputs", seed, versions, device, seconds per stage.
      tables: tables that the problem was built from and that are nowhere else, by file name.
      draw: makes the report, in the file that it is given.

    Returns:
      The content of certificate.json.
    """
    kind, tables = kind_of(answer.problem), tables or {}
    folder.mkdir(parents=True, exist_ok=True)
    record = certificate_record(answer, run)
    arrays = {} if answer.multipliers is None else kind.arrays(answer.multipliers)
    unfinished = list(folder.glob(f"{STAGE}*"))
    fault = None
    stage = Path(mkdtemp(prefix=STAGE, dir=folder))
    try:
        made = stage / "new"
        made.mkdir()
        write_table(kind.table(answer), made / "selection.csv")
        _write_json(record, made / "certificate.json")
        with replacing(made / "proof.npz") as file:
            file.write(proof_bytes(order_digest(answer.problem), arrays))
        for name, table in tables.items():
            write_table(table, made / name)
        hashed = (*_HASHED, *tables)
        digests = {name: file_digest(made / name) for name in hashed}
        stated = run | {"command": kind.command, "sha256": digests}
        _write_json(stated, made / "run.json")
        try:
            if draw is not None:
                draw(made / REPORT)
        except Exception as found:  # whatever it is, the plan itself is sound
            (made / REPORT).unlink(missing_ok=True)
            fault = found
        put_in_place(made, folder, _left_over(folder, stated))
    except BaseException:
        # What of an earlier plan could not be put back stays there.
        if not any(stage.glob("old/*")):
            shutil.rmtree(stage, ignore_errors=True)
        raise
    for path in (stage, *unfinished):
        shutil.rmtree(path, ignore_errors=True)
    if fault is not None:
        raise fault
    return record


def _left_over(folder: Path, stated: dict[str, Any]) -> list[str]:
    """Files of an earlier plan, tables as it wrote them, that may not stay beside a new one."""
    try:
        earlier = json.loads((folder / "run.json").read_text("utf-8"))["sha256"]
        names = sorted(set(earlier) - set(stated["sha256"]))
    except (OSError, ValueError, KeyError, TypeError):
        return []  # no plan, or none that says what it wrote
    inputs = stated.get("inputs", {}).values()
    return [REPORT] * (folder / REPORT).is_file() + [
        name
        for name in names
        if (folder / name).is_file()
        and Path(name).name == name
        and str((folder / name).resolve()) not in inputs
        and file_digest(folder / name) == earlier[name]
    ]


def read_plan(folder: Path) -> Plan:
    """Read a plan folder.

    Raises:
      InputError: a file is missing or is not what `write_plan` makes.
    """
    if is_unfinished(folder):
        raise InputError(
            "the plan is unfinished: a run was stopped while it put its files in place",
            table=str(folder),
            remedy="run it again",
        )
    run = _read_json(folder / "run.json")
    kind = kind_named(run.get("command"))
    multipliers, order = _read_proof(folder / "proof.npz", kind)
    return Plan(
        kind,
        _read_selection(folder / "selection.csv"),
        _read_json(folder / "certificate.json"),
        multipliers,
        order,
        run,
    )


def order_digest(problem: Problem) -> str:
    """Digest of all ids in their order: what the indices of a proof refer to."""
    digest = hashlib.sha256()
    for ids in kind_of(problem).labels(problem):
        digest.update("\x1f".join(ids).encode() + b"\x1e")
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_selection(path: Path) -> pd.DataFrame:
    _check_present(path)
    try:
        return pd.read_csv(path, dtype="str", keep_default_na=False)
    except ValueError as fault:
        raise _unreadable(path, "CSV", fault) from fault


def _read_proof(path: Path, kind: Kind) -> tuple[Any, str]:
    _check_present(path)
    try:
        read, order = proof_from_bytes(path.read_bytes())
        proof = kind.proof(read) if read.left else None
        if read.left:
            raise ValueError(f"unknown array {read.left[0]!r}")
    except Exception as fault:  # damage may show anywhere below
        raise _unreadable(path, "a proof", fault) from fault
    return proof, order


def _write_json(record: dict[str, Any], path: Path) -> None:
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    with replacing(path) as file:
        file.write(text.encode() + b"\n")


def _read_json(path: Path) -> dict[str, Any]:
    _check_present(path)
    try:
        record = json.loads(path.read_text("utf-8"))
        if not isinstance(record, dict):
            raise ValueError("it holds no object")
    except ValueError as fault:
        raise _unreadable(path, "JSON", fault) from fault
    return record


def _check_present(path: Path) -> None:
    if not path.is_file():
        raise InputError(
            "there is no such file",
            table=str(path),
            remedy="give the folder that --out named when the plan was made",
        )


def _unreadable(path: Path, kind: str, fault: Exception) -> InputError:
    return InputError(
        f"cannot be read as {kind} ({fault})", table=str(path), remedy="make the plan again"
    )


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
