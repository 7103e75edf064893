"""Assembling the influence matrix from index arrays."""

import numpy as np
import pandas as pd
import pytest

from jaxcampaign.errors import InputError
from jaxcampaign.influence import Influence


def slots_named(ids) -> pd.DataFrame:
    return pd.DataFrame(
        {"slot_id": ids, "board_id": "b", "start_min": 0, "end_min": 5, "cost": np.arange(len(ids))}
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shuffled", [False, True])
def test_pairs_in_any_order_stand_where_their_ids_say(dtype, shuffled):
    rng = np.random.default_rng(0)
    dense = np.where(rng.random((30, 40)) < 0.3, rng.random((30, 40)), 0).astype(dtype)
    dense[[3, 7]] = dense[:, [0, 39]] = 0
    slot_ids = np.array([f"s{i:02d}" for i in range(30)], object)
    user_ids = np.array([f"u{i:02d}" for i in range(40)], object)
    rows, columns = np.arange(30), np.arange(40)
    if shuffled:
        rows, columns = rng.permutation(rows), rng.permutation(columns)
    slot, user = np.nonzero(np.ones_like(dense))  # zeros among them, which are no pairs
    order = rng.permutation(len(slot))
    slot, user = slot[order], user[order]
    prob = dense[rows][:, columns][slot, user]
    influence = Influence.from_arrays(
        slot, user, prob, slots_named(slot_ids[rows]), user_ids[columns]
    )
    kept, reached = dense.any(axis=1), dense.any(axis=0)
    assert list(influence.slot_ids) == list(slot_ids[kept])
    assert list(influence.user_ids) == list(user_ids[reached])
    np.testing.assert_array_equal(influence.matrix.toarray(), dense[kept][:, reached])
    assert influence.matrix.dtype == np.float64
    assert influence.matrix.has_sorted_indices
    assert influence.matrix.nnz == (dense > 0).sum()
    costs = np.argsort(rows)[kept]
    np.testing.assert_array_equal(influence.slots["cost"], costs)


def test_repeated_pairs_and_impossible_probabilities_are_refused():
    arrays = np.array([0, 1, 0]), np.array([0, 0, 0])
    slots = slots_named(["a", "b"])
    with pytest.raises(InputError, match="more than once"):
        Influence.from_arrays(*arrays, np.array([0.1, 0.2, 0.3]), slots, ["u"])
    # A pair of probability 0 is no pair, so it repeats nothing.
    influence = Influence.from_arrays(*arrays, np.array([0.1, 0.2, 0.0]), slots, ["u"])
    assert influence.n_pairs == 2
    for bad in (-0.1, 1.1, np.nan):
        with pytest.raises(InputError, match="outside"):
            Influence.from_arrays(*arrays, np.array([0.1, 0.2, bad]), slots, ["u"])
