"""MediaWiki XML exports made up for tests."""

import bz2
import gzip
import random
from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

BASE = "https://en.wikipedia.org/wiki/Main_Page"
NAMESPACES = {0: "", 1: "Talk", 6: "File", 14: "Category"}
TIMESTAMP = "2024-05-06T07:08:09Z"


def revision(text: str, number: int = 1, timestamp: str = TIMESTAMP, model: str = "wikitext") -> str:
    return (
        f"<revision><id>{number}</id><timestamp>{timestamp}</timestamp><contributor><username>T</username><id>1</id>"
        f"</contributor><model>{model}</model><format>text/x-wiki</format>"
        f'<text bytes="{len(text.encode())}" sha1="x">{escape(text)}</text></revision>'
    )


def page(number: int, title: str, text: str = "", *, namespace: int = 0, to: str = "", revisions: str = "") -> str:
    redirect = f"<redirect title={quoteattr(to)} />" if to else ""
    text = text or (f"#REDIRECT [[{to}]]" if to else "")
    return (
        f"<page><title>{escape(title)}</title><ns>{namespace}</ns><id>{number}</id>{redirect}"
        f"{revisions or revision(text, 10 * number)}</page>\n"
    )


def export(*pages: str, base: str = BASE, case: str = "first-letter", namespaces: dict[int, str] | None = None) -> str:
    names = "".join(f'<namespace key="{key}">{name}</namespace>' for key, name in (namespaces or NAMESPACES).items())
    return (
        '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="en">\n<siteinfo>'
        f"<sitename>T</sitename><base>{base}</base><case>{case}</case><namespaces>{names}</namespaces></siteinfo>\n"
        f"{''.join(pages)}</mediawiki>\n"
    )


def multistream(xml: str, pages_in_a_stream: int = 2) -> bytes:
    """As Wikimedia packs its dumps: head, pages and tail in streams of their own."""
    head, *pages = xml.split("<page>")
    last, tail = pages[-1].split("</mediawiki>")
    parts = [f"<page>{page}" for page in (*pages[:-1], last)]
    streams = ["".join(parts[n : n + pages_in_a_stream]) for n in range(0, len(parts), pages_in_a_stream)]
    return b"".join(bz2.compress(part.encode()) for part in (head, *streams, f"</mediawiki>{tail}"))


def pack(xml: str, how: str) -> bytes:
    if how == "multistream":
        return multistream(xml)
    data = xml.encode()
    return bz2.compress(data) if how == "bz2" else gzip.compress(data) if how == "gz" else data


def write(path: Path, *pages: str) -> Path:
    path.write_text(export(*pages), encoding="utf8")
    return path


def many(count: int, seed: int = 0) -> Iterable[str]:
    """Articles, every third with a redirect to it."""
    rng = random.Random(seed)
    words = "the loss of a network is small [[where]] '''it''' learns {{box|a=b}} <math>x_1</math> slowly".split()
    for number in range(count):
        title = f"Article {number}"
        yield page(3 * number + 1, title, f"'''{title}''' " + " ".join(rng.choices(words, k=60)) + "\n[[Category:All]]")
        if number % 3 == 0:
            yield page(3 * number + 2, f"Name {number}", to=title)
