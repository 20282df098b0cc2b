"""The records that all stages exchange: frozen dataclasses without behaviour."""

from dataclasses import dataclass

from ragqa.errors import InputError


@dataclass(frozen=True, slots=True)
class Page:
    """An article. Headings are lines of `text`: `== Heading ==`, with one more `=` for each level below.

    `aliases` are the titles that redirect to the page, sorted; titles that redirect to one of its sections are left out.
    """

    title: str
    url: str = ""
    page_id: int | None = None
    revision: int | None = None
    timestamp: str | None = None  # time of the revision, ISO 8601, UTC
    text: str = ""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a page: `page.text[start:end] == text`.

    `id` is unique in a corpus. `section` is the nearest heading above the passage, empty in the lead of the page. `url` links
    to the revision and the section. `title` and `aliases` are those of the page.
    """

    id: str
    title: str
    section: str = ""
    start: int = 0
    end: int = 0
    text: str = ""
    url: str = ""
    aliases: tuple[str, ...] = ()


PARTLY = 0.5  # lowest label of a passage that answers a question at least in part


@dataclass(frozen=True, slots=True)
class Pair:
    """A question and a passage as the reranker reads it.

    `label` is 1 if the passage answers the question, 0 if it does not, and in between if it answers in part. `drawn` marks a
    passage that was drawn as a negative without a judgment; it is not saved. Raises `InputError` for a label outside 0 to 1.
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
    """A passage found for a question. Its rank is its position in the list of hits, plus 1.

    `score` is the reranker's logit plus the weighted BM25 score and cosine (`search.retriever.rerank`), unbounded;
    `probability` is the calibrated score, between 0 and 1; it is None if the reranker is not calibrated. Without a reranker
    `score` is that of the source (BM25, the embedder, or the fusion of both) and `probability` is None. `bm25_rank` counts
    from 1. For a passage that only the embedder found it is one more than the number of passages with a higher BM25 score.
    """

    passage: Passage
    score: float
    probability: float | None
    bm25_score: float
    bm25_rank: int


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence at `hits[hit].passage.text[start:end]`. `score` is its logit by the reranker."""

    hit: int
    start: int
    end: int
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question. If the corpus has no answer, `text` is empty and `abstained` is True.

    `hits` are best first. `sentences` are those of the first hits, best first. If answered, `text` is that of `sentences[0]`;
    without a reranker there are no sentences, and `text` is that of the first hit.
    """

    question: str
    text: str
    hits: tuple[Hit, ...]
    sentences: tuple[Sentence, ...]
    abstained: bool
