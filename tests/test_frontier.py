"""Frontiers: each plan is what solving alone gives, bounds hold in between, prices are slopes."""

from __future__ import annotations

from dataclasses import astuple
from functools import cached_property

import jax
import numpy as np
import pytest
from campaign_oracle import random_case, random_options
from test_campaign import _outlook

import jaxcampaign as jc
from jaxcampaign.problems.campaign.buckets import Bucket
from jaxcampaign.report import frontier_figure
from jaxcampaign.report.campaign.frontier import proven_between
from jaxcampaign.report.design import NARROW_IN, WIDE_IN, svg

SHARES = (0.15, 0.3, 0.45, 0.6)


def _best(case, budget, rho):
    """The best of all plans that the rules allow at a budget, by trying everything."""
    problem = case.problem
    allowed = case.allowed & (case.plans @ problem.price <= budget + 1e-9)
    if not allowed.any():
        return None
    return (case.plans[allowed] @ (problem.mean - rho * problem.std)).max()


def _budgeted(seed):
    """A random case whose own budget never binds, so that its rules hold at any."""
    case = next(
        case
        for case in (random_case(s) for s in range(10 * seed, 10 * seed + 400))
        if "budget" not in case.kinds and case.best is not None
    )
    old = case.problem
    total = float(old.price.sum())
    problem = jc.Campaign(
        old.options, budget=total, risk_aversion=old.risk_aversion, constraints=old.constraints
    )
    case.problem = problem
    return case, [share * total for share in SHARES]


EXACT = jc.MixedInteger()
ROUNDING = jc.LPRounding(samples=1)


@pytest.mark.parametrize(
    ("solver", "seed"),
    [(None, 0), *((EXACT, seed) for seed in range(4)), *((ROUNDING, seed) for seed in range(4))],
)
def test_budgets_against_all_plans(seed, solver):
    case, budgets = _budgeted(seed)
    rho = case.problem.risk_aversion
    found = jc.frontier(case.problem, solver, budgets=budgets[::-1], key=jax.random.key(seed))
    table = found.table()
    assert np.allclose(table["budget"], budgets)
    for row, budget in zip(table.itertuples(), budgets, strict=True):
        best = _best(case, budget, rho)
        if best is None:
            assert row.status == "infeasible"
            assert np.isnan(row.value)
            continue
        assert row.spend <= budget * (1 + 1e-9)
        assert row.value <= best + 1e-9 <= row.bound + 2e-9 * abs(best)
        if solver is not ROUNDING:
            assert np.isclose(row.value, best)
    assert (table["value"].dropna().diff().dropna() >= -1e-9).all()


def test_prices_prove_a_bound_at_every_budget():
    case, budgets = _budgeted(1)
    found = jc.frontier(case.problem, EXACT, budgets=budgets)
    frame = found.table()
    frame["price"] = frame["price of budget"]
    frame["proven"] = [solution.certificate.rechecked_bound for solution in found]
    frame = frame[frame["value"].notna()]
    between = np.linspace(budgets[0], budgets[-1], 40)
    best = [_best(case, budget, case.problem.risk_aversion) for budget in between]
    best = np.array([-np.inf if value is None else value for value in best])
    assert (proven_between(frame, between) >= best - 1e-9 * np.abs(best)).all()


def test_more_aversion_means_less_risk():
    case, _ = _budgeted(2)
    found = jc.frontier(case.problem, EXACT, risk_aversions=[2.0, 0.0, 0.5])
    table = found.table()
    assert list(table["risk_aversion"]) == [0.0, 0.5, 2.0]
    for row in table.itertuples():
        assert np.isclose(row.value, _best(case, np.inf, row.risk_aversion))
        assert np.isclose(row.value, row.mean - row.risk_aversion * row.risk)
    assert (table["risk"].diff().dropna() <= 1e-9).all()
    assert (table["mean"].diff().dropna() <= 1e-9).all()


def test_deviation_of_a_plan_by_its_definition():
    rng = np.random.default_rng(0)
    options = random_options(rng, 10)
    members = options["mean"].to_numpy() + rng.normal(0, 1, (5, 10))
    problem = jc.Campaign(_outlook(options, members), budget=60.0)
    (row,) = jc.frontier(problem, EXACT, budgets=[60.0]).table().itertuples()
    chosen = jc.solve(problem, EXACT).selection
    spread = members - members.mean(axis=0)
    shared = (spread[:, chosen].sum(axis=1) ** 2).sum() / 4
    own = np.maximum(options["std"].to_numpy() ** 2 - (spread**2).sum(axis=0) / 4, 0)[chosen].sum()
    assert np.isclose(row.std, np.sqrt(shared + own))
    plain = jc.Campaign(options, budget=60.0)
    (row,) = jc.frontier(plain, EXACT, budgets=[60.0]).table().itertuples()
    assert np.isclose(
        row.std, np.linalg.norm(options["std"].to_numpy()[jc.solve(plain, EXACT).selection])
    )


def test_a_lazy_solver_keeps_the_plan_and_the_proof_before():
    case, budgets = _budgeted(3)
    problem = case.problem

    class OnlyFirst:
        """Finds a plan for the first budget, and nothing afterwards."""

        calls = 0

        def search(self, problem, *, key, clock):
            self.calls += 1
            if self.calls == 1:
                return EXACT.search(problem, key=key, clock=clock)
            return jc.Finding(np.zeros(problem.n_items, bool))

    feasible = [b for b in budgets if _best(case, b, problem.risk_aversion) is not None]
    found = jc.frontier(problem, OnlyFirst(), budgets=feasible)
    first = found[0]
    for solution in found:
        empty = not problem.assess(np.zeros(problem.n_items, bool)).violations
        assert solution.certificate.value >= max(first.certificate.value, 0.0 if empty else -np.inf)
        for part in ("upper", "lower", "weights"):
            one, other = (getattr(plan.multipliers, part) for plan in (solution, first))
            assert np.array_equal(one, other)
        again = jc.certify(solution.problem, solution.selection, solution.multipliers)
        assert again.bound == solution.certificate.rechecked_bound


def test_changed_budgets_are_said_in_the_rows():
    problem = jc.Campaign(random_options(np.random.default_rng(0), 8), budget=30.0)
    changed = problem.with_budget(45.0)
    assert changed.budget == 45.0
    assert changed.families[0].upper == 45.0
    assert "45" in changed.families[0].reasons[0]
    assert problem.families[0].upper == 30.0


@pytest.mark.parametrize("seed", range(5))
def test_what_was_worked_out_for_a_campaign_holds_for_its_copies(seed):
    """A copy keeps what its change leaves as it is: the same as a campaign made anew."""
    problem = random_case(seed).problem
    if problem.budget is None:
        problem = jc.Campaign(problem.options, budget=40.0, constraints=problem.constraints)
    derived = [
        name
        for name, value in vars(jc.Campaign).items()
        if isinstance(value, cached_property) and name != "measure"
    ]
    assert "buckets" in derived
    for name in derived:
        getattr(problem, name)
    given = {
        "budget": problem.budget,
        "risk_aversion": problem.risk_aversion,
        "constraints": problem.constraints,
        "spending": problem.spending,
        "risk": problem.risk,
    }
    budget, aversion = problem.budget / 2, problem.risk_aversion + 0.5
    copies = [
        (problem.with_budget(budget), {"budget": budget}),
        (problem.with_risk_aversion(aversion), {"risk_aversion": aversion}),
    ]
    for copy, change in copies:
        anew = jc.Campaign(problem.options, **(given | change))
        for name in derived:
            assert _same(getattr(copy, name), getattr(anew, name)), name
    nothing = problem.options.assign(mean=0.0, std=0.0)
    anew = jc.Campaign(nothing, **(given | {"risk_aversion": 0.0}))
    bare = problem.without_value()
    assert all(_same(getattr(bare, name), getattr(anew, name)) for name in derived)


def _same(one, other) -> bool:
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, Bucket):
        return _same(astuple(one), astuple(other))
    return np.array_equal(one, other)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "either budgets or risk aversions"),
        ({"budgets": [1.0], "risk_aversions": [0.0]}, "either budgets or risk aversions"),
        ({"budgets": []}, "no numbers"),
        ({"budgets": [-1.0]}, "at least 0"),
        ({"risk_aversions": [np.nan]}, "at least 0"),
    ],
)
def test_bad_arguments(arguments, words):
    problem = jc.Campaign(random_options(np.random.default_rng(0), 8), budget=30.0)
    with pytest.raises(jc.InputError, match=words):
        jc.frontier(problem, **arguments)


def test_budgets_need_a_budget():
    problem = jc.Campaign(random_options(np.random.default_rng(0), 8))
    with pytest.raises(jc.InputError, match="no budget"):
        jc.frontier(problem, budgets=[10.0])


@pytest.mark.parametrize("width_in", [WIDE_IN, NARROW_IN])
def test_figures(width_in):
    case, budgets = _budgeted(1)
    figure = frontier_figure(jc.frontier(case.problem, EXACT, budgets=budgets), width_in=width_in)
    assert len(figure.axes) == 2
    assert b"no plan is worth more" in svg(figure)
    risks = jc.frontier(case.problem, EXACT, risk_aversions=[0, 1])
    assert b"labels: aversion" in svg(frontier_figure(risks, width_in=width_in))
    with pytest.raises(ValueError, match="no plan of the frontier"):
        frontier_figure(
            jc.frontier(
                jc.Campaign(case.problem.options, budget=1.0, constraints=[jc.AtLeast(12)]),
                EXACT,
                budgets=[1.0],
            )
        )


def test_a_known_answer_stands_among_the_others():
    problem = jc.Campaign(random_options(np.random.default_rng(3), 9), budget=40.0)
    answer = jc.solve(problem, EXACT)
    found = jc.frontier(problem, EXACT, budgets=[20.0, 60.0], known=answer)
    assert [plan.problem.budget for plan in found] == [20.0, 40.0, 60.0]
    assert found[1] is answer
    same = jc.frontier(problem, EXACT, budgets=[20.0, 40.0, 60.0])
    assert np.allclose(found.table()["value"], same.table()["value"])
    with pytest.raises(jc.InputError, match="another campaign"):
        jc.frontier(problem.with_budget(41.0), EXACT, budgets=[20.0], known=answer)


@pytest.mark.parametrize("solver", [EXACT, jc.DualDecomposition()], ids=repr)
def test_a_plan_follows_one_that_is_infeasible_or_has_no_risk(solver):
    """What the one before has proven has no weights of the risk that is asked for next."""
    problem = jc.Campaign(
        random_options(np.random.default_rng(3), 9),
        budget=60.0,
        risk_aversion=0.5,
        risk=jc.BudgetOfDeviations(2.0),
        constraints=[jc.AtLeast(3)],
    )
    least = float(np.sort(problem.price)[:3].sum())
    found = jc.frontier(problem, solver, budgets=[0.5 * least, least + 1.0, 60.0])
    assert [plan.certificate.feasible for plan in found] == [False, True, True]
    rising = jc.frontier(problem, solver, risk_aversions=[0.0, 0.5])
    for plans in (found.solutions[1:], rising.solutions):
        for plan in plans:
            alone = jc.solve(plan.problem, EXACT).certificate
            assert plan.certificate.value == pytest.approx(alone.value, rel=1e-6)
            assert plan.certificate.bound >= alone.value * (1 - 1e-9)
