"""Rows of a campaign that no plan can keep, each looked at alone: no solver is needed for these."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from jaxcampaign.problems.assessment import FEASIBILITY_TOLERANCE

if TYPE_CHECKING:
    from jaxcampaign.problems.campaign.families import Family
    from jaxcampaign.problems.campaign.problem import Campaign
    from jaxcampaign.problems.rows import Rows

# Rows that are named, and the rounding of a sum as a share of it.
_NAMED, _ROUNDING = 20, 1e-9


def extremes_of(problem: Campaign) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """The least and the most that each row can have, float64[G]: of all families, then sparse rows.

    Required options are in, excluded ones are out, and any others may be. -inf and inf stand for
    what nothing asks for, and for shares, which move with the whole.
    """
    least = problem.required.astype(np.float64)
    most = (~problem.excluded).astype(np.float64)
    paid = {
        "posts": (least, most),
        "spend": (least * problem.least_payment, most * problem.price),
    }
    found = [_family(problem, family, *paid[family.acts]) for family in problem.families]
    if len(problem.rows):
        flags = [(problem.flag_members @ end > 0).astype(np.float64) for end in (least, most)]
        ends = [np.concatenate(pair) for pair in zip((least, most), flags, strict=True)]
        terms = [problem.rows.coefficient * end[problem.rows.item] for end in ends]
        row, n_rows = problem.rows.row, len(problem.rows)
        low, high = (  # sums of no terms are whole numbers
            np.bincount(row, end(*terms), n_rows).astype(np.float64)
            for end in (np.minimum, np.maximum)
        )
        # What a flag means is kept by every plan: flags follow the options.
        low[problem.definitions], high[problem.definitions] = -np.inf, np.inf
        found.append((low, high))
    return tuple(found)


def out_of_reach(problem: Campaign) -> tuple[str, ...]:
    """One sentence for each row whose limit every plan breaks; empty where each could be kept.

    That all could be kept together is another matter.
    """
    found: list[str] = []
    n_more = 0
    parts: list[Family | Rows] = [*problem.families]
    if len(problem.rows):
        parts.append(problem.rows)
    for rows, (least, most) in zip(parts, problem.extremes, strict=True):
        lower, upper = rows.tolerated(FEASIBILITY_TOLERANCE)
        short = most < lower - _ROUNDING * np.abs(lower)
        over = least > upper + _ROUNDING * np.abs(upper)
        broken = np.flatnonzero(short | over)
        n_named = min(len(broken), _NAMED - len(found))
        n_more += len(broken) - n_named
        found += [_sentence(rows, i, least, most) for i in broken[:n_named].tolist()]
    return (*found, f"and {n_more:,} more") if n_more else tuple(found)


def _sentence(rows: Family | Rows, i: int, least: np.ndarray, most: np.ndarray) -> str:
    if most[i] < rows.lower[i]:
        short = rows.lower[i] - most[i]
        had = f"all options that are allowed have {most[i]:g} together, short by {short:g}"
        return f"{rows.reasons[i]}: {had}; lower the limit, or offer more options"
    over = least[i] - rows.upper[i]
    had = f"every plan has {least[i]:g} or more, {over:g} too much"
    return f"{rows.reasons[i]}: {had}; raise the limit, or require fewer posts"


def _family(
    problem: Campaign, family: Family, least: np.ndarray, most: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The two ends of a family's rows, as far as some limit asks for them."""
    a = family.coefficient
    negative = None if a is None or not (a < 0).any() else a < 0
    low, high = np.full(len(family), -np.inf), np.full(len(family), np.inf)
    if family.share:
        return low, high
    if negative is not None:
        least, most = np.where(negative, (most, least), (least, most))
    if np.isfinite(family.lower).any():
        high = family.activity(most)
    if np.isfinite(family.upper).any() and (negative is not None or problem.required.any()):
        low = family.activity(least)
    return low, high
