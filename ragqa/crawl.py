"""Wikipedia's articles, by category and by title, as pages.

wikipedia-api does the fetching. A page's text and revision come from one request, so that they belong together, and
every page is on disk before the next is asked for.
"""

import hashlib
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
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
_CATEGORY_PREFIX = "Category:"
_MEMBERS_AT_ONCE = 500
_NOT_IN_TITLES = re.compile(r"[#<>\[\]|{}\x00-\x1f\x7f\ufffd]")  # https://www.mediawiki.org/wiki/Manual:Page_title
_TAG = re.compile(r"<[^>]*>|<!--.*?-->", re.DOTALL)
_FAILURES_IN_A_ROW = 5  # after which nobody is there any more
_NO_ARTICLE = re.compile(r"^(Lists? of|Index of|Outline of|Timeline of) |\(disambiguation\)$", re.IGNORECASE)
_CONTACT = re.compile(r"\S@\S|https?://\S")
T = TypeVar("T")
Pages = dict[int | str, Page]  # by page id, or by title where there is none


FATES = ("fetched", "kept", "folded", "missing", "empty", "skipped", "failed")
PLANNED = "planned"  # what a dry run says of titles that would be asked for


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a title, one of `FATES`; kept are pages of an earlier crawl.

    A folded title led to a page that an earlier one had led to already, as redirects do. Of categories only those that failed
    have a fate.
    """

    title: str
    became: str
    page: str = ""  # the title of the page it led to
    revision: int | None = None
    length: int = 0  # characters of the page's text
    sha1: str = ""  # of that text in UTF-8, in hexadecimal digits
    reason: str = ""  # why it was skipped or failed


@dataclass(frozen=True, slots=True)
class CrawlReport:
    """What became of each title asked for, in their order."""

    fates: tuple[Fate, ...]

    def titles(self, became: str) -> tuple[str, ...]:
        """The titles that this became of."""
        return tuple(fate.title for fate in self.fates if fate.became == became)

    @property
    def failed(self) -> tuple[str, ...]:
        """The titles that failed, with the reasons: `title: reason`."""
        return tuple(f"{fate.title}: {fate.reason}" for fate in self.fates if fate.became == "failed")


def crawl(
    out: str | Path,
    *,
    contact: str,
    categories: Iterable[str] = (),
    depth: int = 0,
    titles: Iterable[str] = (),
    retry_failed: bool = False,
    api_url: str | None = None,
    lang: str = "en",
    exclude: Iterable[str] = (),
    longest_wait_s: float = LONGEST_WAIT_S,
    delay_s: float = 0.0,
    dry_run: bool = False,
    progress: bool = True,
) -> CrawlReport:
    """Fetch articles into `out`: the titles as given, then the members of the categories as the wiki lists them.

    Subcategories are followed level by level, each once. A page is known by its page id, so that a redirect and its
    target make one page. Missing and empty pages are not written. Of a category's members those in other namespaces, lists,
    disambiguation pages and all whose titles a regular expression of `exclude` is found in are skipped, subcategories too.
    What became of each title stands in `<out>.titles` (`Fate`, JSON Lines), of those of earlier crawls too; `retry_failed`
    asks once more for what failed.

    Each page goes at once to a journal, `<out>.partial`, and a rerun resumes from it. The pages of an existing `out`
    count as fetched and stay, in front: a rerun adds what is missing; remove `out` to fetch everything anew. A file
    holds pages of one wiki. `api_url` is the `api.php` of any MediaWiki with the TextExtracts extension; without it,
    that of Wikipedia in the language `lang`.

    A page that the wiki, after three retries, does not give as it should is failed, and a rerun asks for it again; missing
    and empty is only what a second, different request says too. Between retries at most `longest_wait_s` seconds are
    waited, whatever the server asks for, and at least `delay_s` between requests. A `dry_run` lists categories, fetches and
    writes nothing: what would be asked for has the fate `PLANNED`.

    Raises `InputError` for an argument that cannot be used and `CrawlError` where a category cannot be listed or several
    pages in a row fail: the journal then keeps what has been fetched.
    """
    out, journal, ledger = Path(out), Path(f"{out}.partial"), Path(f"{out}.titles")
    past = list(read_json_lines(ledger, Fate)) if ledger.exists() else []
    if retry_failed:
        again = [fate.title for fate in past if fate.became == "failed"]
        if not again:
            raise InputError(f"{ledger} names nothing that failed")
        titles = [*titles, *(title for title in again if not title.startswith(_CATEGORY_PREFIX))]
        categories = [*categories, *(title for title in again if title.startswith(_CATEGORY_PREFIX))]
    seeds = Seeds(lang, depth, tuple(categories), tuple(titles))
    _check(contact, seeds)
    kept = _by_id(read_json_lines(out, Page)) if out.exists() else {}
    before = kept | _by_id(read_journal(journal, Page))
    unwanted = _compile(exclude)
    with open_wiki(contact, lang, api_url, longest_wait_s, delay_s) as wiki:
        asked, fates = _list_titles(wiki, seeds, unwanted, progress)
        crawled = _Crawl(wiki, journal, before)
        if dry_run:
            return CrawlReport((*fates, *map(crawled.plan, asked)))
        fates += crawled.run(asked, progress)
    write_json_lines(out, {**kept, **crawled.found, **before}.values())
    now = {fate.title: fate for fate in fates}
    write_json_lines(ledger, {**{fate.title: fate for fate in past}, **now}.values())
    journal.unlink(missing_ok=True)
    return CrawlReport(tuple(now.values()))


class _Crawl:
    """One crawl: what it knows, what it has found, how many pages in a row have failed."""

    def __init__(self, wiki: Wiki, journal: Path, before: Pages) -> None:
        self.found: Pages = {}
        self._wiki, self._journal, self._before = wiki, journal, before
        self._known = {page.title: page for page in before.values()}
        self._in_a_row = 0

    def plan(self, title: str) -> Fate:
        """Whether a title would be asked for."""
        return Fate(title, "kept" if title in self._known else PLANNED)

    def run(self, asked: Sequence[str], progress: bool) -> list[Fate]:
        """Fetch pages by their titles; what became of each."""
        fates = []
        most = min(_FAILURES_IN_A_ROW, len(asked))
        for title in _bar(asked, "page", progress):
            try:
                page = self._known.get(title) or _fetch(self._wiki, title)
                self._in_a_row = 0
            except InputError as error:
                fates.append(Fate(title, "failed", reason=str(error)))
            except CrawlError as error:
                self._in_a_row += 1
                if self._in_a_row == most:
                    raise CrawlError(f"{title}, the {most}. page in a row to fail: {error}") from error
                fates.append(Fate(title, "failed", reason=str(error)))
            else:
                fates.append(self._keep(title, page))
        return fates

    def _keep(self, title: str, page: Page) -> Fate:
        if page.page_id is not None and page.page_id < 0:
            return Fate(title, "missing")
        if not page.text:
            return Fate(title, "empty", page.title, page.revision)
        became = "folded" if _id(page) in self.found else "kept" if _id(page) in self._before else "fetched"
        if became == "fetched":
            append_json_line(self._journal, page)
            self._known[page.title] = page
        if became != "folded":
            self.found[_id(page)] = page
        sha1 = hashlib.sha1(page.text.encode(), usedforsecurity=False).hexdigest()
        return Fate(title, became, page.title, page.revision, len(page.text), sha1)


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


def _id(page: Page) -> int | str:
    return page.title if page.page_id is None else page.page_id


def _by_id(pages: Iterable[Page]) -> Pages:
    return {_id(page): page for page in pages}


def _list_titles(
    wiki: Wiki, seeds: Seeds, unwanted: Sequence[re.Pattern[str]], progress: bool
) -> tuple[list[str], list[Fate]]:
    """The titles to fetch, each once, in order; and what was skipped or failed while listing them."""
    titles = dict.fromkeys(_normalize(title) for title in seeds.titles)
    roots = dict.fromkeys(
        _normalize(re.sub(r"(?i)^(\s*category:)?\s*", _CATEGORY_PREFIX, name)) for name in seeds.categories
    )
    fates = [Fate(root, "failed", reason=flaw) for root in roots if (flaw := _flaw(root))]
    usable = [root for root in roots if not _flaw(root)]
    for name, members in _bar(_walk(wiki, usable, seeds.depth, unwanted), "category", progress):
        articles = [member for member in members if member["ns"] == _ARTICLE]
        for member in members:
            if reason := _reason_to_skip(member, unwanted):
                fates.append(Fate(member["title"], "skipped", reason=reason))
            elif member["ns"] == _ARTICLE:
                titles[member["title"]] = None
        if name in roots and not articles and not (seeds.depth and members):
            fates.append(Fate(name, "failed", reason="no articles in it"))
    return list(titles), [fate for fate in dict.fromkeys(fates) if fate.title not in titles]


def _reason_to_skip(member: dict[str, Any], unwanted: Sequence[re.Pattern[str]]) -> str:
    """Why a member of a category is passed over, if it is."""
    if any(pattern.search(member["title"]) for pattern in unwanted):
        return "excluded"
    if member["ns"] not in (_ARTICLE, _CATEGORY):
        return f"namespace {member['ns']}"
    return "a list or disambiguation page, by its title" if _NO_ARTICLE.search(member["title"]) else ""


def _walk(
    wiki: Wiki, roots: Iterable[str], depth: int, unwanted: Sequence[re.Pattern[str]]
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each category of the trees once, level by level, with its members in listing order."""
    queue = deque((root, 0) for root in roots)
    seen = set(roots)
    while queue:
        name, level = queue.popleft()
        members = _list_members(wiki, name)
        yield name, members
        below = [member for member in members if member["ns"] == _CATEGORY and not _reason_to_skip(member, unwanted)]
        children = [member["title"] for member in below] if level < depth else []
        queue.extend((child, level + 1) for child in children if child not in seen)
        seen.update(children)


def _compile(patterns: Iterable[str]) -> list[re.Pattern[str]]:
    try:
        return [re.compile(pattern) for pattern in patterns]
    except re.error as error:
        raise InputError(f"exclude {error.pattern!r} is no regular expression: {error}") from error


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
    except (AttributeError, LookupError, TypeError, ValueError) as error:
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
