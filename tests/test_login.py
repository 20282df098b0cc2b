"""A wiki that only its users can read."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from crawls import crawl_into
from wiki import Reply, Wiki, serve, skip_waits

from ragqa.cli import main
from ragqa.errors import CrawlError, InputError
from ragqa.records import Page
from ragqa.storage.json_lines import read_json_lines
from ragqa.wiki.outcomes import CrawlReport

PASSWORD = "correct horse & battery=staple"
BOT_PASSWORD = "0123456789abcdefghijklmnopqrstuv"


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    monkeypatch.delenv("RAGQA_WIKI_PASSWORD", raising=False)
    return skip_waits(monkeypatch)


@pytest.fixture(scope="module")
def private(wiki: Wiki) -> Iterator[Wiki]:
    with wiki.undone():
        wiki.add_user("Reader", PASSWORD)
        wiki.add_bot_password("Reader", "crawler", BOT_PASSWORD)
        with wiki.set_up("$wgGroupPermissions['*']['read'] = false; $wgMainCacheType = CACHE_DB;"):
            yield wiki


def run(out: Path, wiki: Wiki, **options: Any) -> CrawlReport:
    seeds: dict[str, Any] = {"titles": ["C++"], "categories": ["Networks"]}
    return crawl_into(out, contact="a@b.example", api_url=wiki.api_url, **seeds, **options)


def test_strangers_are_told_how_to_log_in(private: Wiki, tmp_path: Path) -> None:
    with pytest.raises(CrawlError, match=r"readapidenied: .*\(is it a private wiki\? log in with --user\)"):
        run(tmp_path / "pages.jsonl", private)


@pytest.mark.parametrize(("user", "password"), [("Reader", PASSWORD), ("Reader@crawler", BOT_PASSWORD)])
def test_users_and_bots_log_in(private: Wiki, tmp_path: Path, user: str, password: str) -> None:
    out, cache = tmp_path / "pages.jsonl", tmp_path / "replies.db"
    assert run(out, private, user=user, password=password, cache=cache).titles("fetched") == ("C++", "Perceptron")
    assert [page.title for page in read_json_lines(out, Page)] == ["C++", "Perceptron"]
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    with sqlite3.connect(cache) as database:
        files += "".join(database.iterdump()).encode()
    for secret in (password, "lgtoken", "_session=", "logintoken"):
        assert secret.encode() not in files


@pytest.mark.parametrize(
    ("user", "password", "reason"),
    [
        ("Reader", "wrong", "the wiki does not let Reader in: Incorrect username or password"),
        ("Reader@crawler", "wrong", "the wiki does not let Reader@crawler in: Incorrect username or password"),
        ("Nobody", PASSWORD, "the wiki does not let Nobody in: Incorrect username or password"),
    ],
)
def test_a_wrong_password_ends_in_the_wikis_reason(
    private: Wiki, tmp_path: Path, user: str, password: str, reason: str
) -> None:
    with pytest.raises(CrawlError, match=reason) as caught:
        run(tmp_path / "pages.jsonl", private, user=user, password=password)
    assert password not in str(caught.value).replace("wrong password", "")
    assert not [*tmp_path.iterdir()]


def test_the_password_comes_from_the_environment_or_the_terminal(
    private: Wiki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["crawl", "--contact", "a@b.example", "--api-url", private.api_url, "--title", "C++", "--user", "Reader"]
    assert main([*options, "--out", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err == "ragqa: the password of Reader is missing: set RAGQA_WIKI_PASSWORD\n"
    monkeypatch.setenv("RAGQA_WIKI_PASSWORD", PASSWORD)
    assert main([*options, "--out", str(tmp_path / "environment")]) == 0
    monkeypatch.delenv("RAGQA_WIKI_PASSWORD")
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return PASSWORD

    monkeypatch.setattr("getpass.getpass", ask)
    assert main([*options, "--out", str(tmp_path / "terminal")]) == 0
    assert asked == ["Password of Reader: "]


def answering(*answers: Mapping[str, object]) -> Any:
    """Serve a wiki that gives a token and then these answers."""
    left: list[Mapping[str, object]] = [{"query": {"tokens": {"logintoken": "t+\\"}}}, *answers]
    return lambda *_: (200, {}, json.dumps(left.pop(0) if len(left) > 1 else left[0]).encode())


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            {"clientlogin": {"status": "UI", "requests": []}},
            "it asks for more than a password; make a bot password at Special",
        ),
        ({"clientlogin": {"status": "REDIRECT"}}, "it asks for more than a password"),
        (
            {"clientlogin": {"status": "FAIL", "message": "Too\nmany tries"}},
            "the wiki does not let R in: Too many tries",
        ),
        ({"clientlogin": {}}, "the wiki does not let R in: None"),
        ({"clientlogin": []}, "the answer is not a MediaWiki's"),
        ({"query": {}}, "the answer is not a MediaWiki's"),
        ({"error": {"code": "badtoken", "info": "Invalid CSRF token."}}, "badtoken: Invalid CSRF token."),
    ],
)
def test_what_else_may_happen_at_a_login_is_told(tmp_path: Path, answer: Mapping[str, object], reason: str) -> None:
    with serve(answering(answer)) as url, pytest.raises(CrawlError, match=reason):
        crawl_into(tmp_path / "p", contact="a@b.example", api_url=url, titles=["C"], user="R", password="p")


def test_the_password_is_posted_and_each_request_asks_whether_we_are_logged_in(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []

    def reply(path: str, headers: Mapping[str, str]) -> Reply:
        seen.append((path, headers.get("Form", "")))
        if "action=clientlogin" in path:
            return 200, {"Set-Cookie": "session=1"}, b'{"clientlogin": {"status": "PASS"}}'
        if "type=login" in path:
            return 200, {}, b'{"query": {"tokens": {"logintoken": "t"}}}'
        return 200, {}, b'{"error": {"code": "assertuserfailed", "info": "You are no longer logged in"}}'

    with (
        serve(reply) as url,
        pytest.raises(CrawlError, match=r"assertuserfailed.*the wiki has ended the session; run it"),
    ):
        crawl_into(
            tmp_path / "p", contact="a@b.example", api_url=url, titles=["C"], user="R", password="p&w", progress=False
        )
    token, login, *rest = seen
    assert "p%26w" in login[1]
    assert "p%26w" not in "".join(path for path, _ in seen)
    assert token[1] == "" == "".join(form for _, form in rest)
    assert rest
    assert all("assert=user" in path for path, _ in rest)


def test_without_a_password_nothing_is_asked(tmp_path: Path) -> None:
    asked: list[str] = []

    def reply(path: str, _: object) -> Reply:
        asked.append(path)
        return 500, {}, b""

    with serve(reply) as url, pytest.raises(InputError, match="the password of R is missing: set RAGQA_WIKI_PASSWORD"):
        crawl_into(tmp_path / "p", contact="a@b.example", api_url=url, titles=["C"], user="R")
    assert not asked
