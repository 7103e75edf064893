"""What constraints of campaigns say: rows that bind what they should, and texts that name it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import jaxcampaign as jc


def _options(n: int = 6, **columns) -> pd.DataFrame:
    """Options of n influencers at 100 each, worth 1, 2, ... n."""
    plain = {
        "influencer_id": [f"i{k}" for k in range(n)],
        "content_type": "post",
        "event_id": "launch",
        "offset_hours": 0.0,
        "price": 100.0,
        "mean": np.arange(1.0, n + 1),
        "std": 0.0,
    }
    return pd.DataFrame(plain | columns)


@pytest.mark.parametrize("per", [None, "event_id"])
@pytest.mark.parametrize("of", ["posts", "spend", "followers", "influencer_id"])
def test_a_least_number_of_nothing_cannot_be_met(of, per):
    few = _options(followers=np.arange(6.0))
    nobody = {"followers": (1e6, None)}
    limit = jc.AtLeast(2, per=per, of=of, where=nobody)
    solution = jc.solve(jc.Campaign(few, budget=300, constraints=[limit]))
    assert solution.status == "infeasible"
    (change,) = solution.statistics["smallest_change"]
    assert (change["have"], change["need"]) == (0, 2)
    assert "followers" in change["reason"]
    # What asks for nothing is met by nothing.
    none = jc.Campaign(few, budget=300, constraints=[jc.AtLeast(0, of=of, where=nobody)])
    assert jc.solve(none).status == "optimal"


def test_only_groups_that_options_have_need_to_be_covered():
    table = _options(genre=pd.Categorical(["art", "music"] * 3, ["art", "music", "sport"]))
    solution = jc.solve(jc.Campaign(table, constraints=[jc.AtLeast(1, per="genre")]))
    assert solution.status == "optimal"
    names = solution.problem.families[0].names
    assert len(names) == 2


def _posts(n_influencers: int, each: int, seed: int = 0, span: int = 40) -> pd.DataFrame:
    """Posts at whole days."""
    rng = np.random.default_rng(seed)
    n = n_influencers * each
    days = pd.to_timedelta(rng.integers(0, span, n), "D")
    return _options(
        n,
        influencer_id=np.repeat([f"i{k:05d}" for k in range(n_influencers)], each),
        offset_hours=np.arange(float(n)),
        posted_at=pd.Timestamp("2026-01-01", tz="UTC") + days,
    )


@pytest.mark.parametrize(("days", "k"), [(7, 1), (1, 1), (3, 2), (36_500, 1), (1e9, 1)])
def test_windows_hold_posts_of_one_influencer_only(days, k):
    table = _posts(60, 5)
    problem = jc.Campaign(table, constraints=[jc.AtMost(k, per="influencer_id", days=days)])
    day = (table["posted_at"] - table["posted_at"].min()).dt.days.to_numpy()
    who = table["influencer_id"].to_numpy()
    wanted = {
        frozenset(np.flatnonzero((who == who[i]) & (day >= day[i]) & (day < day[i] + days)))
        for i in range(len(table))
    }
    wanted = {window for window in wanted if len(window) > k}
    wanted = {window for window in wanted if not any(window < other for other in wanted)}
    rows = problem.rows.matrix
    parts = np.split(rows.indices, rows.indptr[1:-1])
    assert {frozenset(part.tolist()) for part in parts} == wanted
    assert len(rows.indptr) - 1 == len(wanted)


def test_once_ever_for_thousands_is_a_window_for_each():
    problem = jc.Campaign(
        _posts(4000, 2), constraints=[jc.AtMost(1, per="influencer_id", days=36_500)]
    )
    assert np.array_equal(problem.rows.matrix.sum(axis=1), np.full(4000, 2.0))
    pairs = problem.rows.matrix.indices.reshape(-1, 2)
    assert np.array_equal(np.sort(pairs // 2, axis=1)[:, 0], pairs.max(axis=1) // 2)


def test_an_explanation_names_the_row_that_is_broken():
    table = _options(event_id=["a", "b", "b", "b", "b", "b"])
    three = jc.AtLeast(3, per="event_id", name="cover")
    solution = jc.solve(jc.Campaign(table, constraints=[three]))
    (change,) = solution.statistics["smallest_change"]
    assert change == {
        "row": "cover event_id=a",
        "have": 1.0,
        "need": 3.0,
        "change": -2.0,
        "reason": "at least 3 posts for event_id=a",
    }


def test_two_constraints_of_one_name_keep_their_own_reasons():
    table = _options(event_id=["a", "b", "b", "b", "b", "b"])
    rules = [
        jc.AtLeast(2, where={"event_id": "a"}, name="cover"),
        jc.AtMost(3, where={"event_id": "b"}, name="cover"),
    ]
    solution = jc.solve(jc.Campaign(table, constraints=rules))
    (change,) = solution.statistics["smallest_change"]
    assert change["reason"] == "at least 2 posts, where event_id: 'a'"


@pytest.mark.parametrize("name", ["cover {brand}", "{", "{0} {9}", "100 % {{x}}"])
def test_names_of_users_stand_as_they_are(name):
    table = _options(**{"{brand}": ["a", "b"] * 3, "{reach}": 1.0})
    table["posted_at"] = pd.Timestamp("2026-01-01", tz="UTC")
    rules = [
        jc.AtLeast(3, name=name),
        jc.AtMost(3, per="{brand}", name=name),
        jc.AtMost(2, of="{brand}", name=name),
        jc.AtMost(2, of="{brand}"),
        jc.AtMost(9, of="{reach}"),
        jc.AtMost(9, of="{reach}", where={"{brand}": "a"}),
        jc.AtMost(1, days=7, name=name),
        jc.MaxShare(0.9, per="{brand}", of="{reach}"),
        jc.MaxShare(0.9, per="{brand}", name=name),
    ]
    solution = jc.solve(jc.Campaign(table, budget=250, constraints=rules))
    assert solution.status == "infeasible"
    assert solution.certificate.violations
    problem = solution.problem
    every = [text for rows in (*problem.families, problem.rows) for text in rows.names]
    assert name in every
    assert f"{name} {{brand}}=a" in every
    reasons = [text for rows in (*problem.families, problem.rows) for text in rows.reasons]
    assert "{brand}=a may have at most 0.9 of all {reach}" in reasons


def test_a_sum_that_is_nothing_but_for_its_rounding_keeps_a_limit_of_nothing():
    """Plan and bound alike: 0.3 - 0.1 - 0.2 is 5e-17 below 0."""
    options = _options(3, score=[0.3, -0.1, -0.2], mean=1.0)
    for rule in (
        jc.AtLeast(0, of="score"),
        jc.AtLeast(0, of="score", per="event_id"),
        jc.AtMost(0, of="lost"),
    ):
        problem = jc.Campaign(options.assign(lost=-options["score"]), constraints=[rule])
        for solver in (jc.MixedInteger(), jc.DualDecomposition()):
            solution = jc.solve(problem, solver)
            assert (solution.status, solution.certificate.value) == ("optimal", 3.0)
        for price in (1e-3, 1.0, 1e6):
            for side in ("upper", "lower"):
                limit = getattr(problem.families[0], side)
                prices = {"upper": np.zeros(1), "lower": np.zeros(1)}
                prices[side] = np.where(np.isfinite(limit), price, 0.0)
                proof = jc.CampaignMultipliers(**prices, weights=np.zeros(0))
                assert problem.proven_bound(proof) >= 3.0
    over = jc.Campaign(options, constraints=[jc.AtLeast(1e-13, of="score")])
    assert not over.assess(np.ones(3, bool)).feasible
