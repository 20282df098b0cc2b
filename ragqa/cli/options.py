"""Arguments that several commands have, and what is opened with them."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ragqa.embed import Embedder
    from ragqa.retrieve import Retriever

# adds a command by its name, what runs it, what it does and an example; returns its parser
Command = Callable[[str, Callable[[argparse.Namespace], int | None], str, str], Any]

_INDEX_HELP = "index folder; the bundled starter corpus if not given"


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
    from ragqa.retrieve import CANDIDATES

    parser.add_argument("--candidates", type=int, default=CANDIDATES, help=f"that are reranked (default {CANDIDATES})")


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
    from ragqa.embed import Embedder

    if source == "bundled":
        return Embedder.load()
    from ragqa.train import base_path

    return Embedder.load(base_path(source))


def open_retriever(options: argparse.Namespace) -> "Retriever":
    """Open the index and the models that the arguments of `add_retriever` name."""
    from ragqa.retrieve import Retriever

    reranker = None if options.bm25_only else options.model or "bundled"
    dense = False if options.no_dense or options.bm25_only else None
    embedder = load_embedder(options.embedder) if options.embedder and dense is None else None
    return Retriever.open(
        options.index, reranker=reranker, dense=dense, embedder=embedder, candidates=options.candidates
    )
