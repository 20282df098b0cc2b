"""The records that all stages exchange: frozen dataclasses. Their `repr` shortens texts."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from textwrap import shorten
from typing import Any, NoReturn

from ragqa.errors import InputError

MetadataValue = str | int | float | bool | tuple[str, ...]

_IN_FILTERS = frozenset("=<>!")  # characters of the operators


class Metadata(dict[str, MetadataValue]):
    """Metadata of a page: a dictionary that cannot be changed, so that records can be hashed and shared between threads.

    A value is a string, a finite number, a bool, or strings (a list becomes a tuple). A key with the value None is left out.
    A key may not be the name of a field of a passage, contain one of `=<>!`, or end in " in", since filters name both fields
    and metadata. Raises `InputError` for other keys and values.
    """

    __slots__ = ()

    def __init__(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        super().__init__(_checked_metadata(values))

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type["Metadata"], tuple[dict[str, MetadataValue]]]:
        return Metadata, (dict(self),)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("metadata cannot be changed; make a new record with `dataclasses.replace`")

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse


def _checked_metadata(values: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> Iterator[tuple[str, MetadataValue]]:
    for key, value in values.items() if isinstance(values, Mapping) else values:
        if flaw := flaw_of_key(key):
            raise InputError(f"the metadata key {key!r} {flaw}")
        if value is not None:
            yield key, _checked_value(key, value)


def flaw_of_key(key: Any) -> str:
    """Return why a key cannot be metadata; an empty text if it can."""
    if not isinstance(key, str):
        return f"is {type(key).__name__}, not str"
    if key in Passage.__dataclass_fields__:
        return "is the name of a field of passages; choose another name"
    if not key or key != key.strip() or not _IN_FILTERS.isdisjoint(key) or key.endswith(" in"):
        return 'cannot be named in a filter; leave out spaces at its ends, "=", "<", ">", "!", and " in" at its end'
    return ""


def _checked_value(key: str, value: Any) -> MetadataValue:
    if isinstance(value, (list, tuple)):
        if other := next((type(item).__name__ for item in value if not isinstance(item, str)), ""):
            raise InputError(f"metadata {key!r} holds {other}; only strings can be in a list")
        return tuple(value)
    if not isinstance(value, (str, int, float)):  # a bool is an int
        raise InputError(f"metadata {key!r} is {type(value).__name__}, not str, int, float, bool or a list of str")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"metadata {key!r} is {value}; a finite number is needed")
    return value


def scalar(text: str) -> str | int | float | bool:
    """Return the number or bool that a text spells as JSON does (`2024`, `0.5`, `true`), else the text itself."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    is_value = isinstance(value, (int, float)) and math.isfinite(value)
    return value if is_value else text


_NO_METADATA = Metadata()


def _no_metadata() -> Mapping[str, Any]:
    return _NO_METADATA  # one for all records; Python 3.10 refuses it as a plain default


def _freeze_metadata(record: "Page | Passage") -> None:
    """Replace the metadata of a new record by a copy that cannot be changed."""
    if not isinstance(record.metadata, Metadata):
        object.__setattr__(record, "metadata", Metadata(record.metadata) if record.metadata else _NO_METADATA)


@dataclass(frozen=True, slots=True, repr=False)
class Page:
    """An article. Headings are lines of `text`: `== Heading ==`, with one more `=` for each level below.

    `url` is the address that the text comes from. `about` is set instead if the text was written for ragqa, as that of the
    starter corpus: the address of Wikipedia's article on the same topic. `aliases` are the titles that redirect to the page,
    sorted; titles that redirect to one of its sections are left out. `metadata` is free data to filter by (`Metadata`); its
    passages get the same. `places` say where the text stands in the file at `url`: offsets in `text`, ascending, each with the
    URL fragment of the text from there on, such as `page=3` of a PDF file or `L12` for line 12.
    """

    title: str
    url: str = ""
    page_id: int | None = None
    revision: int | None = None
    timestamp: str | None = None  # time of the revision, ISO 8601, UTC
    text: str = ""
    aliases: tuple[str, ...] = ()
    about: str = ""
    metadata: Mapping[str, Any] = field(default_factory=_no_metadata)
    places: tuple[tuple[int, str], ...] = ()

    def __post_init__(self) -> None:
        _freeze_metadata(self)

    def __repr__(self) -> str:
        return f"Page({self.title!r}, {_short(self.text)})"


def with_text(page: Page, text: str) -> Page:
    """Return the page with another text. Its places are dropped if the text has changed, because their offsets may be wrong."""
    return page if text == page.text else replace(page, text=text, places=())


@dataclass(frozen=True, slots=True, repr=False)
class Passage:
    """A piece of a page: `page.text[start:end] == text`.

    `id` is unique in a corpus. `section` is the nearest heading above the passage, empty in the lead of the page. `url` links
    to the revision and the section, or to the place in a file; it is empty if the page has no URL. `title`, `aliases`, `about`
    and `metadata` are those of the page. Models do not read the metadata.
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
    metadata: Mapping[str, Any] = field(default_factory=_no_metadata)

    def __post_init__(self) -> None:
        _freeze_metadata(self)

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
    """Adjoining sentences, mostly one to three: `hits[hit].passage.text[start:end]`.

    `score` is the selector's logit, unbounded. `before` are the last sentences of the passage before, if the quote refers to
    them ("They …", "This …"), else empty.
    """

    hit: int
    start: int
    end: int
    text: str
    score: float
    before: str = ""

    @property
    def said(self) -> str:
        """The text, with the sentences `before` it."""
        return f"{self.before} {self.text}" if self.before else self.text

    def __repr__(self) -> str:
        return f"Quote({self.score:.2f}, {_short(self.text)})"


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """The answer to a question. If the corpus has no answer, `text` and `quotes` are empty and `abstained` is True.

    `hits` are best first. `quotes` are the sentences that answer: one run of sentences, or two from different places if the
    question compares two things or asks two things. `text` joins what they say with a blank line. `probability`, between 0 and
    1, is the calibrated probability that `text` answers the question; None if it is unknown. Without a reranker there are no
    quotes, and `text` is that of the first hit.

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
