import os
import re
import shlex
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from crawls import crawl_into
from exports import TIMESTAMP, export, many, page, revision, write
from hypothesis import given, settings
from hypothesis import strategies as st
from imports import assert_goes_on_where_it_was_killed
from wiki import MEDIAWIKI, Wiki

from ragqa.cli import main
from ragqa.cli.run import _parser
from ragqa.errors import FallbackWarning, InputError, MissingExtraError
from ragqa.records import Page
from ragqa.storage.json_lines import read_json_lines, write_json_lines
from ragqa.text.passages import split
from ragqa.wiki.dump import import_dump
from ragqa.wiki.dump_file import open_dump
from ragqa.wiki.importer import ImportReport
from ragqa.wiki.outcomes import Outcome

LOOPS = ("Round one", "Round two", "Self")  # redirects


def run(dump: Path, out: Path, **options: Any) -> ImportReport:
    return import_dump(dump, out, progress=False, **options)


def pages(out: Path) -> list[Page]:
    return list(read_json_lines(out, Page))


def titles(out: Path) -> list[str]:
    return [page.title for page in pages(out)]


def became(report: ImportReport) -> list[tuple[str, str, str]]:
    return [(outcome.title, outcome.became, outcome.page or outcome.reason) for outcome in report.outcomes]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "pages.jsonl"


# the real MediaWiki


def back_up(wiki: Wiki, *options: str) -> bytes:
    command = ["php", str(MEDIAWIKI / "maintenance" / "dumpBackup.php"), "--quiet", *options]
    config = {"MW_CONFIG_FILE": str(wiki.folder / "LocalSettings.php")}
    return subprocess.run(command, env=os.environ | config, stdout=subprocess.PIPE, timeout=120, check=True).stdout


def index_url(wiki: Wiki) -> str:
    return wiki.api_url.replace("api.php", "index.php")


@pytest.fixture(scope="module")
def current(wiki: Wiki, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("dump") / "current.xml"
    path.write_bytes(back_up(wiki, "--current"))
    return path


@pytest.fixture(scope="module")
def articles(current: Path) -> list[str]:
    """The titles of all articles and redirects of the wiki."""
    with open_dump(current, lambda _: None) as (_, entries):
        return [entry.title for entry in entries if entry.namespace == 0]


@pytest.fixture(scope="module")
def crawled(wiki: Wiki, articles: Sequence[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    path = tmp_path_factory.mktemp("crawl") / "pages.jsonl"
    crawl_into(path, contact="tests@example.org", titles=articles, api_url=wiki.api_url)
    return {page.title: page for page in pages(path)}


def test_gives_the_pages_that_a_crawl_of_the_wiki_gives(
    wiki: Wiki, current: Path, articles: Sequence[str], crawled: dict[str, Page], out: Path
) -> None:
    report = run(current, out, titles=articles, index_url=index_url(wiki))
    imported = {page.title: page for page in pages(out)}
    code = "Activation (mathematics)"  # this wiki lacks the extension for <syntaxhighlight> and shows its source
    assert "<syntaxhighlight" in crawled[code].text
    hidden = "Sigmoid function"  # only the wiki knows that one of its categories is hidden
    assert {*imported[hidden].metadata["category"]} == {*crawled[hidden].metadata["category"], "Tracking"}
    assert imported == {
        **crawled,
        code: replace(crawled[code], text=imported[code].text),
        hidden: replace(crawled[hidden], metadata=imported[hidden].metadata),
    }
    assert "Activations and their ranges:\nName: Sigmoid; Range: 0 to 1.\nName: Tanh" in imported[code].text
    assert "A step is short:\ndef step(x):\n    return max(0, x)\n\nAn older way" in imported[code].text
    assert len(crawled) > 40
    assert set(report.titles("empty")) == {"Stub", "Only a comment"}
    assert {"Nowhere"} == set(report.titles("missing"))
    assert report.failed == tuple(
        f"{title}: no title, or a redirect that leads in a circle" for title in articles if title in LOOPS
    ) + tuple(f"{title}: not an article" for title in articles if title == "Off the shelf")


def test_without_a_filter_gives_all_articles_but_lists(current: Path, crawled: dict[str, Page], out: Path) -> None:
    report = run(current, out)
    assert set(titles(out)) == set(crawled) - {"List of exercises"}
    assert report.counts == {"fetched": len(crawled) - 1, "skipped": 1, "empty": 2}
    assert report.outcomes == ()


@pytest.mark.parametrize("depth", range(4))
def test_finds_the_members_of_categories_that_a_crawl_finds(wiki: Wiki, current: Path, out: Path, depth: int) -> None:
    seeds: dict[str, Any] = {"categories": ["Learning", "category:oddities", "Shelf", "No such"], "depth": depth}
    report = run(current, out, **seeds)
    path = out.with_name("crawl.jsonl")
    told = crawl_into(path, contact="tests@example.org", api_url=wiki.api_url, **seeds)
    assert set(titles(out)) - {"Kernel"} == set(titles(path))  # the wiki marks it where no wikitext says so
    assert len(report.failed) == len(told.failed)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_reads_what_special_export_gives(wiki: Wiki, crawled: dict[str, Page], out: Path, method: str) -> None:
    asked = urllib.parse.urlencode(
        {"title": "Special:Export", "pages": "C++\nPerceptron\nSlow decay\nStub", "curonly": 1}
    )
    url = index_url(wiki)
    with urllib.request.urlopen(
        url if method == "POST" else f"{url}?{asked}", asked.encode() if method == "POST" else None
    ) as got:
        out.parent.mkdir()
        (out.parent / "export.xml").write_bytes(got.read())
    run(out.parent / "export.xml", out, index_url=url)
    assert sorted(titles(out)) == ["C++", "Perceptron"]
    assert [(page.text, page.revision) for page in pages(out)] == [
        (crawled[title].text, crawled[title].revision) for title in titles(out)
    ]


def test_of_a_full_history_takes_the_newest_revisions(wiki: Wiki, out: Path) -> None:
    out.parent.mkdir()
    dump = out.parent / "full.xml"
    with wiki.undone():
        wiki.edit("C++", "'''C++''' was edited.")
        wiki.edit("C++", "'''C++''' was edited twice.")
        dump.write_bytes(back_up(wiki, "--full"))
    assert dump.read_bytes().count(b"was edited") == 2
    run(dump, out, titles=["C++", "AC/DC"])
    edited, other = sorted(pages(out), key=lambda page: page.revision or 0, reverse=True)
    assert (edited.text, other.title) == ("C++ was edited twice.", "AC/DC")


# addresses, aliases, filters


@pytest.mark.parametrize(
    ("base", "index", "url"),
    [
        ("https://en.wikipedia.org/wiki/Main_Page", None, "https://en.wikipedia.org/w/index.php?title="),
        ("https://www.mediawiki.org/wiki/MediaWiki", None, "https://www.mediawiki.org/w/index.php?title="),
        ("https://a.example/w/index.php/Main_Page", None, "https://a.example/w/index.php?title="),
        ("https://a.example/index.php?title=Main", None, "https://a.example/index.php?title="),
        ("https://a.example/wiki/Main_Page", None, "https://a.example/wiki/"),
        ("https://a.example/wiki/Main_Page", "https://a.example/i.php", "https://a.example/i.php?title="),
    ],
)
def test_pages_are_cited_as_the_wiki_would(tmp_path: Path, out: Path, base: str, index: str | None, url: str) -> None:
    (tmp_path / "dump.xml").write_text(export(page(7, "A b's: (ü) & C/D+?", "Text."), base=base), encoding="utf8")
    run(tmp_path / "dump.xml", out, index_url=index)
    (found,) = pages(out)
    assert found.url == f"{url}A_b%27s:_(%C3%BC)_%26_C/D%2B%3F"
    (passage,) = split(found)
    assert passage.url == f"{found.url}{'&' if '?' in url else '?'}oldid=70"


def test_metadata_tell_categories_language_and_date(tmp_path: Path, out: Path) -> None:
    named = "[[Category:B]] [[category: a_c |sort]] <!-- [[Category:Gone]] --> [[:Category:Linked]]"
    long = "".join(f"[[Category:{number:04d}]]" for number in range(600)) + f"[[Category:{'x' * 300}]]"
    dump = write(
        tmp_path / "dump.xml", page(1, "Some", f"Text.\n{named}"), page(2, "Many", long + "Text."), page(3, "No", "T.")
    )
    run(dump, out)
    some, many, no = pages(out)
    told = {"language": "en", "date": "2024-05-06"}
    assert some.metadata == {"category": ("A c", "B"), **told}
    assert many.metadata["category"] == tuple(f"{number:04d}" for number in range(500))
    assert no.metadata == told


def test_redirects_become_aliases_of_what_they_lead_to(tmp_path: Path, out: Path) -> None:
    dump = write(
        tmp_path / "dump.xml",
        page(1, "Before", to="Target"),
        page(2, "Target", "It.\n[[Category:A]]"),
        page(3, "Chain", to="Before"),
        page(4, "Section", "#REDIRECT [[target#Part]]", to="Target"),
        page(5, "Through a section", to="Section"),
        page(6, "Loop", to="Pool"),
        page(7, "Pool", to="Loop"),
        page(8, "Self", to="Self"),
        page(9, "Lost", to="Nowhere"),
        page(10, "Untold", "#redirect: [[_before_ |x]]"),
        page(11, "Weiter", "#WEITERLEITUNG [[Target]]", to="Target"),
        page(12, "Empty section", "#REDIRECT [[Target#]]", to="Target"),
    )
    report = run(
        dump, out, titles=["chain", "Target", "Through_a_section", "Loop", "Self", "Lost", "nowhere", "", "Section"]
    )
    (target,) = pages(out)
    assert target.aliases == ("Before", "Chain", "Empty section", "Untold", "Weiter")
    circle = "no title, or a redirect that leads in a circle"
    assert became(report) == [
        ("chain", "fetched", "Target"),
        ("Target", "folded", "Target"),
        ("Through_a_section", "folded", "Target"),
        ("Loop", "failed", circle),
        ("Self", "failed", circle),
        ("Lost", "missing", ""),
        ("nowhere", "missing", ""),
        ("", "failed", circle),
        ("Section", "folded", "Target"),
    ]


CATEGORIES = [
    page(1, "Category:Root", namespace=14, text="[[Category:Leaf]]"),
    page(2, "Category:Middle", namespace=14, text="[[Kategorie: root |x]]"),
    page(3, "Category:Leaf", namespace=14, text="[[category:Middle]]"),
    page(4, "In root", "a [[Category:Root]]"),
    page(5, "In the middle", "b [[ kategorie : middle|sorted]]"),
    page(6, "In the leaf", "c [[Category:leaf]]"),
    page(7, "Commented out", "d <!-- [[Category:Root]] -->[[:Category:Root]] <nowiki>[[Category:Root]]</nowiki>"),
    page(8, "Elsewhere", "e [[Category:Rooted]] [[Category:ROOT]]"),
    page(9, "Short", to="By redirect", text="#REDIRECT [[By redirect]]\n[[Category:Root]]"),
    page(10, "By redirect", "f"),
    page(11, "List of roots", "g [[Category:Root]]"),
    page(12, "Roots", "h {{Disambiguation|x}}[[Category:Root]]"),
    page(13, "Talk:In root", "i [[Category:Root]]", namespace=1),
    page(14, "Data", revisions=revision("j [[Category:Root]]", model="json")),
    page(15, "Cleared", "{{box}} [[Category:Root]]"),
]


@pytest.mark.parametrize(
    ("depth", "found"),
    [
        (0, ["In root", "By redirect"]),
        (1, ["In root", "In the middle", "By redirect"]),
        (2, ["In root", "In the middle", "In the leaf", "By redirect"]),
        (9, ["In root", "In the middle", "In the leaf", "By redirect"]),
    ],
)
def test_follows_categories_down_and_their_circles_once(
    tmp_path: Path, out: Path, depth: int, found: list[str]
) -> None:
    (tmp_path / "dump.xml").write_text(
        export(*CATEGORIES, namespaces={0: "", 1: "Talk", 14: "Kategorie"}), encoding="utf8"
    )
    report = run(tmp_path / "dump.xml", out, categories=["root", "Kategorie:Root", "Nothing"], depth=depth)
    assert titles(out) == found
    assert report.counts == {"fetched": len(found), "skipped": 3, "empty": 1}
    assert report.failed == ("Nothing: no articles in it",)


def test_titles_asked_for_are_taken_even_if_they_are_lists(tmp_path: Path, out: Path) -> None:
    dump = write(tmp_path / "dump.xml", *CATEGORIES, page(20, "Late", "z [[Category:Middle]]"))
    report = run(
        dump,
        out,
        titles=["roots", "List_of roots", "Talk:In root", "Cleared"],
        categories=["Middle"],
        exclude=["In the"],
    )
    assert titles(out) == ["List of roots", "Roots", "Late"]
    assert became(report) == [
        ("roots", "fetched", "Roots"),
        ("List_of roots", "fetched", "List of roots"),
        ("Talk:In root", "failed", "not an article"),
        ("Cleared", "empty", "Cleared"),
    ]
    assert report.counts == {"fetched": 3, "empty": 1, "failed": 1}


def test_a_wiki_may_have_titles_that_begin_small(tmp_path: Path, out: Path) -> None:
    both = (page(1, "a", "small"), page(2, "A", "large"))
    for case, found in (("case-sensitive", "a"), ("first-letter", "A")):
        (tmp_path / "dump.xml").write_text(export(*both, case=case), encoding="utf8")
        run(tmp_path / "dump.xml", tmp_path / f"{case}.jsonl", titles=["a"])
        assert titles(tmp_path / f"{case}.jsonl") == [found]


def test_what_is_there_already_stays_in_front(tmp_path: Path, out: Path) -> None:
    dump = write(tmp_path / "dump.xml", page(1, "A", "new"), page(2, "B", "b"), page(2, "B", "twice"))
    old = Page("A", "https://a.example/A", 1, 5, None, "old")
    write_json_lines(out, [Page("Z", page_id=9, text="z"), old])
    report = run(dump, out, titles=["A", "B"])
    assert pages(out)[:2] == [Page("Z", page_id=9, text="z"), old]
    assert [page.text for page in pages(out)[2:]] == ["b"]
    assert became(report) == [("A", "kept", "A"), ("B", "fetched", "B")]
    once = out.read_bytes()
    run(dump, out, titles=["A", "B"])
    assert out.read_bytes() == once


# interruptions


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("large") / "dump.xml", *many(600))


@pytest.fixture(scope="module")
def whole(large: Path) -> bytes:
    out = large.with_name("whole.jsonl")
    run(large, out)
    assert sorted(path.name for path in large.parent.iterdir()) == ["dump.xml", "whole.jsonl"]
    return out.read_bytes()


def test_goes_on_where_it_was_killed(large: Path, whole: bytes, out: Path) -> None:
    assert_goes_on_where_it_was_killed("import-dump", large, out, whole, least_tries=3)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    dump = write(tmp_path_factory.mktemp("small") / "dump.xml", *many(12))
    run(dump, dump.with_name("out.jsonl"))
    return dump, dump.with_name("out.jsonl").read_bytes()


@given(st.floats(0, 1), st.booleans())
@settings(max_examples=25)
def test_goes_on_after_any_byte(small: tuple[Path, bytes], where: float, is_written: bool) -> None:
    dump, lines = small
    out, journal = dump.with_name("cut.jsonl"), dump.with_name("cut.jsonl.partial")
    out.unlink(missing_ok=True)
    with interrupted(dump, out):
        run(dump, out)
    if is_written:  # killed after `out` took its name
        out.write_bytes(lines)
    journal.write_bytes(lines[: int(where * len(lines))])
    run(dump, out)
    assert out.read_bytes() == lines
    assert not journal.exists()


class interrupted:  # noqa: N801
    """Interrupt an import at the first page, so that its journal stays."""

    def __init__(self, dump: Path, out: Path) -> None:
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> None:
        def stop(*_: object) -> Iterator[Page]:
            raise KeyboardInterrupt

        self._patch.setattr("ragqa.wiki.importer.clean_page", stop)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self._patch.undo()
        return kind is KeyboardInterrupt


def test_pages_that_are_done_are_not_read_again(
    small: tuple[Path, bytes], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump, lines = small
    with interrupted(dump, out):
        run(dump, out)
    Path(f"{out}.partial").write_bytes(lines)
    monkeypatch.setattr("ragqa.wiki.importer.clean_page", None)
    assert run(dump, out).counts == {"kept": 12}
    assert out.read_bytes() == lines


def test_a_journal_of_something_else_is_told_and_kept(tmp_path: Path, small: tuple[Path, bytes], out: Path) -> None:
    dump, lines = small
    journal = Path(f"{out}.partial")
    with interrupted(dump, out):
        run(dump, out)
    journal.write_bytes(lines[:500])
    other = write(tmp_path / "other.xml", page(1, "A", "a"))
    with pytest.raises(
        InputError, match=r"is the journal of another dump, dump.xml of [\d,]+ bytes, not of this import of other.xml"
    ):
        run(other, out)
    with pytest.raises(InputError, match=r"is the journal of other pages of this dump, not of this import of dump.xml"):
        run(dump, out, categories=["All"])
    Path(f"{out}.import").unlink()
    with pytest.raises(InputError, match=r"is the journal of something other than an import.*: finish what began it"):
        run(dump, out)
    assert journal.read_bytes() == lines[: lines.rfind(b"\n", 0, 500) + 1]


def test_keeps_what_stands_before_the_damage(tmp_path: Path, out: Path) -> None:
    dump = tmp_path / "dump.xml"
    whole = export(page(1, "A", "a"), page(2, "Also a", to="A"), page(3, "B", "b"), page(4, "C", "c"))
    dump.write_text(whole.replace("<title>C", "<title>C & D"), encoding="utf8")
    for _ in range(2):
        with pytest.raises(InputError, match="not well-formed XML"):
            run(dump, out)
        assert [(page.title, page.aliases) for page in pages(Path(f"{out}.partial"))] == [("A", ("Also a",)), ("B", ())]
    assert not out.exists()


def test_a_page_that_no_line_can_hold_is_failed(tmp_path: Path, out: Path) -> None:
    dump = write(tmp_path / "dump.xml", page(1, "A", "\\" * 9_000_000), page(2, "B", "b"))
    assert run(dump, out).failed == ("A: it has more than 16,777,216 bytes",)
    assert titles(out) == ["B"]


HUGE = page(2, "User:Bot/log", "x" * (17 << 20), namespace=2)


def test_a_huge_page_that_nobody_wants_is_skipped_with_the_reason(tmp_path: Path, out: Path) -> None:
    dump = write(tmp_path / "dump.xml", page(1, "Rake", "It rakes."), HUGE, page(3, "Spade", "It digs."))
    report = run(dump, out)
    assert titles(out) == ["Rake", "Spade"]
    assert became(report) == [("User:Bot/log", "skipped", "its text has more than 16,777,216 bytes")]
    assert report.counts == {"fetched": 2, "skipped": 1}
    assert not report.failed


def test_a_wanted_page_that_cannot_be_read_is_failed_and_the_others_come(
    tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = page(4, "Hoe", "It hoes.").replace(TIMESTAMP, "yesterday")
    dump, pages_in = tmp_path / "dump.xml", (page(1, "Rake", "It rakes."), HUGE, odd, page(3, "Spade", "It digs."))
    dump.write_text(export(*pages_in, namespaces={0: "", 2: "User"}), encoding="utf8")
    arguments = ["import-dump", str(dump), "--out", str(out), "--namespace", "user", "--namespace", "0"]
    assert main(arguments) == 1
    assert titles(out) == ["Rake", "Spade"]
    told = capsys.readouterr()
    first, second = told.err.splitlines()
    assert first == "ragqa: failed: User:Bot/log: its text has more than 16,777,216 bytes"
    assert second.startswith("ragqa: failed: Hoe: not as MediaWiki writes a page: ")
    assert told.out == f"{out}: 2 fetched, 0 kept, 0 empty, 0 skipped, 2 failed\n"


def test_an_unexpected_error_costs_only_the_page_that_causes_it(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump = tmp_path / "dump.xml"
    dump.write_text(export(page(1, "Rake", "It rakes."), page(2, "Hoe", "It hoes."), page(3, "Spade", "It digs.")))
    errors: dict[str, Exception] = {"It hoes.": KeyError("hoe")}

    def extract(text: str, _: object) -> str:
        if text in errors:
            raise errors[text]
        return text

    monkeypatch.setattr("ragqa.wiki.dump.extract_text", extract)
    (failed,) = run(dump, out).failed
    assert titles(out) == ["Rake", "Spade"]
    assert failed.startswith("Hoe: it cannot be read: KeyError: 'hoe' (test_dump.py, line ")
    errors["It hoes."] = OSError(28, "No space left on device")  # concerns all pages
    with pytest.raises(OSError, match="No space left"):
        run(dump, out)


def test_elements_that_are_not_known_are_told_once(tmp_path: Path, out: Path) -> None:
    odd = page(1, "Rake", "It rakes.").replace("<revision>", "<mood>fine</mood><revision>")
    dump = write(tmp_path / "dump.xml", odd, page(2, "Spade", "It digs."))
    with pytest.warns(FallbackWarning) as told:
        run(dump, out)
    assert [str(one.message) for one in told] == [f"{dump}: skipped elements that MediaWiki does not write: <mood> (1)"]
    assert titles(out) == ["Rake", "Spade"]


def test_pages_of_other_namespaces_come_if_they_are_asked_for(tmp_path: Path, out: Path) -> None:
    pages_in = (
        page(1, "Manual", "[[Category:Pumps]] m"),
        page(2, "Handbook:Pump", "Moves water.[[Category:Pumps]]", namespace=3000),
        page(3, "Handbook:Lift", to="Handbook:Pump"),
        page(4, "Talk:Pump", "t [[Category:Pumps]]", namespace=1),
        page(5, "Handbook:Hoist", to="Handbook:Pump").replace("<ns>0", "<ns>3000"),
    )
    names = {0: "", 1: "Talk", 14: "Kategorie", 3000: "Handbook"}
    (tmp_path / "dump.xml").write_text(export(*pages_in, namespaces=names), encoding="utf8")
    found: dict[tuple[str, ...], list[str]] = {}
    for asked in ((), ("3000",), ("handbook", "0"), ("Talk",)):
        path = tmp_path / f"{len(found)}.jsonl"
        run(tmp_path / "dump.xml", path, categories=["Kategorie:Pumps"], namespaces=asked)
        found[asked] = titles(path)
    assert found == {
        (): ["Manual"],
        ("3000",): ["Handbook:Pump"],
        ("handbook", "0"): ["Manual", "Handbook:Pump"],
        ("Talk",): ["Talk:Pump"],
    }
    run(tmp_path / "dump.xml", out, titles=["handbook:hoist"], namespaces=["3000"])
    assert [(page.title, page.aliases) for page in pages(out)] == [("Handbook:Pump", ("Handbook:Hoist",))]
    for asked, reason in (
        (("Nowhere",), r"this wiki has no namespace 'nowhere'; it has 0 \(articles\), 1 \(talk\), .*3000 \(handbook\)"),
        (("14",), "namespace '14' holds no articles"),
    ):
        with pytest.raises(InputError, match=reason):
            run(tmp_path / "dump.xml", out, namespaces=asked)


# the command


def test_the_command_says_what_it_did(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dump = write(tmp_path / "dump.xml", *CATEGORIES)
    (tmp_path / "titles.txt").write_text("By redirect\nZilch\n")
    options = [
        "--category",
        "Leaf",
        "--title",
        "in root",
        "--titles",
        str(tmp_path / "titles.txt"),
        "--index-url",
        "https://a.b/i",
    ]
    assert main(["import-dump", str(dump), "--out", str(out), *options]) == 0
    told = capsys.readouterr()
    assert told.out == f"{out}: 3 fetched, 0 kept, 0 empty, 0 skipped, 0 failed\n"
    assert told.err == "ragqa: missing: Zilch\n"
    assert pages(out)[0].url == "https://a.b/i?title=In_root"
    assert main(["import-dump", str(dump), "--out", str(out), "--category", "Nothing"]) == 1
    assert capsys.readouterr().err == "ragqa: failed: Nothing: no articles in it\n"


@pytest.mark.parametrize("content", [None, "no dump", export(page(1, "A", "a"))[:-20]])
def test_the_command_tells_bad_input_in_a_line(
    tmp_path: Path, out: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "dump.xml").write_text(content)
    assert main(["import-dump", str(tmp_path / "dump.xml"), "--out", str(out)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"ragqa: {tmp_path}/dump.xml")
    assert told.err.count("\n") == 1


def test_the_commands_of_the_documentation_are_understood() -> None:
    text = (Path(__file__).parent.parent / "docs" / "dump.md").read_text(encoding="utf8").replace("\\\n", "")
    commands = re.findall(r"^ragqa (import-dump .*)", text, re.MULTILINE)
    assert commands
    for command in commands:
        assert _parser().parse_args(shlex.split(command)).depth == 2


def test_what_is_no_dump_leaves_nothing_behind(tmp_path: Path, out: Path) -> None:
    (tmp_path / "dump.xml").write_text("no dump")
    out.parent.mkdir()
    with pytest.raises(InputError, match="is not a MediaWiki XML dump"):
        run(tmp_path / "dump.xml", out)
    with pytest.raises(InputError, match="is no regular expression"):
        run(write(tmp_path / "dump.xml", page(1, "A")), out, exclude=["("])
    assert not [*out.parent.iterdir()]


def test_negative_depth_is_no_depth(small: tuple[Path, bytes], out: Path) -> None:
    with pytest.raises(InputError, match="depth is -1; at least 0 is needed"):
        run(small[0], out, depth=-1)


def test_names_the_extra_that_is_missing(small: tuple[Path, bytes], out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mwxml", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*\[dump\]"):
        run(small[0], out)


def test_an_outcome_is_like_that_of_a_crawl(tmp_path: Path, out: Path) -> None:
    dump = write(tmp_path / "dump.xml", page(1, "A", "'''a'''"))
    sha1 = "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"
    assert run(dump, out, titles=["a"]).outcomes == (Outcome("a", "fetched", "A", 10, 1, sha1),)


def test_a_gzip_name_gives_gzip_that_a_second_import_goes_on_from(tmp_path: Path) -> None:
    dump, out = write(tmp_path / "dump.xml", page(1, "A", "Text.")), tmp_path / "pages.jsonl.gz"
    assert run(dump, out).counts == {"fetched": 1}
    assert titles(out) == ["A"]
    assert run(dump, out).counts == {"kept": 1}


@pytest.mark.skipif(os.name != "posix", reason="pipes with names")
def test_a_pipe_is_no_dump_since_it_is_read_twice(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"pipe is a pipe, and a dump is read twice; save it to a file first"):
        run(tmp_path / "pipe", tmp_path / "pages.jsonl")
