"""The page's server with real connections: stalled ones, and others at the same time."""

import socket
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any

import pytest

from ragqa.demo.gate import Gate
from ragqa.demo.server import Server
from ragqa.errors import InputError
from ragqa.serve import bodies, connections
from ragqa.serve.origin import Names
from ragqa.serve.sockets import address_of, bind

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def page(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the length of the body; with a large page for `/assets/`."""
    if scope["type"] == "lifespan":
        return
    if scope["path"] == "/config":
        raise ValueError("first\nsecond")
    size = 0
    if scope["method"] == "POST":
        size = len((await receive())["body"])
    large = scope["path"].startswith("/assets/")
    body = b"x" * 30_000_000 if large else str(size).encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(body)).encode())]}
    )
    for start in range(0, len(body), 65536):
        part = body[start : start + 65536]
        await send({"type": "http.response.body", "body": part, "more_body": start + 65536 < len(body)})


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """A gate around `page` with short limits."""
    monkeypatch.setattr(connections, "HEAD_S", 1.0)
    monkeypatch.setattr(connections, "WRITE_S", 1.0)
    monkeypatch.setattr(bodies, "BODY_S", 1.0)
    listener = bind("127.0.0.1", None)
    server = Server(Gate(page, Names()), listener)
    server.start()
    yield listener.getsockname()
    server.close()


def read(connection: socket.socket) -> tuple[int, bytes]:
    """Status and body of the next response."""
    with HTTPResponse(connection) as response:
        response.begin()
        return response.status, response.read()


def answer(place: tuple[str, int], sent: bytes = HEAD) -> tuple[int, bytes]:
    with socket.create_connection(place, timeout=10) as connection:
        connection.sendall(sent)
        return read(connection)


def seconds_open(connection: socket.socket, drip: bytes = b"") -> float:
    """Return how long the server keeps a connection open that sends `drip` now and then."""
    started = time.monotonic()
    connection.settimeout(0.1)
    while time.monotonic() - started < 15:
        try:
            if connection.recv(65536) == b"":
                break
        except TimeoutError:
            pass
        except OSError:
            break
        try:
            connection.sendall(drip)
        except OSError:
            break
    return time.monotonic() - started


@pytest.mark.parametrize("begun", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "])
def test_headers_that_do_not_come_end_the_connection(place: tuple[str, int], begun: bytes) -> None:
    with socket.create_connection(place) as connection:
        connection.sendall(begun)
        assert 0.5 < seconds_open(connection, b"x" if begun else b"") < 8


def test_a_second_request_must_come_in_time_too(place: tuple[str, int]) -> None:
    with socket.create_connection(place) as connection:
        connection.sendall(HEAD)
        assert read(connection) == (200, b"0")
        assert 0.5 < seconds_open(connection, b"G") < 8


def test_several_requests_on_one_connection_are_answered(place: tuple[str, int]) -> None:
    with socket.create_connection(place, timeout=10) as connection:
        for _ in range(4):
            time.sleep(0.4)
            connection.sendall(HEAD)
            assert read(connection) == (200, b"0")
    with socket.create_connection(place, timeout=10) as connection:
        connection.sendall(HEAD * 3)
        received = b""
        while received.count(b" 200 ") < 3:
            received += connection.recv(4096)


@pytest.mark.parametrize("path", [b"/gradio_api/queue/join", b"/login"])
def test_a_body_that_does_not_come_is_refused(place: tuple[str, int], path: bytes) -> None:
    with socket.create_connection(place, timeout=10) as connection:
        connection.sendall(b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n[")
        started = time.monotonic()
        assert read(connection) == (408, b"The request was not sent within 1 seconds.")
        assert 0.5 < time.monotonic() - started < 8
        assert seconds_open(connection, b"1") < 8  # what is dripped afterwards does not keep it open


def test_a_body_in_pieces_is_read(place: tuple[str, int]) -> None:
    with socket.create_connection(place, timeout=10) as connection:
        connection.sendall(b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n")
        for part in (b"[", b"1", b"]"):
            time.sleep(0.1)
            connection.sendall(part)
        assert read(connection) == (200, b"3")


def test_a_reader_that_does_not_read_is_cut_off(place: tuple[str, int]) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(place)
        connection.sendall(HEAD.replace(b"GET /", b"GET /assets/x"))
        time.sleep(3)
        received = 0
        connection.settimeout(5)
        try:
            while part := connection.recv(1 << 20):
                received += len(part)
        except OSError:
            pass
        assert received < 30_000_000


def test_two_hundred_stalled_connections_hold_up_nobody(place: tuple[str, int]) -> None:
    stalled = [socket.create_connection(place) for _ in range(200)]
    try:
        for number, connection in enumerate(stalled):
            connection.sendall(
                b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n["[:number]
            )
        for _ in range(20):
            started = time.monotonic()
            assert answer(place) == (200, b"0")
            assert time.monotonic() - started < 1
    finally:
        for connection in stalled:
            connection.close()


def test_the_connection_that_waits_longest_makes_room(place: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 60.0)
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 20)
    waiting = [socket.create_connection(place, timeout=10) for _ in range(20)]
    try:
        assert answer(place) == (200, b"0")
        assert seconds_open(waiting[0]) < 5
        waiting[-1].sendall(HEAD)
        assert read(waiting[-1]) == (200, b"0")
    finally:
        for connection in waiting:
            connection.close()


def test_one_visitor_cannot_hold_all_the_memory(place: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_S", 60.0)
    monkeypatch.setattr(bodies, "HELD_BY_ONE", 50_000)
    start = b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40000\r\n\r\n" + b"1" * 30_000
    with socket.create_connection(place, timeout=10) as first:
        first.sendall(start)
        time.sleep(0.5)
        assert answer(place, start) == (503, b"Too many large requests at once; try again.")
        first.sendall(b" " * 10_000)
        assert read(first) == (200, b"40000")
    assert answer(place, start + b" " * 10_000) == (200, b"40000")  # what was held is free again


def test_what_fails_is_one_line_in_the_log(place: tuple[str, int], caplog: pytest.LogCaptureFixture) -> None:
    assert answer(place, HEAD.replace(b"GET /", b"GET /config")) == (500, b"Internal Server Error")
    assert [record.getMessage() for record in caplog.records] == ["GET '/config' failed: first"]
    assert answer(place) == (200, b"0")


@pytest.mark.parametrize(
    ("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "localhost"), ("localhost", "localhost")]
)
def test_the_address_can_be_opened_on_this_machine(host: str, shown: str) -> None:
    with bind(host, None) as listener:
        assert address_of(host, listener) == f"http://{shown}:{listener.getsockname()[1]}/"


def test_a_port_in_use_is_told() -> None:
    with bind("127.0.0.1", None) as listener, pytest.raises(InputError, match="is in use; choose another"):
        bind("127.0.0.1", listener.getsockname()[1])
