"""Commands of an index and its answers: `index`, `update`, `verify`, `ask`, `demo`."""

import argparse
import json
import os
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from ragqa.cli.options import (
    Command,
    add_embedder,
    add_retriever,
    check_files,
    load_embedder,
    open_retriever,
    real,
    whole,
)
from ragqa.cli.pages import read_all_pages
from ragqa.cli.terminal import printable, wrap
from ragqa.errors import InputError
from ragqa.progress import counter
from ragqa.records import Answer, Hit, Passage
from ragqa.storage.json_lines import read_json_lines

if TYPE_CHECKING:
    from ragqa.demo import Crawler
    from ragqa.index.folder import IndexReport


def add_commands(command: Command) -> None:
    """Add these to the command line."""
    for add in (_add_index, _add_update, _add_verify, _add_ask, _add_demo):
        add(command)


def _add_index(command: Command) -> None:
    from ragqa.index.bm25 import K1, B

    parser = command(
        "index",
        _index,
        "build a search index of passages",
        "ragqa index --passages passages.jsonl --out index/",
    )
    parser.add_argument("--passages", required=True, metavar="FILE")
    parser.add_argument("--out", required=True, metavar="FOLDER")
    parser.add_argument("--k1", type=float, default=K1)
    parser.add_argument("--b", type=float, default=B)
    add_embedder(parser)


def _add_update(command: Command) -> None:
    parser = command(
        "update",
        _update,
        "add, change and remove pages of an index",
        'ragqa update index/ --passages changed.jsonl --remove "A page that is gone"',
    )
    parser.add_argument("index", metavar="INDEX")
    parser.add_argument(
        "--passages", metavar="FILE", help="of new and changed pages: they replace all that the index holds of these"
    )
    parser.add_argument("--remove", action="append", default=[], metavar="TITLE", help="a page; may be repeated")
    parser.add_argument("--embedder", metavar="MODEL", help="that the index was made with, if it has been moved")


def _add_verify(command: Command) -> None:
    parser = command(
        "verify",
        _verify,
        "check every byte of indexes, models and datasets, every record of pages and passages",
        "ragqa verify index/ passages.jsonl --pages pages.jsonl",
    )
    parser.add_argument("path", nargs="+", metavar="PATH")
    parser.add_argument(
        "--pages", nargs="+", default=[], metavar="FILE", help="that the passages were cut from, to compare them with"
    )


def _add_ask(command: Command) -> None:
    parser = command("ask", _ask, "answer one question", 'ragqa ask "why does dropout help?"')
    parser.add_argument("question", metavar="QUESTION")
    parser.add_argument("-k", type=whole(1), default=5, help="hits to show (default 5)")
    parser.add_argument("--json", action="store_true", help="for machines")
    add_retriever(parser)


def _add_demo(command: Command) -> None:
    parser = command("demo", _demo, "serve the chat", "ragqa demo --index index/ --port 7860")
    parser.add_argument("--host", default="127.0.0.1", help="another one demands --auth or --no-auth")
    parser.add_argument("--port", type=whole(0, 65535), default=7860, help="0 takes a free one (default 7860)")
    parser.add_argument(
        "--auth",
        metavar="USER:PASSWORD",
        help="who may come in; @FILE reads it from a file, RAGQA_AUTH may hold it too",
    )
    parser.add_argument("--no-auth", action="store_true", help="let everybody in who reaches the host")
    parser.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="another host name for the page, such as that of a reverse proxy; may be repeated (localhost and --host "
        "are always allowed)",
    )
    parser.add_argument(
        "--root-path", metavar="PATH", default="", help="path at which a reverse proxy serves the page, e.g. /chat"
    )
    parser.add_argument("--mcp", action="store_true", help="serve search and ask as tools for language models too")
    parser.add_argument("--feedback", metavar="FILE", help="for likes and dislikes; in the cache folder if not given")
    parser.add_argument(
        "--llm-base-url",
        metavar="URL",
        help="of a server with OpenAI's interface that writes answers; its key: RAGQA_LLM_KEY",
    )
    parser.add_argument("--llm-model", metavar="NAME")
    parser.add_argument(
        "--allow-crawl",
        metavar="CONTACT",
        help="let pages be crawled into the --index folders, on behalf of this e-mail address or URL; "
        "a folder that is not there begins as a copy of the starter corpus",
    )
    parser.add_argument(
        "--crawl-pages", type=whole(1), default=500, metavar="N", help="most pages of one crawl (default: 500)"
    )
    parser.add_argument(
        "--crawl-minutes",
        type=real(0),
        default=30.0,
        metavar="MINUTES",
        help="longest time of one crawl, in minutes (default: 30)",
    )
    parser.add_argument("--api-url", metavar="URL", help="api.php of the MediaWiki to crawl; Wikipedia's if not given")
    add_retriever(parser, index="append")


def _index(options: argparse.Namespace) -> None:
    from ragqa.index.folder import build_index

    passages = tuple(read_json_lines(options.passages, Passage))
    embedder = None if options.no_dense else load_embedder(options.embedder)
    with counter(len(passages) if embedder else 0, "passages") as counted:
        report = build_index(
            options.out, passages, embedder=embedder, k1=options.k1, b=options.b, progress=counted.update
        )
    _print_index(options.out, report)


def _update(options: argparse.Namespace) -> None:
    from ragqa.index.folder import update_index
    from ragqa.storage.generations import current

    if not options.passages and not options.remove:
        raise InputError("nothing to update: give --passages or --remove")
    current(options.index)
    check_files(options.passages)
    embedder = load_embedder(options.embedder) if options.embedder else None
    passages = read_json_lines(options.passages, Passage) if options.passages else ()
    with counter(None, "passages") as counted:
        report = update_index(options.index, passages, options.remove, embedder=embedder, progress=counted.update)
    _print_index(options.index, report)


def _print_index(folder: str, report: "IndexReport") -> None:
    print(
        f"{folder}: {report.passages:,} passages, {report.embedded:,} of them embedded now; pages: {len(report.added):,} "
        f"added, {len(report.changed):,} changed, {len(report.removed):,} removed"
    )


def _verify(options: argparse.Namespace) -> None:
    from ragqa.index.verify import verify

    pages = tuple(read_all_pages(options.pages))
    for path in options.path:
        print(f"{path}: {verify(path, pages)}")


def _ask(options: argparse.Namespace) -> None:
    from ragqa.answers.answer import as_dict
    from ragqa.search.question import check_question

    check_question(options.question)
    answer = open_retriever(options).ask(options.question, options.k)
    print(json.dumps(as_dict(answer), ensure_ascii=False, indent=1) if options.json else _as_text(answer))


def _as_text(answer: Answer) -> str:
    from ragqa.answers.answer import NO_ANSWER, NOTHING_FOUND, answering_span

    if not answer.hits:
        return NOTHING_FOUND
    head = NO_ANSWER if answer.abstained else answer.text
    hits = [_hit_as_text(rank, hit, answering_span(answer, rank)) for rank, hit in enumerate(answer.hits, 1)]
    return "\n\n".join([wrap(printable(head)), *hits])


def _hit_as_text(rank: int, hit: Hit, span: tuple[int, int]) -> str:
    from ragqa.text.passages import place

    scores = f"BM25 #{hit.bm25_rank} ({hit.bm25_score:.1f})" if hit.bm25_score else "not found by BM25"
    if hit.probability is not None:
        scores = f"{hit.probability:.0%}, score {hit.score:.2f}, {scores}"
    text = printable(hit.passage.text)
    start, end = span
    if end:
        opening, closing = ("\x1b[1m", "\x1b[0m") if sys.stdout.isatty() else ("»", "«")
        text = f"{text[:start]}{opening}{text[start:end]}{closing}{text[end:]}"
    lines = [f"{rank:2}. {printable(place(hit.passage))}  [{scores}]", textwrap.indent(wrap(text), "    ")]
    return "\n".join([*lines, f"    {printable(hit.passage.url)}"] if hit.passage.url else lines)


def _demo(options: argparse.Namespace) -> None:
    from ragqa import demo
    from ragqa.answers.written import Writer

    auth = options.auth if options.auth is not None else os.environ.get("RAGQA_AUTH") or None
    config = demo.ServerConfig(  # all options are checked before anything is loaded
        options.host,
        options.port,
        None if auth is None else demo.read_auth(auth),
        options.mcp,
        options.no_auth,
        tuple(options.allow_host),
        options.root_path,
    )
    demo.check_free(config.host, config.port)
    feedback, notice = demo.find_feedback(options.feedback)
    writer = None if options.llm_base_url is None else Writer(options.llm_base_url, options.llm_model)
    crawler = _open_crawler(options)
    corpora: list[demo.Corpus] = []
    for folder in options.index or [None]:
        reranker = corpora[0].retriever.reranker if corpora else options.model
        opened = open_retriever(argparse.Namespace(**{**vars(options), "index": folder, "model": reranker}))
        corpora.append(demo.Corpus(opened, folder))
    if writer:
        writer.reranker = corpora[0].retriever.reranker
    demo.serve(corpora, config, features=demo.Features(writer, feedback, crawler, notice, _recipe_tabs()))


def _open_crawler(options: argparse.Namespace) -> "Crawler | None":
    """Crawls into the index folders, if they are allowed; a folder that is not there begins as the starter corpus."""
    from ragqa.demo import Crawler, begin_folder

    if options.allow_crawl is None:
        return None
    if not options.index:
        raise InputError("--allow-crawl adds to --index folders: name one, which need not be there yet")
    crawler = Crawler(
        options.allow_crawl, options.api_url, max_pages=options.crawl_pages, max_minutes=options.crawl_minutes
    )
    for folder in options.index:
        begin_folder(folder)
    return crawler


def _recipe_tabs() -> dict[str, Any]:
    from ragqa.recipes import RECIPES, load_recipe

    return {recipe.TAB: recipe.add_tab for recipe in map(load_recipe, RECIPES)}
