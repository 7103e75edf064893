"""The (mixed-integer) linear program of a campaign over some of its options, solved by HiGHS.

Options outside of the core stay as they are: chosen or not. All rows are there, so whatever the
program chooses is feasible for the whole campaign.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import highspy
import numpy as np
from scipy import sparse

from jaxcampaign.problems.campaign import Campaign, CampaignMultipliers
from jaxcampaign.relaxations.campaign.rows import CoreRows
from jaxcampaign.relaxations.scaling import typical
from jaxcampaign.relaxations.simplex import quiet_highs, run_until_stopped, wide_options

_FEASIBLE = highspy.SolutionStatus.kSolutionStatusFeasible
_NONE_FEASIBLE = (
    highspy.HighsModelStatus.kInfeasible,
    highspy.HighsModelStatus.kUnboundedOrInfeasible,
)
# By how much a row that nothing is left to decide in may be off, in its unit.
_ROUNDING = 1e-9
_DONE = (highspy.HighsModelStatus.kOptimal, highspy.HighsModelStatus.kModelEmpty)


@dataclass(frozen=True, eq=False)
class CoreAnswer:
    """What HiGHS returned.

    Attributes:
      chosen: bool[N], the whole plan; None without one (always for a relaxation).
      fraction: float64[N], the whole point; None without one.
      value: of the point, with what is fixed; -inf without one.
      bound: HiGHS' own bound on the value; inf without one.
      price: float64[M], signed price of each row of all families and sparse rows; None for
        integer programs.
      mixture: float64[T], weights of the values whose least counts; None for integer programs.
      infeasible: the core has no solution.
      finished: not stopped by a limit.
    """

    chosen: np.ndarray | None
    fraction: np.ndarray | None
    value: float
    bound: float
    price: np.ndarray | None
    mixture: np.ndarray | None
    infeasible: bool
    finished: bool

    def multipliers(self, problem: Campaign, weights: np.ndarray) -> CampaignMultipliers:
        """The prices as a proof."""
        assert self.price is not None
        return CampaignMultipliers.of(problem, self.price, weights)


@dataclass(frozen=True, eq=False)
class CoreProgram:
    """The program over a core of a campaign, with money that depends on the choice alone.

    Attributes:
      problem: the campaign.
      values: float64[T, N], what each option is worth; the least of the T sums counts.
      spend: float64[N], money that an option gets if it is chosen.
      core: int64[n], options to decide on.
      fixed: bool[N], options outside of the core that are chosen.
    """

    problem: Campaign
    values: np.ndarray
    spend: np.ndarray
    core: np.ndarray
    fixed: np.ndarray

    @classmethod
    def whole(cls, problem: Campaign, values: np.ndarray) -> CoreProgram:
        """All options, each paid in full."""
        n = problem.n_items
        return cls(problem, values, problem.price, np.arange(n), np.zeros(n, bool))

    @cached_property
    def rows(self) -> CoreRows:
        """All rows that the core has a say in."""
        return CoreRows.of(self.problem, self.core, self.fixed, self.spend)

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
        problem, core, rows = self.problem, self.core, self.rows
        n_columns, several = rows.matrix.shape[1], len(self.values) > 1
        scale = typical(np.abs(self.values[0, core])) if len(core) else 1.0
        offsets = self.values @ self.fixed.astype(np.float64)
        model = highspy.HighsLp()
        rows.add_to(model)
        least, most = rows.limits_of_columns(problem)
        cost = np.zeros(n_columns)
        if several:
            self._add_least_of(model, rows, offsets, scale)
            cost = np.append(cost, -1.0)
            least = np.append(least, -highspy.kHighsInf)
            most = np.append(most, highspy.kHighsInf)
        else:
            cost[: len(core)] = -self.values[0, core] / scale
            model.offset_ = -offsets[0] / scale
        model.num_col_ = len(cost)
        model.col_cost_, model.col_lower_, model.col_upper_ = cost, least, most
        options = {"time_limit": max(seconds, 0.01)} if np.isfinite(seconds) else {}
        if integer:
            n_whole = len(core) + problem.n_flags
            kinds = [highspy.HighsVarType.kInteger] * n_whole
            model.integrality_ = kinds + [highspy.HighsVarType.kContinuous] * (len(cost) - n_whole)
            options |= {
                "mip_rel_gap": gap,
                "mip_abs_gap": 1e-9,
                "mip_feasibility_tolerance": 1e-9,
                "primal_feasibility_tolerance": 1e-9,
            }
        else:
            options |= wide_options(model.num_row_, model.num_col_)
        highs = quiet_highs(**options)
        highs.passModel(model)
        if integer and start is not None:
            flags = problem.flag_members @ start.astype(np.float64) > 0
            point = [start[core], flags, rows.totals(problem, start, self.spend)]
            if several:
                point.append([(self.values @ start.astype(np.float64)).min() / scale])
            known = highspy.HighsSolution()
            known.col_value = np.concatenate(point).astype(np.float64)
            highs.setSolution(known)
        run_until_stopped(highs)
        return self._read(highs, rows, integer=integer, scale=scale, offsets=offsets)

    def _add_least_of(
        self, model: highspy.HighsLp, rows: CoreRows, offsets: np.ndarray, scale: float
    ) -> None:
        """A last column t and rows `t <= v_k . x` for each of the values."""
        n_values, n = len(self.values), len(self.core)
        own = np.zeros((n_values, rows.matrix.shape[1]))
        own[:, :n] = -self.values[:, self.core] / scale
        none = sparse.csr_array((rows.matrix.shape[0], 1))
        matrix = sparse.csr_array(
            sparse.vstack(
                [
                    sparse.hstack([rows.matrix, none]),
                    sparse.hstack([sparse.csr_array(own), np.ones((n_values, 1))]),
                ],
                format="csr",
            )
        )
        model.num_row_ = matrix.shape[0]
        model.row_lower_ = np.append(rows.lower, np.full(n_values, -highspy.kHighsInf))
        model.row_upper_ = np.append(rows.upper, offsets / scale)
        model.a_matrix_.start_, model.a_matrix_.index_ = matrix.indptr, matrix.indices
        model.a_matrix_.value_ = matrix.data

    def _read(
        self,
        highs: highspy.Highs,
        rows: CoreRows,
        *,
        integer: bool,
        scale: float,
        offsets: np.ndarray,
    ) -> CoreAnswer:
        status, info = highs.getModelStatus(), highs.getInfo()
        n = len(self.core)
        finished = status in (*_DONE, *_NONE_FEASIBLE)
        # HiGHS looks at no rows where there are no columns.
        empty = status == highspy.HighsModelStatus.kModelEmpty
        broken = empty and bool((rows.lower > _ROUNDING).any() or (rows.upper < -_ROUNDING).any())
        if status in _NONE_FEASIBLE or broken:
            return CoreAnswer(None, None, -np.inf, -np.inf, None, None, True, True)
        bound = np.inf
        if integer:
            bound = -scale * info.mip_dual_bound
        elif status == highspy.HighsModelStatus.kOptimal:
            bound = -scale * info.objective_function_value
        if empty:
            bound = float(offsets.min())
        answer = highs.getSolution()
        chosen = fraction = None
        value = -np.inf
        if info.primal_solution_status == _FEASIBLE or not n:
            fraction = self.fixed.astype(np.float64)
            fraction[self.core] = np.array(answer.col_value)[:n]
            value = float((self.values @ fraction).min())
            if integer:
                chosen = fraction > 0.5
        price = mixture = None
        if not integer and answer.dual_valid:
            # HiGHS minimises: the dual of an upper limit is not above 0.
            dual = -np.array(answer.row_dual)
            price = scale * rows.prices(self.problem, dual[: len(rows.number)])
            mixture = np.ones(1)
            if len(self.values) > 1:
                mixture = np.maximum(dual[-len(self.values) :], 0.0)
                # A program that was stopped has no dual yet: any weights make a proof.
                whole = mixture.sum()
                mixture = mixture / whole if whole > 0 else np.eye(len(mixture))[0]
        return CoreAnswer(chosen, fraction, value, bound, price, mixture, False, finished)
