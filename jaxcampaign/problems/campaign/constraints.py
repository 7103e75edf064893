"""Constraints of campaigns: a few general ones that read like the sentence they stand for.

Each turns into rows with a name and a reason: frequency (`AtMost(2, per="influencer_id")`, in any
week with `days=7`), coverage (`AtLeast(10, per="event_id")`), sub-budgets (`AtMost(5000,
per="genre", of="spend")`), diversity (`MaxShare`, or `AtLeast(3, per="event_id",
of="influencer_id")` for distinct influencers), assignment, packages (`AtMost(1, per=["package"])`),
exclusivity (`Conflict`), must-have and banned options.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import pandas as pd

from jaxcampaign.errors import InputError
from jaxcampaign.problems.campaign.draft import Draft
from jaxcampaign.problems.campaign.families import Acts, Family
from jaxcampaign.problems.campaign.grouping import Groups, column, grouped, is_numeric, matching
from jaxcampaign.problems.campaign.grouping import numbers as numeric_column
from jaxcampaign.problems.campaign.money import down_to_cents, in_cents, up_to_cents
from jaxcampaign.problems.inputs import positive_number
from jaxcampaign.problems.rows import literal
from jaxcampaign.tables.coercion import closest

Limit: TypeAlias = float | Mapping[Any, float]
"""A number for every group, or one for each group that is named; the others have no limit."""
Per: TypeAlias = str | Sequence[str] | None
Where: TypeAlias = Mapping[str, Any] | None

_MICROSECONDS = 86_400_000_000  # per day
# Characters of conditions that a reason shows.
_SHOWN = 100


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
        groups = _groups(draft, self.per, self.where)
        limits = _limits(self.k, groups, "AtMost", np.inf, whole=_counts(draft, self.of))
        if self.days is not None:
            _add_windows(draft, groups, limits, self)
        else:
            _add(draft, groups, np.full(len(groups), -np.inf), limits, "at most", self)


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
        groups = _groups(draft, self.per, self.where)
        if not len(groups) and not isinstance(self.k, Mapping):
            groups = _groups(draft, None, self.where)  # the one group, of nothing
        limits = _limits(self.k, groups, "AtLeast", -np.inf, whole=_counts(draft, self.of))
        _add(draft, groups, limits, np.full(len(groups), np.inf), "at least", self)


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
        groups = _groups(draft, self.per, self.where)
        acts, coefficient = _measure(draft, self.of, "MaxShare")
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
            *_texts(
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


def _groups(draft: Draft, per: Per, where: Where) -> Groups:
    return grouped(draft.options, per, matching(draft.options, where))


def _counts(draft: Draft, of: str) -> bool:
    """Whether what is counted comes in whole numbers."""
    return of == "posts" or (of != "spend" and not is_numeric(draft.options, of))


def _measure(draft: Draft, of: str, kind: str) -> tuple[Acts, np.ndarray | None]:
    """What a family counts, and the coefficient of each option."""
    if of == "posts":
        return "posts", None
    if of == "spend":
        return "spend", None
    if not is_numeric(draft.options, of):
        raise InputError(
            "is not a number, so it has no sum",
            table="options",
            column=of,
            remedy=f'{kind} takes of="posts", "spend" or a numeric column',
        )
    return "posts", numeric_column(draft.options, of)


def _limits(k: Limit, groups: Groups, kind: str, open_end: float, *, whole: bool) -> np.ndarray:
    """Limit of each group, float64[G]."""
    if not isinstance(k, Mapping):
        return np.full(len(groups), positive_number(k, f"{kind}.k", integer=whole))
    columns = list(groups.keys.columns)
    if not columns:
        raise InputError(
            "limits by group need columns that make groups",
            table=kind,
            column="per",
            remedy="pass per=, or one number",
        )
    limits = np.full(len(groups), open_end)
    index: pd.Index
    named: dict[Any, float]
    if len(columns) == 1:
        index = pd.Index(groups.keys[columns[0]].astype("str"))
        named = {str(name): value for name, value in k.items()}
    else:
        index = pd.MultiIndex.from_frame(groups.keys.astype("str"))
        named = {tuple(map(str, name)): value for name, value in k.items()}
    for name, value in named.items():
        place = index.get_indexer_for([name])
        if place[0] < 0:
            near = closest(str(name), [str(known) for known in index[:1000]])
            raise InputError(
                "no option is in this group",
                table=kind,
                column=", ".join(columns),
                value=name,
                remedy=f"did you mean {' or '.join(near)}?" if near else "see the options",
            )
        limits[place[0]] = positive_number(value, f"{kind}.k[{name}]", integer=whole)
    return limits


def _texts(
    words: str, groups: Groups, asked: AtMost | AtLeast | MaxShare, reason: str | None = None
) -> tuple[str, str]:
    """Templates of the name and the reason of rows, whose first field is the group's label.

    Each row's name says its group, whoever names the constraint.
    """
    alone = not groups.keys.columns.size
    of_group = "" if alone else " {0}"
    if reason is None:
        reason = words if alone else f"{words} for {{0}}"
    name = words if asked.name is None else literal(asked.name)
    return name + of_group, reason + _conditions(asked.where)


def _conditions(where: Where) -> str:
    """Conditions in the words of a template, shortened."""
    if not where:
        return ""
    every = ", ".join(f"{name}: {condition!r}" for name, condition in where.items())
    return literal(f", where {shorten(every, _SHOWN, placeholder=' ...')}")


def _add(
    draft: Draft,
    groups: Groups,
    lower: np.ndarray,
    upper: np.ndarray,
    words: str,
    asked: AtMost | AtLeast,
) -> None:
    """Rows on posts, money, a sum, or the number of different values."""
    of = asked.of
    if of == "spend" and in_cents(column(draft.options, "price").to_numpy()) is not None:
        lower, upper = up_to_cents(lower) / 100, down_to_cents(upper) / 100
    limit = np.where(np.isfinite(upper), upper, lower)
    if of in ("posts", "spend") or is_numeric(draft.options, of):
        acts, coefficient = _measure(draft, of, words)
        family = Family(groups.code, lower, upper, acts, coefficient)
        texts = _texts(f"{words} {{1:g}} {literal(of)}", groups, asked)
        draft.add_family(family, *texts, groups.labels, limit)
        return
    inside = groups.code >= 0
    names = [*groups.keys.columns, of]
    finer = grouped(draft.options, list(dict.fromkeys(names)), inside)
    options = np.flatnonzero(inside)
    flag = draft.add_flags(finer.code[options], options, len(finer))
    group_of_flag = np.zeros(len(finer), np.int64)
    group_of_flag[finer.code[options]] = groups.code[options]
    draft.add_rows(
        group_of_flag,
        flag,
        np.ones(len(flag)),
        lower,
        upper,
        *_texts(f"{words} {{1:g}} different {literal(of)}", groups, asked),
        (groups.labels, limit),
    )
    if np.isfinite(upper).any():
        # Where an option is chosen its flag must be up; the other way round holds for all flags.
        row = np.arange(len(options))
        at = flag[finer.code[options]]
        draft.add_rows(
            np.concatenate([row, row]),
            np.concatenate([options, at]),
            np.repeat([1.0, -1.0], len(options)),
            np.full(len(options), -np.inf),
            np.zeros(len(options)),
            "counted option {0}",
            f"a chosen option's {literal(of)} counts",
            (options,),
            definition=True,
        )


def _add_windows(draft: Draft, groups: Groups, limits: np.ndarray, limit: AtMost) -> None:
    """A row for each group and each time at which a window of days begins with a post."""
    if limit.of != "posts":
        raise InputError(
            "windows of days count posts only",
            table="AtMost",
            column="of",
            value=limit.of,
            remedy='leave out days=, or say of="posts"',
        )
    days = positive_number(limit.days, "AtMost.days")
    time = column(draft.options, "posted_at").to_numpy("datetime64[us]").astype(np.int64)
    options = np.flatnonzero((groups.code >= 0) & np.isfinite(limits[groups.code]))
    order = options[np.lexsort((time[options], groups.code[options]))]
    # Ranks of times, those of one group after those of the one before: one search finds all ends,
    # and numbers are at most the square of the number of options.
    moments, rank = np.unique(time[order], return_inverse=True)
    width = min(round(days * _MICROSECONDS), int(np.ptp(moments)) + 1 if len(moments) else 0)
    rank_of_end = np.searchsorted(moments, moments + width, side="left")
    before = groups.code[order].astype(np.int64) * (len(moments) + 1)
    place = before + rank
    begin = np.flatnonzero(np.diff(place, prepend=-1) > 0)
    end = np.searchsorted(place, before[begin] + rank_of_end[rank[begin]], side="left")
    # A window inside the one before says nothing new, nor does one with too few posts.
    new = np.diff(end, prepend=-1) > 0
    begin, end = begin[new], end[new]
    most = limits[groups.code[order[begin]]]
    tight = end - begin > most
    begin, end, most = begin[tight], end[tight], most[tight]
    length = end - begin
    row = np.repeat(np.arange(len(begin)), length)
    start = np.concatenate([[0], np.cumsum(length)])
    member = order[np.arange(start[-1]) - start[row] + begin[row]]
    labels = groups.labels[groups.code[order[begin]]]
    name, reason = _texts(f"at most {{2:g}} posts in {days:g} days", groups, limit)
    when = pd.Series(time[order[begin]].astype("datetime64[us]")).astype("str").to_numpy(object)
    draft.add_rows(
        row,
        member,
        np.ones(len(member)),
        np.full(len(begin), -np.inf),
        most,
        name + " from {1}",
        reason + ", from {1}",
        (labels, when, most),
    )
