"""Training states on disk: saved whole, checked before use, refused when they are another's."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxcampaign.effectiveness.network.training import TrainState
from jaxcampaign.effectiveness.store import sha256_of
from jaxcampaign.errors import InputError

_MANIFEST = "manifest.json"
_STATE = "state"
_PARTS = ("network", "settings", "data", "key")


@dataclass(frozen=True)
class Checkpoints:
    """A folder of the latest training states; `fit(checkpoint=...)` saves there and resumes."""

    folder: str | os.PathLike[str]
    every: int = 5  # epochs between two saves
    keep: int = 2  # so that a damaged last one can be done without

    def saver(self, mark: Mapping[str, str], epochs: int) -> Callable[[TrainState], None]:
        """A function that saves a state when its epoch is due."""

        def save(state: TrainState) -> None:
            if int(state.epoch) % self.every == 0 or int(state.epoch) == epochs:
                self.save(state, mark)

        return save

    def save(self, state: TrainState, mark: Mapping[str, str]) -> None:
        """Save a state under its epoch; older ones beyond `keep` are removed.

        All files are written under a temporary name, which the last step changes: a process that
        is killed leaves nothing that could be taken for a checkpoint.
        """
        import orbax.checkpoint as ocp  # slow to import

        folder = Path(self.folder).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        final = folder / f"{int(state.epoch):08d}"
        temporary = folder / f".{final.name}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        arrays = {name: np.asarray(leaf) for name, leaf in _named(state).items()}
        with ocp.PyTreeCheckpointer() as checkpointer:
            checkpointer.save(temporary / _STATE, arrays)
        record = {
            "mark": dict(mark),
            "shapes": _shapes(state),
            "files": {
                str(path.relative_to(temporary)): sha256_of(path)
                for path in sorted(temporary.rglob("*"))
                if path.is_file()
            },
        }
        (temporary / _MANIFEST).write_text(json.dumps(record, indent=1), "utf-8")
        if final.exists():
            shutil.rmtree(final)
        temporary.rename(final)
        for old in self._saved()[self.keep :]:
            shutil.rmtree(old)

    def resume(self, template: TrainState, mark: Mapping[str, str]) -> TrainState:
        """The latest intact state, or the template if the folder holds none.

        A damaged checkpoint is passed over with a warning.

        Raises:
          InputError: the checkpoint is of another network, settings, data or key.
        """
        import orbax.checkpoint as ocp  # slow to import

        for path in self._saved():
            record, damage = _checked(path)
            if damage:
                text = f"checkpoint {path} is damaged ({damage}); falling back to the one before"
                warnings.warn(text, stacklevel=2)
                continue
            if record["shapes"] != _shapes(template):
                _refuse(path, "network")
            for part in _PARTS:
                if record["mark"].get(part) != mark[part]:
                    _refuse(path, part)
            with ocp.PyTreeCheckpointer() as checkpointer:
                arrays = checkpointer.restore(path / _STATE)
            leaves = [np.asarray(arrays[name]) for name in _named(template)]
            return jax.tree.unflatten(jax.tree.structure(template), leaves)
        return template

    def _saved(self) -> list[Path]:
        """Folders of checkpoints, latest first."""
        folder = Path(self.folder).absolute()
        return sorted((p for p in folder.glob("*") if p.name.isdigit()), reverse=True)


def fingerprint(network: Any, settings: Any, rows: Any, key_data: Any) -> dict[str, str]:
    """What a training is of: digests of its network, settings, data and key."""
    parts = zip(_PARTS, (network, settings, rows, key_data), strict=True)
    return {part: _digest(value) for part, value in parts}


def _digest(value: Any) -> str:
    """SHA-256 of the leaves of a pytree: bytes, type and shape of arrays, the text of others."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(value):
        if isinstance(leaf, (np.ndarray, jax.Array)):
            digest.update(f"{leaf.dtype}{leaf.shape}".encode())
            digest.update(np.ascontiguousarray(leaf).tobytes())
        else:
            digest.update(repr(leaf).encode())
    return digest.hexdigest()


def _named(state: TrainState) -> dict[str, Any]:
    found = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path, simple=True, separator="-"): leaf for path, leaf in found}


def _shapes(state: TrainState) -> dict[str, list[int]]:
    return {name: list(leaf.shape) for name, leaf in _named(state).items()}


def _checked(path: Path) -> tuple[dict[str, Any], str]:
    """The manifest of a checkpoint, and what is wrong with its files, if anything."""
    try:
        record = json.loads((path / _MANIFEST).read_bytes())
        files = dict(record["files"])
        _ = record["mark"], record["shapes"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}, "its manifest cannot be read"
    for name, digest in files.items():
        if not (path / name).is_file():
            return record, f"{name} is missing"
        if sha256_of(path / name) != digest:
            return record, f"{name} was altered"
    return record, ""


def _refuse(path: Path, part: str) -> None:
    raise InputError(
        f"the checkpoint is of another training: its {part} differs",
        table="checkpoint",
        value=str(path),
        remedy="choose another folder, or remove this one to start anew",
    )
