"""The device layouts hold the matrix and nothing else, in bounded space, under shared shapes."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from jaxcampaign.errors import InputError
from jaxcampaign.influence import chunked, flat
from jaxcampaign.influence.kernels import matvec, reach_and_rest
from jaxcampaign.influence.layout import (
    build_layout,
    choose_formulation,
    estimate_layout_bytes,
)
from jaxcampaign.influence.pieces import padded_size, split_rows

FORMULATIONS = ("chunked", "flat")


def csr(degrees, n_columns, seed=0) -> sparse.csr_array:
    """A random matrix with these row degrees; columns may repeat and are not sorted."""
    rng = np.random.default_rng(seed)
    indptr = np.concatenate([[0], np.cumsum(degrees)]).astype(np.int64)
    columns = rng.integers(0, n_columns, indptr[-1]).astype(np.int32)
    shape = (len(degrees), n_columns)
    return sparse.csr_array((rng.random(indptr[-1]) + 0.1, columns, indptr), shape=shape)


def laid(matrix: sparse.csr_array, formulation: str | None = None):
    return build_layout(
        matrix.indptr,
        matrix.indices,
        matrix.data,
        n_columns=matrix.shape[1],
        formulation=formulation,
    )


def n_bytes(layout) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(layout))


def entries_of(layout) -> np.ndarray:
    """The (row, column, value) triplets that a layout holds, sorted."""
    row, column, value = (np.asarray(a) for a in (layout.row, layout.columns, layout.values))
    if isinstance(layout, chunked.ChunkedLayout):
        chunk = np.repeat(np.arange(layout.depth.size), layout.depth)
        column, value = column[: chunk.size], value[: chunk.size]
        assert not np.asarray(layout.values)[chunk.size :].any()
        row = row[chunk]
    else:
        row = np.broadcast_to(row[:, None], column.shape)
    held = value != 0
    triplets = np.column_stack([row[held], column[held], value[held]])
    return triplets[np.lexsort(triplets.T[::-1])]


@given(st.integers(0, 2**40))
def test_buckets_hold_their_size_with_an_eighth_to_spare_at_most(size):
    bucket = padded_size(size)
    assert size <= bucket <= size * 9 / 8
    assert padded_size(bucket) == bucket
    assert padded_size(size + 1) >= bucket


@given(st.lists(st.integers(0, 40), max_size=12), st.integers(1, 9))
def test_pieces_partition_the_entries(degrees, width):
    pieces = split_rows(np.concatenate([[0], np.cumsum(degrees)]).astype(np.int64), width)
    owners = np.repeat(np.arange(len(degrees)), degrees)
    covered = [np.arange(s, s + n) for s, n in zip(pieces.start, pieces.length, strict=True)]
    np.testing.assert_array_equal(np.concatenate([[], *covered]), np.arange(owners.size))
    np.testing.assert_array_equal(np.repeat(pieces.row, pieces.length), owners)
    assert ((pieces.length > 0) & (pieces.length <= width)).all()
    np.testing.assert_array_equal(
        np.bincount(pieces.row, minlength=len(degrees)), np.diff(pieces.first)
    )


@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize(
    "degrees",
    [
        [0, 3, 0, 1, 0],
        [7],
        [1] * 70,
        [255, 256, 257, 512, 513, 0, 5000],
        np.random.default_rng(3).zipf(1.5, 900).clip(0, 3000),
        [],
        [0, 0],
    ],
    ids=["gaps", "one row", "short", "long", "zipf", "no rows", "no entries"],
)
def test_a_layout_holds_every_entry_once(formulation, degrees):
    matrix = csr(degrees, 50)
    expected = np.column_stack(
        [
            np.repeat(np.arange(len(degrees)), degrees),
            matrix.indices,
            matrix.data.astype(np.float32),
        ]
    )
    expected = expected[np.lexsort(expected.T[::-1])]
    layout = laid(matrix, formulation)
    np.testing.assert_array_equal(entries_of(layout), expected)
    assert (layout.n_rows, layout.n_columns) == matrix.shape


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_padding_is_inert(formulation):
    """Padded entries may point at any column: results do not change by one bit."""
    rng = np.random.default_rng(5)
    layout = laid(csr([3, 0, 600, 17, 1] * 5, 40), formulation)
    padded = np.asarray(layout.values) == 0
    assert padded.any()
    elsewhere = np.where(padded, rng.integers(0, 40, padded.shape), layout.columns)
    moved = dataclasses.replace(layout, columns=jax.numpy.asarray(elsewhere, np.int32))
    x = rng.random(40, dtype=np.float32)
    for kernel in (matvec, reach_and_rest):
        for got, expected in zip(
            jax.tree.leaves(kernel(moved, x)), jax.tree.leaves(kernel(layout, x)), strict=True
        ):
            np.testing.assert_array_equal(got, expected)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 700), max_size=40), st.sampled_from(FORMULATIONS), st.integers(1, 9))
def test_the_estimate_is_never_exceeded(degrees, formulation, repeats):
    matrix = csr(degrees * repeats, 30)
    assert n_bytes(laid(matrix, formulation)) <= estimate_layout_bytes(
        matrix.shape[0], matrix.nnz, formulation
    )


def test_skewed_degrees_cost_little_space():
    """A Zipf matrix of a million entries: 8 bytes an entry are the least, bounds are close."""
    rng = np.random.default_rng(0)
    weights = (np.arange(20_000) + 3.0) ** -0.54
    matrix = csr(rng.permutation(np.round(weights / weights.sum() * 1e6).astype(int)), 20_000)
    layout = laid(matrix, "chunked")
    assert n_bytes(layout) < 1.3 * 8 * matrix.nnz
    assert int(layout.depth.sum()) * layout.values.shape[1] < 1.12 * matrix.nnz
    assert estimate_layout_bytes(*(matrix.shape[0], matrix.nnz), "chunked") < 1.6 * 8 * matrix.nnz
    assert n_bytes(laid(matrix, "flat")) < 2 * 8 * matrix.nnz


def test_small_matrices_stay_small():
    assert n_bytes(laid(csr([1] * 10, 10), "chunked")) < 10_000
    assert n_bytes(laid(csr([1] * 1000 + [256], 10), "chunked")) < 200_000


def test_the_platform_chooses_the_formulation():
    assert choose_formulation("cpu") == "chunked"
    assert choose_formulation("gpu") == choose_formulation("tpu") == "flat"
    own = {"chunked": chunked.ChunkedLayout, "flat": flat.FlatLayout}
    platform = jax.devices()[0].platform
    assert type(laid(csr([2], 3))) is own[choose_formulation(platform)]


def shapes(layout) -> tuple:
    leaves, structure = jax.tree.flatten(layout)
    return (structure, *(leaf.shape for leaf in leaves))


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_similar_matrices_share_shapes(formulation):
    """Ten radii, say, over the same boards and users: one set of shapes, so one compilation."""
    degrees = np.random.default_rng(2).permutation(np.repeat([3, 25, 300], [300, 180, 21]))
    sweep = [csr(degrees + (np.arange(501) < 9 * step), 80) for step in range(10)]
    assert len({shapes(laid(matrix, formulation)) for matrix in sweep}) == 1


@pytest.mark.parametrize("formulation", FORMULATIONS)
def test_shapes_are_few_over_a_wide_sweep(formulation):
    degrees = np.random.default_rng(2).zipf(1.6, 600).clip(1, 400)
    sweep = [csr(degrees * (20 + step) // 20, 80) for step in range(40)]
    assert sweep[-1].nnz > 2.5 * sweep[0].nnz
    assert len({shapes(laid(matrix, formulation)) for matrix in sweep}) <= 16


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"indptr": [1, 2, 4]}, "indptr"),
        ({"indptr": [0, 3, 2]}, "indptr"),
        ({"indptr": [0, 2, 5]}, "indptr"),
        ({"indptr": []}, "indptr"),
        ({"values": [0.1, 0.2, 0.3]}, "indptr"),
        ({"indices": [0, 1, 2, 3]}, "indices"),
        ({"indices": [0, -1, 2, 1]}, "indices"),
        ({"values": [0.1, np.nan, 0.3, 0.4]}, "values"),
        ({"values": [0.1, 0.2, np.inf, 0.4]}, "values"),
        ({"n_columns": -1}, "n_columns"),
        ({"n_columns": 2**31}, "n_columns"),
    ],
)
def test_what_is_no_matrix_is_refused(change, part):
    parts = {
        "indptr": [0, 2, 4],
        "indices": [0, 1, 2, 1],
        "values": [0.1, 0.2, 0.3, 0.4],
        "n_columns": 3,
    }
    build_layout(**parts)
    with pytest.raises(InputError) as refusal:
        build_layout(**parts | change)
    assert refusal.value.table == part


def test_a_refused_column_is_named():
    with pytest.raises(InputError, match="row 1, value 7: column is outside"):
        build_layout([0, 2], [0, 7], [0.5, 0.5], n_columns=3)
