"""What the benchmark commands share: the machine's description, the command line, result files."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
_PACKAGES = ("jaxcampaign", "jax", "numpy", "scipy", "pandas", "cvxpy", "highspy", "submodlib-py")


class Ran(NamedTuple):
    """A finished command.

    Attributes:
      code: exit status.
      seconds: wall time, start-up included.
      cpu_seconds: processor time of all its threads.
      stdout: what it printed.
    """

    code: int
    seconds: float
    cpu_seconds: float
    stdout: str


def data_folder(text: str) -> Path:
    """The folder of the public data, if it is one."""
    folder = Path(text)
    if not (folder / "spatial").is_dir():
        raise argparse.ArgumentTypeError(f"no public data in {folder} (see bench/README.md)")
    return folder


def add_data_flag(parser: argparse.ArgumentParser) -> None:
    """`--data DIR`: by default $JAXCAMPAIGN_DATA, or ../shared/data beside the checkout."""
    default = os.environ.get("JAXCAMPAIGN_DATA", str(ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=data_folder, default=default, help="the public data")


def command_line(*arguments: str | Path) -> Ran:
    """Run `python -m jaxcampaign` as a process of its own; its standard error is passed through."""
    command = [sys.executable, "-m", "jaxcampaign", *map(str, arguments)]
    began, worked = time.perf_counter(), _children_cpu_seconds()
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    seconds, cpu_seconds = time.perf_counter() - began, _children_cpu_seconds() - worked
    return Ran(done.returncode, seconds, cpu_seconds, done.stdout)


def machine() -> dict[str, Any]:
    """What the figures are measured on, and how busy it is."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "checkout" if package == "jaxcampaign" else "absent"
    return {
        "device": "cpu",
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "versions": versions,
    }


def device_name() -> str:
    """Where JAX computes, such as "cpu" or "gpu: NVIDIA H200"."""
    import jax

    device = jax.devices()[0]
    kind = str(device.device_kind)
    return device.platform if kind == device.platform else f"{device.platform}: {kind}"


def copy_gb_s(n_bytes: int = 1 << 30, repeats: int = 5) -> float:
    """Copy bandwidth of the machine that JAX computes on, GB/s, read and written both counted.

    The array is larger than any cache. On a CPU the faster of NumPy and JAX counts.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    negate = jax.jit(jnp.negative)
    source = jnp.ones(n_bytes // 4, jnp.float32)
    sides = [lambda: negate(source).block_until_ready()]
    if jax.default_backend() == "cpu":
        host, target = np.asarray(source), np.ones(n_bytes // 4, np.float32)
        sides.append(lambda: np.copyto(target, host))
    best = float("inf")
    for side in sides:
        side()
        for _ in range(repeats):
            began = time.perf_counter()
            side()
            best = min(best, time.perf_counter() - began)
    return 2e-9 * n_bytes / best


def write_results(name: str, record: dict[str, Any]) -> None:
    """Write bench/results/NAME.json and say so."""
    target = RESULTS / f"{name}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(record, indent=2) + "\n")
    print(f"wrote {target.relative_to(ROOT)}")


def print_table(rows: list[dict[str, Any]], formats: dict[str, str]) -> None:
    """Print rows as aligned columns.

    Args:
      rows: one mapping per line.
      formats: format of each printed column, by key, where "<" is text that runs to the left;
        None prints as a dash.
    """
    lines = [list(formats)] + [
        ["-" if row[key] is None else format(row[key], spec) for key, spec in formats.items()]
        for row in rows
    ]
    width = [max(map(len, column)) for column in zip(*lines, strict=True)]
    align = ["<" if i == 0 or spec == "<" else ">" for i, spec in enumerate(formats.values())]
    for line in lines:
        cells = (f"{text:{a}{w}}" for text, a, w in zip(line, align, width, strict=True))
        print("  ".join(cells).rstrip())


def _children_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
