"""Crawls, started as tests need them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ragqa.wiki.crawl import CrawlConfig, crawl
from ragqa.wiki.outcomes import CrawlReport
from ragqa.wiki.seeds import Seeds


def crawl_into(
    out: Path,
    *,
    contact: str = "a@b.example",
    lang: str = "en",
    depth: int = 0,
    categories: Sequence[str] = (),
    titles: Sequence[str] = (),
    progress: bool = False,
    **settings: Any,
) -> CrawlReport:
    """Crawl into a file; `settings` are those of `CrawlConfig`."""
    seeds = Seeds(lang, depth, tuple(categories), tuple(titles))
    frozen: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
    }
    return crawl(CrawlConfig(out=out, contact=contact, seeds=seeds, **frozen), progress=progress)
