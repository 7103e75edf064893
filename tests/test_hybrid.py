"""The hybrid with a linear stand-in for the network: windows, folds, blend, parts, intervals."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import jax
import numpy as np
import pytest
from rows import RidgeNetwork, outcomes, permuted, random_features
from scipy import stats

from jaxcampaign.effectiveness import CatBoost, TowerNetwork, XGBoost
from jaxcampaign.effectiveness.assessment.metrics import coverage, gaussian_nll, rmse, z_rms
from jaxcampaign.effectiveness.hybrid.blend import convex_weights, total_factor
from jaxcampaign.effectiveness.hybrid.fit import Hybrid, _order
from jaxcampaign.effectiveness.hybrid.fitted import shapley_parts
from jaxcampaign.effectiveness.hybrid.folds import forward_folds
from jaxcampaign.effectiveness.hybrid.settings import settings_from_record, settings_record
from jaxcampaign.effectiveness.hybrid.store import load_hybrid, save_hybrid
from jaxcampaign.effectiveness.model import default_hybrid
from jaxcampaign.effectiveness.network.store import save_network
from jaxcampaign.effectiveness.trees.lightgbm import LightGBM
from jaxcampaign.effectiveness.trees.spread import fit_spread, settled_spread
from jaxcampaign.errors import InputError

TREES = LightGBM(rounds=150, learning_rate=0.1, leaves=8, threads=1)
SPREAD = replace(TREES, rounds=80, leaf_rows=40)
N = 1600
ROWS = random_features(2400, 7)
Y = outcomes(ROWS, 7)
LEARNED, ASKED, TRUTH = ROWS.take(slice(N)), ROWS.take(slice(N, None)), Y[N:]


def hybrid(record=None, **settings) -> Hybrid:
    network = RidgeNetwork(record=record)
    return Hybrid(network, TREES, spread=SPREAD, ids=("influencer_id",), **settings)


def fit(model, **options):
    return model.fit(LEARNED, Y[:N], key=jax.random.key(0), show=False, **options)


@pytest.fixture(scope="module")
def fits():
    """What the stand-in was fitted on, when rows come in a random order of time."""
    record: list = []
    time = np.random.default_rng(3).permutation(N)
    marked = replace(LEARNED, numeric=LEARNED.numeric.copy())
    marked.numeric[:, 0] = time  # so that a row can be told by its features
    hybrid(record).fit(marked, Y[:N], key=jax.random.key(0), time=time, show=False)
    return [(np.sort(f.numeric[:, 0]), epochs, share) for f, _, epochs, share in record]


@pytest.fixture(scope="module")
def fitted():
    return fit(hybrid(), time=np.arange(N))


def test_networks_learn_from_earlier_rows_and_the_last_from_all(fits):
    trial, *others = fits  # the others side by side, in any order
    *folds, last = sorted(others, key=lambda each: len(each[0]))
    assert trial[2] == 0.15 and len(trial[0]) == N
    assert all(share == 0 for _, _, share in (*folds, last))
    assert {epochs for _, epochs, _ in (*folds, last)} == {2}  # best of the trial
    for times, _, _ in (*folds, last):
        assert np.array_equal(times, np.arange(len(times)))
    assert [len(times) for times, _, _ in folds] == [N // 5, 2 * N // 5, 3 * N // 5, 4 * N // 5]
    assert len(last[0]) == N


@dataclass(frozen=True)
class RecordingTrees(LightGBM):
    """LightGBM that tells what it was grown on."""

    record: list | None = None

    def fit(self, features, y, *, validation=None, **options):
        self.record.append((features, validation))
        return super().fit(features, y, validation=validation, **options)


def test_nothing_is_learned_from_outcomes_that_were_not_known_yet():
    rng = np.random.default_rng(4)
    time = rng.permutation(N).astype(float)
    known = time + rng.exponential(200.0, N)
    marked = replace(LEARNED, numeric=LEARNED.numeric.copy())
    marked.numeric[:, 0] = time
    row_at = np.argsort(time)

    def rows(features):
        return np.sort(row_at[features.numeric[:, 0].astype(int)])

    networks, trees, spreads = [], [], []
    model = Hybrid(
        RidgeNetwork(record=networks),
        RecordingTrees(rounds=3, leaves=4, threads=1, record=trees),
        spread=RecordingTrees(rounds=3, leaves=4, threads=1, record=spreads),
    )
    model.fit(marked, Y[:N], key=jax.random.key(0), time=time, known_at=known, show=False)

    folds = forward_folds(time, 4, known_at=known)
    expected = {tuple(fold.train) for fold in folds} | {tuple(range(N))}
    (trial, _, _, held), *others = networks
    assert {tuple(rows(each[0])) for each in others} == expected
    assert {tuple(rows(each)) for each, held in trees if held is None} == expected
    tried = [(each, held[0]) for each, held in (*trees, *spreads) if held is not None]
    assert len(tried) == 3  # trees with and without the network, and those of the deviation
    for early, late in [(trial, held[0]), *tried]:
        begin = time[rows(late)].min()
        assert begin > 0.8 * N and known[rows(early)].max() < begin
        assert known[rows(early)].max() > begin - 10  # and no earlier than need be


def test_rows_of_one_instant_are_in_a_random_but_seeded_order():
    time = np.repeat([3, 1, 2], 40)
    first, again, other = (_order(time, 120, seed) for seed in (0, 0, 1))
    for order in (first, other):
        assert (np.diff(time[order]) >= 0).all() and sorted(order) == list(range(120))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert sorted(_order(None, 120, 0)) == list(range(120))


def test_a_few_instants_are_enough():
    time = np.arange(N) * 3 // N
    found = fit(hybrid(), time=time).predict(ASKED, parts=False)
    assert rmse(TRUTH, found.mean) < 0.8 * np.std(TRUTH)


@pytest.mark.parametrize("options", [{"time": np.arange(N)}, {}], ids=["time", "cross-section"])
def test_the_blend_is_no_worse_than_its_parents_and_calibrated(options):
    model = fit(hybrid(), **options)
    outlook = model.stack.outlook(ASKED, unweighted=True)
    found = model.predict(ASKED, parts=False)
    error = rmse(TRUTH, found.mean)
    assert error <= 1.02 * min(rmse(TRUTH, mean) for mean in outlook.means)
    assert z_rms(TRUTH, found.mean, found.std) == pytest.approx(1, abs=0.2)
    assert coverage(TRUTH, *model.interval(ASKED, 0.9)) == pytest.approx(0.9, abs=0.04)
    constant = np.full(len(TRUTH), np.std(TRUTH - found.mean))
    assert gaussian_nll(TRUTH, found.mean, found.std) < gaussian_nll(TRUTH, found.mean, constant)


def test_parts_sum_to_the_mean_exactly_and_are_centred(fitted):
    found = fitted.predict(ASKED)
    total = found.base + found.stacked_parts().sum(axis=0)
    assert np.abs(total - found.mean).max() < 1e-10
    assert found.members.shape == (2, len(ASKED))
    assert np.abs(found.members.mean(axis=0) - found.mean).max() < 1e-10
    for part in fitted.predict(LEARNED).parts.values():
        assert abs(part.mean()) < 0.1
    bare = fitted.predict(ASKED, parts=False)
    assert np.array_equal(bare.mean, found.mean) and not bare.parts


@pytest.mark.parametrize("additive", [False, True])
def test_models_without_weight_are_not_asked(fitted, additive):
    class Silent:
        log_link = False

        def __getattr__(self, name):
            raise AssertionError("asked")

    booster, weights = replace(TREES, rounds=20, additive=additive), np.array([0.4, 0.0, 0.6])
    plain = booster.fit(LEARNED, Y[:N])
    stack = replace(fitted.stack, plain=plain, weights=weights, additive=additive)
    table = stack._table(LEARNED, stack.network.predict(LEARNED, parts=False))
    stack = replace(stack, trees=booster.fit(table, Y[:N]))
    silent = replace(stack, trees=Silent())
    reference = fitted.background if additive else None
    whole, few = stack.outlook(ASKED, reference, unweighted=True), silent.outlook(ASKED, reference)
    assert np.array_equal(whole.mean, few.mean) and whole.base == few.base
    assert np.array_equal(few.mean, weights @ whole.means) and not few.means[1].any()
    assert (few.parts is not None) == additive
    if additive:
        assert np.array_equal(whole.parts, few.parts)
    assert np.array_equal(silent.mean(ASKED), stack.mean(ASKED))


def test_members_lie_apart_whatever_the_weight_of_the_network(fitted):
    for weights in ([0.0, 0.0, 1.0], [0.2, 0.5, 0.3]):
        model = replace(fitted, stack=replace(fitted.stack, weights=np.array(weights)))
        found = model.predict(ASKED, parts=False)
        np.testing.assert_allclose(found.members.mean(axis=0), found.mean, atol=1e-12)
        # Those of the stand-in lie 0.1 to either side of its mean.
        np.testing.assert_allclose(found.members - found.mean, [[-0.1], [0.1]] * found.mean**0)
        assert np.array_equal(found.std, fitted.predict(ASKED, parts=False).std)


def test_members_of_a_log_link_lie_apart_in_proportion(additive):
    stack = replace(additive.stack, weights=np.array([0.0, 0.0, 1.1]))
    found = replace(additive, stack=stack).predict(ASKED)
    network = stack.network.predict(ASKED, parts=False)
    np.testing.assert_allclose(found.members.mean(axis=0), found.mean, rtol=1e-9, atol=1e-9)
    centre = network.members.mean(axis=0)
    if stack.trees.log_link:
        assert (found.members > 0).all()
        np.testing.assert_allclose(found.members / found.mean, network.members / centre, rtol=1e-9)
    else:
        expected = 1.1 * (network.members - centre)
        np.testing.assert_allclose(found.members - found.mean, expected, atol=1e-9)
    assert found.members.std(axis=0).min() > 0


def test_intervals_of_counts_do_not_go_below_zero(additive):
    reach = tuple(tuple(30 * half for half in kind) for kind in additive.calibration.reach)
    wide = replace(additive, calibration=replace(additive.calibration, reach=reach))
    for found in (None, wide.predict(ASKED)):
        low, high = wide.interval(ASKED, 0.9, found)
        assert (low < high).all()
        assert low.min() == 0 if wide.stack.trees.log_link else low.min() < 0


def test_shapley_parts_are_the_textbook_average_over_orders():
    def mean(features):
        a, _, c, _, e = np.nan_to_num(features.numeric.astype(float)).T
        return a * c + np.exp(e) * a + c

    background, asked = LEARNED.take(slice(0, 3)), ASKED.take(slice(0, 5))
    parts = shapley_parts(mean, asked, background, mean(asked))

    def value(sources, row, base):
        mixed = [
            asked.numeric[row, i] if source in sources else background.numeric[base, i]
            for i, source in enumerate(asked.numeric_sources)
        ]
        return mean(replace(asked, numeric=np.array([mixed])))[0]

    for row in range(5):
        expected = dict.fromkeys("IHM", 0.0)
        for order in ("IHM", "IMH", "HIM", "HMI", "MIH", "MHI"):
            for base in range(3):
                for i, source in enumerate(order):
                    gain = value(order[: i + 1], row, base) - value(order[:i], row, base)
                    expected[source] += gain / 18
        assert parts[:, row] == pytest.approx(list(expected.values()), abs=1e-6)


def test_parts_of_an_additive_model_do_not_see_other_sources():
    grown = replace(TREES, additive=True).fit(LEARNED, Y[:N])
    background, other = LEARNED.take(slice(0, 1)), permuted(ASKED, "HM")
    parts = shapley_parts(grown.predict, ASKED, background, grown.predict(ASKED))
    changed = shapley_parts(grown.predict, other, background, grown.predict(other))
    assert parts[0] == pytest.approx(changed[0], abs=1e-12)
    assert np.abs(parts[1] - changed[1]).max() > 0.1


def test_cold_rows_are_those_with_an_id_never_learned_from(fitted):
    codes = ASKED.categorical.copy()
    codes[:10, 0] = 39  # a category of the table that no row has
    cold = fitted.cold(replace(ASKED, categorical=codes))
    assert cold[:10].all()
    assert np.array_equal(cold[10:], ASKED.categorical[10:, 0] < 0)
    assert not replace(fitted, seen=replace(fitted.seen, ids=(), seen=())).cold(ASKED).any()


def test_the_same_key_gives_the_same_model(fitted):
    again = fit(hybrid(), time=np.arange(N)).predict(ASKED, parts=False)
    assert np.array_equal(again.mean, fitted.predict(ASKED, parts=False).mean)


def test_counts_keep_their_sum():
    rate = 3 * np.exp(outcomes(ROWS, noise=0.0) / 4)
    y = np.random.default_rng(0).poisson(rate)
    model = Hybrid(RidgeNetwork(), replace(TREES, objective="poisson"), spread=SPREAD)
    found = model.fit(LEARNED, y[:N], key=jax.random.key(1), show=False).predict(ASKED)
    assert found.mean.sum() / rate[N:].sum() == pytest.approx(1, abs=0.05)


def test_the_deviation_is_learned_from_squared_residuals():
    std = 0.3 * np.exp(0.7 * np.nan_to_num(ROWS.numeric[:, 1]))
    residual = std * np.random.default_rng(0).normal(size=len(ROWS))
    booster = settled_spread(SPREAD, ROWS, residual, *np.split(np.arange(len(ROWS)), [-400]))
    assert booster.objective == "tweedie" and 1 <= booster.rounds < SPREAD.rounds
    found = fit_spread(booster, ROWS, residual).predict(ROWS)
    assert stats.spearmanr(found, std).statistic > 0.9
    assert np.exp(np.mean(np.log(found / std))) == pytest.approx(1, abs=0.06)
    exact = fit_spread(booster, ROWS, np.zeros(len(ROWS))).predict(ROWS)
    assert (exact > 0).all()


def test_the_weights_of_the_blend_minimise_the_squared_error_and_that_to_equal_ones():
    rng = np.random.default_rng(0)
    y = rng.normal(size=20_000)
    means = y + rng.normal(size=(3, 20_000)) * np.array([[1.0], [2.0], [5.0]])
    means[2] += means[1]  # of no use beside the second
    found = convex_weights(y, means, 20_000)
    steps = np.linspace(0, 1, 101)
    grid = np.array([(a, b, 1 - a - b) for a in steps for b in steps if a + b <= 1])
    blends = grid @ means
    costs = ((blends - y) ** 2 + (blends - means.mean(axis=0)) ** 2).mean(axis=1)
    assert found == pytest.approx(grid[np.argmin(costs)], abs=0.011)
    assert found.sum() == pytest.approx(1) and (found >= 0).all()
    # Half the way from equal weights to those of least squared error, when one is exact.
    assert convex_weights(y, np.stack([y, y + 1]), 20_000) == pytest.approx([0.75, 0.25])
    few = convex_weights(y[:20], np.stack([y[:20], y[:20] + 1]), 60)
    assert few == pytest.approx([5 / 8, 3 / 8])
    assert convex_weights(y[:5], means[[0, 0], :5], 20) == pytest.approx([0.5, 0.5])


def test_the_factor_makes_totals_right():
    rng = np.random.default_rng(0)
    y, mean = rng.poisson(3.0, 500), rng.uniform(1, 2, 500)
    assert (total_factor(y, mean) * mean).sum() == pytest.approx(y.sum())
    assert total_factor(np.zeros(3), np.ones(3)) == 1.0


@dataclass(frozen=True)
class OwnTrees(LightGBM):
    """A booster that the package does not know."""


def test_settings_are_kept_as_text():
    boosters = (XGBoost(depth=3), CatBoost(l2=1.5), LightGBM(leaves=np.int64(7)))
    for booster in (*boosters, default_hybrid(count=True).booster):
        model = Hybrid(TowerNetwork(link="log", epochs=7), booster, ids=("a", "b"), n_folds=3)
        assert settings_from_record(json.loads(json.dumps(settings_record(model)))) == model
    assert settings_record(Hybrid(TowerNetwork(), OwnTrees())) is None
    assert settings_record(hybrid()) is None
    with pytest.raises(TypeError, match="no settings of a hybrid"):
        settings_from_record({"kind": "LightGBM"})


def test_what_cannot_be_fitted_is_refused():
    keys = iter(jax.random.split(jax.random.key(0), 6))
    with pytest.raises(InputError, match="99 rows are too few"):
        hybrid().fit(LEARNED.take(slice(0, 99)), Y[:99], key=next(keys))
    with pytest.raises(InputError, match="column creator: no such column of ids"):
        replace(hybrid(), ids=("creator",)).fit(LEARNED, Y[:N], key=next(keys))
    with pytest.raises(InputError, match="no time before which"):
        hybrid().fit(LEARNED, Y[:N], key=next(keys), time=np.zeros(N))
    with pytest.raises(InputError, match="known_at needs time"):
        hybrid().fit(LEARNED, Y[:N], key=next(keys), known_at=np.arange(N))
    late = {"time": np.arange(N), "known_at": np.full(N, N)}
    with pytest.raises(InputError, match="no time before which"):
        hybrid().fit(LEARNED, Y[:N], key=next(keys), **late)
    with pytest.raises(InputError, match="a time is missing"):
        hybrid().fit(LEARNED, Y[:N], key=next(keys), time=np.where(Y[:N] > 1, np.nan, 1.0))


@pytest.fixture(scope="module")
def towers(fitted):
    """The hybrid of the other tests with a real network in the place of the stand-in."""
    network = TowerNetwork(members=2, width=8, depth=1, n_bins=4, epochs=2)
    trained = network.fit(LEARNED, Y[:N], key=jax.random.key(2), progress=False)
    return replace(fitted, stack=replace(fitted.stack, network=trained))


def test_a_saved_hybrid_predicts_the_same_bits(towers, tmp_path):
    save_hybrid(towers, tmp_path)
    loaded = load_hybrid(tmp_path)
    expected, found = (model.predict(ASKED) for model in (towers, loaded))
    for name in ("mean", "std", "members"):
        assert np.array_equal(getattr(found, name), getattr(expected, name))
    assert np.array_equal(found.stacked_parts(), expected.stacked_parts())
    assert found.base == expected.base
    assert np.array_equal(loaded.interval(ASKED, 0.9), towers.interval(ASKED, 0.9))
    assert np.array_equal(loaded.cold(ASKED), towers.cold(ASKED))


@pytest.fixture(scope="module", params=["identity", "log"])
def additive(request):
    """Towers and trees that see one source each."""
    log = request.param == "log"
    network = TowerNetwork(members=2, width=8, depth=1, n_bins=4, epochs=3, link=request.param)
    trees = replace(TREES, rounds=150, additive=True, objective="poisson" if log else "squared")
    model = Hybrid(network, trees, spread=SPREAD, ids=("influencer_id",), n_folds=2)
    y = np.exp(Y[:N] / 3) if log else Y[:N]
    return model.fit(LEARNED, y, key=jax.random.key(0), show=False)


def test_additive_parts_sum_to_the_mean_and_are_centred(additive):
    found = additive.predict(ASKED)
    total = found.base + found.stacked_parts().sum(axis=0)
    assert np.abs(total - found.mean).max() < 1e-6 * np.abs(found.mean).max()
    np.testing.assert_allclose(additive.predict(ASKED, parts=False).mean, found.mean, rtol=1e-6)
    for part in additive.predict(LEARNED).parts.values():
        assert abs(part.mean()) < 0.1 and part.std() > 0.01
    for level in (0.5, 0.9):
        np.testing.assert_allclose(
            additive.interval(ASKED, level, found), additive.interval(ASKED, level), rtol=1e-5
        )


def test_additive_parts_see_their_source_only(additive):
    parts = additive.predict(ASKED).parts
    changed = additive.predict(permuted(ASKED, "HM")).parts
    assert np.abs(changed["H"] - parts["H"]).max() > 0.05
    if not additive.stack.trees.log_link:
        np.testing.assert_allclose(changed["I"], parts["I"], atol=1e-5)


def test_additive_hybrids_are_kept_on_disk(additive, tmp_path):
    save_hybrid(additive, tmp_path)
    expected, found = (model.predict(ASKED) for model in (additive, load_hybrid(tmp_path)))
    assert np.array_equal(found.mean, expected.mean)
    assert np.array_equal(found.stacked_parts(), expected.stacked_parts())


def test_a_network_alone_is_no_hybrid(towers, tmp_path):
    save_network(towers.stack.network, tmp_path)
    with pytest.raises(InputError, match="no hybrid"):
        load_hybrid(tmp_path)


def test_towers_in_a_hybrid_give_parts_that_sum_to_the_mean(towers):
    found = towers.predict(ASKED)
    total = found.base + found.stacked_parts().sum(axis=0)
    assert np.abs(total - found.mean).max() < 1e-10
    assert (found.std > 0).all()
