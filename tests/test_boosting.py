"""Boosted trees of all libraries behind one interface."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from rows import outcomes, permuted, random_features

from jaxcampaign.effectiveness.trees.boosting import booster_from_text
from jaxcampaign.effectiveness.trees.extra_boosters import CatBoost, XGBoost
from jaxcampaign.effectiveness.trees.lightgbm import LightGBM
from jaxcampaign.effectiveness.trees.tuning import limited
from jaxcampaign.errors import InputError

LIBRARY = {LightGBM: "lightgbm", XGBoost: "xgboost", CatBoost: "catboost"}
LEARNED, ASKED = random_features(500, 1), random_features(200, 2)
Y, TRUTH = outcomes(LEARNED, 1), outcomes(ASKED, 2)


@pytest.fixture(params=LIBRARY, ids=LIBRARY.values())
def kind(request):
    pytest.importorskip(LIBRARY[request.param])
    return request.param


def small(kind, **settings):
    return kind(rounds=60, learning_rate=0.1, threads=1, **settings)


def counts(y):
    return np.floor(np.exp(y / 3) * 2)


@pytest.mark.parametrize("objective", ["squared", "poisson", "tweedie"])
def test_predictions_contributions_and_text_agree(kind, objective):
    y, truth = (Y, TRUTH) if objective == "squared" else (counts(Y), counts(TRUTH))
    grown = small(kind, objective=objective).fit(LEARNED, y, seed=3)
    mean = grown.predict(ASKED)
    assert mean.dtype == np.float64
    assert np.mean((truth - mean) ** 2) < 0.8 * np.var(truth)
    if objective != "squared":
        assert (mean > 0).all()
    account = grown.contributions(ASKED)
    score = account.base + sum(account.parts.values())
    assert score == pytest.approx(mean if objective == "squared" else np.log(mean), abs=2e-5)
    again = booster_from_text(grown.to_text())
    assert np.array_equal(again.predict(ASKED), mean)
    assert again.importance().equals(grown.importance())
    assert again.rounds == grown.rounds == 60


def test_the_same_seed_grows_the_same_trees(kind):
    first, again = (small(kind).fit(LEARNED, Y, seed=5).predict(ASKED) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, small(kind).fit(LEARNED, Y, seed=6).predict(ASKED))


@pytest.mark.parametrize("objective", ["squared", "tweedie"])
def test_lightgbm_grows_the_same_trees_on_any_threads(objective):
    rows = random_features(4000, 4)
    y = outcomes(rows, 4) if objective == "squared" else counts(outcomes(rows, 4))
    one = replace(small(LightGBM, objective=objective, additive=True), rounds=12)
    expected = one.fit(rows, y, seed=5).predict(ASKED)
    grown = limited(replace(one, threads=0), 2).fit(rows, y, seed=5)
    assert "[num_threads: 2]" in grown.model
    assert np.array_equal(grown.predict(ASKED), expected)
    assert limited(one, 3) is one and limited(replace(one, threads=0), 0).threads == 0


def test_growing_stops_when_validation_gains_no_more(kind):
    eager = replace(small(kind), rounds=400, learning_rate=0.3, patience=10)
    noise = np.random.default_rng(0).normal(size=200)
    grown = eager.fit(LEARNED, Y, validation=(ASKED, TRUTH + noise))
    assert 1 <= grown.rounds < 300
    assert grown.predict(ASKED.take(slice(0, 0))).shape == (0,)


def test_unseen_and_missing_categories_are_the_same(kind):
    grown = small(kind).fit(LEARNED, Y)
    codes = ASKED.categorical.copy()
    codes[:, 0] = 35  # a category of the table that no row has
    unseen = replace(ASKED, categorical=codes)
    codes = codes.copy()
    codes[:, 0] = -1
    assert np.isfinite(grown.predict(unseen)).all()
    if kind is not CatBoost:  # to which a missing category is one of its own
        missing = replace(ASKED, categorical=codes)
        assert np.array_equal(grown.predict(unseen), grown.predict(missing))


def test_weights_of_zero_are_rows_that_are_not_there(kind):
    weight = (np.arange(500) < 400).astype(float)
    spoilt = np.where(weight > 0, Y, 1000.0)
    assert small(kind).fit(LEARNED, spoilt, weight=weight).predict(ASKED).max() < 50


@pytest.mark.parametrize("kind", [LightGBM, XGBoost], ids=["lightgbm", "xgboost"])
def test_additive_trees_are_exactly_additive(kind):
    pytest.importorskip(LIBRARY[kind])
    grown = small(kind, additive=True).fit(LEARNED, Y, seed=1)
    before = grown.contributions(ASKED).parts
    after = grown.contributions(permuted(ASKED, "HM")).parts
    assert np.abs(after["I"] - before["I"]).max() == 0.0
    assert np.abs(after["H"] - before["H"]).max() > 0.1
    free = small(kind).fit(LEARNED, Y, seed=1)
    changed = free.contributions(permuted(ASKED, "HM")).parts["I"]
    assert np.abs(changed - free.contributions(ASKED).parts["I"]).max() > 0.01


def test_the_columns_that_matter_are_the_important_ones(kind):
    table = small(kind).fit(LEARNED, 3 * np.nan_to_num(LEARNED.numeric[:, 2])).importance()
    assert table.loc[0, ["feature", "source"]].tolist() == ["c", "H"]
    assert table["gain"].sum() == pytest.approx(1)
    assert set(table["feature"]) == {*LEARNED.numeric_names, *LEARNED.categorical_names}


def test_what_does_not_fit_is_refused(kind):
    booster = small(kind, objective="poisson")
    with pytest.raises(InputError, match="not negative"):
        booster.fit(LEARNED, Y)
    with pytest.raises(InputError, match="every outcome is zero"):
        booster.fit(LEARNED, 0 * Y)
    with pytest.raises(InputError, match="outcomes of shape"):
        small(kind).fit(LEARNED, Y[:-1])
    with pytest.raises(InputError, match="not finite"):
        small(kind).fit(LEARNED, np.where(Y > 1, np.nan, Y))
    with pytest.raises(InputError, match="unknown objective"):
        small(kind, objective="quantile").fit(LEARNED, Y)
    with pytest.raises(InputError, match="weights"):
        small(kind).fit(LEARNED, Y, weight=-np.ones(500))
    grown = small(kind).fit(LEARNED, Y)
    with pytest.raises(InputError, match="column f: the columns are not those"):
        grown.predict(ASKED.with_numeric({"f": np.zeros(200)}, ("I",)))


def test_text_of_another_kind_is_refused():
    for text in ("", "[]", "{}", '{"kind": "lightgbm"}', json.dumps({"kind": 1, "columns": 2})):
        with pytest.raises(InputError, match="not the text of a booster"):
            booster_from_text(text)
    record = json.loads(small(LightGBM).fit(LEARNED, Y).to_text())
    with pytest.raises(InputError, match="unknown kind"):
        booster_from_text(json.dumps(record | {"kind": "forest"}))


@pytest.mark.parametrize("kind", [XGBoost, CatBoost], ids=["xgboost", "catboost"])
def test_a_library_that_is_missing_is_named_with_its_extra(kind, monkeypatch):
    def absent(name, *rest):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(InputError, match=r"jaxcampaign\[boost\]"):
        small(kind).fit(LEARNED, Y)


def test_libraries_are_imported_when_used_only():
    heavy = "('lightgbm', 'xgboost', 'catboost', 'matplotlib')"
    code = (
        "import sys, jaxcampaign.effectiveness, jaxcampaign.effectiveness.hybrid.fit, "
        "jaxcampaign.effectiveness.trees.extra_boosters, "
        "jaxcampaign.effectiveness.assessment.reviews; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
