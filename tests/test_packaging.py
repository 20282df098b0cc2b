import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ragqa.recipes import RECIPES

pytest.importorskip("hatchling", reason="pip install hatchling")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_corpus_the_models_and_the_types(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "ragqa/py.typed",
        "ragqa/starter/questions.jsonl",
        "ragqa/starter/overfitting.md",
        "ragqa/starter/grades.jsonl",
        "ragqa/embedder/openvino/openvino_model.bin",
        "ragqa/embedder/starter/vectors.npy",
        "ragqa/reranker/tokenizer.json",
        "ragqa/reranker/openvino/openvino_model.bin",
    } <= names
    assert wheel.stat().st_size < 80_000_000


def test_the_wheel_holds_the_recipes_with_their_models_and_libraries(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    files = [path for path in (ROOT / "ragqa" / "recipes").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert {path.relative_to(ROOT).as_posix() for path in files} <= names
    for recipe in RECIPES:
        own = (ROOT / "corpus" / recipe).iterdir()
        assert {f"ragqa/recipes/{recipe}/starter/{path.name}" for path in own} <= names
