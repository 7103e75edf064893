"""Splits: nothing learned from what comes later, groups whole, strata spread."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from jaxcampaign.effectiveness.hybrid.folds import forward_folds, last_rows, random_folds
from jaxcampaign.errors import InputError


def test_forward_folds_learn_only_from_before():
    rng = np.random.default_rng(0)
    time = rng.integers(0, 40, 300)
    folds = forward_folds(time, 5)
    assert len(folds) == 5
    for fold in folds:
        assert time[fold.train].max() < time[fold.test].min()
    tested = np.concatenate([fold.test for fold in folds])
    assert len(np.unique(tested)) == len(tested)
    assert set(tested) | set(folds[0].train) == set(range(300))
    assert all(30 < len(fold.test) < 70 for fold in folds)


def test_a_gap_keeps_rows_away_whose_outcome_is_not_known_yet():
    time = pd.Series(pd.date_range("2026-01-01", periods=120, freq="D", tz="UTC"))
    for fold in forward_folds(time, 3, gap=pd.Timedelta("7D")):
        assert time[fold.test].min() - time[fold.train].max() > pd.Timedelta("7D")


@pytest.mark.parametrize("gap", [None, 3.0])
def test_folds_learn_only_from_outcomes_that_were_known_before_they_begin(gap):
    rng = np.random.default_rng(2)
    time = rng.uniform(0, 100, 400)
    known = time + rng.exponential(8.0, 400)
    without = forward_folds(time, 4, gap=gap)
    for fold, other in zip(forward_folds(time, 4, gap=gap, known_at=known), without, strict=True):
        assert np.array_equal(fold.test, other.test)
        begin = time[fold.test].min() - (gap or 0.0)
        assert np.array_equal(fold.train, np.flatnonzero((time < begin) & (known < begin)))
        assert 0 < len(fold.train) < len(other.train)


def test_times_of_outcomes_may_be_instants():
    time = pd.Series(pd.date_range("2026-01-01", periods=60, freq="D", tz="UTC"))
    (fold,) = forward_folds(time, 1, known_at=time + pd.Timedelta("9.5D"))
    assert fold.train.tolist() == list(range(21)) and fold.test.tolist() == list(range(30, 60))


def test_settings_are_tried_on_rows_known_before_the_last_ones():
    rng = np.random.default_rng(3)
    order = rng.permutation(200)
    time = np.empty(200)
    time[order] = np.arange(200)
    assert all(map(np.array_equal, last_rows(order, 30), (order[:170], order[170:])))
    known = time + rng.exponential(20.0, 200)
    early, late = last_rows(order, 30, time, known)
    assert np.array_equal(late, order[170:])
    assert np.array_equal(early, [row for row in order[:170] if known[row] < 170])
    with pytest.raises(InputError, match="no outcome was known before"):
        last_rows(order, 30, time, time + 1000.0)


def test_groups_are_never_on_both_sides():
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 30, 200)
    for fold in forward_folds(np.arange(200), 4, groups=groups):
        assert not set(groups[fold.train]) & set(groups[fold.test])
        assert len(fold.train) and len(fold.test)
    for fold in random_folds(200, 4, seed=3, groups=groups):
        assert not set(groups[fold.train]) & set(groups[fold.test])


def test_random_folds_predict_every_row_once_and_spread_the_strata():
    strata = np.repeat(np.arange(20), [7 + i for i in range(20)])
    folds = random_folds(len(strata), 5, seed=0, strata=strata)
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(len(strata)))
    counts = np.array([np.bincount(strata[fold.test], minlength=20) for fold in folds])
    assert (counts.max(axis=0) - counts.min(axis=0)).max() <= 1
    for fold in folds:
        assert set(fold.train) == set(range(len(strata))) - set(fold.test)
    again, other = (random_folds(50, 5, seed=s) for s in (0, 1))
    assert np.array_equal(again[0].test, random_folds(50, 5, seed=0)[0].test)
    assert not np.array_equal(again[0].test, other[0].test)


def test_splits_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="no time before"):
        forward_folds(np.zeros(10), 2)
    with pytest.raises(InputError, match="missing"):
        forward_folds(np.array([1.0, np.nan, 2.0]), 1)
    with pytest.raises(InputError, match="no time before"):
        forward_folds(np.arange(10), 2, known_at=np.full(10, 10))
    with pytest.raises(InputError, match="9 times for 10 rows"):
        forward_folds(np.arange(10), 2, known_at=np.arange(9))
    with pytest.raises(InputError, match="too few for 5 folds"):
        random_folds(4, 5)
    with pytest.raises(InputError, match="choose one"):
        random_folds(9, 3, groups=np.zeros(9), strata=np.zeros(9))
    with pytest.raises(InputError, match="at least 2"):
        random_folds(9, 1)
