"""Settings and fixtures that several test files share."""

import os
import shutil
import tempfile
from pathlib import Path

import jax
import pytest
from alterations import loaded
from desk import Desk

from jaxcampaign.cli import main

_KERNELS = "JAX_COMPILATION_CACHE_DIR"


def pytest_configure(config):
    """All workers, and the notebooks' own processes, compile each kernel once between them."""
    if _KERNELS not in os.environ:
        folder = tempfile.mkdtemp(prefix="kernels-")
        os.environ |= {_KERNELS: folder, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1"}
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.fixture(autouse=True, scope="session")
def keys_are_used_once():
    with jax.debug_key_reuse(True):
        yield


@pytest.fixture(scope="session")
def city(tmp_path_factory) -> Path:
    """Tables of a small synthetic city; tests that alter them alter copies."""
    folder = tmp_path_factory.mktemp("city")
    sizes = ["--n-users", "150", "--n-boards", "20", "--n-products", "3", "--demand-ratio", "0.03"]
    assert main(["synth", "city", "--out", str(folder), *sizes]) == 0
    return folder


@pytest.fixture
def desk(tmp_path, capsys, monkeypatch) -> Desk:
    """Small input tables to try the command line on, without reports."""
    monkeypatch.setattr("jaxcampaign.cli.jobs.write_report", lambda *args, **options: None)
    return Desk(tmp_path, capsys)


@pytest.fixture
def no_solver(monkeypatch):
    """Any solver that runs fails the test."""

    def explode(*args: object, **options: object):
        raise AssertionError("a solver ran on bad input")

    monkeypatch.setattr("jaxcampaign.cli.jobs.solve", explode)
    monkeypatch.setattr("jaxcampaign.solvers.Greedy.search", explode)


@pytest.fixture(scope="module")
def tables_are_read_once():
    """No reports, and tables of the same content are read once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxcampaign.cli.jobs.write_report", lambda *args, **options: None)
        patch.setattr("jaxcampaign.plans.slot_plans.load_billboards", loaded)
        yield
