"""Answers that a language model writes from the hits alone. Every sentence is checked, and cites what supports it.

The model runs on any server with OpenAI's API, such as Ollama, vLLM or llama.cpp. Each passage is sent as one line, apart from
the instructions. If the model still obeys an order in a passage, only the text of the answer is affected: `plain_text` removes
all markup, and `citations` marks sentences that no passage supports. It states its limits.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ragqa.answers.citations import (
    CITATION,
    PENDING,
    SUPPORTED,
    check_sentence,
    cited_numbers,
    find_support,
    without_citations,
)
from ragqa.answers.language_model import LanguageModel, Loading
from ragqa.answers.plain_text import plain_text, without_reasoning
from ragqa.answers.prompt import REFUSAL, is_from_example, messages
from ragqa.answers.refusals import is_refusal
from ragqa.errors import WriterError
from ragqa.models.reranker import Reranker
from ragqa.records import Hit, Passage
from ragqa.text.passages import sentences

MAX_CHARS = 8000  # longest answer
MAX_THINKING_CHARS = 80_000  # longest output, reasoning included
MOST_REPEATS = 3  # occurrences of a sentence at which the rest is not waited for
_UNFINISHED = re.compile(  # may become a tag, a link or a citation
    r"(?:<[^<>\n]{0,20}|!?[\[【][^\[\]【】\n]{0,40})$"
)
_LEADING = re.compile(rf"(?:{CITATION.pattern}[ .,;]*)+")
_CJK_SENTENCE = re.compile(r"[^。！？]+[。！？]*|[。！？]+")
_JSON = re.compile(  # an answer as a JSON object, perhaps not at its end yet
    r'\A\s*(?:```(?:json)?\s*)?\{\s*"(?:answer|content|response|text)"\s*:\s*"(?P<answer>(?:[^"\\]|\\.)*)'
)
_LABEL = re.compile(r"\A(?:final |short )?answer\s*:\s*", re.IGNORECASE)
_BULLET = re.compile(r"^(?:[-*•]|\d{1,2}[.)]) ", re.MULTILINE)
_SOURCES = re.compile(r"\n(?:sources?|references?|citations?) ?(?::|\n).*", re.IGNORECASE | re.DOTALL)
_IN_PARENTHESES = re.compile(r"\((\d{1,2}(?:, ?\d{1,2})*)\)(?=[.!?;,]|\s*$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class WrittenSentence:
    """A sentence of a written answer at `Written.text[start:end]`, and the numbers of the hits that it cites, from 1.

    `support` is "supported", "unsupported" (the cited passages do not support it, or a cited number has no passage),
    "uncited", or "pending" while the answer is still being written.
    """

    start: int
    end: int
    text: str
    cited: tuple[int, ...]
    support: str


@dataclass(frozen=True, slots=True)
class Written:
    """The answer written so far, in plain text. `done` is True if it is complete.

    Text and sentences are empty if the model says that the passages do not answer the question. `loading` is True while the
    server says that it still loads its model.
    """

    question: str
    text: str
    sentences: tuple[WrittenSentence, ...]
    done: bool
    loading: bool = False


class Writer(LanguageModel):
    """A language model that writes answers. Can be shared between threads. Connects only to write."""

    def write(self, question: str, hits: Sequence[Hit], reranker: Reranker | None = None) -> Iterator[Written]:
        """Yield the answer as it grows; the last item is `done` and its sentences are checked.

        The `reranker`, if given, takes part in the check. Without hits the server is not asked and the answer is empty.
        Closing the iterator ends the request.

        Raises `WriterError` (one line, without the key) if the server fails, sends nothing for too long, does not end its
        answer, or sends no valid answer. Discard everything that was yielded before.
        """
        passages = [hit.passage for hit in hits]
        so_far, raw, due = Written(question, "", (), done=False), "", 0
        for piece in self.pieces(messages(question, passages)) if passages else ():
            if isinstance(piece, Loading):
                yield replace(so_far, loading=True)
                continue
            raw += piece
            if len(raw) < due and len(raw) <= MAX_THINKING_CHARS:
                continue
            # wait for more text, since reading it all for each piece takes quadratic time
            due = len(raw) + len(raw) // 50
            text = tidy(_UNFINISHED.sub("", raw), len(passages))
            if len(text) > MAX_CHARS or len(raw) > MAX_THINKING_CHARS:
                raise WriterError(f"{self.address} does not end its answer: it has {len(raw):,} characters already")
            if text != so_far.text and not _may_refuse(text):
                so_far = Written(question, text, read_sentences(text), done=False)
                yield so_far
                if _is_repeating(so_far.sentences):
                    break
        if passages and not read_sentences(tidy(raw, len(passages))):
            raise WriterError(f"{self.address} sent an empty answer")
        yield read_answer(question, raw, passages, reranker)


def read_answer(question: str, raw: str, passages: Sequence[Passage], reranker: Reranker | None = None) -> Written:
    """Return the complete answer that a model's whole output holds; each sentence is checked and cites what supports it.

    Sentences of the prompt's example and repeated sentences are left out. The answer is empty if its first sentence is a
    refusal, or if it holds a refusal and no supported sentence; other refusals are left out.
    """
    text = tidy(raw, len(passages))
    found = list({without_citations(s.text): s for s in reversed(read_sentences(text))}.values())[::-1]
    kept = [s for s in found if not is_from_example(s.text)]
    said = [cite(s, passages, reranker) for s in kept if not is_refusal(s.text)]
    refuses = len(said) < len(kept)
    if not said or is_refusal(kept[0].text) or (refuses and not any(s.support == SUPPORTED for s in said)):
        return Written(question, "", (), done=True)
    return _join(question, text, said)


def cite(sentence: WrittenSentence, passages: Sequence[Passage], reranker: Reranker | None) -> WrittenSentence:
    """Return a sentence with its support; if its own citations do not support it, a passage that does is cited instead."""
    support = check_sentence(sentence.text, passages, reranker)
    number = None if support == SUPPORTED else find_support(sentence.text, passages, reranker)
    if number is None:
        return replace(sentence, support=support)
    said = without_citations(sentence.text)
    words = said.rstrip(".!?。！？")
    text = f"{words} [{number}]{said[len(words) :]}"
    return replace(sentence, text=text, cited=(number,), support=SUPPORTED)


def _join(question: str, text: str, said: Sequence[WrittenSentence]) -> Written:
    """Return the answer that consists of these sentences, separated as in the text that they were taken from."""
    joined, last_end = "", 0
    for sentence in said:
        gap = "\n" if "\n" in text[last_end : sentence.start] else " "
        joined = f"{joined}{gap}{sentence.text}" if joined else sentence.text
        last_end = sentence.end
    return Written(question, joined, tuple(_place(joined, said)), done=True)


def _place(text: str, said: Sequence[WrittenSentence]) -> Iterator[WrittenSentence]:
    end = 0
    for sentence in said:
        start = text.index(sentence.text, end)
        end = start + len(sentence.text)
        yield replace(sentence, start=start, end=end)


def _is_repeating(said: Sequence[WrittenSentence]) -> bool:
    """Return True if one of the sentences occurs three times, as when a small model does not find its end."""
    counts = Counter(without_citations(s.text).casefold() for s in said)
    return max(counts.values(), default=0) >= MOST_REPEATS


def tidy(written: str, passages: int) -> str:
    """Convert a model's output to plain text, without reasoning, markup, bullets, the label "Answer:" or a list of sources.

    Of an output that is a JSON object the string of its first key counts, if that is "answer" or a similar name.
    If nothing is cited in brackets, numbers from 1 to `passages` in parentheses at the end of a sentence count as citations.
    """
    written = without_reasoning(written)
    if found := _JSON.match(written):
        written = found["answer"]
    text = _SOURCES.sub("", _LABEL.sub("", _BULLET.sub("", plain_text(written)))).strip()
    return text if CITATION.search(text) else _IN_PARENTHESES.sub(lambda found: _in_brackets(found, passages), text)


def _in_brackets(found: re.Match[str], passages: int) -> str:
    known = all(1 <= int(number) <= passages for number in found[1].split(","))
    return f"[{found[1]}]" if known else found[0]


def read_sentences(text: str) -> tuple[WrittenSentence, ...]:
    """Split a text into unchecked sentences. Citations after a full stop belong to the sentence before it."""
    spans: list[tuple[int, int]] = []
    for start, end in _sentence_spans(text):
        first = start
        if spans and (leading := _LEADING.match(text, start, end)):
            spans[-1] = (spans[-1][0], start + len(leading[0].rstrip(" .,;")))
            first = leading.end()
        if any(character.isalpha() for character in without_citations(text[first:end])):
            spans.append((first, end))
    return tuple(WrittenSentence(a, b, text[a:b], cited_numbers(text[a:b]), PENDING) for a, b in spans)


def _sentence_spans(text: str) -> Iterator[tuple[int, int]]:
    """The spans of sentences, also in Chinese and Japanese, where no space separates them."""
    for start, end in sentences(text):
        for part in _CJK_SENTENCE.finditer(text, start, end):
            yield part.span()


def _may_refuse(text: str) -> bool:
    """Return True if a text is the refusal sentence, its beginning, or starts with it."""
    refusal, begun = REFUSAL.casefold().rstrip("."), text.casefold()
    return refusal.startswith(begun) or begun.startswith(refusal)
