"""The records that every stage takes and gives: frozen, without behaviour."""

from dataclasses import dataclass

from ragqa.errors import InputError


@dataclass(frozen=True, slots=True)
class Page:
    """One article. `text` keeps its headings as lines of their own: `== Heading ==`, one more `=` a level.

    `aliases` are the titles that redirect to it, sorted; those that lead to one of its sections are not among them.
    """

    title: str
    url: str = ""
    page_id: int | None = None
    revision: int | None = None
    timestamp: str | None = None  # of the revision, ISO 8601, UTC
    text: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a page, `page.text[start:end] == text`; `url` cites the revision and section it comes from.

    `id` is unique in a corpus; `section` is the nearest heading above the passage, empty in the lead; `aliases` are the page's.
    """

    id: str
    title: str
    section: str = ""
    start: int = 0
    end: int = 0
    text: str = ""
    url: str = ""
    aliases: tuple[str, ...] = ()


PARTLY = 0.5  # the least label of a pair whose passage answers at least in part


@dataclass(frozen=True, slots=True)
class Pair:
    """A question and a passage as the reranker reads it; `label` is 1 if it answers the question, between if in part, else 0.

    `drawn` says that nobody judged the pair: the passage was drawn as a negative. It is not saved.
    """

    question: str
    passage: str
    label: float
    drawn: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.label <= 1:
            raise InputError(f"label {self.label} is not between 0 and 1")


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage found for a question; its rank is its place in the list of hits.

    `score` is the reranker's logit plus the weighted scores of BM25 and the embedder (`search.retriever.rerank`), and
    `probability` is what it is calibrated to. Without a reranker, `score` is that of the source (BM25, the embedder, or the
    fusion of both) and `probability` is None. `bm25_rank` counts from 1; a passage that only the embedder found ranks after
    all passages that BM25 scores higher.
    """

    passage: Passage
    score: float
    probability: float | None
    bm25_score: float
    bm25_rank: int


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of `hits[hit].passage`, at `passage.text[start:end]`, and the reranker's logit for it."""

    hit: int
    start: int
    end: int
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What the corpus says to a question: `text` is empty and `abstained` true where nothing in it answers.

    `sentences` are the best of the hits' sentences, best first; where there is an answer, the first of them is it.
    """

    question: str
    text: str
    hits: tuple[Hit, ...]
    sentences: tuple[Sentence, ...]
    abstained: bool
