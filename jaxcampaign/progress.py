"""Progress of long work, for people, and their wish that it ends: deadlines then have passed."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

_asked_to_stop = threading.Event()


def moment() -> float:
    """Seconds of `time.monotonic` to hold against a deadline; infinite once all work is to stop."""
    return float("inf") if _asked_to_stop.is_set() else time.monotonic()


def ask_to_stop(stop: bool = True) -> None:
    """Searches end as if their time were up, with the best that they have; False takes it back."""
    if stop:
        _asked_to_stop.set()
    else:
        _asked_to_stop.clear()


def progress(total: int | None, text: str, unit: str) -> Any:
    """A `tqdm` bar that shows after a moment and leaves nothing behind; for a `with` block.

    It is seen on a terminal or in a notebook, never in a log file.
    """
    from tqdm.auto import tqdm  # slow to import in notebooks

    watched = sys.stderr.isatty() or "ipykernel" in sys.modules
    return tqdm(total=total, desc=text, unit=unit, delay=0.5, leave=False, disable=not watched)
