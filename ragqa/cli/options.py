"""Arguments that several commands have, and what is opened with them."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ragqa.errors import InputError

if TYPE_CHECKING:
    from ragqa.models.embedder import Embedder
    from ragqa.search.retriever import Retriever

# adds a command by its name, what runs it, what it does and an example; returns its parser
Command = Callable[[str, Callable[[argparse.Namespace], int | None], str, str], Any]

Number = TypeVar("Number", int, float)

_INDEX_HELP = "index folder; the bundled starter corpus if not given"


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A type for `add_argument`: whole numbers from `least` to `most`."""
    limits = f"of at least {least}" if most is None else f"from {least} to {most}"

    def parse(text: str) -> int:
        return _parse(
            text, int, lambda value: value >= least and (most is None or value <= most), f"a whole number {limits}"
        )

    return parse


def real(above: float, below: float = math.inf) -> Callable[[str], float]:
    """A type for `add_argument`: numbers above one limit and below another."""
    limits = f"above {above:g}" + ("" if below == math.inf else f" and below {below:g}")
    return lambda text: _parse(text, float, lambda value: above < value < below, f"a number {limits}")


def share(*, below_one: bool = False) -> Callable[[str], float]:
    """A type for `add_argument`: numbers from 0 to 1, or below 1."""
    limits = "of at least 0 and below 1" if below_one else "from 0 to 1"
    return lambda text: _parse(
        text, float, lambda value: 0 <= value < 1 or (value == 1 and not below_one), f"a number {limits}"
    )


def weight(text: str) -> float:
    """A type for `add_argument`: finite numbers of at least 0."""
    return _parse(text, float, lambda value: 0 <= value < math.inf, "a number of at least 0")


def _parse(text: str, kind: Callable[[str], Number], fits: Callable[[Number], bool], wanted: str) -> Number:
    try:
        value = kind(text)
        fitting = fits(value)  # NaN fits nothing
    except ValueError:
        fitting = False
    if not fitting:
        raise argparse.ArgumentTypeError(f"{text} is not {wanted}")
    return value


def add_seed(parser: Any, default: int | None = None) -> None:
    """`--seed`."""
    from ragqa.training.train import MAX_SEED

    stated = "" if default is None else f" (default: {default})"
    parser.add_argument(
        "--seed",
        type=whole(0, MAX_SEED),
        default=default,
        help=f"seed of everything random, from 0 to {MAX_SEED}{stated}",
    )


def check_files(*paths: str | None) -> None:
    """Raise `InputError` for an input that is not there. None stands for an option that was not given."""
    for path in paths:
        if path is not None and not Path(path).exists():
            raise InputError(f"{path} does not exist")


def check_models(*sources: str | None) -> None:
    """Raise `ModelError` for models that are neither a folder with weights nor a possible hub id, before any is loaded.

    None and "bundled" stand for the bundled ones.
    """
    from ragqa.models.bases import OFFLINE_BASE
    from ragqa.models.folders import check_source, is_exported

    for source in sources:
        if source is not None and source not in ("bundled", OFFLINE_BASE) and not is_exported(Path(source)):
            check_source(source)


def add_embedder(parser: Any) -> None:
    """`--embedder` and `--no-dense` of a command that embeds."""
    parser.add_argument(
        "--embedder",
        metavar="MODEL",
        default="bundled",
        help="bi-encoder folder or hub id; the bundled one if not given",
    )
    parser.add_argument("--no-dense", action="store_true", help="BM25 alone finds candidates")


def add_candidates(parser: Any) -> None:
    """`--candidates`."""
    from ragqa.search.retriever import CANDIDATES

    parser.add_argument(
        "--candidates",
        type=whole(1),
        default=CANDIDATES,
        help=f"number of passages to rerank (default: {CANDIDATES})",
    )


def add_retriever(parser: Any, *, index: str = "store") -> None:
    """What `open_retriever` takes; `index` is what becomes of `--index`, "store" or "append"."""
    again = "; may be repeated" if index == "append" else ""
    parser.add_argument("--index", action=index, metavar="FOLDER", help=f"{_INDEX_HELP}{again}")
    parser.add_argument("--model", metavar="MODEL", help="model folder or hub id; the bundled one if not given")
    parser.add_argument("--embedder", metavar="MODEL", help="that the index was made with, if it has been moved")
    parser.add_argument("--no-dense", action="store_true", help="BM25 alone finds candidates")
    parser.add_argument("--bm25-only", action="store_true", help="neither an embedder nor a reranker")
    add_candidates(parser)


def load_embedder(source: str) -> "Embedder":
    """Open an embedder: "bundled", a folder, a hub id, or the package that carries one."""
    from ragqa.models.embedder import Embedder

    if source == "bundled":
        return Embedder.load()
    from ragqa.models.bases import base_path

    return Embedder.load(base_path(source))


def open_retriever(options: argparse.Namespace) -> "Retriever":
    """Open the index and the models that the arguments of `add_retriever` name."""
    from ragqa.search.retriever import Retriever
    from ragqa.storage.generations import current

    if options.index is not None:
        current(options.index)
    models = (options.model, options.embedder)
    check_models(*(source for source in models if isinstance(source, str)))
    reranker = None if options.bm25_only else options.model or "bundled"
    dense = False if options.no_dense or options.bm25_only else None
    embedder = load_embedder(options.embedder) if options.embedder and dense is None else None
    return Retriever.open(
        options.index, reranker=reranker, dense=dense, embedder=embedder, candidates=options.candidates
    )
