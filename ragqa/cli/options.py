"""Options that several commands share, the types of their values, and the retriever that they open."""

import argparse
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from ragqa.cli.terminal import say
from ragqa.errors import InputError

if TYPE_CHECKING:
    from ragqa.answers.written import Writer
    from ragqa.index.filters import Filter
    from ragqa.models.reranker import Reranker
    from ragqa.search.retriever import Retriever
    from ragqa.text.tables import Columns

Run = Callable[[argparse.Namespace], int | None]  # runs a command, returns its exit status
AddOptions = Callable[[argparse.ArgumentParser], None]
# adds a command: its name, what runs it, what it does, an example, what adds its options; returns its parser
Command = Callable[[str, Run, str, str, AddOptions], Any]

Number = TypeVar("Number", int, float)

MODEL_HELP = "reranker: folder or hub id (default: the bundled one, for English)"
NO_DENSE_HELP = "do not use the embedder; find candidates with BM25 alone"


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return a type for `add_argument`: whole numbers from `least` to `most`."""
    limits = f"of at least {least}" if most is None else f"from {least} to {most}"

    def parse(text: str) -> int:
        return _parse(
            text, int, lambda value: value >= least and (most is None or value <= most), f"a whole number {limits}"
        )

    return parse


def real(above: float, below: float = math.inf) -> Callable[[str], float]:
    """Return a type for `add_argument`: numbers between two limits, both excluded."""
    limits = f"above {above:g}" + ("" if below == math.inf else f" and below {below:g}")
    return lambda text: _parse(text, float, lambda value: above < value < below, f"a number {limits}")


def share(*, below_one: bool = False) -> Callable[[str], float]:
    """Return a type for `add_argument`: numbers from 0 to 1; with `below_one` 1 is excluded."""
    limits = "of at least 0 and below 1" if below_one else "from 0 to 1"
    return lambda text: _parse(
        text, float, lambda value: 0 <= value < 1 or (value == 1 and not below_one), f"a number {limits}"
    )


def weight(text: str) -> float:
    """Parse a finite number of at least 0: a type for `add_argument`."""
    return _parse(text, float, lambda value: 0 <= value < math.inf, "a number of at least 0")


def _parse(text: str, kind: Callable[[str], Number], fits: Callable[[Number], bool], wanted: str) -> Number:
    try:
        value = kind(text)
        fitting = fits(value)  # False for NaN
    except ValueError:
        fitting = False
    if not fitting:
        raise argparse.ArgumentTypeError(f"{text} is not {wanted}")
    return value


def given(options: argparse.Namespace, config: Any) -> dict[str, Any]:
    """Return the options that were given and are named like a field of a configuration, lists as tuples."""
    values = {field.name: getattr(options, field.name, None) for field in fields(config)}
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items() if value is not None
    }


def add_pages(parser: argparse.ArgumentParser) -> None:
    """Add the paths of pages, which may also be given with `--pages`."""
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="pages to cut: JSON Lines files, documents (Markdown, text, HTML, notebooks, PDF, DOCX, EPUB), folders of "
        'documents, tables (CSV, TSV, Parquet), or "starter" for the starter corpus',
    )
    parser.add_argument("--pages", nargs="+", default=[], metavar="PATH", help="another way to name these paths")
    add_columns(parser)


def add_columns(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the columns of tables."""
    for field in ("title", "text", "url"):
        parser.add_argument(
            f"--{field}-column",
            metavar="NAME",
            help=f"column of a table, or key of JSON Lines, that holds the {field} (default: {field}); all columns that are "
            "not named become metadata",
        )


def named_columns(options: argparse.Namespace) -> "Columns":
    """Return the columns that the options of `add_columns` name."""
    from ragqa.text.tables import Columns

    return Columns(options.title_column, options.text_column, options.url_column)


def named_pages(options: argparse.Namespace) -> list[str]:
    """Return the paths of `add_pages`. Raises `InputError` if there are none."""
    paths = [*options.paths, *options.pages]
    if not paths:
        raise InputError("no pages are named; give files or folders, such as notes/")
    return paths


def add_embedder(parser: argparse.ArgumentParser) -> None:
    """Add `--embedder` and `--no-dense` to a command that embeds passages."""
    parser.add_argument(
        "--embedder",
        metavar="MODEL",
        default="bundled",
        help="embedder (bi-encoder): folder, hub id, or fast for the smaller of the bundled ones, which is many times as fast "
        "(default: the better of the bundled ones; both know English)",
    )
    parser.add_argument("--no-dense", action="store_true", help=NO_DENSE_HELP)


def add_built_with(parser: argparse.ArgumentParser) -> None:
    """Add `--embedder` to a command that opens an index."""
    parser.add_argument(
        "--embedder", metavar="MODEL", help="embedder the index was built with, if its folder has moved"
    )


def add_candidates(parser: argparse.ArgumentParser) -> None:
    """Add `--candidates`."""
    from ragqa.search.retriever import CANDIDATES

    parser.add_argument(
        "--candidates",
        type=whole(1),
        default=CANDIDATES,
        metavar="N",
        help=f"number of passages to rerank (default: {CANDIDATES})",
    )


def add_retriever(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Add the options of `open_retriever`; with `several`, `--index` may be repeated."""
    parser.add_argument(
        "--index",
        action="append" if several else "store",
        metavar="INDEX",
        help="index folder, or URI of a database that an index was pushed to (ragqa push)"
        f"{'; may be repeated' if several else ''} (default: the bundled starter corpus)",
    )
    parser.add_argument("--model", metavar="MODEL", help=MODEL_HELP)
    add_built_with(parser)
    parser.add_argument("--no-dense", action="store_true", help=NO_DENSE_HELP)
    parser.add_argument("--bm25-only", action="store_true", help="search with BM25 alone, without any model")
    parser.add_argument(
        "--no-correct", action="store_true", help="search for questions as typed, without correcting typing errors"
    )
    add_candidates(parser)


def add_where(parser: argparse.ArgumentParser) -> None:
    """Add `--where`."""
    parser.add_argument(
        "--where",
        metavar="CONDITION",
        action="append",
        default=[],
        help="search only passages whose metadata or fields meet a condition, such as category=physics, 'date>=2024' or "
        "'language in en,de' (operators: =, !=, <, <=, >, >=, in); may be repeated; all must be met",
    )


def filter_of(options: argparse.Namespace) -> "Filter | None":
    """Return the filter of `--where`, or None without one. Raises `InputError` for an invalid condition."""
    from ragqa.index.filters import Filter

    return Filter.parse(options.where) if options.where else None


def check_met(retriever: "Retriever") -> None:
    """Raise `InputError` if no passage meets the filter of a retriever."""
    if retriever.none_meets():
        raise InputError(f"--where: no passage meets {retriever.where}; give another condition")


def add_writer(group: Any, writes: str = "answers", default: str = "answers are quoted") -> None:
    """Add the options that name a language model: `--llm-base-url`, `--llm-model` and `--llm-model-file`.

    `writes` says what the model writes, `default` what happens without one.
    """
    group.add_argument(
        "--llm-base-url",
        metavar="URL",
        help=f"base URL of an OpenAI-compatible server whose language model writes the {writes}, e.g. "
        f"http://localhost:11434/v1; the environment variable RAGQA_LLM_KEY holds its API key (default: {default})",
    )
    group.add_argument(
        "--llm-model",
        metavar="NAME",
        help="language model to use on the server of --llm-base-url (default: the first one it lists)",
    )
    group.add_argument(
        "--llm-model-file",
        metavar="FILE",
        help=f"GGUF file of a chat model that writes the {writes}; it runs on this machine until the command ends",
    )


@contextmanager
def open_writer_url(options: argparse.Namespace) -> Iterator[str | None]:
    """Yield the base URL of the server that writes answers, or None. The server of `--llm-model-file` ends with the context."""
    if options.llm_model_file is None:
        yield options.llm_base_url
        return
    if options.llm_base_url is not None:
        raise InputError("--llm-base-url and --llm-model-file exclude each other")
    from ragqa.answers.model_server import start_model

    with start_model(options.llm_model_file) as server:
        say(server.about)
        yield server.url


def check_writer(options: argparse.Namespace, flag: str, *, wanted: bool) -> None:
    """Raise `InputError` unless a language model is named exactly if the option `flag` asks for one (`wanted`)."""
    named = options.llm_base_url or options.llm_model_file
    if wanted and not named:
        raise InputError(f"{flag} needs a language model; give --llm-base-url or --llm-model-file")
    if named and not wanted:
        raise InputError(f"a language model is named, but {flag} is missing, so it would not be used")


def add_llm_timeout(group: Any, writes: str = "answer") -> None:
    """Add `--llm-timeout`; `writes` is what the model writes."""
    from ragqa.answers.patience import BETWEEN_WORDS_S, FIRST_WORD_S

    group.add_argument(
        "--llm-timeout",
        type=real(0),
        default=FIRST_WORD_S,
        metavar="SECONDS",
        help="longest wait for the first word of the language model, in seconds, including the time to load the model "
        f"(default: {FIRST_WORD_S:g}). Each later word may take {BETWEEN_WORDS_S:g} seconds, the whole {writes} four times as "
        "long as the first word",
    )


@contextmanager
def open_writer(options: argparse.Namespace) -> "Iterator[Writer | None]":
    """Yield the writer of answers, or None if answers are quoted. A model of `--llm-model-file` ends with the context."""
    from ragqa.answers.written import Writer

    with open_writer_url(options) as url:
        yield None if url is None else Writer(url, options.llm_model, timeout_s=options.llm_timeout)


def check_sources(options: argparse.Namespace, index: str | None) -> None:
    """Raise `RagqaError` if there is no such index, or if `--model` or `--embedder` cannot be a model; load nothing."""
    from ragqa.index.folder import is_uri
    from ragqa.models.named import check_models
    from ragqa.storage.generations import current

    if index is not None and not is_uri(index):
        current(index)
    check_models(options.model, options.embedder)


def open_retriever(
    options: argparse.Namespace,
    index: str | None,
    reranker: "Reranker | None" = None,
    *,
    where: "Filter | None" = None,
) -> "Retriever":
    """Open an index with the models of `add_retriever`; a loaded `reranker` is used instead of `--model`."""
    from ragqa.models.named import BUNDLED_NAME, load_embedder
    from ragqa.search.retriever import Retriever

    check_sources(options, index)
    dense = False if options.no_dense or options.bm25_only else None
    return Retriever.open(
        index,
        reranker=None if options.bm25_only else reranker or options.model or BUNDLED_NAME,
        dense=dense,
        embedder=load_embedder(options.embedder) if options.embedder and dense is None else None,
        candidates=options.candidates,
        correct=not options.no_correct,
        where=where,
    )
