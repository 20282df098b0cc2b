import http.client
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from demo_server import QUESTION, running

from ragqa.demo.gate import BODY_BYTES, LOGIN_BYTES, QUEUED_BYTES, safe_cookie
from ragqa.errors import InputError
from ragqa.serve.limits import MOST_DEPTH, MOST_VISITORS, Allowance, Refused, check_json, visitor_of
from ragqa.serve.origin import Names, read_names

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
READ = [
    "",
    "config",
    "gradio_api/info",
    "gradio_api/queue/data?session_hash=x",
    "gradio_api/call/ask/x",
    "gradio_api/heartbeat/x",
    "gradio_api/file=/etc/passwd",
    "theme.css",
]
SEND = [
    "gradio_api/queue/join",
    "gradio_api/call/v2/ask",
    "gradio_api/run/ask",
    "gradio_api/component_server",
    "gradio_api/upload",
    "gradio_api/mcp/",
    "login",
]


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A demo with a password that a reverse proxy serves under a name and below a path."""
    with running(auth="ada:secret", names="chat.ragqa.test", root_path="/chat") as served:
        yield served


def request(
    address: str, path: str, headers: dict[str, str] | None = None, body: Any = None, method: str | None = None
) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body of a response, whatever headers are sent."""
    place = urlsplit(address)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=30)
    given = {"Host": place.netloc, **(headers or {})}
    try:
        connection.putrequest(method or ("GET" if body is None else "POST"), f"/{path}", skip_host=True)
        for name, value in given.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        stream = "text/event-stream" in response.getheader("Content-Type", "")
        return response.status, response.getheaders(), b"" if stream else response.read()
    finally:
        connection.close()


def memory_mb(process: "subprocess.Popen[str]") -> float:
    with open(f"/proc/{process.pid}/status") as status:  # noqa: PTH123
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


# Names and other sites


@pytest.mark.parametrize(
    "host",
    [
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:0:0:1]",
        "127.0.0.2",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0.0.0.0",
        "[::]",
        "0",
        "localhost.",
        "LocalHost",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example",
        "evil.example:7860",
        "localhost:7860:80",
        "localhost:",
        "localhost:x",
        "localhost:123456",
        "localhost@evil.example",
        "evil.example@localhost",
        "evil.example#localhost",
        "localhost, evil.example",
        "localhost/",
        "[::1",
        "[",
        "",
        "löcalhost",
    ],
)
def test_other_names_are_refused(address: str, host: str) -> None:
    for path in READ[:4]:
        assert request(address, path, {"Host": host})[0] == 403, path
    for path in SEND[-4:]:
        assert request(address, path, {"Host": host, **JSON}, b"{}")[0] == 403, path
    if "," not in host:  # of several proxies the first counts
        assert request(address, "", {"X-Forwarded-Host": host or "."})[0] == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "localhost:7860", "[::1]", "[::1]:1"])
def test_the_loopback_names_are_served(address: str, host: str) -> None:
    assert request(address, "gradio_api/info", {"Host": host})[0] == 200
    assert request(address, "gradio_api/info", {"X-Forwarded-Host": host})[0] == 200


def foreign_origins(address: str) -> list[str]:
    place = urlsplit(address)
    other = (place.port or 0) - 1
    return [
        "null",
        "",
        "http://evil.example",
        f"http://evil.example:{place.port}",
        f"http://127.0.0.1:{other}",
        "http://127.0.0.1",
        f"http://localhost:{place.port}",
        f"http://[::1]:{place.port}",
        f"http://127.0.0.2:{place.port}",
        f"http://127.0.0.1:{place.port}.evil.example",
        f"http://evil@127.0.0.1:{place.port}",
        f"file://127.0.0.1:{place.port}",
        f"http://127.0.0.1:{place.port}, http://evil.example",
    ]


def test_pages_of_other_sites_are_refused(address: str) -> None:
    for origin in foreign_origins(address):
        for path in READ:
            _refuses(*request(address, path, {"Origin": origin}))
            _refuses(
                *request(address, path, {"Origin": origin, "Access-Control-Request-Method": "POST"}, method="OPTIONS")
            )
        for path in SEND:
            _refuses(*request(address, path, {"Origin": origin, **JSON}, b"{}"))


def _refuses(status: int, headers: list[tuple[str, str]], body: bytes) -> None:
    assert status == 403
    assert body == b"Pages of other sites cannot use this server."
    assert not [name for name, _ in headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "[::1]:{port}", "localhost"])
def test_the_page_itself_is_served_without_cors_headers(address: str, host: str) -> None:
    host = host.format(port=urlsplit(address).port)
    for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {}):
        own = {"Host": host, "Origin": f"http://{host}", **headers}
        status, sent, _ = request(address, "gradio_api/info", own)
        assert status == 200
        assert not [name for name, _ in sent if name.lower().startswith("access-control")]
        body = json.dumps({"question": QUESTION}).encode()
        assert request(address, "gradio_api/call/v2/ask", {**own, **JSON}, body)[0] == 200


def test_two_hosts_or_origins_are_refused(address: str) -> None:
    port = urlsplit(address).port
    with socket.create_connection(("127.0.0.1", int(port or 0))) as raw:
        lines = [
            "GET /gradio_api/info HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            f"Origin: http://127.0.0.1:{port}",
            "Origin: http://evil.example",
            "Connection: close",
        ]
        raw.sendall("\r\n".join([*lines, "", ""]).encode())
        assert b" 403 " in raw.recv(100)
    with socket.create_connection(("127.0.0.1", int(port or 0))) as raw:
        raw.sendall(b"GET /gradio_api/info HTTP/1.0\r\n\r\n")
        assert b" 400 " in raw.recv(100)


@pytest.mark.parametrize("site", ["cross-site", "same-site", "whatever"])
def test_what_other_sites_include_is_refused(address: str, site: str) -> None:
    for path in READ:
        for mode, kind in (("no-cors", "script"), ("no-cors", "image"), ("navigate", "iframe"), ("cors", "empty")):
            fetched = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": kind}
            assert request(address, path, fetched)[0] == 403
    visit = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert request(address, "", visit)[0] == 200  # a link to the page
    assert request(address, "?__theme=dark", visit)[0] == 200
    for path in READ[1:]:
        assert request(address, path, visit)[0] == 403
    for path in SEND:
        assert request(address, path, {**visit, **JSON}, b"{}")[0] == 403


def test_there_are_no_web_sockets(address: str) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    for path in ("gradio_api/queue/join", "gradio_api/queue/data", ""):
        assert request(address, path, {**upgrade, "Origin": "http://evil.example"})[0] == 403
        assert request(address, path, upgrade)[0] != 101


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/upload",
        "gradio_api/process_recording",
        "gradio_api/deep_link?session_hash=x",
        "gradio_api/token",
        "gradio_api/proxy=http://127.0.0.1/",
        "gradio_api/stream/x",
        "gradio_api/dev/reload",
        "gradio_api/mcp/schema",
        "gradio_api/../config",
        "monitoring/summary",
        "docs",
    ],
)
def test_routes_that_the_page_does_not_need_are_closed(address: str, path: str) -> None:
    assert request(address, path)[0] == 404
    assert request(address, path, JSON, b"{}")[0] == 404


def test_names_are_read() -> None:
    loopback = {"127.0.0.1", "localhost", "[::1]"}
    assert read_names("127.0.0.1", []) == Names(frozenset(loopback))
    assert read_names("Chat.Example", ["fe80::1", "B.example"]).names == loopback | {
        "chat.example",
        "[fe80::1]",
        "b.example",
    }
    for wrong in ("http://a.example", "a.example:80", "a.example/", "", "a b", "é.example", "*"):
        with pytest.raises(InputError, match="is not a host name"):
            read_names("127.0.0.1", [wrong])


def test_on_all_addresses_the_one_that_was_connected_to_is_a_name() -> None:
    names = read_names("0.0.0.0", ["mine.example"])
    assert names.hold("192.168.1.5", "192.168.1.5")
    assert names.hold("[fd00::5]", "fd00::5")
    assert names.hold("mine.example", "192.168.1.5")
    for name, server in (("192.168.1.6", "192.168.1.5"), ("127.0.0.2", "127.0.0.2"), ("0.0.0.0", "10.0.0.1")):
        assert not names.hold(name, server)
    assert not read_names("127.0.0.1", []).hold("192.168.1.5", "192.168.1.5")


# Behind a password and a proxy


def test_a_proxy_serves_the_page_by_its_name_and_below_its_path(guarded: tuple["subprocess.Popen[str]", str]) -> None:
    proxied = {"X-Forwarded-Host": "chat.ragqa.test", "X-Forwarded-Proto": "https", "X-Forwarded-For": "10.0.0.9"}
    for headers in ({"Host": "chat.ragqa.test", "X-Forwarded-Proto": "https"}, proxied):
        for path in ("", "chat", "chat/", "?x=/chat"):
            status, _, page = request(guarded[1], path, headers)
            assert status == 200
            assert b'"root":"https://chat.ragqa.test/chat"' in page.replace(b" ", b"")
        assert request(guarded[1], "chat/theme.css", headers)[0] == request(guarded[1], "theme.css", headers)[0] == 200
        assert request(guarded[1], "chat/config", headers)[0] == 401
        for origin, status in (("https://chat.ragqa.test", 401), ("http://chat.ragqa.test", 403)):
            assert request(guarded[1], "config", {**headers, "Origin": origin})[0] == status
    assert request(guarded[1], "", {"Host": "ragqa.test"})[0] == 403


def test_a_sibling_of_the_name_is_another_site(guarded: tuple["subprocess.Popen[str]", str]) -> None:
    cookie = sign_in(guarded[1])
    own = {"Host": "chat.ragqa.test", "Cookie": cookie}
    assert request(guarded[1], "config", {**own, "Origin": "http://chat.ragqa.test"})[0] == 200
    for origin in ("http://evil.ragqa.test", "http://ragqa.test", "http://chat.ragqa.test:8080"):
        _refuses(*request(guarded[1], "config", {**own, "Origin": origin}))


def sign_in(address: str, body: bytes = b"username=ada&password=secret") -> str:
    status, headers, sent = request(address, "login", FORM, body)
    assert status == 200, sent
    cookies = [value for name, value in headers if name.lower() == "set-cookie"]
    assert len(cookies) == 2
    for value in cookies:
        attributes = value.lower().split("; ")[1:]
        assert attributes.count("httponly") == attributes.count("samesite=strict") == 1
        assert not [name for name in attributes if name.startswith("samesite") and name != "samesite=strict"]
    return "; ".join(value.partition(";")[0] for value in cookies)


def test_cookies_stay_on_this_site() -> None:
    assert (
        safe_cookie(b"a=1; Path=/; SameSite=none; Secure", False) == b"a=1; Path=/; Secure; HttpOnly; SameSite=Strict"
    )
    assert safe_cookie(b"a=1; HttpOnly; Path=/", True) == b"a=1; Path=/; Secure; HttpOnly; SameSite=Strict"


def test_without_the_password_nothing_is_answered_or_read(guarded: tuple["subprocess.Popen[str]", str]) -> None:
    process, address = guarded
    for path in ("", "theme.css"):
        assert request(address, path)[0] == 200
    for path in READ[1:-2]:
        assert request(address, path)[0] == 401, path
    before, started = memory_mb(process), time.monotonic()
    for path in SEND[:4]:
        assert request(address, path, JSON, b"[" * 30_000_000)[0] == 401
    assert request(address, "login", FORM, b"username=" + b"a" * LOGIN_BYTES)[0] == 413
    assert time.monotonic() - started < 10
    assert memory_mb(process) - before < 20
    forged = "; ".join(f"{part.partition('=')[0]}=x" for part in sign_in(address).split("; "))
    assert request(address, "config", {"Cookie": forged})[0] == 401


def test_attempts_to_sign_in_are_slowed() -> None:
    with running(auth="ada:secret", names="chat.ragqa.test") as (_, address):
        for _ in range(8):
            sign_in(address)  # what succeeds is not counted
        answers = [request(address, "login", FORM, b"username=ada&password=x%d" % number) for number in range(7)]
        assert [status for status, *_ in answers] == [400] * 5 + [429] * 2
        waits = [int(value) for name, value in answers[-1][1] if name.lower() == "retry-after"]
        assert len(waits) == 1
        assert 20 <= waits[0] <= 30
        assert request(address, "login", FORM, b"username=ada&password=secret")[0] == 429
        assert request(address, "", {})[0] == 200
        sign_in_elsewhere = {**FORM, "X-Forwarded-For": "10.0.0.7"}  # as a reverse proxy tells it
        assert request(address, "login", sign_in_elsewhere, b"username=ada&password=secret")[0] == 200


# Sizes


def nested(levels: int) -> bytes:
    return b'{"data": ' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


@pytest.mark.parametrize(
    "body", [nested(MOST_DEPTH), b'{"a": "' + b"[" * 5000 + b'"}', b'["\\"[[[", "\\\\"]', b"", b"1"]
)
def test_json_of_ordinary_depth_passes(body: bytes) -> None:
    check_json(body, 5000)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (nested(MOST_DEPTH + 1), 413),
        (b'"\\""' + b"[" * 50, 413),
        (b'{"":' * 50, 413),
        (b"[]" + b",[]" * 9999, 413),
        (b'""' * 10_001, 413),
        (b"[" + b"1," * 9999, 413),
        ("[[[[".encode("utf-16"), 400),
        (b"\0", 400),
    ],
)
def test_json_that_is_costly_to_parse_is_refused(body: bytes, status: int) -> None:
    with pytest.raises(Refused) as caught:
        check_json(body, 5000)
    assert caught.value.status == status


@pytest.mark.parametrize("piece", [b"[", b'"', b'\\"', b'"\\', b"\\", b'"a', b'{"a":', b"[],", b'""', b" ", b"\xff"])
def test_checking_json_takes_linear_time(piece: bytes) -> None:
    def seconds(size: int) -> float:
        body, started = piece * (size // len(piece)), time.perf_counter()
        with suppress(Refused):
            check_json(body, 5000)
        return time.perf_counter() - started

    quarter = min(seconds(BODY_BYTES // 4) for _ in range(3))
    assert min(seconds(BODY_BYTES) for _ in range(3)) < max(0.3, 10 * quarter)


@pytest.mark.parametrize("chunked", [False, True])
def test_large_requests_cost_little_and_hold_up_nobody(
    served: tuple["subprocess.Popen[str]", str], chunked: bool
) -> None:
    process, address = served
    request(address, "gradio_api/info")
    bodies = [b"[" * 15_000_000 + b"]" * 15_000_000, b'{"data": [' + b"[]," * 300_000 + b"[]]}", nested(400_000)]
    before = memory_mb(process)
    for path in SEND[:4]:
        for body in bodies:
            started = time.monotonic()
            status, _, _ = send_in_pieces(address, path, body) if chunked else request(address, path, JSON, body)
            assert status == 413
            assert time.monotonic() - started < 6
    assert memory_mb(process) - before < 60


def send_in_pieces(address: str, path: str, body: bytes) -> tuple[int, Any, bytes]:
    """Send a body without telling how long it is."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    pieces = (body[start : start + 65536] for start in range(0, len(body), 65536))
    connection.request("POST", f"/{path}", pieces, JSON, encode_chunked=True)
    response = connection.getresponse()
    try:
        return response.status, None, response.read()
    finally:
        connection.close()


def test_a_conversation_of_ordinary_size_is_taken(address: str) -> None:
    filler = [{"text": "word [" * 100, "n": 1} for _ in range(QUEUED_BYTES // 650)]
    body = json.dumps({"data": [QUESTION, 2, ""], "event_data": filler}).encode()
    assert QUEUED_BYTES * 0.9 < len(body) < QUEUED_BYTES
    assert request(address, "gradio_api/call/ask", JSON, body)[0] == 200


def test_forms_and_what_is_no_json_are_refused(address: str) -> None:
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    for path in SEND[:4]:
        assert (
            request(address, path, form, b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--')[0] == 415
        )
        assert request(address, path, FORM, b"a=1")[0] == 415


# Visitors


def test_an_allowance_is_spent_and_comes_back() -> None:
    allowance = Allowance(3, 0.2)
    assert [allowance.take("a") for _ in range(3)] == [0, 0, 0]
    assert 0 < allowance.take("a") <= 0.2
    assert allowance.take("b") == 0
    time.sleep(0.25)
    assert allowance.take("a") == 0
    assert allowance.take("a") > 0
    allowance.give_back("a")
    assert allowance.take("a") == 0


def test_an_allowance_remembers_only_so_many_visitors() -> None:
    allowance = Allowance(1, 60)
    for number in range(2 * MOST_VISITORS):
        assert allowance.take(str(number)) == 0
    assert len(allowance._spent_until) == MOST_VISITORS
    assert allowance.take(str(2 * MOST_VISITORS - 1)) > 0


def test_a_visitor_is_an_address_or_a_network() -> None:
    assert visitor_of("10.0.0.1") == "10.0.0.1"
    assert visitor_of("fd00:1:2:3:4:5:6:7") == visitor_of("fd00:1:2:3::9") != visitor_of("fd00:1:2:4::9")
    assert visitor_of("fe80::1%eth0") == "fe80::/64"
    assert visitor_of("a:b") == "a:b"
    assert visitor_of("") == ""
