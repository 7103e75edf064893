"""What must never go wrong, through the public doors: one test per case, with stable numbers.

A refusal names table, column, row and value and says what to do; it comes before any solver runs,
exits 2 and writes nothing. Infeasible (3) and cut short (4) are answers, not errors.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import jaxcampaign as jc
from jaxcampaign.cli import main

# Three boards in Manhattan, six check-ins within 30 m of them, one far away.
CHECKINS = pd.DataFrame(
    {
        "user_id": ["u1", "u2", "u3", "u1", "u4", "u5", "u6"],
        "time": [f"2026-03-16 {hour:02d}:10:00" for hour in (8, 8, 9, 9, 17, 17, 20)],
        "lat": [40.7500, 40.7501, 40.7500, 40.7600, 40.7601, 40.7702, 40.9000],
        "lon": [-73.9900, -73.9901, -73.9902, -73.9800, -73.9800, -73.9700, -73.8000],
    }
)
BILLBOARDS = pd.DataFrame(
    {
        "board_id": ["b1", "b2", "b3"],
        "lat": [40.7500, 40.7600, 40.7700],
        "lon": [-73.9900, -73.9800, -73.9700],
        "size": [300.0, 672.0, 672.0],
        "cost": [3.0, 2.0, 4.0],
    }
)
SLOTS = pd.DataFrame(
    {
        "slot_id": ["s1", "s2", "s3"],
        "board_id": ["b1", "b1", "b2"],
        "start_min": [480, 540, 480],
        "end_min": [540, 600, 540],
        "cost": [3.0, 2.0, 4.0],
    }
)
PAIRS = pd.DataFrame(
    {
        "slot_id": ["s1", "s1", "s2", "s2", "s3", "s3"],
        "user_id": ["u1", "u2", "u2", "u3", "u4", "u5"],
        "prob": [0.5, 0.25, 0.75, 1.0, 0.5, 0.5],
    }
)
AUDIENCES = pd.DataFrame(
    {
        "product_id": ["coffee", "coffee", "coffee", "gym", "gym"],
        "user_id": ["u1", "u2", "u3", "u4", "u5"],
    }
)
DEMANDS = pd.DataFrame({"product_id": ["coffee", "gym"], "demand": [0.9, 0.4]})

RAW = {
    "checkins": CHECKINS,
    "billboards": BILLBOARDS,
    "audiences": AUDIENCES,
    "demands": DEMANDS,
}
READY = {"pairs": PAIRS, "slots": SLOTS, "audiences": AUDIENCES, "demands": DEMANDS}

Edit = Callable[[pd.DataFrame], Any]


class Desk:
    """A folder of input tables, and the commands that are run on it."""

    def __init__(self, folder: Path, capsys):
        self.folder = folder
        self.plan = folder / "plan"
        self.capsys = capsys
        self.files: dict[str, Path] = {}

    def lay_out(self, tables: dict[str, pd.DataFrame], **edits: Edit) -> Desk:
        """Write tables, those that are edited as CSV: what `edit` returns, else what it changed."""
        for name, table in tables.items():
            suffix = "csv" if name in edits else "parquet"
            path = self.files[name] = self.folder / f"{name}.{suffix}"
            if name in edits:
                changed = edits[name](table := table.astype(object))
                table = table if changed is None else changed
                table.to_csv(path, index=False, na_rep="nan")
            else:
                table.to_parquet(path, index=False)
        return self

    def run(self, *flags: object) -> int:
        given = [text for name, path in self.files.items() for text in (f"--{name}", path)]
        args = ["billboards", *given, "--slot-minutes", 60, "--solver", "greedy", *flags]
        return main([str(arg) for arg in (*args, "--out", self.plan)])

    def refused(self, *flags: object) -> str:
        """The message of a refusal, after what every refusal must be."""
        self.capsys.readouterr()
        code = self.run(*flags)
        shown = self.capsys.readouterr()
        assert code == 2, shown
        assert shown.out == ""
        assert not self.plan.exists()
        start = shown.err.index("jaxcampaign: error: ")
        message = shown.err[start:].removeprefix("jaxcampaign: error: ")
        assert message.count("\n") == 1  # one block
        assert "; " in message  # a remedy
        return message

    def certificate(self) -> dict[str, Any]:
        return json.loads((self.plan / "certificate.json").read_text("utf-8"))

    def selection(self) -> pd.DataFrame:
        return pd.read_csv(self.plan / "selection.csv", dtype="str", keep_default_na=False)


@pytest.fixture
def desk(tmp_path, capsys, monkeypatch) -> Desk:
    monkeypatch.setattr("jaxcampaign.cli.jobs.write_report", lambda *args, **options: None)
    return Desk(tmp_path, capsys)


@pytest.fixture
def no_solver(monkeypatch):
    """Any solver that runs fails the test."""

    def explode(*args: object, **options: object):
        raise AssertionError("a solver ran on bad input")

    monkeypatch.setattr("jaxcampaign.cli.jobs.solve", explode)
    monkeypatch.setattr("jaxcampaign.solvers.Greedy.search", explode)


def _set(column: str, value: Any, row: int = 1) -> Edit:
    def edit(table: pd.DataFrame) -> None:
        table.loc[row, column] = value

    return edit


def _influence() -> jc.Influence:
    return jc.Influence.from_pairs(PAIRS, SLOTS)


def _says(message: str, *words: object) -> None:
    for word in words:
        assert str(word) in message, f"{word!r} is missing in: {message}"


def _verified(desk: Desk) -> bool:
    return main(["verify", str(desk.plan)]) == 0


# Malformed tables


@pytest.mark.usefixtures("no_solver")
@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("u7,2026-03-16 08:00:00,40.75", "too few fields"),
        ("u7,2026-03-16 08:00:00,40.75,-73.99,1", "too many fields"),
        ('u7,"2026-03-16 08:00:00,40.75,-73.99', "an unbalanced quote"),
    ],
)
def test_case_01_a_malformed_row_is_quoted_with_its_line(desk, line, fault):
    desk.lay_out(RAW, checkins=lambda table: None)
    path = desk.files["checkins"]
    path.write_text(path.read_text() + line + "\n")
    _says(desk.refused(), "table checkins", "checkins.csv, line 9", fault, line, "mend")


@pytest.mark.usefixtures("no_solver")
@pytest.mark.parametrize(
    ("tables", "name", "key", "value"),
    [
        (RAW, "billboards", "board_id", "'b1'"),
        (READY, "slots", "slot_id", "'s1'"),
        (READY, "pairs", "slot_id, user_id", "('s1', 'u1')"),
        (RAW, "demands", "product_id", "'coffee'"),
    ],
    ids=["billboards", "slots", "pairs", "demands"],
)
def test_case_02_a_repeated_key_is_refused_with_all_its_rows(desk, tables, name, key, value):
    size = len(tables[name])
    desk.lay_out(tables, **{name: lambda table: pd.concat([table, table.iloc[[0, 0]]])})
    message = desk.refused()
    _says(message, f"table {name}, column {key}", f"rows 0, {size}, {size + 1}", f"value {value}")
    _says(message, "duplicate key", "keep one row per key")


def test_case_02_a_repeated_audience_row_counts_once(desk):
    desk.lay_out(READY, audiences=lambda table: pd.concat([table, table]))
    assert desk.run() == 0
    twice = desk.certificate()["per_product"]
    desk.lay_out(READY)
    assert desk.run() == 0
    assert desk.certificate()["per_product"] == twice


NUMBERS = [
    (RAW, "billboards", "cost"),
    (RAW, "billboards", "size"),
    (RAW, "checkins", "lat"),
    (RAW, "demands", "demand"),
    (READY, "slots", "cost"),
    (READY, "pairs", "prob"),
]


@pytest.mark.usefixtures("no_solver")
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "", "twelve"])
@pytest.mark.parametrize(
    ("tables", "name", "column"), NUMBERS, ids=[f"{name}.{column}" for _, name, column in NUMBERS]
)
def test_case_03_a_number_that_is_none_is_refused(desk, tables, name, column, value):
    desk.lay_out(tables, **{name: _set(column, value)})
    message = desk.refused()
    _says(message, f"table {name}, column {column}, row 1", f"{name}.csv, line 3")
    _says(message, f"value {value!r}" if value else "value nan")


@pytest.mark.usefixtures("no_solver")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "cost",
    [
        lambda x: [1.0, x, 2.0],
        lambda x: np.array([1.0, x, 2.0], np.float32),
        lambda x: {"s1": 1.0, "s2": x, "s3": 2.0},
        lambda x: pd.Series([2.0, x, 1.0], index=["s3", "s2", "s1"]),
    ],
    ids=["list", "float32", "mapping", "series"],
)
def test_case_03_a_cost_array_that_is_not_finite_is_refused(cost, value):
    with pytest.raises(jc.InputError) as caught:
        jc.BudgetedSlots(_influence(), cost=cost(value), max_slots=1)
    _says(str(caught.value), "table cost", "row 1 (slot s2)", f"value {value}", "finite", "; ")


@pytest.mark.parametrize("demand", [[0.5, np.nan], {"coffee": 0.5, "gym": np.nan}, np.nan])
def test_case_03_a_demand_that_is_not_finite_is_refused(demand):
    with pytest.raises(jc.InputError) as caught:
        jc.CommonSlots(_influence(), AUDIENCES, None, demand)
    _says(str(caught.value), "table demand", "row", "1", "value nan", "; ")


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("cost", [1.0, 2.0]),
        ("cost", [[1.0, 2.0, 3.0]]),
        ("cost", ["a", "b", "c"]),
        ("cost", "three"),
        ("cost", {"s1": 1.0}),
        ("cost", {"s1": 1.0, "s2": 1.0, "s3": "much"}),
        ("demand", [1.0, 2.0, 3.0]),
        ("demand", "three"),
        ("demand", {}),
        ("audiences", np.ones((2, 4), bool)),
        ("audiences", np.ones(5, bool)),
        ("audiences", np.full((2, 5), 0.5)),
        ("audiences", {}),
        ("audiences", {"coffee": ["nobody"], "gym": ["no one"]}),
    ],
    ids=str,
)
def test_case_03_an_array_that_does_not_fit_is_refused(argument, value):
    arguments = {"audiences": AUDIENCES, "cost": None, "demand": [0.5, 0.5]} | {argument: value}
    with pytest.raises(jc.InputError) as caught:
        jc.CommonSlots(_influence(), **arguments)
    assert argument in str(caught.value.table)
    assert caught.value.remedy


@pytest.mark.usefixtures("no_solver")
@pytest.mark.parametrize(
    ("tables", "name", "column"),
    [(RAW, "billboards", "cost"), (READY, "slots", "cost"), (RAW, "demands", "demand")],
    ids=["billboards", "slots", "demands"],
)
def test_case_04_a_negative_amount_is_refused(desk, tables, name, column):
    desk.lay_out(tables, **{name: _set(column, -2.5)})
    message = desk.refused()
    _says(message, f"table {name}, column {column}, row 1", "value -2.5", "negative", "0 or more")


@pytest.mark.parametrize("cost", [[1.0, -2.5, 3.0], {"s1": 1, "s2": -2.5, "s3": 1}])
def test_case_04_a_negative_cost_array_is_refused(cost):
    with pytest.raises(jc.InputError) as caught:
        jc.CommonSlots(_influence(), AUDIENCES, cost, DEMANDS)
    _says(str(caught.value), "table cost", "row 1 (slot s2)", "value -2.5", "; ")


@pytest.mark.usefixtures("no_solver")
@pytest.mark.parametrize(
    ("name", "value"),
    [("budget", "-1"), ("budget", "nan"), ("budget", "inf"), ("max-slots", "-1")],
)
def test_case_05_a_negative_or_undefined_budget_is_refused(desk, name, value):
    desk.lay_out(READY)
    message = desk.refused("--problem", "budgeted", f"--{name}", value)
    table = name.replace("-", "_")
    _says(message, f"table {table}", f"value {value}", "at least 0", f"correct {table}")


def test_case_05_a_budget_in_a_configuration_file_is_refused_alike(desk):
    desk.lay_out(READY)
    (desk.folder / "plan.toml").write_text("problem = 'budgeted'\nbudget = nan\n")
    _says(desk.refused("--config", desk.folder / "plan.toml"), "table budget", "value nan")


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
        jc.BudgetedSlots(_influence(), **{name: value})
    assert (caught.value.table, caught.value.remedy) == (name, f"correct {name}")


def test_case_08_a_demand_above_the_supply_is_an_answer(desk):
    desk.lay_out(READY, demands=_set("demand", 5.0))
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
    assert _verified(desk)


# Places


@pytest.mark.usefixtures("no_solver")
@pytest.mark.parametrize("name", ["checkins", "billboards"])
def test_case_09_a_table_with_swapped_coordinates_is_refused(desk, name):
    swapped = {name: lambda table: table.rename(columns={"lat": "lon", "lon": "lat"})}
    desk.lay_out(RAW, **swapped)
    _says(desk.refused(), "lat and lon are exchanged", "exchange lat and lon", "40.7", "-73.9")


@pytest.mark.usefixtures("no_solver")
@pytest.mark.parametrize("name", ["checkins", "billboards"])
def test_case_09_a_row_with_swapped_coordinates_is_refused(desk, name):
    row = RAW[name].loc[1]

    def edit(table: pd.DataFrame) -> None:
        table.loc[1, ["lat", "lon"]] = [row["lon"], row["lat"]]

    desk.lay_out(RAW, **{name: edit})
    message = desk.refused()
    _says(message, f"table {name}, column lat, lon, row 1", f"({row['lon']}, {row['lat']})")
    _says(message, "look exchanged", "exchange lat and lon in these rows")


@pytest.mark.usefixtures("no_solver")
@pytest.mark.parametrize("name", ["checkins", "billboards"])
def test_case_10_planar_coordinates_are_refused(desk, name):
    def metres(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(lat=4_511_000.0, lon=585_000.0)

    desk.lay_out(RAW, **{name: metres})
    message = desk.refused()
    _says(message, f"table {name}, column lat, rows 0, 1", "value 4511000.0", "EPSG:4326")


@pytest.mark.usefixtures("no_solver")
@pytest.mark.parametrize("columns", [("x", "y"), ("easting", "northing")])
def test_case_10_coordinates_without_a_reference_system_are_refused(desk, columns):
    names = dict(zip(("lon", "lat"), columns, strict=True))
    desk.lay_out(RAW, billboards=lambda table: table.rename(columns=names))
    message = desk.refused()
    _says(message, "table billboards, column lat", *columns, "(CRS)", "EPSG:4326")


# Times


def test_case_11_the_order_of_times_changes_nothing(desk):
    plans = []
    for order in (slice(None), slice(None, None, -1), [3, 0, 6, 1, 5, 2, 4]):
        desk.lay_out(RAW, checkins=lambda table, order=order: table.iloc[order])
        assert desk.run() == 0
        record = desk.certificate()
        plans.append((desk.selection().to_csv(), record["cost"], record["bound"]))
    assert plans[0] == plans[1] == plans[2]
    mixed = jc.build_influence(CHECKINS.sample(frac=1, random_state=1), BILLBOARDS)
    ordered = jc.build_influence(CHECKINS, BILLBOARDS)
    pd.testing.assert_frame_equal(mixed.to_pairs(), ordered.to_pairs())


@pytest.mark.usefixtures("no_solver")
def test_case_13_times_with_and_without_a_zone_are_not_mixed(desk):
    desk.lay_out(RAW, checkins=_set("time", "2026-03-16T08:10:00-04:00"))
    message = desk.refused()
    _says(message, "table checkins, column time, row 1", "value '2026-03-16T08:10:00-04:00'")
    _says(message, "with and without a UTC offset", "give every time an offset, or none")


# Probabilities


@pytest.mark.usefixtures("no_solver")
@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_case_15_a_probability_outside_0_to_1_is_refused(desk, value):
    desk.lay_out(READY, pairs=_set("prob", value, row=4))
    message = desk.refused()
    _says(message, "table pairs, column prob, row 4", f"value {value}", "outside [0, 1]", "clip")


def test_case_15_probabilities_above_1_are_clipped_when_asked(desk):
    desk.lay_out(READY, pairs=_set("prob", 7.0, row=4))
    assert desk.run("--clip") == 0
    clipped = desk.certificate()
    assert _verified(desk)
    desk.lay_out(READY, pairs=_set("prob", 1.0, row=4))
    assert desk.run() == 0
    assert desk.certificate()["per_product"] == clipped["per_product"]


@pytest.mark.usefixtures("no_solver")
@pytest.mark.parametrize("value", [-0.1, "nan"])
def test_case_15_clipping_mends_no_other_fault(desk, value):
    desk.lay_out(READY, pairs=_set("prob", value, row=4))
    _says(desk.refused("--clip"), "table pairs, column prob, row 4", "value ")


def test_case_15_certainty_is_exact_in_value_and_gradient():
    objective = jc.CommonSlots(_influence(), AUDIENCES, None, DEMANDS).objective
    users = jc.BudgetedSlots(_influence(), max_slots=1).objective
    x = np.array([0.0, 1.0, 0.0])  # s2 influences u2 with 3/4 and u3 with certainty
    assert objective.value(x).tolist() == [1.75, 0.0]
    assert objective.reference(x).tolist() == [1.75, 0.0]

    # What each user gains from a slot is what the others leave of them, nothing of u3 with s2.
    for x, gradient in (
        ([0.0, 1.0, 0.0], [0.5 + 0.25 * 0.25, 0.75 + 1.0, 1.0]),
        ([1.0, 1.0, 1.0], [0.5 + 0.25 * 0.25, 0.75 * 0.75 + 1.0, 1.0]),
    ):
        assert jax.jacfwd(users.value)(jnp.array(x)).tolist() == [gradient]
    assert users.marginal_gains(x=[0, 1, 0], weights=[1]).tolist() == [0.5625, 0.0, 1.0]


# Products


@pytest.mark.usefixtures("no_solver")
def test_case_16_a_demand_without_an_audience_is_refused(desk):
    desk.lay_out(READY, demands=_set("product_id", "gim"))
    message = desk.refused()
    _says(message, "table demands, column product_id, row 1", "value 'gim'", "empty audience")
    _says(message, "near matches: gym")


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
        jc.CommonSlots(_influence(), audiences, None, {"coffee": 0.1, "gym": 0.1})
    _says(str(caught.value), "value 'gym'", "empty audience", "row 1")
    assert jc.CommonSlots(_influence(), audiences, None, {"coffee": 0.1}).product_ids


def test_case_16_an_empty_audience_row_is_refused():
    audience = np.array([[True, False, True, False, False], [False] * 5])
    with pytest.raises(jc.InputError) as caught:
        jc.CommonSlots(_influence(), audience, None, [0.1, 0.1])
    _says(str(caught.value), "value '1'", "empty audience", "row 1")
    assert jc.CommonSlots(_influence(), audience, None, [0.1, 0.0]).demand.tolist() == [0.1, 0.0]


# Identity

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
    assert _verified(desk)


# Limits


@pytest.mark.usefixtures("no_solver")
def test_case_19_memory_above_the_limit_is_refused_with_the_estimate(desk, monkeypatch):
    monkeypatch.setattr("jaxcampaign.influence.exposure.available_memory_bytes", lambda: 100)
    desk.lay_out(RAW)
    message = desk.refused()
    _says(message, "would take", "GB and the limit is 1e-07 GB", "lower radius_m")


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
    _says(message, "plan.toml", f"column {key}", "unknown configuration key", remedy)


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
    _says(message, "table device, value 'gpu'", "no GPU", "--device cpu", "jaxcampaign[gpu]")


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
    assert _verified(desk)


@pytest.mark.usefixtures("no_solver")
@pytest.mark.parametrize(
    ("tables", "name"),
    [*((RAW, name) for name in RAW), (READY, "pairs"), (READY, "slots")],
    ids=[*RAW, "pairs", "slots"],
)
@pytest.mark.parametrize("content", ["header", "nothing"])
def test_case_31_an_empty_table_is_refused(desk, tables, name, content):
    desk.lay_out(tables, **{name: lambda table: table.iloc[:0]})
    if content == "nothing":
        desk.files[name].write_bytes(b"")
    message = desk.refused()
    _says(message, f"table {name}")
    _says(message, "has no rows" if content == "header" else "has no header line")


def test_case_31_tables_of_one_row_have_a_clear_answer(desk):
    one = {name: table.iloc[:1] for name, table in RAW.items()}
    desk.lay_out(one | {"demands": DEMANDS.iloc[:1].assign(demand=0.5)})
    assert desk.run("--solver", "auto") == 0
    assert desk.selection()["slot_id"].tolist() == ["b1@08:00"]
    record = desk.certificate()
    assert (record["cost"], record["bound"], record["status"]) == (3.0, 3.0, "optimal")
    assert _verified(desk)


@pytest.mark.usefixtures("no_solver")
def test_case_31_boards_that_nobody_passes_are_no_inventory(desk):
    desk.lay_out(RAW, checkins=lambda table: table.iloc[6:])
    _says(desk.refused(), "no check-in lies within 100 m of any billboard", "raise radius_m")


@pytest.mark.usefixtures("no_solver")
def test_case_31_pairs_without_any_chance_are_no_inventory(desk):
    desk.lay_out(READY, pairs=lambda table: table.assign(prob=0.0))
    _says(desk.refused(), "table pairs, column prob", "no pair has a positive probability")
