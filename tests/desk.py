"""A desk of small input tables on which the command line is tried."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

import jaxcampaign as jc
from jaxcampaign.cli import main

# Three boards in Manhattan, six check-ins within 30 m of them, one far away.
CHECKINS = pd.DataFrame(
    {
        "user_id": ["u1", "u2", "u3", "u1", "u4", "u5", "u6"],
        "time": [f"2026-03-16 {hour:02d}:10:00" for hour in (8, 8, 9, 9, 17, 17, 20)],
        "lat": [40.7500, 40.7501, 40.7500, 40.7600, 40.7601, 40.7702, 40.9000],
        "lon": [-73.9900, -73.9901, -73.9902, -73.9800, -73.9800, -73.9700, -73.8000],
    }
)
BILLBOARDS = pd.DataFrame(
    {
        "board_id": ["b1", "b2", "b3"],
        "lat": [40.7500, 40.7600, 40.7700],
        "lon": [-73.9900, -73.9800, -73.9700],
        "size": [300.0, 672.0, 672.0],
        "cost": [3.0, 2.0, 4.0],
    }
)
SLOTS = pd.DataFrame(
    {
        "slot_id": ["s1", "s2", "s3"],
        "board_id": ["b1", "b1", "b2"],
        "start_min": [480, 540, 480],
        "end_min": [540, 600, 540],
        "cost": [3.0, 2.0, 4.0],
    }
)
PAIRS = pd.DataFrame(
    {
        "slot_id": ["s1", "s1", "s2", "s2", "s3", "s3"],
        "user_id": ["u1", "u2", "u2", "u3", "u4", "u5"],
        "prob": [0.5, 0.25, 0.75, 1.0, 0.5, 0.5],
    }
)
AUDIENCES = pd.DataFrame(
    {
        "product_id": ["coffee", "coffee", "coffee", "gym", "gym"],
        "user_id": ["u1", "u2", "u3", "u4", "u5"],
    }
)
DEMANDS = pd.DataFrame({"product_id": ["coffee", "gym"], "demand": [0.9, 0.4]})

RAW = {
    "checkins": CHECKINS,
    "billboards": BILLBOARDS,
    "audiences": AUDIENCES,
    "demands": DEMANDS,
}
READY = {"pairs": PAIRS, "slots": SLOTS, "audiences": AUDIENCES, "demands": DEMANDS}

Edit = Callable[[pd.DataFrame], Any]


class Desk:
    """A folder of input tables, and the commands that are run on it."""

    def __init__(self, folder: Path, capsys):
        self.folder = folder
        self.plan = folder / "plan"
        self.capsys = capsys
        self.files: dict[str, Path] = {}

    def lay_out(self, tables: dict[str, pd.DataFrame], **edits: Edit) -> Desk:
        """Write tables, those that are edited as CSV: what `edit` returns, else what it changed."""
        for name, table in tables.items():
            suffix = "csv" if name in edits else "parquet"
            path = self.files[name] = self.folder / f"{name}.{suffix}"
            if name in edits:
                changed = edits[name](table := table.astype(object))
                table = table if changed is None else changed
                table.to_csv(path, index=False, na_rep="nan")
            else:
                table.to_parquet(path, index=False)
        return self

    def run(self, *flags: object) -> int:
        given = [text for name, path in self.files.items() for text in (f"--{name}", path)]
        args = ["billboards", *given, "--slot-minutes", 60, "--solver", "greedy", *flags]
        return main([str(arg) for arg in (*args, "--out", self.plan)])

    def refused(self, *flags: object) -> str:
        """The message of a refusal, after what every refusal must be."""
        self.capsys.readouterr()
        code = self.run(*flags)
        shown = self.capsys.readouterr()
        assert code == 2, shown
        assert shown.out == ""
        assert not self.plan.exists()
        start = shown.err.index("jaxcampaign: error: ")
        message = shown.err[start:].removeprefix("jaxcampaign: error: ")
        assert message.count("\n") == 1  # one block
        assert "; " in message  # a remedy
        return message

    def certificate(self) -> dict[str, Any]:
        return json.loads((self.plan / "certificate.json").read_text("utf-8"))

    def selection(self) -> pd.DataFrame:
        return pd.read_csv(self.plan / "selection.csv", dtype="str", keep_default_na=False)


def set_value(column: str, value: Any, row: int = 1) -> Edit:
    def edit(table: pd.DataFrame) -> None:
        table.loc[row, column] = value

    return edit


def small_influence() -> jc.Influence:
    return jc.Influence.from_pairs(PAIRS, SLOTS)


def says(message: str, *words: object) -> None:
    for word in words:
        assert str(word) in message, f"{word!r} is missing in: {message}"


def verified(desk: Desk) -> bool:
    return main(["verify", str(desk.plan)]) == 0
