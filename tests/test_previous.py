"""Indexes of older versions are migrated from their own passages.

`data/index-format-4.zip` was written by the last version of the code that wrote format 4.
"""

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ragqa.cli import main
from ragqa.errors import IndexStoreError
from ragqa.index.bm25 import FORMAT, OLDER_FORMATS, Bm25Index
from ragqa.index.dense import DenseIndex
from ragqa.index.folder import IndexReport, build_index, open_index, save_index, update_index
from ragqa.index.previous import find_previous, is_up_to_date, read_previous
from ragqa.index.verify import verify
from ragqa.models.embedder import Embedder
from ragqa.records import Passage
from ragqa.search.retriever import Retriever
from ragqa.storage.generations import current, new_generation
from ragqa.text import analyzer

DATA = Path(__file__).with_name("data")
QUESTION = "what does an LPDS do?"
TITLES = ("Watering can", "Drip irrigation", "Café au lait begonia")


def files_of(index: Path) -> dict[str, bytes]:
    generation = current(index)
    return {str(p.relative_to(generation)): p.read_bytes() for p in generation.rglob("*") if p.is_file()}


@pytest.fixture(params=OLDER_FORMATS)
def old(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A small index of an older format, with vectors of the bundled embedder."""
    with zipfile.ZipFile(DATA / f"index-format-{request.param}.zip") as packed:
        packed.extractall(tmp_path)
    return tmp_path / "index"


@pytest.mark.parametrize("open_it", [Bm25Index.open, Retriever.open, open_index, verify])
def test_opening_an_older_index_names_the_command_that_migrates_it(
    old: Path, open_it: Callable[[Path], object]
) -> None:
    before = json.loads(files_of(old)["manifest.json"])["format"]
    remedy = f"bring it up to date from its own passages: ragqa update {old}"
    with pytest.raises(IndexStoreError, match=re.escape(f"{old} has index format {before}, not {FORMAT}; {remedy}")):
        open_it(old)


def test_an_update_migrates_an_older_index_and_embeds_nothing(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, passages = files_of(old), read_previous(old).passages
    assert not is_up_to_date(old)
    monkeypatch.setattr(Embedder, "embed", lambda *_: pytest.fail("something was embedded"))
    assert update_index(old) == IndexReport(4, 0, (), (), ())
    assert is_up_to_date(old)
    monkeypatch.undo()
    assert verify(old) == "4 passages, every byte as written"
    assert files_of(old)["dense/vectors.npy"] == before["dense/vectors.npy"]
    index, dense = open_index(old)
    assert dense is not None
    assert (index.k1, index.b, tuple(index.passages)) == (1.2, 0.5, passages)
    build_index(tmp_path / "built", passages, embedder=dense.embedder, k1=1.2, b=0.5)
    vectors = open_index(tmp_path / "built")[1]
    assert vectors is not None
    np.testing.assert_allclose(dense.vectors, vectors.vectors, atol=0.02)
    built, migrated = files_of(tmp_path / "built"), files_of(old)
    with_vectors = {
        "dense/vectors.npy",
        "dense/manifest.json",
        "checksums.json",
    }  # another processor may embed otherwise
    assert built.keys() == migrated.keys()
    assert all(built[name] == migrated[name] for name in built.keys() - with_vectors)
    assert Retriever.open(old).search(QUESTION, 1)[0].passage.title == "Drip irrigation"


def test_the_command_migrates_once(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", QUESTION, "--index", str(old)]) == 1
    assert f"ragqa update {old}\n" in capsys.readouterr().err
    assert main(["update", str(old)]) == 0
    told = "4 passages, 0 of them embedded now; pages: 0 added, 0 changed, 0 removed"
    assert capsys.readouterr().out == f"{old}: {told}\n"
    assert main(["ask", QUESTION, "--index", str(old), "--threshold", "0"]) == 0
    assert main(["update", str(old)]) == 1
    assert "nothing to update" in capsys.readouterr().err


def test_a_migration_may_add_and_remove_pages(old: Path) -> None:
    new = Passage("Rain barrel#0", "Rain barrel", text="A rain barrel stores water.")
    assert update_index(old, [new], ["Watering can"]) == IndexReport(3, 1, (new.title,), (), (TITLES[0],))
    assert {passage.title for passage in Bm25Index.open(old).passages} == {*TITLES[1:], new.title}


def test_a_build_keeps_the_vectors_of_an_older_index(old: Path) -> None:
    passages = read_previous(old).passages
    assert build_index(old, passages[:3], embedder=Embedder.load()) == IndexReport(3, 0, (), (), TITLES[2:])
    assert is_up_to_date(old)


def test_a_migration_that_fails_leaves_the_older_index(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files_of(old)
    monkeypatch.setattr(DenseIndex, "write", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        update_index(old)
    assert files_of(old) == before
    monkeypatch.undo()
    assert update_index(old).embedded == 0


@pytest.mark.parametrize("name", ["passages.jsonl", "lines.npy", "manifest.json", "dense/vectors.npy"])
def test_a_damaged_older_index_is_not_migrated(old: Path, name: str) -> None:
    path = current(old) / name
    data = path.read_bytes()
    path.write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
    before = files_of(old)
    with pytest.raises(IndexStoreError, match=f"{name} is damaged.*; build it again: ragqa index"):
        update_index(old)
    assert files_of(old) == before
    assert not find_previous(old).vectors


def test_postings_are_not_needed_for_a_migration(old: Path) -> None:
    for name in ("weights.npy", "vocabulary.json"):
        path = current(old) / name
        path.write_bytes(bytes(path.stat().st_size))
    assert update_index(old) == IndexReport(4, 0, (), (), ())
    assert Retriever.open(old).search(QUESTION, 1)[0].passage.title == "Drip irrigation"


def test_an_index_of_another_analyzer_is_brought_up_to_date(
    tmp_path: Path, word_embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, passage = tmp_path / "index", Passage("Kernel#0", "Kernel", text="a kernel is a function")
    monkeypatch.setattr(analyzer, "STOP_WORDS", analyzer.STOP_WORDS | {"kernel"})
    build_index(index, [passage], embedder=word_embedder)
    before = files_of(index)
    monkeypatch.undo()
    with pytest.raises(IndexStoreError, match=rf"built with another analyzer; bring it up .*: ragqa update {index}$"):
        open_index(index)
    assert update_index(index, embedder=word_embedder).embedded == 0

    built = tmp_path / "built"
    build_index(built, [passage], embedder=word_embedder)
    assert files_of(index) == files_of(built)
    assert files_of(index)["weights.npy"] != before["weights.npy"]


def test_vectors_of_an_earlier_bundled_embedder_are_made_again(tmp_path: Path, word_embedder: Embedder) -> None:
    index, passages = tmp_path / "index", [Passage("Kernel#0", "Kernel", text="a kernel is a function")]
    save_index(index, Bm25Index.build(passages), DenseIndex.build(passages, word_embedder))
    assert not is_up_to_date(index)
    with pytest.raises(
        IndexStoreError, match=f"made with another embedder; bring it up to date .*: ragqa update {index}$"
    ):
        open_index(index)
    assert update_index(index).embedded == 1
    dense = open_index(index)[1]
    assert dense is not None
    assert dense.embedder.is_bundled


@pytest.mark.parametrize("number", [min(OLDER_FORMATS) - 1, FORMAT + 1])
def test_formats_that_cannot_be_read_are_refused(tmp_path: Path, number: int) -> None:
    index = tmp_path / "index"
    Bm25Index.build([Passage("1", "Kernel")]).save(index)
    generation = current(index)
    with new_generation(index) as other:
        for path in generation.iterdir():
            shutil.copy(path, other)
        manifest = json.loads((other / "manifest.json").read_text())
        (other / "manifest.json").write_text(json.dumps(manifest | {"format": number}))
    for check in (update_index, is_up_to_date, Bm25Index.open):
        with pytest.raises(IndexStoreError, match=f"has index format {number}, not {FORMAT}; build it again"):
            check(index)
