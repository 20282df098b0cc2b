"""A question in, a turn out, step by step: each step yields the turn so far, with the time that the step took."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from time import perf_counter

from ragqa.answers.answer import READ_HITS, THRESHOLD
from ragqa.answers.citations import without_citations
from ragqa.answers.language_model import LanguageModel
from ragqa.answers.written import Writer, Written
from ragqa.demo.corpora import Corpus
from ragqa.demo.turns import Cited, Turn, answers
from ragqa.errors import InputError, RagqaError, WriterError
from ragqa.index.filters import Filter, both
from ragqa.models.reranker import Reranker
from ragqa.records import Answer, Hit
from ragqa.search.conversation import standalone, suggest
from ragqa.search.restating import restate
from ragqa.search.retriever import CANDIDATES, Retriever, rerank
from ragqa.search.small_talk import reply_to
from ragqa.serve.arguments import RESULTS, check_results
from ragqa.text.passages import sentences

RERANKED, BM25, BOTH = "BM25 + reranker", "BM25 only", "Side by side"
LEAST_CANDIDATES, MOST_CANDIDATES = 10, 100
SUGGESTED = 3  # questions to ask instead of one without an answer
ALIKE = 0.75  # similarity (difflib's ratio) of a word and its misspelling


@dataclass(frozen=True, slots=True)
class Settings:
    """How to answer a question. There is no answer if the best hit's probability is below `threshold`, 0 to 1.

    `where` are the conditions of a filter, each as in `Filter.parse`.
    """

    ranking: str = RERANKED
    results: int = RESULTS
    candidates: int = CANDIDATES
    threshold: float = THRESHOLD
    write: bool = False
    where: tuple[str, ...] = ()


def respond(
    question: str, corpus: Corpus, settings: Settings, earlier: Sequence[Turn], writer: Writer | None = None
) -> Iterator[Turn]:
    """Yield the turn that answers a question, as far as it is, after each step; `earlier` are the turns before it.

    A question that cannot be asked yields one turn that says why. If there is no answer, the turn suggests other questions. A
    greeting or thanks yields one turn with a friendly line, and the questions that were suggested last.
    """
    turn = Turn(question, corpus.name)
    if reply := reply_to(question):
        yield replace(turn, reply=reply, next=_offered(earlier) or suggest_instead(corpus, ""))
        return
    try:
        for step in _steps(turn, corpus, settings, earlier, writer if settings.write else None):
            yield (turn := step)
    except InputError as error:
        yield replace(turn, failed=sentence_of(error), next=suggest_instead(corpus, ""))
        return
    except RagqaError as error:
        yield replace(turn, failed=sentence_of(error))
        return
    if writer is not None and settings.write and not turn.note and turn.answer and not turn.answer.abstained:
        yield from _write(writer, turn, turn.answer, corpus.retriever.reranker)


def _steps(
    turn: Turn, corpus: Corpus, settings: Settings, earlier: Sequence[Turn], model: LanguageModel | None
) -> Iterator[Turn]:
    check_results(settings.results)
    retriever = _with(corpus.retriever, settings)
    clock = _Clock()
    typed = retriever.corrected(turn.typed)
    asked = standalone(typed, answers(earlier))
    if model is not None and asked != typed:
        yield replace(turn, working=f"{model.name} is reading the question…")
        try:
            asked = restate(model, typed, asked, answers(earlier))
            turn = clock.note(turn, "read the question")
        except WriterError as error:
            turn = replace(turn, note=f"No written answer, and rules completed the question: {error}")
    hits, cosines = retriever.find(asked, settings.results)
    turn = clock.note(turn, f"searched {len(retriever.index.passages):,} passages")
    yield turn
    if settings.ranking == BOTH:
        turn = replace(
            turn,
            bm25=tuple(
                Retriever(retriever.index, None, correct=False, where=retriever.where).search(asked, settings.results)
            ),
        )
    if retriever.reranker is not None:
        hits = rerank(retriever.reranker, asked, hits, cosines)
        turn = clock.note(turn, f"reranked {len(hits)}")
        yield turn
    answered = retriever.answer(asked, hits[: settings.results], threshold=settings.threshold)
    if answered.quotes:
        read = sum(len(sentences(hit.passage.text)) for hit in answered.hits[:READ_HITS])
        turn = clock.note(turn, f"read {read} sentences")
    yield replace(turn, answer=answered, next=_suggest_next(corpus, retriever, answered))


def _offered(earlier: Sequence[Turn]) -> tuple[str, ...]:
    """Return the questions that were suggested last in a conversation, without those that have been asked since."""
    asked = {turn.typed for turn in earlier}
    offered = next((turn.next for turn in reversed(earlier) if turn.next), ())
    return tuple(question for question in offered if question not in asked)


def _suggest_next(corpus: Corpus, retriever: Retriever, answered: Answer) -> tuple[str, ...]:
    """Return questions that follow from the answer or, if there is none, questions to ask instead."""
    following = tuple(suggest(answered, retriever.index, where=retriever.where))
    if not answered.abstained or retriever.where is not corpus.retriever.where:  # the others may not meet the filter
        return following
    asked = answered.question
    instead = _ask_of(corpus, near_titles(corpus, asked)) if following else suggest_instead(corpus, asked)
    return tuple(dict.fromkeys((*instead, *following)))[:SUGGESTED]


def suggest_instead(corpus: Corpus, asked: str) -> tuple[str, ...]:
    """Return questions that the corpus answers: about pages with titles like the question's words, else with short titles."""
    titles = sorted(corpus.contents().answering, key=lambda title: (len(title), title))
    return _ask_of(corpus, near_titles(corpus, asked) or titles[:SUGGESTED])


def near_titles(corpus: Corpus, asked: str) -> list[str]:
    """Return the first few titles that contain a word of the question spelled almost the same."""
    titles: dict[str, list[str]] = {}
    for title in corpus.contents().answering:
        for word in title.casefold().split():
            titles.setdefault(word.strip("(),.:"), []).append(title)
    words = (word.strip("?!.,") for word in asked.casefold().split())
    near = (get_close_matches(word, titles, 1, ALIKE) for word in words if len(word) > 3 and word not in titles)
    return list(dict.fromkeys(titles[word][0] for found in near for word in found))[:SUGGESTED]


def _ask_of(corpus: Corpus, titles: Iterable[str]) -> tuple[str, ...]:
    """Return for each page at most one question that it answers: the shortest of its own."""
    return tuple(dict.fromkeys(question for title in titles for question in ask_of_page(corpus, title)[:1]))


def ask_of_page(corpus: Corpus, title: str) -> list[str]:
    """Return the questions that are suggested after the last passage of a page, shortest first."""
    end = Hit(corpus.page(title)[-1], 0.0, None, 0.0, 1)
    retriever = corpus.retriever
    found = suggest(Answer("which", "", (end,), (), abstained=True), retriever.index, where=retriever.where)
    return sorted(found, key=len)


def _with(retriever: Retriever, settings: Settings) -> Retriever:
    """Return a retriever with the same index and models that works as the settings say."""
    bm25_only = settings.ranking == BM25
    return Retriever(
        retriever.index,
        None if bm25_only else retriever.reranker,
        dense=None if bm25_only else retriever.dense,
        candidates=settings.candidates,
        selector=retriever.selector,
        correct=retriever.correct,
        where=both(retriever.where, Filter.parse(settings.where) if settings.where else None),
    )


def sentence_of(error: Exception) -> str:
    """Return an error's message as a sentence."""
    message = str(error)
    return f"{message[:1].upper()}{message[1:]}."


class _Clock:
    """Measures the time since the previous step."""

    def __init__(self) -> None:
        self._last = perf_counter()

    def note(self, turn: Turn, what: str) -> Turn:
        """Return the turn with one more stage: what was just done, and the time it took."""
        last, self._last = self._last, perf_counter()
        return replace(turn, stages=(*turn.stages, f"{what} in {duration(self._last - last)}"))


def duration(seconds: float) -> str:
    """Return seconds as people read them: `3 ms`, `1.2 s`."""
    return f"{max(1, round(seconds * 1000)):,} ms" if seconds < 1 else f"{seconds:.1f} s"


def _write(writer: Writer, turn: Turn, answered: Answer, reranker: Reranker | None) -> Iterator[Turn]:
    """Yield the turn while its written answer grows; if the server fails, drop what it has written."""
    clock = _Clock()
    yield replace(turn, working=f"Writing with {writer.name}…")
    try:
        for written in writer.write(answered.question, answered.hits, reranker):
            turn = replace(turn, written=cited(written, len(answered.hits)))
            yield replace(turn, working=f"{writer.name} is still loading…") if written.loading else turn
    except WriterError as error:
        yield replace(turn, written=(), note=f"No written answer: {error}")
        return
    note = "" if turn.written else "No written answer: the model finds none in the passages"
    yield replace(clock.note(turn, "written"), note=note)


def cited(written: Written, hits: int) -> tuple[Cited, ...]:
    """Return the sentences, each with the ranks it cites taken out of its text; numbers without a hit stay in the text."""
    return tuple(
        Cited(without_citations(s.text, hits), tuple(n for n in s.cited if 1 <= n <= hits), s.support)
        for s in written.sentences
    )
