"""Measure the check of written sentences on pairs of a sentence and a starter passage that says it or does not.

python benchmarks/support.py [--show]

The two limits are chosen on the part "choose"; "report" was seen while the rules were written, "unseen" was not.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ragqa import Passage, Reranker, Retriever
from ragqa.answers import citations as support
from ragqa.answers.citations import SUPPORTED, check_sentence
from ragqa.storage.files import text_hash
from ragqa.storage.json_lines import read_rows

PAIRS = Path(__file__).parent / "support.jsonl"
COVERAGES = (0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)
LOGITS = (-1.0, -0.5, 0.0, 0.25, 0.5)


class Labelled(NamedTuple):
    """A sentence, the passage that it cites, whether that says it, what kind of sentence it is, and its part of the pairs."""

    sentence: str
    passage: Passage
    supported: bool
    kind: str
    part: str


def read_pairs(retriever: Retriever) -> list[Labelled]:
    """The pairs with their passages. Ends the program if a passage is not the text that was labelled."""
    pairs = []
    for number, row in read_rows(PAIRS):
        passage = retriever.index.passages[retriever.index.position(row["passage"])]
        if text_hash(passage.text) != row["hash"]:
            raise SystemExit(f"{PAIRS}, line {number}: the text of {row['passage']} has changed: label the pair again")
        pairs.append(Labelled(f"{row['sentence']} [1]", passage, row["supported"], row["kind"], row["part"]))
    return pairs


def confirmed(pairs: Sequence[Labelled], reranker: Reranker | None) -> list[bool]:
    return [check_sentence(pair.sentence, [pair.passage], reranker) == SUPPORTED for pair in pairs]


def f1(pairs: Sequence[Labelled], found: Sequence[bool]) -> tuple[float, float, float]:
    """F1, precision and recall of "supported"."""
    right = sum(pair.supported and yes for pair, yes in zip(pairs, found, strict=True))
    precision, recall = right / max(1, sum(found)), right / max(1, sum(pair.supported for pair in pairs))
    return 2 * precision * recall / max(1e-9, precision + recall), precision, recall


def choose(pairs: Sequence[Labelled], reranker: Reranker | None) -> tuple[float, float]:
    """The limits of the highest F1; of equals the most lenient."""
    best, chosen = -1.0, (0.0, 0.0)
    for logit in LOGITS if reranker else LOGITS[:1]:
        for coverage in COVERAGES:
            support.LEAST_COVERAGE, support.LEAST_LOGIT = coverage, logit
            score, *_ = f1(pairs, confirmed(pairs, reranker))
            if score > best:
                best, chosen = score, (coverage, logit)
    return chosen


def report(name: str, pairs: Sequence[Labelled], reranker: Reranker | None, show: bool) -> None:
    found = confirmed(pairs, reranker)
    score, precision, recall = f1(pairs, found)
    print(f"- {name}: {len(pairs)} pairs, precision {precision:.3f}, recall {recall:.3f}, F1 {score:.3f}")
    for kind in sorted({pair.kind for pair in pairs}):
        own = [yes == pair.supported for pair, yes in zip(pairs, found, strict=True) if pair.kind == kind]
        print(f"  {kind}: {sum(own)} of {len(own)} right")
    for pair, yes in zip(pairs, found, strict=True):
        if show and yes != pair.supported:
            print(f"  ! {pair.kind}: {pair.sentence}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true", help="print what is judged wrongly")
    arguments = parser.parse_args()
    retriever = Retriever.open(dense=False)
    pairs, shipped = read_pairs(retriever), (support.LEAST_COVERAGE, support.LEAST_LOGIT)
    for name, reranker in (("with the reranker", retriever.reranker), ("by words alone", None)):
        parts = {part: [pair for pair in pairs if pair.part == part] for part in ("choose", "report", "unseen")}
        coverage, logit = choose(parts["choose"], reranker)
        print(f"{name}, limits chosen: coverage {coverage}, logit {logit if reranker else '-'}; shipped {shipped}")
        support.LEAST_COVERAGE, support.LEAST_LOGIT = shipped
        for part, own in parts.items():
            report(part, own, reranker, arguments.show)


if __name__ == "__main__":
    main()
