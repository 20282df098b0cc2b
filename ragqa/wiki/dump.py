"""A wiki's articles from a MediaWiki XML dump, as pages."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from ragqa.text.wikitext import extract_text
from ragqa.wiki.dump_file import Entry, Site, open_dump
from ragqa.wiki.importer import ImportReport, make_request, run_import
from ragqa.wiki.links import Names

_DISAMBIGUATION = re.compile(
    r"__DISAMBIG__|\{\{\s*(?:disambig(?:uation)?(?: page)?|(?:human|place) name disambiguation|dab|hndis|geodis|"
    r"begriffsklärung|homonymie|desambiguación|disambigua|dp)\s*[|}]",
    re.IGNORECASE,
)


def import_dump(
    dump: str | Path,
    out: str | Path,
    *,
    categories: Iterable[str] = (),
    depth: int = 0,
    titles: Iterable[str] = (),
    include: Iterable[str] = (),
    exclude: Iterable[str] = (),
    namespaces: Iterable[str] = (),
    index_url: str | None = None,
    progress: bool = True,
) -> ImportReport:
    """Write the articles of a dump into `out`, in the dump's order: all, or the given titles and members of categories.

    The newest revision of a page counts. Titles may be redirects. The members of a category are the pages whose wikitext names
    it, or a category at most `depth` levels below it; redirects may name it for their article. Categories set by templates are
    not seen. Lists, disambiguation pages and pages that `include` and `exclude` reject (see `crawl`) are skipped, unless a
    title asks for them. `namespaces` are numbers or names (default: articles). A page that cannot be read, or whose text has
    more than 16 MiB, is failed if it is wanted, else skipped; the report names it. The pages of an existing `out` stay first
    and are not imported again. Page URLs begin with `index_url`, the wiki's `index.php`, or with a guess from the dump.

    Pages are appended to a journal, `<out>.partial`, which is on disk every second; `<out>.import` holds what it belongs to. A
    rerun with the same dump and the same arguments resumes from it, and `out` is then what an uninterrupted import writes.
    Raises `InputError` if the file is no dump or is cut short or damaged, or if the journal belongs to another import. The
    journal then keeps all pages that have been read.
    """
    dump = Path(dump)
    request = make_request(dump, "a dump", categories, depth, titles, include, exclude, namespaces, index_url)
    return run_import(_DumpFile(dump), Path(out), request, progress)


class _DumpFile:
    """A dump as an import reads it (`importer.WikiFile`)."""

    noun, unit = "dump", "B"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = self.length = path.stat().st_size

    def open(self, advance: Callable[[int], object]) -> AbstractContextManager[tuple[Site, Iterator[Entry]]]:
        return open_dump(self.path, advance)

    def names(self, site: Site) -> Names:
        return Names(site)

    def complete(self, entry: Entry) -> Entry:
        return entry

    def reason_to_skip(self, entry: Entry) -> str:
        if entry.model != "wikitext":
            return f"content model {entry.model}"
        return "a disambiguation page, by its wikitext" if _DISAMBIGUATION.search(entry.text) else ""

    def extract(self, entry: Entry, names: Names) -> str:
        return extract_text(entry.text, names.hidden)
