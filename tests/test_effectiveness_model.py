"""From a database to predictions: what is looked at, what comes out, and what is kept on disk."""

from __future__ import annotations

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import jaxcampaign as jc
from jaxcampaign.effectiveness.posts.attributes import undated_columns

QUICK = jc.Hybrid(
    jc.TowerNetwork(members=2, width=16, depth=1, n_bins=4, embedding=4, epochs=4),
    jc.LightGBM(rounds=60, leaves=8, learning_rate=0.1, threads=1),
    spread=jc.LightGBM(rounds=30, leaves=4, threads=1),
    ids=("influencer_id",),
    n_folds=2,
)


@pytest.fixture(scope="module")
def campaign():
    return jc.synth_campaign(n_influencers=40, n_events=30, n_history=1200, seed=2)


@pytest.fixture(scope="module")
def fitted(campaign):
    model = jc.EffectivenessModel("engagement", hybrid=QUICK)
    return model.fit(campaign.database(), until=campaign.as_of, show=False)


@pytest.fixture(scope="module")
def options(campaign):
    data = campaign.database()
    return jc.enumerate_options(data, as_of=campaign.as_of).iloc[::37].reset_index(drop=True)


def test_options_get_a_prediction_each(campaign, fitted, options):
    outlook = fitted.predict(options)
    n = len(options)
    assert len(outlook) == n
    parts = outlook.g_I + outlook.g_H + outlook.g_M
    np.testing.assert_allclose(outlook.base + parts, outlook.mean, rtol=1e-5, atol=1e-4)
    assert (outlook.std > 0).all() and (outlook.low < outlook.high).all()
    assert outlook.members.shape == (2, n)
    with_history = set(campaign.tables["history"]["influencer_id"])
    known = outlook.options["influencer_id"].astype("str").isin(with_history)
    np.testing.assert_array_equal(outlook.cold, ~known)
    assert 0 < outlook.cold.mean() < 1
    table = outlook.table()
    assert list(table["mean"]) == list(outlook.mean)
    few = outlook.take(np.array([3, 1]))
    np.testing.assert_array_equal(few.mean, outlook.mean[[3, 1]])
    assert few.options["price"].tolist() == [*few.price]
    assert "options of" in repr(outlook) and "<table" in outlook._repr_html_()
    truth = campaign.truth.of(options, as_of=campaign.as_of)
    assert np.corrcoef(truth["f"], outlook.mean)[0, 1] > 0.6


def test_nothing_known_later_is_looked_at(campaign, fitted, options):
    cut = campaign.tables["history"]["planned_at"].quantile(0.7)
    tables = dict(campaign.tables)
    history = tables["history"].copy()
    later = history["outcome_known_at"] >= cut
    assert later.any()
    history.loc[later, "engagement"] = 1e6
    tables["history"] = history
    model = jc.EffectivenessModel("engagement", hybrid=QUICK)
    ours = model.fit(campaign.database(), until=cut, show=False)
    theirs = model.fit(jc.open_database(tables), until=cut, show=False)
    one, other = (found.predict(options) for found in (ours, theirs))
    np.testing.assert_array_equal(one.mean, other.mean)
    np.testing.assert_array_equal(one.std, other.std)


def test_a_saved_model_predicts_the_same_bits(campaign, fitted, options, tmp_path):
    fitted.save(tmp_path / "model")
    loaded = jc.FittedModel.load(tmp_path / "model", campaign.database())
    assert (loaded.model.target, loaded.until) == ("engagement", fitted.until)
    one, other = fitted.predict(options), loaded.predict(options)
    for name in ("mean", "std", "low", "high", "g_I", "g_H", "g_M", "members"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    (file,) = (tmp_path / "model").glob("effectiveness-*.json")
    told = json.loads(file.read_text())
    file.write_text(json.dumps(told | {"target": "reach"}))
    with pytest.raises(jc.InputError, match="bytes instead of"):
        jc.FittedModel.load(tmp_path / "model", campaign.database())


def test_a_loaded_model_is_reviewed_with_its_own_settings(campaign, fitted, tmp_path):
    data = campaign.database()
    fitted.save(tmp_path / "own")
    assert jc.FittedModel.load(tmp_path / "own", data).model == fitted.model
    default = replace(fitted, model=replace(fitted.model, hybrid=None))
    default.save(tmp_path / "default")
    loaded = jc.FittedModel.load(tmp_path / "default", data)
    assert loaded.model.hybrid is None and loaded.settings_kept

    class OwnTrees(jc.LightGBM):
        """A booster from elsewhere."""

    other = replace(QUICK, booster=OwnTrees())
    replace(fitted, model=replace(fitted.model, hybrid=other)).save(tmp_path / "other")
    loaded = jc.FittedModel.load(tmp_path / "other", data)
    with pytest.raises(jc.InputError, match="does not tell the settings"):
        loaded.review(show=False)
    loaded.save(tmp_path / "again")
    assert not jc.FittedModel.load(tmp_path / "again", data).settings_kept


class _ToldError(Exception):
    """What a hybrid was told."""


class _Curious:
    """Settings that only want to know what they are to learn from."""

    def fit(self, features, y, **told):
        raise _ToldError(told)


def test_the_hybrid_is_told_when_outcomes_became_known(campaign):
    model = jc.EffectivenessModel("engagement", hybrid=_Curious())
    with pytest.raises(_ToldError) as caught:
        model.fit(campaign.database(), show=False)
    (told,) = caught.value.args
    history = campaign.tables["history"].sort_values("planned_at")
    delay = (history["outcome_known_at"] - history["planned_at"]).sort_values()
    assert list((told["known_at"] - told["time"]).sort_values()) == list(delay)
    assert told["time"].is_monotonic_increasing


def test_columns_that_nothing_dates_are_named():
    tables = jc.synth_campaign(n_influencers=10, n_events=5, n_history=120).tables
    everything = undated_columns(jc.open_database(tables))
    assert {"influencers.followers", "events.scale", "overlaps.weight"} <= set(everything)
    early = tables["history"]["planned_at"].min() - pd.Timedelta("1D")
    dated = {name: tables[name].assign(as_of=early) for name in ("influencers", "overlaps")}
    assert undated_columns(jc.open_database(tables | dated)) == ("events.scale",)


def test_a_review_holds_out_the_last_posts(fitted):
    review = fitted.review(share=0.25, show=False)
    assert 200 <= review.scores["all"]["n"] <= 400
    assert 0.7 < review.scores["all"]["coverage_90"] <= 1
    assert review.scores["all"]["r2"] > 0.2
    assert "engagement on held-out rows" in str(review)
    remark = "columns without as_of, taken as they are today: influencers.followers, "
    assert remark in str(review) and remark in review._repr_html_()


def test_the_network_is_differentiable_in_the_numbers(fitted, options):
    features = fitted.features(options.iloc[:5])
    network = fitted.hybrid.stack.network

    def total(numeric):
        filled = jnp.where(jnp.isnan(features.numeric), jnp.nan, numeric)
        return fitted.predict_fn(network.parameters, filled, features.categorical)[0].sum()

    slope = jax.grad(total)(jnp.nan_to_num(features.numeric))
    assert np.isfinite(slope).all() and np.abs(slope).max() > 0


def test_what_cannot_be_learned_is_refused(campaign):
    data = campaign.database()
    with pytest.raises(jc.InputError, match="no such outcome"):
        jc.EffectivenessModel("engagment").fit(data)
    with pytest.raises(jc.InputError, match="no outcome was known before"):
        jc.EffectivenessModel("engagement").fit(data, until=data.history["planned_at"].min())
    bare = jc.open_database({k: v for k, v in campaign.tables.items() if k != "history"})
    with pytest.raises(jc.InputError, match="history"):
        jc.EffectivenessModel("engagement").fit(bare)


def test_counts_are_predicted_in_natural_units(campaign):
    tables = dict(campaign.tables)
    history = tables["history"].copy()
    rate = np.exp(2 + 0.2 * history["engagement"] / history["engagement"].std())
    history["clicks"] = np.random.default_rng(0).poisson(rate).astype(float)
    tables["history"] = history
    hybrid = jc.Hybrid(
        jc.TowerNetwork(link="log", members=2, width=16, depth=1, n_bins=4, embedding=4, epochs=4),
        jc.LightGBM(objective="tweedie", rounds=60, leaves=8, threads=1),
        spread=QUICK.spread,
        ids=("influencer_id",),
        n_folds=2,
    )
    data = jc.open_database(tables)
    model = jc.EffectivenessModel("clicks", count=True, hybrid=hybrid)
    review = model.fit(data, show=False).review(share=0.3, show=False)
    assert 0.85 < review.scores["all"]["sum_ratio"] < 1.15
    assert pd.api.types.is_float_dtype(data.history["clicks"])


def test_what_a_user_writes(campaign):
    tables = {name: table.copy() for name, table in campaign.tables.items()}
    first = tables["events"].loc[tables["events"]["date"] > campaign.as_of, "event_id"].min()
    for name, table in tables.items():
        if "event_id" in table:
            tables[name] = table.assign(event_id=table["event_id"].replace(first, "launch"))
    data = jc.open_database(tables)
    model = jc.EffectivenessModel(target="engagement", hybrid=QUICK)
    model = model.fit(data, until=campaign.as_of, show=False)
    outlook = model.predict(jc.enumerate_options(data, events=["launch"]), parts=False)
    problem = jc.Campaign(
        outlook,
        budget=50_000,
        risk_aversion=0.5,
        constraints=[
            jc.AtMost(2, per="influencer_id"),
            jc.AtLeast(1, per="genre"),
            jc.MaxShare(0.4, per="genre", of="spend"),
            jc.AtMost(30, per=["event_location", "week"]),
        ],
    )
    plan = jc.solve(problem)
    assert plan.status == "optimal"
    posts = plan.table()
    assert (posts["event_id"] == "launch").all()
    people = tables["influencers"].drop_duplicates("influencer_id").set_index("influencer_id")
    spent = posts.groupby(people["genre"].loc[posts["influencer_id"].astype("str")].to_numpy())
    money = spent["budget"].sum()
    assert set(money.index) == set(people["genre"])
    assert money.max() <= 0.4 * money.sum() * (1 + 1e-6) <= 0.4 * 50_000 * (1 + 1e-6)
    assert posts.groupby("influencer_id", observed=True).size().max() <= 2
