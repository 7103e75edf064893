"""Branch and cut beside a large-neighbourhood search: the answer and its bound from both sides."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace

import jax
import numpy as np

from jaxcampaign.problems import (
    DisjointSlots,
    Proof,
    SlotProblem,
    lagrangian_bound,
    refutation,
    tightest,
)
from jaxcampaign.problems.lagrangian import Inequalities, Multipliers, priced_bound
from jaxcampaign.progress import progress
from jaxcampaign.relaxations import LinearRelaxation, Relaxed, prefix_bound
from jaxcampaign.relaxations.simplex import CutProgram, Vertex
from jaxcampaign.relaxations.tree import Tree
from jaxcampaign.solvers.base import Clock, Finding, Solver, check_gap, check_time_limit
from jaxcampaign.solvers.coverage import Coverage
from jaxcampaign.solvers.greedy import Greedy
from jaxcampaign.solvers.lp_rounding import LPRounding
from jaxcampaign.solvers.neighbourhood import Neighbourhoods, below
from jaxcampaign.solvers.repair import finished

_SECONDS = 60.0
# Share of the time that the root may take.
_ROOT_SHARE = 0.4
# A node's point is rounded to a plan at this threshold.
_THRESHOLD = 0.5
# Vertices of the tree that wait to be rounded, at most.
_MOST_SHOWN = 32
# Seconds between looks at the tree where there is nothing else to do.
_PAUSE = 0.2


@dataclass(frozen=True)
class BranchAndCut:
    """The best plan and the best proven bound that the time allows; the optimum, given enough.

    The linear relaxation is tightened by facets of each user's hull and by rounded demands, and
    its points are rounded to plans. Then two threads work towards each other: a tree search raises
    the bound, and a large-neighbourhood search improves the plan. Stopped at any time, it returns
    both. The bound is proven by a tree of multipliers, which `verify` rechecks without a solver.

    Args:
      time_limit: seconds at most, for everything; by default what `solve` is given, or a minute,
        which then is no limit that was hit but how far this solver goes.
      gap: relative gap at which to stop.
      relaxation: the root, and what is separated in the tree.
      rounding: makes plans of the root's points.
      neighbourhoods: whether to search around the best plan.
      branching: whether to split the root.
    """

    time_limit: float | None = None
    gap: float = 1e-6
    relaxation: LinearRelaxation = field(default_factory=LinearRelaxation)
    rounding: LPRounding = field(default_factory=LPRounding)
    neighbourhoods: bool = True
    branching: bool = True

    def __post_init__(self):
        check_gap(self.gap)
        if self.time_limit is not None:
            check_time_limit(self.time_limit)

    def search(self, problem: SlotProblem, *, key: jax.Array, clock: Clock) -> Finding:
        """Search; the key is consumed."""
        asked = clock.end < np.inf or self.time_limit is not None
        limit = Clock.after(self.time_limit or (None if asked else _SECONDS))
        clock = limit if limit.end < clock.end else clock
        rounding_key, seed_key = jax.random.split(key)
        disjoint = isinstance(problem, DisjointSlots)
        # Disjoint sets have roundings of their own, which also tell what is infeasible.
        first: Solver = self.rounding if disjoint else Greedy()
        start = first.search(problem, key=rounding_key, clock=_part(clock, _ROOT_SHARE))
        proof = start.multipliers if disjoint else None
        if proof is not None and max(refutation(problem, proof)) > 0:
            return start
        program = CutProgram(problem, problem.active_users)
        vertices = self.relaxation.tighten(program, seconds=_ROOT_SHARE * clock.left)
        if not vertices or (program.infeasible and len(problem.rows)):
            return replace(start, limit_hit=start.limit_hit or not program.infeasible)
        root = program.multipliers(vertices[-1].prices).clipped()
        points = tuple(vertex.x for vertex in vertices)
        relaxed = Relaxed(lagrangian_bound(problem, root), root, points, {})
        best, statistics = Coverage(problem, start.selection), dict(start.statistics)
        if not disjoint:
            best, statistics = self.rounding.round(
                problem, relaxed, start.selection, key=rounding_key, clock=clock
            )
        board = _Board(best, self.gap)
        tree = Tree(program, vertices[-1], self.relaxation)
        seed = int(jax.random.randint(seed_key, (), 0, 2**31 - 1))
        around = Neighbourhoods(problem, reduced_costs(problem, root), root.cuts, seed)
        if vertices[-1].value < board.cutoff and not clock.out:
            self._from_both_sides(tree, around, board, clock)
        proofs: list[Proof] = [root, tree.proof()]
        if proof is not None:
            proofs.append(proof)
        if problem.sense == "max":
            proofs.append(prefix_bound(problem, [board.best.selection])[1])
        counts = {
            "root_rounds": len(vertices),
            "root_bound": relaxed.bound,
            "nodes": tree.n_nodes,
            "neighbourhoods": around.tried,
            "improvements": around.improved,
        }
        return Finding(
            board.best.selection,
            tightest(problem, proofs),
            limit_hit=asked and clock.out,
            statistics={**statistics, **counts},
        )

    def _from_both_sides(
        self, tree: Tree, around: Neighbourhoods, board: _Board, clock: Clock
    ) -> None:
        """Raise the bound in a thread of its own, improve the plan in this one."""
        with ThreadPoolExecutor(1) as pool, progress(None, "branch and cut", "plan") as bar:
            try:
                done: Future[None] | None = None
                if self.branching:
                    done = pool.submit(tree.search, lambda: board.cutoff, clock.end, board.show)
                while not clock.out and not (done is not None and done.done()):
                    shown = board.take_shown()
                    for vertex in shown:
                        if clock.out:
                            break
                        rounded = finished(tree.program.problem, vertex.x >= _THRESHOLD, clock)
                        board.offer(rounded)
                    if self.neighbourhoods:
                        point = shown[-1].x if shown else None
                        board.offer(around.step(board.best, clock, point))
                    elif done is None:
                        break
                    else:
                        wait([done], timeout=_PAUSE)
                    bar.set_postfix_str(f"best {board.best.score:.6g}, bound {tree.bound:.6g}")
                    bar.update()
            finally:
                board.stop()
            if done is not None:
                done.result()


def _part(clock: Clock, share: float) -> Clock:
    """A clock with a share of the time that is left."""
    return Clock(min(clock.end, time.monotonic() + share * clock.left))


class _Board:
    """What the two threads know of each other's work."""

    def __init__(self, best: Coverage, gap: float):
        self.best = best
        self._gap = gap
        self._shown: deque[Vertex] = deque(maxlen=_MOST_SHOWN)
        self._stopped = False

    @property
    def cutoff(self) -> float:
        """Value in the minimised form from which a node is of no interest."""
        if self._stopped:
            return -np.inf
        return below(self.best.score, self._gap)

    def offer(self, coverage: Coverage) -> None:
        """Keep a plan if it is the best; only one thread offers."""
        if coverage.score < self.best.score:
            self.best = coverage

    def show(self, vertex: Vertex) -> None:
        """A vertex of the tree, for rounding."""
        self._shown.append(vertex)

    def take_shown(self) -> list[Vertex]:
        """The vertices since the last call, the latest last; very many are not kept."""
        return [self._shown.popleft() for _ in range(len(self._shown))]

    def stop(self) -> None:
        """Let the tree search end with its next node."""
        self._stopped = True


def reduced_costs(problem: SlotProblem, multipliers: Multipliers) -> np.ndarray:
    """What a slot would add to the multipliers' bound, float64[S]."""
    m = multipliers
    inequalities = Inequalities.derive(problem, m.cuts, m.rounded_rows)
    rounded = np.zeros(0) if m.rounded is None else m.rounded
    prices = (m.demand, m.row_upper, m.row_lower, m.cut, rounded)
    return priced_bound(problem, inequalities, *prices)[1]
