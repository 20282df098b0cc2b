import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from demo_server import ANSWER, QUESTION, closing_event_loops, environment, running, small_retriever

from ragqa.answers.answer import as_dict
from ragqa.cli import main
from ragqa.demo import ServerConfig, serve
from ragqa.errors import InputError

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
from users import crowd


@pytest.fixture(scope="module", autouse=True)
def close_event_loops() -> Iterator[None]:
    with closing_event_loops():
        yield


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=20) as response:
        return json.load(response)


def call(address: str, endpoint: str, *arguments: Any) -> tuple[str, Any]:
    """Call an endpoint as Gradio documents it: post, then read the event's outcome."""
    body = json.dumps(dict(zip(("question", "k", "corpus", "threshold"), arguments, strict=False))).encode()
    url = f"{address}gradio_api/call"
    request = urllib.request.Request(f"{url}/v2/{endpoint}", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as response:
        event = json.load(response)["event_id"]
    with urllib.request.urlopen(f"{url}/{endpoint}/{event}", timeout=20) as response:
        name, data = response.read().decode().strip().split("\n")[-2:]
    return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


def test_there_are_two_endpoints(address: str) -> None:
    info = get(f"{address}gradio_api/info")
    assert sorted(info["named_endpoints"]) == ["/ask", "/search"]
    assert info["unnamed_endpoints"] == {}
    for name, endpoint in info["named_endpoints"].items():
        named = [parameter["parameter_name"] for parameter in endpoint["parameters"]]
        assert named == ["question", "k", "corpus", *(["threshold"] if name == "/ask" else [])]
        assert endpoint["description"]


def test_ask_gives_the_answer_as_json(address: str) -> None:
    event, data = call(address, "ask", QUESTION, 2)
    assert event == "complete"
    assert data == json.loads(json.dumps([as_dict(small_retriever().ask(QUESTION, 2))]))
    assert data[0]["text"] == ANSWER


@pytest.mark.parametrize("name", ["docs/demo.md"])
def test_the_documented_client_prints_the_answer_and_where_it_stands(
    name: str, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (Path(__file__).parent.parent / name).read_text(encoding="utf8")
    (sample,) = (code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "gradio_client" in code)
    exec(sample.replace("http://127.0.0.1:7860/", address).replace("Why does dropout help?", QUESTION), {})
    assert f"{ANSWER} Dropout Why it helps\n" in capsys.readouterr().out


def test_search_gives_the_hits_as_json(address: str) -> None:
    event, data = call(address, "search", "boosting", 2, "other")
    assert event == "complete"
    assert [(hit["rank"], hit["passage"]["title"]) for hit in data[0]] == [(1, "Boosting")]
    assert data[0][0]["probability"] is None


@pytest.mark.parametrize("arguments", [("", 2), (QUESTION, 0), (QUESTION, 21), (QUESTION, 2, "none"), ("a" * 3000, 2)])
@pytest.mark.parametrize("endpoint", ["ask", "search"])
def test_what_cannot_be_asked_is_an_error_without_a_trace(
    served: tuple["subprocess.Popen[str]", str], endpoint: str, arguments: tuple[Any, ...]
) -> None:
    event, data = call(served[1], endpoint, *arguments)
    assert event == "error"
    assert "Traceback" not in json.dumps(data)


@pytest.mark.parametrize("arguments", [(QUESTION, 2.0), (QUESTION, 2.0, None), (QUESTION, 2, "small")])
def test_numbers_and_null_are_taken_as_json_has_them(address: str, arguments: tuple[Any, ...]) -> None:
    event, data = call(address, "search", *arguments)
    assert event == "complete"
    assert len(data[0]) == 2
    assert len(call(address, "search", QUESTION, None)[1][0]) == 4  # all that hold the word, of at most five


@pytest.mark.parametrize(("threshold", "abstained"), [(0, False), (0.2, False), (1, True), (None, False)])
def test_ask_takes_a_threshold(address: str, threshold: float | None, abstained: bool) -> None:
    event, data = call(address, "ask", QUESTION, 2, "", threshold)
    assert (event, data[0]["abstained"]) == ("complete", abstained)


@pytest.mark.parametrize("threshold", [1.5, "0.5", True])
def test_a_threshold_that_is_none_is_named(address: str, threshold: object) -> None:
    event, data = call(address, "ask", QUESTION, 2, "", threshold)
    assert (event, data["error"]) == ("error", f"threshold is {threshold!r}; a number from 0 to 1 is needed")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((5, 2), "question is 5; text is needed"),
        ((None, 2), "question is None; text is needed"),
        ((QUESTION, 2.5), "k is 2.5; a whole number is needed"),
        ((QUESTION, "2"), "k is '2'; a whole number is needed"),
        ((QUESTION, True), "k is True; a whole number is needed"),
        ((QUESTION, 2, ["small"]), "There is no corpus ['small']; there are: small, other"),
    ],
)
@pytest.mark.parametrize("endpoint", ["ask", "search"])
def test_arguments_of_another_kind_are_named(
    address: str, endpoint: str, arguments: tuple[Any, ...], message: str
) -> None:
    event, data = call(address, endpoint, *arguments)
    assert (event, data["error"]) == ("error", message)


def test_the_tools_are_served_over_mcp(address: str) -> None:
    mcp = pytest.importorskip("mcp", reason="mcp is not installed: pip install '.[mcp]'")
    from mcp.client.streamable_http import streamable_http_client

    async def use() -> tuple[Any, ...]:
        async with (
            streamable_http_client(f"{address}gradio_api/mcp/") as (read, write, _),
            mcp.ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = await session.list_tools()
            found = await session.call_tool("search", {"question": QUESTION, "k": 1})
            same = await session.call_tool("search", {"question": QUESTION, "k": 1.0, "corpus": None})
            wrong = ({"question": QUESTION, "k": 21}, {"k": 1}, {"question": QUESTION, "top": 1}, {"question": None})
            refused = [await session.call_tool("search", arguments) for arguments in wrong]
            answered = await session.call_tool("ask", {"question": QUESTION, "k": None})
            assert same.content == found.content
            return tools, found, refused, answered

    tools, found, refused, answered = asyncio.run(use())
    assert sorted(tool.name for tool in tools.tools) == ["ask", "search"]
    for tool in tools.tools:
        assert "Text written for ragqa has none; its `about` is Wikipedia's article on the topic" in tool.description
        assert re.fullmatch(r".* Returns: (Hits: rank|Its text \(empty and abstained if).*", tool.description)
        assert "at most 2,000 characters" in tool.inputSchema["properties"]["question"]["description"]
        assert tool.inputSchema["required"] == ["question"]
    assert json.loads(found.content[0].text)[0]["passage"]["title"] == "Dropout"
    assert json.loads(answered.content[0].text) == json.loads(json.dumps(as_dict(small_retriever().ask(QUESTION, 5))))
    assert [(result.isError, result.content[0].text) for result in refused] == [
        (True, "k is 21; at most 20 passages are shown"),
        (True, "question is missing"),
        (True, "search takes question, k and corpus, not 'top'"),
        (True, "question is None; text is needed"),
    ]
    jsonschema = pytest.importorskip("jsonschema")
    schemas = {tool.name: tool.inputSchema for tool in tools.tools}
    for schema in schemas.values():
        for arguments in ({"question": "a", "k": 2.0}, {"question": "a", "k": None, "corpus": None}):
            jsonschema.validate(arguments, schema)
    jsonschema.validate({"question": "a", "threshold": 0.5}, schemas["ask"])
    assert "threshold" not in schemas["search"]["properties"]


def test_fifty_at_once_get_their_own_answers(served: tuple["subprocess.Popen[str]", str]) -> None:
    process, address = served
    questions = [f"{word} {number}" for number in range(5) for word in ("dropout", "boosting", "units", "zebra")]
    crowd(
        address, users=50, seconds=3, questions=questions, pid=process.pid
    )  # the queue and 50 connections take memory too
    report = crowd(address, users=50, seconds=6, questions=questions, pid=process.pid)
    assert report.errors == []
    assert report.mixed_up == []
    assert len(report.seconds) > 50
    before, after = report.summary(6)["memory MB, first and last fifth"]
    assert after < before + 60  # benchmarks/users.py, which runs longer, shows that it does not go on


def test_every_page_forbids_other_hosts(address: str) -> None:
    with urllib.request.urlopen(address, timeout=20) as response:
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'self';" in policy
        assert "http" not in policy
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["gradio_api/file=/etc/passwd", "monitoring", "gradio_api/monitoring", "gradio_api/runs"]
)
def test_what_the_chat_does_not_need_is_not_served(address: str, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{address}{path}", timeout=20)
    assert caught.value.code in {401, 403, 404}
    caught.value.close()


def test_a_password_is_asked_for() -> None:
    with running(auth="ada:secret") as (_, address):
        for path in ("config", "gradio_api/info"):
            with pytest.raises(urllib.error.HTTPError) as caught:
                get(f"{address}{path}")
            assert caught.value.code == 401
            caught.value.close()
        body = b"username=ada&password=secret"
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with opener.open(f"{address}login", body, timeout=20) as response:
            assert json.load(response) == {"success": True}
        with opener.open(f"{address}gradio_api/info", timeout=20) as response:
            assert "/ask" in json.load(response)["named_endpoints"]


def test_ctrl_c_ends_the_demo_without_a_word() -> None:
    with running() as (process, address):
        with urllib.request.urlopen(address, timeout=20) as response:
            assert response.status == 200
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20)[0] == ""
        assert process.returncode == 0


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=rf"^127\.0\.0\.1:{port} is in use; choose another host or port$"):
            serve(small_retriever(), ServerConfig(port=port))


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        ("127.0.0.1", 65536, "^port 65536 is not between 0 and 65535$"),
        ("127.0.0.1", -1, "^port -1 is not between 0 and 65535$"),
        ("no host", 7860, r"^no host:7860 cannot be listened on \(.*\); choose another host or port$"),
    ],
)
def test_an_address_that_is_none_is_named(host: str, port: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        serve(small_retriever(), ServerConfig(host, port, open_to_all=True))


def test_the_command_refuses_other_machines_without_a_password(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--host", "0.0.0.0", "--bm25-only"]) == 1
    assert "give --auth USER:PASSWORD, or --no-auth" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "0.0.0.0"], "give --auth USER:PASSWORD"),
        (["--allow-host", "http://a.example", "--no-auth"], "http://a.example is not a host name"),
        (["--allow-host", "a.example"], "other machines can reach the chat on a.example: give --auth"),
        (["--root-path", "chat"], "--root-path is chat; give a path such as /chat"),
        (["--llm-base-url", "localhost:11434"], "is not the URL of a server; an example is http://localhost"),
    ],
)
def test_wrong_options_are_told_before_anything_is_loaded(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--index", "no/index", *options]) == 1
    assert message in capsys.readouterr().err


def test_a_port_in_use_is_told_before_anything_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["demo", "--index", "no/index", "--port", str(port)]) == 1
    assert f"127.0.0.1:{port} is in use" in capsys.readouterr().err


def test_an_empty_password_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--auth", "", "--index", "no/index"]) == 1
    assert "USER:PASSWORD" in capsys.readouterr().err


def test_the_command_serves_several_folders(tmp_path: Path) -> None:
    code = f"""
import sys
from ragqa.index.bm25 import Bm25Index
from ragqa.cli import main
from demo_server import PASSAGES
Bm25Index.build(PASSAGES[:2]).save({str(tmp_path / "one")!r})
Bm25Index.build(PASSAGES[2:]).save({str(tmp_path / "two")!r})
folders = ["--index", {str(tmp_path / "one")!r}, "--index", {str(tmp_path / "two")!r}]
main(["demo", "--port", "0", "--bm25-only", "--feedback", {str(tmp_path / "likes.jsonl")!r}, *folders])
"""
    with subprocess.Popen([sys.executable, "-c", code], env=environment(), stdout=-1, text=True) as process:
        try:
            assert process.stdout
            line = process.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+/", line)
            assert found, line
            assert call(found[0], "search", "boosting", 1, "one")[1] == [[]]
            assert call(found[0], "search", "boosting", 1, "two")[1][0][0]["passage"]["title"] == "Boosting"
        finally:
            process.kill()
