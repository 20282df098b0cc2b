"""The command that serves an index to other programs: `serve`."""

import argparse
import os
from functools import partial

from ragqa.cli.options import Command, add_retriever, add_writer, open_retriever, real, whole

EXAMPLE = """ragqa serve --index index/
  RAGQA_API_KEYS=@keys.txt ragqa serve --index index/ --host 0.0.0.0 --workers 2
  curl http://127.0.0.1:8080/v1/rerank -H 'Content-Type: application/json' \\
    -d '{"query": "why does dropout help?", "documents": ["Dropout switches units off.", "Trees split."]}'"""


def add_commands(command: Command) -> None:
    """Add the command of this module to the command line."""
    command(
        "serve", _serve, "serve reranking, embeddings, search and answers to other programs over HTTP",
        EXAMPLE,
        _add_serve_options,
    )  # fmt: skip


def _add_serve_options(parser: argparse.ArgumentParser) -> None:
    from ragqa.serve.config import LOOPBACK, MOST_DOCUMENTS, MOST_REQUESTS, PORT, TIMEOUT_S

    add_retriever(parser)
    group = parser.add_argument_group("server")
    group.add_argument(
        "--host",
        default=LOOPBACK,
        help="address to listen on; addresses that other machines can reach need RAGQA_API_KEYS or --no-auth (default: "
        f"{LOOPBACK})",
    )
    group.add_argument(
        "--port", type=whole(0, 65535), default=PORT, help=f"port to listen on; 0 picks a free one (default: {PORT})"
    )
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
    group.add_argument(
        "--workers", type=whole(1), default=1, metavar="N", help="number of processes that answer (default: 1)"
    )
    group.add_argument(
        "--max-documents",
        type=whole(1),
        default=MOST_DOCUMENTS,
        metavar="N",
        help=f"most texts in one request (default: {MOST_DOCUMENTS})",
    )
    group.add_argument(
        "--max-requests",
        type=whole(1),
        default=MOST_REQUESTS,
        metavar="N",
        help="most requests that a worker answers or keeps waiting; it refuses more with status 429 "
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
    parser.epilog = (
        f"{parser.epilog}\n\nenvironment:\n  RAGQA_API_KEYS  API keys, separated by commas, or @FILE; every request needs "
        "one of them"
    )


def _serve(options: argparse.Namespace) -> None:
    from ragqa import serve

    config = serve.ServeConfig(  # all options are checked before anything is loaded
        host=options.host,
        port=options.port,
        keys=serve.read_keys(os.environ.get(serve.VARIABLE, "")),
        open_to_all=options.no_auth,
        names=tuple(options.allow_host),
        workers=options.workers,
        max_documents=options.max_documents,
        max_requests=options.max_requests,
        timeout_s=options.timeout,
        llm_base_url=options.llm_base_url,
        llm_model=options.llm_model,
    )
    serve.serve(partial(open_retriever, options, options.index), config)
