"""What can be asked of billboard slots: least cost for demands, most influence for a budget."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import jax
import numpy as np
import pandas as pd
from scipy import sparse

from jaxcampaign.errors import InputError
from jaxcampaign.influence.matrix import Influence
from jaxcampaign.problems.assessment import FEASIBILITY_TOLERANCE, Assessment, broken_rows
from jaxcampaign.problems.audiences import Audiences
from jaxcampaign.problems.inputs import positive_number, product_demands, slot_costs
from jaxcampaign.problems.objectives import ProductInfluence
from jaxcampaign.problems.rows import Rows

# Below it a demand is nothing: its inverse would overflow.
_LEAST_DEMAND = 1e-300


@dataclass(frozen=True, eq=False, init=False, repr=False)
class SlotProblem:
    """One set of slots for all products: what `CommonSlots` and `BudgetedSlots` share.

    Both are instances of

        minimise    c . x  -  v . q(x)
        subject to  sum_u a_ju q_u(x) >= k_j  for every product j,   lower <= A x <= upper,
                    x in {0, 1}^S,

    where `q_u(x)` is the chance that the selection influences user u. The common problem has
    v = 0 and no rows; the budgeted one has c = 0, no demands and is reported as a maximum.

    Attributes:
      objective: influence per product.
      cost: float64[S], what each slot costs.
      demand: float64[L], influence that each product needs; 0 where it needs none.
      weight: float64[L], what a unit of a product's influence is worth.
      rows: further constraints on the slots.
      product_ids: L ids.
    """

    objective: ProductInfluence
    cost: np.ndarray
    demand: np.ndarray
    weight: np.ndarray
    rows: Rows
    product_ids: tuple[str, ...]

    sense: ClassVar[str] = "min"
    name: ClassVar[str] = ""
    item_key: ClassVar[tuple[str, ...]] = ("slot_id",)
    """Columns of `influence.slots` that tell items apart."""

    def _set(self, **fields: Any) -> None:
        for field, value in fields.items():
            object.__setattr__(self, field, value)

    @property
    def influence(self) -> Influence:
        """Who may see which slot."""
        return self.objective.influence

    @property
    def n_items(self) -> int:
        """Number of things to choose from: slots, S; for disjoint sets (slot, product) pairs."""
        return self.influence.n_slots

    @property
    def base(self) -> Influence:
        """Influence of the slots as they are sold, whatever the items are."""
        return self.influence

    @property
    def item_slot(self) -> np.ndarray:
        """Slot of each item, int[N], a row of `base.slots`."""
        return np.arange(self.n_items)

    @property
    def cost_of_all(self) -> float:
        """Cost of every slot that is an item, once."""
        cost = np.zeros(self.base.n_slots)
        cost[self.item_slot] = self.cost
        return float(cost.sum())

    @property
    def item_cost(self) -> np.ndarray:
        """Coefficient of each slot in the minimised form, c: float64[S]."""
        return self.cost if self.sense == "min" else np.zeros_like(self.cost)

    @cached_property
    def required(self) -> np.ndarray:
        """Influence at which each demand counts as met, float64[L]."""
        return self.demand * (1 - FEASIBILITY_TOLERANCE)

    @cached_property
    def inverse_demand(self) -> np.ndarray:
        """Weights 1 / k_j, 0 without a demand: products in shares of their demand, float64[L]."""
        wanted = self.demand > _LEAST_DEMAND
        return np.where(wanted, 1 / np.where(wanted, self.demand, 1.0), 0.0)

    @cached_property
    def divisor(self) -> np.ndarray:
        """Cost for ratios, float64[S]: a free slot counts as far cheaper than any other."""
        positive = self.cost[self.cost > 0]
        return np.maximum(self.cost, 1e-6 * positive.min() if len(positive) else 1.0)

    @cached_property
    def user_value(self) -> np.ndarray:
        """Worth of influencing each user in the minimised form, v: float64[U]."""
        if self.sense == "min":
            return np.zeros(self.influence.n_users)
        return self.objective.audience.T @ self.weight

    @cached_property
    def active_users(self) -> np.ndarray:
        """Users that a demand or the objective asks for, int[.], rising."""
        wanted = self.objective.audience.T @ (self.demand > 0).astype(np.float64)
        return np.flatnonzero((wanted > 0) | (self.user_value > 0))

    def with_demand(self, demand: np.ndarray):
        """The same problem with other demands, float64[L]."""
        return self._replaced(demand=demand)

    def without_cost(self):
        """The same constraints with nothing to pay: what is left is whether they can be met."""
        return self._replaced(cost=np.zeros_like(self.cost))

    def _replaced(self, **changes: Any):
        twin = object.__new__(type(self))
        twin._set(**{f.name: getattr(self, f.name) for f in fields(self)} | changes)
        return twin

    def value(self, achieved: np.ndarray, cost: float) -> float:
        """What the problem optimises, from the achieved influence [L] and the cost."""
        return cost if self.sense == "min" else float(self.weight @ achieved)

    def assess(self, selection: np.ndarray, spend: np.ndarray | None = None) -> Assessment:
        """What is true of a selection, bool[S], in float64; `spend` has no meaning for slots."""
        achieved = self.objective.reference(selection)
        cost = math.fsum(self.cost[selection])
        rows = self.rows
        activity = rows.matrix @ selection.astype(np.float64) if len(rows) else np.zeros(0)
        broken = broken_rows(rows, activity, *rows.tolerated(FEASIBILITY_TOLERANCE))
        feasible = not broken and not (achieved < self.required).any()
        return Assessment(feasible, cost, self.value(achieved, cost), achieved, broken)

    @property
    def trivial_bound(self) -> float:
        """The bound without any multiplier: nothing costs less than 0; nobody is reached twice."""
        if self.sense == "min":
            return float(np.minimum(self.item_cost, 0).sum())
        return float(self.user_value.sum())

    def proven_bound(self, proof: Any) -> float:
        """The bound that a proof proves; see `problems.proven_bound`."""
        from jaxcampaign.problems.branching import proven_bound

        return proven_bound(self, proof)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.product_ids)} products, {self.influence!r})"

    def tree_flatten(self):
        """Leaves: objective and numbers. Static: labels."""
        return (self.objective, self.cost, self.demand, self.weight, self.rows), self.product_ids

    @classmethod
    def tree_unflatten(cls, static, leaves):
        """Rebuild from leaves, unchecked."""
        problem = object.__new__(cls)
        names = ("objective", "cost", "demand", "weight", "rows")
        problem._set(product_ids=static, **dict(zip(names, leaves, strict=True)))
        return problem


@jax.tree_util.register_pytree_node_class
class CommonSlots(SlotProblem):
    """The cheapest set of slots that gives every product the influence it needs.

    minimise `sum_{s in S} c(s)` subject to `I_j(S) >= k_j` for every product j: the common-slots
    problem of arXiv 2510.09050, a multi-submodular cover.

    Args:
      influence: who may see which slot.
      audiences: table product_id, user_id; or mapping product -> users; or bool[L, U]; or None for
        one product that all users want.
      cost: None for the slots' own cost, or a number, array [S], or mapping by slot_id.
      demand: table product_id, demand; or mapping by product_id; or array [L]; or a number.

    Raises:
      InputError: a number that is not finite or negative, an id that is unknown, a product with
        a demand and no audience.
    """

    sense = "min"
    name = "common"

    def __init__(self, influence: Influence, audiences: Any, cost: Any = None, demand: Any = None):
        demands, audience = demanded_products(influence, audiences, demand)
        self._set(
            objective=ProductInfluence(influence, audience),
            cost=slot_costs(cost, influence),
            demand=demands["demand"].to_numpy(np.float64),
            weight=np.zeros(len(demands)),
            rows=Rows.empty(influence.n_slots),
            product_ids=tuple(demands.index),
        )


@jax.tree_util.register_pytree_node_class
class BudgetedSlots(SlotProblem):
    """The most influential set of slots that a budget, a number of slots, or both allow.

    maximise `sum_j w_j I_j(S)` subject to `sum_{s in S} c(s) <= budget` and `|S| <= max_slots`:
    maximum (weighted) probabilistic coverage under a knapsack and a cardinality constraint.

    Args:
      influence: who may see which slot.
      audiences: as for `CommonSlots`; None counts every user once.
      cost: as for `CommonSlots`.
      budget: most money that may be spent, at least 0; None for no limit.
      max_slots: most slots that may be chosen; None for no limit.
      weight: worth of a unit of influence per product: mapping by product_id, array [L], number, or
        a demands table with a `weight` column (1 without that column). Products that a mapping
        or table leaves out weigh nothing; without the argument every product weighs 1.

    Raises:
      InputError: as for `CommonSlots`; also if neither budget nor max_slots is given.
    """

    sense = "max"
    name = "budgeted"

    def __init__(
        self,
        influence: Influence,
        audiences: Any = None,
        cost: Any = None,
        *,
        budget: float | None = None,
        max_slots: int | None = None,
        weight: Any = 1.0,
    ):
        if budget is None and max_slots is None:
            raise InputError(
                "neither a budget nor a number of slots is given",
                table="budget",
                remedy="pass budget=, max_slots=, or both",
            )
        cost = slot_costs(cost, influence)
        read = Audiences.read(audiences)
        product_ids = read.product_ids
        audience = read.matrix(influence, product_ids)
        coefficients, upper, names, reasons = [], [], [], []
        if budget is not None:
            coefficients.append(cost)
            upper.append(positive_number(budget, "budget"))
            names.append("budget")
            reasons.append(f"all slots together may cost at most {upper[-1]:g}")
        if max_slots is not None:
            coefficients.append(np.ones(influence.n_slots))
            upper.append(positive_number(max_slots, "max_slots", integer=True))
            names.append("max_slots")
            noun = "slot" if upper[-1] == 1 else "slots"
            reasons.append(f"at most {upper[-1]:g} {noun} may be chosen")
        self._set(
            objective=ProductInfluence(influence, audience),
            cost=cost,
            demand=np.zeros(len(product_ids)),
            weight=_product_weights(weight, read),
            rows=Rows.dense(coefficients, np.full(len(upper), -np.inf), upper, names, reasons),
            product_ids=product_ids,
        )


def demanded_products(
    influence: Influence, audiences: Any, demand: Any
) -> tuple[pd.DataFrame, sparse.csr_array]:
    """Products with their demands, and who is interested in them.

    Args:
      influence: who may see which slot.
      audiences: as for `CommonSlots`.
      demand: as for `CommonSlots`.

    Returns:
      Table demand, [max_slots], ... with the product ids as its index, L rows, and the audiences,
      float64[L, U].
    """
    if demand is None:
        raise InputError(
            "no demand given",
            table="demand",
            remedy="pass the influence that each product needs, for example a demands table",
        )
    read = Audiences.read(audiences)
    demands = product_demands(demand, read.product_ids)
    wanted = demands["product_id"][demands["demand"] > 0]
    read.check_present(wanted, table="demands", what="demand")
    # Plain arrays fix the order of products; otherwise the order of ids does, so that the
    # order of input rows never changes an answer.
    product_ids = read.product_ids if read.is_array else tuple(sorted(demands["product_id"]))
    demands = demands.set_index("product_id").reindex(list(product_ids))
    demands["demand"] = demands["demand"].fillna(0.0)
    return demands, read.matrix(influence, product_ids)


def _product_weights(weight: Any, audiences: Audiences) -> np.ndarray:
    """Weight per product, float64[L]; products that the argument leaves out weigh nothing."""
    given = product_demands(weight, audiences.product_ids, name="weight")
    if not isinstance(weight, pd.DataFrame):
        given = given.rename(columns={"demand": "weight"})
    elif "weight" not in given:
        given["weight"] = 1.0
    named = given["product_id"].isin(audiences.product_ids)
    unknown = given["product_id"][~named & (given["weight"] > 0)]
    audiences.check_present(unknown, table="demands", what="weight")
    aligned = given.set_index("product_id")["weight"].reindex(list(audiences.product_ids))
    return aligned.fillna(0.0).to_numpy(np.float64)
