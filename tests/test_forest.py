"""Trees as masks of leaves against LightGBM's own predictions, and distinct rows by hashing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rows import outcomes, random_features

from jaxcampaign.effectiveness.network.distinct import distinct_rows
from jaxcampaign.effectiveness.trees.forest import Forest
from jaxcampaign.effectiveness.trees.lightgbm import LightGBM

LEARNED = random_features(2000, 1)
Y = outcomes(LEARNED, 1)
OTHERS = random_features(5000, 2)


def grown(y=Y, **settings):
    return LightGBM(rounds=80, threads=1, **settings).fit(LEARNED, y, seed=3)


def grid(n_left: int = 120, n_right: int = 60):
    """Every pair of a left and a right row, as options are: each column follows one of them."""
    left, right = OTHERS.take(slice(n_left)), OTHERS.take(slice(n_left, n_left + n_right))
    rows, others = np.repeat(np.arange(n_left), n_right), np.tile(np.arange(n_right), n_left)
    whole = left.take(rows)
    whole.numeric[:, 2:4] = right.numeric[others, 2:4]
    whole.categorical[:, 1] = right.categorical[others, 1]
    return whole


@pytest.mark.parametrize("additive", [False, True])
@pytest.mark.parametrize("objective", ["squared", "poisson", "tweedie"])
@pytest.mark.parametrize("asked", [OTHERS, grid()], ids=["rows", "grid"])
def test_masks_find_the_leaves_that_lightgbm_finds(additive, objective, asked):
    y = Y if objective == "squared" else np.exp(Y / 3)
    trees = grown(y, objective=objective, additive=additive)
    matrix = trees.columns.matrix(asked)
    expected = trees._trees.predict(matrix, raw_score=True, num_threads=1)
    groups = trees.columns.groups() if additive else [list(range(matrix.shape[1]))]
    forests = Forest.from_text(trees.model, groups)
    assert sum(forest.n_trees for forest in forests) == 80
    found = np.sum([forest.scores(matrix) for forest in forests], axis=0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        trees.predict(asked), trees._trees.predict(matrix, num_threads=1), rtol=1e-12, atol=1e-12
    )


def test_values_on_a_threshold_and_extremes_fall_on_lightgbms_side():
    trees = grown()
    (forest,) = Forest.from_text(trees.model, [list(range(7))])
    rows = OTHERS.take(slice(400))
    numeric = rows.numeric.copy()
    for column in range(5):
        cuts = forest.columns[column].threshold
        picked = np.random.default_rng(column).choice(cuts, 400).astype(np.float32)
        numeric[:, column] = picked
    numeric[:5], numeric[5:10], numeric[10:15] = 1e30, -1e30, 0.0
    matrix = trees.columns.matrix(replace(rows, numeric=numeric))
    expected = trees._trees.predict(matrix, num_threads=1)
    np.testing.assert_allclose(forest.scores(matrix), expected, rtol=0, atol=1e-12)


def test_missing_values_where_training_had_none():
    full = replace(LEARNED, numeric=np.nan_to_num(LEARNED.numeric, nan=0.3))
    trees = LightGBM(rounds=50, threads=1).fit(full, Y)
    matrix = trees.columns.matrix(OTHERS)
    (forest,) = Forest.from_text(trees.model, [list(range(7))])
    expected = trees._trees.predict(matrix, num_threads=1)
    np.testing.assert_allclose(forest.scores(matrix), expected, rtol=0, atol=1e-12)


def test_contributions_of_additive_trees_are_their_trees():
    trees = grown(additive=True)
    base, parts = trees.contributions(OTHERS)
    np.testing.assert_allclose(base + sum(parts.values()), trees.predict(OTHERS), atol=1e-12)


def test_what_masks_cannot_hold_is_left_to_lightgbm():
    wide = grown(leaves=64, leaf_rows=5)
    assert Forest.from_text(wide.model, [list(range(7))]) is None
    expected = wide._trees.predict(wide.columns.matrix(OTHERS), num_threads=1)
    np.testing.assert_allclose(wide.predict(OTHERS), expected)


def test_trees_without_a_split():
    flat = LightGBM(rounds=3, threads=1).fit(LEARNED, np.full(len(Y), 7.0))
    np.testing.assert_allclose(flat.predict(OTHERS), 7.0)


def test_distinct_rows_are_those_that_numpy_finds():
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 4, (3000, 3)).astype(np.float32)
    numbers[numbers == 3] = np.nan
    codes = rng.integers(-1, 3, (3000, 2)).astype(np.int32)
    number, first = distinct_rows(numbers, codes)
    bits = np.concatenate([numbers.view(np.int32), codes], axis=1)
    assert len(first) == len(np.unique(bits, axis=0))
    np.testing.assert_array_equal(bits[first][number], bits)
    assert (np.unique(number, return_index=True)[1] == first).all()
    nothing, none = distinct_rows(numbers[:, :0], codes[:, :0])
    assert len(none) == 1 and (nothing == 0).all()
