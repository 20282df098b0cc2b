"""What a wiki says about a page in, its metadata out: `category`, `language` and `date`, which readers filter by."""

from collections.abc import Iterable
from typing import Any

from ragqa.wiki.listing import title_flaw

_MOST = 500  # categories of a page: as many as the API tells at once, since every passage carries them


def describe_page(categories: Iterable[str], timestamp: str | None, language: str = "") -> dict[str, Any]:
    """Return metadata of a page, without those that are unknown.

    `category` are the names of its categories without their namespace, sorted, at most 500; `language` is a code
    such as "en"; `date` is the day of the revision at the ISO 8601 time `timestamp`.
    """
    names = sorted(name for name in {*categories} if not title_flaw(name))
    known = {"category": names[:_MOST], "language": language, "date": (timestamp or "")[:10]}
    return {key: value for key, value in known.items() if value}
