"""The public New York and Los Angeles instances as canonical tables.

    python bench/instances.py [--data DIR] --out DIR

writes every instance below as Parquet files that `jaxcampaign billboards` takes. All come from the
inputs that Ali, Islam and Banerjee (arXiv 2510.09050) published, GitHub
`dildariitjammu/Multi-Product-Influence-Maximization`, and, for `nyc-raw`, from the Foursquare
TSMC2014 check-ins (Yang et al., IEEE Trans. SMC: Systems 45(1), 2015) that they derive from.

    nyc, nyc-half                   11,047 slots of 5 minutes, 100 products
    la-by-row, la-by-row-0.3        4,712 slots of 1 minute, 100 products
    la, la-0.3                      the same with the costs by the documented key
    nyc-raw                         147,938 check-ins and 446 boards, 100 venue categories

`nyc` and the two readings of Los Angeles have the authors' demands; `-half` and `-0.3` ask for that
share of what all slots together give each product.

Los Angeles can be read in two ways, because the file of slots is not in the order of its key.
`la` gives each slot the cost of the row with its key B_index, as documented: the price is then
about a tenth of the slot's influence, as in the paper. `la-by-row` gives slot k the cost of the
k-th row, so that prices have nothing to do with influence. The reference figures that this project
is held to (greedy 1.175, bound 0.994) arise from the second reading; by the key greedy pays 3.8.

Their values per pair are strengths, not probabilities: 3.3 % of New York's and 26 % of Los
Angeles' exceed 1, so the pairs must be read with `clip`.
"""

from __future__ import annotations

import argparse
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from harness import add_data_flag

from jaxcampaign import build_influence, write_table

# Half of what is reachable in New York, 0.3 in Los Angeles, where half leaves little to choose.
PUBLISHED = {
    "nyc": ("nyc", None),
    "nyc-half": ("nyc", 0.5),
    "la-by-row": ("la-by-row", None),
    "la-by-row-0.3": ("la-by-row", 0.3),
    "la": ("la", None),
    "la-0.3": ("la", 0.3),
}
RAW_RULE: dict[str, Any] = {"radius_m": 100.0, "slot_minutes": 5, "clock": "utc"}
"""The rule that the authors' New York pairs follow."""


class Published(NamedTuple):
    """Canonical tables with ready-made pairs."""

    pairs: pd.DataFrame
    slots: pd.DataFrame
    audiences: pd.DataFrame
    demands: pd.DataFrame


class Raw(NamedTuple):
    """Canonical tables with trajectories and an inventory."""

    checkins: pd.DataFrame
    billboards: pd.DataFrame
    audiences: pd.DataFrame
    demands: pd.DataFrame


def published(folder: Path, name: str) -> Published:
    """One of `PUBLISHED` from the data folder; probabilities may exceed 1."""
    reading, share = PUBLISHED[name]
    city = reading.removesuffix("-by-row")
    table = _slot_file(folder, city)
    if reading.endswith("-by-row"):
        table = table.assign(Cost=table["Cost"].to_numpy()[table["B_index"] - 1])
    slots = pd.DataFrame(
        {
            "slot_id": table["B_index"].astype("str"),
            "board_id": table["B_id"].astype("str"),
            "start_min": table["start_min"],
            "end_min": table["end_min"],
            "cost": table["Cost"],
        }
    )
    pairs = _pair_file(folder, city)
    pairs = pd.DataFrame(
        {
            "slot_id": pairs["b_index"].astype("str"),
            "user_id": pairs["user_id"].astype("str"),
            "prob": pairs["influence"],
        }
    )
    audiences, demands = _products(folder, city)
    if share is not None:
        most = reach(pairs, audiences, demands["product_id"])
        demands = demands.assign(demand=share * most)
    return Published(pairs, slots, audiences, demands)


def raw(folder: Path) -> Raw:
    """New York from its check-ins and boards.

    Two board ids stand twice, at different places: the second row of each becomes "<id>-2".
    Products are the 100 venue categories that have a demand in the authors' table. The panel
    ratio makes influence smaller than the authors' strengths and a third of the check-ins is not
    public, so a demand is the authors' or half of what all slots together give, if that is less.
    """
    spatial = folder / "spatial"
    checkins = pd.read_parquet(spatial / "nyc_checkins_venues10plus.parquet")
    checkins = pd.DataFrame(
        {
            "user_id": checkins["user_id"].astype("str"),
            "time": checkins["utc_time"].dt.as_unit("us").dt.tz_localize("UTC"),
            "lat": checkins["lat"],
            "lon": checkins["lon"],
        }
    )
    boards = _board_file(folder)
    billboards = pd.DataFrame(
        {
            "board_id": boards["board_id"],
            "lat": boards["Latitude"],
            "lon": boards["Longitude"],
            "size": boards["B_Size"],
            "media": boards["Media"],
        }
    )
    audiences, demands = _products(folder, "nyc")
    pairs = build_influence(checkins, billboards, **RAW_RULE).to_pairs()
    most = reach(pairs, audiences, demands["product_id"])
    demands = demands.assign(demand=demands["demand"].clip(upper=0.5 * most))
    return Raw(checkins, billboards, audiences, demands)


def reach(pairs: pd.DataFrame, audiences: pd.DataFrame, product_ids: pd.Series) -> pd.Series:
    """Influence that all slots together give each product, probabilities clipped at 1."""
    miss = 1 - pairs["prob"].clip(upper=1)
    seen = 1 - miss.groupby(pairs["user_id"]).prod()
    by_product = audiences["user_id"].map(seen).fillna(0.0).groupby(audiences["product_id"]).sum()
    return product_ids.map(by_product)


def listed_pairs(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The authors' New York slots (board_id, start_min) and pairs (the same and user_id).

    Boards are named as in `raw`.
    """
    places = ["B_id", "Latitude", "Longitude"]
    boards = _board_file(folder)[[*places, "board_id"]]
    slots = _slot_file(folder, "nyc").merge(boards, on=places, validate="many_to_one")
    pairs = _pair_file(folder, "nyc").astype({"user_id": "str"})
    pairs = pairs.merge(slots, left_on="b_index", right_on="B_index", validate="many_to_one")
    return slots[["board_id", "start_min"]], pairs[["board_id", "start_min", "user_id"]]


def write_instance(tables: Published | Raw, folder: Path) -> list[str]:
    """Write the tables; the arguments of `jaxcampaign billboards` that read them back."""
    folder.mkdir(parents=True, exist_ok=True)
    arguments = []
    for name, table in tables._asdict().items():
        path = folder / f"{name}.parquet"
        write_table(table, path)
        arguments += [f"--{name}", str(path)]
    if isinstance(tables, Published):
        return [*arguments, "--clip"]
    rule = ((f"--{name.replace('_', '-')}", str(value)) for name, value in RAW_RULE.items())
    return [*arguments, *chain.from_iterable(rule)]


def _slot_file(folder: Path, city: str) -> pd.DataFrame:
    slots = pd.read_parquet(folder / "spatial" / f"mpim_{city}_slots.parquet")
    return slots.assign(
        start_min=_minutes(slots["Start_time"]), end_min=_minutes(slots["End_time"])
    )


def _pair_file(folder: Path, city: str) -> pd.DataFrame:
    return pd.read_parquet(folder / "spatial" / f"mpim_{city}_user_slot_influence.parquet")


def _board_file(folder: Path) -> pd.DataFrame:
    boards = pd.read_csv(folder / "spatial" / "lamar_nyc_billboards.csv")
    nth = boards.groupby("B_id").cumcount()
    suffix = ("-" + (nth + 1).astype("str")).where(nth > 0, "")
    return boards.assign(board_id=boards["B_id"].astype("str") + suffix)


def _minutes(clock: pd.Series) -> pd.Series:
    """Minute of the day; "00:60" is 01:00 in these files."""
    parts = clock.str.split(":", expand=True).astype(int)
    return parts[0] * 60 + parts[1]


def _products(folder: Path, city: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Audiences and demands of the products that have a demand; a product's id is the demand's."""
    spatial = folder / "spatial"
    visits = pd.read_parquet(spatial / f"mpim_{city}_product_users.parquet")
    wanted = pd.read_csv(spatial / f"mpim_{city}_advertisers.csv")
    category = visits.drop_duplicates("product_id").set_index("product_id")["venue_category"]
    demands = pd.DataFrame(
        {
            "product_id": wanted["Id"].astype("str"),
            "demand": wanted["Demand"].astype("float64"),
            "venue_category": wanted["Id"].map(category),
        }
    )
    audiences = visits[["product_id", "user_id"]].astype("str")
    audiences = audiences[audiences["product_id"].isin(demands["product_id"])]
    return audiences.drop_duplicates(ignore_index=True), demands


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the public instances as canonical tables.")
    add_data_flag(parser)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    for name in PUBLISHED:
        print(*write_instance(published(args.data, name), args.out / name))
    print(*write_instance(raw(args.data), args.out / "nyc-raw"))


if __name__ == "__main__":
    main()
