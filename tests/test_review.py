"""One call that says how well a model fits held-out rows."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from rows import random_features

from jaxcampaign.effectiveness import Prediction
from jaxcampaign.effectiveness.assessment import metrics
from jaxcampaign.effectiveness.assessment.reviews import permutation_importance, review
from jaxcampaign.errors import InputError

ROWS = random_features(800, 3)


def clean(features):
    return 3 * np.nan_to_num(features.numeric[:, 0].astype(float)) + np.nan_to_num(
        features.numeric[:, 2].astype(float)
    )


def model(parts: bool = True, **more):
    def predict(features):
        mean = 10 + clean(features)
        split = {"I": mean - 10, "H": 0 * mean, "M": 0 * mean} if parts else {}
        return Prediction(mean, np.ones(len(mean)), mean[None], parts=split, base=10.0)

    return SimpleNamespace(predict=predict, **more)


Y = 10 + clean(ROWS) + np.random.default_rng(0).normal(size=800)


@pytest.fixture(scope="module")
def found():
    return review(model(), ROWS, Y, cold=np.arange(800) < 200, target="engagement (log)")


def test_the_table_has_every_score_for_warm_and_cold(found):
    table = found.table()
    assert table.index.tolist() == ["all", "warm", "cold"]
    assert table["n"].tolist() == [800, 600, 200]
    mean = 10 + clean(ROWS)
    assert table.loc["cold", "rmse"] == metrics.rmse(Y[:200], mean[:200])
    assert table.loc["warm", "crps"] == metrics.crps(Y[200:], mean[200:], np.ones(600))
    assert table.loc["all", "coverage_90"] == pytest.approx(0.9, abs=0.04)
    assert found.pit.sum() == pytest.approx(1)
    assert len(found.deciles) == 10


def test_the_text_names_the_target_and_the_scores(found):
    text = str(found)
    for part in ("engagement (log)", "rmse", "coverage_90", "warm", "predicted / observed total"):
        assert part in text


def test_the_waterfall_ends_at_the_prediction_of_the_highest_decile(found):
    value = found.waterfall.set_index("step")["value"]
    top = np.argsort(clean(ROWS))[-80:]
    assert value["predicted"] == pytest.approx(10 + clean(ROWS)[top].mean())
    assert value["observed"] == pytest.approx(Y[top].mean())
    assert value[["base", "I", "H", "M"]].sum() == pytest.approx(value["predicted"])


def test_importance_is_of_the_columns_that_are_used(found):
    table = found.importance.set_index("feature")
    assert found.importance["feature"].tolist()[:2] == ["a", "c"]
    assert table.loc["a", "rise"] > 2
    assert (table.loc[["b", "d", "e", "influencer_id", "season"], "rise"] == 0).all()
    assert table.loc["c", "source"] == "H"
    again = permutation_importance(model(), ROWS, Y, seed=1)
    assert again["rise"].iloc[0] == pytest.approx(table["rise"].iloc[0], rel=0.1)


def test_a_models_own_intervals_and_cold_rows_are_used():
    wide = model(
        interval=lambda features, level: (np.full(800, -1e9), np.full(800, 1e9)),
        cold=lambda features: features.categorical[:, 0] < 0,
    )
    found = review(wide, ROWS, Y)
    assert found.scores["all"]["coverage_50"] == 1.0
    assert found.scores["cold"]["n"] == np.count_nonzero(ROWS.categorical[:, 0] < 0)


@pytest.mark.parametrize("parts", [True, False])
def test_the_page_has_a_chart_for_each_question(parts):
    found = review(model(parts), ROWS, Y, target="engagement (log)")
    assert list(found.scores) == ["all"]
    titles = [axes.get_title(loc="left") for axes in found.figure().axes]
    assert len(titles) == 4 + parts
    assert any("decile" in title for title in titles)
    assert found.figure()._repr_png_().startswith(b"\x89PNG")
    page = found._repr_html_()
    assert "data:image/png;base64," in page and "<table" in page


def test_observations_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="observations of shape"):
        review(model(), ROWS, Y[:-1])
    with pytest.raises(InputError, match="observations of shape"):
        review(model(), ROWS.take(slice(0, 0)), Y[:0])
