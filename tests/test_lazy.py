"""The lazy greedy loop and its tables against textbook greedy in float64."""

import numpy as np
import pytest
from catalogue import dense_influence

import jaxcampaign as jc
from jaxcampaign.solvers.coverage import Coverage
from jaxcampaign.solvers.lazy import lazy_tables, run_lazy_greedy
from jaxcampaign.solvers.lazy_tables import LANES, NARROWEST, TILE


def random_influence(rng, n_slots, n_users, density):
    """Skewed degrees: the first slot reaches everybody, the first user is reached by all."""
    prob = np.where(rng.random((n_slots, n_users)) < density, rng.random((n_slots, n_users)), 0)
    prob[0] = rng.random(n_users) * 0.2
    prob[:, 0] = rng.random(n_slots) * 0.2
    return dense_influence(prob, rng.uniform(0.5, 1.5, n_slots))


def covering(rng, influence, n_products, share):
    audience = rng.random((n_products, influence.n_users)) < 0.4
    audience[:, 0] = True
    problem = jc.CommonSlots(influence, audience, None, 1.0)
    everything = problem.objective.reference(np.ones(influence.n_slots))
    return problem.with_demand(everything * share)


def textbook(problem, weights, *, per_cost, max_picks, start=(), budget=np.inf):
    """Every gain anew before every pick, in float64; also the lead of each pick over the next."""
    matrix = problem.influence.matrix.toarray()
    audience = problem.objective.audience.toarray()
    selection = np.zeros(len(matrix), bool)
    selection[list(start)] = True
    rest = np.prod(1 - matrix[selection], axis=0)
    left = problem.demand - audience @ (1 - rest)
    covers = problem.sense == "min"
    picks, leads = [], []
    while len(picks) < max_picks and not (covers and (left <= 2e-6 * problem.demand).all()):
        gains = (matrix * rest) @ audience.T
        if covers:
            gains = np.minimum(gains, np.maximum(left, 0)) * (left > 2e-6 * problem.demand)
        score = gains @ weights / (problem.divisor if per_cost else 1)
        score[selection | (problem.cost > budget)] = -1
        best = int(np.argmax(score))
        if score[best] <= 0:
            break
        leads.append(1 - np.delete(score, best).max() / score[best])
        picks.append(best)
        selection[best] = True
        budget -= problem.cost[best]
        left = left - audience @ (rest * matrix[best])
        rest = rest * (1 - matrix[best])
    return picks, np.array(leads)


def check_same_picks(problem, weights, start=(), **limits):
    coverage = Coverage(problem)
    for slot in start:
        coverage.add(slot)
    found = run_lazy_greedy(problem, lazy_tables(problem), coverage, weights=weights, **limits)
    expected, leads = textbook(problem, weights, start=start, **limits)
    # float32 cannot tell gains apart that differ by less: from there on both orders are right.
    clear = np.append(leads > 1e-5, False).argmin()
    assert clear >= min(6, len(expected))
    np.testing.assert_array_equal(found[:clear], expected[:clear])
    if clear == len(expected):
        assert len(found) == len(expected)


@pytest.mark.parametrize("per_cost", [False, True])
@pytest.mark.parametrize(
    ("n_slots", "n_users", "density", "n_products"),
    [
        pytest.param(700, 80, 0.02, 3, id="narrow rows"),
        pytest.param(300, 900, 0.2, 3, id="nearly met one at a time"),
        pytest.param(300, 900, 0.2, 30, id="nearly met together"),
        pytest.param(60, 3 * TILE, 0.5, 30, id="rows of several tiles"),
    ],
)
def test_picks_of_textbook_greedy(n_slots, n_users, density, n_products, per_cost):
    rng = np.random.default_rng(n_slots + n_products)
    influence = random_influence(rng, n_slots, n_users, density)
    problem = covering(rng, influence, n_products, rng.uniform(0.4, 0.9, n_products))
    check_same_picks(problem, problem.inverse_demand, per_cost=per_cost, max_picks=60)


def test_picks_on_top_of_a_selection_with_products_that_do_not_count():
    rng = np.random.default_rng(1)
    problem = covering(rng, random_influence(rng, 200, 150, 0.1), 12, 0.6)
    weights = np.where(np.arange(12) % 3, problem.inverse_demand, 0.0)
    check_same_picks(problem, weights, start=(0, 5, 77), per_cost=True, max_picks=50)


@pytest.mark.parametrize("per_cost", [False, True])
def test_picks_within_a_budget(per_cost):
    rng = np.random.default_rng(2)
    influence = random_influence(rng, 400, 300, 0.05)
    problem = jc.BudgetedSlots(influence, budget=30.0)
    check_same_picks(
        problem, np.ones(1), per_cost=per_cost, max_picks=influence.n_slots, budget=30.0
    )


def test_equal_slots_are_picked_in_order_of_id():
    rng = np.random.default_rng(3)
    block = rng.random((1, 700)) * (rng.random((1, 700)) < 0.3)
    influence = dense_influence(np.repeat(block, 3 * LANES, axis=0), np.ones(3 * LANES))
    problem = covering(rng, influence, 5, 0.999)
    found = run_lazy_greedy(
        problem,
        lazy_tables(problem),
        Coverage(problem),
        weights=problem.inverse_demand,
        per_cost=False,
        max_picks=20,
    )
    np.testing.assert_array_equal(found, np.arange(len(found)))
    assert len(found) > 3


def test_demands_that_everything_just_meets_are_met():
    rng = np.random.default_rng(4)
    problem = covering(rng, random_influence(rng, 90, 60, 0.1), 8, 1 - 1e-7)
    coverage = Coverage(problem)
    found = run_lazy_greedy(
        problem,
        lazy_tables(problem),
        coverage,
        weights=problem.inverse_demand,
        per_cost=True,
        max_picks=90,
    )
    assert len(np.unique(found)) == len(found)
    reached = problem.objective.reference(np.isin(np.arange(90), found))
    assert (reached >= problem.demand * (1 - 4e-6)).all()


def test_tables_hold_every_pair_once():
    rng = np.random.default_rng(5)
    influence = random_influence(rng, 150, 2 * TILE + 7, 0.3)
    problem = covering(rng, influence, 3, 0.5)
    tables = {k: np.asarray(v) for k, v in vars(lazy_tables(problem)).items()}
    pairs = []
    for block in np.flatnonzero(tables["first_row"] < len(tables["slot"]) - LANES):
        width = NARROWEST << tables["width"][block]
        for lane in range(LANES >> tables["width"][block]):
            slot = tables["slot"][tables["first_row"][block] + lane]
            begin = tables["first_tile"][block] * TILE + lane * width
            span = slice(begin, begin + width * tables["n_tiles"][block])
            real = tables["prob"][span] > 0
            assert slot < problem.n_items or not real.any()
            users, prob = tables["user"][span][real], tables["prob"][span][real]
            pairs += [(slot, *pair) for pair in zip(users, prob, strict=True)]
    coo = influence.matrix.tocoo()
    expected = zip(coo.row, coo.col, coo.data.astype(np.float32), strict=True)
    assert sorted(pairs) == sorted(expected)
    np.testing.assert_array_equal(tables["interest"], tables["interest_by_user"].T)
    np.testing.assert_array_equal(
        tables["interest_by_user"][: influence.n_users, :3], problem.objective.interest
    )
