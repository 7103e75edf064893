"""Calibrated deviations and intervals: coverage, finite samples, warm and cold apart."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
import pytest

from jaxcampaign.effectiveness.assessment.calibration import Calibration
from jaxcampaign.errors import InputError


def outcomes(n: int, seed: int, cold_factor: float = 3.0):
    """Outcomes whose deviation is twice the predicted one, for cold rows more, with fat tails."""
    rng = np.random.default_rng(seed)
    mean, std = rng.normal(size=n), rng.uniform(0.5, 2.0, n)
    cold = rng.random(n) < 0.3
    noise = rng.standard_t(5, n) / np.sqrt(5 / 3)
    return mean + 2 * std * np.where(cold, cold_factor, 1.0) * noise, mean, std, cold


def test_deviations_become_right_for_warm_and_cold():
    y, mean, std, cold = outcomes(4000, 0)
    calibration = Calibration.fit(y, mean, std, cold)
    z = (y - mean) / calibration.std(std, cold)
    for kind in (cold, ~cold):
        assert np.sqrt(np.mean(z[kind] ** 2)) == pytest.approx(1, rel=0.05)
    assert calibration.scale == pytest.approx((2.0, 6.0), rel=0.1)
    assert calibration.pooled == ()


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_intervals_cover_new_rows_of_either_kind(level):
    calibration = Calibration.fit(*outcomes(10_000, 1))
    y, mean, std, cold = outcomes(20_000, 2)
    low, high = calibration.interval(mean, std, level, cold)
    inside = (low <= y) & (y <= high)
    assert inside[cold].mean() == pytest.approx(level, abs=0.03)
    assert inside[~cold].mean() == pytest.approx(level, abs=0.03)


@pytest.mark.parametrize("n", [19, 20, 39, 57, 99])
def test_the_rank_is_the_one_of_finite_samples(n):
    scores = np.random.default_rng(n).permutation(np.arange(1.0, n + 1))
    levels = (0.5, 0.8, 0.9, 0.95)
    calibration = Calibration.fit(scores, np.zeros(n), np.ones(n), levels=levels)
    exact = [Fraction(1, 2), Fraction(4, 5), Fraction(9, 10), Fraction(19, 20)]
    assert list(calibration.reach[0]) == [ceil((n + 1) * level) for level in exact]


def test_average_coverage_with_few_rows_is_at_least_the_level():
    inside = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        y = rng.normal(size=20)
        calibration = Calibration.fit(y[:19], np.zeros(19), np.ones(19), levels=(0.9,))
        low, high = calibration.interval(np.zeros(1), np.ones(1), 0.9)
        inside.append(low[0] <= y[19] <= high[0])
    assert 0.87 < np.mean(inside) < 0.94


def test_few_rows_of_a_kind_are_drawn_towards_all_rows():
    y, mean, std, _ = outcomes(500, 3)
    everyone = Calibration.fit(y, mean, std)
    z = np.abs((y - mean) / std)
    for n in (10, 40):
        cold = np.arange(500) < n
        found = Calibration.fit(y, mean, std, cold)
        assert found.n_rows == (500 - n, n)
        assert found.pooled == (("cold",) if n < 19 else ())
        if n < 19:
            assert found.scale[1] == pytest.approx(everyone.scale[0])
            assert found.reach[1] == everyone.reach[0]
            continue
        # As if of 40 rows of its own and 100 of all.
        square = (z[cold] ** 2).mean() * 40 / 140 + (z**2).mean() * 100 / 140
        assert found.scale[1] == pytest.approx(np.sqrt(square))
        own = np.sort(z[cold])[36]  # the ceil(41 * 0.9)-th
        expected = own * 40 / 140 + everyone.reach[0][2] * 100 / 140
        assert found.reach[1][2] == pytest.approx(expected)


def test_json_loses_nothing():
    calibration = Calibration.fit(*outcomes(300, 4))
    assert Calibration.from_json(calibration.to_json()) == calibration
    with pytest.raises(InputError, match="not the text"):
        Calibration.from_json("[1]")


def test_what_cannot_be_calibrated_is_refused():
    y, mean, std, cold = outcomes(300, 5)
    with pytest.raises(InputError, match="18 rows cannot calibrate"):
        Calibration.fit(y[:18], mean[:18], std[:18])
    with pytest.raises(InputError, match="not positive"):
        Calibration.fit(y, mean, 0 * std)
    with pytest.raises(InputError, match="between 0 and 1"):
        Calibration.fit(y, mean, std, levels=(0.5, 1.0))
    with pytest.raises(InputError, match=r"calibrated are: 0\.5, 0\.8"):
        Calibration.fit(y, mean, std).interval(mean, std, 0.77, cold)


def test_exact_predictions_keep_their_deviation():
    calibration = Calibration.fit(np.zeros(30), np.zeros(30), np.ones(30))
    assert calibration.std(np.ones(2)).tolist() == [1.0, 1.0]
