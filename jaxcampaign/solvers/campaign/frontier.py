"""Value against the budget, or against the risk: certified plans of one campaign in a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import jax
import numpy as np
import pandas as pd

from jaxcampaign.certificate import OPTIMALITY_GAP, certify
from jaxcampaign.errors import InputError
from jaxcampaign.problems.campaign import Campaign, FactorDeviation
from jaxcampaign.problems.campaign.risk import risk_of
from jaxcampaign.problems.inputs import positive_number
from jaxcampaign.progress import progress
from jaxcampaign.solvers.base import Solver
from jaxcampaign.solvers.campaign.dual_decomposition import DualDecomposition
from jaxcampaign.solvers.campaign.solution import CampaignSolution
from jaxcampaign.solvers.campaign.warm import beginning_at
from jaxcampaign.solvers.solution import Solution
from jaxcampaign.solvers.solve import choose_solver, solve

_PRICE = "price of "


@dataclass(frozen=True, eq=False, repr=False)
class Frontier:
    """Plans of one campaign for rising budgets or aversions to risk.

    Attributes:
      varied: "budget" or "risk_aversion".
      solutions: a certified plan for each, in rising order.
    """

    varied: str
    solutions: tuple[CampaignSolution, ...]

    def __len__(self) -> int:
        return len(self.solutions)

    def __iter__(self) -> Iterator[CampaignSolution]:
        return iter(self.solutions)

    def __getitem__(self, index: int) -> CampaignSolution:
        return self.solutions[index]

    def table(self) -> pd.DataFrame:
        """One row per plan.

        Columns: budget, risk_aversion, status, posts, spend, value, bound, gap, mean, std, risk,
        and `price of ROW` for every row that has a shadow price in one of the plans, the dearest
        first.
        `mean` is what the plan is expected to bring; `std` its standard deviation, in which errors
        that ensemble members have in common add up and others are independent; `risk` is what the
        campaign's own measure says, of which risk_aversion times is taken off the mean. A plan that
        is not feasible has neither value nor bound.
        """
        records = [_record(solution) for solution in self.solutions]
        return pd.DataFrame(records).join(self.prices().add_prefix(_PRICE))

    def prices(self) -> pd.DataFrame:
        """Shadow prices: a row for each plan, a column for each constraint that has one.

        A price is what one more unit of the limit is worth at most; below 0, what one less unit of
        a lower limit is. See `CampaignSolution.shadow_prices`.
        """
        parts = []
        for solution in self.solutions:
            known = solution.shadow_prices() if solution.certificate.feasible else None
            series = pd.Series(dtype=float)
            if known is not None:
                # Rows of one name, such as two limits that the user named alike, count together.
                series = known.groupby("row", sort=False)["price"].sum()
            parts.append(series)
        frame = pd.DataFrame([part.to_dict() for part in parts], index=range(len(parts)))
        feasible = [solution.certificate.feasible for solution in self.solutions]
        frame.loc[feasible] = frame.loc[feasible].fillna(0.0)
        order = frame.abs().max().sort_values(ascending=False, kind="stable").index
        return frame[order].rename_axis(columns=None)

    def __repr__(self) -> str:
        names = [self.varied, "status", "posts", "spend", "value", "bound", "gap", "mean", "std"]
        frame = pd.DataFrame([_record(solution) for solution in self.solutions])[names]
        return f"Frontier of {len(self)} plans\n{frame.to_string(index=False)}"

    def _repr_html_(self) -> str:
        return str(self.table().to_html(index=False, float_format="{:.6g}".format))


def frontier(
    problem: Campaign,
    solver: Solver | None = None,
    *,
    budgets: Sequence[float] | None = None,
    risk_aversions: Sequence[float] | None = None,
    key: jax.Array | None = None,
    time_limit: float | None = None,
    known: CampaignSolution | None = None,
) -> Frontier:
    """Plan a campaign for several budgets, or for several aversions to risk.

    Each plan is certified by itself. `DualDecomposition` begins at the prices of the plan before.
    Whatever the solver, a plan is no worse than the one before if that is feasible here as well,
    and its bound is the better of what both plans' prices prove: they prove one for any limits.

    Args:
      problem: the campaign; all but what is varied stays as it is.
      solver: as for `solve`; by default one is chosen by size.
      budgets: amounts of money; the campaign has a budget.
      risk_aversions: what a unit of the campaign's risk takes off the value.
      key: source of randomness, consumed; `jax.random.key(0)` by default.
      time_limit: seconds for each plan.
      known: an answer to `problem` itself, which takes its place among the plans as it is.

    Raises:
      InputError: not exactly one of the two is given, or a number below 0, or budgets for a
        campaign without one, or `known` answers another campaign.
    """
    if not isinstance(problem, Campaign):
        raise InputError(
            "is no campaign",
            table="frontier",
            column="problem",
            value=type(problem).__name__,
            remedy="of a plan, pass plan.problem, and known=plan",
        )
    if (budgets is None) == (risk_aversions is None):
        raise InputError(
            "give either budgets or risk aversions",
            table="frontier",
            remedy="for both, call it once for each",
        )
    varied = "budget" if risk_aversions is None else "risk_aversion"
    given = budgets if risk_aversions is None else risk_aversions
    values = sorted({positive_number(value, varied) for value in given or ()})
    if not values:
        raise InputError("no numbers to go through", table="frontier", remedy="give at least one")
    change = problem.with_budget if varied == "budget" else problem.with_risk_aversion
    if known is not None:
        if known.problem is not problem:
            raise InputError(
                "the known answer is to another campaign",
                table="frontier",
                column="known",
                remedy="pass the problem of that answer",
            )
        values = sorted({*values, getattr(problem, varied)})
    problems = [change(value) for value in values]
    key = jax.random.key(0) if key is None else key
    solver = choose_solver(problem)[0] if solver is None else solver
    found: list[CampaignSolution] = []
    with progress(len(problems), "frontier", "plan") as bar:
        for asked, own in zip(problems, jax.random.split(key, len(problems)), strict=True):
            before = found[-1] if found else None
            if known is not None and getattr(asked, varied) == getattr(problem, varied):
                found.append(known)
                bar.update()
                continue
            warm, start = solver, known if before is None else before
            if isinstance(solver, DualDecomposition) and start is not None:
                warm = replace(solver, warm=start)
            answer = solve(asked, warm, key=own, time_limit=time_limit)
            assert isinstance(answer, CampaignSolution)
            answer = answer if before is None else _no_worse(answer, before)
            found.append(replace(answer, solver=repr(solver)))
            bar.update()
    return Frontier(varied, tuple(found))


def _no_worse(answer: CampaignSolution, before: Solution) -> CampaignSolution:
    """The answer, or the plan before where it is worth more; with the better of both proofs."""
    problem, own = answer.problem, answer.certificate
    if own.reasons:
        return answer
    there = problem.assess(before.selection, before.spend)
    plan: Solution = answer
    if there.feasible and not (own.feasible and own.value >= there.value):
        plan = before
    proofs = [answer.multipliers]
    if before.multipliers is not None:
        # Its weights are of its own risk, which need not be one here.
        proofs.append(beginning_at(problem, before.multipliers))
    known = [proof for proof in proofs if proof is not None]
    proof = min(known, key=problem.proven_bound, default=None)
    if plan is answer and proof is answer.multipliers:
        return answer
    c = certify(problem, plan.selection, proof, own.solver_bound, plan.spend)
    status = answer.status
    if c.feasible:
        stopped = "limit" if status == "limit" else "feasible"
        status = "optimal" if c.gap is not None and c.gap <= OPTIMALITY_GAP else stopped
    return replace(
        answer,
        selection=plan.selection,
        spend=plan.spend,
        certificate=c,
        multipliers=proof,
        status=status,
    )


def _record(solution: CampaignSolution) -> dict[str, object]:
    problem, c = solution.problem, solution.certificate
    effect = problem.effect(solution.decision)
    nothing = np.nan
    return {
        "budget": nothing if problem.budget is None else problem.budget,
        "risk_aversion": problem.risk_aversion,
        "status": solution.status,
        "posts": int(solution.selection.sum()),
        "spend": c.cost,
        "value": c.value if c.feasible else nothing,
        "bound": c.bound if c.feasible and c.bound is not None else nothing,
        "gap": nothing if c.gap is None else c.gap,
        "mean": float(problem.mean @ effect),
        "std": _deviation(problem, effect),
        "risk": _risk(problem, effect),
    }


def _risk(problem: Campaign, effect: np.ndarray) -> float:
    try:
        return risk_of(problem.measure, effect)
    except InputError:  # it needs means of members, and with no aversion nobody missed them
        return np.nan


def _deviation(problem: Campaign, effect: np.ndarray) -> float:
    if len(problem.members) > 1:
        return risk_of(FactorDeviation().bind(problem.std, problem.members), effect)
    return float(np.linalg.norm(problem.std * effect))
