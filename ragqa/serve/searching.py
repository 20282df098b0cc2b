"""Questions in, hits and answers of the corpus out, in ragqa's own format: that of `ragqa ask --json`."""

from functools import partial
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from ragqa.answers.answer import THRESHOLD, as_dict, hits_as_dicts
from ragqa.index.filters import Scalar
from ragqa.search.question import check_question
from ragqa.serve.service import Service
from ragqa.serve.work import Work

MOST_HITS = 100


class Search(BaseModel):
    """A question of at most 2,000 characters, the number of hits, and a filter, such as `{"year>=": 2024}`."""

    question: str
    k: int = Field(10, ge=1, le=MOST_HITS)
    where: dict[str, Scalar | list[Scalar]] | None = None


class Ask(Search):
    """A search with a threshold: there is no answer if the best hit's probability is below it."""

    threshold: float = Field(THRESHOLD, ge=0, le=1)


def add_searching(router: APIRouter, service: Service, work: Work) -> None:
    """Add the endpoints that search the corpus."""
    retriever = service.retriever

    @router.post("/v1/search", summary="Find passages", tags=["corpus"])
    async def search(request: Search) -> dict[str, Any]:
        hits = await work.run(partial(retriever.search, where=request.where), request.question, request.k)
        return {"question": check_question(request.question), "hits": hits_as_dicts(hits)}

    @router.post("/v1/ask", summary="Answer a question", tags=["corpus"])
    async def ask(request: Ask) -> dict[str, Any]:
        asked = partial(retriever.ask, threshold=request.threshold, where=request.where)
        return as_dict(await work.run(asked, request.question, request.k))
