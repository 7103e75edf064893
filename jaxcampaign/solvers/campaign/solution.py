"""The answer to a campaign: its posts, what they cost and bring, and why each is in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
import pandas as pd

from jaxcampaign.problems.campaign import Campaign, ConcaveResponse, Decision, Family
from jaxcampaign.problems.rows import Rows
from jaxcampaign.solvers.campaign.unspent import why_unspent
from jaxcampaign.solvers.campaign.why import reasons
from jaxcampaign.solvers.solution import Solution
from jaxcampaign.tables import OPTION_KEY

_SHOWN = 10


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["problem", "selection", "certificate", "multipliers", "spend"],
    meta_fields=["status", "solver", "target", "statistics"],
)
@dataclass(frozen=True, eq=False, repr=False)
class CampaignSolution(Solution):
    """A campaign plan; the attributes are those of `Solution`."""

    problem: Campaign

    @property
    def decision(self) -> Decision:
        """Choice and money."""
        if self.spend is None:
            return self.problem.in_full(self.selection)
        return Decision(self.selection, self.spend)

    def table(self) -> pd.DataFrame:
        """One row per chosen post, the most valuable first, ties by id.

        Columns: ids, price, budget, mean, std; where money buys effect, effect, the share of the
        mean that the budget buys; and of a feasible plan with shadow prices reduced_value, what the
        post is worth beyond what its rows cost at these, binding_rows, those of them that have a
        price, the weightiest first, and why, in words.
        """
        problem = self.problem
        chosen = np.flatnonzero(self.selection)
        keys = [name for name in (*OPTION_KEY, "posted_at") if name in problem.options]
        frame = problem.options[keys].iloc[chosen].reset_index(drop=True)
        frame["price"] = problem.price[chosen]
        frame["budget"] = self.decision.spend[chosen]
        frame["mean"] = problem.mean[chosen]
        frame["std"] = problem.std[chosen]
        if isinstance(problem.spending, ConcaveResponse):
            frame["effect"] = problem.effect(self.decision)[chosen]
        if self.multipliers is not None and self.certificate.feasible:
            frame = frame.join(reasons(problem, self.multipliers, self.decision))
        by = ["mean", *keys]
        order = frame.sort_values(by, ascending=[False, *[True] * len(keys)])
        return order.reset_index(drop=True)

    def unspent(self) -> str:
        """Why money of the budget is left, in words; empty where none is, or rules are broken."""
        if not self.certificate.feasible:
            return ""
        return why_unspent(self.problem, self.decision)

    def changes(self) -> pd.DataFrame:
        """Of an infeasible campaign, the smallest change of limits that leaves a plan.

        One row per limit that would have to give way: row, have, need, change, reason. `need` is
        what the limit asks and `have` what the plan at hand manages, which keeps all others. Limits
        are weighed by their size. Empty where nothing has to change, or no answer was found in
        time.
        """
        columns = ["row", "have", "need", "change", "reason"]
        return pd.DataFrame(self.statistics.get("smallest_change", []), columns=columns)

    def shadow_prices(self) -> pd.DataFrame:
        """One row per constraint with a price: row, price, activity, lower, upper, reason.

        `price` is what one more unit of the limit is worth, at most and for small changes exactly:
        the plan's own proof. Limits that the bound keeps as they are, those on posts with the most
        groups, have none.
        """
        columns = ("row", "price", "activity", "lower", "upper", "reason")
        if self.multipliers is None:
            return pd.DataFrame(columns=list(columns))
        problem, records = self.problem, []
        price = self.multipliers.upper - self.multipliers.lower
        decision, start = self.decision, 0
        counts = decision.chosen.astype(np.float64)
        for family in problem.families:
            own = price[start : start + len(family)]
            start += len(family)
            activity = family.activity(decision.spend if family.acts == "spend" else counts)
            records += _priced_rows(family, own, activity)
        if len(problem.rows):
            # A definition says what a flag means: nobody could give way in it.
            own = np.where(problem.definitions, 0.0, price[start:])
            activity = problem.rows.matrix @ problem.columns(decision)
            records += _priced_rows(problem.rows, own, activity)
        frame = pd.DataFrame(records, columns=list(columns))
        order = frame["price"].abs().sort_values(ascending=False, kind="stable").index
        return frame.loc[order].reset_index(drop=True)

    def _count(self) -> str:
        return f"{int(self.selection.sum()):,} of {self.problem.n_items:,}"

    def summary(self) -> dict[str, str]:
        """What a reader wants to know first, as label -> text."""
        c, problem = self.certificate, self.problem
        facts = super().summary()
        spent = f"{c.cost:,.2f}"
        if problem.budget is not None:
            spent += f" of {problem.budget:,.2f}"
        status = facts["status"]
        if self.status == "infeasible":
            status = "infeasible (no plan keeps every rule: this one breaks them least)"
        known = {
            "status": status,
            "posts": facts["slots"],
            "spend": spent,
            "value": f"{c.value:,.6g}",
        }
        if left := self.unspent():
            known["unspent"] = left
        kept = ("bound", "gap", "solver claims", "solver", "chosen because")
        return known | {name: facts[name] for name in kept if name in facts}

    def _explanation(self) -> tuple[str, ...]:
        if self.certificate.feasible:
            return ()
        told, changes = list(super()._explanation()), self.changes()
        if len(changes):
            told.append("the smallest change that would do:")
        told += [
            f"  {change.reason}: {change.have:,.6g} instead of {change.need:,.6g}"
            for change in changes.head(_SHOWN).itertuples()
        ]
        if len(changes) > _SHOWN:
            told.append(f"  and {len(changes) - _SHOWN:,} more, see changes()")
        budget = self.statistics.get("least_budget")
        if budget is not None and list(changes["row"]) != ["budget"]:
            told.append(f"or a budget of {budget:,.2f}, with every other rule as it is")
        return tuple(told)

    def _repr_html_(self) -> str:
        return self._html(self.table().head(_SHOWN))


def _priced_rows(
    rows: Family | Rows, price: np.ndarray, activity: np.ndarray
) -> list[tuple[str, float, float, float, float, str]]:
    """Name, price, activity, limits and reason of the rows that have a price."""
    return [
        (rows.names[i], price[i], activity[i], rows.lower[i], rows.upper[i], rows.reasons[i])
        for i in np.flatnonzero(price).tolist()
    ]
