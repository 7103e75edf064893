"""Constraints of campaigns: a few general ones that read like the sentence they stand for.

Each turns into rows with a name and a reason: frequency (`AtMost(2, per="influencer_id")`, in any
week with `days=7`), coverage (`AtLeast(10, per="event_id")`), sub-budgets (`AtMost(5000,
per="genre", of="spend")`), diversity (`MaxShare`, or `AtLeast(3, per="event_id",
of="influencer_id")` for distinct influencers), assignment, packages (`AtMost(1, per=["package"])`),
exclusivity (`Conflict`), must-have and banned options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from jaxcampaign.errors import InputError
from jaxcampaign.problems.campaign.draft import Draft
from jaxcampaign.problems.campaign.families import Family
from jaxcampaign.problems.campaign.grouping import grouped, matching
from jaxcampaign.problems.campaign.laying import (
    Limit,
    Per,
    Where,
    add_rows_of,
    add_windows,
    groups_of,
    is_count,
    limits_of,
    measured_by,
    texts_of,
)
from jaxcampaign.problems.inputs import positive_number
from jaxcampaign.problems.rows import literal


@runtime_checkable
class Constraint(Protocol):
    """Adds its rows to a draft of a campaign."""

    def add_to(self, draft: Draft) -> None:
        """Add rows, or raise `InputError` naming the column, value and remedy."""
        ...


@dataclass(frozen=True)
class AtMost:
    """At most so much for each group of options.

    Args:
      k: limit, or one for each group that is named: `{"music": 3}`, with several columns
        `{("music", "launch"): 3}`. Where all prices are whole cents, so are limits of money:
        what is less than a cent buys nothing.
      per: columns that make groups, or "day", "week", "month", "quarter" of `posted_at`; None for
        one group of everything.
      of: what is counted: "posts", "spend", a numeric column (its sum over chosen posts), or a
        column of text (how many different values are chosen).
      where: only options that meet these conditions (see `enumerate_options`).
      days: the limit holds in every window of so many days instead: with k = 1 a minimum gap
        between posts of a group. Counts of posts only.
      name: short name for messages; made from the rest by default.
    """

    k: Limit
    per: Per = None
    of: str = "posts"
    where: Where = None
    days: float | None = None
    name: str | None = None

    def add_to(self, draft: Draft) -> None:
        """Add the rows."""
        groups = groups_of(draft, self.per, self.where)
        limits = limits_of(self.k, groups, "AtMost", np.inf, whole=is_count(draft, self.of))
        if self.days is not None:
            add_windows(draft, groups, limits, self)
        else:
            add_rows_of(draft, groups, np.full(len(groups), -np.inf), limits, "at most", self)


@dataclass(frozen=True)
class AtLeast:
    """At least so much for each group of options; the arguments are those of `AtMost`.

    Groups are those that the options have: a genre without any option is nothing that could be
    covered, and is an error where the limits name it. Where no option at all meets the conditions,
    there is nothing that could meet the limit, and the problem is infeasible.
    """

    k: Limit
    per: Per = None
    of: str = "posts"
    where: Where = None
    name: str | None = None

    def add_to(self, draft: Draft) -> None:
        """Add the rows."""
        groups = groups_of(draft, self.per, self.where)
        if not len(groups) and not isinstance(self.k, Mapping):
            groups = groups_of(draft, None, self.where)  # the one group, of nothing
        limits = limits_of(self.k, groups, "AtLeast", -np.inf, whole=is_count(draft, self.of))
        add_rows_of(draft, groups, limits, np.full(len(groups), np.inf), "at least", self)


@dataclass(frozen=True)
class MaxShare:
    """No group has more than a share of what all groups have together.

    Args:
      share: between 0 and 1.
      per: columns that make groups.
      of: "posts", "spend" or a numeric column with no value below 0.
      where: only options that meet these conditions, in the whole as well.
      name: short name for messages.
    """

    share: float
    per: Per
    of: str = "posts"
    where: Where = None
    name: str | None = None

    def add_to(self, draft: Draft) -> None:
        """Add the rows."""
        share = positive_number(self.share, "share")
        if share > 1:
            raise InputError(
                "a share is at most 1", table="MaxShare", column="share", value=share,
                remedy="0.4 stands for 40 %",
            )  # fmt: skip
        groups = groups_of(draft, self.per, self.where)
        acts, coefficient = measured_by(draft, self.of, "MaxShare")
        if coefficient is not None and coefficient[groups.code >= 0].min(initial=0.0) < 0:
            raise InputError(
                "a share of numbers below 0 has no meaning",
                table="options",
                column=self.of,
                remedy="choose another column",
            )
        draft.add_family(
            Family(
                groups.code,
                np.full(len(groups), -np.inf),
                np.zeros(len(groups)),
                acts,
                coefficient,
                share,
            ),
            *texts_of(
                f"max_share {{1:g}} of {literal(self.of)}",
                groups,
                self,
                f"{{0}} may have at most {{1:.4g}} of all {literal(self.of)}",
            ),
            groups.labels,
            np.full(len(groups), share),
        )


@dataclass(frozen=True)
class Require:
    """Options that must be chosen: every one that meets the conditions.

    For "at least one of them" say `AtLeast(1, where=...)`.
    """

    where: Mapping[str, Any]

    def add_to(self, draft: Draft) -> None:
        """Fix the options."""
        draft.require(_found(draft, self.where, "Require"), f"required by {dict(self.where)}")


@dataclass(frozen=True)
class Exclude:
    """Options that must not be chosen: every one that meets the conditions."""

    where: Mapping[str, Any]

    def add_to(self, draft: Draft) -> None:
        """Leave the options out."""
        draft.exclude(_found(draft, self.where, "Exclude"), f"excluded by {dict(self.where)}")


@dataclass(frozen=True)
class Conflict:
    """Two kinds of options of which only one may be chosen in each group.

    For example competitors: `Conflict({"brand": "a"}, {"brand": "b"}, per="event_id")`.

    Args:
      one: conditions of the first kind.
      other: conditions of the second kind.
      per: columns that make groups; None where the two exclude each other everywhere.
    """

    one: Mapping[str, Any]
    other: Mapping[str, Any]
    per: Per = None

    def add_to(self, draft: Draft) -> None:
        """Add a column for each group, "one of the first kind is chosen", and the rows."""
        first = _found(draft, self.one, "Conflict")
        second = _found(draft, self.other, "Conflict")
        both = np.flatnonzero(first & second)
        if len(both):
            raise InputError(
                "an option conflicts with itself",
                table="Conflict",
                rows=both[:20].tolist(),
                remedy="make the two conditions exclude each other",
            )
        groups = grouped(draft.options, self.per, first | second)
        shared = np.intersect1d(groups.code[first], groups.code[second])
        place = np.full(len(groups) + 1, -1)
        place[shared] = np.arange(len(shared))
        at = place[groups.code]
        first, second = np.flatnonzero(first & (at >= 0)), np.flatnonzero(second & (at >= 0))
        flag = draft.add_flags(at[first], first, len(shared))
        n_rows = len(first) + len(second)
        row, options = np.arange(n_rows), np.concatenate([first, second])
        sign = np.repeat([-1.0, 1.0], [len(first), len(second)])
        label = groups.labels[shared][at[options]]
        draft.add_rows(
            np.concatenate([row, row]),
            np.concatenate([options, flag[at[options]]]),
            np.concatenate([np.ones(n_rows), sign]),
            np.full(n_rows, -np.inf),
            np.repeat([0.0, 1.0], [len(first), len(second)]),
            "conflict {0} option {1}",
            "options that conflict are not chosen together ({0})",
            (label, options),
        )


def _found(draft: Draft, where: Mapping[str, Any], kind: str) -> np.ndarray:
    found = matching(draft.options, where)
    if not where or not found.any():
        raise InputError(
            "no option meets the conditions" if where else "no condition is given",
            table=kind,
            value=dict(where),
            remedy="see the columns and values of the options",
        )
    return found
