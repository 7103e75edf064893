"""The experiment knobs of the field: influence supply, costs in proportion to it, demands from it.

Source: Ali, Islam, Banerjee, arXiv 2510.09050, section on experiments. All work on `singleton`,
the influence `I({s})` of each slot on its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pandas.util import hash_array

from jaxcampaign.errors import InputError

_COST_STREAM, _DEMAND_STREAM = 0, 1  # one seed never gives costs and demands the same draws


def supply(singleton: ArrayLike) -> float:
    """Supply `I* = sum_s I({s})`.

    An upper bound on the influence of all slots together, and a loose one: 1,759 against 573 on
    the authors' New York files with probabilities clipped at 1.

    Args:
      singleton: f64[S], influence of each slot on its own.
    """
    return float(_checked(singleton).sum())


def influence_proportional_cost(
    singleton: ArrayLike, *, seed: int, slot_ids: Sequence[str] | NDArray | None = None
) -> NDArray:
    """Slot costs `d * I({s}) / 10`, d uniform on [0.9, 1.1).

    Args:
      singleton: f64[S], influence of each slot on its own.
      seed: whole number from 0.
      slot_ids: str[S]. With them d is a hash of seed and id, so that a slot keeps its d whatever
        other slots there are and in whatever order. Without them d is drawn in sequence: a slot
        keeps it only while its position does not change.

    Returns:
      f64[S], in the unit of influence.
    """
    singleton = _checked(singleton)
    _check_seed(seed)
    if slot_ids is None:
        unit = np.random.default_rng([_COST_STREAM, seed]).random(singleton.size)
    else:
        ids = np.asarray(slot_ids, dtype=object)
        if ids.shape != singleton.shape:
            raise InputError(
                f"{ids.size} ids for {singleton.size} slots",
                table="slot_ids",
                remedy="give one id for each slot",
            )
        key = np.random.default_rng([_COST_STREAM, seed]).bytes(8).hex()
        hashed = hash_array(ids, hash_key=key, categorize=False)
        unit = (hashed >> np.uint64(11)) * 2.0**-53
    return (0.9 + 0.2 * unit) * singleton / 10


def experiment_demands(singleton: ArrayLike, *, alpha: float, beta: float, seed: int) -> NDArray:
    """Demands `floor(w * beta * I*)` of `round(alpha / beta)` products, w uniform on [0.8, 1.2).

    Because all slots together influence less than `I*`, alpha near 1 is often infeasible. A
    product's demand does not depend on how many follow it.

    Args:
      singleton: f64[S], influence of each slot on its own.
      alpha: demand-supply ratio, sum of demands over `I*`, about.
      beta: individual ratio, mean demand over `I*`; at most `alpha`.
      seed: whole number from 0.

    Returns:
      f64[L], whole numbers; 0 where `beta * I*` is below about 1.
    """
    singleton = _checked(singleton)
    _check_seed(seed)
    for name, ratio in (("alpha", alpha), ("beta", beta)):
        if not (isinstance(ratio, Real) and 0 < ratio < np.inf):
            raise InputError(
                "a ratio is not a positive number", table=name, value=ratio, remedy="such as 0.4"
            )
    if beta > alpha:
        raise InputError(
            f"beta exceeds alpha = {alpha:g}, which leaves no product",
            table="beta",
            value=beta,
            remedy="choose beta at most alpha: there are alpha / beta products",
        )
    weight = np.random.default_rng([_DEMAND_STREAM, seed]).uniform(0.8, 1.2, round(alpha / beta))
    return np.floor(weight * beta * singleton.sum())


def _checked(singleton: ArrayLike) -> NDArray:
    singleton = np.asarray(singleton, np.float64)
    bad = ~((singleton >= 0) & (singleton < np.inf))
    if singleton.ndim != 1 or bad.any():
        rows = np.flatnonzero(bad)
        raise InputError(
            "influence of single slots is not a list of finite numbers from 0",
            table="singleton",
            rows=rows.tolist(),
            value=float(singleton.ravel()[rows[0]]) if rows.size else None,
            remedy="pass the row sums of the slot-user probabilities",
        )
    return singleton


def _check_seed(seed: int) -> None:
    if not isinstance(seed, Integral) or seed < 0:
        raise InputError(
            "a seed is not a whole number from 0", table="seed", value=seed, remedy="such as 0"
        )
