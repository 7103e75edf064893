"""Set functions that problems are made of: values, marginal gains, linear bounds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

from jaxcampaign.influence.kernels import expected_reach, matvec, multiply, reach
from jaxcampaign.influence.layout import Layout, build_layout
from jaxcampaign.influence.matrix import Influence


@runtime_checkable
class SetFunction(Protocol):
    """L monotone submodular functions of one set of S items.

    A selection is a vector `x` of length S, 1 where an item is chosen. An implementation gives
    its device value and gains, and the same value once more in float64 NumPy: the two share no
    code, so each tests the other.
    """

    @property
    def n_items(self) -> int:
        """Size of the ground set, S."""
        ...

    @property
    def n_objectives(self) -> int:
        """Number of functions, L."""
        ...

    def value(self, x) -> jax.Array:
        """float32[L]."""
        ...

    def marginal_gains(self, x, weights=None) -> jax.Array:
        """float32[S] for the weighted sum, float32[L, S] without weights; 0 where chosen."""
        ...

    def linear_bound(self, x, weights=None) -> tuple[jax.Array, jax.Array]:
        """Constant and slope with `f(T) <= constant + sum_{s in T} slope_s` for every T."""
        ...

    def reference(self, x) -> np.ndarray:
        """float64[L], NumPy on the host."""
        ...


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, eq=False)
class ProductInfluence:
    """Influence of a selection on the audience of each product.

    `I_j(S) = sum_u a_ju [1 - prod_{s in S} (1 - Pr(s, u))]`, monotone and submodular
    (arXiv 2510.09050, definition 3, with a_ju = 1 for users in U_j and 0 elsewhere).

    Attributes:
      influence: who may see which slot.
      audience: float64[L, U] on the host, 0 or 1: a_ju.
    """

    influence: Influence
    audience: sparse.csr_array

    @property
    def n_items(self) -> int:
        """Number of slots, S."""
        return self.influence.n_slots

    @property
    def n_objectives(self) -> int:
        """Number of products, L."""
        return self.audience.shape[0]

    @cached_property
    def audience_by_product(self) -> Layout:
        """Device layout of the audiences, rows are products."""
        a = self.audience
        return build_layout(a.indptr, a.indices, a.data, n_columns=a.shape[1])

    @cached_property
    def audience_by_user(self) -> Layout:
        """Device layout of the audiences, rows are users."""
        a = self.audience.T.tocsr()
        return build_layout(a.indptr, a.indices, a.data, n_columns=a.shape[1])

    @cached_property
    def interest(self) -> np.ndarray:
        """Who is interested in what, int8[U, L] on the host: read by the few users of a slot."""
        table = np.zeros(self.audience.shape[::-1], np.int8)
        pairs = self.audience.tocoo()
        table[pairs.col, pairs.row] = 1
        return table

    def value(self, x) -> jax.Array:
        """Influence per product, float32[L]; at fractional x its multilinear extension.

        Differentiable in x by `jax.grad`.
        """
        influence = self.influence
        reached = expected_reach(influence.by_user, influence.by_slot, jnp.asarray(x, jnp.float32))
        return multiply(self.audience_by_product, self.audience_by_user, reached)

    def marginal_gains(self, x, weights=None) -> jax.Array:
        """Influence gained by adding each slot to a selection.

        Args:
          x: bool or 0/1 [S], slots already chosen.
          weights: float[L] to weigh products; without it, every product separately.

        Returns:
          float32[S] with weights, else float32[L, S]; 0 where chosen.

        Work is O(pairs) per weighting. The gains equal the gradient of the multilinear extension
        at x for slots outside the selection (Vondrak, 2008).
        """
        x = jnp.asarray(x, jnp.float32)
        layouts = (self.influence.by_slot, self.influence.by_user, self.audience_by_user)
        if weights is not None:
            return _gains(*layouts, x, jnp.asarray(weights, jnp.float32))
        return _gains_each(*layouts, x, jnp.eye(self.n_objectives, dtype=jnp.float32))

    def linear_bound(self, x, weights=None) -> tuple[jax.Array, jax.Array]:
        """The inequality of Nemhauser and Wolsey (1981) at x: value there, gains as slope."""
        value, gains = self.value(x), self.marginal_gains(x, weights)
        if weights is None:
            return value, gains
        return jnp.dot(jnp.asarray(weights, jnp.float32), value), gains

    def reference(self, x) -> np.ndarray:
        """Influence per product in float64, float64[L]."""
        return self.audience @ reach_reference(self.influence, x)

    def tree_flatten(self):
        """Leaves: the device layouts. Static: this object, compared by identity."""
        return (self.influence, self.audience_by_product, self.audience_by_user), self

    @classmethod
    def tree_unflatten(cls, static: ProductInfluence, leaves) -> ProductInfluence:
        """Rebuild around transformed layouts."""
        influence, by_product, by_user = leaves
        twin = cls(influence, static.audience)
        twin.__dict__["audience_by_product"] = by_product
        twin.__dict__["audience_by_user"] = by_user
        return twin


def reach_reference(influence: Influence, x) -> np.ndarray:
    """Chance that each user is influenced by a selection, float64[U], NumPy on the host.

    Args:
      influence: who may see which slot.
      x: bool or float [S]; fractional entries give the multilinear extension.
    """
    x = np.asarray(x, np.float64)
    chosen = np.flatnonzero(x)
    block = influence.matrix[chosen].tocoo()
    with np.errstate(divide="ignore"):
        log_miss = np.log1p(-block.data * x[chosen[block.row]])
    # expm1 keeps full precision where every probability is tiny; p = 1 gives -inf and reach 1.
    return -np.expm1(np.bincount(block.col, weights=log_miss, minlength=influence.n_users))


@jax.jit
def _gains(
    by_slot: Layout, by_user: Layout, audience_by_user: Layout, x: jax.Array, weights: jax.Array
) -> jax.Array:
    missed = 1.0 - reach(by_user, x)
    return jnp.where(x > 0, 0.0, matvec(by_slot, missed * matvec(audience_by_user, weights)))


@jax.jit
def _gains_each(
    by_slot: Layout, by_user: Layout, audience_by_user: Layout, x: jax.Array, weights: jax.Array
) -> jax.Array:
    # One product after the other: no array of slots x users x products.
    return jax.lax.map(lambda w: _gains(by_slot, by_user, audience_by_user, x, w), weights)
