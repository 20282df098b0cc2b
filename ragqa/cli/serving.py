"""The commands that serve an index to other programs: `serve` and `mcp`."""

import argparse
import os
from functools import partial
from typing import TYPE_CHECKING, Any

from ragqa.cli.options import (
    Command,
    add_retriever,
    add_where,
    add_writer,
    check_met,
    check_sources,
    filter_of,
    open_retriever,
    open_writer_url,
    real,
    whole,
)
from ragqa.errors import InputError

if TYPE_CHECKING:
    from ragqa.index.filters import Filter
    from ragqa.search.retriever import Retriever

EXAMPLE = """ragqa serve --index index/
  RAGQA_API_KEYS=@keys.txt ragqa serve --index index/ --host 0.0.0.0 --workers 2
  curl http://127.0.0.1:8080/v1/rerank -H 'Content-Type: application/json' \\
    -d '{"query": "why does dropout help?", "documents": ["Dropout switches units off.", "Trees split."]}'"""

MCP_EXAMPLE = """ragqa mcp --http --port 8000
  claude mcp add ragqa -- ragqa mcp --index index/"""


def add_commands(command: Command) -> None:
    """Add the commands of this module to the command line."""
    command(
        "serve", _serve, "serve reranking, embeddings, search and answers to other programs over HTTP",
        EXAMPLE,
        _add_serve_options,
    )  # fmt: skip
    command(
        "mcp", _mcp, "serve search, answers and pages as tools for language models (MCP), over stdio or HTTP",
        MCP_EXAMPLE,
        _add_mcp_options,
    )  # fmt: skip


def _add_serve_options(parser: argparse.ArgumentParser) -> None:
    from ragqa.serve.access import LOOPBACK
    from ragqa.serve.config import MOST_DOCUMENTS, MOST_REQUESTS, PORT, TIMEOUT_S

    add_retriever(parser)
    add_where(parser)
    group = parser.add_argument_group("server")
    _add_access(group, LOOPBACK, PORT)
    group.add_argument(
        "--workers", type=whole(1), default=1, metavar="N", help="number of processes that answer (default: 1)"
    )
    group.add_argument(
        "--max-documents",
        type=whole(1),
        default=MOST_DOCUMENTS,
        metavar="N",
        help=f"maximum number of texts in one request (default: {MOST_DOCUMENTS})",
    )
    group.add_argument(
        "--max-requests",
        type=whole(1),
        default=MOST_REQUESTS,
        metavar="N",
        help="maximum number of requests that a worker answers or queues; it refuses more with status 429 "
        f"(default: {MOST_REQUESTS})",
    )
    group.add_argument(
        "--timeout",
        type=real(0),
        default=TIMEOUT_S,
        metavar="SECONDS",
        help=f"longest time to answer a request, in seconds (default: {TIMEOUT_S:g})",
    )
    add_writer(group)
    _add_environment(parser, "API keys, separated by commas, or @FILE; requests need one, except to /health and /ready")


def _add_access(group: Any, host: str, port: int) -> None:
    """Add the options that say where a server listens and who may use it. `options.host` and `options.port` default to None."""
    group.add_argument(
        "--host",
        help="address to listen on; addresses that other machines can reach need RAGQA_API_KEYS or --no-auth (default: "
        f"{host})",
    )
    group.add_argument("--port", type=whole(0, 65535), help=f"port to listen on; 0 picks a free one (default: {port})")
    group.add_argument(
        "--no-auth", action="store_true", help="let everyone who can reach the host use the server without a key"
    )
    group.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="another host name that requests may use, with --no-auth; may be repeated (localhost and --host are always "
        "allowed; with keys, names are not checked)",
    )


def _add_environment(parser: argparse.ArgumentParser, keys: str) -> None:
    parser.epilog = f"{parser.epilog}\n\nenvironment:\n  RAGQA_API_KEYS  {keys}"


def _access(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options of `_add_access` and the keys as the arguments of `Access`, without those that were not given."""
    from ragqa.serve import VARIABLE, read_keys

    placed = {name: getattr(options, name) for name in ("host", "port") if getattr(options, name) is not None}
    keys = read_keys(os.environ.get(VARIABLE, ""))
    return {**placed, "keys": keys, "open_to_all": options.no_auth, "names": tuple(options.allow_host)}


def _add_mcp_options(parser: argparse.ArgumentParser) -> None:
    from ragqa.serve.access import LOOPBACK
    from ragqa.serve.mcp import PORT

    add_retriever(parser)
    group = parser.add_argument_group("server")
    group.add_argument(
        "--http", action="store_true", help="serve over streamable HTTP (default: over stdin and stdout)"
    )
    _add_access(group, LOOPBACK, PORT)
    _add_environment(parser, "API keys of --http, separated by commas, or @FILE; every request needs one")


def _mcp(options: argparse.Namespace) -> None:
    from ragqa import serve

    if options.http:
        config = serve.McpConfig(**_access(options))
        serve.serve_http(partial(open_retriever, options, options.index), config)
        return
    if options.host or options.port is not None or options.no_auth or options.allow_host:
        raise InputError("--host, --port, --no-auth and --allow-host need --http")
    check_sources(options, options.index)  # before the client is told that the server runs
    serve.serve_stdio(partial(open_retriever, options, options.index))


def _serve(options: argparse.Namespace) -> None:
    from ragqa import serve

    settings = {  # all are checked before anything is loaded
        **_access(options),
        "workers": options.workers,
        "max_documents": options.max_documents,
        "max_requests": options.max_requests,
        "timeout_s": options.timeout,
        "llm_model": options.llm_model,
    }
    serve.ServeConfig(**settings)
    where = filter_of(options)
    with open_writer_url(options) as url:
        config = serve.ServeConfig(**settings, llm_base_url=url)
        serve.serve(partial(_open_filtered, options, where), config)


def _open_filtered(options: argparse.Namespace, where: "Filter | None") -> "Retriever":
    """Open the retriever of a server. Raises `InputError` if no passage meets the filter."""
    retriever = open_retriever(options, options.index, where=where)
    check_met(retriever)
    return retriever
