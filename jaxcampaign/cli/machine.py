"""What every command checks and says before and while it works: device, folder, seed, stages."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax

from jaxcampaign.errors import DeviceError, InputError


def use_device(device: str) -> str:
    """Make kernels run on the asked device and name it.

    Raises:
      DeviceError: a GPU was asked for and there is none.
    """
    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    chosen = None
    if device == "gpu":
        try:
            chosen = jax.devices("gpu")[0]
            jax.config.update("jax_default_device", chosen)
        except RuntimeError as fault:
            raise DeviceError(
                "no GPU is there for JAX to use",
                table="device",
                value="gpu",
                remedy="install jaxcampaign[gpu] on a machine with a GPU, or pass --device cpu",
            ) from fault
    chosen = chosen or jax.devices()[0]
    return f"{chosen.platform}: {chosen.device_kind}"


def check_time_limit(limit: float | None) -> None:
    """Refuse a limit that is no positive number of seconds."""
    if limit is not None and not 0 < limit < float("inf"):
        raise InputError(
            "must be a positive number of seconds",
            table="time_limit",
            value=limit,
            remedy="correct it, or leave it out",
        )


def check_seed(seed: int) -> None:
    """Refuse a seed that NumPy or JAX would not take."""
    if not 0 <= seed < 2**32:
        raise InputError(
            "must be a whole number from 0 to 2^32 - 1",
            table="seed",
            value=seed,
            remedy="pass one, such as 0",
        )


def check_folder(out: Path) -> None:
    """Refuse, before any work, a folder that cannot receive the result."""
    nearest = next(path for path in (out, *out.absolute().parents) if os.path.exists(path))
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise InputError(
            f"{nearest} is not a folder that can be written to",
            table="out",
            value=str(out),
            remedy="name another folder",
        )


@contextmanager
def stage(text: str, seconds: dict[str, float], name: str) -> Iterator[None]:
    """Say on standard error what is being done, and keep how long it took."""
    print(f"{text} ...", end="", file=sys.stderr, flush=True)
    began = time.monotonic()
    try:
        yield
    finally:
        seconds[name] = time.monotonic() - began
        print(f" {seconds[name]:.1f} s", file=sys.stderr, flush=True)
