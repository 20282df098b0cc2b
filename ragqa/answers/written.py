"""Answers that a language model writes from the hits alone. Every sentence is checked, and cites what supports it.

The model runs on any server with OpenAI's API, such as Ollama, vLLM or llama.cpp. Each passage is sent as one line, apart from
the instructions. If the model still obeys an order in a passage, only the text of the answer is affected: `plain_text` removes
all markup, and `citations` marks sentences that no passage supports. It states its limits.
"""

import json
import logging
import os
import queue
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from ragqa.answers.citations import (
    CITATION,
    PENDING,
    SUPPORTED,
    check_sentence,
    cited_numbers,
    find_support,
    without_citations,
)
from ragqa.answers.patience import BETWEEN_WORDS_S, CONNECT_S, FIRST_WORD_S, LOADING_POLL_S, WHOLE
from ragqa.answers.plain_text import plain_text
from ragqa.answers.prompt import REFUSAL, is_from_example, messages
from ragqa.answers.refusals import is_refusal
from ragqa.errors import InputError, MissingExtraError, WriterError, first_line
from ragqa.models.reranker import Reranker
from ragqa.process import REASON, is_loopback, may_reach
from ragqa.records import Hit, Passage
from ragqa.text.passages import sentences

if TYPE_CHECKING:
    import openai

_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)

KEY, OPENAI_KEY = "RAGQA_LLM_KEY", "OPENAI_API_KEY"  # environment variables
NO_KEY = "none"
MAX_CHARS = 8000  # longest answer
MAX_THINKING_CHARS = 80_000  # longest output, reasoning included
MAX_TOKENS = 4096  # longest output in tokens, reasoning included
MOST_REPEATS = 3  # occurrences of a sentence at which the rest is not waited for
MAX_LINE_BYTES = 10_000_000  # longest line of a server's stream
LOADING = 503  # status of a server that still loads its model
_UNFINISHED = re.compile(  # may become a tag, a link or a citation
    r"(?:<[^<>\n]{0,20}|!?[\[【][^\[\]【】\n]{0,40})$"
)
_LEADING = re.compile(rf"(?:{CITATION.pattern}[ .,;]*)+")
_CJK_SENTENCE = re.compile(r"[^。！？]+[。！？]*|[。！？]+")
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

    Text and sentences are empty if the model says that the passages do not answer the question.
    """

    question: str
    text: str
    sentences: tuple[WrittenSentence, ...]
    done: bool


class Writer:
    """A language model on an OpenAI-compatible server. Can be shared between threads. Connects only in `write`."""

    def __init__(
        self,
        base_url: str,
        model: str | None = None,
        *,
        key: str | None = None,
        timeout_s: float = FIRST_WORD_S,
        whole_s: float | None = None,
        reranker: Reranker | None = None,
    ) -> None:
        """Check the settings; nothing is sent yet.

        `base_url` usually ends in `/v1`. `model` defaults to the first model that the server lists. `key` defaults to
        `RAGQA_LLM_KEY`, then, for OpenAI and for servers on this machine, to `OPENAI_API_KEY`. `timeout_s` is the longest
        wait in seconds for the first piece of text, while a server that loads its model (status 503) is asked again. The wait
        for a later piece is 30 seconds, or `timeout_s` if that is less. A whole answer may take `whole_s`, by default four
        times `timeout_s`. A `reranker` takes part in the check of sentences.

        Raises `InputError` for a `base_url` that is not an HTTP URL, `WriterError` for one that must not be used offline, and
        `MissingExtraError` if the client is not installed.
        """
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"{_shown(base_url)} is not the URL of a server; an example is http://localhost:11434/v1")
        for name, seconds in (("timeout_s", timeout_s), ("whole_s", whole_s)):
            if seconds is not None and not seconds > 0:
                raise InputError(f"{name} is {seconds}; it must be above 0")
        self.model = model
        self.reranker = reranker
        self.timeout_s = timeout_s
        self.whole_s = WHOLE * timeout_s if whole_s is None else whole_s
        self._url = base_url.rstrip("/").removesuffix("/chat/completions")
        self._key = key or _find_key(base_url)
        if not (self._key.isascii() and self._key.isprintable()):
            raise InputError("the key of the language model's server holds characters that no key can have")
        self._check_reachable()
        try:
            import openai  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("writing answers by a language model", "llm") from error

    def __repr__(self) -> str:
        return f"Writer({_shown(self._url)!r}, {self.model!r})"

    def write(self, question: str, hits: Sequence[Hit]) -> Iterator[Written]:
        """Yield the answer as it grows; the last item is `done` and its sentences are checked.

        Without hits the server is not asked and the answer is empty. Closing the iterator ends the request.

        Raises `WriterError` (one line, without the key) if the server fails, sends nothing for too long, does not end its
        answer, or sends no valid answer. Discard everything that was yielded before.
        """
        passages = [hit.passage for hit in hits]
        so_far, raw, due = Written(question, "", (), done=False), "", 0
        for piece in self.complete(messages(question, passages)) if passages else ():
            raw += piece
            if len(raw) < due and len(raw) <= MAX_THINKING_CHARS:
                continue
            due = (
                len(raw) + len(raw) // 50
            )  # wait for more text, since reading it all for each piece takes quadratic time
            text = tidy(_UNFINISHED.sub("", raw), len(passages))
            if len(text) > MAX_CHARS or len(raw) > MAX_THINKING_CHARS:
                raise WriterError(
                    f"{_shown(self._url)} does not end its answer: it has {len(raw):,} characters already"
                )
            if text != so_far.text and not _may_refuse(text):
                so_far = Written(question, text, read_sentences(text), done=False)
                yield so_far
                if _is_repeating(so_far.sentences):
                    break
        if passages and not read_sentences(tidy(raw, len(passages))):
            raise WriterError(f"{_shown(self._url)} sent an empty answer")
        yield read_answer(question, raw, passages, self.reranker)

    def find_model(self) -> str:
        """Return the name of the model. If none was given, ask the server for the first one that it lists.

        Raises `WriterError` if the server fails.
        """
        *_, name = self._receive(self._name)
        return name

    def complete(self, asked: list[dict[str, str]], *, whole: bool = True) -> Generator[str, None, None]:
        """Yield the pieces of text that the server sends. If not `whole`, an output that was cut short is no error.

        Raises `WriterError` if the server fails.
        """
        return self._receive(lambda client: self._stream(client, asked, whole=whole))

    def _receive(self, stream: "Callable[[openai.OpenAI], Iterator[str]]") -> Generator[str, None, None]:
        """Yield the pieces of a stream. Another thread reads them, so the server cannot block this one."""
        self._check_reachable()
        arrived: queue.Queue[str | Exception | None] = queue.Queue()
        client = self._client()
        reading = threading.Thread(target=self._read, args=(stream(client), arrived.put), daemon=True)
        ends, wait_s = time.monotonic() + self.whole_s, self.timeout_s
        reading.start()
        try:
            while True:
                left = ends - time.monotonic()
                try:
                    piece = arrived.get(timeout=max(0.0, min(left, wait_s)))
                except queue.Empty:
                    raise WriterError(self._too_slow(ends, wait_s)) from None
                if left < 0 and piece is not None:  # pieces may arrive faster than they are read
                    raise WriterError(self._too_slow(ends, wait_s))
                if piece is None:
                    return
                if isinstance(piece, Exception):
                    raise WriterError(self._reason(piece)) from None  # the original error may contain the key
                if piece:
                    wait_s = min(self.timeout_s, BETWEEN_WORDS_S)
                    yield piece
        finally:
            with suppress(Exception):
                client.close()

    def _read(self, stream: Iterator[str], put: Callable[[str | Exception | None], None]) -> None:
        """Put each piece, then None, or the exception that ended the stream."""
        try:
            for piece in stream:
                put(piece)
            put(None)
        except Exception as error:
            put(error)

    def _name(self, client: "openai.OpenAI") -> Iterator[str]:
        self.model = self.model or _when_loaded(partial(_first_model, client), self._gives_up())
        yield self.model

    def _gives_up(self) -> float:
        """When a server that still loads its model is not asked again: in time to say so."""
        return time.monotonic() + self.timeout_s - 2 * LOADING_POLL_S

    def _stream(self, client: "openai.OpenAI", asked: list[dict[str, str]], *, whole: bool) -> Iterator[str]:
        gives_up = self._gives_up()
        self.model = self.model or _when_loaded(partial(_first_model, client), gives_up)
        options: Any = {"messages": asked, "temperature": 0.0, "max_tokens": MAX_TOKENS, "stream": True}
        finished: Any = ""
        create: Callable[[], Any] = partial(client.chat.completions.create, model=self.model, **options)
        with _when_loaded(create, gives_up) as stream:
            for chunk in _chunks(
                stream.response
            ):  # the client's iterator hides "[DONE]" and answers that are not streamed
                choice = chunk["choices"][0] if chunk["choices"] else {}
                yield _content(choice)
                finished = finished or str(choice.get("finish_reason") or "")
        if whole and finished in ("length", "content_filter"):
            raise WriterError(f"its answer was cut short ({finished})")
        if finished in ("tool_calls", "function_call"):
            raise WriterError("it calls a tool instead of answering, though none was offered")
        if not finished:
            raise WriterError("it stopped before the end of its answer, or sent none")

    def _client(self) -> "openai.OpenAI":
        import openai

        http = openai.DefaultHttpxClient(
            timeout=openai.Timeout(self.timeout_s, connect=min(self.timeout_s, CONNECT_S)),
            follow_redirects=False,  # a redirect may lead to another host
            trust_env=not is_loopback(self._url),  # no proxy for servers on this machine
            event_hooks={"request": [_strip_headers]},
        )
        return openai.OpenAI(base_url=self._url, api_key=self._key, max_retries=0, http_client=http)

    def _check_reachable(self) -> None:
        if not may_reach(self._url):
            raise WriterError(f"{_shown(self._url)} is not asked: {REASON}")

    def _too_slow(self, ends: float, wait_s: float) -> str:
        whole = time.monotonic() >= ends
        waited = self.whole_s if whole else wait_s
        return f"{_shown(self._url)} {'did not end its answer' if whole else 'sent nothing'} for {waited:g} seconds"

    def _reason(self, error: Exception) -> str:
        """Describe an error in one line that does not contain the key."""
        import openai

        kind = type(error).__name__
        if "Timeout" in kind:
            message = f" sent nothing for {self.timeout_s:g} seconds"
        elif isinstance(error, openai.APIStatusError):
            hint = "; the URL of such a server usually ends in /v1" if error.status_code == 404 else ""
            message = f" answered with HTTP {error.status_code}: {_server_message(error)}{hint}"
        elif isinstance(error, openai.APIConnectionError) and "Connect" in type(error.__cause__).__name__:
            message = " cannot be reached: is the server running there?"
        elif isinstance(error, openai.APIError) and not isinstance(error, openai.APIConnectionError):
            message = f" reports an error: {first_line(error)}"
        elif isinstance(error, WriterError):
            message = f": {error}"
        elif isinstance(error, ValueError | TypeError | AttributeError | LookupError):
            message = f" did not send a valid answer ({kind})"
        else:
            message = f" stopped in the middle of its answer ({kind})"
        return self._without_key(_shown(self._url) + message)

    def _without_key(self, message: str) -> str:
        line = "".join(c if c.isprintable() else " " for c in message)
        return line.replace(self._key, "…") if self._key != NO_KEY else line


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

    If nothing is cited in brackets, numbers from 1 to `passages` in parentheses at the end of a sentence count as citations.
    """
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


def _find_key(url: str) -> str:
    """The key from the environment. Only OpenAI and servers on this machine may get OpenAI's key."""
    host = urlsplit(url).hostname or ""
    names = [KEY, OPENAI_KEY] if is_loopback(url) or f".{host}".endswith(".openai.com") else [KEY]
    return next((os.environ[name] for name in names if os.environ.get(name)), NO_KEY)


def _when_loaded(ask: Callable[[], _T], gives_up: float) -> _T:
    """Return what a server answers; while it still loads its model, ask again until `gives_up` (on the monotonic clock)."""
    import openai

    while True:
        try:
            return ask()
        except openai.APIStatusError as error:
            if error.status_code != LOADING or time.monotonic() >= gives_up:
                raise
            _LOG.info("the server of the language model is not ready (HTTP %d); it is asked again", LOADING)
        time.sleep(LOADING_POLL_S)


def _first_model(client: "openai.OpenAI") -> str:
    models = [model.id for model in client.models.list().data or []]
    if not models:
        raise WriterError("it lists no model; load a model there, or name one")
    return str(models[0])


def _chunks(response: Any) -> Iterator[Any]:
    """Yield the chunks of a stream, or the whole answer if the server does not stream. "[DONE]" becomes a finish reason."""
    if "json" in response.headers.get("content-type", ""):
        yield json.loads(response.read())
        return
    rest = b""
    for received in response.iter_bytes():
        *lines, rest = (rest + received).split(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            raise WriterError("it sends a line that does not end")
        for data in (line[5:].strip() for line in lines if line.startswith(b"data:")):
            if data == b"[DONE]":
                yield {"choices": [{"finish_reason": "done"}]}
                return
            yield _without_error(json.loads(data))


def _without_error(chunk: Any) -> Any:
    """Return the chunk. Raises `WriterError` if it is an error message."""
    error = chunk.get("error")
    if error:
        message = error.get("message") if isinstance(error, dict) else error
        raise WriterError(f"it reports an error: {str(message).strip().splitlines()[0][:200]}")
    return chunk


def _content(choice: Any) -> str:
    """The text that a choice adds to the answer; may be empty."""
    content = (choice.get("delta") or choice.get("message") or {}).get("content") or ""
    if not isinstance(content, str):
        raise TypeError(f"{type(content).__name__} where there should be text")
    return content


def _strip_headers(request: Any) -> None:
    """Remove headers that describe this machine and the OpenAI account in the environment."""
    for name in list(request.headers):
        if name.lower().startswith(("x-stainless", "openai-")):
            del request.headers[name]
    request.headers["user-agent"] = "ragqa"


def _server_message(error: "openai.APIStatusError") -> str:
    """The error message of a server in OpenAI's format, else the HTTP reason."""
    body = error.body
    message = body.get("message") if isinstance(body, dict) else None
    return (
        str(message).strip().split("\n")[0][:200] if message else str(error.response.reason_phrase) or "no reason given"
    )


def _shown(url: str) -> str:
    """A URL without its possibly secret parts: user, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else url[:60]
