"""Options of a campaign: from what a user passes to checked arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jaxcampaign.errors import InputError
from jaxcampaign.problems.campaign.risk import Risk
from jaxcampaign.problems.campaign.spending import Spending
from jaxcampaign.tables import validate
from jaxcampaign.tables.coercion import TEXT

if TYPE_CHECKING:
    from jaxcampaign.effectiveness import Effectiveness

_IDS = ("influencer_id", "content_type", "event_id")


def option_table(
    options: Effectiveness | pd.DataFrame,
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """The options, their means and deviations, and the means of members.

    Args:
      options: a model's outlook, or a table with the key columns, price, mean and std.

    Returns:
      Canonical table of N rows, whose ids are text and whose times are UTC; float64[N],
      float64[N]; float[K, N].

    Raises:
      InputError: there are no options, or what `validate` refuses in a table of effectiveness.
    """
    if not (isinstance(options, pd.DataFrame) or hasattr(options, "members")):
        raise InputError(
            "are neither a table nor a model's outlook",
            table="options",
            value=type(options).__name__,
            remedy="pass what FittedModel.predict returns, or a DataFrame",
        )
    if isinstance(options, pd.DataFrame):
        table, members = options, np.zeros((0, len(options)), np.float32)
    else:
        table, members = options.options, options.members
        table = table.assign(mean=options.mean, std=options.std)
    if not len(table):
        raise InputError(
            "there are no options to choose from",
            table="options",
            remedy="ask for more events, influencers, content types or times, or widen `where`",
        )
    clean = validate("effectiveness", table)
    for name in table:
        if name in _IDS and _is_coded_text(table[name].dtype):
            clean[name] = table[name].array  # groups are found faster by the numbers of categories
        elif clean[name].dtype == object and pd.api.types.infer_dtype(clean[name]) == "string":
            clean[name] = clean[name].astype(TEXT)
    return clean, clean["mean"].to_numpy(), clean["std"].to_numpy(), members


def check_kinds(risk: object, spending: object) -> None:
    """Refuse what is no measure of risk, or does not say what money does; None stands for neither.

    Raises:
      InputError: either is something else, such as a name.
    """
    for name, given, kind, problem, remedy in (
        ("risk", risk, Risk, "is no measure of risk", "ConditionalShortfall(0.9)"),
        ("spending", spending, Spending, "does not say what money does", "FixedPrice()"),
    ):
        if given is not None and not isinstance(given, kind):
            raise InputError(
                problem,
                table="campaign",
                column=name,
                value=given,
                remedy=f"pass {remedy} or another such object",
            )


def _is_coded_text(dtype: object) -> bool:
    return isinstance(dtype, pd.CategoricalDtype) and isinstance(
        dtype.categories.dtype, pd.StringDtype
    )
