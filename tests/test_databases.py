"""Indexes in databases answer as those in folders do: the embedded engine of Qdrant, and a real PostgreSQL with pgvector."""

import multiprocessing
import pickle
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from postgres_server import run_postgres

from ragqa import Passage, Retriever
from ragqa.cli import main
from ragqa.errors import IndexStoreError, InputError
from ragqa.evaluation.judged import read_starter_graded
from ragqa.index.bm25 import Bm25Index
from ragqa.index.database import DatabaseIndex, Store, open_store, push_index
from ragqa.index.dense import DenseIndex
from ragqa.index.folder import build_index
from ragqa.index.neighbours import neighbours
from ragqa.index.starter import open_starter, open_starter_vectors
from ragqa.search.explanation import explain

pytest.importorskip("pg0")
pytest.importorskip("qdrant_client")

NewUri = Callable[[], str]
TOLERANCE = 1e-5  # of cosines and of what is computed from them

PASSAGES = tuple(
    Passage(
        f"page {n % 7}#{n}",
        f"page {n % 7}",
        section=("", "Use", "History")[n % 3],
        text=f"The {word} layer number {n} learns {word} features from data{' and more data' * (n % 4)}.",
        metadata={
            "year": 2000 + n % 9,
            "kind": ("text", "image")[n % 2],
            "date": f"2024-0{1 + n % 9}-01",
            "tags": ["a", "b"][: n % 3],
            "checked": n % 5 == 0 if n % 4 else None,
        },
    )
    for n, word in enumerate(["dense", "sparse", "hidden", "convolutional", "recurrent", "dropout"] * 20)
)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URI of a PostgreSQL server that is started for the tests."""
    with run_postgres() as uri:
        yield uri


@pytest.fixture(scope="module", params=["qdrant", "postgresql"])
def new_uri(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NewUri:
    """Return URIs of places that hold nothing yet."""
    count = iter(range(1000))
    if request.param == "qdrant":
        return lambda: f"qdrant://{tmp_path_factory.mktemp('qdrant')}/wiki"
    uri = request.getfixturevalue("server")
    return lambda: f"{uri}#wiki_{next(count)}"


def push(index: Bm25Index, dense: DenseIndex | None, uri: str) -> None:
    store = open_store(uri)
    push_index(index, dense, store)
    store.close()


@pytest.fixture(scope="module")
def starter() -> tuple[Bm25Index, DenseIndex]:
    index = open_starter()
    return index, open_starter_vectors(index)


@pytest.fixture(scope="module")
def pair(starter: tuple[Bm25Index, DenseIndex], new_uri: NewUri) -> Iterator[tuple[Retriever, Retriever]]:
    """A retriever of the starter corpus, and one of its copy in a database."""
    uri = new_uri()
    push(*starter, uri)
    copied = Retriever.open(uri)
    yield Retriever.open(), copied
    store_of(copied).close()


def store_of(retriever: Retriever) -> Store:
    assert isinstance(retriever.index, DatabaseIndex)
    return retriever.index.store


def test_the_candidates_are_those_of_the_folder(pair: tuple[Retriever, Retriever]) -> None:
    folder, database = pair
    questions = list(read_starter_graded().questions.values())
    assert len(questions) > 100
    for question in questions:
        (ours, near), (theirs, also_near) = folder.find(question), database.find(question)
        assert [hit.passage for hit in theirs] == [hit.passage for hit in ours]
        assert [hit.bm25_score for hit in theirs] == [hit.bm25_score for hit in ours]  # to the last bit
        assert near is not None
        assert also_near is not None
        np.testing.assert_allclose(also_near, near, atol=TOLERANCE)


@pytest.mark.parametrize("question", ["why does dropout help?", "what is gradent descent", "adam vs sgd", "2 + 2"])
def test_answers_are_those_of_the_folder(pair: tuple[Retriever, Retriever], question: str) -> None:
    ours, theirs = (retriever.ask(question) for retriever in pair)
    assert (theirs.text, theirs.typed, theirs.abstained) == (ours.text, ours.typed, ours.abstained)
    assert theirs.probability == pytest.approx(ours.probability, abs=1e-4)


def test_bm25_alone_finds_the_same(pair: tuple[Retriever, Retriever]) -> None:
    folder, database = (Retriever(retriever.index, None) for retriever in pair)
    for question in ("regularization", "the learning rate of an optimizer", "loss", "quokka"):
        ours, theirs = (retriever.search(question, 200) for retriever in (folder, database))
        assert [(hit.passage, hit.bm25_score) for hit in theirs] == [(hit.passage, hit.bm25_score) for hit in ours]


def test_other_ways_to_read_an_index(pair: tuple[Retriever, Retriever]) -> None:
    folder, database = pair
    hit = folder.search("what is a kernel?", 1)[0]
    ours, theirs = (explain(retriever, "what is a kernel?", hit) for retriever in pair)
    assert theirs.terms == ours.terms
    assert theirs.missing == ours.missing
    assert neighbours(database.index, hit.passage, 2, 2) == neighbours(folder.index, hit.passage, 2, 2)
    assert sorted(database.index.passages, key=lambda p: p.id) == sorted(folder.index.passages, key=lambda p: p.id)
    with pytest.raises(InputError, match="no passage of the index has the id 'none'"):
        database.index.position("none")


@pytest.mark.parametrize(
    "where",
    [
        {"kind": "image"},
        {"kind!=": "image"},
        {"year>=": 2004, "kind": "text"},
        {"date<": "2024-04-01"},
        {"tags": ["b"]},
        {"tags!=": "a", "year": [2001, 2002]},
        {"checked": True},
        {"checked!=": True},
        {"section": "Use"},
        {"id": "page 3#3"},
        {"year>": 2999},
    ],
)
def test_filters_mean_the_same(new_uri: NewUri, small: tuple[Retriever, Retriever], where: dict[str, object]) -> None:
    folder, database = small
    for question in ("dense layer", "what are recurrent features?", "data"):
        ours, theirs = folder.search(question, 50, where=where), database.search(question, 50, where=where)
        assert [(hit.passage, hit.bm25_score) for hit in theirs] == [(hit.passage, hit.bm25_score) for hit in ours]
    assert database.none_meets(where) == folder.none_meets(where)


@pytest.fixture(scope="module")
def small(new_uri: NewUri) -> Iterator[tuple[Retriever, Retriever]]:
    index, uri = Bm25Index.build(PASSAGES), new_uri()
    push(index, None, uri)
    copied = Retriever.open(uri, reranker=None)
    yield Retriever(index, None), copied
    store_of(copied).close()


@pytest.mark.parametrize("where", [{"kid": "image"}, {"year": "x"}, {"tags": 3}])
def test_wrong_filters_get_the_same_message(small: tuple[Retriever, Retriever], where: dict[str, object]) -> None:
    said = []
    for retriever in small:
        with pytest.raises(InputError) as error:
            retriever.search("data", where=where)
        said.append(str(error.value))
    assert said[0] == said[1]


def test_a_reader_keeps_its_index_until_the_push_after_the_next(new_uri: NewUri) -> None:
    uri = new_uri()
    if uri.startswith("qdrant"):
        pytest.skip("the embedded engine serves one process, and one client in it")
    push(Bm25Index.build(PASSAGES[:60]), None, uri)
    reader = Retriever.open(uri, reranker=None)
    before = reader.search("dense layer")
    push(Bm25Index.build(PASSAGES[60:]), None, uri)
    assert reader.search("dense layer") == before
    newer = Retriever.open(uri, reranker=None).search("dense layer")
    assert not {hit.passage.id for hit in newer} & {hit.passage.id for hit in before}
    push(Bm25Index.build(PASSAGES), None, uri)
    with pytest.raises(IndexStoreError, match="has been replaced; open it again"):
        reader.search("sparse layer")
    again = pickle.loads(pickle.dumps(Retriever.open(uri, reranker=None)))
    assert again.search("dense layer") == Retriever(Bm25Index.build(PASSAGES), None).search("dense layer")


def test_a_push_that_breaks_off_changes_nothing(new_uri: NewUri) -> None:
    uri = new_uri()
    push(Bm25Index.build(PASSAGES[:60]), None, uri)

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    store = open_store(uri)
    with pytest.raises(KeyboardInterrupt):
        push_index(Bm25Index.build(PASSAGES), None, store, stop)
    store.close()
    reader = Retriever.open(uri, reranker=None)
    assert len(reader.index.passages) == 60
    store_of(reader).close()
    push(Bm25Index.build(PASSAGES), None, uri)
    reader = Retriever.open(uri, reranker=None)
    assert len(reader.index.passages) == len(PASSAGES)
    store_of(reader).close()


def test_push_and_ask_on_the_command_line(new_uri: NewUri, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uri = new_uri()
    build_index(tmp_path / "index", PASSAGES)
    assert main(["push", str(tmp_path / "index"), uri]) == 0
    assert f"{len(PASSAGES)} passages are stored without vectors" in capsys.readouterr().out
    if uri.startswith("postgresql"):
        assert main(["ask", "dropout layer", "--bm25-only", "--index", uri]) == 0
        assert "dropout" in capsys.readouterr().out
        assert main(["demo", "--index", uri]) == 1
        said = capsys.readouterr().err
        assert "needs an index folder" in said
        assert "postgres:postgres" not in said


def test_a_damaged_index_is_not_copied(new_uri: NewUri, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build_index(tmp_path / "index", PASSAGES)
    (weights,) = (tmp_path / "index").glob("*/weights.npy")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    uri = new_uri()
    assert main(["push", str(tmp_path / "index"), uri]) == 1
    assert "weights.npy" in capsys.readouterr().err
    with pytest.raises(IndexStoreError, match="there is no index"):
        Retriever.open(uri, reranker=None)


def test_what_is_not_there(new_uri: NewUri) -> None:
    with pytest.raises(IndexStoreError, match="there is no index at .*ragqa push"):
        Retriever.open(new_uri(), reranker=None)


@pytest.mark.parametrize("uri", ["qdrant://127.0.0.1:9/wiki", "postgresql://me:secret@127.0.0.1:9/db#wiki"])
def test_a_server_that_is_away(uri: str) -> None:
    with pytest.raises(IndexStoreError, match="does not respond") as error:
        Retriever.open(uri, reranker=None)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("uri", ["qdrant://wiki.invalid/wiki", "postgresql://me:secret@wiki.invalid/db"])
def test_offline_no_other_machine_is_asked(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGQA_OFFLINE", "1")
    with pytest.raises(IndexStoreError, match="is not asked: ragqa is offline") as error:
        Retriever.open(uri, reranker=None)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("mongodb://host/wiki", "no database that ragqa knows; there are postgresql, qdrant"),
        ("qdrant://localhost:6333", "does not name a collection"),
        ("postgresql://localhost/db#Wiki;drop", "is no name of a schema"),
    ],
)
def test_wrong_uris(uri: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Retriever.open(uri, reranker=None)


def test_a_forked_child_searches_too(new_uri: NewUri) -> None:
    uri = new_uri()
    if uri.startswith("qdrant"):
        pytest.skip("the embedded engine serves one process")
    push(Bm25Index.build(PASSAGES), None, uri)
    retriever = Retriever.open(uri, reranker=None)
    asked = "densse layer"  # its correction reads postings too
    found = [hit.passage.id for hit in retriever.search(asked)]
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send([hit.passage.id for hit in retriever.search(asked)]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks of processes with threads
        child.start()
    assert receiver.poll(30)
    assert receiver.recv() == found
    child.join(30)
    assert [hit.passage.id for hit in retriever.search("dense layer")] == found
