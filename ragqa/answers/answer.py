"""Extractive answers: the sentences of the hits that answer best, or an abstention."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from ragqa.answers.complete import complete
from ragqa.answers.parts import compared, questions_in
from ragqa.models.reranker import Reranker
from ragqa.models.selector import Scored, Selector, bundled_selector
from ragqa.records import Answer, Hit, Quote
from ragqa.storage.json_lines import as_row
from ragqa.text.analyzer import usual_analyzer
from ragqa.text.passages import full_text, heading_path, in_full_text, sentences

# below this probability of the best hit there is no answer; the highest multiple of 0.05 at which at most one in ten of the
# calibration questions that the corpus covers gets no answer
THRESHOLD = 0.2
READ_HITS = 3  # hits whose sentences are scored
FINALISTS = 4  # quotes that the reranker scores too
# weights, beside the selector's logit, of the hit's score and of the reranker's logit of the quote alone, of the share of the
# question's terms that the quote has, and of its length in hundreds of characters; chosen on marked questions of pages that the
# selector was not trained on (benchmarks/README.md)
HIT_WEIGHT, RERANKER_WEIGHT, TERMS_WEIGHT, LENGTH_WEIGHT = 1.0, 2.0, 1.0, 0.1
CONTRAST_MARGIN = 2.0  # how much lower than the best quote one may score that names both things of a comparison

NO_ANSWER = "The corpus has no good answer; the nearest passages are:"
NOTHING_FOUND = "The corpus has no good answer: no passage shares a word with the question."
NEAREST = "The nearest passages are:"


def answer(
    question: str,
    hits: Sequence[Hit],
    reranker: Reranker | None,
    selector: Selector | None = None,
    *,
    threshold: float = THRESHOLD,
    read: int = READ_HITS,
) -> Answer:
    """Answer with the one to three adjoining sentences of the first `read` hits that score highest.

    The selector (by default the bundled one) scores all of them, and the reranker the best few once more, as if they were
    passages. The score of the hit counts too, and a little how many terms of the question a quote has and how long it is.
    Abstain if there are no hits, or if the probability of the best hit is below `threshold` (0 to 1). A reranker that is not
    calibrated gives no probabilities, so there is always an answer if there are hits. Without a reranker the answer is the
    whole text of the first hit, and its quality is unknown.
    """
    hits = tuple(hits)
    if reranker is None:
        return Answer(question, hits[0].passage.text if hits else "", hits, (), abstained=not hits)
    probability = hits[0].probability if hits else None
    if not hits or (probability is not None and probability < threshold):
        return Answer(question, "", hits, (), abstained=True)
    reader = _Reader(hits[:read], selector or bundled_selector(), reranker)
    quotes = _quote(question, reader)
    text = "\n\n".join(quote.text for quote in quotes)
    return Answer(
        question, text, hits, quotes, abstained=False, probability=_probability(quotes, hits, reader.selector)
    )


def _probability(quotes: Sequence[Quote], hits: Sequence[Hit], selector: Selector) -> float | None:
    """The probability of the quote that is least likely to answer; None if hits or quotes have no calibration."""
    calibration = selector.calibration
    chances = [(quote.score, hits[quote.hit].probability) for quote in quotes]
    known = [calibration.probability(score, hit) for score, hit in chances if calibration and hit is not None]
    return min(known) if known and len(known) == len(quotes) else None


def is_reranked(answer: Answer) -> bool:
    """Return True if a reranker scored the hits: only then are there quotes, or an abstention with hits."""
    return bool(answer.quotes) or (answer.abstained and bool(answer.hits))


def abstention(answer: Answer) -> str:
    """Return the line that is shown instead of an answer, before the hits."""
    if answer.note:
        return f"{answer.note} {NEAREST}" if answer.hits else answer.note
    return NO_ANSWER if answer.hits else NOTHING_FOUND


def as_dict(answer: Answer) -> dict[str, Any]:
    """Return an answer as plain data for JSON, without an empty `typed` or `note`, and without an empty `before` of a quote.

    Each hit also gets its rank, from 1, and each quote its place in the page.
    """
    plain = asdict(replace(answer, hits=())) | {"hits": hits_as_dicts(answer.hits)}
    for name in ("typed", "note"):
        if not plain[name]:
            del plain[name]
    for quote, own in zip(answer.quotes, plain["quotes"], strict=True):
        passage = answer.hits[quote.hit].passage
        own["rank"] = own.pop("hit") + 1
        if not own["before"]:
            del own["before"]
        own["source"] = {"title": passage.title, "section": passage.section, "url": passage.url, "about": passage.about}
        own["page_start"], own["page_end"] = passage.start + quote.start, passage.start + quote.end
    return plain


def hits_as_dicts(hits: Iterable[Hit]) -> list[dict[str, Any]]:
    """Return hits as plain data for JSON, each with its rank, from 1. Empty metadata are left out."""
    return [{"rank": rank, **asdict(hit), "passage": as_row(hit.passage)} for rank, hit in enumerate(hits, 1)]


def quoted_spans(answer: Answer, rank: int) -> tuple[tuple[int, int], ...]:
    """Return the offsets of the quotes in the hit at `rank` (from 1), in text order."""
    return tuple(sorted((quote.start, quote.end) for quote in answer.quotes if quote.hit == rank - 1))


class _Reader:
    """Scores the runs of sentences of some hits, for one question or several."""

    def __init__(self, hits: Sequence[Hit], selector: Selector, reranker: Reranker) -> None:
        self.hits = hits
        self.selector = selector
        self._reranker = reranker

    def rank(self, question: str) -> list[Quote]:
        """Return all quotes, best first by `total`."""
        quotes = rank_quotes(question, self.hits, self.selector)
        return sorted(quotes, key=lambda quote: -self.total(question, quote))

    def best(self, question: str, quotes: Sequence[Quote]) -> Quote:
        """Return the best of the ranked quotes of a question; the reranker scores the first few once more."""
        finalists = quotes[:FINALISTS]
        texts = [full_text(replace(self.hits[quote.hit].passage, text=quote.text)) for quote in finalists]
        totals = [self.total(question, quote) for quote in finalists]
        both = RERANKER_WEIGHT * self._reranker.score(question, texts) + totals
        return finalists[int(both.argmax())]

    def total(self, question: str, quote: Quote) -> float:
        """Return the score of a quote and of its hit, with the question's terms in the quote and its length."""
        wanted = _terms(question)
        named = len(wanted & _terms(quote.text)) / max(1, len(wanted))
        score = quote.score + HIT_WEIGHT * self.hits[quote.hit].score
        return score + TERMS_WEIGHT * named + LENGTH_WEIGHT * len(quote.text) / 100


def _quote(question: str, reader: _Reader) -> tuple[Quote, ...]:
    """The best quote, or one for each of the two things that the question compares, or for each question in it."""
    ranked = reader.rank(question)
    if not ranked:
        return ()
    if (pair := compared(question)) and (contrast := _contrast(question, pair, ranked, reader)):
        return contrast
    best, asked = reader.best(question, ranked), questions_in(question)
    each = [reader.best(part, reader.rank(part)) for part in asked] if len(asked) > 1 else []
    return _without_overlaps(each) if best in each else (best,)


def _contrast(question: str, pair: tuple[str, str], quotes: Sequence[Quote], reader: _Reader) -> tuple[Quote, ...]:
    """The best quote that names both things, else the best one about each; none if there are no good ones."""
    first, second = (_terms(name) for name in pair)
    least = reader.total(question, quotes[0]) - CONTRAST_MARGIN
    near = [quote for quote in quotes if reader.total(question, quote) >= least]
    good = [(quote, _terms_of(quote, reader.hits[quote.hit])) for quote in near]
    both = [quote for quote, terms in good if first <= terms and second <= terms]
    if both:
        return tuple(both[:1])
    each = [[quote for quote, terms in good if own <= terms] for own in (first - second, second - first)]
    return _without_overlaps([own[0] for own in each]) if all(each) else ()


@lru_cache(maxsize=256)
def _terms(text: str) -> frozenset[str]:
    return frozenset(usual_analyzer().terms(text))


def _terms_of(quote: Quote, hit: Hit) -> frozenset[str]:
    """The terms of a quote and of the title and section above it."""
    return _terms(f"{heading_path(hit.passage)} {quote.text}")


def _without_overlaps(quotes: Sequence[Quote]) -> tuple[Quote, ...]:
    """The quotes in the same order, without those that overlap one before."""
    kept: list[Quote] = []
    for quote in quotes:
        if not any(q.hit == quote.hit and q.start < quote.end and quote.start < q.end for q in kept):
            kept.append(quote)
    return tuple(kept)


def rank_quotes(question: str, hits: Sequence[Hit], selector: Selector) -> tuple[Quote, ...]:
    """Return all runs of at most three adjoining sentences of the hits, best first, ties in text order.

    A run is scored by the selector, which reads the whole passage with its title and section. It is quoted with the list or
    formula that it leans on (`complete`), so it may be longer; runs that are then the same count once, with the best score.
    """
    best: dict[tuple[int, int, int], Quote] = {}
    for number, spans, (first, last, score) in _score_runs(question, hits, selector):
        if whole := complete(hits[number].passage.text, spans, first, last):
            quote = _quote_of(hits, number, spans[whole[0]][0], spans[whole[1]][1], score)
            place = (quote.hit, quote.start, quote.end)
            best[place] = max(best.get(place, quote), quote, key=lambda quote: quote.score)
    return tuple(sorted(best.values(), key=lambda quote: -quote.score))


def rank_sentences(question: str, hit: Hit, selector: Selector) -> tuple[Quote, ...]:
    """Return the sentences of a hit with the selector's scores, best first, ties in text order."""
    scored = _score_runs(question, [hit], selector)
    found = [_quote_of([hit], 0, *spans[first], score) for _, spans, (first, last, score) in scored if first == last]
    return tuple(sorted(found, key=lambda quote: -quote.score))


def _score_runs(
    question: str, hits: Sequence[Hit], selector: Selector
) -> Iterator[tuple[int, list[tuple[int, int]], Scored]]:
    """Yield each scored run of sentences with the number of its hit and the spans of the hit's sentences."""
    spans = [sentences(hit.passage.text) for hit in hits]
    read = [in_full_text(hit.passage, own) for hit, own in zip(hits, spans, strict=True)]
    for number, runs in enumerate(selector.score(question, [full_text(hit.passage) for hit in hits], read)):
        yield from ((number, spans[number], run) for run in runs)


def _quote_of(hits: Sequence[Hit], number: int, start: int, end: int, score: float) -> Quote:
    return Quote(number, start, end, hits[number].passage.text[start:end], score)
