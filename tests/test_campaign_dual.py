"""The smoothed dual and what rests on it: bounds, falling returns, weights of risk, warm starts."""

from __future__ import annotations

from dataclasses import replace

import cvxpy as cp
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import jaxcampaign as jc
from jaxcampaign.effectiveness import Effectiveness
from jaxcampaign.problems.campaign import (
    CampaignMultipliers,
    Decision,
    best_few,
    campaign_bound,
    flip_costs,
    priced,
    violations,
)
from jaxcampaign.relaxations.campaign import pricing
from jaxcampaign.relaxations.campaign.program import CoreProgram
from jaxcampaign.relaxations.campaign.smoothed.newton import Prices, minimise
from jaxcampaign.relaxations.campaign.smoothed.oracle import Coupling
from jaxcampaign.solvers.campaign import dual_decomposition


def _options(n_influencers: int, each: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    n = n_influencers * each
    influencer = np.repeat(np.arange(n_influencers), each)
    price = np.round(rng.lognormal(5, 1, n_influencers)[influencer] * rng.lognormal(0, 0.3, n), 2)
    return pd.DataFrame(
        {
            "influencer_id": [f"i{i:04d}" for i in influencer],
            "content_type": [f"c{i}" for i in np.tile(np.arange(each), n_influencers)],
            "event_id": [f"e{i}" for i in rng.integers(0, 8, n)],
            "offset_hours": 0.0,
            "genre": [f"g{i}" for i in rng.integers(0, 5, n_influencers)[influencer]],
            "price": price,
            "mean": price**0.7 * rng.lognormal(0, 0.6, n),
            "std": 0.2 * price**0.7,
        }
    )


def _campaign(seed: int, *, budget: float = 1.0, n_influencers: int = 60, **more) -> jc.Campaign:
    options = _options(n_influencers, 20, seed)
    # Whole cents: HiGHS gets limits cut to these, the bound of prices those that are given.
    money = round(budget * 0.4 * n_influencers * float(options["price"].mean()), 2)
    return jc.Campaign(
        options,
        budget=money,
        constraints=[
            jc.AtMost(2, per="influencer_id"),
            jc.AtLeast(3, per="event_id"),
            jc.AtMost(round(0.4 * money, 2), per="genre", of="spend"),
            jc.MaxShare(0.45, per="genre"),
        ],
        **more,
    )


@pytest.mark.parametrize("seed", range(3))
def test_prices_prove_what_the_linear_program_does(seed):
    problem = _campaign(seed)
    coupling = Coupling.of(problem, np.zeros(0))
    prices = minimise(coupling)
    bound = campaign_bound(problem, coupling.multipliers(problem, prices.price, np.zeros(0)))
    relaxed = CoreProgram.whole(problem, problem.mean[None]).solve(integer=False)
    assert relaxed.value * (1 - 1e-9) <= bound <= relaxed.value * (1 + 1e-4)
    # Duals of the program prove its value to rounding.
    exact = campaign_bound(problem, relaxed.multipliers(problem, np.zeros(0)))
    assert np.isclose(exact, relaxed.value, rtol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_turning_an_option_round_costs_its_flip(seed):
    problem = _campaign(seed, n_influencers=12)
    rng = np.random.default_rng(seed)
    multipliers = CampaignMultipliers.zero(problem)
    reduced = priced(problem, multipliers).reduced - rng.uniform(0, 60, problem.n_items)
    flips = flip_costs(problem, reduced)
    status = best_few(problem, reduced)
    whole = reduced[status].sum()
    for option in rng.choice(problem.n_items, 40, replace=False):
        group = problem.options["influencer_id"] == problem.options["influencer_id"][option]
        others = np.flatnonzero(group.to_numpy() & (np.arange(problem.n_items) != option))
        rest = np.sort(np.maximum(reduced[others], 0))[::-1]
        turned = rest[:2].sum() if status[option] else reduced[option] + rest[:1].sum()
        outside = reduced[status & ~group.to_numpy()].sum()
        assert np.isclose(whole - (outside + turned), flips[option], atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_plans_of_both_solvers_agree(seed):
    problem = _campaign(seed)
    one = jc.solve(problem, jc.DualDecomposition(gap=1e-6))
    other = jc.solve(problem, jc.MixedInteger(gap=1e-6))
    assert np.isclose(one.certificate.value, other.certificate.value, rtol=2e-6)
    assert one.certificate.bound >= other.certificate.value * (1 - 1e-9)
    assert other.certificate.bound >= one.certificate.value * (1 - 1e-9)


def test_a_changed_budget_starts_from_the_prices_of_the_first():
    first = jc.solve(_campaign(0))
    problem = _campaign(0, budget=1.05)
    coupling = Coupling.of(problem, np.zeros(0))
    cold = minimise(coupling)
    warm = minimise(coupling, coupling.price_of(problem, first.multipliers))
    assert warm.evaluations < cold.evaluations
    again = jc.solve(problem, jc.DualDecomposition(warm=first))
    assert np.isclose(again.certificate.value, jc.solve(problem).certificate.value, rtol=1e-6)


@pytest.mark.parametrize("seed", range(2))
def test_falling_returns_against_the_conic_program(seed):
    n, curvature = 300, 2.5
    options = _options(n, 1, seed)
    price, mean = (options[name].to_numpy() for name in ("price", "mean"))
    budget = round(0.2 * float(price.sum()), 2)
    limits = {"g0": round(0.15 * budget, 2), "g1": round(0.2 * budget, 2)}
    least = round(0.3 * budget, 2)
    problem = jc.Campaign(
        options,
        budget=budget,
        spending=jc.ConcaveResponse(curvature),
        constraints=[
            jc.AtMost(limits, per="genre", of="spend"),
            jc.AtLeast({"g2": least}, per="genre", of="spend"),
        ],
    )
    solution = jc.solve(problem)
    share = cp.Variable(n)
    genre = options["genre"].to_numpy()
    rules = [share >= 0, share <= 1, price @ share <= budget]
    rules += [(price * (genre == g)) @ share <= limit for g, limit in limits.items()]
    rules += [(price * (genre == "g2")) @ share >= least]
    gain = mean @ (1 - cp.exp(-curvature * share)) / -np.expm1(-curvature)
    conic = cp.Problem(cp.Maximize(gain), rules)
    conic.solve(solver=cp.CLARABEL)
    c = solution.certificate
    assert c.feasible
    assert np.isclose(c.value, conic.value, rtol=1e-5)
    assert conic.value * (1 - 1e-7) <= c.bound <= conic.value * (1 + 1e-5)
    cents = solution.spend * 100
    assert np.allclose(cents, np.round(cents), atol=1e-6)
    assert budget - 0.02 <= solution.spend.sum() <= budget + 1e-9


def test_falling_returns_with_limits_of_counts():
    problem = _campaign(1, spending=jc.ConcaveResponse(2.0, least=0.2))
    solution = jc.solve(problem)
    assert solution.certificate.feasible
    assert solution.certificate.gap < 0.02
    spend, chosen = solution.spend, solution.selection
    assert (spend[chosen] >= 0.2 * problem.price[chosen] - 1e-9).all()
    assert (spend[~chosen] == 0).all()
    # More money for the same posts brings more than paying fewer in full.
    full = jc.solve(_campaign(1))
    assert solution.certificate.value > full.certificate.value


def test_least_spend_buys_more_posts():
    problem = _campaign(2, spending=jc.MinimumSpend(0.5))
    solution = jc.solve(problem)
    chosen = solution.selection
    assert solution.certificate.feasible
    cents = np.ceil(np.round(50 * problem.price[chosen], 6))
    assert np.array_equal(solution.spend[chosen], cents / 100)
    assert chosen.sum() > jc.solve(_campaign(2)).selection.sum()


@pytest.mark.parametrize("spending", [jc.FixedPrice(), jc.MinimumSpend(0.3), jc.ConcaveResponse()])
def test_best_shares_are_the_best(spending):
    rng = np.random.default_rng(0)
    value, price = rng.normal(1, 2, 200), rng.normal(0.5, 1, 200)
    grid = np.linspace(spending.least, 1, 501)[:, None]
    worth = value * spending.response(np.broadcast_to(grid, (501, 200))) - price * grid
    share = spending.best_share(value, price)
    found = value * spending.response(share) - price * share
    good = (value > 0) | (price >= 0)  # elsewhere bounds look at both ends as well
    assert (found >= worth.max(axis=0) - 1e-4)[good].all()
    on_device = spending.best_share(
        jnp.asarray(value, jnp.float32), jnp.asarray(price, jnp.float32)
    )
    assert isinstance(on_device, jax.Array)
    assert np.allclose(on_device, share, atol=1e-4)


@pytest.mark.parametrize("risk", [jc.ConditionalShortfall(0.75), jc.FactorDeviation()])
def test_weights_of_risk_step_towards_the_worst(risk):
    options = _options(60, 20, 3)
    rng = np.random.default_rng(3)
    mean = options["mean"].to_numpy()
    shared = rng.normal(0, 0.3, (8, 60))[:, np.repeat(np.arange(60), 20)]
    none = np.zeros(len(mean))
    outlook = Effectiveness(
        options.drop(columns=["mean", "std"]),
        mean,
        options["std"].to_numpy(),
        *(none, none, 0.9, none > 1),
        mean * (1 + shared),
        *(none, none, none, 0.0, "engagement"),
    )
    problem = jc.Campaign(
        outlook,
        budget=6000.0,
        risk_aversion=1.0,
        risk=risk,
        constraints=[jc.AtMost(2, per="influencer_id")],
    )
    dual = jc.solve(problem, jc.DualDecomposition(time_limit=8.0)).certificate
    whole = jc.solve(problem, jc.MixedInteger(time_limit=8.0)).certificate
    assert dual.feasible
    assert dual.bound >= whole.value * (1 - 1e-9)
    assert dual.value <= whole.bound * (1 + 1e-9)
    assert dual.value >= 0.97 * whole.value


def test_a_limit_that_nothing_can_keep_is_explained():
    options = _options(20, 10, 0)
    problem = jc.Campaign(options, budget=10.0, constraints=[jc.AtLeast(5, per="event_id")])
    solution = jc.solve(problem)
    assert solution.status == "infeasible"
    assert solution.certificate.reasons
    changes = solution.statistics["smallest_change"]
    assert {change["row"] for change in changes}
    for change in changes:
        assert np.isclose(change["have"] - change["need"], change["change"])
    # With the limits changed so far, there is a plan.
    decision = Decision(solution.selection, np.where(solution.selection, problem.price, 0.0))
    assert {row["row"] for row in violations(problem, decision)} == {c["row"] for c in changes}


def test_bounds_hold_at_prices_that_later_ones_better(monkeypatch):
    """What a small core leaves out is bounded by the prices that it was chosen at."""
    # One item at .9 of its price; many at all of theirs, of which one fits; many that are poor.
    price = np.repeat([0.0, 600.0, 1000.0, 500.0], [1, 30, 1, 95])
    mean = np.repeat([1000.0, 600.0, 900.0, 5.0], [1, 30, 1, 95])
    options = pd.DataFrame({"influencer_id": [f"i{k}" for k in range(len(price))]}).assign(
        content_type="p", event_id="e", offset_hours=0.0, price=price, mean=mean, std=0.0
    )
    problem = jc.Campaign(options, budget=1000.0)

    def inexact(coupling, *args, **more):
        dear = np.array([1.001 * coupling.unit[0] / coupling.scale])
        return Prices(dear, 0, 0.0, ())

    monkeypatch.setattr(pricing, "minimise", inexact)
    for name, value in (("_FEWEST", 30), ("_PER_ROW", 1)):
        monkeypatch.setattr(dual_decomposition, name, value)
    solution = jc.solve(problem, jc.DualDecomposition(time_limit=20))
    assert solution.certificate.bound >= 1900.0
    assert solution.certificate.value == 1900.0


def test_without_time_for_a_core_a_plan_is_packed():
    """Windows of days have no price, so a choice at prices breaks them."""
    rng = np.random.default_rng(0)
    n = 400
    options = pd.DataFrame(
        {
            "influencer_id": [f"i{k}" for k in rng.integers(0, 8, n)],
            "content_type": [f"c{k}" for k in range(n)],
            "event_id": "e",
            "offset_hours": 0.0,
            "posted_at": pd.Timestamp("2026-01-01", tz="UTC")
            + pd.to_timedelta(rng.integers(0, 60, n), unit="D"),
            "price": 100.0,
            "mean": rng.uniform(1, 2, n),
            "std": 0.0,
        }
    )
    rules = [jc.AtMost(1, per="influencer_id", days=7)]
    problem = jc.Campaign(options, budget=3000.0, constraints=rules)
    solution = jc.solve(problem, jc.DualDecomposition(time_limit=1e-3))
    assert solution.status == "limit"
    assert solution.certificate.feasible
    assert 0 < solution.certificate.value <= solution.certificate.bound


def test_options_that_are_all_required_and_break_a_limit_on_posts():
    """No program has a column: rows decide all the same."""
    options = pd.DataFrame(
        {
            "influencer_id": ["a", "a", "b"],
            "content_type": ["reel", "story", "reel"],
            "event_id": "launch",
            "offset_hours": 0.0,
            "price": 1.0,
            "mean": 1.0,
            "std": 0.0,
        }
    )
    rules = [jc.Require({"event_id": "launch"}), jc.AtMost(1, per="influencer_id")]
    problem = jc.Campaign(options, budget=10.0, constraints=rules)
    assert jc.solve(problem, jc.DualDecomposition()).status == "infeasible"
    assert jc.solve(problem.with_budget(3.0), jc.DualDecomposition()).status == "infeasible"
    kept = jc.Campaign(options, budget=3.0, constraints=rules[:1])
    assert jc.solve(kept, jc.DualDecomposition()).status == "optimal"


def test_a_core_that_cannot_grow_is_not_tried_for_ever(monkeypatch):
    """With a plan at hand a core is no larger than what a better one could turn round."""
    rng = np.random.default_rng(0)
    price = rng.integers(100, 10_000, 400) / 100
    options = pd.DataFrame(
        {
            "influencer_id": [f"i{i}" for i in range(400)],
            "content_type": "reel",
            "event_id": "launch",
            "offset_hours": 0.0,
            "price": price,
            "mean": price * rng.uniform(0.9, 1.1, 400),
            "std": 0.0,
        }
    )
    solve, programs = CoreProgram.solve, []

    def solved(self, *, integer, **given):
        programs.append(integer)
        assert len(programs) < 60
        return replace(solve(self, integer=integer, **given), infeasible=not integer)

    monkeypatch.setattr(CoreProgram, "solve", solved)
    for name, value in (("_ALL", 0), ("_FIRST_FEWEST", 10), ("_FEWEST", 10), ("_PER_ROW", 1)):
        monkeypatch.setattr(dual_decomposition, name, value)
    solution = jc.solve(jc.Campaign(options, budget=900.0), jc.DualDecomposition(gap=0.0))
    assert solution.certificate.feasible
    assert programs.count(False) > 1
