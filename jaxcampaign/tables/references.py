"""Ids that must exist in another table."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from jaxcampaign.errors import InputError
from jaxcampaign.tables.coercion import closest

_SHOWN = 5
_REFERENCES = (
    ("prices", "influencer_id", "influencers", "influencer_id"),
    ("history", "influencer_id", "influencers", "influencer_id"),
    ("history", "event_id", "events", "event_id"),
    ("posting_times", "event_id", "events", "event_id"),
    ("overlaps", "influencer_id", "influencers", "influencer_id"),
    ("overlaps", "other_id", "influencers", "influencer_id"),
)


def check_references(tables: Mapping[str, pd.DataFrame | None]) -> None:
    """Refuses influencer and event ids that no influencer or event has.

    Args:
      tables: validated campaign tables by name; absent ones refer to nothing.

    Raises:
      InputError: unknown ids, with every row and, for the first ones, ids that look alike.
    """
    for table, column, home, key in _REFERENCES:
        frame, known = tables.get(table), tables.get(home)
        if frame is not None and known is not None:
            check_known(frame[column], known[key], table=table, home=home)


def check_known(ids: pd.Series, known: pd.Series, *, table: str, home: str) -> None:
    """Refuses `ids` that are not among the `known` ones of the table `home`."""
    rows = np.flatnonzero(~ids.isin(known).to_numpy())
    if not rows.size:
        return
    unknown = ids.iloc[rows].unique()
    choices = known.unique()
    hints = {str(name): closest(str(name), choices) for name in unknown[:_SHOWN]}
    alike = "; ".join(f"for {name!r}: {' or '.join(near)}" for name, near in hints.items() if near)
    raise InputError(
        f"{len(unknown):,} {'id is' if len(unknown) == 1 else 'ids are'} not in {home}",
        table=table,
        column=str(ids.name),
        rows=rows.tolist(),
        value=str(unknown[0]),
        remedy=f"did you mean {alike}?" if alike else f"add them to {home}, or drop these rows",
    )
