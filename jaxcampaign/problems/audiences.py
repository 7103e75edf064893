"""Who is interested in which product: from what a user passes to a checked 0/1 matrix."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from jaxcampaign.errors import InputError
from jaxcampaign.influence.matrix import Influence
from jaxcampaign.tables import validate


@dataclass(frozen=True, eq=False)
class Audiences:
    """Audiences as they were passed, checked once.

    Attributes:
      product_ids: products that are named: in order of id, or 0, 1, ... for a plain array.
      with_users: those among them that have at least one user.
      is_array: a plain array, whose row order is the order of products.
      content: table product_id, user_id; or matrix [L, U]; or None for one product that all want.
    """

    product_ids: tuple[str, ...]
    with_users: tuple[str, ...]
    is_array: bool
    content: pd.DataFrame | sparse.csr_array | None

    @classmethod
    def read(cls, audiences: Any) -> Audiences:
        """Check an audiences argument.

        Args:
          audiences: table product_id, user_id; mapping product_id -> user ids; bool array or
            sparse matrix [L, U] aligned with `influence.user_ids`; None for one product.
        """
        if audiences is None:
            return cls(("all",), ("all",), False, None)
        if isinstance(audiences, Mapping):
            for product, users in audiences.items():
                if isinstance(users, str):
                    raise InputError(
                        "a text is not a list of users",
                        table="audiences",
                        rows=[product],
                        value=users,
                        remedy="pass a list of user ids",
                    )
            named = tuple(sorted(str(product) for product in audiences))
            rows = [(str(product), user) for product, users in audiences.items() for user in users]
            if not rows:
                raise InputError("no product has any user", table="audiences", remedy="add users")
            table = validate("audiences", pd.DataFrame(rows, columns=["product_id", "user_id"]))
            return cls(named, tuple(sorted(table["product_id"].unique())), False, table)
        if isinstance(audiences, pd.DataFrame):
            table = validate("audiences", audiences)
            named = tuple(sorted(table["product_id"].unique()))
            return cls(named, named, False, table)
        matrix = _array(audiences)
        named = tuple(str(j) for j in range(matrix.shape[0]))
        with_users = tuple(named[j] for j in np.flatnonzero(np.diff(matrix.indptr)))
        return cls(named, with_users, True, matrix)

    def check_present(self, wanted: pd.Series, *, table: str, what: str) -> None:
        """Refuse products that are wanted and have no audience at all.

        Args:
          wanted: product ids, by the position of their row.
          table: where they are wanted.
          what: what they have there, for the message.
        """
        lacking = wanted[~wanted.isin(self.with_users)]
        if not len(lacking):
            return
        product = str(lacking.iloc[0])
        near = difflib.get_close_matches(product, self.with_users, n=3)
        hint = f" (near matches: {', '.join(near)})" if near else ""
        raise InputError(
            f"product has a {what} and an empty audience",
            table=table,
            column="product_id",
            rows=lacking.index.tolist(),
            value=product,
            remedy=f"add its users to audiences or drop the product{hint}",
        )

    def matrix(self, influence: Influence, product_ids: Sequence[str]) -> sparse.csr_array:
        """Audience of each given product as a 0/1 row, float64[L, U].

        Users whom no slot reaches are left out: no selection can influence them.
        """
        if self.content is None:
            return sparse.csr_array(np.ones((1, influence.n_users)))
        if not isinstance(self.content, pd.DataFrame):
            return _aligned(self.content, influence, len(product_ids))
        product = pd.Index(product_ids).get_indexer(self.content["product_id"])
        user = pd.Index(influence.user_ids).get_indexer(self.content["user_id"])
        if (user < 0).all():
            raise InputError(
                "no audience user is known to the influence data",
                table="audiences",
                column="user_id",
                value=self.content["user_id"].iloc[0],
                remedy=f"use the ids of the trajectories, such as {influence.user_ids[0]!r}",
            )
        known = (product >= 0) & (user >= 0)
        ones = np.ones(int(known.sum()))
        shape = (len(product_ids), influence.n_users)
        return sparse.coo_array((ones, (product[known], user[known])), shape=shape).tocsr()


def _array(audiences: Any) -> sparse.csr_array:
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
    bad = ~np.isin(matrix.data, (0.0, 1.0))
    if bad.any():
        raise InputError(
            "must hold 0 or 1",
            table="audiences",
            value=float(matrix.data[bad][0]),
            remedy="weigh products with the weight column of demands",
        )
    matrix.eliminate_zeros()
    return matrix


def _aligned(matrix: sparse.csr_array, influence: Influence, n_products: int) -> sparse.csr_array:
    if matrix.shape != (n_products, influence.n_users):
        raise InputError(
            f"has shape {matrix.shape}, but there are {n_products} products and "
            f"{influence.n_users} users",
            table="audiences",
            remedy="align columns with influence.user_ids and rows with the demands",
        )
    return matrix
