"""Places on the sphere: checked coordinates, distances, and which caps of one radius hold a point.

All arithmetic is float64 on the host: float32 degrees are 1.7 m apart beyond 128 degrees of
longitude, which would move points across the edge of a 100 m radius.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxcampaign.errors import InputError

EARTH_RADIUS_M = 6_371_008.8
"""Mean radius of the Earth (IUGG R1), the sphere of every distance in this package."""

_CELLS_PER_RADIUS = 2  # 1.5 candidates per pair found; 1 gives 2.0, 3 and more cost a larger table
_MIN_CELL_DEG = 1e-5  # keeps row and column numbers within int32 for the smallest radius
_POLAR_DEG = 89.0  # caps beyond it are listed at every longitude and always measured exactly
_CELLS_PER_COPY = 8  # a table this much larger than its contents wastes few look-ups
_MAX_CELLS = 1 << 24
_MAX_COPIES = 1 << 18  # beside 64 a cap; then columns widen


class Places(NamedTuple):
    """Places in degrees north and east: `lat` f64[P] in [-90, 90], `lon` f64[P] in [-180, 180]."""

    lat: NDArray
    lon: NDArray


def checked_places(table: str, lat: ArrayLike, lon: ArrayLike) -> Places:
    """Coordinates as float64.

    Raises:
      InputError: NaN or a number out of range; every row is named.
    """
    places = Places(np.asarray(lat, np.float64), np.asarray(lon, np.float64))
    if places.lat.ndim != 1 or places.lat.shape != places.lon.shape:
        raise InputError(
            f"lat {places.lat.shape} and lon {places.lon.shape} are not two lists of one length",
            table=table,
            remedy="pass one latitude and one longitude for each place",
        )
    for column, degrees, end in (("lat", places.lat, 90.0), ("lon", places.lon, 180.0)):
        # written so that NaN, which fails every comparison, is refused too
        if degrees.size and not (degrees.min() >= -end and degrees.max() <= end):
            rows = np.flatnonzero(~(np.abs(degrees) <= end))
            raise InputError(
                f"not a coordinate in [-{end:g}, {end:g}] degrees",
                table=table,
                column=column,
                rows=rows.tolist(),
                value=float(degrees[rows[0]]),
                remedy="give degrees on WGS 84; unproject metres and drop rows without a position",
            )
    return places


def great_circle_m(lat: ArrayLike, lon: ArrayLike, other_lat: ArrayLike, other_lon: ArrayLike):
    """Great-circle distance by the haversine formula.

    Args:
      lat: f64[...], degrees north.
      lon: f64[...], degrees east; any turn of the circle, so -180 and 180 are one meridian.
      other_lat: f64[...], degrees north, broadcast against `lat`.
      other_lon: f64[...], degrees east.

    Returns:
      f64[...], metres on a sphere of radius `EARTH_RADIUS_M`. Errors stay below a nanometre for
      points within 100 km of each other and below a metre for antipodes, where the haversine
      is flat.
    """
    lat, lon = np.asarray(lat, np.float64), np.asarray(lon, np.float64)
    other_lat, other_lon = np.asarray(other_lat, np.float64), np.asarray(other_lon, np.float64)
    turn = lon - other_lon
    turn = turn - 360.0 * np.rint(turn / 360.0)  # exact where it matters, next to the seam
    across = np.sin(np.radians(turn) / 2)
    along = np.sin(np.radians(lat - other_lat) / 2)
    haversine = along**2 + np.cos(np.radians(lat)) * np.cos(np.radians(other_lat)) * across**2
    return 2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(np.minimum(haversine, 1.0)))


def ragged_arange(first: NDArray, count: NDArray) -> NDArray:
    """Concatenate `first[i], first[i] + 1, ...` with `count[i]` numbers each, without a loop."""
    end = np.cumsum(count)
    numbers = np.repeat(first - (end - count), count)
    numbers += np.arange(numbers.size, dtype=numbers.dtype)
    return numbers


def run_starts(values: NDArray) -> NDArray:
    """Positions at which a run of equal values starts, i64[runs]."""
    changes = np.flatnonzero(values[1:] != values[:-1]) + 1
    return np.concatenate([np.zeros(min(values.size, 1), np.int64), changes])


@dataclass(frozen=True, eq=False)
class CapGrid:
    """Caps of one radius on the sphere, listed in every cell of a dense table that they touch.

    Rows are bands of latitude half a radius high, columns bands of longitude. Row and column are
    folded by a power of two, so that the table stays small whatever the extent of the caps: a
    city is not folded at all, and for a continent an alias only adds a candidate that the
    distance test then drops. A cap across the +-180 degree seam is listed twice, as itself and
    as its image one turn away, so that no look-up has to wrap a longitude.

    Axes: I images of the caps, M cells, C listings.
    """

    radius_m: float
    rows_per_degree: float
    cols_per_degree: float
    row_bits: int
    col_bits: int
    occupied: NDArray  # bool[M]
    start: NDArray  # i64[M + 1], offsets into `listed`
    listed: NDArray  # i64[C], images by cell, ascending within a cell
    cap: NDArray  # i32[I], ascending
    lat: NDArray  # f64[I], degrees
    lon: NDArray  # f64[I], degrees, beyond +-180 for an image across the seam
    cos2_lat: NDArray  # f64[I], squared cosine of lat
    sure_below: float  # squared planar degrees under which a pair is certainly within the radius
    sure_above: float  # and over which it certainly is not

    @classmethod
    def build(cls, centres: Places, radius_m: float) -> CapGrid:
        """List caps of `radius_m` metres around `centres`, of which there is at least one."""
        lat, lon = centres
        radius = radius_m / EARTH_RADIUS_M
        reach = radius * (1 + 1e-9) + 1e-12  # 6 micrometres more than any rounding can move
        reach_deg = np.degrees(reach)
        polar = np.abs(lat) + reach_deg > _POLAR_DEG
        widest = np.full(lat.size, 360.0)
        widest[~polar] = np.degrees(np.arcsin(np.sin(reach) / np.cos(np.radians(lat[~polar]))))

        east = np.flatnonzero(~polar & (lon + widest > 180.0))
        west = np.flatnonzero(~polar & (lon - widest < -180.0))
        cap = np.concatenate([np.arange(lat.size), east, west])
        turned = np.concatenate([lon, lon[east] - 360.0, lon[west] + 360.0])
        order = np.argsort(cap, kind="stable")
        cap, lon = cap[order], turned[order]
        lat, polar, widest = lat[cap], polar[cap], widest[cap]

        cell_lat = max(np.degrees(radius) / _CELLS_PER_RADIUS, _MIN_CELL_DEG)
        cell_lon = cell_lat / max(float(np.cos(np.radians(np.median(np.abs(lat))))), 1e-3)
        rows = 2 * reach_deg / cell_lat + 2
        while np.sum(rows * (2 * widest / cell_lon + 2)) > _MAX_COPIES + 64 * lat.size:
            cell_lon *= 2  # caps near a pole span many columns
        per_row, per_col = 1 / cell_lat, 1 / cell_lon

        low = _cell_number(np.maximum(lat - reach_deg, -90.0), 90.0, per_row)
        high = _cell_number(np.minimum(lat + reach_deg, 90.0), 90.0, per_row)
        image = np.repeat(np.arange(cap.size), high - low + 1)
        row = ragged_arange(low, high - low + 1)
        width = _half_width_deg(lat[image], row * cell_lat - 90.0, cell_lat, reach)
        width[polar[image]] = 360.0
        left = _cell_number(np.clip(lon[image] - width, -180.0, 180.0), 180.0, per_col)
        right = _cell_number(np.clip(lon[image] + width, -180.0, 180.0), 180.0, per_col)
        image, row = np.repeat(image, right - left + 1), np.repeat(row, right - left + 1)
        col = ragged_arange(left, right - left + 1)

        cells = min(_CELLS_PER_COPY * image.size, _MAX_CELLS)
        row_bits, col_bits = _fold_bits(np.ptp(row), np.ptp(col), cells)
        cell = (row & _mask(row_bits)) << col_bits | col & _mask(col_bits)
        listing = np.sort(cell * cap.size + image)
        cell, listed = np.divmod(listing[run_starts(listing)], cap.size)
        start = np.zeros((1 << (row_bits + col_bits)) + 1, np.int64)
        np.cumsum(np.bincount(cell, minlength=start.size - 1), out=start[1:])

        # On a cap that ends short of 89 degrees the planar formula of `pairs` differs from the
        # haversine by less than (2 tan(lat) radius + 350 radius^2) radius^2: the first term for
        # taking cos(lat) at the centre, the second for the Taylor remainders of sin^2 and cos.
        # Rounding moves a coordinate by less than 1e-15.
        steepest = np.tan(np.radians(np.abs(lat[~polar]).max(initial=0.0)))
        slack = 2 * steepest * radius + 350 * radius**2 + 1e-14 / radius
        edge = np.degrees(radius) ** 2
        return cls(
            radius_m=radius_m,
            rows_per_degree=per_row,
            cols_per_degree=per_col,
            row_bits=row_bits,
            col_bits=col_bits,
            occupied=start[1:] > start[:-1],
            start=start,
            listed=listed,
            cap=cap.astype(np.int32),
            lat=lat,
            lon=lon,
            cos2_lat=np.where(polar, 0.0, np.cos(np.radians(lat)) ** 2),  # polar: latitude only
            sure_below=-1.0 if polar.any() else edge * (1 - slack),
            sure_above=edge * (1 + slack),
        )

    def locate(self, lat: NDArray, lon: NDArray) -> tuple[NDArray, NDArray]:
        """Find the points (f64[P], degrees) in cells that some cap touches.

        Returns:
          i64[H] positions of such points, ascending, and i32[H] their cells.
        """
        cell = _cell_number(lat, 90.0, self.rows_per_degree)
        cell &= _mask(self.row_bits)
        cell <<= self.col_bits
        col = _cell_number(lon, 180.0, self.cols_per_degree)
        col &= _mask(self.col_bits)
        cell |= col
        found = np.flatnonzero(self.occupied.take(cell))
        return found, cell.take(found)

    def count(self, cell: NDArray) -> NDArray:
        """Number of candidates in each cell, i64[H]."""
        return self.start.take(cell + 1) - self.start.take(cell)

    def pairs(self, point: NDArray, cell: NDArray, places: Places) -> tuple[NDArray, NDArray]:
        """Pairs of points and caps that hold them, decided as `great_circle_m <= radius_m`.

        A planar squared distance settles all but the pairs within a hair of the edge; those are
        measured by the haversine, so that the result equals its brute force exactly.

        Args:
          point: i64[H], positions in `places`.
          cell: i32[H], their cells, both as `locate` gives them.
          places: all points.

        Returns:
          i64[E] points in the order given and i32[E] caps, ascending within a point.
        """
        first = self.start.take(cell)
        count = self.start.take(cell + 1) - first
        point = np.repeat(point, count)
        image = self.listed.take(ragged_arange(first, count))
        north = places.lat.take(point)
        north -= self.lat.take(image)
        squared = places.lon.take(point)
        squared -= self.lon.take(image)
        squared *= squared
        squared *= self.cos2_lat.take(image)
        north *= north
        squared += north

        near = np.flatnonzero(squared <= self.sure_above)
        point, cap = point.take(near), self.cap.take(image.take(near))
        unsure = np.flatnonzero(squared.take(near) > self.sure_below)
        if unsure.size:
            at, centre = point[unsure], self.cap.searchsorted(cap[unsure])
            distance_m = great_circle_m(
                places.lat[at], places.lon[at], self.lat[centre], self.lon[centre]
            )
            outside = unsure[distance_m > self.radius_m]
            point, cap = np.delete(point, outside), np.delete(cap, outside)
        return point, cap


def _cell_number(degrees: NDArray, offset: float, per_degree: float) -> NDArray:
    """Row or column of a coordinate; monotone, so that bounds on degrees carry over to cells."""
    scaled = degrees + offset
    scaled *= per_degree
    return scaled.astype(np.int32)  # never negative: truncation is floor


def _half_width_deg(lat: NDArray, band: NDArray, height: float, reach: float) -> NDArray:
    """Longitude that a cap reaches to either side within the latitudes [band, band + height].

    An upper bound: from hav(reach) = hav(dlat) + cos(lat) cos(lat') hav(dlon) with the smallest
    dlat and cos(lat') in the band.
    """
    top = np.minimum(band + height, 90.0)
    nearest = np.clip(lat, band, top)
    cosine = np.minimum(np.cos(np.radians(band)), np.cos(np.radians(top))) * np.cos(np.radians(lat))
    left_over = np.sin(reach / 2) ** 2 - np.sin(np.radians(nearest - lat) / 2) ** 2
    sine = np.sqrt(np.clip(left_over / np.maximum(cosine, 1e-300), 0.0, 1.0))
    return np.degrees(2 * np.arcsin(sine)) + 1e-12


def _mask(bits: int) -> int:
    return (1 << bits) - 1


def _fold_bits(row_extent: int, col_extent: int, cells: int) -> tuple[int, int]:
    """Powers of two for a table of about `cells`, or less where the extents need less."""
    row_bits, col_bits = int(row_extent).bit_length(), int(col_extent).bit_length()
    for _ in range(row_bits + col_bits - cells.bit_length()):
        row_bits, col_bits = (
            (row_bits - 1, col_bits) if row_bits >= col_bits else (row_bits, col_bits - 1)
        )
    return row_bits, col_bits
