"""The namespaces of a wiki, found by number or by name."""

from collections.abc import Callable, Collection, Iterable, Mapping

from ragqa.errors import InputError

ARTICLE, CATEGORY = 0, 14
ARTICLES = frozenset({ARTICLE})
ENGLISH = {  # names of namespaces that Wikimedia's wikis know in every language
    1: "Talk",
    2: "User",
    3: "User talk",
    4: "Wikipedia",
    5: "Wikipedia talk",
    6: "File",
    7: "File talk",
    8: "MediaWiki",
    9: "MediaWiki talk",
    10: "Template",
    11: "Template talk",
    12: "Help",
    13: "Help talk",
    CATEGORY: "Category",
    15: "Category talk",
    100: "Portal",
    118: "Draft",
    828: "Module",
}

Namespaces = Mapping[int, Collection[str]]  # all names in lower case: in the wiki's language, in English, and aliases


def find_namespaces(asked: Iterable[str], read: Callable[[], Namespaces]) -> frozenset[int]:
    """Return the numbers of namespaces given by number or name (default: articles). `read` is called only if needed.

    Raises `InputError` for a namespace that the wiki does not have or that holds no pages to fetch.
    """
    names = [*map(fold, asked)] or [str(ARTICLE)]
    known: Namespaces = {ARTICLE: ()} if set(names) == {str(ARTICLE)} else read()
    numbers = set()
    for name in names:
        number = next((number for number, called in known.items() if name == str(number) or name in called), None)
        if number is None:
            there = ", ".join(f"{key} ({min(called)})" for key, called in sorted(known.items()) if key > 0)
            raise InputError(f"this wiki has no namespace {name!r}; it has 0 (articles), {there}")
        if number < 0 or number == CATEGORY:
            raise InputError(f"namespace {name!r} holds no articles; to fetch a category's members use --category")
        numbers.add(number)
    return frozenset(numbers)


def fold(name: str) -> str:
    """Return a namespace's name in the form used for comparison: lower case, single spaces."""
    return " ".join(name.replace("_", " ").split()).lower()
