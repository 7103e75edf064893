"""Probability links and the field's cost and demand formulas against exact arithmetic."""

from __future__ import annotations

import decimal

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from jaxcampaign.errors import InputError
from jaxcampaign.influence.links import Clip, IndependentExposures, ProportionalHits, SizeRatio
from jaxcampaign.influence.supply import experiment_demands, influence_proportional_cost, supply

RATIO = np.array([0.0, 1e-12, 0.25, 0.5, 1.0, 1.0])
HITS = np.array([3, 2, 1, 4, 1, 7])


def exactly(ratio: float, hits: int, scale: float = 1.0) -> float:
    with decimal.localcontext(decimal.Context(prec=700)):
        miss = 1 - decimal.Decimal(scale * ratio)
        return float(1 - miss**hits) if hits else 0.0


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (SizeRatio(), RATIO),
        (SizeRatio(scale=0.3), 0.3 * RATIO),
        (IndependentExposures(), [0, 2e-12, 0.25, 0.9375, 1, 1]),
        (Clip(ProportionalHits()), [0, 2e-12, 0.25, 1, 1, 1]),
        (Clip(ProportionalHits(scale=0.1)), [0, 2e-13, 0.025, 0.2, 0.1, 0.7]),
        (Clip(SizeRatio()), RATIO),
    ],
    ids=repr,
)
def test_links_by_hand(link, expected):
    prob = link(RATIO, HITS)
    assert prob.dtype == np.float64
    np.testing.assert_allclose(prob, expected, rtol=1e-12)
    np.testing.assert_array_equal(link(RATIO, 0 * HITS), np.zeros(6))


@hypothesis.given(
    ratio=st.one_of(st.floats(0, 1), st.floats(0, 1e-9), st.floats(1 - 1e-9, 1)),
    hits=st.integers(0, 500),
    scale=st.floats(1e-6, 1),
)
@hypothesis.settings(deadline=None)
def test_independent_exposures_are_exact(ratio, hits, scale):
    prob = IndependentExposures(scale)(np.array([ratio]), np.array([hits]))[0]
    expected = exactly(ratio, hits, scale)
    assert 0 <= prob <= 1
    assert abs(prob - expected) <= 1e-14 * expected + 1e-300


def test_certain_exposure_is_exactly_one():
    assert (IndependentExposures()(np.ones(3), np.array([1, 2, 10**9])) == 1.0).all()


def test_independent_exposures_agree_with_the_influence_function():
    """h visits within a slot influence like h slots of one visit each."""
    q, hits = np.array([0.1, 0.35]), np.array([3, 5])
    apart = [
        1 - np.prod(1 - IndependentExposures()(np.full(h, r), np.ones(h, int)))
        for r, h in zip(q, hits, strict=True)
    ]
    np.testing.assert_allclose(IndependentExposures()(q, hits), apart, rtol=1e-14)


def test_published_value_is_proportional_hits():
    """hits * size / (largest size + 1)."""
    size, hits, largest = np.array([242.74, 672.0, 20925.0]), np.array([1, 58, 1]), 20925.0
    link = ProportionalHits(scale=largest / (largest + 1))
    np.testing.assert_allclose(link(size / largest, hits[[0, 0, 0]]), size / 20926, rtol=1e-14)
    with pytest.raises(InputError, match=r"Clip\(ProportionalHits") as caught:
        link(size / largest, hits)
    assert caught.value.rows == [1]
    assert caught.value.value == pytest.approx(58 * 672 / 20926)


@pytest.mark.parametrize(
    ("ratio", "hits", "column", "rows"),
    [
        ([0.5, 1.1], [1, 1], "size_ratio", [1]),
        ([-0.1, 0.5], [1, 1], "size_ratio", [0]),
        ([0.5, np.nan], [1, 1], "size_ratio", [1]),
        ([0.5, 0.5], [1, -1], "hits", [1]),
        ([0.5, 0.5], [1.5, 1], "hits", [0]),
    ],
)
def test_bad_link_arguments_are_refused(ratio, hits, column, rows):
    for link in (SizeRatio(), IndependentExposures(), Clip(ProportionalHits())):
        with pytest.raises(InputError) as caught:
            link(ratio, hits)
        assert (caught.value.column, caught.value.rows) == (column, rows)


@pytest.mark.parametrize("kind", [SizeRatio, IndependentExposures, ProportionalHits])
@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf"), "1"])
def test_bad_scales_are_refused(kind, scale):
    with pytest.raises(InputError, match="scale"):
        kind(scale=scale)


def test_scale_above_one_is_for_strengths_only():
    assert Clip(ProportionalHits(scale=5.0))([0.5], [1])[0] == 1
    for kind in (SizeRatio, IndependentExposures):
        with pytest.raises(InputError, match=r"\(0, 1\]"):
            kind(scale=1.5)


def test_links_are_values():
    assert Clip(ProportionalHits(2.0)) == Clip(ProportionalHits(2.0))
    assert SizeRatio(0.5) != SizeRatio(0.25)
    assert repr(Clip(SizeRatio())) == "Clip(link=SizeRatio(scale=1.0))"


# Supply, costs, demands

SINGLETON = np.random.default_rng(0).gamma(1.0, 2.0, 4000)


@pytest.mark.parametrize("ids", [None, np.array([f"s{k}" for k in range(4000)], dtype=object)])
def test_costs_are_a_tenth_of_influence_give_or_take_a_tenth(ids):
    cost = influence_proportional_cost(SINGLETON, seed=3, slot_ids=ids)
    d = cost * 10 / SINGLETON
    assert (d.min(), d.max()) == pytest.approx((0.9, 1.1), abs=1e-3)
    counts = np.histogram(d, bins=10, range=(0.9, 1.1))[0]
    assert abs(counts - 400).max() < 5 * np.sqrt(400)  # uniform
    np.testing.assert_array_equal(
        cost, influence_proportional_cost(SINGLETON, seed=3, slot_ids=ids)
    )
    other = influence_proportional_cost(SINGLETON, seed=4, slot_ids=ids)
    assert abs(np.corrcoef(d, other * 10 / SINGLETON)[0, 1]) < 0.1


def test_cost_belongs_to_the_slot_id():
    ids = np.array([f"board {k}|é" for k in range(4000)], dtype=object)
    cost = influence_proportional_cost(SINGLETON, seed=3, slot_ids=ids)
    some = np.random.default_rng(1).permutation(4000)[:50]
    alone = influence_proportional_cost(SINGLETON[some], seed=3, slot_ids=ids[some])
    np.testing.assert_array_equal(alone, cost[some])
    # the same on every platform and in every release
    fixed = influence_proportional_cost([1.0, 1.0], seed=0, slot_ids=["a", "b"])
    np.testing.assert_allclose(fixed, [0.10538496831074493, 0.09101703999941659], rtol=1e-12)


def test_cost_without_ids_belongs_to_the_position():
    cost = influence_proportional_cost(SINGLETON, seed=3)
    np.testing.assert_array_equal(cost[:50], influence_proportional_cost(SINGLETON[:50], seed=3))


def test_demands_follow_the_ratios():
    total = supply(SINGLETON)
    assert total == pytest.approx(SINGLETON.sum())
    demand = experiment_demands(SINGLETON, alpha=0.4, beta=0.002, seed=5)
    assert demand.shape == (200,)
    assert (demand == np.floor(demand)).all()
    assert demand.min() >= np.floor(0.8 * 0.002 * total)
    assert demand.max() <= 1.2 * 0.002 * total
    assert demand.sum() / total == pytest.approx(0.4, rel=0.06)
    fewer = experiment_demands(SINGLETON, alpha=0.2, beta=0.002, seed=5)
    np.testing.assert_array_equal(demand[:100], fewer)


@pytest.mark.parametrize(
    "call",
    [
        lambda: supply([1.0, -1.0]),
        lambda: supply([[1.0]]),
        lambda: influence_proportional_cost([1.0, np.nan], seed=0),
        lambda: influence_proportional_cost([1.0], seed=-1),
        lambda: influence_proportional_cost([1.0], seed=0.5),
        lambda: influence_proportional_cost([1.0, 2.0], seed=0, slot_ids=["a"]),
        lambda: experiment_demands([1.0], alpha=0.0, beta=0.1, seed=0),
        lambda: experiment_demands([1.0], alpha=0.5, beta=float("nan"), seed=0),
        lambda: experiment_demands([1.0], alpha=0.1, beta=0.5, seed=0),
    ],
)
def test_bad_experiments_are_refused(call):
    with pytest.raises(InputError):
        call()
