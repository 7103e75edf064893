"""What must never go wrong with input tables, through the public doors: see test_reliability."""

from __future__ import annotations

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
    says(desk.refused(), "table checkins", "checkins.csv, line 9", fault, line, "mend")


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
    says(message, f"table {name}, column {key}", f"rows 0, {size}, {size + 1}", f"value {value}")
    says(message, "duplicate key", "keep one row per key")


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
    desk.lay_out(tables, **{name: set_value(column, value)})
    message = desk.refused()
    says(message, f"table {name}, column {column}, row 1", f"{name}.csv, line 3")
    says(message, f"value {value!r}" if value else "value nan")


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
        jc.BudgetedSlots(small_influence(), cost=cost(value), max_slots=1)
    says(str(caught.value), "table cost", "row 1 (slot s2)", f"value {value}", "finite", "; ")


@pytest.mark.parametrize("demand", [[0.5, np.nan], {"coffee": 0.5, "gym": np.nan}, np.nan])
def test_case_03_a_demand_that_is_not_finite_is_refused(demand):
    with pytest.raises(jc.InputError) as caught:
        jc.CommonSlots(small_influence(), AUDIENCES, None, demand)
    says(str(caught.value), "table demand", "row", "1", "value nan", "; ")


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
        jc.CommonSlots(small_influence(), **arguments)
    assert argument in str(caught.value.table)
    assert caught.value.remedy


@pytest.mark.usefixtures("no_solver")
@pytest.mark.parametrize(
    ("tables", "name", "column"),
    [(RAW, "billboards", "cost"), (READY, "slots", "cost"), (RAW, "demands", "demand")],
    ids=["billboards", "slots", "demands"],
)
def test_case_04_a_negative_amount_is_refused(desk, tables, name, column):
    desk.lay_out(tables, **{name: set_value(column, -2.5)})
    message = desk.refused()
    says(message, f"table {name}, column {column}, row 1", "value -2.5", "negative", "0 or more")


@pytest.mark.parametrize("cost", [[1.0, -2.5, 3.0], {"s1": 1, "s2": -2.5, "s3": 1}])
def test_case_04_a_negative_cost_array_is_refused(cost):
    with pytest.raises(jc.InputError) as caught:
        jc.CommonSlots(small_influence(), AUDIENCES, cost, DEMANDS)
    says(str(caught.value), "table cost", "row 1 (slot s2)", "value -2.5", "; ")


@pytest.mark.usefixtures("no_solver")
@pytest.mark.parametrize("name", ["checkins", "billboards"])
def test_case_09_a_table_with_swapped_coordinates_is_refused(desk, name):
    swapped = {name: lambda table: table.rename(columns={"lat": "lon", "lon": "lat"})}
    desk.lay_out(RAW, **swapped)
    says(desk.refused(), "lat and lon are exchanged", "exchange lat and lon", "40.7", "-73.9")


@pytest.mark.usefixtures("no_solver")
@pytest.mark.parametrize("name", ["checkins", "billboards"])
def test_case_09_a_row_with_swapped_coordinates_is_refused(desk, name):
    row = RAW[name].loc[1]

    def edit(table: pd.DataFrame) -> None:
        table.loc[1, ["lat", "lon"]] = [row["lon"], row["lat"]]

    desk.lay_out(RAW, **{name: edit})
    message = desk.refused()
    says(message, f"table {name}, column lat, lon, row 1", f"({row['lon']}, {row['lat']})")
    says(message, "look exchanged", "exchange lat and lon in these rows")


@pytest.mark.usefixtures("no_solver")
@pytest.mark.parametrize("name", ["checkins", "billboards"])
def test_case_10_planar_coordinates_are_refused(desk, name):
    def metres(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(lat=4_511_000.0, lon=585_000.0)

    desk.lay_out(RAW, **{name: metres})
    message = desk.refused()
    says(message, f"table {name}, column lat, rows 0, 1", "value 4511000.0", "EPSG:4326")


@pytest.mark.usefixtures("no_solver")
@pytest.mark.parametrize("columns", [("x", "y"), ("easting", "northing")])
def test_case_10_coordinates_without_a_reference_system_are_refused(desk, columns):
    names = dict(zip(("lon", "lat"), columns, strict=True))
    desk.lay_out(RAW, billboards=lambda table: table.rename(columns=names))
    message = desk.refused()
    says(message, "table billboards, column lat", *columns, "(CRS)", "EPSG:4326")


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
    desk.lay_out(RAW, checkins=set_value("time", "2026-03-16T08:10:00-04:00"))
    message = desk.refused()
    says(message, "table checkins, column time, row 1", "value '2026-03-16T08:10:00-04:00'")
    says(message, "with and without a UTC offset", "give every time an offset, or none")


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
    says(message, f"table {name}")
    says(message, "has no rows" if content == "header" else "has no header line")


def test_case_31_tables_of_one_row_have_a_clear_answer(desk):
    one = {name: table.iloc[:1] for name, table in RAW.items()}
    desk.lay_out(one | {"demands": DEMANDS.iloc[:1].assign(demand=0.5)})
    assert desk.run("--solver", "auto") == 0
    assert desk.selection()["slot_id"].tolist() == ["b1@08:00"]
    record = desk.certificate()
    assert (record["cost"], record["bound"], record["status"]) == (3.0, 3.0, "optimal")
    assert verified(desk)


@pytest.mark.usefixtures("no_solver")
def test_case_31_boards_that_nobody_passes_are_no_inventory(desk):
    desk.lay_out(RAW, checkins=lambda table: table.iloc[6:])
    says(desk.refused(), "no check-in lies within 100 m of any billboard", "raise radius_m")


@pytest.mark.usefixtures("no_solver")
def test_case_31_pairs_without_any_chance_are_no_inventory(desk):
    desk.lay_out(READY, pairs=lambda table: table.assign(prob=0.0))
    says(desk.refused(), "table pairs, column prob", "no pair has a positive probability")
