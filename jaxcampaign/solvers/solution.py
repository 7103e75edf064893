"""The record of an answer: the selection, what is proven of it, and how it was found."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import numpy as np
import pandas as pd

from jaxcampaign.certificate import Certificate

# Reasons that are shown.
_SHOWN = 5
_ADVICE = {
    "optimal": "proven optimal",
    "feasible": "feasible, with a proven bound",
    "limit": "feasible; a limit was hit: more time may close the gap",
    "bicriteria": "every demand is met to the share that was asked of the solver, not in full",
    "unsolved": "the search ended without a feasible selection: more time may find one",
    "infeasible": "no selection meets every demand: this is the best partial answer",
}


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["problem", "selection", "certificate", "multipliers", "spend"],
    meta_fields=["status", "solver", "target", "statistics"],
)
@dataclass(frozen=True, eq=False, repr=False)
class Solution:
    """An answer to a problem.

    Attributes:
      problem: what was asked.
      selection: bool[S].
      certificate: what is true of the selection.
      multipliers: the proof of the bound; None for the trivial one.
      status: "optimal", "feasible", "limit" (feasible, but a limit was hit), "infeasible" (proven,
        the certificate says why), "bicriteria" (not feasible, but every demand is met to the share
        that the solver was told to stop at) or "unsolved" (the search ended without a feasible
        selection).
      solver: the solver that was used, as text.
      target: the share of every demand that the solver worked towards, 1 for all but those with
        two criteria.
      spend: float64[N], money that each option of a campaign gets; None for its price, and for
        slots.
      statistics: seconds and counts; `chosen_because` where `solve` picked the solver.
    """

    problem: Any
    selection: np.ndarray
    certificate: Certificate
    multipliers: Any
    status: str
    solver: str
    statistics: dict[str, Any] = field(default_factory=dict)
    target: float = 1.0
    spend: np.ndarray | None = None

    def table(self) -> pd.DataFrame:
        """One row per chosen slot: slot_id, board_id, start_min, end_min, cost, influence.

        For disjoint sets also product_id, whose slot it is. `influence` is what the slot brings
        on its own, summed over users, there those of the product; the most expensive slots come
        first, ties by id.
        """
        chosen = np.flatnonzero(self.selection)
        frame = self.problem.influence.slots.iloc[chosen].copy()
        frame["cost"] = self.problem.cost[chosen]
        frame["influence"] = self.problem.influence.singleton[chosen]
        key = list(self.problem.item_key)
        frame = frame.sort_values(["cost", *key], ascending=[False, *[True] * len(key)])
        return frame.reset_index(drop=True)

    def per_product(self) -> pd.DataFrame:
        """One row per product: product_id, demand, achieved, shortfall."""
        c = self.certificate
        return pd.DataFrame(
            {
                "product_id": pd.array(list(c.product_ids), "str"),
                "demand": c.demand,
                "achieved": c.achieved,
                "shortfall": c.shortfall,
            }
        )

    def summary(self) -> dict[str, str]:
        """What a reader wants to know first, as label -> text."""
        c = self.certificate
        facts = {
            "status": f"{self.status} ({self._advice()})",
            "slots": self._count(),
            "cost": f"{c.cost:,.6g}",
        }
        if c.sense == "max":
            facts["influence"] = f"{c.value:,.6g}"
        word = "at least" if c.sense == "min" else "at most"
        if c.rechecked_bound is not None:
            facts["bound"] = f"{word} {c.rechecked_bound:,.6g} (proof: multipliers)"
        if c.rechecked_gap is not None:
            share = f"{100 * c.rechecked_gap:.3g} %"
            facts["gap"] = f"{share if c.value else 'of no value'} (rechecked)"
        if c.bound_proof == "branch_and_bound":
            gap = "" if c.gap is None or not c.value else f", gap {100 * c.gap:.3g} %"
            claim = f"{word} {c.bound:,.6g}{gap} (branch and bound's word, not rechecked)"
            facts["solver claims"] = claim
        if c.sense == "min":
            met = int((c.shortfall == 0).sum())
            facts["demands met"] = f"{met} of {len(c.product_ids)}"
        facts["solver"] = self.solver
        if "chosen_because" in self.statistics:
            facts["chosen because"] = self.statistics["chosen_because"]
        return facts

    def _advice(self) -> str:
        if self.status == "optimal" and self.certificate.bound_proof == "branch_and_bound":
            return "by branch and bound's word; the gap that is proven stands below"
        return _ADVICE[self.status]

    def _count(self) -> str:
        return f"{int(self.selection.sum()):,} of {self.problem.base.n_slots:,}"

    def _explanation(self) -> tuple[str, ...]:
        """Sentences on why there is no plan; none where there is one."""
        return self.certificate.reasons[:_SHOWN]

    def __repr__(self) -> str:
        facts = self.summary()
        width = max(map(len, facts))
        lines = [f"  {label:<{width}}  {text}" for label, text in facts.items()]
        lines += [f"  {text}" for text in self._explanation()]
        lines += [f"  {claim}" for claim in [self.certificate.refuted_claim] if claim]
        return "\n".join([f"Solution of {self.problem!r}", *lines])

    def _repr_html_(self) -> str:
        return self._html(self.per_product().head(10))

    def _html(self, table: pd.DataFrame) -> str:
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(label)}</th>"
            f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
            for label, text in self.summary().items()
        )
        reasons = "".join(f"<li>{html.escape(text)}</li>" for text in self._explanation())
        reasons = f"<ul>{reasons}</ul>" if reasons else ""
        return f"<table>{cells}</table>{reasons}" + table.to_html(
            index=False, float_format="{:.4g}".format
        )
