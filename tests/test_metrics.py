"""Scores against brute force: numerical integration, counting, and known answers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from jaxcampaign.effectiveness.assessment import metrics
from jaxcampaign.errors import InputError


@pytest.fixture(scope="module")
def forecast():
    rng = np.random.default_rng(0)
    mean = rng.normal(3.0, 2.0, 400)
    std = rng.uniform(0.2, 2.0, 400)
    return rng.normal(mean, std), mean, std


def test_crps_is_the_integral_of_the_squared_distance_of_the_distributions():
    for y, mean, std in [(0.3, 1.0, 0.5), (-2.0, 0.0, 3.0), (4.0, 4.0, 0.1)]:
        left, _ = integrate.quad(lambda x: stats.norm.cdf(x, mean, std) ** 2, -40, y, limit=500)  # noqa: B023
        right, _ = integrate.quad(lambda x: stats.norm.sf(x, mean, std) ** 2, y, 40, limit=500)  # noqa: B023
        assert metrics.crps([y], [mean], [std]) == pytest.approx(left + right, rel=1e-6)


def test_likelihood_is_that_of_scipy(forecast):
    y, mean, std = forecast
    assert metrics.gaussian_nll(y, mean, std) == pytest.approx(
        -stats.norm.logpdf(y, mean, std).mean(), rel=1e-12
    )


def test_errors_by_hand():
    y, mean = [1.0, 2.0, 6.0], [1.0, 4.0, 5.0]
    assert metrics.rmse(y, mean) == pytest.approx(np.sqrt(5 / 3))
    assert metrics.wmape(y, mean) == pytest.approx(3 / 9)
    assert metrics.r_squared(y, mean) == pytest.approx(1 - 5 / 14)
    assert metrics.sum_ratio(y, mean) == pytest.approx(10 / 9)
    assert metrics.z_rms(y, mean, [1.0, 2.0, 0.5]) == pytest.approx(np.sqrt((0 + 1 + 4) / 3))
    assert metrics.coverage(y, [0, 3, 6], [2, 4, 7]) == pytest.approx(2 / 3)


def test_scores_that_have_no_denominator_are_not_a_number():
    assert np.isnan(metrics.wmape([0.0, 0.0], [1.0, 2.0]))
    assert np.isnan(metrics.sum_ratio([0.0], [1.0]))
    assert np.isnan(metrics.r_squared([2.0, 2.0], [1.0, 2.0]))


def test_a_true_forecast_is_calibrated(forecast):
    rng = np.random.default_rng(1)
    mean, std = (np.tile(column, 100) for column in forecast[1:])
    y = rng.normal(mean, std)
    found = metrics.scores(y, mean, std)
    assert found["z_rms"] == pytest.approx(1, abs=0.02)
    for level in (50, 80, 90):
        assert found[f"coverage_{level}"] == pytest.approx(level / 100, abs=0.01)
    assert metrics.pit_histogram(y, mean, std) == pytest.approx(np.full(10, 0.1), abs=0.01)
    assert metrics.pit_histogram(y, mean, 2 * std)[[0, 9]].max() < 0.06
    assert found["sharpness"] == pytest.approx(std.mean())


def test_deciles_are_groups_of_equal_size_by_prediction(forecast):
    y, mean, _ = forecast
    table = metrics.decile_table(y, mean)
    order = np.argsort(mean)
    for i, row in table.iterrows():
        own = order[40 * i : 40 * (i + 1)]
        assert row["n"] == 40
        assert row["predicted"] == pytest.approx(mean[own].mean())
        assert row["observed"] == pytest.approx(y[own].mean())
        assert row["standard_error"] == pytest.approx(stats.sem(y[own]))
    few = metrics.decile_table(y[:4], mean[:4])
    assert few["n"].tolist() == [1, 1, 1, 1]


def test_intervals_given_are_those_that_are_counted(forecast):
    y, mean, std = forecast
    wide = {0.9: (mean - 1e9, mean + 1e9), 0.5: (mean + 1e9, mean + 2e9)}
    found = metrics.scores(y, mean, std, intervals=wide)
    assert (found["coverage_90"], found["coverage_50"]) == (1.0, 0.0)
    assert "coverage_80" not in found
    assert "nll" not in metrics.scores(y, mean)


@pytest.mark.parametrize(
    ("y", "mean", "std", "named"),
    [
        ([1.0], [1.0, 2.0], [1.0], "length"),
        ([np.nan], [1.0], [1.0], "not finite"),
        ([1.0], [1.0], [0.0], "not positive"),
        ([], [], [], "no observation"),
    ],
)
def test_what_cannot_be_scored_is_refused(y, mean, std, named):
    with pytest.raises(InputError, match=named):
        metrics.scores(y, mean, std)
