"""Disjoint sets of slots, one a product, as one choice among (slot, product) pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pandas as pd
from scipy import sparse

from jaxcampaign.errors import InputError
from jaxcampaign.influence.matrix import Influence
from jaxcampaign.problems.inputs import positive_number, product_demands, slot_costs
from jaxcampaign.problems.objectives import ProductInfluence
from jaxcampaign.problems.rows import Rows, Texts
from jaxcampaign.problems.slots import SlotProblem, demanded_products


@dataclass(frozen=True, eq=False)
class Offers:
    """Which slot could go to which product: the items of a disjoint problem.

    Attributes:
      base: influence of the slots as they are sold, S slots and U users.
      slot: int32[N], row of `base.slots`.
      product: int32[N], rising; items are in order of product, then slot.
      user: int32[V], user of each of the (user, product) pairs that are the users of the
        expanded influence, a position in `base.user_ids`.
      user_product: int32[V], rising: its product.
    """

    base: Influence
    slot: np.ndarray
    product: np.ndarray
    user: np.ndarray
    user_product: np.ndarray


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, eq=False, init=False, repr=False)
class DisjointSlots(SlotProblem):
    """The cheapest disjoint sets of slots, one a product, that give each what it needs.

    minimise `sum_j sum_{s in S_j} c(s)` subject to `I_j(S_j) >= demand_j`, `|S_j| <= max_slots_j`
    and pairwise disjoint S_1, ..., S_L: the disjoint-slots problem of arXiv 2510.09050.

    It is a slot problem whose items are the (slot, product) pairs that matter, those where the
    slot reaches someone in the audience of a product with a demand, and whose users are the
    (user, product) pairs: influence is block diagonal, and the rows say that a slot goes to one
    product and that no product exceeds its limit. So all that holds of slot problems, the
    inequalities and multipliers included, holds of this one in the numbering of the items.

    Args:
      influence: who may see which slot.
      audiences: as for `CommonSlots`.
      cost: as for `CommonSlots`; a slot is paid once, by the product it goes to.
      demand: as for `CommonSlots`; a column `max_slots` of a table limits its products.
      max_slots: most slots of a product: a number for all, a mapping by product_id (products that
        it leaves out have no limit), or an array [L]. Where a table of demands has a column
        `max_slots`, limits here are refused.

    Attributes:
      offers: slot and product of each item.
      max_slots: float64[L], infinite without a limit.

    Raises:
      InputError: as for `CommonSlots`; a limit that is no whole number of at least 0; limits that
        are given twice; no slot that reaches the audience of any product with a demand.
    """

    offers: Offers
    max_slots: np.ndarray

    sense = "min"
    name = "disjoint"
    item_key = ("slot_id", "product_id")

    def __init__(
        self,
        influence: Influence,
        audiences: Any,
        cost: Any = None,
        demand: Any = None,
        max_slots: Any = None,
    ):
        slot_cost = slot_costs(cost, influence)
        demands, audience = demanded_products(influence, audiences, demand)
        product_ids = tuple(demands.index)
        limits = _limits(max_slots, demands)
        wanted = demands["demand"].to_numpy() > 0
        # Where nobody wants anything there are items all the same, and none has to be chosen.
        wanted |= not wanted.any()
        expanded, offers, own = _expanded(influence, audience, wanted, product_ids)
        self._set(
            objective=ProductInfluence(expanded, own),
            cost=slot_cost[offers.slot],
            demand=demands["demand"].to_numpy(np.float64),
            weight=np.zeros(len(product_ids)),
            rows=_rows(offers, limits, product_ids),
            product_ids=product_ids,
            offers=offers,
            max_slots=limits,
        )

    @property
    def base(self) -> Influence:
        """Influence of the slots as they are sold."""
        return self.offers.base

    @property
    def item_slot(self) -> np.ndarray:
        """Slot of each item, int32[N], a row of `base.slots`."""
        return self.offers.slot

    @property
    def item_product(self) -> np.ndarray:
        """Product of each item, int32[N], a position in `product_ids`."""
        return self.offers.product

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self.product_ids)} products, {self.n_items:,} pairs of "
            f"slot and product, {self.base!r})"
        )

    def tree_flatten(self):
        """Leaves: objective and numbers. Static: labels and offers, compared by identity."""
        leaves, product_ids = super().tree_flatten()
        return (*leaves, self.max_slots), (product_ids, self.offers)

    @classmethod
    def tree_unflatten(cls, static, leaves):
        """Rebuild from leaves, unchecked."""
        problem = super().tree_unflatten(static[0], leaves[:-1])
        problem._set(offers=static[1], max_slots=leaves[-1])
        return problem


def _limits(max_slots: Any, demands: pd.DataFrame) -> np.ndarray:
    """Most slots of each product, float64[L], infinite without a limit."""
    in_table = "max_slots" in demands
    for_all = np.inf
    if np.isscalar(max_slots):
        for_all = positive_number(max_slots, "max_slots", integer=True)
    if max_slots is not None and in_table:
        raise InputError(
            "limits are given twice, here and as a column of demands",
            table="max_slots",
            remedy="drop one of them",
        )
    if in_table:
        return demands["max_slots"].astype("float64").fillna(np.inf).to_numpy(np.float64)
    if max_slots is None or np.isscalar(max_slots):
        return np.full(len(demands), for_all)
    given = product_demands(max_slots, tuple(demands.index), name="max_slots")
    unknown = given["product_id"][~given["product_id"].isin(demands.index)]
    if len(unknown):
        raise InputError(
            "limits a product that has no demand",
            table="max_slots",
            column="product_id",
            rows=unknown.index.tolist(),
            value=str(unknown.iloc[0]),
            remedy="correct the id, or drop it",
        )
    for limit in given["demand"]:
        positive_number(limit, "max_slots", integer=True)
    aligned = given.set_index("product_id")["demand"].reindex(demands.index)
    return aligned.fillna(np.inf).to_numpy(np.float64)


def _expanded(
    base: Influence, audience: sparse.csr_array, wanted: np.ndarray, product_ids: tuple[str, ...]
) -> tuple[Influence, Offers, sparse.csr_array]:
    """Influence of items on (user, product) pairs, what the items are, and who is whose user."""
    pairs = audience.tocoo()
    kept = wanted[pairs.row]
    order = np.lexsort((pairs.col[kept], pairs.row[kept]))
    product, user = pairs.row[kept][order], pairs.col[kept][order]
    reached = base.by_user_matrix[user]
    of_pair = np.repeat(np.arange(len(user)), np.diff(reached.indptr))
    if not len(of_pair):
        raise InputError(
            "no slot reaches anybody in the audience of a product with a demand",
            table="audiences",
            column="user_id",
            remedy="add users whom a slot reaches",
        )
    key = product[of_pair].astype(np.int64) * base.n_slots + reached.indices
    keys, item = np.unique(key, return_inverse=True)
    item_product, item_slot = np.divmod(keys, base.n_slots)
    shape = (len(keys), len(user))
    matrix = sparse.coo_array((reached.data, (item, of_pair)), shape=shape).tocsr()
    matrix.sort_indices()
    ids = pd.array(list(product_ids), "str")
    slots = base.slots.iloc[item_slot].reset_index(drop=True)
    slots["product_id"] = ids[item_product]
    own = sparse.csr_array(
        (np.ones(len(user)), (product, np.arange(len(user)))),
        shape=(len(product_ids), len(user)),
    )
    indices = (item_slot, item_product, user, product)
    offers = Offers(base, *(index.astype(np.int32) for index in indices))
    return Influence(matrix, slots, base.user_ids[user]), offers, own


def _rows(offers: Offers, limits: np.ndarray, product_ids: tuple[str, ...]) -> Rows:
    """One product a slot, where several could have it; and the limits of products."""
    n_items = len(offers.slot)
    contested = np.bincount(offers.slot, minlength=offers.base.n_slots) > 1
    limited = np.isfinite(limits) & (np.bincount(offers.product, minlength=len(limits)) > 0)
    row_of_slot = np.cumsum(contested) - 1
    row_of_product = np.cumsum(limited) - 1 + contested.sum()
    by_slot, by_product = contested[offers.slot], limited[offers.product]
    row = [row_of_slot[offers.slot[by_slot]], row_of_product[offers.product[by_product]]]
    item = np.concatenate([np.flatnonzero(by_slot), np.flatnonzero(by_product)])
    slots = offers.base.slot_ids[contested]
    products = np.asarray(product_ids, object)[limited]
    most = limits[limited]
    upper = np.concatenate([np.ones(int(contested.sum())), most])
    return Rows(
        np.full(len(upper), -np.inf),
        upper,
        np.concatenate(row).astype(np.int32),
        item.astype(np.int32),
        np.ones(len(item)),
        n_items,
        Texts((("slot {}", (slots,)), ("max_slots of product {}", (products,)))),
        Texts(
            (
                ("slot {} goes to one product at most", (slots,)),
                ("product {} may have at most {:g} slots", (products, most)),
            )
        ),
    )
