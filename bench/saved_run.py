"""What the authors' saved New York run says, and what random slots score by its own rule.

Their notebook (GitHub `dildariitjammu/Multi-Product-Influence-Maximization`, folder
`MPIM_5000_slot_NYC`, `Bi-criteria_approximation1.ipynb`) knows the first 5,000 slots of the file,
counts all users for every product, and takes strengths above 1 as they stand, so that
`1 - prod(1 - p)` of a user can be negative or above 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from instances import Published

SAVED = {"seconds": 24446.5, "slots": 4370, "influence": 319.2152566049793, "met": 100}
"""The output that stands in the notebook."""
_POOL = 5000
_SETS = 200

WHAT_IS_KNOWN = """\
Their code does not implement their paper: influence is that of all users rather than of a product's
audience, the multilinear extension is five random subsets, there is no linear program, costs are
never used, and roundings grow with the number of slots. Of {sets} uniformly random sets of
{slots:,} of the same {pool:,} slots, {share_at_least_saved:.0%} score at least as much (median
{influence:.1f}, all {pool:,} slots {influence_of_all:.1f}). So no implementation can be checked
against these figures. "everybody" is ours by their rule with strengths clipped at 1."""


class Everybody:
    """Influence over all users, whatever the product.

    Args:
      tables: canonical tables with their pairs.
    """

    def __init__(self, tables: Published):
        self._place = pd.Index(tables.slots["slot_id"].astype(object))
        self._slot = self._place.get_indexer(tables.pairs["slot_id"].astype(object))
        self._user, users = pd.factorize(tables.pairs["user_id"])
        self._strength = tables.pairs["prob"].to_numpy()
        self._n_users = len(users)

    def __call__(self, slots: np.ndarray, *, clip: bool) -> float:
        """Of the slots with these ids; strengths clipped at 1, or as they stand."""
        wanted = np.zeros(len(self._place), bool)
        wanted[self._place.get_indexer(np.asarray(slots, object))] = True
        chosen = wanted[self._slot]
        strength = np.minimum(self._strength, 1) if clip else self._strength
        miss = np.ones(self._n_users)
        np.multiply.at(miss, self._user[chosen], 1 - strength[chosen])
        return float((1 - miss).sum())


def random_sets(tables: Published, everybody: Everybody, seed: int) -> dict[str, Any]:
    """Medians over uniformly random sets of as many slots as the saved run bought.

    Demands count as in their notebook: met where the influence over all users exceeds them.
    """
    pool = tables.slots["slot_id"].to_numpy(object)[:_POOL]
    price = tables.slots["cost"].to_numpy(np.float64)
    rng = np.random.default_rng(seed)
    drawn = [rng.choice(_POOL, SAVED["slots"], replace=False) for _ in range(_SETS)]
    scores = np.array([everybody(pool[rows], clip=False) for rows in drawn])
    middle = float(np.median(scores))
    return {
        "sets": _SETS,
        "slots": SAVED["slots"],
        "pool": _POOL,
        "influence": middle,
        "influence_quartiles": np.quantile(scores, [0.25, 0.75]).tolist(),
        "share_at_least_saved": float((scores >= SAVED["influence"]).mean()),
        "influence_of_all": everybody(pool, clip=False),
        "met": int((tables.demands["demand"] < middle).sum()),
        "cost": float(np.median([price[rows].sum() for rows in drawn])),
    }
