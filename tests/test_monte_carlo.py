"""Sampling the multilinear extension: exact per sample, unbiased, and as uncertain as it says."""

from __future__ import annotations

import dataclasses
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_multilinear import enumerated, instance, subsets, values_of_all

import jaxcampaign as jc
from jaxcampaign.problems import Truncated, Weighted
from jaxcampaign.relaxations import MonteCarlo, multilinear, multilinear_gradients
from jaxcampaign.relaxations.extension.differences import differences

SAMPLES = 64


class Unknown:
    """A set function that the package has no special form for."""

    def __init__(self, objective):
        self._objective = objective
        self.n_items, self.n_objectives = objective.n_items, objective.n_objectives
        self.value, self.marginal_gains = objective.value, objective.marginal_gains
        self.linear_bound, self.reference = objective.linear_bound, objective.reference


@cache
def function(name):
    """One of each form that differences take."""
    objective, _ = instance(4)
    # Limits that about half of the selections reach.
    typical = enumerated(objective, INSIDE)[0]
    cut = Truncated(objective, typical)
    return {
        "influence": objective,
        "truncated": cut,
        "weighted truncated": Weighted(cut, [0.5, 2.0, 1.0]),
        "capped sum": Truncated(Weighted(objective, [1.0, 1.0, 3.0]), typical @ [1.0, 1.0, 3.0]),
        "unknown": Unknown(cut),
    }[name]


def known(function):
    return function._objective if isinstance(function, Unknown) else function


NAMES = ["influence", "truncated", "weighted truncated", "capped sum", "unknown"]
INSIDE = np.array([0.5, 0.1, 0.8, 0.3, 0.6, 0.2, 0.7, 0.4, 0.5])


def estimates(name, n_seeds, **options):
    """Independent estimates, stacked, float64."""
    estimator = MonteCarlo(**({"samples": SAMPLES} | options))
    n_draws = estimator.samples // (2 if estimator.antithetic else 1)
    uniforms = np.random.default_rng(3).random((n_seeds, n_draws, 9), np.float32)
    found = [estimator.estimate(function(name), INSIDE, draws=draws) for draws in uniforms]
    return jax.tree.map(lambda *leaves: np.stack(leaves).astype(np.float64), *found)


@pytest.mark.parametrize("name", NAMES)
def test_differences_are_exact_in_every_sample(name):
    """Each of 512 selections, against f(R + s) - f(R - s) in float64."""
    masks, values = subsets(9), values_of_all(known(function(name)))
    bits, code = 2 ** np.arange(8, -1, -1), np.arange(2**9)
    expected = np.stack([values[code | bit] - values[code & ~bit] for bit in bits])
    table = differences(function(name))

    @jax.jit
    def dense(table, masks):
        sampled = table.sample(masks)
        blocks = jax.lax.map(lambda b: table.block(sampled, b), jnp.arange(len(table.item)))
        empty = jnp.zeros((*table.shape, masks.shape[1]))
        filled = empty.at[table.function, table.item].add(blocks)
        return sampled.values, filled, table.values(masks)

    got_values, got, values_alone = dense(table, jnp.asarray(masks.T, jnp.float32))
    np.testing.assert_allclose(got_values.T, values, atol=2e-6)
    np.testing.assert_allclose(values_alone.T, values, atol=2e-6)
    np.testing.assert_allclose(
        jnp.transpose(got, (2, 1, 0)), np.swapaxes(expected, 0, 1), atol=3e-6
    )


@pytest.mark.parametrize(
    ("name", "antithetic"), [*((name, False) for name in NAMES), ("influence", True)]
)
def test_estimates_are_unbiased_and_as_uncertain_as_stated(name, antithetic):
    """Means of 400 estimates are right, and errors are as large as standard errors on average."""
    value, gradient = enumerated(known(function(name)), INSIDE)
    found = estimates(name, 400, antithetic=antithetic)
    for estimate, error, truth in [
        (found.value, found.value_error, value),
        (found.gradient, found.gradient_error, gradient),
    ]:
        off = estimate - truth
        expected = np.sqrt(np.mean(error**2, axis=0))
        assert (np.abs(off.mean(axis=0)) <= 4.5 * expected / 20 + 1e-6).all()
        common = expected > 1e-3
        assert common.mean() > 0.5
        ratio = np.sqrt(np.mean(off**2, axis=0))[common] / expected[common]
        assert np.sqrt(np.mean(ratio**2)) == pytest.approx(1.0, abs=0.08)


def test_pathwise_derivatives_would_be_biased():
    """The test above sees the difference: 1[f < k] df is not the gradient of a truncation."""
    objective, cut = function("influence"), function("truncated")
    masks, values = subsets(9), values_of_all(objective)
    chance = np.prod(np.where(masks > 0, INSIDE, 1 - INSIDE), axis=1)
    multilinear_gradients(objective, INSIDE)
    each = jax.lax.map(
        lambda mask: multilinear_gradients(objective, mask), jnp.asarray(masks, jnp.float32)
    )
    pathwise = np.einsum("n,nl,nls->ls", chance, values < cut.limit, each)
    _, gradient = enumerated(cut, INSIDE)
    assert np.abs(pathwise - gradient).max() > 0.02


def test_error_falls_with_the_root_of_the_samples_and_intervals_cover():
    value, gradient = enumerated(function("truncated"), INSIDE)
    sizes, errors = [16, SAMPLES, 512], []
    for size in sizes:
        found = estimates("truncated", 200, samples=size)
        off = np.concatenate([found.value - value, (found.gradient - gradient).reshape(200, -1)], 1)
        errors.append(np.sqrt(np.mean(off**2)))
    exponent = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert exponent == pytest.approx(-0.5, abs=0.05)
    alive = found.gradient_error.min(axis=0) > 1e-3
    inside = np.abs(found.gradient - gradient) <= 1.96 * found.gradient_error
    assert inside[:, alive].mean() == pytest.approx(0.95, abs=0.02)


def test_the_closed_form_is_covered():
    found = estimates("influence", 400, samples=512)
    objective = function("influence")
    for estimate, error, exact in [
        (found.value, found.value_error, multilinear(objective, INSIDE)),
        (found.gradient, found.gradient_error, multilinear_gradients(objective, INSIDE)),
    ]:
        common = error.min(axis=0) > 0.3 * error.mean(axis=0)
        z = ((estimate - np.asarray(exact)) / np.where(common, error, 1.0))[:, common]
        assert np.sqrt(np.mean(z**2)) == pytest.approx(1.0, abs=0.08)
        assert np.mean(np.abs(z) <= 1.96) == pytest.approx(0.95, abs=0.025)


def test_antithetic_pairs_are_better_than_as_many_samples():
    value, _ = enumerated(function("influence"), INSIDE)
    plain, pairs = (
        np.sqrt(np.mean((estimates("influence", 200, antithetic=a).value - value) ** 2))
        for a in (False, True)
    )
    assert pairs < 0.9 * plain


def same(a, b, **tolerance):
    for name in ("value", "value_error", "gradient", "gradient_error"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), **tolerance)


def test_random_numbers_are_common_and_batches_change_nothing():
    f, x = function("influence"), np.full(9, 0.4)
    estimator = MonteCarlo(samples=SAMPLES, antithetic=True)
    draws = estimator.draws(jax.random.key(0), 9)
    assert draws.shape == (SAMPLES // 2, 9)
    first = estimator.estimate(f, x, draws=draws)
    assert first.samples == SAMPLES
    same(first, estimator.estimate(f, x, jax.random.key(0)), rtol=0)
    # 14 do not divide the samples: the last batch is not full.
    batched = dataclasses.replace(estimator, batch=14)
    same(first, batched.estimate(f, x, draws=draws), rtol=1e-4, atol=1e-6)


def test_common_random_numbers_compare_points():
    """A small move is told from its noise with common draws, and not without."""
    f, x = function("truncated"), np.full(9, 0.4)
    estimator = MonteCarlo(samples=64)
    moved = x + 0.02
    truth = enumerated(f, moved)[0] - enumerated(f, x)[0]
    apart, common = [], []
    for draws, others in np.random.default_rng(0).random((100, 2, 64, 9), np.float32):
        here = estimator.value(f, x, draws=draws)
        common.append(estimator.value(f, moved, draws=draws) - here - truth)
        apart.append(estimator.value(f, moved, draws=others) - here - truth)
    assert np.std(common) < 0.5 * np.std(apart)


@pytest.mark.parametrize(
    ("name", "antithetic"), [*((name, False) for name in NAMES), ("influence", True)]
)
def test_certain_items_leave_nothing_to_chance(name, antithetic):
    f = function(name)
    estimator = MonteCarlo(samples=SAMPLES, antithetic=antithetic)
    draws = np.random.default_rng(0).random((SAMPLES // (1 + antithetic), 9), np.float32)
    draws[0] = 0.0
    for x in (np.ones(9), np.zeros(9), subsets(9)[200]):
        value, gradient = enumerated(known(f), x)
        found = estimator.estimate(f, x, draws=draws)
        np.testing.assert_allclose(found.value, value, atol=2e-6)
        np.testing.assert_allclose(found.gradient, gradient, atol=3e-6)
        np.testing.assert_allclose(found.value_error, 0, atol=1e-6)
        np.testing.assert_allclose(found.gradient_error, 0, atol=1e-6)


def test_value_is_differentiable_once_by_the_unbiased_gradient():
    f, estimator = function("truncated"), MonteCarlo(samples=SAMPLES)
    points = jnp.stack([jnp.full(9, 0.4), jnp.full(9, 0.2)])
    draws = np.random.default_rng(2).random((SAMPLES, 9), np.float32)
    found = [estimator.estimate(f, x, draws=draws) for x in points]
    weights = jnp.arange(1.0, 4.0)

    def value(x):
        return weights @ estimator.value(f, x, draws=draws)

    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(value)))(points)
    np.testing.assert_allclose(values, [weights @ e.value for e in found], rtol=1e-5)
    np.testing.assert_allclose(slopes, [weights @ e.gradient for e in found], rtol=1e-5, atol=1e-6)
    assert value(points[0]) == pytest.approx(float(values[0]), rel=1e-5)
    direction = jnp.arange(9.0)
    _, tangent = jax.jvp(value, (points[0],), (direction,))
    assert tangent == pytest.approx(float(slopes[0] @ direction), rel=1e-4)
    with pytest.raises(TypeError, match="no second derivative"):
        jax.hessian(value)(points[0])


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda f: MonteCarlo(samples=1), "table samples, value 1"),
        (lambda f: MonteCarlo(samples=7, antithetic=True), "even number"),
        (lambda f: MonteCarlo(batch=0), "table batch"),
        (lambda f: MonteCarlo().estimate(f, np.ones(9)), "either a key or draws"),
        (lambda f: MonteCarlo().estimate(f, np.ones(8), jax.random.key(0)), "table x"),
        (lambda f: MonteCarlo().estimate(f, np.ones(9), draws=np.ones((3, 9))), "table draws"),
    ],
)
def test_misuse_is_refused(use, message):
    with pytest.raises(jc.InputError, match=message):
        use(function("truncated"))
