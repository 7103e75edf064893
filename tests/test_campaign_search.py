"""How campaigns are searched: crossed plans, small cores, many rows, which solver, what is left."""

from __future__ import annotations

from dataclasses import replace

import cvxpy as cp
import numpy as np
import pandas as pd
import pytest

import jaxcampaign as jc
from jaxcampaign.problems.campaign import (
    CampaignMultipliers,
    best_few,
    campaign_bound,
    flip_costs,
    priced,
    violations,
)
from jaxcampaign.relaxations.campaign.program import CoreProgram
from jaxcampaign.relaxations.campaign.smoothed import curvature
from jaxcampaign.relaxations.campaign.smoothed.newton import _Dual, minimise
from jaxcampaign.relaxations.campaign.smoothed.oracle import Coupling
from jaxcampaign.solvers.base import Clock
from jaxcampaign.solvers.campaign import dual_decomposition
from jaxcampaign.solvers.campaign.dual_decomposition import _Search
from jaxcampaign.solvers.campaign.population import Population, only_limits


def _options(n: int, n_influencers: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    influencer = np.sort(rng.integers(0, n_influencers, n))
    price = np.round(rng.lognormal(4, 0.8, n_influencers)[influencer] * rng.uniform(0.7, 1.4, n), 2)
    return pd.DataFrame(
        {
            "influencer_id": [f"i{i:04d}" for i in influencer],
            "content_type": [f"c{i}" for i in np.arange(n)],
            "event_id": [f"e{i}" for i in rng.integers(0, 6, n)],
            "offset_hours": 0.0,
            "week": [f"w{i}" for i in rng.integers(0, 6, n)],
            "genre": [f"g{i}" for i in rng.integers(0, 4, n_influencers)[influencer]],
            "price": price,
            "mean": price**0.7 * rng.lognormal(0, 0.5, n),
            "std": 0.0,
        }
    )


def _knapsack(n: int, m: int, seed: int) -> jc.Campaign:
    """Several limits at once, of whole numbers, and nothing else."""
    rng = np.random.default_rng(seed)
    options = _options(n, n, seed)
    weights = rng.integers(1, 1000, (m, n))
    options["mean"] = weights.sum(axis=0) / m + rng.integers(0, 500, n)
    options = options.assign(**{f"use_{k}": row.astype(float) for k, row in enumerate(weights)})
    half = weights.sum(axis=1) // 2
    return jc.Campaign(
        options, constraints=[jc.AtMost(float(half[k]), of=f"use_{k}") for k in range(m)]
    )


def _nested(seed: int, n: int = 1500, n_influencers: int = 100) -> jc.Campaign:
    """Limits by week within those of each influencer."""
    options = _options(n, n_influencers, seed)
    return jc.Campaign(
        options,
        budget=0.05 * float(options["price"].sum()),
        constraints=[
            jc.AtMost(2, per="influencer_id"),
            jc.AtMost(1, per=["influencer_id", "week"]),
            jc.AtLeast(4, per="event_id"),
        ],
    )


@pytest.mark.parametrize("seed", range(3))
def test_crossed_plans_are_the_best_there_are(seed):
    problem = _knapsack(40, 4, seed)
    program = CoreProgram.whole(problem, problem.mean[None])
    relaxed = program.solve(integer=False).multipliers(problem, np.zeros(0))
    best = program.solve(integer=True, gap=0.0)
    at = priced(problem, relaxed)
    search = Population.of(
        problem,
        np.zeros(40, bool),
        value=problem.mean,
        spend=problem.price,
        reduced=at.reduced,
        flips=flip_costs(problem, at.reduced),
        center=best_few(problem, at.reduced),
    )
    assert search is not None
    plans = [search.step(np.zeros(40, bool), 1.0) for _ in range(60)]
    assert all(not violations(problem, problem.in_full(plan)) for plan in plans)
    assert max(float(problem.mean @ plan) for plan in plans) == pytest.approx(best.value, rel=1e-9)


def test_plans_are_crossed_only_where_fewer_posts_always_fit():
    assert only_limits(_knapsack(20, 2, 0))
    assert not only_limits(_nested(0, 60, 6))  # events are to be covered
    options = _options(30, 5, 0)
    for rule in (
        jc.MaxShare(0.5, per="genre"),
        jc.AtLeast(1, of="influencer_id"),
        jc.Require({"content_type": "c0"}),
    ):
        assert not only_limits(jc.Campaign(options, budget=99.0, constraints=[rule]))


def test_a_knapsack_that_branch_and_bound_does_not_finish():
    problem = _knapsack(250, 5, 1)
    solution = jc.solve(problem, jc.DualDecomposition(time_limit=4.0))
    assert solution.certificate.feasible
    assert solution.certificate.gap < 6e-3
    assert solution.statistics["around_seconds"] > 0


@pytest.mark.parametrize(
    ("leads_on", "turns"), [(True, [3, 12, 48, 192, 600]), (False, [3, 48, 600])]
)
def test_turns_grow_up_to_the_longest(leads_on, turns, monkeypatch):
    """Where branch and bound finishes nothing, and nothing is found around the plan."""
    taken: list[float] = []

    def unfinished(self, size, seconds):
        taken.append(seconds)
        return False, False

    monkeypatch.setattr(_Search, "integer_program", unfinished)
    monkeypatch.setattr(_Search, "search_around", lambda self, seconds: leads_on)
    search = _Search(_knapsack(40, 4, 0), 1e-9, Clock.after(10_000.0))
    search.whole()
    assert taken == pytest.approx(turns)
    taken.clear()
    search.priced = True
    monkeypatch.setattr(dual_decomposition, "flipped", lambda *given: None)
    search.at_once()
    assert taken == pytest.approx([3, 12, 48, 192, 600])


@pytest.mark.parametrize(("left", "sizes"), [(30.0, [300, 330]), (3000.0, [300, 1500, 7500])])
def test_no_core_is_larger_than_time_allows(left, sizes, monkeypatch):
    """HiGHS may overstep its limit by minutes on a core that is too large for what is left."""
    asked: list[int] = []
    now = [0.0]

    def finished(self, size, seconds):
        asked.append(size)
        now[0] += size / 22
        return True, len(asked) == 3

    monkeypatch.setattr(dual_decomposition.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(_Search, "integer_program", finished)
    monkeypatch.setattr(_Search, "search_around", lambda self, seconds: True)
    monkeypatch.setattr(_Search, "size", lambda self, *given: 300)
    search = _Search(_knapsack(8000, 4, 0), 1e-9, Clock.after(left + 300 / 22))
    search.whole()
    assert asked == pytest.approx(sizes, rel=0.01)
    assert search.cut_short == (left < 100)


@pytest.mark.parametrize("spending", [jc.FixedPrice(), jc.ConcaveResponse(2.0, least=0.1)])
def test_second_derivatives_are_those_of_the_slope(spending, monkeypatch):
    options = _options(400, 40, 0)
    problem = jc.Campaign(
        options,
        budget=0.1 * float(options["price"].sum()),
        spending=spending,
        constraints=[
            jc.AtMost(2, per="influencer_id"),
            jc.AtLeast(5, per="event_id"),
            jc.MaxShare(0.4, per="genre", of="spend"),
        ],
    )
    dual = _Dual(Coupling.of(problem, np.zeros(0)))
    rng = np.random.default_rng(0)
    x, gamma = rng.uniform(0.02, 0.2, len(dual.row)), 0.3
    _, slope, answers = dual.at(x, gamma)
    whole = dual._curvature(answers, gamma)
    step = 2e-3
    for _ in range(4):
        way = rng.normal(size=len(x))
        ahead, behind = (dual.at(x + sign * step * way, gamma)[1] for sign in (1, -1))
        assert whole._matrix @ way == pytest.approx(
            (ahead - behind) / (2 * step), rel=0.03, abs=0.03 * np.abs(whole._matrix @ way).max()
        )
    # Without being formed it makes the same step.
    free = np.flatnonzero(rng.random(len(x)) < 0.7)
    monkeypatch.setattr(curvature, "_DENSE", 0)
    monkeypatch.setattr(curvature, "_RESIDUAL", 1e-10)
    products = dual._curvature(answers, gamma)
    assert products._matrix is None
    one, other = (c.solved(slope[free], free, 1e-2, 4.0) for c in (whole, products))
    if problem.families[-1].share:
        other = products.solved(slope[free], free, 0.0, np.inf)
        one = whole.solved(slope[free], free, 0.0, np.inf)
    assert other == pytest.approx(one, rel=1e-4, abs=1e-4 * np.abs(one).max())


def test_rows_that_have_nothing_in_common_are_eliminated(monkeypatch):
    """The same step as with all of the matrix; rows that meet have none of it."""
    problem = _nested(3)
    coupling = Coupling.of(problem, np.zeros(0))
    dual = _Dual(coupling)
    rng = np.random.default_rng(0)
    x, gamma = rng.uniform(0.02, 0.2, len(dual.row)), 0.3
    _, slope, answers = dual.at(x, gamma)
    whole = dual._curvature(answers, gamma)
    assert whole._matrix is not None
    monkeypatch.setattr(curvature, "_APART", 10)
    bordered = dual._curvature(answers, gamma)
    assert bordered._matrix is None and bordered.is_bordered
    assert bordered.diagonal == pytest.approx(whole.diagonal)
    assert 0 < bordered._bordered.inside.sum() < len(x)
    free = np.flatnonzero(rng.random(len(x)) < 0.7)
    one, other = (c.solved(slope[free], free, 1e-3, 4.0) for c in (whole, bordered))
    assert other == pytest.approx(one, rel=1e-6, abs=1e-9 * np.abs(one).max())


@pytest.mark.parametrize("kind", ["meeting", "two limits", "shares"])
def test_rows_that_meet_are_not_eliminated(kind, monkeypatch):
    problem = _nested(3)
    influencer, week, event = problem.constraints
    rules = {
        # Groups that choose between influencers tie those together.
        "meeting": [influencer, jc.AtMost(2, per=["event_id", "week", "genre"])],
        "two limits": [week, jc.AtMost(2, per="influencer_id"), event],
        "shares": [*problem.constraints, jc.MaxShare(0.5, per="event_id", of="spend")],
    }[kind]
    problem = jc.Campaign(problem.options, budget=problem.budget, constraints=rules)
    if kind == "two limits":
        families = [
            replace(f, lower=np.zeros(len(f))) if len(f) == 100 else f for f in problem.families
        ]
        problem = problem._with(("limits",), families=tuple(families))
    monkeypatch.setattr(curvature, "_APART", 10)
    dual = _Dual(Coupling.of(problem, np.zeros(0)))
    x, gamma = np.random.default_rng(0).uniform(0.02, 0.2, len(dual.row)), 0.3
    assert not dual._curvature(dual.at(x, gamma)[2], gamma).is_bordered


def test_many_rows_take_products_instead_of_a_matrix(monkeypatch):
    problem = _nested(2)
    relaxed = CoreProgram.whole(problem, problem.mean[None]).solve(integer=False)
    coupling = Coupling.of(problem, np.zeros(0))
    assert coupling.n_rows > 100
    bounds = []
    for most_rows in (curvature._DENSE, 10):
        monkeypatch.setattr(curvature, "_DENSE", most_rows)
        price = minimise(coupling).price
        bounds.append(campaign_bound(problem, coupling.multipliers(problem, price, np.zeros(0))))
    assert bounds[0] == pytest.approx(bounds[1], rel=1e-4)
    # Without a radius for prices of settled rows, steps fail about 1 % above it.
    assert relaxed.value * (1 - 1e-9) <= max(bounds) <= relaxed.value * (1 + 1e-4)


@pytest.mark.parametrize("seed", range(2))
def test_prices_of_rows_whose_options_are_all_settled(seed):
    # A few of the limits bind: without a radius the steps for the others go to infinity.
    options = _options(4000, 40, seed)
    rng = np.random.default_rng(seed)
    options["event_id"] = [f"e{i}" for i in rng.integers(0, 50, len(options))]
    options["genre"] = [
        f"g{i}" for i in rng.integers(0, 20, 40)[options.influencer_id.factorize()[0]]
    ]
    budget = 16 * float(options["price"].mean())
    problem = jc.Campaign(
        options,
        budget=budget,
        constraints=[
            jc.AtMost(2, per="influencer_id"),
            jc.AtMost(1, per=["influencer_id", "week"]),
            jc.AtMost(0.08 * budget, per="genre", of="spend"),
        ],
    )
    relaxed = CoreProgram.whole(problem, problem.mean[None]).solve(integer=False)
    coupling = Coupling.of(problem, np.zeros(0))
    price = minimise(coupling).price
    bound = campaign_bound(problem, coupling.multipliers(problem, price, np.zeros(0)))
    assert relaxed.value * (1 - 1e-9) <= bound <= relaxed.value * (1 + 2e-5)


def test_groups_in_groups():
    problem = _nested(3)
    one = jc.solve(problem, jc.DualDecomposition(gap=1e-6))
    other = jc.solve(problem, jc.MixedInteger(gap=1e-6))
    assert one.status == other.status == "optimal"
    assert one.certificate.value == pytest.approx(other.certificate.value, rel=2e-6)


def test_only_the_best_of_each_group_near_known_prices():
    problem = _nested(4)
    known = CoreProgram.whole(problem, problem.mean[None]).solve(integer=False)
    proof = known.multipliers(problem, np.zeros(0))
    few = Coupling.of(problem, np.zeros(0), priced(problem, proof).reduced)
    every = Coupling.of(problem, np.zeros(0))
    sizes = [sum(option.size for option in c.options) for c in (few, every)]
    assert sizes[0] <= sizes[1]
    prices = minimise(few, few.price_of(problem, proof))
    bound = campaign_bound(problem, few.multipliers(problem, prices.price, np.zeros(0)))
    assert known.value * (1 - 1e-9) <= bound <= known.value * (1 + 2e-4)


def test_prices_that_prove_nothing_are_left_out():
    problem = _nested(5, 600, 40)
    kept = problem.families[problem.kept]
    for solver in (jc.MixedInteger(), jc.DualDecomposition()):
        solution = jc.solve(problem, solver)
        begin = sum(map(len, problem.families[: problem.kept]))
        rows = slice(begin, begin + len(kept))
        assert not solution.multipliers.upper[rows].any()
        assert not set(solution.shadow_prices()["row"]) & set(kept.names)
    # They prove the same as with any others.
    m = solution.multipliers
    upper = m.upper.copy()
    upper[rows] = 7.0
    other = CampaignMultipliers(upper, m.lower, m.weights)
    assert campaign_bound(problem, other) == campaign_bound(problem, m)


def test_what_solve_takes():
    def taken(problem):
        return jc.choose_solver(problem)[0]

    few = _nested(0, 300, 20)
    assert isinstance(taken(few), jc.MixedInteger)
    assert isinstance(taken(_knapsack(100, 3, 0)), jc.DualDecomposition)
    assert isinstance(taken(_nested(0, 2500, 100)), jc.DualDecomposition)
    money = jc.Campaign(few.options, budget=99.0, spending=jc.ConcaveResponse())
    assert isinstance(taken(money), jc.DualDecomposition)
    assert repr(jc.MixedInteger()) == "MixedInteger(time_limit=60.0, gap=1e-06)"


def test_money_that_is_left_is_explained():
    options = _options(40, 40, 6).assign(mean=5.0)
    cheapest = np.sort(options["price"].to_numpy())
    exact = float(cheapest[:3].sum())
    assert jc.solve(jc.Campaign(options, budget=exact)).unspent() == ""
    short = jc.solve(jc.Campaign(options, budget=exact + 0.5))
    assert "0.50 is left" in short.unspent()
    assert "other posts that would add to the value the cheapest costs" in short.unspent()
    assert short.summary()["unspent"] == short.unspent()
    ruled = jc.solve(jc.Campaign(options, budget=exact + 500, constraints=[jc.AtMost(3)]))
    assert "would break a rule, first at most 3 posts" in ruled.unspent()
    worthless = options.assign(mean=-1.0)
    assert "nothing else" in jc.solve(jc.Campaign(worthless, budget=9.0)).unspent()


def test_a_cap_that_holds_money_back_is_named():
    options = _options(60, 60, 7)
    cap = round(0.05 * float(options["price"].sum()), 2)
    problem = jc.Campaign(
        options,
        budget=10 * cap,
        spending=jc.ConcaveResponse(2.0),
        constraints=[jc.AtMost(cap, per="genre", of="spend")],
    )
    solution = jc.solve(problem)
    assert solution.certificate.feasible
    left = problem.budget - solution.certificate.cost
    assert left > 5 * cap
    assert "genre" in solution.unspent()
    share, genre = cp.Variable(60), options["genre"].to_numpy()
    price, mean = options["price"].to_numpy(), options["mean"].to_numpy()
    rules = [share >= 0, share <= 1]
    rules += [(price * (genre == g)) @ share <= cap for g in np.unique(genre)]
    gain = mean @ (1 - cp.exp(-2.0 * share)) / -np.expm1(-2.0)
    conic = cp.Problem(cp.Maximize(gain), rules)
    conic.solve(solver=cp.CLARABEL)
    assert solution.certificate.value == pytest.approx(conic.value, rel=1e-5)


def test_the_gap_that_was_rechecked_comes_before_what_a_solver_claims():
    problem = _knapsack(60, 3, 1)
    solution = jc.solve(problem, jc.MixedInteger())
    c, facts = solution.certificate, solution.summary()
    assert (solution.status, c.bound_proof) == ("optimal", "branch_and_bound")
    assert c.rechecked_gap == pytest.approx(c.rechecked_bound / c.value - 1) and c.gap == 0
    assert facts["status"].startswith("optimal (by branch and bound's word")
    assert facts["gap"] == f"{100 * c.rechecked_gap:.3g} % (rechecked)"
    assert f"{c.rechecked_bound:,.6g} (proof: multipliers)" in facts["bound"]
    assert f"{c.bound:,.6g}, gap 0 % (branch and bound's word" in facts["solver claims"]
    order = list(facts)
    assert order.index("gap") < order.index("solver claims")
    # Without a word there is none to tell.
    plain = jc.solve(problem, jc.Greedy())
    assert "solver claims" not in plain.summary()
    assert plain.certificate.rechecked_gap == plain.certificate.gap
