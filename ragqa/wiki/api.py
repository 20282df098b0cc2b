"""wikipedia-api at any MediaWiki: it knows only Wikipedia's addresses and takes many an error for an empty page.

Requests name who sends them, keep their distance, and give way to a busy server (`maxlag`, `Retry-After`):
https://www.mediawiki.org/wiki/API:Etiquette
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

from ragqa.errors import CrawlError, InputError
from ragqa.wiki.connection import Connection
from ragqa.wiki.login import PASSWORD, log_in
from ragqa.wiki.namespaces import Namespaces, find_namespaces, fold

if TYPE_CHECKING:
    import httpx

RETRY_WAITS_S = (1.0, 2.0, 4.0)  # longer where the server says so (Retry-After)
MOST_IN_FLIGHT = 3  # https://foundation.wikimedia.org/wiki/Policy:Wikimedia_Foundation_API_Usage_Guidelines
LONGEST_WAIT_S = 120.0  # however long the server says
TIMEOUT_S = 30.0  # for anything to come
DEADLINE_S = 120.0  # for all to come
CACHED_S = 24 * 3600  # how long replies are taken from a cache

_PARAMETERS = {  # of every request, over wikipedia-api's own: `Wikipedia.info` then brings the whole page
    "prop": "extracts|info|revisions|redirects|pageprops",
    "explaintext": 1,
    "exsectionformat": "wiki",
    "inprop": "url",
    "rvprop": "ids|timestamp|content",
    "rvslots": "main",
    "rdprop": "title|fragment",
    "rdlimit": 500,
    "ppprop": "disambiguation",
    "maxlag": 5,
}
WRONG = (LookupError, TypeError, ValueError, AttributeError, RecursionError, OverflowError)  # what wrong JSON leads to
_GLANCE_S = 0.2  # after which it is looked whether the crawl has been stopped
_PASSING = ("maxlag", "ratelimited", "readonly", "internal_api_error")  # how the codes of errors begin that may pass
_HINTS = {  # by the codes of errors
    "readapidenied": " (is it a private wiki? log in with --user)",
    "assertuserfailed": " (the wiki has ended the session; run it again to resume)",
}
_TEXTLESS = frozenset({"missing", "invalid", "special", "interwiki", "iw"})  # what marks a page that has no text


class Watch:
    """How far a crawl has come, for another thread that shows it and may stop it. Stops by itself at `max_pages`, if given."""

    def __init__(self, max_pages: int | None = None) -> None:
        self.max_pages = max_pages
        self.requests = self.pages = 0  # sent; fetched
        self.reason = ""  # why it was stopped
        self.stopped = Event()

    def stop(self, reason: str) -> None:
        """End the crawl: requests that wait raise `CrawlError` at once. Only the first reason is kept."""
        self.reason = self.reason or reason
        self.stopped.set()

    def count_page(self) -> None:
        """Count a page that was fetched."""
        self.pages += 1
        if self.pages == self.max_pages:
            self.stop(f"it has fetched the most pages allowed ({self.pages:,})")


class Wiki:
    """A MediaWiki, asked by wikipedia-api (`pages`) or directly (`ask`); threads may share it."""

    pages: Any
    namespaces: frozenset[int]  # that pages are wanted from

    def __init__(self, transport: "_AnyWiki", uncached: "_AnyWiki", agent: str, stopped: Event) -> None:
        self._transport, self._uncached, self._agent, self._stopped = transport, uncached, agent, stopped
        self._always: dict[str, str | int] = {"format": "json", "maxlag": 5}

    def stop(self) -> None:
        """Let requests that wait end at once, with `CrawlError`."""
        self._stopped.set()

    def ask(self, **parameters: str | int) -> dict[str, Any]:
        """The wiki's reply to a query of these parameters. Raises `CrawlError` as all requests do."""
        return self._send({"action": "query", **self._always, **parameters}, self._transport)

    def log_in(self, user: str, password: str) -> None:
        """Log in, and let the wiki check with each request that we still are. Raises as `login.log_in` does."""

        def send(form: Mapping[str, str] | None = None, **parameters: str) -> dict[str, Any]:
            return self._send({"format": "json", **parameters}, self._uncached, form)

        with reading():
            log_in(send, user, password)
        self._always["assert"] = "user"

    def read_namespaces(self) -> Namespaces:
        """The wiki's namespaces. Raises `CrawlError` as all requests do."""
        with reading():
            query = self.ask(meta="siteinfo", siprop="namespaces|namespacealiases")["query"]
            told = [*query["namespaces"].values(), *query["namespacealiases"]]
            names: dict[int, set[str]] = {}
            for namespace in told:
                called = {fold(namespace[key]) for key in ("*", "canonical") if key in namespace}
                names.setdefault(int(namespace["id"]), set()).update(called)
        return names

    def open_pages(self, lang: str, namespaces: Iterable[str]) -> None:
        """Make `pages`, which knows what every request asks for."""
        import wikipediaapi

        self.namespaces = find_namespaces(namespaces, self.read_namespaces)
        redirects = {"rdnamespace": "|".join(map(str, sorted(self.namespaces)))}
        settings: Any = {"extra_api_params": {**_PARAMETERS, **redirects, **self._always}, "transport": self._transport}
        self.pages = wikipediaapi.Wikipedia(self._agent, lang, timeout=TIMEOUT_S, **settings)

    def _send(
        self, query: Mapping[str, str | int], transport: "_AnyWiki", form: Mapping[str, str] | None = None
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
    watch: Watch | None = None,
    *,
    user: str | None = None,
    password: str = "",
    namespaces: Iterable[str] = (),
) -> Iterator[Wiki]:
    """Open a wiki whose `pages.info` brings a page's text, revision, wikitext and redirects too, in one request.

    `api_url` is the `api.php` of any MediaWiki with the TextExtracts extension, None that of Wikipedia in `lang`; a user and
    password in it are sent as Basic authentication. `user` is logged in to the wiki. `namespaces`: numbers or names of those
    that pages are wanted from, articles if none is given. Each request waits until the one before is `delay_s` seconds old.
    Replies that answer are kept in the file `cache` for a day and taken from there. Raises `InputError` if `api_url` is no
    URL, a namespace is not the wiki's or `cache` is another file; requests raise `CrawlError` for whatever is no answer,
    after three retries where that may help.
    """
    url = _parse(api_url or f"https://{lang}.wikipedia.org/w/api.php")
    agent = f"ragqa/{_version()} ({contact})"
    with (
        closing(_Patient(url, longest_wait_s, delay_s, watch or Watch())) as patient,
        closing(_cached(patient, cache)) as answering,
    ):
        address = url.copy_with(userinfo=b"")
        wiki = Wiki(_AnyWiki(address, answering), _AnyWiki(address, patient), agent, patient.stopped)
        if user and not password:
            raise InputError(f"the password of {user} is missing: set {PASSWORD}")
        if user:
            wiki.log_in(user, password)
        wiki.open_pages(lang, namespaces)
        yield wiki


@contextmanager
def reading() -> Iterator[None]:
    """A block that reads a reply: what a wrong one leads to is raised as `CrawlError`."""
    try:
        yield
    except WRONG as error:
        raise CrawlError(f"half a reply ({error})") from error


def _parse(api_url: str) -> "httpx.URL":
    import httpx

    shown = api_url if "@" not in api_url else f"…@{api_url.rpartition('@')[2]}"  # a password may stand before it
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


def _cached(patient: "_Patient", cache: Path | None) -> Any:
    """A transport that asks only for what is not in the cache. It sees answers alone, so that no error is kept."""
    if cache is None:
        return patient
    import sqlite3

    from hishel import SqliteStorage
    from hishel.httpx import CacheTransport

    try:  # hishel itself would go on without
        cache.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(cache)) as database:
            database.execute("PRAGMA schema_version")
        storage = SqliteStorage(database_path=cache, default_ttl=CACHED_S)
        storage.get_entries("")
    except (sqlite3.Error, OSError, RuntimeError) as error:
        raise InputError(f"{cache} cannot be used as a cache: {error}") from error
    transport: Any = patient
    return CacheTransport(transport, storage)


class _AnyWiki:
    """The httpx transport below wikipedia-api, which knows only Wikipedia's addresses: it sends everything to `url`.

    The transports have the methods of `httpx.BaseTransport`, which they cannot inherit without importing httpx early.
    """

    def __init__(self, url: "httpx.URL", answering: Any) -> None:
        self._url, self._answering = url, answering

    def handle_request(self, request: "httpx.Request") -> "httpx.Response":
        request.url = self._url.copy_with(query=request.url.query)
        request.headers["Host"] = self._url.netloc.decode()
        answer: httpx.Response = self._answering.handle_request(request)
        return answer

    def close(self) -> None:
        """Nothing: `open_wiki` closes what it has opened."""


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Why something is not the answer to a request; `wait_s` is how long the server asks to wait."""

    reason: str
    passes: bool = True  # perhaps, when asked again
    wait_s: float = 0.0


class _Patient:
    """The httpx transport that tries again where that may help, and raises `CrawlError` for whatever is no answer."""

    def __init__(self, url: "httpx.URL", longest_wait_s: float, delay_s: float, watch: Watch) -> None:
        self._connection = Connection(url)
        self._longest_wait_s, self._delay_s = longest_wait_s, delay_s
        self._next = 0.0  # when the next request may go out
        self._lock = Lock()
        self._watch, self.stopped = watch, watch.stopped

    def handle_request(self, request: "httpx.Request") -> "httpx.Response":
        request.extensions = {**request.extensions, "timeout": dict.fromkeys(_PHASES, TIMEOUT_S)}
        for wait_s in RETRY_WAITS_S:
            answer = self._try(request)
            if not isinstance(answer, _Trouble):
                return answer
            if not answer.passes:
                break
            self._hold(min(max(wait_s, answer.wait_s), self._longest_wait_s))
        else:
            answer = self._try(request)
        if isinstance(answer, _Trouble):
            raise CrawlError(f"{request.url.copy_with(query=None)}: {answer.reason}")
        return answer

    def _try(self, request: "httpx.Request") -> "httpx.Response | _Trouble":
        import httpx

        self._wait()
        self._watch.requests += 1
        try:
            response = self._read(request)
        except httpx.DecodingError as error:
            return _Trouble(str(error))
        except httpx.RequestError as error:
            return _Trouble(f"no connection: {error or type(error).__name__}")
        try:
            return _find_trouble(request, response) or response
        except WRONG as error:
            return _Trouble(f"half a reply ({error})")

    def _wait(self) -> None:
        with self._lock:
            now = monotonic()
            mine = max(now, self._next)
            self._next = mine + self._delay_s
        if self.stopped.is_set() or (mine > now and _rest(self.stopped, mine - now)):
            raise CrawlError("stopped")

    def _hold(self, wait_s: float) -> None:
        """Let no thread ask for so long: a server that is busy for one is busy for all."""
        with self._lock:
            self._next = max(self._next, monotonic() + wait_s)

    def _read(self, request: "httpx.Request") -> "httpx.Response":
        """The whole response to a request, within the deadline: a time-out alone lets a server drip for ever."""
        import httpx

        deadline = monotonic() + DEADLINE_S
        read: SimpleQueue[httpx.Response | Exception] = SimpleQueue()
        Thread(target=self._receive, args=(request, read.put), daemon=True).start()
        while monotonic() < deadline and not self.stopped.is_set():
            with suppress(Empty):
                answer = read.get(timeout=_GLANCE_S)
                if isinstance(answer, Exception):
                    raise answer
                return answer
        raise httpx.ReadTimeout(f"the answer took more than {DEADLINE_S:.0f} seconds", request=request)

    def _receive(self, request: "httpx.Request", put: "Callable[[httpx.Response | Exception], None]") -> None:
        try:
            put(self._connection.send(request, DEADLINE_S))
        except Exception as error:  # told by the one who waits
            put(error)

    def close(self) -> None:
        self._connection.close()


def _rest(stopped: Event, seconds: float) -> bool:
    """Wait so long, or until it is stopped; whether it is."""
    return stopped.wait(seconds)


_PHASES = ("connect", "read", "write", "pool")  # what httpx has time-outs for


def _find_trouble(request: "httpx.Request", response: "httpx.Response") -> _Trouble | None:
    """Why a response is not the answer to a query, if it is not."""
    wait_s = _retry_after_s(response.headers.get("Retry-After", ""))
    status = response.status_code
    if reason := _reason_for_good(request, response):
        return _Trouble(f"HTTP {status}, {reason}", passes=False)
    if status != 200:
        return _Trouble(f"HTTP {status}", status == 429 or status >= 500, wait_s)
    try:
        reply = response.json()
    except ValueError:
        return _Trouble("the answer is not JSON; is this the address of an api.php?")
    if isinstance(reply, dict) and isinstance(error := reply.get("error"), dict):
        reason = " ".join(f"{error.get('code')}: {error.get('info')}".split())
        hint = next((hint for code, hint in _HINTS.items() if reason.startswith(code)), "")
        return _Trouble(reason + hint, reason.startswith(_PASSING), wait_s)
    action = request.url.params.get("action", "query")
    if not isinstance(reply, dict) or not isinstance(reply.get(action), dict):
        return _Trouble("the answer is not a MediaWiki's; is this the address of an api.php?")
    return _find_gap(request.url.params, reply["query"]) if action == "query" else None


def _reason_for_good(request: "httpx.Request", response: "httpx.Response") -> str:
    """Why asking again would not help, if the status says so."""
    if response.has_redirect_location:
        return f"it has moved to {_target(request, response)}; is that the --api-url?"
    return {
        401: "the server asks for a user and password (--api-url https://user:password@…)",
        403: "refused, perhaps for the contact in the User-Agent (--contact)",
    }.get(response.status_code, "")


def _target(request: "httpx.Request", response: "httpx.Response") -> str:
    """Where a response redirects to, without a query and a password."""
    import httpx

    try:
        return str(request.url.join(response.headers["Location"]).copy_with(query=None, fragment=None, userinfo=b""))
    except (httpx.InvalidURL, ValueError):
        return f"{response.headers['Location']!r:.80}"


def _find_gap(asked: "httpx.QueryParams", query: dict[str, Any]) -> _Trouble | None:
    """What a reply to such a question must hold and this one does not."""
    listed = asked.get("list")
    if listed and not isinstance(query.get(listed), list):
        return _Trouble(f"half a reply, without {listed}")
    if asked.keys().isdisjoint(("titles", "pageids")) or asked.get("continue") or "interwiki" in query:
        return None
    pages = query.get("pages")
    if pages is None and _goes_in_circles(query.get("redirects")):
        return None
    if not isinstance(pages, dict) or not pages or not all(isinstance(page, dict) for page in pages.values()):
        return _Trouble("half a reply, without pages")
    if "pageids" in asked and not pages.keys() >= set(asked["pageids"].split("|")):
        return _Trouble("half a reply, without some of the pages")
    flaws = [*(_page_flaw(page, asked.get("prop", "")) for page in pages.values()), _flaw_of_titles(asked, query)]
    return next((_Trouble(f"half a reply, {flaw}") for flaw in flaws if flaw), None)


def _flaw_of_titles(asked: "httpx.QueryParams", query: dict[str, Any]) -> str:
    """Whether pages are told of that the titles asked for do not lead to."""
    steps = [step for kind in ("normalized", "converted", "redirects") for step in query.get(kind, ())]
    if "titles" not in asked or any("fromencoded" in step for step in steps):
        return ""
    leads = {step["from"]: step["to"] for step in steps}
    ends = set(asked["titles"].split("|"))
    for _ in leads:
        ends = {leads.get(title, title) for title in ends}
    return "" if all(page["title"] in ends for page in query["pages"].values()) else "of another page"


def _goes_in_circles(redirects: Any) -> bool:
    """Whether redirects lead from one to the next and back; a wiki then tells of no page."""
    return bool(redirects) and {step["from"] for step in redirects} == {step["to"] for step in redirects}


def _page_flaw(page: dict[str, Any], wanted: str) -> str:
    if "missing" in page and "pageid" in page:  # asked for by its id, and so without a title
        return ""
    if "title" not in page or ("ns" not in page and "invalid" not in page):
        return "without a title"
    if not _TEXTLESS.isdisjoint(page):
        return ""
    if "extracts" in wanted and not isinstance(page.get("extract"), str):
        return "without text; the wiki needs the TextExtracts extension"
    revisions = page.get("revisions")
    if "revisions" in wanted and not (revisions and revisions[0].get("revid") == page.get("lastrevid")):
        return "with another revision than the last"
    return ""


def _retry_after_s(value: str) -> float:
    """The seconds that a `Retry-After` asks to wait, given as such or as a date; 0 if it says neither."""
    from datetime import datetime, timezone
    from email.utils import parsedate_to_datetime

    if value.isdecimal():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return 0.0
    return max(0.0, (date.replace(tzinfo=date.tzinfo or timezone.utc) - datetime.now(timezone.utc)).total_seconds())


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("ragqa")
    except metadata.PackageNotFoundError:  # a checkout on PYTHONPATH
        return "0"
