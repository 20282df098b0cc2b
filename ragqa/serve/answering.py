"""A conversation in, an answer from the corpus out: its text, and where each part of it comes from."""

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from ragqa.answers.answer import abstention
from ragqa.answers.citations import SUPPORTED
from ragqa.answers.language_model import LanguageModel
from ragqa.answers.prompt import REFUSAL
from ragqa.answers.written import Writer, Written
from ragqa.errors import InputError
from ragqa.records import Answer, Hit, Passage
from ragqa.search.conversation import standalone
from ragqa.search.restating import restate
from ragqa.search.retriever import Retriever
from ragqa.search.small_talk import reply_to
from ragqa.text.passages import WRITTEN_FOR_RAGQA, heading_path, is_written_for_ragqa, source_line

HITS = 5  # passages that an answer is taken from
EARLIER = 8  # questions of a conversation that are read for the topic
_TOPIC_HITS = 3


class Citation(NamedTuple):
    """The passage that `text[start:end]` of an answer is quoted from."""

    start: int
    end: int
    title: str
    url: str


class Said(NamedTuple):
    """An answer as an assistant says it."""

    text: str
    citations: tuple[Citation, ...] = ()


def reply(retriever: Retriever, questions: Sequence[str], writer: Writer | None = None) -> Said:
    """Answer the last of a conversation's questions; the earlier ones give its topic.

    A greeting or thanks gets a friendly line. With a `writer`, a language model completes follow-ups and writes the answer.
    Raises as `Retriever.ask` and `Writer.write` do.
    """
    *earlier, last = questions
    if line := reply_to(last):
        return Said(line)
    answer = retriever.ask(_with_topic(retriever, earlier, last, writer), HITS)
    if writer is not None and not answer.abstained:
        *_, written = writer.write(answer.question, answer.hits, retriever.reranker)
        return _say_written(written, answer.hits)
    return say(answer)


def _with_topic(retriever: Retriever, earlier: Sequence[str], question: str, model: LanguageModel | None) -> str:
    """Return a question that can be understood without the earlier ones."""
    answers: list[Answer] = []
    for typed in [typed for typed in earlier if not reply_to(typed)][-EARLIER:]:  # thanks and the like are no topic
        with suppress(InputError):  # an earlier question that cannot be asked gives no topic
            asked = standalone(retriever.corrected(typed), answers)
            hits = tuple(retriever.find(asked, _TOPIC_HITS)[0][:_TOPIC_HITS])
            answers.append(Answer(asked, "", hits, (), abstained=not hits))
    asked = retriever.corrected(question)
    by_rules = standalone(asked, answers)
    return by_rules if model is None else restate(model, asked, by_rules, answers)


def say(answer: Answer) -> Said:
    """Return an answer's quotes with their sources or, if there are none, that there is no answer and what comes nearest."""
    if answer.abstained:
        lines = [f"{rank}. {_described(hit.passage)}" for rank, hit in enumerate(answer.hits[:_TOPIC_HITS], 1)]
        return Said("\n".join([abstention(answer), *lines]))
    if not answer.quotes:  # without a reranker
        passage = answer.hits[0].passage
        return Said(answer.text, _cite(0, len(answer.text), passage))
    citations: list[Citation] = []
    start = 0
    for quote in answer.quotes:
        citations += _cite(start, start + len(quote.said), answer.hits[quote.hit].passage)
        start += len(quote.said) + 2  # quotes are joined by a blank line
    return Said(answer.text, tuple(citations))


def _say_written(written: Written, hits: Sequence[Hit]) -> Said:
    """Return a written answer; sentences that their passages support get citations, others none."""
    if not written.text:
        return Said(REFUSAL)
    supported = [sentence for sentence in written.sentences if sentence.support == SUPPORTED]
    citations = [
        citation
        for sentence in supported
        for number in sentence.cited
        for citation in _cite(sentence.start, sentence.end, hits[number - 1].passage)
    ]
    return Said(written.text, tuple(citations))


def _cite(start: int, end: int, passage: Passage) -> tuple[Citation, ...]:
    """The citation of a passage; none without an address.

    Text written for ragqa has no address of its own; the address is that of its topic, and the title says so.
    """
    url = passage.url or passage.about
    title = heading_path(passage)
    if is_written_for_ragqa(passage):
        title = f"{title} ({WRITTEN_FOR_RAGQA})"
    return (Citation(start, end, title, url),) if url else ()


def _described(passage: Passage) -> str:
    source = source_line(passage)
    return f"{heading_path(passage)} ({source})" if source else heading_path(passage)
