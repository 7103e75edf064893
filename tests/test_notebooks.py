"""Every notebook runs from top to bottom with its assertions, and agrees with its text twin."""

from pathlib import Path

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_agrees_with_its_text(path):
    notebook, text = jupytext.read(path), jupytext.read(path.with_suffix(".py"))
    pairs = zip(notebook.cells, text.cells, strict=True)
    differing = [
        i for i, (a, b) in enumerate(pairs) if (a.cell_type, a.source) != (b.cell_type, b.source)
    ]
    assert not differing, "run: jupytext --sync notebooks/*.py"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
