"""The notebooks run top to bottom without a network, hold no outputs and define no functions."""

import re
from pathlib import Path
from typing import Any

import pytest

from ragqa.recipes import recipe_names

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def test_there_are_two_and_one_for_each_recipe() -> None:
    own = [f"{number}_{recipe}.ipynb" for number, recipe in enumerate(recipe_names(), 3)]
    assert [path.name for path in NOTEBOOKS] == ["1_quickstart.ipynb", "2_dataset_and_training.ipynb", *own]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_cleared_and_nothing_is_defined(path: Path) -> None:
    code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert not any(re.search(r"^\s*(def|class) |lambda", cell.source, re.MULTILINE) for cell in code)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_first_lines_say_how_to_run_it(path: Path) -> None:
    first = nbformat.read(path, as_version=4).cells[0]
    _, _, how, *_ = first.source.split("\n")
    assert first.cell_type == "markdown"
    assert how.startswith("To run this notebook, in the project's folder: `pip install ")
    assert f"`jupyter lab notebooks/{path.name}`" in first.source
    assert "ragqa[" not in first.source  # there is no such package on the index


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the kernel's own libraries
def test_it_runs_top_to_bottom(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("MPLBACKEND", "agg")
    notebook: Any = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=1500, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert any(cell.get("outputs") for cell in notebook.cells)
