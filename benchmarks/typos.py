"""Measure what typing errors cost: nDCG@10 of questions as they are, with one error each, and with the error corrected.

    python benchmarks/typos.py --data ../shared/data                # BM25, and BM25 + embedder
    python benchmarks/typos.py --data ../shared/data --rerank 40    # reranks 40 questions of each set too

The questions are those of `starter-graded-test` and of `mlq_dev`. Each error is in a content word, drawn with a seed: a letter
left out, doubled, swapped with the next one, replaced by its neighbour on the keyboard or by another vowel, or a missing space.
The passages of `mlq_dev` are embedded into the index folder `--index` once, which takes minutes.
"""

import argparse
import itertools
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from ragqa.evaluation.judged import Judged, read_judged
from ragqa.evaluation.metrics import MAIN_METRIC, measure, sample
from ragqa.index.bm25 import Bm25Index
from ragqa.index.folder import build_index
from ragqa.models.named import load_embedder
from ragqa.search.retriever import Retriever
from ragqa.text.analyzer import QUESTION_WORDS, STOP_WORDS

QUESTIONS = 200
SHORTEST = 4  # letters of a word with an error
ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
VOWELS = "aeiou"
KINDS = ("missing", "doubled", "swapped", "neighbour", "vowel", "space")
_WORD = re.compile(rf"(?<![\w-])[a-zA-Z]{{{SHORTEST},}}(?![\w-])")


def with_typo(question: str, seed: str) -> str | None:
    """Return the question with one typing error in a content word, or None if it has no content word of four letters."""
    rng = random.Random(seed)
    words = [
        m for m in _WORD.finditer(question) if m[0].lower() not in STOP_WORDS | QUESTION_WORDS and not m[0].isupper()
    ]
    if not words:
        return None
    pairs = [(one, two) for one, two in itertools.pairwise(words) if question[one.end() : two.start()] == " "]
    kind = rng.choice(KINDS if pairs else KINDS[:-1])
    if kind == "space":
        one, two = rng.choice(pairs)
        return question[: one.end()] + question[two.start() :]
    word = rng.choice(words)
    wrong = next(spelled for spelled in _attempts(word[0], kind, rng) if spelled.lower() != word[0].lower())
    return question[: word.start()] + wrong + question[word.end() :]


def _attempts(word: str, kind: str, rng: random.Random) -> Iterator[str]:
    """Yield the word with an error of a kind at a random place after the first letter, over and over."""
    for _ in range(50):
        at = rng.randrange(1, len(word))
        before, letter, after = word[:at], word[at], word[at + 1 :]
        if kind == "missing":
            yield before + after
        elif kind == "doubled":
            yield before + letter + letter + after
        elif kind == "swapped" and after:
            yield before + after[0] + letter + after[1:]
        elif kind == "neighbour":
            yield before + rng.choice(_keys_beside(letter.lower())) + after
        elif kind == "vowel" and letter in VOWELS:
            yield before + rng.choice(VOWELS) + after
    yield word[:-1]


def _keys_beside(letter: str) -> str:
    row = next(row for row in ROWS if letter in row)
    at = row.index(letter)
    return row[max(0, at - 1) : at] + row[at + 1 : at + 2]


def mistyped(judged: Judged, count: int) -> tuple[Judged, Judged]:
    """Return so many questions of a set, some more than once if there are too few, as they are and with one error each."""
    clean: dict[str, str] = {}
    wrong: dict[str, str] = {}
    relevance: dict[str, Mapping[str, int]] = {}
    for number in range(50 * count):
        key = list(judged.questions)[number % len(judged.questions)]
        typed = with_typo(judged.questions[key], f"{number}")
        if typed and typed not in wrong.values():
            clean[f"{key}-{number}"], wrong[f"{key}-{number}"] = judged.questions[key], typed
            relevance[f"{key}-{number}"] = judged.relevance[key]
        if len(clean) == count:
            break
    same = replace(judged, relevance=relevance, answers={}, rejected={}, excluded={})
    return replace(same, questions=clean), replace(same, questions=wrong)


def ndcg(retriever: Retriever, judged: Judged) -> float:
    """Mean nDCG@10."""
    return next(m.mean for m in measure(retriever.search, judged) if m.metric == MAIN_METRIC)


def variant(retriever: Retriever, *, dense: bool, rerank: bool, correct: bool) -> Retriever:
    """Return a retriever with some of the models, that corrects questions or does not."""
    return Retriever(
        retriever.index,
        retriever.reranker if rerank else None,
        dense=retriever.dense if dense else None,
        correct=correct,
    )


def print_row(name: str, retriever: Retriever, sets: tuple[Judged, Judged], system: str) -> None:
    """Print a row of the table: clean questions, the same with errors, and with the errors corrected."""
    clean, wrong = sets
    dense, rerank = "embedder" in system, "reranker" in system
    plain = variant(retriever, dense=dense, rerank=rerank, correct=False)
    correcting = variant(retriever, dense=dense, rerank=rerank, correct=True)
    values = ndcg(plain, clean), ndcg(correcting, clean), ndcg(plain, wrong), ndcg(correcting, wrong)
    cells = " | ".join(f"{value:.3f}" for value in values)
    print(f"| {name} | {len(clean.questions)} | {system} | {cells} | {values[3] - values[0]:+.3f} |", flush=True)


def print_corrections(name: str, retriever: Retriever, clean: Judged, wrong: Judged) -> None:
    """Print every question with its error and its correction: = as it was, - not corrected, ! corrected to another question."""
    right = 0
    for key, typed in wrong.questions.items():
        found = retriever.corrected(typed)
        right += found == clean.questions[key]
        print(f"{'=' if found == clean.questions[key] else '-' if found == typed else '!'} {typed}  →  {found}")
    print(f"{name}: {right} of {len(wrong.questions)} as they were")


def open_asked(options: argparse.Namespace, judged: Judged) -> Retriever:
    """Open the passages of `mlq_dev`, embedded unless BM25 alone is measured."""
    if options.bm25_only:
        return Retriever(Bm25Index.build(judged.passages), None)
    if not options.index.exists():
        build_index(options.index, judged.passages, embedder=load_embedder("bundled"))
    return Retriever.open(options.index, reranker="bundled" if options.rerank else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds mlq_dev/")
    parser.add_argument(
        "--index", type=Path, default=Path("data/typos-index"), help="index folder of mlq_dev's passages"
    )
    parser.add_argument("--bm25-only", action="store_true", help="measure BM25 alone, without any model")
    parser.add_argument(
        "--rerank", type=int, default=0, metavar="N", help="rerank for N questions of each set (default: 0)"
    )
    parser.add_argument("--show", action="store_true", help="print every question with its error and its correction")
    options = parser.parse_args()
    starter, asked = read_judged("starter-graded-test"), read_judged(options.data / "mlq_dev")
    opened = Retriever.open(dense=False if options.bm25_only else None, reranker="bundled" if options.rerank else None)
    sets = {
        "starter-graded-test": (opened, mistyped(starter, len(starter.questions))),
        "mlq_dev": (open_asked(options, asked), mistyped(asked, QUESTIONS - len(starter.questions))),
    }
    print("| questions | number | system | clean | clean, corrected | one error | corrected | corrected − clean |")
    print("|---|---|---|---|---|---|---|---|")
    for name, (retriever, pair) in sets.items():
        for system in ("BM25", "BM25 + embedder")[: 1 if options.bm25_only else 2]:
            print_row(name, retriever, pair, system)
        if options.rerank:
            some = sample(pair[0], options.rerank), sample(pair[1], options.rerank)
            print_row(name, retriever, some, "BM25 + embedder → reranker")
    for name, (retriever, pair) in sets.items() if options.show else ():
        print_corrections(name, retriever, *pair)


if __name__ == "__main__":
    main()
