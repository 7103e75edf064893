"""Which posts should a budget buy: the campaign problem over a flat list of options."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import jax
import numpy as np
import pandas as pd
from scipy import sparse

from jaxcampaign.errors import InputError
from jaxcampaign.problems.assessment import FEASIBILITY_TOLERANCE, Assessment
from jaxcampaign.problems.campaign.assessment import violations
from jaxcampaign.problems.campaign.buckets import Bucket, buckets_of
from jaxcampaign.problems.campaign.constraints import AtMost, Constraint
from jaxcampaign.problems.campaign.draft import Draft
from jaxcampaign.problems.campaign.families import Family
from jaxcampaign.problems.campaign.inputs import check_kinds, option_table
from jaxcampaign.problems.campaign.money import down_to_cents, least_payment
from jaxcampaign.problems.campaign.reach import extremes_of
from jaxcampaign.problems.campaign.risk import Measure, Risk, SummedDeviation, risk_of
from jaxcampaign.problems.campaign.spending import FixedPrice, Spending
from jaxcampaign.problems.inputs import positive_number
from jaxcampaign.problems.rows import Rows

if TYPE_CHECKING:
    from jaxcampaign.effectiveness import Effectiveness
    from jaxcampaign.problems.campaign.lagrangian import CampaignMultipliers


@dataclass(frozen=True, eq=False)
class Decision:
    """What is bought: a choice of options, and the money that each gets.

    Attributes:
      chosen: bool[N].
      spend: float64[N], money; 0 where nothing is chosen.
    """

    chosen: np.ndarray
    spend: np.ndarray

    @cached_property
    def used(self) -> np.ndarray:
        """Options that are chosen or get money, int64[n], rising: the others add nothing."""
        return np.flatnonzero(self.chosen | (self.spend != 0))


@jax.tree_util.register_pytree_node_class
@dataclass(frozen=True, eq=False, init=False, repr=False)
class Campaign:
    """The most valuable set of posts that a budget and the constraints allow.

    maximise `sum_i mean_i e_i - risk_aversion * risk(e)`, where the effect e_i is 1 for a chosen
    option that is paid in full and r(b_i / p_i) for one that gets the money b_i (see `spending`),
    subject to `sum_i b_i <= budget`, `l_i y_i <= b_i <= p_i y_i`, y in {0, 1}^N, and rows.

    Args:
      options: what `FittedModel.predict` returns, or a table with influencer_id, content_type,
        event_id, offset_hours, price, mean, std and any columns that constraints name.
      budget: most money that may be spent; None for no limit.
      risk_aversion: rho, what a unit of risk takes off the value.
      constraints: any of `AtMost`, `AtLeast`, `MaxShare`, `Require`, `Exclude`, `Conflict`.
      spending: what money does; by default an option costs its price.
      risk: how risk is measured; by default the sum of deviations, so that an option is worth
        `mean - rho std`.

    Raises:
      InputError: bad options (column, rows and value are named), or a constraint that names a
        column or value that no option has.

    Attributes:
      options: N options in the order given.
      mean: float64[N].
      std: float64[N].
      price: float64[N].
      members: float[K, N], means of ensemble members; K = 0 without any.
      families: rows with one number of a group per option.
      rows: sparse rows over options and F flags.
      definitions: bool[M], sparse rows that say what a flag means.
      flag_members: 0/1 [F, N], options that raise a flag.
      required: bool[N], options that must be chosen.
      excluded: bool[N], options that must not be.
    """

    options: pd.DataFrame
    mean: np.ndarray
    std: np.ndarray
    price: np.ndarray
    members: np.ndarray
    families: tuple[Family, ...]
    rows: Rows
    definitions: np.ndarray
    flag_members: sparse.csr_array
    required: np.ndarray
    excluded: np.ndarray
    risk_aversion: float
    risk: Risk
    spending: Spending
    budget: float | None
    constraints: tuple[Constraint, ...] = field(default=())

    sense: ClassVar[str] = "max"
    name: ClassVar[str] = "campaign"
    product_ids: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        options: Effectiveness | pd.DataFrame,
        *,
        budget: float | None = None,
        risk_aversion: float = 0.0,
        constraints: Sequence[Constraint] | Constraint = (),
        spending: Spending | None = None,
        risk: Risk | None = None,
    ):
        table, mean, std, members = option_table(options)
        draft = Draft(table)
        if isinstance(constraints, Constraint):
            constraints = [constraints]
        every = list(constraints)
        if budget is not None:
            every.insert(0, _budget_row(budget))
        for constraint in every:
            if not isinstance(constraint, Constraint):
                raise InputError(
                    "is not a constraint",
                    table="constraints",
                    value=constraint,
                    remedy="pass AtMost, AtLeast, MaxShare, Require, Exclude or Conflict",
                )
            constraint.add_to(draft)
        check_kinds(risk, spending)
        self._set(
            options=table,
            mean=mean,
            std=std,
            price=table["price"].to_numpy(np.float64),
            members=members,
            families=tuple(draft.families),
            rows=draft.rows(),
            definitions=draft.definitions(),
            flag_members=draft.members(),
            required=draft.required,
            excluded=draft.excluded,
            risk_aversion=positive_number(risk_aversion, "risk_aversion"),
            risk=SummedDeviation() if risk is None else risk,
            spending=FixedPrice() if spending is None else spending,
            budget=None if budget is None else float(budget),
            constraints=tuple(constraints),
        )
        if self.risk_aversion:
            _ = self.measure  # an error about members is due now

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def n_items(self) -> int:
        """Number of options, N."""
        return len(self.mean)

    @property
    def demand(self) -> np.ndarray:
        """None: constraints of campaigns are rows."""
        return np.zeros(0)

    @property
    def n_flags(self) -> int:
        """Number of flags, F."""
        return self.flag_members.shape[0]

    @cached_property
    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper limits of all families' rows in order and then of the sparse rows."""
        parts = (*self.families, self.rows)
        lower, upper = (np.concatenate([getattr(p, e) for p in parts]) for e in ("lower", "upper"))
        return lower, upper

    @cached_property
    def mean_size(self) -> float:
        """Sum of the absolute means."""
        return float(np.abs(self.mean).sum())

    @cached_property
    def row_sizes(self) -> tuple[np.ndarray, ...]:
        """For each family the sums of absolute terms of its rows if all is bought, float64[G].

        The family that bounds keep, which is not priced, has none.
        """
        bought = {"spend": self.price, "posts": np.ones(self.n_items)}
        return tuple(
            np.zeros(0) if number == self.kept else family.sizes(bought[family.acts])
            for number, family in enumerate(self.families)
        )

    @cached_property
    def extremes(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """The least and the most that any plan has in each row, see `extremes_of`."""
        return extremes_of(self)

    @property
    def is_linear(self) -> bool:
        """Whether options are bought whole, for a value of their own each."""
        return self.spending.least == 1 and not (self.risk_aversion and self.measure.n_weights)

    @cached_property
    def least_payment(self) -> np.ndarray:
        """l, money that an option gets at least if it is chosen, float64[N]."""
        return least_payment(self.price, self.spending.least)

    @cached_property
    def least_share(self) -> np.ndarray:
        """The share of its price that this is, float64[N]; 1 where an option costs nothing."""
        paid = self.price > 0
        return np.where(paid, self.least_payment / np.where(paid, self.price, 1.0), 1.0)

    @cached_property
    def measure(self) -> Measure:
        """The measure of risk with this campaign's numbers."""
        return self.risk.bind(self.std, self.members)

    @cached_property
    def kept(self) -> int | None:
        """The family of counts with the most groups: bounds keep it instead of pricing it.

        Its groups share no option, so the best choice under its limits is the best few of each
        group, exactly.
        """
        sizes = [len(family) if family.counts else 0 for family in self.families]
        return int(np.argmax(sizes)) if max(sizes, default=0) > 0 else None

    @cached_property
    def room(self) -> tuple[np.ndarray, np.ndarray]:
        """Group of each option in the family that is kept, and how many each group may have.

        int64[N] and int64[G + 1]; options outside have the group G, which has no limit.
        """
        if self.kept is None:
            return np.zeros(self.n_items, np.int64), np.array([self.n_items])  # one, without limit
        family = self.families[self.kept]
        size = np.bincount(family.group + 1, minlength=len(family) + 1)[1:]
        most = np.floor(np.minimum(family.upper * (1 + FEASIBILITY_TOLERANCE), size))
        group = np.where(family.group >= 0, family.group, len(family)).astype(np.int64)
        return group, np.append(most.astype(np.int64), self.n_items)

    @cached_property
    def buckets(self) -> tuple[Bucket, ...]:
        """Options that may be chosen and need not be, by the groups of the family that is kept.

        Options outside of it, which nothing keeps from being chosen together, are not here.
        """
        group, most = self.room
        inside = ~self.required & ~self.excluded & (group < len(most) - 1)
        return buckets_of(group, np.flatnonzero(inside))

    @cached_property
    def unlimited(self) -> np.ndarray:
        """Options that may be chosen and are in no group of the family that is kept, int64[n]."""
        group, most = self.room
        free = ~self.required & ~self.excluded
        return np.flatnonzero(free & (group == len(most) - 1))

    @cached_property
    def free_room(self) -> np.ndarray:
        """How many each group may have beside its required options, int64[G]."""
        group, most = self.room
        return (most - np.bincount(group[self.required], minlength=len(most)))[:-1]

    def value_prices(self, q: np.ndarray) -> np.ndarray:
        """What the effect of each option is worth at least, given weights of risk, float64[N]."""
        if not self.risk_aversion:
            return self.mean
        return self.mean - self.risk_aversion * self.measure.prices(q)

    def effect(self, decision: Decision) -> np.ndarray:
        """e, float64[N]."""
        chosen = np.flatnonzero(decision.chosen)
        price, spend = self.price[chosen], decision.spend[chosen]
        share = np.where(price > 0, spend / np.where(price > 0, price, 1.0), 1.0)
        effect = np.zeros(self.n_items)
        effect[chosen] = self.spending.response(np.clip(share, 0.0, 1.0))
        return effect

    def value(self, decision: Decision) -> float:
        """What the problem maximises, float64."""
        effect = self.effect(decision)
        chosen = np.flatnonzero(decision.chosen)
        total = math.fsum(self.mean[chosen] * effect[chosen])
        if not self.risk_aversion:
            return total
        return total - self.risk_aversion * risk_of(self.measure, effect)

    def assess(self, selection: np.ndarray, spend: np.ndarray | None = None) -> Assessment:
        """What is true of a choice bool[N] and the money that options get, float64[N]."""
        decision = self.in_full(selection) if spend is None else Decision(selection, spend)
        broken = violations(self, decision)
        cost = math.fsum(decision.spend[selection])
        return Assessment(not broken, cost, self.value(decision), np.zeros(0), broken)

    @cached_property
    def trivial_bound(self) -> float:
        """The bound without any price: everything that is worth something, within the groups."""
        from jaxcampaign.problems.campaign.lagrangian import CampaignMultipliers

        return self.proven_bound(CampaignMultipliers.zero(self))

    def proven_bound(self, proof: CampaignMultipliers) -> float:
        """The bound that prices prove; see `campaign_bound`."""
        from jaxcampaign.problems.campaign.lagrangian import campaign_bound

        return campaign_bound(self, proof)

    def without_value(self) -> Campaign:
        """The same constraints with nothing to gain: what is left is whether they can be kept."""
        none = np.zeros(self.n_items)
        stale = ("mean_size", "measure", "trivial_bound")
        return self._with(stale, mean=none, std=none, risk_aversion=0.0)

    def with_budget(self, budget: float) -> Campaign:
        """The same campaign with another budget, without working out again what stays as it is.

        Raises:
          InputError: the budget is below 0, or the campaign has none to change.
        """
        if self.budget is None:
            raise InputError(
                "there is no budget to change",
                table="budget",
                value=budget,
                remedy="make the campaign with a budget",
            )
        draft = Draft(self.options)
        _budget_row(budget).add_to(draft)
        families = (*draft.families, *self.families[1:])
        return self._with(("limits",), budget=float(budget), families=families)

    def with_risk_aversion(self, risk_aversion: float) -> Campaign:
        """The same campaign with another price of risk.

        Raises:
          InputError: it is below 0, or the risk needs means of members, which are missing.
        """
        aversion = positive_number(risk_aversion, "risk_aversion")
        twin = self._with(("trivial_bound",), risk_aversion=aversion)
        if risk_aversion:
            _ = twin.measure
        return twin

    def _with(self, stale: tuple[str, ...], **changes: Any) -> Campaign:
        """A copy with other fields, which keeps all that was worked out but what is stale."""
        twin = object.__new__(Campaign)
        known = {name: value for name, value in vars(self).items() if name not in stale}
        twin._set(**known | changes)
        return twin

    def columns(self, decision: Decision) -> np.ndarray:
        """Options and flags as a vector, float64[N + F]."""
        chosen = decision.chosen.astype(np.float64)
        return np.concatenate([chosen, (self.flag_members @ chosen > 0).astype(np.float64)])

    def in_full(self, chosen: np.ndarray) -> Decision:
        """The options bool[N], each paid in full."""
        return Decision(chosen, np.where(chosen, self.price, 0.0))

    def in_part(self, chosen: np.ndarray, spend: np.ndarray) -> Decision:
        """The options bool[N], each paid so much, float64[N], cut to whole cents and its limits."""
        at = np.flatnonzero(chosen)
        whole = down_to_cents(spend[at]) / 100
        cut = np.zeros(self.n_items)
        cut[at] = np.clip(whole, self.least_payment[at], self.price[at]) + 0.0  # no -0.0
        return Decision(chosen, cut)

    def paid(self, share: np.ndarray) -> np.ndarray:
        """What options are paid for shares float64[N] of their prices, in whole cents."""
        return self.in_part(np.ones(self.n_items, bool), share * self.price).spend

    def __repr__(self) -> str:
        n_rows = sum(map(len, self.families)) + len(self.rows)
        budget = "" if self.budget is None else f", budget {self.budget:,.6g}"
        rows = f"{n_rows:,} row" if n_rows == 1 else f"{n_rows:,} rows"
        return f"Campaign({self.n_items:,} options, {rows}{budget})"

    def tree_flatten(self):
        """Leaves: numbers. Static: this object, compared by identity."""
        return (self.mean, self.std, self.price, self.members, self.families), self

    @classmethod
    def tree_unflatten(cls, static: Campaign, leaves) -> Campaign:
        """Rebuild around transformed numbers, unchecked."""
        problem = object.__new__(cls)
        problem._set(**{name: getattr(static, name) for name in cls.__dataclass_fields__})
        names = ("mean", "std", "price", "members", "families")
        problem._set(**dict(zip(names, leaves, strict=True)))
        return problem


def _budget_row(budget: float) -> AtMost:
    """The limit of all money: the first family of a campaign that has one."""
    return AtMost(positive_number(budget, "budget"), of="spend", name="budget")
