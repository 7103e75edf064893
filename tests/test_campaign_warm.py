"""Warm starts: prices find their rows by name, whatever else is different in the new campaign."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from desk import small_influence

import jaxcampaign as jc
from jaxcampaign.effectiveness import Effectiveness
from jaxcampaign.problems.campaign import CampaignMultipliers, campaign_bound
from jaxcampaign.solvers.campaign.warm import matched_rows, start_from


def _options(n: int = 600, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    price = rng.lognormal(5, 0.8, n).round(2)
    start = pd.Timestamp("2026-03-01", tz="UTC")
    return pd.DataFrame(
        {
            "influencer_id": [f"i{i:03d}" for i in rng.integers(0, n // 10, n)],
            "content_type": "reel",
            "event_id": [f"e{i}" for i in rng.integers(0, 5, n)],
            "offset_hours": np.arange(n, dtype=float),
            "posted_at": start + pd.to_timedelta(rng.integers(0, 20, n), unit="D"),
            "genre": [f"g{i}" for i in rng.integers(0, 4, n)],
            "price": price,
            "mean": price**0.7 * rng.lognormal(0, 0.6, n),
            "std": 1.0,
        }
    )


_RULES = (
    jc.AtMost(2, per="influencer_id"),
    jc.AtLeast(3, per="event_id"),
    jc.AtMost(2500.0, per="genre", of="spend"),
    jc.MaxShare(0.4, per="genre"),
    jc.AtMost(2, per="influencer_id", days=4),
    jc.AtMost(60, of="influencer_id"),
    jc.Conflict({"genre": "g0"}, {"genre": "g1"}, per="event_id"),
)
_ALIKE = (
    jc.AtMost(12, per="event_id", name="cap"),
    jc.AtMost(9, per="genre", name="cap"),
    jc.AtMost(3000.0, per="genre", of="spend", name="cap"),
    jc.AtMost(15, per="event_id", name="cap"),
)


def _campaign(*rules: object, options: pd.DataFrame | None = None, **more) -> jc.Campaign:
    table = _options() if options is None else options
    return jc.Campaign(table, **({"budget": 9000.0} | more), constraints=rules)


def _described(problem: jc.Campaign) -> dict[tuple, int]:
    """Number of each row by all its texts but limits, and how often these stood before."""

    def general(text: str) -> str:
        return re.sub(r"(at most|at least|max_share) [\d.e+]+", r"\1 k", text)

    texts = []
    for number, family in enumerate(problem.families):
        kept = number == problem.kept
        own = zip(map(general, family.names), map(general, family.reasons), strict=True)
        texts += [None if kept else (family.acts, *text) for text in own]
    texts += [
        ("rows", *text) for text in zip(problem.rows.names, problem.rows.reasons, strict=True)
    ]
    seen: Counter = Counter()
    found = {}
    for row, text in enumerate(texts):
        if text is not None:
            found[*text, seen[text]] = row
            seen[text] += 1
    return found


@pytest.mark.parametrize("seed", range(6))
def test_rows_are_matched_by_their_texts(seed):
    rng = np.random.default_rng(seed)
    every = [*_RULES, *_ALIKE]
    one, other = (
        _campaign(*(every[i] for i in rng.permutation(len(every))[: rng.integers(4, len(every))]))
        for _ in range(2)
    )
    match = matched_rows(one, other, same_options=True)
    known = _described(other)
    wanted = np.full(len(match), -1)
    for text, row in _described(one).items():
        wanted[row] = known.get(text, -1)
    assert match.tolist() == wanted.tolist()
    assert (match >= 0).any()


def test_rows_that_number_options_are_matched_only_among_the_same_options():
    one, other = _campaign(*_RULES), _campaign(*_RULES, options=_options(seed=1))
    n_families = sum(map(len, one.families))
    kinds = [name.split()[0] for name in one.rows.names]
    match = matched_rows(one, other, same_options=False)
    numbered = [kind in ("flag", "counted", "conflict") for kind in kinds]
    assert (match[n_families:][numbered] == -1).all() and any(numbered)
    assert (match[:n_families] >= 0).any()


def test_changed_limits_are_the_same_rows():
    first = jc.solve(_campaign(*_RULES[:4]))
    changed = _campaign(
        jc.AtMost(3, per="influencer_id"),
        jc.AtLeast(2, per="event_id"),
        jc.AtMost(2700.0, per="genre", of="spend"),
        jc.MaxShare(0.35, per="genre"),
        budget=9900.0,
    )
    start = start_from(changed, first)
    assert start.complete
    assert start.multipliers.upper.tolist() == pytest.approx(first.multipliers.upper.tolist())


def test_prices_follow_their_rows_into_another_order():
    """The same question in other words: the earlier prices prove what they proved."""
    first = jc.solve(_campaign(*_RULES[:4]))
    assert first.multipliers.upper.any()
    turned = _campaign(*_RULES[3::-1])
    start = start_from(turned, first)
    assert start.complete
    proven = campaign_bound(turned, start.multipliers)
    assert np.isclose(proven, first.certificate.rechecked_bound, rtol=1e-9)
    by_place = CampaignMultipliers.of(
        turned, first.multipliers.upper - first.multipliers.lower, first.multipliers.weights
    )
    assert campaign_bound(turned, by_place) > 1.001 * proven


@pytest.mark.parametrize(
    ("rules", "more"),
    [
        (_RULES, {}),
        (_RULES[1:3], {}),
        (_RULES[3:], {"options": _options(300, seed=2)}),
        (_ALIKE, {"budget": None}),
        ((), {"budget": 500.0, "risk_aversion": 1.0, "risk": jc.BudgetOfDeviations(3.0)}),
        (_RULES[:3], {"spending": jc.ConcaveResponse(2.0)}),
    ],
    ids=["more rows", "fewer rows", "other options", "without budget", "risk", "falling returns"],
)
def test_an_answer_to_another_campaign_costs_nothing_but_time(rules, more):
    first = jc.solve(_campaign(*_RULES[:4]), jc.DualDecomposition())
    problem = _campaign(*rules, **more)
    cold = jc.solve(problem, jc.DualDecomposition())
    warm = jc.solve(problem, jc.DualDecomposition(warm=first))
    assert warm.certificate.feasible == cold.certificate.feasible
    assert warm.certificate.value == pytest.approx(cold.certificate.value, rel=1e-5)
    if cold.certificate.feasible:
        bounds = [warm.certificate.bound, cold.certificate.bound]
        assert min(bounds) >= max(warm.certificate.value, cold.certificate.value) * (1 - 1e-12)


def test_weights_of_another_risk_begin_anew():
    """Weights of scenarios are limited by the level: those of one prove nothing at another."""
    table = _options(200)
    members = table["mean"].to_numpy() + np.random.default_rng(0).normal(0, 20, (6, 200))
    nothing = np.zeros(200)
    outlook = Effectiveness(
        options=table.drop(columns=["mean", "std"]), mean=members.mean(axis=0), std=nothing + 1.0,
        low=nothing, high=nothing, level=0.0, cold=nothing > 0, members=members.astype(np.float32),
        g_I=nothing, g_H=nothing, g_M=nothing, base=0.0, target="",
    )  # fmt: skip

    def asked(level: float) -> jc.Campaign:
        risk = jc.ConditionalShortfall(level)
        return jc.Campaign(outlook, budget=3000.0, risk_aversion=0.5, risk=risk)

    first = jc.solve(asked(0.8), jc.DualDecomposition())
    cold = jc.solve(asked(0.3), jc.DualDecomposition())
    with pytest.raises(ValueError, match="out of its limits"):
        asked(0.3).proven_bound(first.multipliers)
    for warm in (first, first.multipliers):
        again = jc.solve(asked(0.3), jc.DualDecomposition(warm=warm))
        assert again.certificate.value == pytest.approx(cold.certificate.value, rel=1e-4)


def test_what_has_no_prices_of_such_rows_is_refused():
    first = jc.solve(_campaign(*_RULES[:3]))
    with pytest.raises(jc.InputError, match="no names to find them by") as caught:
        jc.solve(_campaign(*_RULES[:2]), jc.DualDecomposition(warm=first.multipliers))
    assert "pass the answer" in caught.value.remedy
    slots = jc.solve(jc.BudgetedSlots(small_influence(), max_slots=1))
    with pytest.raises(jc.InputError, match="no answer to a campaign"):
        jc.solve(_campaign(*_RULES[:2]), jc.DualDecomposition(warm=slots))
