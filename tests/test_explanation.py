import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragqa import Bm25Index, Hit, Page, Passage, Retriever, split
from ragqa.errors import InputError
from ragqa.evaluation.judged import read_starter
from ragqa.index.neighbours import neighbours
from ragqa.models.reranker import Reranker
from ragqa.search.explanation import explain
from ragqa.search.retriever import BM25_WEIGHT, COSINE_WEIGHT


@pytest.fixture(scope="module")
def retriever() -> Retriever:
    return Retriever.open()


@pytest.fixture(scope="module")
def bm25(retriever: Retriever) -> Retriever:
    return Retriever(retriever.index, None)


def test_the_terms_add_up_to_the_bm25_score_of_many_questions(bm25: Retriever) -> None:
    for question in list(read_starter().questions.values())[::2]:
        for hit in bm25.search(question, 5):
            found = explain(bm25, question, hit)
            assert sum(term.score for term in found.terms) == pytest.approx(hit.bm25_score, abs=1e-4)
            assert all(term.score > 0 for term in found.terms)
            assert (found.logit, found.cosine, found.sentences) == (None, None, ())


WORDS = st.sampled_from(
    "dropout bagging Dropout's k-means kmeans LSTM the what 2012 nets long short-term memory q".split()
)


@settings(max_examples=40)
@given(st.lists(WORDS, min_size=1, max_size=12))
def test_the_terms_add_up_whatever_is_asked(bm25: Retriever, words: list[str]) -> None:
    question = " ".join(words)
    for hit in bm25.search(question, 3):
        assert sum(t.score for t in explain(bm25, question, hit).terms) == pytest.approx(hit.bm25_score, abs=1e-4)


def test_both_engines_give_the_same_shares() -> None:
    passages = [Passage(f"{n}", "Dropout", text=text) for n, text in enumerate(["Nets drop units.", "Bags of units."])]
    shares = [
        Bm25Index.build(passages, engine=engine).term_scores("units of nets", 0) for engine in ("sparse", "rank-bm25")
    ]
    assert shares[0] == pytest.approx(shares[1], abs=1e-5)


def test_terms_name_the_words_they_come_from(bm25: Retriever) -> None:
    question = "Why does Dropout help against overfitting bananas?"
    found = explain(bm25, question, bm25.search(question, 1)[0])
    assert {term.word for term in found.terms} == {"dropout", "help"}
    assert found.missing == ("against", "overfitting", "bananas")
    assert [term.score for term in found.terms] == sorted((term.score for term in found.terms), reverse=True)


def test_an_abbreviation_that_the_index_adds_is_its_own_word() -> None:
    passages = [
        Passage("a", "", text="A long short-term memory (LSTM) keeps a state."),
        Passage("b", "", text="An LSTM forgets."),
    ]
    retriever = Retriever(Bm25Index.build(passages), None)
    question = "What is a long short-term memory?"
    hit = next(hit for hit in retriever.search(question) if hit.passage.id == "b")
    assert [(term.term, term.word) for term in explain(retriever, question, hit).terms] == [("lstm", "lstm")]


def test_the_parts_make_the_score(retriever: Retriever) -> None:
    question = "Why does dropout help against overfitting?"
    for hit in retriever.search(question, 5):
        found = explain(retriever, question, hit)
        assert found.logit is not None
        assert found.cosine is not None
        total = found.logit + BM25_WEIGHT * hit.bm25_score + COSINE_WEIGHT * found.cosine
        assert total == pytest.approx(hit.score, abs=0.1)  # int8: a batch's other texts move a logit a little
        assert "".join(hit.passage.text[s.start : s.end] for s in found.sentences) == "".join(
            s.text for s in found.sentences
        )
        assert [s.score for s in found.sentences] == sorted((s.score for s in found.sentences), reverse=True)
        assert sorted(s.start for s in found.sentences)[0] == 0


def test_a_question_is_read_as_a_search_reads_it(bm25: Retriever) -> None:
    hit = bm25.search("dropout\n overfitting", 1)[0]
    assert explain(bm25, "dropout\n overfitting", hit).question == "dropout overfitting"
    with pytest.raises(InputError, match="empty"):
        explain(bm25, " ", hit)


def test_a_passage_of_another_index_is_refused(bm25: Retriever) -> None:
    with pytest.raises(InputError, match="no passage of the index has the id 'elsewhere#1'"):
        explain(bm25, "dropout", Hit(Passage("elsewhere#1", ""), 1.0, None, 1.0, 1))


PAGE = Page("Soup", "https://example.org/Soup", text="\n\n".join(f"Sentence {n} on soup." for n in range(12)))


def page_passages() -> list[Passage]:
    return split(PAGE, max_chars=30)


@pytest.mark.parametrize("backwards", [False, True])
def test_neighbours_are_those_of_the_page_in_any_order_of_the_index(backwards: bool) -> None:
    passages = page_passages()
    others = [Passage("Salt#0", "Salt", text="Salt."), Passage("Soup#x", "Soup", text="Another soup.")]
    mixed = [others[0], *passages, others[1]]
    index = Bm25Index.build(mixed[::-1] if backwards else mixed)
    for n, passage in enumerate(passages):
        expected = passages[max(0, n - 2) : n] + passages[n + 1 : n + 4]
        assert neighbours(index, passage, 2, 3) == expected
    assert neighbours(index, passages[5]) == [passages[4], passages[6]]
    assert neighbours(index, passages[5], 0, 0) == []


def test_every_starter_passage_has_the_neighbours_of_its_page(
    bm25: Retriever, starter_passages: tuple[Passage, ...]
) -> None:
    for before, passage, after in zip(starter_passages, starter_passages[1:], starter_passages[2:], strict=False):
        expected = [p for p in (before, after) if p.title == passage.title]
        assert neighbours(bm25.index, passage) == expected


def test_without_numbers_places_titles_and_offsets_tell() -> None:
    passages = [
        Passage("a", "Soup", start=0, end=5, text="Soup."),
        Passage("b", "Soup", start=6, end=11, text="Salt."),
        Passage("c", "Bread", start=0, end=6, text="Bread."),
        Passage("d", "", text="Nothing is known of this."),
        Passage("e", "", text="Nor of this."),
    ]
    index = Bm25Index.build(passages)
    assert [[p.id for p in neighbours(index, passage)] for passage in passages] == [["b"], ["a"], [], [], []]


def test_numbered_documents_without_titles_are_no_pages() -> None:
    whole = [Passage(f"corpus#{n}", "", start=0, end=5, text=f"Doc {n}") for n in range(3)]
    cut = [Passage(f"doc#{n}", "", start=n * 10, end=n * 10 + 5, text=f"Cut {n}") for n in range(3)]
    index = Bm25Index.build([*whole, *cut])
    assert neighbours(index, whole[1]) == []
    assert neighbours(index, cut[1]) == [cut[0], cut[2]]


def test_a_passage_of_another_index_has_no_neighbours(bm25: Retriever) -> None:
    with pytest.raises(InputError, match="no passage"):
        neighbours(bm25.index, Passage("elsewhere#1", ""))


def test_a_large_stored_index_is_not_read_through(tmp_path: Path) -> None:
    passages = [Passage(f"Page {n // 50}#{n % 50}", f"Page {n // 50}", text=f"Soup {n}.") for n in range(20_000)]
    Bm25Index.build(passages).save(tmp_path / "index")
    index = Bm25Index.open(tmp_path / "index")
    read = []
    stored = index.passages
    reading = type(stored).__getitem__

    class Counted(type(stored)):  # type: ignore[misc]
        def __getitem__(self, place: int) -> Passage:
            read.append(place)
            return reading(self, place)

    stored.__class__ = Counted
    assert neighbours(index, passages[7_777]) == [passages[7_776], passages[7_778]]
    assert len(read) < 100
    started = time.perf_counter()
    for passage in passages[1:20_000:400]:
        neighbours(index, passage)
    assert (time.perf_counter() - started) / 50 < 0.02


def test_without_an_embedder_there_is_no_cosine(retriever: Retriever) -> None:
    reranker = retriever.reranker
    assert isinstance(reranker, Reranker)
    plain = Retriever(retriever.index, reranker)
    hit = plain.search("dropout", 1)[0]
    found = explain(plain, "dropout", hit)
    assert found.cosine is None
    assert found.logit is not None
    assert found.logit + BM25_WEIGHT * hit.bm25_score == pytest.approx(hit.score, abs=0.1)
