"""The command line: one command for each step of the pipeline, parsing and printing only."""

import argparse
import io
import json
import os
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ragqa
from ragqa.errors import CorpusError, InputError, RagqaError
from ragqa.offline import OFFLINE
from ragqa.progress import bar, counter
from ragqa.records import Answer, Hit, Page, Passage, read_json_lines, write_json_lines

if TYPE_CHECKING:
    from ragqa.demo import Growth
    from ragqa.index import IndexReport
    from ragqa.train import TrainConfig
    from ragqa.wiki.fates import CrawlReport
    from ragqa.wiki.seeds import Seeds

_WIKIPEDIA = "wikipedia"
_EVERY_RECIPE = ("recipe", "data", "out", "seed", "offline")
_INDEX_HELP = "index folder; the bundled starter corpus if not given"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0, 1 after an error that is told in one line on stderr or if a page failed, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    if options.offline:
        os.environ[OFFLINE] = "1"
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        status: int = options.run(options) or 0
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has seen enough
        _drop_output()
        return 0
    except (RagqaError, OSError) as error:
        _drop_output()
        _say(" ".join(str(error).split()))
        return 1
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    return status


def _drop_output() -> None:
    """Let what is still to be printed go nowhere, so that the interpreter does not fail on it while it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _crawl(options: argparse.Namespace) -> int:
    from ragqa.crawl import crawl
    from ragqa.wiki.fates import FATES, PLANNED

    seeds = _read_seeds(options)
    report = crawl(
        options.out,
        contact=options.contact or "",
        categories=seeds.categories,
        depth=seeds.depth,
        titles=seeds.titles,
        retry_failed=options.retry_failed,
        api_url=options.api_url,
        lang=options.lang or seeds.language,
        include=options.include,
        exclude=options.exclude,
        longest_wait_s=options.max_wait,
        delay_s=options.delay,
        in_flight=options.in_flight,
        cache=options.cache,
        dry_run=options.dry_run,
    )
    _say_what_is_not_there(report)
    if options.dry_run:
        planned = len(report.titles(PLANNED))
        known = _counts(report, FATES[1:])
        print(f"{options.out}: {planned} pages to fetch, in as many requests or a few more; {known}")
        return 0
    print(f"{options.out}: {_counts(report, FATES)} (what became of each title: {options.out}.titles)")
    _print_changes(report)
    return 1 if report.failed else 0


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


def _say_what_is_not_there(report: "CrawlReport") -> None:
    for fate in report.fates:
        if fate.became in ("missing", "empty", "failed"):
            _say(f"{fate.became}: {fate.title}" + (f": {fate.reason}" if fate.reason else ""))


def _print_changes(report: "CrawlReport") -> None:
    for old, new in report.renamed:
        _say(f"renamed: {old} → {new}")
    for title in report.deleted:
        _say(f"deleted: {title}")
    changes = {kind: len(getattr(report, kind)) for kind in ("added", "changed", "renamed", "deleted")}
    print("pages: " + ", ".join(f"{count} {kind}" for kind, count in changes.items()))


def _counts(report: "CrawlReport", kinds: Iterable[str]) -> str:
    return ", ".join(f"{len(report.titles(kind))} {kind}" for kind in kinds)


def _import_dump(options: argparse.Namespace) -> int:
    from ragqa.dump import import_dump
    from ragqa.wiki.fates import FATES

    seeds = _read_seeds(options)
    report = import_dump(
        options.dump,
        options.out,
        categories=seeds.categories,
        depth=seeds.depth,
        titles=seeds.titles,
        include=options.include,
        exclude=options.exclude,
        index_url=options.index_url,
    )
    _say_what_is_not_there(report)
    print(
        f"{options.out}: "
        + ", ".join(f"{report.counts.get(kind, 0):,} {kind}" for kind in FATES if kind not in ("missing", "folded"))
    )
    return 1 if report.failed else 0


def _clean(options: argparse.Namespace) -> None:
    from ragqa.clean import clean_page
    from ragqa.corpus import read_pages

    count = write_json_lines(options.out, map(clean_page, bar(read_pages(options.pages), "pages")))
    print(f"{options.out}: {count} pages")


def _passages(options: argparse.Namespace) -> None:
    from ragqa.passages import is_debris

    debris: Counter[bool] = Counter()
    titles: set[str] = set()

    def counted(passages: Iterable[Passage]) -> Iterator[Passage]:
        for passage in passages:
            debris[is_debris(passage)] += 1
            titles.add(passage.title)
            yield passage

    count = write_json_lines(options.out, counted(_split(bar(_read_all_pages(options.pages), "pages"), options)))
    share = f"{100 * debris[True] / count:.1f} % list debris"
    print(f"{options.out}: {count:,} passages of {len(titles):,} pages, {share}")


def _split(pages: Iterable[Page], options: argparse.Namespace) -> Iterator[Passage]:
    from ragqa.passages import split, split_windows

    cut = split_windows if options.style == "reference" else split
    titles: set[str] = set()
    found = False
    for page in pages:
        if page.title in titles:
            _say(f"page {page.title!r} is there twice; the second is passed over")
            continue
        titles.add(page.title)
        passages = cut(page, options.max_chars)
        if not passages:
            _say(f"page {page.title!r} holds no text")
        found = found or bool(passages)
        yield from passages
    if not found:  # before the old file is replaced
        raise CorpusError(f"{', '.join(options.pages)}: no page holds text")


def _dataset(options: argparse.Namespace) -> None:
    if options.recipe != _WIKIPEDIA:
        _dataset_of_recipe(options)
        return
    if options.data:
        raise InputError("--data is for other recipes: give --passages or --judged, or --recipe")
    from ragqa import dataset
    from ragqa.card import write_dataset
    from ragqa.feedback import read_feedback
    from ragqa.judged import read_judged

    config = dataset.DatasetConfig(
        forms=tuple(options.forms),
        negatives=options.negatives,
        shares=tuple(options.shares),
        parts=tuple(options.parts),
        seed=options.seed,
    )
    passages = tuple(read_json_lines(options.passages, Passage)) if options.passages else ()
    if options.style == "reference":
        if not passages or options.judged or options.miner or options.feedback:
            raise InputError(
                "the reference style takes --passages of `ragqa passages --style reference`, no --judged, --feedback or --miner"
            )
        pairs = dataset.build_reference(passages, config)
    else:
        sources = [dataset.from_passages(passages, config.forms)] if passages else []
        sources += [dataset.from_judged(read_judged(folder)) for folder in options.judged]
        if options.feedback:
            sources.append(dataset.from_feedback(read_feedback(options.feedback), passages))
        if not sources:
            raise InputError("nothing to make pairs of: give --passages or --judged")
        if options.miner:
            miner = _load_embedder(options.miner)
            sources = [replace(source, embedder=miner) for source in sources]
        examples = sum(len(source.examples) for source in sources)
        with counter(examples, "questions") as counted:
            pairs = dataset.build(sources, config, lambda _: counted.update())
    mined = [f"hard negatives: BM25 and {options.miner}"] if options.miner else []
    taught = []
    if options.teacher:
        from ragqa.training.teach import soften

        taught = [f"labels of the train split: {', '.join(options.teacher)}, weight {options.teacher_weight}"]
        pairs["train"] = soften(pairs["train"], [*map(_load_embedder, options.teacher)], options.teacher_weight)
    report = write_dataset(
        pairs,
        options.out,
        title=options.title,
        sources=[Path(source).name for source in (options.passages, *options.judged) if source] + mined + taught,
        licence=options.licence,
        config=config,
    )
    print(json.dumps(report, indent=1))


def _dataset_of_recipe(options: argparse.Namespace) -> None:
    from ragqa.recipes import load_recipe

    usual = options.parser.get_default
    given = [name for name, value in vars(options).items() if name not in _EVERY_RECIPE and value != usual(name)]
    if not options.data or given:
        wrong = f", not --{given[0].replace('_', '-')}" if given else ""
        raise InputError(f"the recipe {options.recipe} takes --data, --out and --seed{wrong}")
    print(json.dumps(load_recipe(options.recipe).make_dataset(options.data, options.out, options.seed), indent=1))


def _embed(passages: Sequence[Passage], embedder: "ragqa.Embedder") -> "ragqa.DenseIndex":
    from ragqa.dense import DenseIndex

    with counter(len(passages), "passages") as counted:
        return DenseIndex.build(passages, embedder, counted.update)


def _load_embedder(source: str) -> "ragqa.Embedder":
    from ragqa.embed import Embedder

    if source == "bundled":
        return Embedder.load()
    from ragqa.train import base_path

    return Embedder.load(base_path(source))


def _train(options: argparse.Namespace) -> None:
    from ragqa.train import TrainConfig, train
    from ragqa.training.train_embedder import train_embedder

    names = [field.name for field in fields(TrainConfig)]
    given = {name: getattr(options, name) for name in names if getattr(options, name, None) is not None}
    config = replace(_trainings()[options.recipe], **given)
    run = train_embedder if options.recipe == "embedder" else train
    metrics = run(options.dataset, options.out, config)
    print(json.dumps(dict(metrics), indent=1))


def _trainings() -> dict[str, "TrainConfig"]:
    """Settings to train with by their names: the library's, and those of other recipes."""
    from ragqa import recipes, train

    return train.RECIPES | {name: recipes.load_recipe(name).TRAINING for name in recipes.RECIPES}


def _export(options: argparse.Namespace) -> None:
    from ragqa.export import export
    from ragqa.train import read_pairs

    export(options.model, options.out, read_pairs(options.dataset, "train"), int8=not options.no_int8)
    print(f"{options.out}: {sum(f.stat().st_size for f in Path(options.out).rglob('*') if f.is_file()) / 1e6:.1f} MB")


def _evaluate(options: argparse.Namespace) -> None:
    from ragqa import evaluate
    from ragqa.bm25 import Bm25Index
    from ragqa.judged import read_judged, select
    from ragqa.rerank import Reranker
    from ragqa.retrieve import Retriever
    from ragqa.wiki.seeds import read_seeds

    if options.chart:
        evaluate.check_chart(options.chart)
    reranker = Reranker.load(options.model)
    embedder = None if options.no_dense else _load_embedder(options.embedder)
    titles = frozenset(read_seeds(options.titles).titles) if options.titles else None
    reports, plain = [], []
    for name in options.judged:
        judged = read_judged(name)
        judged = select(judged, titles) if titles is not None else judged
        judged = evaluate.sample(judged, options.questions) if options.questions is not None else judged
        dense = _embed(judged.passages, embedder) if embedder else None
        retriever = Retriever(Bm25Index.build(judged.passages), reranker, dense=dense, candidates=options.candidates)
        systems = evaluate.variants(retriever, every=options.compare)
        with counter(len(judged.questions) * (len(systems) + options.answers), "questions") as counted:
            report = evaluate.compare(systems, judged, lambda _: counted.update())
            answers = (
                evaluate.inspect_answers(retriever, judged, lambda _: counted.update()) if options.answers else None
            )
        reports.append(report)
        plain.append(asdict(report) | ({"answers": asdict(answers)} if answers else {}))
        if not options.json:
            print(evaluate.table(report) + "\n" + (f"\n{evaluate.answers_table(answers)}\n" if answers else ""))
    if options.json:
        print(json.dumps(plain[0] if len(plain) == 1 else plain, indent=1))
    if options.chart:
        evaluate.draw(reports, options.chart)


def _index(options: argparse.Namespace) -> None:
    from ragqa.index import build_index

    embedder = None if options.no_dense else _load_embedder(options.embedder)
    passages = tuple(read_json_lines(options.passages, Passage))
    with counter(len(passages) if embedder else 0, "passages") as counted:
        report = build_index(
            options.out, passages, embedder=embedder, k1=options.k1, b=options.b, progress=counted.update
        )
    _print_index(options.out, report)


def _update(options: argparse.Namespace) -> None:
    from ragqa.index import update_index

    if not options.passages and not options.remove:
        raise InputError("nothing to update: give --passages or --remove")
    embedder = _load_embedder(options.embedder) if options.embedder else None
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
    from ragqa.verify import verify

    pages = tuple(_read_all_pages(options.pages))
    for path in options.path:
        print(f"{path}: {verify(path, pages)}")


def _ask(options: argparse.Namespace) -> None:
    from ragqa.answer import as_dict

    answer = _open_retriever(options).ask(options.question, options.k)
    print(json.dumps(as_dict(answer), ensure_ascii=False, indent=1) if options.json else _as_text(answer))


def _recipe_tabs() -> dict[str, Any]:
    from ragqa.recipes import RECIPES, load_recipe

    return {recipe.TAB: recipe.add_tab for recipe in map(load_recipe, RECIPES)}


def _demo(options: argparse.Namespace) -> None:
    from ragqa import demo
    from ragqa.dialogue.written import Writer

    growth = _open_growth(options)
    corpora: list[demo.Corpus] = []
    for folder in options.index or [None]:
        reranker = corpora[0].retriever.reranker if corpora else options.model
        opened = _open_retriever(argparse.Namespace(**{**vars(options), "index": folder, "model": reranker}))
        corpora.append(demo.Corpus(opened, folder))
    feedback, notice = demo.find_feedback(options.feedback)
    writer = None
    if options.llm_base_url is not None:
        writer = Writer(
            options.llm_base_url,
            options.llm_model,
            reranker=corpora[0].retriever.reranker,
        )
    auth = options.auth if options.auth is not None else os.environ.get("RAGQA_AUTH") or None
    demo.serve(
        corpora,
        host=options.host,
        port=options.port,
        auth=None if auth is None else demo.read_auth(auth),
        open_to_all=options.no_auth,
        mcp=options.mcp,
        extras=demo.Extras(writer, feedback, growth, notice, _recipe_tabs()),
    )


def _open_growth(options: argparse.Namespace) -> "Growth | None":
    """Crawls into the index folders, if they are allowed; a folder that is not there begins as the starter corpus."""
    from ragqa.demo import Growth, begin_folder

    if options.allow_crawl is None:
        return None
    if not options.index:
        raise InputError("--allow-crawl adds to --index folders: name one, which need not be there yet")
    growth = Growth(options.allow_crawl, options.api_url)
    for folder in options.index:
        begin_folder(folder)
    return growth


def _open_retriever(options: argparse.Namespace) -> "ragqa.Retriever":
    from ragqa.retrieve import Retriever

    reranker = None if options.bm25_only else options.model or "bundled"
    dense = False if options.no_dense or options.bm25_only else None
    embedder = _load_embedder(options.embedder) if options.embedder and dense is None else None
    return Retriever.open(
        options.index, reranker=reranker, dense=dense, embedder=embedder, candidates=options.candidates
    )


def _as_text(answer: Answer) -> str:
    from ragqa.answer import NO_ANSWER, NOTHING_FOUND, answering_span

    if not answer.hits:
        return NOTHING_FOUND
    head = NO_ANSWER if answer.abstained else answer.text
    hits = [_hit_as_text(rank, hit, answering_span(answer, rank)) for rank, hit in enumerate(answer.hits, 1)]
    return "\n\n".join([_wrap(_printable(head)), *hits])


def _hit_as_text(rank: int, hit: Hit, span: tuple[int, int]) -> str:
    from ragqa.passages import place

    scores = f"BM25 #{hit.bm25_rank} ({hit.bm25_score:.1f})" if hit.bm25_score else "not found by BM25"
    if hit.probability is not None:
        scores = f"{hit.probability:.0%}, score {hit.score:.2f}, {scores}"
    text = _printable(hit.passage.text)
    start, end = span
    if end:
        opening, closing = ("\x1b[1m", "\x1b[0m") if sys.stdout.isatty() else ("»", "«")
        text = f"{text[:start]}{opening}{text[start:end]}{closing}{text[end:]}"
    lines = [f"{rank:2}. {_printable(place(hit.passage))}  [{scores}]", textwrap.indent(_wrap(text), "    ")]
    return "\n".join([*lines, f"    {_printable(hit.passage.url)}"] if hit.passage.url else lines)


def _wrap(text: str) -> str:
    return "\n".join(textwrap.fill(line, 100) for line in text.splitlines())


def _read_all_pages(paths: Iterable[str]) -> Iterator[Page]:
    from ragqa.corpus import read_pages, starter_folder

    for path in paths:
        yield from read_pages(starter_folder() if path == "starter" else path)


def _say(message: str) -> None:
    print(f"ragqa: {_printable(message)}", file=sys.stderr)


def _printable(text: str) -> str:
    """Text without control characters, which a page may hold and a terminal would obey."""
    return re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", " ", text)


def _parser() -> argparse.ArgumentParser:
    from ragqa.recipes import RECIPES, load_recipe

    parser = argparse.ArgumentParser(
        prog="ragqa",
        description="Answers questions about machine learning from Wikipedia, with the passages that prove it.",
    )
    parser.add_argument("--version", action="version", version=f"ragqa {ragqa.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (
        _add_crawl, _add_import_dump, _add_clean, _add_passages, _add_dataset, _add_train, _add_export,
        _add_evaluate, _add_index, _add_update, _add_verify, _add_ask, _add_demo,
    ):  # fmt: skip
        add(commands)
    for recipe in RECIPES:
        load_recipe(recipe).add_commands(partial(_command, commands))
    return parser


def _command(commands: Any, name: str, run: Callable[[argparse.Namespace], int | None], what: str, example: str) -> Any:
    parser = commands.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--offline", action="store_true", help=f"open no connection ({OFFLINE}=1 does the same)")
    parser.set_defaults(run=run)
    return parser


def _add_crawl(commands: Any) -> None:
    from ragqa.wiki.mediawiki import LONGEST_WAIT_S, MOST_IN_FLIGHT

    parser = _command(
        commands, "crawl", _crawl, "fetch articles of Wikipedia or another MediaWiki into pages.jsonl",
        "ragqa crawl --titles corpus/wikipedia.toml --contact you@example.org --out pages.jsonl",
    )  # fmt: skip
    _add_seeds(parser)
    parser.add_argument("--dry-run", action="store_true", help="list the categories, say how much would be fetched")
    parser.add_argument(
        "--delay", type=float, default=0.0, metavar="SECONDS", help="from one request to the next, at least (default 0)"
    )
    parser.add_argument(
        "--in-flight",
        type=int,
        default=1,
        metavar="N",
        help=f"requests that wait for their answers together, 1 to {MOST_IN_FLIGHT} (default 1)",
    )
    parser.add_argument("--cache", metavar="FILE", help="keep replies there, and take them from there for a day")
    parser.add_argument("--retry-failed", action="store_true", help="ask again for the titles that failed")
    parser.add_argument(
        "--contact", metavar="ADDRESS", help="your e-mail address or URL, for the User-Agent (required)"
    )
    parser.add_argument("--api-url", metavar="URL", help="the api.php of another MediaWiki")
    parser.add_argument("--lang", help="language of Wikipedia (default en)")
    parser.add_argument(
        "--max-wait",
        type=float,
        default=LONGEST_WAIT_S,
        metavar="SECONDS",
        help=f"between retries, whatever the server asks for (default {LONGEST_WAIT_S:.0f})",
    )
    parser.add_argument(
        "--out", required=True, metavar="FILE", help="of what is there already only what has changed is fetched"
    )


def _add_import_dump(commands: Any) -> None:
    parser = _command(
        commands, "import-dump", _import_dump, "turn a MediaWiki XML dump, such as Wikipedia's, into pages.jsonl",
        'ragqa import-dump enwiki-latest-pages-articles-multistream.xml.bz2 --category "Machine learning" --out pages.jsonl',
    )  # fmt: skip
    parser.add_argument("dump", metavar="DUMP", help="XML, plain or packed with bzip2 (multistream too) or gzip")
    _add_seeds(parser)
    parser.add_argument(
        "--index-url", metavar="URL", help="the wiki's index.php, if the dump does not tell where it is"
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="the pages that are there already stay")


def _add_seeds(parser: Any) -> None:
    parser.add_argument("--category", action="append", default=[], metavar="NAME", help="its articles; may be repeated")
    parser.add_argument("--depth", type=int, help="levels of subcategories to follow (default 0)")
    parser.add_argument("--title", action="append", default=[], metavar="TITLE", help="may be repeated")
    parser.add_argument(
        "--titles",
        action="append",
        default=[],
        metavar="FILE",
        help="titles, one a line, or a TOML file with categories too",
    )
    parser.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="REGEX",
        help="of the articles in categories only those whose titles it is found in; may be repeated",
    )
    parser.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="REGEX",
        help="pass over members of categories, subcategories too, whose titles it is found in; may be repeated",
    )


def _add_clean(commands: Any) -> None:
    parser = _command(
        commands, "clean", _clean, "rid the text of pages from another crawler of doubled formulas and link sections",
        "ragqa clean --pages raw.jsonl.gz --out pages.jsonl",
    )  # fmt: skip
    parser.add_argument("--pages", required=True, metavar="PATH", help="JSON Lines file or folder of Markdown articles")
    parser.add_argument("--out", required=True, metavar="FILE")


def _add_passages(commands: Any) -> None:
    parser = _command(
        commands,
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
        help='JSON Lines files, folders of Markdown articles, or "starter"',
    )
    parser.add_argument("--out", required=True, metavar="FILE")
    parser.add_argument("--max-chars", type=int, default=500)
    parser.add_argument(
        "--style",
        choices=("sentences", "reference"),
        default="sentences",
        help="reference: raw windows, for comparison only",
    )


def _add_dataset(commands: Any) -> None:
    from ragqa.questions import FORMS
    from ragqa.recipes import RECIPES

    parser = _command(
        commands, "dataset", _dataset, "make labelled pairs from passages and from judged questions",
        "ragqa dataset --passages passages.jsonl --forms what how explain --out dataset/",
    )  # fmt: skip
    parser.add_argument(
        "--recipe",
        choices=(_WIKIPEDIA, *RECIPES),
        default=_WIKIPEDIA,
        help=f"what to make pairs of (default {_WIKIPEDIA})",
    )
    parser.add_argument("--data", metavar="DIR", help="of another recipe; it takes only this, --out and --seed")
    parser.add_argument("--passages", metavar="FILE", help="questions are generated for these")
    parser.add_argument(
        "--judged", action="append", default=[], metavar="FOLDER", help="questions of a BEIR folder; may be repeated"
    )
    parser.add_argument("--feedback", metavar="FILE", help="what readers said of hits, in the chat, on these passages")
    parser.add_argument("--out", required=True, metavar="FOLDER")
    parser.add_argument(
        "--forms", nargs="+", default=["what"], choices=FORMS, help="of generated questions (default what)"
    )
    parser.add_argument("--negatives", type=int, default=3, help="for each positive (default 3)")
    parser.add_argument(
        "--shares",
        nargs=3,
        type=float,
        default=[1, 1, 1],
        metavar=("RANDOM", "PAGE", "HARD"),
        help="of the kinds of negatives",
    )
    parser.add_argument(
        "--parts", nargs=3, type=float, default=[0.8, 0.1, 0.1], metavar=("TRAIN", "EVAL", "TEST"), help="of the pages"
    )
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument(
        "--miner", metavar="MODEL", help='bi-encoder that finds hard negatives beside BM25, or "bundled"'
    )
    parser.add_argument(
        "--teacher",
        nargs="+",
        default=[],
        metavar="MODEL",
        help="bi-encoders that soften the labels of the train split",
    )
    parser.add_argument(
        "--teacher-weight", type=float, default=0.25, help="share in a judged label, more in others (default 0.25)"
    )
    parser.add_argument(
        "--style", choices=("ragqa", "reference"), default="ragqa", help="reference: that model's own recipe"
    )
    parser.add_argument("--title", default="Questions and passages", help="of the card")
    parser.add_argument("--licence", default="cc-by-sa-4.0", help="of the texts, for the card (default Wikipedia's)")
    parser.set_defaults(parser=parser)


def _add_train(commands: Any) -> None:
    from ragqa.train import OFFLINE_BASE

    parser = _command(
        commands, "train", _train, "train a reranker, or an embedder, on datasets",
        "ragqa train --recipe listwise --dataset dataset/ --out model/",
    )  # fmt: skip
    parser.add_argument(
        "--recipe",
        choices=_trainings(),
        default="reference",
        help="reference: the published model's settings (default); listwise: the bundled reranker's; embedder: a bi-encoder; "
        "others: their own recipe's",
    )
    parser.add_argument("--dataset", required=True, nargs="+", metavar="FOLDER")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="interrupted, the same command goes on")
    parser.add_argument("--base", help=f"folder, hub id, or {OFFLINE_BASE} where there is no hub")
    group = parser.add_argument_group("settings", "instead of the recipe's own")
    group.add_argument("--epochs", type=float)
    group.add_argument("--batch-size", type=int, help="pairs, or questions where there are lists")
    group.add_argument("--list-size", type=int, help="passages of a question that are looked at together")
    group.add_argument("--learning-rate", type=float)
    group.add_argument("--warmup", type=float, help="share of all steps")
    group.add_argument("--max-length", type=int, help="tokens")
    group.add_argument("--dropout", type=float, help="0 is faster on CPUs")
    group.add_argument("--evaluations", type=int, help="in an epoch")
    group.add_argument("--seed", type=int)


def _add_export(commands: Any) -> None:
    parser = _command(
        commands, "export", _export, "write a trained model as OpenVINO, int8, without torch's weights",
        "ragqa export model/ --dataset dataset/ --out reranker/",
    )  # fmt: skip
    parser.add_argument("model", metavar="FOLDER")
    parser.add_argument(
        "--dataset", required=True, nargs="+", metavar="FOLDER", help="its train pairs calibrate the model"
    )
    parser.add_argument("--out", required=True, metavar="FOLDER")
    parser.add_argument("--no-int8", action="store_true", help="16-bit weights, 32-bit arithmetic")


def _add_evaluate(commands: Any) -> None:
    from ragqa.judged import STARTER_SETS

    parser = _command(
        commands,
        "evaluate",
        _evaluate,
        "measure rankings and answers on judged questions",
        "ragqa evaluate --judged starter starter-graded --compare --chart quality.png",
    )
    parser.add_argument(
        "--judged",
        nargs="+",
        default=["starter"],
        metavar="FOLDER",
        help=f"BEIR folders, or {', '.join(STARTER_SETS)} (default starter); -test: what nothing was trained on",
    )
    parser.add_argument("--compare", action="store_true", help="every part of the pipeline alone and together")
    parser.add_argument("--answers", action="store_true", help="look at answers, abstention and probabilities too")
    parser.add_argument("--chart", metavar="FILE", help="draw the comparison as PNG or SVG")
    parser.add_argument("--titles", metavar="FILE", help="only questions that pages with these titles answer")
    parser.add_argument("--questions", type=int, metavar="N", help="only N questions, evenly spaced")
    parser.add_argument("--model", metavar="MODEL", help="model folder or hub id; the bundled one if not given")
    _add_candidates(parser)
    _add_embedder(parser)
    parser.add_argument("--json", action="store_true", help="for machines; a list where there are several sets")


def _add_index(commands: Any) -> None:
    from ragqa.bm25 import K1, B

    parser = _command(
        commands,
        "index",
        _index,
        "build a search index of passages",
        "ragqa index --passages passages.jsonl --out index/",
    )
    parser.add_argument("--passages", required=True, metavar="FILE")
    parser.add_argument("--out", required=True, metavar="FOLDER")
    parser.add_argument("--k1", type=float, default=K1)
    parser.add_argument("--b", type=float, default=B)
    _add_embedder(parser)


def _add_update(commands: Any) -> None:
    parser = _command(
        commands,
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


def _add_verify(commands: Any) -> None:
    parser = _command(
        commands,
        "verify",
        _verify,
        "check every byte of indexes, models and datasets, every record of pages and passages",
        "ragqa verify index/ passages.jsonl --pages pages.jsonl",
    )
    parser.add_argument("path", nargs="+", metavar="PATH")
    parser.add_argument(
        "--pages", nargs="+", default=[], metavar="FILE", help="that the passages were cut from, to compare them with"
    )


def _add_ask(commands: Any) -> None:
    parser = _command(commands, "ask", _ask, "answer one question", 'ragqa ask "why does dropout help?"')
    parser.add_argument("question", metavar="QUESTION")
    parser.add_argument("-k", type=int, default=5, help="hits to show (default 5)")
    parser.add_argument("--json", action="store_true", help="for machines")
    _add_retriever(parser)


def _add_demo(commands: Any) -> None:
    parser = _command(commands, "demo", _demo, "serve the chat", "ragqa demo --index index/ --port 7860")
    parser.add_argument("--host", default="127.0.0.1", help="another one demands --auth or --no-auth")
    parser.add_argument("--port", type=int, default=7860, help="0 takes a free one (default 7860)")
    parser.add_argument(
        "--auth",
        metavar="USER:PASSWORD",
        help="who may come in; @FILE reads it from a file, RAGQA_AUTH may hold it too",
    )
    parser.add_argument("--no-auth", action="store_true", help="let everybody in who reaches the host")
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
    parser.add_argument("--api-url", metavar="URL", help="api.php of the MediaWiki to crawl; Wikipedia's if not given")
    _add_retriever(parser, index="append")


def _add_embedder(parser: Any) -> None:
    parser.add_argument(
        "--embedder",
        metavar="MODEL",
        default="bundled",
        help="bi-encoder folder or hub id; the bundled one if not given",
    )
    parser.add_argument("--no-dense", action="store_true", help="BM25 alone finds candidates")


def _add_candidates(parser: Any) -> None:
    from ragqa.retrieve import CANDIDATES

    parser.add_argument("--candidates", type=int, default=CANDIDATES, help=f"that are reranked (default {CANDIDATES})")


def _add_retriever(parser: Any, *, index: str = "store") -> None:
    again = "; may be repeated" if index == "append" else ""
    parser.add_argument("--index", action=index, metavar="FOLDER", help=f"{_INDEX_HELP}{again}")
    parser.add_argument("--model", metavar="MODEL", help="model folder or hub id; the bundled one if not given")
    parser.add_argument("--embedder", metavar="MODEL", help="that the index was made with, if it has been moved")
    parser.add_argument("--no-dense", action="store_true", help="BM25 alone finds candidates")
    parser.add_argument("--bm25-only", action="store_true", help="neither an embedder nor a reranker")
    _add_candidates(parser)
