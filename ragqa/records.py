"""The records that all stages exchange: frozen dataclasses. Their `repr` shortens texts."""

from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import shorten

from ragqa.errors import InputError


@dataclass(frozen=True, slots=True, repr=False)
class Page:
    """An article. Headings are lines of `text`: `== Heading ==`, with one more `=` for each level below.

    `url` is the address that the text comes from. `about` is set instead if the text was written for ragqa, as that of the
    starter corpus: the address of Wikipedia's article on the same topic. `aliases` are the titles that redirect to the page,
    sorted; titles that redirect to one of its sections are left out.
    """

    title: str
    url: str = ""
    page_id: int | None = None
    revision: int | None = None
    timestamp: str | None = None  # time of the revision, ISO 8601, UTC
    text: str = ""
    aliases: tuple[str, ...] = ()
    about: str = ""

    def __repr__(self) -> str:
        return f"Page({self.title!r}, {_short(self.text)})"


@dataclass(frozen=True, slots=True, repr=False)
class Passage:
    """A piece of a page: `page.text[start:end] == text`.

    `id` is unique in a corpus. `section` is the nearest heading above the passage, empty in the lead of the page. `url` links
    to the revision and the section; it is empty if the page has no URL. `title`, `aliases` and `about` are those of the page.
    """

    id: str
    title: str
    section: str = ""
    start: int = 0
    end: int = 0
    text: str = ""
    url: str = ""
    aliases: tuple[str, ...] = ()
    about: str = ""

    def __repr__(self) -> str:
        return f"Passage({self.id!r}, {_short(self.text)})"


# lowest label of a passage that answers a question at least in part; a lower one says that it does not, in datasets and their
# lint, in training and its evaluation, and in calibrations
PARTLY = 0.5


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


@dataclass(frozen=True, slots=True, repr=False)
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

    def __repr__(self) -> str:
        chance = "" if self.probability is None else f", {self.probability:.0%}"
        return f"Hit({self.score:.2f}{chance}, {self.passage!r})"


@dataclass(frozen=True, slots=True, repr=False)
class RankedText:
    """A text that the reranker scored for a question. Its rank is its position in the list of results, plus 1.

    `position` is the position of the text in the input, from 0. `score` is the reranker's logit, unbounded. `probability`,
    between 0 and 1, is the calibrated score; None if the reranker is not calibrated.
    """

    position: int
    text: str
    score: float
    probability: float | None

    def __repr__(self) -> str:
        chance = "" if self.probability is None else f", {self.probability:.0%}"
        return f"RankedText({self.position}, {self.score:.2f}{chance}, {_short(self.text)})"


@dataclass(frozen=True, slots=True, repr=False)
class Quote:
    """One to three adjoining sentences: `hits[hit].passage.text[start:end]`. `score` is the selector's logit, unbounded."""

    hit: int
    start: int
    end: int
    text: str
    score: float

    def __repr__(self) -> str:
        return f"Quote({self.score:.2f}, {_short(self.text)})"


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """The answer to a question. If the corpus has no answer, `text` and `quotes` are empty and `abstained` is True.

    `hits` are best first. `quotes` are the sentences that answer: one run of sentences, or two from different places if the
    question compares two things or asks two things. `text` joins them with a blank line. `probability`, between 0 and 1, is
    the calibrated probability that `text` answers the question; None if it is unknown. Without a reranker there are no quotes,
    and `text` is that of the first hit.

    `question` is the question that was searched for. If typing errors were corrected in it, `typed` is the question before.
    `note` says why the question was refused, if it was: it is not in English.
    """

    question: str
    text: str
    hits: tuple[Hit, ...]
    quotes: tuple[Quote, ...]
    abstained: bool
    probability: float | None = None
    typed: str = ""
    note: str = ""

    @property
    def source(self) -> Passage | None:
        """The passage that the answer is quoted from (its first quote); None if there is no answer."""
        if self.abstained or not self.hits:
            return None
        return self.hits[self.quotes[0].hit if self.quotes else 0].passage

    @property
    def start(self) -> int:
        """The offset of the first quote in the text of the page of `source`; 0 if there is no answer."""
        return self._offset(self.quotes[0].start if self.quotes else 0)

    @property
    def end(self) -> int:
        """The offset after the first quote in the text of the page of `source`; 0 if there is no answer."""
        return self._offset(self.quotes[0].end if self.quotes else len(self.text))

    def _offset(self, offset: int) -> int:
        return 0 if self.source is None else self.source.start + offset

    def __repr__(self) -> str:
        said = _short(self.text) if self.source else "no answer"
        origin = f" from {self.source.id!r}" if self.source else ""
        return f"Answer({_short(self.question)}: {said}{origin}, {len(self.hits)} hits)"


def check_texts(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the texts as a tuple. Raise `InputError` for a single string, and for a text that is no string."""
    if isinstance(texts, str):
        raise InputError("texts is a single string; give a list of texts")
    checked = tuple(texts)
    for number, text in enumerate(checked):
        if not isinstance(text, str):
            raise InputError(f"texts[{number}] is {type(text).__name__}, not str")
    return checked


def _short(text: str) -> str:
    return repr(shorten(text, 60, placeholder="…"))
