from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ragqa.index.terms import Abbreviations, Fields, find_abbreviations, passage_terms, question_terms
from ragqa.records import Passage
from ragqa.text.analyzer import Analyzer

ANALYZER = Analyzer()
NONE = Abbreviations({})
PLAIN = Fields(title=1, section=1, abbreviations=False, questions=False)


def _found(*texts: str) -> Abbreviations:
    return find_abbreviations([Passage(str(n), "", text=text) for n, text in enumerate(texts)], ANALYZER)


def _short_forms(abbreviations: Abbreviations, text: str) -> list[str]:
    return abbreviations.found_in(text, ANALYZER.terms(text), ANALYZER)


def test_a_field_counts_as_often_as_its_weight() -> None:
    passage = Passage("1", "Dropout", "Cats", text="Dogs bark.")
    (terms,) = passage_terms([passage], Fields(title=3, section=2, questions=False), ANALYZER, NONE)
    assert [terms.count(term) for term in ("dropout", "cat", "dog", "bark")] == [3, 2, 1, 1]


def test_generated_questions_add_their_terms_once() -> None:
    passage = Passage("1", "Dropout", text="Dropout is a regularization technique.")
    (plain,) = passage_terms([passage], PLAIN, ANALYZER, NONE)
    (expanded,) = passage_terms([passage], Fields(title=1, section=1), ANALYZER, NONE)
    assert expanded[: len(plain)] == plain
    added = expanded[len(plain) :]
    assert "dropout" in added
    assert len(set(added)) == len(added)


def test_aliases_add_what_the_title_lacks_once() -> None:
    passage = Passage("1", "Gradient descent", text="Walk on.", aliases=("Steepest descent", "The steepest gradient"))
    (terms,) = passage_terms([passage], PLAIN, ANALYZER, NONE)
    assert terms == ANALYZER.terms("Gradient descent Walk on. steepest")
    (plain,) = passage_terms([passage], replace(PLAIN, aliases=False), ANALYZER, NONE)
    assert plain == ANALYZER.terms("Gradient descent Walk on.")


def test_abbreviations_are_read_from_the_text() -> None:
    found = _found("A long short-term memory (LSTM) has gates.", "Use support vector machines (SVMs).")
    assert _short_forms(found, "the long short term memory and a support-vector machine") == ["lstm", "svm"]
    assert _short_forms(found, "short memory of a machine") == []


@given(st.lists(st.sampled_from("the deep-net a deep net, net. GPT-4.5 model's model of".split()), max_size=12))
def test_no_long_form_is_overlooked(words: list[str]) -> None:
    text = " ".join(words)
    found = Abbreviations({"deep net": "dn", "net model": "nm", "deep net model": "dnm"})
    spelt = ANALYZER.terms(text.replace("-", " "))
    expected = {
        short
        for long, short in found.short_forms.items()
        if any(spelt[place : place + len(long.split())] == long.split() for place in range(len(spelt)))
    }
    assert set(_short_forms(found, text)) == expected


def test_the_most_frequent_long_form_is_taken() -> None:
    found = _found("a linear random model (LRM)", "a latent risk model (LRM)", "the latent risk model (LRM)")
    assert _short_forms(found, "latent risk model") == ["lrm"]
    assert _short_forms(found, "linear random model") == []


def test_a_long_form_does_not_run_over_two_fields() -> None:
    found = _found("a deep model (DM)")
    (terms,) = passage_terms([Passage("1", "Deep", "Model", text="deep")], Fields(questions=False), ANALYZER, found)
    assert "dm" not in terms


def test_a_short_form_that_is_a_stop_word_is_passed_over() -> None:
    assert _found("information technology (IT) is old").short_forms == {}


def test_a_question_gets_the_short_form_of_what_it_spells_out() -> None:
    found = _found("A support vector machine (SVM) separates.")
    assert question_terms("What is a support vector machine?", ANALYZER, found)[-1] == "svm"
    assert question_terms("What is an SVM? support vector machine", ANALYZER, found).count("svm") == 1
    assert question_terms("🧠", ANALYZER, found) == []


@pytest.mark.parametrize("fields", [PLAIN, Fields()])
@given(texts=st.lists(st.text(max_size=80), max_size=4))
@example(texts=[" ", " of x"])
@example(texts=["a-" * 250, "(", " (AB)"])
def test_any_text_gives_terms(fields: Fields, texts: list[str]) -> None:
    passages = [Passage(str(n), text[:20], text[-20:], text=text) for n, text in enumerate(texts)]
    terms = list(passage_terms(passages, fields, ANALYZER, find_abbreviations(passages, ANALYZER)))
    assert len(terms) == len(passages)
    assert all(isinstance(term, str) and term for own in terms for term in own)
