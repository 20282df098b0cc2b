import pytest
from question_quality import compare_lint

from ragqa.models.reranker import Reranker
from ragqa.records import Pair, Passage
from ragqa.text.passages import full_text
from ragqa.training.dataset import SPLITS
from ragqa.training.lint import ASPECTS, QuestionReader, inspect_questions

PAGE = (
    Passage(
        "1",
        "Language model",
        "",
        text="A language model is a model of text. It predicts words, as a language model can.",
    ),
    Passage("2", "Language model", "Barren plateaus", text="Barren plateaus are regions in which gradients vanish."),
    Passage("3", "Pets", "", text="Cats are animals. Some cats sleep."),
)


@pytest.fixture(scope="module")
def reader() -> QuestionReader:
    return QuestionReader(PAGE)


@pytest.mark.parametrize(
    ("question", "passage", "aspect", "reason"),
    [
        ("What is language model?", 0, "grammatical", "“language model” without an article"),
        ("What is an language model?", 0, "grammatical", "“an” before “language model”"),
        ("What are language model?", 0, "grammatical", "“are” before the singular “language model”"),
        ("What is barren plateaus?", 1, "grammatical", "“is” before the plural “barren plateaus”"),
        (
            "What is from bagging to random forests?",
            0,
            "grammatical",
            "“from bagging to random forests” is no noun phrase",
        ),
        ("What is the history of language model?", 0, "grammatical", "“language model” without an article"),
        ("What is the denominator?", 0, "natural", "“the denominator” points to something said before"),
        ("What are examples?", 0, "natural", "“examples” does not tell what is meant"),
        ("What is a gradient (of losses)?", 1, "natural", "long, or with signs that nobody types"),
        ("What is a dog?", 2, "answerable", "no sentence of its passage is about “dog”"),
        ("What is a vanishing gradient?", 2, "found", "BM25 does not find its passage"),
    ],
)
def test_a_fault_is_found(reader: QuestionReader, question: str, passage: int, aspect: str, reason: str) -> None:
    faults = reader.faults(question, [PAGE[passage]])
    assert (aspect, reason) in [(fault.aspect, fault.reason) for fault in faults]


@pytest.mark.parametrize(("question", "passage"), [("What is a language model?", 0), ("What are barren plateaus?", 1)])
def test_a_good_question_has_no_fault(reader: QuestionReader, question: str, passage: int) -> None:
    assert reader.faults(question, [PAGE[passage]]) == []


@pytest.mark.parametrize(
    "question",
    [
        "What is the difference between a language model and a pet?",
        "What is the main difference between cats and dogs?",
        "What is the main idea behind language models?",
    ],
)
def test_a_relation_is_singular_and_tells_what_is_meant(reader: QuestionReader, question: str) -> None:
    assert reader.faults_of_wording(question, PAGE[0]) == []


def test_the_report_has_a_rate_for_each_aspect_and_the_worst_questions() -> None:
    pairs: dict[str, list[Pair]] = {split: [] for split in SPLITS} | {
        "train": [
            Pair("What is a language model?", full_text(PAGE[0]), 1.0),
            Pair("What is language model?", full_text(PAGE[0]), 1.0),
            Pair("What is a language model?", full_text(PAGE[2]), 0.0),
        ]
    }
    report = inspect_questions(pairs)
    assert report["questions_read"] == 2
    assert {aspect: report[aspect] for aspect in ASPECTS} == {
        "grammatical": 0.5,
        "natural": 1.0,
        "answerable": 1.0,
        "found": 1.0,
    }
    assert report["worst"] == [
        {"question": "What is language model?", "faults": ["“language model” without an article"]}
    ]


def test_the_reranker_rejects_a_passage_on_something_else() -> None:
    faults = QuestionReader(PAGE, Reranker.load()).faults("How much is a ticket to Paris?", [PAGE[2]])
    assert "the reranker does not find the answer" in [fault.reason for fault in faults]


def test_the_verdicts_agree_with_a_reader() -> None:
    agreement = compare_lint(None)
    assert agreement["grammatical"]["questions"] == 110
    assert agreement["grammatical"]["agreement"] >= 0.9
    assert agreement["natural"]["agreement"] >= 0.8
    assert agreement["grammatical"]["recall"] >= 0.75
