"""wikipedia-api at any MediaWiki: it knows only Wikipedia's addresses and takes errors for empty pages.

Requests go out one after the other, name who sends them and give way to a busy server (`maxlag`):
https://www.mediawiki.org/wiki/API:Etiquette
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from time import sleep
from typing import TYPE_CHECKING, Any

from ragqa.errors import CrawlError, InputError

if TYPE_CHECKING:
    import httpx

RETRY_WAITS_S = (1.0, 2.0, 4.0)  # longer where the server says so (Retry-After)
TIMEOUT_S = 30.0

_PARAMETERS = {  # of every request, over wikipedia-api's own: `Wikipedia.info` then brings text and revision too
    "prop": "extracts|info|revisions",
    "explaintext": 1,
    "exsectionformat": "wiki",
    "inprop": "url",
    "rvprop": "ids|timestamp",
    "maxlag": 5,
}
_TRANSIENT = re.compile("no connection|HTTP (429|5..)|maxlag|ratelimited|readonly|internal_api_error")


@contextmanager
def open_wiki(contact: str, lang: str, api_url: str | None) -> Iterator[Any]:
    """Open a `wikipediaapi.Wikipedia` whose `info` brings a page's text and revision too, in one request.

    `api_url` is the `api.php` of any MediaWiki with the TextExtracts extension, None that of Wikipedia in `lang`.
    Raises `InputError` if it is no URL; requests raise `CrawlError` for whatever is no answer, after three retries where
    that may help.
    """
    import wikipediaapi

    transport = _Transport(api_url or f"https://{lang}.wikipedia.org/w/api.php")
    agent = f"ragqa/{_version()} ({contact})"
    try:
        yield wikipediaapi.Wikipedia(agent, lang, extra_api_params=_PARAMETERS, timeout=TIMEOUT_S, transport=transport)
    finally:
        transport.close()


class _Transport:
    """The httpx transport below wikipedia-api, which knows only Wikipedia's addresses and takes errors for empty pages.

    Sends the requests to `api_url`, tries again where that may help, and raises `CrawlError` for whatever is no answer.
    It has the methods of `httpx.BaseTransport`, which it cannot inherit without importing httpx early.
    """

    def __init__(self, api_url: str) -> None:
        import httpx

        try:
            self._url = httpx.URL(api_url)
        except httpx.InvalidURL as error:
            raise InputError(f"api_url {api_url!r}: {error}") from error
        if self._url.scheme not in ("http", "https") or not self._url.host:
            raise InputError(f"api_url {api_url!r} is no URL such as https://en.wikipedia.org/w/api.php")
        self._http = httpx.HTTPTransport()

    def handle_request(self, request: "httpx.Request") -> "httpx.Response":
        import httpx

        request.url = self._url.copy_with(query=request.url.query)
        request.headers["Host"] = self._url.netloc.decode()
        for wait_s in (*RETRY_WAITS_S, None):
            retry_after = ""
            try:
                response = self._http.handle_request(request)
                response.read()
                trouble, retry_after = _trouble(response), response.headers.get("Retry-After", "")
            except httpx.RequestError as error:
                trouble = f"no connection: {error}"
            if not trouble:
                return response
            if wait_s is None or not _TRANSIENT.match(trouble):
                break
            sleep(max(wait_s, int(retry_after) if retry_after.isdecimal() else 0))
        raise CrawlError(f"{self._url}: {trouble}")

    def close(self) -> None:
        self._http.close()


def _trouble(response: "httpx.Response") -> str:
    """Why a response is not the answer to a query, or nothing."""
    if response.status_code == 403:
        return "HTTP 403, refused, perhaps for the contact in the User-Agent (--contact)"
    if response.status_code != 200:
        return f"HTTP {response.status_code}"
    try:
        reply = response.json()
    except ValueError:
        return "the answer is not JSON; is this the address of an api.php?"
    if isinstance(reply, dict) and isinstance(error := reply.get("error"), dict):
        return " ".join(f"{error.get('code')}: {error.get('info')}".split())
    if not isinstance(reply, dict) or not isinstance(reply.get("query"), dict):
        return "the answer is not a MediaWiki's; is this the address of an api.php?"
    return ""


def _version() -> str:
    try:
        return metadata.version("ragqa")
    except metadata.PackageNotFoundError:  # a checkout on PYTHONPATH
        return "0"
