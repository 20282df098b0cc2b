"""The titles that a crawl asks for: those named, and the members of categories as the wiki lists them."""

import re
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ragqa.errors import CrawlError, InputError
from ragqa.progress import bar
from ragqa.wiki.fates import Fate
from ragqa.wiki.mediawiki import WRONG, Wiki
from ragqa.wiki.seeds import Seeds

ARTICLE, CATEGORY = 0, 14  # namespaces
CATEGORY_PREFIX = "Category:"

_MEMBERS_AT_ONCE = 500
_GEORGIAN = re.compile("[\u10d0-\u10ff]")
_NOT_IN_TITLES = re.compile(
    r"[#<>\[\]|{}\x00-\x1f\x7f\ufffd\ud800-\udfff]"
)  # https://www.mediawiki.org/wiki/Manual:Page_title
_NO_ARTICLE = re.compile(r"^(Lists? of|Index of|Outline of|Timeline of) |\(disambiguation\)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Filter:
    """Regular expressions: what of a category's members is wanted. They are looked for anywhere in a title.

    Excluded categories are not looked into; what to include concerns articles alone.
    """

    include: tuple[re.Pattern[str], ...] = ()
    exclude: tuple[re.Pattern[str], ...] = ()

    def reason_to_skip(self, member: dict[str, Any]) -> str:
        """Why a member of a category is passed over, if it is."""
        title, namespace = member["title"], member["ns"]
        if any(pattern.search(title) for pattern in self.exclude):
            return "excluded"
        if namespace not in (ARTICLE, CATEGORY):
            return f"namespace {namespace}"
        if _NO_ARTICLE.search(title):
            return "a list or disambiguation page, by its title"
        wanted = namespace == CATEGORY or not self.include or any(pattern.search(title) for pattern in self.include)
        return "" if wanted else "not included"


def make_filter(include: Iterable[str], exclude: Iterable[str]) -> Filter:
    """Compile the expressions. Raises `InputError` naming the first that is none."""
    return Filter(_compile("include", include), _compile("exclude", exclude))


def list_titles(wiki: Wiki, seeds: Seeds, wanted: Filter, progress: bool) -> tuple[list[str], list[Fate]]:
    """The titles to fetch, each once, those named first; and what was skipped or failed while listing the others.

    Subcategories are followed level by level, each once. Raises `CrawlError` where a category cannot be listed as a whole.
    """
    titles = dict.fromkeys(map(normalize, seeds.titles))
    roots = dict.fromkeys(map(name_category, seeds.categories))
    fates = [Fate(root, "failed", reason=flaw, is_category=True) for root in roots if (flaw := title_flaw(root))]
    usable = [root for root in roots if not title_flaw(root)]
    for name, members in bar(_walk(wiki, usable, seeds.depth, wanted), "categories", show=progress and bool(usable)):
        articles = [member for member in members if member["ns"] == ARTICLE]
        for member in members:
            if reason := wanted.reason_to_skip(member):
                fates.append(Fate(member["title"], "skipped", reason=reason))
            elif member["ns"] == ARTICLE:
                titles[member["title"]] = None
        if name in roots and not articles and not (seeds.depth and members):
            fates.append(Fate(name, "failed", reason="no articles in it", is_category=True))
    return list(titles), [fate for fate in dict.fromkeys(fates) if fate.title not in titles]


def normalize(title: str) -> str:
    """A title as a wiki has it, with single spaces and composed letters, but for the case of its first."""
    return unicodedata.normalize("NFC", " ".join(title.replace("_", " ").split())).removeprefix(":").lstrip()


def name_category(name: str) -> str:
    """The title of a category, named with or without its namespace."""
    return normalize(re.sub(r"(?i)^(\s*category:)?\s*", CATEGORY_PREFIX, name))


def capitalize(title: str) -> str:
    """A title with its first letter as most wikis, Wikipedia among them, have it; "ß" and Georgian have no capital there."""
    capital = title[:1].upper()
    return title if len(capital) != 1 or _GEORGIAN.match(title) else capital + title[1:]


def title_flaw(title: str) -> str:
    """Why no page can have this title, or nothing: a wiki takes `A|B` for two titles and `C#` for a section of `C`."""
    if match := _NOT_IN_TITLES.search(title):
        return f"{match[0]!r} cannot stand in a title"
    return "" if 0 < len(title.encode(errors="replace")) <= 255 else "a title has 1 to 255 bytes"


def _compile(name: str, patterns: Iterable[str]) -> tuple[re.Pattern[str], ...]:
    try:
        return tuple(map(re.compile, patterns))
    except re.error as error:
        raise InputError(f"{name} {error.pattern!r} is no regular expression: {error}") from error


def _walk(wiki: Wiki, roots: Sequence[str], depth: int, wanted: Filter) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each category of the trees once, level by level, with its members in listing order."""
    queue = deque((root, 0) for root in roots)
    seen = set(roots)
    while queue:
        name, level = queue.popleft()
        members = _list_members(wiki, name)
        yield name, members
        below = [member for member in members if member["ns"] == CATEGORY and not wanted.reason_to_skip(member)]
        children = [member["title"] for member in below] if level < depth else []
        queue.extend((child, level + 1) for child in children if child not in seen)
        seen.update(children)


def _list_members(wiki: Wiki, name: str) -> list[dict[str, Any]]:
    """The members of a category, as many as the wiki counts; where it counts more, what two listings in a row agree on.

    Raises `CrawlError` if none do: they are cut short, or the category is edited all the time.
    """
    before = None
    for at_once in (_MEMBERS_AT_ONCE, _MEMBERS_AT_ONCE // 7) * 2:  # no reply is asked for twice
        members, count = _list_once(wiki, name, at_once)
        if len(members) >= count or members == before:
            return members
        before = members
    raise CrawlError(f"{name}: the wiki lists {len(members)} members and counts {count}; run it again to resume")


def _list_once(wiki: Wiki, name: str, at_once: int) -> tuple[list[dict[str, Any]], int]:
    members: list[dict[str, Any]] = []
    count, more = 0, {"continue": ""}
    while more:
        of_it = {"titles": name, "prop": "categoryinfo", "list": "categorymembers", "cmtitle": name}
        reply = wiki.ask(cmlimit=at_once, **of_it, **more)
        try:
            (category,) = reply["query"].get("pages", {"": {}}).values()  # only the first reply counts
            members += [
                {"title": str(member["title"]), "ns": member["ns"]} for member in reply["query"]["categorymembers"]
            ]
            count = max(count, category.get("categoryinfo", {}).get("size", 0))
            before, more = more, dict(reply.get("continue", {}))
            if more == before or not more.keys() <= {"continue", "cmcontinue"}:
                raise ValueError("it goes on where it was")
        except WRONG as error:
            raise CrawlError(f"{name}: half a reply ({error}); run it again to resume") from error
    return members, count
