"""Titles as people write them in, books out: any case, other titles, no article, accents, subtitle or series, small typos."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from difflib import SequenceMatcher
from functools import cached_property

from ragqa.errors import InputError
from ragqa.recipes.books.library import Book

ALIKE = 0.87  # least likeness of a title with typos: fraction of letters in common, in order
NEAR = 0.5  # least likeness of titles that an error message suggests
FAR_BETTER_KNOWN = 10  # times as many ratings
_ALIAS = 3  # the rank of aliases among the names of books
_AS_ALIKE = 0.02  # titles within this distance of the nearest one may be meant as well
_LEAST_PART = 4  # characters of a part that stands for a title
_NAMED = 5  # titles in an error message
_LOOKED_AT = 40  # titles compared letter by letter

_IN_PARENTHESES = re.compile(r"\s*\(([^()]*)\)\s*$")
_ARTICLES = frozenset(("a", "an", "the"))


class Titles:
    """The books of a library by their titles."""

    def __init__(self, books: Iterable[Book]) -> None:
        self._books = sorted(books, key=lambda book: -book.ratings_count)
        self._first = {book.work: book for book in reversed(self._books)}
        self._by_name: dict[str, list[tuple[int, Book]]] = defaultdict(list)
        for book in self._books:
            for name, cut in _names(book).items():
                self._by_name[name].append((cut, book))

    def find(self, title: str) -> Book:
        """Return the book with this title; of several editions, the one with the most ratings.

        "by" and an author may follow the title. Raises `InputError` with the nearest titles if there is no such book, and with
        the possible titles if there are several.
        """
        asked = plain(title)
        if not asked:
            raise InputError(f"the title {title[:40]!r} holds no letter or digit")
        for look in (
            self._exact, self._with_author, self._before_subtitle,
            self._with_part, self._with_typos, self._with_part_and_typos,
        ):  # fmt: skip
            works = [self._first[work] for work in dict.fromkeys(book.work for book in look(title))]
            if len(works) == 1:
                return works[0]
            if works:
                some = "; ".join(map(name_of, works[:_NAMED])) + ("; …" if len(works) > _NAMED else "")
                raise InputError(f"{title!r} may be {some}: say more of the title, or name the author after 'by'")
        near = dict.fromkeys(name_of(book) for alike, book in self._nearest(asked, parts=True)[:3] if alike >= NEAR)
        raise InputError(f"there is no book {title[:80]!r} in the library; nearest: {'; '.join(near) or 'none'}")

    def _exact(self, title: str) -> list[Book]:
        return self._named(plain(title))

    def _named(self, name: str) -> list[Book]:
        """Return the books that come nearest to a name: "Emma" means "Emma (Classics)" rather than "Emma: A Life".

        Titles come before aliases, but a far better known book with this alias may be meant as well.
        """
        named = self._by_name.get(name, [])
        least = min((cut for cut, _ in named), default=0)
        known = FAR_BETTER_KNOWN * max((book.ratings_count for cut, book in named if cut == least), default=0)
        return [book for cut, book in named if cut == least or (book.ratings_count > known > 0 and cut == _ALIAS)]

    def _with_author(self, title: str) -> list[Book]:
        bare, _, author = title.rpartition(" by ")
        names = plain(author).split()
        if not bare or not names:
            return []
        looks = (look(bare) for look in (self._exact, self._with_any_name, self._with_part, self._with_typos))
        own = ([b for b in books if names[-1] in plain(" ".join(b.authors)).split()] for books in looks)
        return next(filter(None, own), [])

    def _before_subtitle(self, title: str) -> list[Book]:
        return self._exact(title.partition(":")[0])

    def _with_any_name(self, title: str) -> list[Book]:
        return [book for _, book in self._by_name.get(plain(title), [])]

    def _with_part(self, title: str) -> list[Book]:
        part = plain(title)
        if len(part) < _LEAST_PART:
            return []
        return [book for book in self._books if f" {part} " in f" {plain(book.title)} "]

    def _with_typos(self, title: str) -> list[Book]:
        return self._alike(self._nearest(plain(title)))

    def _with_part_and_typos(self, title: str) -> list[Book]:
        return self._alike(self._nearest(plain(title), parts=True))

    def _alike(self, near: list[tuple[float, Book]]) -> list[Book]:
        best = max((alike for alike, _ in near), default=0.0)
        return [book for alike, book in near if alike >= max(ALIKE, best - _AS_ALIKE)]

    def _nearest(self, asked: str, *, parts: bool = False) -> list[tuple[float, Book]]:
        """Return books with the likeness of their best name, or of its best part if `parts`, the most alike first.

        Only names that share many groups of three letters are compared.
        """
        shared = Counter(name for group in _groups(asked) for name in self._by_group.get(group, ()))
        some = sorted(shared, key=lambda name: (-shared[name], len(name), name))[:_LOOKED_AT]
        alike = [
            (max(_likeness(asked, own) for own in (_parts(name, asked) if parts else [name])), name) for name in some
        ]
        found: dict[str, tuple[float, Book]] = {}
        for ratio, name in sorted(alike, key=lambda item: (-item[0], item[1])):
            for book in self._named(name):
                found.setdefault(book.id, (ratio, book))
        return list(found.values())

    @cached_property
    def _by_group(self) -> dict[str, list[str]]:
        groups = defaultdict(list)
        for name in self._by_name:
            for group in _groups(name):
                groups[group].append(name)
        return dict(groups)


def plain(text: str) -> str:
    """Return lower-case words of letters and digits, without accents and leading articles, so that similar names are equal."""
    marked = unicodedata.normalize("NFKD", text.casefold().replace("&", " and "))
    letters = "".join(c for c in marked if not unicodedata.combining(c) and c not in "'’‘`")
    words = re.sub(r"[\W_]+", " ", letters).split()
    while len(words) > 1 and words[0] in _ARTICLES:
        del words[0]
    return " ".join(words)


def without_series(title: str) -> str:
    """Return a title without the parentheses at its end."""
    return _IN_PARENTHESES.sub("", title) or title


def series_of(title: str) -> dict[str, str]:
    """Return the series in a title like `Two (Cycle, #2; Great Cycle, #7-9)`: the number of the part by the plain name."""
    found = _IN_PARENTHESES.search(title)
    parts = (part.partition("#") for part in found[1].split(";")) if found else ()
    return {plain(name): number.strip() for name, mark, number in parts if mark and plain(name)}


def opening_parts(books: Iterable[Book]) -> dict[str, Book]:
    """Return the lowest part, from 1 on, of each series; of several editions, the one with the most ratings."""
    found: dict[str, tuple[float, int, Book]] = {}
    for book in books:
        for name, number in series_of(book.title).items():
            if re.fullmatch(r"\d+(\.\d+)?", number) and float(number) >= 1:
                part = (float(number), -book.ratings_count, book)
                if name not in found or part[:2] < found[name][:2]:
                    found[name] = part
    return {name: book for name, (_, _, book) in found.items()}


def name_of(book: Book) -> str:
    """Return the name of a book for messages."""
    return f"{book.title} by {' and '.join(book.authors[:2])}" + (" and others" if len(book.authors) > 2 else "")


def is_edition(book: Book, other: Book) -> bool:
    """Return True if `book` is an edition of `other`, or a collection or companion by its author with its title."""
    if book.work == other.work:
        return True
    own, title = plain(without_series(other.title)), plain(without_series(book.title))
    return len(own) >= _LEAST_PART and bool({*book.authors} & {*other.authors}) and f" {own} " in f" {title} "


def _names(book: Book) -> dict[str, int]:
    """Return the names of a book: 0 is its title, 1 the title without series, 2 also without subtitle, `_ALIAS` an alias."""
    bare = without_series(book.title)
    names = dict.fromkeys(map(plain, book.aliases), _ALIAS)
    names |= {plain(bare.partition(":")[0]): 2} | {plain(bare): 1} | {plain(book.title): 0}
    return {name: cut for name, cut in names.items() if name}


def _parts(name: str, asked: str) -> list[str]:
    """Return a name and, if `asked` has several words, all parts of the name with as many words."""
    words, count = name.split(), len(asked.split())
    parts = (" ".join(words[place : place + count]) for place in range(len(words) - count + 1))
    return [name, *parts] if count > 1 else [name]


def _likeness(asked: str, name: str) -> float:
    return SequenceMatcher(None, asked, name, autojunk=False).ratio()


def _groups(name: str) -> set[str]:
    """Return the groups of three letters in a name."""
    padded = f" {name} "
    return {padded[place : place + 3] for place in range(len(padded) - 2)}
