"""A retriever in, the whole API out, as a FastAPI app behind the checks of `entry`."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from ragqa.errors import InputError, RagqaError, WriterError
from ragqa.search.retriever import Retriever
from ragqa.serve.config import ServeConfig
from ragqa.serve.embedding import add_embedding
from ragqa.serve.entry import REQUEST_ID, Entry
from ragqa.serve.limits import Refused
from ragqa.serve.metrics import Metrics
from ragqa.serve.ranking import add_ranking
from ragqa.serve.searching import add_searching
from ragqa.serve.service import Service, open_service
from ragqa.serve.shapes import error_response, refusal
from ragqa.serve.talking import add_talking
from ragqa.serve.work import Work

API_VERSION = "1"
DESCRIPTION = "Rank texts, embed texts, and answer questions from a corpus, in formats that other programs speak."


def build_app(retriever: Retriever, config: ServeConfig) -> Entry:
    """Return the ASGI app that serves a retriever."""
    metrics = Metrics()
    service = open_service(retriever, metrics.observe_run)
    work = Work(config.max_requests, config.timeout_s)
    app = FastAPI(
        title="ragqa",
        version=API_VERSION,
        description=DESCRIPTION,
        docs_url=None,  # these pages load scripts from another host
        redoc_url=None,
        lifespan=_lifespan(service, work, metrics),
    )
    router = APIRouter()
    add_ranking(router, service, work, config.max_documents)
    add_embedding(router, service, work, config.max_documents)
    add_searching(router, service, work)
    add_talking(router, service, work, config.writer())
    _add_models(router, service)
    _add_health(router, work, metrics)
    app.include_router(router)
    _add_errors(app)
    return Entry(app, config, metrics, app.openapi()["paths"])


def _lifespan(service: Service, work: Work, metrics: Metrics) -> Any:
    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[None]:
        yield
        work.close()
        service.close()
        metrics.close()

    return run


def _add_models(router: APIRouter, service: Service) -> None:
    started = int(time.time())
    known = {
        name: {"id": name, "object": "model", "created": started, "owned_by": "ragqa"} for name in service.models()
    }

    @router.get("/v1/models", summary="List the models (OpenAI)", tags=["models"])
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": list(known.values())}

    @router.get("/v1/models/{name:path}", summary="Describe a model (OpenAI)", tags=["models"])
    async def model(name: str) -> dict[str, Any]:
        if name not in known:
            raise Refused(404, f"There is no model {name!r:.80}; there are: {', '.join(known)}.")
        return known[name]


def _add_health(router: APIRouter, work: Work, metrics: Metrics) -> None:
    @router.get("/health", summary="Whether the server runs", tags=["server"])
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/ready", summary="Whether the server takes another request", tags=["server"])
    async def ready() -> Response:
        status = "busy" if work.is_full else "ready"
        return JSONResponse({"status": status}, 503 if work.is_full else 200)

    @router.get("/metrics", summary="Numbers for Prometheus", tags=["server"], response_class=PlainTextResponse)
    def numbers() -> Response:
        return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST)


def _add_errors(app: FastAPI) -> None:
    """Answer every error in the format of its API, in one line."""

    async def refused(request: Request, error: Any) -> Response:
        return refusal(_path(request), error)

    async def invalid(request: Request, error: Any) -> Response:
        return error_response(_path(request), 422, _first_flaw(error))

    async def failed(request: Request, error: Any) -> Response:
        return error_response(_path(request), _status(error), str(error))

    async def not_found(request: Request, error: Any) -> Response:
        return error_response(_path(request), error.status_code, f"{request.method} {_path(request)}: {error.detail}.")

    async def crashed(request: Request, error: Any) -> Response:  # `entry` logs the error
        message = f"The server failed; its log has more about request {request.scope[REQUEST_ID]}."
        return error_response(_path(request), 500, message)

    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(RagqaError, failed)
    app.add_exception_handler(HTTPException, not_found)
    app.add_exception_handler(Exception, crashed)


def _path(request: Request) -> str:
    return request.url.path.rstrip("/") or "/"


def _status(error: RagqaError) -> int:
    if isinstance(error, InputError):
        return 422
    return 502 if isinstance(error, WriterError) else 500


def _first_flaw(error: RequestValidationError) -> str:
    """Return where the first flaw of a request is, and what it is."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    return f"{place}: {first['msg']}" if place else str(first["msg"])
