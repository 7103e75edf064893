"""The linear relaxation with Nemhauser-Wolsey inequalities, tightened in rounds."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from jaxcampaign.problems import Cuts, Multipliers, SlotProblem, lagrangian_bound
from jaxcampaign.progress import progress
from jaxcampaign.relaxations.program import solve_program
from jaxcampaign.relaxations.separation import violated_prefix_cuts


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


@dataclass(frozen=True)
class LinearRelaxation:
    """LP relaxation of a slot problem, with cuts separated at the fractional point in rounds.

    Its rows are those of `solve_program`; the inequalities are those of Nemhauser and Wolsey (1981)
    over prefixes of each user's slots sorted by x. The duals of the tightest round prove the bound.

    Args:
      max_rounds: rounds of cuts at most.
      min_progress: stop when a round moves the bound by less than this share of it.
      tolerance: smallest violation of an inequality that is worth a cut.
    """

    max_rounds: int = 16
    min_progress: float = 2e-5
    tolerance: float = 1e-5

    def solve(self, problem: SlotProblem, *, seconds: float = float("inf")) -> Relaxed | None:
        """Bound, proof and fractional points; None if the first LP did not finish in time.

        Args:
          problem: what is asked; it must not be `unreachable`.
          seconds: time limit; the tightest finished round is returned.
        """
        began = time.monotonic()
        users = problem.active_users
        cuts = Cuts.first(users)
        better = max if problem.sense == "min" else min
        best: tuple[float, Multipliers] | None = None
        points: list[np.ndarray] = []
        rounds = 0
        with progress(self.max_rounds + 1, "linear relaxation", "round") as bar:
            while rounds <= self.max_rounds:
                left = seconds - (time.monotonic() - began)
                if left <= 0:
                    break
                answer = solve_program(problem, users, cuts, seconds=left)
                if not answer.finished or answer.multipliers is None:
                    break
                assert answer.x is not None and answer.reach is not None
                multipliers = answer.multipliers.clipped()
                bound = lagrangian_bound(problem, multipliers)
                points.append(answer.x)
                stalled = best is not None and abs(bound - best[0]) <= self.min_progress * abs(
                    best[0]
                )
                if best is None or better(bound, best[0]) == bound:
                    best = (bound, multipliers)
                if stalled:
                    break
                new = violated_prefix_cuts(
                    problem.influence, answer.x, answer.reach, users, self.tolerance
                )
                if not len(new):
                    break
                cuts = Cuts.join([_binding(cuts, answer.multipliers.cut, len(users)), new])
                rounds += 1
                bar.update()
        if best is None:
            return None
        statistics = {
            "rounds": rounds,
            "cuts": len(cuts),
            "seconds": time.monotonic() - began,
        }
        return Relaxed(best[0], best[1], tuple(points), statistics)


def _binding(cuts: Cuts, price: np.ndarray, n_first: int) -> Cuts:
    """The inequalities that held the last answer; those of the empty set always stay."""
    return cuts.take((price > 1e-9 * price.max(initial=0.0)) | (np.arange(len(cuts)) < n_first))
