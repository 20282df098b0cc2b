"""Recipes are found by their entry points, and one can be deleted as CONTRIBUTING.md says."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from ragqa import recipes
from ragqa.errors import FallbackWarning, InputError

ROOT = Path(__file__).parent.parent
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv*", ".*_cache", "__pycache__", ".hypothesis", "build", "dist", "results"
)

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The installed recipes, module by name."""
    named: dict[str, str] = {}

    def entry_points(group: str) -> list[EntryPoint]:
        return [EntryPoint(name, module, group) for name, module in named.items()]

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    monkeypatch.setattr(recipes, "_entry_points", recipes._entry_points.__wrapped__)
    return named


def test_recipes_are_found_by_their_entry_points(
    entries: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ragqa_films.py").write_text('TAB = "Films"\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(recipes, "_FOLDER", tmp_path)
    entries |= {"plays": "ragqa_plays", "films": "ragqa_films"}
    assert recipes.recipe_names() == ("films", "plays")
    assert recipes.load_recipe("films").TAB == "Films"
    with pytest.raises(
        InputError,
        match="the recipe 'plays' cannot be imported .No module named 'ragqa_plays'.; install its package again",
    ):
        recipes.load_recipe("plays")
    with pytest.raises(InputError, match="the recipe 'songs' is not installed; installed recipes: films, plays"):
        recipes.load_recipe("songs")


def test_a_recipe_that_came_after_the_installation_is_told(
    entries: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my checkout" / "ragqa" / "recipes"
    for name in ("films", "plays"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").touch()
    monkeypatch.setattr(recipes, "_FOLDER", folder)
    entries["films"] = "ragqa.recipes.films"
    with pytest.warns(FallbackWarning, match=rf"not installed: plays; run: pip install -e '{tmp_path}/my checkout'"):
        assert recipes.recipe_names() == ("films",)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository that the commands of CONTRIBUTING.md have removed the recipe from, and its wheel in `site`."""
    pytest.importorskip("hatchling", reason="pip install hatchling")
    copied = tmp_path_factory.mktemp("without") / "ragqa"
    shutil.copytree(ROOT, copied, ignore=NOT_COPIED)
    section = (copied / "CONTRIBUTING.md").read_text(encoding="utf8").partition("### Remove a recipe")[2]
    commands = re.search(r"```bash\n(.*?)```", section, re.DOTALL)
    assert commands
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run(["bash", "-ec", commands[1]], cwd=copied, env={**os.environ, "PATH": path}, check=True)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "wheels"]
    subprocess.run(build, cwd=copied, check=True, capture_output=True)
    (wheel,) = (copied / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(copied / "site")
    return copied


@pytest.fixture(scope="module")
def run(copy: Path) -> Run:
    """Runs Python where the wheel without the recipe is what is installed."""

    def run_there(*arguments: str, cwd: Path = copy / "site") -> "subprocess.CompletedProcess[str]":
        command, environment = [sys.executable, *arguments], {**os.environ, "PYTHONPATH": str(copy / "site")}
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)

    return run_there


def test_nothing_of_a_deleted_recipe_is_left(copy: Path) -> None:
    files = [path.relative_to(copy).as_posix() for path in copy.rglob("*")]
    assert not [path for path in files if "book" in path.lower() and "notebook" not in path]
    for path in (
        path for folder in ("ragqa", "tests", "benchmarks", "docs", "site") for path in (copy / folder).rglob("*.py")
    ):
        if path.name != Path(__file__).name:
            assert not re.search(r"recipes[./]books", path.read_text(encoding="utf8")), path
    assert "ragqa.recipes" not in next(copy.glob("site/*.dist-info/entry_points.txt")).read_text(encoding="utf8")


def test_the_command_line_works_without_the_recipe(run: Run) -> None:
    helped = run("-m", "ragqa", "--help")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert "recommend" not in helped.stdout
    assert "demo " in helped.stdout
    assert "--recipe {wikipedia}" in run("-m", "ragqa", "dataset", "--help").stdout
    asked = run("-m", "ragqa", "ask", "why does dropout help?", "--bm25-only")
    assert (asked.returncode, asked.stderr) == (0, "")
    assert "Dropout" in asked.stdout


def test_the_other_tests_are_found_and_those_of_the_layout_pass(run: Run, copy: Path) -> None:
    found = run("-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", cwd=copy)
    assert found.returncode == 0, found.stdout[-3000:]
    done = run(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_layout.py", "tests/test_figures.py", cwd=copy
    )
    assert done.returncode == 0, done.stdout[-3000:]
