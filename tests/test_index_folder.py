import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragqa.cli import main
from ragqa.errors import CorpusError, FallbackWarning, IndexStoreError, InputError
from ragqa.index.bm25 import Bm25Index
from ragqa.index.dense import DenseIndex
from ragqa.index.folder import IndexReport, build_index, open_index, save_index, update_index
from ragqa.models.embedder import BUNDLED, FAST, Embedder
from ragqa.records import Passage
from ragqa.search.retriever import Retriever
from ragqa.storage.generations import current
from ragqa.storage.json_lines import write_json_lines

PASSAGES = [
    Passage("Dropout#0", "Dropout", text="switches units off", url="http://w/index.php?title=Dropout&oldid=7"),
    Passage("Dropout#1", "Dropout", text="for training"),
    Passage("Bagging#0", "Bagging", text="averages models"),
]
TITLES = ("Bagging", "Dropout", "Support vector machine (SVM)", "SVM", "Étale")
TEXTS = ("", "a support vector machine (SVM) separates", "SVM and k-means", "The Kernel is a kernel", "the of")
EDITS = st.lists(
    st.dictionaries(st.sampled_from(TITLES), st.lists(st.sampled_from(TEXTS), max_size=3), min_size=1, max_size=3),
    max_size=4,
)


class CountingEngine:
    """The vectors of another engine, and how many texts they were asked for."""

    def __init__(self, embedder: Embedder) -> None:
        self.engine, self.texts = embedder._engine, 0

    def vectors(self, texts: Sequence[str], progress: Callable[[int], object] | None) -> "np.ndarray":
        self.texts += len(texts)
        return self.engine.vectors(texts, progress)


def files_of(index: Path) -> dict[str, bytes]:
    generation = current(index)
    return {str(p.relative_to(generation)): p.read_bytes() for p in generation.rglob("*") if p.is_file()}


def passages_of(title: str, texts: Sequence[str]) -> list[Passage]:
    return [Passage(f"{title}#{n}", title, "Use", 0, len(text), text) for n, text in enumerate(texts)]


@pytest.fixture
def index(tmp_path: Path, word_embedder: Embedder) -> Path:
    build_index(tmp_path / "index", PASSAGES, embedder=word_embedder)
    return tmp_path / "index"


def test_a_build_says_what_it_did(tmp_path: Path, word_embedder: Embedder) -> None:
    done: list[int] = []
    report = build_index(tmp_path / "index", PASSAGES, embedder=word_embedder, progress=done.append)
    assert report == IndexReport(3, 3, ("Dropout", "Bagging"), (), ())
    assert sum(done) == 3
    assert build_index(tmp_path / "plain", PASSAGES[:1]) == IndexReport(1, 0, ("Dropout",), (), ())


def test_the_manifest_says_what_the_index_is_made_of(index: Path) -> None:
    opened = Bm25Index.open(index)
    assert opened.manifest["embedder"] == {"source": "", "identity": "words"}
    assert opened.manifest["texts"] == Bm25Index.build(PASSAGES).texts_digest
    assert len(opened.manifest["reranker"]) == 16
    assert {"ragqa", "numpy", "openvino"} < opened.manifest["versions"].keys()
    assert (current(index) / "pages.json").read_text() == '{"Dropout": 7, "Bagging": null}\n'
    assert not list(index.rglob("*.pkl"))


def test_an_index_finds_the_fast_embedder_by_its_name(tmp_path: Path) -> None:
    build_index(tmp_path / "index", PASSAGES, embedder=Embedder.load(FAST))
    (tmp_path / "index").rename(tmp_path / "moved")
    retriever = Retriever.open(tmp_path / "moved")  # without a warning: the reranker's calibration fits
    assert retriever.dense
    assert retriever.dense.embedder.source == FAST
    assert retriever.search("what is bagging?", 1)[0].probability is not None
    assert update_index(tmp_path / "moved", remove=["Bagging"]).removed == ("Bagging",)
    with pytest.raises(IndexStoreError, match="was made with another embedder"):
        open_index(tmp_path / "moved", embedder=Embedder.load())


def test_a_new_version_of_the_fast_embedder_is_told_with_the_command_that_helps(tmp_path: Path) -> None:
    fast = Embedder.load(FAST)
    build_index(tmp_path / "index", PASSAGES, embedder=Embedder(fast._engine, FAST, "0123456789abcdef"))
    with pytest.raises(IndexStoreError, match="another embedder.*ragqa update"):
        open_index(tmp_path / "index")
    assert main(["update", str(tmp_path / "index")]) == 0
    assert open_index(tmp_path / "index")[1] is not None


def test_a_second_build_takes_over_the_vectors_of_what_has_not_changed(index: Path, word_embedder: Embedder) -> None:
    counting = CountingEngine(word_embedder)
    changed = [*PASSAGES[:2], Passage("Bagging#0", "Bagging", text="resamples"), Passage("New#0", "New", text="models")]
    report = build_index(index, changed, embedder=Embedder(counting, "", "words"))
    assert report == IndexReport(4, 2, ("New",), ("Bagging",), ())
    assert counting.texts == 2
    other = CountingEngine(word_embedder)
    assert build_index(index, changed, embedder=Embedder(other, "", "another")).embedded == other.texts == 4


def test_a_damaged_index_is_built_again(index: Path, word_embedder: Embedder) -> None:
    whole = files_of(index)
    for name in [*whole, "../CURRENT"]:
        path = current(index) / name
        data = path.read_bytes()
        path.write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
        build_index(index, PASSAGES, embedder=word_embedder)
        assert files_of(index) == whole, name


def test_pages_are_added_changed_and_removed(index: Path, word_embedder: Embedder) -> None:
    new = [Passage("Dropout#0", "Dropout", text="sets units to zero"), Passage("Boosting#0", "Boosting", text="adds")]
    report = update_index(index, new, ["Bagging"], embedder=word_embedder)
    assert report == IndexReport(2, 2, ("Boosting",), ("Dropout",), ("Bagging",))
    opened, dense = open_index(index, embedder=word_embedder)
    assert list(opened.passages) == new
    assert dense is not None


def test_an_update_keeps_the_settings_of_the_index(tmp_path: Path) -> None:
    build_index(tmp_path / "index", PASSAGES, k1=1.5, b=0.75)
    update_index(tmp_path / "index", remove=["Bagging"])
    opened, dense = open_index(tmp_path / "index")
    assert (opened.k1, opened.b, dense) == (1.5, 0.75, None)


def test_what_cannot_be_updated_is_refused_and_nothing_lost(
    index: Path, tmp_path: Path, word_embedder: Embedder
) -> None:
    whole = files_of(index)
    with pytest.raises(InputError, match=f"there is no page 'Boosting' in {index}"):
        update_index(index, remove=["Boosting"], embedder=word_embedder)
    with pytest.raises(
        InputError, match=r"^page 'Bagging' is both to be removed and among the passages; leave out one"
    ):
        update_index(index, iter(PASSAGES), remove=["Bagging", "Boosting"], embedder=word_embedder)
    with pytest.raises(CorpusError, match="there are no passages"):
        update_index(index, remove=["Bagging", "Dropout"], embedder=word_embedder)
    with pytest.raises(InputError, match="two passages have the id"):
        update_index(index, [Passage("Bagging#0", "Another")], embedder=word_embedder)
    assert files_of(index) == whole
    build_index(tmp_path / "plain", PASSAGES)
    with pytest.raises(InputError, match="plain holds no vectors, so it has no use for an embedder"):
        update_index(tmp_path / "plain", remove=["Bagging"], embedder=word_embedder)
    with pytest.raises(IndexStoreError, match="is not an index"):
        update_index(tmp_path / "nowhere", PASSAGES)
    assert not (tmp_path / "nowhere").exists()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("index")


@settings(max_examples=30)  # of several builds each
@given(EDITS)
def test_updates_give_what_a_build_of_the_same_passages_gives(
    folder: Path, word_embedder: Embedder, edits: list[dict[str, list[str]]]
) -> None:
    pages = {"Kernel": passages_of("Kernel", ["a kernel is a function", "SVM"])}
    build_index(folder / "updated", pages["Kernel"], embedder=word_embedder)
    for edit in edits:
        removed = [title for title, texts in edit.items() if not texts and title in pages]
        changed = [p for title, texts in edit.items() for p in passages_of(title, texts)]
        update_index(folder / "updated", changed, removed, embedder=word_embedder)
        pages = {title: own for title, own in pages.items() if title not in removed}
        pages |= {title: passages_of(title, texts) for title, texts in edit.items() if texts}
    together = [p for own in pages.values() for p in own]
    save_index(folder / "built", Bm25Index.build(together), DenseIndex.build(together, word_embedder))
    assert files_of(folder / "updated") == files_of(folder / "built")
    updated, built = (open_index(folder / name, embedder=word_embedder) for name in ("updated", "built"))
    question = "what is an SVM kernel?"
    assert Retriever(updated[0], None, dense=updated[1]).search(question) == Retriever(
        built[0], None, dense=built[1]
    ).search(question)


def test_the_bundled_embedder_gives_the_same_vectors_in_an_update(
    tmp_path: Path, starter_passages: tuple[Passage, ...]
) -> None:
    some, embedder = starter_passages[:90], Embedder.load()
    build_index(tmp_path / "built", some, embedder=embedder)
    build_index(tmp_path / "updated", some[:50], embedder=embedder)
    update_index(tmp_path / "updated", [p for p in some if p.title in {q.title for q in some[45:]}])
    assert files_of(tmp_path / "updated") == files_of(tmp_path / "built")


def test_an_index_is_saved_with_its_vectors_or_not_at_all(
    tmp_path: Path, word_embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, dense = Bm25Index.build(PASSAGES), DenseIndex.build(PASSAGES, word_embedder)
    save_index(tmp_path / "index", index, dense)
    whole = files_of(tmp_path / "index")
    opened, vectors = open_index(tmp_path / "index", embedder=word_embedder)
    assert opened.texts_digest == index.texts_digest
    assert vectors is not None
    assert vectors.scores("models").tolist() == dense.scores("models").tolist()
    assert open_index(tmp_path / "index", dense=False)[1] is None
    monkeypatch.setattr(DenseIndex, "write", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_index(tmp_path / "index", Bm25Index.build(PASSAGES[:1]), dense)
    assert files_of(tmp_path / "index") == whole
    save_index(tmp_path / "index", index, None)
    assert open_index(tmp_path / "index")[1] is None


def test_an_embedder_that_is_gone_says_what_can_be_done(tmp_path: Path, word_embedder: Embedder) -> None:
    moved = Embedder(word_embedder._engine, str(tmp_path / "moved"), "words")
    save_index(tmp_path / "index", Bm25Index.build(PASSAGES), DenseIndex.build(PASSAGES, moved))
    with pytest.raises(
        IndexStoreError, match=r"cannot be loaded .*; name it with --embedder, search with --no-dense, or"
    ):
        open_index(tmp_path / "index")


@pytest.mark.parametrize("source", ["nobody/nothing", "models/own", "nothing"])
def test_no_hub_and_no_relative_folder_is_looked_for_because_an_index_names_it(
    tmp_path: Path, word_embedder: Embedder, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(BUNDLED, tmp_path / "models" / "own")
    named = Embedder(word_embedder._engine, source, "words")
    save_index(tmp_path / "index", Bm25Index.build(PASSAGES), DenseIndex.build(PASSAGES, named))
    monkeypatch.setattr(Embedder, "load", lambda *_: pytest.fail("something was loaded"))
    told = rf"cannot be loaded \({source} is not a folder on this machine\); name it with --embedder, search with --no-"
    for open_it in (open_index, update_index):
        with pytest.raises(IndexStoreError, match=told):
            open_it(tmp_path / "index")
    opened, dense = open_index(tmp_path / "index", embedder=word_embedder)
    assert dense is not None
    assert len(opened.passages) == len(PASSAGES)


CHINESE = "园丁在春天修剪苹果树，使阳光照到每一根枝条。"


def test_passages_in_other_scripts_are_indexed_with_a_warning_that_names_the_remedy(tmp_path: Path) -> None:
    passages = [Passage("1", "Apple", text=CHINESE), Passage("2", "Rose", text="Roses need sun.")]
    with pytest.warns(FallbackWarning, match=r"^most letters .* are not Latin: the bundled models read English; ask"):
        build_index(tmp_path / "index", passages)
    index, _ = open_index(tmp_path / "index")
    assert [passage.id for passage, _ in index.search("苹果树怎么修剪？")] == ["1"]


@pytest.mark.filterwarnings("default::ragqa.errors.FallbackWarning")
def test_the_command_makes_no_vectors_of_another_script_with_the_bundled_embedder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_json_lines(tmp_path / "passages.jsonl", [Passage("1", "Apple", text=CHINESE)])
    assert main(["index", "--passages", str(tmp_path / "passages.jsonl"), "--out", str(tmp_path / "index")]) == 0
    assert "warning: most letters of the passages are not Latin: the bundled models read" in capsys.readouterr().err
    assert not Bm25Index.open(tmp_path / "index").has_vectors


def test_another_embedder_or_a_few_foreign_letters_give_no_warning(tmp_path: Path, word_embedder: Embedder) -> None:
    build_index(tmp_path / "one", [Passage("1", "Apple", text=CHINESE)], embedder=word_embedder)
    build_index(tmp_path / "two", [Passage("1", "Émile", text="Ångström, naïve, " * 3 + CHINESE)])
