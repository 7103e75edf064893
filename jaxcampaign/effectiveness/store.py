"""Models on disk: safetensors, text and a JSON manifest with checksums; nothing executable."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxcampaign.errors import InputError
from jaxcampaign.tables.files import replacing

_MANIFEST = "manifest.json"
_FORMAT = "jaxcampaign-model"
_VERSION = 1
_ARRAYS = "arrays.safetensors"
_SUFFIXES = {".safetensors", ".json", ".txt"}
_REMEDY = "save the model again, or load another copy"


@dataclass(frozen=True, eq=False)
class StoredModel:
    """What a model folder holds."""

    arrays: Mapping[str, np.ndarray]
    texts: Mapping[str, str]
    manifest: Mapping[str, Any]


def write_model(
    folder: str | os.PathLike[str],
    arrays: Mapping[str, np.ndarray],
    texts: Mapping[str, str],
    manifest: Mapping[str, Any],
) -> None:
    """Write a model, whole or not at all.

    Every file's name carries its checksum and the manifest comes last, by renaming: until then,
    a model that the folder held before stays as it was.

    Args:
      folder: made if need be.
      arrays: by name, of any shape; of dtypes that safetensors knows.
      texts: by file name (`*.txt` or `*.json`), such as the text form of boosted trees.
      manifest: further JSON values.
    """
    from safetensors.numpy import save

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    plain = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    contents = {_ARRAYS: save(plain)}
    contents |= {name: text.encode("utf-8") for name, text in texts.items()}
    files = {}
    for name, content in contents.items():
        _check_name(name)
        digest = hashlib.sha256(content).hexdigest()
        stem, suffix = os.path.splitext(name)
        stored = f"{stem}-{digest[:16]}{suffix}"
        with replacing(folder / stored) as file:
            file.write(content)
        files[name] = {"file": stored, "sha256": digest, "bytes": len(content)}
    record = {
        "format": _FORMAT,
        "version": _VERSION,
        "files": files,
        "arrays": {
            name: {"dtype": str(array.dtype), "shape": list(array.shape)}
            for name, array in plain.items()
        },
        "model": manifest,
    }
    before = _listed_files(folder)
    with replacing(folder / _MANIFEST) as file:
        text = json.dumps(record | {"sha256": _digest(record)}, indent=1, ensure_ascii=False)
        file.write(text.encode("utf-8"))
    for stored in before - {str(entry["file"]) for entry in files.values()}:
        (folder / stored).unlink(missing_ok=True)


def read_model(folder: str | os.PathLike[str]) -> StoredModel:
    """Read what `write_model` wrote; every byte is checked before it is used.

    Raises:
      InputError: not a model folder, an executable format, or files that are missing, truncated,
        altered or of another shape than the manifest says.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            "not a model folder",
            table="model",
            value=str(folder),
            remedy="models are folders of safetensors, text and a manifest; "
            "pickled or otherwise executable files are never opened",
        )
    record = _manifest(folder)
    contents = {name: _content(folder, name, entry) for name, entry in record["files"].items()}
    try:
        arrays = load(contents.pop(_ARRAYS))
    except (SafetensorError, KeyError) as problem:
        text = f"the arrays cannot be read ({problem})"
        raise InputError(text, table="model", value=str(folder), remedy=_REMEDY) from problem
    found = {
        name: {"dtype": str(array.dtype), "shape": list(array.shape)}
        for name, array in arrays.items()
    }
    if found != record["arrays"]:
        different = sorted(
            name
            for name in found.keys() | record["arrays"].keys()
            if found.get(name) != record["arrays"].get(name)
        )
        raise InputError(
            "the arrays are not those that the manifest describes",
            table="model",
            column=different[0],
            value=found.get(different[0]),
            remedy=_REMEDY,
        )
    texts = {name: content.decode("utf-8") for name, content in contents.items()}
    return StoredModel(arrays=arrays, texts=texts, manifest=record["model"])


def sha256_of(path: Path) -> str:
    """The SHA-256 digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    if not path.is_file():
        raise InputError(
            f"no {_MANIFEST}, so this is no model that this package saved",
            table="model",
            value=str(folder),
            remedy="pickled or otherwise executable models are never opened",
        )
    try:
        record = json.loads(path.read_bytes())
        digest = record.pop("sha256")
        known = record["format"] == _FORMAT
        version = record["version"]
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        text = f"{_MANIFEST} is damaged or no manifest of a model"
        raise InputError(text, table="model", value=str(path), remedy=_REMEDY) from problem
    if not known or digest != _digest(record):
        text = f"{_MANIFEST} was altered since the model was saved"
        raise InputError(text, table="model", value=str(path), remedy=_REMEDY)
    if version != _VERSION:
        text = f"version {version} of the model format is not known here"
        raise InputError(text, table="model", value=str(path), remedy="upgrade jaxcampaign")
    return record


def _content(folder: Path, name: str, entry: Mapping[str, Any]) -> bytes:
    stored = str(entry["file"])
    _check_name(stored)
    path = folder / stored
    if not path.is_file():
        raise InputError("a file is missing", table="model", value=str(path), remedy=_REMEDY)
    content = path.read_bytes()
    if len(content) != entry["bytes"]:
        text = f"a file has {len(content)} bytes instead of {entry['bytes']}"
        raise InputError(text, table="model", column=name, value=str(path), remedy=_REMEDY)
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        text = "a file was altered: its checksum differs"
        raise InputError(text, table="model", column=name, value=str(path), remedy=_REMEDY)
    return content


def _check_name(name: str) -> None:
    suffix = os.path.splitext(name)[1]
    if Path(name).name != name or suffix not in _SUFFIXES:
        raise InputError(
            "not a file name that a model may hold",
            table="model",
            value=name,
            remedy=f"plain names ending in {', '.join(sorted(_SUFFIXES))}; nothing executable",
        )


def _listed_files(folder: Path) -> set[str]:
    """Files of the model that the folder holds by now; none if its manifest is damaged."""
    try:
        return {str(entry["file"]) for entry in _manifest(folder)["files"].values()}
    except InputError:
        return set()


def _digest(record: Mapping[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
