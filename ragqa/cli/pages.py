"""Commands from a wiki to passages: `crawl`, `import-dump`, `clean`, `passages`."""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ragqa.cli.options import Command
from ragqa.cli.terminal import say
from ragqa.errors import CorpusError
from ragqa.progress import bar
from ragqa.records import Page, Passage
from ragqa.storage.json_lines import write_json_lines

if TYPE_CHECKING:
    from ragqa.wiki.outcomes import CrawlReport, Fate
    from ragqa.wiki.seeds import Seeds


def add_commands(command: Command) -> None:
    """Add these to the command line."""
    for add in (_add_crawl, _add_import_dump, _add_clean, _add_passages):
        add(command)


def _add_crawl(command: Command) -> None:
    from ragqa.wiki.api import LONGEST_WAIT_S, MOST_IN_FLIGHT
    from ragqa.wiki.login import PASSWORD

    parser = command(
        "crawl", _crawl, "fetch articles of Wikipedia or another MediaWiki into pages.jsonl",
        "ragqa crawl --titles corpus/wikipedia.toml --contact you@example.org --out pages.jsonl",
    )  # fmt: skip
    _add_seeds(parser)
    parser.add_argument("--dry-run", action="store_true", help="list the categories and say how much would be fetched")
    parser.add_argument(
        "--delay",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="shortest time from one request to the next (default: 0)",
    )
    parser.add_argument(
        "--in-flight",
        type=int,
        default=1,
        metavar="N",
        help=f"number of requests in flight together, 1 to {MOST_IN_FLIGHT} (default: 1)",
    )
    parser.add_argument("--cache", metavar="FILE", help="cache of replies, used for a day")
    parser.add_argument("--retry-failed", action="store_true", help="fetch only the titles that failed before")
    parser.add_argument(
        "--contact", metavar="ADDRESS", help="your e-mail address or URL, for the User-Agent (required)"
    )
    parser.add_argument(
        "--api-url",
        metavar="URL",
        help="the api.php of another MediaWiki; https://user:password@… for Basic authentication",
    )
    parser.add_argument(
        "--user",
        metavar="NAME",
        help=f"log in to a private wiki as this user, or as User@bot with a bot password; the password comes from the "
        f"environment variable {PASSWORD} or is asked for",
    )
    parser.add_argument("--lang", help="language of Wikipedia (default: en)")
    parser.add_argument(
        "--max-wait",
        type=float,
        default=LONGEST_WAIT_S,
        metavar="SECONDS",
        help=f"longest wait between retries, even if the server asks for more (default: {LONGEST_WAIT_S:.0f})",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE",
        help="output file; pages already in it are fetched again only if they changed",
    )


def _add_import_dump(command: Command) -> None:
    parser = command(
        "import-dump", _import_dump, "turn a MediaWiki XML dump, such as Wikipedia's, into pages.jsonl",
        'ragqa import-dump enwiki-latest-pages-articles-multistream.xml.bz2 --category "Machine learning" --out pages.jsonl',
    )  # fmt: skip
    parser.add_argument("dump", metavar="DUMP", help="XML, plain or packed with bzip2 (multistream too) or gzip")
    _add_seeds(parser)
    parser.add_argument(
        "--index-url", metavar="URL", help="the wiki's index.php, if the dump does not tell where it is"
    )
    parser.add_argument(
        "--out", required=True, metavar="FILE", help="output file; pages already in it stay as they are"
    )


def _add_seeds(parser: Any) -> None:
    parser.add_argument(
        "--category",
        action="append",
        default=[],
        metavar="NAME",
        help="category whose articles to take; may be repeated",
    )
    parser.add_argument("--depth", type=int, help="levels of subcategories to follow (default: 0)")
    parser.add_argument(
        "--title", action="append", default=[], metavar="TITLE", help="title of a page to take; may be repeated"
    )
    parser.add_argument(
        "--titles",
        action="append",
        default=[],
        metavar="FILE",
        help="file of titles, one a line, or TOML file of titles and categories; may be repeated",
    )
    parser.add_argument(
        "--namespace",
        action="append",
        default=[],
        metavar="NAME",
        help="namespace to take pages from, by name or number; may be repeated (default: 0, the articles)",
    )
    parser.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="REGEX",
        help="keep only category articles whose title matches this regular expression; may be repeated",
    )
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="REGEX",
        help="skip category members and subcategories whose title matches this regular expression; may be repeated",
    )


def _add_clean(command: Command) -> None:
    parser = command(
        "clean", _clean, "rid the text of pages from another crawler of doubled formulas and link sections",
        "ragqa clean --pages raw.jsonl.gz --out pages.jsonl",
    )  # fmt: skip
    parser.add_argument(
        "--pages", required=True, metavar="PATH", help="JSON Lines or Markdown file, or folder of Markdown files"
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="JSON Lines file; gzip if it ends in .gz")


def _add_passages(command: Command) -> None:
    parser = command(
        "passages",
        _passages,
        "cut pages into passages",
        "ragqa passages --pages pages.jsonl --out passages.jsonl",
    )
    parser.add_argument(
        "--pages",
        required=True,
        nargs="+",
        metavar="PATH",
        help='JSON Lines or Markdown files, folders of Markdown files, or "starter"',
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="JSON Lines file; gzip if it ends in .gz")
    parser.add_argument("--max-chars", type=int, default=500)
    parser.add_argument(
        "--style",
        choices=("sentences", "reference"),
        default="sentences",
        help="reference: raw windows, for comparison only",
    )


def _crawl(options: argparse.Namespace) -> int:
    from ragqa.wiki.crawl import CrawlConfig, crawl
    from ragqa.wiki.outcomes import FATES, PLANNED

    seeds = _read_seeds(options)
    config = CrawlConfig(
        out=options.out,
        contact=options.contact or "",
        seeds=replace(seeds, language=options.lang or seeds.language),
        retry_failed=options.retry_failed,
        api_url=options.api_url,
        user=options.user,
        password=_password(options.user),
        namespaces=tuple(options.namespace),
        include=tuple(options.include),
        exclude=tuple(options.exclude),
        longest_wait_s=options.max_wait,
        delay_s=options.delay,
        in_flight=options.in_flight,
        cache=options.cache,
        dry_run=options.dry_run,
    )
    report = crawl(config)
    _say_what_is_not_there(report.fates)
    if options.dry_run:
        planned = len(report.titles(PLANNED))
        known = _counts(report, FATES[1:])
        print(f"{options.out}: {planned} pages to fetch, in as many requests or a few more; {known}")
        return 0
    print(f"{options.out}: {_counts(report, FATES)} (what became of each title: {options.out}.titles)")
    _print_changes(report)
    return 1 if report.failed else 0


def _password(user: str | None) -> str:
    """The password of a wiki's user, from the environment or the terminal; empty if neither gives one."""
    from getpass import getpass

    from ragqa.wiki.login import PASSWORD

    if not user:
        return ""
    return os.environ.get(PASSWORD) or (getpass(f"Password of {user}: ") if sys.stdin.isatty() else "")


def _read_seeds(options: argparse.Namespace) -> "Seeds":
    """What the options and the files they name ask for, together."""
    from ragqa.wiki.seeds import Seeds, read_seeds

    read = [read_seeds(path) for path in options.titles]
    return Seeds(
        language=next((s.language for s in read if s.language != Seeds().language), Seeds().language),
        depth=options.depth if options.depth is not None else max((s.depth for s in read), default=0),
        categories=(*options.category, *(name for s in read for name in s.categories)),
        titles=(*options.title, *(title for s in read for title in s.titles)),
    )


def _say_what_is_not_there(fates: "Iterable[Fate]", kinds: Container[str] = ("missing", "empty", "failed")) -> None:
    for fate in fates:
        if fate.became in kinds:
            say(f"{fate.became}: {fate.title}" + (f": {fate.reason}" if fate.reason else ""))


def _print_changes(report: "CrawlReport") -> None:
    for old, new in report.renamed:
        say(f"renamed: {old} → {new}")
    for title in report.deleted:
        say(f"deleted: {title}")
    changes = {kind: len(getattr(report, kind)) for kind in ("added", "changed", "renamed", "deleted")}
    print("pages: " + ", ".join(f"{count} {kind}" for kind, count in changes.items()))


def _counts(report: "CrawlReport", kinds: Iterable[str]) -> str:
    return ", ".join(f"{len(report.titles(kind))} {kind}" for kind in kinds)


def _import_dump(options: argparse.Namespace) -> int:
    from ragqa.wiki.dump import import_dump
    from ragqa.wiki.outcomes import FATES

    seeds = _read_seeds(options)
    report = import_dump(
        options.dump,
        options.out,
        categories=seeds.categories,
        depth=seeds.depth,
        titles=seeds.titles,
        include=options.include,
        exclude=options.exclude,
        namespaces=options.namespace,
        index_url=options.index_url,
    )
    _say_what_is_not_there(report.fates, ("missing", "empty", "failed", "skipped"))
    print(
        f"{options.out}: "
        + ", ".join(f"{report.counts.get(kind, 0):,} {kind}" for kind in FATES if kind not in ("missing", "folded"))
    )
    return 1 if report.failed else 0


def _clean(options: argparse.Namespace) -> None:
    from ragqa.text.clean import clean_page
    from ragqa.text.pages import read_pages

    count = write_json_lines(options.out, map(clean_page, bar(read_pages(options.pages), "pages")))
    print(f"{options.out}: {count} pages")


def _passages(options: argparse.Namespace) -> None:
    from ragqa.text.passages import is_debris

    debris: Counter[bool] = Counter()
    titles: set[str] = set()

    def counted(passages: Iterable[Passage]) -> Iterator[Passage]:
        for passage in passages:
            debris[is_debris(passage)] += 1
            titles.add(passage.title)
            yield passage

    count = write_json_lines(options.out, counted(_split(bar(read_all_pages(options.pages), "pages"), options)))
    share = f"{100 * debris[True] / count:.1f} % list debris"
    print(f"{options.out}: {count:,} passages of {len(titles):,} pages, {share}")


def _split(pages: Iterable[Page], options: argparse.Namespace) -> Iterator[Passage]:
    from ragqa.text.passages import split, split_windows

    cut = split_windows if options.style == "reference" else split
    titles: set[str] = set()
    found = False
    for page in pages:
        if page.title in titles:
            say(f"page {page.title!r} is there twice; the second is passed over")
            continue
        titles.add(page.title)
        passages = cut(page, options.max_chars)
        if not passages:
            say(f"page {page.title!r} holds no text")
        found = found or bool(passages)
        yield from passages
    if not found:  # before the old file is replaced
        raise CorpusError(f"{', '.join(options.pages)}: no page holds text")


def read_all_pages(paths: Iterable[str]) -> Iterator[Page]:
    """The pages of several files and folders; "starter" stands for the starter corpus."""
    from ragqa.text.pages import read_pages, starter_folder

    for path in paths:
        yield from read_pages(starter_folder() if path == "starter" else path)
