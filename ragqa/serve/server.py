"""The server: one process, or several workers that share one socket and one index, until Ctrl-C or SIGTERM."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ragqa.search.retriever import Retriever
from ragqa.serve.access import Access
from ragqa.serve.config import ServeConfig
from ragqa.serve.logs import log_as_json
from ragqa.serve.sockets import address_of, bind

if TYPE_CHECKING:
    import socket

    import uvicorn

STOP_S = 30  # for requests that are being answered
ANSWER_S = 20  # for a worker to answer its supervisor


def serve(open_retriever: Callable[[], Retriever], config: ServeConfig | None = None) -> None:
    """Serve a retriever until Ctrl-C or SIGTERM; print one line with the address. By default only this machine can reach it.

    With several workers `open_retriever` must be picklable, and each worker calls it. Raises `InputError` if the server cannot
    listen on the host and port, and what `open_retriever` raises.
    """
    config = config or ServeConfig()
    listener = bind(config.host, config.port)
    try:
        log_as_json()
        run = _run_alone if config.workers == 1 else _run_workers
        run(open_retriever, config, listener)
    except KeyboardInterrupt:
        pass
    finally:
        listener.close()


def _run_alone(open_retriever: Callable[[], Retriever], config: ServeConfig, listener: "socket.socket") -> None:
    import uvicorn

    from ragqa.serve.app import build_app

    app = build_app(open_retriever(), config)
    _announce(config, listener)
    uvicorn.Server(uvicorn_config(app, config, workers=1)).run([listener])


def _run_workers(open_retriever: Callable[[], Retriever], config: ServeConfig, listener: "socket.socket") -> None:
    """Open the retriever once here, which reports errors and fills the caches, and then in every worker."""
    from ragqa.serve.metrics import shared_numbers
    from ragqa.serve.workers import Supervisor, Worker

    open_retriever()
    _announce(config, listener)
    with shared_numbers():
        worker = Worker(open_retriever, config)
        Supervisor(uvicorn_config(worker, config, workers=config.workers, factory=True), [listener]).run_to_end()


def _announce(config: ServeConfig, listener: "socket.socket") -> None:
    print(f"ragqa serve on {address_of(config.host, listener)} (Ctrl-C ends it)", flush=True)


def uvicorn_config(app: Any, access: Access, **options: Any) -> "uvicorn.Config":
    """Return the settings of the HTTP server that serves an ASGI app."""
    import uvicorn

    from ragqa.serve.connections import TimedProtocol

    return uvicorn.Config(
        app,
        http=TimedProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(access.names or access.keys),
        timeout_graceful_shutdown=STOP_S,
        timeout_worker_healthcheck=ANSWER_S,
        **options,
    )
