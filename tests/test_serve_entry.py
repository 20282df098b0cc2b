"""What every request passes first: sender or key, size, id; what is counted and logged. Errors have the format of their API."""

import http.client
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

pytest.importorskip("prometheus_client", reason="pip install prometheus-client")

from serve_server import DOCUMENTS, SLOW_S, Running, running

from ragqa.errors import InputError
from ragqa.serve import ServeConfig, read_keys
from ragqa.serve.keys import has_key
from ragqa.serve.sizes import BODY_BYTES, MOST_DOCUMENT_CHARS, MOST_QUERY_CHARS

KEYS = ("first-key", "second-key")
RANK = {"query": "why?", "documents": DOCUMENTS}
# of each API, a path and where the message of an error stands
SHAPES: dict[str, tuple[str, ...]] = {
    "/v2/rerank": ("message",),
    "/v1/rerank": ("detail",),
    "/rerank": ("error",),
    "/embed": ("error",),
    "/v1/embeddings": ("error", "message"),
    "/v1/ask": ("error", "message"),
    "/v1/responses": ("error", "message"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("open"), max_documents=5) as server:
        yield server


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with keys, on all addresses."""
    with running(tmp_path_factory.mktemp("locked"), keys=KEYS, host="0.0.0.0") as server:
        yield server


def message_of(response: httpx.Response, path: str) -> str:
    found: Any = response.json()
    for name in SHAPES[path]:
        found = found[name]
    assert isinstance(found, str)
    assert "\n" not in found
    return found


@pytest.mark.parametrize("path", SHAPES)
def test_errors_have_the_format_of_their_api(server: Running, path: str) -> None:
    invalid = server.post(path, {"query": 7, "documents": "x", "question": 7})
    assert invalid.status_code == 422
    assert message_of(invalid, path)
    broken = server.post_bytes(path, b'{"query"')
    assert broken.status_code == 422
    assert "JSON" in message_of(broken, path)
    deep = server.post_bytes(path, b"[" * 50)
    assert (deep.status_code, "levels deep" in message_of(deep, path)) == (413, True)
    assert server.get(path).status_code == 405
    assert message_of(server.get(path), path)


def test_unknown_paths_are_not_found(server: Running) -> None:
    assert server.get("/v3/rerank").json() == {
        "error": {
            "message": "GET /v3/rerank: Not Found.",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }
    }


@pytest.mark.parametrize(
    ("changed", "status", "reason"),
    [
        ({"documents": ["x"] * 6}, 413, "documents holds 6 texts; at most 5 are allowed."),
        ({"documents": ["x" * (MOST_DOCUMENT_CHARS + 1)]}, 413, "documents[0] has 100,001 characters"),
        ({"query": "x" * (MOST_QUERY_CHARS + 1)}, 413, "query has 8,001 characters; at most 8,000 are allowed."),
        ({"query": " "}, 422, "query is empty."),
        ({"documents": []}, 422, "documents: List should have at least 1 item"),
        ({"documents": ["fine", 7]}, 422, "documents.1"),
        ({"top_n": -1}, 422, "top_n: Input should be greater than or equal to"),
    ],
)
@pytest.mark.parametrize("path", ["/v2/rerank", "/v1/rerank"])
def test_requests_that_ask_too_much(server: Running, path: str, changed: Any, status: int, reason: str) -> None:
    refused = server.post(path, RANK | changed)
    assert (refused.status_code, message_of(refused, path).startswith(reason)) == (status, True), refused.text


def test_half_a_surrogate_pair_is_refused(server: Running) -> None:
    for body in (b'{"query": "x", "documents": ["\\ud800"]}', b'{"query": "\\ud800", "documents": ["x"]}'):
        refused = server.post_bytes("/v2/rerank", body)
        assert (refused.status_code, "surrogate pair" in refused.json()["message"]) == (422, True)


def test_a_large_body_is_refused_before_it_is_read(server: Running) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=30)
    connection.putrequest("POST", "/v2/rerank")
    connection.putheader("Content-Length", str(BODY_BYTES + 1))
    connection.endheaders()
    response = connection.getresponse()
    assert (response.status, b"at most 8,388,608 bytes" in response.read()) == (413, True)
    connection.close()


def test_what_fails_is_told_in_one_line_and_logged_with_the_id(server: Running) -> None:
    for path in ("/v2/rerank", "/v1/rerank"):
        failed = server.post(path, RANK | {"query": "broken"}, **{"X-Request-ID": f"failed{path}".replace("/", "-")})
        assert failed.status_code == 500
        assert failed.headers["x-request-id"] in message_of(failed, path)
        assert "first" not in failed.text
    (line,) = (line for line in server.lines() if line.get("request_id") == "failed-v2-rerank" and "traceback" in line)
    assert "ValueError: first" in line["traceback"]


def test_the_id_of_a_request_is_sent_back(server: Running) -> None:
    assert server.get("/health", **{"X-Request-ID": "a.b-c:1"}).headers["x-request-id"] == "a.b-c:1"
    for id_ in ("with space", "x" * 129):
        assert re.fullmatch("[0-9a-f]{32}", server.get("/health", **{"X-Request-ID": id_}).headers["x-request-id"])
    assert server.get("/nothing").headers["x-request-id"]


def test_pages_of_other_sites_cannot_use_a_server_without_keys(server: Running) -> None:
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        refused = server.post("/v2/rerank", RANK, **headers)
        assert refused.status_code == 403
        assert refused.json()["message"]
    allowed = server.post("/v2/rerank", RANK)
    assert allowed.status_code == 200
    assert not [name for name in allowed.headers if name.startswith("access-control")]


def test_every_request_needs_a_key(locked: Running) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer"}, {"Authorization": "first-ke"}):
        for path in ("/v2/rerank", "/v1/rerank"):
            refused = locked.post(path, RANK, **headers)
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
            assert "Authorization: Bearer KEY" in message_of(refused, path)
    for path in ("/metrics", "/openapi.json", "/v1/models"):
        assert locked.get(path).status_code == 401
    for path in ("/health", "/ready"):
        assert locked.get(path).status_code == 200
    for key in ("Bearer first-key", "bearer second-key", "second-key"):
        assert locked.post("/v2/rerank", RANK, Authorization=key, Host="any.example").status_code == 200


def test_guessing_keys_is_slowed_down(tmp_path: Path) -> None:
    with running(tmp_path, keys=KEYS) as server:
        statuses = [server.get("/v1/models", Authorization="Bearer wrong") for _ in range(60)]
        assert {response.status_code for response in statuses} == {401, 429}
        assert int(statuses[-1].headers["retry-after"]) >= 1
        assert server.get("/v1/models", Authorization="Bearer first-key").status_code == 200


def test_a_key_is_compared_whole() -> None:
    assert has_key(["Bearer first-key"], KEYS)
    assert not has_key(["Bearer first-key", "Bearer first-key"], KEYS)
    assert not has_key([], KEYS)
    assert not has_key(["Bearer é"], KEYS)
    assert not has_key(["Bearer "], KEYS)


def test_keys_come_from_a_list_or_a_file(tmp_path: Path) -> None:
    assert read_keys(" a, b ,,c\n") == ("a", "b", "c")
    assert read_keys("") == ()
    path = tmp_path / "keys.txt"
    path.write_text("a\nb\n", encoding="utf8")
    assert read_keys(f"@{path}") == ("a", "b")
    with pytest.raises(InputError, match="key 2 of RAGQA_API_KEYS") as caught:
        read_keys("a,bé")
    assert "bé" not in str(caught.value)


def test_other_machines_need_a_key_or_leave() -> None:
    with pytest.raises(InputError, match="other machines can reach the server on 0.0.0.0: set RAGQA_API_KEYS, or give"):
        ServeConfig("0.0.0.0")
    with pytest.raises(InputError, match="on api.example.org: set RAGQA_API_KEYS"):
        ServeConfig(names=("api.example.org",))
    with pytest.raises(InputError, match="either RAGQA_API_KEYS or --no-auth, not both"):
        ServeConfig(keys=("a",), open_to_all=True)
    with pytest.raises(InputError, match="workers is 0; it must be above 0"):
        ServeConfig(workers=0)
    assert ServeConfig("0.0.0.0", keys=("a",))
    assert ServeConfig("0.0.0.0", open_to_all=True)


def test_a_full_queue_refuses_at_once_and_recovers(tmp_path: Path) -> None:
    with running(tmp_path, max_requests=2) as server, ThreadPoolExecutor(8) as threads:
        begin = threading.Barrier(6)

        def ask(_: int) -> httpx.Response:
            begin.wait()
            return server.post("/v2/rerank", {"query": "slow", "documents": ["x"]})

        answers = list(threads.map(ask, range(6)))
        assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429, 429, 429]
        busy = next(answer for answer in answers if answer.status_code == 429)
        assert busy.headers["retry-after"] == "1"
        assert busy.json()["message"] == "The server is busy with 2 requests; try again."
        assert busy.elapsed.total_seconds() < SLOW_S
        assert server.post("/v2/rerank", RANK).status_code == 200


def test_a_busy_server_is_alive_and_not_ready(tmp_path: Path) -> None:
    with running(tmp_path, max_requests=1) as server, ThreadPoolExecutor(1) as threads:
        assert server.get("/ready").json() == {"status": "ready"}
        asked = threads.submit(server.post, "/v2/rerank", {"query": "slow", "documents": ["x", "y", "z"]})
        seen = set()
        while not asked.done():
            seen.add(server.get("/ready").status_code)
            assert server.get("/health").status_code == 200
        assert 503 in seen


def test_what_takes_too_long_is_given_up(tmp_path: Path) -> None:
    with running(tmp_path, timeout_s=SLOW_S / 2) as server:
        late = server.post("/v1/rerank", {"query": "slow", "documents": ["x"] * 3})
        assert (late.status_code, message_of(late, "/v1/rerank")) == (
            504,
            "The request took too long; send fewer or shorter texts.",
        )
        assert late.elapsed.total_seconds() < 3 * SLOW_S


def test_requests_are_counted_and_logged_without_their_texts(server: Running) -> None:
    secret = "nobody may read this"
    asked = {"query": secret, "documents": [secret]}
    assert server.post("/v2/rerank", asked, **{"X-Request-ID": "logged", "Authorization": "Bearer hush"}).is_success
    numbers = server.get("/metrics").text
    assert re.search(r'^ragqa_requests_total\{path="/v2/rerank",status="200"\} \d', numbers, re.MULTILINE)
    assert re.search(r'^ragqa_run_texts_count\{model="reranker"\} \d', numbers, re.MULTILINE)
    assert 'path="/nope' not in numbers
    (line,) = (line for line in server.lines() if line.get("request_id") == "logged")
    assert (line["method"], line["path"], line["status"], line["level"]) == ("POST", "/v2/rerank", 200, "info")
    assert line["duration_ms"] > 0
    everything = server.log.read_text(encoding="utf8") + numbers
    assert secret not in everything
    assert "hush" not in everything
