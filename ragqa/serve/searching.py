"""Questions in, hits and answers of the corpus out, in ragqa's own format: that of `ragqa ask --json`."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from ragqa.answers.answer import THRESHOLD, as_dict, hits_as_dicts
from ragqa.search.question import check_question
from ragqa.serve.service import Service
from ragqa.serve.work import Work

MOST_HITS = 100


class Search(BaseModel):
    """A question of at most 2,000 characters, and the number of hits."""

    question: str
    k: int = Field(10, ge=1, le=MOST_HITS)


class Ask(Search):
    """A search with a threshold: there is no answer if the best hit's probability is below it."""

    threshold: float = Field(THRESHOLD, ge=0, le=1)


def add_searching(router: APIRouter, service: Service, work: Work) -> None:
    """Add the endpoints that search the corpus."""
    retriever = service.retriever

    @router.post("/v1/search", summary="Find passages", tags=["corpus"])
    async def search(request: Search) -> dict[str, Any]:
        hits = await work.run(retriever.search, request.question, request.k)
        return {"question": check_question(request.question), "hits": hits_as_dicts(hits)}

    @router.post("/v1/ask", summary="Answer a question", tags=["corpus"])
    async def ask(request: Ask) -> dict[str, Any]:
        return as_dict(await work.run(lambda: retriever.ask(request.question, request.k, threshold=request.threshold)))
