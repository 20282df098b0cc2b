import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="pip install hatchling")

ROOT = Path(__file__).parent.parent


def test_the_wheel_holds_the_corpus_the_models_and_the_types(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path], cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("*.whl")
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
    assert wheel.stat().st_size < 60_000_000
