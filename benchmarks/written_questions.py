"""Questions that a language model writes and questions that rules make, for the same passages: how many are kept and good.

    python benchmarks/written_questions.py ask URL questions.jsonl [--count 40]
    python benchmarks/written_questions.py sheet URL questions.jsonl sheet.jsonl      # to grade, without their origin
    python benchmarks/written_questions.py report URL questions.jsonl grades.jsonl

The passages are drawn from the starter corpus. `ask` lets the model on an OpenAI-compatible server write a question for each,
keeps them in `questions.jsonl`, and prints how many the filters of `ragqa dataset --writer` drop. The others ask the server
only for its name.

Grade each line of the sheet: set `grade` to "good", "partly" or "bad". A good question is grammatical, one that a person could
ask, and answered by its passage. The sheet holds all questions of the model and the questions of the rules that are kept.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ragqa import Passage
from ragqa.answers.written import Writer
from ragqa.models.reranker import Reranker
from ragqa.storage.files import text_hash
from ragqa.storage.json_lines import read_rows, write_json_lines
from ragqa.text.natural_questions import NaturalQuestions
from ragqa.text.pages import read_pages, starter_folder
from ragqa.text.passages import full_text, split
from ragqa.training.dataset import check_questions, from_questions
from ragqa.training.lint import QuestionReader
from ragqa.training.written_questions import keep_questions, read_question, write_questions

FORMS = ("what", "how", "difference")
GRADES = ("good", "partly", "bad")
Asked = tuple[str, Passage]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Questions of one origin before the filters, those that passed all, and the number of the others by reason."""

    origin: str
    written: tuple[Asked, ...]
    kept: tuple[Asked, ...]
    dropped: dict[str, int]


def by_rules(passages: Sequence[Passage], drawn: Sequence[Passage]) -> Outcome:
    """Return what the rules make of the drawn passages. The lint is not asked, as in `ragqa dataset`."""
    generator = NaturalQuestions(passages, FORMS)
    written = tuple((question.text, passage) for passage in drawn for question in generator.questions(passage))
    return _checked("rules", written, written, {}, passages)


def by_model(passages: Sequence[Passage], drawn: Sequence[Passage], url: str, journal: Path) -> Outcome:
    """Return what the model writes for the drawn passages."""
    writer = Writer(url, timeout_s=300)
    outputs = [*write_questions(drawn, writer, journal, lambda passage: print(passage.id, flush=True))]
    kept, dropped = keep_questions(outputs, QuestionReader(passages))
    written = tuple((read_question(output) or output, passage) for output, passage in outputs)
    return _checked("model", written, kept, dropped, passages)


def _checked(
    origin: str, written: tuple[Asked, ...], kept: Sequence[Asked], dropped: dict[str, int], passages: Sequence[Passage]
) -> Outcome:
    """Apply the checks that both kinds of questions must pass."""
    source = replace(from_questions(kept, passages), reranker=Reranker.load())
    unique = {(example.question.casefold(), p.id) for example in source.examples for p in example.positives}
    checked, unanswered = check_questions(source)
    left = {(example.question.casefold(), p.id) for example in checked.examples for p in example.positives}
    return Outcome(
        origin,
        written,
        tuple((question, p) for question, p in kept if (question.casefold(), p.id) in left),
        dropped | {"several_pages": len(kept) - len(unique)} | unanswered,
    )


def sheet(outcomes: Sequence[Outcome]) -> list[dict[str, str]]:
    """Return the questions to grade in random order."""
    rows = {
        _key(asked): {"key": _key(asked), "question": asked[0], "passage": full_text(asked[1]), "grade": ""}
        for outcome in outcomes
        for asked in (outcome.written if outcome.origin == "model" else outcome.kept)
    }
    return random.Random(1).sample([*rows.values()], len(rows))


def _key(asked: Asked) -> str:
    return text_hash(f"{asked[0]}\n{asked[1].id}")


def report(outcomes: Sequence[Outcome], grades: dict[str, str]) -> str:
    """Return a table of the grades: of each origin's kept questions, and of the model's dropped ones."""
    lines = [f"| | questions | {' | '.join(GRADES)} |", "|---|---|---|---|---|"]
    for outcome in outcomes:
        dropped = [asked for asked in outcome.written if asked not in outcome.kept]
        for name, group in (("kept", outcome.kept), ("dropped", dropped)):
            found = Counter(grades[_key(asked)] for asked in group if _key(asked) in grades)
            cells = [str(found[grade]) for grade in GRADES]
            lines.append(f"| {outcome.origin}, {name} | {len(group)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("ask", "sheet", "report"))
    parser.add_argument("url")
    parser.add_argument("questions", type=Path)
    parser.add_argument("file", type=Path, nargs="?", help="sheet to write, or graded sheet to read")
    parser.add_argument("--count", type=int, default=40, help="number of passages (default: 40)")
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args()
    passages = [passage for page in read_pages(starter_folder()) for passage in split(page)]
    drawn = random.Random(options.seed).sample(passages, len(passages))[: options.count]
    outcomes = [by_rules(passages, drawn), by_model(passages, drawn, options.url, options.questions)]
    if options.what == "sheet":
        write_json_lines(options.file, sheet(outcomes))
    elif options.what == "report":
        print(report(outcomes, {row["key"]: row["grade"] for _, row in read_rows(options.file)}))
    else:
        for outcome in outcomes:
            asked = len({passage.id for _, passage in outcome.written})
            print(outcome.origin, json.dumps({"passages": asked, "written": len(outcome.written), **outcome.dropped}))
            print(f"kept {len(outcome.kept)}")


if __name__ == "__main__":
    main()
