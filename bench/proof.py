"""What `jaxcampaign verify` takes, and that it refuses an altered plan of New York.

    python bench/proof.py [--data DIR] [--seed 0]

The authors' New York instance is planned and verified once as it is. Then copies of the plan and
its input tables are altered, one thing at a time, as a mistake would leave them and as a forger
would: with every digest in run.json made to fit again, and with the number altered together with
those that follow from it. `verify` must refuse every copy. Results go to bench/results/proof.json.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from harness import add_data_flag, command_line, machine, print_table, write_results
from instances import published, write_instance

from jaxcampaign.cli import main as jaxcampaign


@dataclass(frozen=True)
class Copy:
    """A copy of a finished plan and of its input tables.

    Attributes:
      folder: where both lie.
    """

    folder: Path

    @property
    def plan(self) -> Path:
        """What --out named."""
        return self.folder / "plan"

    @property
    def inputs(self) -> Path:
        """Folder of the input tables."""
        return self.folder / "inputs"

    def selection(self) -> pd.DataFrame:
        """The rows of selection.csv as text."""
        return pd.read_csv(self.plan / "selection.csv", dtype="str")

    def write_selection(self, rows: pd.DataFrame) -> None:
        """Replace selection.csv."""
        rows.to_csv(self.plan / "selection.csv", index=False)

    def unsold(self) -> pd.DataFrame:
        """Slots that are not chosen, as selection.csv would truly describe them, cheapest first."""
        chosen = self.selection()
        slots = pd.read_parquet(self.inputs / "slots.parquet").sort_values("cost")
        pairs = pd.read_parquet(self.inputs / "pairs.parquet")
        influence = pairs["prob"].clip(upper=1).groupby(pairs["slot_id"]).sum()
        slots = slots.assign(influence=slots["slot_id"].map(influence))
        return slots.loc[~slots["slot_id"].isin(chosen["slot_id"]), chosen.columns].astype("str")

    def edit(self, name: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Change a JSON file of the plan in place."""
        path = self.plan / name
        record = json.loads(path.read_text())
        change(record)
        path.write_text(json.dumps(record, indent=2) + "\n")

    def forge_digests(self) -> None:
        """Make run.json state the digests of the files as they are now."""

        def digest(path: Path) -> str:
            return hashlib.sha256(path.read_bytes()).hexdigest()

        def change(run: dict[str, Any]) -> None:
            run["sha256"] = {name: digest(self.plan / name) for name in run["sha256"]}
            run["input_sha256"] = {
                name: digest(self.inputs / f"{name}.parquet") for name in run["input_sha256"]
            }

        self.edit("run.json", change)


def replace_slot(copy: Copy) -> None:
    rows = copy.selection()
    copy.write_selection(pd.concat([rows.iloc[1:], copy.unsold().iloc[:1]]))


def remove_slot(copy: Copy) -> None:
    copy.write_selection(copy.selection().iloc[1:])


def add_slot(copy: Copy) -> None:
    copy.write_selection(pd.concat([copy.selection(), copy.unsold().iloc[:1]]))


def repeat_slot(copy: Copy) -> None:
    rows = copy.selection()
    copy.write_selection(pd.concat([rows, rows.iloc[:1]]))


def demand_in_table(copy: Copy) -> None:
    path = copy.inputs / "demands.parquet"
    demands = pd.read_parquet(path)
    demands.loc[0, "demand"] -= 1
    demands.to_parquet(path, index=False)


def price_in_table(copy: Copy) -> None:
    path = copy.inputs / "slots.parquet"
    slots = pd.read_parquet(path)
    slots.loc[slots["slot_id"] == copy.selection()["slot_id"].iloc[0], "cost"] *= 0.5
    slots.to_parquet(path, index=False)


def demand_in_certificate(copy: Copy) -> None:
    def change(certificate: dict[str, Any]) -> None:
        certificate["per_product"][0]["demand"] -= 1

    copy.edit("certificate.json", change)


def _scale_price(copy: Copy, name: str, factor: float) -> None:
    """Change the largest multiplier of one kind."""
    path = copy.plan / "proof.npz"
    with np.load(path) as proof:
        arrays = {key: proof[key] for key in proof.files}
    arrays[name][np.argmax(arrays[name])] *= factor
    np.savez_compressed(path, allow_pickle=False, **arrays)


def demand_multiplier(copy: Copy) -> None:
    _scale_price(copy, "demand", 1.001)


def cut_multiplier(copy: Copy) -> None:
    _scale_price(copy, "cut", 0.999)


def negative_multiplier(copy: Copy) -> None:
    _scale_price(copy, "cut", -1.0)


def stated_bound(copy: Copy) -> None:
    def change(certificate: dict[str, Any]) -> None:
        for name in ("bound", "rechecked_bound"):
            certificate[name] *= 1.01
        certificate["gap"] = 1 - certificate["bound"] / certificate["cost"]

    copy.edit("certificate.json", change)


def stated_cost(copy: Copy) -> None:
    def change(certificate: dict[str, Any]) -> None:
        for name in ("cost", "value"):
            certificate[name] *= 0.99
        certificate["gap"] = 1 - certificate["bound"] / certificate["cost"]

    copy.edit("certificate.json", change)


def branch_and_bound_bound(copy: Copy) -> None:
    def change(certificate: dict[str, Any]) -> None:
        bound = 0.5 * (certificate["bound"] + certificate["cost"])
        certificate |= {"bound": bound, "solver_bound": bound, "bound_proof": "branch_and_bound"}
        certificate["gap"] = 1 - bound / certificate["cost"]

    copy.edit("certificate.json", change)


TAMPERINGS: dict[str, Callable[[Copy], None]] = {
    "slot replaced in selection.csv": replace_slot,
    "slot removed from selection.csv": remove_slot,
    "slot added to selection.csv": add_slot,
    "slot repeated in selection.csv": repeat_slot,
    "demand lowered in the demands table": demand_in_table,
    "price lowered in the slots table": price_in_table,
    "demand lowered in certificate.json": demand_in_certificate,
    "demand multiplier + 0.1 % in proof.npz": demand_multiplier,
    "cut multiplier - 0.1 % in proof.npz": cut_multiplier,
    "cut multiplier made negative": negative_multiplier,
    "stated bound + 1 %": stated_bound,
    "stated cost - 1 %": stated_cost,
    "bound said to come from branch and bound": branch_and_bound_bound,
}


def verify(copy: Copy) -> tuple[int, list[str]]:
    """Exit status of `jaxcampaign verify`, run in this process, and the claims that fail."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = jaxcampaign(["verify", str(copy.plan), "--inputs", str(copy.inputs)])
    lines = printed.getvalue().splitlines()
    failed = [line.removeprefix("FAILED").strip() for line in lines if line.startswith("FAILED")]
    return code, failed or [line for line in lines if "error" in line]


def tamper(original: Copy, scratch: Path) -> list[dict[str, Any]]:
    """Alter a copy at a time, with and without forged digests."""
    rows = []
    for text, alter in TAMPERINGS.items():
        for forged in (False, True):
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                copy = Copy(Path(folder) / "copy")
                shutil.copytree(original.folder, copy.folder)
                alter(copy)
                if forged:
                    copy.forge_digests()
                code, failed = verify(copy)
            row = {"tampering": text, "digests_forged": forged, "refused": code != 0}
            rows.append(row | {"exit_code": code, "failed_claims": failed})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="What verify takes and refuses.")
    add_data_flag(parser)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        original = Copy(Path(scratch) / "original")
        arguments = write_instance(published(args.data, "nyc"), original.inputs)
        made = command_line(
            "billboards", *arguments, "--seed", str(args.seed), "--out", original.plan
        )
        checked = command_line("verify", original.plan)
        if made.code or checked.code:
            raise SystemExit(f"the untouched plan fails:\n{made.stdout}{checked.stdout}")
        # Multipliers by name are altered, so this plan's proof is not a tree of them.
        simple = Copy(Path(scratch) / "simple")
        write_instance(published(args.data, "nyc"), simple.inputs)
        flags = [str(flag).replace(str(original.inputs), str(simple.inputs)) for flag in arguments]
        command_line("billboards", *flags, "--solver", "lp-rounding", "--out", simple.plan)
        if command_line("verify", simple.plan).code:
            raise SystemExit("the untouched plan of LP rounding fails")
        rows = tamper(simple, Path(scratch))
    refused = sum(row["refused"] for row in rows)
    record = {
        **machine(),
        "plan_wall_s": made.seconds,
        "verify_wall_s": checked.seconds,
        "verify_cpu_s": checked.cpu_seconds,
        "verify_says": checked.stdout.splitlines()[-1],
        "tamperings": len(rows),
        "refused": refused,
        "rows": rows,
    }
    print(f"on {record['cpu']}, load {record['load_average']:.1f}")
    shown = [
        row
        | {
            "forged": "yes" if row["digests_forged"] else "no",
            "refused": "yes" if row["refused"] else "NO",
            "claims that fail": "; ".join(
                claim.partition(" (")[0] for claim in row["failed_claims"]
            ),
        }
        for row in rows
    ]
    print_table(shown, {"tampering": "", "forged": "", "refused": "", "claims that fail": "<"})
    print(
        f"verify: {record['verify_says']}; {checked.seconds:.1f} s with start-up\n"
        f"{refused} of {len(rows)} altered plans refused"
    )
    write_results("proof", record)


if __name__ == "__main__":
    main()
