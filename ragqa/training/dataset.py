"""Passages and judged questions in, labelled question-passage pairs out: positives and three kinds of negatives, split by page.

In a dataset, `sentence_0` is the question, `sentence_1` the passage as the reranker reads it (`passages.full_text`), and
`label` is 1.0 if the passage answers the question, less if it answers it in part, and 0.0 otherwise.
"""

import hashlib
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import zip_longest
from typing import Any

from ragqa.errors import CorpusError, InputError
from ragqa.evaluation.judged import Judged
from ragqa.index.bm25 import Bm25Index
from ragqa.index.dense import DenseIndex
from ragqa.models.embedder import Embedder
from ragqa.records import PARTLY, Pair, Passage
from ragqa.text.passages import full_text
from ragqa.text.questions import QuestionGenerator, reference_question

SPLITS = ("train", "eval", "test")
NEGATIVE_KINDS = ("random", "page", "hard")

_HARD_CANDIDATES = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class PairConfig:
    """How pairs are made.

    `forms` are forms of generated questions (`questions.FORMS`). Each positive gets so many `negatives`. `shares` are the
    proportions of the three kinds of negatives, in the order of `NEGATIVE_KINDS`. `parts` are the proportions of pages in
    train, eval and test. Neither needs to add up to 1.

    Hard negatives are the passages that BM25, and the embedder if there is one, rank highest. If a question has no known
    answers, the first `skip` of them are left out, because they may be answers. Random passages fill in if a kind has too few.
    Passages that were judged and rejected are always negatives.
    """

    forms: tuple[str, ...] = ("what",)
    negatives: int = 3
    shares: tuple[float, float, float] = (1.0, 1.0, 1.0)
    parts: tuple[float, float, float] = (0.8, 0.1, 0.1)
    skip: int = 5
    seed: int = 42

    def __post_init__(self) -> None:
        if self.negatives < 1:
            raise InputError(f"negatives is {self.negatives}; at least 1 is needed")
        check_weights("shares", self.shares, NEGATIVE_KINDS)
        check_weights("parts", self.parts, SPLITS)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings by name; shares are named by kind and parts by split."""
        return name_weights(self, NEGATIVE_KINDS)


def name_weights(config: Any, kinds: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a configuration, with `shares` named by `kinds` and `parts` named by the splits."""
    named = {
        "shares": dict(zip(kinds, config.shares, strict=True)),
        "parts": dict(zip(SPLITS, config.parts, strict=True)),
    }
    return asdict(config) | named


def check_weights(name: str, weights: Sequence[float], kinds: Sequence[str]) -> None:
    """Raise `InputError` unless there is one weight for each kind, all at least 0 and one above 0."""
    if len(weights) != len(kinds) or not all(0 <= w < math.inf for w in weights) or sum(weights) <= 0:
        raise InputError(f"{name} is {weights}; {len(kinds)} numbers of at least 0 are needed, not all 0")


@dataclass(frozen=True, slots=True)
class Example:
    """A question and the passages that answer it: at least one, best first.

    `labels` are the labels of the positives; if empty, all are 1. `rejected` passages were judged not to answer. No negative
    may contain one of the texts in `answers`.
    """

    question: str
    positives: tuple[Passage, ...]
    answers: tuple[str, ...] = ()
    labels: tuple[float, ...] = ()
    rejected: tuple[Passage, ...] = ()


@dataclass(frozen=True)
class ExampleSet:
    """Examples, and the passages that their negatives are drawn from. `embedder` finds hard negatives in addition to BM25."""

    passages: tuple[Passage, ...]
    examples: tuple[Example, ...]
    embedder: Embedder | None = None
    by_page: Mapping[str, list[Passage]] = field(init=False)

    def __post_init__(self) -> None:
        by_page: dict[str, list[Passage]] = {}
        for passage in self.passages:
            by_page.setdefault(_page(passage), []).append(passage)
        object.__setattr__(self, "by_page", by_page)

    @cached_property
    def index(self) -> Bm25Index:
        """A BM25 index of the passages, which finds hard negatives."""
        return Bm25Index.build(self.passages)

    @cached_property
    def dense(self) -> DenseIndex | None:
        """Vectors of the passages, or None without an embedder."""
        return DenseIndex.build(self.passages, self.embedder) if self.embedder else None

    @cached_property
    def hard(self) -> Mapping[str, list[Passage]]:
        """The passages that rank highest for each question: of the embedder and of BM25 in turn, best first."""
        return {example.question: self._hard(example.question) for example in self.examples}

    def _hard(self, question: str) -> list[Passage]:
        found = [passage for passage, _ in self.index.search(question, _HARD_CANDIDATES)]
        if self.dense is None:
            return found
        near = self.dense.nearest(question, self.index, _HARD_CANDIDATES)
        turns = zip_longest((passage for passage, _ in near), found)
        return list({p.id: p for pair in turns for p in pair if p is not None}.values())


def from_passages(passages: Iterable[Passage], forms: Sequence[str] = ("what",)) -> ExampleSet:
    """Generate questions from passages.

    If several passages of a page answer a question, all are positives. Questions that passages of different pages answer are
    left out, because either page may be a wrong answer. Raises `CorpusError` if no question can be generated.
    """
    passages = tuple(passages)
    generator = QuestionGenerator(passages, forms)
    answering: dict[str, tuple[str, list[Passage]]] = {}
    for passage in passages:
        for question in generator.questions(passage):
            answering.setdefault(question.text.casefold(), (question.text, []))[1].append(passage)
    examples = tuple(
        Example(question, tuple(positives))
        for question, positives in answering.values()
        if len({p.title for p in positives}) == 1
    )
    if not examples:
        raise CorpusError(
            "no question can be generated; the passages need titles, headings or definitions to ask about"
        )
    return ExampleSet(passages, examples)


def from_judged(judged: Judged) -> ExampleSet:
    """Take the questions of a judged set. No negative of a question contains one of its answers.

    The labels of grades lie from `PARTLY` for grade 1 to 1.0 for the highest grade of the set.
    """
    by_id = {passage.id: passage for passage in judged.passages}
    highest = max(grade for grades in judged.relevance.values() for grade in grades.values())
    examples = []
    for key, question in judged.questions.items():
        grades = sorted(judged.relevance[key].items(), key=lambda item: -item[1])
        examples.append(
            Example(
                question,
                tuple(by_id[p] for p, _ in grades),
                judged.answers.get(key, ()),
                tuple(_label(grade, highest) for _, grade in grades),
                tuple(by_id[p] for p in sorted(judged.rejected.get(key, ()))),
            )
        )
    return ExampleSet(judged.passages, tuple(examples))


def _label(grade: int, highest: int) -> float:
    return PARTLY + (1 - PARTLY) * (grade - 1) / (highest - 1) if highest > 1 else 1.0


def from_feedback(pairs: Iterable[Pair], passages: Iterable[Passage]) -> ExampleSet:
    """Take the questions and passages that readers voted on (`search.feedback`): liked is positive, disliked is rejected.

    Passages that have changed or left the corpus since then are left out, and so are questions without a liked passage. Raises
    `CorpusError` if nothing is left.
    """
    passages = tuple(passages)
    by_text = {full_text(passage): passage for passage in passages}
    votes: dict[str, tuple[list[Passage], list[Passage]]] = {}
    for pair in pairs:
        if pair.passage in by_text:
            votes.setdefault(pair.question, ([], []))[pair.label < PARTLY].append(by_text[pair.passage])
    examples = tuple(
        Example(question, tuple(liked), rejected=tuple(rejected))
        for question, (liked, rejected) in votes.items()
        if liked
    )
    if not examples:
        raise CorpusError(
            "no question has a liked passage that is in the corpus; give the passages that the votes were made on"
        )
    return ExampleSet(passages, examples)


def build(
    sets: Iterable[ExampleSet], config: PairConfig, progress: Callable[[Example], None] | None = None
) -> dict[str, list[Pair]]:
    """Make labelled pairs, by split. No page has passages in two splits, neither positives nor negatives.

    Deterministic: the same example sets and configuration give the same pairs in the same order.
    """
    pairs: dict[str, list[Pair]] = {split: [] for split in SPLITS}
    for whole in sets:
        for split, source in split_by_page(whole, config).items():
            for example in source.examples:
                pairs[split] += _pairs(example, source, config)
                if progress:
                    progress(example)
    return {split: _deduplicate(made) for split, made in pairs.items()}


def _deduplicate(pairs: Iterable[Pair]) -> list[Pair]:
    """Keep one pair for each question and passage, in order: the one with the highest label."""
    kept: dict[tuple[str, str], Pair] = {}
    for pair in pairs:
        key = (pair.question, pair.passage)
        if key not in kept or pair.label > kept[key].label:
            kept[key] = pair
    return list(kept.values())


def build_reference(windows: Iterable[Passage], config: PairConfig) -> dict[str, list[Pair]]:
    """Make pairs as the reference model did: a question from each raw window, and one random window as its negative."""
    by_split: dict[str, list[Passage]] = {split: [] for split in SPLITS}
    for window in windows:
        by_split[split_of(window, config)].append(window)
    if len(by_split["train"]) < 2:
        raise CorpusError("the reference style needs at least two windows in the train split; give more pages")
    return {
        split: [pair for n in range(len(own)) for pair in _reference_pairs(own, n, config)]
        for split, own in by_split.items()
    }


def _reference_pairs(windows: Sequence[Passage], number: int, config: PairConfig) -> Iterator[Pair]:
    window = windows[number]
    question = reference_question(window.text)
    yield Pair(question, window.text, 1.0)
    if len(windows) > 1:
        other = keyed_random(config.seed, window.id).randrange(len(windows) - 1)
        yield Pair(question, windows[other + (other >= number)].text, 0.0)


def split_by_page(source: ExampleSet, config: PairConfig) -> dict[str, ExampleSet]:
    """Split examples and passages by page. Positives whose page is in another split are left out."""
    passages: dict[str, list[Passage]] = {split: [] for split in SPLITS}
    examples: dict[str, list[Example]] = {split: [] for split in SPLITS}
    for passage in source.passages:
        passages[split_of(passage, config)].append(passage)
    for example in source.examples:
        split = split_of(example.positives[0], config)
        own = [n for n, p in enumerate(example.positives) if split_of(p, config) == split]
        kept = replace(
            example,
            positives=tuple(example.positives[n] for n in own),
            labels=tuple(example.labels[n] for n in own if example.labels),
            rejected=tuple(p for p in example.rejected if split_of(p, config) == split),
        )
        examples[split].append(kept)
    return {s: replace(source, passages=tuple(passages[s]), examples=tuple(examples[s])) for s in SPLITS if examples[s]}


def split_of(passage: Passage, config: PairConfig) -> str:
    """Return the split of a passage's page. It depends on nothing but the page and the seed."""
    position = keyed_random(config.seed, _page(passage)).random() * sum(config.parts)
    train, evaluation, _ = config.parts
    return "train" if position < train else "eval" if position < train + evaluation else "test"


def _pairs(example: Example, source: ExampleSet, config: PairConfig) -> Iterator[Pair]:
    for negative in example.rejected:
        yield Pair(example.question, full_text(negative), 0.0)
    for positive, label in zip(example.positives, example.labels or [1.0] * len(example.positives), strict=True):
        rng = keyed_random(config.seed, example.question, positive.id)
        yield Pair(example.question, full_text(positive), label)
        for negative in _negatives(example, source, config, rng):
            yield Pair(example.question, full_text(negative), 0.0, drawn=True)


def _negatives(example: Example, source: ExampleSet, config: PairConfig, rng: random.Random) -> list[Passage]:
    chosen: dict[str, Passage] = {}
    offered = {"page": _from_page(example, source, rng), "hard": _hard_negatives(example, source, config.skip)}
    for kind in rng.choices(NEGATIVE_KINDS, config.shares, k=config.negatives):
        allowed = (p for p in offered.get(kind, ()) if p.id not in chosen and _is_negative(p, example))
        negative = next(allowed, None) or _random_negative(example, source, chosen, rng)
        if negative is not None:
            chosen[negative.id] = negative
    return list(chosen.values())


def _from_page(example: Example, source: ExampleSet, rng: random.Random) -> Iterator[Passage]:
    page = source.by_page[_page(example.positives[0])]
    yield from rng.sample(page, len(page))


def _hard_negatives(example: Example, source: ExampleSet, skip: int) -> Iterator[Passage]:
    """Yield the hardest negatives first. Without known answers, skip the first `skip` and passages of the same page."""
    page = _page(example.positives[0])
    found = source.hard[example.question]
    known = bool(example.answers)
    yield from (passage for passage in found[0 if known else skip :] if known or _page(passage) != page)


def _random_negative(
    example: Example, source: ExampleSet, chosen: Mapping[str, Passage], rng: random.Random
) -> Passage | None:
    for _ in range(20):  # a corpus of near copies may offer none
        passage = rng.choice(source.passages)
        if passage.id not in chosen and _is_negative(passage, example):
            return passage
    return None


def _is_negative(passage: Passage, example: Example) -> bool:
    """Return True unless the passage contains an answer, or its text is that of a judged passage or overlaps with one."""
    text = passage.text.casefold()
    return not any(answer.casefold() in text for answer in example.answers) and not any(
        passage.id == p.id
        or text == p.text.casefold()
        or (_share_offsets(passage, p) and passage.start < p.end and p.start < passage.end)
        for p in (*example.positives, *example.rejected)
    )


def _page(passage: Passage) -> str:
    """Return what identifies the page: its title, or the passage's id if there is none."""
    return passage.title or passage.id


def _share_offsets(one: Passage, other: Passage) -> bool:
    """Return True if both passages come from the same page. Compares URLs, because titles can repeat."""
    return bool(one.url) and one.url.partition("#")[0] == other.url.partition("#")[0]


def keyed_random(*key: object) -> random.Random:
    """Return a random generator that depends only on the key, not on what was drawn before."""
    return random.Random(hashlib.sha256(repr(key).encode()).digest())  # noqa: S311
