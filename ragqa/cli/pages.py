"""Commands that turn a wiki into passages: `crawl`, `import-dump`, `import-zim`, `clean`, `passages`."""

import argparse
import os
import sys
from collections.abc import Container, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ragqa.cli.options import Command, add_columns, add_pages, given, named_columns, named_pages
from ragqa.cli.terminal import say
from ragqa.progress import bar
from ragqa.storage.json_lines import write_json_lines

if TYPE_CHECKING:
    from ragqa.wiki.importer import ImportReport
    from ragqa.wiki.outcomes import CrawlReport, Outcome
    from ragqa.wiki.seeds import Seeds


def add_commands(command: Command) -> None:
    """Add the commands of this module to the command line."""
    command(
        "crawl", _crawl, "fetch articles of Wikipedia or another MediaWiki into pages.jsonl",
        "ragqa crawl --titles corpus/wikipedia.toml --contact you@example.org --out pages.jsonl",
        _add_crawl_options,
    )  # fmt: skip
    command(
        "import-dump", _import_dump, "convert a MediaWiki XML dump, such as Wikipedia's, to pages.jsonl",
        'ragqa import-dump enwiki-latest-pages-articles-multistream.xml.bz2 --category "Machine learning" --out pages.jsonl',
        _add_import_dump_options,
    )  # fmt: skip
    command(
        "import-zim", _import_zim, "convert a ZIM file of a wiki, such as Kiwix's copies of Wikipedia, to pages.jsonl",
        "ragqa import-zim wikipedia_en_computer_maxi.zim --titles titles.txt --out pages.jsonl",
        _add_import_zim_options,
    )  # fmt: skip
    command(
        "clean", _clean, "remove repeated formulas and link sections from pages of another crawler",
        "ragqa clean --pages raw.jsonl.gz --out pages.jsonl",
        _add_clean_options,
    )  # fmt: skip
    command(
        "passages", _passages, "cut pages into passages",
        "ragqa passages notes/ --out passages.jsonl",
        _add_passages_options,
    )  # fmt: skip


def _add_crawl_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE",
        help="output file; pages already in it are fetched again only if they changed",
    )
    parser.add_argument(
        "--contact", metavar="ADDRESS", help="your e-mail address or URL, for the User-Agent (required)"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="list the categories and print the number of pages that would be fetched"
    )
    parser.add_argument("--retry-failed", action="store_true", help="fetch only the titles that failed before")
    _add_seed_options(parser.add_argument_group("pages to fetch"))
    _add_wiki_options(parser.add_argument_group("wiki"))
    _add_request_options(parser.add_argument_group("requests"))


def _add_wiki_options(group: Any) -> None:
    from ragqa.wiki.login import PASSWORD

    group.add_argument(
        "--lang",
        metavar="CODE",
        help="language of Wikipedia, e.g. en, simple or de (default: en); the bundled models know English only",
    )
    group.add_argument(
        "--api-url",
        metavar="URL",
        help="api.php of another MediaWiki; https://user:password@… for Basic authentication (default: that of Wikipedia)",
    )
    group.add_argument(
        "--user",
        metavar="NAME",
        help=f"log in to a private wiki as this user, or as User@bot with a bot password; the password comes from the "
        f"environment variable {PASSWORD} or is asked for",
    )


def _add_request_options(group: Any) -> None:
    from ragqa.wiki.api import LONGEST_WAIT_S, MOST_IN_FLIGHT

    group.add_argument(
        "--delay",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="minimum time between requests, in seconds (default: 0)",
    )
    group.add_argument(
        "--in-flight",
        type=int,
        default=1,
        metavar="N",
        help=f"number of requests sent at the same time, 1 to {MOST_IN_FLIGHT} (default: 1)",
    )
    group.add_argument(
        "--max-wait",
        type=float,
        default=LONGEST_WAIT_S,
        metavar="SECONDS",
        help=f"longest wait between retries, in seconds, even if the server asks for more (default: {LONGEST_WAIT_S:.0f})",
    )
    group.add_argument("--cache", metavar="FILE", help="file to cache replies in for a day (default: no cache)")


def _add_import_dump_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "dump", metavar="DUMP", help="dump file: XML, plain or compressed with bzip2 (multistream too) or gzip"
    )
    _add_import_options(parser, "derived from the dump")


def _add_import_zim_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("zim", metavar="ZIM", help="ZIM file of a wiki; of a split file, the first part (.zimaa)")
    _add_import_options(parser, "derived from the file's metadata")


def _add_import_options(parser: argparse.ArgumentParser, default_url: str) -> None:
    parser.add_argument(
        "--out", required=True, metavar="FILE", help="output file; pages already in it are kept unchanged"
    )
    parser.add_argument(
        "--index-url",
        metavar="URL",
        help=f"index.php of the wiki, for the URLs of pages (default: {default_url})",
    )
    _add_seed_options(parser.add_argument_group("pages to take (default: all articles)"))


def _add_seed_options(group: Any) -> None:
    group.add_argument(
        "--category",
        action="append",
        default=[],
        metavar="NAME",
        help="category whose articles to take; may be repeated",
    )
    group.add_argument("--depth", type=int, metavar="N", help="levels of subcategories to include (default: 0)")
    group.add_argument(
        "--title", action="append", default=[], metavar="TITLE", help="title of a page to take; may be repeated"
    )
    group.add_argument(
        "--titles",
        action="append",
        default=[],
        metavar="FILE",
        help="file with one title per line, or TOML file of titles and categories; may be repeated",
    )
    group.add_argument(
        "--namespace",
        action="append",
        default=[],
        metavar="NAME",
        help="namespace to take pages from, by name or number; may be repeated (default: 0, the articles)",
    )
    group.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="REGEX",
        help="keep only category articles whose title matches this regular expression; may be repeated",
    )
    group.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="REGEX",
        help="skip category members and subcategories whose title matches this regular expression; may be repeated",
    )


def _add_clean_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pages",
        required=True,
        metavar="PATH",
        help="pages to clean: JSON Lines file, table, document, or folder of documents",
    )
    add_columns(parser)
    _add_records_out(parser)


def _add_passages_options(parser: argparse.ArgumentParser) -> None:
    from ragqa.text.make_passages import STYLES
    from ragqa.text.passages import MAX_CHARS

    add_pages(parser)
    _add_records_out(parser)
    parser.add_argument(
        "--max-chars",
        type=int,
        default=MAX_CHARS,
        metavar="N",
        help=f"maximum length of a passage in characters (default: {MAX_CHARS})",
    )
    parser.add_argument(
        "--style",
        choices=STYLES,
        default=STYLES[0],
        help="sentences keeps sentences whole; reference cuts windows of equal length, only to reproduce the published "
        f"reference model (default: {STYLES[0]})",
    )


def _add_records_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", required=True, metavar="FILE", help="JSON Lines file to write; compressed if the name ends in .gz"
    )


def _crawl(options: argparse.Namespace) -> int:
    from ragqa.wiki.crawl import CrawlConfig, crawl
    from ragqa.wiki.outcomes import OUTCOMES, PLANNED

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
    _say_unavailable(report.outcomes)
    if options.dry_run:
        planned = len(report.titles(PLANNED))
        known = _counts(report, OUTCOMES[1:])
        print(f"{options.out}: {planned} pages to fetch, with about one request each; {known}")
        return 0
    print(f"{options.out}: {_counts(report, OUTCOMES)} (outcome of each title: {options.out}.titles)")
    _print_changes(report)
    return 1 if report.failed else 0


def _password(user: str | None) -> str:
    """Return the user's password from the environment or the terminal; empty if neither provides one."""
    from getpass import getpass

    from ragqa.wiki.login import PASSWORD

    if not user:
        return ""
    return os.environ.get(PASSWORD) or (getpass(f"Password of {user}: ") if sys.stdin.isatty() else "")


def _read_seeds(options: argparse.Namespace) -> "Seeds":
    """Merge the seeds of the options with those of the files that --titles names."""
    from ragqa.wiki.seeds import Seeds, read_seeds

    read = [read_seeds(path) for path in options.titles]
    return Seeds(
        language=next((s.language for s in read if s.language != Seeds().language), Seeds().language),
        depth=options.depth if options.depth is not None else max((s.depth for s in read), default=0),
        categories=(*options.category, *(name for s in read for name in s.categories)),
        titles=(*options.title, *(title for s in read for title in s.titles)),
    )


def _say_unavailable(outcomes: "Iterable[Outcome]", kinds: Container[str] = ("missing", "empty", "failed")) -> None:
    for outcome in outcomes:
        if outcome.became in kinds:
            say(f"{outcome.became}: {outcome.title}" + (f": {outcome.reason}" if outcome.reason else ""))


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

    return _report_import(options, import_dump(options.dump, options.out, **_import_arguments(options)))


def _import_zim(options: argparse.Namespace) -> int:
    from ragqa.wiki.zim import import_zim

    return _report_import(options, import_zim(options.zim, options.out, **_import_arguments(options)))


def _import_arguments(options: argparse.Namespace) -> dict[str, Any]:
    seeds = _read_seeds(options)
    return {
        "categories": seeds.categories,
        "depth": seeds.depth,
        "titles": seeds.titles,
        "include": options.include,
        "exclude": options.exclude,
        "namespaces": options.namespace,
        "index_url": options.index_url,
    }


def _report_import(options: argparse.Namespace, report: "ImportReport") -> int:
    from ragqa.wiki.outcomes import OUTCOMES

    _say_unavailable(report.outcomes, ("missing", "empty", "failed", "skipped"))
    print(
        f"{options.out}: "
        + ", ".join(f"{report.counts.get(kind, 0):,} {kind}" for kind in OUTCOMES if kind not in ("missing", "folded"))
    )
    return 1 if report.failed else 0


def _clean(options: argparse.Namespace) -> None:
    from ragqa.text.clean import clean_page
    from ragqa.text.make_passages import read_all_pages

    pages = read_all_pages([options.pages], columns=named_columns(options))
    count = write_json_lines(options.out, map(clean_page, bar(pages, "pages")))
    print(f"{options.out}: {count} pages")


def _passages(options: argparse.Namespace) -> None:
    from ragqa.text.make_passages import PassagesConfig, make_passages

    options.pages, options.columns = named_pages(options), named_columns(options)
    report = make_passages(PassagesConfig(**given(options, PassagesConfig)))
    debris = f"{100 * report.debris / report.passages:.1f} % list debris"
    skipped = f"; {report.skipped:,} files skipped" if report.skipped else ""
    print(f"{options.out}: {report.passages:,} passages of {report.pages:,} pages, {debris}{skipped}")
