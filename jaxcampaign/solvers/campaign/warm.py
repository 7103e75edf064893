"""Where a search begins that knows an answer to another campaign: its prices, matched by row."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from jaxcampaign.errors import InputError
from jaxcampaign.problems.campaign import Campaign, CampaignMultipliers, Family
from jaxcampaign.problems.rows import Rows, Texts
from jaxcampaign.tables import OPTION_KEY

if TYPE_CHECKING:
    from jaxcampaign.solvers.solution import Solution


class Start(NamedTuple):
    """Prices to begin with.

    Attributes:
      multipliers: of the campaign that is to be solved; rows that nothing is known of have 0.
      complete: something is known of every row that has to be priced.
    """

    multipliers: CampaignMultipliers
    complete: bool


def start_from(problem: Campaign, warm: CampaignMultipliers | Solution) -> Start | None:
    """Prices of an earlier answer for a campaign.

    Rows are matched by what they are called and ask for, and by their group, whatever their order
    and limits; those that the earlier campaign has alone are left out. Multipliers without their
    campaign have no names: they must be of this campaign's rows, in their order.

    Returns:
      None where the earlier answer has no prices.

    Raises:
      InputError: what is given is neither an answer to a campaign nor prices of so many rows.
    """
    lower = problem.limits[0]
    if isinstance(warm, CampaignMultipliers):
        if warm.upper.shape != lower.shape or warm.lower.shape != lower.shape:
            raise InputError(
                f"prices of {len(warm.upper):,} rows have no names to find them by among the "
                f"{len(lower):,} of this campaign",
                table="solver",
                column="warm",
                remedy="pass the answer that they belong to",
            )
        return Start(beginning_at(problem, warm), complete=True)
    earlier = getattr(warm, "problem", None)
    if not isinstance(earlier, Campaign):
        raise InputError(
            "is no answer to a campaign",
            table="solver",
            column="warm",
            value=type(warm).__name__,
            remedy="pass a solution of a campaign, or its multipliers",
        )
    if warm.multipliers is None:
        return None
    same = _same_options(problem, earlier)
    match = matched_rows(problem, earlier, same_options=same)
    price = np.append(warm.multipliers.upper - warm.multipliers.lower, 0.0)[match]
    alike = same and problem.risk == earlier.risk
    weights = warm.multipliers.weights if alike else np.zeros(0)
    begin = 0
    complete = True
    for number, family in enumerate(problem.families):
        if number != problem.kept:
            complete &= bool((match[begin : begin + len(family)] >= 0).all())
        begin += len(family)
    return Start(_priced(problem, price, weights), complete)


def beginning_at(problem: Campaign, multipliers: CampaignMultipliers) -> CampaignMultipliers:
    """Prices of the same rows in the same order, with weights that this campaign's risk allows."""
    return _priced(problem, multipliers.upper - multipliers.lower, multipliers.weights)


def matched_rows(problem: Campaign, earlier: Campaign, *, same_options: bool) -> np.ndarray:
    """The row of an earlier campaign for each row of this one, int64[M]; -1 for none.

    Rows of families and then sparse rows. Those of the families that bounds keep have none, as they
    are not priced.

    Args:
      problem: the campaign.
      earlier: the other one.
      same_options: both have the same options, so that numbers of these mean the same.
    """
    found = np.full(len(problem.limits[0]), -1, np.int64)
    if problem is earlier:
        return np.arange(len(found))
    known = _blocks(earlier)
    for key, blocks in _blocks(problem).items():
        others = known.get(key)
        if others is None or (key.positions and not same_options):
            continue
        row, other_row = (np.concatenate([b.row for b in side]) for side in (blocks, others))
        columns, other_columns = (
            [np.concatenate(part) for part in zip(*(b.columns for b in side), strict=True)]
            for side in (blocks, others)
        )
        if len(row) == len(other_row) and all(map(np.array_equal, columns, other_columns)):
            found[row] = other_row
            continue
        place = _index(other_columns, len(other_row)).get_indexer(_index(columns, len(row)))
        found[row] = np.append(other_row, -1)[place]
    return found


class _Key(NamedTuple):
    """What rows of one kind have in common."""

    counted: str
    name: str
    reason: str
    n_columns: int
    positions: bool


class _Block(NamedTuple):
    """Rows of one kind: their numbers, and the columns that tell them apart."""

    row: np.ndarray
    columns: list[np.ndarray]


def _blocks(problem: Campaign) -> dict[_Key, list[_Block]]:
    found: dict[_Key, list[_Block]] = {}
    begin = 0
    parts: list[Family | Rows] = [*problem.families, problem.rows]
    for number, rows in enumerate(parts):
        names, reasons = rows.names, rows.reasons
        end = begin + len(rows)
        if number != problem.kept and isinstance(names, Texts) and isinstance(reasons, Texts):
            counted = rows.acts if isinstance(rows, Family) else "rows"
            for (name, columns), (reason, _) in zip(names.kinds, reasons.kinds, strict=True):
                # Numbers with a fraction are limits, which say nothing of which row it is.
                own = [column for column in columns if column.dtype.kind != "f"]
                positions = any(column.dtype.kind in "iu" for column in own)
                block = _Block(begin + np.arange(len(columns[0])), own)
                key = _Key(counted, name, reason, len(own), positions)
                found.setdefault(key, []).append(block)
                begin += len(columns[0])
        begin = end
    return found


def _index(columns: list[np.ndarray], n: int) -> pd.Index:
    """Rows by their columns and, where these repeat, by how often they stood before."""
    index = pd.MultiIndex.from_arrays([*columns, np.zeros(n, np.int64)])
    if index.is_unique:
        return index
    turn = pd.DataFrame(dict(enumerate(columns))).groupby(list(range(len(columns)))).cumcount()
    return pd.MultiIndex.from_arrays([*columns, turn.to_numpy()])


def _same_options(problem: Campaign, earlier: Campaign) -> bool:
    one, other = problem.options, earlier.options
    if one is other:
        return True
    return len(one) == len(other) and all(one[k].array.equals(other[k].array) for k in OPTION_KEY)


def _priced(problem: Campaign, price: np.ndarray, weights: np.ndarray) -> CampaignMultipliers:
    """Multipliers that prove something; weights that do not fit this campaign's risk begin anew."""
    try:
        problem.value_prices(weights)
    except ValueError:
        weights = CampaignMultipliers.zero(problem).weights
    if not problem.risk_aversion:
        weights = np.zeros(0)
    return CampaignMultipliers.of(problem, price, weights)
