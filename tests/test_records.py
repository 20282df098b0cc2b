import codecs
import gzip
import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import FrozenInstanceError, asdict
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa.errors import InputError, RecordError
from ragqa.records import Page, Pair, Passage
from ragqa.storage.json_lines import (
    LONGEST_LINE,
    append_json_line,
    json_line,
    read_journal,
    read_json_lines,
    read_lines,
    read_rows,
    write_json_lines,
)

Write = Callable[[str, Iterable[str]], Path]

TEXT = st.text() | st.sampled_from(["two\nlines", "\u2028\x85\r\n", "🧠 émile", "\x00", '"\\{}'])
NUMBER = st.none() | st.integers()
ALIASES = st.lists(TEXT, max_size=3).map(tuple)
PAGES = st.builds(Page, TEXT, TEXT, NUMBER, NUMBER, st.none() | TEXT, TEXT, ALIASES)
PASSAGES = st.builds(Passage, TEXT, TEXT, TEXT, st.integers(), st.integers(), TEXT, TEXT, ALIASES)
PAIRS = st.builds(Pair, question=TEXT, passage=TEXT, label=st.floats(0, 1))
PAIR = '{"question": "q", "passage": "p", "label": 1}'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("records")


@given(st.lists(PAGES))
def test_pages_come_back_as_they_were_written(folder: Path, pages: list[Page]) -> None:
    assert write_json_lines(folder / "pages.jsonl", pages) == len(pages)
    assert list(read_json_lines(folder / "pages.jsonl", Page)) == pages


@given(st.lists(PASSAGES))
def test_passages_come_back_as_they_were_written(folder: Path, passages: list[Passage]) -> None:
    write_json_lines(folder / "passages.jsonl", passages)
    assert list(read_json_lines(folder / "passages.jsonl", Passage)) == passages


@given(st.lists(PAIRS))
def test_pairs_come_back_as_they_were_written(folder: Path, pairs: list[Pair]) -> None:
    write_json_lines(folder / "pairs.jsonl", pairs)
    assert list(read_json_lines(folder / "pairs.jsonl", Pair)) == pairs


@given(PAGES)
def test_a_record_is_one_line(page: Page) -> None:
    line = json_line(page)
    assert line.index(b"\n") == len(line) - 1
    assert json.loads(line) | {"metadata": {}, "places": []} == asdict(page) | {
        "aliases": list(page.aliases),
        "places": [],
    }


def test_gzip_is_read_like_the_plain_file(tmp_path: Path) -> None:
    pages = [Page("A", text="é"), Page("B")]
    (tmp_path / "pages.jsonl.gz").write_bytes(gzip.compress(b"".join(map(json_line, pages))))
    assert list(read_json_lines(tmp_path / "pages.jsonl.gz", Page)) == pages


def test_a_row_may_be_a_dict(tmp_path: Path) -> None:
    write_json_lines(tmp_path / "rows.jsonl", [{"a": 1}, {"b": [2]}])
    assert list(read_rows(tmp_path / "rows.jsonl")) == [(1, {"a": 1}), (2, {"b": [2]})]


def test_other_keys_are_ignored_and_optional_ones_may_be_missing(write: Write) -> None:
    path = write("pages.jsonl", ['{"title": "A", "ml": true, "text": "a"}', '{"title": "B", "revision": null}'])
    assert list(read_json_lines(path, Page)) == [Page("A", text="a"), Page("B")]


def test_empty_lines_are_passed_over_but_counted(write: Write) -> None:
    path = write("pages.jsonl", ["", '{"title": "A"}', "   ", "[]"])
    pages = read_json_lines(path, Page)
    assert next(pages) == Page("A")
    with pytest.raises(RecordError, match=r"pages\.jsonl, line 4: a JSON object is needed, not list$"):
        next(pages)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"question": "q", "passage"', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"question": "q", "passage": "p", "label": ' + "1" * 5_000 + "}", "(?:not JSON|label 1)"),
        ('"question"', "a JSON object is needed, not str"),
        ("null", "a JSON object is needed, not NoneType"),
        ('{"question": "q", "label": 1}', "'passage' is missing"),
        (r'{"question": "\ud83e", "passage": "p", "label": 1}', "half a surrogate pair, which is no character"),
        ('{"question": 3, "passage": "p", "label": 1}', "'question' is int, not str"),
        ('{"question": null, "passage": "p", "label": 1}', "'question' is NoneType, not str"),
        ('{"question": "q", "passage": "p", "label": true}', "'label' is bool, not float or int"),
        ('{"question": "q", "passage": "p", "label": "1"}', "'label' is str, not float or int"),
        ('{"question": "q", "passage": "p", "label": 1.5}', r"label 1\.5 is not between 0 and 1"),
        ('{"question": "q", "passage": "p", "label": -1}', "label -1 is not between 0 and 1"),
        ('{"question": "q", "passage": "p", "label": NaN}', "label nan is not between 0 and 1"),
    ],
)
def test_a_line_that_is_no_pair_is_named_with_file_line_and_reason(write: Write, line: str, reason: str) -> None:
    path = write("pairs.jsonl", [PAIR, PAIR, line, PAIR])
    pairs = read_json_lines(path, Pair)
    assert [next(pairs), next(pairs)] == [Pair("q", "p", 1.0)] * 2
    with pytest.raises(RecordError, match=rf"pairs\.jsonl, line 3: {reason}"):
        next(pairs)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('{"title": "A", "page_id": true}', "'page_id' is bool, not int or NoneType"),
        ('{"title": "A", "revision": 1.0}', "'revision' is float, not int or NoneType"),
        ('{"title": "A", "timestamp": 5}', "'timestamp' is int, not str or NoneType"),
        ('{"title": "A", "aliases": "B"}', "'aliases' is str, not list"),
        ('{"title": "A", "aliases": ["B", 5]}', "'aliases' holds int, not only str"),
        ('{"url": "u"}', "'title' is missing"),
    ],
)
def test_a_line_that_is_no_page_is_named_with_file_line_and_reason(write: Write, row: str, reason: str) -> None:
    with pytest.raises(RecordError, match=rf"pages\.jsonl, line 1: {reason}"):
        list(read_json_lines(write("pages.jsonl", [row]), Page))


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "pages.jsonl"
    path.write_bytes(b'{"title": "A"}\n{"title": "\xe9"}\n')
    with pytest.raises(RecordError, match=r"pages\.jsonl, line 2: not JSON: 'utf-8' codec"):
        list(read_json_lines(path, Page))


@pytest.mark.parametrize("cut", [5, 30, -9])
def test_a_gzip_file_that_is_cut_short_is_named(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "pages.jsonl.gz"
    path.write_bytes(gzip.compress(json_line(Page("A", text="some text")))[:cut])
    with pytest.raises(InputError, match=r"pages\.jsonl\.gz is not a whole gzip file"):
        list(read_json_lines(path, Page))


@pytest.mark.parametrize("place", range(10, 60))
def test_no_damage_to_a_gzip_file_goes_unnoticed(tmp_path: Path, place: int) -> None:
    path = tmp_path / "pages.jsonl.gz"
    whole = bytearray(gzip.compress(json_line(Page("A", text="some text that is long enough to be compressed"))))
    whole[place] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(InputError, match=r"pages\.jsonl\.gz"):
        list(read_json_lines(path, Page))


def test_a_plain_file_named_gz_is_named(write: Write) -> None:
    with pytest.raises(InputError, match=r"pages\.jsonl\.gz is not a whole gzip file"):
        list(read_json_lines(write("pages.jsonl.gz", ['{"title": "A"}']), Page))


@pytest.mark.parametrize("name", ["missing.jsonl", "."])
def test_what_is_no_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="is not a file$"):
        list(read_json_lines(tmp_path / name, Page))


@pytest.mark.skipif(os.name != "posix", reason="pipes with names")
@pytest.mark.parametrize("packed", [False, True])
def test_a_pipe_is_read_like_a_file(tmp_path: Path, packed: bool) -> None:
    line = json_line(Page("A", text="é"))
    os.mkfifo(tmp_path / "pipe")
    writer = Thread(target=(tmp_path / "pipe").write_bytes, args=(gzip.compress(line) if packed else line,))
    writer.start()
    assert list(read_json_lines(tmp_path / "pipe", Page)) == [Page("A", text="é")]
    writer.join()


@pytest.mark.parametrize("name", ["pages.jsonl", "pages.jsonl.gz"])
def test_a_byte_order_mark_is_left_out(tmp_path: Path, name: str) -> None:
    data = codecs.BOM_UTF8 + json_line(Page("A")) + json_line(Page("B"))
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    assert list(read_json_lines(tmp_path / name, Page)) == [Page("A"), Page("B")]
    assert next(read_lines(tmp_path / name)) == (1, json_line(Page("A")))


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_is_named_as_such(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "pages.jsonl").write_bytes('\ufeff{"title": "A"}\n'.encode(encoding))
    with pytest.raises(RecordError, match=r"pages\.jsonl, line 1: it is UTF-16; save the file as UTF-8"):
        list(read_json_lines(tmp_path / "pages.jsonl", Page))


def test_gzip_is_written_by_name_and_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    pages = [Page("A", text="é"), Page("B")]
    paths = [tmp_path / "one.jsonl.gz", tmp_path / "other.jsonl.gz"]
    for path in paths:
        assert write_json_lines(path, pages) == 2
        time.sleep(1.1)  # gzip's clock counts seconds
    assert gzip.decompress(paths[0].read_bytes()) == b"".join(map(json_line, pages))
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert list(read_json_lines(paths[0], Page)) == pages


def test_a_journal_cannot_be_gzip(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"journal\.gz is written line by line, so it cannot be gzip; choose a name"):
        append_json_line(tmp_path / "journal.gz", Page("A"))
    assert not (tmp_path / "journal.gz").exists()


def test_nothing_is_written_when_a_record_cannot_be_made(tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(b"old")
    with pytest.raises(InputError, match="label 2 is not between 0 and 1"):
        write_json_lines(path, (Pair("q", "p", label) for label in (0, 1, 2)))
    assert path.read_bytes() == b"old"


def test_records_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Page("A").title = "B"  # type: ignore[misc]


def test_a_journal_gives_back_what_was_appended(tmp_path: Path) -> None:
    journal = tmp_path / "new" / "journal"
    assert read_journal(journal, Page) == []
    for page in (Page("A"), Page("B", text="b")):
        append_json_line(journal, page)
    assert read_journal(journal, Page) == [Page("A"), Page("B", text="b")]


@pytest.mark.parametrize("torn", [b"{", b'{"title": "C"}', b"\xff"])
def test_a_torn_last_line_of_a_journal_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    journal = tmp_path / "journal"
    append_json_line(journal, Page("A"))
    whole = journal.read_bytes()
    journal.write_bytes(whole + torn)
    assert read_journal(journal, Page) == [Page("A")]
    assert journal.read_bytes() == whole
    append_json_line(journal, Page("B"))
    assert read_journal(journal, Page) == [Page("A"), Page("B")]


def test_a_line_may_be_long_but_not_endless(tmp_path: Path) -> None:
    path = tmp_path / "pages.jsonl"
    frame = len(json_line(Page("A")))
    for extra in (0, 1):
        page = Page("A", text="x" * (LONGEST_LINE - frame + extra))
        path.write_bytes(json_line(page) + json_line(Page("B")))
        if not extra:
            assert list(read_json_lines(path, Page)) == [page, Page("B")]
    with pytest.raises(RecordError, match=r"line 1: it has more than 16,777,216 bytes"):
        list(read_json_lines(path, Page))
