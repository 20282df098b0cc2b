"""Vectors in the formats of OpenAI and of Text Embeddings Inference (TEI)."""

import base64
from typing import TYPE_CHECKING, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel

from ragqa.serve import token_counts
from ragqa.serve.limits import Refused
from ragqa.serve.service import Service
from ragqa.serve.sizes import check_texts
from ragqa.serve.work import Work

if TYPE_CHECKING:
    import numpy as np


class OpenAiEmbeddings(BaseModel):
    """A request of OpenAI's API. Only texts can be embedded, and vectors have the length that the model gives."""

    model: str = ""
    input: str | list[str] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: int | None = None


class TeiEmbed(BaseModel):
    """A request of TEI. Vectors are unit vectors; texts that are too long are cut."""

    inputs: str | list[str]
    normalize: bool | None = True
    truncate: bool | None = None


def add_embedding(router: APIRouter, service: Service, work: Work, most: int) -> None:
    """Add the endpoints that embed; a request may hold `most` texts."""

    @router.post("/v1/embeddings", summary="Embed texts (OpenAI)", tags=["embeddings"])
    async def embed_openai(request: OpenAiEmbeddings) -> dict[str, Any]:
        return await work.run(_answer_openai, service, request, _texts_of(request.input, "input", most))

    @router.post("/embed", summary="Embed texts (TEI)", tags=["embeddings"])
    async def embed_tei(request: TeiEmbed) -> list[list[float]]:
        if request.normalize is False:
            raise Refused(422, "normalize false is not supported; the model gives unit vectors.")
        texts = _texts_of(request.inputs, "inputs", most)
        return await work.run(lambda: service.embed(texts).tolist())


def _texts_of(given: Any, name: str, most: int) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not texts:
        raise Refused(422, f"{name} is empty.")
    if not all(isinstance(text, str) for text in texts):
        raise Refused(
            422,
            f"{name} holds token ids; send texts (in LangChain: OpenAIEmbeddings(check_embedding_ctx_length=False)).",
        )
    check_texts(name, texts, most)
    return list(texts)


def _answer_openai(service: Service, request: OpenAiEmbeddings, texts: list[str]) -> dict[str, Any]:
    vectors = service.embed(texts)
    if request.dimensions not in (None, vectors.shape[1]):
        raise Refused(
            422, f"dimensions is {request.dimensions}; the model gives vectors of {vectors.shape[1]} numbers."
        )
    encode = _as_base64 if request.encoding_format == "base64" else _as_list
    data = [
        {"object": "embedding", "index": index, "embedding": encode(vector)} for index, vector in enumerate(vectors)
    ]
    tokens = token_counts.count(texts)
    return {
        "object": "list",
        "data": data,
        "model": service.embedder_name,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _as_base64(vector: "np.ndarray") -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def _as_list(vector: "np.ndarray") -> list[float]:
    numbers: list[float] = vector.tolist()
    return numbers
