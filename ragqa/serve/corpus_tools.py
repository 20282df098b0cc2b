"""A retriever in, its tools for language models out: `search`, `ask` and `read_page`."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from rapidfuzz import process
from rapidfuzz.utils import default_process

from ragqa.answers.answer import as_dict, hits_as_dicts
from ragqa.errors import InputError
from ragqa.index.folder import revision
from ragqa.index.interface import Index
from ragqa.index.pages import passages_of, read_pages
from ragqa.search.question import MAX_QUESTION_CHARS, check_question
from ragqa.search.retriever import Retriever
from ragqa.serve.arguments import LEAST_RESULTS, MOST_RESULTS, RESULTS, check, check_text
from ragqa.serve.tools import Tool
from ragqa.text.licences import licence_of

INSTRUCTIONS = (
    "Passages about machine learning, and answers quoted from them. Use `ask` for a short answer with its sources, `search` "
    "to read several passages, and `read_page` for a whole page that a hit names. Cite the `url` of what you use. Text without "
    "`url` was written for ragqa; its `about` is Wikipedia's article on the topic, which it does not quote."
)
SUGGESTED, ALIKE = 3, 75  # titles to suggest instead of an unknown one, and their least similarity, from 0 to 100

_QUESTION = f"The question, in the language of the passages, at most {MAX_QUESTION_CHARS:,} characters."

_WHERE = (
    'A filter by metadata or fields of the passages, such as {"title": "Dropout"} or {"date>=": "2024-01-31"}; a list of '
    "values means any of them. An error names the keys that there are."
)


def _object(properties: Mapping[str, Any], *optional: str) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": dict(properties), "required": required}


def _list(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": dict(items)}


_STRING, _WHOLE, _NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}
_CHANCE = {"type": ["number", "null"], "minimum": 0, "maximum": 1, "description": "null if it is not known"}
_PLACE = {"title": _STRING, "section": _STRING, "url": _STRING, "about": _STRING}
_SPAN = {"start": _WHOLE, "end": _WHOLE, "text": _STRING}
_METADATA = {"metadata": {"type": "object"}}
_PASSAGE = _object({"id": _STRING, **_PLACE, **_SPAN, "aliases": _list(_STRING), **_METADATA}, "metadata")
_RANK = {"type": "integer", "minimum": 1}
_SCORES = {"score": _NUMBER, "probability": _CHANCE, "bm25_score": _NUMBER, "bm25_rank": _RANK}
_HITS = _list(_object({"rank": _RANK, "passage": _PASSAGE, **_SCORES}))
_QUOTE = _object({
    **{"rank": _RANK, **_SPAN, "score": _NUMBER, "source": _object(_PLACE)},
    **{"page_start": _WHOLE, "page_end": _WHOLE},
})  # fmt: skip
SEARCH = _object({"question": _STRING, "hits": _HITS})
ANSWER = _object(
    {
        **{"question": _STRING, "text": _STRING, "abstained": {"type": "boolean"}, "probability": _CHANCE},
        **{"quotes": _list(_QUOTE), "hits": _HITS, "typed": _STRING, "note": _STRING},
    },
    *("typed", "note"),
)
PAGE = _object({
    **{"title": _STRING, "url": _STRING, "about": _STRING, "revision": {"type": ["integer", "null"]}},
    "licence": {"type": ["string", "null"], "description": "such as cc-by-sa-4.0; null if it is not known"},
    "passages": _list(_object({"section": _STRING, **_SPAN})),
})  # fmt: skip


def corpus_tools(get_retriever: Callable[[], Retriever]) -> list[Tool]:
    """Return the tools of a retriever. Each call gets it from `get_retriever`, which may wait until it is open."""

    def search(question: object, k: object = None, where: Any = None) -> dict[str, Any]:
        asked, count = check(question, k)
        hits = get_retriever().search(asked, count, where=where)
        return {"question": check_question(asked), "hits": hits_as_dicts(hits)}

    def ask(question: object, where: Any = None) -> dict[str, Any]:
        return as_dict(get_retriever().ask(check_text("question", question), RESULTS, where=where))

    @cache
    def titles() -> dict[str, int | None]:
        return read_pages(get_retriever().index)

    def read_page(title: object) -> dict[str, Any]:
        wanted = check_text("title", title)
        if wanted not in titles():
            raise InputError(_unknown(wanted, [*titles()]))
        return describe_page(get_retriever().index, wanted)

    about_k = f"The number of passages, from {LEAST_RESULTS} to {MOST_RESULTS}."
    return [
        Tool(
            "search",
            "Find the passages that answer a question about machine learning, best first, with their sources.",
            {"question": _QUESTION, "k": about_k, "where": _WHERE},
            search,
            SEARCH,
        ),
        Tool(
            "ask",
            "Answer a question about machine learning with sentences quoted from the corpus, and their sources. `abstained` "
            "is true and `text` is empty if the corpus has no answer.",
            {"question": _QUESTION, "where": _WHERE},
            ask,
            ANSWER,
        ),
        Tool(
            "read_page",
            "Read a whole page of the corpus: its passages in order, its address, revision and licence.",
            {"title": "The title of the page, as in the passages that `search` and `ask` return."},
            read_page,
            PAGE,
        ),
    ]


def describe_page(index: Index, title: str) -> dict[str, Any]:
    """Return a page as plain data for JSON: where it comes from, and its passages in order."""
    passages = passages_of(index, title)
    first = passages[0]
    own = [{"section": p.section, "start": p.start, "end": p.end, "text": p.text} for p in passages]
    return {
        "title": title,
        "url": first.url.partition("#")[0],
        "about": first.about,
        "revision": revision(first),
        "licence": licence_of(first),
        "passages": own,
    }


def _unknown(title: str, titles: list[str]) -> str:
    near = process.extract(title, titles, processor=default_process, limit=SUGGESTED, score_cutoff=ALIKE)
    suggested = f"; the nearest titles are: {', '.join(found for found, _, _ in near)}" if near else ""
    return f"there is no page {title[:80]!r}{suggested or '; search names the pages that there are'}"
