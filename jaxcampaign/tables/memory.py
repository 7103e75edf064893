"""How much the machine can hold, so that what does not fit is refused before it is allocated."""

from __future__ import annotations

import math
import os

from jaxcampaign.errors import InputError


def memory_limit_bytes(memory_limit_gb: float | None) -> float:
    """The limit in bytes: so many 1e9 bytes, or the machine's free memory when None.

    Raises:
      InputError: the limit is not above 0.
    """
    if memory_limit_gb is None:
        available = available_memory_bytes()
        return math.inf if available is None else float(available)
    if not memory_limit_gb > 0:
        raise InputError(
            "not an amount of memory",
            table="memory_limit_gb",
            value=memory_limit_gb,
            remedy="give gigabytes above 0, or None for the machine's free memory",
        )
    return memory_limit_gb * 1e9


def available_memory_bytes() -> int | None:
    """Memory that can be allocated without swapping; None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            facts = dict(line.split(":", 1) for line in lines)
        return int(facts["MemAvailable"].split()[0]) * 1024  # SC_AVPHYS_PAGES omits the file cache
    except (OSError, KeyError):
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
