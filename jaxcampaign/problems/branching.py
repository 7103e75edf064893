"""A proof by cases: multipliers for every leaf of a branch and bound tree.

A node of the tree fixes one more slot to be out or in than its parent does. The two children of a
node differ in that alone, so every selection belongs to exactly one leaf, and the least bound of
all leaves bounds the problem. The multipliers of a leaf prove its bound by weak duality (see
`lagrangian`), with the slots that are fixed on its path. Slots that any selection better than the
threshold does without are excluded first: with the multipliers of the root, a selection that has
slot s costs at least `bound + max(0, reduced cost of s)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import jax
import numpy as np
from scipy import sparse

from jaxcampaign.problems.cuts import Cuts
from jaxcampaign.problems.lagrangian import (
    Inequalities,
    Multipliers,
    lagrangian_bound,
    priced_bound,
)
from jaxcampaign.problems.rounding import RoundedRows
from jaxcampaign.problems.slots import SlotProblem

# Numbers in the largest array of one block of leaves.
_BLOCK = 1 << 22
# Share of the two sums whose difference is a refutation that may be rounding.
_NEGLIGIBLE = 1e-9


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class BranchedMultipliers:
    """A tree of N nodes, node 0 the root, with prices for its F leaves.

    Attributes:
      root: multipliers for the excluded slots.
      excluded: int32[E], slots that are out in every leaf.
      parent: int32[N], -1 for the root; a node comes after its parent.
      slot: int32[N], the slot that a node fixes; -1 for the root.
      inside: bool[N], whether it is in.
      leaf: int32[F], the nodes without children, rising.
      demand: float64[F, L] sparse, prices as in `Multipliers`, a row per leaf.
      row_upper: float64[F, M] sparse.
      row_lower: float64[F, M] sparse.
      cut: float64[F, R] sparse.
      rounded: float64[F, K] sparse.
      cuts: the R inequalities.
      rounded_rows: the K inequalities.
    """

    root: Multipliers
    excluded: np.ndarray
    parent: np.ndarray
    slot: np.ndarray
    inside: np.ndarray
    leaf: np.ndarray
    demand: sparse.csr_array
    row_upper: sparse.csr_array
    row_lower: sparse.csr_array
    cut: sparse.csr_array
    rounded: sparse.csr_array
    cuts: Cuts
    rounded_rows: RoundedRows

    def clipped(self) -> BranchedMultipliers:
        """Itself: its prices are clipped when the tree is made."""
        return self

    def paths(self, n_items: int, leaves: np.ndarray) -> np.ndarray:
        """What each of the given leaves fixes, int8[len, S]: 0 out, 1 in, -1 free."""
        fixed = np.full((len(leaves), n_items), -1, np.int8)
        fixed[:, self.excluded] = 0
        row, at = np.arange(len(leaves)), self.leaf[leaves]
        while len(row):
            row, at = row[at > 0], at[at > 0]
            fixed[row, self.slot[at]] = self.inside[at]
            at = self.parent[at]
        return fixed


Proof: TypeAlias = Multipliers | BranchedMultipliers
"""What proves a bound: prices, or a tree with prices for each case."""


def proven_bound(problem: SlotProblem, proof: Proof) -> float:
    """The bound that a proof proves, in the problem's own sense, float64.

    Raises:
      ValueError: the proof is not well formed: then nothing is proven.
    """
    if isinstance(proof, BranchedMultipliers):
        return branched_bound(problem, proof)
    return lagrangian_bound(problem, proof)


def tightest(problem: SlotProblem, proofs: Sequence[Proof]) -> Proof:
    """The proof with the best bound."""
    bounds = [proven_bound(problem, proof) for proof in proofs]
    best = np.argmax(bounds) if problem.sense == "min" else np.argmin(bounds)
    return proofs[int(best)]


def branched_bound(problem: SlotProblem, proof: BranchedMultipliers) -> float:
    """The bound that a tree proves, in the problem's own sense, float64.

    Raises:
      ValueError: the tree does not cover every selection, or a price is negative, not finite or
        too large to evaluate: then nothing is proven.
    """
    _check_tree(proof, problem.n_items)
    prices = (proof.demand, proof.row_upper, proof.row_lower, proof.cut, proof.rounded)
    for part in prices:
        if not (np.isfinite(part.data).all() and (part.data >= 0).all()):
            raise ValueError("multipliers must be finite and at least 0")
    inequalities = Inequalities.derive(problem, proof.cuts, proof.rounded_rows)
    bounds = []
    widest = max(problem.n_items, problem.influence.n_users, *(part.shape[1] for part in prices))
    n_blocks = min(len(proof.leaf), len(proof.leaf) * widest // _BLOCK + 1)
    for leaves in np.array_split(np.arange(len(proof.leaf)), n_blocks):
        fixed = proof.paths(problem.n_items, leaves)
        demand, upper, lower, cut, rounded = (part[leaves] for part in prices)
        bound, _ = priced_bound(problem, inequalities, demand, upper, lower, cut, rounded, fixed)
        bounds.append(bound)
    value = float(np.concatenate(bounds).min())
    if len(proof.excluded):
        value = min(value, float(exclusion_values(problem, proof.root)[proof.excluded].min()))
    return value if problem.sense == "min" else -value


def refutation(problem: SlotProblem, proof: Proof) -> tuple[float, float]:
    """By how much a proof shows that no selection is feasible, in two ways; each needs more than 0.

    Args:
      problem: what is asked, of least cost.
      proof: multipliers, or a tree of them.

    Returns:
      The bound of the problem without costs, whose feasible selections would cost 0 (Farkas, 1902);
      and what the bound of the problem itself has above the cost of all slots, less the rounding of
      both.

    Raises:
      ValueError: the proof is malformed.
    """
    excess = proven_bound(problem.without_cost(), proof)
    bound, everything = proven_bound(problem, proof), problem.cost_of_all
    return excess, bound - everything - _NEGLIGIBLE * (abs(bound) + everything)


def exclusion_values(problem: SlotProblem, multipliers: Multipliers) -> np.ndarray:
    """Bound of the minimised form over the selections that have a slot, for each: float64[S]."""
    m = multipliers
    rounded = np.zeros(0) if m.rounded is None else m.rounded
    inequalities = Inequalities.derive(problem, m.cuts, m.rounded_rows)
    prices = (m.demand, m.row_upper, m.row_lower, m.cut, rounded)
    if not all(np.isfinite(part).all() and (part >= 0).all() for part in prices):
        raise ValueError("multipliers must be finite and at least 0")
    value, reduced = priced_bound(problem, inequalities, *prices)
    return value + np.maximum(reduced, 0.0)


def _check_tree(proof: BranchedMultipliers, n_items: int) -> None:
    """Every node has no child, or two that fix the same slot to be out and in."""
    n = len(proof.parent)
    wrong = ValueError("the branching does not cover every selection")
    shapes = {len(proof.slot), len(proof.inside), n}
    if n == 0 or len(shapes) > 1 or proof.parent[0] != -1 or proof.slot[0] != -1:
        raise wrong
    child = np.arange(1, n)
    parent, slot, inside = proof.parent[1:], proof.slot[1:], proof.inside[1:]
    if not ((parent >= 0) & (parent < child) & (slot >= 0) & (slot < n_items)).all():
        raise wrong
    order = np.lexsort((inside, parent))
    if n % 2 == 0:
        raise wrong
    out, taken = order[0::2], order[1::2]
    paired = (parent[out] == parent[taken]) & (slot[out] == slot[taken])
    if not (paired & ~inside[out] & inside[taken]).all():
        raise wrong
    inner = parent[out]
    if len(np.unique(inner)) != len(inner):
        raise wrong
    leaf = np.setdiff1d(np.arange(n), inner)
    excluded = proof.excluded
    if len(excluded) and (excluded.min() < 0 or excluded.max() >= n_items):
        raise wrong
    if not np.array_equal(leaf, proof.leaf) or proof.demand.shape[0] != len(leaf):
        raise wrong
