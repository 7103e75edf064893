"""Boosters that choose their settings: the best on rows held back, with its rounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from rows import outcomes, random_features

from jaxcampaign.effectiveness.trees.lightgbm import LightGBM
from jaxcampaign.effectiveness.trees.tuning import BestOf, lightgbm_candidates, settled
from jaxcampaign.errors import InputError

ROWS = random_features(1200, 1)
Y = outcomes(ROWS, 1)
EARLY, LATE = ROWS.take(slice(1000)), ROWS.take(slice(1000, None))
GOOD = LightGBM(rounds=80, learning_rate=0.1, leaves=8, threads=1, patience=20)
POOR = replace(GOOD, leaves=2, rounds=3)


@pytest.mark.parametrize("order", [(GOOD, POOR), (POOR, GOOD)], ids=["first", "last"])
def test_the_best_settings_win_wherever_they_stand(order):
    validation = (LATE, Y[1000:])
    best, grown = settled(BestOf(order), EARLY, Y[:1000], validation=validation)
    assert best == replace(GOOD, rounds=grown.rounds)
    alone = GOOD.fit(EARLY, Y[:1000], validation=validation)
    assert np.array_equal(grown.predict(LATE), alone.predict(LATE))
    single, _ = settled(GOOD, EARLY, Y[:1000], validation=validation)
    assert single == best


def test_it_is_a_booster_like_any_other():
    both = BestOf((POOR, GOOD))
    assert both.rounds == 80 and both.objective == "squared"
    whole = both.fit(ROWS, Y)
    best, _ = settled(both, EARLY, Y[:1000], validation=(LATE, Y[1000:]))
    assert np.array_equal(whole.predict(LATE), best.fit(ROWS, Y).predict(LATE))


def test_counts_are_judged_by_their_deviance():
    # Two outliers decide the squared error; the deviance sees that the rest is predicted well.
    rate = np.exp(outcomes(ROWS, 2, noise=0.0) / 2)
    y = np.random.default_rng(0).poisson(rate).astype(float)
    y[[1100, 1101]] = 500.0
    flat = replace(POOR, rounds=1, learning_rate=1e-6, objective="poisson")
    good = replace(GOOD, objective="poisson")
    best, _ = settled(BestOf((flat, good)), EARLY, y[:1000], validation=(LATE, y[1000:]))
    assert best.leaves == good.leaves


def test_candidates_share_an_objective():
    with pytest.raises(InputError, match="share an objective"):
        BestOf((GOOD, replace(GOOD, objective="poisson")))
    assert {b.objective for b in lightgbm_candidates("tweedie").candidates} == {"tweedie"}
