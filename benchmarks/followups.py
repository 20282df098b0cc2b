"""Measure how well follow-up questions are rewritten: compare them with the intended questions, and count false rewrites.

python benchmarks/followups.py [--seen] [--show]
python benchmarks/followups.py --llm-base-url http://localhost:11434/v1 [--cases 60]    # as a language model rewrites them
"""

import argparse
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from ragqa import Retriever
from ragqa.answers.language_model import LanguageModel
from ragqa.records import Answer, Hit, Passage
from ragqa.search.conversation import standalone
from ragqa.search.restating import restate
from ragqa.search.small_talk import reply_to
from ragqa.storage.json_lines import read_rows
from ragqa.text.analyzer import usual_analyzer

HERE = Path(__file__).parent
QUESTIONS = HERE.parent / "corpus" / "questions.jsonl"
STARTER = HERE.parent / "corpus" / "starter" / "questions.jsonl"
FOLLOWUPS = HERE / "followups.jsonl"
DEPTH = 3
NEAR = 0.8  # F1 of the content terms of two questions that ask nearly the same
ASKING = "tell show explain give me more exactly pls just simply so really ok then".split()  # words without content
SMALL_TALK = ("greeting", "thanks")

Case = Mapping[str, Any]  # a line of followups.jsonl


class Outcome(NamedTuple):
    """What became of a case: the rewritten question, its likeness to the intended one, and whether it finds the page.

    A value is None if the case has no intended question or no page.
    """

    question: str
    likeness: float | None
    found_as_asked: bool | None
    found: bool | None


Rewrite = Callable[[str, Sequence[Answer]], str]


def measure(retriever: Retriever, case: Case, rewrite: Rewrite = standalone) -> Outcome:
    """Have the conversation of a case and rate its last question."""
    earlier: list[Answer] = []
    *before, typed = case["turns"]
    for question in before:
        if not reply_to(question):
            earlier.append(_ask(retriever, standalone(question, earlier)))
    rewritten = rewrite(typed, earlier)
    if case["kind"] in SMALL_TALK:
        return Outcome(rewritten, float(rewritten == typed and bool(reply_to(typed))), None, None)
    likeness = None if case["intended"] is None else similarity(rewritten, case["intended"])
    page = case["page"]
    found = (None if page is None else finds(retriever, question, page) for question in (typed, rewritten))
    return Outcome(rewritten, likeness, *found)


@cache
def _ask(retriever: Retriever, question: str) -> Answer:
    return retriever.ask(question)


def similarity(one: str, other: str) -> float:
    """Return the F1 of the content terms of two questions; 1 if both have the same."""
    terms = [content(text) for text in (one, other)]
    return 2 * len(terms[0] & terms[1]) / max(1, len(terms[0]) + len(terms[1])) if any(terms) else float(one == other)


def content(text: str) -> set[str]:
    """Return the terms of a question without stop words and words that only ask."""
    words = (word for word in text.lower().split() if word.strip(".,:?!") not in ASKING)
    return set(usual_analyzer().question_terms(" ".join(words)))


def finds(retriever: Retriever, question: str, page: str) -> bool:
    """Return True if the page is among the first hits."""
    return any(hit.passage.title == page for hit in _ask(retriever, question).hits[:DEPTH])


def summarize(outcomes: Sequence[Outcome]) -> str:
    """Return a row's cells: cases, the same and nearly the same as intended, and the page found as asked and rewritten."""
    likeness = [outcome.likeness for outcome in outcomes if outcome.likeness is not None]
    found = [(outcome.found_as_asked, outcome.found) for outcome in outcomes if outcome.found is not None]
    cells = [
        share(value == 1 for value in likeness),
        share(value >= NEAR for value in likeness),
        share(bool(before) for before, _ in found),
        share(bool(after) for _, after in found),
    ]
    return f"| {len(outcomes)} | {' | '.join(cells)} |"


def share(values: Iterable[bool]) -> str:
    """Return a share with its count, such as `0.75 (3 of 4)`, or a dash without values."""
    values = list(values)
    return f"{sum(values) / len(values):.2f} ({sum(values)} of {len(values)})" if values else "–"


def measure_followups(retriever: Retriever, parts: Sequence[bool], show: bool) -> None:
    """Print a table with a row for each kind of case; the rules were made with those `seen`."""
    cases = [json.loads(line) for line in FOLLOWUPS.read_text(encoding="utf8").splitlines()]
    print(
        f"| cases | kind | number | same | near | hit@{DEPTH} as asked | hit@{DEPTH} rewritten |\n|---|---|---|---|---|---|---|"
    )
    for seen in parts:
        outcomes: dict[str, list[Outcome]] = {}
        for case in cases:
            if case["seen"] == seen:
                outcomes.setdefault(case["kind"], []).append(outcome := measure(retriever, case))
                if show and seen:
                    _show(case, outcome)
        for kind, rows in _with_sums(outcomes):
            print(f"| {'seen' if seen else 'not seen'} | {kind} {summarize(rows)}")


def _with_sums(outcomes: Mapping[str, list[Outcome]]) -> Iterator[tuple[str, list[Outcome]]]:
    yield from outcomes.items()
    yield "all but the first set", [row for kind, rows in outcomes.items() if kind != "first set" for row in rows]


def _show(case: Case, outcome: Outcome) -> None:
    marks = "".join("·" if found is None else "-+"[found] for found in outcome[2:])
    likeness = "" if outcome.likeness is None else f"{outcome.likeness:.2f}"
    print(
        f"{case['kind']:<11} {marks} {likeness:<4} {' / '.join(case['turns'])}  →  {outcome.question}  [{case['intended']}]"
    )


def compare_with_model(retriever: Retriever, url: str, count: int, show: bool, seed: int = 42) -> None:
    """Print a row for the rules and one for a language model, over cases that the rules take for follow-ups."""
    cases = [json.loads(line) for line in FOLLOWUPS.read_text(encoding="utf8").splitlines()]
    cases = [case for case in cases if case["kind"] not in SMALL_TALK and case["intended"] is not None]
    random.Random(seed).shuffle(cases)
    changed = (case for case in cases if measure(retriever, case).question != case["turns"][-1])
    chosen = list(islice(changed, count))
    print(f"| by | number | same | near | hit@{DEPTH} as asked | hit@{DEPTH} rewritten |\n|---|---|---|---|---|---|")
    print(f"| rules {summarize([measure(retriever, case) for case in chosen])}")
    model = LanguageModel(url)

    def rewrite(question: str, earlier: Sequence[Answer]) -> str:
        return restate(model, question, standalone(question, earlier), earlier)

    outcomes = [measure(retriever, case, rewrite) for case in chosen]
    if show:
        for case, outcome in zip(chosen, outcomes, strict=True):
            _show(case, outcome)
    print(f"| model {summarize(outcomes)}")


def measure_false_rewrites(path: Path, show: bool, retriever: Retriever | None = None, seed: int = 42) -> None:
    """Print how many questions are changed when each is asked after another one, drawn at random.

    The other one has the retriever's answer. Without a retriever it has one hit, whose text is the question itself.
    """
    questions = [row["question"] for _, row in read_rows(path) if "question" in row]
    others = random.Random(seed).sample(questions, len(questions))
    changed = 0
    for other, question in zip(others, questions, strict=True):
        hit = Hit(Passage("t#0", "Topic", text=other), 0.0, None, 0.0, 1)
        answered = retriever.ask(other) if retriever else Answer(other, "", (hit,), (), True)
        rewritten = standalone(question, [answered])
        changed += rewritten != question
        if show and rewritten != question:
            print(f"! {question}  →  {rewritten}  (after {other})")
    after = "a hit of itself" if retriever is None else "its hits"
    print(f"{path.parent.name}/{path.name}, after a question with {after}: {changed} of {len(questions)} changed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--show", action="store_true", help="print every seen case, and every question that was changed"
    )
    parser.add_argument("--seen", action="store_true", help="measure only the seen cases")
    parser.add_argument(
        "--llm-base-url", metavar="URL", help="compare the rules with a language model, and nothing else"
    )
    parser.add_argument("--cases", type=int, default=60, help="number of cases to compare (default: 60)")
    arguments = parser.parse_args()
    retriever = Retriever.open(reranker=None)
    if arguments.llm_base_url:
        compare_with_model(retriever, arguments.llm_base_url, arguments.cases, arguments.show)
        return
    measure_followups(retriever, [True] if arguments.seen else [True, False], arguments.show)
    for path in (STARTER, QUESTIONS):
        measure_false_rewrites(path, arguments.show)
    for path in (STARTER, QUESTIONS):
        measure_false_rewrites(path, arguments.show, retriever)


if __name__ == "__main__":
    main()
