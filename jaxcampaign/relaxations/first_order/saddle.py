"""The linear program behind slot problems as a saddle point, on the device in float32.

    min over x, y in [0, 1]   max over z = (mu, nu, lambda0, lambda)
        c . x - v . y  +  mu . (k - A y)  +  nu . (l - B x)  +  lambda0 . (y - P x)
                       +  sum_r lambda_r (y_u(r) - h_r - theta_r (P x)_u(r) - (E x)_r)

P holds the probabilities by user, A the audiences of the products with a demand, B the rows, and
theta, h and E the inequalities of users beside `y <= P x` (see `Terms`). However many of them a
user has, P is stored and read once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy import sparse

from jaxcampaign.influence.folds import take
from jaxcampaign.influence.kernels import matvec
from jaxcampaign.influence.layout import Layout, build_layout, choose_formulation
from jaxcampaign.influence.pieces import padded_size
from jaxcampaign.problems import FEASIBILITY_TOLERANCE, SlotProblem
from jaxcampaign.relaxations.first_order.terms import Terms

# Up to so many entries a CPU is faster at one pass over triplets than at chunks.
_FEW_ENTRIES = 30_000
# A table no larger than this is multiplied in full where so much of it is not zero.
_LARGEST_FULL = 1 << 22
_LEAST_FULL = 0.05
# Room for inequalities at first: at least so many, one for so many pairs, and entries for each.
_LEAST_CUTS, _PAIRS_PER_CUT, _ENTRIES_PER_CUT = 1024, 512, 4
# Of few pairs a larger share: there compiling again costs more than steps with room to spare.
_FEW_PAIRS_PER_CUT, _MANY_CUTS = 16, 8192
# Room that is made for more, as a factor, where there is too little.
_AHEAD = 3.0
# Weight of a demand in the step sizes beside the inequalities of users; measured.
_DEMAND_WEIGHT = 0.3
# Right-hand side of a padded inequality: y is never above it.
_IDLE = 2.0
# Sums of coefficients below it count as this much.
_LEAST = 1e-30


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Triplets:
    """A sparse matrix as triplets, padded with zeros. E entries.

    The first entries of all rows come first, then the second ones, and so on: sums into one place
    after the other would each wait for the last.
    """

    row: Array
    """i32[E]."""
    column: Array
    """i32[E]."""
    value: Array
    """f32[E]."""
    n_rows: int = field(metadata={"static": True})


Matrix: TypeAlias = Array | Triplets | Layout
"""A matrix on the device: in full, as triplets, or in the layout of the platform."""


class Primal(NamedTuple):
    """A point of the program."""

    x: Array
    """f32[S], slots."""
    reach: Array
    """f32[U], y."""


class Dual(NamedTuple):
    """A price for everything that is relaxed; negative only for upper limits of rows."""

    demand: Array
    """f32[L], mu."""
    row: Array
    """f32[M], nu."""
    first: Array
    """f32[U], lambda0."""
    cut: Array
    """f32[R], lambda; 0 where padded."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Frame:
    """What rounds of inequalities leave as it is. L products with a demand, M rows."""

    by_user: Matrix
    """P, f32[U, S]."""
    by_slot: Matrix
    """P^T."""
    audience: Matrix
    """A, f32[L, U]."""
    audience_by_user: Matrix
    """A^T."""
    rows: Matrix
    """B, f32[M, S]."""
    rows_by_slot: Matrix
    """B^T."""
    cost: Primal
    """c and -v, both divided by the scale."""
    demand: Array
    """f32[L], k."""
    row_lower: Array
    """f32[M], l."""
    row_upper: Array
    """f32[M]."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Saddle:
    """The program. R inequalities, padded."""

    frame: Frame
    cuts: Matrix
    """f32[R, S + 2 U], acts on (x, P x, y): E, theta_r and -1 at the user of r."""
    cuts_transposed: Matrix
    """The transpose."""
    intercept: Array
    """f32[R], h."""
    primal_step: Primal
    """Step sizes at weight 1."""
    dual_step: Dual
    """Step sizes at weight 1."""

    def rise(self, point: Primal) -> Dual:
        """Left-hand sides of all rows, K (x, y)."""
        frame = self.frame
        covered = multiply(frame.by_user, point.x)
        return Dual(
            multiply(frame.audience, point.reach),
            multiply(frame.rows, point.x),
            covered - point.reach,
            multiply(self.cuts, jnp.concatenate([point.x, covered, point.reach])),
        )

    def worth(self, dual: Dual) -> Primal:
        """What the prices pay for each slot and for each user's reach, K^T z."""
        frame = self.frame
        of_x, of_covered, of_reach = self._shares(dual.cut)
        return Primal(
            multiply(frame.by_slot, dual.first + of_covered)
            + of_x
            + multiply(frame.rows_by_slot, dual.row),
            multiply(frame.audience_by_user, dual.demand) - dual.first + of_reach,
        )

    def affordable(self, dual: Dual) -> Dual:
        """Prices of a user's inequalities cut back to what reaching the user is worth.

        That never lowers the Lagrangian bound: beyond it a price earns nothing for the user, and
        still costs what stands on the right-hand side.
        """
        frame = self.frame
        wanted = multiply(frame.audience_by_user, dual.demand) - frame.cost.reach
        spent = dual.first - self._shares(dual.cut)[2]
        share = jnp.where(spent > wanted, wanted / jnp.where(spent > wanted, spent, 1.0), 1.0)
        n_before = frame.cost.x.size + share.size
        at_cuts = multiply(self.cuts, jnp.concatenate([jnp.zeros(n_before), -share]))
        return dual._replace(first=share * dual.first, cut=at_cuts * dual.cut)

    def _shares(self, price: Array) -> list[Array]:
        """What prices of inequalities pay for x, P x and y."""
        n_slots, n_users = self.frame.cost.x.size, self.frame.cost.reach.size
        return jnp.split(multiply(self.cuts_transposed, price), [n_slots, n_slots + n_users])


def multiply(matrix: Matrix, x: Array) -> Array:
    """The product of a matrix and a vector; its indices are trusted."""
    if isinstance(matrix, Array):
        return jnp.dot(matrix, x, precision="highest")
    if isinstance(matrix, Triplets):
        entries = matrix.value * take(x, matrix.column)
        total = jnp.zeros(matrix.n_rows, jnp.float32).at[matrix.row]
        return total.add(entries, mode="promise_in_bounds")
    return matvec(matrix, x)


def build_frame(problem: SlotProblem, scale: float) -> Frame:
    """Lay out what does not depend on inequalities; costs are divided by `scale`."""
    influence, rows = problem.influence, problem.rows
    demanded = np.flatnonzero(problem.demand > 0)
    audience = problem.objective.audience[demanded]
    few = _few(influence.matrix)
    lower, upper = rows.tolerated(FEASIBILITY_TOLERANCE)
    return Frame(
        by_user=_laid_out(influence.by_user_matrix) if few else influence.by_user,
        by_slot=_laid_out(influence.matrix) if few else influence.by_slot,
        audience=_laid_out(audience),
        audience_by_user=_laid_out(audience.T.tocsr()),
        rows=_laid_out(rows.matrix),
        rows_by_slot=_laid_out(rows.matrix.T.tocsr()),
        cost=Primal(_device(problem.item_cost / scale), _device(-problem.user_value / scale)),
        demand=_device(problem.required[demanded]),
        row_lower=_device(lower),
        row_upper=_device(upper),
    )


class Room(NamedTuple):
    """What arrays are padded to, so that rounds of inequalities share a compiled program."""

    cuts: int
    entries: int

    @classmethod
    def first(cls, n_pairs: int) -> Room:
        """Room to start with: little beside the pairs."""
        small = min(n_pairs // _FEW_PAIRS_PER_CUT, _MANY_CUTS)
        cuts = max(_LEAST_CUTS, small, n_pairs // _PAIRS_PER_CUT)
        cuts = 1 << (cuts - 1).bit_length()
        return cls(cuts, _ENTRIES_PER_CUT * cuts)

    def fitting(self, terms: Terms) -> Room:
        """Room for inequalities: this room if it is enough."""
        needed = len(terms), _entries(terms)
        return Room(*(_enlarged(*pair) for pair in zip(self, needed, strict=True)))


def build_saddle(problem: SlotProblem, frame: Frame, terms: Terms, room: Room) -> Saddle:
    """Lay out the program with inequalities beside those of the empty set, padded to the room.

    Step sizes are those of Pock and Chambolle (2011) with alpha = 1 and weighted rows: for any
    weights g > 0, steps `g_i / sum_j |K_ij|` of row i and `1 / sum_i g_i |K_ij|` of column j
    converge, whatever the primal weight. They are sums over the data, so nothing is estimated.
    """
    n_users, n_slots, n_cuts = problem.influence.n_users, problem.n_items, len(terms)
    primal_step, dual_step = _step_sizes(problem, terms)
    more = (0, room.cuts - n_cuts)
    cut, user = np.arange(n_cuts), terms.cuts.user
    cuts = sparse.hstack(
        [
            terms.correction,
            sparse.csr_array((terms.theta, (cut, user)), shape=(n_cuts, n_users)),
            sparse.csr_array((np.full(n_cuts, -1.0), (cut, user)), shape=(n_cuts, n_users)),
        ],
        format="csr",
    )
    cuts = sparse.csr_array(
        (cuts.data, cuts.indices, np.pad(cuts.indptr, more, mode="edge")),
        shape=(room.cuts, n_slots + 2 * n_users),
    )
    dual_step[3] = np.pad(dual_step[3], more, constant_values=1.0)
    return Saddle(
        frame=frame,
        cuts=_in_room(cuts, room),
        cuts_transposed=_in_room(cuts.T.tocsr(), room),
        intercept=_device(np.pad(terms.intercept, more, constant_values=_IDLE)),
        primal_step=Primal(*map(_device, primal_step)),
        dual_step=Dual(*map(_device, dual_step)),
    )


def _step_sizes(problem: SlotProblem, terms: Terms) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Steps of (x, y) and of (mu, nu, lambda0, lambda), float64."""
    matrix, rows = problem.influence.matrix, abs(problem.rows.matrix)
    n_slots, n_users = matrix.shape
    audience = problem.objective.audience[np.flatnonzero(problem.demand > 0)]
    covered = matrix.sum(axis=0)
    # Rows come in any unit.
    largest = rows.max(axis=1).toarray().ravel() if rows.shape[0] else np.zeros(0)
    row_weight = 1 / np.maximum(largest, _LEAST)
    per_user = 1.0 + terms.per_user(terms.theta, n_users)
    priced_slots = matrix @ per_user + terms.correction.sum(axis=0) + rows.T @ row_weight
    priced_reach = 1.0 + terms.per_user(np.ones(len(terms)), n_users)
    slopes = terms.limits(np.ones(n_slots), covered) - terms.intercept
    primal = [priced_slots, priced_reach + _DEMAND_WEIGHT * audience.sum(axis=0)]
    dual = [
        audience.sum(axis=1) / _DEMAND_WEIGHT,
        rows.sum(axis=1) / row_weight,
        1.0 + covered,
        1.0 + slopes,
    ]
    return [1 / np.maximum(a, _LEAST) for a in primal], [1 / np.maximum(a, _LEAST) for a in dual]


def _device(values: np.ndarray) -> Array:
    return jax.device_put(np.asarray(values, np.float32))


def _entries(terms: Terms) -> int:
    return terms.correction.nnz + 2 * len(terms)


def _enlarged(room: int, needed: int) -> int:
    return room if needed <= room else 1 << int(_AHEAD * needed - 1).bit_length()


def _few(matrix: sparse.csr_array) -> bool:
    return matrix.nnz <= _FEW_ENTRIES and _on_cpu()


def _on_cpu() -> bool:
    # Elsewhere sums over triplets run in no fixed order.
    return choose_formulation() == "chunked"


def _laid_out(matrix: sparse.csr_array) -> Matrix:
    """A matrix that stays, in the form that suits it."""
    n_cells = matrix.shape[0] * matrix.shape[1]
    if n_cells <= _LARGEST_FULL and matrix.nnz >= _LEAST_FULL * n_cells:
        return _device(matrix.toarray())
    if _few(matrix):
        return _triplets(matrix, padded_size(matrix.nnz))
    return _in_layout(matrix)


def _in_room(matrix: sparse.csr_array, room: Room) -> Matrix:
    """A matrix that grows. A layout would have another shape, and be compiled, in every round."""
    return _triplets(matrix, room.entries) if _on_cpu() else _in_layout(matrix)


def _in_layout(matrix: sparse.csr_array) -> Layout:
    m = matrix
    return build_layout(m.indptr, m.indices, m.data, n_columns=m.shape[1])


def _triplets(matrix: sparse.csr_array, size: int) -> Triplets:
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    turn = np.argsort(np.arange(matrix.nnz) - matrix.indptr[row], kind="stable")

    def laid(values: np.ndarray, dtype: type) -> Array:
        return jax.device_put(np.pad(values[turn].astype(dtype), (0, size - matrix.nnz)))

    columns, values = laid(matrix.indices, np.int32), laid(matrix.data, np.float32)
    return Triplets(laid(row, np.int32), columns, values, n_rows=matrix.shape[0])
