"""The settings of the API server: where it listens, who may use it, and how much a request may ask for."""

from dataclasses import dataclass

from ragqa.answers.written import Writer
from ragqa.errors import InputError, check_extra
from ragqa.serve.access import Access

PORT = 8080
MOST_DOCUMENTS = 1000
MOST_REQUESTS = 64
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class ServeConfig(Access):
    """Where the API server listens, who may use it, and how much it does at once.

    `workers` processes answer requests; each of them works on at most `max_requests` at once, for at most `timeout_s` seconds
    each. A request may hold `max_documents` texts. A language model on the server at `llm_base_url` writes the answers, if
    given; `llm_model` defaults to its first one.

    Raises `InputError` for values that contradict each other, `MissingExtraError` without the extra `serve` or, for a language
    model, `llm`, and `WriterError` for a language model that must not be used offline.
    """

    port: int | None = PORT
    workers: int = 1
    max_documents: int = MOST_DOCUMENTS
    max_requests: int = MOST_REQUESTS
    timeout_s: float = TIMEOUT_S
    llm_base_url: str | None = None
    llm_model: str | None = None

    def __post_init__(self) -> None:
        check_extra("the API server", "serve")
        Access.__post_init__(self)  # `super()` does not work with slots
        for name in ("workers", "max_documents", "max_requests", "timeout_s"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0")
        self.writer()

    def writer(self) -> Writer | None:
        """Return what writes answers, or None if they are quoted."""
        if self.llm_base_url is None:
            return None
        limit = self.timeout_s  # it need not outlive the request
        return Writer(self.llm_base_url, self.llm_model, timeout_s=limit, whole_s=limit)
