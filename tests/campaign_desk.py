"""A small table of options on which the command campaign is tried."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from jaxcampaign.cli import main

RULES = """
budget = 90
risk_aversion = 0.3
solver = "mixed-integer"

[[at_most]]
k = 2
per = ["influencer_id"]

[[at_least]]
k = 2
per = "event_id"

[[max_share]]
share = 0.5
per = ["genre"]
of = "spend"
"""


def options_table(n: int = 40, seed: int = 0) -> pd.DataFrame:
    """Options of a few influencers, with ids that readers like to turn into numbers."""
    rng = np.random.default_rng(seed)
    who = rng.integers(0, 9, n)
    mean = rng.normal(8, 4, n).round(3)
    posted = pd.Timestamp("2026-03-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 30, n), "D")
    table = pd.DataFrame(
        {
            "influencer_id": np.array(["007", "NA", "é", "i3", "i4", "i5", "i6", "i7", "i8"])[who],
            "content_type": np.array(["reel", "story"])[rng.integers(0, 2, n)],
            "event_id": np.array(["launch", "gala", "tour"])[rng.integers(0, 3, n)],
            "offset_hours": 6.5 * np.arange(n) - 100,
            "posted_at": posted.as_unit("us"),
            "genre": np.array(["art", "music", "sport"])[who % 3],
            "followers": rng.integers(1, 50, n) * 1000.0,
            "price": rng.integers(2, 20, n).astype(float),
            "mean": mean,
            "std": rng.uniform(0, 3, n).round(3),
        }
    )
    members = {f"member_{k}": mean + rng.normal(0, 1.5, n) for k in range(4)}
    return table.assign(**members)


def lay_out(folder: Path, rules: str = RULES, table: pd.DataFrame | None = None) -> None:
    """Write `options.parquet` and `plan.toml`."""
    folder.mkdir(parents=True, exist_ok=True)
    table = options_table() if table is None else table
    table.to_parquet(folder / "options.parquet", index=False)
    (folder / "plan.toml").write_text(rules, "utf-8")


def run_campaign(folder: Path, out: Path, *flags: object, frontier: bool = False) -> int:
    """The command on what `lay_out` wrote; other budgets only if they are asked for."""
    flags = flags if frontier else ("--no-frontier", *flags)
    args = ["campaign", "--effectiveness", folder / "options.parquet"]
    args += ["--config", folder / "plan.toml", *flags, "--out", out]
    return main([str(arg) for arg in args])
