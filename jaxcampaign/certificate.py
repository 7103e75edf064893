"""What is true of a selection: feasibility, value and a proven bound, in float64, with no solver.

This module imports no solver and believes none: everything is recomputed from the problem, the
selection and the stored multipliers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxcampaign.problems import (
    FEASIBILITY_TOLERANCE,
    Multipliers,
    Problem,
    Proof,
    SlotProblem,
    refutation,
)
from jaxcampaign.problems.campaign import (
    Campaign,
    CampaignMultipliers,
    out_of_reach,
    refuting_excess,
)

# Share of the largest sum in a bound that its rounding outward may take.
_ROUNDING = 1e-12
# Rows that a refutation of a campaign names.
_SHOWN = 20
# A plan may call itself optimal up to this gap.
OPTIMALITY_GAP = 1e-6


@partial(
    jax.tree_util.register_dataclass,
    data_fields=[
        *("cost", "value", "bound", "rechecked_bound", "solver_bound", "gap"),
        *("achieved", "demand"),
    ],
    meta_fields=[
        *("problem", "sense", "feasible", "product_ids", "violations", "reasons"),
        "refuted_claim",
    ],
)
@dataclass(frozen=True, eq=False)
class Certificate:
    """Facts about a selection, each recomputed in float64.

    Attributes:
      problem: name of the problem ("common", "disjoint", "budgeted").
      sense: "min" or "max".
      feasible: every demand and every row is met, to `FEASIBILITY_TOLERANCE` of its size.
      cost: what the selection costs.
      value: what the problem optimises: the cost when minimising, influence when maximising.
      bound: no selection can do better than this; the better of the two bounds below. None where
        the problem is infeasible.
      rechecked_bound: the bound proven by the stored multipliers, recomputed here.
      solver_bound: bound claimed by a branch and bound, None without one. It is the solver's
        word: `verify` cannot recheck it, but a claim that the plan itself refutes is left out.
      gap: `|value - bound| / |value|`, None where either is missing or the plan is infeasible.
      product_ids: L ids.
      achieved: float64[L], influence per product.
      demand: float64[L].
      violations: rows that are not met, each with name, activity, lower, upper.
      reasons: why the problem has no feasible selection at all, one sentence each; empty where
        that is not proven.
      refuted_claim: why the solver's bound was left out; empty where it was not.
    """

    problem: str
    sense: str
    feasible: bool
    cost: float
    value: float
    bound: float | None
    rechecked_bound: float | None
    solver_bound: float | None
    gap: float | None
    product_ids: tuple[str, ...]
    achieved: np.ndarray
    demand: np.ndarray
    violations: tuple[dict[str, Any], ...] = ()
    reasons: tuple[str, ...] = field(default=())
    refuted_claim: str = ""

    @property
    def shortfall(self) -> np.ndarray:
        """Influence that each product still lacks, float64[L]; 0 where its demand is met."""
        missed = self.achieved < self.demand * (1 - FEASIBILITY_TOLERANCE)
        return np.where(missed, self.demand - self.achieved, 0.0)

    @property
    def least_share(self) -> float:
        """The least of achieved over demand; 1 where nothing is demanded."""
        wanted = self.demand > 0
        return float((self.achieved[wanted] / self.demand[wanted]).min(initial=1.0))

    def meets(self, share: float) -> bool:
        """Every demand is met to a share of itself, and every limit is kept."""
        return not self.violations and self.least_share >= share * (1 - FEASIBILITY_TOLERANCE)

    @property
    def bound_proof(self) -> str | None:
        """Where the bound comes from: "multipliers" (recheckable) or "branch_and_bound"."""
        if self.bound is None:
            return None
        return "multipliers" if self.bound == self.rechecked_bound else "branch_and_bound"

    @property
    def rechecked_gap(self) -> float | None:
        """The gap that multipliers prove, with nobody's word in it; None without a bound."""
        if self.gap is None or self.rechecked_bound is None:
            return None
        if self.bound_proof == "multipliers":
            return self.gap
        return relative_gap(self.value, self.rechecked_bound)


def certify(
    problem: Problem,
    selection: np.ndarray,
    multipliers: Proof | CampaignMultipliers | None = None,
    solver_bound: float | None = None,
    spend: np.ndarray | None = None,
) -> Certificate:
    """Recompute everything that is claimed of a selection.

    Args:
      problem: what was asked.
      selection: bool[N], of slots or options.
      multipliers: proof of a bound; without it the trivial bound of zero multipliers is used.
      solver_bound: bound of a branch and bound that exceeds what multipliers can prove.
      spend: float64[N], money that each option of a campaign gets; its price where left out.

    Raises:
      ValueError: the selection has the wrong length, or a multiplier is negative.
    """
    selection = np.asarray(selection)
    if selection.shape != (problem.n_items,) or selection.dtype != bool:
        raise ValueError(f"selection must be bool[{problem.n_items}], one entry per item")
    found = problem.assess(selection, spend)
    reasons = unreachable(problem)
    if not reasons and not found.feasible and multipliers is not None:
        reasons = refuted(problem, multipliers, found.achieved)
    rechecked = bound = gap = None
    refuted_claim = ""
    if reasons:
        solver_bound = None
    else:
        rechecked = trivial = problem.trivial_bound
        if multipliers is not None:
            rechecked = _better(problem.sense, trivial, problem.proven_bound(multipliers))
        # Differences below this are rounding: of the value, or of a bound made of such large sums.
        negligible = max(FEASIBILITY_TOLERANCE * abs(found.value), _ROUNDING * abs(trivial))
        if solver_bound is not None and found.feasible:
            if abs(solver_bound - found.value) <= negligible:
                solver_bound = found.value
            elif not _may_bound(problem.sense, solver_bound, found.value):
                refuted_claim = (
                    f"the solver claims that no selection is better than {solver_bound:g}, and "
                    f"this one has {found.value:g}: its claim is left out"
                )
                solver_bound = None
        bound = _better(problem.sense, rechecked, solver_bound)
        if found.feasible:
            near = abs(found.value - bound) <= negligible
            gap = 0.0 if near else relative_gap(found.value, bound)
    return Certificate(
        problem=problem.name,
        sense=problem.sense,
        feasible=found.feasible,
        cost=found.cost,
        value=found.value,
        bound=bound,
        rechecked_bound=rechecked,
        solver_bound=solver_bound,
        gap=gap,
        product_ids=problem.product_ids,
        achieved=found.achieved,
        demand=problem.demand,
        violations=found.violations,
        reasons=reasons,
        refuted_claim=refuted_claim,
    )


def relative_gap(value: float, bound: float) -> float:
    """`|value - bound| / |value|`, the convention of branch and bound codes; 0 for 0 / 0."""
    difference = abs(value - bound)
    if difference == 0:
        return 0.0
    return difference / abs(value) if value else math.inf


def unreachable(problem: Problem) -> tuple[str, ...]:
    """One sentence for each demand that all slots together cannot meet, or row of a campaign.

    Influence is monotone, so for a problem without rows this is exact: it has a feasible
    selection if and only if the result is empty. With rows it is necessary; `refuted` goes further.
    """
    if isinstance(problem, Campaign):
        return out_of_reach(problem)
    assert isinstance(problem, SlotProblem)
    everything = problem.objective.reference(np.ones(problem.n_items, bool))
    short = problem.demand - everything
    return tuple(
        f"product {problem.product_ids[j]}: demand {problem.demand[j]:g}, but all slots together "
        f"reach {everything[j]:g}, short by {short[j]:g}; lower the demand, or add slots"
        for j in np.flatnonzero(everything < problem.required)
    )


def refuted(
    problem: Problem, multipliers: Proof | CampaignMultipliers, achieved: np.ndarray
) -> tuple[str, ...]:
    """Why no selection meets every demand and limit, if the multipliers prove that; else empty.

    Either of two facts is enough. A bound on the cost of any feasible selection above the cost of
    all slots: none costs so much. Or a bound above 0 where nothing has to be paid (Farkas, 1902):
    weighted by the multipliers, demands need more than can be had.

    Args:
      problem: what is asked.
      multipliers: what may be a proof.
      achieved: float64[L], influence of a selection that misses demands: they are named as well.

    Raises:
      ValueError: a multiplier is negative, not finite, or too large to evaluate.
    """
    if isinstance(problem, Campaign):
        return _refuted_campaign(problem, multipliers)
    if not isinstance(problem, SlotProblem) or problem.sense != "min":
        return ()
    if isinstance(multipliers, CampaignMultipliers):
        return ()
    asked = "the demands cannot all be met within the limits"
    excess, above_all = refutation(problem, multipliers)
    if excess <= 0 and above_all <= 0:
        return ()
    if excess <= 0:
        asked += (
            f": a plan that met them would cost at least {problem.cost_of_all + above_all:g}, and "
            f"all slots together cost {problem.cost_of_all:g}"
        )
    elif isinstance(multipliers, Multipliers) and multipliers.demand.any():
        need = float(multipliers.demand @ problem.required)
        count = int((multipliers.demand > 0).sum())
        asked += (
            f": weighted by the stored multipliers, those of {count:,} of "
            f"{len(problem.demand):,} products need {need:g}, and at most {need - excess:g} can be "
            "had"
        )
    return (
        asked,
        *(
            f"product {problem.product_ids[j]}: this answer has {achieved[j]:g} of "
            f"{problem.demand[j]:g}, short by {problem.demand[j] - achieved[j]:g}"
            for j in np.flatnonzero(achieved < problem.required)
        ),
    )


def _refuted_campaign(problem: Campaign, multipliers: Any) -> tuple[str, ...]:
    """Why no plan keeps every row, if the prices prove that: of nothing, they demand something."""
    if not isinstance(multipliers, CampaignMultipliers):
        return ()
    excess = refuting_excess(problem, multipliers)
    if excess <= 0:
        return ()
    rows = multipliers.priced_rows(problem)
    asked = "the constraints cannot all be kept: weighted by the stored multipliers, they ask for "
    asked += f"{excess:g} more than can be had"
    named = [f"{name}: {reason}" for name, reason in rows[:_SHOWN]]
    n_required = int(problem.required.sum())
    if n_required:
        named.append(f"required posts count in any case: {n_required:,}")
    return (asked, *named)


def _may_bound(sense: str, claim: float, value: float) -> bool:
    """Whether a bound could be one of a value; what is no number bounds nothing."""
    return claim <= value if sense == "min" else claim >= value


def _better(sense: str, bound: float, other: float | None) -> float:
    if other is None:
        return bound
    return max(bound, other) if sense == "min" else min(bound, other)
