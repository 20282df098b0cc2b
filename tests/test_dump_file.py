import bz2
import html
import re
import threading
import tracemalloc
from contextlib import AbstractContextManager, nullcontext
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from exports import TIMESTAMP, export, many, pack, page, revision
from hypothesis import given
from hypothesis import strategies as st

from ragqa.errors import FallbackWarning, InputError
from ragqa.wiki.dump_file import LONGEST_TEXT, MOST_BYTES, MOST_TAGS, Entry, Site, open_dump

DECLARED = '<?xml version="1.0"?><!DOCTYPE mediawiki [{}]>' + export(page(1, "A", "x &e; y")).replace("&amp;e;", "&e;")
LAUGHS = '<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {after} "{f"&{before};" * 10}">' for before, after in zip("abcdefghi", "bcdefghij", strict=True)
)
SMALL = export(*many(3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dumps")


def read(path: Path) -> tuple[Site, list[Entry]]:
    with open_dump(path, lambda _: None) as (site, entries):
        return site, list(entries)


def dump(folder: Path, content: str | bytes) -> Path:
    path = folder / "dump.xml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("how", ["xml", "bz2", "gz", "multistream"])
def test_reads_pages_in_their_newest_revision_however_they_are_packed(tmp_path: Path, how: str) -> None:
    old, new = revision("old", 3, "2023-01-01T00:00:00Z"), revision("new & <b>", 2)
    xml = export(page(1, "A", revisions=new + old), page(2, "Category:B", "b", namespace=14), page(3, "C", to="A"))
    path = dump(tmp_path, pack(xml, how))
    told: list[int] = []
    with open_dump(path, told.append) as (site, entries):
        assert [*entries] == [
            Entry("A", 0, 1, None, 2, TIMESTAMP, "wikitext", "new & <b>"),
            Entry("Category:B", 14, 2, None, 20, TIMESTAMP, "wikitext", "b"),
            Entry("C", 0, 3, "A", 30, TIMESTAMP, "wikitext", "#REDIRECT [[A]]"),
        ]
    assert (site.base, site.first_letter) == ("https://en.wikipedia.org/wiki/Main_Page", True)
    assert sum(told) == path.stat().st_size


def test_knows_the_namespaces_of_another_language(tmp_path: Path) -> None:
    names = {0: "", 6: "Datei", 14: "Kategorie"}
    site, _ = read(dump(tmp_path, export(page(1, "A"), namespaces=names, case="case-sensitive")))
    assert [sorted(site.namespaces[key]) for key in (6, 14)] == [["datei", "file", "image"], ["category", "kategorie"]]
    assert not site.first_letter


def test_reads_what_old_and_odd_wikis_export(tmp_path: Path) -> None:
    bare = (
        "<page><title>A_b</title><revision><timestamp>2024-05-06T07:08:09Z</timestamp><text>a</text></revision></page>"
    )
    hidden = (
        '<page><title>B</title><ns>0</ns><id>2</id><revision><id>4</id><contributor deleted="deleted" />'
        '<comment deleted="deleted" /><text deleted="deleted" /></revision></page>'
    )
    upload = page(3, "File:C", "c", namespace=6).replace("</page>", "<upload><filename>C</filename></upload></page>")
    none = "<page><title>D</title><ns>0</ns><id>5</id></page>"
    _, entries = read(
        dump(tmp_path, "\ufeff<!-- made by hand -->" + export(bare, hidden, upload, none, page(6, "E", "e")))
    )
    assert [(entry.title, entry.page_id, entry.text) for entry in entries] == [
        ("A b", None, "a"),
        ("B", 2, ""),
        ("File:C", 3, "c"),
        ("E", 6, "e"),
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not a MediaWiki XML dump"),
        (b"\x00\xff binary", "is not a MediaWiki XML dump"),
        ('{"title": "A"}', "is not a MediaWiki XML dump"),
        ("<html><body/></html>", "is not a MediaWiki XML dump"),
        ("<mediawiki></mediawiki>", "not as MediaWiki writes a dump: <siteinfo>"),
        ("<mediawiki><page/><siteinfo/></mediawiki>", "not as MediaWiki writes a dump: <siteinfo>"),
        (SMALL.encode("utf-16"), "is not a MediaWiki XML dump"),
        (f'<?xml version="1.0" encoding="ISO-8859-1"?>{SMALL}', "says that it is in ISO-8859-1; UTF-8 is needed"),
        (export(page(1, "A", "é")).encode("latin-1"), "not well-formed XML"),
        (b"7z\xbc\xaf\x27\x1c\0\0", "compressed with 7z, which cannot be read: decompress it first"),
        (SMALL[:-100], "not well-formed XML, or cut short"),
        (SMALL.replace("<text", "<text <", 1), "not well-formed XML"),
        (SMALL + SMALL, "not well-formed XML, or cut short: junk"),
        (pack(SMALL, "bz2")[:-30], "is cut short or damaged: Compressed file ended"),
        (pack(SMALL, "multistream")[:-60], "cut short"),
        (pack(SMALL, "bz2")[:40] + bytes(40) + pack(SMALL, "bz2")[80:], "is cut short or damaged"),
        (pack(SMALL, "gz")[:-30], "is cut short or damaged"),
        (pack(SMALL, "gz")[:100] + b"\0\0\0\0" + pack(SMALL, "gz")[104:], "is cut short or damaged"),
        (DECLARED.format(LAUGHS), "is not a MediaWiki XML dump"),
        (DECLARED.format(f'<!ENTITY e "{"x" * 3000}">'), "is not a MediaWiki XML dump"),
        (SMALL.replace("learns", "&e;", 1), "undefined entity"),
    ],
)
def test_says_in_a_line_what_is_wrong_with_a_dump(tmp_path: Path, content: str | bytes, reason: str) -> None:
    with pytest.raises(InputError, match=re.escape(reason)) as caught:
        read(dump(tmp_path, content))
    assert str(tmp_path / "dump.xml") in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_opens_nothing_that_a_dump_names(tmp_path: Path) -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    (tmp_path / "secret").write_text("secret")
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        url = f"http://127.0.0.1:{server.server_port}"
        for entity in (f'SYSTEM "{url}/e"', f'SYSTEM "{tmp_path}/secret"', f'PUBLIC "x" "{url}/p"'):
            with pytest.raises(InputError, match="is not a MediaWiki XML dump"):
                read(dump(tmp_path, DECLARED.format(f"<!ENTITY e {entity}>")))
        with pytest.raises(InputError, match="is not a MediaWiki XML dump"):
            read(dump(tmp_path, f'<!DOCTYPE mediawiki SYSTEM "{url}/dtd">{SMALL}'))
        server.shutdown()
    assert not asked


@pytest.mark.parametrize(
    ("part", "limit"),
    [
        (b"<!--" + b"-x" * 500 + b"-->", f"{MOST_BYTES:,} bytes"),
        (b"<x/>" * 256, f"{MOST_TAGS:,} tags"),
        (b"<![CDATA[" + b"<" * 1000 + b"]]>", f"{MOST_TAGS:,} tags"),
    ],
)
def test_a_revision_that_would_fill_the_memory_is_refused_long_before(tmp_path: Path, part: bytes, limit: str) -> None:
    head, tail = export(page(1, "A", "good"), page(2, "B", "MIDDLE"), page(3, "C", "c")).encode().split(b"MIDDLE")
    path = dump(tmp_path, bz2.compress(head) + bz2.compress(part * 1024) * 200 + bz2.compress(tail))
    with open_dump(path, lambda _: None) as (_, entries):
        assert next(entries).text == "good"
        with pytest.raises(InputError, match=f"a revision of more than {limit}"):
            next(entries)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("text", b"x" * 1023 + b"\n"),
        ("text", b"&lt;" * 256),
        ("text", b"&amp;a" * 170),
        ("text", "é中".encode() * 204),
        ("comment", b"x" * 1024),
        ("unknown", b"y" * 1024),
    ],
)
def test_text_that_would_fill_the_memory_is_cut_off_and_the_next_page_is_read(
    tmp_path: Path, name: str, part: bytes
) -> None:
    head, tail = export(page(1, "A", "good"), page(2, "B", "MIDDLE"), page(3, "C", "c")).encode().split(b"MIDDLE")
    if name != "text":
        head, tail = head + f"kept</text><{name}>".encode(), f"</{name}>".encode() + tail.removeprefix(b"</text>")
    path = dump(tmp_path, bz2.compress(head) + bz2.compress(part * 1024) * 20 + bz2.compress(tail))
    tracemalloc.start()
    with open_dump(path, lambda _: None) as (_, entries), suppressed(name == "unknown"):
        told = [(entry.title, entry.text[:4], entry.flaw) for entry in entries]
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    flaw = f"its text has more than {LONGEST_TEXT:,} bytes"
    middle = ("B", html.unescape(part.decode())[:4], flaw) if name == "text" else ("B", "kept", "")
    assert told == [("A", "good", ""), middle, ("C", "c", "")]
    assert most < 6 * LONGEST_TEXT


def suppressed(warns: bool) -> AbstractContextManager[object]:
    return pytest.warns(FallbackWarning, match="<unknown> \\(1\\)") if warns else nullcontext()


def test_text_of_the_greatest_length_is_whole(tmp_path: Path) -> None:
    for longer, flaw in ((0, ""), (1, f"its text has more than {LONGEST_TEXT:,} bytes")):
        _, entries = read(dump(tmp_path, export(page(1, "A", "y" * (LONGEST_TEXT + longer)), page(2, "B", "b"))))
        assert [(entry.title, len(entry.text), entry.flaw) for entry in entries] == [
            ("A", LONGEST_TEXT, flaw),
            ("B", 1, ""),
        ]


@pytest.mark.parametrize(
    ("was", "written", "title", "reason"),
    [
        ("<id>1</id>", "<id>one</id>", "Article 0", "not as MediaWiki writes a page: invalid literal"),
        (TIMESTAMP, "yesterday", "Article 0", "not as MediaWiki writes a page: "),
        ("<title>Article 0</title>", "", "(no title)", "not as MediaWiki writes a page: "),
        ("<ns>0</ns>", "<ns>x</ns>", "Article 0", "not as MediaWiki writes a page: invalid literal"),
        ("Article 0</title>", f"{'long' * 64}</title>", f"{'long' * 15}…", "its title has more than 255 bytes"),
    ],
)
def test_what_is_wrong_with_a_page_is_told_of_that_page(
    tmp_path: Path, was: str, written: str, title: str, reason: str
) -> None:
    _, whole = read(dump(tmp_path, SMALL))
    _, entries = read(dump(tmp_path, SMALL.replace(was, written, 1)))
    assert entries[1:] == whole[1:]
    assert entries[0].title == title
    assert entries[0].flaw.startswith(reason)
    assert not any(entry.flaw for entry in whole)


@pytest.mark.parametrize("inside", ["mediawiki", "page", "revision", "text", "contributor", "content"])
def test_elements_that_are_not_mediawikis_are_passed_over_with_a_warning(tmp_path: Path, inside: str) -> None:
    _, whole = read(dump(tmp_path, SMALL))
    new = "<sentiment a='b'>1<deep><title>no</title></deep></sentiment>"
    if inside == "content":
        new = f"<content><role>extra</role>{new}<text>no</text></content>"
    place = {"content": "</revision>", "mediawiki": "<page>", "contributor": "</contributor>"}.get(
        inside, f"</{inside}>"
    )
    changed = SMALL.replace(place, new + place)
    with suppressed(False) if inside == "contributor" else pytest.warns(FallbackWarning, match=r"<sentiment> \(\d\)"):
        assert read(dump(tmp_path, changed))[1] == whole


def test_elements_of_mediawikis_extensions_are_passed_over_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    _, whole = read(dump(tmp_path, SMALL))
    threads = "<DiscussionThreading><ThreadSubject>S</ThreadSubject><ThreadPage>P</ThreadPage></DiscussionThreading>"
    _, entries = read(dump(tmp_path, SMALL.replace("<revision>", f"{threads}<revision>")))
    assert entries == whole
    assert (caplog.text, *capfd.readouterr()) == ("", "", "")


def test_many_revisions_may_be_longer_together(tmp_path: Path) -> None:
    long = [revision(f"{number}" * 3_000_000, number, f"2024-05-06T07:08:0{number}Z") for number in range(1, 9)]
    _, entries = read(dump(tmp_path, export(page(1, "A", revisions="".join(long)), page(2, "B", "b"))))
    assert [(entry.title, entry.revision, entry.text[:2]) for entry in entries] == [("A", 8, "88"), ("B", 20, "b")]


@given(
    st.sampled_from(["xml", "bz2", "gz", "multistream"]),
    st.floats(0, 1),
    st.sampled_from(["cut", "flip", "drop", "insert"]),
    st.binary(min_size=1, max_size=8),
)
def test_a_damaged_dump_is_read_or_refused(folder: Path, how: str, where: float, damage: str, data: bytes) -> None:
    whole = pack(SMALL, how)
    at = int(where * (len(whole) - 1))
    after = {"cut": b"", "flip": bytes([whole[at] ^ data[0]]) + whole[at + 1 :], "drop": whole[at + len(data) :]}
    path = dump(folder, whole[:at] + after.get(damage, data + whole[at:]))
    try:
        read(path)
    except InputError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)
