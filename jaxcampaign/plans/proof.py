"""Proofs as named arrays: what proof.npz holds, and whether what it holds is well formed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse

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
_LARGEST = np.iinfo(np.int32).max


def proof_bytes(order: str, proof: Proof | None) -> bytes:
    """The content of proof.npz.

    Args:
      order: digest of the ids that the proof's indices refer to.
      proof: what is stored; None stores the digest alone.
    """
    arrays: dict[str, Any] = {"order": np.array(order)}
    if isinstance(proof, BranchedMultipliers):
        arrays |= _of_tree(proof)
    elif proof is not None:
        arrays |= _of_multipliers(proof.clipped(), "")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def proof_from_bytes(content: bytes) -> tuple[Proof | None, str]:
    """The proof and the digest of proof.npz.

    Raises:
      Exception: the content is not what `proof_bytes` makes; damage may show in zipfile, zlib,
        lzma, struct or NumPy.
    """
    with np.load(io.BytesIO(content), allow_pickle=False) as data:
        arrays = {name: data[name] for name in data.files}
    order = str(arrays.pop("order"))
    if not arrays:
        return None, order
    read = _Reader(arrays)
    proof = _tree(read) if "parent" in arrays else _multipliers(read, "")
    if read.left:
        raise ValueError(f"unknown array {read.left[0]!r}")
    return proof, order


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
        arrays |= _of_sparse(getattr(tree, name), f"leaf_{name}_")
    arrays |= _of_cuts(tree.cuts, "cut_") | _of_rounded(tree.rounded_rows, "rounded_")
    return arrays | _of_multipliers(tree.root.clipped(), "root_")


def _of_cuts(cuts: Cuts, prefix: str) -> dict[str, np.ndarray]:
    return {prefix + name: getattr(cuts, name) for name in _CUTS}


def _of_rounded(rows: RoundedRows, prefix: str) -> dict[str, np.ndarray]:
    arrays = _of_sparse(rows.demand_price, prefix + "demand_")
    arrays |= _of_sparse(rows.cut_price, prefix + "price_")
    arrays |= _of_sparse(rows.complement, prefix + "complement_")
    return arrays | {prefix + "divisor": rows.divisor} | _of_cuts(rows.cuts, prefix + "cut_")


def _of_sparse(matrix: sparse.csr_array, prefix: str) -> dict[str, np.ndarray]:
    return {
        prefix + "shape": np.array(matrix.shape, np.int64),
        prefix + "start": matrix.indptr,
        prefix + "index": matrix.indices,
        prefix + "value": matrix.data,
    }


class _Reader:
    """Arrays by name, each in the type that it must have."""

    def __init__(self, arrays: dict[str, np.ndarray]):
        self._arrays = dict(arrays)

    @property
    def left(self) -> list[str]:
        return list(self._arrays)

    def has(self, name: str) -> bool:
        return name in self._arrays

    def numbers(self, name: str) -> np.ndarray:
        return self._vector(name, "f").astype(np.float64)

    def integers(self, name: str) -> np.ndarray:
        # Unsigned indices would wrap when subtracted.
        array = self._vector(name, "iu")
        if len(array) and (array.min() < -1 or array.max() > _LARGEST):
            raise ValueError(f"{name} holds indices beyond all sizes")
        return array.astype(np.int64)

    def flags(self, name: str) -> np.ndarray:
        return self._vector(name, "b")

    def cuts(self, prefix: str) -> Cuts:
        user, start, slot = (self.integers(prefix + name) for name in _CUTS[:3])
        return Cuts(user, start, slot, self.numbers(prefix + "slope"))

    def sparse(self, prefix: str) -> sparse.csr_array:
        rows, columns = self.integers(prefix + "shape")
        parts = (
            self.numbers(prefix + "value"),
            self.integers(prefix + "index"),
            self.integers(prefix + "start"),
        )
        matrix = sparse.csr_array(parts, shape=(int(rows), int(columns)))
        matrix.check_format(full_check=True)
        return matrix

    def rounded(self, prefix: str) -> RoundedRows:
        return RoundedRows(
            self.sparse(prefix + "demand_"),
            self.sparse(prefix + "price_"),
            self.cuts(prefix + "cut_"),
            self.sparse(prefix + "complement_"),
            self.numbers(prefix + "divisor"),
        )

    def _vector(self, name: str, kinds: str) -> np.ndarray:
        array = self._arrays.pop(name)
        if array.ndim != 1 or array.dtype.kind not in kinds:
            raise ValueError(f"{name} is {array.dtype} of shape {array.shape}")
        return array


def _multipliers(read: _Reader, prefix: str) -> Multipliers:
    demand, upper, lower, cut = (read.numbers(prefix + name) for name in _VECTORS[:4])
    cuts = read.cuts(prefix + "cut_")
    if not read.has(prefix + "rounded"):
        return Multipliers(demand, upper, lower, cut, cuts)
    rounded = read.numbers(prefix + "rounded")
    return Multipliers(demand, upper, lower, cut, cuts, rounded, read.rounded(prefix + "rounded_"))


def _tree(read: _Reader) -> BranchedMultipliers:
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
        cuts=read.cuts("cut_"),
        rounded_rows=read.rounded("rounded_"),
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
