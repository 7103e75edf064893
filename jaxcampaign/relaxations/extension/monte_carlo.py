"""The multilinear extension of any set function, and its gradient, by sampling.

    F(x) = E[f(R)],    dF/dx_s = E[f(R + s) - f(R - s)],    item s in R with chance x_s.

The gradient is unbiased whatever f is, because the difference does not depend on the coin of s; the
pathwise derivative of a sample of a truncated function, 1[f < k] df, is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike

from jaxcampaign.errors import InputError
from jaxcampaign.problems import SetFunction
from jaxcampaign.relaxations.extension.differences import Differences, differences

# Numbers that a batch of samples may take, and samples beyond which larger batches gain nothing.
_MOST_NUMBERS = 1 << 24
_MOST_SAMPLES = 128


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Estimate:
    """A sampled multilinear extension of L functions of S items.

    Attributes:
      value: f32[L], mean of f(R).
      value_error: f32[L], its standard error.
      gradient: f32[L, S], mean of f(R + s) - f(R - s).
      gradient_error: f32[L, S], its standard error.
      samples: selections that were evaluated.
    """

    value: Array
    value_error: Array
    gradient: Array
    gradient_error: Array
    samples: int = field(metadata={"static": True})


@dataclass(frozen=True)
class MonteCarlo:
    """Estimates the multilinear extension of any set function.

    Samples are drawn in batches of bounded memory. The same key gives the same uniforms, sample by
    sample, whatever the batch, and more samples only add to them: estimates with one key at two
    points, or of two functions, have common random numbers. `draws` makes them explicit.

    Influence, and what `Truncated` and `Weighted` make of it, is differenced exactly in one pass
    over the pairs; any other set function by its marginal gains and one evaluation for each chosen
    item.

    Args:
      samples: selections to evaluate, at least 2; even and at least 4 if antithetic.
      antithetic: every other selection uses 1 - u where the one before used u. Standard errors are
        then those of the means of pairs.
      batch: most selections at once; by default what 64 MB hold, at most 128.

    Example:
      >>> estimate = MonteCarlo(samples=1024).estimate(Truncated(objective, demand), x, key)
    """

    samples: int = 1024
    antithetic: bool = False
    batch: int | None = None

    def __post_init__(self):
        least = 4 if self.antithetic else 2
        if self.samples < least or (self.antithetic and self.samples % 2):
            kind = "an even number of at least 4" if self.antithetic else "at least 2"
            raise InputError(
                f"must be {kind}", table="samples", value=self.samples, remedy="such as 1024"
            )
        if self.batch is not None and self.batch < 1:
            raise InputError("must be at least 1", table="batch", value=self.batch)

    def draws(self, key: Array, n_items: int) -> Array:
        """The uniforms that a key stands for; the key is consumed.

        Returns:
          f32[n, S] in [0, 1), n the number of samples, or of pairs if antithetic. Item s is in a
          selection where its uniform is below x_s.
        """
        return _uniforms(key, jnp.arange(self._n_draws), n_items)

    def estimate(
        self,
        objective: SetFunction,
        x: ArrayLike,
        key: Array | None = None,
        *,
        draws: ArrayLike | None = None,
    ) -> Estimate:
        """Value and gradient with standard errors; works under `jit` and `vmap` over x.

        Args:
          objective: any set function.
          x: float[S] in [0, 1].
          key: source of randomness, consumed; or pass draws.
          draws: f32[n, S] from `draws`, used in place of a key as often as wanted.
        """
        table, source, x, plan = self._prepared(objective, x, key, draws)
        return _estimate(table, source, x, plan)

    def value(
        self,
        objective: SetFunction,
        x: ArrayLike,
        key: Array | None = None,
        *,
        draws: ArrayLike | None = None,
    ) -> Array:
        """The value alone, f32[L], differentiable in x once, by the unbiased gradient.

        Args:
          objective: any set function.
          x: float[S] in [0, 1].
          key: as for `estimate`.
          draws: as for `estimate`.
        """
        table, source, x, plan = self._prepared(objective, x, key, draws)
        return _value(table, source, x, plan)

    @property
    def _n_draws(self) -> int:
        return self.samples // 2 if self.antithetic else self.samples

    def _prepared(self, objective, x, key, draws):
        n_items = objective.n_items
        x = jnp.asarray(x, jnp.float32)
        if x.shape != (n_items,):
            raise InputError(
                f"has shape {x.shape}, but there are {n_items} items",
                table="x",
                remedy="use vmap for several points",
            )
        if (key is None) == (draws is None):
            raise InputError("pass either a key or draws", table="key")
        if draws is not None:
            draws = jnp.asarray(draws, jnp.float32)
            if draws.shape != (self._n_draws, n_items):
                raise InputError(
                    f"have shape {draws.shape}, not {(self._n_draws, n_items)}",
                    table="draws",
                    remedy="make them with the method draws of the same estimator",
                )
        table = differences(objective)
        at_once = self.batch or min(_MOST_NUMBERS // table.row_size, _MOST_SAMPLES)
        n_draws = max(at_once // (1 + self.antithetic), 1)
        n_batches = -(-self._n_draws // n_draws)
        plan = _Plan(self._n_draws, -(-self._n_draws // n_batches), n_batches, self.antithetic)
        return table, key if draws is None else draws, x, plan


class _Plan(NamedTuple):
    """How samples are batched."""

    n_draws: int
    per_batch: int
    n_batches: int
    antithetic: bool


class _Moments(NamedTuple):
    """Mean and sum of squared deviations of independent samples."""

    mean: Array
    squares: Array


def _uniforms(key: Array, index: Array, n_items: int) -> Array:
    """A row for each index, f32[len(index), S]: the same whatever else is drawn."""
    return jax.vmap(lambda i: jax.random.uniform(jax.random.fold_in(key, i), (n_items,)))(index)


def _batches(source: Array, x: Array, plan: _Plan):
    """Scans batches of selections: a function of `(carry, step)` that a caller completes."""
    n_items = x.shape[0]

    def selections(batch: Array) -> tuple[Array, Array]:
        """Masks f32[S, R] of a batch, and which of its draws count, f32[draws]."""
        index = batch * plan.per_batch + jnp.arange(plan.per_batch)
        if jnp.issubdtype(source.dtype, jax.dtypes.prng_key):
            uniform = _uniforms(source, index, n_items)
        else:
            uniform = source[jnp.minimum(index, plan.n_draws - 1)]
        chosen = uniform < x
        if plan.antithetic:
            # 1 - u < x, with the edges of the half-open interval the right way round.
            chosen = jnp.concatenate([chosen, uniform >= 1.0 - x])
        return chosen.T.astype(jnp.float32), (index < plan.n_draws).astype(jnp.float32)

    return selections


def _moments(samples: Array, counts: Array, plan: _Plan) -> _Moments:
    """Moments along the last axis of what R selections gave; pairs count as one sample."""
    if plan.antithetic:
        samples = (samples[..., : plan.per_batch] + samples[..., plan.per_batch :]) / 2
    mean = samples @ counts / jnp.sum(counts)
    return _Moments(mean, jnp.square(samples - mean[..., None]) @ counts)


def _merge(a: _Moments, n_a: Array, b: _Moments, n_b: Array) -> _Moments:
    """Moments of two sets of samples together (Chan, Golub, LeVeque, 1983)."""
    share = n_b / (n_a + n_b)
    step = b.mean - a.mean
    return _Moments(a.mean + share * step, a.squares + b.squares + n_a * share * step * step)


@partial(jax.jit, static_argnames="plan")
def _estimate(table: Differences, source: Array, x: Array, plan: _Plan) -> Estimate:
    selections = _batches(source, _differentiable_once(x), plan)
    n_functions, n_items = table.shape
    n_blocks = table.item.shape[0]

    def add(carry, batch):
        value, gradient, seen = carry
        masks, counts = selections(batch)
        sampled = table.sample(masks)
        new_value = _moments(sampled.values, counts, plan)
        new_gradient = lax.map(
            lambda index: _moments(table.block(sampled, index), counts, plan), jnp.arange(n_blocks)
        )
        more = jnp.sum(counts)
        merged = (_merge(value, seen, new_value, more), _merge(gradient, seen, new_gradient, more))
        return (*merged, seen + more), None

    def nothing(shape):
        return _Moments(jnp.zeros(shape, jnp.float32), jnp.zeros(shape, jnp.float32))

    start = (nothing(n_functions), nothing(table.item.shape), jnp.float32(0))
    (value, gradient, _), _ = lax.scan(add, start, jnp.arange(plan.n_batches))

    def error(moments):
        return jnp.sqrt(moments.squares / (plan.n_draws * (plan.n_draws - 1)))

    def dense(pairs):
        # Padded pairs add 0.
        flat = jnp.zeros((n_functions, n_items), jnp.float32)
        return flat.at[table.function, table.item].add(pairs)

    samples = plan.n_draws * (1 + plan.antithetic)
    return Estimate(value.mean, error(value), dense(gradient.mean), dense(error(gradient)), samples)


@partial(jax.custom_jvp, nondiff_argnums=(3,))
@partial(jax.jit, static_argnums=3)
def _value(table: Differences, source: Array, x: Array, plan: _Plan) -> Array:
    selections = _batches(source, x, plan)

    def add(total, batch):
        masks, counts = selections(batch)
        mean = _moments(table.values(masks), counts, plan).mean
        return total + mean * (jnp.sum(counts) / plan.n_draws), None

    total = jnp.zeros(table.shape[0], jnp.float32)
    return lax.scan(add, total, jnp.arange(plan.n_batches))[0]


@_value.defjvp
def _value_jvp(plan, primals, tangents):
    estimate = _estimate(*primals, plan)
    return estimate.value, estimate.gradient @ tangents[2]


@jax.custom_jvp
def _differentiable_once(x: Array) -> Array:
    """X itself; a comparison with uniforms would silently make the second derivative 0."""
    return x


@_differentiable_once.defjvp
def _refuse(primals, tangents):
    raise TypeError(
        "estimates have no second derivative; differentiate MonteCarlo.value, and that once"
    )
