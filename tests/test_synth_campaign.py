"""The synthetic campaign is seeded, canonical, and its truth is what its equations say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from jaxcampaign.cli import main
from jaxcampaign.effectiveness import enumerate_options
from jaxcampaign.errors import InputError
from jaxcampaign.tables import open_database, read_table, synth_campaign, validate

WORLD = synth_campaign(n_influencers=80, n_events=60, n_history=6_000, days=400, seed=5)
HISTORY, TRUTH = WORLD.tables["history"], WORLD.truth.history


def test_the_seed_decides():
    size = {"n_influencers": 80, "n_events": 60, "n_history": 6_000, "days": 400}
    again, other = synth_campaign(**size, seed=5), synth_campaign(**size, seed=6)
    for name, table in WORLD.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table)
        assert not other.tables[name].equals(table)
    pd.testing.assert_frame_equal(again.truth.history, TRUTH)


@pytest.mark.parametrize(
    "size",
    [
        {},
        {"n_influencers": 1, "n_events": 1, "n_future_events": 1, "n_history": 1, "days": 120},
        {"n_influencers": 500, "n_events": 3, "n_history": 40, "cold": 0.9, "seed": 9},
    ],
)
def test_tables_are_canonical_and_pass_the_door(size):
    world = WORLD if not size else synth_campaign(**size)
    for kind, table in world.tables.items():
        pd.testing.assert_frame_equal(validate(kind, table), table)
    data = world.database()
    assert data.outcomes == ("engagement", "impressions")
    assert len(enumerate_options(data, as_of=world.as_of)) > 0


def test_truth_stays_out_of_the_tables():
    for table in WORLD.tables.values():
        assert not set(table.columns) & set(TRUTH.columns)
        numbers = table.select_dtypes("number")
        if len(table) == len(TRUTH):
            for name in numbers:
                assert abs(np.corrcoef(numbers[name], TRUTH["f"])[0, 1]) < 0.95


def test_outcomes_are_the_truth_and_noise():
    z = (HISTORY["engagement"] - TRUTH["f"]) / TRUTH["sigma"]
    assert z.mean() == pytest.approx(0, abs=0.05)
    assert z.std() == pytest.approx(1, abs=0.04)
    assert (z**2).corr(TRUTH["sigma"]) == pytest.approx(0, abs=0.06)  # sigma explains the spread
    assert TRUTH["sigma"].max() > 2 * TRUTH["sigma"].min()
    parts = TRUTH[["g_I", "g_H", "g_M"]]
    np.testing.assert_allclose(WORLD.truth.base + parts.sum(axis=1), TRUTH["f"], rtol=1e-12)
    assert (parts.std() > 1.0).all()
    assert (TRUTH["interaction"] == 0).all()


def _form(past: pd.DataFrame, cut: pd.Timestamp) -> tuple[float, float]:
    """Recent level less the lasting one, and the sum of weights."""
    weight = 0.5 ** ((cut - past["outcome_known_at"]) / pd.Timedelta("45D"))
    excess = past["engagement"] - 40
    lasting = excess.sum() / (len(past) + 2)
    return (weight * (excess - lasting)).sum() / (weight.sum() + 2), weight.sum()


def test_memory_of_history_against_plain_loops():
    overlaps = WORLD.tables["overlaps"]
    for r in np.random.default_rng(1).choice(len(HISTORY), 40, replace=False):
        row = HISTORY.iloc[r]
        cut, name = row["planned_at"], row["influencer_id"]
        known = HISTORY[HISTORY["outcome_known_at"] < cut]
        past = known[known["influencer_id"] == name]
        form, load = _form(past, cut)
        practice = (past["content_type"] == row["content_type"]).sum()
        ends = overlaps[(overlaps[["influencer_id", "other_id"]] == name).any(axis=1)]
        others = ends["influencer_id"].where(ends["other_id"] == name, ends["other_id"])
        forms = [_form(known[known["influencer_id"] == other], cut)[0] for other in others]
        around = np.average(forms, weights=ends["weight"]) if len(ends) else 0.0
        expected = (
            5 * np.tanh(form / 3)
            + 2 * np.tanh(around / 1.5)
            + 5 * practice / (practice + 6)
            - 5 * load**2 / (load**2 + 36)
        )
        assert TRUTH["g_H"].iloc[r] == pytest.approx(expected, abs=1e-9)


def test_history_is_a_state_that_moves_and_no_trait_of_influencers():
    lasting = TRUTH["g_H"].groupby(HISTORY["influencer_id"].to_numpy()).transform("mean")
    assert lasting.var() < 0.35 * TRUTH["g_H"].var()


def test_overlapping_audiences_like_the_same():
    appeal, overlap = WORLD.truth._traits.appeal, WORLD.truth._traits.overlap
    assert np.corrcoef(appeal, overlap.mean(appeal))[0, 1] > 0.5


def test_influencers_join_over_time():
    day = (HISTORY["posted_at"] - HISTORY["posted_at"].min()) / pd.Timedelta("1D")
    first = day.groupby(HISTORY["influencer_id"].to_numpy()).min() / day.max()
    assert 0.2 < (first > 0.25).mean() < 0.6


def test_truth_of_options_is_the_truth_of_history():
    """A row of history, asked about as an option at its own cut-off, gives its own truth."""
    for r in range(0, len(HISTORY), 700):
        row = HISTORY.iloc[[r]].rename(columns={"spend": "price"})
        found = WORLD.truth.of(row, row["planned_at"].iloc[0])
        np.testing.assert_allclose(found.iloc[0], TRUTH.iloc[r], rtol=1e-9, atol=1e-9)


def test_truth_of_options_in_any_form():
    options = enumerate_options(WORLD.database(), as_of=WORLD.as_of)
    truth = WORLD.truth.of(options, WORLD.as_of)
    assert len(truth) == len(options)
    rows = np.random.default_rng(0).permutation(len(options))[:200]
    part = options.iloc[rows]
    part = part.astype(dict.fromkeys(part.select_dtypes("category"), "str"))
    again = WORLD.truth.of(part, WORLD.as_of).to_numpy()
    np.testing.assert_allclose(again, truth.to_numpy()[rows])
    with pytest.raises(InputError, match="not of this campaign"):
        WORLD.truth.of(part.assign(event_id="e999"), WORLD.as_of)


def test_cold_influencers_have_no_history_of_their_own():
    active = set(HISTORY["influencer_id"])
    assert 60 <= len(active) <= 72  # some join too late to be worked with
    options = enumerate_options(WORLD.database(), as_of=WORLD.as_of)
    truth = WORLD.truth.of(options, WORLD.as_of)
    cold = ~options["influencer_id"].isin(active).to_numpy()
    assert cold.any()
    assert truth.loc[cold, "g_H"].abs().max() <= 2  # what spills over from others
    assert truth.loc[~cold, "g_H"].abs().max() > 2


def test_history_is_over_before_the_cut_off():
    assert (HISTORY["outcome_known_at"] < WORLD.as_of).all()
    assert (WORLD.tables["market"]["available_at"] <= WORLD.as_of).all()
    future = WORLD.tables["events"]["date"] > WORLD.as_of
    assert future.sum() == 12
    assert not set(WORLD.tables["events"]["event_id"][future]) & set(HISTORY["event_id"])


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_a_non_additive_share(share):
    world = synth_campaign(n_influencers=80, n_history=8_000, days=400, non_additive=share)
    truth = world.truth.history
    sums = world.truth.base + truth[["g_I", "g_H", "g_M", "interaction"]].sum(axis=1)
    np.testing.assert_allclose(sums, truth["f"], rtol=1e-12)
    assert truth["interaction"].var() / truth["f"].var() == pytest.approx(share, rel=0.6)


@pytest.mark.parametrize(
    "wrong", [{"n_history": 0}, {"cold": 1.0}, {"non_additive": -0.1}, {"days": 7}, {"drift": -1}]
)
def test_wrong_sizes(wrong):
    with pytest.raises(InputError) as caught:
        synth_campaign(**wrong)
    assert caught.value.table == next(iter(wrong))


def test_the_command_line_writes_what_the_function_makes(tmp_path, capsys):
    sizes = ["--n-influencers", "15", "--n-events", "10", "--n-history", "200", "--days", "150"]
    out = tmp_path / "world"
    assert main(["synth", "campaign", "--out", str(out), *sizes, "--seed", "7"]) == 0
    assert "history" in capsys.readouterr().out
    world = synth_campaign(n_influencers=15, n_events=10, n_history=200, days=150, seed=7)
    data = open_database(out)
    for name, table in world.tables.items():
        pd.testing.assert_frame_equal(data.tables()[name], table)
    truth = pd.read_parquet(out / "truth" / "history.parquet")
    np.testing.assert_allclose(truth, world.truth.history)
    options = pd.read_parquet(out / "truth" / "options.parquet")
    assert {"influencer_id", "f", "sigma", "planned_at"} <= set(options.columns)
    assert len(read_table("events", out / "events.parquet")) == 22
