"""Measure how follow-up questions are made to stand on their own: how many find their page, and how many others are changed.

python benchmarks/followups.py [--show]
"""

import argparse
import json
import random
from pathlib import Path

from ragqa import Retriever
from ragqa.records import Answer, Hit, Passage
from ragqa.search.conversation import standalone
from ragqa.storage.json_lines import read_rows

HERE = Path(__file__).parent
QUESTIONS = HERE.parent / "corpus" / "questions.jsonl"
STARTER = HERE.parent / "corpus" / "starter" / "questions.jsonl"
FOLLOWUPS = HERE / "followups.jsonl"
DEPTH = 3


def finds(retriever: Retriever, question: str, page: str) -> bool:
    """Whether the page is among the first hits."""
    return any(hit.passage.title == page for hit in retriever.search(question, DEPTH))


def measure_followups(retriever: Retriever, show: bool) -> None:
    """Print hit@3 of the follow-ups as they were asked and as they were rewritten; the rules were made with those `seen`."""
    every = [json.loads(line) for line in FOLLOWUPS.read_text(encoding="utf8").splitlines()]
    for name, rows in (("seen", [r for r in every if r["seen"]]), ("unseen", [r for r in every if not r["seen"]])):
        before = after = changed = 0
        for row in rows:
            rewritten = standalone(row["followup"], [retriever.ask(row["earlier"])])
            was, now = (finds(retriever, question, row["page"]) for question in (row["followup"], rewritten))
            before, after, changed = before + was, after + now, changed + (rewritten != row["followup"])
            if show:
                print(f"{'-+'[was]} {'-+'[now]}  {row['followup']}  →  {rewritten}")
        shares = f"before {before / len(rows):.3f}, after {after / len(rows):.3f}"
        print(f"{len(rows)} follow-ups {name}: {changed} rewritten; hit@{DEPTH} {shares}")


def measure_false_rewrites(path: Path, show: bool, seed: int = 42) -> None:
    """Print how many questions are changed when each is asked after another one, drawn at random."""
    questions = [row["question"] for _, row in read_rows(path) if "question" in row]
    others = random.Random(seed).sample(questions, len(questions))
    changed = 0
    for other, question in zip(others, questions, strict=True):
        answered = Answer(other, "", (Hit(Passage("t#0", "Topic", text=other), 0.0, None, 0.0, 1),), (), True)
        rewritten = standalone(question, [answered])
        changed += rewritten != question
        if show and rewritten != question:
            print(f"! {question}  →  {rewritten}")
    print(f"{path.parent.name}/{path.name}: {changed} of {len(questions)} changed, {changed / len(questions):.2%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true", help="print every follow-up and every question that was changed")
    arguments = parser.parse_args()
    for path in (STARTER, QUESTIONS):
        measure_false_rewrites(path, arguments.show)
    measure_followups(Retriever.open(), arguments.show)


if __name__ == "__main__":
    main()
