"""Places around a centre, and how far they are by the textbook."""

from __future__ import annotations

import numpy as np

from jaxcampaign.influence.geodesy import EARTH_RADIUS_M

METRE = np.degrees(1 / EARTH_RADIUS_M)  # degrees of latitude


def cloud(rng, n, centre, spread_m):
    """Places around a centre, wrapped at the seam and stopped at the poles."""
    shrink = max(np.cos(np.radians(centre[0])), 1e-3)
    lat = np.clip(centre[0] + rng.normal(0, spread_m * METRE, n), -90, 90)
    lon = centre[1] + rng.normal(0, spread_m * METRE / shrink, n)
    return lat, (lon + 180) % 360 - 180


def textbook_m(lat, lon, other_lat, other_lon, dtype=np.float64):
    """The haversine as a textbook writes it, in any precision."""
    places = (lat, lon, other_lat, other_lon)
    rad = [np.asarray(x, dtype) * (np.arctan(dtype(1)) / 45) for x in places]
    along, across = np.sin((rad[2] - rad[0]) / 2), np.sin((rad[3] - rad[1]) / 2)
    hav = along**2 + np.cos(rad[0]) * np.cos(rad[2]) * across**2
    return 2 * dtype(EARTH_RADIUS_M) * np.arcsin(np.sqrt(np.minimum(hav, 1)))
