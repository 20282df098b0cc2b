"""Pages that are crawled and indexed while questions are being answered: one job at a time, in a thread of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock, Thread

from ragqa.crawl import check_contact, crawl
from ragqa.demo.corpora import Corpus
from ragqa.errors import InputError, RagqaError
from ragqa.index import update_index
from ragqa.passages import split
from ragqa.records import Page, read_json_lines
from ragqa.wiki.fates import FATES, CrawlReport

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

    def __init__(self, contact: str, api_url: str | None = None) -> None:
        """Raises `InputError` for a contact that is no address."""
        check_contact(contact)
        self.contact, self.api_url = contact, api_url
        self._lock, self._done = Lock(), Event()
        self._running: Thread | None = None
        self._journal = Path()
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
                raise InputError("a crawl is on its way already; wait for its end")
            self._done.clear()
            self._told = "Asking the wiki …"
            self._journal = Path(f"{crawled_file(corpus.folder)}.partial")
            self._running = Thread(target=self._run, args=(corpus, corpus.folder, wanted), daemon=True)
            self._running.start()

    def follow(self, every_s: float = 0.5) -> Iterator[str]:
        """What is being done, told again after each half second, until the job has ended."""
        while True:
            ended = self._done.wait(every_s)
            yield self._told if ended else self._progress()
            if ended:
                return

    def _progress(self) -> str:
        try:
            fetched = self._journal.read_bytes().count(b"\n")
        except OSError:
            return self._told
        return f"{fetched:,} {'page' if fetched == 1 else 'pages'} fetched …"

    def _run(self, corpus: Corpus, folder: Path, wanted: Wanted) -> None:
        told = "It broke off; where the chat was started it is told why."
        try:
            told = self._grow(corpus, folder, wanted)
        except (RagqaError, OSError) as error:
            told = f"It failed: {error}. What was fetched is kept; the same again goes on from there."
        finally:
            self._told = told
            self._done.set()

    def _grow(self, corpus: Corpus, folder: Path, wanted: Wanted) -> str:
        out = crawled_file(folder)
        report = crawl(
            out,
            contact=self.contact,
            titles=wanted.titles,
            categories=wanted.categories,
            depth=wanted.depth,
            api_url=self.api_url,
            progress=False,
        )
        known = corpus.contents().pages
        new = [
            page for page in read_json_lines(out, Page) if page.title not in known or known[page.title] != page.revision
        ]
        gone = [title for title in (*report.deleted, *(old for old, _ in report.renamed)) if title in known]
        if not new and not gone:
            return f"Nothing is new. {tell_fates(report)}"
        passages = [passage for page in new for passage in split(page)]
        self._told = f"Indexing {len(passages):,} passages of {len(new):,} pages …"
        dense = corpus.retriever.dense
        indexed = update_index(folder, passages, gone, embedder=None if dense is None else dense.embedder)
        corpus.reopen()
        return f"Done: {indexed.passages:,} passages are searched now. {tell_fates(report)}"


def crawled_file(folder: Path) -> Path:
    """Where the pages that are crawled for an index folder are kept: beside it."""
    folder = folder.resolve()
    return folder.with_name(f"{folder.name}.crawled.jsonl")


def tell_fates(report: CrawlReport) -> str:
    """What became of the titles, in numbers, with the first of those that are not there or failed."""
    counts = {became: len(report.titles(became)) for became in FATES}
    told = [f"{count} {became}" for became, count in counts.items() if count]
    lost = {"Not there": report.titles("missing"), "Failed": report.failed}
    named = (f" {what}: {_first(titles)}." for what, titles in lost.items() if titles)
    return "".join([f"Of what was asked for: {', '.join(told) or 'nothing'}.", *named])


def _first(titles: Sequence[str]) -> str:
    more = f" and {len(titles) - MOST_NAMED:,} more" if len(titles) > MOST_NAMED else ""
    return f"{', '.join(titles[:MOST_NAMED])}{more}"
