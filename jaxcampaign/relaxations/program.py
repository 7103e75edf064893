"""The (mixed-integer) linear program behind slot problems, stated in CVXPY and solved by HiGHS.

minimise    c . x  -  v . y
subject to  sum_{u in U_j} y_u >= k_j,   lower <= A x <= upper,
            y_u <= h_r + G_r x  for every inequality r of user u,
            0 <= x <= 1 (or binary),  0 <= y <= 1
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from jaxcampaign.problems import FEASIBILITY_TOLERANCE, Cuts, Multipliers, SlotProblem
from jaxcampaign.relaxations.scaling import typical

if TYPE_CHECKING:
    import cvxpy as cp


@dataclass(frozen=True, eq=False)
class ProgramAnswer:
    """What HiGHS returned.

    Attributes:
      x: float64[S], None without a feasible point.
      reach: float64[len(users)], y.
      multipliers: row duals, None for integer programs.
      bound: HiGHS' own bound on the minimised objective; -inf without one.
      finished: not stopped by a limit.
    """

    x: np.ndarray | None
    reach: np.ndarray | None
    multipliers: Multipliers | None
    bound: float
    finished: bool


def solve_program(
    problem: SlotProblem,
    users: np.ndarray,
    cuts: Cuts,
    *,
    integer: bool = False,
    seconds: float = float("inf"),
    covers: Sequence[np.ndarray] = (),
) -> ProgramAnswer:
    """Solve the program with the given inequalities.

    Args:
      problem: what is asked.
      users: the problem's active users; only these have a variable y.
      cuts: inequalities; each user needs at least one.
      integer: slots are chosen whole.
      seconds: time limit handed to HiGHS.
      covers: selections bool[S] that miss a demand: at least one slot outside each is taken.
    """
    import cvxpy as cp  # slow to import, so only where it is used

    # HiGHS' tolerances are absolute: costs are scaled to be about 1 each.
    scale = typical(np.concatenate([problem.item_cost, problem.user_value]))
    x = cp.Variable(problem.n_items, boolean=True) if integer else _unit(problem.n_items)
    y = _unit(len(users))
    demanded = np.flatnonzero(problem.demand > 0)
    rows = problem.rows

    intercept, slope = cuts.coefficients(problem.influence)
    of_user = sparse.csr_array(
        (np.ones(len(cuts)), (np.arange(len(cuts)), np.searchsorted(users, cuts.user))),
        shape=(len(cuts), len(users)),
    )
    cut_rows = of_user @ y - slope @ x <= intercept
    constraints = [cut_rows]
    demand_rows = upper_rows = lower_rows = None
    if len(demanded):
        audience = problem.objective.audience[demanded][:, users]
        demand_rows = audience @ y >= problem.required[demanded]
        constraints.append(demand_rows)
    constraints.extend(cp.sum(x[np.flatnonzero(~taken)]) >= 1 for taken in covers)
    least, most = rows.tolerated(FEASIBILITY_TOLERANCE)
    upper, lower = np.isfinite(most), np.isfinite(least)
    if upper.any():
        upper_rows = rows.matrix[np.flatnonzero(upper)] @ x <= most[upper]
        constraints.append(upper_rows)
    if lower.any():
        lower_rows = rows.matrix[np.flatnonzero(lower)] @ x >= least[lower]
        constraints.append(lower_rows)

    objective = (problem.item_cost / scale) @ x - (problem.user_value[users] / scale) @ y
    program = cp.Problem(cp.Minimize(objective), constraints)
    options: dict[str, Any] = {}
    if np.isfinite(seconds):
        options["time_limit"] = max(seconds, 0.01)
    if not integer:
        # Presolve finds next to nothing to remove here, and its search costs up to 40 times the LP.
        options["presolve"] = "off"
    else:
        options |= {"mip_rel_gap": 1e-9, "mip_abs_gap": 1e-9}
        options |= {"mip_feasibility_tolerance": 1e-9, "primal_feasibility_tolerance": 1e-9}
    with warnings.catch_warnings():
        # CVXPY warns that an answer found within a time limit may be inaccurate: it is certified.
        warnings.simplefilter("ignore")
        try:
            program.solve(solver=cp.HIGHS, **options)
        except cp.SolverError:
            return ProgramAnswer(None, None, None, -np.inf, finished=False)

    finished = program.status == cp.OPTIMAL
    stats: Any = program.solver_stats.extra_stats if program.solver_stats else None
    point = _within(x.value)
    if point is not None and integer and not np.isfinite(stats.objective_function_value):
        point = None
    if integer:
        bound = scale * stats.mip_dual_bound if stats is not None else -np.inf
    else:
        bound = scale * program.value if finished else -np.inf
    multipliers = None
    if not integer and point is not None:
        multipliers = Multipliers(
            _spread(demand_rows, demanded, len(problem.demand), scale),
            _spread(upper_rows, np.flatnonzero(upper), len(rows), scale),
            _spread(lower_rows, np.flatnonzero(lower), len(rows), scale),
            scale * np.asarray(cut_rows.dual_value, np.float64),
            cuts,
        )
    return ProgramAnswer(point, _within(y.value), multipliers, bound, finished)


def _unit(n: int) -> cp.Variable:
    import cvxpy as cp

    return cp.Variable(n, bounds=[np.zeros(n), np.ones(n)])


def _within(values: np.ndarray | None) -> np.ndarray | None:
    return None if values is None else np.clip(values, 0.0, 1.0)


def _spread(rows: cp.Constraint | None, index: np.ndarray, n: int, scale: float) -> np.ndarray:
    full = np.zeros(n)
    if rows is not None:
        full[index] = scale * np.asarray(rows.dual_value, np.float64)
    return full
