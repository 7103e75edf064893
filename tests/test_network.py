"""The tower network: encodings, additivity, gradients, calibration of totals, compile counts."""

import itertools
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from jaxcampaign.effectiveness import SOURCES, Features, TowerNetwork
from jaxcampaign.effectiveness.network.buckets import bucket
from jaxcampaign.effectiveness.network.categories import embedding_rows, fit_categories
from jaxcampaign.effectiveness.network.losses import loss, tweedie
from jaxcampaign.effectiveness.network.numeric import encode_numeric, fit_numeric
from jaxcampaign.effectiveness.network.training import _run_epoch
from jaxcampaign.effectiveness.shapley import COALITIONS, shapley_split
from jaxcampaign.errors import InputError

SMALL = TowerNetwork(members=4, width=16, n_bins=8, epochs=40, learning_rate=5e-3, dropout=0.0)
COLUMNS = {"a": "I", "b": "I", "name": "I", "h": "H", "kind": "H", "m": "M"}
N_ROWS = 600


def _table(n_rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows and a target that is a sum over the sources, with noise that grows with b."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "a": rng.normal(size=n_rows),
            "b": rng.lognormal(size=n_rows),
            "name": [f"n{i:02d}" for i in rng.integers(0, 25, n_rows)],
            "h": rng.normal(size=n_rows),
            "kind": rng.choice(["p", "q", "r"], n_rows),
            "m": rng.uniform(-2, 2, n_rows),
        }
    )
    frame.loc[rng.random(n_rows) < 0.1, "h"] = np.nan
    levels = frame["name"].str[1:].astype(int) % 5
    mean = np.sin(2 * frame["a"]) + 0.4 * levels + 0.8 * frame["h"].fillna(0) + frame["m"] ** 2
    noise = 0.1 + 0.2 * (frame["b"] > 1)
    return frame, (mean + noise * rng.normal(size=n_rows)).to_numpy()


@pytest.fixture(scope="module")
def frame():
    return _table(N_ROWS, 0)[0]


@pytest.fixture(scope="module")
def features(frame) -> Features:
    return Features.from_frame(frame, COLUMNS)


@pytest.fixture(scope="module")
def target() -> np.ndarray:
    return _table(N_ROWS, 0)[1]


@pytest.fixture(scope="module")
def fitted(features, target):
    return SMALL.fit(features, target, key=jax.random.key(0))


@pytest.fixture(scope="module")
def counts(target) -> np.ndarray:
    return np.random.default_rng(9).poisson(20 * np.exp(0.5 * target)).astype(float)


@pytest.fixture(scope="module")
def fitted_counts(features, counts):
    return replace(SMALL, link="log").fit(features, counts, key=jax.random.key(1))


@pytest.fixture(scope="module")
def fitted_joint(features, target):
    return replace(SMALL, additive=False, dropout=0.1).fit(features, target, key=jax.random.key(2))


def test_numeric_encoding_is_the_one_of_the_paper():
    rng = np.random.default_rng(1)
    numeric = np.column_stack(
        [rng.lognormal(8, 3, 500), rng.integers(0, 2, 500), np.full(500, 3.0), rng.normal(size=500)]
    ).astype(np.float32)
    numeric[::7, 3] = np.nan
    found = np.asarray(encode_numeric(fit_numeric(numeric, 10), jnp.asarray(numeric)))
    for f, column in enumerate(numeric.astype(np.float64).T):
        known = column[~np.isnan(column)]
        edges = np.quantile(known, np.linspace(0, 1, 11))
        filled = np.where(np.isnan(column), np.median(known), column)
        for t, (low, high) in enumerate(itertools.pairwise(edges)):
            expected = np.clip((filled - low) / (high - low), 0, 1) if high > low else 0 * filled
            np.testing.assert_allclose(found[:, f, t], expected, atol=2e-4)
        np.testing.assert_array_equal(found[:, f, -1], np.isnan(column))
    assert np.abs(found[..., -2]).max() <= 3.0


def test_columns_without_any_value_encode_to_nothing():
    numeric = np.full((5, 1), np.nan, np.float32)
    found = np.asarray(encode_numeric(fit_numeric(numeric, 4), jnp.asarray(numeric)))
    np.testing.assert_array_equal(found[:, 0], [[0, 0, 0, 0, 0, 1]] * 5)


def test_categories_that_training_lacks_share_the_unknown_row():
    codes = np.array([[0, 2], [2, 2], [0, -1]], np.int32)
    rows = fit_categories(codes, np.array([4, 3]))
    asked = np.array([[0, 2], [1, 0], [2, -1], [3, 99], [-1, 1]], np.int32)
    found = np.asarray(embedding_rows(rows, jnp.asarray(asked)))
    np.testing.assert_array_equal(found, [[1, 1], [0, 0], [2, 0], [0, 0], [0, 0]])


def test_the_shapley_split_is_the_mean_over_all_orders():
    values = np.random.default_rng(2).normal(size=(8, 6))
    index = {tuple(row.astype(int)): s for s, row in enumerate(COALITIONS)}
    expected = np.zeros((3, 6))
    orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    for order in orders:
        members = [0, 0, 0]
        for player in order:
            before = values[index[tuple(members)]]
            members[player] = 1
            expected[player] += (values[index[tuple(members)]] - before) / 6
    np.testing.assert_allclose(shapley_split(values), expected, atol=1e-12)


def test_buckets_waste_at_most_a_quarter():
    sizes = [bucket(n) for n in range(1, 5000)]
    assert all(n <= size <= max(16, 1.25 * n) for n, size in enumerate(sizes, 1))
    assert len(set(sizes)) < 40


@pytest.mark.parametrize("power", [1.0, 1.5, 2.0])
def test_the_tweedie_loss_is_least_at_the_mean(power):
    target = jnp.asarray(np.random.default_rng(3).gamma(2.0, 3.0, 1000), jnp.float32)
    slope = jax.grad(lambda mean: jnp.mean(tweedie(mean, target, power)))(target.mean())
    assert abs(slope) < 1e-5


@pytest.mark.parametrize("link", ["identity", "log"])
def test_losses_are_least_at_the_true_mean_and_variance(link):
    rng = np.random.default_rng(4)
    target = jnp.asarray(rng.gamma(4.0, 0.5, 4000), jnp.float32)  # mean 2, variance 1
    spread = 1.0 if link == "identity" else 1.0 / 2.0**1.5
    raw_mean = 2.0 if link == "identity" else np.log(2.0)
    raw = jnp.array([raw_mean, np.log(np.expm1(spread))], jnp.float32)
    slope = jax.grad(lambda raw: jnp.mean(loss(raw, target, link, 1.5)))(raw)
    np.testing.assert_allclose(slope, 0.0, atol=0.05)


def test_it_learns_mean_and_deviation(fitted):
    frame, target = _table(2000, 5)
    told = fitted.predict(Features.from_frame(frame, COLUMNS, like=fitted.columns))
    assert np.corrcoef(told.mean, target)[0, 1] > 0.95
    loud = told.std[frame["b"] > 1.5].mean() / told.std[frame["b"] < 0.7].mean()
    assert loud > 1.15
    assert 0.5 < np.sqrt(np.mean(((target - told.mean) / told.std) ** 2)) < 1.5


def test_parts_see_their_source_only(fitted, features):
    rng = np.random.default_rng(6)
    order = rng.permutation(N_ROWS)
    numeric, categorical = features.numeric.copy(), features.categorical.copy()
    numeric[:, 2:] = numeric[order, 2:]
    categorical[:, 1:] = categorical[order, 1:]
    shuffled = replace(features, numeric=numeric, categorical=categorical)
    before, after = fitted.predict(features), fitted.predict(shuffled)
    np.testing.assert_array_equal(before.parts["I"], after.parts["I"])
    assert np.abs(before.parts["H"] - after.parts["H"]).max() > 0.1


def test_parts_sum_to_the_prediction(fitted, fitted_counts, fitted_joint, features):
    for model in (fitted, fitted_counts, fitted_joint):
        told = model.predict(features)
        np.testing.assert_allclose(
            told.base + sum(told.parts[source] for source in SOURCES), told.mean, rtol=1e-13
        )
        np.testing.assert_allclose(told.members.mean(axis=0), told.mean, rtol=1e-5, atol=1e-5)


def test_parts_are_centred_on_the_training_rows(fitted, features):
    told = fitted.predict(features.take(slice(N_ROWS - int(0.15 * N_ROWS))))
    for source in SOURCES:
        part = told.parts[source]
        assert abs(part.mean()) < 1e-5 * (1 + np.abs(part).max()) and part.std() > 0


def test_counts_keep_their_total_and_are_split_exactly(fitted_counts, features, counts):
    told = fitted_counts.predict(features)
    assert told.mean.sum() / counts.sum() == pytest.approx(1.0, abs=1e-4)
    assert (told.mean > 0).all() and np.corrcoef(told.mean, counts)[0, 1] > 0.8
    # The coalitions in float64 from the members' link, which this test computes by itself.
    from jaxcampaign.effectiveness.network.forward import tower_contributions

    constants = fitted_counts.constants
    contributions, intercept, _ = tower_contributions(
        fitted_counts.plan,
        fitted_counts.parameters,
        constants,
        features.numeric,
        features.categorical,
    )
    centre = np.asarray(constants.centre, np.float64)[:, None]
    own = np.asarray(contributions, np.float64) - centre
    start = np.asarray(intercept + constants.shift, np.float64) + centre.sum(axis=0)
    values = np.stack([np.exp(start + np.tensordot(c, own, 1)).mean(axis=1) for c in COALITIONS])
    expected = float(constants.scale) * shapley_split(values)
    np.testing.assert_allclose(told.stacked_parts(), expected, rtol=1e-3, atol=1e-4)


def test_a_source_without_columns_gives_nothing(frame, target):
    alone = Features.from_frame(frame, {"a": "I", "m": "M"})
    told = replace(SMALL, epochs=1).fit(alone, target, key=jax.random.key(3)).predict(alone)
    np.testing.assert_array_equal(told.parts["H"], 0.0)
    assert told.parts["I"].std() > 0 and told.parts["M"].std() > 0


def test_gradients_agree_with_finite_differences(fitted, features):
    numeric = jnp.asarray(features.numeric[:20])
    categorical = jnp.asarray(features.categorical[:20])

    def total(parameters, numeric):
        mean, std = fitted.predict_fn(parameters, numeric, categorical)
        return jnp.sum(mean) + jnp.sum(std)

    by_parameters, by_numeric = jax.jit(jax.grad(total, argnums=(0, 1)))(fitted.parameters, numeric)
    assert np.isfinite(by_numeric).all()
    assert (np.asarray(by_numeric)[np.isnan(numeric)] == 0).all()
    rng = np.random.default_rng(7)
    direction = jax.tree.map(
        lambda p: jnp.asarray(rng.normal(size=p.shape), jnp.float32), fitted.parameters
    )

    def along(step: float) -> float:
        moved = jax.tree.map(lambda p, d: p + step * d, fitted.parameters, direction)
        return float(total(moved, numeric))

    slope = sum(
        float(jnp.vdot(g, d))
        for g, d in zip(jax.tree.leaves(by_parameters), jax.tree.leaves(direction), strict=True)
    )
    assert slope == pytest.approx((along(1e-4) - along(-1e-4)) / 2e-4, rel=0.05, abs=0.5)
    step = 1e-3 * jnp.ones_like(numeric[:, :1])
    change = total(fitted.parameters, numeric.at[:, :1].add(step)) - total(
        fitted.parameters, numeric.at[:, :1].add(-step)
    )
    # PLE has kinks: a few rows may lie on one.
    assert float(by_numeric[:, 0].sum()) == pytest.approx(float(change) / 2e-3, rel=0.1, abs=0.5)


def test_predict_fn_maps_over_rows(fitted, features):
    one = partial(fitted.predict_fn, fitted.parameters)
    numeric, categorical = features.numeric[:7], features.categorical[:7]
    mean, std = jax.vmap(one)(jnp.asarray(numeric), jnp.asarray(categorical))
    told = fitted.predict(features.take(slice(7)))
    np.testing.assert_allclose(mean, told.mean, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(std, told.std, rtol=1e-4, atol=1e-4)


def test_unknown_ids_get_a_cautious_answer(fitted, features, target):
    told = fitted.predict(features)
    strangers = features.categorical.copy()
    strangers[:, 0] = -1
    cold = fitted.predict(replace(features, categorical=strangers))
    assert np.isfinite(cold.mean).all() and (cold.std > 0).all()
    # The name carries a deviation of 0.57 that nobody can know of a stranger.
    assert np.corrcoef(cold.mean, target)[0, 1] < np.corrcoef(told.mean, target)[0, 1]
    assert abs(cold.mean.mean() - target.mean()) < 0.4


def test_batches_change_nothing(fitted, features):
    whole, split = fitted.predict(features), fitted.predict(features, batch=64)
    np.testing.assert_allclose(whole.mean, split.mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(whole.std, split.std, rtol=1e-5)


def test_distinct_rows_of_a_source_are_enough(fitted, fitted_counts, features):
    rng = np.random.default_rng(10)
    whole = features.take(rng.integers(0, N_ROWS, 5000))
    few = features.take(rng.integers(0, 40, 5000))
    numeric = np.where(np.arange(4) < 2, whole.numeric, few.numeric)  # I from 600 rows, rest 40
    whole = replace(whole, numeric=numeric)
    # Two groups of columns in I, each with few values: their products are added.
    grid = features.take(np.arange(5000) // 60)
    grid.numeric[:, 0] = features.numeric[np.arange(5000) % 60, 0]
    own = [group for group in grid.shared if grid.source_of(group.columns[0]) == "I"]
    assert sorted(len(group.first) for group in own) == [60, 84]
    for model, asked in itertools.product((fitted, fitted_counts), (whole, grid)):
        told = model.predict(asked)
        parts = [model.predict(asked.take(slice(k, k + 2500))) for k in (0, 2500)]
        for name in ("mean", "std", "members"):
            expected = np.concatenate([getattr(part, name) for part in parts], axis=-1)
            np.testing.assert_allclose(getattr(told, name), expected, rtol=2e-5, atol=2e-5)
        for split in ("stacked_parts", "stacked_summands"):
            expected = np.concatenate([getattr(part, split)() for part in parts], axis=-1)
            np.testing.assert_allclose(getattr(told, split)(), expected, rtol=1e-4, atol=1e-3)


def test_no_rows_give_an_empty_prediction(fitted, features):
    told = fitted.predict(features.take(slice(0, 0)))
    assert len(told) == 0 and told.members.shape == (4, 0)


def test_one_row_is_enough_to_fit(features, target):
    one = features.take(slice(1))
    told = replace(SMALL, epochs=2).fit(one, target[:1], key=jax.random.key(4)).predict(one)
    assert np.isfinite(told.mean).all() and (told.std > 0).all()


def test_the_same_key_gives_the_same_bytes(features, target):
    short = replace(SMALL, epochs=2)
    first, second, other = (
        short.fit(features, target, key=jax.random.key(k)).predict(features) for k in (5, 5, 6)
    )
    assert first.mean.tobytes() == second.mean.tobytes()
    assert first.std.tobytes() == second.std.tobytes()
    assert first.mean.tobytes() != other.mean.tobytes()


def test_folds_of_one_bucket_compile_once(features, target):
    short = replace(SMALL, epochs=1)
    sizes = []
    for seed, n in enumerate((600, 590, 585)):
        rows = np.random.default_rng(seed).permutation(N_ROWS)[:n]
        short.fit(features.take(rows), target[rows], key=jax.random.key(seed))
        sizes.append(_run_epoch._cache_size())
    assert sizes[0] == sizes[1] == sizes[2]


def test_training_stops_early_and_keeps_the_best_epoch(features):
    noise = np.random.default_rng(8).normal(size=N_ROWS)
    fitted = replace(SMALL, patience=3).fit(features, noise, key=jax.random.key(7))
    scores = fitted.history[:, 1]
    assert len(scores) < SMALL.epochs
    assert len(scores) - 1 - scores.argmin() == 3
    held = features.take(slice(N_ROWS - int(0.15 * N_ROWS), None))
    error = fitted.predict(held).mean - noise[len(noise) - len(held) :]
    assert np.sqrt(np.mean(error**2)) < 1.15 * noise.std()


def test_rows_of_weight_zero_teach_nothing(features, target):
    short = replace(SMALL, epochs=3)
    weight = (np.arange(N_ROWS) % 2).astype(float)
    wrong = np.where(weight > 0, target, 1e6)
    told = short.fit(features, wrong, key=jax.random.key(8), weight=weight, validation=0.0)
    assert np.abs(told.predict(features).mean).max() < 50


def test_validation_rows_can_be_given(features, target):
    short = replace(SMALL, epochs=2)
    given = (features.take(slice(510, None)), target[510:])
    told = short.fit(
        features.take(slice(510)), target[:510], key=jax.random.key(9), validation=given
    )
    assert np.isfinite(told.history).all()
    assert np.isnan(
        short.fit(features, target, key=jax.random.key(9), validation=0.0).history[:, 1]
    ).all()


@pytest.mark.parametrize(
    ("bad", "problem"),
    [({"width": 0}, "width"), ({"link": "logit"}, "link"), ({"power": 3.0}, "power")],
)
def test_bad_settings_are_refused(bad, problem):
    with pytest.raises(InputError, match=problem):
        TowerNetwork(**bad)


def test_bad_targets_are_refused(features, target):
    missing = np.where(np.arange(N_ROWS) == 3, np.nan, target)
    with pytest.raises(InputError, match="missing") as refused:
        SMALL.fit(features, missing, key=jax.random.key(0))
    assert refused.value.rows == [3]
    with pytest.raises(InputError, match="negative"):
        replace(SMALL, link="log").fit(features, target, key=jax.random.key(0))
    with pytest.raises(InputError, match="shape"):
        SMALL.fit(features, target[:-1], key=jax.random.key(0))
    with pytest.raises(InputError, match="no rows"):
        SMALL.fit(features.take(slice(0, 0)), target[:0], key=jax.random.key(0))
    with pytest.raises(InputError, match="weight"):
        SMALL.fit(features, target, key=jax.random.key(0), weight=-np.ones(N_ROWS))


def test_other_columns_are_refused(fitted, frame):
    with pytest.raises(InputError, match="not those"):
        fitted.predict(Features.from_frame(frame, {"a": "I"}))
    other = Features.from_frame(frame.assign(kind="z"), COLUMNS)
    with pytest.raises(InputError, match="kind"):
        fitted.predict(other)
