"""What must never go wrong with numbers, ids, limits and devices, through the public doors.

One test per case, with stable numbers. A refusal names table, column, row and value and says what
to do; it comes before any solver runs, exits 2 and writes nothing. Infeasible (3) and cut short
(4) are answers, not errors.
"""

from __future__ import annotations

import unicodedata

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from desk import (
    AUDIENCES,
    BILLBOARDS,
    CHECKINS,
    DEMANDS,
    RAW,
    READY,
    says,
    set_value,
    small_influence,
    verified,
)

import jaxcampaign as jc
from jaxcampaign.cli import main


@pytest.mark.usefixtures("no_solver")
@pytest.mark.parametrize(
    ("name", "value"),
    [("budget", "-1"), ("budget", "nan"), ("budget", "inf"), ("max-slots", "-1")],
)
def test_case_05_a_negative_or_undefined_budget_is_refused(desk, name, value):
    desk.lay_out(READY)
    message = desk.refused("--problem", "budgeted", f"--{name}", value)
    table = name.replace("-", "_")
    says(message, f"table {table}", f"value {value}", "at least 0", f"correct {table}")


def test_case_05_a_budget_in_a_configuration_file_is_refused_alike(desk):
    desk.lay_out(READY)
    (desk.folder / "plan.toml").write_text("problem = 'budgeted'\nbudget = nan\n")
    says(desk.refused("--config", desk.folder / "plan.toml"), "table budget", "value nan")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("budget", -1.0),
        ("budget", np.nan),
        ("budget", np.float32("inf")),
        ("budget", "ten"),
        ("max_slots", -1),
        ("max_slots", 1.5),
        ("max_slots", np.nan),
    ],
)
def test_case_05_a_budget_argument_that_is_none_is_refused(name, value):
    with pytest.raises(jc.InputError) as caught:
        jc.BudgetedSlots(small_influence(), **{name: value})
    assert (caught.value.table, caught.value.remedy) == (name, f"correct {name}")


def test_case_08_a_demand_above_the_supply_is_an_answer(desk):
    desk.lay_out(READY, demands=set_value("demand", 5.0))
    assert desk.run() == 3
    shown = desk.capsys.readouterr()
    record = desk.certificate()
    met, lacking = record["per_product"]
    assert (lacking["product_id"], lacking["demand"], lacking["achieved"]) == ("gym", 5.0, 1.0)
    assert (met["shortfall"], lacking["shortfall"]) == (0.0, 4.0)
    assert record["reasons"] == [
        "product gym: demand 5, but all slots together reach 1, short by 4; "
        "lower the demand, or add slots"
    ]
    assert record["reasons"][0] in shown.out
    assert desk.selection()["slot_id"].tolist() == ["s3", "s2"]  # the best partial answer
    assert verified(desk)


@pytest.mark.usefixtures("no_solver")
@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_case_15_a_probability_outside_0_to_1_is_refused(desk, value):
    desk.lay_out(READY, pairs=set_value("prob", value, row=4))
    message = desk.refused()
    says(message, "table pairs, column prob, row 4", f"value {value}", "outside [0, 1]", "clip")


def test_case_15_probabilities_above_1_are_clipped_when_asked(desk):
    desk.lay_out(READY, pairs=set_value("prob", 7.0, row=4))
    assert desk.run("--clip") == 0
    clipped = desk.certificate()
    assert verified(desk)
    desk.lay_out(READY, pairs=set_value("prob", 1.0, row=4))
    assert desk.run() == 0
    assert desk.certificate()["per_product"] == clipped["per_product"]


@pytest.mark.usefixtures("no_solver")
@pytest.mark.parametrize("value", [-0.1, "nan"])
def test_case_15_clipping_mends_no_other_fault(desk, value):
    desk.lay_out(READY, pairs=set_value("prob", value, row=4))
    says(desk.refused("--clip"), "table pairs, column prob, row 4", "value ")


def test_case_15_certainty_is_exact_in_value_and_gradient():
    objective = jc.CommonSlots(small_influence(), AUDIENCES, None, DEMANDS).objective
    users = jc.BudgetedSlots(small_influence(), max_slots=1).objective
    x = np.array([0.0, 1.0, 0.0])  # s2 influences u2 with 3/4 and u3 with certainty
    assert objective.value(x).tolist() == [1.75, 0.0]
    assert objective.reference(x).tolist() == [1.75, 0.0]

    # What each user gains from a slot is what the others leave of them, nothing of u3 with s2.
    for x, gradient in (
        ([0.0, 1.0, 0.0], [0.5 + 0.25 * 0.25, 0.75 + 1.0, 1.0]),
        ([1.0, 1.0, 1.0], [0.5 + 0.25 * 0.25, 0.75 * 0.75 + 1.0, 1.0]),
    ):
        assert jax.jacrev(users.value)(jnp.array(x)).tolist() == [gradient]
    assert users.marginal_gains(x=[0, 1, 0], weights=[1]).tolist() == [0.5625, 0.0, 1.0]


@pytest.mark.usefixtures("no_solver")
def test_case_16_a_demand_without_an_audience_is_refused(desk):
    desk.lay_out(READY, demands=set_value("product_id", "gim"))
    message = desk.refused()
    says(message, "table demands, column product_id, row 1", "value 'gim'", "empty audience")
    says(message, "near matches: gym")


@pytest.mark.parametrize(
    "audiences",
    [
        {"coffee": ["u1"], "gym": []},
        {"coffee": ["u1"]},
        AUDIENCES.iloc[:3],
    ],
    ids=["mapping", "left out", "table"],
)
def test_case_16_an_empty_audience_argument_is_refused(audiences):
    with pytest.raises(jc.InputError) as caught:
        jc.CommonSlots(small_influence(), audiences, None, {"coffee": 0.1, "gym": 0.1})
    says(str(caught.value), "value 'gym'", "empty audience", "row 1")
    assert jc.CommonSlots(small_influence(), audiences, None, {"coffee": 0.1}).product_ids


def test_case_16_an_empty_audience_row_is_refused():
    audience = np.array([[True, False, True, False, False], [False] * 5])
    with pytest.raises(jc.InputError) as caught:
        jc.CommonSlots(small_influence(), audience, None, [0.1, 0.1])
    says(str(caught.value), "value '1'", "empty audience", "row 1")
    assert jc.CommonSlots(small_influence(), audience, None, [0.1, 0.0]).demand.tolist() == [
        0.1,
        0.0,
    ]


IDS = [
    "007",
    "7",
    "NA",
    "nan",
    "None",
    "true",
    "1e5",
    " padded ",
    'say "hi"',
    "a,b",
    "東京",
    unicodedata.normalize("NFC", "café"),
    unicodedata.normalize("NFD", "café"),
    "9007199254740993",
]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_case_17_ids_come_back_unchanged(desk, suffix):
    """Every slot reaches one user of its own product, so that all must be chosen."""
    n = len(IDS)
    tables = {
        "slots": pd.DataFrame(
            {"slot_id": IDS, "board_id": IDS, "start_min": 0, "end_min": 60, "cost": 1.0}
        ),
        "pairs": pd.DataFrame({"slot_id": IDS, "user_id": IDS, "prob": 0.5}),
        "audiences": pd.DataFrame({"product_id": IDS, "user_id": IDS}),
        "demands": pd.DataFrame({"product_id": IDS, "demand": 0.5}),
    }
    for name, table in tables.items():
        desk.files[name] = desk.folder / f"{name}.{suffix}"
        jc.write_table(table, desk.files[name])
    assert desk.run() == 0
    chosen = desk.selection()
    assert sorted(chosen["slot_id"]) == sorted(chosen["board_id"]) == sorted(IDS)
    products = desk.certificate()["per_product"]
    assert sorted(product["product_id"] for product in products) == sorted(IDS)
    assert [product["shortfall"] for product in products] == [0.0] * n
    assert verified(desk)


@pytest.mark.usefixtures("no_solver")
def test_case_19_memory_above_the_limit_is_refused_with_the_estimate(desk, monkeypatch):
    monkeypatch.setattr("jaxcampaign.tables.memory.available_memory_bytes", lambda: 100)
    desk.lay_out(RAW)
    message = desk.refused()
    says(message, "would take", "GB and the limit is 1e-07 GB", "lower radius_m")


def test_case_19_memory_is_refused_before_it_is_allocated(monkeypatch):
    def allocate(*args: object, **options: object):
        raise AssertionError("pairs were allocated")

    monkeypatch.setattr("jaxcampaign.influence.matrix.Influence.from_arrays", allocate)
    with pytest.raises(jc.MemoryLimitError, match=r"GB and the limit is 1e-09 GB; lower radius_m"):
        jc.build_influence(CHECKINS, BILLBOARDS, memory_limit_gb=1e-9)


@pytest.mark.usefixtures("no_solver")
@pytest.mark.parametrize(
    ("key", "remedy"),
    [
        ("radius_metres", "did you mean 'radius_m'?"),
        ("max_slot", "did you mean 'max_slots'?"),
        ("zzz", "choose from audiences, billboards"),
    ],
)
def test_case_20_an_unknown_configuration_key_is_refused(desk, key, remedy):
    desk.lay_out(READY)
    (desk.folder / "plan.toml").write_text(f"seed = 1\n{key} = 3\n")
    message = desk.refused("--config", desk.folder / "plan.toml")
    says(message, "plan.toml", f"column {key}", "unknown configuration key", remedy)


def _has_gpu() -> bool:
    return any(device.platform == "gpu" for device in jax.devices())


@pytest.mark.usefixtures("no_solver")
@pytest.mark.parametrize("command", ["billboards", "demo"])
def test_case_25_a_device_that_is_not_there_is_refused(desk, command):
    if _has_gpu():
        pytest.skip("there is a GPU")
    desk.lay_out(READY)
    if command == "billboards":
        message = desk.refused("--device", "gpu")
    else:
        assert main(["demo", "--device", "gpu", "--out", str(desk.plan)]) == 2
        assert not desk.plan.exists()
        message = desk.capsys.readouterr().err
    says(message, "table device, value 'gpu'", "no GPU", "--device cpu", "jaxcampaign[gpu]")


def test_case_30_a_time_limit_leaves_incumbent_bound_and_gap(desk):
    rng = np.random.default_rng(0)
    slot, user = np.nonzero(rng.random((40, 30)) < 0.2)
    ids = pd.DataFrame({"slot_id": [f"s{i}" for i in slot], "user_id": [f"u{i}" for i in user]})
    slots = [f"s{i}" for i in range(40)]
    tables = {
        "pairs": ids.assign(prob=rng.uniform(0.1, 0.6, len(ids))),
        "slots": pd.DataFrame(
            {"slot_id": slots, "board_id": slots, "start_min": 0, "end_min": 60}
        ).assign(cost=rng.uniform(1, 2, 40)),
        "audiences": pd.DataFrame({"product_id": "p", "user_id": [f"u{i}" for i in range(30)]}),
        "demands": pd.DataFrame({"product_id": ["p"], "demand": [12.0]}),
    }
    desk.lay_out(tables)
    assert desk.run("--solver", "mixed-integer", "--time-limit", "0.001") == 4
    record = desk.certificate()
    assert (record["status"], record["feasible"]) == ("limit", True)
    assert 0 < record["bound"] < record["value"]
    assert record["gap"] == pytest.approx(1 - record["bound"] / record["value"])
    assert verified(desk)


def test_weights_of_unknown_products_are_refused_and_missing_ones_weigh_nothing():
    table = pd.DataFrame({"product_id": ["cofee"], "demand": [1.0], "weight": [2.0]})
    with pytest.raises(jc.InputError) as caught:
        jc.BudgetedSlots(small_influence(), AUDIENCES, max_slots=1, weight=table)
    says(str(caught.value), "value 'cofee'", "weight", "near matches: coffee")
    with pytest.raises(jc.InputError, match="weight and an empty audience"):
        jc.BudgetedSlots(small_influence(), AUDIENCES, max_slots=1, weight={"tea": 1})
    problem = jc.BudgetedSlots(small_influence(), AUDIENCES, max_slots=1, weight={"gym": 3})
    assert dict(zip(problem.product_ids, problem.weight, strict=True)) == {"coffee": 0, "gym": 3}


def test_a_zero_budget_is_solved_to_proven_optimality():
    found = jc.solve(jc.BudgetedSlots(small_influence(), budget=0), jc.Greedy())
    assert found.status == "optimal"
    assert found.certificate.gap == 0
