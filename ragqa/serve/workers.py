"""Several processes that answer requests on one socket, and the process that starts, watches and ends them."""

import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread
from typing import Any

from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import SIGNALS

from ragqa.errors import RagqaError
from ragqa.search.retriever import Retriever
from ragqa.serve.config import ServeConfig
from ragqa.serve.logs import LOGGER, log_as_json

_LOG = logging.getLogger(LOGGER)


@dataclass(frozen=True, slots=True)
class Worker:
    """What a new worker process calls to get its app. It can be pickled if `open_retriever` can."""

    open_retriever: Callable[[], Retriever]
    config: ServeConfig

    def __call__(self) -> Any:
        """Open the retriever and return its app. If that fails, log it and exit so that the supervisor stops."""
        from ragqa.serve.app import build_app

        log_as_json()
        Thread(target=_end_with_parent, daemon=True).start()
        try:
            return build_app(self.open_retriever(), self.config)
        except (RagqaError, OSError) as error:
            _LOG.error(str(error))  # one line, as on the command line
            sys.exit(STARTUP_FAILURE)


def _end_with_parent() -> None:
    """End this worker when its supervisor has been killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


class Supervisor(Multiprocess):
    """Starts the workers, and starts one again that has died."""

    _ended_by = 0

    def run_to_end(self) -> None:
        """Run until SIGINT or SIGTERM, and then raise this signal again for who handled it before.

        Raises `RagqaError` if a worker cannot start.
        """
        self.run()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if not self._ended_by:
            raise RagqaError("a worker did not start; its log is above")
        signal.raise_signal(self._ended_by)

    def __init__(self, *arguments: Any) -> None:
        self._before = {number: signal.getsignal(number) for number in SIGNALS}
        super().__init__(*arguments)

    def handle_int(self) -> None:
        """Note Ctrl-C."""
        self._ended_by = signal.SIGINT
        super().handle_int()

    def handle_term(self) -> None:
        """Note SIGTERM."""
        self._ended_by = signal.SIGTERM
        super().handle_term()
