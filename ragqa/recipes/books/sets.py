"""Candidate sets in BEIR layout. For a query, exactly its judged books are ranked."""

from collections.abc import Iterable
from pathlib import Path

from ragqa.evaluation.judged import Judged, read_beir
from ragqa.recipes.books.candidates import Candidates
from ragqa.recipes.books.library import Library, document
from ragqa.storage.files import replace_file
from ragqa.storage.json_lines import write_json_lines


def write_set(folder: Path, sets: Iterable[Candidates], library: Library) -> None:
    """Write the library to `corpus.jsonl`, the readers to `queries.jsonl`, and the judgments to `qrels.tsv`.

    The grade of a liked book is 1, that of another book 0. The id of a query is that of its reader, and the query lists the ids
    of the favourites.
    """
    sets = list(sets)
    write_json_lines(folder / "corpus.jsonl", ({"_id": b.id, "text": document(b)} for b in library.books.values()))
    write_json_lines(
        folder / "queries.jsonl",
        (
            {"_id": c.profile.reader, "text": c.query, "favourites": [book.id for book in c.profile.favourites]}
            for c in sets
        ),
    )
    with replace_file(folder / "qrels.tsv") as file:
        for c in sets:
            for books, grade in ((c.liked, 1), (c.others, 0)):
                file.writelines(f"{c.profile.reader}\t{book.id}\t{grade}\n".encode() for book in books)


def read_set(folder: Path) -> Judged:
    """Read a candidate set. The candidates of a query are the books in `relevance` and `rejected`."""
    return read_beir(folder, max_chars=1 << 20)  # a document is one passage
