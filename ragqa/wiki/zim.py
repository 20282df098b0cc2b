"""A wiki's articles from a ZIM file, the offline copy that Kiwix offers, as pages."""

from collections.abc import Iterable
from pathlib import Path

from ragqa.errors import InputError, warn_of_fallback
from ragqa.wiki.importer import ImportReport, make_request, run_import
from ragqa.wiki.zim_file import ZimFile

_SAMPLE = 200  # articles that are searched for categories


def import_zim(
    zim: str | Path,
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
    """Write the articles of a ZIM file into `out`, in the order of their paths, as `dump.import_dump` does.

    Articles, titles, filters, journal and outcomes are those of `import_dump`, with these differences. The members of a
    category are the articles whose HTML names it, and subcategories are known only if the file holds the pages of categories.
    The URL of a page belongs to the wiki that the metadata `Source` or `Name` tell, or else is the one that the article states.
    The revision and its day are those that the article states; without a day, the date of the file is used.

    Raises `InputError` if the file is no ZIM file or is cut short, or if `categories` are given and its articles name none. A
    page that is damaged is failed if it is wanted, else skipped.
    """
    zim = Path(zim)
    request = make_request(zim, "a ZIM file", categories, depth, titles, include, exclude, namespaces, index_url)
    source = ZimFile(zim)
    if request.categories and not source.has_categories(_SAMPLE):
        raise InputError(
            f"{zim} cannot be filtered by category: none of its first {_SAMPLE} articles names one; "
            "use --title, --titles or --include"
        )
    if not source.site().base and not index_url:
        warn_of_fallback(
            f"{zim} does not say which wiki it comes from, so pages have the URL that their HTML states, or none; "
            "give --index-url"
        )
    report = run_import(source, Path(out), request, progress)
    if request.categories and depth and not source.has_category_pages:
        warn_of_fallback(f"{zim} holds no pages of categories, so no subcategories were found for --depth {depth}")
    return report
