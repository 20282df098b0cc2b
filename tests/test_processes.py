"""What is opened in one process serves in others, and commands end when they are told to."""

import io
import json
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ragqa import Bm25Index, DenseIndex, Embedder, Passage, Reranker, Retriever, cli
from ragqa.errors import IndexStoreError, ModelError, RagqaError
from ragqa.index.folder import build_index
from ragqa.index.stored_passages import StoredPassages
from ragqa.models.reranker import BUNDLED
from ragqa.models.selector import Selector

PASSAGES = [
    Passage(
        "Dropout#0", "Dropout", text="Dropout switches units off at random, which keeps a network from overfitting."
    ),
    Passage("Perceptron#0", "Perceptron", text="The perceptron is a linear classifier that learns from its mistakes."),
    Passage("Bagging#0", "Bagging", text="Bagging averages models of bootstrap samples and so reduces variance."),
]
QUESTION = "why does dropout help?"
METHODS = [method for method in ("fork", "spawn", "forkserver") if method in multiprocessing.get_all_start_methods()]

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are posix")

Found = list[tuple[str, float]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("processes") / "index"
    build_index(folder, PASSAGES, embedder=Embedder.load())
    return folder


@pytest.fixture(scope="module")
def retriever(folder: Path) -> Retriever:
    return Retriever.open(folder)


def search(retriever: Retriever) -> Found:
    return [(hit.passage.id, hit.score) for hit in retriever.search(QUESTION)]


def score(reranker: Reranker) -> list[float]:
    scores: list[float] = reranker.score(QUESTION, [passage.text for passage in PASSAGES]).tolist()
    return scores


def load_and_score(_: object = None) -> list[float]:
    return score(Reranker.load())


def put(queue: Any, action: Callable[[Any], object], argument: object) -> None:
    try:
        queue.put(action(argument))
    except RagqaError as error:
        queue.put(error)


def run_in(method: str, action: Callable[[Any], object], argument: object) -> Any:
    """What an action returns, or the error that it raises, in a process of its own."""
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=put, args=(queue, action, argument))  # type: ignore[attr-defined]
    process.start()
    try:
        found = queue.get(timeout=120)
        process.join(30)
        assert process.exitcode == 0
    finally:
        process.kill()
    return found


@pytest.mark.parametrize("method", METHODS)
def test_another_process_finds_the_same(retriever: Retriever, method: str) -> None:
    expected = search(retriever)
    assert run_in(method, search, retriever) == expected
    assert search(retriever) == expected


def ask(retriever: Retriever) -> tuple[str, float | None]:
    answer = retriever.ask(QUESTION)
    return answer.text, answer.probability


@pytest.mark.parametrize("method", METHODS)
def test_another_process_answers_the_same(method: str) -> None:
    made = Retriever.from_texts([passage.text for passage in PASSAGES], [{"title": p.title} for p in PASSAGES])
    made.selector = Selector.load()
    expected = ask(made)
    assert expected[0]
    assert run_in(method, ask, made) == expected


@needs_fork
def test_children_forked_while_threads_search_find_the_same(retriever: Retriever) -> None:
    expected, over, wrong = search(retriever), threading.Event(), []

    def search_on() -> None:
        while not over.is_set():
            wrong.extend([] if search(retriever) == expected else [1])

    threads = [threading.Thread(target=search_on) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        assert [run_in("fork", search, retriever) for _ in range(5)] == [expected] * 5
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not wrong


@needs_fork
def test_children_forked_while_a_thread_compiles_can_compile() -> None:
    expected, over = load_and_score(), threading.Event()

    def load_on() -> None:
        while not over.is_set():
            Reranker.load()

    thread = threading.Thread(target=load_on)
    thread.start()
    try:
        assert [run_in("fork", load_and_score, None) for _ in range(3)] == [expected] * 3
    finally:
        over.set()
        thread.join()


FORK = """
import os, sys
from ragqa import Reranker
reranker = Reranker.load()
expected = reranker.score("why?", ["because"]).tolist()
child = os.fork()
if child == 0:
    if sys.argv[1] == "use":
        assert reranker.score("why?", ["because"]).tolist() == expected
        grandchild = os.fork()
        if grandchild:
            assert os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) == 7
        else:
            assert reranker.score("why?", ["because"]).tolist() == expected
    if sys.argv[1] == "delete":
        del reranker
    sys.exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
assert reranker.score("why?", ["because"]).tolist() == expected
"""


@needs_fork
@pytest.mark.parametrize("what", ["exit", "delete", "use"])
def test_a_forked_child_ends_as_usual(what: str) -> None:
    """gunicorn's workers end by `sys.exit`, which frees everything."""
    done = subprocess.run([sys.executable, "-c", FORK, what], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("7\n", "", 0)


@needs_fork
def test_a_child_does_not_take_another_model_for_the_one_that_was_loaded(tmp_path: Path) -> None:
    shutil.copytree(BUNDLED, tmp_path / "model")
    reranker = Reranker.load(tmp_path / "model")
    pickled = pickle.dumps(reranker)
    seal = tmp_path / "model" / "checksums.json"
    seal.write_text(seal.read_text().replace("config.json", "other.json"))
    for raised in (run_in("fork", score, reranker), run_in("fork", pickle.loads, pickled)):
        assert isinstance(raised, ModelError)
        assert str(raised) == f"{tmp_path / 'model'} has changed since the model was loaded; load it again"
    shutil.rmtree(tmp_path / "model")
    with pytest.raises(ModelError, match=rf"{tmp_path / 'model'} cannot be opened again: .*No such file"):
        pickle.loads(pickled)


def test_what_was_opened_from_files_is_pickled_as_their_paths(retriever: Retriever) -> None:
    again = pickle.loads(pickle.dumps(retriever))
    assert search(again) == search(retriever)
    assert isinstance(again.index.passages, StoredPassages)
    assert again.index.generation == retriever.index.generation
    for thing in (retriever, retriever.index, retriever.index.passages, retriever.dense, retriever.reranker):
        assert len(pickle.dumps(thing)) < 2000
    assert len(pickle.dumps(Retriever.open())) < 2000


def test_an_index_in_memory_is_pickled_with_its_content() -> None:
    embedder = Embedder.load()
    for engine in ("sparse", "rank-bm25"):
        index = Bm25Index.build(PASSAGES, engine=engine)
        retriever = Retriever(index, None, dense=DenseIndex.build(PASSAGES, embedder))
        again = pickle.loads(pickle.dumps(retriever))
        assert search(again) == search(retriever)
        assert again.index.position("Bagging#0") == 2


def test_an_index_replaced_since_it_was_pickled_is_told(tmp_path: Path) -> None:
    build_index(tmp_path / "index", PASSAGES, embedder=Embedder.load())
    opened = Retriever.open(tmp_path / "index", reranker=None)
    index, dense = pickle.dumps(opened.index), pickle.dumps(opened.dense)
    build_index(tmp_path / "index", PASSAGES[:2])
    with pytest.raises(
        IndexStoreError, match=rf"000001 has been replaced since it was opened; open {tmp_path}/index again"
    ):
        pickle.loads(index)
    with pytest.raises(
        IndexStoreError, match=r"vectors\.npy has been replaced since it was opened; open its index again"
    ):
        pickle.loads(dense)


# --- commands


def child_of(process: "subprocess.Popen[str]") -> int:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not children.read_text().split():
        time.sleep(0.05)
    return int(children.read_text().split()[0])


@pytest.fixture(params=["first process", "usual process"])
def start(request: pytest.FixtureRequest) -> Iterator[Callable[..., tuple["subprocess.Popen[str]", int]]]:
    """Start a command, as the first process of a container or as usual; with the process to send signals to."""
    wrapper = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child"] if request.param == "first process" else []
    if wrapper and (
        not shutil.which("unshare") or subprocess.run([*wrapper, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("a container needs root and unshare")
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: object) -> tuple["subprocess.Popen[str]", int]:
        command = [*wrapper, sys.executable, "-m", "ragqa", *map(str, arguments)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process, child_of(process) if wrapper else process.pid

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_sigterm_ends_a_long_command_and_leaves_nothing_half_written(
    tmp_path: Path, start: Callable[..., tuple["subprocess.Popen[str]", int]]
) -> None:
    lines = (json.dumps({"id": f"{n}#0", "title": str(n), "text": f"what is {n} " * 100}) for n in range(5000))
    (tmp_path / "passages.jsonl").write_text("".join(f"{line}\n" for line in lines))
    index = tmp_path / "index"
    process, pid = start("index", "--passages", tmp_path / "passages.jsonl", "--out", index)
    while not (index / ".000001.unfinished").is_dir():
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(pid, signal.SIGTERM)
    assert process.wait(60) == 143
    assert os.listdir(index) == ["lock"]
    _, said = process.communicate()
    assert "Traceback" not in said


def test_sigterm_ends_the_demo(start: Callable[..., tuple["subprocess.Popen[str]", int]]) -> None:
    pytest.importorskip("gradio")
    process, pid = start("demo", "--bm25-only", "--port", 0)
    assert process.stdout
    assert "ragqa demo on http" in process.stdout.readline()
    os.kill(pid, signal.SIGTERM)
    assert process.wait(60) == 143
    _, said = process.communicate()
    assert "Traceback" not in said


def test_a_command_leaves_the_handler_of_signals_as_it_was() -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert cli.main(["verify", "nowhere"]) == 1
    assert signal.getsignal(signal.SIGTERM) == before


def shell(line: str, **environment: str) -> "subprocess.CompletedProcess[bytes]":
    known = {**os.environ, "RAGQA": f"{sys.executable} -m ragqa", **environment}
    return subprocess.run(["sh", "-c", line], capture_output=True, env=known, check=False, timeout=120)


@pytest.mark.skipif(os.name != "posix", reason="the shell is posix")
@pytest.mark.parametrize("closed", [">&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error_and_get_no_file(folder: Path, tmp_path: Path, closed: str) -> None:
    done = shell(f"$RAGQA ask --index {folder} --bm25-only dropout {closed}")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    (tmp_path / "passages.jsonl").write_text('{"id": "a#0", "title": "a", "text": "alpha"}\n')
    done = shell(f"$RAGQA index --passages {tmp_path}/passages.jsonl --no-dense --out {tmp_path}/index {closed}")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert Bm25Index.verify(tmp_path / "index") == 1


@pytest.mark.skipif(os.name != "posix", reason="the shell is posix")
def test_an_error_without_stderr_is_not_told_on_stdout() -> None:
    done = shell("$RAGQA ask --bm25-only '' 2>&-")
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "koi8-r"])
def test_json_is_utf8_whatever_the_terminal_has_and_text_gets_question_marks(tmp_path: Path, encoding: str) -> None:
    text = "Bayes’ μ über 機械学習 dropout"
    Bm25Index.build([Passage("a#0", "µ", text=text)]).save(tmp_path / "index")
    command = [sys.executable, "-m", "ragqa", "ask", "dropout", "--bm25-only", "--index", str(tmp_path / "index")]
    coded = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run([*command, "--json"], capture_output=True, env=coded, check=True)
    assert json.loads(done.stdout.decode("utf-8"))["hits"][0]["passage"]["text"] == text
    plain = subprocess.run(command, capture_output=True, env=coded, check=True)
    expected = "Bayes’ μ über 機械学習".encode(encoding, "replace").decode(encoding)
    assert expected in io.TextIOWrapper(io.BytesIO(plain.stdout), encoding).read()


@pytest.mark.parametrize("arguments", [["--help"], ["ask", "--help"], ["verify", "nirgends…"]])
def test_a_terminal_without_unicode_is_no_error(arguments: list[str]) -> None:
    coded = {**os.environ, "PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "ragqa", *arguments]
    done = subprocess.run(command, capture_output=True, env=coded, check=False)
    assert b"Traceback" not in done.stderr
