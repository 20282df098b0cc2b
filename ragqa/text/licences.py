"""A passage in, the licence of its text out, as far as its address tells it."""

from urllib.parse import urlsplit

from ragqa.records import Passage
from ragqa.text.passages import is_written_for_ragqa

STARTER_LICENCE, WIKIPEDIA_LICENCE = "cc0-1.0", "cc-by-sa-4.0"  # the hub's identifiers


def is_wikipedia(host: str) -> bool:
    """Return True for the host of a Wikipedia in any language."""
    return f".{host}".endswith(".wikipedia.org")


def licence_of(passage: Passage) -> str | None:
    """Return the hub's identifier of the licence of a passage's text; None if it is not known."""
    if is_written_for_ragqa(passage):
        return STARTER_LICENCE
    return WIKIPEDIA_LICENCE if is_wikipedia(urlsplit(passage.url).hostname or "") else None
