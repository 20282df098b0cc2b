"""Errors in the format of the API that a request speaks."""

import math
from typing import Any

from starlette.responses import JSONResponse

from ragqa.serve.limits import Refused

MCP_PATH = "/mcp"
_INVALID_REQUEST = -32600  # JSON-RPC
_TEI_TYPES = {413: "Validation", 422: "Validation", 429: "Overloaded"}
_OPENAI_TYPES = {401: "authentication_error", 429: "rate_limit_error"}


def error_body(path: str, status: int, message: str) -> dict[str, Any]:
    """Return the body of an error at a path: of Cohere, Jina, TEI, MCP, or for all other paths OpenAI."""
    if path == "/v2/rerank":
        return {"message": message}
    if path == MCP_PATH:
        return {"jsonrpc": "2.0", "id": None, "error": {"code": _INVALID_REQUEST, "message": message}}
    if path == "/v1/rerank":  # Jina's clients read `detail`, Cohere's first client `message`
        return {"detail": message, "message": message}
    if path in ("/rerank", "/embed"):
        return {"error": message, "error_type": _TEI_TYPES.get(status, "Backend"), "detail": message}
    kind = _OPENAI_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def error_response(path: str, status: int, message: str, retry_after_s: float = 0.0) -> JSONResponse:
    """Return the response for an error; its message is put on one line."""
    headers = {"Retry-After": str(math.ceil(retry_after_s))} if retry_after_s else None
    if status == 401:
        headers = {"WWW-Authenticate": "Bearer"}
    return JSONResponse(error_body(path, status, " ".join(message.split())), status, headers)


def refusal(path: str, refused: Refused) -> JSONResponse:
    """Return the response for a request that is refused."""
    return error_response(path, refused.status, refused.reason, refused.retry_after_s)
