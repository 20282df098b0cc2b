from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa.errors import IndexStoreError
from ragqa.index.stored_passages import LINE_SUMS, LINES, PASSAGES, StoredPassages, save_passages
from ragqa.records import Passage

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBER = st.integers(0, 9)
RECORDS = st.lists(st.builds(Passage, TEXT, TEXT, TEXT, NUMBER, NUMBER, TEXT, TEXT, about=TEXT), min_size=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stored")


@given(RECORDS)
def test_what_is_read_is_what_was_saved(folder: Path, passages: list[Passage]) -> None:
    save_passages(folder, passages)
    stored = StoredPassages(folder)
    assert len(stored) == len(passages)
    assert list(stored) == passages
    assert [stored[place] for place in range(-len(passages), 0)] == passages
    assert list(stored[1:]) == passages[1:]
    assert stored == passages
    assert stored != passages[1:]


def test_passages_stored_without_the_field_about_are_read(tmp_path: Path) -> None:
    passage = Passage("1", "Title", url="https://a.org/Title")
    older = {name: value for name, value in asdict(passage).items() if name != "about"}
    save_passages(tmp_path, [older])  # type: ignore[list-item]
    assert list(StoredPassages(tmp_path)) == [passage]


def test_a_place_that_is_not_there_is_an_index_error(tmp_path: Path) -> None:
    save_passages(tmp_path, [Passage("1", "Title")])
    with pytest.raises(IndexError):
        StoredPassages(tmp_path)[1]


def test_a_damaged_line_is_named_when_it_is_read(tmp_path: Path) -> None:
    save_passages(tmp_path, [Passage("1", "Title"), Passage("2", "Title")])
    data = (tmp_path / PASSAGES).read_bytes()
    (tmp_path / PASSAGES).write_bytes(data[:-3] + b"x" + data[-2:])
    stored = StoredPassages(tmp_path)
    assert stored[0].id == "1"
    with pytest.raises(IndexStoreError, match=r"passages\.jsonl is damaged in line 2; build it again"):
        stored[1]


@pytest.mark.parametrize("name", [PASSAGES, LINES, LINE_SUMS])
def test_files_that_do_not_fit_each_other_are_refused(tmp_path: Path, name: str) -> None:
    save_passages(tmp_path, [Passage("1", "Title")])
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-1])
    with pytest.raises(IndexStoreError, match="build it again"):
        StoredPassages(tmp_path)
