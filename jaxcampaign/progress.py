"""Progress of long work, for people: on a terminal or in a notebook, never in a log file."""

from __future__ import annotations

import sys
from typing import Any


def progress(total: int | None, text: str, unit: str) -> Any:
    """A `tqdm` bar that shows after a moment and leaves nothing behind; for a `with` block."""
    from tqdm.auto import tqdm  # slow to import in notebooks

    watched = sys.stderr.isatty() or "ipykernel" in sys.modules
    return tqdm(total=total, desc=text, unit=unit, delay=0.5, leave=False, disable=not watched)
