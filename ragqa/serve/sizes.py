"""How much text a request may hold."""

from collections.abc import Sequence

from ragqa.serve.limits import Refused

BODY_BYTES = 8 * 1024 * 1024
BODY_VALUES = 50_000
MOST_QUERY_CHARS = 8000
MOST_DOCUMENT_CHARS = 100_000


def check_texts(name: str, texts: Sequence[str], most: int) -> None:
    """Raise `Refused` for more than `most` texts, and for one that is too long or not Unicode; `name` is that of the list."""
    if len(texts) > most:
        raise Refused(413, f"{name} holds {len(texts):,} texts; at most {most:,} are allowed.")
    for position, text in enumerate(texts):
        if len(text) > MOST_DOCUMENT_CHARS:
            raise Refused(
                413, f"{name}[{position}] has {len(text):,} characters; at most {MOST_DOCUMENT_CHARS:,} are allowed."
            )
        _check_unicode(f"{name}[{position}]", text)


def check_query(query: str) -> None:
    """Raise `Refused` for a query without text, or one that is too long."""
    if not query.strip():
        raise Refused(422, "query is empty.")
    if len(query) > MOST_QUERY_CHARS:
        raise Refused(413, f"query has {len(query):,} characters; at most {MOST_QUERY_CHARS:,} are allowed.")
    _check_unicode("query", query)


def _check_unicode(name: str, text: str) -> None:
    """Raise `Refused` for half of a surrogate pair, which JSON can hold and a tokenizer cannot read."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Refused(422, f"{name} holds half of a surrogate pair at position {error.start}.") from error
