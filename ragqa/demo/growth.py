"""Pages that are crawled and indexed while questions are being answered: one job at a time, in a thread of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock, Thread, Timer

from ragqa.demo.corpora import Corpus
from ragqa.errors import CrawlError, InputError, RagqaError, check_extra
from ragqa.index.folder import update_index
from ragqa.records import Page
from ragqa.storage.json_lines import read_journal, read_json_lines
from ragqa.text.passages import split
from ragqa.wiki.crawl import CrawlConfig, check_contact, crawl
from ragqa.wiki.monitor import Monitor
from ragqa.wiki.outcomes import OUTCOMES, CrawlReport, by_key
from ragqa.wiki.seeds import Seeds

MAX_PAGES, MAX_MINUTES = 500, 30.0  # of one job; what is fetched by then is indexed
MOST_TITLES = 200  # that are typed for one job
MOST_DEPTH = 2
MOST_NAMED = 5  # titles that are not there or failed


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be crawled."""

    titles: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    depth: int = 0

    def __post_init__(self) -> None:
        if not self.titles and not self.categories:
            raise InputError("nothing to crawl: name a page or a category")
        if len(self.titles) > MOST_TITLES:
            raise InputError(f"{len(self.titles)} titles are named; at most {MOST_TITLES} are crawled at once")
        if not 0 <= self.depth <= MOST_DEPTH:
            raise InputError(f"depth is {self.depth}; it must be from 0 to {MOST_DEPTH}")


class Growth:
    """Crawls on behalf of `contact`, from the wiki at `api_url` or Wikipedia, into the folders of corpora."""

    def __init__(
        self,
        contact: str,
        api_url: str | None = None,
        *,
        max_pages: int = MAX_PAGES,
        max_minutes: float = MAX_MINUTES,
    ) -> None:
        """One job fetches at most `max_pages` pages in `max_minutes`.

        Raises `InputError` for a contact that is no address, `MissingExtraError` without the extra `crawl`.
        """
        check_extra("crawling", "crawl")
        check_contact(contact)
        if max_pages < 1:
            raise InputError(f"max_pages is {max_pages}; it must be at least 1")
        if not 0 < max_minutes <= 24 * 60:
            raise InputError(f"max_minutes is {max_minutes:g}; it must be above 0 and at most {24 * 60:,}, a day")
        self.contact, self.api_url = contact, api_url
        self.max_pages, self.max_minutes = max_pages, max_minutes
        self._lock, self._done = Lock(), Event()
        self._running: Thread | None = None
        self._watch = Monitor()
        self._told = ""

    @property
    def running(self) -> bool:
        """Whether a job is on its way."""
        return self._running is not None and self._running.is_alive()

    def start(self, corpus: Corpus, wanted: Wanted) -> None:
        """Begin a job. Raises `InputError` if one is on its way, or if the corpus is in no folder."""
        if corpus.folder is None:
            raise InputError(f"the {corpus.name} is not in a folder of yours; give one with --index")
        with self._lock:
            if self.running:
                raise InputError("a crawl is already running; wait for its end or stop it")
            self._done.clear()
            self._told, self._watch = "", Monitor(self.max_pages)
            self._running = Thread(target=self._run, args=(corpus, corpus.folder, wanted), daemon=True)
            self._running.start()

    def stop(self) -> None:
        """Let the job fetch no more; what it has fetched is indexed."""
        self._watch.stop("somebody pressed Stop")

    def follow(self, every_s: float = 0.5) -> Iterator[str]:
        """What is being done, told again after each half second, until the job has ended."""
        while True:
            ended = self._done.wait(every_s)
            yield self._told if ended else self._told or _tell_progress(self._watch)
            if ended:
                return

    def _run(self, corpus: Corpus, folder: Path, wanted: Wanted) -> None:
        told = "The crawl broke off; see the terminal that runs `ragqa demo`."
        try:
            told = self._grow(corpus, folder, wanted)
        except (RagqaError, OSError) as error:
            told = f"It failed: {error}. What was fetched is kept; start the same crawl again to continue."
        finally:
            self._told = told
            self._done.set()

    def _grow(self, corpus: Corpus, folder: Path, wanted: Wanted) -> str:
        """Crawl, index what is new, also after a crawl that was stopped or failed, and say what became of it."""
        report, failure = CrawlReport(()), ""
        try:
            report = self._crawl(folder, wanted)
        except CrawlError as error:
            failure = f"Stopped: {self._watch.reason}." if self._watch.reason else f"It failed: {error}."
        known = corpus.contents().pages
        new = [p for p in _read_crawled(folder) if p.title not in known or known[p.title] != p.revision]
        gone = [title for title in (*report.deleted, *(old for old, _ in report.renamed)) if title in known]
        searched = self._index(corpus, folder, new, gone) if new or gone else 0
        told = f"{searched:,} passages are searched now." if searched else "Nothing is new."
        if failure:
            return f"{failure} {told} Start the same crawl again to continue."
        return f"{'Done: ' if searched else ''}{told} {tell_fates(report)}"

    def _crawl(self, folder: Path, wanted: Wanted) -> CrawlReport:
        reason = f"it has run for the longest time allowed ({self.max_minutes:g} minutes)"
        clock = Timer(self.max_minutes * 60, self._watch.stop, (reason,))
        clock.daemon = True
        clock.start()
        try:
            seeds = Seeds(depth=wanted.depth, categories=wanted.categories, titles=wanted.titles)
            config = CrawlConfig(out=crawled_file(folder), contact=self.contact, seeds=seeds, api_url=self.api_url)
            return crawl(config, progress=False, watch=self._watch)
        finally:
            clock.cancel()

    def _index(self, corpus: Corpus, folder: Path, new: Sequence[Page], gone: Sequence[str]) -> int:
        """Index pages and return how many passages there are now."""
        passages = [passage for page in new for passage in split(page)]
        self._told = f"Indexing {len(passages):,} passages of {_pages(len(new))} …"
        dense = corpus.retriever.dense
        indexed = update_index(folder, passages, gone, embedder=None if dense is None else dense.embedder)
        corpus.reopen()
        return indexed.passages


def _read_crawled(folder: Path) -> Iterator[Page]:
    """The pages that were crawled for a folder, those of a crawl that has not come to its end too."""
    out = crawled_file(folder)
    kept = by_key(read_json_lines(out, Page)) if out.exists() else {}
    yield from (kept | by_key(read_journal(Path(f"{out}.partial"), Page))).values()


def _tell_progress(watch: Monitor) -> str:
    if watch.reason:
        return "Stopping …"
    requests = f"{watch.requests:,} {'request' if watch.requests == 1 else 'requests'}"
    return f"{_pages(watch.pages)} fetched, {requests} sent …" if watch.requests else "Asking the wiki …"


def _pages(count: int) -> str:
    return f"{count:,} {'page' if count == 1 else 'pages'}"


def crawled_file(folder: Path) -> Path:
    """Where the pages that are crawled for an index folder are kept: beside it."""
    folder = folder.resolve()
    return folder.with_name(f"{folder.name}.crawled.jsonl")


def tell_fates(report: CrawlReport) -> str:
    """What became of the titles, in numbers, with the first of those that are not there or failed."""
    counts = {became: len(report.titles(became)) for became in OUTCOMES}
    told = [f"{count} {became}" for became, count in counts.items() if count]
    lost = {"Not there": report.titles("missing"), "Failed": report.failed}
    named = (f" {what}: {_first(titles)}." for what, titles in lost.items() if titles)
    return "".join([f"Of what was asked for: {', '.join(told) or 'nothing'}.", *named])


def _first(titles: Sequence[str]) -> str:
    more = f" and {len(titles) - MOST_NAMED:,} more" if len(titles) > MOST_NAMED else ""
    return f"{', '.join(titles[:MOST_NAMED])}{more}"
