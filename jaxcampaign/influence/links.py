"""Probability links: how a billboard's size and a user's visits become a chance of influence.

The literature takes `Pr(s, u) = size / max size` (Ali, Islam, Banerjee, arXiv 2510.09050, section
2). A link is any callable `link(size_ratio, hits) -> prob`; those here are frozen and comparable,
so that they can be stored with a run and printed.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jaxcampaign.errors import InputError


@dataclass(frozen=True)
class Link(abc.ABC):
    """Chance that a slot influences a user who passed it, from arrays with one entry per pair."""

    def __call__(self, size_ratio: ArrayLike, hits: ArrayLike) -> NDArray:
        """Probability of each pair.

        Args:
          size_ratio: f64[E] in [0, 1], panel size over the largest panel size.
          hits: i64[E], times that the user passed the slot, 0 or more.

        Returns:
          f64[E] in [0, 1].

        Raises:
          InputError: an argument, or a resulting probability, that is out of range.
        """
        size_ratio = np.asarray(size_ratio, np.float64)
        hits = np.asarray(hits)
        _refuse_unless(
            (size_ratio >= 0) & (size_ratio <= 1),
            size_ratio,
            "size_ratio",
            "a size ratio is not within [0, 1]",
            "divide positive sizes by the largest of them",
        )
        _refuse_unless(
            (hits >= 0) & (hits == np.floor(hits)),
            hits,
            "hits",
            "a number of visits is not a whole number from 0",
            "count the visits of each user to each slot",
        )
        prob = self.strength(size_ratio, hits)
        _refuse_unless(
            (prob >= 0) & (prob <= 1),
            prob,
            "prob",
            f"{self!r} gives a probability outside [0, 1]",
            f"use Clip({self!r}) to cut it at 1, or IndependentExposures()",
        )
        return prob

    @abc.abstractmethod
    def strength(self, size_ratio: NDArray, hits: NDArray) -> NDArray:
        """The link's formula, f64[E], on arguments in range; may exceed 1."""


@dataclass(frozen=True)
class SizeRatio(Link):
    """`p = scale * size_ratio` for anyone who passed, however often; 0 for who did not.

    The link of the literature, with `scale` 1.
    """

    scale: float = 1.0
    """Probability at the largest billboard, in (0, 1]."""

    def __post_init__(self):
        _check_scale(self, at_most=1.0)

    def strength(self, size_ratio: NDArray, hits: NDArray) -> NDArray:
        """See the class."""
        return self.scale * size_ratio * (hits > 0)


@dataclass(frozen=True)
class IndependentExposures(Link):
    """`p = 1 - (1 - q)^hits` with `q = scale * size_ratio`: every visit is a fresh chance.

    The model that the influence function itself assumes between slots, applied within one.
    Exact to rounding for tiny q, and exactly 1 for q = 1.
    """

    scale: float = 1.0
    """Probability of one visit to the largest billboard, in (0, 1]."""

    def __post_init__(self):
        _check_scale(self, at_most=1.0)

    def strength(self, size_ratio: NDArray, hits: NDArray) -> NDArray:
        """See the class."""
        q = self.scale * size_ratio
        with np.errstate(divide="ignore", invalid="ignore"):
            prob = -np.expm1(hits * np.log1p(-q))
        return np.where((hits > 0) & (q > 0), prob, 0.0)


@dataclass(frozen=True)
class ProportionalHits(Link):
    """`p = scale * hits * size_ratio`, which is no probability where it exceeds 1: see `Clip`.

    The value in the files published with arXiv 2510.09050: `hits * size / constant`, the constant
    being one more than the largest size (20,926 for New York, 672 for Los Angeles square feet),
    that is `scale` just under 1. It exceeds 1 for 3.3 % and 26 % of their pairs.
    """

    scale: float = 1.0
    """Strength of one visit to the largest billboard, above 0."""

    def __post_init__(self):
        _check_scale(self, at_most=np.inf)

    def strength(self, size_ratio: NDArray, hits: NDArray) -> NDArray:
        """See the class."""
        return self.scale * (hits * size_ratio)


@dataclass(frozen=True)
class Clip(Link):
    """`p = min(link, 1)`: another link, cut at certainty."""

    link: Link

    def strength(self, size_ratio: NDArray, hits: NDArray) -> NDArray:
        """See the class."""
        return np.minimum(self.link.strength(size_ratio, hits), 1.0)


def _check_scale(link: SizeRatio | IndependentExposures | ProportionalHits, at_most: float) -> None:
    if not (isinstance(link.scale, Real) and 0 < link.scale <= at_most and link.scale < np.inf):
        interval = "(0, 1]" if at_most == 1 else "(0, inf)"
        raise InputError(
            f"the scale of {type(link).__name__} is not in {interval}",
            table="scale",
            value=link.scale,
            remedy="give the probability at the largest billboard, such as 0.3",
        )


def _refuse_unless(ok: NDArray, values: NDArray, column: str, problem: str, remedy: str) -> None:
    if not ok.all():
        rows = np.flatnonzero(~ok)
        first = values.ravel()[rows[0]].item()
        raise InputError(problem, column=column, rows=rows.tolist(), value=first, remedy=remedy)
