"""Wikipedia's articles, by category and by title, as pages.

wikipedia-api fetches them. A page's text and revision come from one request, so that they belong together. Each page is on
disk before the next is processed. A later crawl into the same file asks which pages have changed and fetches only those.
"""

import logging
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

from ragqa.errors import ENGLISH_ONLY, CrawlError, InputError, check_extra, warn_of_fallback
from ragqa.process import REASON, is_offline
from ragqa.progress import counter
from ragqa.records import Page
from ragqa.storage.json_lines import append_json_line, read_journal, read_json_lines, write_json_lines
from ragqa.wiki.api import LONGEST_WAIT_S, MOST_IN_FLIGHT, Wiki, open_wiki
from ragqa.wiki.fetch import fetch, find_changed, find_host, find_targets
from ragqa.wiki.listing import capitalize, list_titles, make_filter, name_categories, normalize, title_flaw
from ragqa.wiki.monitor import Monitor
from ragqa.wiki.outcomes import PLANNED, CrawlReport, Outcome, Pages, by_key, compare, outcome_of_page, page_key
from ragqa.wiki.seeds import Seeds

_LOG = logging.getLogger(__name__)
_ENGLISH = ("en", "simple")  # Wikipedias
_LONGEST_DELAY_S = 86_400
_FAILURES_IN_A_ROW = 5  # after which the wiki counts as unreachable
_CONTACT = re.compile(r"\S@\S|https?://\S")


@dataclass(frozen=True, slots=True, kw_only=True)
class CrawlConfig:
    """What to crawl, from which wiki and how.

    `out` is the file of pages and `contact` the e-mail address or URL for the User-Agent. `seeds` holds titles, categories
    and the language of Wikipedia. `api_url` is the `api.php` of any MediaWiki with the TextExtracts extension; None means
    Wikipedia. A user and password in the URL are sent as Basic authentication. `user` is logged in to a private wiki with
    `password`; `User@bot` takes a bot password.

    `namespaces` are names or numbers; empty means 0, the articles. `include` and `exclude` are regular expressions for titles.
    An article of a category is skipped if `include` is not empty and none of it matches, or if one of `exclude` matches.
    A subcategory is skipped if one of `exclude` matches.

    `longest_wait_s` is the longest wait between retries in seconds, even if the server asks for more; `delay_s` is the
    shortest time from one request to the next. Up to `in_flight` (1 to 3) requests are sent at once. Replies are cached in the
    file `cache` for a day. `retry_failed` fetches only the titles that failed before, and does not read the cache.
    `dry_run` fetches and writes nothing: the outcome of a title to fetch is `PLANNED`.
    """

    out: str | Path
    contact: str
    seeds: Seeds = field(default_factory=Seeds)
    retry_failed: bool = False
    api_url: str | None = None
    user: str | None = None
    password: str = field(default="", repr=False)
    namespaces: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    longest_wait_s: float = LONGEST_WAIT_S
    delay_s: float = 0.0
    in_flight: int = 1
    cache: str | Path | None = None
    dry_run: bool = False


def crawl(config: CrawlConfig, *, progress: bool = True, watch: Monitor | None = None) -> CrawlReport:
    """Fetch articles into `config.out`: first the titles as given, then the members of the categories in the wiki's order.

    Subcategories are followed level by level, each once. A page is identified by its page id, so a redirect and its target
    make one page. Missing and empty pages are not written. Lists, disambiguation pages and pages of other namespaces are
    skipped in categories. The outcome of each title, also of earlier crawls, is in `<out>.titles` (`Outcome`, JSON Lines).

    Each page is appended to a journal, `<out>.partial`, and a rerun resumes from it. Pages of an existing `out` keep their
    order. The wiki is asked, fifty pages at once, which of them have a new revision or title; those are fetched again.
    Pages deleted on the wiki are removed from `out`. A file holds pages of one wiki.

    A page that fails after three retries is marked as failed, and a rerun fetches it again. A page counts as missing or
    empty only if a second, different request says so too.

    `watch` counts requests and pages; another thread can stop the crawl with it.

    Raises `MissingExtraError` without the extra `crawl` and `InputError` for an invalid setting. Raises `CrawlError` if the
    crawl is stopped, if a category cannot be listed or if several pages in a row fail; the journal keeps what was fetched.
    """
    out, journal, ledger = Path(config.out), Path(f"{config.out}.partial"), Path(f"{config.out}.titles")
    past = list(read_json_lines(ledger, Outcome)) if ledger.exists() else []
    again = _failed(past, ledger) if config.retry_failed else []
    seeds = _add_failed(config.seeds, again)
    _check(config.contact, seeds, config.in_flight, config.delay_s)
    kept = by_key(read_json_lines(out, Page)) if out.exists() else {}
    before = kept | by_key(read_journal(journal, Page))
    if config.api_url is None and seeds.language not in _ENGLISH:
        warn_of_fallback(f"pages in the language {seeds.language!r}: {ENGLISH_ONLY}")
    wanted = make_filter(config.include, config.exclude)
    watch = watch or Monitor()
    with _open_wiki(config, watch) as wiki:
        _check_origin(wiki, out, before.values())
        wanted = replace(wanted, namespaces=wiki.namespaces)
        listed = set(name_categories(wiki, seeds.categories))
        asked, outcomes = list_titles(wiki, seeds, wanted, progress)
        crawled = _Crawl(wiki, journal, before, frozenset(map(normalize, seeds.titles)))
        if config.retry_failed:
            crawled.doubt(outcome.title for outcome in again)
        else:
            asked = [*dict.fromkeys([*asked, *crawled.refresh(kept, asked)])]
        if config.dry_run:
            return CrawlReport((*outcomes, *map(crawled.plan, asked)))
        _LOG.info("%s: %d titles to look at, %d pages known", out, len(asked), len(before))
        outcomes += crawled.run(asked, config.in_flight, progress, watch)
    after = crawled.pages(kept)
    write_json_lines(out, after.values())
    now = {outcome.title: outcome for outcome in outcomes}
    settled = {outcome.title: outcome for outcome in past if not (outcome.is_category and outcome.title in listed)}
    write_json_lines(ledger, {**settled, **now}.values())
    journal.unlink(missing_ok=True)
    return compare(now.values(), kept, after)


def _add_failed(seeds: Seeds, again: Iterable[Outcome]) -> Seeds:
    """Add the titles and categories that failed before."""
    again = tuple(again)
    return replace(
        seeds,
        titles=(*seeds.titles, *(outcome.title for outcome in again if not outcome.is_category)),
        categories=(*seeds.categories, *(outcome.title for outcome in again if outcome.is_category)),
    )


def _open_wiki(config: CrawlConfig, watch: Monitor) -> AbstractContextManager[Wiki]:
    return open_wiki(
        config.contact,
        config.seeds.language,
        config.api_url,
        config.longest_wait_s,
        config.delay_s,
        Path(config.cache) if config.cache and not config.retry_failed else None,
        watch,
        user=config.user,
        password=config.password,
        namespaces=config.namespaces,
    )


class _Crawl:
    """One crawl: the pages known before, those found so far, and those to fetch again."""

    def __init__(self, wiki: Wiki, journal: Path, before: Pages, named: frozenset[str]) -> None:
        self._wiki, self._journal, self._before, self._named = wiki, journal, before, named
        self._found: Pages = {}
        self._known = {page.title: page for page in before.values()}
        self._titles = frozenset(self._known)
        self._changed: dict[int | str, tuple[str, ...]] = {}  # old and new title of each changed page, by its key
        self._unanswered: set[str] = set()

    def refresh(self, kept: Pages, asked: Iterable[str]) -> list[str]:
        """Return the titles to ask for again: of changed pages, and the old titles of renamed ones.

        Redirects to unchanged pages are resolved here and need not be asked for.
        """
        titles = [page.title for key, page in kept.items() if self._before[key].title != page.title]
        for page, title in find_changed(self._wiki, self._before.values()):
            self._doubt(page, title)
            titles += [page.title, title]
        as_it_was = {page.page_id: page for page in self._known.values()}
        unknown = [title for title in asked if title not in self._known and not title_flaw(title)]
        for title, page_id, to_section in find_targets(self._wiki, unknown if as_it_was else ()):
            target = as_it_was.get(page_id)
            if target and (to_section or capitalize(title) in (target.title, *target.aliases)):
                self._known[title] = target
        return titles

    def doubt(self, titles: Iterable[str]) -> None:
        """Fetch the pages with these titles again."""
        for page in [self._known[title] for title in titles if title in self._known]:
            self._doubt(page)

    def _doubt(self, page: Page, title: str = "") -> None:
        self._changed[page_key(page)] = (page.title, title or page.title)
        self._known.pop(page.title, None)

    def plan(self, title: str) -> Outcome:
        """Return the outcome of a title in a dry run."""
        return Outcome(title, "kept" if title in self._known else PLANNED)

    def run(self, asked: Sequence[str], in_flight: int, progress: bool, watch: Monitor) -> list[Outcome]:
        """Fetch pages by their titles and return the outcomes in the same order."""
        outcomes: list[Outcome] = []
        in_a_row, most = 0, min(_FAILURES_IN_A_ROW, len(asked))
        with counter(len(asked), "pages", show=progress) as counted:
            for title, answer in self._fetch_all(asked, in_flight):
                counted.update()
                if watch.stopped.is_set() and isinstance(answer, CrawlError):
                    raise CrawlError(watch.reason) from answer
                in_a_row = in_a_row + 1 if isinstance(answer, CrawlError) else 0
                if in_a_row == most:
                    raise CrawlError(f"{title}, the {most}. page in a row to fail: {answer}")
                outcomes.append(self._settle(title, answer))
                if outcomes[-1].became == "fetched":
                    watch.count_page()
        return outcomes

    def pages(self, kept: Pages) -> Pages:
        """Return all pages: the earlier ones in their order, then those found, then the rest of the journal."""
        order, newest = dict.fromkeys([*kept, *self._found, *self._before]), self._before | self._found
        there = {key: newest[key] for key in order if key in self._found or not self._is_gone(key)}
        led = {alias: key for key in self._found for alias in newest[key].aliases}  # a redirect leads to one page only
        return {key: _without(page, [a for a in page.aliases if led.get(a, key) != key]) for key, page in there.items()}

    def _is_gone(self, key: int | str) -> bool:
        """Return True if a page was asked for again and not found. If asking failed, the old page is kept."""
        return key in self._changed and self._unanswered.isdisjoint(self._changed[key])

    def _fetch_all(self, asked: Sequence[str], in_flight: int) -> Iterator[tuple[str, Page | Outcome | CrawlError]]:
        """Yield answers in the order of the titles. While one is processed, the next requests are in flight."""
        waiting: deque[tuple[str, Future[Page | Outcome]]] = deque()
        titles = iter(asked)
        pool = ThreadPoolExecutor(in_flight)
        try:
            while True:
                for title in islice(titles, in_flight - len(waiting)):
                    waiting.append((title, pool.submit(self._ask, title)))
                if not waiting:
                    return
                title, coming = waiting.popleft()
                yield title, self._known.get(title) or _result(coming)
        except (GeneratorExit, KeyboardInterrupt):  # interrupted by the caller or the user
            self._wiki.stop()
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def _ask(self, title: str) -> Page | Outcome:
        return self._known.get(title) or fetch(
            self._wiki, title, named=title in self._named, known=title in self._titles
        )

    def _settle(self, title: str, answer: Page | Outcome | CrawlError) -> Outcome:
        if isinstance(answer, CrawlError):
            self._unanswered.add(title)
            return Outcome(title, "failed", reason=str(answer))
        return answer if isinstance(answer, Outcome) else self._keep(title, answer)

    def _is_kept(self, page: Page) -> bool:
        old = self._before.get(page_key(page))
        return old is not None and (old.title, old.revision, old.text) == (page.title, page.revision, page.text)

    def _keep(self, title: str, page: Page) -> Outcome:
        key = page_key(page)
        became = "folded" if key in self._found else "kept" if self._is_kept(page) else "fetched"
        if became == "fetched":
            append_json_line(self._journal, page)
        first = self._found.get(key, page)
        self._found[key] = replace(first, aliases=(*sorted({*first.aliases, *page.aliases}),))
        self._known[first.title] = first
        return outcome_of_page(title, became, page)


def _without(page: Page, aliases: Sequence[str]) -> Page:
    return replace(page, aliases=tuple(a for a in page.aliases if a not in aliases)) if aliases else page


def _check_origin(wiki: Wiki, out: Path, pages: Iterable[Page]) -> None:
    """Raise `InputError` if `out` holds pages of another wiki: page ids are unique within one wiki only."""
    if Path(f"{out}.import").exists():
        raise InputError(f"{out}.partial is the journal of an import; finish that with ragqa import-dump or import-zim")
    urls = [page.url for page in pages if page.page_id is not None and page.url]
    host = find_host(wiki) if urls else ""
    if other := next((url for url in urls if urlsplit(url).netloc != host), ""):
        raise InputError(f"{out} holds pages of another wiki ({other}); choose another file for those of {host}")


def _result(coming: "Future[Page | Outcome]") -> Page | Outcome | CrawlError:
    try:
        return coming.result()
    except CrawlError as error:
        return error


def _failed(past: Iterable[Outcome], ledger: Path) -> list[Outcome]:
    again = [outcome for outcome in past if outcome.became == "failed"]
    if not again:
        raise InputError(f"{ledger} names nothing that failed")
    return again


def check_contact(contact: str) -> None:
    """Raise `InputError` if the contact holds neither an e-mail address nor a URL."""
    if not _CONTACT.search(contact) or not (contact.isascii() and contact.isprintable()):
        raise InputError(
            f"contact {contact!r} is no address: Wikimedia's User-Agent policy refuses crawlers that do not say "
            "whom to reach; pass an e-mail address or URL of yours (--contact you@example.org)"
        )


def _check(contact: str, seeds: Seeds, in_flight: int, delay_s: float) -> None:
    if is_offline():
        raise CrawlError(f"a crawl needs the network, and {REASON}")
    check_extra("crawling", "crawl")
    check_contact(contact)
    if not seeds.categories and not seeds.titles:
        raise InputError("nothing to crawl: name categories or titles")
    if not (0 <= delay_s < _LONGEST_DELAY_S):
        raise InputError(f"delay is {delay_s} seconds; from 0 to {_LONGEST_DELAY_S:,} can be waited")
    if seeds.depth < 0:
        raise InputError(f"depth is {seeds.depth}; at least 0 is needed")
    if not 1 <= in_flight <= MOST_IN_FLIGHT:
        raise InputError(f"{in_flight} requests in flight; from 1 to {MOST_IN_FLIGHT} are polite")
    if not re.fullmatch(r"[a-z]+(-[a-z]+)*", seeds.language):
        raise InputError(f"language {seeds.language!r} is no code of a Wikipedia, such as en or zh-yue")
