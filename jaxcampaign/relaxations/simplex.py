"""The linear program behind slot problems, kept in HiGHS and grown by inequalities.

minimise    c . x  -  v . y
subject to  sum_{u in U_j} y_u >= k_j,   lower <= A x <= upper,
            y_u <= h_r + G_r x  for every inequality r of user u,   D x >= e,
            0 <= x <= 1,  0 <= y <= 1

Each solve starts from the last basis, so that a round of inequalities costs a few dual simplex
steps; that is why HiGHS is called directly here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np
from scipy import sparse

from jaxcampaign.problems import (
    FEASIBILITY_TOLERANCE,
    BranchedMultipliers,
    Cuts,
    Multipliers,
    RoundedRows,
    SlotProblem,
)
from jaxcampaign.progress import moment
from jaxcampaign.relaxations.scaling import typical

_NO_LIMIT = 2**31 - 1
# Duals below this share of the largest are rounding.
_NO_PRICE = 1e-9
# Columns, and columns for each row, above which the interior point method is the choice.
_WIDE, _WIDE_PER_ROW = 50_000, 20


@dataclass(frozen=True, eq=False)
class Prices:
    """Row duals of a program, at least 0, by the numbers that its inequalities keep for good.

    Attributes:
      demand: float64[L].
      row_upper: float64[M].
      row_lower: float64[M].
      cut: numbers int[.] and prices float64[.] of the inequalities of users that have one.
      rounded: the same for those over slots.
    """

    demand: np.ndarray
    row_upper: np.ndarray
    row_lower: np.ndarray
    cut: tuple[np.ndarray, np.ndarray]
    rounded: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Vertex:
    """An optimal vertex.

    Attributes:
      x: float64[S].
      reach: float64[len(users)], y.
      prices: of the rows.
      value: optimum of the program, in the minimised form.
    """

    x: np.ndarray
    reach: np.ndarray
    prices: Prices
    value: float


class CutProgram:
    """The program of a problem, with the inequalities that it has so far.

    Every inequality keeps its number after it is dropped, so that prices can refer to it. The
    reach of a user with a single slot is `p x`: such users have no variable and no rows, and the
    price of their inequality is what their reach is worth.

    Attributes:
      problem: what is asked.
      users: int[.], the users whose reach counts, rising.
      infeasible: the last solve found that nothing is feasible.
      value: what the last solve reached, optimal or not, in the minimised form.
    """

    def __init__(self, problem: SlotProblem, users: np.ndarray):
        self.problem, self.users = problem, users
        self._scale = typical(np.concatenate([problem.item_cost, problem.user_value]))
        self._demanded = np.flatnonzero(problem.demand > 0)
        self._cut_pool, self._n_cuts = [Cuts.first(users)], len(users)
        self._rounded_pool: list[RoundedRows] = []
        self._n_rounded = 0
        # Of each row beyond the fixed ones, in their order: the kind, the number, and how many
        # vertices in a row it has had no price.
        self._of_user = np.ones(len(users), bool)
        self._number = np.arange(len(users))
        self._idle = np.zeros(len(users), np.int64)
        # The slots that have a variable: all of them, until some are left out.
        self._items = np.arange(problem.n_items)
        self.infeasible, self.value = False, -np.inf
        self._build()

    def _build(self) -> None:
        """State the program anew over the slots that are left."""
        problem, users, items = self.problem, self.users, self._items
        linear = problem.influence.by_user_matrix[users][:, items].tocsr()
        several = np.diff(linear.indptr) > 1
        linear.data = np.where(np.repeat(several, np.diff(linear.indptr)), 0.0, linear.data)
        linear.eliminate_zeros()
        self._linear, self._several = linear, np.flatnonzero(several)
        own = users[several]
        value = problem.user_value[users]
        cost = np.concatenate([problem.item_cost[items] - linear.T @ value, -value[several]])
        audience = sparse.csr_array(problem.objective.audience[self._demanded][:, users])
        wide = sparse.csr_array((len(problem.rows), len(own)))
        matrix = sparse.vstack(
            [
                sparse.hstack([audience @ linear, audience[:, self._several]]),
                sparse.hstack([problem.rows.matrix[:, items], wide]),
            ],
            format="csr",
        )
        least, most = problem.rows.tolerated(FEASIBILITY_TOLERANCE)
        n = len(cost)
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = n, matrix.shape[0]
        model.col_cost_, model.col_lower_ = cost / self._scale, np.zeros(n)
        model.col_upper_ = np.ones(n)
        model.row_lower_ = np.concatenate([problem.required[self._demanded], least])
        model.row_upper_ = np.concatenate([np.full(len(self._demanded), np.inf), most])
        model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        model.a_matrix_.start_ = matrix.indptr
        model.a_matrix_.index_ = matrix.indices
        model.a_matrix_.value_ = matrix.data
        self._highs = quiet_highs(presolve="off", solver="simplex")
        self._highs.passModel(model)
        self._n_fixed = matrix.shape[0]

        of_user, number, idle = self._of_user, self._number, self._idle
        cuts = self._all_cuts().take(number[of_user])
        kept = np.isin(cuts.user, own)
        rows = self._all_rounded().take(number[~of_user])
        self._append_cuts(cuts.take(kept))
        self._append_rounded(rows)
        self._of_user = np.repeat([True, False], [kept.sum(), len(rows)])
        self._number = np.concatenate([number[of_user][kept], number[~of_user]])
        self._idle = np.concatenate([idle[of_user][kept], idle[~of_user]])

    @property
    def cuts(self) -> Cuts:
        """The inequalities of users that are in the program, or are what it was made from."""
        numbers = np.union1d(np.arange(len(self.users)), self._number[self._of_user])
        return self._all_cuts().take(numbers)

    @property
    def n_rows(self) -> int:
        """Number of inequalities in the program."""
        return len(self._number)

    def add(self, cuts: Cuts) -> None:
        """Append inequalities of users."""
        cuts = cuts.take(np.isin(cuts.user, self.users[self._several]))
        self._append_cuts(cuts)
        self._enlist(len(cuts), self._n_cuts, of_user=True)
        self._cut_pool.append(cuts)
        self._n_cuts += len(cuts)

    def add_rounded(self, rows: RoundedRows) -> None:
        """Append inequalities over slots."""
        self._append_rounded(rows)
        self._enlist(len(rows), self._n_rounded, of_user=False)
        self._rounded_pool.append(rows)
        self._n_rounded += len(rows)

    def _append_cuts(self, cuts: Cuts) -> None:
        intercept, slope = cuts.coefficients(self.problem.influence)
        n, own = len(cuts), self.users[self._several]
        column = np.searchsorted(own, cuts.user)
        reach = sparse.csr_array((np.ones(n), column, np.arange(n + 1)), shape=(n, len(own)))
        slots = -slope[:, self._items]
        self._append(sparse.hstack([slots, reach], format="csr"), -np.inf, intercept)

    def _append_rounded(self, rows: RoundedRows) -> None:
        right, matrix = rows.coefficients(self.problem)
        wide = sparse.csr_array((len(rows), len(self._several)))
        slots = matrix[:, self._items]
        self._append(sparse.hstack([slots, wide], format="csr"), right, np.inf)

    def fix(self, slots: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> None:
        """Bound slots that are not left out: 0 and 0 is out, 1 and 1 in, 0 and 1 free again."""
        self._highs.changeColsBounds(
            len(slots),
            np.searchsorted(self._items, slots).astype(np.int32),
            np.asarray(lower, np.float64),
            np.asarray(upper, np.float64),
        )

    def leave_out(self, slots: np.ndarray) -> None:
        """Forget the variables of slots, for good; no slot is bounded afterwards."""
        self._items = np.setdiff1d(self._items, slots)
        self._build()

    def solve(self, seconds: float = float("inf"), *, steps: int | None = None) -> Vertex | None:
        """Optimise from the last basis.

        Args:
          seconds: time limit.
          steps: most simplex steps; a vertex that is not optimal has a value all the same, which
            dual steps keep below the optimum.

        Returns:
          None if the time ran out or nothing is feasible: `infeasible` tells which.
        """
        highs = self._highs
        if np.isfinite(seconds):
            highs.setOptionValue("time_limit", highs.getRunTime() + max(seconds, 0.01))
        highs.setOptionValue("simplex_iteration_limit", _NO_LIMIT if steps is None else steps)
        highs.run()
        status = highs.getModelStatus()
        self.infeasible = status == highspy.HighsModelStatus.kInfeasible
        self.value = self._scale * highs.getInfo().objective_function_value
        if status != highspy.HighsModelStatus.kOptimal:
            return None
        solution = highs.getSolution()
        column = np.clip(np.array(solution.col_value), 0.0, 1.0)
        prices = self._prices(np.array(solution.row_dual), self.problem.user_value)
        # A row that is not priced ages; one that is, is young again.
        priced = np.zeros(self.n_rows, bool)
        for numbers, kind in ((prices.cut[0], self._of_user), (prices.rounded[0], ~self._of_user)):
            rows = np.flatnonzero(kind)
            priced[rows[np.isin(self._number[rows], numbers)]] = True
        self._idle = np.where(priced, 0, self._idle + 1)
        x, n = np.zeros(self.problem.n_items), len(self._items)
        x[self._items] = column[:n]
        reach = self._linear @ column[:n]
        reach[self._several] = column[n:]
        return Vertex(x, reach, prices, self.value)

    def ray(self) -> Prices | None:
        """Prices that prove the program infeasible (Farkas), where HiGHS has them."""
        status, found, ray = self._highs.getDualRay()  # type: ignore[attr-defined]
        if status != highspy.HighsStatus.kOk or not found:
            return None
        # A ray speaks of the rows alone, not of what is minimised.
        return self._prices(np.array(ray), np.zeros_like(self.problem.user_value))

    def drop(self, idle: int = 1) -> None:
        """Forget inequalities that had no price in so many vertices; the first of a user stays."""
        kept = (self._idle < idle) | (self._of_user & (self._number < len(self.users)))
        gone = (np.flatnonzero(~kept) + self._n_fixed).astype(np.int32)
        if len(gone):
            self._highs.deleteRows(len(gone), gone)
            self._of_user, self._number = self._of_user[kept], self._number[kept]
            self._idle = self._idle[kept]

    def multipliers(self, prices: Prices) -> Multipliers:
        """Prices with the inequalities that they refer to."""
        return Multipliers(
            prices.demand,
            prices.row_upper,
            prices.row_lower,
            prices.cut[1],
            self._all_cuts().take(prices.cut[0]),
            prices.rounded[1],
            self._all_rounded().take(prices.rounded[0]),
        )

    def branched(
        self,
        root: Multipliers,
        excluded: np.ndarray,
        nodes: tuple[np.ndarray, np.ndarray, np.ndarray],
        leaves: list[tuple[int, Prices]],
    ) -> BranchedMultipliers:
        """A tree of prices with the inequalities that they refer to.

        Args:
          root: proof for the excluded slots.
          excluded: slots that are out in every leaf.
          nodes: parent, slot and side of each node.
          leaves: node and prices of each leaf.
        """
        leaves = sorted(leaves, key=lambda leaf: leaf[0])
        cut, used_cuts = _stacked([prices.cut for _, prices in leaves])
        rounded, used_rows = _stacked([prices.rounded for _, prices in leaves])
        return BranchedMultipliers(
            root,
            excluded.astype(np.int32),
            *nodes,
            np.array([node for node, _ in leaves], np.int32),
            sparse.csr_array(np.array([prices.demand for _, prices in leaves])),
            sparse.vstack([sparse.csr_array(p.row_upper[None]) for _, p in leaves], format="csr"),
            sparse.vstack([sparse.csr_array(p.row_lower[None]) for _, p in leaves], format="csr"),
            cut,
            rounded,
            self._all_cuts().take(used_cuts),
            self._all_rounded().take(used_rows),
        )

    def _all_cuts(self) -> Cuts:
        self._cut_pool = [Cuts.join(self._cut_pool)]
        return self._cut_pool[0]

    def _all_rounded(self) -> RoundedRows:
        if not self._rounded_pool:
            return RoundedRows.none(self.problem)
        self._rounded_pool = [RoundedRows.join(self._rounded_pool)]
        return self._rounded_pool[0]

    def _prices(self, dual: np.ndarray, value: np.ndarray) -> Prices:
        dual = self._scale * dual
        n_demands = len(self._demanded)
        demand = np.zeros(len(self.problem.demand))
        demand[self._demanded] = np.maximum(dual[:n_demands], 0.0)
        row, added = dual[n_demands : self._n_fixed], dual[self._n_fixed :]
        # What the reach of the users without rows is worth is the price of their inequality.
        worth = self.problem.objective.audience.T @ demand + value
        single = np.delete(np.arange(len(self.users)), self._several)
        number = np.concatenate([single, self._number[self._of_user]])
        price = np.concatenate([worth[self.users[single]], -added[self._of_user]])
        return Prices(
            demand,
            # A price of a limit that is open is rounding.
            np.where(np.isfinite(self.problem.rows.upper), np.maximum(-row, 0.0), 0.0),
            np.where(np.isfinite(self.problem.rows.lower), np.maximum(row, 0.0), 0.0),
            _positive(number, price),
            _positive(self._number[~self._of_user], added[~self._of_user]),
        )

    def _enlist(self, n: int, first: int, *, of_user: bool) -> None:
        self._of_user = np.concatenate([self._of_user, np.full(n, of_user)])
        self._number = np.concatenate([self._number, np.arange(first, first + n)])
        self._idle = np.concatenate([self._idle, np.zeros(n, np.int64)])

    def _append(self, matrix: sparse.csr_array, lower: Any, upper: Any) -> None:
        n = matrix.shape[0]
        self._highs.addRows(
            n,
            np.broadcast_to(np.asarray(lower, np.float64), n).copy(),
            np.broadcast_to(np.asarray(upper, np.float64), n).copy(),
            matrix.nnz,
            matrix.indptr.astype(np.int32),
            matrix.indices.astype(np.int32),
            matrix.data,
        )


def wide_options(n_rows: int, n_columns: int) -> dict[str, Any]:
    """Options of HiGHS for a linear program with far more columns than rows.

    One step of the dual simplex method may turn round tens of thousands of columns, sorts them as
    it goes and looks at no clock meanwhile, nor at callbacks: 8 s for 10^5 columns. The steps of
    the interior point method are short and few, and crossover to a vertex keeps to the clock.
    """
    wide = n_columns > _WIDE and n_columns > _WIDE_PER_ROW * n_rows
    return {"solver": "ipm"} if wide else {}


def quiet_highs(**options: Any) -> highspy.Highs:
    """HiGHS on one thread, saying nothing."""
    highs = highspy.Highs()
    for name, value in {"output_flag": False, "threads": 1, **options}.items():
        highs.setOptionValue(name, value)
    return highs


def run_until_stopped(highs: highspy.Highs) -> None:
    """Solve, unless all work is to stop meanwhile: see `ask_to_stop`."""

    def check(event: Any) -> None:
        if moment() == np.inf:
            event.interrupt()

    highs.cbSimplexInterrupt += check
    highs.cbIpmInterrupt += check
    highs.cbMipInterrupt += check
    highs.run()
    highs.clearCallbacks()


def _positive(number: np.ndarray, price: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    priced = price > _NO_PRICE * price.max(initial=0.0)
    return number[priced], price[priced]


def _stacked(
    priced: list[tuple[np.ndarray, np.ndarray]],
) -> tuple[sparse.csr_array, np.ndarray]:
    """Numbers and prices as a sparse row each, over the numbers that occur."""
    numbers = np.concatenate([number for number, _ in priced])
    used, column = np.unique(numbers, return_inverse=True)
    start = np.concatenate([[0], np.cumsum([len(number) for number, _ in priced])])
    prices = np.concatenate([price for _, price in priced])
    return sparse.csr_array((prices, column, start), shape=(len(priced), len(used))), used
