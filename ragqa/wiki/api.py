"""The API of any MediaWiki, through wikipedia-api, which by itself knows only Wikipedia and takes errors for empty pages.

Requests name their sender, keep a distance, and give way to a busy server (`maxlag`, `Retry-After`):
https://www.mediawiki.org/wiki/API:Etiquette
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from ragqa.errors import InputError
from ragqa.wiki.login import PASSWORD, log_in
from ragqa.wiki.monitor import Monitor
from ragqa.wiki.namespaces import Namespaces, find_namespaces, fold
from ragqa.wiki.replies import reading
from ragqa.wiki.retries import TIMEOUT_S, RetryingTransport

if TYPE_CHECKING:
    import httpx

MOST_IN_FLIGHT = 3  # https://foundation.wikimedia.org/wiki/Policy:Wikimedia_Foundation_API_Usage_Guidelines
LONGEST_WAIT_S = 120.0  # default, even if the server asks for more
CACHED_S = 24 * 3600  # how long cached replies are used

_PARAMETERS = {  # added to every request of wikipedia-api, so that `Wikipedia.info` brings the whole page
    "prop": "extracts|info|revisions|redirects|categories|pageprops",
    "explaintext": 1,
    "exsectionformat": "wiki",
    "inprop": "url",
    "rvprop": "ids|timestamp|content",
    "rvslots": "main",
    "rdprop": "title|fragment",
    "rdlimit": 500,
    "clshow": "!hidden",
    "cllimit": 500,
    "ppprop": "disambiguation",
    "maxlag": 5,
}


class Wiki:
    """A MediaWiki that is queried through wikipedia-api (`pages`) or directly (`ask`). Threads may share it."""

    pages: Any
    namespaces: frozenset[int]  # of the pages to fetch

    def __init__(self, transport: "_UrlTransport", uncached: "_UrlTransport", agent: str, stopped: Event) -> None:
        self._transport, self._uncached, self._agent, self._stopped = transport, uncached, agent, stopped
        self._always: dict[str, str | int] = {"format": "json", "maxlag": 5}

    def stop(self) -> None:
        """End waiting requests at once, with `CrawlError`."""
        self._stopped.set()

    def ask(self, **parameters: str | int) -> dict[str, Any]:
        """Return the wiki's reply to a query with these parameters. Raises `CrawlError` if there is no answer."""
        return self._send({"action": "query", **self._always, **parameters}, self._transport)

    def log_in(self, user: str, password: str) -> None:
        """Log in, and let the wiki check at each request that the session lasts. Raises as `login.log_in` does."""

        def send(form: Mapping[str, str] | None = None, **parameters: str) -> dict[str, Any]:
            return self._send({"format": "json", **parameters}, self._uncached, form)

        with reading():
            log_in(send, user, password)
        self._always["assert"] = "user"

    def read_namespaces(self) -> Namespaces:
        """Return the wiki's namespaces. Raises `CrawlError` if there is no answer."""
        with reading():
            query = self.ask(meta="siteinfo", siprop="namespaces|namespacealiases")["query"]
            names: dict[int, set[str]] = {}
            for namespace in [*query["namespaces"].values(), *query["namespacealiases"]]:
                called = {fold(namespace[key]) for key in ("*", "canonical") if key in namespace}
                names.setdefault(int(namespace["id"]), set()).update(called)
        return names

    def open_pages(self, lang: str, namespaces: Iterable[str]) -> None:
        """Set `namespaces`, and `pages` with the parameters that every request needs."""
        import wikipediaapi

        self.namespaces = find_namespaces(namespaces, self.read_namespaces)
        redirects = {"rdnamespace": "|".join(map(str, sorted(self.namespaces)))}
        settings: Any = {"extra_api_params": {**_PARAMETERS, **redirects, **self._always}, "transport": self._transport}
        self.pages = wikipediaapi.Wikipedia(self._agent, lang, timeout=TIMEOUT_S, **settings)

    def _send(
        self, query: Mapping[str, str | int], transport: "_UrlTransport", form: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        import httpx

        headers = {"User-Agent": f"{self._agent} httpx/{httpx.__version__}"}
        method = "POST" if form else "GET"
        request = httpx.Request(
            method, "https://wiki", params={**query}, data={**form} if form else None, headers=headers
        )
        response = transport.handle_request(request)
        response.read()
        reply: dict[str, Any] = response.json()
        return reply


@contextmanager
def open_wiki(
    contact: str,
    lang: str,
    api_url: str | None,
    longest_wait_s: float = LONGEST_WAIT_S,
    delay_s: float = 0.0,
    cache: Path | None = None,
    watch: Monitor | None = None,
    *,
    user: str | None = None,
    password: str = "",
    namespaces: Iterable[str] = (),
) -> Iterator[Wiki]:
    """Open a wiki whose `pages.info` brings text, revision, wikitext, redirects and categories of a page in one request.

    `api_url` is the `api.php` of any MediaWiki with the TextExtracts extension, or None for Wikipedia in `lang`. A user and
    password in the URL are sent as Basic authentication; `user` is logged in to the wiki. `namespaces` are numbers or names
    (default: articles). Each request waits until the one before is `delay_s` seconds old. Answers are stored in the file
    `cache` and taken from there for a day.

    Raises `InputError` if `api_url` is no URL, a namespace does not exist or `cache` is another file. Requests raise
    `CrawlError` if there is no answer, after three retries where these may help.
    """
    url = _parse(api_url or f"https://{lang}.wikipedia.org/w/api.php")
    agent = f"ragqa/{_version()} ({contact})"
    with (
        closing(RetryingTransport(url, longest_wait_s, delay_s, watch or Monitor())) as retrying,
        closing(_cached(retrying, cache)) as answering,
    ):
        address = url.copy_with(userinfo=b"")
        wiki = Wiki(_UrlTransport(address, answering), _UrlTransport(address, retrying), agent, retrying.stopped)
        if user and not password:
            raise InputError(f"the password of {user} is missing: set {PASSWORD}")
        if user:
            wiki.log_in(user, password)
        wiki.open_pages(lang, namespaces)
        yield wiki


def _parse(api_url: str) -> "httpx.URL":
    import httpx

    shown = api_url if "@" not in api_url else f"…@{api_url.rpartition('@')[2]}"  # without a password
    reason: object = "in a user or password, write %40 for @, %2F for /, %3A for :, %23 for #"
    try:
        url = httpx.URL(api_url)
        is_clear = "@" not in f"{url.path}?{url.query.decode()}#{url.fragment}"
    except (httpx.InvalidURL, ValueError) as error:
        is_clear, reason = False, error if shown == api_url else reason
    if not is_clear:
        raise InputError(f"api_url {shown!r}: {reason}")
    if url.scheme not in ("http", "https") or not url.host:
        raise InputError(f"api_url {shown!r} is no URL such as https://en.wikipedia.org/w/api.php")
    return url


def _cached(retrying: RetryingTransport, cache: Path | None) -> Any:
    """Return a transport that sends only requests that the cache cannot answer. It never stores errors."""
    if cache is None:
        return retrying
    import sqlite3

    from hishel import SqliteStorage
    from hishel.httpx import CacheTransport

    try:  # hishel itself would go on without a cache
        cache.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(cache)) as database:
            database.execute("PRAGMA schema_version")
        storage = SqliteStorage(database_path=cache, default_ttl=CACHED_S)
        storage.get_entries("")
    except (sqlite3.Error, OSError, RuntimeError) as error:
        raise InputError(f"{cache} cannot be used as a cache: {error}") from error
    transport: Any = retrying
    return CacheTransport(transport, storage)


class _UrlTransport:
    """The httpx transport below wikipedia-api, which knows only Wikipedia's addresses: it sends all requests to `url`."""

    def __init__(self, url: "httpx.URL", answering: Any) -> None:
        self._url, self._answering = url, answering

    def handle_request(self, request: "httpx.Request") -> "httpx.Response":
        request.url = self._url.copy_with(query=request.url.query)
        request.headers["Host"] = self._url.netloc.decode()
        answer: httpx.Response = self._answering.handle_request(request)
        return answer

    def close(self) -> None:
        """Do nothing: `open_wiki` closes what it has opened."""


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("ragqa")
    except metadata.PackageNotFoundError:  # a checkout on PYTHONPATH
        return "0"
