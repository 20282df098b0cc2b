"""Between ragqa and frameworks: the metadata of a hit, the text to rerank of a framework's text and metadata, and filters."""

from collections.abc import Iterable, Mapping
from typing import Any

from ragqa.index.filters import Filter
from ragqa.index.folder import revision
from ragqa.records import Hit, Passage, RankedText
from ragqa.text.passages import full_text

NUMBERS = ("revision", "start", "end", "probability", "bm25_score", "bm25_rank")  # a language model need not read them
RETRIEVAL_SCORE = "retrieval_score"  # the score before reranking
RELEVANCE = ("relevance_score", "relevance_probability")


def describe(hit: Hit) -> dict[str, Any]:
    """Return the metadata of a hit, except its id, text and score. Empty and unknown values are left out.

    The keys are title, section, url, about, revision (of the page, from the URL), start, end (offsets in the text of the page),
    probability, bm25_score and bm25_rank, and those of the passage's own metadata that have none of these names. Strings are in
    lists, not in tuples.
    """
    passage = hit.passage
    texts = {name: getattr(passage, name) for name in ("title", "section", "url", "about")}
    numbers = {
        "revision": revision(passage),
        "start": passage.start,
        "end": passage.end,
        "probability": hit.probability,
        "bm25_score": hit.bm25_score,
        "bm25_rank": hit.bm25_rank,
    }
    own = {name: list(value) if isinstance(value, tuple) else value for name, value in passage.metadata.items()}
    known = {name: value for name, value in {**texts, **numbers}.items() if value not in ("", None)}
    return {**{name: value for name, value in own.items() if name not in numbers}, **known}


def relevance(ranked: RankedText) -> dict[str, float]:
    """Return the metadata that reranking adds: `relevance_score` (a logit) and, if calibrated, `relevance_probability`."""
    found = dict(zip(RELEVANCE, (ranked.score, ranked.probability), strict=True))
    return {name: value for name, value in found.items() if value is not None}


def text_to_rerank(text: str, metadata: Mapping[str, Any]) -> str:
    """Return the text below its title and section, as passages are read, if the metadata has these as strings."""
    title, section = (value if isinstance(value := metadata.get(name), str) else "" for name in ("title", "section"))
    return full_text(Passage("", title, section, text=text))


def operators(none_of: str) -> dict[str, str]:
    """Return a framework's operators of filters with those of `Filter.of`; `none_of` is its name for "not in"."""
    return {"==": "=", "in": "=", none_of: "!=", **{sign: sign for sign in ("!=", "<", "<=", ">", ">=")}}


def join(conditions: Iterable[tuple[str, str, Any]]) -> Filter:
    """Return the filter that means all conditions: key, operator of `Filter.of`, and value or list of values."""
    made = (Filter.of({f"{key} {sign}": value}) for key, sign, value in conditions)
    return Filter(tuple(condition for own in made for condition in own.conditions))
