"""Branch and bound by HiGHS on a core: some slots are free, the others are taken or left out."""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np
from scipy import sparse

from jaxcampaign.problems import FEASIBILITY_TOLERANCE, Cuts, RoundedRows, SlotProblem
from jaxcampaign.relaxations.scaling import typical
from jaxcampaign.relaxations.simplex import quiet_highs, run_until_stopped

_NOTHING_BELOW = (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kObjectiveBound)


@dataclass(frozen=True, eq=False)
class CoreAnswer:
    """What branch and bound found.

    Attributes:
      selection: bool[S], None where it found none. The program overstates reach, so it may miss
        demands.
      reach: float64[U], what the program takes the reach of each user to be; 1 for users outside.
      bound: lower bound on the minimised form over the core; inf where nothing is below the cutoff.
      finished: not stopped by the time limit.
    """

    selection: np.ndarray | None
    reach: np.ndarray | None
    bound: float
    finished: bool


_NONE = CoreAnswer(None, None, np.inf, True)
# What rows without a variable may be violated by: HiGHS' own tolerance.
_NOTHING = 1e-9


@dataclass(frozen=True, eq=False)
class Core:
    """A part of a problem: minimise over the free slots, given those that are taken.

    Attributes:
      problem: what is asked; its minimised form is solved.
      free: int[F], slots to choose from, rising.
      taken: bool[S], slots that are in, none of them free.
      cuts: inequalities of users; each user that a free slot reaches needs at least one.
      rounded: inequalities over slots.
      covers: sets of slots, at least one of which is in: bool[S] each.
    """

    problem: SlotProblem
    free: np.ndarray
    taken: np.ndarray
    cuts: Cuts
    rounded: RoundedRows | None = None
    covers: tuple[np.ndarray, ...] = ()

    def solve(self, *, seconds: float, cutoff: float = np.inf, gap: float = 1e-6) -> CoreAnswer:
        """Branch and bound.

        Args:
          seconds: time limit.
          cutoff: only selections whose value in the minimised form is below it are looked for.
          gap: relative gap at which to stop.
        """
        problem, free = self.problem, self.free
        influence, audience = problem.influence, problem.objective.audience
        taken = self.taken.astype(np.float64)
        rest = 1 - _reach(influence.matrix[np.flatnonzero(self.taken)], influence.n_users)
        block = influence.matrix[free]
        asked = np.zeros(influence.n_users, bool)
        asked[problem.active_users] = True
        n_free = np.bincount(block.indices, minlength=influence.n_users)
        # The reach of a user with one free slot is linear in it; others need a variable.
        single, several = asked & (n_free == 1), asked & (n_free > 1)
        users = np.flatnonzero(several)
        place = np.full(influence.n_users, -1)
        place[users] = np.arange(len(users))
        linear = block.copy()
        linear.data = linear.data * (rest * single)[linear.indices]
        linear.eliminate_zeros()
        settled = np.where(several, 0.0, 1 - rest)

        cost = problem.item_cost[free] - linear @ problem.user_value
        scale = typical(np.concatenate([np.abs(cost), problem.user_value[users]]))
        base = float(problem.item_cost @ taken - problem.user_value @ settled)
        n, m = len(free), len(users)
        blocks, lower, upper = [sparse.csr_array((0, n + m))], [np.zeros(0)], [np.zeros(0)]

        def add(slots: sparse.csr_array, reach: sparse.csr_array | None, least, most):
            rows = slots.shape[0]
            right = sparse.csr_array((rows, m)) if reach is None else reach
            blocks.append(sparse.hstack([slots, right], format="csr"))
            lower.append(np.broadcast_to(np.asarray(least, np.float64), rows))
            upper.append(np.broadcast_to(np.asarray(most, np.float64), rows))

        short = problem.required - audience @ settled
        open_ = np.flatnonzero((problem.demand > 0) & (short > 0))
        if len(open_):
            wanted = audience[open_]
            add(wanted @ linear.T.tocsr(), wanted[:, users], short[open_], np.inf)
        if len(problem.rows):
            least, most = problem.rows.tolerated(FEASIBILITY_TOLERANCE)
            used = problem.rows.matrix @ taken
            add(problem.rows.matrix[:, free], None, least - used, most - used)
        own = self.cuts.take(several[self.cuts.user])
        if len(own):
            intercept, slope = own.coefficients(influence)
            of_user = sparse.csr_array(
                (np.ones(len(own)), (np.arange(len(own)), place[own.user])), shape=(len(own), m)
            )
            add(-slope[:, free], of_user, -np.inf, intercept + slope @ taken)
        if self.rounded is not None and len(self.rounded):
            right, matrix = self.rounded.coefficients(problem)
            add(sparse.csr_array(matrix[:, free]), None, right - matrix @ taken, np.inf)
        for cover in self.covers:
            row = sparse.csr_array(cover[free][None].astype(np.float64))
            add(row, None, 1 - cover @ taken, np.inf)

        if not n + m:  # nothing is left to decide, which HiGHS would not call optimal
            least, most = np.concatenate(lower), np.concatenate(upper)
            met = base < cutoff and bool(((least <= _NOTHING) & (most >= -_NOTHING)).all())
            whole = np.ones(problem.influence.n_users)
            return CoreAnswer(self.taken.copy(), whole, base, True) if met else _NONE
        matrix = sparse.vstack(blocks, format="csr")
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = n + m, matrix.shape[0]
        model.col_cost_ = np.concatenate([cost, -problem.user_value[users]]) / scale
        model.col_lower_, model.col_upper_ = np.zeros(n + m), np.ones(n + m)
        model.row_lower_, model.row_upper_ = np.concatenate(lower), np.concatenate(upper)
        model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        model.a_matrix_.start_, model.a_matrix_.index_ = matrix.indptr, matrix.indices
        model.a_matrix_.value_ = matrix.data
        kinds = [highspy.HighsVarType.kInteger] * n + [highspy.HighsVarType.kContinuous] * m
        model.integrality_ = kinds
        highs = quiet_highs(
            time_limit=max(seconds, 0.01),
            mip_rel_gap=gap,
            mip_abs_gap=1e-9,
            mip_feasibility_tolerance=1e-9,
            primal_feasibility_tolerance=1e-9,
        )
        if np.isfinite(cutoff):
            highs.setOptionValue("objective_bound", (cutoff - base) / scale)
        highs.passModel(model)
        run_until_stopped(highs)
        status, info = highs.getModelStatus(), highs.getInfo()
        if status in _NOTHING_BELOW:
            return _NONE
        finished = status == highspy.HighsModelStatus.kOptimal
        bound = base + scale * info.mip_dual_bound
        if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
            return CoreAnswer(None, None, bound, finished)
        if base + scale * info.objective_function_value >= cutoff:
            # HiGHS prunes by its objective bound, but may keep what it met before.
            return CoreAnswer(None, None, np.inf if bound >= cutoff else bound, finished)
        column = np.array(highs.getSolution().col_value)
        selection = self.taken.copy()
        selection[free[column[:n] > 0.5]] = True
        reach = np.ones(problem.influence.n_users)
        reach[users] = column[n:]
        return CoreAnswer(selection, reach, bound, finished)


def _reach(rows: sparse.csr_array, n_users: int) -> np.ndarray:
    with np.errstate(divide="ignore"):
        log_miss = np.log1p(-rows.data)
    return -np.expm1(np.bincount(rows.indices, weights=log_miss, minlength=n_users))
