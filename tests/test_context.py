from dataclasses import replace

import pytest

from ragqa import Passage, Retriever
from ragqa.answers.answer import as_dict
from ragqa.answers.context import refers_back, with_context
from ragqa.index.bm25 import Bm25Index
from ragqa.records import Answer, Hit, Quote
from ragqa.serve.answering import say

NAMED = "A gated unit has two gates. "
GATES = "A gated unit has two gates. It was made in 2014. It has few weights. Its gates close."


@pytest.mark.parametrize(
    "text",
    [
        "They have fewer parameters.",
        "It has two gates.",
        "It is used to train networks.",
        "This inverted structure helps.",
        "That is why it fails.",
        "Both reward terms that are frequent in the document and rare elsewhere.",
        "The latter is slower.",
        "One of these gates is closed.",
        "In this case the gradient vanishes.",
    ],
)
def test_sentences_that_refer_back_are_told_by_their_beginning(text: str) -> None:
    assert refers_back(text)


@pytest.mark.parametrize(
    "text",
    [
        "It is often desirable to add a count.",
        "It has been shown that depth helps.",
        "It is not initially clear why it works.",
        "It should be kept in mind that it forgets.",
        "Those who train it know.",
        "Both encoder and decoder attend.",
        "Italy has many hills.",
        "However, dropout helps.",
        "There are two kinds.",
        "One reason for overfitting lies in the data.",
        "The first network was small.",
        "Theyre is no word.",
    ],
)
def test_other_sentences_do_not(text: str) -> None:
    assert not refers_back(text)


def quoted(hits: tuple[Hit, ...], *chosen: tuple[int, str]) -> Answer:
    quotes = []
    for hit, text in chosen:
        start = hits[hit].passage.text.index(text)
        quotes.append(Quote(hit, start, start + len(text), text, 1.0))
    return Answer("q?", "\n\n".join(quote.text for quote in quotes), hits, tuple(quotes), abstained=False)


def hits_of(*passages: Passage) -> tuple[Hit, ...]:
    return tuple(Hit(passage, float(-n), None, 1.0, n) for n, passage in enumerate(passages, 1))


def said(answer: Answer, before: Passage | None = None) -> str:
    found = with_context(answer, lambda _: before)
    for quote in found.quotes:
        assert quote.text == found.hits[quote.hit].passage.text[quote.start : quote.end]
    assert found.text == "\n\n".join(quote.said for quote in found.quotes)
    return found.text


UNIT = Passage("Unit#1", "Unit", section="Gates", text=GATES)


@pytest.mark.parametrize(
    ("chosen", "whole"),
    [
        ("A gated unit has two gates.", "A gated unit has two gates."),
        ("It was made in 2014.", "A gated unit has two gates. It was made in 2014."),
        ("It has few weights.", "A gated unit has two gates. It was made in 2014. It has few weights."),
        (
            "Its gates close.",
            "It was made in 2014. It has few weights. Its gates close.",
        ),  # two more sentences, not three
    ],
)
def test_a_quote_starts_with_what_it_refers_to(chosen: str, whole: str) -> None:
    assert said(quoted(hits_of(UNIT), (0, chosen))) == whole


ABOVE = Passage("Unit#0", "Unit", section="Gates", text="Networks forget. Gated units forget less.")
BELOW = replace(UNIT, text="They close.")


@pytest.mark.parametrize(
    ("above", "whole"),
    [
        (ABOVE, "Gated units forget less. They close."),
        (replace(ABOVE, text="Units are gated. They forget less."), "Units are gated. They forget less. They close."),
        (
            replace(ABOVE, text="They forget. They forget less. They learn."),
            "They forget less. They learn. They close.",
        ),
        (replace(ABOVE, text="Gated units forget less. Kinds of gates"), "They close."),
        (replace(ABOVE, text="or with gates."), "They close."),
        (replace(ABOVE, section="History"), "They close."),
        (None, "They close."),
    ],
)
def test_the_passage_before_is_read_if_a_quote_begins_its_own(above: Passage | None, whole: str) -> None:
    assert said(quoted(hits_of(BELOW), (0, "They close.")), above) == whole


@pytest.mark.parametrize(
    ("question", "title", "whole"),
    [
        ("Are gated units small?", "Gated unit (network)", "It has few weights."),
        ("Are the units small?", "Gated unit (network)", f"{NAMED}It has few weights."),
        ("Are gated units small?", "", f"{NAMED}It has few weights."),
    ],
)
def test_a_pronoun_may_stand_for_the_page_that_the_question_names(question: str, title: str, whole: str) -> None:
    answer = quoted(hits_of(replace(UNIT, title=title, text=NAMED + "It has few weights.")), (0, "It has few weights."))
    assert said(replace(answer, question=question)) == whole


def test_what_is_quoted_already_is_not_quoted_twice() -> None:
    both = quoted(hits_of(UNIT), (0, "A gated unit has two gates."), (0, "It was made in 2014."))
    assert said(both) == both.text


def test_the_sentences_before_are_in_the_data_and_in_the_span_of_a_citation() -> None:
    below = replace(BELOW, url="https://example.org/Unit")
    answer = quoted(
        hits_of(below, replace(UNIT, url="https://example.org/Other")), (0, "They close."), (1, "It was made in 2014.")
    )
    found = with_context(answer, lambda _: ABOVE)
    own, other = as_dict(found)["quotes"]
    assert own["before"] == "Gated units forget less."
    assert "before" not in other
    said = say(found)
    assert [said.text[c.start : c.end] for c in said.citations] == [quote.said for quote in found.quotes]


def test_a_retriever_reads_the_passage_before_unless_a_filter_leaves_it_out() -> None:
    retriever = Retriever(
        Bm25Index.build([replace(ABOVE, metadata={"year": 2014}), replace(BELOW, metadata={"year": 2014})]), None
    )
    found = retriever.search("close", 1)
    assert found[0].passage.id == "Unit#1"
    assert retriever._before(found[0].passage, None) == retriever.index.passages[0]
    assert retriever._before(found[0].passage, {"year": 2014}) == retriever.index.passages[0]
    assert retriever._before(found[0].passage, {"id": "Unit#1"}) is None
    assert retriever._before(retriever.index.passages[0], None) is None
