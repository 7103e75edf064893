"""A plan near a point of a small core's relaxation: rounded, then one or two choices are turned."""

from __future__ import annotations

import numpy as np

from jaxcampaign.problems.campaign import Campaign
from jaxcampaign.relaxations.campaign.program import CoreAnswer, CoreProgram
from jaxcampaign.solvers.base import Clock

# Numbers at most that what all pairs add to all rows makes, and rounds of turning.
_CELLS, _ROUNDS = 1_000_000, 50
# By how much a row may be off, in its unit, and a gain that counts, as a share of the value.
_ROUNDING, _NOTHING = 1e-9, 1e-12


def can_flip(problem: Campaign) -> bool:
    """Whether nothing but options is decided: flags and totals of shares would turn with them."""
    return not problem.n_flags and not any(family.share for family in problem.families)


def flipped(
    program: CoreProgram, answer: CoreAnswer, enough: float, clock: Clock
) -> np.ndarray | None:
    """The plan that the best turns of one or two choices at a time come to, bool[N].

    Where the relaxation has few fractions a plan is a turn or two away, and of the thousands of
    pairs that cost next to nothing some fit what is left of a limit almost exactly. What rows are
    off by costs more than any option is worth, until all are kept.

    Args:
      program: over the core of a campaign that `can_flip`; one value counts.
      answer: to its relaxation.
      enough: value at which to stop.
      clock: when to stop.

    Returns:
      None where no such turn leads to a plan.
    """
    rows, core = program.rows, program.core
    if answer.fraction is None or answer.price is None:
        return None
    value = program.values[0, core]
    chosen = answer.fraction[core] > 0.5
    reduced = value - rows.matrix.T @ (answer.price[rows.number] * rows.unit)
    most = int(np.sqrt(2 * _CELLS / max(len(rows.number), 1)))
    least, largest = rows.limits_of_columns(program.problem)
    free = np.flatnonzero(least < largest)
    own = free[np.argsort(np.abs(reduced[free]), kind="stable")[:most]]  # 0 for fractions
    first, second = np.triu_indices(len(own))
    alone = first == second
    matrix, activity = rows.matrix[:, own].toarray(), rows.matrix @ chosen.astype(np.float64)
    worth = float(program.values[0] @ program.fixed + value @ chosen)
    penalty = 2 * np.abs(value).sum()
    off = float(_off(activity, rows.lower, rows.upper))
    for _ in range(_ROUNDS if len(own) else 0):
        if clock.out or (off <= _ROUNDING and worth >= enough):
            break
        turn = np.where(chosen[own], -1.0, 1.0)
        gain, change = value[own] * turn, matrix * turn
        gains = gain[first] + np.where(alone, 0.0, gain[second])
        changes = change[:, first] + np.where(alone, 0.0, change[:, second])
        left = _off(activity[:, None] + changes, rows.lower[:, None], rows.upper[:, None])
        left = np.where(left <= _ROUNDING, 0.0, left)
        score = gains - penalty * (left - off)
        if off > _ROUNDING and not left.all():
            score = np.where(left > 0, -np.inf, gains)
        best = int(np.argmax(score))
        if score[best] <= _NOTHING * abs(worth) and (off <= _ROUNDING or left[best]):
            break
        pair = np.unique(own[[first[best], second[best]]])
        chosen[pair] = ~chosen[pair]
        activity += changes[:, best]
        worth, off = worth + gains[best], float(left[best])
    if off > _ROUNDING:
        return None
    plan = program.fixed.copy()
    plan[core] = chosen
    return plan


def _off(activity: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """By how much rows are off together, for each column."""
    return np.maximum(np.maximum(activity - upper, lower - activity), 0.0).sum(axis=0)
