"""The check that check-ins and billboards lie on the same part of the globe.

Range checks cannot see that (-74, 40.7) is New York with its coordinates exchanged; the other
table can. Both tables are laid on a grid of cells rather than in two boxes, so that inventories
of several cities and travellers' far check-ins do not blur the picture.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import ndimage

from jaxcampaign.errors import InputError

_CELL_DEG = 0.25
_NEAR_CELLS = 1
_FAR_CELLS = 8  # 2 degrees


def check_overlap(checkins: pd.DataFrame, billboards: pd.DataFrame) -> None:
    """Refuses tables, or rows, whose latitude and longitude are exchanged.

    A row is refused when it lies more than 2 degrees from every row of the other table, and
    would lie beside one (within about 0.25 degrees) with its coordinates exchanged. Far
    check-ins of travellers pass. Where exchanging moves a point by less than 2 degrees the
    question cannot be settled, and nothing is refused.

    Args:
      checkins: validated check-ins.
      billboards: validated billboards.

    Raises:
      InputError: exchanged rows, an exchanged table, or tables that do not overlap at all.
    """
    far, near_exchanged, wide_exchanged = _compare(checkins, billboards)
    if far.all():
        boxes = f"checkins span {_box(checkins)}, billboards span {_box(billboards)}"
        if wide_exchanged.mean() > 0.5:
            problem = f"lat and lon are exchanged in checkins or in billboards: {boxes}"
            remedy = "exchange lat and lon in the table that is wrong"
        else:
            problem = f"checkins and billboards do not overlap: {boxes}"
            remedy = "give both tables for the same city, in WGS84 degrees (EPSG:4326)"
        raise InputError(problem, table="checkins", remedy=remedy)
    if near_exchanged.any():
        _refuse_rows("checkins", checkins, near_exchanged, "billboards")
    _, near_exchanged, _ = _compare(billboards, checkins)
    if near_exchanged.any():
        _refuse_rows("billboards", billboards, near_exchanged, "checkins")


def _compare(
    points: pd.DataFrame, others: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """bool[N] each: far from all others; so, but near or (third) less near once exchanged."""
    lat, lon = points["lat"].to_numpy(), points["lon"].to_numpy()
    wide = _reach(others, _FAR_CELLS)
    far = ~wide[_cells(lat, lon)]
    exchangeable = far & (np.abs(lon) <= 90)
    exchanged = _cells(np.clip(lon, -90, 90), lat)
    near = _reach(others, _NEAR_CELLS)
    return far, exchangeable & near[exchanged], exchangeable & wide[exchanged]


def _reach(points: pd.DataFrame, cells: int) -> np.ndarray:
    """Where on the globe a point lies within so many cells, bool[rows, columns]."""
    grid = np.zeros((round(180 / _CELL_DEG), round(360 / _CELL_DEG)), bool)
    grid[_cells(points["lat"].to_numpy(), points["lon"].to_numpy())] = True
    width = 2 * cells + 1
    wide = ndimage.maximum_filter1d(grid, width, axis=0, mode="constant")
    return ndimage.maximum_filter1d(wide, width, axis=1, mode="wrap")


def _cells(lat: np.ndarray, lon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    row = np.minimum((lat + 90) / _CELL_DEG, 180 / _CELL_DEG - 1).astype(np.int32)
    column = ((lon + 180) / _CELL_DEG).astype(np.int32) % round(360 / _CELL_DEG)
    return row, column


def _box(points: pd.DataFrame) -> str:
    lat, lon = points["lat"], points["lon"]
    return f"lat {lat.min():.2f} to {lat.max():.2f}, lon {lon.min():.2f} to {lon.max():.2f}"


def _refuse_rows(table: str, points: pd.DataFrame, mask: np.ndarray, other: str) -> None:
    rows = np.flatnonzero(mask)
    first = points.iloc[rows[0]]
    raise InputError(
        f"lat and lon look exchanged: far from all {other} as given, among them once exchanged",
        table=table,
        column="lat, lon",
        rows=rows.tolist(),
        value=(float(first["lat"]), float(first["lon"])),
        remedy="exchange lat and lon in these rows; if they are right as they stand, drop them: "
        f"they are too far from every row of {other} to matter",
    )
