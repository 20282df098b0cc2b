"""The namespaces of a wiki: which of them pages are wanted from, and what categories are called."""

from collections.abc import Callable, Collection, Iterable, Mapping

from ragqa.errors import InputError

ARTICLE, CATEGORY = 0, 14
ARTICLES = frozenset({ARTICLE})

Namespaces = Mapping[int, Collection[str]]  # their names in lower case: of the wiki's language, English ones, aliases


def find_namespaces(asked: Iterable[str], read: Callable[[], Namespaces]) -> frozenset[int]:
    """The numbers of the namespaces asked for by number or name; articles if none is. `read` is only called if needed.

    Raises `InputError` for one that the wiki does not have or that holds no pages to fetch.
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
    """A namespace's name as it is compared: lower case, single spaces."""
    return " ".join(name.replace("_", " ").split()).lower()
