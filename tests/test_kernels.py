"""The kernels against float64 NumPy, dense JAX and finite differences."""

from __future__ import annotations

import dataclasses

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from jaxcampaign.errors import InputError
from jaxcampaign.influence.kernels import (
    expected_reach,
    matvec,
    multilinear_gradient,
    multiply,
    reach,
    reach_and_rest,
)
from jaxcampaign.influence.layout import build_layout

FORMULATIONS = ("chunked", "flat")
EPS = np.finfo(np.float32).eps


@pytest.fixture(params=FORMULATIONS)
def formulation(request):
    return request.param


def laid(matrix, formulation):
    matrix = sparse.csr_array(matrix)
    return build_layout(
        matrix.indptr,
        matrix.indices,
        matrix.data,
        n_columns=matrix.shape[1],
        formulation=formulation,
    )


def both(prob, formulation):
    """Layouts by user and by slot of probabilities [S, U]."""
    return laid(prob.T, formulation), laid(prob, formulation)


def skewed(n_slots=40, n_users=60, seed=0, certain=0.05) -> np.ndarray:
    """Probabilities [S, U] with empty rows and columns, one slot that reaches all, and ones."""
    rng = np.random.default_rng(seed)
    prob = rng.random((n_slots, n_users)) * (rng.random((n_slots, n_users)) < 0.2)
    prob[rng.random((n_slots, n_users)) < certain * 0.2] = 1.0
    prob[0] = rng.random(n_users)
    prob[3] = prob[:, n_users // 2] = 0.0
    return prob.astype(np.float32).astype(np.float64)


def point(n_slots=40, seed=1, certain=0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.random(n_slots)
    x[rng.random(n_slots) < certain] = 1.0
    return x.astype(np.float32).astype(np.float64)


def exact_reach(prob, x):
    """1 - prod(1 - x p), float64 and relatively exact: f64[U]."""
    with np.errstate(divide="ignore"):
        return -np.expm1(np.log1p(-x[:, None] * prob).sum(axis=0))


def exact_gradient(prob, x, weight):
    """sum_u p w prod over the other slots, each product taken anew: f64[S]."""
    factors = 1.0 - x[:, None] * prob
    before = np.cumprod(np.vstack([np.ones(prob.shape[1]), factors[:-1]]), axis=0)
    after = np.cumprod(np.vstack([np.ones(prob.shape[1]), factors[:0:-1]]), axis=0)[::-1]
    return (prob * before * after) @ weight


@pytest.mark.parametrize(
    "lengths",
    # From none to one that takes two levels of joining; and two chunks without a lane to spare.
    [(0, 1, 256, 257, 5000), (0, *[3] * 64, 0)],
    ids=["of any length", "that fill their chunks"],
)
def test_products_of_rows(formulation, lengths):
    rng = np.random.default_rng(0)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    columns = rng.integers(0, 70, indptr[-1])
    matrix = sparse.csr_array(
        (rng.standard_normal(indptr[-1]), columns, indptr), shape=(len(lengths), 70)
    )
    x = rng.standard_normal(70)
    error = np.asarray(matvec(laid(matrix, formulation), x)) - matrix @ x
    assert (abs(error) <= 10 * EPS * (abs(matrix) @ abs(x))).all()


def test_reach_and_rest(formulation):
    prob, x = skewed(certain=0.0), point()
    expected = exact_reach(prob, x)
    by_user, _ = both(prob, formulation)
    np.testing.assert_allclose(reach(by_user, x), expected, rtol=20 * EPS)
    reached, rest = reach_and_rest(by_user, x)
    np.testing.assert_allclose(reached, expected, rtol=20 * EPS)
    np.testing.assert_allclose(rest, np.prod(1 - x[:, None] * prob, axis=0), rtol=60 * EPS)
    assert (reached[30], rest[30]) == (0.0, 1.0)


def test_gradient_with_certain_slots(formulation):
    """15 % of x at 1 and 5 % of p at 1: the clamp must be as good as leaving the slot out."""
    prob, x = skewed(certain=0.3), point(certain=0.15)
    weight = np.random.default_rng(2).random(60)
    assert (x[:, None] * prob == 1.0).sum() > 5
    by_user, by_slot = both(prob, formulation)
    reached, rest = reach_and_rest(by_user, x)
    np.testing.assert_allclose(reached, exact_reach(prob, x), rtol=20 * EPS)
    expected = exact_gradient(prob, x, weight)
    gradient = multilinear_gradient(by_slot, x, weight.astype(np.float32) * rest)
    np.testing.assert_allclose(gradient, expected, atol=20 * EPS * expected.max())


@pytest.mark.parametrize("n_certain", [1, 2, 3, 9, 30])
def test_many_certain_slots_on_one_user(formulation, n_certain):
    prob = np.repeat([1.0, 0.3, 0.0], [n_certain, 10, 30 - n_certain])[:, None]
    x = np.ones(40)
    by_user, by_slot = both(prob, formulation)
    reached, rest = reach_and_rest(by_user, x)
    gradient = np.asarray(multilinear_gradient(by_slot, x, rest))
    assert np.asarray(reached) == 1.0
    expected = exact_gradient(prob, x, np.ones(1))
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=2 * EPS)


@pytest.mark.parametrize(
    "prob",
    [
        np.full(100_000, 1e-7),
        np.full(100_000, 3e-6),
        np.full(100_000, 1e-3),
        np.geomspace(1e-12, 1.0, 100_000),
        np.random.default_rng(0).random(100_000) * 2e-5,
        np.full(100_000, 1e-30),
    ],
    ids=["tiny", "small", "saturated", "every scale", "random", "vanishing"],
)
def test_a_hundred_thousand_slots_on_one_user(formulation, prob):
    prob = prob.astype(np.float32).astype(np.float64)
    by_user = laid(prob[None, :], formulation)
    x = np.ones(prob.size, np.float32)
    expected = exact_reach(prob[:, None], x)
    reached, rest = reach_and_rest(by_user, x)
    np.testing.assert_allclose(reach(by_user, x), expected, rtol=1e-5)
    np.testing.assert_allclose(reached, expected, rtol=1e-5)
    np.testing.assert_allclose(rest, 1.0 - expected, atol=1e-6)
    assert 0.0 <= reached[0] <= 1.0


UNIT = st.floats(0, 1, width=16) | st.sampled_from([0.0, 0.0, 1.0])


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(np.float64, (7, 9), elements=UNIT),
    hnp.arrays(np.float64, 7, elements=UNIT),
    hnp.arrays(np.float64, 9, elements=UNIT),
    st.sampled_from(FORMULATIONS),
)
def test_against_float64(prob, x, weight, formulation):
    by_user, by_slot = both(prob, formulation)
    assert (by_user.n_rows, by_slot.n_rows) == (9, 7)
    np.testing.assert_allclose(matvec(by_user, x), prob.T @ x, rtol=1e-6)
    np.testing.assert_allclose(matvec(by_slot, weight), prob @ weight, rtol=1e-6)
    reached, rest = reach_and_rest(by_user, x)
    np.testing.assert_allclose(reached, exact_reach(prob, x), rtol=2e-6)
    gradient = multilinear_gradient(by_slot, x, weight.astype(np.float32) * rest)
    np.testing.assert_allclose(gradient, exact_gradient(prob, x, weight), rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=25)
@given(st.randoms(use_true_random=False), st.sampled_from(FORMULATIONS))
def test_order_of_rows_and_columns_changes_nothing(random, formulation):
    prob, x = skewed(), point()
    slots, users = np.arange(40), np.arange(60)
    random.shuffle(slots)
    random.shuffle(users)
    expected = reach(laid(prob.T, formulation), x)
    permuted = reach(laid(prob[slots][:, users].T, formulation), x[slots])
    np.testing.assert_allclose(permuted, np.asarray(expected)[users], rtol=4e-6)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (3, 4)])
def test_matrices_without_entries(formulation, shape):
    n_slots, n_users = shape
    by_user, by_slot = both(np.zeros(shape), formulation)
    x, rest = np.ones(n_slots), np.ones(n_users)
    np.testing.assert_array_equal(reach_and_rest(by_user, x), [np.zeros(n_users), np.ones(n_users)])
    np.testing.assert_array_equal(multilinear_gradient(by_slot, x, rest), np.zeros(n_slots))


@pytest.mark.parametrize("shape", [(1, 400), (400, 1)])
def test_single_rows_and_columns(formulation, shape):
    prob = np.random.default_rng(0).random(shape)
    x = np.full(shape[0], 0.01)
    by_user, _ = both(prob, formulation)
    np.testing.assert_allclose(reach(by_user, x), exact_reach(prob, x), rtol=1e-6)


def test_derivatives_against_finite_differences(formulation):
    prob, x = skewed(), point()
    weight = np.random.default_rng(3).random(60)
    by_user, by_slot = both(prob, formulation)
    gradient = jax.grad(lambda x: weight.astype(np.float32) @ expected_reach(by_user, by_slot, x))
    step = 1e-6
    steps = step * np.eye(x.size)
    differences = [
        weight @ (exact_reach(prob, x + h) - exact_reach(prob, x - h)) / (2 * step) for h in steps
    ]
    np.testing.assert_allclose(gradient(jnp.float32(x)), differences, rtol=1e-4, atol=1e-6)


def dense_reach(prob):
    prob = jnp.float32(prob)
    return lambda x: 1.0 - jnp.prod(1.0 - x[:, None] * prob, axis=0)


def test_derivatives_against_dense_jax(formulation):
    """Value, gradient and Hessian, composed with other functions, under jit and vmap."""
    prob = skewed(12, 9)
    prob[prob == 1.0] = 0.5
    by_user, by_slot = both(prob, formulation)
    points = jnp.float32(np.stack([point(12, seed) for seed in range(2)]))

    def derivatives(reached, product):
        def value(x):
            return jnp.sum(jnp.sin(reached(x)) * product(x) ** 2)

        def gradient(x):
            value_and_gradient = jax.value_and_grad(value)(x)
            return value_and_gradient[1], value_and_gradient

        return jax.jit(jax.vmap(jax.jacfwd(gradient, has_aux=True)))

    got = derivatives(
        lambda x: expected_reach(by_user, by_slot, x), lambda x: multiply(by_user, by_slot, x)
    )
    expected = derivatives(dense_reach(prob), lambda x: jnp.float32(prob.T) @ x)
    for ours, dense in zip(*map(jax.tree.leaves, (got(points), expected(points))), strict=True):
        np.testing.assert_allclose(ours, dense, rtol=1e-4, atol=1e-4)


def test_forward_mode_of_the_plain_kernels(formulation):
    prob, x, direction = skewed(12, 9), jnp.float32(point(12)), jnp.float32(point(12, 4))
    by_user, _ = both(prob, formulation)
    got = jax.jvp(lambda x: reach(by_user, x), (x,), (direction,))
    np.testing.assert_allclose(got, jax.jvp(dense_reach(prob), (x,), (direction,)), atol=1e-5)


def test_derivatives_in_the_probabilities_are_refused(formulation):
    by_user, by_slot = both(skewed(), formulation)
    x = jnp.ones(40)
    for function in (expected_reach, multiply):

        def total(values, function=function):
            return function(dataclasses.replace(by_user, values=values), by_slot, x).sum()

        with pytest.raises(TypeError, match="only in x"):
            jax.grad(total)(by_user.values)


def test_vmap_over_vectors(formulation):
    prob = skewed()
    points = np.stack([point(40, seed) for seed in range(4)], axis=1).astype(np.float32)
    rests = np.random.default_rng(0).random((60, 4), dtype=np.float32)
    by_user, by_slot = both(prob, formulation)

    def kernels(x, rest):
        return *reach_and_rest(by_user, x), multilinear_gradient(by_slot, x, rest)

    together = jax.vmap(kernels, (1, 1), 1)(points, rests)
    one_by_one = zip(*(kernels(points[:, k], rests[:, k]) for k in range(4)), strict=True)
    for got, expected in zip(together, one_by_one, strict=True):
        np.testing.assert_allclose(got, np.stack(expected, axis=1), rtol=1e-6)


def test_without_jit(formulation):
    prob, x = skewed(5, 4), point(5)
    by_user, _ = both(prob, formulation)
    compiled = reach_and_rest(by_user, x)
    with jax.disable_jit():
        np.testing.assert_allclose(reach_and_rest(by_user, x), compiled, rtol=1e-6)


def test_repeated_runs_agree_to_the_bit(formulation):
    by_user, _ = both(skewed(), formulation)
    x = point()
    np.testing.assert_array_equal(reach(by_user, x), reach(by_user, x))


@pytest.mark.parametrize("kernel", [matvec, reach, reach_and_rest])
def test_vectors_of_the_wrong_length_are_refused(formulation, kernel):
    by_user, by_slot = both(skewed(), formulation)
    with pytest.raises(InputError, match=r"table x: shape is \(60,\), the layout needs \(40,\)"):
        kernel(by_user, np.ones(60))
    with pytest.raises(InputError, match="weighted_rest"):
        multilinear_gradient(by_slot, np.ones(40), np.ones(61))


def test_a_sweep_within_one_bucket_compiles_once(formulation):
    """Ten matrices of similar size on the same axes, each kernel compiled for the first alone."""
    rng = np.random.default_rng(0)
    degrees = rng.permutation(np.repeat([3, 25, 300], [301, 180, 21]))

    def by_user(step):
        lengths = degrees + (np.arange(502) < 9 * step)
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        columns = rng.integers(0, 83, indptr[-1])
        return build_layout(
            indptr, columns, rng.random(indptr[-1]), n_columns=83, formulation=formulation
        )

    x = rng.random(83, dtype=np.float32)
    counts = []
    for step in range(10):
        compiled = []

        def record(event, duration, compiled=compiled, **_):
            if event.endswith("backend_compile_duration"):
                compiled.append(event)

        jax.monitoring.register_event_duration_secs_listener(record)
        try:
            layout = by_user(step)
            jax.block_until_ready((matvec(layout, x), reach_and_rest(layout, x)))
        finally:
            jax.monitoring.unregister_event_duration_listener(record)
        counts.append(len(compiled))
    assert counts[0] >= 2
    assert counts[1:] == [0] * 9
