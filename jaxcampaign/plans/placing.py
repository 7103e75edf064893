"""The files of a finished plan into their folder, never half of one plan and half of another."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

STAGE = ".jaxcampaign-plan-"
"""Beginning of the name of the folder in a plan's folder in which the next one is made."""
REPORT = "report.html"
_LAST = "run.json"
_PLAN = ("selection.csv", "certificate.json", "proof.npz")


def put_in_place(made: Path, folder: Path, left_over: Iterable[str]) -> None:
    """Move a whole plan into its folder; other files there are left alone.

    First what is in the way moves out, run.json before all else, then the new files move in,
    run.json last: a folder with run.json holds one whole plan, and one with other files of a plan
    but no run.json is unfinished. After an exception the earlier plan is back in its place.

    Args:
      made: holds the files, run.json among them; beside it files that are moved out are kept until
        the new ones are in place.
      folder: on the same file system.
      left_over: names of an earlier plan's files that may have no place beside this one.
    """
    old = made.parent / "old"
    old.mkdir()
    names = sorted((path.name for path in made.iterdir()), key=lambda name: name == _LAST)
    _sync(made)
    out = dict.fromkeys([_LAST, *names, *left_over])
    try:
        for name in out:
            if (folder / name).is_file():
                (folder / name).replace(old / name)
        _sync(folder)
        for name in names:
            (made / name).replace(folder / name)
        _sync(folder)
    except BaseException:
        for name in out:
            if (old / name).is_file() or (name in names and not (made / name).exists()):
                (folder / name).unlink(missing_ok=True)
        for path in sorted(old.iterdir(), key=lambda path: path.name == _LAST):
            path.replace(folder / path.name)
        raise


def is_unfinished(folder: Path) -> bool:
    """Whether a run was stopped while it put its plan here, or while it made the first one."""
    if (folder / _LAST).is_file() or not folder.is_dir():
        return False
    return any(folder.glob(f"{STAGE}*")) or any((folder / name).is_file() for name in _PLAN)


def _sync(folder: Path) -> None:
    """Names in a folder reach the disk, where the system can be asked for it."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
