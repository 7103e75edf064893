"""The (mixed-integer) linear program of a campaign over some of its options, solved by HiGHS.

Options outside of the core stay as they are: chosen or not. All rows are there, so whatever the
program chooses is feasible for the whole campaign.
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np
from scipy import sparse

from jaxcampaign.problems.campaign import Campaign, CampaignMultipliers
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

    def multipliers(self, weights: np.ndarray) -> CampaignMultipliers:
        """The prices as a proof."""
        assert self.price is not None
        return CampaignMultipliers.of(self.price, weights)


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
        matrix, lower, upper, place, unit = self._rows()
        scale = typical(np.abs(self.value[core])) if n else 1.0
        offset = float(self.value[self.fixed].sum())
        model = highspy.HighsLp()
        n_totals = matrix.shape[1] - n - n_flags
        model.num_col_, model.num_row_ = matrix.shape[1], matrix.shape[0]
        cost = np.zeros(matrix.shape[1])
        cost[:n] = -self.value[core] / scale
        model.col_cost_, model.offset_ = cost, -offset / scale
        least = np.concatenate([problem.required[core], np.zeros(n_flags), np.zeros(n_totals)])
        most = np.concatenate([~problem.excluded[core], np.ones(n_flags)]).astype(np.float64)
        least[n + n_flags :] = -highspy.kHighsInf
        model.col_lower_ = least.astype(np.float64)
        model.col_upper_ = np.concatenate([most, np.full(n_totals, highspy.kHighsInf)])
        model.row_lower_, model.row_upper_ = lower, upper
        model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        model.a_matrix_.start_, model.a_matrix_.index_ = matrix.indptr, matrix.indices
        model.a_matrix_.value_ = matrix.data
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
            total = self._totals(start)
            point.col_value = np.concatenate([start[core], flags, total]).astype(np.float64)
            highs.setSolution(point)
        highs.run()
        return self._read(highs, integer, scale, offset, place, unit)

    def _read(
        self,
        highs: highspy.Highs,
        integer: bool,
        scale: float,
        offset: float,
        place: np.ndarray,
        unit: np.ndarray,
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
            sizes = sum(map(len, problem.families)) + len(problem.rows)
            price = np.zeros(sizes)
            price[place] = -scale * np.array(answer.row_dual)[: len(place)] / unit
        return CoreAnswer(chosen, fraction, value, bound, price, False, finished)

    def _rows(
        self,
    ) -> tuple[sparse.csr_array, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Rows over core, flags and totals; their limits, numbers and units; totals come last."""
        problem, core = self.problem, self.core
        n, n_flags = len(core), problem.n_flags
        shared = [family for family in problem.families if family.share]
        width = n + n_flags + len(shared)
        blocks, lower, upper, place, units = [], [], [], [], []
        totals, known = [], []
        begin = 0
        for family in problem.families:
            rows = np.arange(begin, begin + len(family))
            begin += len(family)
            weighed = family.weights(problem.price if family.acts == "spend" else np.ones(problem.n_items))
            fixed = np.where(self.fixed, weighed, 0.0)
            taken = np.bincount(family.group + 1, weights=fixed, minlength=len(family) + 1)[1:]
            own, group = weighed[core], family.group[core]
            inside = np.flatnonzero((group >= 0) & (own != 0))
            unit = typical(np.abs(own))
            needed = np.unique(group[inside])
            if np.isfinite(family.lower).any() or family.share:
                needed = np.arange(len(family))
            elif family.counts:
                # Rows that the core cannot break say nothing.
                size = np.bincount(group[inside], minlength=len(family))
                needed = needed[(size + taken > family.upper)[needed]]
            at = np.full(len(family), -1)
            at[needed] = np.arange(len(needed))
            kept = inside[at[group[inside]] >= 0]
            row, column, entry = at[group[kept]], kept, own[kept] / unit
            if family.share:
                which = len(totals)
                row = np.concatenate([row, np.arange(len(needed))])
                column = np.concatenate([column, np.full(len(needed), n + n_flags + which)])
                entry = np.concatenate([entry, np.full(len(needed), -family.share)])
                totals.append((inside, own[inside] / unit, which))
                known.append(fixed.sum() / unit)
            shape = (len(needed), width)
            blocks.append(sparse.coo_array((entry, (row, column)), shape=shape).tocsr())
            lower.append((family.lower[needed] - taken[needed]) / unit)
            upper.append((family.upper[needed] - taken[needed]) / unit)
            place.append(rows[needed])
            units.append(np.full(len(needed), unit))
        if len(problem.rows):
            every = problem.rows.matrix
            taken = every[:, : problem.n_items] @ self.fixed.astype(np.float64)
            own = every[:, np.concatenate([core, problem.n_items + np.arange(n_flags)])]
            more = sparse.csr_array((len(problem.rows), len(shared)))
            blocks.append(sparse.hstack([own, more], format="csr"))
            lower.append(problem.rows.lower - taken)
            upper.append(problem.rows.upper - taken)
            place.append(begin + np.arange(len(problem.rows)))
            units.append(np.ones(len(problem.rows)))
        for (inside, entry, which), fixed_total in zip(totals, known, strict=True):
            row = np.zeros(len(inside) + 1, int)
            column = np.append(inside, n + n_flags + which)
            block = sparse.coo_array((np.append(entry, -1.0), (row, column)), shape=(1, width))
            blocks.append(block.tocsr())
            lower.append(np.array([-fixed_total]))
            upper.append(np.array([-fixed_total]))
        if not blocks:
            none, index = np.zeros(0), np.zeros(0, np.int64)
            return sparse.csr_array((0, width)), none, none, index, none
        matrix = sparse.csr_array(sparse.vstack(blocks, format="csr"))
        return (
            matrix,
            np.concatenate(lower),
            np.concatenate(upper),
            np.concatenate([np.zeros(0, int), *place]),
            np.concatenate([np.zeros(0), *units]),
        )

    def _totals(self, chosen: np.ndarray) -> np.ndarray:
        """Totals of the families with shares at a plan, in the units of their rows."""
        found = []
        for family in self.problem.families:
            if family.share:
                spend = family.acts == "spend"
                weighed = family.weights(self.problem.price if spend else np.ones(self.problem.n_items))
                found.append(weighed[chosen].sum() / typical(np.abs(weighed[self.core])))
        return np.array(found)
