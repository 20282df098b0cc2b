"""A start does no work that a file could have saved: what it reads, compiles and imports stays below what is stated here."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from starts import Start

ARTICLES = 112  # of the starter corpus, whose index is kept under a digest of them
QUESTION = "why does dropout help?"
MOST = {
    # texts: a question, 30 candidates, 3 hits for the selector, 4 quotes for the reranker
    "open": Start(texts=0, compiled=0, files=ARTICLES + 38, modules=409),
    "ask": Start(texts=38, compiled=0, files=ARTICLES + 38, modules=429),
    "demo": Start(texts=0, compiled=0, files=ARTICLES + 360, modules=2300),
}
COMMANDS = {
    "open": (),
    "ask": ("ask", QUESTION),
    "demo": ("demo", "--port", "0"),
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder that a first start has filled."""
    folder = tmp_path_factory.mktemp("cache")
    count(COMMANDS["ask"], folder)
    return folder


def count(command: Sequence[str], cache: Path) -> Start:
    """What one start does, of the demo until it serves."""
    out = cache / "counts.json"
    counting = [sys.executable, str(Path(__file__).with_name("starts.py")), str(out), *command]
    environment = {**os.environ, "RAGQA_CACHE": str(cache)}
    with subprocess.Popen(counting, env=environment, stdout=-1, stderr=-2, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        serves = command[:1] == COMMANDS["demo"][:1]
        if serves:
            process.terminate()
        said = line + process.stdout.read()
    assert process.returncode == (128 + signal.SIGTERM if serves else 0), said
    return Start(**json.loads(out.read_bytes()))


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_start_does_no_work_that_a_file_could_have_saved(kind: str, cache: Path) -> None:
    done, most = count(COMMANDS[kind], cache), MOST[kind]
    assert done.texts <= most.texts
    assert done.compiled == most.compiled
    assert done.files <= most.files
    assert done.modules <= most.modules
    assert done.learning == 0


def test_the_first_start_embeds_the_question_alone(tmp_path: Path) -> None:
    done = count(COMMANDS["ask"], tmp_path)
    assert done.texts <= MOST["ask"].texts
    assert done.compiled == 3
