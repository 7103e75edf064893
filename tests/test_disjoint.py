"""Disjoint sets of slots: the problem, every solver on it, and proofs that nothing is feasible."""

import dataclasses

import jax
import numpy as np
import pandas as pd
import pytest
from catalogue import dense_influence
from disjoint import (
    DISJOINT_CASES,
    DISJOINT_EXACT,
    DISJOINT_SOLVERS,
    NO_ORDER,
    chosen_sets,
    medium,
    random_sets,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxcampaign as jc
from jaxcampaign.certificate import refuted, unreachable
from jaxcampaign.plans.folder import order_digest
from jaxcampaign.problems import Cuts, Multipliers, refutation
from jaxcampaign.problems.rows import Texts
from jaxcampaign.relaxations import feasibility
from jaxcampaign.relaxations.feasibility import relax_or_refute
from jaxcampaign.solvers import disjoint_rounding


def _name(solver) -> str:
    return type(solver).__name__ + ("-by-gain" if getattr(solver, "by", "") == "gain" else "")


def _check(sets, solver, best):
    """What must hold of any answer, reckoned from the plain numbers."""
    problem = sets.problem()
    found = jc.solve(problem, solver, key=jax.random.key(7))
    c = found.certificate
    assert not c.violations
    own = chosen_sets(found)
    everything = [slot for slots in own.values() for slot in slots]
    assert len(everything) == len(set(everything))
    met = True
    for j, product in enumerate(problem.product_ids):
        slots = [int(s[1:]) for s in own.get(product, [])]
        assert len(slots) <= sets.max_slots[j]
        miss = np.prod(1 - sets.prob[slots][:, list(sets.audiences[j])], axis=0)
        assert c.achieved[j] == pytest.approx((1 - miss).sum(), abs=1e-12)
        met &= bool((1 - miss).sum() >= sets.demand[j] * (1 - 1e-9))
    assert c.feasible == met
    assert c.cost == pytest.approx(sum(sets.cost[int(s[1:])] for s in everything))
    if best is None:
        assert found.status in ("infeasible", "unsolved")
        assert (found.status == "infeasible") == bool(c.reasons)
        return found
    assert found.status not in ("infeasible",)
    assert not c.reasons
    assert c.bound <= best * (1 + 1e-9) + 1e-12
    assert c.rechecked_bound <= best * (1 + 1e-12)
    if c.feasible:
        assert best <= c.cost * (1 + 1e-9) + 1e-12
    if found.status == "optimal":
        assert c.cost == pytest.approx(best, rel=2e-6, abs=1e-12)
    return found


@pytest.mark.parametrize("case", DISJOINT_CASES, ids=str)
def test_catalogue_states_the_true_optimum(case):
    assert case.sets.optimum() == case.optimum


@pytest.mark.parametrize("solver", DISJOINT_SOLVERS, ids=_name)
@pytest.mark.parametrize("case", DISJOINT_CASES, ids=str)
def test_answer_is_sound(case, solver):
    found = _check(case.sets, solver, case.optimum)
    if solver not in [*DISJOINT_EXACT, jc.LPRounding()]:
        return
    # These find the optimum, or the proof that there is none.
    if case.optimum is not None:
        assert found.certificate.feasible
        assert found.certificate.cost == pytest.approx(case.optimum)
    else:
        assert found.status == "infeasible"
        assert case.by in found.certificate.reasons[0]
        assert found.certificate.bound is None


@pytest.mark.parametrize("seed", range(16))
def test_random_problems_against_enumeration(seed):
    sets = random_sets(seed)
    best = sets.optimum()
    found = {_name(solver): _check(sets, solver, best) for solver in DISJOINT_SOLVERS}
    rounded, sampled = found["LPRounding"], found["PermutationSampling"]
    if best is not None:
        for solver in DISJOINT_EXACT:
            assert found[_name(solver)].certificate.cost == pytest.approx(best, abs=1e-9)
        assert rounded.certificate.feasible
    if sampled.certificate.feasible:
        assert rounded.certificate.cost <= sampled.certificate.cost * (1 + 1e-12)


def test_random_problems_are_of_every_kind():
    """The draws above hold feasible problems and some that only multipliers prove infeasible."""
    kinds = set()
    for seed in range(40):
        problem = random_sets(seed).problem()
        found = jc.solve(problem, jc.BruteForce())
        kinds.add((found.certificate.feasible, found.status, bool(unreachable(problem))))
    assert (True, "optimal", False) in kinds
    assert (False, "infeasible", False) in kinds


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_no_multipliers_refute_a_problem_that_has_an_answer(seed):
    """Nor does any bound that they prove exceed the optimum."""
    rng = np.random.default_rng(seed)
    sets = random_sets(seed)
    problem = sets.problem()
    best = sets.optimum()
    n_users, n = problem.influence.n_users, 5
    chosen = [rng.choice(problem.n_items, rng.integers(0, problem.n_items)) for _ in range(n)]
    chosen = [np.unique(part).astype(np.int32) for part in chosen]
    start = np.concatenate([[0], np.cumsum([len(part) for part in chosen])])
    slot = np.concatenate(chosen)
    first = Cuts.first(np.arange(n_users))
    cuts = Cuts.join(
        [
            first,
            dataclasses.replace(
                Cuts.first(rng.integers(0, n_users, n)),
                start=start,
                slot=slot,
                slope=np.zeros(len(slot)),
            ),
        ]
    )
    scale = 10.0 ** rng.integers(-3, 3)
    multipliers = Multipliers(
        scale * rng.random(len(problem.demand)),
        scale * rng.random(len(problem.rows)) * rng.choice([0, 0.1, 1]),
        np.zeros(len(problem.rows)),
        scale * rng.random(len(cuts)),
        cuts,
    )
    nothing = np.zeros(len(problem.demand))
    if best is None:
        return
    assert refuted(problem, multipliers, nothing) == ()
    assert jc.lagrangian_bound(problem, multipliers) <= best


@pytest.mark.parametrize("free", [False, True])
def test_multipliers_that_refute_are_rechecked_whatever_the_costs(free):
    """Three products, two slots: proven without a look at costs, and at any scale of the prices."""
    influence = dense_influence([[1.0], [1.0]], [0, 0] if free else [1, 2])
    problem = jc.DisjointSlots(influence, {p: ["u0"] for p in "abc"}, None, 1.0)
    _, answer = relax_or_refute(problem, jc.LinearRelaxation())
    nothing = np.zeros(problem.n_items, bool)
    for scale in (1e-6, 1.0, 1e6):
        m = answer.multipliers
        scaled = dataclasses.replace(
            m,
            **{name: scale * getattr(m, name) for name in ("demand", "row_upper", "cut")},
        )
        c = jc.certify(problem, nothing, scaled)
        assert "need" in c.reasons[0] and "at most" in c.reasons[0]
        assert [reason.partition(":")[0] for reason in c.reasons[1:]] == [
            f"product {p}" for p in "abc"
        ]
        assert "has 0 of 1" in c.reasons[1]
    weaker = dataclasses.replace(m, row_upper=2 * m.row_upper)
    assert jc.certify(problem, nothing, weaker).reasons == ()
    assert jc.certify(problem, nothing).reasons == ()


def test_a_relaxation_that_gets_infeasible_by_cuts_is_refuted():
    """Two slots of p = 1/2 each meet a demand of 1 by p x, but reach 3/4."""
    influence = dense_influence([[0.5], [0.5], [0.5]], [1, 1, 1])
    problem = jc.DisjointSlots(influence, {"a": ["u0"]}, None, 0.8, max_slots=2)
    relaxed, answer = relax_or_refute(problem, jc.LinearRelaxation())
    assert relaxed is not None and len(relaxed.points) >= 1
    assert jc.lagrangian_bound(problem.without_cost(), answer.multipliers) > 0
    assert jc.solve(problem, jc.MixedInteger()).status == "infeasible"


def crowded() -> jc.DisjointSlots:
    """8 products that all want most of what 30 slots have."""
    rng = np.random.default_rng(3)
    prob = np.where(rng.random((30, 12)) < 0.4, rng.random((30, 12)), 0.0)
    influence = dense_influence(prob, rng.random(30) + 0.5)
    audiences = {f"p{j}": influence.user_ids for j in range(8)}
    reach = jc.CommonSlots(influence, None, None, 0.0).objective.reference(np.ones(30, bool))[0]
    return jc.DisjointSlots(influence, audiences, None, 0.8 * reach)


def test_a_bound_above_the_cost_of_everything_refutes():
    """Many products want the few slots: what they would cost is more than there is to pay."""
    problem = crowded()
    relaxed = jc.FirstOrderRelaxation().solve(problem)
    assert relaxed.statistics["steps"] < 20_000
    assert relaxed.bound > problem.cost_of_all
    nothing = np.zeros(problem.n_items, bool)
    c = jc.certify(problem, nothing, relaxed.multipliers)
    assert c.reasons and c.bound is None
    # The same prices scaled down until only the costs speak.
    found = set()
    for scale in np.geomspace(0.05, 1, 200):
        m = relaxed.multipliers
        parts = {name: scale * getattr(m, name) for name in ("demand", "row_upper", "cut")}
        less = dataclasses.replace(m, **parts)
        free, above = refutation(problem, less)
        assert above <= jc.lagrangian_bound(problem, less) - problem.cost_of_all
        reasons = refuted(problem, less, np.zeros(8))
        assert bool(reasons) == (max(free, above) > 0)
        found |= {"costs" if "would cost at least" in reasons[0] else "need"} if reasons else set()
    assert found


def test_branch_and_cut_keeps_a_refutation(monkeypatch):
    """Found by the first-order method, and not by one round of the simplex method."""
    monkeypatch.setattr(feasibility, "_MANY_PAIRS", 100)
    monkeypatch.setattr(disjoint_rounding, "refute_by_supply", lambda problem: None)
    problem = crowded()
    assert jc.solve(problem, jc.LPRounding()).status == "infeasible"
    relaxation = jc.LinearRelaxation(max_rounds=1)
    assert jc.solve(problem, jc.BranchAndCut(20, relaxation=relaxation)).status == "infeasible"


# The problem


def test_items_are_the_pairs_that_matter_and_rows_keep_sets_apart():
    influence = dense_influence([[1, 0, 0.5], [0, 1, 0], [0, 0, 0.25]], [1, 2, 4])
    demand = pd.DataFrame({"product_id": ["b", "a", "c"], "demand": [1, 0.5, 0]})
    audiences = {"a": ["u0", "u2"], "b": ["u1", "u2"], "c": ["u0"]}
    problem = jc.DisjointSlots(influence, audiences, None, demand.assign(max_slots=[2, 1, 7]))
    slots = problem.influence.slots[["slot_id", "product_id"]].to_numpy().tolist()
    assert slots == [["s00", "a"], ["s02", "a"], ["s00", "b"], ["s01", "b"], ["s02", "b"]]
    np.testing.assert_array_equal(problem.item_slot, [0, 2, 0, 1, 2])
    np.testing.assert_array_equal(problem.item_product, [0, 0, 1, 1, 1])
    np.testing.assert_array_equal(problem.cost, [1, 4, 1, 2, 4])
    np.testing.assert_array_equal(problem.influence.singleton, [1.5, 0.25, 0.5, 1, 0.25])
    assert list(problem.rows.names) == [
        "slot s00",
        "slot s02",
        "max_slots of product a",
        "max_slots of product b",
    ]
    assert problem.rows.reasons[0] == "slot s00 goes to one product at most"
    assert problem.rows.reasons[-1] == "product b may have at most 2 slots"
    np.testing.assert_array_equal(problem.rows.upper, [1, 1, 1, 2])
    np.testing.assert_array_equal(
        problem.rows.matrix.toarray(),
        [[1, 0, 1, 0, 0], [0, 1, 0, 0, 1], [1, 1, 0, 0, 0], [0, 0, 1, 1, 1]],
    )
    assert problem.cost_of_all == 7
    assert problem.base is influence
    assert "5 pairs" in repr(problem)


def test_certificate_names_broken_rows():
    influence = dense_influence(np.ones((3, 1)), [1, 1, 1])
    problem = jc.DisjointSlots(influence, {"a": ["u0"], "b": ["u0"]}, None, 1.0, max_slots=2)
    c = jc.certify(problem, np.array([1, 1, 1, 0, 1, 0], bool))
    assert not c.feasible
    assert [row["row"] for row in c.violations] == ["slot s01", "max_slots of product a"]
    assert [row["activity"] for row in c.violations] == [2, 3]


def test_limits_come_from_the_table_or_the_argument():
    influence = dense_influence(np.ones((3, 1)), [1, 1, 1])
    users = {"a": ["u0"], "b": ["u0"]}
    table = pd.DataFrame({"product_id": ["b", "a"], "demand": [1, 1]})

    def limits(demand, max_slots):
        return jc.DisjointSlots(influence, users, None, demand, max_slots).max_slots.tolist()

    inf = float("inf")
    assert limits(table, None) == [inf, inf]
    assert limits(table, 2) == [2, 2]
    assert limits(table, {"b": 1}) == [inf, 1]
    assert limits([1.0, 1.0], np.array([2, 1])) == [2, 1]
    assert limits(table.assign(max_slots=[1, 2]), None) == [2, 1]
    for demand, wrong in (
        (table, -1),
        (table, 1.5),
        (table, {"a": 1.5}),
        (table, {"x": 1}),
        (table.assign(max_slots=[1, 2]), {"a": 1}),
        (table.assign(max_slots=[1, 2]), -3),
        (table.assign(max_slots=[1, 2]), 9),
    ):
        with pytest.raises(jc.InputError, match="max_slots"):
            limits(demand, wrong)


def test_input_errors_are_those_of_the_common_problem():
    influence = dense_influence(np.ones((2, 1)), [1, 1])
    with pytest.raises(jc.InputError, match="no demand given"):
        jc.DisjointSlots(influence, {"a": ["u0"]})
    with pytest.raises(jc.InputError, match="empty audience"):
        jc.DisjointSlots(influence, {"a": ["u0"]}, None, {"b": 1.0})
    with pytest.raises(jc.InputError, match="cost"):
        jc.DisjointSlots(influence, {"a": ["u0"]}, -1.0, 1.0)
    nobody = {"a": ["u9"], "b": ["u0"]}
    with pytest.raises(jc.InputError, match="reaches anybody"):
        jc.DisjointSlots(influence, nobody, None, {"a": 1.0, "b": 0.0})


def test_the_problem_is_a_pytree_and_keeps_what_it_is():
    problem = NO_ORDER.problem()
    leaves, tree = jax.tree.flatten(problem)
    again = jax.tree.unflatten(tree, leaves)
    for other in (again, problem.with_demand(problem.demand), problem.without_cost()):
        assert isinstance(other, jc.DisjointSlots)
        assert other.offers is problem.offers
        np.testing.assert_array_equal(other.max_slots, problem.max_slots)
    assert problem.without_cost().cost_of_all == 0
    assert problem.cost_of_all == 6


def test_the_order_of_input_rows_never_changes_an_answer():
    sets = random_sets(5)
    problem = sets.problem()
    influence = problem.base
    pairs, audience = influence.to_pairs(), problem.objective.audience.tocoo()
    users = pd.DataFrame(
        {
            "product_id": np.asarray(problem.product_ids, object)[audience.row],
            "user_id": problem.influence.user_ids[audience.col],
        }
    )
    demand = pd.DataFrame({"product_id": problem.product_ids, "demand": problem.demand})
    answers = []
    for seed in (0, 1):
        shuffled = [t.sample(frac=1, random_state=seed) for t in (pairs, users, demand)]
        other = jc.DisjointSlots(
            jc.Influence.from_pairs(shuffled[0], influence.slots), shuffled[1], None, shuffled[2]
        )
        answers.append(jc.solve(other, jc.LPRounding()).table())
    pd.testing.assert_frame_equal(*answers)


def test_digest_tells_who_may_have_which_slot():
    influence = dense_influence([[1, 0], [1, 0], [0, 1]], [1, 1, 1])
    one = jc.DisjointSlots(influence, {"a": ["u0"], "b": ["u1"]}, None, 1.0)
    other = jc.DisjointSlots(influence, {"a": ["u1"], "b": ["u0"]}, None, 1.0)
    assert order_digest(one) != order_digest(other)
    assert order_digest(one) == order_digest(one.with_demand(one.demand / 2))


def test_texts_are_a_sequence():
    texts = Texts(
        (
            ("slot {}", (np.array(["x", "y"], object),)),
            ("{} has {:g}", (np.array(["p"], object), np.array([2.0]))),
        )
    )
    assert len(texts) == 3
    assert list(texts) == ["slot x", "slot y", "p has 2"]
    assert texts[-1] == "p has 2"
    assert texts[1:] == ["slot y", "p has 2"]
    assert "slot y" in texts
    with pytest.raises(IndexError):
        texts[3]


# Solvers


@pytest.mark.parametrize(
    "solver", [jc.TopK(), jc.RandomAllocation(), jc.StochasticGreedy()], ids=_name
)
def test_solvers_of_one_set_refuse(solver):
    with pytest.raises(jc.InputError, match="each product needs its own"):
        jc.solve(NO_ORDER.problem(), solver)


@pytest.mark.parametrize("solver", DISJOINT_SOLVERS, ids=_name)
def test_solvers_repeat_themselves(solver):
    problem = random_sets(3).problem()
    first, second = (jc.solve(problem, solver, key=jax.random.key(5)) for _ in range(2))
    np.testing.assert_array_equal(first.selection, second.selection)
    assert first.certificate.bound == second.certificate.bound


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("scale", "max_slots"), [(0.8, None), (1.0, None), (0.8, 14)])
def test_rounding_is_never_dearer_than_sampling_and_feasible_more_often(seed, scale, max_slots):
    problem = medium(seed, scale, max_slots)
    key = jax.random.key(seed)
    sampled = jc.solve(problem, jc.PermutationSampling(), key=key)
    rounded = jc.solve(problem, jc.LPRounding(jc.LinearRelaxation(max_rounds=6)), key=key)
    for found in (sampled, rounded):
        assert not found.certificate.violations
    if sampled.certificate.feasible:
        assert rounded.certificate.feasible
        assert rounded.certificate.cost <= sampled.certificate.cost * (1 + 1e-12)
        assert rounded.certificate.bound > sampled.certificate.bound
    assert rounded.certificate.feasible or rounded.status in ("infeasible", "unsolved")


def test_a_time_limit_is_kept():
    found = jc.solve(medium(1, 0.8), jc.LPRounding(), time_limit=0.05)
    assert found.status in ("limit", "unsolved")
    assert not found.certificate.violations
