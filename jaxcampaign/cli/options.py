"""What each command takes: one record per command, its attributes are the flags."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from jaxcampaign.plans import BillboardInputs, CampaignInputs

SolverName = Literal[
    "auto",
    "greedy",
    "stochastic-greedy",
    "top-k",
    "random",
    "lp-rounding",
    "branch-and-cut",
    "bicriteria",
    "permutation-sampling",
    "mixed-integer",
    "brute-force",
]
CampaignSolverName = Literal["auto", "dual-decomposition", "mixed-integer", "lp-rounding", "greedy"]
Device = Literal["auto", "cpu", "gpu"]


@dataclass(frozen=True, kw_only=True)
class Billboards(BillboardInputs):
    """Choose billboard slots: least cost for given demands, or most influence for a budget.

    Files are CSV or Parquet by suffix. Exit status: 0 done, 2 bad input, 3 infeasible,
    4 a limit was hit: the best plan so far, feasible or not; 75 stopped by SIGTERM or Ctrl-C: the
    best plan so far if there is a feasible one, else nothing is written.

    Attributes:
      out: Folder that receives selection.csv, certificate.json, proof.npz, report.html, run.json.
      solver: How to search; auto chooses by size and says which.
      time_limit: Seconds for the search; without it, branch and cut takes up to a minute.
      device: Where kernels run; a device that is not there is refused.
      config: TOML file of these options by name (radius_m = 100); given flags win.
      json: Print certificate.json, and nothing else, to standard output.
    """

    out: Path
    solver: SolverName = "auto"
    time_limit: float | None = None
    device: Device = "auto"
    config: Path | None = None
    json: bool = False

    def inputs(self) -> BillboardInputs:
        """The options that define the problem."""
        return BillboardInputs(**{f.name: getattr(self, f.name) for f in fields(BillboardInputs)})


_Rules = Annotated[tuple[dict[str, Any], ...], tyro.conf.Suppress]
_Rule = Annotated[dict[str, Any] | None, tyro.conf.Suppress]


@dataclass(frozen=True, kw_only=True)
class Campaigns(CampaignInputs):
    """Choose influencer posts: the most valuable ones that a budget and constraints allow.

    Files are CSV or Parquet by suffix. Constraints stand in the file of --config, with the Python
    names: [[at_most]], [[at_least]], [[max_share]], [[require]], [[exclude]], [[conflict]],
    [spending], [risk], [where]. Exit status: 0 done, 2 bad input, 3 infeasible, 4 a limit was hit:
    the best plan so far; 75 stopped by SIGTERM or Ctrl-C: the best plan so far if there is a
    feasible one, else nothing is written.

    Attributes:
      out: Folder that receives selection.csv, certificate.json, proof.npz, report.html, run.json,
        and options.parquet, the predictions, where data was given.
      solver: How to search; auto chooses by size and says which.
      time_limit: Seconds for the search; without it, up to a minute.
      device: Where kernels run; a device that is not there is refused.
      frontier: Whether half to one and a half of the budget are planned as well, for the report;
        each of these four plans takes a fifth of the seconds of the first at most, or two.
      config: TOML file of these options by name (budget = 50000) and of rules; given flags win.
      json: Print certificate.json, and nothing else, to standard output.
    """

    out: Path
    solver: CampaignSolverName = "auto"
    time_limit: float | None = None
    frontier: bool = True
    device: Device = "auto"
    config: Path | None = None
    json: bool = False
    constraints: _Rules = ()
    spending: _Rule = None
    risk: _Rule = None
    where: _Rule = None

    def inputs(self) -> CampaignInputs:
        """The options that define the problem."""
        return CampaignInputs(**{f.name: getattr(self, f.name) for f in fields(CampaignInputs)})


@dataclass(frozen=True)
class Demo:
    """Plan a seeded synthetic city and campaign, from raw tables to certified plans and reports.

    Attributes:
      out: Folder that receives the input tables and the plan of the city, and in its folder
        campaign those of the campaign.
      seed: Seed of both.
      device: Where kernels run.
    """

    out: Path = Path("demo")
    seed: int = 0
    device: Device = "auto"


@dataclass(frozen=True)
class SynthCity:
    """Write a seeded synthetic city: tables checkins, billboards, audiences and demands.

    Attributes:
      out: Folder that receives the tables.
      n_users: People.
      n_boards: Billboards.
      n_products: Products.
      days: Days of trajectories.
      checkins_per_user: Mean number of check-ins per user.
      demand_ratio: Alpha: sum of the demands as a share of the supply, the sum of I({s}).
      radius_m: Radius that the supply is reckoned with.
      slot_minutes: Length of the slots that the supply is reckoned with.
      seed: Seed of the city.
      format: File format.
    """

    out: Path
    n_users: int = 2_000
    n_boards: int = 200
    n_products: int = 12
    days: int = 7
    checkins_per_user: float = 40.0
    demand_ratio: float = 0.02
    radius_m: float = 100.0
    slot_minutes: int = 60
    seed: int = 0
    format: Literal["csv", "parquet"] = "parquet"


@dataclass(frozen=True)
class SynthCampaign:
    """Write a seeded synthetic influencer campaign and, in the folder truth, what is true of it.

    The truth: mean, deviation and parts of every post of history and of every option that can be
    planned at the cut-off, planned_at.

    Attributes:
      out: Folder that receives the tables.
      n_influencers: Influencers.
      n_events: Past events.
      n_future_events: Events to be planned.
      n_history: Rows of history.
      days: Length of the past.
      cold: Share of influencers without history.
      non_additive: Share of the variance that is not additive over the three sources.
      drift: Change of a content type's appeal per year.
      seed: Seed of the campaign.
      format: File format.
    """

    out: Path
    n_influencers: int = 400
    n_events: int = 150
    n_future_events: int = 12
    n_history: int = 20_000
    days: int = 730
    cold: float = 0.1
    non_additive: float = 0.0
    drift: float = 0.1
    seed: int = 0
    format: Literal["csv", "parquet"] = "parquet"


@dataclass(frozen=True)
class Synth:
    """Write the tables of a seeded synthetic world.

    Attributes:
      world: Which world.
    """

    world: (
        Annotated[SynthCity, tyro.conf.subcommand("city")]
        | Annotated[SynthCampaign, tyro.conf.subcommand("campaign")]
    )


@dataclass(frozen=True)
class Verify:
    """Recheck a finished plan from its input tables and stored multipliers, with no solver.

    Exit status 0 only if every claim holds.

    Attributes:
      folder: What --out named when the plan was made.
      inputs: Folder that holds the input tables now, if they were moved.
      strict: Refuse a bound that rests on a branch and bound's word, which cannot be rechecked.
    """

    folder: tyro.conf.Positional[Path]
    inputs: Path | None = None
    strict: bool = False
