"""The linear relaxation where it may have no solution: then its Farkas multipliers say so."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from jaxcampaign.problems import Multipliers, SlotProblem, lagrangian_bound
from jaxcampaign.relaxations.linear import LinearRelaxation, Relaxed
from jaxcampaign.relaxations.simplex import CutProgram


# Parts of a ray below this share of its largest are rounding.
_NOISE = 1e-9


@dataclass(frozen=True, eq=False)
class Refuted:
    """The relaxation has no solution, so no selection meets every demand and limit.

    Attributes:
      multipliers: the proof. Without costs nothing is to be paid, and still their bound is above 0
        (Farkas, 1902), which `certify` recomputes.
      statistics: rounds, cuts, seconds.
    """

    multipliers: Multipliers
    statistics: dict[str, float]


def relax_or_refute(
    problem: SlotProblem, relaxation: LinearRelaxation, *, seconds: float = float("inf")
) -> tuple[Relaxed | None, Refuted | None]:
    """Solve the relaxation, which may turn out to be infeasible in any of its rounds.

    Args:
      problem: what is asked.
      relaxation: how it is tightened.
      seconds: time limit; the tightest finished round is returned.

    Returns:
      What the rounds before gave, None if there was none; and the proof of infeasibility, None
      where there is none. Both are None if the first LP did not finish in time.
    """
    began = time.monotonic()
    program = CutProgram(problem, problem.active_users)
    vertices = relaxation.tighten(program, seconds=seconds)
    statistics = {
        "rounds": len(vertices),
        "cuts": program.n_rows,
        "seconds": time.monotonic() - began,
    }
    relaxed = refuted = None
    if program.infeasible:
        ray = program.ray()
        if ray is not None:
            multipliers = _without_noise(program.multipliers(ray)).clipped()
            if lagrangian_bound(problem.without_cost(), multipliers) > 0:
                refuted = Refuted(multipliers, statistics)
    if vertices:
        multipliers = program.multipliers(vertices[-1].prices).clipped()
        bound = lagrangian_bound(problem, multipliers)
        points = tuple(vertex.x for vertex in vertices)
        relaxed = Relaxed(bound, multipliers, points, statistics)
    return relaxed, refuted


def _without_noise(multipliers: Multipliers) -> Multipliers:
    """A ray scaled to 1, without prices that are rounding: they may be of limits that are open."""
    size = max(float(multipliers.demand.max(initial=0.0)), 1e-300)

    def clean(price: np.ndarray) -> np.ndarray:
        return np.where(price > _NOISE * size, price / size, 0.0)

    return replace(
        multipliers,
        demand=clean(multipliers.demand),
        row_upper=clean(multipliers.row_upper),
        row_lower=clean(multipliers.row_lower),
        cut=multipliers.cut / size,
        rounded=None if multipliers.rounded is None else multipliers.rounded / size,
    )
