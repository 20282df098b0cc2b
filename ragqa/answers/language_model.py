"""Messages in, the text of a language model out, piece by piece, from any server with OpenAI's API.

A server may be slow, loading, broken or hostile: every wait and every length has a limit, and what goes wrong ends in one line
without the key.
"""

import json
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from ragqa.answers.patience import BETWEEN_WORDS_S, CONNECT_S, FIRST_WORD_S, LOADING_POLL_S, WHOLE
from ragqa.errors import InputError, MissingExtraError, WriterError, first_line, shown_url
from ragqa.process import REASON, is_loopback, may_reach

if TYPE_CHECKING:
    import openai

_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)

KEY, OPENAI_KEY = "RAGQA_LLM_KEY", "OPENAI_API_KEY"  # environment variables
NO_KEY = "none"
MAX_TOKENS = 4096  # longest output in tokens, reasoning included
MAX_LINE_BYTES = 10_000_000  # longest line of a server's stream
LOADING = 503  # status of a server that still loads its model


@dataclass(frozen=True, slots=True)
class Loading:
    """The server still loads its model and is asked again."""


Message = Mapping[str, str]
_Arrived = str | Loading | Exception | None  # None: the end
_Put = Callable[[_Arrived], None]


class LanguageModel:
    """A language model on an OpenAI-compatible server. Can be shared between threads. Connects only when it is asked."""

    def __init__(
        self,
        base_url: str,
        model: str | None = None,
        *,
        key: str | None = None,
        timeout_s: float = FIRST_WORD_S,
        whole_s: float | None = None,
    ) -> None:
        """Check the settings; nothing is sent yet.

        `base_url` usually ends in `/v1`. `model` defaults to the first model that the server lists. `key` defaults to
        `RAGQA_LLM_KEY`, then, for OpenAI and for servers on this machine, to `OPENAI_API_KEY`. `timeout_s` is the longest
        wait in seconds for the first piece of text, while a server that loads its model (status 503) is asked again. The wait
        for a later piece is 30 seconds, or `timeout_s` if that is less. A whole answer may take `whole_s`, by default four
        times `timeout_s`.

        Raises `InputError` for a `base_url` that is not an HTTP URL, `WriterError` for one that must not be used offline, and
        `MissingExtraError` if the client is not installed.
        """
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(
                f"{shown_url(base_url)} is not the URL of a server; an example is http://localhost:11434/v1"
            )
        for name, seconds in (("timeout_s", timeout_s), ("whole_s", whole_s)):
            if seconds is not None and not seconds > 0:
                raise InputError(f"{name} is {seconds}; it must be above 0")
        self.model = model
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
            raise MissingExtraError("asking a language model", "llm") from error

    @property
    def address(self) -> str:
        """The base URL as it may be shown: without user, password and query."""
        return shown_url(self._url)

    @property
    def name(self) -> str:
        """The name of the model as it may be shown; "the language model" before the server has told it."""
        named = self.model or "the language model"
        return Path(named).name if Path(named).is_absolute() else named

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r}, {self.model!r})"

    def find_model(self) -> str:
        """Return the name of the model. If none was given, ask the server for the first one that it lists.

        Raises `WriterError` if the server fails.
        """
        *_, name = self._receive(self._name)
        return str(name)

    def complete(self, asked: Sequence[Message], *, whole: bool = True) -> Generator[str, None, None]:
        """Yield the pieces of text that the server sends in answer to messages with `role` and `content`.

        Closing the iterator ends the request. Raises `WriterError` (one line, without the key) if the server fails, sends
        nothing for too long, does not end its answer, or sends no valid one. If not `whole`, an output that was cut short is no
        error.
        """
        with closing(self.pieces(asked, whole=whole)) as pieces:
            yield from (piece for piece in pieces if isinstance(piece, str))

    def pieces(self, asked: Sequence[Message], *, whole: bool = True) -> Generator[str | Loading, None, None]:
        """Do what `complete` does, and yield a `Loading` whenever the server says that it still loads its model."""
        return self._receive(lambda client, put: self._stream(client, asked, put, whole=whole))

    def _receive(
        self, stream: "Callable[[openai.OpenAI, _Put], Iterator[str]]"
    ) -> Generator[str | Loading, None, None]:
        """Yield what a stream gives or puts. Another thread reads it, so that the server cannot block this one."""
        self._check_reachable()
        arrived: queue.Queue[_Arrived] = queue.Queue()
        client = self._client()
        reading = threading.Thread(target=_read, args=(stream(client, arrived.put), arrived.put), daemon=True)
        reading.start()
        try:
            yield from self._take(arrived)
        finally:
            with suppress(Exception):
                client.close()

    def _take(self, arrived: "queue.Queue[_Arrived]") -> Iterator[str | Loading]:
        """Yield what arrives until None. Raises `WriterError` for an exception, and for a wait that is too long."""
        ends, wait_s = time.monotonic() + self.whole_s, self.timeout_s
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
                wait_s = wait_s if isinstance(piece, Loading) else min(self.timeout_s, BETWEEN_WORDS_S)
                yield piece

    def _name(self, client: "openai.OpenAI", put: "_Put") -> Iterator[str]:
        yield self._find_name(client, self._gives_up(), put)

    def _find_name(self, client: "openai.OpenAI", gives_up: float, put: "_Put") -> str:
        self.model = self.model or _when_loaded(partial(_first_model, client), gives_up, put)
        return self.model

    def _gives_up(self) -> float:
        """Return when a server that still loads its model is not asked again, in time to say so."""
        return time.monotonic() + self.timeout_s - 2 * LOADING_POLL_S

    def _stream(self, client: "openai.OpenAI", asked: Sequence[Message], put: "_Put", *, whole: bool) -> Iterator[str]:
        gives_up = self._gives_up()
        model = self._find_name(client, gives_up, put)
        options: Any = {"messages": list(asked), "temperature": 0.0, "max_tokens": MAX_TOKENS, "stream": True}
        finished: Any = ""
        create: Callable[[], Any] = partial(client.chat.completions.create, model=model, **options)
        with _when_loaded(create, gives_up, put) as stream:
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
            raise WriterError(f"{self.address} is not asked: {REASON}")

    def _too_slow(self, ends: float, wait_s: float) -> str:
        whole = time.monotonic() >= ends
        waited = self.whole_s if whole else wait_s
        return f"{self.address} {'did not end its answer' if whole else 'sent nothing'} for {waited:g} seconds"

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
        return self._without_key(self.address + message)

    def _without_key(self, message: str) -> str:
        line = "".join(c if c.isprintable() else " " for c in message)
        return line.replace(self._key, "…") if self._key != NO_KEY else line


def _read(stream: Iterator[str], put: _Put) -> None:
    """Put each piece, then None, or the exception that ended the stream."""
    try:
        for piece in stream:
            put(piece)
        put(None)
    except Exception as error:
        put(error)


def _find_key(url: str) -> str:
    """The key from the environment. Only OpenAI and servers on this machine may get OpenAI's key."""
    host = urlsplit(url).hostname or ""
    names = [KEY, OPENAI_KEY] if is_loopback(url) or f".{host}".endswith(".openai.com") else [KEY]
    return next((os.environ[name] for name in names if os.environ.get(name)), NO_KEY)


def _when_loaded(ask: Callable[[], _T], gives_up: float, put: "_Put") -> _T:
    """Return what a server answers; while it still loads its model, say so and ask again until `gives_up` (monotonic clock)."""
    import openai

    while True:
        try:
            return ask()
        except openai.APIStatusError as error:
            if error.status_code != LOADING or time.monotonic() >= gives_up:
                raise
            _LOG.info("the server of the language model is not ready (HTTP %d); it is asked again", LOADING)
            put(Loading())
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
