"""Influence as a set function: against float64 oracles, and its properties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import dense_influence, slot_table
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxcampaign as jc
from jaxcampaign.problems import SetFunction, reach_reference


def _instance(seed, n_slots=14, n_users=9, n_products=3):
    rng = np.random.default_rng(seed)
    prob = np.where(rng.random((n_slots, n_users)) < 0.4, rng.random((n_slots, n_users)), 0)
    prob = np.where(rng.random(prob.shape) < 0.1, 1.0, prob)
    prob[0] = np.maximum(prob[0], 0.01)
    influence = dense_influence(prob, rng.random(n_slots) + 0.1)
    audience = (rng.random((n_products, influence.n_users)) < 0.6).astype(float)
    problem = jc.CommonSlots(influence, audience, None, 0.0)
    return problem, influence.matrix.toarray(), audience, rng


def _by_hand(prob, audience, x):
    return audience @ (1 - np.prod(1 - prob * np.asarray(x, float)[:, None], axis=0))


@pytest.mark.parametrize("seed", range(5))
def test_value_and_reference_are_the_definition(seed):
    problem, prob, audience, rng = _instance(seed)
    f = problem.objective
    assert isinstance(f, SetFunction)
    assert (f.n_items, f.n_objectives) == (len(prob), len(audience))
    for x in [np.zeros(len(prob)), np.ones(len(prob)), rng.random(len(prob)) < 0.5]:
        want = _by_hand(prob, audience, x)
        np.testing.assert_allclose(f.reference(x), want, rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(f.value(x), want, rtol=2e-6, atol=1e-6)
    point = rng.random(len(prob))
    np.testing.assert_allclose(f.reference(point), _by_hand(prob, audience, point), rtol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_marginal_gains_are_differences(seed):
    problem, prob, audience, rng = _instance(seed)
    x = rng.random(len(prob)) < 0.3
    base = _by_hand(prob, audience, x)
    each = np.asarray(problem.objective.marginal_gains(x))
    for s in range(len(prob)):
        more = x.copy()
        more[s] = True
        np.testing.assert_allclose(
            each[:, s], _by_hand(prob, audience, more) - base, rtol=1e-5, atol=1e-6
        )
    weights = rng.random(len(audience))
    weighted = problem.objective.marginal_gains(x, weights)
    np.testing.assert_allclose(weighted, weights @ each, rtol=1e-5, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_monotone_submodular_and_bounded_by_its_linear_bound(seed):
    problem, prob, audience, rng = _instance(seed, 8, 6, 2)
    f = problem.objective.reference
    small = rng.random(len(prob)) < 0.3
    large = small | (rng.random(len(prob)) < 0.4)
    extra = rng.random(len(prob)) < 0.3
    assert (f(large) >= f(small) - 1e-12).all()
    gain_small, gain_large = f(small | extra) - f(small), f(large | extra) - f(large)
    assert (gain_large <= gain_small + 1e-12).all()
    constant, slope = problem.objective.linear_bound(small)
    assert (f(large) <= np.asarray(constant) + np.asarray(slope) @ large + 1e-4).all()
    constant, slope = problem.objective.linear_bound(small, np.ones(2))
    assert f(large).sum() <= float(constant) + float(slope @ large) + 1e-4


def test_value_is_differentiable_like_finite_differences():
    problem, prob, audience, rng = _instance(1)
    x = rng.random(len(prob)) * 0.8 + 0.1
    weights = rng.random(len(audience))

    def value(x):
        return weights @ _by_hand(prob, audience, x)

    influence = problem.influence
    from jaxcampaign.influence.kernels import expected_reach

    user_weight = jnp.asarray(weights @ audience, jnp.float32)
    slope = jax.grad(
        lambda x: user_weight @ expected_reach(influence.by_user, influence.by_slot, x)
    )(jnp.asarray(x, jnp.float32))
    step = 1e-6
    want = [(value(x + step * e) - value(x - step * e)) / (2 * step) for e in np.eye(len(x))]
    np.testing.assert_allclose(slope, want, rtol=1e-4, atol=1e-5)


def test_jit_changes_nothing_and_similar_sizes_share_programs():
    problem, _, _, rng = _instance(2)
    x = rng.random(problem.n_items) < 0.5
    compiled = problem.objective.value(x)
    with jax.disable_jit():
        np.testing.assert_allclose(problem.objective.value(x), compiled, rtol=1e-6)

    compilations = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, *_, **__: compilations.append(name) if "backend_compile" in name else None
    )
    counts = []
    for seed in range(3, 9):
        other, _, _, rng = _instance(seed)
        before = len(compilations)
        jc.solve(jc.CommonSlots(other.influence, None, None, 0.5), jc.Greedy())
        counts.append(len(compilations) - before)
    assert sum(counts[1:]) == 0, counts
    jax.jit(lambda x: x * 3.25 + len(counts))(jnp.ones(7)).block_until_ready()
    assert len(compilations) > before, "the listener must hear of a compilation"


def test_pytrees_flatten_and_rebuild():
    problem, _, _, rng = _instance(4)
    x = rng.random(problem.n_items) < 0.5
    leaves, tree = jax.tree_util.tree_flatten(problem)
    again = jax.tree_util.tree_unflatten(tree, leaves)
    np.testing.assert_array_equal(again.objective.value(x), problem.objective.value(x))
    np.testing.assert_array_equal(again.demand, problem.demand)
    jitted = jax.jit(lambda f, x: f.value(x))
    np.testing.assert_allclose(
        jitted(problem.objective, jnp.asarray(x)), problem.objective.value(x), rtol=1e-6
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_order_of_rows_and_idle_slots_change_nothing(seed):
    rng = np.random.default_rng(seed)
    prob = np.where(rng.random((7, 5)) < 0.5, rng.random((7, 5)), 0)
    prob[0, 0] = 0.5
    slot, user = np.nonzero(prob)
    import pandas as pd

    pairs = pd.DataFrame(
        {
            "slot_id": [f"s{i:02d}" for i in slot],
            "user_id": [f"u{i}" for i in user],
            "prob": prob[slot, user],
        }
    )
    slots = slot_table(rng.random(7))
    plain = jc.Influence.from_pairs(pairs, slots)
    idle = pd.DataFrame({"slot_id": ["s00"], "user_id": ["zz"], "prob": [0.0]})
    shuffled = jc.Influence.from_pairs(
        pd.concat([pairs, idle]).sample(frac=1, random_state=seed % 1000),
        slots.sample(frac=1, random_state=seed % 999),
    )
    pd.testing.assert_frame_equal(plain.slots, shuffled.slots)
    assert list(plain.user_ids) == list(shuffled.user_ids)
    np.testing.assert_array_equal(plain.matrix.toarray(), shuffled.matrix.toarray())
    pd.testing.assert_frame_equal(
        plain.to_pairs(),
        pairs.sort_values(["slot_id", "user_id"])
        .astype({"slot_id": "str", "user_id": "str"})
        .reset_index(drop=True),
    )


def test_many_slots_on_one_user_keep_relative_accuracy():
    """Case 32: 1e5 slots on one user, tiny and large probabilities, against float64."""
    n = 100_000
    for low, high in [(1e-9, 1e-7), (1e-6, 1e-4), (0.1, 0.9)]:
        prob = np.random.default_rng(0).uniform(low, high, n)
        slots = jc.Influence.from_arrays(
            np.arange(n), np.zeros(n, int), prob, _plain_slots(n), ["u"]
        )
        want = -np.expm1(np.log1p(-slots.matrix.data).sum())
        problem = jc.BudgetedSlots(slots, max_slots=1)
        np.testing.assert_allclose(reach_reference(slots, np.ones(n))[0], want, rtol=1e-12)
        np.testing.assert_allclose(problem.objective.value(np.ones(n))[0], want, rtol=1e-5)


def _plain_slots(n):
    import pandas as pd

    return pd.DataFrame(
        {
            "slot_id": pd.Series(range(n)).astype("str"),
            "board_id": "b",
            "start_min": 0,
            "end_min": 1440,
            "cost": 1.0,
        }
    )
