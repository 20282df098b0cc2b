"""Fetch one article, as a page or as an outcome without a page; find the articles that changed since they were fetched."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from ragqa.errors import CrawlError
from ragqa.records import Page
from ragqa.storage.json_lines import LONGEST_LINE, construct, json_line
from ragqa.text.clean import clean_page
from ragqa.text.omissions import restore_omissions
from ragqa.wiki.api import Wiki
from ragqa.wiki.listing import bare_name, capitalize, title_flaw
from ragqa.wiki.metadata import describe_page
from ragqa.wiki.outcomes import Outcome
from ragqa.wiki.replies import reading

_BATCH = 50  # most pages per request for users without special rights
_EDIT = "&action=edit"
_TAG = re.compile(r"<[^<>]*>")


def fetch(wiki: Wiki, title: str, *, named: bool = True, known: bool = False) -> Page | Outcome:
    """Fetch the page that a title leads to, through redirects, or return the outcome if there is none.

    A title of no article is failed if it was `named`, skipped if it comes from a category; so is a disambiguation page in a
    category. A `known` page comes from an earlier crawl, which may have asked for more namespaces. All that is known about a
    page comes from one request. Missing and empty are confirmed by a second, different request. Raises `CrawlError` if there is
    no answer.
    """
    no_article = "failed" if named else "skipped"
    if flaw := title_flaw(title):
        return Outcome(title, no_article, reason=flaw)
    article = wiki.pages.page(title)
    with reading():
        try:
            number = article.pageid  # the first attribute that is read fetches all
        except KeyError:
            number = None
    if number is None:  # the reply holds no page
        return Outcome(title, no_article, reason=_reason_for_no_page(wiki, title))
    if article.ns not in wiki.namespaces and not (known and article.title == title):
        return Outcome(title, no_article, reason="not an article")
    with reading():
        if number < 0:
            _confirm_missing(wiki, title)
            return Outcome(title, "missing")
        if not named and "disambiguation" in getattr(article, "pageprops", ()):
            return Outcome(title, "skipped", article.title, reason="a disambiguation page")
        page = _page(title, article)
        if not article.extract.strip():
            _confirm_empty(wiki, page.title)
            page = replace(page, text="")  # without the notes of tables
    return page if page.text else Outcome(title, "empty", page.title, page.revision)


def find_host(wiki: Wiki) -> str:
    """Return the host in a wiki's URLs. Raises `CrawlError` if there is no answer."""
    with reading():
        server = wiki.ask(meta="siteinfo")["query"]["general"]["server"]
    return str(urlsplit(server).netloc)


def find_changed(wiki: Wiki, pages: Iterable[Page]) -> Iterator[tuple[Page, str]]:
    """Yield the pages that have changed, each with its title of now, or the old title if it is gone.

    Pages without an id are skipped. Raises `CrawlError` if there is no answer.
    """
    known = {str(page.page_id): page for page in pages if page.page_id is not None}
    for numbers in _batches(known):
        with reading():
            told = wiki.ask(pageids="|".join(numbers), prop="info")["query"]["pages"]
        for number in numbers:
            page, now = known[number], told[number]
            if (now.get("title"), now.get("lastrevid")) != (page.title, page.revision) or "redirect" in now:
                yield page, now.get("title", page.title)


def find_targets(wiki: Wiki, titles: Iterable[str]) -> Iterator[tuple[str, int, bool]]:
    """Yield titles with the id of the page they lead to, through redirects, and whether they lead to a section of it.

    Titles that lead nowhere are left out. Raises `CrawlError` if there is no answer.
    """
    for some in _batches(titles):
        with reading():
            query = wiki.ask(titles="|".join(some), prop="info", redirects=1)["query"]
            steps = {step["from"]: step for kind in ("normalized", "redirects") for step in query.get(kind, ())}
            numbers = {page["title"]: page["pageid"] for page in query.get("pages", {}).values() if "pageid" in page}
        for title in some:
            end, to_section = title, False
            for _ in steps:
                if step := steps.get(end):
                    end, to_section = step["to"], "tofragment" in step
            if end in numbers:
                yield title, numbers[end], to_section


def _batches(items: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(items)
    while some := list(islice(rest, _BATCH)):
        yield some


def _page(title: str, article: Any) -> Page:
    (revision,) = article.revisions
    script, is_script, _ = (article.editurl or "").partition(_EDIT)
    url = script if is_script else article.fullurl
    text = restore_omissions(article.extract, revision.get("slots", {}).get("main", {}).get("*", ""))
    number, timestamp = revision["revid"], revision["timestamp"]
    metadata = describe_page(_categories(article), timestamp, article.pagelanguage or "")
    aliases = _aliases(title, article)
    page = clean_page(Page(article.title, url, article.pageid, number, timestamp, text, aliases, metadata=metadata))
    line = json_line(page)  # checked as strictly as when it is read
    if len(line) > LONGEST_LINE:
        raise ValueError(f"it has more than {LONGEST_LINE:,} bytes")
    return construct(Page, json.loads(line))


def _categories(article: Any) -> Iterator[str]:
    """Yield the names of a page's categories, without their namespace and without hidden ones."""
    try:
        listed = article.__getattr__("categories")  # the property of this name would send another request
    except AttributeError:  # the page is in none
        listed = ()
    for category in listed:
        yield bare_name(category["title"])


def _aliases(title: str, article: Any) -> tuple[str, ...]:
    """Return the titles that lead to a page, not to a section of it. A redirect to a redirect counts only if it is `title`."""
    redirects = {redirect["title"]: "fragment" in redirect for redirect in getattr(article, "redirects", ())}
    names = {name for name, to_section in redirects.items() if not to_section}
    if {title, capitalize(title)}.isdisjoint({article.title, *redirects}):
        names.add(title)
    return tuple(sorted(names))


def _reason_for_no_page(wiki: Wiki, title: str) -> str:
    query = wiki.ask(titles=title, prop="info", redirects=1)["query"]
    return "a redirect that leads in a circle" if "redirects" in query else "not a page of this wiki"


def _confirm_missing(wiki: Wiki, title: str) -> None:
    """Raise `CrawlError` if a page that was reported missing exists."""
    (told,) = wiki.ask(titles=title, prop="info", redirects=1)["query"]["pages"].values()
    if "missing" not in told and "invalid" not in told:
        raise CrawlError("the wiki says that it is missing, and that it is not")


def _confirm_empty(wiki: Wiki, title: str) -> None:
    """Raise `CrawlError` if a page that came without text has some."""
    (told,) = wiki.ask(titles=title, prop="extracts")["query"]["pages"].values()
    if has_text(told["extract"]):
        raise CrawlError("the wiki says that it is empty, and that it is not")


def has_text(html: str) -> bool:
    """Return True if HTML holds anything but tags and comments."""
    first, *others = html.split("<!--")
    return bool(_TAG.sub("", first + "".join(other.partition("-->")[2] for other in others)).strip())
