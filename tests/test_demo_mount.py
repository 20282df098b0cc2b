"""The page in other environments: in another app, with other temporary folders, behind proxies."""

import json
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import open_browser, visiting
from demo_server import ANSWER, QUESTION, closing_event_loops, environment, running, small_retriever
from test_demo_api import call
from test_demo_gate import request

from ragqa.demo import ServerConfig, build_demo, mount
from ragqa.demo.gate import HEADERS
from ragqa.demo.server import Server
from ragqa.errors import InputError
from ragqa.serve.sockets import bind

PROXIES = ("socks5h://127.0.0.1:9", "socks://127.0.0.1:9/", "http://127.0.0.1:9")


@pytest.fixture(scope="module")
def mounted() -> Iterator[str]:
    """The address of an app with a route of its own, and the page below `/chat`."""
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/own")
    def own() -> str:
        return "own"

    @app.get("/favicon.ico", status_code=204)
    def favicon() -> None:  # browsers ask for it
        pass

    with closing_event_loops(), bind("127.0.0.1", None) as listener:
        mount(app, build_demo(small_retriever()), "/chat", names=["chat.example"], mcp=True)
        server = Server(app, listener)
        server.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        server.close()


def test_a_mounted_page_has_its_style_and_headers(mounted: str) -> None:
    status, headers, page = request(mounted, "chat/")
    assert status == 200
    sent = dict(headers)
    assert {name: sent.get(name.lower()) for name in HEADERS} == HEADERS
    assert b".ragqa" in page  # its style sheet
    assert f'"root":"{mounted}chat"'.encode() in page.replace(b" ", b"")
    assert b"fonts.googleapis.com" not in page


def test_a_mounted_page_is_guarded(mounted: str) -> None:
    for path in ("chat/", "chat/config", "chat/gradio_api/info", "chat/gradio_api/queue/data"):
        assert request(mounted, path, {"Host": "evil.example"})[0] == 403
        assert request(mounted, path, {"Origin": "http://evil.example"})[0] == 403
        assert request(mounted, path, {"Host": "chat.example", "Origin": "http://evil.example"})[0] == 403
    assert request(mounted, "chat/gradio_api/upload", {}, b"")[0] == 404
    assert request(mounted, "chat/gradio_api/queue/join", {}, b"[" * 1000)[0] == 413
    assert request(mounted, "chat/config", {"Host": "chat.example", "Origin": "http://chat.example"})[0] == 200
    assert request(mounted, "own", {"Host": "evil.example"})[0] == 200  # not ours


def test_a_mounted_page_answers(mounted: str) -> None:
    event, data = call(f"{mounted}chat/", "ask", QUESTION, 2)
    assert (event, data[0]["text"]) == ("complete", ANSWER)
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()
    accepted = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    for path in ("chat/gradio_api/mcp", "chat/gradio_api/mcp/"):
        status, _, answer = request(mounted, path, accepted, body)
        assert status == 200
        assert sorted(tool["name"] for tool in json.loads(answer)["result"]["tools"]) == ["ask", "search"]


def test_a_mounted_page_works_in_a_browser(mounted: str) -> None:
    with open_browser() as browser, visiting(browser, f"{mounted}chat/") as visit:
        visit.ask(QUESTION)
        assert ANSWER in visit.said()[0]
        assert visit.page.locator("#ragqa-side .card mark").all_inner_texts() == [ANSWER]


@pytest.mark.parametrize("root_path", ["chat", "http://chat.example/", "/", "/a b", "//"])
def test_a_root_path_that_is_none_is_named(root_path: str) -> None:
    with pytest.raises(InputError, match=f"--root-path is {root_path}; give a path"):
        ServerConfig(root_path=root_path)


def test_a_proxy_lets_others_in_who_need_a_password() -> None:
    with pytest.raises(InputError, match="other machines can reach the chat on chat.example: give --auth"):
        ServerConfig(names=("chat.example",))
    ServerConfig(names=("chat.example",), open_to_all=True)


# The temporary folder


def test_the_temporary_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "gradio").write_text("somebody else's")
    with running({"TMPDIR": str(tmp_path), "GRADIO_TEMP_DIR": ""}) as (_, address):
        assert call(address, "ask", QUESTION, 2)[0] == "complete"
        own = next(path for path in tmp_path.iterdir() if path.name.startswith("ragqa-demo-"))
        assert stat.S_IMODE(own.stat().st_mode) == 0o700
        assert not [path for path in own.rglob("*") if path.is_file()]
    assert (tmp_path / "gradio").read_text() == "somebody else's"


@pytest.mark.parametrize("given", [False, True])
def test_the_temporary_folder_is_removed_unless_it_is_the_users(tmp_path: Path, given: bool) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    code = "from demo_server import *\nfrom ragqa.demo import build_demo\nbuild_demo(small_retriever())"
    variables = {**environment(), "TMPDIR": str(tmp_path), **({"GRADIO_TEMP_DIR": str(folder)} if given else {})}
    if not given:
        variables.pop("GRADIO_TEMP_DIR", None)
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=variables, check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


# Proxies


@pytest.mark.parametrize("proxy", PROXIES)
def test_the_chat_starts_whatever_proxy_is_set(proxy: str) -> None:
    names = ("ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY")
    with running(dict.fromkeys(names, proxy), mcp="yes") as (_, address):
        body = json.dumps(
            {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "tools/call",
                "params": {"name": "ask", "arguments": {"question": QUESTION}},
            }
        ).encode()
        accepted = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
        status, _, answer = request(address, "gradio_api/mcp/", accepted, body)
        assert status == 200
        assert ANSWER in json.loads(json.loads(answer)["result"]["content"][0]["text"])["text"]


# Votes


def test_votes_of_one_visitor_are_limited(tmp_path: Path) -> None:
    from ragqa.demo.corpora import Corpus
    from ragqa.demo.respond import Settings, respond
    from ragqa.demo.turns import as_data
    from ragqa.demo.votes import MOST_VOTES

    corpus = Corpus(small_retriever(), name="small")
    turns = as_data([[*respond(QUESTION, corpus, Settings(), ())][-1]])
    likes = tmp_path / "likes.jsonl"
    with running(feedback=str(likes)) as (_, address):
        config = json.loads(request(address, "config")[2])
        like = next(d for d in config["dependencies"] if any(target[1] == "like" for target in d["targets"]))
        for number in range(MOST_VOTES + 5):
            vote = {"index": 1, "value": "", "liked": True}
            body = {"data": [turns], "fn_index": like["id"], "event_data": vote, "session_hash": f"s{number}"}
            joined = request(
                address, "gradio_api/queue/join", {"Content-Type": "application/json"}, json.dumps(body).encode()
            )
            assert joined[0] == 200
            with urllib.request.urlopen(f"{address}gradio_api/queue/data?session_hash=s{number}", timeout=20) as stream:
                told = stream.read().decode()
            assert ("many votes" in told) == (number >= MOST_VOTES)
    assert len(likes.read_text().splitlines()) == MOST_VOTES
