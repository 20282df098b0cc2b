"""Real text in any amount: the passages of some pages, and beyond these new ones of their sentences in another order."""

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path

from ragqa.evaluation.judged import read_starter_graded
from ragqa.records import Passage
from ragqa.text.clean import clean_page
from ragqa.text.pages import read_pages, starter_folder
from ragqa.text.passages import MAX_CHARS, sentences, split
from ragqa.text.questions import QuestionGenerator

SENTENCES = 4  # of a passage made anew
SEARCHED = 10_000
FULL = 400  # characters: what is long enough to stand for a passage of 500


@cache
def real_passages(pages: Path | None) -> tuple[Passage, ...]:
    """The passages of the pages, the starter corpus's if none are given."""
    source = read_pages(pages or starter_folder())
    unique = {page.title: page for page in source}
    return tuple(chain.from_iterable(split(clean_page(page)) for page in unique.values()))


def searched_passages(pages: Path | None) -> tuple[Passage, ...]:
    """The passages that whole questions are answered from."""
    return real_passages(pages)[:SEARCHED]


def some_passages(pages: Path | None, count: int) -> list[Passage]:
    """So many passages; those beyond the real ones hold sentences drawn from all of them."""
    real = real_passages(pages)
    chosen = list(real[:count])
    rng = random.Random(42)
    pieces = [p.text[start:end] for p in real for start, end in sentences(p.text)] if count > len(real) else []
    while len(chosen) < count:
        text = " ".join(rng.choices(pieces, k=SENTENCES))[:MAX_CHARS]
        chosen.append(replace(rng.choice(real), id=f"made-{len(chosen)}", text=text, end=len(text)))
    return chosen


def some_questions(pages: Path | None, count: int) -> list[str]:
    """So many questions: the starter corpus's own, or questions generated from the passages that are searched."""
    if pages is None:
        questions = list(read_starter_graded().questions.values())
    else:
        passages = searched_passages(pages)  # of other passages, a question could have no word in them
        generator = QuestionGenerator(passages, ("what", "how", "explain", "difference"))
        questions = list(dict.fromkeys(q.text for p in passages for q in generator.questions(p)))
    random.Random(42).shuffle(questions)
    return [questions[number % len(questions)] for number in range(count)]


def full_passages(pages: Path | None, count: int) -> Sequence[Passage]:
    """So many passages of nearly 500 characters."""
    return [p for p in real_passages(pages) if len(p.text) >= FULL][:count]
