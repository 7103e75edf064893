"""Links and losses: how the towers' sums become a mean and a deviation, and what they cost."""

from __future__ import annotations

from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax import Array

Link: TypeAlias = Literal["identity", "log"]

_BETA = 0.5  # of beta-NLL: with 0, the plain likelihood, the mean suffers
_LEAST_STD = 1e-3  # in units of the standardised target
_MOST_LOG = 20.0  # bounds of the log link, so that exp neither overflows nor vanishes


def mean_and_std(raw: Array, link: Link, power: float) -> tuple[Array, Array]:
    """Mean and noise of f32[..., 2] raw outputs, in units of the standardised target.

    With the identity link the deviation is softplus(raw). With the log link it is
    sqrt(phi mean^power), phi = softplus(raw): the variance function of the Tweedie family.
    """
    spread = jax.nn.softplus(raw[..., 1]) + _LEAST_STD
    if link == "identity":
        return raw[..., 0], spread
    mean = jnp.exp(jnp.clip(raw[..., 0], -_MOST_LOG, _MOST_LOG))
    return mean, jnp.sqrt(spread) * mean ** (power / 2)


def loss(raw: Array, target: Array, link: Link, power: float) -> Array:
    """f32[...], the training loss of each raw output.

    Identity: beta-NLL of Seitzer et al. (2022), equation 5, a Gaussian likelihood whose terms are
    weighted by variance^beta. Log: the Tweedie loss of the mean, whose optimum is E[y], plus the
    same Gaussian loss for phi alone.
    """
    mean, std = mean_and_std(raw, link, power)
    if link == "identity":
        return _beta_nll(target - mean, std)
    fixed = jax.lax.stop_gradient(mean)
    noise = _beta_nll((target - fixed) / fixed ** (power / 2), std / mean ** (power / 2))
    return tweedie(mean, target, power) + noise


def score(mean: Array, std: Array, target: Array, weight: Array, link: Link, power: float) -> Array:
    """f32[], what early stopping watches: half for the mean alone, half for mean and deviation.

    Identity: log RMSE, the likelihood with one constant deviation, plus the likelihood with the
    predicted ones. Log: the loss of the ensemble.
    """
    total = jnp.sum(weight)
    error = target - mean
    nll = 0.5 * jnp.square(error / std) + jnp.log(std)
    if link == "identity":
        mse = jnp.sum(weight * jnp.square(error)) / total
        return 0.5 * jnp.log(mse + _LEAST_STD**2) + jnp.sum(weight * nll) / total
    spread = mean ** (power / 2)
    pearson = 0.5 * jnp.square(error / std) + jnp.log(std / spread)
    return jnp.sum(weight * (tweedie(mean, target, power) + pearson)) / total


def tweedie(mean: Array, target: Array, power: float) -> Array:
    """Negative Tweedie quasi-likelihood, without what depends on the target alone.

    Power 1 is Poisson, 2 is gamma; between them, zeros and heavy tails (Jørgensen 1987).
    """
    if power == 1.0:
        return mean - target * jnp.log(mean)
    if power == 2.0:
        return target / mean + jnp.log(mean)
    return mean ** (2 - power) / (2 - power) - target * mean ** (1 - power) / (1 - power)


def _beta_nll(error: Array, std: Array) -> Array:
    weight = jax.lax.stop_gradient(std) ** (2 * _BETA)
    return weight * (0.5 * jnp.square(error / std) + jnp.log(std))
