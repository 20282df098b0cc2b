"""What can be asked: retrievers under the names that the page shows, swapped while questions are being answered."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from ragqa.errors import InputError
from ragqa.index.bm25 import Bm25Index
from ragqa.index.folder import PAGES, group_by_page, revision, save_index
from ragqa.index.neighbours import neighbours
from ragqa.index.starter import open_starter, open_starter_vectors
from ragqa.records import Passage
from ragqa.search.retriever import Retriever

STARTER = "starter corpus"


@dataclass(frozen=True, slots=True)
class Contents:
    """The revisions of an index's pages by their titles, and when it was written, if it lies in a folder of the user's."""

    pages: Mapping[str, int | None]
    written: datetime | None


class Corpus:
    """A retriever with a name and, where it was opened from one, an index folder. Safe to share between threads."""

    def __init__(self, retriever: Retriever, folder: str | Path | None = None, name: str | None = None) -> None:
        self.retriever = retriever
        self.folder = None if folder is None else Path(folder)
        self.name = name or (STARTER if self.folder is None else self.folder.resolve().name)
        self._contents: tuple[Retriever, Contents] | None = None

    def reopen(self) -> None:
        """Let the folder's current generation answer from now on, with the models that are loaded already."""
        if self.folder is None:
            raise InputError(f"the {self.name} is not in a folder of yours, so it does not change")
        old = self.retriever
        self.retriever = Retriever.open(
            self.folder,
            reranker=old.reranker,
            dense=old.dense is not None,
            embedder=None if old.dense is None else old.dense.embedder,
            candidates=old.candidates,
        )

    def contents(self) -> Contents:
        """What the retriever's index holds; read once for each generation."""
        retriever, known = self.retriever, self._contents
        if known is None or known[0] is not retriever:
            known = retriever, Contents(_read_pages(retriever.index), self._written())
            self._contents = known
        return known[1]

    def page(self, title: str) -> list[Passage]:
        """The passages of a page, in order."""
        index = self.retriever.index
        try:
            first = index.passages[index.position(f"{title}#0")]
        except InputError:  # ids of another kind
            return [passage for passage in index.passages if passage.title == title]
        return [first, *neighbours(index, first, 0, len(index.passages))]

    def holds(self, passage: Passage) -> bool:
        """Whether the passage is one of the index as it is now."""
        index = self.retriever.index
        try:
            return index.passages[index.position(passage.id)] == passage
        except InputError:
            return False

    def _written(self) -> datetime | None:
        generation = self.retriever.index.generation
        if self.folder is None or generation is None:
            return None
        try:
            return datetime.fromtimestamp(generation.stat().st_mtime, tz=timezone.utc)
        except OSError:  # a later generation has taken its place
            return None


def _read_pages(index: Bm25Index) -> dict[str, int | None]:
    """The pages' titles and revisions, from the file that says so: to read all passages takes a while where there are many."""
    with suppress(OSError, ValueError, TypeError):
        if index.generation is not None:
            return dict(json.loads((index.generation / PAGES).read_bytes()))
    return {title: revision(own[0]) for title, own in group_by_page(index.passages).items()}


def by_name(corpora: Sequence[Corpus]) -> dict[str, Corpus]:
    """The corpora by their names; of folders with one name the later ones are called by their whole paths."""
    named: dict[str, Corpus] = {}
    for corpus in corpora:
        if corpus.name in named:
            corpus.name = str(corpus.folder or f"{corpus.name} {len(named) + 1}")
        if corpus.name in named:
            raise InputError(f"{corpus.name} is given twice")
        named[corpus.name] = corpus
    return named


def begin_folder(folder: str | Path) -> None:
    """Let a new index folder begin as a copy of the starter corpus; one that is there already is left as it is."""
    if not Path(folder).exists():
        index = open_starter()
        save_index(folder, index, open_starter_vectors(index))
