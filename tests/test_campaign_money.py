"""Money to the cent: what breaks a budget, what is paid for a post, and bounds that know both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

import jaxcampaign as jc
from jaxcampaign.effectiveness import Effectiveness
from jaxcampaign.problems.campaign import CampaignMultipliers, violations
from jaxcampaign.problems.campaign.money import down_to_cents, in_cents, up_to_cents
from jaxcampaign.relaxations.campaign.allocation import allocate
from jaxcampaign.relaxations.campaign.program import CoreProgram


def _options(price, mean=1.0, **columns) -> pd.DataFrame:
    n = len(price)
    plain = {
        "influencer_id": [f"i{k:04d}" for k in range(n)],
        "content_type": "post",
        "event_id": "launch",
        "offset_hours": 0.0,
        "price": np.asarray(price, float),
        "mean": mean,
        "std": 0.0,
    }
    return pd.DataFrame(plain | columns)


def test_cents_forgive_rounding_and_nothing_else():
    money = np.array([0.1 + 0.2, 0.7 * 100.1, 29.99, 0.2 * 33.35, 1.005, 0.0])
    assert down_to_cents(money).tolist() == [30, 7007, 2999, 667, 100, 0]
    assert up_to_cents(money).tolist() == [30, 7007, 2999, 667, 101, 0]
    assert in_cents(np.array([0.29, 19.99, 50_000_000.04])).tolist() == [29, 1999, 5_000_000_004]
    assert in_cents(np.array([1.0, 100.00000018])) is None
    assert in_cents(np.array([np.nan])) is None


def test_a_budget_holds_to_the_cent():
    problem = jc.Campaign(_options([30_000_000.02, 20_000_000.02]), budget=50_000_000.00)
    both = problem.assess(np.ones(2, bool))
    assert both.cost == 50_000_000.04
    assert not both.feasible
    solution = jc.solve(problem)
    assert (solution.status, solution.certificate.value) == ("optimal", 1.0)
    exact = jc.Campaign(_options([30_000_000.02, 20_000_000.02]), budget=50_000_000.04)
    assert exact.assess(np.ones(2, bool)).feasible
    assert jc.solve(exact).certificate.value == 2.0
    least = jc.Campaign(
        _options([30_000_000.02, 20_000_000.01]),
        constraints=[jc.AtLeast(50_000_000.04, of="spend")],
    )
    assert not least.assess(np.ones(2, bool)).feasible


@pytest.mark.parametrize("seed", range(3))
def test_a_million_cents_add_up(seed):
    """The budget is the sum of all prices in whole numbers: one cent less is too little."""
    rng = np.random.default_rng(seed)
    cents = rng.integers(1, 100_000, 200_000)
    options = _options(cents / 100)
    whole = int(cents.sum())
    for short, feasible in ((0, True), (1, False), (-1, True)):
        problem = jc.Campaign(options, budget=(whole - short) / 100)
        assert problem.assess(np.ones(len(cents), bool)).feasible is feasible


@pytest.mark.parametrize("solver", [jc.DualDecomposition, jc.MixedInteger])
@pytest.mark.parametrize("base", [0.0, 1e6])
@pytest.mark.parametrize("unit", [0.01, 1 / 3])
def test_plans_of_solvers_keep_tight_budgets(unit, base, solver):
    """Budgets that sums of prices meet exactly, or miss by one unit."""
    rng = np.random.default_rng(0)
    for miss in (0, 1):
        steps = rng.integers(1, 1000, 12)
        price = base + unit * steps
        plan = rng.random(12) < 0.5
        budget = float(price[plan].sum()) - miss * unit
        mean = price - 0.999 * base
        problem = jc.Campaign(_options(price, mean=mean), budget=budget)
        plans = (np.arange(2**12)[:, None] >> np.arange(12) & 1).astype(bool)
        best = (plans @ mean)[plans @ price <= budget * (1 + 1e-12)].max()
        solution = jc.solve(problem, solver(gap=1e-10))
        assert solution.status == "optimal"
        assert np.isclose(solution.certificate.value, best, rtol=1e-9)


def test_rows_of_money_are_whole_numbers_for_highs():
    rng = np.random.default_rng(0)
    price = rng.integers(1, 10**7, 500) / 100
    problem = jc.Campaign(_options(price), budget=0.3 * price.sum())
    answer = CoreProgram.whole(problem, problem.mean[None]).solve(integer=True)
    assert not violations(problem, problem.in_full(answer.chosen))


def test_parts_of_a_cent_buy_nothing_and_prove_nothing():
    """The program and the proof see the same limits, so that duals prove the program's value."""
    rng = np.random.default_rng(0)
    price = rng.integers(1, 10**5, 300) / 100
    genre = np.array(["art", "music"])[rng.integers(0, 2, 300)]
    problem = jc.Campaign(
        _options(price, mean=price * rng.uniform(0.5, 1.5, 300), genre=genre),
        budget=1234.5678,
        constraints=[
            jc.AtMost({"art": 777.7777}, per="genre", of="spend"),
            jc.AtLeast({"music": 100.001}, per="genre", of="spend"),
        ],
    )
    assert problem.families[0].upper[0] == 1234.56
    assert problem.families[1].upper[0] == 777.77
    assert problem.families[2].lower[1] == 100.01
    relaxed = CoreProgram.whole(problem, problem.mean[None]).solve(integer=False)
    proven = problem.proven_bound(relaxed.multipliers(problem, np.zeros(0)))
    assert np.isclose(proven, relaxed.value, rtol=1e-9)


def test_a_post_that_counts_is_paid():
    options = _options([100.0] * 4, mean=[10.0, 9.0, 0.001, 0.001], event_id=["a", "a", "b", "b"])
    for spending in (jc.ConcaveResponse(), jc.ConcaveResponse(5.0), jc.MinimumSpend(0.0)):
        problem = jc.Campaign(
            options,
            budget=100,
            constraints=[jc.AtLeast(2, per="event_id")],
            spending=spending,
        )
        solution = jc.solve(problem)
        assert solution.certificate.feasible
        assert solution.selection.all()
        assert (solution.spend >= 0.01).all()
        assert solution.spend.sum() <= 100
        assert not np.signbit(solution.spend).any()
        # For nothing it does not count.
        free = np.where(np.arange(4) < 2, solution.spend, 0.0)
        broken = {row["row"] for row in problem.assess(np.ones(4, bool), free).violations}
        assert broken == {"money for option 2", "money for option 3"}


def test_a_least_share_is_paid_in_whole_cents():
    problem = jc.Campaign(
        _options([99.99, 33.35, 10.01]), budget=50, spending=jc.MinimumSpend(1 / 3)
    )
    solution = jc.solve(problem)
    assert solution.certificate.feasible
    assert solution.spend.tolist() == [33.33, 11.12, 3.34]
    # A price that is less than a cent, or none, is paid as it is.
    small = jc.Campaign(_options([0.004, 0.0, 1.0]), spending=jc.MinimumSpend(0.5))
    assert small.least_payment.tolist() == [0.004, 0.0, 0.5]


def test_money_for_nothing_of_worth_is_the_least():
    options = _options([100.0] * 4, mean=0.0)
    solution = jc.solve(
        jc.Campaign(options, budget=100, constraints=[jc.AtLeast(2)], spending=jc.ConcaveResponse())
    )
    assert solution.certificate.feasible
    assert solution.certificate.value == 0
    assert np.unique(solution.spend[solution.selection]).tolist() == [0.01]


def test_large_budgets_are_shared_out_to_the_cent():
    rng = np.random.default_rng(1)
    price = rng.integers(10**8, 10**9, 40) / 100
    genre = np.array(["art", "music"])[rng.integers(0, 2, 40)]
    problem = jc.Campaign(
        _options(price, mean=rng.uniform(1, 5, 40), genre=genre),
        budget=60_000_000.01,
        spending=jc.ConcaveResponse(2.0),
        constraints=[jc.AtMost({"art": 20_000_000.03}, per="genre", of="spend")],
    )
    spend = allocate(problem, problem.mean, np.ones(40, bool))
    cents = in_cents(spend)
    assert cents is not None
    assert 6_000_000_001 - 5 <= cents.sum() <= 6_000_000_001
    assert cents[genre == "art"].sum() <= 2_000_000_003
    assert problem.assess(np.ones(40, bool), spend).feasible


def test_a_payment_is_the_price_and_no_less():
    problem = jc.Campaign(_options([100.00000018]), budget=100.0)
    chosen = np.array([True])
    assert not problem.assess(chosen, np.array([100.00000009])).feasible
    assert not problem.assess(chosen).feasible
    proof = CampaignMultipliers(np.array([1 / 100.00000018]), np.zeros(1), np.zeros(0))
    assert problem.proven_bound(proof) < 1  # no plan is worth 1


@pytest.mark.parametrize("aside", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize(
    ("risk", "weights"),
    [
        (jc.ConditionalShortfall(0.0), np.array([0.5, 0.5])),
        (jc.ConditionalShortfall(0.5), np.array([0.0, 1.0])),
        (jc.FactorDeviation(), np.array([np.sqrt(0.5), -np.sqrt(0.5), 0.0])),
        (jc.BudgetOfDeviations(0.5), np.array([0.5])),
    ],
)
def test_weights_of_risk_that_are_off_by_rounding_prove_no_less(risk, weights, aside):
    """Scenarios that are far apart beside the value: 1e-12 of a weight is a millionth of it."""
    members = 1.0 + np.array([[1e6], [-1e6]])
    options = _options([1.0], mean=1.0, std=1e6)
    none = np.zeros(1)
    outlook = Effectiveness(
        options.drop(columns=["mean", "std"]),
        options["mean"].to_numpy(),
        options["std"].to_numpy(),
        *(none, none, 0.9, none > 1),
        members,
        *(none, none, none, 0.0, "engagement"),
    )
    problem = jc.Campaign(outlook, risk_aversion=1.0, risk=risk)
    worth = problem.assess(np.ones(1, bool)).value
    tilt = 1 + 0.9e-12 * aside * np.array([1.0, -1.0, 0.0])[: len(weights)]
    proof = CampaignMultipliers(np.zeros(0), np.zeros(0), weights * tilt)
    assert problem.proven_bound(proof) >= worth


@pytest.mark.parametrize("seed", range(4))
def test_no_prices_prove_less_than_any_feasible_payment(seed):
    rng = np.random.default_rng(seed)
    n = 6
    price = rng.integers(1, 3000, n) / 100
    problem = jc.Campaign(
        _options(price, mean=rng.normal(1, 2, n)),
        budget=float(0.4 * price.sum()),
        spending=jc.ConcaveResponse(3.0, least=0.1),
    )
    for _ in range(200):
        chosen = rng.random(n) < 0.5
        share = rng.uniform(0, 1, n)
        decision = problem.in_part(chosen, share * price)
        found = problem.assess(chosen, decision.spend)
        prices = CampaignMultipliers(rng.exponential(0.2, 1), np.zeros(1), np.zeros(0))
        if found.feasible:
            assert problem.proven_bound(prices) >= found.value


@pytest.mark.parametrize("spending", [jc.MinimumSpend(0.5), jc.ConcaveResponse()])
@pytest.mark.parametrize("solver", [None, jc.LPRounding()])
def test_money_that_no_row_limits(spending, solver):
    """Other rows couple the options, and none of them is on money."""
    mean = np.arange(1.0, 7.0)
    problem = jc.Campaign(
        _options(np.full(6, 10.0), mean=mean, reach=7.0 - mean),
        constraints=[jc.AtMost(10.5, of="reach")],
        spending=spending,
    )
    solution = jc.solve(problem, solver)
    assert solution.certificate.feasible
    plans = (np.arange(2**6)[:, None] >> np.arange(6) & 1).astype(float)
    best = (plans @ mean)[plans @ (7.0 - mean) <= 10.5].max()
    assert np.isclose(solution.certificate.value, best)
    assert solution.certificate.rechecked_bound >= best


@pytest.mark.parametrize("spending", [jc.MinimumSpend(0.2), jc.ConcaveResponse(least=0.2)])
def test_money_between_the_least_and_the_price(spending):
    """Both posts are needed, and neither the least for both nor the prices keep the share."""
    options = _options([10.0, 40.0], mean=[1.0, 2.0], genre=["art", "music"])
    problem = jc.Campaign(
        options,
        constraints=[jc.AtLeast(2), jc.MaxShare(0.5, per="genre", of="spend")],
        spending=spending,
    )
    solution = jc.solve(problem)
    assert solution.certificate.feasible
    assert solution.selection.all()
    assert solution.spend[0] == solution.spend[1]
    assert 8 <= solution.spend[0] <= 10
    if isinstance(spending, jc.MinimumSpend):
        assert (solution.status, solution.certificate.value) == ("optimal", 3.0)


@pytest.mark.parametrize("seed", range(6))
def test_least_spend_against_all_choices(seed):
    """A choice is paid for as it must be where limits of money are upper ones."""
    rng = np.random.default_rng(seed)
    n = 9
    price = rng.integers(100, 3000, n) / 100
    mean = rng.normal(3, 2, n).round(3)
    genre = np.array(["art", "music"])[rng.integers(0, 2, n)]
    rules = [jc.AtLeast(2, per="genre"), jc.AtMost(20.0, per="genre", of="spend")]
    problem = jc.Campaign(
        _options(price, mean=mean, genre=genre),
        budget=0.2 * float(price.sum()),
        constraints=rules,
        spending=jc.MinimumSpend(1 / 3),
    )
    plans = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(bool)
    cents = np.ceil(np.round(100 * price) / 3 - 1e-9)
    kept = plans @ cents <= np.floor(100 * problem.budget + 1e-9)
    for name in set(genre):
        kept &= (plans & (genre == name)).sum(axis=1) >= 2
        kept &= plans @ np.where(genre == name, cents, 0.0) <= 2000
    solution = jc.solve(problem)
    if not kept.any():
        assert solution.status == "infeasible"
        return
    assert solution.status == "optimal"
    assert np.isclose(solution.certificate.value, (plans[kept] @ mean).max(), rtol=1e-6)


def test_what_lacks_is_told_at_the_least_that_has_to_be_paid():
    problem = jc.Campaign(
        _options([20.0] * 3),
        budget=10,
        constraints=[jc.AtLeast(3)],
        spending=jc.MinimumSpend(0.2),
    )
    solution = jc.solve(problem)
    assert solution.status == "infeasible"
    (row,) = solution.statistics["smallest_change"]
    assert (row["row"], row["have"], row["need"]) == ("budget", 12.0, 10.0)
    assert [broken["row"] for broken in solution.certificate.violations] == ["budget"]


@dataclass(frozen=True)
class _Proportional:
    """A response of the user's own, of which nothing is known: as much effect as money."""

    least: float = 0.1

    def response(self, share: Any) -> Any:
        return share * 1.0

    def best_share(self, value: Any, price_of_share: Any) -> Any:
        xp = price_of_share.__array_namespace__()
        return xp.where(value >= price_of_share, 1.0, self.least)

    def softness(self, value: Any, price_of_share: Any) -> Any:
        return price_of_share * 0.0


@pytest.mark.parametrize("seed", range(3))
def test_no_bound_is_below_a_plan_whatever_the_response(seed):
    mean = np.random.default_rng(seed).uniform(1, 15, 6)
    problem = jc.Campaign(_options(np.full(6, 20.0), mean), budget=30.0, spending=_Proportional())
    solution = jc.solve(problem, jc.DualDecomposition(time_limit=10.0))
    first, second = np.argsort(-mean)[:2]
    spend = np.zeros(6)
    spend[[first, second]] = 20.0, 10.0
    known = problem.assess(spend > 0, spend)
    assert known.feasible
    assert known.value == pytest.approx(mean[first] + mean[second] / 2)
    assert solution.certificate.bound >= known.value * (1 - 1e-9)
