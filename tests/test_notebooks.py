"""Every notebook runs from its first cell to its last, and imports only from the front door.

The cells run here, in one process: a kernel for each notebook would take longer than all of their simulations.
`make docs` executes them in kernels.
"""

import ast
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
OUTSIDE = {"yaml"}  # what a notebook imports besides sim


def sources(path):
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    names = {}
    for number, source in enumerate(sources(path)):
        exec(compile(source, f"{path.name}, code cell {number}", "exec"), names)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_asks_first_has_no_outputs_and_no_long_cells(path):
    cells = nbformat.read(path, as_version=4).cells
    assert cells[0].source.startswith("# ")
    assert "?" in "".join(cells[0].source.split("\n\n")[:2])
    for cell in cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert len(cell.source.splitlines()) <= 15


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_imports_only_from_the_front_door(path):
    for node in ast.walk(ast.parse("\n".join(sources(path)))):
        if isinstance(node, ast.ImportFrom):
            assert node.module == "sim"
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= OUTSIDE
