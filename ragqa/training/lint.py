"""Pairs in, figures out that show the flaws of a dataset: leaks, shortcuts, and questions that nobody would ask.

Grammar and naturalness are judged by rules, against the wording of the passages themselves. `benchmarks/question_quality.py`
compares these verdicts with labelled questions.
"""

import re
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from ragqa.index.bm25 import Bm25Index
from ragqa.index.terms import Fields
from ragqa.models.reranker import Reranker
from ragqa.records import PARTLY, Pair, Passage
from ragqa.text.analyzer import Analyzer
from ragqa.text.passages import from_full_text, full_text
from ragqa.text.phrases import is_list_page, is_vague, starts_wrong
from ragqa.text.questions import is_well_formed, without_parenthesis
from ragqa.text.wording import Wording, count_articles, is_plural, with_article
from ragqa.training.dataset import FOUND_WITHIN, SPLITS, UNANSWERED

ASPECTS = ("grammatical", "natural", "answerable", "found")  # of a question, each a rate in the report

_SAMPLE = 500  # questions that are read, evenly spaced
_WORST = 10
_LONGEST = 14  # words of a natural question
_LEAST_COVERED = 0.6  # fraction of a question's terms that its passage has
_RELATION = re.compile(r" (?:of|between|behind) ")  # what follows says what is meant
_WHAT_IS = re.compile(
    r"What (?P<verb>is|are) (?:(?P<article>an?|the) )?(?P<phrase>[^?]+?)(?: in (?P<page>[^?]+))?\?", re.IGNORECASE
)


def lint(pairs: Mapping[str, Sequence[Pair]]) -> dict[str, Any]:
    """Compute figures that show flaws of a dataset.

    - `template_share`: fraction of the questions that begin with the most frequent two words.
    - `overlap_shortcut`: how often the number of shared terms alone ranks a positive above a negative of its question (ties
      count half). 0.5 means no shortcut; near 1 the pairs teach little else.
    - `leaking_passages`, `leaking_questions`: number in eval and test that are in train too.
    - `duplicate_pairs`, `contradictions`: number of repeated pairs, and of pairs with several labels.
    """
    everything = [pair for split in SPLITS for pair in pairs[split]]
    questions = list(dict.fromkeys(pair.question for pair in everything))
    starts = Counter(" ".join(re.findall(r"\w+", question.lower())[:2]) for question in questions)
    labels: dict[tuple[str, str], set[float]] = {}
    for pair in everything:
        labels.setdefault((pair.question, pair.passage), set()).add(pair.label)
    (template, count), *_ = starts.most_common(1)
    return {
        "pairs": {split: len(pairs[split]) for split in SPLITS},
        "positives": {split: sum(p.label >= PARTLY for p in pairs[split]) for split in SPLITS},
        "questions": len(questions),
        "template": template,
        "template_share": round(count / len(questions), 4),
        "overlap_shortcut": round(_overlap_shortcut(everything), 4),
        "leaking_passages": len(_leaking(pairs, "passage")),
        "leaking_questions": len(_leaking(pairs, "question")),
        "duplicate_pairs": len(everything) - len(labels),
        "contradictions": sum(len(found) > 1 for found in labels.values()),
    }


def _leaking(pairs: Mapping[str, Sequence[Pair]], field: str) -> set[str]:
    train = {getattr(pair, field).casefold() for pair in pairs["train"]}
    return {
        getattr(pair, field)
        for split in SPLITS[1:]
        for pair in pairs[split]
        if getattr(pair, field).casefold() in train
    }


def _overlap_shortcut(pairs: Sequence[Pair]) -> float:
    analyzer = Analyzer()
    asked = cache(lambda question: frozenset(analyzer.question_terms(question)))
    told = cache(lambda passage: frozenset(analyzer.terms(passage)))
    shared: dict[str, tuple[list[int], list[int]]] = {}
    for pair in pairs:
        overlap = len(asked(pair.question) & told(pair.passage))
        shared.setdefault(pair.question, ([], []))[pair.label >= PARTLY].append(overlap)
    wins = [(p > n) + (p == n) / 2 for negatives, positives in shared.values() for p in positives for n in negatives]
    return statistics.mean(wins) if wins else 0.5


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a question: one of `ASPECTS`, and why."""

    aspect: str
    reason: str


def inspect_questions(pairs: Mapping[str, Sequence[Pair]], reranker: Reranker | None = None) -> dict[str, Any]:
    """Read at most 500 questions and return what fraction has no fault, for each of `ASPECTS`, with the worst ten questions.

    `found` means that BM25 ranks a positive among the first five of the dataset's passages. With a reranker, a question whose
    positive it rejects is not answerable.
    """
    positives: dict[str, list[Passage]] = {}
    passages: dict[str, Passage] = {}
    for split in SPLITS:
        for pair in pairs[split]:
            passage = passages.setdefault(pair.passage, from_full_text(str(len(passages)), pair.passage))
            if pair.label >= PARTLY:
                positives.setdefault(pair.question, []).append(passage)
    questions = [*positives][:: -(-len(positives) // _SAMPLE) or 1]
    reader = QuestionReader(list(passages.values()), reranker)
    read = {question: reader.faults(question, positives[question]) for question in questions}
    return {"questions_read": len(read)} | _rates(read) | {"worst": _worst(read)}


def _rates(read: Mapping[str, Sequence[Fault]]) -> dict[str, float]:
    wrong = Counter(aspect for faults in read.values() for aspect in {fault.aspect for fault in faults})
    return {aspect: round(1 - wrong[aspect] / max(1, len(read)), 4) for aspect in ASPECTS}


def _worst(read: Mapping[str, Sequence[Fault]]) -> list[dict[str, Any]]:
    ranked = sorted(read.items(), key=lambda item: -len(item[1]))[:_WORST]
    return [{"question": q, "faults": [fault.reason for fault in faults]} for q, faults in ranked if faults]


class QuestionReader:
    """Finds faults in questions about passages."""

    def __init__(self, passages: Sequence[Passage], reranker: Reranker | None = None) -> None:
        """Learn how the passages word things."""
        self._passages = passages
        self._wording = Wording(passages)
        self._reranker = reranker
        self._analyzer = Analyzer()
        self._titles = {without_parenthesis(passage.title).casefold() for passage in passages}

    @cached_property
    def _index(self) -> Bm25Index:
        return Bm25Index.build(self._passages, fields=Fields(questions=False))

    def faults_of_wording(self, question: str, passage: Passage) -> list[Fault]:
        """Return what is wrong with the grammar and the naturalness of a question about one of the passages."""
        made = [Fault("grammatical", reason) for reason in self._grammar(question, passage)]
        return made + [Fault("natural", reason) for reason in self._naturalness(question, passage)]

    def faults(self, question: str, positives: Sequence[Passage]) -> list[Fault]:
        """Return what is wrong with a question that these passages should answer."""
        made = self.faults_of_wording(question, positives[0])
        made += [Fault("answerable", reason) for reason in self._answer(question, positives)]
        ids = {passage.id for passage in positives}
        if ids.isdisjoint(passage.id for passage, _ in self._index.search(question, FOUND_WITHIN)):
            made.append(Fault("found", "BM25 does not find its passage"))
        return made

    def _grammar(self, question: str, passage: Passage) -> Iterator[str]:
        if not is_well_formed(question):
            yield "no well-formed question"
        yield from self._topic_article(question, passage)
        match = _WHAT_IS.fullmatch(question)
        if match is None:
            return
        verb, article, phrase = match["verb"].lower(), (match["article"] or "").lower(), match["phrase"]
        if starts_wrong(phrase):
            yield f"“{phrase}” is no noun phrase"
            return
        asked = re.split(" (?:between|behind) ", phrase)[0]  # "the difference between a and b" is singular
        plural = is_plural(asked) or " and " in asked
        noun = self._wording.noun(asked, passage.title)
        if verb == "is" and (re.search(r" (?:and|or) ", asked) or (noun is not None and noun.plural)):
            yield f"“is” before the plural “{phrase}”"
        elif not plural and verb == "are":
            yield f"“are” before the singular “{phrase}”"
        elif article in ("a", "an") and with_article(phrase).split(" ")[0] != article:
            yield f"“{article}” before “{phrase}”"
        elif not article and noun is not None and phrase.islower() and self._lacks_article(phrase, noun.text, passage):
            yield f"“{phrase}” without an article"
        if self._wording.inside(phrase) != phrase:
            yield f"“{phrase}” with a capital"

    def _topic_article(self, question: str, passage: Passage) -> Iterator[str]:
        """Yield a reason if a question ends in "of" or "in" and a title that needs an article."""
        topic = self._wording.inside(without_parenthesis(passage.title))
        noun = self._wording.noun(topic, passage.title) if topic else None
        if noun and noun.text != topic and re.search(rf"\b(?:of|in) {re.escape(topic)}\?$", question, re.IGNORECASE):
            yield f"“{topic}” without an article"

    def _lacks_article(self, phrase: str, worded: str, passage: Passage) -> bool:
        bare = count_articles(phrase, self._wording.page(passage.title))[""]
        return worded.startswith(("a ", "an ")) and bare < 2

    def _naturalness(self, question: str, passage: Passage) -> Iterator[str]:
        if len(question.split()) > _LONGEST or re.search(r"[:;,—/_\\(]", question.removesuffix("?")):
            yield "long, or with signs that nobody types"
        match = _WHAT_IS.fullmatch(question)
        if match is None:
            return
        phrase, page = match["phrase"], match["page"]
        title = without_parenthesis(passage.title)
        if is_vague(phrase) and phrase.casefold() not in self._titles and not _RELATION.search(phrase):
            yield f"“{phrase}” does not tell what is meant"
        if page and (is_list_page(passage.title) or (" " in phrase and (match["article"] or "").lower() != "the")):
            yield f"“in {page}” is not needed"
        alone = (match["article"] or "").lower() == "the" and not page and not _RELATION.search(phrase)
        if alone and phrase.casefold() not in title.casefold() and phrase.islower():
            yield f"“the {phrase}” points to something said before"

    def _answer(self, question: str, positives: Sequence[Passage]) -> Iterator[str]:
        asked = set(self._analyzer.question_terms(question))
        told = set().union(*(self._analyzer.terms(full_text(passage)) for passage in positives))
        if asked and len(asked & told) < _LEAST_COVERED * len(asked):
            yield "its passage has few of its words"
        match = _WHAT_IS.fullmatch(question)
        if match and not any(_is_subject(match["phrase"], passage) for passage in positives):
            yield f"no sentence of its passage is about “{match['phrase']}”"
        if self._reranker and max(self._reranker.score(question, [*map(full_text, positives)])) < UNANSWERED:
            yield "the reranker does not find the answer"


def _is_subject(phrase: str, passage: Passage) -> bool:
    """Return True if a sentence begins with a phrase or names something so; for a heading, if the text has its words."""
    text, known = passage.text.lower(), f"{passage.title} {passage.section}".lower()
    words_of_phrase = [word[:6] for word in re.findall(r"\w+", phrase.lower()) if len(word) > 3]
    if phrase.lower() in known and 2 * sum(word in text for word in words_of_phrase) >= len(words_of_phrase):
        return True
    words = re.escape(phrase.removesuffix("s"))
    said = rf"(?:(?:^|[.!?\n] |\n|, )(?:An?|The|a|an|the)? ?{words}|(?:called|as|termed|is|are) (?:an?|the)? ?{words})"
    return " of " in phrase or re.search(said, passage.text, re.IGNORECASE) is not None
