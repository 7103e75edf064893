"""The public Foursquare check-in layout (TSMC2014), and audiences from venue categories.

Source of the layout: D. Yang, D. Zhang, V. W. Zheng, Z. Yu, "Modeling User Activity Preference by
Leveraging User Spatial Temporal Characteristics in LBSNs", IEEE Trans. SMC: Systems 45(1), 2015.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from jaxcampaign.errors import InputError
from jaxcampaign.tables.coercion import INTEGER, closest, coerce
from jaxcampaign.tables.csv_text import Layout, read_text, with_line
from jaxcampaign.tables.schemas import validate

_LAYOUT = Layout(
    names=(
        "user_id",
        "venue_id",
        "venue_category_id",
        "venue_category",
        "lat",
        "lon",
        "tz_offset_min",
        "time",
    ),
    delimiter="\t",
    quote="",
    encoding="latin-1",
)
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_TIME = r"\w{3} (\w{3}) (\d{2}) (\d{2}:\d{2}:\d{2}) ([+-]\d{4}) (\d{4})"


def read_foursquare(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Check-ins of a TSMC2014 text file.

    The layout: tab-separated Latin-1 text without header; user, venue, category id, category
    name, latitude, longitude, offset of local time in minutes, and UTC time as `Tue Apr 03
    18:00:09 +0000 2012`.

    Returns:
      Canonical check-ins and the columns venue_id, venue_category, tz_offset_min (int64).

    Raises:
      InputError: a file that is not in this layout, or values that check-ins refuse.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no file {str(path)!r}", table="checkins", remedy="check the path")
    frame = read_text(path, table="checkins", layout=_LAYOUT).drop(columns="venue_category_id")
    try:
        frame["time"] = _iso_times(frame["time"])
        clean = validate("checkins", frame)
        clean["tz_offset_min"] = coerce(clean["tz_offset_min"], INTEGER, table="checkins")
    except InputError as error:
        raise with_line(error, path, _LAYOUT) from None
    return clean


def audiences_from_categories(
    checkins: pd.DataFrame,
    column: str = "venue_category",
    products: Iterable[str] | None = None,
) -> pd.DataFrame:
    """One product per category: its audience is the users who were ever there.

    Args:
      checkins: check-ins with a column of categories; rows without a category count for none.
      column: name of that column. Names of categories become product ids unchanged.
      products: the categories to keep; all when None.

    Returns:
      Canonical audiences, sorted by product and user.

    Raises:
      InputError: the column is missing, or a product that nobody visited.
    """
    if column not in checkins:
        remedy = f"the table has {', '.join(map(str, checkins.columns))}"
        raise InputError("missing column", table="checkins", column=column, remedy=remedy)
    visits = checkins[[column, "user_id"]].dropna().drop_duplicates()
    if products is not None:
        wanted = list(dict.fromkeys(products))
        known = set(visits[column])
        unknown = [product for product in wanted if product not in known]
        if unknown:
            near = closest(unknown[0], known)
            raise InputError(
                "nobody visited this category",
                table="checkins",
                column=column,
                value=unknown[0],
                remedy=f"did you mean {' or '.join(near)}?" if near else "",
            )
        visits = visits[visits[column].isin(wanted)]
    audiences = validate("audiences", visits, columns={column: "product_id"})
    return audiences.sort_values(["product_id", "user_id"], ignore_index=True)


def _iso_times(times: pd.Series) -> pd.Series:
    """ISO 8601 text; month names are looked up, because parsers read them by the locale."""
    parts = times.str.extract(f"^{_TIME}$")
    month = parts[0].map({name: f"{i:02d}" for i, name in enumerate(_MONTHS, start=1)})
    iso = parts[4] + "-" + month + "-" + parts[1] + "T" + parts[2] + parts[3]
    bad = iso.isna().to_numpy()
    if bad.any():
        rows = np.flatnonzero(bad)
        raise InputError(
            "a time is not written like 'Tue Apr 03 18:00:09 +0000 2012'",
            table="checkins",
            column="time",
            rows=rows.tolist(),
            value=times.iloc[rows[0]],
        )
    return iso
