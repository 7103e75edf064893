"""Plane geometry of a map: a projection that is true to scale in a city, and views of it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_KM_PER_DEGREE = 111.195  # of latitude, on a sphere of radius 6,371 km
_LEAST_KM = 2.0
_CLOSE_UP_SHARE = 0.8
_CLOSE_UP_WORTH = 0.4


class LocalPlane(NamedTuple):
    """Equirectangular projection around a centre, in km; north is up.

    Attributes:
      lat: latitude of the centre, degrees.
      lon: longitude of the centre, degrees.
    """

    lat: float
    lon: float

    @classmethod
    def around(cls, lat: NDArray, lon: NDArray) -> LocalPlane:
        """The plane at the middle of some places."""
        # The mean direction, not the mean number: a city may lie across the 180th meridian.
        east = np.radians(lon)
        middle = math.atan2(float(np.sin(east).mean()), float(np.cos(east).mean()))
        return cls(float(np.mean(lat)), math.degrees(middle))

    @property
    def km_per_lon(self) -> float:
        """Length of a degree of longitude at the centre."""
        # At a pole a degree has no length; the least one keeps the inverse finite.
        return max(math.cos(math.radians(self.lat)), 1e-6) * _KM_PER_DEGREE

    def project(self, lat, lon) -> tuple[NDArray, NDArray]:
        """Km east and north of the centre; longitudes go the short way round the globe."""
        east = (np.asarray(lon) - self.lon + 180) % 360 - 180
        return east * self.km_per_lon, (np.asarray(lat) - self.lat) * _KM_PER_DEGREE

    def degrees(self, x: float, y: float) -> tuple[float, float]:
        """Latitude and longitude of a point; longitudes may pass 180."""
        return self.lat + y / _KM_PER_DEGREE, self.lon + x / self.km_per_lon


class Extent(NamedTuple):
    """A rectangle of the plane, km."""

    left: float
    right: float
    bottom: float
    top: float

    @property
    def width(self) -> float:
        """East to west."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """North to south."""
        return self.top - self.bottom

    def contains(self, points: NDArray) -> NDArray:
        """Which points [2, E] lie inside, bool[E]."""
        x, y = points
        return (x > self.left) & (x < self.right) & (y > self.bottom) & (y < self.top)


def extent_of(points: NDArray, *, ratio: tuple[float, float]) -> Extent:
    """The least rectangle that holds points [2, E] with a margin, height / width within `ratio`."""
    low, high = points.min(axis=1), points.max(axis=1)
    width, height = np.maximum((high - low) * 1.14, _LEAST_KM)
    shape = min(max(height / width, ratio[0]), ratio[1])
    width = max(width, height / shape)
    return _around((low + high) / 2, width / 2, width * shape / 2)


def close_up(slots: NDArray, whole: Extent) -> Extent | None:
    """The square that holds most of the plan, if it is far smaller than the whole.

    Args:
      slots: float64[2, .], place of every chosen slot.
      whole: the square view that it is a part of.
    """
    if slots.shape[1] < 2:
        return None
    away = np.abs(slots - np.median(slots, axis=1, keepdims=True)).max(axis=0)
    view = extent_of(slots[:, away <= np.quantile(away, _CLOSE_UP_SHARE)], ratio=(1.0, 1.0))
    return view if view.width <= _CLOSE_UP_WORTH * whole.width else None


def _around(middle: NDArray, half_width: float, half_height: float) -> Extent:
    x, y = (float(value) for value in middle)
    return Extent(x - half_width, x + half_width, y - half_height, y + half_height)
