"""The titles that a crawl asks for: the given ones, and the members of categories as the wiki lists them."""

import re
import unicodedata
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ragqa.errors import CrawlError, InputError
from ragqa.progress import bar
from ragqa.wiki.api import Wiki
from ragqa.wiki.namespaces import ARTICLES, CATEGORY, fold
from ragqa.wiki.outcomes import Outcome
from ragqa.wiki.replies import WRONG
from ragqa.wiki.seeds import Seeds

CATEGORY_PREFIX = "Category:"
CATEGORY_NAMES = frozenset({"category"})  # names of the namespace that every wiki knows

_MEMBERS_AT_ONCE = 500  # per request
_MOST_MEMBERS = 1_000_000  # of a category; Wikipedia's largest have as many
_MOST_IN_VAIN = 20  # replies in a row without a new member
_GEORGIAN = re.compile("[\u10d0-\u10ff]")
_NOT_IN_TITLES = re.compile(
    r"[#<>\[\]|{}\x00-\x1f\x7f\ufffd\ud800-\udfff]"
)  # https://www.mediawiki.org/wiki/Manual:Page_title
_NO_ARTICLE = re.compile(r"^(Lists? of|Index of|Outline of|Timeline of) |\(disambiguation\)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Filter:
    """Regular expressions that select members of categories. They may match anywhere in a title.

    `exclude` holds for subcategories too; `include` only for articles.
    """

    include: tuple[re.Pattern[str], ...] = ()
    exclude: tuple[re.Pattern[str], ...] = ()
    namespaces: Collection[int] = ARTICLES

    def reason_to_skip(self, member: dict[str, Any]) -> str:
        """Return why a member of a category is skipped, or "" if it is wanted."""
        title, namespace = member["title"], member["ns"]
        if any(pattern.search(title) for pattern in self.exclude):
            return "excluded"
        if namespace != CATEGORY and namespace not in self.namespaces:
            return f"namespace {namespace}"
        if _NO_ARTICLE.search(title):
            return "a list or disambiguation page, by its title"
        wanted = namespace == CATEGORY or not self.include or any(pattern.search(title) for pattern in self.include)
        return "" if wanted else "not included"


def make_filter(include: Iterable[str], exclude: Iterable[str]) -> Filter:
    """Compile the expressions. Raises `InputError` that names the first invalid one."""
    return Filter(_compile("include", include), _compile("exclude", exclude))


def list_titles(wiki: Wiki, seeds: Seeds, wanted: Filter, progress: bool) -> tuple[list[str], list[Outcome]]:
    """Return the titles to fetch, each once, the given ones first, and the outcomes of members skipped and categories failed.

    Subcategories are followed level by level, each once. Raises `CrawlError` if a category cannot be listed completely.
    """
    titles = dict.fromkeys(map(normalize, seeds.titles))
    roots = dict.fromkeys(name_categories(wiki, seeds.categories))
    outcomes = [Outcome(root, "failed", reason=flaw, is_category=True) for root in roots if (flaw := title_flaw(root))]
    usable = [root for root in roots if not title_flaw(root)]
    for name, members in bar(_walk(wiki, usable, seeds.depth, wanted), "categories", show=progress and bool(usable)):
        articles = [member for member in members if member["ns"] in wiki.namespaces]
        for member in members:
            if reason := wanted.reason_to_skip(member):
                outcomes.append(Outcome(member["title"], "skipped", reason=reason))
            elif member["ns"] in wiki.namespaces:
                titles[member["title"]] = None
        if name in roots and not articles and not (seeds.depth and members):
            outcomes.append(Outcome(name, "failed", reason="no articles in it", is_category=True))
    return list(titles), [outcome for outcome in dict.fromkeys(outcomes) if outcome.title not in titles]


def normalize(title: str) -> str:
    """Return a title as a wiki writes it, with single spaces and composed letters. The case of its first letter stays."""
    return unicodedata.normalize("NFC", " ".join(title.replace("_", " ").split())).removeprefix(":").lstrip()


def name_category(name: str, names: Collection[str] = CATEGORY_NAMES) -> str:
    """Return the title of a category given with or without its namespace; `names` are the names of that namespace."""
    prefix, colon, bare = normalize(name).partition(":")
    return normalize(CATEGORY_PREFIX + (bare if colon and fold(prefix) in names else normalize(name)))


def name_categories(wiki: Wiki, names: Iterable[str]) -> list[str]:
    """Return the titles of categories. Asks the wiki for its names of the namespace only if a name has an unknown prefix."""
    called: Collection[str] = CATEGORY_NAMES
    if any(":" in name and fold(name.lstrip(": ").partition(":")[0]) not in called for name in names):
        called = wiki.read_namespaces().get(CATEGORY, called)
    return [name_category(name, called) for name in names]


def capitalize(title: str) -> str:
    """Return a title with a first capital, as most wikis write it; "ß" and Georgian letters have none there."""
    capital = title[:1].upper()
    return title if len(capital) != 1 or _GEORGIAN.match(title) else capital + title[1:]


def title_flaw(title: str) -> str:
    """Return why no page can have this title, or "". A wiki reads `A|B` as two titles and `C#` as a section of `C`."""
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
    seen = set(map(bare_name, roots))
    while queue:
        name, level = queue.popleft()
        members = _list_members(wiki, name)
        yield name, members
        below = [member for member in members if member["ns"] == CATEGORY and not wanted.reason_to_skip(member)]
        children = [member["title"] for member in below] if level < depth else []
        queue.extend((child, level + 1) for child in children if bare_name(child) not in seen)
        seen.update(map(bare_name, children))


def bare_name(category: str) -> str:
    """Return the name of a category without its namespace, whose name depends on the wiki's language."""
    return category.partition(":")[2]


def _list_members(wiki: Wiki, name: str) -> list[dict[str, Any]]:
    """Return the members of a category. If the wiki counts more than it lists, two listings in a row must agree.

    Raises `CrawlError` if none do: the lists are cut short, or the category is edited all the time.
    """
    before = None
    for at_once in (_MEMBERS_AT_ONCE, _MEMBERS_AT_ONCE // 7) * 2:  # so that no request is repeated in a row
        members, count = _list_once(wiki, name, at_once)
        if len(members) >= count or members == before:
            return members
        before = members
    raise CrawlError(f"{name}: the wiki lists {len(members)} members and counts {count}; run it again to resume")


def _list_once(wiki: Wiki, name: str, at_once: int) -> tuple[list[dict[str, Any]], int]:
    members: dict[str, dict[str, Any]] = {}
    count, in_vain, more = 0, 0, {"continue": ""}
    while more:
        of_it = {"titles": name, "prop": "categoryinfo", "list": "categorymembers", "cmtitle": name}
        reply = wiki.ask(cmlimit=at_once, **of_it, **more)
        known = len(members)
        try:
            (category,) = reply["query"].get("pages", {"": {}}).values()  # only the first reply holds the count
            for member in reply["query"]["categorymembers"]:
                members[str(member["title"])] = {"title": str(member["title"]), "ns": member["ns"]}
            count = max(count, category.get("categoryinfo", {}).get("size", 0))
            before, more = more, dict(reply.get("continue", {}))
            if more == before or not more.keys() <= {"continue", "cmcontinue"}:
                raise ValueError("it goes on where it was")
        except WRONG as error:
            raise CrawlError(f"{name}: incomplete reply ({error}); run it again to resume") from error
        in_vain = in_vain + 1 if len(members) == known else 0
        if more and (in_vain >= _MOST_IN_VAIN or len(members) > _MOST_MEMBERS):
            raise CrawlError(
                f"{name}: the wiki's list does not end: {len(members):,} members, and {in_vain} replies without a new one"
            )
    return list(members.values()), count
