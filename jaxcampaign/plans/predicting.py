"""Predictions for a plan: fit the model of what posts bring, ask it about every option."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxcampaign.effectiveness import enumerate_options
from jaxcampaign.errors import InputError
from jaxcampaign.tables import open_database

if TYPE_CHECKING:
    from jaxcampaign.effectiveness import Hybrid

PREDICTED = ("mean", "std", "low", "high", "cold")
"""Columns that predictions add to options."""


def predict_options(
    source: str,
    *,
    where: Mapping[str, Any],
    attributes: Sequence[str],
    target: str,
    count: bool,
    quick: bool,
    until: str | None,
    key: Any,
    refuse: Callable[[pd.DataFrame], None],
) -> pd.DataFrame:
    """Options with mean, std, low, high, cold, and the means of ensemble members.

    Args:
      source: folder, DuckDB file or URL of the campaign tables.
      where: conditions that options meet.
      attributes: further columns of options.
      target: the outcome.
      count: it is a count.
      quick: a smaller model.
      until: planning cut-off; after everything that is known by default.
      key: a JAX key, source of randomness of the fit; `jax.random.key(0)` where None.
      refuse: is shown the options before the model is fitted, and raises if they will not do.

    Raises:
      InputError: the database cannot be read, or there are no options or too little history.
    """
    from jaxcampaign.effectiveness import EffectivenessModel  # slow to import

    data = open_database(source)
    asked: dict[str, Any] = {"where": where, "attributes": attributes}
    refuse(_some(enumerate_options(data, as_of=until, **asked)))
    model = EffectivenessModel(target, count=count, hybrid=_quick_hybrid(count) if quick else None)
    fitted = model.fit(data, until=until, key=key)
    options = _some(enumerate_options(data, as_of=fitted.until, **asked))
    outlook = fitted.predict(options, parts=False)
    members = {f"member_{k}": means for k, means in enumerate(np.asarray(outlook.members))}
    return outlook.options.assign(**{name: getattr(outlook, name) for name in PREDICTED}, **members)


def _some(options: pd.DataFrame) -> pd.DataFrame:
    if options.empty:
        raise InputError(
            "there are no options to choose from",
            table="options",
            remedy="ask for more events or times, or for an earlier cut-off with --until",
        )
    return options


def _quick_hybrid(count: bool) -> Hybrid:
    """A smaller network and fewer trees than recommended, in a fraction of the time."""
    from jaxcampaign.effectiveness import Hybrid, LightGBM, TowerNetwork

    network = TowerNetwork(
        members=2, width=32, depth=1, n_bins=8, epochs=8, link="log" if count else "identity"
    )
    trees = (
        LightGBM(rounds=150, leaves=15, objective="tweedie")
        if count
        else LightGBM(rounds=150, leaves=15)
    )
    return Hybrid(network, trees, ids=("influencer_id",), n_folds=2)
