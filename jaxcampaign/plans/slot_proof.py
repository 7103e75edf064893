"""Proofs of slot problems as named arrays, and whether what these hold is well formed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jaxcampaign.plans.archive import Reader, sparse_arrays
from jaxcampaign.problems import (
    BranchedMultipliers,
    Cuts,
    Multipliers,
    Proof,
    RoundedRows,
    SlotProblem,
    proven_bound,
)

_CUTS = ("user", "start", "slot", "slope")
_VECTORS = ("demand", "row_upper", "row_lower", "cut", "rounded")
_TREE = ("excluded", "parent", "slot", "inside", "leaf")


def proof_arrays(proof: Proof) -> dict[str, np.ndarray]:
    """A proof as named arrays."""
    return (
        _of_tree(proof)
        if isinstance(proof, BranchedMultipliers)
        else _of_multipliers(proof.clipped(), "")
    )


def proof_of(read: Reader) -> Proof:
    """The proof that named arrays hold.

    Raises:
      Exception: they are not what `proof_arrays` makes.
    """
    return _tree(read) if read.has("parent") else _multipliers(read, "")


def malformed(problem: SlotProblem, proof: Proof) -> str:
    """What is wrong with a proof, as one sentence; empty where it proves a bound."""
    for fault in _faults(problem, proof):
        return fault
    try:
        proven_bound(problem, proof)
    except ValueError as fault:
        return str(fault)
    return ""


def _of_multipliers(m: Multipliers, prefix: str) -> dict[str, np.ndarray]:
    arrays = {prefix + name: getattr(m, name) for name in _VECTORS[:4]}
    arrays |= _of_cuts(m.cuts, prefix + "cut_")
    if m.rounded is not None and m.rounded_rows is not None and len(m.rounded):
        arrays[prefix + "rounded"] = m.rounded
        arrays |= _of_rounded(m.rounded_rows, prefix + "rounded_")
    return arrays


def _of_tree(tree: BranchedMultipliers) -> dict[str, np.ndarray]:
    arrays = {name: getattr(tree, name) for name in _TREE}
    for name in _VECTORS:
        arrays |= sparse_arrays(getattr(tree, name), f"leaf_{name}_")
    arrays |= _of_cuts(tree.cuts, "cut_") | _of_rounded(tree.rounded_rows, "rounded_")
    return arrays | _of_multipliers(tree.root.clipped(), "root_")


def _of_cuts(cuts: Cuts, prefix: str) -> dict[str, np.ndarray]:
    return {prefix + name: getattr(cuts, name) for name in _CUTS}


def _of_rounded(rows: RoundedRows, prefix: str) -> dict[str, np.ndarray]:
    arrays = sparse_arrays(rows.demand_price, prefix + "demand_")
    arrays |= sparse_arrays(rows.cut_price, prefix + "price_")
    arrays |= sparse_arrays(rows.complement, prefix + "complement_")
    return arrays | {prefix + "divisor": rows.divisor} | _of_cuts(rows.cuts, prefix + "cut_")


def _cuts(read: Reader, prefix: str) -> Cuts:
    user, start, slot = (read.integers(prefix + name) for name in _CUTS[:3])
    return Cuts(user, start, slot, read.numbers(prefix + "slope"))


def _rounded(read: Reader, prefix: str) -> RoundedRows:
    return RoundedRows(
        read.sparse(prefix + "demand_"),
        read.sparse(prefix + "price_"),
        _cuts(read, prefix + "cut_"),
        read.sparse(prefix + "complement_"),
        read.numbers(prefix + "divisor"),
    )


def _multipliers(read: Reader, prefix: str) -> Multipliers:
    demand, upper, lower, cut = (read.numbers(prefix + name) for name in _VECTORS[:4])
    cuts = _cuts(read, prefix + "cut_")
    if not read.has(prefix + "rounded"):
        return Multipliers(demand, upper, lower, cut, cuts)
    rounded = read.numbers(prefix + "rounded")
    return Multipliers(
        demand, upper, lower, cut, cuts, rounded, _rounded(read, prefix + "rounded_")
    )


def _tree(read: Reader) -> BranchedMultipliers:
    excluded, parent, slot = (read.integers(name) for name in _TREE[:3])
    inside, leaf = read.flags("inside"), read.integers("leaf")
    demand, upper, lower, cut, rounded = (read.sparse(f"leaf_{name}_") for name in _VECTORS)
    return BranchedMultipliers(
        root=_multipliers(read, "root_"),
        excluded=excluded,
        parent=parent,
        slot=slot,
        inside=inside,
        leaf=leaf,
        demand=demand,
        row_upper=upper,
        row_lower=lower,
        cut=cut,
        rounded=rounded,
        cuts=_cuts(read, "cut_"),
        rounded_rows=_rounded(read, "rounded_"),
    )


def _faults(problem: SlotProblem, proof: Proof) -> Iterator[str]:
    if isinstance(proof, BranchedMultipliers):
        yield from _faults(problem, proof.root)
        n_leaves = len(proof.leaf)
        for name, width in zip(_VECTORS, _widths(problem, proof), strict=True):
            found, needed = getattr(proof, name).shape, (n_leaves, width)
            if found != needed:
                yield f"prices of {name} have shape {found}, not {needed}"
        yield from _cut_faults(problem, proof.cuts)
        yield from _rounded_faults(problem, proof.rounded_rows)
        return
    rounded = proof.rounded_rows
    for name, width in zip(_VECTORS, _widths(problem, proof), strict=True):
        values = getattr(proof, name)
        if values is None:
            continue
        if values.shape != (width,):
            yield f"{name} has shape {values.shape}, not {(width,)}"
        if not (np.isfinite(values).all() and (values >= 0).all()):
            yield f"{name} is negative or not finite"
    yield from _cut_faults(problem, proof.cuts)
    if rounded is not None:
        yield from _rounded_faults(problem, rounded)


def _widths(problem: SlotProblem, proof: Proof) -> tuple[int, ...]:
    rows = len(problem.rows)
    rounded = 0 if proof.rounded_rows is None else len(proof.rounded_rows)
    return len(problem.demand), rows, rows, len(proof.cuts.user), rounded


def _cut_faults(problem: SlotProblem, cuts: Cuts) -> Iterator[str]:
    influence = problem.influence
    if cuts.start.shape != (len(cuts.user) + 1,) or cuts.slope.shape != cuts.slot.shape:
        yield "the inequalities' arrays have different lengths"
        return
    bounds = [(cuts.user, influence.n_users), (cuts.slot, influence.n_slots)]
    if any(len(index) and (index.min() < 0 or index.max() >= n) for index, n in bounds):
        yield "an inequality refers to a user or slot that does not exist"
    steps = np.diff(cuts.start)
    if cuts.start[0] != 0 or (steps < 0).any() or cuts.start[-1] != len(cuts.slot):
        yield "the inequalities' sets are not well formed"


def _rounded_faults(problem: SlotProblem, rows: RoundedRows) -> Iterator[str]:
    n = len(rows.divisor)
    shapes = {
        "demands": (rows.demand_price.shape, (n, len(problem.demand))),
        "inequalities": (rows.cut_price.shape, (n, len(rows.cuts.user))),
        "complements": (rows.complement.shape, (n, problem.n_items)),
    }
    for name, (found, needed) in shapes.items():
        if found != needed:
            yield f"{name} of rounded rows have shape {found}, not {needed}"
    yield from _cut_faults(problem, rows.cuts)
