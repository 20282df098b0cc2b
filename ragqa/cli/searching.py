"""Commands that build and search an index: `index`, `update`, `verify`, `push`, `ask`, `demo`."""

import argparse
import json
import os
import sys
import textwrap
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from itertools import chain
from typing import TYPE_CHECKING, Any

from ragqa.cli.options import (
    Command,
    add_built_with,
    add_columns,
    add_embedder,
    add_llm_timeout,
    add_pages,
    add_retriever,
    add_where,
    add_writer,
    check_met,
    check_writer,
    filter_of,
    named_columns,
    named_pages,
    open_retriever,
    open_writer,
    real,
    share,
    whole,
)
from ragqa.cli.terminal import printable, wrap
from ragqa.errors import InputError, shown_url
from ragqa.progress import bar, counter
from ragqa.records import Answer, Hit, Passage
from ragqa.storage.json_lines import read_json_lines

if TYPE_CHECKING:
    from ragqa.answers.written import Written
    from ragqa.demo import Crawler
    from ragqa.index.folder import IndexReport
    from ragqa.index.watch import Watcher

NO_GOOD_ANSWER = 3  # exit status of `ask`


def add_commands(command: Command) -> None:
    """Add the commands of this module to the command line."""
    command(
        "index", _index, "build a search index from passages or pages",
        "ragqa index notes/ --out index/",
        _add_index_options,
    )  # fmt: skip
    command(
        "update", _update, "add, replace and remove pages of an index",
        'ragqa update index/ --passages changed.jsonl --remove "A page that is gone"',
        _add_update_options,
    )  # fmt: skip
    command(
        "verify", _verify, "check indexes, models, datasets, and files of pages or passages for damage",
        "ragqa verify index/ passages.jsonl --pages pages.jsonl",
        _add_verify_options,
    )  # fmt: skip
    command(
        "push", _push, "copy an index into a database: Qdrant, or PostgreSQL with pgvector",
        "ragqa push index/ qdrant://localhost:6333/wiki",
        _add_push_options,
    )  # fmt: skip
    command("ask", _ask, "answer one question", 'ragqa ask "why does dropout help?"', _add_ask_options)
    command("demo", _demo, "serve the chat in the browser", "ragqa demo --index index/ --port 7860", _add_demo_options)


def _add_index_options(parser: argparse.ArgumentParser) -> None:
    from ragqa.index.bm25 import K1, B

    add_pages(parser)
    parser.add_argument("--passages", metavar="FILE", help="file of passages, made by ragqa passages, instead of pages")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="index folder to write")
    parser.add_argument(
        "--watch",
        action="store_true",
        help="go on after the build: update the index whenever a document in these folders is added, changed or removed, "
        "until Ctrl-C",
    )
    parser.add_argument(
        "--k1", type=float, default=K1, help=f"BM25: how much repeated words count, at least 0 (default: {K1})"
    )
    parser.add_argument(
        "--b", type=float, default=B, help=f"BM25: how much long passages are penalized, 0 to 1 (default: {B})"
    )
    add_embedder(parser)


def _add_update_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX", help="index folder to update")
    parser.add_argument(
        "--passages",
        metavar="FILE",
        help="file of all passages of the new and changed pages; they replace the pages with the same titles",
    )
    parser.add_argument(
        "--pages",
        nargs="+",
        default=[],
        metavar="PATH",
        help="new and changed pages, instead of their passages: files, documents or folders, as for ragqa index",
    )
    add_columns(parser)
    parser.add_argument(
        "--remove", action="append", default=[], metavar="TITLE", help="title of a page to remove; may be repeated"
    )
    add_built_with(parser)


def _add_push_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", metavar="INDEX", help="index folder to copy")
    parser.add_argument(
        "uri",
        metavar="URI",
        help="database to write to, in place of the index that is there: qdrant://HOST:PORT/NAME or "
        "postgresql://USER@HOST/DATABASE#NAME",
    )
    parser.add_argument("--no-dense", action="store_true", help="leave out the vectors")
    add_built_with(parser)


def _add_verify_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", nargs="+", metavar="PATH", help="index, model or dataset folder, or file of pages or passages"
    )
    parser.add_argument(
        "--pages",
        nargs="+",
        default=[],
        metavar="FILE",
        help="files or folders of the pages that the passages were cut from; checks that every passage is text of its page",
    )
    add_columns(parser)


def _add_ask_options(parser: argparse.ArgumentParser) -> None:
    from ragqa.answers.answer import THRESHOLD

    parser.add_argument(
        "question", metavar="QUESTION", help="question, in the language of the passages, at most 2,000 characters"
    )
    parser.add_argument("-k", type=whole(1), default=5, metavar="N", help="number of passages to show (default: 5)")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")
    parser.add_argument(
        "--threshold",
        type=share(),
        default=THRESHOLD,
        metavar="P",
        help=f"do not answer if the best passage is less likely than this to be relevant, 0 to 1 (default: {THRESHOLD})",
    )
    add_retriever(parser)
    add_where(parser)
    group = parser.add_argument_group("written answers")
    group.add_argument(
        "--write",
        action="store_true",
        help="let a language model write the answer from the passages; give --llm-base-url or --llm-model-file",
    )
    add_writer(group)
    add_llm_timeout(group)
    parser.epilog = (
        f"{parser.epilog}\n\nexit status:\n  0 answered, {NO_GOOD_ANSWER} no good answer, 1 error, 2 bad usage"
    )


def _add_demo_options(parser: argparse.ArgumentParser) -> None:
    add_retriever(parser, several=True)
    add_where(parser)
    _add_server_options(parser.add_argument_group("server"))
    _add_chat_options(parser.add_argument_group("chat"))
    _add_crawl_options(parser.add_argument_group("crawling from the page"))


def _add_server_options(group: Any) -> None:
    group.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; addresses that other machines can reach need --auth or --no-auth (default: 127.0.0.1)",
    )
    group.add_argument(
        "--port", type=whole(0, 65535), default=7860, help="port to listen on; 0 picks a free one (default: 7860)"
    )
    group.add_argument(
        "--auth",
        metavar="USER:PASSWORD",
        help="user name and password for the page; @FILE reads them from a file (default: the environment variable "
        "RAGQA_AUTH)",
    )
    group.add_argument("--no-auth", action="store_true", help="let everyone who can reach the host use the page")
    group.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="another host name of the page, such as that of a reverse proxy; may be repeated (localhost and --host "
        "are always allowed)",
    )
    group.add_argument(
        "--root-path", metavar="PATH", default="", help="path at which a reverse proxy serves the page, e.g. /chat"
    )


def _add_chat_options(group: Any) -> None:
    group.add_argument(
        "--mcp", action="store_true", help="also serve search and ask as tools for language models (MCP)"
    )
    group.add_argument(
        "--feedback", metavar="FILE", help="file to append likes and dislikes to (default: a file in the cache folder)"
    )
    add_writer(group)
    add_llm_timeout(group)


def _add_crawl_options(group: Any) -> None:
    group.add_argument(
        "--allow-crawl",
        metavar="CONTACT",
        help="let visitors crawl pages into the --index folders, and send this e-mail address or URL to the wiki as "
        "contact; a folder that does not exist starts as a copy of the starter corpus",
    )
    group.add_argument(
        "--crawl-pages",
        type=whole(1),
        default=500,
        metavar="N",
        help="maximum number of pages in one crawl (default: 500)",
    )
    group.add_argument(
        "--crawl-minutes",
        type=real(0),
        default=30.0,
        metavar="MINUTES",
        help="time limit of one crawl, in minutes (default: 30)",
    )
    group.add_argument(
        "--api-url", metavar="URL", help="api.php of the MediaWiki to crawl (default: that of English Wikipedia)"
    )


def _index(options: argparse.Namespace) -> None:
    from ragqa.index.folder import build_index, usable
    from ragqa.models.named import load_embedder
    from ragqa.text.language import language_of, sample_texts

    if not (options.passages or options.paths or options.pages):
        raise InputError("nothing to index: give pages, such as a folder of notes, or --passages")
    watcher = _open_watcher(options) if options.watch else None
    passages = watcher.read() if watcher else tuple(_read_passages(options, [*options.paths, *options.pages]))
    loaded = None if options.no_dense else load_embedder(options.embedder)
    embedder = usable(loaded, language_of(sample_texts(passages)))
    with counter(len(passages) if embedder else 0, "passages") as counted:
        report = build_index(
            options.out, passages, embedder=embedder, k1=options.k1, b=options.b, progress=counted.update
        )
    _print_index(options.out, report)
    if watcher:
        watcher.watch(options.out, embedder, lambda report: _print_index(options.out, report))


def _read_passages(options: argparse.Namespace, pages: Sequence[str]) -> Iterable[Passage]:
    """Return the passages of the file or of the pages that are named; none if neither is."""
    from ragqa.text.make_passages import cut_pages, read_all_pages

    if pages and options.passages:
        raise InputError("pages and --passages exclude each other; give one of the two")
    if options.passages:
        return read_json_lines(options.passages, Passage)
    return chain.from_iterable(cut_pages(bar(read_all_pages(pages, columns=named_columns(options)), "pages")))


def _open_watcher(options: argparse.Namespace) -> "Watcher":
    from ragqa.index.watch import Watcher

    if options.passages:
        raise InputError("--watch needs folders of documents; leave out --passages")
    return Watcher(named_pages(options))


def _update(options: argparse.Namespace) -> None:
    from ragqa.index.folder import update_index
    from ragqa.index.previous import is_up_to_date
    from ragqa.models.named import load_embedder
    from ragqa.storage.files import check_inputs
    from ragqa.storage.generations import current

    if is_up_to_date(options.index) and not (options.passages or options.pages or options.remove):
        raise InputError("nothing to update: give --passages, --pages or --remove")
    current(options.index)
    check_inputs(options.passages, *(path for path in options.pages if path != "starter"))
    embedder = load_embedder(options.embedder) if options.embedder else None
    passages = _read_passages(options, options.pages)
    with counter(None, "passages") as counted:
        report = update_index(options.index, passages, options.remove, embedder=embedder, progress=counted.update)
    _print_index(options.index, report)


def _print_index(folder: str, report: "IndexReport") -> None:
    print(
        f"{folder}: {report.passages:,} passages, {report.embedded:,} of them embedded now; pages: {len(report.added):,} "
        f"added, {len(report.changed):,} changed, {len(report.removed):,} removed",
        flush=True,  # a pipe shows each update of --watch at once
    )


def _verify(options: argparse.Namespace) -> None:
    from ragqa.index.verify import verify
    from ragqa.text.make_passages import read_all_pages

    pages = tuple(read_all_pages(options.pages, columns=named_columns(options)))
    for path in options.path:
        print(f"{path}: {verify(path, pages)}")


def _push(options: argparse.Namespace) -> None:
    from ragqa.index.bm25 import Bm25Index
    from ragqa.index.database import open_store, push_index
    from ragqa.index.folder import open_index
    from ragqa.models.named import load_embedder

    Bm25Index.verify(options.index)  # all of it is read here, and a copy would hide damage
    store = open_store(options.uri)
    embedder = load_embedder(options.embedder) if options.embedder else None
    index, dense = open_index(options.index, False if options.no_dense else None, embedder)
    with counter(len(index.passages), "passages") as counted:
        push_index(index, dense, store, counted.update)
    store.close()
    vectors = "without vectors" if dense is None else "with vectors"
    print(
        f"{len(index.passages):,} passages are stored {vectors}; ask with: ragqa ask QUESTION --index {shown_url(options.uri)}"
    )


def _ask(options: argparse.Namespace) -> int:
    from ragqa.answers.answer import as_dict
    from ragqa.search.question import check_question

    check_question(options.question)
    where = filter_of(options)
    check_writer(options, "--write", wanted=options.write)
    with open_writer(options) if options.write else nullcontext() as writer:
        retriever = open_retriever(options, options.index, where=where)
        answer = retriever.ask(options.question, options.k, threshold=options.threshold)
        written = None
        if writer and not answer.abstained:
            *_, written = writer.write(answer.question, answer.hits, retriever.reranker)
    if options.json:
        print(
            json.dumps(as_dict(answer) | (_written_as_dict(written) if written else {}), ensure_ascii=False, indent=1)
        )
    else:
        print(_as_text(answer, written))
    return NO_GOOD_ANSWER if answer.abstained else 0


def _written_as_dict(written: "Written") -> dict[str, Any]:
    return {"written": {"text": written.text, "sentences": [asdict(sentence) for sentence in written.sentences]}}


def _written_as_text(written: "Written") -> str:
    """Format a written answer; ⚠ marks sentences that no passage supports."""
    from ragqa.answers.citations import SUPPORTED

    if not written.text:
        return "The language model finds no answer in the passages. The quoted answer:"
    marked = [f"{s.text}{'' if s.support == SUPPORTED else ' ⚠'}" for s in written.sentences]
    doubtful = any(s.support != SUPPORTED for s in written.sentences)
    note = "\n    ⚠ no passage supports this sentence" if doubtful else ""
    return f"{wrap(printable(' '.join(marked)))}\n    — written by a language model from the passages below{note}"


def _as_text(answer: Answer, written: "Written | None" = None) -> str:
    from ragqa.answers.answer import abstention, is_reranked, quoted_spans

    asked = [wrap(printable(f"Asked as: {answer.question}"))] if answer.typed else []
    asked += [_written_as_text(written)] if written else []
    answered = answer.hits and not answer.abstained
    head = _quotes_as_text(answer) if answered else wrap(printable(abstention(answer)))
    hits = [
        _hit_as_text(rank, hit, quoted_spans(answer, rank), is_reranked(answer))
        for rank, hit in enumerate(answer.hits, 1)
    ]
    return "\n\n".join([*asked, head, *hits])


def _quotes_as_text(answer: Answer) -> str:
    from ragqa.text.passages import heading_path

    if not answer.quotes:  # without a reranker
        return wrap(printable(answer.text))
    chance = "" if answer.probability is None else f", {answer.probability:.0%} likely to answer"
    sources = [printable(heading_path(answer.hits[quote.hit].passage)) for quote in answer.quotes]
    return "\n\n".join(
        f"{wrap(printable(quote.said))}\n    — {source} [{quote.hit + 1}]{chance}"
        for quote, source in zip(answer.quotes, sources, strict=True)
    )


def _hit_as_text(rank: int, hit: Hit, spans: Sequence[tuple[int, int]], reranked: bool) -> str:
    from ragqa.text.passages import heading_path, source_line

    scores = f"BM25 #{hit.bm25_rank} ({hit.bm25_score:.1f})" if hit.bm25_score else "not found by BM25"
    if reranked:
        scores = f"score {hit.score:.2f}, {scores}"
    if hit.probability is not None:
        scores = f"{hit.probability:.0%}, {scores}"
    text = printable(hit.passage.text)
    opening, closing = ("\x1b[1m", "\x1b[0m") if sys.stdout.isatty() else ("»", "«")
    for start, end in reversed(spans):
        text = f"{text[:start]}{opening}{text[start:end]}{closing}{text[end:]}"
    lines = [f"{rank:2}. {printable(heading_path(hit.passage))}  [{scores}]", textwrap.indent(wrap(text), "    ")]
    source = source_line(hit.passage)
    return "\n".join([*lines, f"    {printable(source)}"] if source else lines)


def _demo(options: argparse.Namespace) -> None:
    from ragqa import demo
    from ragqa.index.folder import is_uri

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
    for source in options.index or ():
        if is_uri(source):
            raise InputError(f"the chat shows whole pages and needs an index folder, not {shown_url(source)}")
    where = filter_of(options)
    crawler = _open_crawler(options)
    with open_writer(options) as writer:
        corpora: list[demo.Corpus] = []
        for folder in options.index or [None]:
            reranker = corpora[0].retriever.reranker if corpora else None
            opened = open_retriever(options, folder, reranker, where=where)
            check_met(opened)
            corpora.append(demo.Corpus(opened, folder))
        demo.serve(corpora, config, features=demo.Features(writer, feedback, crawler, notice, _recipe_tabs()))


def _open_crawler(options: argparse.Namespace) -> "Crawler | None":
    """Return the crawler for the index folders, or None without --allow-crawl. Create missing folders."""
    from ragqa.demo import Crawler, begin_folder

    if options.allow_crawl is None:
        return None
    if not options.index:
        raise InputError("--allow-crawl needs --index: name the folder to crawl into, which may be a new one")
    crawler = Crawler(
        options.allow_crawl, options.api_url, max_pages=options.crawl_pages, max_minutes=options.crawl_minutes
    )
    for folder in options.index:
        begin_folder(folder)
    return crawler


def _recipe_tabs() -> dict[str, Any]:
    from ragqa.recipes import load_recipe, recipe_names

    return {recipe.TAB: recipe.add_tab for recipe in map(load_recipe, recipe_names())}
