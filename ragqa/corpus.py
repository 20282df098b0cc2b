"""Pages from wherever they lie: a JSON Lines file, or a folder of Markdown articles such as the starter corpus."""

import re
from collections.abc import Iterator
from pathlib import Path

from ragqa.errors import CorpusError, RecordError
from ragqa.records import Page, read_json_lines

_MARKDOWN_HEADING = re.compile(r"^(#{2,6}) +(\S(?:.*\S)?) *$", re.MULTILINE)


def starter_folder() -> Path:
    """The folder of the bundled starter corpus: in an installed package, else in the source tree."""
    installed = Path(__file__).parent / "starter"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "corpus" / "starter"


def read_pages(path: str | Path) -> Iterator[Page]:
    """Read pages from a JSON Lines file (`.gz` too) or from the Markdown files of a folder, in order of their names.

    Raises `CorpusError` if there is nothing at `path` or no page in it, `RecordError` at the first page that is not one.
    """
    path = Path(path)
    if not path.exists():
        raise CorpusError(f"{path} does not exist; make it with: ragqa crawl --titles titles.txt --out {path}")
    pages = map(read_article, sorted(path.glob("*.md"))) if path.is_dir() else read_json_lines(path, Page)
    empty = True
    for page in pages:
        empty = False
        yield page
    if empty:
        raise CorpusError(f"{path} holds no pages")


def read_article(path: Path) -> Page:
    """Read a Markdown article: front matter with `title` and `url` between `---` lines, then the text with `##` headings."""
    try:
        lines = path.read_text(encoding="utf8").split("\n")
    except UnicodeDecodeError as error:
        raise RecordError(path, 1, f"not UTF-8: {error}") from error
    if lines[0] != "---" or "---" not in lines[1:]:
        raise RecordError(path, 1, "front matter is missing: the first line must be ---, and another --- must follow")
    end = lines.index("---", 1)
    fields = {}
    for number, line in enumerate(lines[1:end], 2):
        key, colon, value = line.partition(":")
        if not colon:
            raise RecordError(path, number, f"'key: value' is needed, not {line!r}")
        fields[key.strip()] = value.strip()
    if not fields.get("title"):
        raise RecordError(path, 1, "the front matter holds no title")
    text = _MARKDOWN_HEADING.sub(
        lambda m: f"{m[1].replace('#', '=')} {m[2]} {m[1].replace('#', '=')}", "\n".join(lines[end + 1 :])
    )
    return Page(fields["title"], fields.get("url", ""), text=text.strip())
