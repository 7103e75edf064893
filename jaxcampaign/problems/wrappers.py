"""Set functions made from others: cut off at a limit, or weighed into one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxcampaign.errors import InputError
from jaxcampaign.problems.objectives import SetFunction


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, eq=False, init=False)
class Truncated:
    """Each function counts up to a limit only: `min(f_j(S), k_j)`.

    Monotone and submodular where f is. With demands as limits it is the potential of covering
    algorithms; with one limit on a `Weighted` sum, a capped objective.

    It is a function of sets: at a fractional x `value` is `min(F_j(x), k_j)`, which is above the
    multilinear extension. `MonteCarlo` estimates that one.

    Args:
      objective: L functions.
      limit: k_j, float[L] or a number for all; not negative, infinite for none.

    Raises:
      InputError: limits of the wrong number, negative, or not a number.
    """

    objective: SetFunction
    limit: np.ndarray

    def __init__(self, objective: SetFunction, limit: Any):
        object.__setattr__(self, "objective", objective)
        object.__setattr__(self, "limit", _numbers(limit, objective.n_objectives, "limit"))

    @property
    def n_items(self) -> int:
        """Size of the ground set, S."""
        return self.objective.n_items

    @property
    def n_objectives(self) -> int:
        """Number of functions, L."""
        return self.objective.n_objectives

    def value(self, x) -> jax.Array:
        """float32[L]."""
        return jnp.minimum(self.objective.value(x), jnp.asarray(self.limit, jnp.float32))

    def marginal_gains(self, x, weights=None) -> jax.Array:
        """float32[S] for the weighted sum, float32[L, S] without weights; 0 where chosen."""
        room = jnp.asarray(self.limit, jnp.float32) - self.objective.value(x)
        each = jnp.minimum(self.objective.marginal_gains(x), jnp.maximum(room, 0.0)[:, None])
        return each if weights is None else jnp.asarray(weights, jnp.float32) @ each

    def linear_bound(self, x, weights=None) -> tuple[jax.Array, jax.Array]:
        """The inequality of Nemhauser and Wolsey (1981) at x: value there, gains as slope."""
        return _nemhauser_wolsey(self, x, weights)

    def reference(self, x) -> np.ndarray:
        """float64[L], NumPy on the host."""
        return np.minimum(self.objective.reference(x), self.limit)

    def tree_flatten(self):
        """Leaves: what is truncated, and where."""
        return (self.objective, self.limit), None

    @classmethod
    def tree_unflatten(cls, _, leaves) -> Truncated:
        """Rebuild from leaves, unchecked."""
        return _rebuilt(cls, objective=leaves[0], limit=leaves[1])


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, eq=False, init=False)
class Weighted:
    """One function that is a weighted sum of others: `sum_j w_j f_j(S)`.

    Args:
      objective: L functions.
      weights: w_j, float[L] or a number for all; not negative.

    Raises:
      InputError: weights of the wrong number, negative, or not finite.
    """

    objective: SetFunction
    weights: np.ndarray

    def __init__(self, objective: SetFunction, weights: Any):
        numbers = _numbers(weights, objective.n_objectives, "weights")
        if not np.isfinite(numbers).all():
            raise InputError("must be finite", table="weights", remedy="correct the weights")
        object.__setattr__(self, "objective", objective)
        object.__setattr__(self, "weights", numbers)

    @property
    def n_items(self) -> int:
        """Size of the ground set, S."""
        return self.objective.n_items

    @property
    def n_objectives(self) -> int:
        """One."""
        return 1

    def value(self, x) -> jax.Array:
        """float32[1]."""
        return jnp.dot(jnp.asarray(self.weights, jnp.float32), self.objective.value(x))[None]

    def marginal_gains(self, x, weights=None) -> jax.Array:
        """float32[S] with the weight of this one function, float32[1, S] without."""
        if weights is None:
            return self.objective.marginal_gains(x, self.weights)[None]
        factor = jnp.asarray(weights, jnp.float32)[0]
        return self.objective.marginal_gains(x, factor * jnp.asarray(self.weights, jnp.float32))

    def linear_bound(self, x, weights=None) -> tuple[jax.Array, jax.Array]:
        """The inequality of Nemhauser and Wolsey (1981) at x: value there, gains as slope."""
        return _nemhauser_wolsey(self, x, weights)

    def reference(self, x) -> np.ndarray:
        """float64[1], NumPy on the host."""
        return np.array([self.weights @ self.objective.reference(x)])

    def tree_flatten(self):
        """Leaves: what is weighed, and how."""
        return (self.objective, self.weights), None

    @classmethod
    def tree_unflatten(cls, _, leaves) -> Weighted:
        """Rebuild from leaves, unchecked."""
        return _rebuilt(cls, objective=leaves[0], weights=leaves[1])


def _nemhauser_wolsey(function: SetFunction, x, weights) -> tuple[jax.Array, jax.Array]:
    value, gains = function.value(x), function.marginal_gains(x, weights)
    if weights is None:
        return value, gains
    return jnp.dot(jnp.asarray(weights, jnp.float32), value), gains


def _numbers(values: Any, size: int, name: str) -> np.ndarray:
    """float64[size], each at least 0; a number stands for all."""
    try:
        numbers = np.array(values, np.float64)
    except (TypeError, ValueError) as fault:
        raise InputError(str(fault), table=name, remedy="pass numbers") from fault
    if numbers.ndim == 0:
        numbers = np.full(size, numbers)
    if numbers.shape != (size,):
        raise InputError(
            f"has shape {numbers.shape}, but there are {size} functions",
            table=name,
            remedy="pass one number per function, or one for all",
        )
    bad = np.flatnonzero(~(numbers >= 0))
    if len(bad):
        raise InputError(
            "must be at least 0", table=name, rows=bad.tolist(), value=float(numbers[bad[0]])
        )
    return numbers


def _rebuilt(cls, **fields):
    new = object.__new__(cls)
    for field, value in fields.items():
        object.__setattr__(new, field, value)
    return new
