"""Checks whether a response of a wiki's server answers the request, and whether it helps to send the request again."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ragqa.errors import CrawlError

if TYPE_CHECKING:
    import httpx

WRONG = (LookupError, TypeError, ValueError, AttributeError, RecursionError, OverflowError)  # raised on unexpected JSON
_TEMPORARY = ("maxlag", "ratelimited", "readonly", "internal_api_error")  # prefixes of error codes that may pass
_HINTS = {  # by error code
    "readapidenied": " (is it a private wiki? log in with --user)",
    "assertuserfailed": " (the wiki has ended the session; run it again to resume)",
}
_TEXTLESS = frozenset({"missing", "invalid", "special", "interwiki", "iw"})  # keys of a page that has no text


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a response is no answer to its request; `wait_s` is how long the server asks to wait."""

    reason: str
    may_pass: bool = True  # if the request is sent again
    wait_s: float = 0.0


@contextmanager
def reading() -> Iterator[None]:
    """Raise `CrawlError` for the exceptions that a malformed reply causes in this block."""
    try:
        yield
    except WRONG as error:
        raise CrawlError(f"incomplete reply ({error})") from error


def find_trouble(request: "httpx.Request", response: "httpx.Response") -> Trouble | None:
    """Return why a response is no answer to the request, or None if it is one. May raise `WRONG`."""
    wait_s = _retry_after_s(response.headers.get("Retry-After", ""))
    status = response.status_code
    if reason := _permanent_reason(request, response):
        return Trouble(f"HTTP {status}, {reason}", may_pass=False)
    if status != 200:
        return Trouble(f"HTTP {status}", status == 429 or status >= 500, wait_s)
    try:
        reply = response.json()
    except ValueError:
        return Trouble("the answer is not JSON; is this the address of an api.php?")
    if isinstance(reply, dict) and isinstance(error := reply.get("error"), dict):
        reason = " ".join(f"{error.get('code')}: {error.get('info')}".split())
        hint = next((hint for code, hint in _HINTS.items() if reason.startswith(code)), "")
        return Trouble(reason + hint, reason.startswith(_TEMPORARY), wait_s)
    action = request.url.params.get("action", "query")
    if not isinstance(reply, dict) or not isinstance(reply.get(action), dict):
        return Trouble("the answer is not a MediaWiki's; is this the address of an api.php?")
    return _find_gap(request.url.params, reply["query"]) if action == "query" else None


def _permanent_reason(request: "httpx.Request", response: "httpx.Response") -> str:
    """Return why the same request would fail again, judged by the status, or an empty string."""
    if response.has_redirect_location:
        return f"it has moved to {_target(request, response)}; is that the --api-url?"
    return {
        401: "the server asks for a user and password (--api-url https://user:password@…)",
        403: "refused, perhaps for the contact in the User-Agent (--contact)",
    }.get(response.status_code, "")


def _target(request: "httpx.Request", response: "httpx.Response") -> str:
    """Return the URL that a response redirects to, without query and password."""
    import httpx

    try:
        return str(request.url.join(response.headers["Location"]).copy_with(query=None, fragment=None, userinfo=b""))
    except (httpx.InvalidURL, ValueError):
        return f"{response.headers['Location']!r:.80}"


def _find_gap(asked: "httpx.QueryParams", query: dict[str, Any]) -> Trouble | None:
    """Return what a reply lacks that every reply to this query holds, or None if it is complete."""
    listed = asked.get("list")
    if listed and not isinstance(query.get(listed), list):
        return Trouble(f"incomplete reply, without {listed}")
    if asked.keys().isdisjoint(("titles", "pageids")) or asked.get("continue") or "interwiki" in query:
        return None
    pages = query.get("pages")
    if pages is None and _goes_in_circles(query.get("redirects")):
        return None
    if not isinstance(pages, dict) or not pages or not all(isinstance(page, dict) for page in pages.values()):
        return Trouble("incomplete reply, without pages")
    if "pageids" in asked and not pages.keys() >= set(asked["pageids"].split("|")):
        return Trouble("incomplete reply, without some of the pages")
    flaws = [*(_page_flaw(page, asked.get("prop", "")) for page in pages.values()), _flaw_of_titles(asked, query)]
    return next((Trouble(f"incomplete reply, {flaw}") for flaw in flaws if flaw), None)


def _flaw_of_titles(asked: "httpx.QueryParams", query: dict[str, Any]) -> str:
    """Return a flaw if the reply holds a page that none of the requested titles leads to."""
    steps = [step for kind in ("normalized", "converted", "redirects") for step in query.get(kind, ())]
    if "titles" not in asked or any("fromencoded" in step for step in steps):
        return ""
    targets = {step["from"]: step["to"] for step in steps}
    ends = set(asked["titles"].split("|"))
    for _ in targets:
        ends = {targets.get(title, title) for title in ends}
    return "" if all(page["title"] in ends for page in query["pages"].values()) else "of another page"


def _goes_in_circles(redirects: Any) -> bool:
    """Return True if redirects form a circle; a wiki then reports no page."""
    return bool(redirects) and {step["from"] for step in redirects} == {step["to"] for step in redirects}


def _page_flaw(page: dict[str, Any], wanted: str) -> str:
    if "missing" in page and "pageid" in page:  # requested by its id, so it has no title
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
    """Return the seconds that a `Retry-After` header asks to wait, in seconds or as a date; 0 if it is neither."""
    from datetime import datetime, timezone
    from email.utils import parsedate_to_datetime

    if value.isdecimal():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return 0.0
    return max(0.0, (date.replace(tzinfo=date.tzinfo or timezone.utc) - datetime.now(timezone.utc)).total_seconds())
