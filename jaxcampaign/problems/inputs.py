"""Costs, demands and limits: from what a user passes to checked, aligned arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxcampaign.errors import InputError
from jaxcampaign.influence.matrix import Influence
from jaxcampaign.tables import validate


def slot_costs(cost: Any, influence: Influence) -> np.ndarray:
    """Cost per slot, float64[S], in the order of `influence.slots`.

    Args:
      cost: None (column `cost` of the slots), a number, an array [S], or a Series or mapping by
        slot_id.
    """
    if cost is None:
        cost = influence.slots["cost"].to_numpy(np.float64)
    elif isinstance(cost, Mapping | pd.Series):
        cost = _by_label(cost, influence.slot_ids, name="cost", axis="slot_id")
    elif np.ndim(cost) == 0:
        cost = np.full(influence.n_slots, cost)
    return _numbers(cost, influence.slot_ids, name="cost", axis="slot")


def product_demands(
    demand: Any, product_ids: Sequence[str], *, name: str = "demand"
) -> pd.DataFrame:
    """The canonical demands table, whichever way the demand was passed.

    Args:
      demand: table product_id, demand, [max_slots], [weight]; a Series or mapping by product_id; a
        number for every product, or an array [L] in the order of `product_ids`.
      product_ids: products that have an audience.
      name: what the argument is called in messages.
    """
    if isinstance(demand, pd.DataFrame):
        return validate("demands", demand)
    if isinstance(demand, Mapping | pd.Series):
        items = dict(demand.items())
        frame = pd.DataFrame({"product_id": list(items), "demand": list(items.values())})
        return validate("demands", frame)
    if np.ndim(demand) == 0:
        demand = np.full(len(product_ids), demand)
    values = _numbers(demand, np.asarray(product_ids, object), name=name, axis="product")
    return pd.DataFrame({"product_id": pd.array(list(product_ids), "str"), "demand": values})


def positive_number(value: Any, name: str, *, integer: bool = False) -> float:
    """A finite number at least 0, or an error that names the argument."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not np.isfinite(number) or number < 0 or (integer and number != int(number)):
        kind = "an integer" if integer else "a finite number"
        raise InputError(
            f"must be {kind} of at least 0", table=name, value=value, remedy=f"correct {name}"
        )
    return number


def _by_label(values: Any, labels: np.ndarray, *, name: str, axis: str) -> np.ndarray:
    series = pd.Series(values)
    repeated = series.index[series.index.duplicated()]
    if len(repeated):
        raise InputError(
            "label stands more than once", table=name, column=axis, rows=repeated, remedy="keep one"
        )
    aligned = series.reindex(labels)
    missing = ~pd.Index(labels).isin(series.index)
    if missing.any():
        raise InputError(
            f"no {name} given for {int(missing.sum())} of {len(labels)} items",
            table=name,
            column=axis,
            rows=labels[missing].tolist(),
            remedy=f"give a {name} for each",
        )
    return aligned.to_numpy()


def _numbers(values: Any, labels: np.ndarray, *, name: str, axis: str) -> np.ndarray:
    try:
        numbers = np.array(values, np.float64)
    except (TypeError, ValueError) as fault:
        raise InputError(str(fault), table=name, remedy="pass numbers") from fault
    if numbers.shape != (len(labels),):
        raise InputError(
            f"has shape {numbers.shape}, but there are {len(labels)} {axis}s",
            table=name,
            remedy=f"pass one number per {axis}",
        )
    bad = ~np.isfinite(numbers) | (numbers < 0)
    if bad.any():
        rows = np.flatnonzero(bad)
        raise InputError(
            "must be a finite number of at least 0",
            table=name,
            rows=[f"{row} ({axis} {labels[row]})" for row in rows[:20]],
            value=float(numbers[rows[0]]),
            remedy=f"correct or drop the {axis}",
        )
    return numbers
