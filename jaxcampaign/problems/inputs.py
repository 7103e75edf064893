"""From what a user passes (tables, mappings, arrays) to checked, aligned arrays."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

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


def product_demands(demand: Any, product_ids: Sequence[str]) -> pd.DataFrame:
    """The canonical demands table, whichever way the demand was passed.

    Args:
      demand: table product_id, demand, [max_slots], [weight]; a Series or mapping by product_id; a
        number for every product, or an array [L] in the order of `product_ids`.
      product_ids: products that have an audience.
    """
    if isinstance(demand, pd.DataFrame):
        return validate("demands", demand)
    if isinstance(demand, Mapping | pd.Series):
        items = dict(demand.items())
        frame = pd.DataFrame({"product_id": list(items), "demand": list(items.values())})
        return validate("demands", frame)
    if np.ndim(demand) == 0:
        demand = np.full(len(product_ids), demand)
    values = _numbers(demand, np.asarray(product_ids, object), name="demand", axis="product")
    return pd.DataFrame({"product_id": pd.array(list(product_ids), "str"), "demand": values})


def audience_products(audiences: Any) -> list[str]:
    """Product ids that an audience argument names: in order of id, or 0, 1, ... for an array."""
    if isinstance(audiences, pd.DataFrame):
        return sorted(validate("audiences", audiences)["product_id"].unique())
    if isinstance(audiences, Mapping):
        if not any(map(len, audiences.values())):
            raise InputError("no product has any user", table="audiences", remedy="add users")
        return sorted(str(product) for product in audiences)
    if audiences is None:
        return ["all"]
    return [str(j) for j in range(_audience_rows(audiences).shape[0])]


def audience_matrix(
    audiences: Any, influence: Influence, product_ids: Sequence[str]
) -> sparse.csr_array:
    """Audience of each product as 0/1 rows, float64[L, U].

    Args:
      audiences: table product_id, user_id; mapping product_id -> user ids; bool array or sparse
        matrix [L, U] aligned with `influence.user_ids`; None for one product that all users want.
      influence: gives the order of users.
      product_ids: gives the order of products; audiences of other products are left out.

    Users whom no slot reaches are left out: no selection can influence them.
    """
    if audiences is None:
        return sparse.csr_array(np.ones((1, influence.n_users)))
    if isinstance(audiences, Mapping):
        pairs = [(str(product), user) for product, users in audiences.items() for user in users]
        audiences = pd.DataFrame(pairs, columns=["product_id", "user_id"])
    if not isinstance(audiences, pd.DataFrame):
        return _audience_array(audiences, influence, len(product_ids))
    frame = validate("audiences", audiences)
    product = pd.Index(product_ids).get_indexer(frame["product_id"])
    user = pd.Index(influence.user_ids).get_indexer(frame["user_id"])
    if (user < 0).all():
        raise InputError(
            "no audience user is known to the influence data",
            table="audiences",
            column="user_id",
            value=frame["user_id"].iloc[0],
            remedy=f"use the ids of the trajectories, such as {influence.user_ids[0]!r}",
        )
    known = (product >= 0) & (user >= 0)
    ones = np.ones(int(known.sum()))
    shape = (len(product_ids), influence.n_users)
    return sparse.coo_array((ones, (product[known], user[known])), shape=shape).tocsr()


def check_audiences_present(demands: pd.DataFrame, audiences: Any) -> None:
    """Refuse a positive demand of a product that has no audience at all."""
    with_audience = _products_with_users(audiences)
    lacking = ~demands["product_id"].isin(with_audience) & (demands["demand"] > 0)
    if lacking.any():
        row = int(np.flatnonzero(lacking)[0])
        product = demands["product_id"].iloc[row]
        near = difflib.get_close_matches(product, with_audience, n=3)
        hint = f" (near matches: {', '.join(near)})" if near else ""
        raise InputError(
            "product has a demand and an empty audience",
            table="demands",
            column="product_id",
            rows=np.flatnonzero(lacking).tolist(),
            value=product,
            remedy=f"add its users to audiences or drop the product{hint}",
        )


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


def _products_with_users(audiences: Any) -> list[str]:
    if isinstance(audiences, pd.DataFrame) or audiences is None:
        return audience_products(audiences)
    if isinstance(audiences, Mapping):
        return sorted(str(product) for product, users in audiences.items() if len(users))
    return [str(j) for j in np.flatnonzero(np.diff(_audience_rows(audiences).indptr))]


def _audience_rows(audiences: Any) -> sparse.csr_array:
    """An audience array as rows of products, no zeros stored."""
    try:
        matrix = sparse.csr_array(audiences, dtype=np.float64)
    except (TypeError, ValueError) as fault:
        raise InputError(str(fault), table="audiences", remedy="pass bool[L, U]") from fault
    if matrix.ndim != 2:
        raise InputError(
            f"has shape {matrix.shape}, not [products, users]",
            table="audiences",
            remedy="pass bool[L, U], one row per product",
        )
    matrix.eliminate_zeros()
    return matrix


def _audience_array(audiences: Any, influence: Influence, n_products: int) -> sparse.csr_array:
    matrix = _audience_rows(audiences)
    if matrix.shape != (n_products, influence.n_users):
        raise InputError(
            f"has shape {matrix.shape}, but there are {n_products} products and "
            f"{influence.n_users} users",
            table="audiences",
            remedy="align columns with influence.user_ids and rows with the demands",
        )
    bad = ~np.isin(matrix.data, (0.0, 1.0))
    if bad.any():
        raise InputError(
            "must hold 0 or 1",
            table="audiences",
            value=float(matrix.data[bad][0]),
            remedy="weigh products with the weight column of demands",
        )
    return matrix


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
