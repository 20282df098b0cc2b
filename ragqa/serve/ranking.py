"""Rankings in the formats of Cohere (v2), Jina and vLLM, and Text Embeddings Inference (TEI).

A relevance is the sigmoid of the reranker's logit, between 0 and 1. The reranker's calibration is not used: it was fitted to
the scores of a search, which contain BM25 and the embedder's cosine besides the logit. `model` of a request may be any name,
since many clients send a fixed one.
"""

from collections.abc import Sequence
from typing import Any, Literal
from uuid import uuid4

from fastapi import APIRouter
from pydantic import BaseModel, Field

from ragqa.models.reranker import sigmoid
from ragqa.models.tokens import MAX_TOKENS
from ragqa.serve import token_counts
from ragqa.serve.limits import Refused
from ragqa.serve.service import Service, Span
from ragqa.serve.sizes import check_query, check_texts
from ragqa.serve.work import Work

SPAN_THRESHOLD = 0.1  # Cohere's default


class RelevantSpans(BaseModel):
    """Options for relevant sentences: only those with a score above `threshold`, at most `max_spans` for each document."""

    mode: Literal["enabled", "disabled"]
    threshold: float | None = None
    max_spans: int | None = Field(None, ge=1)


class CohereRerank(BaseModel):
    """A request of Cohere's API. Documents are cut after `max_tokens_per_doc` tokens; the model reads at most 512."""

    model: str = ""
    query: str
    documents: list[str] = Field(min_length=1)
    top_n: int | None = Field(None, ge=1)
    max_tokens_per_doc: int | None = Field(None, ge=1)
    relevant_spans: RelevantSpans | None = None


class Document(BaseModel):
    """A document as an object."""

    text: str


class JinaRerank(BaseModel):
    """A request of Jina's API, which vLLM and others speak too. `top_n` 0 or null returns all results."""

    model: str = ""
    query: str
    documents: list[str | Document] = Field(min_length=1)
    top_n: int | None = Field(None, ge=0)
    return_documents: bool | None = True


class TeiRerank(BaseModel):
    """A request of TEI. Without `truncate` texts that are too long are cut; with `truncate` false they are an error."""

    query: str
    texts: list[str] = Field(min_length=1)
    raw_scores: bool = False
    return_text: bool = False
    truncate: bool | None = None
    truncation_direction: Literal["Left", "Right", "left", "right"] = "Right"


def add_ranking(router: APIRouter, service: Service, work: Work, most: int) -> None:
    """Add the endpoints that rank; a request may hold `most` documents."""

    @router.post("/v2/rerank", summary="Rank documents (Cohere)", tags=["rerank"])
    async def rerank_cohere(request: CohereRerank) -> dict[str, Any]:
        check_query(request.query)
        check_texts("documents", request.documents, most)
        return await work.run(_answer_cohere, service, request)

    @router.post("/v1/rerank", summary="Rank documents (Jina, vLLM)", tags=["rerank"])
    async def rerank_jina(request: JinaRerank) -> dict[str, Any]:
        check_query(request.query)
        check_texts("documents", _texts_of(request), most)
        return await work.run(_answer_jina, service, request)

    @router.post("/rerank", summary="Rank texts (TEI); with `documents`, as /v1/rerank", tags=["rerank"])
    async def rerank_tei(request: TeiRerank | JinaRerank) -> Any:
        if isinstance(request, JinaRerank):
            return await rerank_jina(request)
        check_query(request.query)
        check_texts("texts", request.texts, most)
        if request.truncation_direction.lower() == "left":
            raise Refused(422, "truncation_direction Left is not supported; texts are cut at their end.")
        return await work.run(_answer_tei, service, request)


def _answer_cohere(service: Service, request: CohereRerank) -> dict[str, Any]:
    texts = request.documents
    if request.max_tokens_per_doc is not None:
        texts = token_counts.cut(texts, request.max_tokens_per_doc)
    order = _order(service, request.query, texts)[: request.top_n]
    results: list[dict[str, Any]] = [{"index": index, "relevance_score": sigmoid(logit)} for index, logit in order]
    wanted = request.relevant_spans
    if wanted is not None and wanted.mode == "enabled":
        spans = service.spans(request.query, [texts[index] for index, _ in order])
        for result, own in zip(results, spans, strict=True):
            if relevant := _relevant(own, wanted):
                result["relevant_spans"] = relevant
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 0}}
    return {"id": str(uuid4()), "results": results, "meta": meta}


def _relevant(spans: Sequence[Span], wanted: RelevantSpans) -> list[dict[str, Any]]:
    least = SPAN_THRESHOLD if wanted.threshold is None else wanted.threshold
    return [span._asdict() for span in spans if span.score > least][: wanted.max_spans]


def _answer_jina(service: Service, request: JinaRerank) -> dict[str, Any]:
    texts = _texts_of(request)
    results: list[dict[str, Any]] = []
    for index, logit in _order(service, request.query, texts)[: request.top_n or None]:
        result: dict[str, Any] = {"index": index, "relevance_score": sigmoid(logit)}
        if request.return_documents is not False:
            result["document"] = {"text": texts[index]}
        results.append(result)
    tokens = token_counts.count([request.query, *texts])
    usage = {"total_tokens": tokens, "prompt_tokens": tokens}
    return {"id": str(uuid4()), "model": _name(service), "usage": usage, "results": results}


def _answer_tei(service: Service, request: TeiRerank) -> list[dict[str, Any]]:
    if request.truncate is False and (cut := token_counts.too_long(request.query, request.texts)):
        raise Refused(
            413, f"texts[{cut[0]}] and the query have more than {MAX_TOKENS} tokens; shorten it or set truncate."
        )
    results: list[dict[str, Any]] = []
    for index, logit in _order(service, request.query, request.texts):
        result: dict[str, Any] = {"index": index, "score": logit if request.raw_scores else sigmoid(logit)}
        if request.return_text:
            result["text"] = request.texts[index]
        results.append(result)
    return results


def _order(service: Service, query: str, texts: Sequence[str]) -> list[tuple[int, float]]:
    """Return position and logit of each text, best first, ties in input order."""
    logits: list[float] = service.rank(query, texts).tolist()
    return sorted(enumerate(logits), key=lambda item: -item[1])


def _texts_of(request: JinaRerank) -> list[str]:
    return [document if isinstance(document, str) else document.text for document in request.documents]


def _name(service: Service) -> str:
    return "" if service.reranker is None else service.reranker.name
