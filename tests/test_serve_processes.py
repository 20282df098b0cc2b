"""A server ends in order, also as the first process of a container, and several workers share one socket and one index."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

pytest.importorskip("prometheus_client", reason="pip install prometheus-client")

from serve_server import DOCUMENTS, SLOW_S, Running, running, start

from ragqa.index.folder import build_index
from ragqa.records import Passage

RANK = {"query": "why?", "documents": DOCUMENTS}
SLOW = {"query": "slow", "documents": ["x", "y"]}
TERMINATED = 128 + signal.SIGTERM
RAGQA = [sys.executable, "-m", "ragqa"]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are posix")


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def in_progress(server: Running) -> bool:
    return "ragqa_requests_in_progress 2.0" in server.get("/metrics").text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_is_answered_before_the_server_ends(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path) as server, ThreadPoolExecutor(1) as threads:
        asked = threads.submit(server.post, "/v2/rerank", SLOW)
        wait_for(lambda: in_progress(server))
        server.process.send_signal(number)
        assert asked.result().status_code == 200
        assert server.process.wait(30) == (-number if number == signal.SIGTERM else 0)
        with pytest.raises(httpx.ConnectError):
            server.get("/health")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index") / "index"
    build_index(folder, [Passage("Dropout#0", "Dropout", text="Dropout keeps a network from overfitting.")])
    return folder


@pytest.mark.skipif(not shutil.which("unshare") or os.geteuid() != 0, reason="a process namespace needs root")
def test_the_first_process_of_a_container_ends_on_sigterm(tmp_path: Path, index: Path) -> None:
    """Without a handler of its own, such a process would ignore the signal."""
    command = [*RAGQA, "serve", "--index", str(index), "--bm25-only", "--port", "0"]
    inside = ["unshare", "--pid", "--fork", "--kill-child", *command]
    with start(inside, tmp_path) as server:
        found = server.post("/v1/search", {"question": "why does dropout help?"}).json()
        assert found["hits"][0]["passage"]["id"] == "Dropout#0"
        (child,) = children(server.process.pid)
        assert re.search(r"^NSpid:\t\d+\t1$", Path(f"/proc/{child}/status").read_text(), re.MULTILINE)
        os.kill(child, signal.SIGTERM)
        assert server.process.wait(30) == TERMINATED


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_the_command_serves_with_keys_of_the_environment(tmp_path: Path, index: Path) -> None:
    command = [*RAGQA, "serve", "--index", str(index), "--bm25-only", "--port", "0"]
    with start(command, tmp_path, {"RAGQA_API_KEYS": "one,two"}) as server:
        asked = {"question": "why does dropout help?"}
        assert server.post("/v1/ask", asked).status_code == 401
        assert server.post("/v1/ask", asked, Authorization="Bearer two").json()["text"]
        server.process.terminate()
        assert server.process.wait(30) == TERMINATED
    assert all(line["logger"] for line in server.lines())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            ["--host", "0.0.0.0"],
            "other machines can reach the server on 0.0.0.0: set RAGQA_API_KEYS, or give --no-auth",
        ),
        (["--index", "missing/"], "missing"),
        (["--index", "missing/", "--workers", "2"], "missing"),
    ],
)
def test_the_command_tells_what_is_wrong_in_one_line(tmp_path: Path, options: list[str], reason: str) -> None:
    done = subprocess.run(
        [*RAGQA, "serve", "--port", "0", *options], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(rf"ragqa: .*{re.escape(reason)}.*\n", done.stderr), done.stderr


def test_a_filter_that_no_passage_meets_is_refused_at_the_start(tmp_path: Path, index: Path) -> None:
    command = [*RAGQA, "serve", "--port", "0", "--index", str(index), "--bm25-only", "--where", "title=Nothing"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "ragqa: --where: no passage meets title = Nothing; give another condition\n"


def pids(server: Running) -> set[int]:
    """The workers; another child of the supervisor tracks resources of multiprocessing."""
    return {
        child
        for child in children(server.process.pid)
        if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes()
    }


def total(server: Running) -> float:
    found = re.search(
        r'^ragqa_requests_total\{path="/v2/rerank",status="200"\} (\S+)', server.get("/metrics").text, re.M
    )
    return float(found[1]) if found else 0.0


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads /proc")
def test_workers_share_the_work_are_replaced_and_end_together(tmp_path: Path) -> None:
    with running(tmp_path, workers=2) as server:
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda _: server.post("/v2/rerank", RANK), range(20)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.text[answer.text.index('"results"') :] for answer in answers}) == 1
        assert total(server) == 20
        before = pids(server)
        assert len(before) == 2
        os.kill(min(before), signal.SIGKILL)
        wait_for(lambda: len(pids(server)) == 2 and pids(server) != before)
        assert server.post("/v2/rerank", RANK).status_code == 200
        last = pids(server)
        server.process.terminate()
        assert server.process.wait(60) == -signal.SIGTERM
        assert not [pid for pid in last if Path(f"/proc/{pid}").exists()]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads /proc")
def test_workers_answer_before_they_end_and_do_not_outlive_their_supervisor(tmp_path: Path) -> None:
    with running(tmp_path, workers=2) as server, ThreadPoolExecutor(1) as threads:
        assert server.post("/v2/rerank", RANK).status_code == 200
        workers = pids(server)
        asked = threads.submit(server.post, "/v2/rerank", SLOW)
        time.sleep(SLOW_S / 2)
        server.process.kill()
        assert asked.result().status_code == 200
        wait_for(lambda: not [pid for pid in workers if is_running(pid)])


def is_running(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_a_worker_that_cannot_start_ends_the_server(tmp_path: Path) -> None:
    code = (
        "import os, serve_server as s\n"
        "from functools import partial\n"
        "from pathlib import Path\n"
        "from ragqa.serve import ServeConfig, serve\n"
        f"if __name__ == '__main__': serve(partial(s.open_once, {str(tmp_path / 'opened')!r}), "
        "ServeConfig(port=None, workers=2))"
    )
    with start([sys.executable, "-c", code], tmp_path) as server:
        assert server.process.wait(60) == 1
        log = server.log.read_text(encoding="utf8")
    assert "the index has gone" in log
    assert "a worker did not start; its log is above" in log
