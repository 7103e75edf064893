"""proof.npz: named arrays with the digest of the ids that their indices refer to."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from scipy import sparse

_LARGEST = np.iinfo(np.int32).max


def proof_bytes(order: str, arrays: Mapping[str, np.ndarray]) -> bytes:
    """The content of proof.npz; no arrays store the digest alone.

    Args:
      order: digest of the ids that the proof's indices refer to.
      arrays: the proof.
    """
    stored: dict[str, np.ndarray] = {"order": np.array(order), **arrays}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **stored)
    return buffer.getvalue()


def proof_from_bytes(content: bytes) -> tuple[Reader, str]:
    """The arrays and the digest of proof.npz.

    Raises:
      Exception: the content is not what `proof_bytes` makes; damage may show in zipfile, zlib,
        lzma, struct or NumPy.
    """
    with np.load(io.BytesIO(content), allow_pickle=False) as data:
        arrays = {name: data[name] for name in data.files}
    order = str(arrays.pop("order"))
    return Reader(arrays), order


def sparse_arrays(matrix: sparse.csr_array, prefix: str) -> dict[str, np.ndarray]:
    """A sparse matrix as named arrays."""
    return {
        prefix + "shape": np.array(matrix.shape, np.int64),
        prefix + "start": matrix.indptr,
        prefix + "index": matrix.indices,
        prefix + "value": matrix.data,
    }


class Reader:
    """Arrays by name, each read once and in the type that it must have."""

    def __init__(self, arrays: Mapping[str, np.ndarray]):
        self._arrays = dict(arrays)

    @property
    def left(self) -> list[str]:
        """Names that nobody has read."""
        return list(self._arrays)

    def has(self, name: str) -> bool:
        """Whether the array is there."""
        return name in self._arrays

    def numbers(self, name: str) -> np.ndarray:
        """float64[n]."""
        return self._vector(name, "f").astype(np.float64)

    def integers(self, name: str) -> np.ndarray:
        """int64[n]; -1 is the least."""
        # Unsigned indices would wrap when subtracted.
        array = self._vector(name, "iu")
        if len(array) and (array.min() < -1 or array.max() > _LARGEST):
            raise ValueError(f"{name} holds indices beyond all sizes")
        return array.astype(np.int64)

    def flags(self, name: str) -> np.ndarray:
        """bool[n]."""
        return self._vector(name, "b")

    def sparse(self, prefix: str) -> sparse.csr_array:
        """What `sparse_arrays` made."""
        rows, columns = self.integers(prefix + "shape")
        parts = (
            self.numbers(prefix + "value"),
            self.integers(prefix + "index"),
            self.integers(prefix + "start"),
        )
        matrix = sparse.csr_array(parts, shape=(int(rows), int(columns)))
        matrix.check_format(full_check=True)
        return matrix

    def _vector(self, name: str, kinds: str) -> np.ndarray:
        array = self._arrays.pop(name)
        if array.ndim != 1 or array.dtype.kind not in kinds:
            raise ValueError(f"{name} is {array.dtype} of shape {array.shape}")
        return array
