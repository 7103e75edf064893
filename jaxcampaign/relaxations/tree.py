"""Branch and cut on the linear relaxation, with a proof by cases that anybody can recheck.

The node with the least bound goes first; its program is tightened by inequalities that hold
everywhere, and it is split on a fractional slot. Slots are compared by pseudocosts, which a few
dual simplex steps start off (reliability branching: Achterberg, Koch, Martin, 2005).
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from jaxcampaign.problems import BranchedMultipliers, Multipliers
from jaxcampaign.problems.branching import exclusion_values
from jaxcampaign.problems.lagrangian import Inequalities, priced_bound
from jaxcampaign.progress import moment
from jaxcampaign.relaxations.linear import LinearRelaxation
from jaxcampaign.relaxations.simplex import CutProgram, Prices, Vertex

_WHOLE = 1e-6
# Rounds of inequalities at a node at most, and the progress of one that is worth another.
_NODE_ROUNDS = 3
_NODE_PROGRESS = 2e-4
_NODE_TOLERANCE = 1e-4
# Vertices in a row that an inequality may be without a price before it is dropped.
_IDLE = 8
# Stating the program anew is worth it if this share of its slots goes.
_WORTH_EXCLUDING = 0.05
# Slots that are compared at a node, and how many in a row may fail to beat the best of them.
_CANDIDATES = 12
_LOOKAHEAD = 5
_TRIAL_STEPS = 40


@dataclass(eq=False)
class Tree:
    """Branch and cut from a tightened root.

    Args:
      program: the program, tightened at the root.
      root: the root's last vertex.
      relaxation: separates inequalities.

    Attributes:
      n_nodes: nodes that were looked at.
      bound: least value of all leaves in the minimised form, as of the last node; other threads
        may read it.
    """

    program: CutProgram
    root: Vertex
    relaxation: LinearRelaxation
    n_nodes: int = field(default=0, init=False)
    bound: float = field(default=-np.inf, init=False)

    def __post_init__(self) -> None:
        n = self.program.problem.n_items
        self._root_multipliers = self.program.multipliers(self.root.prices).clipped()
        # The least value of a selection that has a slot, for each slot.
        self._with_slot = exclusion_values(self.program.problem, self._root_multipliers)
        self._excluded, self._excluded_at = np.zeros(0, np.int64), np.inf
        self.bound = self.root.value
        self._parent, self._slot, self._inside = [-1], [-1], [False]
        self._prices: list[Prices | None] = [self.root.prices]
        self._value = [self.root.value]
        self._closed: list[int] = []
        self._heap = [(self.root.value, 0)]
        self._fixed: dict[int, int] = {}
        # Gain of the bound per unit that a slot is moved, out and in: sums and counts.
        self._gain = np.zeros((2, n))
        self._tried = np.zeros((2, n), np.int64)
        problem = self.program.problem
        self._size = problem.item_cost + problem.influence.matrix @ problem.user_value

    def _least(self) -> float:
        """Least value of all leaves, in the minimised form, as the program sees it."""
        open_ = self._heap[0][0] if self._heap else np.inf
        return min([open_, *(self._value[node] for node in self._closed)])

    @property
    def multipliers(self) -> Multipliers:
        """Proof of the root's bound."""
        return self._root_multipliers

    def search(
        self,
        cutoff: Callable[[], float],
        end: float,
        report: Callable[[Vertex], None] = lambda vertex: None,
    ) -> None:
        """Split nodes until none is below the cutoff, or time is out.

        Args:
          cutoff: the value, in the minimised form, at which a node is of no interest; it may fall.
          end: when to stop, in seconds of `time.monotonic`.
          report: is shown the vertex of every node.
        """
        while self._heap and self._heap[0][0] < cutoff() and moment() < end:
            self._exclude(cutoff())
            value, node = self._heap[0]
            vertex = self._visit(node, cutoff, end)
            if vertex is None and moment() >= end:
                return  # the node stays open, with the prices of its parent
            heapq.heappop(self._heap)
            self.n_nodes += 1
            if vertex is None:
                self._close_infeasible(node, cutoff())
                continue
            if vertex.value > value or self._prices[node] is None:
                self._prices[node], self._value[node] = vertex.prices, vertex.value
            report(vertex)
            split = np.flatnonzero(_split_slots(vertex.x))
            if vertex.value >= cutoff() or not len(split):
                self._closed.append(node)
            else:
                self._split(node, self._choose(vertex, split, cutoff()))
            self.bound = self._least()

    def proof(self) -> BranchedMultipliers:
        """The tree as it is."""
        leaves = [*self._closed, *(node for _, node in self._heap)]
        nodes = (
            np.array(self._parent, np.int32),
            np.array(self._slot, np.int32),
            np.array(self._inside, bool),
        )
        priced = [(node, self._inherited(node)) for node in leaves]
        return self.program.branched(self._root_multipliers, self._excluded, nodes, priced)

    def _exclude(self, cutoff: float) -> None:
        """Leave out the slots that no selection below the cutoff has."""
        if not np.isfinite(cutoff) or self._excluded_at - cutoff < _NODE_PROGRESS * abs(cutoff):
            return
        excluded = self._with_slot >= cutoff
        # A slot that a node has split on stays: its nodes fix it.
        excluded[self._slot[1:]] = False
        excluded[self._excluded] = True
        left = len(excluded) - len(self._excluded)
        if excluded.sum() - len(self._excluded) > _WORTH_EXCLUDING * left:
            self._excluded = np.flatnonzero(excluded)
            self.program.leave_out(self._excluded)
            self._fixed = {}
        self._excluded_at = cutoff

    def _visit(self, node: int, cutoff: Callable[[], float], end: float) -> Vertex | None:
        """The tightened vertex of a node; None if it has none or time is out."""
        self._move(node)
        vertex = self.program.solve(end - time.monotonic())
        for _ in range(_NODE_ROUNDS):
            if vertex is None or vertex.value >= cutoff():
                break
            added = self.relaxation.separate(
                self.program, vertex, rounding=True, tolerance=_NODE_TOLERANCE
            )
            if not added:
                break
            before = vertex
            vertex = self.program.solve(end - time.monotonic())
            least = before.value + _NODE_PROGRESS * abs(before.value)
            if vertex is not None and vertex.value < least:
                break
        while vertex is not None and vertex.value < cutoff() and _whole(vertex.x):
            # A whole point is an answer only if its reach is true.
            if not self.relaxation.separate(
                self.program, vertex, rounding=True, tolerance=self.relaxation.tolerance
            ):
                break
            vertex = self.program.solve(end - time.monotonic())
        if vertex is not None:
            self.program.drop(_IDLE)
        return vertex

    def _move(self, node: int) -> None:
        """Bound the program's slots as on the path to a node."""
        path: dict[int, int] = {}
        while node > 0:
            path[self._slot[node]] = int(self._inside[node])
            node = self._parent[node]
        changed = {slot: (0, 1) for slot in self._fixed if slot not in path}
        changed |= {
            slot: (side, side) for slot, side in path.items() if self._fixed.get(slot) != side
        }
        if changed:
            slots = np.array(list(changed))
            bounds = np.array(list(changed.values()), np.float64)
            self.program.fix(slots, bounds[:, 0], bounds[:, 1])
        self._fixed = path

    def _choose(self, vertex: Vertex, split: np.ndarray, cutoff: float) -> int:
        """The slot whose two sides promise the most."""
        x = vertex.x
        order = split[np.argsort(-self._promise(x, split), kind="stable")][:_CANDIDATES]
        best, most, idle = int(order[0]), -1.0, 0
        for slot in order:
            if self._tried[:, slot].min() == 0:
                for side in (0, 1):
                    self._try(vertex, int(slot), side, cutoff)
            promise = float(self._promise(x, np.array([slot]))[0])
            if promise > most:
                best, most, idle = int(slot), promise, 0
            else:
                idle += 1
            if idle >= _LOOKAHEAD:
                break
        return best

    def _promise(self, x: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """Product of the expected gains of both sides."""
        cost = np.maximum(self._size[slots], 1e-12)
        tried = np.maximum(self._tried[:, slots], 1)
        # A slot that has not been tried is expected to gain what it costs, or is worth.
        rate = np.where(self._tried[:, slots] > 0, self._gain[:, slots] / tried, cost)
        move = np.stack([x[slots], 1 - x[slots]])
        return np.prod(np.maximum(rate * move, 1e-9 * cost), axis=0)

    def _try(self, vertex: Vertex, slot: int, side: int, cutoff: float) -> None:
        self.program.fix(np.array([slot]), np.array([side]), np.array([side]))
        self.program.solve(steps=_TRIAL_STEPS)
        value = cutoff if self.program.infeasible else self.program.value
        self.program.fix(np.array([slot]), np.zeros(1), np.ones(1))
        move = vertex.x[slot] if side == 0 else 1 - vertex.x[slot]
        self._gain[side, slot] += max(min(value, cutoff) - vertex.value, 0.0) / move
        self._tried[side, slot] += 1

    def _split(self, node: int, slot: int) -> None:
        for inside in (False, True):
            child = len(self._parent)
            self._parent.append(node)
            self._slot.append(slot)
            self._inside.append(inside)
            self._prices.append(None)
            self._value.append(self._value[node])
            heapq.heappush(self._heap, (self._value[node], child))

    def _close_infeasible(self, node: int, cutoff: float) -> None:
        """Close a node without any selection by prices that prove it, where there are such."""
        self._closed.append(node)
        ray = self.program.ray()
        if ray is None or not np.isfinite(cutoff):
            return
        problem = self.program.problem
        m = self.program.multipliers(ray)
        assert m.rounded is not None
        inequalities = Inequalities.derive(problem, m.cuts, m.rounded_rows)
        fixed = np.full(problem.n_items, -1, np.int8)
        fixed[self._excluded] = 0
        fixed[list(self._fixed)] = list(self._fixed.values())
        for scale in 10.0 ** np.arange(0, 9, 2):
            bound, _ = priced_bound(
                problem,
                inequalities,
                scale * m.demand,
                scale * m.row_upper,
                scale * m.row_lower,
                scale * m.cut,
                scale * m.rounded,
                fixed,
            )
            if bound >= cutoff:
                self._prices[node], self._value[node] = _scaled(ray, scale), float(bound)
                return

    def _inherited(self, node: int) -> Prices:
        """Prices of a node, or of the next node above that has some: they hold below it too."""
        while self._prices[node] is None:
            node = self._parent[node]
        prices = self._prices[node]
        assert prices is not None
        return prices


def _split_slots(x: np.ndarray) -> np.ndarray:
    return (x > _WHOLE) & (x < 1 - _WHOLE)


def _whole(x: np.ndarray) -> bool:
    return not _split_slots(x).any()


def _scaled(prices: Prices, scale: float) -> Prices:
    return Prices(
        scale * prices.demand,
        scale * prices.row_upper,
        scale * prices.row_lower,
        (prices.cut[0], scale * prices.cut[1]),
        (prices.rounded[0], scale * prices.rounded[1]),
    )
