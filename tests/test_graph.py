"""Message passing over overlaps against dense float64 products."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from jaxcampaign.effectiveness.network.graph import (
    OverlapGraph,
    light_gcn,
    overlap_features,
    propagate,
)
from jaxcampaign.errors import InputError

N_NODES = 23
IDS = np.array([f"i{i:02d}" for i in range(N_NODES)])


@pytest.fixture(scope="module")
def overlaps() -> pd.DataFrame:
    """Pairs in random order and direction; the last influencer overlaps with nobody."""
    rng = np.random.default_rng(0)
    first, second = np.triu_indices(N_NODES - 1, 1)
    chosen = rng.random(len(first)) < 0.2
    first, second = first[chosen], second[chosen]
    turned = rng.random(len(first)) < 0.5
    first, second = np.where(turned, second, first), np.where(turned, first, second)
    weight = rng.uniform(0.1, 2.0, len(first))
    return pd.DataFrame(
        {"influencer_id": IDS[first], "other_id": IDS[second], "weight": weight}
    ).sample(frac=1, random_state=1)


@pytest.fixture(scope="module")
def dense(overlaps) -> np.ndarray:
    """The normalised adjacency, f64[n, n]."""
    adjacency = np.zeros((N_NODES, N_NODES))
    index = {name: i for i, name in enumerate(IDS)}
    for row in overlaps.itertuples():
        i, j = index[row.influencer_id], index[row.other_id]
        adjacency[i, j] = adjacency[j, i] = row.weight
    degree = adjacency.sum(axis=1)
    root = np.divide(1.0, np.sqrt(degree), out=np.zeros(N_NODES), where=degree > 0)
    return root[:, None] * adjacency * root


def test_propagation_is_the_dense_product(overlaps, dense):
    graph = OverlapGraph.from_table(overlaps, IDS)
    values = np.random.default_rng(2).normal(size=(N_NODES, 4))
    found = np.asarray(propagate(graph, jnp.asarray(values, jnp.float32)))
    np.testing.assert_allclose(found, dense @ values, atol=1e-6)
    assert (np.diff(np.asarray(graph.receiver)) >= 0).all()


def test_light_gcn_is_the_mean_of_its_layers(overlaps, dense):
    graph = OverlapGraph.from_table(overlaps, IDS)
    values = np.random.default_rng(3).normal(size=(N_NODES, 4))
    found = np.asarray(light_gcn(graph, jnp.asarray(values, jnp.float32), layers=2))
    expected = (values + dense @ values + dense @ dense @ values) / 3
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_gradient_of_propagation_is_its_transpose(overlaps, dense):
    graph = OverlapGraph.from_table(overlaps, IDS)
    seed = np.random.default_rng(4).normal(size=(N_NODES, 2)).astype(np.float32)
    cost = jax.grad(lambda values: jnp.sum(seed * propagate(graph, values)))
    found = np.asarray(cost(jnp.ones((N_NODES, 2))))
    np.testing.assert_allclose(found, dense.T @ seed, atol=1e-6)


def test_features_are_weighted_means_of_known_neighbours(overlaps, dense):
    graph = OverlapGraph.from_table(overlaps, IDS)
    values = np.random.default_rng(5).normal(size=(N_NODES, 3))
    values[::4, 1] = np.nan
    known = ~np.isnan(values)
    sums, weights, expected = np.where(known, values, 0.0), known.astype(float), []
    for _ in range(2):
        sums, weights = dense @ sums, dense @ weights
        with np.errstate(invalid="ignore"):
            expected.append(sums / weights)
    found = overlap_features(graph, values, layers=2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.concatenate(expected, axis=1), atol=1e-5)
    assert np.isnan(found[-1]).all()


def test_constant_columns_stay_constant(overlaps):
    graph = OverlapGraph.from_table(overlaps, IDS)
    found = overlap_features(graph, np.full((N_NODES, 1), 7.0), layers=3)
    np.testing.assert_allclose(found[~np.isnan(found)], 7.0, rtol=1e-6)


def test_the_order_and_direction_of_rows_change_nothing(overlaps):
    turned = overlaps.rename(columns={"influencer_id": "other_id", "other_id": "influencer_id"})
    twice = pd.concat([overlaps, turned]).sample(frac=1, random_state=6)
    first, second = (OverlapGraph.from_table(table, IDS) for table in (overlaps, twice))
    np.testing.assert_array_equal(first.sender, second.sender)
    np.testing.assert_allclose(first.weight, second.weight, rtol=1e-6)


def test_influencers_that_are_not_asked_for_are_left_out(overlaps):
    graph = OverlapGraph.from_table(overlaps, IDS[:5])
    inside = overlaps["influencer_id"].isin(IDS[:5]) & overlaps["other_id"].isin(IDS[:5])
    assert len(graph.sender) == 2 * inside.sum()
    assert graph.n_nodes == 5


def test_without_overlaps_nothing_is_known():
    nobody = pd.DataFrame({"influencer_id": [], "other_id": [], "weight": []})
    graph = OverlapGraph.from_table(nobody, IDS)
    assert np.isnan(overlap_features(graph, np.ones((N_NODES, 1)), layers=1)).all()


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"weight": np.nan}, "missing"),
        ({"weight": -1.0}, "negative"),
        ({"weight": np.inf}, "infinite"),
        ({"other_id": "i00"}, "itself"),
    ],
)
def test_bad_overlaps_are_refused(row, problem):
    good = {"influencer_id": "i00", "other_id": "i01", "weight": 1.0}
    with pytest.raises(InputError, match=problem) as refused:
        OverlapGraph.from_table(pd.DataFrame([good, good | row]), IDS)
    assert refused.value.rows == [1]


def test_a_missing_column_and_repeated_ids_are_refused(overlaps):
    with pytest.raises(InputError, match="no such column"):
        OverlapGraph.from_table(overlaps.drop(columns="weight"), IDS)
    with pytest.raises(InputError, match="twice"):
        OverlapGraph.from_table(overlaps, np.array(["i00", "i00"]))
