"""Rounded rows whose float64 evaluation errs: they must err outward."""

import numpy as np
import pandas as pd
from scipy import sparse

import jaxcampaign as jc
from jaxcampaign.problems import Cuts, RoundedRows


def _sure(n_slots, first):
    """One user a slot, all sure but the first."""
    ids = [f"s{i:06d}" for i in range(n_slots)]
    prob = np.ones(n_slots)
    prob[0] = first
    pairs = pd.DataFrame({"slot_id": ids, "user_id": [f"u{i:06d}" for i in range(n_slots)]})
    slots = pd.DataFrame({"slot_id": ids, "board_id": "b", "start_min": 0, "end_min": 60})
    return jc.Influence.from_pairs(pairs.assign(prob=prob), slots.assign(cost=1.0))


def test_long_complemented_rows_keep_feasible_selections():
    n, first = 20_000, 0.0201
    influence = _sure(n, first)
    demand = 1 + first
    problem = jc.CommonSlots(influence, None, None, demand)
    chosen = np.zeros(n)
    chosen[:2] = 1  # exactly what is wanted
    complement = np.ones((1, n))
    complement[0, 0] = 0
    for divisor in (1.0, 0.5, 1 / 3, 0.7, demand / 2, first, 0.9999999):
        rows = RoundedRows(
            sparse.csr_array(np.ones((1, 1))),
            sparse.csr_array(np.ones((1, n))),
            Cuts.first(np.arange(n)),
            sparse.csr_array(complement),
            np.array([divisor]),
        )
        right, matrix = rows.coefficients(problem)
        assert (matrix @ chosen)[0] >= right[0]


def test_what_cancels_leaves_no_row_to_cap():
    # The demand is what one slot gives a million users, summed in another order: nothing is left.
    n = 200_000
    matrix = sparse.csr_array(np.ones((1, n)) * 0.1)
    rest = sparse.csr_array(([0.5], ([0], [0])), shape=(1, n))
    slots = pd.DataFrame(
        {"slot_id": ["a", "b"], "board_id": "b", "start_min": 0, "end_min": 60, "cost": [1.0, 9.0]}
    )
    stacked = sparse.vstack([matrix, rest], format="coo")
    influence = jc.Influence.from_arrays(
        stacked.row, stacked.col, stacked.data, slots, [f"u{i:06d}" for i in range(n)]
    )
    demand = 0.1 * n
    problem = jc.CommonSlots(influence, None, None, demand)
    users = np.arange(n)
    rows = RoundedRows(
        sparse.csr_array(np.ones((1, 1))),
        sparse.csr_array(np.ones((1, n))),
        Cuts.at_selection(influence, users, np.array([True, False])),
        sparse.csr_array((1, 2)),
        np.ones(1),
    )
    right, coefficients = rows.coefficients(problem)
    assert (coefficients @ np.array([1.0, 0.0]))[0] >= right[0]
