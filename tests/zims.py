"""ZIM files made up for tests, with HTML as MWoffliner writes it."""

import random
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from libzim.writer import Creator, Hint, Item, StringProvider

METADATA = {
    "Name": "wikipedia_en_test",
    "Language": "eng",
    "Title": "Wikipedia",
    "Creator": "Wikipedia",
    "Date": "2024-06-01",
    "Source": "https://en.wikipedia.org/",
}
DAY = "2024-05-06"


def article(
    title: str,
    body: str,
    *,
    revision: int | None = 70,
    categories: Iterable[str] = (),
    site: str = "https://en.wikipedia.org/wiki/",
    body_class: str = "mediawiki ltr ns-0 ns-subject skin-vector-2022",
) -> str:
    """An article as MWoffliner writes it with the skin of today."""
    path = quote(title.replace(" ", "_"), safe="")
    items = "".join(f"<li>{escape(name)}</li>" for name in categories)
    links = (
        f'<div id="mw-normal-catlinks" class="mw-normal-catlinks">Categories: <ul>{items}</ul></div>' if items else ""
    )
    footer = (
        f'<!--htdig_noindex--><div><div class="zim-footer">This article is issued from <a class="external text" '
        f'title="Last edited on {DAY}" href="{site}?title={path}&amp;oldid={revision}">Wikipedia</a>. The text is '
        "available under a licence.</div></div><!--/htdig_noindex-->"
        if revision
        else ""
    )
    return (
        f'<!DOCTYPE html>\n<html class="client-js" lang="en" dir="ltr"><head><meta charset="UTF-8"><title>{escape(title)}'
        f'</title><link rel="canonical" href="{site}{path}"></head><body class="{body_class}"><div class="mw-page-container">'
        f'<main id="content" class="mw-body"><header class="mw-body-header"><h1 id="firstHeading" class="firstHeading">'
        f'{escape(title)}</h1></header><a id="top"></a><div id="bodyContent" class="vector-body"><div id="contentSub">'
        f'<div id="mw-content-subtitle"></div></div><div id="mw-content-text" class="mw-body-content mw-content-ltr">'
        f'<div class="mw-content-ltr mw-parser-output" lang="en" dir="ltr">{body}</div>'
        f'<div id="catlinks" class="catlinks" data-mw="interface">{links}</div>{footer}</div></div></main></div></body></html>'
    )


class Entry(Item):
    """A file in a ZIM file."""

    def __init__(self, path: str, title: str, content: str | bytes, mimetype: str = "text/html") -> None:
        super().__init__()
        self.path, self.title, self.content, self.mimetype = path, title, content, mimetype

    def get_path(self) -> str:
        return self.path

    def get_title(self) -> str:
        return self.title

    def get_mimetype(self) -> str:
        return self.mimetype

    def get_contentprovider(self) -> StringProvider:
        return StringProvider(self.content)

    def get_hints(self) -> dict[Hint, int]:
        return {Hint.FRONT_ARTICLE: 1, Hint.COMPRESS: 1}


def write_zim(
    path: Path,
    articles: Mapping[str, str | bytes],
    redirects: Mapping[str, str] | None = None,
    *,
    metadata: Mapping[str, str] = METADATA,
    main: str = "index",
    prefix: str = "",
    more: Iterable[Entry] = (),
    cluster_bytes: int = 2 << 20,
) -> Path:
    """Write articles by title, and redirects, with what else MWoffliner puts into a file."""
    creator: Any = Creator(path).config_indexing(False, "en").config_nbworkers(1).config_clustersize(cluster_bytes)
    creator.set_mainpath(prefix + main)
    with creator:
        creator.add_item(Entry(f"{prefix}{main}", "Welcome", "<html><body><div>Tiles</div></body></html>"))
        creator.add_item(Entry("_res_/style.css", "", "body {}", "text/css"))
        for title, html in articles.items():
            creator.add_item(Entry(prefix + title.replace(" ", "_"), title, html))
        for item in more:
            creator.add_item(item)
        for title, target in (redirects or {}).items():
            names = (prefix + name.replace(" ", "_") for name in (title, target))
            creator.add_redirection(next(names), title, next(names), {Hint.FRONT_ARTICLE: 1})
        for name, value in metadata.items():
            creator.add_metadata(name, value)
    return path


def many(count: int, seed: int = 0) -> tuple[dict[str, str], dict[str, str]]:
    """Articles in no order, and a redirect to every third."""
    rng = random.Random(seed)
    words = "the loss of a network is small <a href='x'>where</a> <b>it</b> learns slowly and <i>well</i>".split(" ")
    titles = [f"Article {number}" for number in range(count)]
    rng.shuffle(titles)
    articles = {
        title: article(title, f"<p><b>{title}</b> {' '.join(rng.choices(words[:6] + words[8:9], k=60))}</p>")
        for title in titles
    }
    return articles, {f"Name {title}": title for title in titles[::3]}
