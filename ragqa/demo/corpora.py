"""The corpora of the page: a retriever with a name each, which can be replaced while questions are answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from ragqa.errors import InputError
from ragqa.index.folder import save_index
from ragqa.index.pages import passages_of, read_pages
from ragqa.index.starter import open_starter, open_starter_vectors
from ragqa.records import Passage
from ragqa.search.retriever import Retriever

STARTER = "starter corpus"


@dataclass(frozen=True, slots=True)
class Contents:
    """The pages of an index, as title to revision, and the time at which it was written if it is in the user's folder.

    `answering` are the titles of the pages that questions are answered from: all, or those with passages that meet the filter.
    """

    pages: Mapping[str, int | None]
    written: datetime | None
    answering: tuple[str, ...]


class Corpus:
    """A retriever with a name and, if it has one, its index folder. Safe to share between threads."""

    def __init__(self, retriever: Retriever, folder: str | Path | None = None, name: str | None = None) -> None:
        self.retriever = retriever
        self.folder = None if folder is None else Path(folder)
        self.name = name or (STARTER if self.folder is None else self.folder.resolve().name)
        self._contents: tuple[Retriever, Contents] | None = None

    def reopen(self) -> None:
        """Open the folder's current generation with the models already loaded. Raises `InputError` without a folder."""
        old = self.retriever
        self.retriever = Retriever.open(
            self.own_folder(),
            reranker=old.reranker,
            dense=old.dense is not None,
            embedder=None if old.dense is None else old.dense.embedder,
            candidates=old.candidates,
            correct=old.correct,
            selector=old.selector,
            where=old.where,
        )

    def own_folder(self) -> Path:
        """Return the index folder. Raises `InputError` if there is none."""
        if self.folder is None:
            raise InputError(
                f"the {self.name} has no index folder, so no pages can be added to it; give one with --index"
            )
        return self.folder

    def contents(self) -> Contents:
        """Return what the index holds; read once for each generation."""
        retriever, known = self.retriever, self._contents
        if known is None or known[0] is not retriever:
            pages = read_pages(retriever.index)
            known = retriever, Contents(pages, self._written(), _answering(retriever) or tuple(pages))
            self._contents = known
        return known[1]

    def page(self, title: str) -> list[Passage]:
        """Return the passages of a page, in order."""
        return passages_of(self.retriever.index, title)

    def holds(self, passage: Passage) -> bool:
        """Return whether the current index holds exactly this passage."""
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
        except OSError:  # replaced by a later generation
            return None


def _answering(retriever: Retriever) -> tuple[str, ...]:
    """Return the titles of the pages with passages that meet the filter of a retriever; none if it has no filter."""
    index, mask = retriever.index, retriever.index.mask(retriever.where)
    if mask is None:
        return ()
    return tuple(dict.fromkeys(index.passages[i].title for i in range(len(index.passages)) if mask[i]))


def by_name(corpora: Sequence[Corpus]) -> dict[str, Corpus]:
    """Return the corpora by name. If two folders have the same name, the later one is named by its whole path."""
    named: dict[str, Corpus] = {}
    for corpus in corpora:
        if corpus.name in named:
            corpus.name = str(corpus.folder or f"{corpus.name} {len(named) + 1}")
        if corpus.name in named:
            raise InputError(f"{corpus.name} is given twice")
        named[corpus.name] = corpus
    return named


def begin_folder(folder: str | Path) -> None:
    """Create an index folder as a copy of the starter corpus, unless the folder exists."""
    if not Path(folder).exists():
        index = open_starter()
        save_index(folder, index, open_starter_vectors(index))
