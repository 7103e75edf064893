"""Trees as masks of leaves against LightGBM's own predictions, and distinct rows by hashing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rows import outcomes, random_features

from jaxcampaign.effectiveness.sharing import distinct_rows, shared_columns
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


@pytest.mark.parametrize("leaves", [4, 8, 9, 32, 33, 64, 250])
def test_trees_of_any_width_find_their_leaves(leaves):
    trees = grown(leaves=leaves, leaf_rows=3)
    (forest,) = Forest.from_text(trees.model, [list(range(7))])
    for asked in (OTHERS, grid()):
        matrix = trees.columns.matrix(asked)
        expected = trees._trees.predict(matrix, num_threads=1)
        np.testing.assert_allclose(forest.scores(matrix), expected, rtol=0, atol=1e-12)


def test_very_wide_trees_are_left_to_lightgbm():
    wide = LightGBM(rounds=2, threads=1, leaves=600, leaf_rows=1, l2=0.0).fit(LEARNED, Y)
    assert Forest.from_text(wide.model, [list(range(7))]) is None
    expected = wide._trees.predict(wide.columns.matrix(OTHERS), num_threads=1)
    np.testing.assert_allclose(wide.predict(OTHERS), expected)


def test_shared_columns_change_nothing():
    asked = grid()
    assert any(len(group.columns) > 1 for group in asked.shared)
    for additive in (False, True):
        trees = grown(additive=additive)
        matrix = trees.columns.matrix(asked)
        expected = trees._trees.predict(matrix, num_threads=1)
        np.testing.assert_allclose(trees.predict(asked), expected, rtol=0, atol=1e-12)
        # A column of many values, and one besides that groups were found without.
        other = replace(asked, numeric=asked.numeric.copy())
        other.numeric[:, 0] = np.random.default_rng(0).normal(size=len(other))
        expected = trees._trees.predict(trees.columns.matrix(other), num_threads=1)
        np.testing.assert_allclose(trees.predict(other), expected, rtol=0, atol=1e-12)


def test_groups_of_columns_are_what_they_say():
    asked = grid()
    n, bits = len(asked), asked.numeric.view(np.uint32)
    for group in shared_columns(
        np.concatenate([bits, asked.categorical.view(np.uint32)], 1), "a" * 7
    ):
        both = np.concatenate([bits, asked.categorical.view(np.uint32)], 1)[:, group.columns]
        np.testing.assert_array_equal(both[group.first[group.row]], both)
        assert len(np.unique(both, axis=0)) == len(group.first) < n / 2
    found = asked.shared
    assert asked.with_numeric({"new": np.arange(n)}, ("I",)).shared is found
    columns = {c for group in found for c in group.columns}
    assert {asked.source_of(c) for c in columns} == {"I", "H", "M"} & {
        *asked.numeric_sources,
        *asked.categorical_sources,
    }


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
