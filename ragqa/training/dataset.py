"""Passages and judged questions in, labelled question-passage pairs out: positives and three kinds of negatives, split by page.

In a dataset, `sentence_0` is the question, `sentence_1` the passage as the reranker reads it (`passages.full_text`), and
`label` is 1.0 if the passage answers the question, less if it answers it in part, and 0.0 otherwise.
"""

import hashlib
import logging
import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property, partial
from itertools import accumulate, chain, zip_longest
from typing import Any, TypeVar

from rapidfuzz import fuzz

from ragqa.errors import CorpusError, InputError
from ragqa.evaluation.judged import Judged
from ragqa.index.bm25 import Bm25Index
from ragqa.index.dense import DenseIndex
from ragqa.models.embedder import Embedder
from ragqa.models.reranker import Reranker
from ragqa.records import PARTLY, Pair, Passage
from ragqa.text.natural_questions import NaturalQuestions
from ragqa.text.passages import full_text
from ragqa.text.questions import reference_question

SPLITS = ("train", "eval", "test")
NEGATIVE_KINDS = ("random", "page", "hard")

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

ANSWERING = 0.0  # logit of the reranker from which a passage counts as an answer
UNANSWERED = -0.3  # logit below which it does not answer at all

FOUND_WITHIN = 5  # a generated question must find its section among so many passages of each ranking
_HARD_CANDIDATES = 30
_COPY = 85  # per cent of equal characters from which two texts are copies...
_LEAST_COPIED = 80  # ...of at least so many characters; shorter ones may differ in the word that matters
_LEAST_SHARE = 0.5  # of its proportion of the questions; with fewer, a split is made again


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

    `labels` are the labels of the positives; if empty, all are 1. `rejected` passages were judged not to answer. `left_out`
    passages may answer, so they are neither positives nor negatives. No negative may contain one of the texts in `answers`.
    """

    question: str
    positives: tuple[Passage, ...]
    answers: tuple[str, ...] = ()
    labels: tuple[float, ...] = ()
    rejected: tuple[Passage, ...] = ()
    left_out: tuple[Passage, ...] = ()


@dataclass(frozen=True)
class ExampleSet:
    """Examples, and the passages that their negatives are drawn from. `embedder` finds hard negatives in addition to BM25.

    With a `reranker`, a passage that it takes for an answer is no negative (Qu et al., "RocketQA", 2021).
    """

    passages: tuple[Passage, ...]
    examples: tuple[Example, ...]
    embedder: Embedder | None = None
    reranker: Reranker | None = None
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
    """Generate questions from passages by rules (`from_questions`). Raises `CorpusError` if no question can be generated."""
    passages = tuple(passages)
    generator = NaturalQuestions(passages, forms)
    asked = ((question.text, passage) for passage in passages for question in generator.questions(passage))
    source = from_questions(asked, passages)
    if not source.examples:
        raise CorpusError(
            "no question can be generated; the passages need titles, headings or definitions to ask about"
        )
    return source


def from_questions(asked: Iterable[tuple[str, Passage]], passages: Iterable[Passage]) -> ExampleSet:
    """Take generated questions, each with the passage that it was generated from, which is one of the passages.

    If several passages of a page answer a question, all are positives. The other passages of their sections are left out: a
    section goes on to answer what its first passage answers. Questions that passages of different pages answer are left out,
    because either page may be a wrong answer.
    """
    passages = tuple(passages)
    sections: dict[tuple[str, str], list[Passage]] = {}
    for passage in passages:
        sections.setdefault((_page(passage), passage.section), []).append(passage)
    answering: dict[str, tuple[str, list[Passage]]] = {}
    for question, passage in asked:
        answering.setdefault(question.casefold(), (question, []))[1].append(passage)
    examples = tuple(
        Example(question, tuple(positives), left_out=_rest_of_sections(positives, sections))
        for question, positives in answering.values()
        if len({p.title for p in positives}) == 1
    )
    return ExampleSet(passages, examples)


def _rest_of_sections(
    positives: Sequence[Passage], sections: Mapping[tuple[str, str], Sequence[Passage]]
) -> tuple[Passage, ...]:
    """Return the passages that share a section with a positive, without the positives."""
    ids = {passage.id for passage in positives}
    keys = dict.fromkeys((_page(passage), passage.section) for passage in positives)
    return tuple(passage for key in keys for passage in sections[key] if passage.id not in ids)


def check_questions(
    source: ExampleSet, progress: Callable[[Example], None] | None = None
) -> tuple[ExampleSet, dict[str, int]]:
    """Keep the questions that find their own section, and count the others by the reason why they are dropped.

    A question must find a positive, or a passage of the same section, among the first five of BM25 or of the embedder
    (`not_found`). With a reranker, at least one positive must score `UNANSWERED` or more (`not_answered`).
    """
    dropped = {"not_found": 0, "not_answered": 0}
    kept = []
    for example, reason in _in_threads(source, lambda example: _reason_to_drop(example, source)):
        if reason is None:
            kept.append(example)
        else:
            dropped[reason] += 1
        if progress:
            progress(example)
    if not kept:
        raise CorpusError("no generated question finds its own passage; give more passages, or leave the check out")
    return replace(source, examples=tuple(kept)), dropped


def _in_threads(source: ExampleSet, work: Callable[[Example], T]) -> Iterator[tuple[Example, T]]:
    """Yield each example with its result, in order. The reranker reads a passage or two for each, too few for all cores."""
    if not source.hard:  # made here, once for all threads; empty without examples
        return
    with ThreadPoolExecutor() as pool:
        yield from zip(source.examples, pool.map(work, source.examples), strict=True)


def _reason_to_drop(example: Example, source: ExampleSet) -> str | None:
    own = {passage.id for passage in (*example.positives, *example.left_out)}
    rankings = 1 if source.embedder is None else 2  # `hard` takes from them in turn
    if own.isdisjoint(passage.id for passage in source.hard[example.question][: FOUND_WITHIN * rankings]):
        return "not_found"
    texts = [full_text(passage) for passage in example.positives]
    if source.reranker and max(source.reranker.score(example.question, texts)) < UNANSWERED:
        return "not_answered"
    return None


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

    No text of a passage is in two splits either. Deterministic: the same example sets and configuration give the same pairs
    in the same order.
    """
    sets = tuple(sets)
    split_by = choose_splits(sets, config)
    pairs: dict[str, list[Pair]] = {split: [] for split in SPLITS}
    for whole in sets:
        for split, source in split_by_page(whole, config, split_by).items():
            for example, own in _in_threads(source, partial(_pairs, source=source, config=config)):
                pairs[split] += own
                if progress:
                    progress(example)
    return keep_apart({split: _deduplicate(made) for split, made in pairs.items()})


def choose_splits(sets: Iterable[ExampleSet], config: PairConfig) -> Mapping[str, str]:
    """Return the split of every page.

    It is that of `split_of`, so that a page stays in its split when others are added. If that leaves a split with less than
    half of its proportion of the questions, as it may with few pages, the pages are cut into splits in the same order by
    their number of questions.
    """
    pages: set[str] = set()
    questions: Counter[str] = Counter()
    for source in sets:
        pages.update(map(_page, source.passages))
        for example in source.examples:
            pages.update(map(_page, (*example.positives, *example.rejected)))
            questions[_page(example.positives[0])] += 1
    return _choose(pages, questions, config)


def _choose(
    pages: Iterable[str], questions: Counter[str], config: PairConfig, least: float = _LEAST_SHARE
) -> Mapping[str, str]:
    """Choose the split of every page; if one has no more than `least` of its proportion of the questions, cut them anew."""
    wanted = {split: part / sum(config.parts) for split, part in zip(SPLITS, config.parts, strict=True) if part}
    positions = {page: _position(page, config) for page in pages}
    splits = {page: _split_at(position, config) for page, position in positions.items()}
    if not _is_balanced(questions, splits, wanted, least):
        splits = _cut(sorted(positions, key=lambda page: (positions[page], page)), questions, wanted)
    return splits


def _is_balanced(questions: Counter[str], splits: Mapping[str, str], wanted: Mapping[str, float], least: float) -> bool:
    found: Counter[str] = Counter()
    for page, count in questions.items():
        found[splits[page]] += count
    return all(found[split] > least * share * questions.total() for split, share in wanted.items())


def _cut(pages: Sequence[str], questions: Counter[str], wanted: Mapping[str, float]) -> dict[str, str]:
    """Cut pages in order into splits by their number of questions; each page goes where most of its questions lie.

    Every split gets a page with questions while there are enough of them.
    """
    asked = [page for page in pages if questions[page]]
    splits: dict[str, str] = {}
    names, ends = list(wanted), [end * questions.total() for end in accumulate(wanted.values())]
    number = before = 0
    for position, page in enumerate(asked):
        others = len(names) - 1 - number  # splits that still need a page
        is_full = before + questions[page] / 2 >= ends[number] or len(asked) - position <= others
        if position and others and is_full:
            number += 1
        splits[page] = names[number]
        before += questions[page]
    return {page: splits.get(page, names[0]) for page in pages}


def keep_apart(pairs: Mapping[str, list[Pair]]) -> dict[str, list[Pair]]:
    """Leave out the pairs whose passage is in an earlier split already, in any case of its letters, and say how many.

    Raises `CorpusError` if that leaves a split without pairs.
    """
    home: dict[str, str] = {}
    kept: dict[str, list[Pair]] = {split: [] for split in SPLITS}
    for split in SPLITS:
        for pair in pairs[split]:
            if home.setdefault(pair.passage.casefold(), split) == split:
                kept[split].append(pair)
        if pairs[split] and not kept[split]:
            raise CorpusError(
                f"every passage of the {split} split is in another split too; remove the copies of pages, or give more pages"
            )
    lost = sum(map(len, pairs.values())) - sum(map(len, kept.values()))
    if lost:
        _LOG.warning("left out %d pairs whose passages are in another split too: some pages share a text", lost)
    return kept


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
    windows = tuple(windows)
    questions = Counter(map(_page, windows))
    chosen = _choose(questions, questions, config, least=0)  # as published, unless a split is empty
    by_split: dict[str, list[Passage]] = {split: [] for split in SPLITS}
    for window in windows:
        by_split[chosen[_page(window)]].append(window)
    if len(by_split["train"]) < 2:
        raise CorpusError("the reference style needs at least two windows in the train split; give more pages")
    return keep_apart(
        {
            split: [pair for n in range(len(own)) for pair in _reference_pairs(own, n, config)]
            for split, own in by_split.items()
        }
    )


def _reference_pairs(windows: Sequence[Passage], number: int, config: PairConfig) -> Iterator[Pair]:
    window = windows[number]
    question = reference_question(window.text)
    yield Pair(question, window.text, 1.0)
    if len(windows) > 1:
        other = keyed_random(config.seed, window.id).randrange(len(windows) - 1)
        yield Pair(question, windows[other + (other >= number)].text, 0.0)


def split_by_page(
    source: ExampleSet, config: PairConfig, split_by: Mapping[str, str] | None = None
) -> dict[str, ExampleSet]:
    """Split examples and passages by page. Positives whose page is in another split are left out.

    `split_by` is the result of `choose_splits`, by default for this set alone.
    """
    chosen = split_by or choose_splits([source], config)
    passages: dict[str, list[Passage]] = {split: [] for split in SPLITS}
    examples: dict[str, list[Example]] = {split: [] for split in SPLITS}
    for passage in source.passages:
        passages[chosen[_page(passage)]].append(passage)
    for example in source.examples:
        split = chosen[_page(example.positives[0])]
        own = [n for n, p in enumerate(example.positives) if chosen[_page(p)] == split]
        kept = replace(
            example,
            positives=tuple(example.positives[n] for n in own),
            labels=tuple(example.labels[n] for n in own if example.labels),
            rejected=tuple(p for p in example.rejected if chosen[_page(p)] == split),
        )
        examples[split].append(kept)
    return {s: replace(source, passages=tuple(passages[s]), examples=tuple(examples[s])) for s in SPLITS if examples[s]}


def split_of(passage: Passage, config: PairConfig) -> str:
    """Return the split of a passage's page, if splits need no balance. It depends on nothing but the page and the seed."""
    return _split_at(_position(_page(passage), config), config)


def _split_at(position: float, config: PairConfig) -> str:
    train, evaluation, _ = config.parts
    scaled = position * sum(config.parts)
    return "train" if scaled < train else "eval" if scaled < train + evaluation else "test"


def _position(page: str, config: PairConfig) -> float:
    """Return a random number from 0 to 1 that depends on nothing but the page and the seed."""
    return keyed_random(config.seed, page).random()


def _pairs(example: Example, source: ExampleSet, config: PairConfig) -> list[Pair]:
    is_negative = cache(lambda passage: _is_negative(passage, example, source.reranker))  # for all positives
    made = [Pair(example.question, full_text(negative), 0.0) for negative in example.rejected]
    for positive, label in zip(example.positives, example.labels or [1.0] * len(example.positives), strict=True):
        rng = keyed_random(config.seed, example.question, positive.id)
        made.append(Pair(example.question, full_text(positive), label))
        drawn = _negatives(example, source, config, rng, is_negative)
        made += [Pair(example.question, full_text(negative), 0.0, drawn=True) for negative in drawn]
    return made


def _negatives(
    example: Example,
    source: ExampleSet,
    config: PairConfig,
    rng: random.Random,
    is_negative: Callable[[Passage], bool],
) -> list[Passage]:
    chosen: dict[str, Passage] = {}
    hard = [*_hard_negatives(example, source, config.skip)]
    offered = {"page": chain(_from_page(example, source, rng), _from_siblings(hard, source, rng)), "hard": iter(hard)}
    for kind in rng.choices(NEGATIVE_KINDS, config.shares, k=config.negatives):
        allowed = (p for p in offered.get(kind, ()) if p.id not in chosen and is_negative(p))
        negative = next(allowed, None) or _random_negative(source, chosen, rng, is_negative)
        if negative is not None:
            chosen[negative.id] = negative
    return list(chosen.values())


def _from_page(example: Example, source: ExampleSet, rng: random.Random) -> Iterator[Passage]:
    page = source.by_page[_page(example.positives[0])]
    yield from rng.sample(page, len(page))


def _from_siblings(hard: Sequence[Passage], source: ExampleSet, rng: random.Random) -> Iterator[Passage]:
    """Yield passages of the pages on which the hardest negatives are, for a page that has too few of its own."""
    for title in dict.fromkeys(map(_page, hard)):
        yield from rng.sample(source.by_page[title], len(source.by_page[title]))


def _hard_negatives(example: Example, source: ExampleSet, skip: int) -> Iterator[Passage]:
    """Yield the hardest negatives first. Without known answers, skip the first `skip` and passages of the same page."""
    page = _page(example.positives[0])
    found = source.hard[example.question]
    known = bool(example.answers)
    yield from (passage for passage in found[0 if known else skip :] if known or _page(passage) != page)


def _random_negative(
    source: ExampleSet, chosen: Mapping[str, Passage], rng: random.Random, is_negative: Callable[[Passage], bool]
) -> Passage | None:
    for _ in range(20):  # a corpus of near copies may offer none
        passage = rng.choice(source.passages)
        if passage.id not in chosen and is_negative(passage):
            return passage
    return None


def _is_negative(passage: Passage, example: Example, reranker: Reranker | None = None) -> bool:
    """Return True unless the passage may answer.

    It may if it contains an answer, is left out, is judged, overlaps with a judged passage or is nearly the same text, or if
    the reranker takes it for an answer.
    """
    text = passage.text.casefold()
    judged = (*example.positives, *example.rejected)
    return not (
        any(answer.casefold() in text for answer in example.answers)
        or any(passage.id == p.id for p in (*judged, *example.left_out))
        or any(_is_same(passage, p) for p in judged)
        or (reranker is not None and reranker.score(example.question, [full_text(passage)])[0] >= ANSWERING)
    )


def _is_same(one: Passage, other: Passage) -> bool:
    """Return True for passages that overlap in one page, and for texts of which one is nearly a copy of the other."""
    if _share_offsets(one, other) and one.start < other.end and other.start < one.end:
        return True
    a, b = one.text.casefold(), other.text.casefold()
    return a == b or (min(len(a), len(b)) >= _LEAST_COPIED and fuzz.ratio(a, b, score_cutoff=_COPY) > 0)


def _page(passage: Passage) -> str:
    """Return what identifies the page: its title, or the passage's id if there is none."""
    return passage.title or passage.id


def _share_offsets(one: Passage, other: Passage) -> bool:
    """Return True if both passages come from the same page. Compares URLs, because titles can repeat."""
    return bool(one.url) and one.url.partition("#")[0] == other.url.partition("#")[0]


def keyed_random(*key: object) -> random.Random:
    """Return a random generator that depends only on the key, not on what was drawn before."""
    return random.Random(hashlib.sha256(repr(key).encode()).digest())  # noqa: S311
