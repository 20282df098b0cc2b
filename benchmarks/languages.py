"""Measure search and answers in Arabic, Chinese, German and Hindi: BM25, and the bundled models, which know English.

    python benchmarks/languages.py
    python benchmarks/languages.py --languages zh --model cross-encoder/mmarco-mMiniLMv2-L12-H384-v1 \\
        --embedder sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2
    python benchmarks/languages.py --cuts                            # what passages end at
    python benchmarks/languages.py --segmenter icu4py --no-models    # words of ICU; needs: pip install icu4py

For each language, `benchmarks/languages/` holds 17 pages on machine learning and 50 questions, all written for this project. A
question has one answer: the passage that holds the marked words. "BM25, words" searches for the stems of `\\w+`, which is what
ragqa did before it knew scripts, and "BM25, English stems" what it did before it stemmed Arabic and Hindi. "answer" is the
share of questions whose answer holds the marked words, "none" the number of questions without an answer, which count as 0,
and "characters" the mean length of the answers. Intervals are 95 % bootstrap intervals over questions.
"""

import argparse
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from ragqa import Answer, Bm25Index, DenseIndex, Embedder, Page, Passage, Reranker, Retriever, split
from ragqa.evaluation.compare import bootstrap_interval
from ragqa.evaluation.judged import Judged
from ragqa.evaluation.metrics import Run, measure_run
from ragqa.index.bm25 import K1, B
from ragqa.index.postings import Postings
from ragqa.index.terms import Fields, find_abbreviations, passage_terms
from ragqa.models.named import load_embedder
from ragqa.storage.json_lines import read_rows
from ragqa.text.analyzer import Analyzer
from ragqa.text.characters import CLOSING_QUOTES, PAUSES, SENTENCE_ENDS

if TYPE_CHECKING:
    import numpy as np

FOLDER = Path(__file__).parent / "languages"
LANGUAGES = ("ar", "de", "hi", "zh")
MAX_CHARS = {"zh": 170}  # of a passage: a Chinese character says as much as three letters
METRICS = ("P@1", "R@10", "nDCG@10")
ENGLISH_STEMS = 2  # version of the analyzer that stems all words as English
SHUFFLES = 20
SIZES = (500, 200, 100, 50)  # characters of the passages whose ends are counted


class Words(Analyzer):
    """Gives the stems of all words of a text, which a function splits; knows nothing of scripts."""

    def __init__(self, split: Callable[[str], list[str]]) -> None:
        super().__init__(ENGLISH_STEMS)
        self._split = split

    def terms(self, text: str) -> list[str]:
        """Return the stems of all words."""
        return [self._stem(word) for word in self._split(text.casefold())]

    def question_terms(self, question: str) -> list[str]:
        """Return the distinct stems of all words."""
        return list(dict.fromkeys(self.terms(question)))


def read_set(language: str) -> Judged:
    """Read the pages and questions of a language."""
    rows = [row for _, row in read_rows(FOLDER / f"{language}_pages.jsonl")]
    size = MAX_CHARS.get(language, 500)
    passages = tuple(p for row in rows for p in split(Page(row["title"], text=row["text"]), size))
    questions, relevance, answers = {}, {}, {}
    for number, (_, row) in enumerate(read_rows(FOLDER / f"{language}_questions.jsonl")):
        key = f"{language}{number}"
        (relevant,) = (p.id for p in passages if p.title == row["title"] and row["answer"] in p.text)
        questions[key], relevance[key], answers[key] = row["question"], {relevant: 1}, (row["answer"],)
    return Judged(language, passages, questions, relevance, answers)


def index_with(analyzer: Analyzer, passages: tuple[Passage, ...]) -> Bm25Index:
    """Build an index with another analyzer."""
    import numpy as np

    fields, short = Fields(), find_abbreviations(passages, analyzer)
    postings = Postings.build(passage_terms(passages, fields, analyzer, short), K1, B)
    by_id = sorted(range(len(passages)), key=lambda position: passages[position].id)
    ranks = np.argsort(by_id).astype(np.int32)
    return Bm25Index(passages, ranks, postings, analyzer, short, fields, K1, B)


def bm25_systems(judged: Judged, segment: Callable[[str], list[str]] | None) -> Iterator[tuple[str, Retriever]]:
    """Yield the systems without a model."""
    words = index_with(Words(re.compile(r"\w+").findall), judged.passages)
    yield "BM25, words", Retriever(words, None, correct=False)
    yield "BM25, English stems", Retriever(index_with(Analyzer(ENGLISH_STEMS), judged.passages), None)
    yield "BM25", Retriever(Bm25Index.build(judged.passages), None)
    if segment:
        yield "BM25, segmenter", Retriever(index_with(Words(segment), judged.passages), None, correct=False)


def model_systems(
    judged: Judged, reranker: Reranker, embedder: Embedder, candidates: int
) -> Iterator[tuple[str, Retriever]]:
    """Yield the systems with models."""
    index, dense = Bm25Index.build(judged.passages), DenseIndex.build(judged.passages, embedder)
    yield "BM25 + embedder", Retriever(index, None, dense=dense)
    yield "BM25 + embedder → reranker", Retriever(index, reranker, dense=dense, candidates=candidates)


def random_run(judged: Judged, seed: int) -> Run:
    """Return all passages in random order for each question."""
    rng, ids = Random(seed), [passage.id for passage in judged.passages]
    return {key: dict.fromkeys(rng.sample(ids, len(ids)), 0.0) for key in judged.questions}


def mean_cell(values: "np.ndarray") -> str:
    """Return the mean of some values with its interval."""
    low, high = bootstrap_interval(values)
    return f"{values.mean():.2f} ({low:.2f}–{high:.2f})"


def ranking_cells(judged: Judged, runs: Sequence[Run]) -> list[str]:
    """Return the metrics, means over several runs."""
    import numpy as np

    measured = [measure_run(run, judged, METRICS) for run in runs]
    return [mean_cell(np.mean([of_run[n].values for of_run in measured], axis=0)) for n in range(len(METRICS))]


def answer_cells(judged: Judged, answers: Mapping[str, Answer]) -> list[str]:
    """Return the share of right answers, the number of questions without an answer, and the mean length of the answers."""
    import numpy as np

    right = np.array([float(judged.answers[key][0] in own.text) for key, own in answers.items()])
    lengths = [len(own.text) for own in answers.values() if not own.abstained]
    return [mean_cell(right), str(len(answers) - len(lengths)), f"{np.mean(lengths):.0f}" if lengths else ""]


def segmenter(name: str) -> Callable[[str], list[str]]:
    """Return a function that cuts a text into words: those of ICU's dictionaries, or of jieba."""
    if name == "jieba":
        cut: Callable[[str], Iterable[Any]] = import_module("jieba").cut
    else:
        cut = partial(import_module("icu4py.breakers").WordBreaker, locale="und")
    return lambda text: [str(word) for word in cut(text) if re.search(r"\w", str(word))]


def cuts(language: str, size: int) -> Counter[str]:
    """Count what the passages of a language's pages end at. The pages are joined to one text without headings."""
    rows = (row for _, row in read_rows(FOLDER / f"{language}_pages.jsonl"))
    text = " ".join(re.sub(r"== .* ==|\n", " ", row["text"]) for row in rows)
    text = re.sub(r"\s+", "" if language == "zh" else " ", text)
    kinds: Counter[str] = Counter()
    for passage in split(Page(language, text=text), size)[:-1]:
        last, after = passage.text[-1], text[passage.end]
        if last in SENTENCE_ENDS + CLOSING_QUOTES + ".!?":
            kinds["sentence"] += 1
        elif last in PAUSES + ",;:":
            kinds["clause"] += 1
        else:
            kinds["word" if after.isspace() else "inside"] += 1
    return kinds


def print_cuts(languages: Sequence[str]) -> None:
    """Print a table of what passages end at."""
    print("| language | characters | sentence | clause | word | inside a word |\n|---|---|---|---|---|---|")
    for language in languages:
        for size in SIZES:
            kinds = cuts(language, size)
            print(
                f"| {language} | {size} |",
                " | ".join(str(kinds[k]) for k in ("sentence", "clause", "word", "inside")),
                "|",
            )


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--languages", nargs="+", choices=LANGUAGES, default=LANGUAGES, help="codes of languages (default: all)"
    )
    parser.add_argument("--model", help="reranker: folder or hub id (default: the bundled one)")
    parser.add_argument("--embedder", default="bundled", help="embedder: folder or hub id (default: the bundled one)")
    parser.add_argument(
        "--candidates", type=int, default=10, help="passages to rerank, of 51 to 61 in each language (default: 10)"
    )
    parser.add_argument("--no-models", action="store_true", help="measure BM25 alone")
    parser.add_argument(
        "--segmenter", choices=("icu4py", "jieba"), help="also measure BM25 over the words of this package"
    )
    parser.add_argument("--cuts", action="store_true", help="only print what passages end at")
    options = parser.parse_args()
    if options.cuts:
        print_cuts(options.languages)
        return
    models = () if options.no_models else (Reranker.load(options.model), load_embedder(options.embedder))
    print("| language | passages | system | hit@1 | hit@10 | nDCG@10 | answer | none | characters |")
    print("|---|---|---|---|---|---|---|---|---|")
    for language in options.languages:
        judged = read_set(language)
        begin = f"| {language} | {len(judged.passages)} |"
        shuffled = ranking_cells(judged, [random_run(judged, seed) for seed in range(SHUFFLES)])
        print(begin, "random |", " | ".join(shuffled), "| | | |")
        systems = dict(bm25_systems(judged, options.segmenter and segmenter(options.segmenter)))
        if models:
            systems |= dict(model_systems(judged, *models, options.candidates))
        for name, retriever in systems.items():
            answers = {key: retriever.ask(question, 10) for key, question in judged.questions.items()}
            run = {key: {hit.passage.id: hit.score for hit in own.hits} for key, own in answers.items()}
            row = [*ranking_cells(judged, [run]), *answer_cells(judged, answers)]
            print(begin, name, "|", " | ".join(row), "|", flush=True)


if __name__ == "__main__":
    main()
