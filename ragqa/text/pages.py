"""Files in, pages out: JSON Lines, or Markdown articles such as those of the starter corpus."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from ragqa.errors import CorpusError, InputError, RecordError
from ragqa.records import MetadataValue, Page, flaw_of_key, scalar
from ragqa.storage.json_lines import read_json_lines
from ragqa.text.characters import unix_newlines

READABLE = "give JSON Lines (.jsonl, .jsonl.gz) or Markdown (.md), or turn a dump into pages: ragqa import-dump"

_MARKDOWN = (".md", ".markdown")
_OTHER_FORMATS = frozenset(
    ".txt .html .htm .pdf .docx .doc .odt .rtf .epub .rst .tex .csv .tsv .xlsx .xml .bz2 .7z .zip .tar .tgz .zst".split()
)
_IGNORED = ("license",)  # of front matter
_HEADING = re.compile(r"(#{1,6}) +(\S.*)")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


def starter_folder() -> Path:
    """Return the folder of the bundled starter corpus, in the installed package or in the source tree."""
    package = Path(__file__).parents[1]
    installed = package / "assets" / "starter"
    return installed if installed.is_dir() else package.parent / "corpus" / "starter"


def read_pages(path: str | Path) -> Iterator[Page]:
    """Read pages from a JSON Lines file or pipe, from a Markdown file, or from the Markdown files of a folder by name.

    Line ends become line feeds; offsets of passages refer to these pages. Raises `CorpusError` if `path` does not exist or
    holds no page, `InputError` for files of other formats, and `RecordError` at the first invalid page.
    """
    path = Path(path)
    if not path.exists():
        raise CorpusError(f"{path} does not exist; make it with: ragqa crawl --titles titles.txt --out {path}")
    empty = True
    for page in _pages(path):
        empty = False
        yield replace(page, text=unix_newlines(page.text))
    if empty:
        raise CorpusError(f"{path} holds no pages" + (f"; {READABLE}" if path.is_dir() else ""))


def _pages(path: Path) -> Iterable[Page]:
    if path.is_dir():
        return map(read_article, sorted(file for file in path.iterdir() if _format(file) in _MARKDOWN))
    if _format(path) in _MARKDOWN:
        return [read_article(path)]
    if _format(path) in _OTHER_FORMATS:
        raise InputError(f"{path}: ragqa cannot read pages from {_format(path)} files; {READABLE}")
    return read_json_lines(path, Page)


def _format(path: Path) -> str:
    """Return the extension of a file's name in lower case, without `.gz`."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def read_article(path: Path) -> Page:
    """Read a Markdown article: front matter between `---` lines, then the text with `##` headings.

    The front matter has `title` and, if known, `url` or `about` (see `Page`). Other keys become metadata: a value is a number,
    `true`, `false`, a list `[a, b]` or a text. The key `license` and keys that cannot be metadata are ignored. Without front
    matter the title is the first `#` heading, or else the name of the file.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise RecordError(path, 1, f"not UTF-8: {error}") from error
    if lines[0].rstrip() != "---":
        return _plain_article(path, lines)
    ends = [number for number, line in enumerate(lines[1:], 1) if line.rstrip() == "---"]
    if not ends:
        raise RecordError(path, 1, "the front matter has no end: a second line --- must follow it")
    end, fields = ends[0], {}
    for number, line in enumerate(lines[1:end], 2):
        key, colon, value = line.partition(":")
        if not colon:
            raise RecordError(path, number, f"'key: value' is needed, not {line!r}")
        fields[key.strip()] = value.strip()
    if not fields.get("title"):
        raise RecordError(path, 1, "the front matter holds no title")
    text = _with_headings(lines[end + 1 :])
    metadata = {key: _value(text) for key, text in fields.items() if key not in _IGNORED and not flaw_of_key(key)}
    return Page(fields["title"], fields.get("url", ""), text=text, about=fields.get("about", ""), metadata=metadata)


def _value(text: str) -> MetadataValue | None:
    """Return a value of front matter, or None for an empty one."""
    if text.startswith("[") and text.endswith("]"):
        return tuple(item.strip().strip("'\"") for item in text[1:-1].split(",") if item.strip())
    return scalar(text) if text else None


def _plain_article(path: Path, lines: list[str]) -> Page:
    found = ((n, _HEADING.fullmatch(line)) for n, line, code in _outside_code(lines) if not code)
    first = next(((n, heading) for n, heading in found if heading and heading[1] == "#"), None)
    if first is None:
        return Page(path.stem, text=_with_headings(lines))
    number, heading = first
    return Page(_without_closing(heading[2]), text=_with_headings([*lines[:number], *lines[number + 1 :]]))


def _with_headings(lines: list[str]) -> str:
    """Return the text of Markdown lines; outside code, `## Use` becomes `== Use ==`."""
    return "\n".join(line if code else _as_heading(line) for _, line, code in _outside_code(lines)).strip()


def _as_heading(line: str) -> str:
    heading = _HEADING.fullmatch(line)
    if heading is None:
        return line
    signs = "=" * max(2, len(heading[1]))  # level 1 is the title of a page
    return f"{signs} {_without_closing(heading[2])} {signs}"


def _without_closing(heading: str) -> str:
    """Return a heading without closing signs: `Use ##` becomes `Use`, `C#` stays."""
    heading = heading.rstrip()
    text = heading.rstrip("#")
    return text.rstrip() if text.endswith(" ") else heading


def _outside_code(lines: list[str]) -> Iterator[tuple[int, str, bool]]:
    """Yield lines with their index and whether they belong to a fenced block of code."""
    fence = ""
    for number, line in enumerate(lines):
        mark = _FENCE.match(line)
        yield number, line, bool(fence or mark)
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence) and not line.strip(" `~"):
            fence = ""
