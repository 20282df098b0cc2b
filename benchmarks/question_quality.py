"""How good generated questions are: a sheet of fresh ones to read, and what the lint says of labelled ones.

    python benchmarks/question_quality.py sheet --data ../shared/data --out sheet.md
    python benchmarks/question_quality.py negatives --data ../shared/data --out negatives.md
    python benchmarks/question_quality.py lint --data ../shared/data

`sheet` draws questions from the half of the pages that the rules were not written on (`is_aside`): machine-learning pages, and
as many from the starter corpus and from other pages. They passed the same check as those of `ragqa dataset`.
`negatives` draws as many pairs of such questions and passages that a dataset has as negatives.
`lint` compares the lint with `question_labels.jsonl`: questions of the old and the new generator, read by
two readers. It prints the agreement with each of them, and of the second with the first.
"""

import argparse
import gzip
import hashlib
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ragqa.models.reranker import Reranker
from ragqa.records import Page, Passage
from ragqa.text.pages import read_pages, starter_folder
from ragqa.text.passages import full_text, split
from ragqa.training.dataset import ExampleSet, PairConfig, build, check_questions, from_passages
from ragqa.training.lint import ASPECTS, QuestionReader

LABELS = Path(__file__).with_name("question_labels.jsonl")
OTHER_PAGES = 60  # of those that are not about machine learning


def is_aside(title: str) -> bool:
    """Whether a page is in the half that nobody looked at while writing the rules."""
    return hashlib.sha256(f"h:{title}".encode()).digest()[0] % 2 == 1


def read_wikipedia(data: Path, *, ml: bool) -> list[Page]:
    """The pages of `wikipedia/pages.jsonl.gz` that are, or are not, about machine learning."""
    with gzip.open(data / "wikipedia" / "pages.jsonl.gz", "rt", encoding="utf8") as file:
        rows = [json.loads(line) for line in file]
    return [Page(row["title"], text=row["text"]) for row in rows if row["ml"] == ml]


def passages_of(pages: Sequence[Page]) -> tuple[Passage, ...]:
    """The passages of all pages."""
    return tuple(passage for page in pages for passage in split(page))


def fresh(pages: Sequence[Page], count: int, seed: int, reranker: Reranker) -> ExampleSet:
    """Draw checked questions from pages."""
    source = from_passages(passages_of(pages))
    drawn = random.Random(seed).sample(source.examples, min(2 * count, len(source.examples)))
    kept, dropped = check_questions(ExampleSet(source.passages, tuple(drawn), reranker=reranker))
    print(f"{len(source.examples)} questions of {len(pages)} pages; of {len(drawn)} drawn, dropped: {dropped}")
    return replace(kept, examples=kept.examples[:count])


def draw(data: Path, count: int, seed: int) -> list[ExampleSet]:
    """Draw questions from machine-learning pages, half of them, and from the starter corpus and other pages."""
    rng, reranker = random.Random(seed), Reranker.load()
    ml = [page for page in read_wikipedia(data, ml=True) if is_aside(page.title)]
    others = [page for page in read_wikipedia(data, ml=False) if is_aside(page.title)]
    starter = [page for page in read_pages(starter_folder()) if is_aside(page.title)]
    return [
        fresh(ml, count // 2, seed, reranker),
        fresh(starter, count // 4, seed, reranker),
        fresh(rng.sample(others, OTHER_PAGES), count - count // 2 - count // 4, seed, reranker),
    ]


def sheet(data: Path, count: int, seed: int) -> str:
    """Questions to read, numbered and shuffled, each with its first positive."""
    examples = [example for drawn in draw(data, count, seed) for example in drawn.examples]
    random.Random(seed).shuffle(examples)
    return _numbered((e.question, full_text(e.positives[0])) for e in examples)


def negatives(data: Path, count: int, seed: int) -> str:
    """Questions and negatives of a dataset with default settings, numbered and shuffled."""
    config = PairConfig(parts=(1.0, 0.0, 0.0), seed=seed)
    sets = draw(data, -(-count // config.negatives), seed)
    pairs = [pair for pair in build(sets, config)["train"] if pair.label == 0]
    random.Random(seed).shuffle(pairs)
    return _numbered((pair.question, pair.passage) for pair in pairs[:count])


def _numbered(rows: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"{n}. **{q}**\n\n   > {' '.join(text.split())}\n" for n, (q, text) in enumerate(rows, 1))


def compare_lint(data: Path | None) -> dict[str, dict[str, float]]:
    """How often the lint agrees with each reader, and the second reader with the first, for each aspect.

    Without `data`, on the questions of the starter corpus.
    """
    rows = [json.loads(line) for line in LABELS.read_text(encoding="utf8").splitlines()]
    sources = [(True, list(read_pages(starter_folder())))]
    if data is not None:
        sources.append((False, [page for ml in (True, False) for page in read_wikipedia(data, ml=ml)]))
    verdicts: list[tuple[dict[str, Any], dict[str, bool]]] = []
    for starter, pages in sources:
        passages = passages_of(pages)
        by_id = {passage.id: passage for passage in passages}
        reader = QuestionReader(passages)
        for row in rows:
            if row["starter"] == starter:
                wrong = {fault.aspect for fault in reader.faults(row["question"], [by_id[row["passage"]]])}
                verdicts.append((row, {aspect: aspect not in wrong for aspect in ASPECTS}))
    found = {}
    for aspect in ASPECTS[:3]:
        found[aspect] = _agreement([(row[aspect], said[aspect]) for row, said in verdicts])
        found[f"{aspect}, second reader"] = _agreement(
            [(row["second"][aspect], said[aspect]) for row, said in verdicts]
        )
        found[f"{aspect}, between readers"] = _agreement([(row[aspect], row["second"][aspect]) for row, _ in verdicts])
    return found


def _agreement(pairs: Sequence[tuple[bool, bool]]) -> dict[str, float]:
    """Agreement, beyond chance too (Cohen's kappa), how many faults are found, and how many of the reported ones are faults."""
    faults, reported = sum(not read for read, _ in pairs), sum(not said for _, said in pairs)
    both = sum(not read and not said for read, said in pairs)
    share, first, second = (
        sum(read == said for read, said in pairs) / len(pairs),
        faults / len(pairs),
        reported / len(pairs),
    )
    by_chance = first * second + (1 - first) * (1 - second)
    return {
        "questions": len(pairs),
        "agreement": round(share, 3),
        "kappa": round((share - by_chance) / (1 - by_chance), 2) if by_chance < 1 else 1.0,
        "faults": faults,
        "recall": round(both / max(1, faults), 3),
        "precision": round(both / max(1, reported), 3),
    }


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("sheet", "negatives", "lint"))
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args()
    if options.what == "lint":
        print(json.dumps(compare_lint(options.data), indent=1))
        return
    if options.data is None or options.out is None:
        parser.error(f"{options.what} needs --data and --out")
    made = {"sheet": sheet, "negatives": negatives}[options.what]
    options.out.write_text(made(options.data, options.count, options.seed), encoding="utf8")


if __name__ == "__main__":
    main()
