"""What those who share an audience say, against plain loops."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from jaxcampaign.effectiveness.posts import audiences
from jaxcampaign.effectiveness.posts.audiences import Audiences
from jaxcampaign.effectiveness.posts.history import Outcomes

DAY = 86_400_000_000
N = 12
IDS = pd.Index([f"i{i:02d}" for i in range(N)])


@pytest.fixture(params=[4_000_000, 7], ids=["at once", "in blocks"])
def found(request, monkeypatch):
    monkeypatch.setattr(audiences, "_EDGES_AT_ONCE", request.param)
    rng = np.random.default_rng(0)
    first, second = np.triu_indices(N - 1, 1)
    chosen = rng.random(len(first)) < 0.4
    overlaps = pd.DataFrame(
        {
            "influencer_id": IDS[first[chosen]],
            "other_id": IDS[second[chosen]],
            "weight": rng.choice([0.0, 0.3, 1.7], chosen.sum()),
            "as_of": pd.Timestamp(0, tz="UTC")
            + pd.to_timedelta(rng.choice([-5, 40], chosen.sum()), "D"),
        }
    )
    group, known = rng.integers(0, 6, 60), np.sort(rng.integers(0, 80, 60)) * DAY
    outcomes = Outcomes(group, known, rng.normal(5, 2, 60), 30.0)
    asked = {
        "influencer": rng.integers(0, N, 90),
        "cut": rng.integers(0, 90, 90) * DAY,
        "parent": rng.normal(5, 1, 90),
        "strength": rng.uniform(0.5, 3, 90),
    }
    return overlaps, outcomes, asked, Audiences(overlaps, IDS).ask(outcomes, **asked)


def test_means_over_neighbours_with_outcomes(found):
    overlaps, outcomes, asked, told = found
    known = 0
    for q in range(90):
        influencer, cut, parent, strength = (asked[name][q : q + 1] for name in asked)
        name = IDS[influencer[0]]
        rates, momenta, weights, newest = [], [], [], []
        for row in overlaps.itertuples():
            ends = {row.influencer_id, row.other_id}
            if name not in ends or row.as_of.value // 1000 >= cut[0] or not row.weight:
                continue
            other = IDS.get_indexer(list(ends - {name}))
            rate = outcomes.ask(other, cut, parent, strength)
            if rate.count[0]:
                rates.append(rate.rate[0])
                momenta.append(rate.recent[0] - rate.rate[0])
                weights.append(row.weight)
                newest.append(rate.newest[0])
        if not weights:
            assert np.isnan(told.rate[q]) and np.isnan(told.momentum[q])
            assert np.isnat(told.newest[q])
            continue
        known += 1
        assert told.rate[q] == pytest.approx(np.average(rates, weights=weights))
        assert told.momentum[q] == pytest.approx(np.average(momenta, weights=weights))
        assert told.newest[q] == max(newest)
    assert 30 < known < 90


def test_nobody_shares_an_audience():
    nobody = pd.DataFrame({"influencer_id": [], "other_id": [], "weight": []})
    outcomes = Outcomes(np.zeros(1, np.int64), np.zeros(1, np.int64), np.ones(1), 30.0)
    one = np.ones(3)
    told = Audiences(nobody, IDS).ask(outcomes, np.arange(3), np.full(3, DAY), one, one)
    assert np.isnan(told.rate).all() and np.isnat(told.newest).all()
