"""Random sparse slot-user probabilities with power-law degrees, for benchmarks and examples."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from jaxcampaign.errors import InputError
from jaxcampaign.tables.labels import numbered, picked

_SLOT_TAIL, _USER_TAIL = 0.7, 0.6  # weight of the k-th slot or user ~ k ** -tail
_SLOTS_PER_BOARD = 96
_SLOT_MINUTES = 15
_AT_ONCE = 1 << 23  # draws


class PairArrays(NamedTuple):
    """Pairs in order of slot, then user; no pair occurs twice.

    Attributes:
      slot: i32[n_pairs].
      user: i32[n_pairs].
      prob: f32[n_pairs], in (0, 1).
    """

    slot: np.ndarray
    user: np.ndarray
    prob: np.ndarray


class Pairs(NamedTuple):
    """Canonical tables `pairs` and `slots`."""

    pairs: pd.DataFrame
    slots: pd.DataFrame


def synth_pair_arrays(*, n_slots: int, n_users: int, n_pairs: int, seed: int = 0) -> PairArrays:
    """Exactly `n_pairs` distinct pairs; degrees follow power laws on both sides.

    Slots and users are drawn independently with weight k ** -0.7 and k ** -0.6 for the k-th
    of a random order, duplicates are drawn again. Hubs that are full would make that endless:
    each round flattens the weights, and a nearly full matrix is drawn cell by cell instead.

    Raises:
      InputError: a size below 1, or more pairs than cells.
    """
    sizes = {"n_slots": n_slots, "n_users": n_users, "n_pairs": n_pairs}
    for name, size in sizes.items():
        if size < 1:
            raise InputError("must be at least 1", table=name, value=size)
    n_cells = n_slots * n_users
    if n_pairs > n_cells:
        remedy = f"{n_slots} slots x {n_users} users hold at most {n_cells}"
        raise InputError("more pairs than cells", table="n_pairs", value=n_pairs, remedy=remedy)
    rng = np.random.default_rng(seed)
    drawn = _from_all_cells if 4 * n_pairs > n_cells else _by_rejection
    code = drawn(rng, n_slots, n_users, n_pairs)
    slot, user = np.empty(n_pairs, np.int32), np.empty(n_pairs, np.int32)
    for at in range(0, n_pairs, _AT_ONCE):
        part = slice(at, at + _AT_ONCE)
        slot[part], user[part] = np.divmod(code[part], n_users)
    del code
    # Cubing a uniform gives many faint pairs and few strong ones: median 0.12, mean 0.24.
    prob = rng.random(n_pairs, dtype=np.float32)
    prob **= 3
    prob *= 0.94
    prob += 0.01
    return PairArrays(slot, user, prob)


def synth_pairs(*, n_slots: int, n_users: int, n_pairs: int, seed: int = 0) -> Pairs:
    """The pairs of `synth_pair_arrays` as canonical tables, with costs for the slots.

    Slots are quarter hours of boards. A slot's cost is d * I({s}) / 10 with d uniform on
    [0.9, 1.1] (Ali, Islam, Banerjee, arXiv 2510.09050, section on experiments).
    """
    slot, user, prob = synth_pair_arrays(
        n_slots=n_slots, n_users=n_users, n_pairs=n_pairs, seed=seed
    )
    slots = slot_table(np.bincount(slot, weights=prob, minlength=n_slots), seed=seed)
    pairs = pd.DataFrame(
        {
            "slot_id": picked(slots["slot_id"], slot),
            "user_id": picked(numbered("u", n_users), user),
            "prob": prob.astype(np.float64),
        }
    )
    return Pairs(pairs, slots)


def slot_table(singleton: np.ndarray, *, seed: int) -> pd.DataFrame:
    """The canonical table `slots`, with costs as in `synth_pairs`.

    Args:
      singleton: float64[S], influence of each slot on its own.
      seed: of the costs.
    """
    rng = np.random.default_rng([seed, 1])
    n_slots = len(singleton)
    board, quarter = np.divmod(np.arange(n_slots), _SLOTS_PER_BOARD)
    slot_ids, board_ids = numbered("s", n_slots), numbered("b", int(board[-1]) + 1)
    return pd.DataFrame(
        {
            "slot_id": slot_ids,
            "board_id": picked(board_ids, board),
            "start_min": quarter * _SLOT_MINUTES,
            "end_min": (quarter + 1) * _SLOT_MINUTES,
            "cost": rng.uniform(0.9, 1.1, n_slots) * singleton / 10,
        }
    )


def _by_rejection(rng: np.random.Generator, n_slots: int, n_users: int, n_pairs: int) -> np.ndarray:
    slot_order = rng.permutation(n_slots)
    user_order = rng.permutation(n_users)
    code = np.empty(0, np.int64)
    flatter = 1.0
    while len(code) < n_pairs:
        n_new = int(1.2 * (n_pairs - len(code))) + 16
        n_old = len(code)
        code = np.concatenate([code, np.empty(n_new, np.int64)])
        # Some at a time: temporaries of all draws would be several times what is kept.
        for at in range(n_old, len(code), _AT_ONCE):
            part = code[at : at + _AT_ONCE]
            slot = _power_law(rng, len(part), n_slots, _SLOT_TAIL * flatter)
            user = _power_law(rng, len(part), n_users, _USER_TAIL * flatter)
            part[:] = slot_order[slot] * n_users + user_order[user]
        code.sort()
        code = code[np.concatenate([[True], code[1:] != code[:-1]])]
        flatter *= 0.8
    surplus = rng.choice(len(code), len(code) - n_pairs, replace=False, shuffle=False)
    return np.delete(code, surplus)


def _from_all_cells(
    rng: np.random.Generator, n_slots: int, n_users: int, n_pairs: int
) -> np.ndarray:
    """Weighted sampling without replacement: the smallest Exp(1) / weight win."""
    slot_weight = (1.0 + rng.permutation(n_slots)) ** -_SLOT_TAIL
    user_weight = (1.0 + rng.permutation(n_users)) ** -_USER_TAIL
    arrival = rng.exponential(size=(n_slots, n_users)) / np.outer(slot_weight, user_weight)
    return np.sort(np.argpartition(arrival.ravel(), n_pairs - 1)[:n_pairs])


def _power_law(rng: np.random.Generator, n: int, size: int, tail: float) -> np.ndarray:
    """i64[n] ranks below `size`; rank k has a chance close to proportional to (k + 1) ** -tail."""
    # The inverse distribution function of the density x ** -tail on [1, size + 1].
    rise = 1.0 - tail
    x = (1.0 + rng.random(n) * ((size + 1.0) ** rise - 1.0)) ** (1.0 / rise)
    return np.minimum(x.astype(np.int64), size) - 1
