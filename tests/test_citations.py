from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa import Passage, Reranker
from ragqa.answers.citations import check_sentence, cited_numbers, find_support, without_citations
from ragqa.storage.files import text_hash
from ragqa.storage.json_lines import read_rows
from ragqa.text.passages import sentences

PAIRS = Path(__file__).parent.parent / "benchmarks" / "support.jsonl"
DROPOUT = Passage(
    "Dropout#0",
    "Dropout",
    text="Dropout switches off a random half of the units at every step. It was proposed in 2012 and does not help small "
    "networks. A rate of 0.5 is usual for 1,024 hidden units, and training takes longer.",
)
BAGGING = Passage(
    "Bagging#0", "Bagging", text="Bagging averages models trained on resampled data, which lowers the variance."
)
SOUP = Passage(
    "Soup#1", "Soup", text="Salt lowers the freezing point of a soup, and pepper makes it hot; onions need time."
)
PASSAGES = [DROPOUT, BAGGING, SOUP]

CASES = [
    ("Dropout switches off random units at each step [1].", "supported"),
    ("Dropout was proposed in 2012 [1].", "supported"),
    ("A rate of 0.5 is usual for 1024 hidden units [1].", "supported"),
    ("Dropout does not help small networks [1].", "supported"),
    ("Dropout doesn't help small networks. [1]", "supported"),
    ("Bagging lowers the variance by averaging models [2].", "supported"),
    ("Bagging lowers the variance, and dropout switches off units [1, 2].", "supported"),
    ("Dropout switches off random units at each step.", "uncited"),
    ("Dropout was proposed in 2013 [1].", "unsupported"),
    ("Dropout was proposed in 20 [1].", "unsupported"),
    ("A rate of 0.05 is usual for hidden units [1].", "unsupported"),
    ("Dropout switches off a third of the units, ten at every step [1].", "unsupported"),
    ("Dropout does help small networks [1].", "unsupported"),
    ("Dropout switches off no units at a step [1].", "unsupported"),
    ("Bagging raises the variance of models [2].", "unsupported"),
    ("Training takes shorter with dropout [1].", "unsupported"),
    ("Dropout switches off random units at each step [2].", "unsupported"),
    ("Dropout switches off random units at each step [4].", "unsupported"),
    ("Dropout switches off random units at each step [0].", "unsupported"),
    ("Dropout switches off random units at each step [1][9].", "unsupported"),
    ("Pepper lowers the freezing point [3].", "unsupported"),
    ("Salt lowers the freezing point [3].", "supported"),
    ("Boosting fits each new learner to the residuals [1].", "unsupported"),
    ("Paris is the capital of France [2].", "unsupported"),
    ("[1]", "unsupported"),
]


@pytest.mark.parametrize(("sentence", "expected"), CASES)
def test_what_the_cited_passages_say_is_supported(sentence: str, expected: str) -> None:
    assert check_sentence(sentence, PASSAGES, None) == expected


def test_the_reranker_refuses_what_only_shares_words() -> None:
    reranker = Reranker.load()
    assert check_sentence("Dropout switches off random units at every step [1].", PASSAGES, reranker) == "supported"
    soup = Passage(
        "Soup",
        "Soup",
        text="Salt, pepper, onions and units of vinegar; step by step, at random, off the stove, switches.",
    )
    said = "Dropout switches random units off [1]."
    assert check_sentence(said, [soup], None) == "supported"
    assert check_sentence(said, [soup], reranker) == "unsupported"


def test_citations_are_read_and_left_out() -> None:
    assert cited_numbers("Both [2, 1] and [1]; [3][4] but [not] [] [1234]") == (2, 1, 3, 4)
    assert without_citations("Dropout helps [1, 2]. [3]") == "Dropout helps."
    assert without_citations("Dropout helps [1][7]. [2, 7]", most=2) == "Dropout helps [7]. [2, 7]"


@pytest.mark.parametrize(
    ("citation", "numbers"),
    [
        ("[1-3]", (1, 2, 3)),
        ("[2–4, 1]", (2, 3, 4, 1)),
        ("[3-1]", (3, 1)),
        ("[1-999]", (1, 999)),
        ("【1】", (1,)),
        ("【2†L1-L3】", (2,)),
        ("[^1]", (1,)),
        ("[[1]]", (1,)),
        ("[ 1 ]", (1,)),
        ("[1 and 2]", (1, 2)),
        ("[Passage 2]", (2,)),
        ("[passages 1, 3]", (1, 3)),
    ],
)
def test_citations_are_read_as_models_write_them(citation: str, numbers: tuple[int, ...]) -> None:
    assert cited_numbers(f"Dropout helps {citation}.") == numbers
    assert without_citations(f"Dropout helps {citation}.") == "Dropout helps."


@pytest.mark.parametrize("text", ["Values in [0, 1].", "In [-1, 1].", "An array a[i], b[1.5].", "In 1-3 steps."])
def test_numbers_that_no_passage_has_are_no_citations(text: str) -> None:
    assert cited_numbers(text) == ()
    assert without_citations(text) == text


@given(st.text(max_size=80))
def test_any_sentence_can_be_checked(sentence: str) -> None:
    assert check_sentence(sentence, PASSAGES, None) in ("supported", "unsupported", "uncited")
    assert check_sentence(sentence, [], None) in ("unsupported", "uncited")


def test_the_check_is_as_good_as_was_measured(starter_passages: tuple[Passage, ...]) -> None:
    by_id = {passage.id: passage for passage in starter_passages}
    rows = [row for _, row in read_rows(PAIRS)]
    assert [row["passage"] for row in rows if text_hash(by_id[row["passage"]].text) != row["hash"]] == []
    found = [check_sentence(f"{row['sentence']} [1]", [by_id[row["passage"]]], None) == "supported" for row in rows]
    right = sum(row["supported"] and yes for row, yes in zip(rows, found, strict=True))
    assert right / sum(found) > 0.8
    assert right / sum(row["supported"] for row in rows) > 0.8
    assert not any(yes for row, yes in zip(rows, found, strict=True) if row["kind"] == "number")


INVERTED = Passage(
    "Dropout#9",
    "Dropout",
    text="Inverted dropout divides the kept activations by 1 − p during training. The L1 penalty seldom sets all weights "
    "to zero. Boosting is slower to train than bagging on large data. Attention not only aligns words but speeds training.",
)


@pytest.mark.parametrize(
    ("sentence", "support"),
    [
        ("Inverted dropout divides the kept activations by 1 − p during training [1].", "supported"),
        ("Inverted dropout scales the kept activations by 1 − p during training [1].", "unsupported"),
        ("Inverted dropout multiplies activations by 1 − p [1].", "unsupported"),
        ("The L1 penalty does not set all weights to zero [1].", "supported"),
        ("Attention aligns words [1].", "supported"),
        ("Boosting is slower to train than bagging [1].", "supported"),
        ("Bagging is slower to train than boosting [1].", "unsupported"),
    ],
)
def test_operations_hedges_and_sides_are_told_apart(sentence: str, support: str) -> None:
    assert check_sentence(sentence, [INVERTED], None) == support


def test_a_copy_of_a_passage_is_supported_whatever_the_rules_say(starter_passages: tuple[Passage, ...]) -> None:
    for passage in starter_passages[::10]:
        for start, end in sentences(passage.text):
            assert check_sentence(f"{passage.text[start:end]} [1]", [passage], None) == "supported"


def test_the_passage_that_supports_a_sentence_is_found() -> None:
    passages = [*PASSAGES, INVERTED]
    assert find_support("Boosting is slower to train than bagging [1].", passages, None) == len(passages)
    assert find_support("Tides are caused by the Moon.", passages, None) is None


def test_a_passage_without_text_supports_nothing() -> None:
    assert check_sentence("Dropout helps [1].", [Passage("e", "Dropout helps")], None) == "unsupported"
