"""What an import costs: no heavy module, no device; and the lazy names are the real ones."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import jaxcampaign
from jaxcampaign.cli import main

PACKAGE = Path(jaxcampaign.__file__).parent
HEAVY = ["cvxpy", "highspy", "flax", "optax", "matplotlib", "pandas", "pandera", "duckdb", "scipy"]
# True if some array or device query has started a JAX backend in this process.
STARTED = """
def backend_started():
    import sys
    if "jax" not in sys.modules:
        return False
    from jax._src import xla_bridge
    return xla_bridge.backends_are_initialized()
"""


def _python(code: str, *args: object) -> str:
    """What fresh Python prints on running the code."""
    done = subprocess.run(
        [sys.executable, "-c", STARTED + code, *map(str, args)],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_is_light_and_starts_no_device():
    code = """
import sys
import jaxcampaign
dir(jaxcampaign)
print(backend_started(), *(name for name in sys.argv[1:] if name in sys.modules))
"""
    assert _python(code, *HEAVY).split() == ["False"]


def test_importing_every_module_starts_no_device():
    code = """
import importlib, pkgutil, jaxcampaign
names = [m.name for m in pkgutil.walk_packages(jaxcampaign.__path__, "jaxcampaign.")]
for name in names:
    importlib.import_module(name)
print(len(names), backend_started())
"""
    count, started = _python(code).split()
    assert int(count) >= 40
    assert started == "False"


def test_every_public_name_resolves_and_is_listed():
    assert len(set(jaxcampaign.__all__)) == len(jaxcampaign.__all__)
    assert set(jaxcampaign.__all__) == set(dir(jaxcampaign))
    for name in jaxcampaign.__all__:
        assert getattr(jaxcampaign, name) is not None
    for room, names in jaxcampaign._ROOMS.items():
        module = sys.modules[f"jaxcampaign.{room}"]
        for name in names:
            assert getattr(module, name) is getattr(jaxcampaign, name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Grredy"):
        jaxcampaign.Grredy  # noqa: B018


def test_type_checkers_see_the_same_names_as_python():
    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    (guarded,) = (
        node for node in tree.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node)
    )
    seen: dict[str, list[str]] = {}
    for statement in guarded.body:
        assert isinstance(statement, ast.ImportFrom)
        assert statement.module is not None
        room = statement.module.removeprefix("jaxcampaign.")
        seen[room] = sorted(alias.name for alias in statement.names)
    assert seen == {room: sorted(names) for room, names in jaxcampaign._ROOMS.items()}


def test_each_room_lists_what_it_exports():
    rooms = [path.parent.name for path in PACKAGE.glob("*/__init__.py")]
    for room in rooms:
        module = importlib.import_module(f"jaxcampaign.{room}")
        assert len(set(module.__all__)) == len(module.__all__), room
        assert all(hasattr(module, name) for name in module.__all__), room


def test_verifying_a_plan_imports_no_solver(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxcampaign.cli.jobs.write_report", lambda *args, **options: None)
    tables = {
        "pairs": {"slot_id": ["a", "b"], "user_id": ["u", "v"], "prob": [0.5, 0.5]},
        "slots": {
            "slot_id": ["a", "b"],
            "board_id": ["x", "x"],
            "start_min": [0, 60],
            "end_min": [60, 120],
            "cost": [1.0, 2.0],
        },
        "audiences": {"product_id": ["p", "p"], "user_id": ["u", "v"]},
        "demands": {"product_id": ["p"], "demand": [0.7]},
    }
    flags: list[str] = []
    for name, columns in tables.items():
        pd.DataFrame(columns).to_csv(tmp_path / f"{name}.csv", index=False)
        flags += [f"--{name}", str(tmp_path / f"{name}.csv")]
    plan = tmp_path / "plan"
    assert main(["billboards", *flags, "--solver", "greedy", "--out", str(plan)]) == 0

    code = """
import sys
from jaxcampaign import verify_plan
claims = verify_plan(sys.argv[1])
assert claims and all(claim.holds for claim in claims), claims
roots = ("cvxpy", "highspy", "jaxcampaign.solvers", "jaxcampaign.relaxations", "scipy.optimize")
print(*(name for name in sys.modules if name.startswith(roots)))
"""
    assert _python(code, plan).split() == []
