"""The program of a campaign whose options may be paid in part: choice and money at once.

Where value does not depend on money, or none is asked for, it is linear in both: HiGHS solves it.
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np
from scipy import sparse

from jaxcampaign.problems.campaign import Campaign, Family
from jaxcampaign.problems.campaign.money import CENT, down_to_cents, in_cents, up_to_cents
from jaxcampaign.relaxations.scaling import typical
from jaxcampaign.relaxations.simplex import quiet_highs, run_until_stopped

_FEASIBLE = highspy.SolutionStatus.kSolutionStatusFeasible
_NONE_FEASIBLE = (
    highspy.HighsModelStatus.kInfeasible,
    highspy.HighsModelStatus.kUnboundedOrInfeasible,
)


@dataclass(frozen=True, eq=False)
class Payable:
    """What HiGHS returned.

    Attributes:
      chosen: bool[N]; None without a plan.
      spend: float64[N], whole cents; None without a plan.
      bound: on `value . y` over all plans; inf without one.
      infeasible: no choice and no money keep all rows.
    """

    chosen: np.ndarray | None
    spend: np.ndarray | None
    bound: float
    infeasible: bool


def payable(
    problem: Campaign, value: np.ndarray, *, whole_cents: bool, seconds: float, gap: float
) -> Payable:
    """The choice of most value for which there is money that keeps all rows.

    Columns are options, flags, and what each chosen option gets beyond its least payment, in cents.

    Args:
      problem: the campaign.
      value: float64[N], what each chosen option is worth, however it is paid.
      whole_cents: money comes in whole cents in the program as well; otherwise it is cut to them
        in the answer, which may break a lower limit or a share by that.
      seconds: time limit.
      gap: relative gap at which to stop.
    """
    n, n_flags = problem.n_items, problem.n_flags
    least = problem.least_payment
    room = np.maximum(down_to_cents(problem.price - least), 0.0)
    blocks, lower, upper = [], [], []
    for family in problem.families:
        block, low, up = _of_family(family, least, n_flags)
        blocks.append(block)
        lower.append(low)
        upper.append(up)
    if len(problem.rows):
        none = sparse.csr_array((len(problem.rows), n))
        blocks.append(sparse.hstack([problem.rows.matrix, none], format="csr"))
        lower.append(problem.rows.lower)
        upper.append(problem.rows.upper)
    # Only a chosen option gets money.
    ones = sparse.eye_array(n, format="csr")
    flags = sparse.csr_array((n, n_flags))
    blocks.append(sparse.hstack([ones * -1.0, flags, ones / np.maximum(room, 1.0)], format="csr"))
    lower.append(np.full(n, -np.inf))
    upper.append(np.zeros(n))
    matrix = sparse.csr_array(sparse.vstack(blocks, format="csr"))
    scale = typical(np.abs(value))
    model = highspy.HighsLp()
    model.num_row_, model.num_col_ = matrix.shape
    model.row_lower_, model.row_upper_ = np.concatenate(lower), np.concatenate(upper)
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_, model.a_matrix_.index_ = matrix.indptr, matrix.indices
    model.a_matrix_.value_ = matrix.data
    model.col_cost_ = np.concatenate([-value / scale, np.zeros(n_flags + n)])
    model.col_lower_ = np.concatenate([problem.required, np.zeros(n_flags + n)]).astype(np.float64)
    model.col_upper_ = np.concatenate([~problem.excluded, np.ones(n_flags), room])
    kind = highspy.HighsVarType
    paid = kind.kInteger if whole_cents else kind.kContinuous
    model.integrality_ = [kind.kInteger] * (n + n_flags) + [paid] * n
    highs = quiet_highs(
        **({"time_limit": max(seconds, 0.01)} if np.isfinite(seconds) else {}),
        mip_rel_gap=gap,
        mip_abs_gap=1e-9,
        mip_feasibility_tolerance=1e-9,
        primal_feasibility_tolerance=1e-9,
    )
    highs.passModel(model)
    run_until_stopped(highs)
    if highs.getModelStatus() in _NONE_FEASIBLE:
        return Payable(None, None, -np.inf, True)
    info = highs.getInfo()
    bound = -scale * info.mip_dual_bound
    if info.primal_solution_status != _FEASIBLE:
        return Payable(None, None, bound, False)
    point = np.array(highs.getSolution().col_value)
    chosen = point[:n] > 0.5
    spend = problem.in_part(chosen, least + CENT * point[n + n_flags :]).spend
    return Payable(chosen, spend, bound, False)


def _of_family(
    family: Family, least: np.ndarray, n_flags: int
) -> tuple[sparse.csr_array, np.ndarray, np.ndarray]:
    """Rows over options, flags and cents; those of money are in cents."""
    own = family.matrix()
    flags = sparse.csr_array((len(family), n_flags))
    if family.acts == "posts":
        none = sparse.csr_array(own.shape)
        unit = typical(np.abs(own.data))
        rows = sparse.hstack([own / unit, flags, none], format="csr")
        return rows, family.lower / unit, family.upper / unit
    cents = in_cents(least)
    first = own.multiply(100 * least if cents is None else cents)
    rows = sparse.hstack([first, flags, own], format="csr")
    if cents is None:
        return rows, 100 * family.lower, 100 * family.upper
    return rows, up_to_cents(family.lower), down_to_cents(family.upper)
