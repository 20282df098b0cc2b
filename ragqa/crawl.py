"""Wikipedia's articles, by category and by title, as pages.

wikipedia-api does the fetching. A page's text and revision come from one request, so that they belong together, and
every page is on disk before the next is asked for.
"""

import re
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ragqa.clean import clean_page
from ragqa.errors import CrawlError, InputError
from ragqa.mediawiki import LONGEST_WAIT_S, Wiki, open_wiki
from ragqa.offline import REASON, is_offline
from ragqa.records import Page, append_json_line, read_journal, read_json_lines, write_json_lines
from ragqa.seeds import Seeds

_ARTICLE, _CATEGORY = 0, 14  # namespaces
_MEMBERS_AT_ONCE = 500
_NOT_IN_TITLES = re.compile(r"[#<>\[\]|{}\x00-\x1f\x7f\ufffd]")  # https://www.mediawiki.org/wiki/Manual:Page_title
_TAG = re.compile(r"<[^>]*>|<!--.*?-->", re.DOTALL)
_FAILURES_IN_A_ROW = 5  # after which nobody is there any more
_CONTACT = re.compile(r"\S@\S|https?://\S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CrawlReport:
    """What became of the titles asked for: each is counted or named exactly once.

    `folded` titles led to a page that an earlier one had led to already, as redirects do. `failed` holds
    `title: reason` for titles that no article can have and for categories that list nothing.
    """

    fetched: int
    resumed: int  # fetched by an earlier crawl
    folded: tuple[str, ...]
    missing: tuple[str, ...]
    empty: tuple[str, ...]
    failed: tuple[str, ...]


def crawl(
    out: str | Path,
    *,
    contact: str,
    categories: Iterable[str] = (),
    depth: int = 0,
    titles: Iterable[str] = (),
    api_url: str | None = None,
    lang: str = "en",
    longest_wait_s: float = LONGEST_WAIT_S,
    progress: bool = True,
) -> CrawlReport:
    """Fetch articles into `out`: the titles as given, then the members of the categories as the wiki lists them.

    Subcategories are followed level by level, each once. A page is known by its page id, so that a redirect and its
    target make one page. Missing and empty pages are reported, not written.

    Each page goes at once to a journal, `<out>.partial`, and a rerun resumes from it. The pages of an existing `out`
    count as fetched and stay, in front: a rerun adds what is missing; remove `out` to fetch everything anew. A file
    holds pages of one wiki. `api_url` is the `api.php` of any MediaWiki with the TextExtracts extension; without it,
    that of Wikipedia in the language `lang`.

    A page that the wiki, after three retries, does not give as it should is failed, and a rerun asks for it again; missing
    and empty is only what a second, different request says too. Between retries at most `longest_wait_s` seconds are
    waited, whatever the server asks for.

    Raises `InputError` for an argument that cannot be used and `CrawlError` where a category cannot be listed or several
    pages in a row fail: the journal then keeps what has been fetched.
    """
    seeds = Seeds(lang, depth, tuple(categories), tuple(titles))
    _check(contact, seeds)
    out, journal = Path(out), Path(f"{out}.partial")
    kept = _by_id(read_json_lines(out, Page)) if out.exists() else {}
    before = kept | _by_id(read_journal(journal, Page))
    known = {page.title: page for page in before.values()}
    found: dict[int | str, Page] = {}
    became: dict[str, list[str]] = defaultdict(list)

    in_a_row = 0
    with open_wiki(contact, lang, api_url, longest_wait_s) as wiki:
        asked, became["failed"] = _list_titles(wiki, seeds, progress)
        for title in _bar(asked, "page", progress):
            try:
                page = known.get(title) or _fetch(wiki, title)
                in_a_row = 0
            except InputError as error:
                became["failed"].append(f"{title}: {error}")
                continue
            except CrawlError as error:
                in_a_row += 1
                if in_a_row == min(_FAILURES_IN_A_ROW, len(asked)):
                    raise CrawlError(f"{title}, the {in_a_row}. page in a row to fail: {error}") from error
                became["failed"].append(f"{title}: {error}")
                continue
            outcome = _outcome(page, found, before)
            became[outcome].append(title)
            if outcome == "fetched":
                append_json_line(journal, page)
                known[page.title] = page
            if outcome in ("fetched", "resumed"):
                found[_id(page)] = page

    write_json_lines(out, {**kept, **found, **before}.values())
    journal.unlink(missing_ok=True)
    named = (tuple(became[outcome]) for outcome in ("folded", "missing", "empty", "failed"))
    return CrawlReport(len(became["fetched"]), len(became["resumed"]), *named)


def _check(contact: str, seeds: Seeds) -> None:
    if is_offline():
        raise CrawlError(f"a crawl needs the network, and {REASON}")
    if not _CONTACT.search(contact) or not (contact.isascii() and contact.isprintable()):
        raise InputError(
            f"contact {contact!r} is no address: Wikimedia's User-Agent policy refuses crawlers that do not say "
            "whom to reach; pass an e-mail address or URL of yours (--contact you@example.org)"
        )
    if not seeds.categories and not seeds.titles:
        raise InputError("nothing to crawl: name categories or titles")
    if seeds.depth < 0:
        raise InputError(f"depth is {seeds.depth}; at least 0 is needed")
    if not re.fullmatch(r"[a-z]+(-[a-z]+)*", seeds.language):
        raise InputError(f"language {seeds.language!r} is no code of a Wikipedia, such as en or zh-yue")


def _outcome(page: Page, found: dict[int | str, Page], before: dict[int | str, Page]) -> str:
    if page.page_id is not None and page.page_id < 0:
        return "missing"
    if not page.text:
        return "empty"
    if _id(page) in found:
        return "folded"
    return "resumed" if _id(page) in before else "fetched"


def _id(page: Page) -> int | str:
    return page.title if page.page_id is None else page.page_id


def _by_id(pages: Iterable[Page]) -> dict[int | str, Page]:
    return {_id(page): page for page in pages}


def _list_titles(wiki: Wiki, seeds: Seeds, progress: bool) -> tuple[list[str], list[str]]:
    """The titles to fetch, each once, in order; and what failed while listing them."""
    titles = dict.fromkeys(_normalize(title) for title in seeds.titles)
    roots = dict.fromkeys(
        _normalize(re.sub(r"(?i)^(\s*category:)?\s*", "Category:", name)) for name in seeds.categories
    )
    failed = [f"{root}: {flaw}" for root in roots if (flaw := _flaw(root))]
    usable = [root for root in roots if not _flaw(root)]
    for name, members in _bar(_walk(wiki, usable, seeds.depth), "category", progress):
        articles = [member["title"] for member in members if member["ns"] == _ARTICLE]
        titles.update(dict.fromkeys(articles))
        if name in roots and not articles and not (seeds.depth and members):
            failed.append(f"{name}: no articles in it")
    return list(titles), failed


def _walk(wiki: Wiki, roots: Iterable[str], depth: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each category of the trees once, level by level, with its members in listing order."""
    queue = deque((root, 0) for root in roots)
    seen = set(roots)
    while queue:
        name, level = queue.popleft()
        members = _list_members(wiki, name)
        yield name, members
        children = [member["title"] for member in members if member["ns"] == _CATEGORY] if level < depth else []
        queue.extend((child, level + 1) for child in children if child not in seen)
        seen.update(children)


def _list_members(wiki: Wiki, name: str) -> list[dict[str, Any]]:
    """The members of a category, as many as the wiki counts; where it counts more, what two different listings agree on.

    Raises `CrawlError` if they do not: one of them was cut short.
    """
    members, count = _list_once(wiki, name, _MEMBERS_AT_ONCE)
    if len(members) < count and _list_once(wiki, name, _MEMBERS_AT_ONCE // 7)[0] != members:
        raise CrawlError(f"{name}: the wiki lists {len(members)} members and counts {count}; run it again to resume")
    return members


def _list_once(wiki: Wiki, name: str, at_once: int) -> tuple[list[dict[str, Any]], int]:
    members: list[dict[str, Any]] = []
    count, more = 0, {"continue": ""}
    while more:
        of_it = {"titles": name, "prop": "categoryinfo", "list": "categorymembers", "cmtitle": name}
        reply = wiki.ask(cmlimit=at_once, **of_it, **more)
        try:
            (category,) = reply["query"].get("pages", {"": {}}).values()  # only the first reply counts
            members += [{"title": member["title"], "ns": member["ns"]} for member in reply["query"]["categorymembers"]]
            count = max(count, category.get("categoryinfo", {}).get("size", 0))
            more = dict(reply.get("continue", {}))
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            raise CrawlError(f"{name}: half a reply ({error}); run it again to resume") from error
    return members, count


def _fetch(wiki: Wiki, title: str) -> Page:
    """Fetch a page, redirects followed; a missing one has a negative id. Raises `InputError` for what is no article."""
    if flaw := _flaw(title):
        raise InputError(flaw)
    try:
        page = wiki.pages.info(wiki.pages.page(title))
    except KeyError as error:  # the reply speaks of no page
        raise InputError("not a page of this wiki") from error
    if page.ns != _ARTICLE:
        raise InputError("not an article")
    try:
        if page.pageid < 0:
            _confirm_missing(wiki, title)
            return Page(title, page_id=page.pageid)
        text, revision = page.extract, page.revisions[0]  # text first: were it missing, both would be fetched anew
        if not text.strip():
            _confirm_empty(wiki, page.title)
        return clean_page(Page(page.title, page.fullurl, page.pageid, revision["revid"], revision["timestamp"], text))
    except (AttributeError, LookupError, TypeError) as error:
        raise CrawlError(f"half a reply ({error})") from error


def _confirm_missing(wiki: Wiki, title: str) -> None:
    """Raise `CrawlError` if a page that was said to be missing is there after all."""
    (told,) = wiki.ask(titles=title, prop="info", redirects=1)["query"]["pages"].values()
    if "missing" not in told and "invalid" not in told:
        raise CrawlError("the wiki says that it is missing, and that it is not")


def _confirm_empty(wiki: Wiki, title: str) -> None:
    """Raise `CrawlError` if a page that came without text has some after all."""
    (told,) = wiki.ask(titles=title, prop="extracts")["query"]["pages"].values()
    if _TAG.sub("", told["extract"]).strip():
        raise CrawlError("the wiki says that it is empty, and that it is not")


def _normalize(title: str) -> str:
    return " ".join(title.replace("_", " ").split())


def _flaw(title: str) -> str:
    """Why no page can have this title, or nothing: a wiki takes `A|B` for two titles and `C#` for a section of `C`."""
    if match := _NOT_IN_TITLES.search(title):
        return f"{match[0]!r} cannot stand in a title"
    return "" if 0 < len(title.encode(errors="replace")) <= 255 else "a title has 1 to 255 bytes"


def _bar(items: Iterable[T], unit: str, progress: bool) -> Iterable[T]:
    from tqdm import tqdm

    bar: Iterable[T] = tqdm(items, unit=unit, disable=not progress)
    return bar
