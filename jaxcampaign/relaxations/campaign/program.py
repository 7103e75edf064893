"""The (mixed-integer) linear program of a campaign over some of its options, solved by HiGHS.

Options outside of the core stay as they are: chosen or not. All rows are there, so whatever the
program chooses is feasible for the whole campaign.
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np

from jaxcampaign.problems.campaign import Campaign, CampaignMultipliers
from jaxcampaign.relaxations.campaign.rows import CoreRows
from jaxcampaign.relaxations.scaling import typical
from jaxcampaign.relaxations.simplex import quiet_highs

_FEASIBLE = highspy.SolutionStatus.kSolutionStatusFeasible
_NONE_FEASIBLE = (
    highspy.HighsModelStatus.kInfeasible,
    highspy.HighsModelStatus.kUnboundedOrInfeasible,
)


@dataclass(frozen=True, eq=False)
class CoreAnswer:
    """What HiGHS returned.

    Attributes:
      chosen: bool[N], the whole plan; None without one (always for a relaxation).
      fraction: float64[core], the point; None without one.
      value: of the point, with what is fixed; -inf without one.
      bound: HiGHS' own bound on the value; inf without one.
      price: float64[M], signed price of each row of all families and sparse rows; None for
        integer programs.
      infeasible: the core has no solution.
      finished: not stopped by a limit.
    """

    chosen: np.ndarray | None
    fraction: np.ndarray | None
    value: float
    bound: float
    price: np.ndarray | None
    infeasible: bool
    finished: bool

    def multipliers(self, problem: Campaign, weights: np.ndarray) -> CampaignMultipliers:
        """The prices as a proof."""
        assert self.price is not None
        return CampaignMultipliers.of(problem, self.price, weights)


@dataclass(frozen=True, eq=False)
class CoreProgram:
    """The program over a core of a campaign whose options are bought whole.

    Attributes:
      problem: the campaign.
      value: float64[N], what each option is worth; already with risk.
      core: int64[n], options to decide on.
      fixed: bool[N], options outside of the core that are chosen.
    """

    problem: Campaign
    value: np.ndarray
    core: np.ndarray
    fixed: np.ndarray

    def solve(
        self,
        *,
        integer: bool,
        seconds: float = np.inf,
        gap: float = 1e-9,
        start: np.ndarray | None = None,
    ) -> CoreAnswer:
        """Solve it.

        Args:
          integer: options are chosen whole.
          seconds: time limit.
          gap: relative gap of the whole value at which branch and bound stops.
          start: bool[N], a plan to start from.
        """
        problem, core = self.problem, self.core
        n, n_flags = len(core), problem.n_flags
        rows = CoreRows.of(problem, core, self.fixed)
        scale = typical(np.abs(self.value[core])) if n else 1.0
        offset = float(self.value[self.fixed].sum())
        model = highspy.HighsLp()
        n_totals = rows.matrix.shape[1] - n - n_flags
        cost = np.zeros(rows.matrix.shape[1])
        cost[:n] = -self.value[core] / scale
        model.col_cost_, model.offset_ = cost, -offset / scale
        model.col_lower_, model.col_upper_ = rows.limits_of_columns(problem)
        rows.add_to(model)
        options = {"time_limit": max(seconds, 0.01)} if np.isfinite(seconds) else {}
        if integer:
            kinds = [highspy.HighsVarType.kInteger] * (n + n_flags)
            model.integrality_ = kinds + [highspy.HighsVarType.kContinuous] * n_totals
            options |= {
                "mip_rel_gap": gap,
                "mip_abs_gap": 1e-9,
                "mip_feasibility_tolerance": 1e-9,
                "primal_feasibility_tolerance": 1e-9,
            }
        highs = quiet_highs(**options)
        highs.passModel(model)
        if integer and start is not None:
            flags = problem.flag_members @ start.astype(np.float64) > 0
            point = highspy.HighsSolution()
            total = rows.totals(problem, start)
            point.col_value = np.concatenate([start[core], flags, total]).astype(np.float64)
            highs.setSolution(point)
        highs.run()
        return self._read(highs, integer, scale, offset, rows)

    def _read(
        self,
        highs: highspy.Highs,
        integer: bool,
        scale: float,
        offset: float,
        rows: CoreRows,
    ) -> CoreAnswer:
        status, info = highs.getModelStatus(), highs.getInfo()
        n, problem = len(self.core), self.problem
        finished = status in (
            highspy.HighsModelStatus.kOptimal,
            highspy.HighsModelStatus.kModelEmpty,
            *_NONE_FEASIBLE,
        )
        if status in _NONE_FEASIBLE:
            return CoreAnswer(None, None, -np.inf, -np.inf, None, True, True)
        met = info.primal_solution_status == _FEASIBLE
        bound = np.inf
        if integer:
            bound = -scale * info.mip_dual_bound
        elif status == highspy.HighsModelStatus.kOptimal:
            bound = -scale * info.objective_function_value
        if status == highspy.HighsModelStatus.kModelEmpty:
            bound = offset
        answer = highs.getSolution()
        fraction = np.array(answer.col_value)[:n] if met or not n else None
        chosen = None
        value = -np.inf
        if fraction is not None:
            value = offset + float(self.value[self.core] @ fraction)
            if integer:
                chosen = self.fixed.copy()
                chosen[self.core] = fraction > 0.5
        price = None
        if not integer and answer.dual_valid:
            # HiGHS minimises: the dual of an upper limit is not above 0.
            price = rows.prices(problem, -scale * np.array(answer.row_dual))
        return CoreAnswer(chosen, fraction, value, bound, price, False, finished)
