"""From a configuration to a billboard problem, alike for making and for rechecking a plan."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from jaxcampaign.errors import InputError
from jaxcampaign.influence import (
    Clip,
    IndependentExposures,
    Influence,
    ProportionalHits,
    SizeRatio,
    build_influence,
)
from jaxcampaign.plans.records import from_record
from jaxcampaign.problems import BudgetedSlots, CommonSlots, DisjointSlots, SlotProblem
from jaxcampaign.tables import (
    read_audiences,
    read_billboards,
    read_checkins,
    read_demands,
    read_pairs,
    read_slots,
)

_LINKS = {
    "size-ratio": SizeRatio(),
    "independent-exposures": IndependentExposures(),
    "proportional-hits": Clip(ProportionalHits()),
}
TABLES = ("checkins", "billboards", "pairs", "slots", "audiences", "demands")


@dataclass(frozen=True)
class BillboardInputs:
    """Everything that defines a billboard problem: files and parameters.

    Attributes:
      problem: Least cost for given demands with one set of slots for all products (common) or a
        set each (disjoint), or most influence for a limit (budgeted).
      checkins: Trajectories: user_id, time, lat, lon; with billboards.
      billboards: Inventory: board_id, lat, lon, size, [cost], [time_zone].
      pairs: Ready-made slot_id, user_id, prob, instead of trajectories and inventory.
      slots: Table slot_id, board_id, start_min, end_min, cost; goes with pairs.
      audiences: Table product_id, user_id; without it (budgeted only) every user counts once.
      demands: Table product_id, demand, [max_slots], [weight].
      budget: Most money to spend (budgeted).
      max_slots: Most slots to buy (budgeted), or for each product, where demands has no such column
        (disjoint).
      radius_m: Metres within which a board is seen.
      slot_minutes: Length of a slot.
      clock: Time of day of the slots.
      link: From panel size and visits to a probability.
      clip: Take probabilities above 1 in pairs as 1 instead of refusing them.
      seed: Seed of everything that is random.
    """

    problem: Literal["common", "disjoint", "budgeted"] = "common"
    checkins: Path | None = None
    billboards: Path | None = None
    pairs: Path | None = None
    slots: Path | None = None
    audiences: Path | None = None
    demands: Path | None = None
    budget: float | None = None
    max_slots: int | None = None
    radius_m: float = 100.0
    slot_minutes: int = 5
    clock: Literal["utc", "local"] = "utc"
    link: Literal["size-ratio", "independent-exposures", "proportional-hits"] = "size-ratio"
    clip: bool = False
    seed: int = 0

    def files(self) -> dict[str, Path]:
        """The input files that are given, by table."""
        given = {name: getattr(self, name) for name in TABLES}
        return {name: Path(path) for name, path in given.items() if path is not None}

    def to_record(self) -> dict[str, Any]:
        """Plain values for JSON, paths made absolute."""
        record = asdict(self)
        return record | {name: str(path.resolve()) for name, path in self.files().items()}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> BillboardInputs:
        """The inverse of `to_record`."""
        return from_record(cls, record, source="run.json")

    def check(self) -> None:
        """Refuse combinations that make no problem.

        Raises:
          InputError: files are missing or do not belong together.
        """
        raw, ready = (self.checkins, self.billboards), (self.pairs, self.slots)
        if (None in raw) == (None in ready) or (any(raw) and any(ready)):
            raise InputError(
                "influence needs either checkins and billboards, or pairs and slots",
                table="inputs",
                remedy="pass --checkins F --billboards F, or --pairs F --slots F",
            )
        if self.problem == "budgeted":
            return
        for name in ("audiences", "demands"):
            if getattr(self, name) is None:
                raise InputError(
                    f"the {self.problem} problem needs it", table=name, remedy=f"pass --{name} F"
                )
        for name in ("budget",) if self.problem == "disjoint" else ("budget", "max_slots"):
            if getattr(self, name) is not None:
                raise InputError(
                    f"the {self.problem} problem has no such limit",
                    table=name,
                    value=getattr(self, name),
                    remedy="use --problem budgeted, or leave it out",
                )


@dataclass(frozen=True, eq=False)
class Loaded:
    """A problem with the tables that a report draws.

    Attributes:
      problem: what is asked.
      checkins: trajectories; None where ready-made pairs were given.
      billboards: the inventory; None where ready-made pairs were given.
    """

    problem: SlotProblem
    checkins: pd.DataFrame | None
    billboards: pd.DataFrame | None


def load_billboards(inputs: BillboardInputs) -> Loaded:
    """Read and check every table, derive the influence, state the problem.

    Raises:
      InputError: anything that is wrong with the input, before any solver runs.
    """
    inputs.check()
    checkins = billboards = None
    if inputs.pairs is not None and inputs.slots is not None:
        pairs = read_pairs(inputs.pairs, clip=inputs.clip)
        influence = Influence.from_pairs(pairs, read_slots(inputs.slots))
    else:
        assert inputs.checkins is not None and inputs.billboards is not None
        checkins, billboards = read_checkins(inputs.checkins), read_billboards(inputs.billboards)
        influence = build_influence(
            checkins,
            billboards,
            radius_m=inputs.radius_m,
            slot_minutes=inputs.slot_minutes,
            clock=inputs.clock,
            link=_LINKS[inputs.link],
            cost_seed=inputs.seed,
        )
    audiences = None if inputs.audiences is None else read_audiences(inputs.audiences)
    demands = None if inputs.demands is None else read_demands(inputs.demands)
    problem: SlotProblem
    if inputs.problem == "common":
        problem = CommonSlots(influence, audiences, None, demands)
    elif inputs.problem == "disjoint":
        problem = DisjointSlots(influence, audiences, None, demands, inputs.max_slots)
    else:
        problem = BudgetedSlots(
            influence,
            audiences,
            budget=inputs.budget,
            max_slots=inputs.max_slots,
            weight=1.0 if demands is None else demands,
        )
    return Loaded(problem, checkins, billboards)
