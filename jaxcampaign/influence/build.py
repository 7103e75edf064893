"""From trajectories and an inventory to an influence matrix: exposure, then link, then cost."""

from __future__ import annotations

import difflib

import numpy as np
import pandas as pd

from jaxcampaign.errors import InputError
from jaxcampaign.influence.exposure import count_exposures
from jaxcampaign.influence.links import Link, SizeRatio
from jaxcampaign.influence.matrix import Influence
from jaxcampaign.influence.supply import influence_proportional_cost
from jaxcampaign.tables import check_overlap, validate

_CLOCKS = ("utc", "local")


def build_influence(
    checkins: pd.DataFrame,
    billboards: pd.DataFrame,
    *,
    radius_m: float = 100.0,
    slot_minutes: int = 5,
    clock: str = "utc",
    link: Link | None = None,
    cost_seed: int = 0,
    memory_limit_gb: float | None = None,
) -> Influence:
    """Chance that each slot influences each user.

    User u can be influenced by slot s when u has a check-in within `radius_m` of the board in the
    slot's window `[start, end)` of the day, on any date (arXiv 2510.09050, section 2).

    Args:
      checkins: user_id, time, lat, lon.
      billboards: board_id, lat, lon, size, [cost], [time_zone]. `cost` is the price of one slot
        of the board; without it slots cost what the literature's experiments assume,
        `d * I({s}) / 10` with d uniform on [0.9, 1.1], seeded.
      radius_m: metres from board to check-in.
      slot_minutes: length of a slot; the day is cut into windows of it.
      clock: "utc" or "local" minutes of the day; local needs billboards' time_zone.
      link: from size (a share of the largest) and hits to probability; `SizeRatio()` by default.
      cost_seed: seed of the costs, where billboards has none.
      memory_limit_gb: refuse to allocate more; by default what the machine has free.

    Raises:
      InputError: tables that are malformed or in different places, parameters out of range, or
        no check-in within the radius of any board.
      MemoryLimitError: the estimated memory is above the limit.
    """
    checkins = validate("checkins", checkins)
    billboards = validate("billboards", billboards)
    check_overlap(checkins, billboards)
    if clock not in _CLOCKS:
        near = difflib.get_close_matches(str(clock), _CLOCKS, n=1)
        raise InputError(
            "must be 'utc' or 'local'",
            table="clock",
            value=clock,
            remedy=f"did you mean {near[0]!r}?" if near else "choose one",
        )
    # By id, so that the order of input rows never changes an answer.
    billboards = billboards.sort_values("board_id", kind="stable").reset_index(drop=True)
    exposures = count_exposures(
        checkins,
        billboards,
        radius_m=radius_m,
        slot_minutes=slot_minutes,
        clock=clock,
        memory_limit_gb=memory_limit_gb,
    )
    if not len(exposures.hits):
        raise InputError(
            f"no check-in lies within {radius_m:g} m of any billboard",
            table="checkins",
            remedy="raise radius_m, or check that both tables cover the same streets",
        )
    size = billboards["size"].to_numpy(np.float64)
    slot = exposures.slot
    ratio = size[exposures.board[slot]] / size.max()
    prob = (SizeRatio() if link is None else link)(ratio, exposures.hits)
    slots = _slot_table(exposures, billboards)
    if "cost" in billboards:
        slots["cost"] = billboards["cost"].to_numpy(np.float64)[exposures.board]
    else:
        singleton = np.bincount(slot, weights=prob, minlength=len(slots))
        slots["cost"] = influence_proportional_cost(
            singleton, seed=cost_seed, slot_ids=slots["slot_id"].to_numpy(object)
        )
    return Influence.from_arrays(slot, exposures.user, prob, slots, exposures.user_ids)


def _slot_table(exposures, billboards: pd.DataFrame) -> pd.DataFrame:
    board_id = billboards["board_id"].take(exposures.board).reset_index(drop=True)
    start = pd.Series(exposures.start_min)
    hour, minute = (start // 60).astype("str"), (start % 60).astype("str")
    label = board_id + "@" + hour.str.zfill(2) + ":" + minute.str.zfill(2)
    return pd.DataFrame(
        {
            "slot_id": label.astype("str"),
            "board_id": board_id,
            "start_min": exposures.start_min.astype(np.int64),
            "end_min": exposures.end_min.astype(np.int64),
        }
    )
