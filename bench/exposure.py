"""Exposure search against scipy's cKDTree, and against the published New York pairs.

    python bench/exposure.py [--points 10000000] [--boards 10000] [--repeats 5] [--data DIR]

Every rival is tried once on each city and must give the same pairs; the fastest then alternates
with this package. A rival's time covers all that it needs from raw degrees to index arrays. Its
radius is inflated and its pairs are measured again by the haversine, since neither a projection
nor a chord decides the edge exactly. Bytes moved are what any method must read and write, 16 for
each point, board and found pair; their rate is set against that of copying 1 GiB. Results go to
bench/results/exposure.json.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from harness import copy_gb_s
from scipy.spatial import cKDTree

from jaxcampaign.influence.exposure import Exposures, count_exposures, find_exposures
from jaxcampaign.influence.geodesy import EARTH_RADIUS_M, great_circle_m

ROOT = Path(__file__).resolve().parents[1]
RADIUS_M = 100.0
CENTRE = (40.7, -74.0)
SLOT_MIN = 5
CITIES = ("uniform", "clustered")

Places = tuple[np.ndarray, np.ndarray]
Pairs = tuple[np.ndarray, np.ndarray]


def scatter(rng: np.random.Generator, n: int, city: str, width_m: float) -> Places:
    """Places over a square, or bunched about its centre, degrees."""
    if city == "uniform":
        east, north = rng.uniform(-width_m / 2, width_m / 2, (2, n))
    else:
        east, north = rng.normal(0, width_m / 5, (2, n))
    lat = CENTRE[0] + np.degrees(north / EARTH_RADIUS_M)
    return lat, CENTRE[1] + np.degrees(east / EARTH_RADIUS_M / np.cos(np.radians(CENTRE[0])))


def planar(points: Places, boards: Places) -> tuple[np.ndarray, np.ndarray, float]:
    """Projected metres of both, and a radius that covers the projection's error."""
    middle = np.cos(np.radians(np.mean(boards[0])))
    xy = [
        np.radians(np.column_stack([lat, lon * middle])) * EARTH_RADIUS_M
        for lat, lon in (points, boards)
    ]
    stretch = np.abs(np.cos(np.radians(boards[0])) / middle - 1).max()
    return xy[0], xy[1], RADIUS_M * (1 + 1.1 * stretch + 1e-4)


def spatial(points: Places, boards: Places) -> tuple[np.ndarray, np.ndarray, float]:
    """Unit vectors of both, and the chord of the radius."""

    def unit(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
        phi, theta = np.radians(lat), np.radians(lon)
        return np.column_stack(
            [np.cos(phi) * np.cos(theta), np.cos(phi) * np.sin(theta), np.sin(phi)]
        )

    return unit(*points), unit(*boards), 2 * np.sin(RADIUS_M / EARTH_RADIUS_M / 2) * (1 + 1e-6)


def flatten(lists) -> Pairs:
    count = np.fromiter(map(len, lists), np.int64, len(lists))
    return np.repeat(np.arange(len(lists)), count), np.concatenate(lists).astype(np.int64)


def boards_in_point_tree(space: Callable, leafsize: int) -> Callable:
    def run(points: Places, boards: Places) -> Pairs:
        p, b, radius = space(points, boards)
        tree = cKDTree(p, leafsize=leafsize, balanced_tree=False, compact_nodes=False)
        found = tree.query_ball_point(b, radius, workers=-1, return_sorted=False)
        board, point = flatten(found)
        return point, board

    return run


def points_in_board_tree(space: Callable) -> Callable:
    def run(points: Places, boards: Places) -> Pairs:
        p, b, radius = space(points, boards)
        tree = cKDTree(b)
        nearest, _ = tree.query(p, distance_upper_bound=radius, workers=-1)
        some = np.flatnonzero(np.isfinite(nearest))
        row, board = flatten(tree.query_ball_point(p[some], radius, workers=-1))
        return some[row], board

    return run


def sparse_distances(space: Callable) -> Callable:
    def run(points: Places, boards: Places) -> Pairs:
        p, b, radius = space(points, boards)
        tree = cKDTree(p, leafsize=64, balanced_tree=False, compact_nodes=False)
        found = cKDTree(b).sparse_distance_matrix(tree, radius, output_type="ndarray")
        return found["j"], found["i"]

    return run


def ball_tree_pairs(space: Callable) -> Callable:
    def run(points: Places, boards: Places) -> Pairs:
        p, b, radius = space(points, boards)
        tree = cKDTree(p, leafsize=64, balanced_tree=False, compact_nodes=False)
        board, point = flatten(cKDTree(b).query_ball_tree(tree, radius))
        return point, board

    return run


RIVALS = {
    "boards in tree of points, 2-D": boards_in_point_tree(planar, 16),
    "same, leaves of 64": boards_in_point_tree(planar, 64),
    "same, leaves of 256": boards_in_point_tree(planar, 256),
    "same, 3-D": boards_in_point_tree(spatial, 64),
    "sparse_distance_matrix, 2-D": sparse_distances(planar),
    "query_ball_tree, 2-D": ball_tree_pairs(planar),
    "points in tree of boards, 2-D": points_in_board_tree(planar),
    "points in tree of boards, 3-D": points_in_board_tree(spatial),
}


def exact(run: Callable, points: Places, boards: Places) -> Pairs:
    """A rival's pairs, measured again."""
    point, board = run(points, boards)
    distance = great_circle_m(
        points[0][point], points[1][point], boards[0][board], boards[1][board]
    )
    near = distance <= RADIUS_M
    return point[near], board[near]


def ours(points: Places, boards: Places) -> Pairs:
    return find_exposures(*points, *boards, radius_m=RADIUS_M)


def same_pairs(a: Pairs, b: Pairs, n_boards: int) -> bool:
    key = [np.sort(point * np.int64(n_boards) + board) for point, board in (a, b)]
    return np.array_equal(*key)


def timed(call: Callable, *args):
    start = time.perf_counter()
    result = call(*args)
    return time.perf_counter() - start, result


def search(city: str, args: argparse.Namespace) -> dict:
    """Time the search, then the whole way to (slot, user) pairs, on one city."""
    rng = np.random.default_rng(args.seed)
    points = scatter(rng, args.points, city, args.city_km * 1e3)
    boards = scatter(rng, args.boards, city, args.city_km * 1e3)
    first_s, pairs = timed(ours, points, boards)
    once = {}
    for name, rival in RIVALS.items():
        once[name], found = timed(exact, rival, points, boards)
        if not same_pairs(pairs, found, args.boards):
            raise AssertionError(f"{name}: {found[0].size} pairs, ours {pairs[0].size}")
        print(f"  {city:9}  {name:31} {once[name]:7.2f} s", flush=True)
        del found
    best = min(once, key=once.__getitem__)

    users = pd.Series(rng.integers(0, args.points // 100 + 1, args.points)).astype("str")
    stamp_us = 1_700_000_000_000_000 + rng.integers(0, 30 * 86_400, args.points) * 1_000_000
    when = pd.to_datetime(stamp_us, unit="us", utc=True).as_unit("us")
    checkins = pd.DataFrame({"user_id": users, "time": when, "lat": points[0], "lon": points[1]})
    billboards = pd.DataFrame({"lat": boards[0], "lon": boards[1]})

    def count() -> Exposures:
        return count_exposures(
            checkins, billboards, radius_m=RADIUS_M, slot_minutes=SLOT_MIN, clock="utc"
        )

    def rival_count() -> tuple[np.ndarray, np.ndarray]:
        point, board = exact(RIVALS[best], points, boards)
        user, ids = pd.factorize(users.iloc[point], sort=True)
        window = stamp_us[point] // 60_000_000 % 1440 // SLOT_MIN
        per_day = 1440 // SLOT_MIN
        return np.unique((board * per_day + window) * ids.size + user, return_counts=True)

    times: dict[str, list[float]] = {"ours": [], "rival": [], "ours_count": [], "rival_count": []}
    for _ in range(args.repeats):
        times["rival"].append(timed(exact, RIVALS[best], points, boards)[0])
        times["ours"].append(timed(ours, points, boards)[0])
        seconds, (_, hits) = timed(rival_count)
        times["rival_count"].append(seconds)
        seconds, counted = timed(count)
        times["ours_count"].append(seconds)
        if not np.array_equal(hits, counted.hits):
            raise AssertionError("the (slot, user) pairs differ")
    median = {name: statistics.median(values) for name, values in times.items()}
    moved_gb = 16e-9 * (args.points + args.boards + int(pairs[0].size))
    return {
        "city": city,
        "city_km": args.city_km,
        "points": args.points,
        "boards": args.boards,
        "point_board_pairs": int(pairs[0].size),
        "slot_user_pairs": int(counted.user.size),
        "first_call_s": first_s,
        "compile_s": 0.0,  # nothing is compiled
        "rivals_once_s": once,
        "fastest_rival": best,
        "times_s": times,
        "median_s": median,
        "moved_gb": moved_gb,
        "gb_s": moved_gb / median["ours"],
        "of_copy": moved_gb / median["ours"] / args.copy_gb_s,
        "speedup_search": median["rival"] / median["ours"],
        "speedup_to_slot_user_pairs": median["rival_count"] / median["ours_count"],
    }


def new_york(folder: Path, repeats: int) -> dict:
    """The published user-slot pairs, from raw check-ins and boards."""
    raw = pd.read_parquet(folder / "nyc_checkins_venues10plus.parquet")
    lamar = pd.read_csv(folder / "lamar_nyc_billboards.csv", dtype={"B_id": "str"})
    slots = pd.read_parquet(folder / "mpim_nyc_slots.parquet")
    listed = pd.read_parquet(folder / "mpim_nyc_user_slot_influence.parquet")
    checkins = raw.assign(
        user_id=raw["user_id"].astype("str"),
        time=raw["utc_time"].dt.as_unit("us").dt.tz_localize("UTC"),
    )
    billboards = lamar.rename(columns={"B_id": "board_id", "Latitude": "lat", "Longitude": "lon"})

    times = []
    for _ in range(repeats + 1):
        seconds, found = timed(
            lambda: count_exposures(
                checkins, billboards, radius_m=RADIUS_M, slot_minutes=SLOT_MIN, clock="utc"
            )
        )
        times.append(seconds)

    # Two board ids have two places each, so a slot is (id, place, start). "00:60" is 01:00.
    clock = slots["Start_time"].str.split(":", expand=True).astype(int)
    slots = slots.assign(
        board_id=slots["B_id"].astype("str"), start_min=clock[0] * 60 + clock[1]
    ).rename(columns={"Latitude": "lat", "Longitude": "lon", "B_index": "b_index"})
    slot_key = ["board_id", "lat", "lon", "start_min"]
    ours = billboards[["board_id", "lat", "lon"]].iloc[found.board[found.slot]]
    ours = ours.assign(
        start_min=found.start_min[found.slot], user_id=found.user_ids[found.user].astype(int)
    )
    in_their_slots = ours.merge(slots[[*slot_key, "b_index"]], on=slot_key)
    theirs = in_their_slots.merge(listed, on=["b_index", "user_id"])
    outside = len(ours) - len(in_their_slots[[*slot_key, "user_id"]].drop_duplicates())
    return {
        "checkins": len(checkins),
        "boards": len(billboards),
        "user_slot_pairs": len(ours),
        "pairs_on_their_slots": len(in_their_slots),
        "pairs_of_theirs": len(theirs),
        "their_pairs": len(listed),
        "precision_on_their_slots": len(theirs) / len(in_their_slots),
        "recall": len(theirs) / len(listed),
        "pairs_on_slots_they_do_not_list": outside,
        "first_call_s": times[0],
        "compile_s": 0.0,
        "median_s": statistics.median(times[1:]),
    }


def environment() -> dict:
    model = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(
            (line.split(": ")[1] for line in lines if line.startswith("model name")), model
        )
    packages = ("jaxcampaign", "numpy", "pandas", "scipy", "pyarrow")
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "checkout"
    return {"device": "cpu", "cpu": model, "cores": os.cpu_count(), "versions": versions}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=10_000_000)
    parser.add_argument("--boards", type=int, default=10_000)
    parser.add_argument("--city-km", type=float, default=40.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    default = os.environ.get("JAXCAMPAIGN_DATA", ROOT.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=Path(default))
    args = parser.parse_args()

    args.copy_gb_s = copy_gb_s()
    result = {
        **environment(),
        "copy_gb_s": args.copy_gb_s,
        "radius_m": RADIUS_M,
        "slot_minutes": SLOT_MIN,
        "search": [],
    }
    for city in CITIES:
        row = search(city, args)
        result["search"].append(row)
        median = row["median_s"]
        print(
            f"{city}: {row['point_board_pairs']:,} (point, board) pairs: {median['ours']:.3f} s, "
            f"cKDTree {median['rival']:.3f} s ({row['speedup_search']:.1f} x), "
            f"{row['gb_s']:.2f} GB/s, {row['of_copy']:.0%} of copying; "
            f"{row['slot_user_pairs']:,} (slot, user) pairs: {median['ours_count']:.3f} s, "
            f"cKDTree + NumPy {median['rival_count']:.3f} s "
            f"({row['speedup_to_slot_user_pairs']:.1f} x)"
        )
    folder = args.data / "spatial"
    if folder.is_dir():
        city = result["new_york"] = new_york(folder, args.repeats)
        print(
            f"New York: {city['user_slot_pairs']:,} (user, slot) pairs in {city['median_s']:.4f} s "
            f"(first call {city['first_call_s']:.3f} s); on the published slots "
            f"{city['pairs_of_theirs']:,} of {city['pairs_on_their_slots']:,} are published "
            f"(precision {city['precision_on_their_slots']:.4f}, recall {city['recall']:.3f}); "
            f"{city['pairs_on_slots_they_do_not_list']:,} more on slots not listed"
        )
    target = ROOT / "bench" / "results" / "exposure.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(result, indent=2) + "\n")
    print(f"wrote {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
