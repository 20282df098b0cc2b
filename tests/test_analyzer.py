import pickle
import unicodedata
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa.text import analyzer as module
from ragqa.text.analyzer import VERSION, Analyzer, analyzer_of, words

ANALYZER = Analyzer()
WORDS = st.sampled_from(
    "what is the a difference between does it mean please k-means C++ R? A* t-SNE's x_i 3.5 é".split()
)


@pytest.mark.parametrize("other", ["k-means", "kmeans", "k means", "K-Means", "K‑means", "k–means"])
def test_k_means_finds_and_is_found_however_it_is_written(other: str) -> None:
    assert set(ANALYZER.terms(f"The {other} algorithm")) & set(ANALYZER.question_terms("What is k-means?"))
    assert set(ANALYZER.terms("The k-means algorithm")) & set(ANALYZER.question_terms(f"What is {other}?"))


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("k-means", ["k", "mean", "kmean"]),
        ("t-SNE", ["t", "sne", "tsne"]),
        ("C4.5", ["c4.5"]),
        ("a rate of 0.01.", ["rate", "0.01"]),
        ("C++ or C#", ["c++", "c#"]),
        ("A* search", ["a*", "search"]),
        ("2*3", ["2", "3"]),
        ("R", ["r"]),
        ("encoder/decoder", ["encod", "decod", "encoderdecod"]),
        ("x_i", ["x", "i", "xi"]),
        ("Bayes' rule", ["bay", "rule"]),
        ("Bellman's and Bellman’s", ["bellman", "bellman"]),
        ("naïve Poincaré", ["naiv", "poincar"]),
        ("ﬁne tuning", ["fine", "tune"]),
        ("learning, learned LEARNS", ["learn", "learn", "learn"]),
        ("注意力 机制", ["注意", "意力", "机制"]),
        ("🧠 -- ∑ ()", []),
        ("null\x00byte", ["null", "byte"]),
        ("half of a pair: \udcff", ["half", "pair"]),
        ("", []),
    ],
)
def test_terms_of_machine_learning_text(text: str, terms: list[str]) -> None:
    assert ANALYZER.terms(text) == terms


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("园丁修剪苹果树，冬天。", ["园丁", "丁修", "修剪", "剪苹", "苹果", "果树", "冬天"]),
        ("树", ["树"]),
        ("使用BERT模型3次", ["使用", "bert", "模型", "3", "次"]),
        ("k-平均法", ["k", "平均", "均法"]),
        ("りんごの木", ["りん", "んご", "ごの", "の木"]),
        ("データ", ["デー", "ータ"]),
        ("사과나무를 심는다", ["사과", "과나", "나무", "무를", "심는", "는다"]),
        ("ต้นไม้", ["ต้น", "นไ", "ไม้"]),
        ("ຕົ້ນ", ["ຕົ້ນ"]),
        ("पेड़ की छँटाई।", ["पेड", "क", "छंटा"]),
        ("আপেল গাছের", ["আপেল", "গাছের"]),
        ("மரங்களை வெட்டு", ["மரங்களை", "வெட்டு"]),
        ("ދިވެހި", ["ދިވެހި"]),
        ("יְלָדִים", ["ילדים"]),
        ("يُقَلِّمُ", ["يقلم"]),
        ("والشجرة", ["شجر"]),
        ("أشجار", ["اشجار"]),
        ("١٢", ["12"]),
        ("کتاب‌ها", ["كتابها"]),
        ("हिन्दी", ["हिंद"]),
    ],
)
def test_words_keep_their_marks_and_scripts_without_spaces_give_bigrams(text: str, terms: list[str]) -> None:
    composed = [unicodedata.normalize("NFC", term) for term in terms]
    assert ANALYZER.terms(text) == ANALYZER.question_terms(text) == composed


@pytest.mark.parametrize(
    "spellings",
    [
        "Straße STRASSE strasse",
        "İstanbul istanbul ISTANBUL İSTANBUL",
        "ısı ISI",
        "ＢＭ２５ BM25 bm25",
        "ﬁlter filter",
        "Poincaré Poincare\u0301 POINCARE",
        "regu\u00adlarization regularization",
        "می\u200cخواهم میخواهم",
        "क्\u200dष क्ष",
        "\u200fשלום\u200e שלום",
        "word\u2060joined wordjoined",
        "ガラス ｶﾞﾗｽ カ\u3099ラス",
        "葛\U000e0100城市 葛城市",
        "정원 \u110c\u1165\u11bc\u110b\u116f\u11ab",
    ],
)
def test_spellings_of_one_word_give_the_same_terms_in_passages_and_questions(spellings: str) -> None:
    found = {tuple(terms(word)) for word in spellings.split(" ") for terms in (ANALYZER.terms, ANALYZER.question_terms)}
    assert len(found) == 1
    assert found != {()}


@pytest.mark.parametrize("joint", ["\u200b", "\ufeff"])
def test_a_zero_width_space_finds_the_word_with_a_space_and_without(joint: str) -> None:
    assert ANALYZER.terms(f"over{joint}fitting") == ["over", "fit", "overfit"]
    assert ANALYZER.terms(f"{joint}dropout") == ["dropout"]


@given(st.text(st.characters(categories=["L", "M", "Nd"])), st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_equivalent_texts_give_the_same_terms(text: str, form: Literal["NFC", "NFD", "NFKC", "NFKD"]) -> None:
    assert ANALYZER.terms(unicodedata.normalize(form, text)) == ANALYZER.terms(text)


def test_long_texts_without_spaces_do_not_fill_the_memory() -> None:
    analyzer = Analyzer()
    for number in range(100):
        analyzer.terms("树" * 200 + str(number))
    assert sum(map(len, analyzer._terms_of_chunk)) + sum(map(len, analyzer._terms)) < 1000


@pytest.mark.parametrize(
    ("question", "terms"),
    [
        ("What is the difference between bagging and boosting?", ["bag", "boost"]),
        ("Can you explain what dropout is?", ["dropout"]),
        ("dropout dropout Dropout", ["dropout"]),
        ("What is R?", ["r"]),
        ("What does it mean?", ["mean"]),
        ("What is it?", ["what", "is", "it"]),
        ("¿?", []),
    ],
)
def test_a_question_is_what_it_asks_about(question: str, terms: list[str]) -> None:
    assert ANALYZER.question_terms(question) == terms


@given(st.text() | st.lists(WORDS).map(" ".join))
def test_a_question_with_a_letter_or_digit_has_terms(question: str) -> None:
    terms = ANALYZER.question_terms(question)
    assert terms or not any(
        c.isalnum() for c in unicodedata.normalize("NFKD", question) if not unicodedata.combining(c)
    )
    assert len(terms) == len(set(terms))
    assert all(terms)


@given(st.text() | st.lists(WORDS).map(" ".join))
def test_the_terms_of_a_text_are_those_of_its_words(text: str) -> None:
    assert all(ANALYZER.terms(text))
    assert ANALYZER.terms(text) == [t for word in words(text) for t in ANALYZER.terms(word)]
    assert ANALYZER.terms(text) == Analyzer().terms(text)


@pytest.mark.parametrize("text", ["The k-means of naïve Bayes in C++ 3.5", "苹果树怎么修剪？", "ต้นไม้", "Straße"])
def test_an_older_version_gives_the_same_terms_but_of_arabic_and_devanagari(text: str) -> None:
    older = Analyzer(2)
    assert older.terms(text) == ANALYZER.terms(text)
    assert older.terms("الشجرة लड़की") == [unicodedata.normalize("NFC", word) for word in ("الشجرة", "लड़की")]
    assert pickle.loads(pickle.dumps(older)).fingerprint == older.fingerprint != ANALYZER.fingerprint


def test_an_analyzer_is_found_by_its_fingerprint() -> None:
    assert [getattr(analyzer_of(Analyzer(v).fingerprint), "version", None) for v in (None, 2, 1)] == [VERSION, 2, None]


def test_stop_words_are_left_out_of_passages_but_question_words_stay() -> None:
    assert ANALYZER.terms("This is the kind of difference that it would explain.") == ["kind", "differ", "explain"]


def test_the_fingerprint_is_the_same_for_every_analyzer() -> None:
    assert Analyzer().fingerprint == ANALYZER.fingerprint
    assert len(ANALYZER.fingerprint) == 64


@pytest.mark.parametrize("name", ["STOP_WORDS", "QUESTION_WORDS"])
def test_other_words_change_the_fingerprint(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    before = ANALYZER.fingerprint
    monkeypatch.setattr(module, name, getattr(module, name) | {"model"})
    assert ANALYZER.fingerprint != before


def test_another_version_changes_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ANALYZER.fingerprint
    monkeypatch.setattr(module, "VERSION", module.VERSION + 1)
    assert Analyzer().fingerprint != before
