"""How constraints become rows: groups of options, a limit for each, names and reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import TYPE_CHECKING, Any, TypeAlias

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

if TYPE_CHECKING:
    from jaxcampaign.problems.campaign.constraints import AtLeast, AtMost, MaxShare

Limit: TypeAlias = float | Mapping[Any, float]
"""A number for every group, or one for each group that is named; the others have no limit."""
Per: TypeAlias = str | Sequence[str] | None
Where: TypeAlias = Mapping[str, Any] | None

_MICROSECONDS = 86_400_000_000  # per day
# Characters of conditions that a reason shows.
_SHOWN = 100


def groups_of(draft: Draft, per: Per, where: Where) -> Groups:
    """The groups that columns make of the options that meet the conditions."""
    return grouped(draft.options, per, matching(draft.options, where))


def is_count(draft: Draft, of: str) -> bool:
    """Whether what is counted comes in whole numbers."""
    return of == "posts" or (of != "spend" and not is_numeric(draft.options, of))


def measured_by(draft: Draft, of: str, kind: str) -> tuple[Acts, np.ndarray | None]:
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


def limits_of(k: Limit, groups: Groups, kind: str, open_end: float, *, whole: bool) -> np.ndarray:
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


def texts_of(
    words: str, groups: Groups, asked: AtMost | AtLeast | MaxShare, reason: str | None = None
) -> tuple[str, str]:
    """Templates of the name and the reason of rows, whose first field is the group's label.

    Each row's name says its group, whoever names the constraint; without a name of its own also
    which options count.
    """
    alone = not groups.keys.columns.size
    of_group = "" if alone else " {0}"
    if reason is None:
        reason = words if alone else f"{words} for {{0}}"
    conditions = _conditions(asked.where)
    if asked.name is None:
        return words + of_group + conditions, reason + conditions
    return literal(asked.name) + of_group, reason + conditions


def _conditions(where: Where) -> str:
    """Conditions in the words of a template, shortened."""
    if not where:
        return ""
    every = ", ".join(f"{name}: {condition!r}" for name, condition in where.items())
    return literal(f", where {shorten(every, _SHOWN, placeholder=' ...')}")


def add_rows_of(
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
        acts, coefficient = measured_by(draft, of, words)
        family = Family(groups.code, lower, upper, acts, coefficient)
        texts = texts_of(f"{words} {{1:g}} {literal(of)}", groups, asked)
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
        *texts_of(f"{words} {{1:g}} different {literal(of)}", groups, asked),
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


def add_windows(draft: Draft, groups: Groups, limits: np.ndarray, limit: AtMost) -> None:
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
    name, reason = texts_of(f"at most {{2:g}} posts in {days:g} days", groups, limit)
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
