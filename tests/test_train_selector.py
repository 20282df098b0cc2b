from pathlib import Path
from typing import Any

import pytest

from ragqa.errors import CorpusError
from ragqa.evaluation.marks import BEST, PARTLY, WRONG, Mark
from ragqa.models.selector import Selector
from ragqa.models.tokens import open_tokenizer
from ragqa.records import Passage
from ragqa.text.passages import full_text, sentences
from ragqa.training.export_selector import export_selector
from ragqa.training.train_selector import MarkedQuestion, SelectorConfig, gain_of, read_example, train_selector

COLOURS = ("red", "green", "blue", "brown", "black", "white", "pink", "grey")
FRUITS = ("Apples", "Pears", "Figs", "Plums", "Limes", "Dates")


def marked(number: int) -> MarkedQuestion:
    """A question after a fruit, and a passage in which one sentence at a varying place names it."""
    own = FRUITS[number % len(FRUITS)]
    others = [name for name in FRUITS if name != own][:3]
    names = [*others[: number % 4], own, *others[number % 4 :]]
    texts = [f"{name} are {COLOURS[(number + n) % len(COLOURS)]}." for n, name in enumerate(names)]
    text = " ".join(texts)
    start = text.index(own)
    passage = Passage(f"Fruit#{number}", "Fruit", end=len(text), text=text)
    end = start + len(texts[names.index(own)])
    return MarkedQuestion(f"What colour are {own.lower()}?", (passage,), {passage.id: (Mark(start, end, BEST),)})


def test_gains_fall_with_the_share_of_characters() -> None:
    marks = (Mark(0, 10, BEST), Mark(20, 30, PARTLY), Mark(40, 50, WRONG))
    assert gain_of(0, 10, marks) == 1
    assert gain_of(0, 20, marks) == pytest.approx(0.25)
    assert gain_of(20, 30, marks) == pytest.approx(0.3)
    assert gain_of(40, 50, marks) == gain_of(11, 19, marks) == gain_of(0, 5, ()) == 0


def test_passages_with_the_best_marks_are_read_first(tiny: Path) -> None:
    passages = tuple(Passage(f"Fruit#{n}", "Fruit", end=9, text="Red figs.") for n in range(3))
    question = MarkedQuestion("red?", passages, {"Fruit#2": (Mark(0, 9, BEST),), "Fruit#1": (Mark(0, 9, PARTLY),)})
    example = read_example(question, open_tokenizer(tiny), 2)
    assert [(run.row, run.gain) for run in example.runs] == [(0, 1.0), (1, pytest.approx(0.3))]


def test_a_selector_learns_to_choose_and_stays_the_same_when_exported(tiny: Path, tmp_path: Path) -> None:
    questions = [marked(number) for number in range(240)]
    config = SelectorConfig(str(tiny), epochs=6, batch_size=8, frozen=0, learning_rate=3e-3, head_rate=1e-2)
    train_selector(questions, tmp_path / "torch", config, progress=False)
    texts = [(question.question, full_text(question.passages[0])) for question in questions[:30]]
    assert export_selector(tmp_path / "torch", tmp_path / "model", texts) > 0.9
    selector = Selector.load(tmp_path / "model")
    right = 0
    for question in questions[:48]:
        passage = question.passages[0]
        own = [(start + 7, end + 7) for start, end in sentences(passage.text)]  # after "Fruit: "
        (scored,) = selector.score(question.question, [full_text(passage)], [own])
        best = max(scored, key=lambda run: run.score)
        start, end = own[best.first][0] - 7, own[best.last][1] - 7
        right += (start, end) == (question.marks[passage.id][0].start, question.marks[passage.id][0].end)
    assert right > 36  # of 48; one in ten by chance


def test_questions_without_an_answer_are_an_error(tiny: Path, tmp_path: Path) -> None:
    unmarked: Any = MarkedQuestion("red?", (Passage("Fruit#0", "Fruit", text="Figs."),), {})
    with pytest.raises(CorpusError, match="no question has a marked answer"):
        train_selector([unmarked], tmp_path / "out", SelectorConfig(str(tiny)))
    assert not (tmp_path / "out").exists()
