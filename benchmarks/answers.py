"""Measure the quoted answers of `ragqa ask` on questions with hand-marked answers, beside two simpler ways to choose a quote.

    python benchmarks/answers.py                                        # 100 questions on the starter corpus
    python benchmarks/answers.py --data ../shared/data --index data/ml  # and 100 on 217 Wikipedia pages
    python benchmarks/answers.py … --sheet sheet.md --key key.json      # also 60 of them, to be graded blind
    python benchmarks/answers.py --key key.json --graded grades.jsonl   # the table of these grades

`answers.jsonl` holds the questions and all sentences of the corpus that answer each, written and marked by a reader who did not
see any system's answers. Nothing was trained or tuned on them. A quote is right if it holds a marked answer, or shares half of
its characters with one. The systems read the same hits:

- selector: what `ragqa ask` quotes
- reranker: the sentence of the first three hits that the reranker, trained on passages, scores highest
- first: the first sentence of the first hit

`--index` is where the index of the Wikipedia pages is kept; it is built if it is missing (some minutes).
"""

import argparse
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from shipped_models import ml_passages, starter_passages

from ragqa import Hit, Passage, Retriever
from ragqa.errors import InputError, RecordError
from ragqa.evaluation.compare import bootstrap_interval
from ragqa.evaluation.marks import is_like
from ragqa.index.folder import build_index, group_by_page
from ragqa.models.embedder import Embedder
from ragqa.models.selector import runs_of
from ragqa.progress import counter
from ragqa.storage.files import text_hash
from ragqa.storage.json_lines import read_rows
from ragqa.text.passages import full_text, sentences

QUESTIONS = Path(__file__).parent / "answers.jsonl"
SAMPLE = 30  # questions of each corpus on the sheet
READ = 3  # hits whose sentences the reranker scores
SHOWN = 5  # hits that `ragqa ask` shows, and quotes from


class Place(NamedTuple):
    """Characters of a page."""

    title: str
    start: int
    end: int


@dataclass(frozen=True)
class Question:
    """A question, and the places in its corpus that answer it; `pairs` answer only together."""

    corpus: str
    text: str
    kind: str
    answers: tuple[Place, ...]
    pairs: tuple[tuple[Place, Place], ...]


def read_questions(passages: Mapping[str, Sequence[Passage]]) -> list[Question]:
    """Read the questions on the given corpora. Raises `RecordError` if a marked text is not among the passages any more."""
    known = {
        (name, passage.title, passage.start + start, passage.start + end, text_hash(passage.text[start:end]))
        for name, own in passages.items()
        for passage in own
        for _, _, start, end in runs_of(sentences(passage.text))
    }
    found = []
    for number, row in read_rows(QUESTIONS):
        corpus = row["corpus"]
        if corpus not in passages:
            continue
        for title, start, end, digest in (*row["answers"], *(place for pair in row["pairs"] for place in pair)):
            if (corpus, title, start, end, digest) not in known:
                raise RecordError(QUESTIONS, number, f"characters {start} to {end} of {title!r} have changed")
        places = tuple(Place(*place[:3]) for place in row["answers"])
        pairs = tuple((Place(*one[:3]), Place(*other[:3])) for one, other in row["pairs"])
        found.append(Question(corpus, row["question"], row["kind"], places, pairs))
    return found


def is_right(quotes: Sequence[Place], question: Question) -> bool:
    """Whether one of the quotes holds or is like a marked answer, or whether they do so for both places of a pair."""

    def found(marked: Place) -> bool:
        return any(_fits(quote, marked) for quote in quotes)

    return any(map(found, question.answers)) or any(found(one) and found(other) for one, other in question.pairs)


def _fits(quote: Place, marked: Place) -> bool:
    return quote.title == marked.title and is_like(quote.start, quote.end, (marked.start, marked.end))


def selector(retriever: Retriever, question: str, hits: Sequence[Hit]) -> list[Place]:
    """The quotes of `ragqa ask`."""
    found = retriever.answer(question, hits, threshold=0.0)
    return [place_of(found.hits[quote.hit], quote.start, quote.end) for quote in found.quotes]


def reranker(retriever: Retriever, question: str, hits: Sequence[Hit]) -> list[Place]:
    """The sentence of the first hits that the reranker scores highest."""
    assert retriever.reranker is not None
    spans = [(hit, start, end) for hit in hits[:READ] for start, end in sentences(hit.passage.text)]
    texts = [full_text(replace(hit.passage, text=hit.passage.text[start:end])) for hit, start, end in spans]
    return [place_of(*spans[int(retriever.reranker.score(question, texts).argmax())])] if spans else []


def first(_: Retriever, __: str, hits: Sequence[Hit]) -> list[Place]:
    """The first sentence of the first hit."""
    return [place_of(hits[0], *sentences(hits[0].passage.text)[0])] if hits else []


def place_of(hit: Hit, start: int, end: int) -> Place:
    """The place in its page of characters of a hit."""
    return Place(hit.passage.title, hit.passage.start + start, hit.passage.start + end)


SYSTEMS = {"selector": selector, "reranker": reranker, "first": first}


class Outcome(NamedTuple):
    """What a system quotes for a question."""

    question: Question
    system: str
    quotes: list[Place]
    right: bool


def measure(retriever: Retriever, questions: Sequence[Question]) -> Iterator[Outcome]:
    """Ask all questions."""
    with counter(len(questions), "questions") as counted:
        for question in questions:
            hits = retriever.search(question.text, SHOWN)
            for name, system in SYSTEMS.items():
                quotes = system(retriever, question.text, hits)
                yield Outcome(question, name, quotes, is_right(quotes, question))
            counted.update(1)


def table(outcomes: Sequence[Outcome]) -> str:
    """The share of right quotes by corpus and system, with its interval, and by kind of question."""
    lines = ["| corpus | system | questions | right | 95 % interval |", "|---|---|---|---|---|"]
    for corpus in dict.fromkeys(outcome.question.corpus for outcome in outcomes):
        for system in SYSTEMS:
            right = [o.right for o in outcomes if (o.question.corpus, o.system) == (corpus, system)]
            low, high = bootstrap_interval(np.array(right, dtype=float))
            lines.append(
                f"| {corpus} | {system} | {len(right)} | {sum(right) / len(right):.3f} | {low:.3f} to {high:.3f} |"
            )
    lines += ["", "| kind | questions | " + " | ".join(SYSTEMS) + " |", "|---|---|" + "---|" * len(SYSTEMS)]
    for kind in dict.fromkeys(outcome.question.kind for outcome in outcomes):
        own = [[o.right for o in outcomes if (o.question.kind, o.system) == (kind, system)] for system in SYSTEMS]
        lines.append(f"| {kind} | {len(own[0])} | " + " | ".join(f"{sum(r) / len(r):.3f}" for r in own) + " |")
    return "\n".join(lines)


def write_sheet(outcomes: Sequence[Outcome], texts: Mapping[str, Any], sheet: Path, key: Path, seed: int = 42) -> None:
    """Write some questions with the three answers to each in random order, and which letter is which system."""
    draw = random.Random(seed)
    systems: dict[str, dict[str, str]] = {}
    lines = ["Grade each answer alone: good (answers, readable alone), partial, or bad.", ""]
    for corpus in dict.fromkeys(outcome.question.corpus for outcome in outcomes):
        asked = list(dict.fromkeys(o.question.text for o in outcomes if o.question.corpus == corpus))
        for question in draw.sample(asked, min(SAMPLE, len(asked))):
            own = [o for o in outcomes if o.question.text == question]
            draw.shuffle(own)
            number = str(len(systems) + 1)
            systems[number] = dict(zip("ABC", (o.system for o in own), strict=True))
            lines.append(f"## {number}. {question}\n")
            lines += [f"{letter}. {_shown(o, texts[corpus])}\n" for letter, o in zip("ABC", own, strict=True)]
    sheet.write_text("\n".join(lines) + "\n", encoding="utf8")
    key.write_text(json.dumps(systems, indent=1) + "\n", encoding="utf8")


def _shown(outcome: Outcome, texts: Mapping[str, Sequence[Passage]]) -> str:
    return " // ".join(f"({quote.title}) {_text_of(quote, texts[quote.title])}" for quote in outcome.quotes)


def _text_of(place: Place, passages: Sequence[Passage]) -> str:
    passage = next(p for p in passages if p.start <= place.start and place.end <= p.end)
    return passage.text[place.start - passage.start : place.end - passage.start]


def grades_table(key: Path, graded: Path) -> str:
    """The shares of good, partial and bad answers by system; `graded` has lines such as {"1": {"A": "good", …}}."""
    systems = json.loads(key.read_text(encoding="utf8"))
    grades: dict[str, list[str]] = {name: [] for name in SYSTEMS}
    for _, row in read_rows(graded):
        for number, letters in row.items():
            for letter, grade in letters.items():
                grades[systems[number][letter]].append(grade)
    lines = ["| system | answers | good | partial | bad |", "|---|---|---|---|---|"]
    for name, own in grades.items():
        shares = " | ".join(f"{own.count(grade) / len(own):.0%}" for grade in ("good", "partial", "bad"))
        lines.append(f"| {name} | {len(own)} | {shares} |")
    return "\n".join(lines)


def open_pages(passages: Sequence[Passage], folder: Path) -> Retriever:
    """Open the index of the Wikipedia pages; build it if it is missing."""
    if not folder.is_dir():
        with counter(len(passages), "passages") as counted:
            build_index(folder, tuple(passages), embedder=Embedder.load(), progress=counted.update)
    return Retriever.open(folder)


def main() -> None:
    """Read the arguments, ask all questions and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, help="folder of the public data; without it only the starter corpus is asked"
    )
    parser.add_argument(
        "--index", type=Path, default=Path("data/ml-index"), help="index of the Wikipedia pages in --data"
    )
    parser.add_argument("--sheet", type=Path, help="Markdown file to write with answers to grade")
    parser.add_argument("--key", type=Path, help="file to write or read with the systems of these answers")
    parser.add_argument("--graded", type=Path, help="file of the grades: prints their table and asks nothing")
    run = parser.parse_args()
    if (run.sheet or run.graded) and not run.key:
        parser.error("--sheet and --graded need --key")
    if run.graded:
        print(grades_table(run.key, run.graded))
        return
    passages = {"starter": starter_passages()} | ({"ml": ml_passages(run.data)} if run.data else {})
    try:
        questions = read_questions(passages)
        outcomes: list[Outcome] = []
        for corpus, own in passages.items():
            retriever = Retriever.open() if corpus == "starter" else open_pages(own, run.index)
            outcomes += measure(retriever, [question for question in questions if question.corpus == corpus])
    except (InputError, RecordError) as error:
        raise SystemExit(f"answers: {error}") from error
    print(table(outcomes))
    if run.sheet:
        texts = {name: group_by_page(own) for name, own in passages.items()}
        write_sheet(outcomes, texts, run.sheet, run.key)


if __name__ == "__main__":
    main()
