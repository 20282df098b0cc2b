"""Where the server listens, who may use it, and how much a request may ask for."""

from dataclasses import dataclass

from ragqa.answers.written import Writer
from ragqa.errors import InputError, check_extra
from ragqa.models.reranker import Reranker
from ragqa.process import is_own_host
from ragqa.serve.keys import VARIABLE
from ragqa.serve.origin import read_names

PORT = 8080
LOOPBACK = "127.0.0.1"
MOST_DOCUMENTS = 1000
MOST_REQUESTS = 64
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """Where the server listens and who may use it.

    `port` None takes a free port. Other machines may use the server only with one of `keys`, or if it is `open_to_all`.
    Without keys it answers only to the loopback names, `host` and `names`. `workers` processes answer requests; each of them
    works on at most `max_requests` at once, for at most `timeout_s` seconds each. A request may hold `max_documents` texts.
    A language model on the server at `llm_base_url` writes the answers, if given; `llm_model` defaults to its first one.

    Raises `InputError` for values that contradict each other, `MissingExtraError` without the extra `serve` or, for a language
    model, `llm`, and `WriterError` for a language model that must not be used offline.
    """

    host: str = LOOPBACK
    port: int | None = PORT
    keys: tuple[str, ...] = ()
    open_to_all: bool = False
    names: tuple[str, ...] = ()
    workers: int = 1
    max_documents: int = MOST_DOCUMENTS
    max_requests: int = MOST_REQUESTS
    timeout_s: float = TIMEOUT_S
    llm_base_url: str | None = None
    llm_model: str | None = None

    def __post_init__(self) -> None:
        check_extra("the API server", "serve")
        if not (self.keys or self.open_to_all or (is_own_host(self.host) and not self.names)):
            raise InputError(
                f"other machines can reach the server on {self.names[0] if self.names else self.host}: "
                f"set {VARIABLE}, or give --no-auth to let everybody in"
            )
        if self.keys and self.open_to_all:
            raise InputError(f"give either {VARIABLE} or --no-auth, not both")
        read_names(self.host, self.names)
        for name in ("workers", "max_documents", "max_requests", "timeout_s"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0")
        self.writer()

    def writer(self, reranker: Reranker | None = None) -> Writer | None:
        """Return what writes answers, or None if they are quoted; `reranker` takes part in the check of sentences."""
        if self.llm_base_url is None:
            return None
        return Writer(self.llm_base_url, self.llm_model, reranker=reranker)
