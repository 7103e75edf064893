"""What would have to give way so that a campaign's constraints can all be kept."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import NamedTuple

import highspy
import numpy as np
import pandas as pd
from scipy import sparse

from jaxcampaign.problems.campaign import Campaign, CampaignMultipliers, Decision, violations
from jaxcampaign.problems.campaign.assessment import limited
from jaxcampaign.problems.campaign.money import up_to_cents
from jaxcampaign.relaxations.campaign.rows import CoreRows
from jaxcampaign.relaxations.simplex import quiet_highs, run_until_stopped, wide_options

# What has to give way is nothing below this share of a limit.
_NOTHING = 1e-7
# Share of the time for the relaxation, whose prices may prove what is found.
_RELAXED_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Conflicting:
    """The smallest change of limits that leaves a plan.

    Attributes:
      chosen: bool[N], a plan that keeps the changed limits; the best partial answer.
      spend: float64[N], money that its options get; None for their prices.
      table: one row per limit that has to change: row, have, need, change, reason. `need` is the
        limit as it stands, `have` what the plan manages.
      multipliers: prices that prove that not all rows can be kept, where fractions of options
        could not keep them either.
      budget: with which all other limits could be kept as they are, the least that was found; None
        where there is none, or none was found.
    """

    chosen: np.ndarray
    spend: np.ndarray | None
    table: pd.DataFrame
    multipliers: CampaignMultipliers | None
    budget: float | None


def smallest_change(problem: Campaign, *, seconds: float = 10.0) -> Conflicting | None:
    """The plan whose rows are broken least: in all, as shares of their limits.

    Args:
      problem: a campaign; options are paid as little as may be where all limits of money are upper
        ones, and in full otherwise.
      seconds: time limit of the relaxation, which has half of it, and the search for whole options.

    Returns:
      None where nothing has to change, or no answer was found in time.
    """
    end = time.monotonic() + seconds
    core = np.arange(problem.n_items)
    money = problem.least_payment if _less_is_better(problem) else problem.price
    rows = CoreRows.of(problem, core, np.zeros(problem.n_items, bool), money)
    left = end - time.monotonic()
    relaxed = _solve(problem, rows, integer=False, seconds=_RELAXED_SHARE * left)
    multipliers = None
    if relaxed is not None and relaxed.finished and relaxed.change > _NOTHING:
        price = rows.prices(problem, relaxed.dual)
        weights = CampaignMultipliers.zero(problem).weights
        multipliers = CampaignMultipliers.of(problem, price, weights)
    whole = _solve(problem, rows, integer=True, seconds=end - time.monotonic())
    if whole is None or whole.change <= _NOTHING:
        return None
    plan = Decision(whole.chosen, np.where(whole.chosen, money, 0.0))
    spend = None if problem.spending.least == 1 else plan.spend
    table = _table(problem, plan)
    budget = _budget_for(problem, plan)
    if problem.budget is not None and budget is None:
        seconds = end - time.monotonic()
        richer = _solve(problem, rows, integer=True, seconds=seconds, gives_way=rows.number == 0)
        if richer is not None:
            other = Decision(richer.chosen, np.where(richer.chosen, money, 0.0))
            budget = _budget_for(problem, other)
    return Conflicting(plan.chosen, spend, table, multipliers, budget)


def _budget_for(problem: Campaign, plan: Decision) -> float | None:
    """The budget that a plan needs, in cents; None if that does not make it keep every limit."""
    if problem.budget is None:
        return None
    budget = float(up_to_cents(plan.spend.sum())) / 100
    return None if violations(problem.with_budget(budget), plan) else budget


def _less_is_better(problem: Campaign) -> bool:
    """Whether a plan that pays less for its options keeps all rows of money that it kept."""
    return not any(
        family.acts == "spend" and (family.share or np.isfinite(family.lower).any())
        for family in problem.families
    )


class _Elastic(NamedTuple):
    """Plan bool[N], what gives way in all, signed duals of the maximised form, not cut short."""

    chosen: np.ndarray
    change: float
    dual: np.ndarray
    finished: bool


def _solve(
    problem: Campaign,
    rows: CoreRows,
    *,
    integer: bool,
    seconds: float,
    gives_way: np.ndarray | None = None,
) -> _Elastic | None:
    """The program with limits that give way, all or some; None without an answer in time."""
    n_rows, n_columns = rows.matrix.shape
    n_families = sum(map(len, problem.families))
    firm = rows.number < 0
    sparse_rows = rows.number >= n_families
    firm[sparse_rows] = problem.definitions[rows.number[sparse_rows] - n_families]
    if gives_way is not None:
        firm |= ~gives_way
    down = np.flatnonzero(np.isfinite(rows.lower) & ~firm)
    up = np.flatnonzero(np.isfinite(rows.upper) & ~firm)
    giving = np.concatenate([down, up])
    sign = np.repeat([1.0, -1.0], [len(down), len(up)])
    shape = (n_rows, len(giving))
    slack = sparse.coo_array((sign, (giving, np.arange(len(giving)))), shape=shape)
    limit = np.concatenate([rows.lower[down], rows.upper[up]])
    cost = 1 / np.maximum(np.abs(limit), 1.0)
    least, most = rows.limits_of_columns(problem)
    model = highspy.HighsLp()
    rows.add_to(model)
    matrix = sparse.csr_array(sparse.hstack([rows.matrix, slack], format="csr"))
    model.num_col_ = n_columns + len(giving)
    model.col_cost_ = np.concatenate([np.zeros(n_columns), cost])
    model.col_lower_ = np.concatenate([least, np.zeros(len(giving))])
    model.col_upper_ = np.concatenate([most, np.full(len(giving), highspy.kHighsInf)])
    model.a_matrix_.start_, model.a_matrix_.index_ = matrix.indptr, matrix.indices
    model.a_matrix_.value_ = matrix.data
    options = {"time_limit": max(seconds, 0.01)} if np.isfinite(seconds) else {}
    if integer:
        whole = [highspy.HighsVarType.kInteger] * (problem.n_items + problem.n_flags)
        others = model.num_col_ - len(whole)
        model.integrality_ = whole + [highspy.HighsVarType.kContinuous] * others
    else:
        options |= wide_options(model.num_row_, model.num_col_)
    highs = quiet_highs(**options)
    highs.passModel(model)
    run_until_stopped(highs)
    info, answer = highs.getInfo(), highs.getSolution()
    if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        return None
    chosen = np.array(answer.col_value)[: problem.n_items] > 0.5
    dual = -np.array(answer.row_dual) if answer.dual_valid else np.zeros(n_rows)
    finished = highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return _Elastic(chosen, float(info.objective_function_value), dual, finished)


def _table(problem: Campaign, plan: Decision) -> pd.DataFrame:
    """Limits that the plan does not keep, each with the reason of its own row."""
    records = []
    for rows, activity, lower, upper in limited(problem, plan):
        for i in np.flatnonzero((activity < lower) | (activity > upper)).tolist():
            have = float(activity[i])
            need = float(rows.lower[i] if have < lower[i] else rows.upper[i])
            records.append(
                {
                    "row": rows.names[i],
                    "have": have,
                    "need": need,
                    "change": have - need,
                    "reason": rows.reasons[i],
                }
            )
    return pd.DataFrame(records, columns=["row", "have", "need", "change", "reason"])
