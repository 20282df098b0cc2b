"""Between the crawler and a wiki: proxies, passwords, redirects, compressed replies, odd headers."""

import base64
import gzip
import json
import logging
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from crawls import crawl_into
from wiki import Reply, Wiki, relay, serve, skip_waits

from ragqa.cli import main
from ragqa.errors import CrawlError, InputError
from ragqa.records import Page
from ragqa.storage.json_lines import read_json_lines
from ragqa.wiki.connection import LARGEST_REPLY, find_proxy, may_follow
from ragqa.wiki.outcomes import CrawlReport

SECRET = "s3cret: @/#ü"  # of a user "an na"
URL_SECRET = "an%20na:s3cret%3A%20%40%2F%23%C3%BC"
BASIC = "Basic " + base64.b64encode(f"an na:{SECRET}".encode()).decode()


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    return skip_waits(monkeypatch)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "pages.jsonl"


def run(out: Path, api_url: str, title: str = "C++", **options: Any) -> CrawlReport:
    return crawl_into(out, contact="a@b.example", titles=[title], api_url=api_url, **options)


def text_of(out: Path) -> str:
    (page,) = read_json_lines(out, Page)
    return page.text


def changed(
    wiki: Wiki, change: Callable[[bytes], tuple[dict[str, str], bytes]]
) -> Callable[[str, object], Reply | None]:
    def reply(path: str, _: object) -> Reply | None:
        own = relay(wiki, path)
        return own and (200, *change(own[2]))

    return reply


# replies


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(
    "header", ["Server", "X-Note", "Set-Cookie", "Content-Type", "Cache-Control", "Location", "Date"]
)
def test_headers_that_are_not_ascii_change_nothing(wiki: Wiki, out: Path, header: str, cached: bool) -> None:
    cache = out.with_name("replies.db") if cached else None
    with serve(changed(wiki, lambda body: ({header: "naïve"}, body))) as url:
        assert run(out, url, cache=cache).titles("fetched") == ("C++",)


def deflated(body: bytes) -> bytes:
    return zlib.compress(body)


BOMB = gzip.compress(gzip.compress(bytes(1 << 30), 9), 9)  # a gigabyte in 3 KB


@pytest.mark.parametrize(
    ("encoding", "body", "reason"),
    [
        ("gzip", gzip.compress(bytes(LARGEST_REPLY + 1)), f"the answer has more than {LARGEST_REPLY:,} bytes"),
        ("gzip, gzip", BOMB, "the answer is compressed with 'gzip, gzip'; only gzip was requested"),
        ("br", b"\x81\xff\xff\xff", "the answer is compressed with 'br'"),
        ("zstd", b"\x28\xb5\x2f\xfd", "the answer is compressed with 'zstd'"),
        ("deflate", deflated(b"{}"), "the answer is compressed with 'deflate'"),
        ("gzip", gzip.compress(b"{}")[:-4], "the answer is cut short"),
        ("gzip", b"{}", "the answer is damaged"),
        ("identity", bytes(LARGEST_REPLY + 1), "the answer has more than"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 12 else "",
)
def test_replies_that_would_fill_the_memory_are_refused(
    out: Path, encoding: str, body: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("httpx unpacks without a limit")

    for name in ("GZipDecoder", "BrotliDecoder", "ZStandardDecoder", "DeflateDecoder"):
        monkeypatch.setattr(f"httpx._decoders.{name}.decode", refuse)
    with (
        serve(lambda *_: (200, {"Content-Encoding": encoding}, body)) as url,
        pytest.raises(CrawlError, match=f"api.php: {reason}"),
    ):
        run(out, url)


def test_gzip_alone_is_asked_for_and_read(wiki: Wiki, out: Path) -> None:
    asked: list[str] = []

    def reply(path: str, headers: Mapping[str, str]) -> Reply | None:
        asked.append(headers["Accept-Encoding"])
        own = relay(wiki, path)
        return own and (200, {"Content-Encoding": "gzip"}, gzip.compress(own[2]))

    with serve(reply) as url:
        run(out, url, categories=["Networks"])
    assert set(asked) == {"gzip"}
    assert len(asked) == 3


def test_json_that_is_too_deep_is_no_answer(out: Path) -> None:
    deep = b'{"query": ' + b"[" * 200_000
    with serve(lambda *_: (200, {}, deep)) as url, pytest.raises(CrawlError, match="incomplete reply|not JSON"):
        run(out, url)


# passwords


@pytest.fixture
def guarded(wiki: Wiki) -> Iterator[tuple[str, list[str]]]:
    """A wiki behind Basic authentication that redirects once, and the requested paths."""
    asked: list[str] = []

    def reply(path: str, headers: Mapping[str, str]) -> Reply | None:
        asked.append(path)
        if headers.get("Authorization") != BASIC:
            return 401, {"WWW-Authenticate": "Basic"}, b""
        if path.startswith("/w/"):
            return 301, {"Location": path.replace("/w/", "/wiki/")}, b""
        return relay(wiki, path)

    with serve(reply) as url:
        yield url, asked


def test_a_password_in_the_address_is_sent_and_stands_nowhere(
    guarded: tuple[str, list[str]], out: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    url = guarded[0].replace("http://", f"http://{URL_SECRET}@")
    caplog.set_level(logging.DEBUG)
    cache = out.with_name("replies.db")
    options = ["crawl", "--contact", "a@b.example", "--out", str(out), "--cache", str(cache), "--title", "AC/DC"]
    assert main([*options, "--title", "Nobody", "--title", "a|b", "--api-url", url]) == 1
    assert main([*options, "--title", "C++", "--api-url", url.replace("%C3%BC", "x")]) == 1
    told = "".join([*capsys.readouterr(), caplog.text, *map(str, caplog.records)])
    assert "HTTP 401, the server asks for a user and password" in told
    files = b"".join(path.read_bytes() for path in out.parent.iterdir())
    for secret in (SECRET, "s3cret", URL_SECRET, BASIC, BASIC.split()[1]):
        assert secret not in told
        assert secret.encode() not in files
    assert b"AC/DC" in files


@pytest.mark.parametrize(
    "api_url",
    ["http://u:s3@cret/w@h.example/", "http://u:s3cret#@h/", "http://u:s3cret/@h/", "ftp://u:s3cret@h/", "u:s3cret@h"],
)
def test_an_address_that_cannot_be_used_is_told_without_its_password(out: Path, api_url: str) -> None:
    with pytest.raises(InputError, match="api_url") as caught:
        run(out, api_url)
    assert "s3" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_server_that_is_not_there_is_told_without_the_password(out: Path) -> None:
    with serve(lambda *_: None) as url:
        pass
    with pytest.raises(CrawlError, match=r"http://127\.0\.0\.1:\d+/w/api\.php: no connection: .*refused") as caught:
        run(out, url.replace("http://", f"http://{URL_SECRET}@"))
    assert "s3cret" not in str(caught.value)


# redirects


def test_a_redirect_on_the_same_host_is_followed_and_remembered(guarded: tuple[str, list[str]], out: Path) -> None:
    url, asked = guarded
    run(out, url.replace("http://", f"http://{URL_SECRET}@"), categories=["Networks"])
    assert [path.partition("?")[0] for path in asked] == ["/w/api.php", *["/wiki/api.php"] * 3]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("target", "named"),
    [
        ("https://other.example/w/api.php?titles=x", "https://other.example/w/api.php"),
        ("//user:s3cret@other.example/login#x", "http://other.example/login"),
        ("http://localhost:9/w/api.php", "http://localhost:9/w/api.php"),
    ],
)
def test_a_redirect_to_elsewhere_is_named_and_not_followed(out: Path, status: int, target: str, named: str) -> None:
    with (
        serve(lambda *_: (status, {"Location": target}, b"")) as url,
        pytest.raises(
            CrawlError, match=f"api.php: HTTP {status}, it has moved to {named}; is that the --api-url"
        ) as caught,
    ):
        run(out, url)
    assert "s3cret" not in str(caught.value)


def test_redirects_in_a_circle_end(out: Path) -> None:
    asked: list[str] = []

    def reply(path: str, _: object) -> Reply:
        asked.append(path)
        return 302, {"Location": path}, b""

    with serve(reply) as url, pytest.raises(CrawlError, match=r"HTTP 302, it has moved to http://127"):
        run(out, url)
    assert len(asked) == 6


@pytest.mark.parametrize(
    ("url", "target", "follows"),
    [
        ("http://a.example/x", "http://a.example/y?z", True),
        ("http://a.example/x", "https://a.example/x", True),
        ("http://a.example:8080/x", "https://a.example/x", True),
        ("https://a.example/x", "http://a.example/x", False),
        ("http://a.example/x", "http://b.example/x", False),
        ("http://a.example/x", "http://a.example:81/x", False),
        ("http://a.example/x", "http://a.example.b.example/x", False),
        ("http://a.example/x", "http://u:p@a.example/x", False),
        ("http://a.example/x", "ftp://a.example/x", False),
    ],
)
def test_redirects_stay_on_the_host_and_never_become_less_safe(url: str, target: str, follows: bool) -> None:
    assert may_follow(httpx.URL(url), httpx.URL(target)) is follows
    assert not may_follow(httpx.URL(url), httpx.URL(target), "POST")


# proxies


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment_is_used(
    wiki: Wiki, out: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str | None]] = []

    def reply(path: str, headers: Mapping[str, str]) -> Reply | None:
        seen.append((path.partition("?")[0], headers.get("Proxy-Authorization")))
        return relay(wiki, path)

    with serve(reply) as url:
        monkeypatch.setenv(variable, url.replace("http://", f"http://{URL_SECRET}@").removesuffix("/w/api.php"))
        run(out, "http://wiki.example/w/api.php")
        assert set(seen) == {("http://wiki.example/w/api.php", BASIC)}
        seen.clear()
        run(out.with_name("local"), wiki.api_url)  # without a proxy
        monkeypatch.setenv("NO_PROXY", ".example")
        with pytest.raises(CrawlError, match=r"^C\+\+.* http://wiki\.example/w/api\.php: no connection: "):
            run(out.with_name("direct"), "http://wiki.example/w/api.php")
    assert seen == []


def test_a_proxy_is_asked_to_connect_to_https(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def reply(path: str, _: object) -> Reply:
        seen.append(path)
        return 502, {}, b""

    with serve(reply) as url:
        monkeypatch.setenv("HTTPS_PROXY", url.removesuffix("/w/api.php"))
        with pytest.raises(CrawlError, match=r"https://wiki\.example/w/api\.php: no connection: 502"):
            run(out, "https://wiki.example/w/api.php")
    assert set(seen) == {"wiki.example:443"}


@pytest.mark.parametrize(
    ("proxy", "reason"),
    [
        ("socks5h://u:s3cret@127.0.0.1:9", "names a SOCKS proxy, which needs one more package: pip install socksio"),
        ("gopher://u:s3cret@127.0.0.1:9", "is not the URL of a proxy, such as http://proxy.example.org:3128"),
        ("http://u:s3cret:9:9", "is not the URL of a proxy"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_told_in_a_line(
    out: Path, proxy: str, reason: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", proxy)
    options = ["crawl", "--contact", "a@b.example", "--title", "C", "--out", str(out)]
    assert main([*options, "--api-url", "http://wiki.example/w/api.php"]) == 1
    said = capsys.readouterr().err
    assert f"HTTP_PROXY or ALL_PROXY {reason}" in said
    assert said.count("\n") == 1
    assert "s3cret" not in said


@pytest.mark.parametrize(
    ("no_proxy", "url", "proxy"),
    [
        ("", "http://wiki.example/", "http://proxy.example:1"),
        ("", "https://wiki.example/", "http://other.example:2"),
        ("wiki.example", "http://wiki.example/", None),
        ("wiki.example", "http://a.wiki.example/", None),
        (".example", "http://wiki.example/", None),
        ("wiki.example:8080", "http://wiki.example/", "http://proxy.example:1"),
        ("wiki.example:8080", "http://wiki.example:8080/", None),
        ("10.0.0.7", "http://10.0.0.7/", None),
        ("*", "http://wiki.example/", None),
        ("", "http://localhost/", None),
        ("", "http://[::1]/", None),
    ],
)
def test_which_proxy_is_used(no_proxy: str, url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "proxy.example:1")
    monkeypatch.setenv("https_proxy", "http://other.example:2")
    monkeypatch.setenv("no_proxy", no_proxy)
    assert find_proxy(httpx.URL(url)) == proxy


def test_a_reply_that_is_an_object_alone_is_no_mediawikis(out: Path) -> None:
    with (
        serve(lambda *_: (200, {}, json.dumps({"login": {}}).encode())) as url,
        pytest.raises(CrawlError, match="MediaWiki"),
    ):
        run(out, url)
