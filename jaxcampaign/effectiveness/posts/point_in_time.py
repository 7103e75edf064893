"""What was known before a cut-off, and the guard that nothing later was used."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from jaxcampaign.errors import InputError

DAY_US = 86_400_000_000


class Timeline:
    """Items of many groups, each in order of the time when it became known.

    Attributes:
      order: i64[K], the items sorted by group, then by time; ties in their own order.
    """

    def __init__(self, group: np.ndarray, known: np.ndarray):
        """Sorts K items.

        Args:
          group: i64[K], not negative.
          known: i64[K], when each item became known.
        """
        self.order = np.lexsort((known, group))
        self._times = np.unique(known)
        self._keys = self._key(group, np.searchsorted(self._times, known))[self.order]

    def before(self, group: np.ndarray, cut: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The items of a group that were known strictly before a cut-off.

        Args:
          group: i64[Q].
          cut: i64[Q].

        Returns:
          First place and end in `order`, i64[Q] each; equal where there is none.
        """
        first = np.searchsorted(self._keys, self._key(group, 0))
        # Times equal to the cut-off rank at least as high as it does, so they are left out.
        stop = np.searchsorted(self._keys, self._key(group, np.searchsorted(self._times, cut)))
        return first, stop

    def _key(self, group: np.ndarray, rank: np.ndarray | int) -> np.ndarray:
        return group * (len(self._times) + 1) + rank


def check_point_in_time(cut: np.ndarray, newest: Mapping[str, np.ndarray]) -> None:
    """The leakage guard: refuses features that rest on anything known at a cut-off or later.

    `build_features` runs it on its own features. Run it on features of your own before adding
    them by `Features.with_numeric`.

    Args:
      cut: datetime64[N] in UTC, when the decision about each row is taken.
      newest: per feature, when the newest thing that it rests on became known, datetime64[N];
        NaT where it rests on nothing.

    Raises:
      InputError: a feature is newer than its cut-off; it is named with all its rows.
    """
    for name, known in newest.items():
        late = np.flatnonzero(~np.isnat(known) & ~(known < cut))
        if late.size:
            raise InputError(
                f"the feature was known only at or after the cut-off {cut[late[0]]}",
                table="features",
                column=name,
                rows=late.tolist(),
                value=str(known[late[0]]),
                remedy="use only what was known before the cut-off, or plan later",
            )


def microseconds(times: pd.Series) -> np.ndarray:
    """i64[N], UTC times since 1970."""
    return times.to_numpy("datetime64[us]").astype(np.int64)
