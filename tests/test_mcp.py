"""The tools of `ragqa mcp`, with the official client, over stdio and over HTTP."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from demo_server import environment

mcp = pytest.importorskip("mcp", reason="mcp is not installed: pip install '.[mcp]'")

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # noqa: E402
from mcp.client.stdio import stdio_client  # noqa: E402
from mcp.client.streamable_http import streamable_http_client  # noqa: E402
from serve_server import Running, open_small, start  # noqa: E402

import ragqa  # noqa: E402
from ragqa.answers.answer import as_dict, hits_as_dicts  # noqa: E402
from ragqa.errors import IndexStoreError, warn_of_fallback  # noqa: E402
from ragqa.index.folder import build_index  # noqa: E402
from ragqa.records import Page  # noqa: E402
from ragqa.search.retriever import Retriever  # noqa: E402
from ragqa.serve import serve_stdio  # noqa: E402
from ragqa.serve.tools import Tool, build_server, log_fallbacks  # noqa: E402
from ragqa.text.passages import split  # noqa: E402

WIKI = "https://en.wikipedia.org/wiki"
PAGES = (
    Page(
        "Dropout", f"{WIKI}/Dropout", 1, 7, text="Dropout is a method.\n\n== Use ==\n\nDropout keeps networks robust."
    ),
    Page("Bagging", text="Bagging averages trees.", about=f"{WIKI}/Bagging"),
    Page("Notes", "https://notes.example/notes", text="Notes about boosting."),
)
QUESTION = "dropout?"
RAGQA = [sys.executable, "-m", "ragqa"]
TERMINATED = 128 + signal.SIGTERM
INITIALIZE = {
    **{"jsonrpc": "2.0", "id": 1, "method": "initialize"},
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index") / "index"
    build_index(folder, [passage for page in PAGES for passage in split(page, 40)])
    return folder


@pytest.fixture(scope="module")
def command(index: Path) -> list[str]:
    return [*RAGQA, "mcp", "--index", str(index), "--bm25-only"]


@pytest.fixture(scope="module")
def server(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with start([*command, "--http", "--port", "0"], tmp_path_factory.mktemp("http")) as running:
        yield running


@asynccontextmanager
async def over_stdio(command: Sequence[str]) -> AsyncIterator[Any]:
    first, *rest = command
    parameters = mcp.StdioServerParameters(command=first, args=rest, env=environment())
    async with stdio_client(parameters) as (read, write), mcp.ClientSession(read, write) as session:
        await session.initialize()
        yield session


@asynccontextmanager
async def over_http(address: str, **headers: str) -> AsyncIterator[Any]:
    async with (
        httpx.AsyncClient(headers=headers, timeout=60) as client,
        streamable_http_client(f"{address}/mcp", http_client=client) as (read, write, _),
        mcp.ClientSession(read, write) as session,
    ):
        await session.initialize()
        yield session


async def call_all(session: Any, calls: Sequence[tuple[str, dict[str, Any]]]) -> list[Any]:
    return [await session.call_tool(name, arguments) for name, arguments in calls]


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("search", {"question": QUESTION, "k": 2}),
    ("search", {"question": QUESTION, "k": 2.0}),
    ("search", {"question": QUESTION, "k": None}),
    ("ask", {"question": QUESTION}),
    ("ask", {"question": "zebra?"}),
    ("search", {"question": QUESTION, "where": {"title": "Bagging"}}),
    ("ask", {"question": QUESTION, "where": None}),
    ("read_page", {"title": "Dropout"}),
    ("read_page", {"title": "Bagging"}),
    ("read_page", {"title": "Notes"}),
]
TITLE_KEY = "where: no passage has the key 'titel'; there are title, id, section, url, about, aliases"
WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("search", {"question": QUESTION, "k": 21}, "k is 21; at most 20 passages are shown"),
    ("search", {"question": QUESTION, "k": 0}, "k is 0; at least 1 is needed"),
    ("search", {"question": QUESTION, "k": 1.5}, "k is 1.5; a whole number is needed"),
    ("search", {"question": QUESTION, "top": 1}, "search takes question, k and where, not 'top'"),
    ("search", {"k": 1}, "question is missing"),
    ("ask", {"question": None}, "question is None; text is needed"),
    ("ask", {"question": " "}, "the question is empty"),
    ("ask", {"question": QUESTION, "k": 1}, "ask takes question and where, not 'k'"),
    ("ask", {"question": QUESTION, "where": "title"}, 'where is str; give a mapping such as {"category": "physics"}'),
    ("search", {"question": QUESTION, "where": {"titel": "Dropout"}}, TITLE_KEY),
    ("read_page", {"title": 7}, "title is 7; text is needed"),
    ("read_page", {"title": "drop_outs"}, "there is no page 'drop_outs'; the nearest titles are: Dropout"),
    ("read_page", {"title": "qqqq"}, "there is no page 'qqqq'; search names the pages that there are"),
    ("fly", {}, "there is no tool 'fly'; there are: search, ask, read_page"),
]


async def use(session: Any) -> tuple[Any, ...]:
    listed = await session.list_tools()
    return listed.tools, await call_all(session, CALLS), await call_all(session, [(a, b) for a, b, _ in WRONG])


@pytest.fixture(scope="module", params=["stdio", "http"])
def used(request: pytest.FixtureRequest, command: list[str]) -> tuple[Any, ...]:
    """The tools, the results of `CALLS` and those of `WRONG`, over each transport."""

    async def run() -> tuple[Any, ...]:
        if request.param == "stdio":
            async with over_stdio(command) as session:
                return await use(session)
        async with over_http(request.getfixturevalue("server").address) as session:
            return await use(session)

    return asyncio.run(run())


def test_the_tools_are_listed_with_schemas_and_say_that_they_change_nothing(used: tuple[Any, ...]) -> None:
    tools = {tool.name: tool for tool in used[0]}
    assert list(tools) == ["search", "ask", "read_page"]
    assert {name: list(tool.inputSchema["properties"]) for name, tool in tools.items()} == {
        "search": ["question", "k", "where"],
        "ask": ["question", "where"],
        "read_page": ["title"],
    }
    for tool in tools.values():
        assert tool.annotations.readOnlyHint
        assert tool.annotations.idempotentHint
        assert tool.annotations.openWorldHint is False
        assert 20 < len(tool.description) < 200
        for schema in (tool.inputSchema, tool.outputSchema):
            Draft202012Validator.check_schema(schema)


def test_the_results_are_those_of_the_retriever(used: tuple[Any, ...], index: Path) -> None:
    _, (two, same, default, answered, empty, filtered, unfiltered, *_), _ = used
    retriever = Retriever.open(index, reranker=None, dense=False)
    expected = json.loads(json.dumps(hits_as_dicts(retriever.search(QUESTION, 5))))
    assert two.structuredContent == same.structuredContent == {"question": QUESTION, "hits": expected[:2]}
    assert default.structuredContent["hits"] == expected
    assert answered.structuredContent == json.loads(json.dumps(as_dict(retriever.ask(QUESTION, 5))))
    assert unfiltered.structuredContent == answered.structuredContent
    found = retriever.search(QUESTION, 5, where={"title": "Bagging"})
    assert filtered.structuredContent["hits"] == json.loads(json.dumps(hits_as_dicts(found)))
    assert (empty.structuredContent["abstained"], empty.structuredContent["hits"]) == (True, [])


def test_a_page_is_read_whole_with_its_source(used: tuple[Any, ...]) -> None:
    pages = [result.structuredContent for result in used[1][-3:]]
    assert [(page["title"], page["url"], page["about"], page["revision"], page["licence"]) for page in pages] == [
        ("Dropout", f"{WIKI}/Dropout?oldid=7", "", 7, "cc-by-sa-4.0"),
        ("Bagging", "", f"{WIKI}/Bagging", None, "cc0-1.0"),
        ("Notes", "https://notes.example/notes", "", None, None),
    ]
    assert pages[0]["passages"] == [
        {"section": p.section, "start": p.start, "end": p.end, "text": p.text} for p in split(PAGES[0], 40)
    ]


def test_results_fit_their_schema_and_come_as_text_too(used: tuple[Any, ...]) -> None:
    tools, results, _ = used
    schemas = {tool.name: tool.outputSchema for tool in tools}
    for (name, _), result in zip(CALLS, results, strict=True):
        assert not result.isError, result.content
        Draft202012Validator(schemas[name]).validate(result.structuredContent)
        (content,) = result.content
        assert json.loads(content.text) == result.structuredContent


def test_arguments_that_the_schema_allows_are_accepted_and_others_refused(used: tuple[Any, ...]) -> None:
    tools, _, refused = used
    schemas = {tool.name: Draft202012Validator(tool.inputSchema) for tool in tools}
    assert all(schemas[name].is_valid(arguments) for name, arguments in CALLS)
    assert [(result.isError, result.content[0].text) for result in refused] == [(True, reason) for *_, reason in WRONG]


def test_answers_with_quotes_fit_the_schema() -> None:
    from ragqa.serve.corpus_tools import corpus_tools

    small = open_small()
    tools = {tool.name: tool for tool in corpus_tools(lambda: small)}
    answered = json.loads(json.dumps(tools["ask"].function("dropout relying?")))
    assert answered["quotes"]
    Draft202012Validator(dict(tools["ask"].output or {})).validate(answered)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", f"import test_mcp; test_mcp.{code}"]


def serve_noisily() -> None:
    """Run by a server process: what opens the index prints, in Python and below it."""

    def open_noisily() -> Retriever:
        print("print", flush=True)
        os.write(1, b"write\n")
        return open_small()

    serve_stdio(open_noisily)


def serve_broken() -> None:
    def fail() -> Retriever:
        raise IndexStoreError("the index\nhas gone")

    serve_stdio(fail)


def test_a_cancelled_call_gets_no_result_and_the_server_goes_on() -> None:
    async def run() -> tuple[Any, Any]:
        async with over_stdio(python("serve_noisily()")) as session:
            with pytest.raises(mcp.McpError, match="Timed out"):
                await session.call_tool("search", {"question": "slow"}, timedelta(seconds=0.2))
            number = session._request_id - 1
            cancelled = mcp.types.CancelledNotification(
                method="notifications/cancelled", params=mcp.types.CancelledNotificationParams(requestId=number)
            )
            await session.send_notification(mcp.types.ClientNotification(cancelled))
            failed = await session.call_tool("search", {"question": "broken dropout"})
            return failed, await session.call_tool("search", {"question": QUESTION})

    failed, found = asyncio.run(run())
    assert (failed.isError, failed.content[0].text) == (True, "search failed; the log of the server says why")
    assert found.structuredContent["hits"]


def test_an_index_that_cannot_be_opened_is_an_error_of_each_call() -> None:
    async def run() -> list[Any]:
        async with over_stdio(python("serve_broken()")) as session:
            return await call_all(session, [("ask", {"question": QUESTION}), ("read_page", {"title": "Dropout"})])

    assert [(r.isError, r.content[0].text) for r in asyncio.run(run())] == [(True, "the index has gone")] * 2


@pytest.mark.filterwarnings("default")
def test_a_fallback_during_a_call_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    from mcp.shared.memory import create_connected_server_and_client_session

    def warn(question: str) -> str:
        warn_of_fallback(f"a slower path for {question}")
        return question

    async def run() -> Any:
        server = build_server([Tool("warn", "Warn.", {"question": "Any."}, warn)])
        async with create_connected_server_and_client_session(server) as session:
            return await session.call_tool("warn", {"question": "this"})

    with log_fallbacks():
        assert asyncio.run(run()).content[0].text == '"this"'
    assert ("ragqa.serve.tools", "a slower path for this") in [(r.name, r.getMessage()) for r in caplog.records]


@pytest.fixture
def process() -> Iterator["subprocess.Popen[bytes]"]:
    """A server over stdio that prints while it opens its index."""
    pipes = {"stdin": -1, "stdout": -1, "stderr": -1}
    with subprocess.Popen(python("serve_noisily()"), env=environment(), **pipes) as process:  # type: ignore[call-overload]
        yield process
        process.kill()


def initialize(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["result"]["serverInfo"]["version"] == ragqa.__version__


def test_the_end_of_stdin_ends_the_process_and_stdout_holds_only_replies(process: "subprocess.Popen[bytes]") -> None:
    initialize(process)
    assert process.stdin
    process.stdin.write(b"no JSON \xff\n")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert {json.loads(line)["jsonrpc"] for line in output.splitlines()} <= {"2.0"}
    assert {"print", "write"} <= set(errors.decode().splitlines())
    assert b"Traceback" not in errors


@pytest.mark.skipif(os.name != "posix", reason="signals are posix")
def test_sigterm_ends_a_process_whose_client_says_nothing(command: list[str]) -> None:
    with subprocess.Popen(command, env=environment(), stdin=-1, stdout=-1, stderr=-1) as process:
        initialize(process)
        process.terminate()
        assert process.wait(60) == TERMINATED
        assert process.stderr
        assert process.stderr.read() == b""
        process.kill()


@pytest.mark.skipif(os.name != "posix", reason="pipes break in another way elsewhere")
def test_a_client_that_reads_no_more_ends_the_process(process: "subprocess.Popen[bytes]") -> None:
    initialize(process)
    assert process.stdin
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    process.stdin.write(json.dumps({"jsonrpc": "2.0", "id": 2, "method": "ping"}).encode() + b"\n")
    process.stdin.flush()
    assert process.wait(60) == 0
    assert b"Traceback" not in process.stderr.read()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--index", "missing/"], "missing"),
        (["--host", "0.0.0.0"], "--host, --port, --no-auth and --allow-host need --http"),
        (["--http", "--host", "0.0.0.0"], "other machines can reach the server on 0.0.0.0: set RAGQA_API_KEYS"),
    ],
)
def test_the_command_tells_what_is_wrong_in_one_line(tmp_path: Path, options: list[str], reason: str) -> None:
    done = subprocess.run(
        [*RAGQA, "mcp", *options], cwd=tmp_path, capture_output=True, text=True, check=False, input=""
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(rf"ragqa: .*{re.escape(reason)}.*\n", done.stderr), done.stderr


def test_pages_of_other_sites_and_other_methods_are_refused(server: Running) -> None:
    accepted = {"Accept": "application/json, text/event-stream"}
    assert server.post("/mcp", INITIALIZE, **accepted).json()["result"]["serverInfo"]["name"] == "ragqa"
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        refused = server.post("/mcp", INITIALIZE, **accepted, **headers)
        assert (refused.status_code, refused.json()["jsonrpc"]) == (403, "2.0")
    assert server.get("/mcp", **accepted).status_code == 405
    assert server.get("/other").status_code == 404
    deep = server.post_bytes("/mcp", b"[" * 100, **accepted)
    assert (deep.status_code, deep.json()["error"]["code"]) == (413, -32600)


@pytest.mark.skipif(os.name != "posix", reason="signals are posix")
def test_keys_are_asked_for_over_http_and_sigterm_ends_the_server(command: list[str], tmp_path: Path) -> None:
    async def ask(address: str) -> Any:
        async with over_http(address, Authorization="Bearer two") as session:
            return await session.call_tool("ask", {"question": QUESTION})

    options = ["--http", "--port", "0", "--host", "0.0.0.0"]
    with start([*command, *options], tmp_path, {"RAGQA_API_KEYS": "one,two"}) as running:
        assert running.post("/mcp", INITIALIZE).status_code == 401
        assert asyncio.run(ask(running.address)).structuredContent["text"]
        running.process.terminate()
        assert running.process.wait(60) == TERMINATED
