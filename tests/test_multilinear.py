"""The closed form of the multilinear extension, and the wrappers of set functions."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import dense_influence

import jaxcampaign as jc
from jaxcampaign.influence.layout import build_layout
from jaxcampaign.problems import ProductInfluence, SetFunction, Truncated, Weighted
from jaxcampaign.relaxations import (
    multilinear,
    multilinear_gradients,
    multilinear_value_and_gradient,
)


def instance(
    seed, n_slots=9, n_users=7, n_products=3
) -> tuple[ProductInfluence, np.random.Generator]:
    """A random objective with certain and tiny probabilities."""
    rng = np.random.default_rng(seed)
    prob = np.where(rng.random((n_slots, n_users)) < 0.5, rng.random((n_slots, n_users)), 0)
    prob = np.where(rng.random(prob.shape) < 0.1, 1.0, prob)
    prob = np.where(rng.random(prob.shape) < 0.1, 1e-7, prob)
    prob[:, 0] = rng.random(n_slots) * 0.9 + 0.05
    influence = dense_influence(prob, rng.random(n_slots) + 0.1)
    audience = rng.random((n_products, influence.n_users)) < 0.6
    audience[:, 0] = True
    return jc.CommonSlots(influence, audience, None, 0.0).objective, rng


def point(rng, n_slots=9) -> np.ndarray:
    """A point with coordinates at 0 and 1."""
    x = rng.random(n_slots)
    x[rng.random(n_slots) < 0.2] = 1.0
    x[rng.random(n_slots) < 0.1] = 0.0
    return x.astype(np.float32).astype(np.float64)


def subsets(n) -> np.ndarray:
    """All selections as rows, float64[2^n, n]."""
    return np.array(list(itertools.product([0.0, 1.0], repeat=n)))


def values_of_all(objective) -> np.ndarray:
    """The functions at all selections, float64[2^S, L], by the definition."""
    if isinstance(objective, Truncated):
        return np.minimum(values_of_all(objective.objective), objective.limit)
    if isinstance(objective, Weighted):
        return values_of_all(objective.objective) @ objective.weights[:, None]
    prob = objective.influence.matrix.toarray().astype(np.float32).astype(np.float64)
    miss = np.prod(1 - subsets(len(prob))[:, :, None] * prob, axis=1)
    return (1 - miss) @ objective.audience.toarray().T


def enumerated(objective, x) -> tuple[np.ndarray, np.ndarray]:
    """F float64[L] and its gradient float64[L, S] as sums over all 2^S selections."""
    masks, values = subsets(len(x)), values_of_all(objective)
    chance = np.where(masks > 0, x, 1 - x)
    gradient = []
    for s in range(len(x)):
        others = np.prod(np.delete(chance, s, axis=1), axis=1)
        gradient.append(np.where(masks[:, s] > 0, others, -others) @ values)
    return np.prod(chance, axis=1) @ values, np.array(gradient).T


@pytest.mark.parametrize("seed", range(4))
def test_closed_form_is_the_expectation_over_all_selections(seed):
    objective, rng = instance(seed)
    x, weights = point(rng), rng.random(3)
    value, gradient = enumerated(objective, x)
    np.testing.assert_allclose(multilinear(objective, x), value, rtol=1e-6)
    largest = gradient.max()
    np.testing.assert_allclose(
        multilinear_gradients(objective, x), gradient, rtol=1e-6, atol=1e-6 * largest
    )
    got, slope = multilinear_value_and_gradient(objective, x, weights)
    np.testing.assert_allclose(got, value, rtol=1e-6)
    np.testing.assert_allclose(slope, weights @ gradient, rtol=2e-6, atol=1e-6 * largest)


@pytest.mark.parametrize("formulation", ["chunked", "flat"])
def test_gradients_of_all_products_where_rows_are_long(formulation):
    rng = np.random.default_rng(0)
    n_slots, n_users, n_products = 700, 900, 5
    prob = np.where(rng.random((n_slots, n_users)) < 0.02, rng.random((n_slots, n_users)), 0)
    prob[3] = rng.random(n_users)  # several pieces
    prob[4, :] = 0.0
    prob[4, 0] = 1.0
    slots, users = np.nonzero(prob)
    influence = jc.Influence.from_arrays(
        slots, users, prob[slots, users], _plain_slots(n_slots), np.arange(n_users).astype(str)
    )
    m, t = influence.matrix, influence.by_user_matrix
    for name, rows, n_columns in [("by_slot", m, m.shape[1]), ("by_user", t, t.shape[1])]:
        influence.__dict__[name] = build_layout(
            rows.indptr, rows.indices, rows.data, n_columns=n_columns, formulation=formulation
        )
    audience = rng.random((n_products, influence.n_users)) < 0.3
    objective = jc.CommonSlots(influence, audience, None, 0.0).objective
    x = rng.random(n_slots) * 0.3
    x[:5] = 1.0
    dense = m.toarray()
    factors = np.maximum(1 - x[:, None] * dense, 2.0**-24)
    own = dense * np.prod(factors, axis=0) / factors
    expected = audience.astype(float) @ own.T
    got = multilinear_gradients(objective, x)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=2e-6 * expected.max())


def _plain_slots(n):
    from catalogue import slot_table

    table = slot_table(np.ones(n))
    return table.assign(slot_id=[f"s{i:05d}" for i in range(n)])


def test_everything_at_one_is_finite_and_right():
    objective, _ = instance(0)
    ones = np.ones(9)
    value, gradient = enumerated(objective, ones)
    np.testing.assert_allclose(multilinear(objective, ones), value, rtol=1e-6)
    got = np.asarray(multilinear_gradients(objective, ones))
    assert np.isfinite(got).all()
    np.testing.assert_allclose(got, gradient, atol=1e-6 * gradient.max())


def test_differentiable_jitted_and_vmapped():
    objective, rng = instance(1)
    points = np.stack([point(rng) for _ in range(3)]).astype(np.float32)
    values = [multilinear(objective, x) for x in points]
    weights = jnp.asarray(rng.random(3), jnp.float32)
    slopes = jax.vmap(jax.grad(lambda x: weights @ multilinear(objective, x)))(points)
    each = jax.jit(jax.vmap(lambda x: multilinear_gradients(objective, x)))(points)
    np.testing.assert_allclose(slopes, jnp.einsum("l,nls->ns", weights, each), rtol=1e-5, atol=1e-6)
    together, direct = jax.vmap(lambda x: multilinear_value_and_gradient(objective, x, weights))(
        points
    )
    np.testing.assert_allclose(together, values, rtol=1e-6)
    np.testing.assert_allclose(direct, slopes, rtol=1e-6, atol=1e-6)


def test_the_first_call_may_be_inside_jit():
    objective, rng = instance(2)
    x = point(rng)
    # JAX's check of key reuse does not cope with evaluation at compile time.
    with jax.debug_key_reuse(False):
        inside = jax.jit(lambda x: multilinear(objective, x))(x)
    np.testing.assert_array_equal(inside, multilinear(objective, x))


def test_a_sweep_compiles_once():
    compiled = []

    def listener(name, *_, **__):
        if "backend_compile" in name:
            compiled.append(name)

    jax.monitoring.register_event_duration_secs_listener(listener)
    try:
        counts = []
        for seed in range(4):
            objective, rng = instance(seed + 20)
            before = len(compiled)
            multilinear_value_and_gradient(objective, point(rng), np.ones(3))
            counts.append(len(compiled) - before)
    finally:
        jax.monitoring.unregister_event_duration_listener(listener)
    assert counts[1:] == [0, 0, 0], counts


def test_weighted_sums_have_a_closed_form_and_truncations_none():
    objective, rng = instance(3)
    x, weights = point(rng), rng.random(3)
    summed = Weighted(objective, weights)
    np.testing.assert_allclose(
        multilinear(summed, x), [weights @ np.asarray(multilinear(objective, x))], rtol=1e-6
    )
    expected = weights @ np.asarray(multilinear_gradients(objective, x))
    value, gradient = multilinear_value_and_gradient(summed, x, [2.0])
    np.testing.assert_allclose(value, multilinear(summed, x), rtol=1e-6)
    np.testing.assert_allclose(gradient, 2 * expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        multilinear_gradients(summed, x), expected[None], rtol=1e-5, atol=1e-6
    )
    with pytest.raises(jc.InputError, match="MonteCarlo"):
        multilinear(Truncated(objective, 1.0), x)


def wrapped(objective, rng) -> list[SetFunction]:
    cut = Truncated(objective, rng.random(3) * 2)
    return [cut, Weighted(cut, rng.random(3)), Truncated(Weighted(objective, [1, 2, 0.5]), 3.0)]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", range(3))
def test_wrappers_are_set_functions(kind, seed):
    objective, rng = instance(seed)
    function = wrapped(objective, rng)[kind]
    assert isinstance(function, SetFunction)
    assert function.n_items == 9
    table, masks = values_of_all(function), subsets(9)
    n = function.n_objectives
    assert table.shape[1] == n
    bits = 2 ** np.arange(8, -1, -1)
    for code in rng.integers(0, 2**9, 6):
        x = masks[code]
        np.testing.assert_allclose(function.reference(x), table[code], rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(function.value(x), table[code], rtol=2e-6, atol=1e-6)
        gains = np.array([table[code | bits[s]] - table[code] for s in range(9)]).T
        np.testing.assert_allclose(function.marginal_gains(x), gains, rtol=1e-5, atol=2e-6)
        weights = rng.random(n)
        np.testing.assert_allclose(
            function.marginal_gains(x, weights), weights @ gains, rtol=1e-5, atol=4e-6
        )
        for given, worth in [(None, np.eye(n)), (weights, weights[None])]:
            constant, slope = function.linear_bound(x, given)
            bound = np.atleast_1d(constant)[None] + masks @ np.atleast_2d(slope).T
            assert (table @ worth.T <= bound + 1e-5).all()


def test_wrappers_flatten_and_pass_through_jit():
    objective, rng = instance(5)
    x = subsets(9)[77]
    for function in wrapped(objective, rng):
        leaves, tree = jax.tree.flatten(function)
        again = jax.tree.unflatten(tree, leaves)
        np.testing.assert_array_equal(again.value(x), function.value(x))
        inside = jax.jit(lambda f, x: f.value(x))(function, x)
        np.testing.assert_allclose(inside, function.value(x), rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: Truncated(f, [1.0, 2.0]), r"table limit: has shape \(2,\)"),
        (lambda f: Truncated(f, [1.0, -2.0, 0.0]), "table limit, row 1, value -2.0"),
        (lambda f: Truncated(f, float("nan")), "table limit"),
        (lambda f: Truncated(f, "many"), "pass numbers"),
        (lambda f: Weighted(f, [1.0]), "table weights"),
        (lambda f: Weighted(f, np.inf), "must be finite"),
    ],
)
def test_limits_and_weights_are_checked(make, message):
    objective, _ = instance(0)
    with pytest.raises(jc.InputError, match=message):
        make(objective)
