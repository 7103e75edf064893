"""The order of the layers, read from the imports: left never imports right."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import jaxcampaign

PACKAGE = Path(jaxcampaign.__file__).parent
LAYERS = [
    {"errors", "progress"},
    {"tables"},
    {"influence", "effectiveness"},
    {"problems"},
    {"relaxations", "certificate"},
    {"solvers", "plans"},
    {"report"},
    {"cli"},
]
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
# The package itself, whose names are lazy, and `python -m jaxcampaign` stand above all layers.
ABOVE = {"__init__", "__main__"}
# Who may import what is heavy or would start a device, by top-level module.
ONLY_IN = {
    "jax": {
        "influence",
        "effectiveness",
        "problems",
        "certificate",
        "relaxations",
        "solvers",
        "cli",
    },
    "cvxpy": {"relaxations"},
    "flax": {"effectiveness"},
    "optax": {"effectiveness"},
    "lightgbm": {"effectiveness"},
    "matplotlib": {"report", "effectiveness"},
    "pandera": {"tables"},
    "duckdb": {"tables"},
    "tyro": {"cli"},
}


def _room(path: Path, package: Path) -> str:
    return path.relative_to(package).parts[0].removesuffix(".py")


def _imported(path: Path, package: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a module imports, wherever the statement stands."""
    here = [package.name, *path.relative_to(package).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            parents = here[: len(here) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"


def _target(name: str) -> str | None:
    """The room that an import reaches, None for imports from outside the package."""
    parts = name.split(".")
    if parts[0] != "jaxcampaign":
        return None
    if len(parts) == 1:
        return "__init__"
    # A lazy public name is its room in disguise; the version is everybody's.
    first = jaxcampaign._ROOM_OF.get(parts[1], parts[1])
    return None if first == "__version__" else first


def _allowed(room: str, target: str) -> bool:
    if room in ABOVE or room == target:
        return True
    return target in LEVEL and LEVEL[target] < LEVEL[room]


def layer_faults(package: Path) -> list[str]:
    """One sentence for each import that breaks the order."""
    faults = []
    for path in sorted(package.rglob("*.py")):
        room = _room(path, package)
        where = path.relative_to(package.parent)
        if room not in ABOVE | set(LEVEL):
            faults.append(f"{where}: room {room!r} has no layer; add it to LAYERS")
            continue
        for line, name in _imported(path, package):
            target = _target(name)
            if target is not None and not _allowed(room, target):
                faults.append(f"{where}:{line}: {room} must not import {name} ({target})")
            owners = ONLY_IN.get(name.split(".")[0])
            if owners and room not in owners:
                faults.append(f"{where}:{line}: {room} must not import {name}")
    return faults


def test_no_layer_imports_one_above_or_beside_it():
    faults = layer_faults(PACKAGE)
    assert not faults, "\n" + "\n".join(faults)


def test_every_layer_is_there():
    rooms = {_room(path, PACKAGE) for path in PACKAGE.rglob("*.py")}
    assert rooms == ABOVE | set(LEVEL)


@pytest.mark.parametrize(
    ("file", "source", "named"),
    [
        ("tables/a.py", "from jaxcampaign.influence import Influence", "jaxcampaign.influence"),
        ("tables/a.py", "import jaxcampaign.solvers.greedy as g", "jaxcampaign.solvers.greedy"),
        ("problems/a.py", "def f():\n    from jaxcampaign.solvers import solve", "solvers"),
        (
            "influence/a.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
            "    from jaxcampaign.problems import Rows",
            "jaxcampaign.problems.Rows",
        ),
        ("relaxations/a.py", "from jaxcampaign.certificate import certify", "certificate"),
        ("plans/a.py", "from jaxcampaign.solvers import Solution", "jaxcampaign.solvers"),
        ("solvers/a.py", "from ..plans import write_plan", "jaxcampaign.plans"),
        ("solvers/a.py", "from .. import report", "jaxcampaign.report"),
        ("certificate.py", "from .relaxations import prefix_bound", "jaxcampaign.relaxations"),
        ("certificate.py", "from jaxcampaign import solve", "jaxcampaign.solve (solvers)"),
        ("report/a.py", "import jaxcampaign", "jaxcampaign (__init__)"),
        ("report/a.py", "from jaxcampaign.cli.main import main", "jaxcampaign.cli.main"),
        ("solvers/a.py", "import cvxpy as cp", "cvxpy"),
        ("tables/a.py", "import jax.numpy as jnp", "jax.numpy"),
        ("helpers.py", "", "add it to LAYERS"),
    ],
)
def test_a_breach_is_found_and_named(tmp_path, file, source, named):
    path = tmp_path / "jaxcampaign" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source + "\n")
    (fault,) = layer_faults(tmp_path / "jaxcampaign")
    assert named in fault
    assert f"jaxcampaign/{file}" in fault


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("solvers/a.py", "from jaxcampaign.certificate import certify\nfrom .base import Clock"),
        ("report/a.py", "from jaxcampaign import __version__\nimport numpy as np"),
        ("cli/a.py", "from jaxcampaign import solve, verify_plan"),
        ("__init__.py", "from jaxcampaign.cli import main"),
    ],
)
def test_what_the_order_allows_passes(tmp_path, file, source):
    path = tmp_path / "jaxcampaign" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source + "\n")
    assert layer_faults(tmp_path / "jaxcampaign") == []
