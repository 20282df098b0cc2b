"""Pages that are crawled and indexed while questions are answered: one job at a time, in a thread of its own."""

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

MAX_PAGES, MAX_MINUTES = 500, 30.0  # of one job; pages fetched by then are indexed
MOST_TITLES = 200  # typed for one job
MOST_DEPTH = 2
MOST_NAMED = 5  # titles to name of those that are missing or failed


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to crawl."""

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


class Crawler:
    """Crawls the wiki at `api_url`, by default Wikipedia, for `contact`, and indexes the pages in the folders of corpora."""

    def __init__(
        self,
        contact: str,
        api_url: str | None = None,
        *,
        max_pages: int = MAX_PAGES,
        max_minutes: float = MAX_MINUTES,
    ) -> None:
        """Limit each job to `max_pages` pages and `max_minutes`.

        Raises `InputError` if the contact is not an address, `MissingExtraError` without the extra `crawl`.
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
        self._message = ""

    @property
    def running(self) -> bool:
        """Whether a job is running."""
        return self._running is not None and self._running.is_alive()

    def start(self, corpus: Corpus, wanted: Wanted) -> None:
        """Start a job. Raises `InputError` if one is running, or if the corpus has no folder."""
        folder = corpus.own_folder()
        with self._lock:
            if self.running:
                raise InputError("a crawl is already running; wait for its end or stop it")
            self._done.clear()
            self._message, self._watch = "", Monitor(self.max_pages)
            self._running = Thread(target=self._run, args=(corpus, folder, wanted), daemon=True)
            self._running.start()

    def stop(self) -> None:
        """Let the job fetch no more pages; those it has fetched are indexed."""
        self._watch.stop("somebody pressed Stop")

    def follow(self, every_s: float = 0.5) -> Iterator[str]:
        """Yield what the job is doing, at the latest after each `every_s` seconds, until it has ended."""
        ended = False
        while not ended:
            ended = self._done.wait(every_s)
            yield self._message or _describe_progress(self._watch)

    def _run(self, corpus: Corpus, folder: Path, wanted: Wanted) -> None:
        message = "The crawl failed; see the terminal that runs `ragqa demo`."
        try:
            message = self._crawl_and_index(corpus, folder, wanted)
        except (RagqaError, OSError) as error:
            message = f"The crawl failed: {error}. Fetched pages are kept; start the same crawl again to continue."
        finally:
            self._message = message
            self._done.set()

    def _crawl_and_index(self, corpus: Corpus, folder: Path, wanted: Wanted) -> str:
        """Crawl, index what is new even if the crawl was stopped or failed, and return the outcome in words."""
        report, failure = CrawlReport(()), ""
        try:
            report = self._crawl(folder, wanted)
        except CrawlError as error:
            failure = f"Stopped: {self._watch.reason}." if self._watch.reason else f"The crawl failed: {error}."
        known = corpus.contents().pages
        new = [p for p in _read_crawled(folder) if p.title not in known or known[p.title] != p.revision]
        gone = [title for title in (*report.deleted, *(old for old, _ in report.renamed)) if title in known]
        passages = self._index(corpus, folder, new, gone) if new or gone else 0
        outcome = f"{passages:,} passages can be searched now." if passages else "No pages are new."
        if failure:
            return f"{failure} {outcome} Start the same crawl again to continue."
        return f"{'Done: ' if passages else ''}{outcome} {describe_outcomes(report)}"

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
        """Update the index and return how many passages it has now."""
        passages = [passage for page in new for passage in split(page)]
        self._message = f"Indexing {len(passages):,} passages of {_count(len(new), 'page')} …"
        dense = corpus.retriever.dense
        indexed = update_index(folder, passages, gone, embedder=None if dense is None else dense.embedder)
        corpus.reopen()
        return indexed.passages


def _read_crawled(folder: Path) -> Iterator[Page]:
    """Yield the pages crawled for a folder, including those of a crawl that did not finish."""
    out = crawled_file(folder)
    kept = by_key(read_json_lines(out, Page)) if out.exists() else {}
    yield from (kept | by_key(read_journal(Path(f"{out}.partial"), Page))).values()


def crawled_file(folder: Path) -> Path:
    """Return the file for the pages crawled for an index folder: it is next to the folder."""
    folder = folder.resolve()
    return folder.with_name(f"{folder.name}.crawled.jsonl")


def _describe_progress(watch: Monitor) -> str:
    if watch.reason:
        return "Stopping …"
    if not watch.requests:
        return "Asking the wiki …"
    return f"{_count(watch.pages, 'page')} fetched, {_count(watch.requests, 'request')} sent …"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def describe_outcomes(report: CrawlReport) -> str:
    """Return how many titles had which outcome, and name the first that are missing or failed."""
    counts = {outcome: len(report.titles(outcome)) for outcome in OUTCOMES}
    counted = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    lost = {"Not found": report.titles("missing"), "Failed": report.failed}
    named = (f" {what}: {_first(titles)}." for what, titles in lost.items() if titles)
    return "".join([f"Titles: {counted or 'none'}.", *named])


def _first(titles: Sequence[str]) -> str:
    more = f" and {len(titles) - MOST_NAMED:,} more" if len(titles) > MOST_NAMED else ""
    return f"{', '.join(titles[:MOST_NAMED])}{more}"
