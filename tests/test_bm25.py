import json
import math
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa.errors import CorpusError, IndexStoreError, InputError
from ragqa.index.bm25 import FORMAT, Bm25Index
from ragqa.index.previous import is_up_to_date
from ragqa.index.terms import Fields, find_abbreviations, passage_terms, question_terms
from ragqa.records import Passage
from ragqa.storage.generations import current, new_generation
from ragqa.text import analyzer
from ragqa.text.analyzer import Analyzer
from ragqa.text.passages import full_text

REMEDY = r"build it again: ragqa index --passages passages\.jsonl --out"
Damage = Callable[[Path], object]

WORDS = "neuron network k-means kernel loss tree forest C++ é 🧠 the of".split()
TEXTS = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
CORPORA = (
    st.lists(TEXTS, min_size=1, max_size=25)
    .map(
        lambda texts: [
            Passage(f"p{n * 7 % 25:02}", "neuron" if n % 5 == 4 else "", text=text) for n, text in enumerate(texts)
        ]
    )
    .filter(lambda passages: any(Analyzer().terms(full_text(p)) for p in passages))
)
QUESTIONS = st.lists(st.sampled_from([*WORDS, "what", "unseen"]), min_size=1, max_size=5).map(" ".join)
PARAMETERS = st.tuples(st.sampled_from([0.1, 0.9, 1.5]), st.sampled_from([0.0, 0.4, 1.0]))


def _passages(*texts: str) -> list[Passage]:
    return [Passage(f"p{n}", "", text=text) for n, text in enumerate(texts)]


def _oracle(passages: list[Passage], question: str, k1: float, b: float) -> dict[str, float]:
    """The formula of the module, word for word."""
    analyzer = Analyzer()
    abbreviations = find_abbreviations(passages, analyzer)
    listed = passage_terms(passages, Fields(), analyzer, abbreviations)
    terms = {p.id: own for p, own in zip(passages, listed, strict=True)}
    mean = sum(map(len, terms.values())) / len(passages)
    scores = dict.fromkeys(terms, 0.0)
    for term in question_terms(question, analyzer, abbreviations):
        containing = sum(term in t for t in terms.values())
        for passage_id, own in terms.items():
            if tf := own.count(term):
                idf = math.log((len(passages) + 1) / containing)
                scores[passage_id] += idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * len(own) / mean))
    return scores


@given(CORPORA, QUESTIONS, PARAMETERS)
def test_scores_are_those_of_the_formula(passages: list[Passage], question: str, weights: tuple[float, float]) -> None:
    k1, b = weights
    expected = {i: score for i, score in _oracle(passages, question, k1, b).items() if score > 0}
    found = Bm25Index.build(passages, k1=k1, b=b).search(question, k=len(passages))
    assert {passage.id: score for passage, score in found} == pytest.approx(expected, abs=1e-5)


@given(CORPORA, QUESTIONS, PARAMETERS, st.integers(1, 40))
def test_rank_bm25_gives_the_same_scores_and_order(
    passages: list[Passage], question: str, weights: tuple[float, float], k: int
) -> None:
    k1, b = weights
    found = Bm25Index.build(passages, k1=k1, b=b).search(question, k)
    reference = Bm25Index.build(passages, k1=k1, b=b, engine="rank-bm25").search(question, k)
    assert [score for _, score in found] == pytest.approx([score for _, score in reference], abs=1e-5)
    assert [passage.id for passage, _ in found] == [passage.id for passage, _ in reference]


@given(CORPORA, QUESTIONS, st.integers(1, 40))
def test_the_best_come_first_ties_by_id_and_no_more_than_k(passages: list[Passage], question: str, k: int) -> None:
    index = Bm25Index.build(passages)
    everything = index.search(question, k=1000)
    assert everything == sorted(everything, key=lambda hit: (-hit[1], hit[0].id))
    assert index.search(question, k) == everything[:k]


@pytest.mark.parametrize("engine", ["sparse", "rank-bm25"])
def test_copies_tie_by_id_whatever_their_place(engine: str) -> None:
    passages = [Passage(i, "", text="a kernel") for i in "dbca"]
    found = Bm25Index.build(passages, engine=engine).search("kernel", k=3)
    assert [passage.id for passage, _ in found] == ["a", "b", "c"]
    assert len({score for _, score in found}) == 1


def test_title_and_section_are_searched_too() -> None:
    index = Bm25Index.build([Passage("1", "Dropout", "History", text="It began."), Passage("2", "Other", text="No.")])
    assert [p.id for p, _ in index.search("dropout")] == ["1"]
    assert [p.id for p, _ in index.search("history")] == ["1"]


def test_abbreviations_and_long_forms_find_each_other() -> None:
    index = Bm25Index.build(
        _passages("A support vector machine (SVM) separates.", "SVM training", "a support vector machine")
    )
    assert {p.id for p, _ in index.search("SVM")} == {"p0", "p1", "p2"}
    assert {p.id for p, _ in index.search("support vector machine")} == {"p0", "p1", "p2"}
    plain = Bm25Index.build(index.passages, fields=Fields(abbreviations=False, questions=False))
    assert {p.id for p, _ in plain.search("SVM")} == {"p0", "p1"}


def test_fields_that_count_nothing_are_not_searched() -> None:
    passages = [Passage("1", "Dropout", "History", text="It began."), Passage("2", "Other", text="No.")]
    index = Bm25Index.build(passages, fields=Fields(title=0, section=0, questions=False))
    assert not index.search("dropout history")
    with pytest.raises(InputError, match="the weight of the title is -1; it must be from 0 to 10"):
        Fields(title=-1)


def test_a_passage_without_words_is_never_found() -> None:
    index = Bm25Index.build(_passages("", "kernel", "∑ 🧠"))
    assert [p.id for p, _ in index.search("kernel ∑ 🧠")] == ["p1"]


@pytest.mark.parametrize("question", ["", "🧠 ?!", "unseen", "unseen words only"])
def test_a_question_that_shares_no_term_finds_nothing(question: str) -> None:
    assert Bm25Index.build(_passages("kernel", "tree")).search(question) == []


def test_a_question_may_hold_anything() -> None:
    index = Bm25Index.build(_passages("kernel", "tree"))
    for question in ("kernel \x00 \udcff", "kernel " * 10_000, "KERNEL\n\t\u2028"):
        assert [p.id for p, _ in index.search(question)] == ["p0"]


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one_is_refused(k: int) -> None:
    with pytest.raises(InputError, match=rf"^k is {k}; at least 1 is needed$"):
        Bm25Index.build(_passages("kernel")).search("kernel", k)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"k1": -0.1}, r"k1 is -0\.1 and b 0\.4; k1 must be above 0"),
        ({"k1": 0}, "k1 is 0 "),
        ({"k1": math.inf}, "k1 is inf"),
        ({"b": 1.1}, r"k1 is 0\.9 and b 1\.1; .* b between 0 and 1"),
        ({"b": math.nan}, "b nan"),
        ({"k1": math.nan}, "k1 is nan"),
        ({"engine": "lucene"}, "engine 'lucene' is unknown; there are sparse and rank-bm25"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, float | str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Bm25Index.build(_passages("kernel"), **settings)  # type: ignore[arg-type]


def test_two_passages_with_one_id_are_refused() -> None:
    with pytest.raises(InputError, match="two passages have the id 'a'; remove one of them"):
        Bm25Index.build([Passage("a", "A"), Passage("b", "B"), Passage("a", "C")])


@pytest.mark.parametrize("engine", ["sparse", "rank-bm25"])
@pytest.mark.parametrize(
    ("texts", "message"), [((), "there are no passages to index"), (("", "the of 🧠"), "no passage holds a word")]
)
def test_without_words_there_is_no_index(engine: str, texts: tuple[str, ...], message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        Bm25Index.build(_passages(*texts), engine=engine)


def test_an_index_may_hold_one_passage(tmp_path: Path) -> None:
    index = Bm25Index.build(_passages("kernel"))
    index.save(tmp_path / "index")
    assert Bm25Index.open(tmp_path / "index").search("kernel") == index.search("kernel")
    assert len(index.search("kernel")) == 1


@given(CORPORA, st.lists(QUESTIONS, min_size=1), PARAMETERS)
def test_an_opened_index_finds_what_the_saved_one_found(
    folder: Path, passages: list[Passage], questions: list[str], weights: tuple[float, float]
) -> None:
    built = Bm25Index.build(passages, k1=weights[0], b=weights[1])
    built.save(folder / "index")
    opened = Bm25Index.open(folder / "index")
    assert Bm25Index.verify(folder / "index") == len(passages)
    assert (opened.passages, opened.k1, opened.b) == (built.passages, built.k1, built.b)
    for question in questions:
        assert opened.search(question) == built.search(question)


def test_an_opened_index_can_be_saved_again(tmp_path: Path, saved: Path) -> None:
    Bm25Index.open(saved).save(tmp_path / "copy")
    assert files_of(tmp_path / "copy") == files_of(saved)


def test_a_save_replaces_the_index_that_was_there_even_the_one_it_was_opened_from(saved: Path) -> None:
    opened = Bm25Index.open(saved)
    opened.save(saved)
    assert Bm25Index.open(saved).search("kernel") == opened.search("kernel")
    Bm25Index.build(_passages("another")).save(saved)
    assert [p.text for p in Bm25Index.open(saved).passages] == ["another"]
    assert [p.id for p, _ in opened.search("kernel")] == ["p0"]


def test_the_same_passages_give_the_same_bytes(tmp_path: Path, starter_passages: tuple[Passage, ...]) -> None:
    for name in ("one", "two"):
        Bm25Index.build(starter_passages[:200]).save(tmp_path / name)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_an_index_of_rank_bm25_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(IndexStoreError, match="rank-bm25 cannot be saved: build it with the engine sparse"):
        Bm25Index.build(_passages("kernel"), engine="rank-bm25").save(tmp_path / "index")
    assert not (tmp_path / "index").exists()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bm25")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    Bm25Index.build(_passages("kernel trick", "decision tree", "")).save(tmp_path / "index")
    return tmp_path / "index"


FILES = [
    "abbreviations.json",
    "line_sums.npy",
    "lines.npy",
    "manifest.json",
    "passages.jsonl",
    "places.npy",
    "ranks.npy",
    "starts.npy",
    "sums.npy",
    "vocabulary.json",
    "weights.npy",
]


def files_of(index: Path) -> dict[str, bytes]:
    generation = current(index)
    return {str(p.relative_to(generation)): p.read_bytes() for p in generation.rglob("*") if p.is_file()}


def test_an_index_consists_of_these_files(saved: Path) -> None:
    assert sorted(files_of(saved)) == sorted([*FILES, "checksums.json"])


@pytest.mark.parametrize("check", [Bm25Index.open, Bm25Index.verify])
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1])])
def test_a_missing_or_truncated_file_is_named(
    saved: Path, check: Callable[[Path], object], name: str, damage: Damage
) -> None:
    damage(current(saved) / name)
    with pytest.raises(IndexStoreError, match=rf"{name} is missing or cut short; {REMEDY} {saved}$"):
        check(saved)


def test_an_index_of_another_format_is_refused(saved: Path) -> None:
    generation = current(saved)
    manifest = json.loads((generation / "manifest.json").read_text())
    with new_generation(saved) as other:
        for path in generation.iterdir():
            shutil.copy(path, other)
        (other / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    for check in (Bm25Index.open, Bm25Index.verify):
        with pytest.raises(IndexStoreError, match=f"{saved} has index format 99, not {FORMAT}; {REMEDY} {saved}$"):
            check(saved)


def test_an_index_of_another_analyzer_is_refused(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analyzer, "STOP_WORDS", analyzer.STOP_WORDS | {"kernel"})
    with pytest.raises(IndexStoreError, match=f"^{saved} was built with another analyzer; bring it up to date"):
        Bm25Index.open(saved)


def test_an_index_of_the_analyzer_before_is_searched_as_it_was(tmp_path: Path) -> None:
    passages = [Passage("a", "الشجرة", text="ازرع الشجرة في الربيع."), Passage("b", "Rose", text="Roses need sun.")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analyzer, "VERSION", 2)
        Bm25Index.build(passages).save(tmp_path / "old")
    old, new = Bm25Index.open(tmp_path / "old"), Bm25Index.build(passages)
    assert [p.id for p, _ in old.search("rose")] == [p.id for p, _ in new.search("rose")] == ["b"]
    assert [p.id for p, _ in old.search("الشجرة")] == [p.id for p, _ in new.search("شجرة")] == ["a"]
    assert old.search("شجرة") == []
    assert not is_up_to_date(tmp_path / "old")


def test_many_threads_find_what_one_finds(tmp_path: Path, starter_passages: tuple[Passage, ...]) -> None:
    Bm25Index.build(starter_passages).save(tmp_path / "index")
    index = Bm25Index.open(tmp_path / "index")
    questions = [f"What is {passage.title}? {passage.text[:60]}" for passage in starter_passages[::8]]
    serial = [Bm25Index.build(starter_passages).search(questions[0]), *map(index.search, questions[1:])]
    index = Bm25Index.open(tmp_path / "index")  # whose analyzer has seen nothing yet
    with ThreadPoolExecutor(32) as threads:
        assert list(threads.map(index.search, questions)) == serial


def test_scores_are_float32_of_every_passage() -> None:
    index = Bm25Index.build(_passages("kernel", "tree", "kernel tree"))
    scores = index._scorer.scores(["kernel"])
    assert scores.dtype == np.float32
    assert (scores > 0).tolist() == [True, False, True]
