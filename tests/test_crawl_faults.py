"""A wiki that fails in every way at any request: the page is right, after a retry, or it is failed."""

import gzip
import json
import random
import socket
import struct
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from crawls import crawl_into
from wiki import Behaviour, Reply, Wiki, relay_unchanging, serve, skip_waits

from ragqa.cli import main
from ragqa.errors import CrawlError, InputError
from ragqa.records import Page
from ragqa.storage.json_lines import read_json_lines
from ragqa.wiki.outcomes import CrawlReport, Outcome

SEED = 42
TITLES = ["AC/DC", "Downhill walk", "Nobody", "Stub", "Électricité"]
Answer = Reply | Behaviour | None


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    noted = skip_waits(monkeypatch)
    monkeypatch.setattr("ragqa.wiki.retries.TIMEOUT_S", 0.5)
    monkeypatch.setattr("ragqa.wiki.retries.DEADLINE_S", 1.0)
    monkeypatch.setattr("ragqa.wiki.listing._MEMBERS_AT_ONCE", 14)  # 2 at once in the second listing
    return noted


def status(code: int, body: bytes = b"", **headers: str) -> Callable[[Reply], Answer]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: (code, named, body)


def error(code: str) -> Callable[[Reply], Answer]:
    return status(200, json.dumps({"error": {"code": code, "info": "later"}}).encode())


def reset(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def hang(_: BaseHTTPRequestHandler) -> None:
    time.sleep(0.8)


def cut(reply: Reply) -> Answer:
    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(reply[2])))
        handler.end_headers()
        handler.wfile.write(reply[2][: len(reply[2]) // 2])

    return behave


def drip(reply: Reply) -> Answer:
    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(reply[2])))
        handler.end_headers()
        try:
            for byte in reply[2]:
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
                time.sleep(0.05)
        except OSError:  # the client has hung up
            pass

    return behave


def drip_headers(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    try:
        for number in range(40):
            handler.wfile.write(f"X-{number}: x\r\n".encode())
            handler.wfile.flush()
            time.sleep(0.05)
    except OSError:
        pass


def changed(change: Callable[[dict[str, Any]], object]) -> Callable[[Reply], Answer]:
    """Return the wiki's reply with a change in its query."""

    def answer(reply: Reply) -> Answer:
        told = json.loads(reply[2])
        change(told)
        return 200, reply[1], json.dumps(told).encode()

    return answer


def each_page(change: Callable[[dict[str, Any]], object]) -> Callable[[Reply], Answer]:
    return changed(lambda told: [change(page) for page in told["query"].get("pages", {}).values()])


def older(page: dict[str, Any]) -> None:
    for told in page.get("revisions", []):
        told["revid"] -= 1


PASSING: dict[str, Callable[[Reply], Answer]] = {
    "429 with seconds": status(429, Retry_After="7"),
    "503 with a date": status(
        503, Retry_After=format_datetime(datetime.now(timezone.utc) + timedelta(hours=9), usegmt=True)
    ),
    "500": status(500, b"<html>Oops</html>"),
    "502": status(502),
    "504": status(504),
    "maxlag": error("maxlag"),
    "ratelimited": error("ratelimited"),
    "readonly": error("readonly"),
    "an internal error": error("internal_api_error_DBQueryError"),
    "no answer": lambda _: None,
    "a reset": lambda _: reset,
    "a time-out": lambda _: hang,
    "a cut": cut,
    "a drip": drip,
    "a drip of headers": lambda _: drip_headers,
    "HTML": status(200, b"<!DOCTYPE html><title>Captive portal</title>"),
    "nothing": status(200),
    "half of the JSON": lambda reply: (200, reply[1], reply[2][: len(reply[2]) // 2]),
    "broken gzip": lambda reply: (200, {"Content-Encoding": "gzip"}, gzip.compress(reply[2])[:-9] + b"x" * 9),
    "a list": status(200, b"[]"),
    "no query": status(200, b'{"batchcomplete": ""}'),
    "an empty query": status(200, b'{"query": {}}'),
    "no pages": changed(lambda told: told["query"].update(pages={})),
    "pages without titles": each_page(lambda page: page.pop("title")),
    "an older revision": each_page(older),
    "no revisions": each_page(lambda page: page.pop("revisions", None)),
    "no text": each_page(lambda page: page.pop("extract", None)),
}
LIES: dict[str, Callable[[Reply], Answer]] = {
    "a page is missing": each_page(lambda page: page.update(missing="")),
    "a page is empty": each_page(lambda page: page.update({"extract": ""} if "extract" in page else {})),
    "the list is lost": changed(lambda told: told.pop("continue", None)),
    "the list is empty": changed(lambda told: told["query"].update({"categorymembers": []})),
}


def run(out: Path, url: str) -> CrawlReport:
    return crawl_into(
        out, contact="a@b.example", api_url=url, titles=TITLES, categories=["Learning"], depth=3, progress=False
    )


class Proxy:
    """The wiki with faults at some requests, counted from 0."""

    def __init__(self, wiki: Wiki, faults: Mapping[int, Callable[[Reply], Answer]]) -> None:
        self.wiki, self.faults, self.count = wiki, faults, 0

    def reply(self, path: str, _: object) -> Answer:
        fault = self.faults.get(self.count)
        self.count += 1
        own = relay_unchanging(self.wiki, path)
        assert own is not None
        return fault(own) if fault else own


@pytest.fixture(scope="module")
def whole(wiki: Wiki, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, CrawlReport, int]:
    """What a crawl without faults writes and reports, and how many requests it sends."""
    out, proxy = tmp_path_factory.mktemp("whole") / "pages.jsonl", Proxy(wiki, {})
    with serve(proxy.reply) as url:
        report = run(out, url)
    assert (report.titles("missing"), report.titles("empty")) == (("Nobody",), ("Stub",))
    return out.read_bytes(), report, proxy.count


@pytest.mark.parametrize("where", ["first", "middle", "last"])
@pytest.mark.parametrize("name", PASSING)
def test_what_passes_changes_nothing(
    name: str, where: str, wiki: Wiki, tmp_path: Path, whole: tuple[bytes, CrawlReport, int]
) -> None:
    data, report, requests = whole
    at = {"first": 0, "middle": requests // 2, "last": requests - 1}[where]
    with serve(Proxy(wiki, {at: PASSING[name]}).reply) as url:
        assert run(tmp_path / "pages.jsonl", url) == report
    assert (tmp_path / "pages.jsonl").read_bytes() == data


@pytest.mark.parametrize("name", LIES)
def test_a_lie_at_any_second_request_gives_no_wrong_page_and_loses_none_in_silence(
    name: str, wiki: Wiki, tmp_path: Path, whole: tuple[bytes, CrawlReport, int]
) -> None:
    data, report, requests = whole
    (tmp_path / "whole.jsonl").write_bytes(data)
    pages = set(read_json_lines(tmp_path / "whole.jsonl", Page))
    for at in range(SEED % 2, requests, 2):
        out = tmp_path / f"{at}.jsonl"
        with serve(Proxy(wiki, {at: LIES[name]}).reply) as url:
            try:
                told = run(out, url)
            except CrawlError as found:
                assert "the wiki lists" in str(found)
                continue
        got = set(read_json_lines(out, Page))
        assert got <= pages
        assert len(pages - got) <= len(told.failed)
        assert all("the wiki says that it is" in reason for reason in told.failed)
        assert set(told.titles("missing")) <= set(report.titles("missing"))
        with serve(Proxy(wiki, {}).reply) as url:
            assert not run(out, url).failed
        assert set(read_json_lines(out, Page)) == pages


@pytest.mark.parametrize("seed", range(SEED, SEED + 8))
def test_any_faults_together_change_nothing(
    seed: int, wiki: Wiki, tmp_path: Path, whole: tuple[bytes, CrawlReport, int]
) -> None:
    rng = random.Random(seed)
    faults: dict[int, Callable[[Reply], Answer]] = {}
    for at in range(0, 3 * whole[2], 4):  # never four in a row, which would make a page fail
        for number in rng.sample(range(3), rng.randrange(3)):
            faults[at + number] = rng.choice(list(PASSING.values()))
    with serve(Proxy(wiki, faults).reply) as url:
        assert run(tmp_path / "pages.jsonl", url) == whole[1], f"seed {seed}"
    assert (tmp_path / "pages.jsonl").read_bytes() == whole[0], f"seed {seed}"


def test_waits_as_long_as_the_server_says_but_not_for_ever(wiki: Wiki, tmp_path: Path, waits: list[int]) -> None:
    faults = {0: PASSING["429 with seconds"], 1: PASSING["503 with a date"], 2: status(503, Retry_After="soon")}
    with serve(Proxy(wiki, faults).reply) as url:
        crawl_into(tmp_path / "p", contact="a@b.example", api_url=url, titles=["C++"])
        assert waits == [7, 120, 4]
        crawl_into(tmp_path / "q", contact="a@b.example", api_url=url, titles=["C++"], longest_wait_s=3)


def test_a_page_that_fails_is_named_and_the_others_come(wiki: Wiki, tmp_path: Path) -> None:
    def reply(path: str, _: object) -> Answer:
        return (500, {}, b"") if "AC%2FDC" in path else relay_unchanging(wiki, path)

    with serve(reply) as url:
        report = run(tmp_path / "pages.jsonl", url)
        (failed,) = report.failed
        assert failed.startswith("AC/DC: ")
        assert failed.endswith("HTTP 500")
    with serve(Proxy(wiki, {}).reply) as url:
        again = crawl_into(tmp_path / "pages.jsonl", contact="a@b.example", api_url=url, retry_failed=True)
    assert [(outcome.title, outcome.became) for outcome in again.outcomes] == [("AC/DC", "fetched")]
    ledger = list(read_json_lines(tmp_path / "pages.jsonl.titles", Outcome))
    assert [outcome.title for outcome in ledger] == [outcome.title for outcome in report.outcomes]
    assert not [outcome for outcome in ledger if outcome.became == "failed"]
    with pytest.raises(InputError, match=r"pages\.jsonl\.titles names nothing that failed"):
        crawl_into(tmp_path / "pages.jsonl", contact="a@b.example", retry_failed=True)


def test_when_many_fail_in_a_row_the_crawl_ends(wiki: Wiki, tmp_path: Path) -> None:
    titles = [f"Page {number}" for number in range(9)]
    with (
        serve(lambda path, _: (500, {}, b"")) as url,
        pytest.raises(CrawlError, match=r"Page 4, the 5\. page in a row to fail: .*HTTP 500"),
    ):
        crawl_into(tmp_path / "p", contact="a@b.example", api_url=url, titles=titles)


def test_the_command_ends_with_1_if_a_page_failed(
    wiki: Wiki, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def reply(path: str, _: object) -> Answer:
        return (500, {}, b"") if "AC%2FDC" in path else relay_unchanging(wiki, path)

    (tmp_path / "titles.txt").write_text("C++\nAC/DC\n")
    arguments = ["crawl", "--titles", str(tmp_path / "titles.txt"), "--contact", "a@b.example", "--max-wait", "1"]
    for failing, expected in ((True, 1), (False, 0)):
        with serve(reply if failing else Proxy(wiki, {}).reply) as url:
            assert main([*arguments, "--api-url", url, "--out", str(tmp_path / "pages.jsonl")]) == expected
    out, err = capsys.readouterr()
    assert "failed: AC/DC: " in err
    assert "1 fetched, 0 kept, 0 folded, 0 missing, 0 empty, 0 skipped, 1 failed" in out
    assert "1 fetched, 1 kept, 0 folded, 0 missing, 0 empty, 0 skipped, 0 failed" in out
