"""A start does no work that a file could have saved: what it reads, compiles and imports stays below what is stated here."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from starts import Start

ARTICLES = 112  # of the starter corpus, whose index is kept under a digest of them
QUESTION = "why does dropout help?"
FAVOURITES = ("--favorite", "The Hobbit", "--favorite", "Emma", "--favorite", "Dracula")
MOST = {
    # texts: a question, 30 candidates, at most 20 sentences of the best hits; 20 books
    "open": Start(texts=0, compiled=0, files=ARTICLES + 38, modules=390),
    "ask": Start(texts=51, compiled=0, files=ARTICLES + 38, modules=420),
    "recommend": Start(texts=20, compiled=0, files=30, modules=420),
    "demo": Start(texts=0, compiled=0, files=ARTICLES + 360, modules=2300),
}
COMMANDS = {
    "open": (),
    "ask": ("ask", QUESTION),
    "recommend": ("recommend", *FAVOURITES),
    "demo": ("demo", "--port", "0"),
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that a first start of each kind has filled."""
    folder = tmp_path_factory.mktemp("cache")
    for kind in ("ask", "recommend"):
        count(kind, folder)
    return folder


def count(kind: str, cache: Path) -> Start:
    """What one start does, of the demo until it serves."""
    out = cache / "counts.json"
    command = [sys.executable, str(Path(__file__).with_name("starts.py")), str(out), *COMMANDS[kind]]
    environment = {**os.environ, "RAGQA_CACHE": str(cache)}
    with subprocess.Popen(command, env=environment, stdout=-1, stderr=-2, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        if kind == "demo":
            process.terminate()
        said = line + process.stdout.read()
    assert process.returncode == (128 + signal.SIGTERM if kind == "demo" else 0), said
    return Start(**json.loads(out.read_bytes()))


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_start_does_no_work_that_a_file_could_have_saved(kind: str, cache: Path) -> None:
    done, most = count(kind, cache), MOST[kind]
    assert done.texts <= most.texts
    assert done.compiled == most.compiled
    assert done.files <= most.files
    assert done.modules <= most.modules
    assert done.learning == 0


def test_the_first_start_embeds_the_question_alone(tmp_path: Path) -> None:
    done = count("ask", tmp_path)
    assert done.texts <= MOST["ask"].texts
    assert done.compiled == 2
