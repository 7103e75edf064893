"""Running `jaxcampaign billboards` on the tables of a small city, and what verification says."""

from __future__ import annotations

import json
from pathlib import Path

from alterations import HASHED, Alteration, Case

from jaxcampaign.cli import main

CITY_TABLES = ("checkins", "billboards", "audiences", "demands")


def run_billboards(inputs: Path, out: Path, *flags: object, tables=CITY_TABLES) -> int:
    given = [text for name in tables for text in (f"--{name}", inputs / f"{name}.parquet")]
    args = ["billboards", *given, "--slot-minutes", 60, *flags, "--out", out]
    return main([str(arg) for arg in args])


def check_refused(case: Case, alter: Alteration, capsys) -> None:
    alter(case)
    assert case.verify() in (1, 2)
    # The digests catch it all. Whoever alters a plan can alter those too: then only sums speak.
    if all((case.plan / name).is_file() for name in HASHED) and _states_inputs(case.plan):
        case.forge_digests()
    capsys.readouterr()
    code = case.verify()
    shown = capsys.readouterr()
    assert code in (1, 2), shown.out
    if code == 2:
        assert shown.err.startswith("jaxcampaign: error: ")
        assert "; " in shown.err  # a remedy follows the problem
    else:
        lines = shown.out.splitlines()
        assert any(line.startswith("FAILED") and "digest" not in line for line in lines)
    assert not (case.plan / "exploded").exists()


def _states_inputs(plan: Path) -> bool:
    try:
        return isinstance(json.loads((plan / "run.json").read_text()).get("inputs"), dict)
    except ValueError:
        return False
