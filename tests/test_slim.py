"""The wheel without extras: it answers questions, and says how to install what else is asked for."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="pip install hatchling")

ROOT = Path(__file__).parent.parent
CRAWL = (
    "crawl --title Dropout --contact me@example.org --api-url http://127.0.0.1:9/api.php --max-wait 0 --out pages.jsonl"
)

Run = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("my wheels")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def run(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs commands in an environment that holds the wheel and what it requires without extras."""
    folder = tmp_path_factory.mktemp("slim")
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")},
        "PATH": os.pathsep.join([str(folder / "env" / "bin"), os.environ["PATH"]]),
        "RAGQA_CACHE": str(folder / "cache"),
    }

    def run_there(*command: object) -> "subprocess.CompletedProcess[str]":
        words = [*map(str, command)]
        return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    assert run_there(sys.executable, "-m", "venv", "env").returncode == 0
    if run_there("pip", "install", "--dry-run", "--no-deps", "tqdm").returncode:
        pytest.skip("no package index can be reached")
    done = run_there("pip", "install", "--quiet", wheel)
    assert done.returncode == 0, done.stderr
    (folder / "dump.xml").write_text("<mediawiki/>")
    done = run_there("ragqa", "passages", "--pages", "starter", "--out", "passages.jsonl")
    assert done.returncode == 0, done.stderr
    return run_there


def test_a_question_is_answered(run: Run) -> None:
    done = run("ragqa", "ask", "why does dropout help?")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Dropout" in done.stdout
    assert "BM25 #" in done.stdout


def test_a_corpus_of_ones_own_is_indexed(run: Run) -> None:
    for command in ("ragqa index --passages passages.jsonl --out index --no-dense", "ragqa ask --index index dropout"):
        done = run(*command.split())
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("command", "activity", "extra"),
    [
        ("demo --port 0", "the chat", "demo"),
        ("serve --port 0", "the API server", "serve"),
        ("mcp", "the MCP server", "mcp"),
        ("mcp --http --port 0", "the MCP server", "mcp"),
        (CRAWL, "crawling", "crawl"),
        ("import-dump dump.xml --out pages.jsonl", "reading a dump", "dump"),
        ("evaluate --judged starter", "evaluating", "evaluate"),
        ("dataset --passages passages.jsonl --out dataset", "writing Parquet", "train"),
    ],
)
def test_a_missing_extra_is_told_in_one_line(run: Run, wheel: Path, command: str, activity: str, extra: str) -> None:
    done = run("ragqa", *command.split())
    line = f"ragqa: {activity} needs more packages: {shlex.join(['pip', 'install', f'{wheel}[{extra}]'])}\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", line)


def test_from_python_it_is_an_import_error(run: Run) -> None:
    code = """
import ragqa.demo
from ragqa import Retriever
try:
    ragqa.demo.build_demo(Retriever.open(dense=False))
except ImportError as error:
    print(error)
"""
    done = run("python", "-c", code)
    assert done.stdout.startswith("the chat needs more packages: pip install "), done.stderr


def test_the_command_that_is_told_installs_it(run: Run) -> None:
    said = run("ragqa", *CRAWL.split()).stderr
    found = re.search(r"pip install .*", said)
    assert found, said
    done = run(*shlex.split(found[0]))
    assert done.returncode == 0, done.stderr
    assert "http://127.0.0.1:9/api.php: no connection" in run("ragqa", *CRAWL.split()).stderr
