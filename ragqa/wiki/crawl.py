"""Wikipedia's articles, by category and by title, as pages.

wikipedia-api does the fetching. A page's text and revision come from one request, so that they belong together, and each
page is on disk before the next is looked at. A later crawl into the same file asks which pages have changed and fetches
those.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

from ragqa.errors import ENGLISH_ONLY, CrawlError, InputError, check_extra, warn_of_fallback
from ragqa.process import REASON, is_offline
from ragqa.progress import counter
from ragqa.records import Page
from ragqa.storage.json_lines import append_json_line, read_journal, read_json_lines, write_json_lines
from ragqa.wiki.api import LONGEST_WAIT_S, MOST_IN_FLIGHT, Watch, Wiki, open_wiki
from ragqa.wiki.fetch import fetch, find_changed, find_host, find_targets
from ragqa.wiki.listing import capitalize, list_titles, make_filter, name_categories, normalize, title_flaw
from ragqa.wiki.outcomes import PLANNED, CrawlReport, Fate, Pages, by_key, compare, page_key, tell
from ragqa.wiki.seeds import Seeds

_ENGLISH = ("en", "simple")  # Wikipedias
_LONGEST_DELAY_S = 86_400
_FAILURES_IN_A_ROW = 5  # after which nobody is there any more
_CONTACT = re.compile(r"\S@\S|https?://\S")


def crawl(
    out: str | Path,
    *,
    contact: str,
    categories: Iterable[str] = (),
    depth: int = 0,
    titles: Iterable[str] = (),
    retry_failed: bool = False,
    api_url: str | None = None,
    user: str | None = None,
    password: str = "",
    lang: str = "en",
    namespaces: Iterable[str] = (),
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    longest_wait_s: float = LONGEST_WAIT_S,
    delay_s: float = 0.0,
    in_flight: int = 1,
    cache: str | Path | None = None,
    dry_run: bool = False,
    progress: bool = True,
    watch: Watch | None = None,
) -> CrawlReport:
    """Fetch articles into `out`: the titles as given, then the members of the categories as the wiki lists them.

    Subcategories are followed level by level, each once. A page is known by its page id, so that a redirect and its
    target make one page. Missing and empty pages are not written. Of a category's members those in other namespaces, lists,
    disambiguation pages, all whose titles a regular expression of `exclude` is found in (subcategories too) and, if there are
    any, articles that none of `include` is found in are skipped. What became of each title stands in `<out>.titles` (`Fate`,
    JSON Lines), of those of earlier crawls too.

    Each page goes at once to a journal, `<out>.partial`, and a rerun resumes from it. The pages of an existing `out` stay in
    their places; the wiki is asked, fifty at once, which of them have another revision or title now, and those are fetched
    again; what is gone from the wiki goes from `out`. A file holds pages of one wiki. `api_url` is the `api.php` of any
    MediaWiki with the TextExtracts extension; without it, that of Wikipedia in the language `lang`. A user and password in it
    are sent as Basic authentication; `user` is logged in to a private wiki with `password`, `User@bot` with a bot password.
    `namespaces`, numbers or names, are those that pages are fetched from: articles (0) if none is given. `retry_failed` asks
    once more for what failed, and for nothing else that is known.

    A page that the wiki, after three retries, does not give as it should is failed, and a rerun asks for it again; missing
    and empty is only what a second, different request says too. Between retries at most `longest_wait_s` seconds are
    waited, whatever the server asks for, and at least `delay_s` between requests, of which up to `in_flight` (1 to 3) wait for
    their answers together. Replies are kept in the file `cache` and taken from there for a day, but for `retry_failed`.
    A `dry_run` asks what there is and what has changed, fetches and writes nothing: what would be fetched has the fate
    `PLANNED`.

    A `watch` counts requests and pages, and another thread may stop the crawl with it.

    Raises `MissingExtraError` without the extra `crawl`, `InputError` for an argument that cannot be used, and `CrawlError`
    where it is stopped, a category cannot be listed or several pages in a row fail: the journal then keeps what has been
    fetched.
    """
    out, journal, ledger = Path(out), Path(f"{out}.partial"), Path(f"{out}.titles")
    past = list(read_json_lines(ledger, Fate)) if ledger.exists() else []
    again = _failed(past, ledger) if retry_failed else []
    titles = [*titles, *(fate.title for fate in again if not fate.is_category)]
    categories = [*categories, *(fate.title for fate in again if fate.is_category)]
    seeds = Seeds(lang, depth, tuple(categories), tuple(titles))
    _check(contact, seeds, in_flight, delay_s)
    kept = by_key(read_json_lines(out, Page)) if out.exists() else {}
    before = kept | by_key(read_journal(journal, Page))
    if api_url is None and lang not in _ENGLISH:
        warn_of_fallback(f"pages in the language {lang!r}: {ENGLISH_ONLY}")
    wanted = make_filter(include, exclude)
    cache = Path(cache) if cache and not retry_failed else None
    watch = watch or Watch()
    with open_wiki(
        contact,
        lang,
        api_url,
        longest_wait_s,
        delay_s,
        cache,
        watch,
        user=user,
        password=password,
        namespaces=namespaces,
    ) as wiki:
        _check_origin(wiki, out, before.values())
        wanted = replace(wanted, namespaces=wiki.namespaces)
        listed = set(name_categories(wiki, seeds.categories))
        asked, fates = list_titles(wiki, seeds, wanted, progress)
        crawled = _Crawl(wiki, journal, before, frozenset(map(normalize, seeds.titles)))
        if retry_failed:
            crawled.doubt(fate.title for fate in again)
        else:
            asked = [*dict.fromkeys([*asked, *crawled.refresh(kept, asked)])]
        if dry_run:
            return CrawlReport((*fates, *map(crawled.plan, asked)))
        fates += crawled.run(asked, in_flight, progress, watch)
    after = crawled.pages(kept)
    write_json_lines(out, after.values())
    now = {fate.title: fate for fate in fates}
    settled = {fate.title: fate for fate in past if not (fate.is_category and fate.title in listed)}
    write_json_lines(ledger, {**settled, **now}.values())
    journal.unlink(missing_ok=True)
    return compare(now.values(), kept, after)


class _Crawl:
    """One crawl: what it knows, what it has found, what it has to look at again."""

    def __init__(self, wiki: Wiki, journal: Path, before: Pages, named: frozenset[str]) -> None:
        self._wiki, self._journal, self._before, self._named = wiki, journal, before, named
        self._found: Pages = {}
        self._known = {page.title: page for page in before.values()}
        self._titles = frozenset(self._known)
        self._changed: dict[
            int | str, tuple[str, ...]
        ] = {}  # the titles that pages which are no longer as they were may have
        self._unanswered: set[str] = set()

    def refresh(self, kept: Pages, asked: Iterable[str]) -> list[str]:
        """The titles to ask for again: of pages that are not as they were, and old titles of those that were renamed.

        Redirects that lead to pages which are as they were need not be asked for.
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
        """Ask for these titles even if there are such pages."""
        for page in [self._known[title] for title in titles if title in self._known]:
            self._doubt(page)

    def _doubt(self, page: Page, title: str = "") -> None:
        self._changed[page_key(page)] = (page.title, title or page.title)
        self._known.pop(page.title, None)

    def plan(self, title: str) -> Fate:
        """Whether a title would be asked for."""
        return Fate(title, "kept" if title in self._known else PLANNED)

    def run(self, asked: Sequence[str], in_flight: int, progress: bool, watch: Watch) -> list[Fate]:
        """Fetch pages by their titles; what became of each, in the same order."""
        fates: list[Fate] = []
        in_a_row, most = 0, min(_FAILURES_IN_A_ROW, len(asked))
        with counter(len(asked), "pages", show=progress) as counted:
            for title, answer in self._fetch_all(asked, in_flight):
                counted.update()
                if watch.stopped.is_set() and isinstance(answer, CrawlError):
                    raise CrawlError(watch.reason) from answer
                in_a_row = in_a_row + 1 if isinstance(answer, CrawlError) else 0
                if in_a_row == most:
                    raise CrawlError(f"{title}, the {most}. page in a row to fail: {answer}")
                fates.append(self._settle(title, answer))
                if fates[-1].became == "fetched":
                    watch.count_page()
        return fates

    def pages(self, kept: Pages) -> Pages:
        """All pages there are now: those of before in their places, then what was found, then the rest of the journal."""
        order, newest = dict.fromkeys([*kept, *self._found, *self._before]), self._before | self._found
        there = {key: newest[key] for key in order if key in self._found or not self._is_gone(key)}
        led = {alias: key for key in self._found for alias in newest[key].aliases}  # a redirect leads to one page only
        return {key: _without(page, [a for a in page.aliases if led.get(a, key) != key]) for key, page in there.items()}

    def _is_gone(self, key: int | str) -> bool:
        """Whether a page was asked for again and not found; where asking failed, the old one is better than none."""
        return key in self._changed and self._unanswered.isdisjoint(self._changed[key])

    def _fetch_all(self, asked: Sequence[str], in_flight: int) -> Iterator[tuple[str, Page | Fate | CrawlError]]:
        """Answers in the order of the titles; while one is looked at, the next ones are on their way."""
        waiting: deque[tuple[str, Future[Page | Fate]]] = deque()
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
        except (GeneratorExit, KeyboardInterrupt):  # somebody has had enough
            self._wiki.stop()
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def _ask(self, title: str) -> Page | Fate:
        return self._known.get(title) or fetch(
            self._wiki, title, named=title in self._named, known=title in self._titles
        )

    def _settle(self, title: str, answer: Page | Fate | CrawlError) -> Fate:
        if isinstance(answer, CrawlError):
            self._unanswered.add(title)
            return Fate(title, "failed", reason=str(answer))
        return answer if isinstance(answer, Fate) else self._keep(title, answer)

    def _is_kept(self, page: Page) -> bool:
        old = self._before.get(page_key(page))
        return old is not None and (old.title, old.revision, old.text) == (page.title, page.revision, page.text)

    def _keep(self, title: str, page: Page) -> Fate:
        key = page_key(page)
        became = "folded" if key in self._found else "kept" if self._is_kept(page) else "fetched"
        if became == "fetched":
            append_json_line(self._journal, page)
        first = self._found.get(key, page)
        self._found[key] = replace(first, aliases=(*sorted({*first.aliases, *page.aliases}),))
        self._known[first.title] = first
        return tell(title, became, page)


def _without(page: Page, aliases: Sequence[str]) -> Page:
    return replace(page, aliases=tuple(a for a in page.aliases if a not in aliases)) if aliases else page


def _check_origin(wiki: Wiki, out: Path, pages: Iterable[Page]) -> None:
    """Ids tell pages apart within one wiki only."""
    if Path(f"{out}.import").exists():
        raise InputError(f"{out}.partial is the journal of an import; finish that with ragqa import-dump")
    urls = [page.url for page in pages if page.page_id is not None and page.url]
    host = find_host(wiki) if urls else ""
    if other := next((url for url in urls if urlsplit(url).netloc != host), ""):
        raise InputError(f"{out} holds pages of another wiki ({other}); choose another file for those of {host}")


def _result(coming: "Future[Page | Fate]") -> Page | Fate | CrawlError:
    try:
        return coming.result()
    except CrawlError as error:
        return error


def _failed(past: Iterable[Fate], ledger: Path) -> list[Fate]:
    again = [fate for fate in past if fate.became == "failed"]
    if not again:
        raise InputError(f"{ledger} names nothing that failed")
    return again


def check_contact(contact: str) -> None:
    """Raise `InputError` for what is neither an e-mail address nor a URL."""
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
