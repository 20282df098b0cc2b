"""Metadata of pages and passages: what it may hold, that it cannot be changed, and that no step loses it."""

import copy
import json
import pickle
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa.demo.turns import Turn, as_data, from_data
from ragqa.errors import InputError, RecordError
from ragqa.index.bm25 import Bm25Index
from ragqa.index.folder import build_index, open_index, update_index
from ragqa.index.stored_passages import StoredPassages, save_passages
from ragqa.integrations.metadata import describe
from ragqa.records import Answer, Hit, Metadata, Page, Passage
from ragqa.storage.json_lines import json_line, read_json_lines, write_json_lines
from ragqa.text.make_passages import PassagesConfig, make_passages
from ragqa.text.pages import read_article
from ragqa.text.passages import split, split_windows

VALUES: dict[str, Any] = {"category": "physics", "year": 2024, "score": 0.5, "draft": False, "tags": ("a", "b")}
TEXT = st.text(max_size=10)
KEYS = TEXT.map(lambda text: f"k{text.translate(str.maketrans('=<>!', '    '))}k")
METADATA = st.dictionaries(
    KEYS, TEXT | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.lists(TEXT)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("metadata")


def page(title: str, **metadata: Any) -> Page:
    return Page(title, text=f"{title} is a page about {title}.\n\n== More ==\nIt has two sections.", metadata=metadata)


@given(METADATA)
def test_metadata_come_back_as_they_were_written(folder: Path, metadata: dict[str, Any]) -> None:
    one, other = Page("A", metadata=metadata), Passage("1", "A", metadata=metadata)
    for record in (one, other):
        write_json_lines(folder / "records.jsonl", [record])
        assert list(read_json_lines(folder / "records.jsonl", type(record))) == [record]
    save_passages(folder, [other])
    assert list(StoredPassages(folder)) == [other]
    for same in (copy.deepcopy(other), pickle.loads(pickle.dumps(other)), Passage(**asdict(other))):
        assert same == other
        assert hash(same) == hash(other)


def test_empty_metadata_are_not_written() -> None:
    assert "metadata" not in json.loads(json_line(Passage("1", "A")))
    assert json.loads(json_line(Passage("1", "A", metadata={"a": ["b"]})))["metadata"] == {"a": ["b"]}


def test_a_record_has_a_copy_that_cannot_be_changed() -> None:
    given = {"tags": ["a"], "unknown": None}
    passage = Passage("1", "A", metadata=given)
    given["tags"], given["new"] = ["b"], ["c"]
    assert passage.metadata == {"tags": ("a",)}
    own: Any = passage.metadata
    for change in (lambda: own.update(a=1), lambda: own.pop("tags"), lambda: own.__setitem__("a", 1), own.clear):
        with pytest.raises(
            TypeError, match=r"metadata cannot be changed; make a new record with `dataclasses\.replace`"
        ):
            change()
    with pytest.raises(TypeError):
        del own["tags"]
    assert replace(passage, metadata={"a": 1}).metadata == {"a": 1}
    assert passage.metadata == {"tags": ("a",)}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"title": "x"}, "the metadata key 'title' is the name of a field of passages; choose another name"),
        ({3: "x"}, "the metadata key 3 is int, not str"),
        (
            {"a>": 1},
            'the metadata key \'a>\' cannot be named in a filter; leave out spaces at its ends, "=", "<", ">", "!", and '
            '" in" at its end',
        ),
        ({"a": {"b": 1}}, "metadata 'a' is dict, not str, int, float, bool or a list of str"),
        ({"a": ["b", 1]}, "metadata 'a' holds int; only strings can be in a list"),
        ({"a": float("nan")}, "metadata 'a' is nan; a finite number is needed"),
    ],
)
def test_what_cannot_be_metadata_is_named(metadata: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Page("A", metadata=metadata)
    assert str(caught.value) == message


def test_a_line_with_bad_metadata_is_named(tmp_path: Path) -> None:
    for metadata, reason in (([], "'metadata' is list, not dict"), ({"a": {}}, "metadata 'a' is dict, not str")):
        write_json_lines(tmp_path / "pages.jsonl", [{"title": "A"}, {"title": "B", "metadata": metadata}])
        with pytest.raises(RecordError, match=rf"pages\.jsonl, line 2: {reason}"):
            list(read_json_lines(tmp_path / "pages.jsonl", Page))


@pytest.mark.parametrize("cut", [split, split_windows])
def test_every_passage_has_the_metadata_of_its_page(cut: Any) -> None:
    passages = cut(page("A", **VALUES))
    assert passages
    assert all(passage.metadata == VALUES for passage in passages)


def test_metadata_survive_passages_index_update_and_reopening(tmp_path: Path) -> None:
    write_json_lines(tmp_path / "pages.jsonl", [page("Ferret", **VALUES), page("Stoat")])
    make_passages(PassagesConfig(pages=(str(tmp_path / "pages.jsonl"),), out=tmp_path / "passages.jsonl"))
    build_index(tmp_path / "index", read_json_lines(tmp_path / "passages.jsonl", Passage))
    report = update_index(tmp_path / "index", split(page("Stoat", category="animals")))
    assert report.changed == ("Stoat",)  # though no text has changed
    update_index(tmp_path / "index", split(page("Mink")))
    index, _ = open_index(tmp_path / "index")
    found = {passage.title: passage.metadata for passage in index.passages}
    assert found == {"Ferret": VALUES, "Stoat": {"category": "animals"}, "Mink": {}}
    assert Bm25Index.verify(tmp_path / "index") == len(index.passages)


def test_models_do_not_read_metadata_so_vectors_stay_valid() -> None:
    one, other = (Bm25Index.build(split(page("A", **metadata))) for metadata in ({}, VALUES))
    assert one.texts_digest == other.texts_digest


def test_front_matter_becomes_metadata(tmp_path: Path) -> None:
    lines = ["title: A", "license: CC0", "id: 3", "category: physics", "year: 2024", "score: 0.5", "draft: false"]
    lines += ["date: 2024-01-31", "tags: [a, 'b']", "empty:"]
    (tmp_path / "a.md").write_text("\n".join(["---", *lines, "---", "Text."]), encoding="utf8")
    assert read_article(tmp_path / "a.md").metadata == {**VALUES, "date": "2024-01-31"}


def test_a_conversation_keeps_the_metadata_of_its_hits() -> None:
    hit = Hit(Passage("1", "A", text="text", metadata=VALUES), 1.0, None, 1.0, 1)
    turn = Turn("q", "corpus", answer=Answer("q", "", (hit,), (), abstained=True))
    assert from_data(json.loads(json.dumps(as_data([turn])))) == (turn,)
    assert from_data([{**as_data([turn])[0], "answer": {**asdict(turn)["answer"], "hits": [{"metadata": 3}]}}]) == ()


def test_adapters_get_the_metadata_and_own_keys_win() -> None:
    own = {**VALUES, "probability": "mine", "bm25_rank": 7}
    found = describe(Hit(Passage("1", "A", metadata=own), 1.0, None, 1.0, 2))
    assert found == {
        **VALUES,
        "tags": ["a", "b"],
        "title": "A",
        "start": 0,
        "end": 0,
        "bm25_score": 1.0,
        "bm25_rank": 2,
    }
    assert isinstance(Passage("1", "A", metadata=own).metadata, Metadata)
