"""The linear relaxation, tightened by inequalities in rounds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from jaxcampaign.errors import InputError
from jaxcampaign.problems import Cuts, Multipliers, SlotProblem, lagrangian_bound
from jaxcampaign.progress import moment, progress
from jaxcampaign.relaxations.hull import violated_hull_cuts
from jaxcampaign.relaxations.rounding import violated_rounded_rows
from jaxcampaign.relaxations.separation import violated_prefix_cuts
from jaxcampaign.relaxations.simplex import CutProgram, Vertex

# Progress is judged over so many rounds: single ones may gain nothing.
_PATIENCE = 6
# Vertices in a row that an inequality may be without a price before it is dropped.
_IDLE = 3


@dataclass(frozen=True, eq=False)
class Relaxed:
    """The answer of a relaxation.

    Attributes:
      bound: what the multipliers prove, in the problem's own sense.
      multipliers: the proof.
      points: fractional selections x, float64[S] each, one a round, the tightest last.
      statistics: rounds, cuts, seconds.
    """

    bound: float
    multipliers: Multipliers
    points: tuple[np.ndarray, ...]
    statistics: dict[str, float]


class Relaxation(Protocol):
    """Proves a bound, and may suggest where to look for an answer."""

    def solve(self, problem: SlotProblem, *, seconds: float = float("inf")) -> Relaxed | None:
        """Bound, proof and fractional points; None where the time did not suffice for any."""
        ...


@dataclass(frozen=True)
class LinearRelaxation:
    """LP relaxation of a slot problem, with inequalities separated at the vertex in rounds.

    Beside the inequalities of Nemhauser and Wolsey (1981), over prefixes of each user's slots
    sorted by x, there are facets of each user's hull, and demands rounded as whole slots allow. The
    duals of the tightest round prove the bound.

    Args:
      max_rounds: rounds at most.
      min_progress: stop when several rounds together move the bound by less than this share of it.
      tolerance: smallest violation of an inequality that is worth a row.
      hull: whether to look for facets of users' hulls.
      rounding: whether to round demands, once the inequalities of users stall.
    """

    max_rounds: int = 80
    min_progress: float = 2e-4
    tolerance: float = 1e-5
    hull: bool = True
    rounding: bool = True

    def __post_init__(self):
        if self.max_rounds < 1:
            raise InputError(
                "must be at least 1", table="max_rounds", value=self.max_rounds, remedy="raise it"
            )

    def solve(self, problem: SlotProblem, *, seconds: float = float("inf")) -> Relaxed | None:
        """Bound, proof and fractional points; None if the first LP did not finish in time.

        Args:
          problem: what is asked; it must not be `unreachable`.
          seconds: time limit; the tightest finished round is returned.
        """
        began = time.monotonic()
        program = CutProgram(problem, problem.active_users)
        vertices = self.tighten(program, seconds=seconds)
        if not vertices:
            return None
        multipliers = program.multipliers(vertices[-1].prices).clipped()
        statistics = {
            "rounds": len(vertices),
            "cuts": program.n_rows,
            "seconds": time.monotonic() - began,
        }
        bound = lagrangian_bound(problem, multipliers)
        return Relaxed(bound, multipliers, tuple(v.x for v in vertices), statistics)

    def tighten(self, program: CutProgram, *, seconds: float = float("inf")) -> list[Vertex]:
        """Solve the program and add to it in rounds; the vertices, the tightest last."""
        end = time.monotonic() + seconds
        vertices: list[Vertex] = []
        rounding = False
        stage = 0
        with progress(self.max_rounds, "linear relaxation", "round") as bar:
            while len(vertices) < self.max_rounds and not (vertices and moment() >= end):
                vertex = program.solve(end - time.monotonic())
                bar.update()
                if vertex is None:
                    break
                vertices.append(vertex)
                program.drop(_IDLE)
                values = [v.value for v in vertices[stage:]]
                stalled = len(values) > _PATIENCE and values[-1] - values[
                    -1 - _PATIENCE
                ] <= self.min_progress * abs(values[-1])
                if stalled and (rounding or not self.rounding):
                    break
                if stalled:
                    rounding, stage = True, len(vertices)
                if not self.separate(program, vertex, rounding=rounding, tolerance=self.tolerance):
                    if rounding or not self.rounding:
                        break
                    rounding, stage = True, len(vertices)
                    if not self.separate(program, vertex, rounding=True, tolerance=self.tolerance):
                        break
        return vertices

    def separate(
        self, program: CutProgram, vertex: Vertex, *, rounding: bool, tolerance: float
    ) -> int:
        """Add inequalities that the vertex violates; their number."""
        problem, x, users = program.problem, vertex.x, program.users
        parts = [violated_prefix_cuts(problem.influence, x, vertex.reach, users, tolerance)]
        if self.hull:
            parts.append(violated_hull_cuts(problem.influence, x, vertex.reach, users, tolerance))
        cuts = Cuts.join(parts)
        count = len(cuts)
        if rounding and problem.demand.any():
            known = Cuts.join([program.cuts, cuts])
            rows = violated_rounded_rows(problem, x, vertex.reach, users, known, 10 * tolerance)
            count += len(rows)
            if len(rows):
                program.add_rounded(rows)
        if len(cuts):
            program.add(cuts)
        return count
