"""Conversations in OpenAI's formats in, answers from the corpus out: `/v1/chat/completions` and `/v1/responses`.

The text is quoted from passages, or written by a language model; each quote, or each sentence that its passages support, has an
annotation `url_citation`. Instructions, tools, temperatures and other settings of a language model are accepted and have no
effect.
"""

import json
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple
from uuid import uuid4

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, Field

from ragqa.answers.written import Writer
from ragqa.search.retriever import Retriever
from ragqa.serve import token_counts
from ragqa.serve.answering import Citation, Said, reply
from ragqa.serve.limits import Refused
from ragqa.serve.service import ANSWERS, Service
from ragqa.serve.sizes import check_texts
from ragqa.serve.work import Work

_PIECE = re.compile(r"\s*\S+\s*")  # a word, as a stream sends it
_TEXT_PARTS = ("text", "input_text", "output_text")


class Part(BaseModel):
    """A part of a message."""

    type: str
    text: str | None = None


class Message(BaseModel):
    """A message of a conversation. Other items of a response's input, such as reasoning, have no role."""

    role: str = ""
    content: str | list[Part] | None = None


class StreamOptions(BaseModel):
    """Whether a last chunk states the number of tokens."""

    include_usage: bool | None = False


class ChatRequest(BaseModel):
    """A request for a chat completion."""

    model: str = ANSWERS
    messages: list[Message] = Field(min_length=1)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: int | None = 1


class ResponsesRequest(BaseModel):
    """A request for a response. Responses are not stored, so `input` must hold the whole conversation."""

    model: str = ANSWERS
    input: str | list[Message]
    stream: bool | None = False
    previous_response_id: str | None = None
    conversation: Any = None
    background: Literal[False] | None = None


def add_talking(router: APIRouter, service: Service, work: Work, writer: Writer | None) -> None:
    """Add the endpoints that answer conversations; `writer`, if given, writes the answers."""

    @router.post("/v1/chat/completions", summary="Answer a conversation (OpenAI)", tags=["corpus"], response_model=None)
    async def complete(request: ChatRequest) -> Response:
        if request.n not in (None, 1):
            raise Refused(422, f"n is {request.n}; there is one answer to a question.")
        questions = _questions(request.messages)
        completion = _Completion(*await work.run(_reply, service.retriever, questions, writer))
        if request.stream:
            usage = bool(request.stream_options and request.stream_options.include_usage)
            return _stream(completion.chunks(usage=usage))
        return JSONResponse(completion.whole())

    @router.post("/v1/responses", summary="Answer a conversation (OpenAI)", tags=["corpus"], response_model=None)
    async def respond(request: ResponsesRequest) -> Response:
        if request.previous_response_id or request.conversation:
            raise Refused(422, "Responses are not stored; send the whole conversation in input.")
        asked = [Message(role="user", content=request.input)] if isinstance(request.input, str) else request.input
        questions = _questions(asked)
        response = _Response(*await work.run(_reply, service.retriever, questions, writer))
        return _stream(response.events()) if request.stream else JSONResponse(response.whole("completed"))


class _Tokens(NamedTuple):
    """The numbers of tokens of the questions and of the answer."""

    read: int
    written: int


def _reply(retriever: Retriever, questions: Sequence[str], writer: Writer | None) -> tuple[Said, _Tokens]:
    """Answer, and count the tokens, which takes long for a long conversation."""
    said = reply(retriever, questions, writer)
    return said, _Tokens(token_counts.count(questions), token_counts.count([said.text]))


def _questions(messages: Sequence[Message]) -> list[str]:
    """Return what the user said. Raises `Refused` if the last of it is not text, and for texts that are too long."""
    asked = [message for message in messages if message.role == "user"]
    if not asked:
        raise Refused(422, "There is no message of the user.")
    questions = [*filter(None, map(_text, asked[:-1])), _question(asked[-1])]
    check_texts("messages", questions, len(questions))
    return questions


def _question(message: Message) -> str:
    parts = [] if isinstance(message.content, str | None) else message.content
    if other := [part.type for part in parts if part.type not in _TEXT_PARTS]:
        raise Refused(422, f"The user's message holds a part of type {other[0]!r:.40}; only text is read.")
    return _text(message)


def _text(message: Message) -> str:
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    return "\n".join(part.text for part in message.content if part.text)


def _stream(lines: Iterator[str]) -> StreamingResponse:
    return StreamingResponse(lines, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


class _Completion:
    """A chat completion, as a whole and in chunks."""

    def __init__(self, said: Said, tokens: _Tokens) -> None:
        self._said, self._tokens = said, tokens
        self._head = {"id": f"chatcmpl-{uuid4().hex}", "created": int(time.time()), "model": ANSWERS}

    def whole(self) -> dict[str, Any]:
        message = {
            "role": "assistant",
            "content": self._said.text,
            "refusal": None,
            "annotations": self._annotations(),
        }
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return {**self._head, "object": "chat.completion", "choices": [choice], "usage": self._usage()}

    def chunks(self, *, usage: bool) -> Iterator[str]:
        """Yield the lines of the stream; the annotations come after the text."""
        yield self._chunk({"role": "assistant", "content": ""})
        for piece in _PIECE.findall(self._said.text):
            yield self._chunk({"content": piece})
        if annotations := self._annotations():
            yield self._chunk({"annotations": annotations})
        yield self._chunk({}, "stop")
        if usage:
            whole = {**self._head, "object": "chat.completion.chunk", "choices": [], "usage": self._usage()}
            yield f"data: {json.dumps(whole)}\n\n"
        yield "data: [DONE]\n\n"

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        whole = {**self._head, "object": "chat.completion.chunk", "choices": [choice]}
        return f"data: {json.dumps(whole)}\n\n"

    def _annotations(self) -> list[dict[str, Any]]:
        return [{"type": "url_citation", "url_citation": _place(citation)} for citation in self._said.citations]

    def _usage(self) -> dict[str, int]:
        read, written = self._tokens
        return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


class _Response:
    """A response, as a whole and as events."""

    def __init__(self, said: Said, tokens: _Tokens) -> None:
        self._said, self._tokens = said, tokens
        self._id, self._item, self._created = f"resp_{uuid4().hex}", f"msg_{uuid4().hex}", time.time()
        self._number = 0

    def whole(self, status: str) -> dict[str, Any]:
        """Return the response with its output once it is completed."""
        done = status == "completed"
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "completed_at": time.time() if done else None,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "max_output_tokens": None,
            "metadata": {},
            "model": ANSWERS,
            "output": [self._message("completed", [self._part()])] if done else [],
            "parallel_tool_calls": False,
            "previous_response_id": None,
            "store": False,
            "temperature": None,
            "text": {"format": {"type": "text"}},
            "tool_choice": "none",
            "tools": [],
            "top_p": None,
            "truncation": "disabled",
            "usage": self._usage() if done else None,
        }

    def events(self) -> Iterator[str]:
        """Yield the lines of the stream."""
        at: dict[str, Any] = {"item_id": self._item, "output_index": 0, "content_index": 0}
        empty = {"type": "output_text", "text": "", "annotations": []}
        text, part = self._said.text, self._part()
        yield self._event("created", response=self.whole("in_progress"))
        yield self._event("in_progress", response=self.whole("in_progress"))
        yield self._event("output_item.added", output_index=0, item=self._message("in_progress", []))
        yield self._event("content_part.added", **at, part=empty)
        for piece in _PIECE.findall(text):
            yield self._event("output_text.delta", **at, delta=piece, logprobs=[])
        for number, annotation in enumerate(part["annotations"]):
            yield self._event("output_text.annotation.added", **at, annotation_index=number, annotation=annotation)
        yield self._event("output_text.done", **at, text=text, logprobs=[])
        yield self._event("content_part.done", **at, part=part)
        yield self._event("output_item.done", output_index=0, item=self._message("completed", [part]))
        yield self._event("completed", response=self.whole("completed"))

    def _event(self, name: str, **fields: Any) -> str:
        kind = f"response.{name}"
        event = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return f"event: {kind}\ndata: {json.dumps(event)}\n\n"

    def _message(self, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self._item, "type": "message", "role": "assistant", "status": status, "content": content}

    def _part(self) -> dict[str, Any]:
        annotations = [{"type": "url_citation", **_place(citation)} for citation in self._said.citations]
        return {"type": "output_text", "text": self._said.text, "annotations": annotations, "logprobs": []}

    def _usage(self) -> dict[str, Any]:
        read, written = self._tokens
        return {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": written,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": read + written,
        }


def _place(citation: Citation) -> dict[str, Any]:
    return {
        "start_index": citation.start,
        "end_index": citation.end,
        "title": citation.title,
        "url": citation.url,
    }
