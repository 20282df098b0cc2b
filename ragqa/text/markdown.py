"""Markdown in, its title, text and metadata out, line by line."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ragqa.errors import RecordError
from ragqa.records import MetadataValue, flaw_of_key, scalar
from ragqa.text.documents import Document, Piece, as_code, as_heading, stem

_IGNORED = ("license",)  # of front matter
_HEADING = re.compile(r"(#{1,6}) +(\S.*)")
_UNDERLINE = re.compile(r"(=+|-{2,}) *")
_NO_PARAGRAPH = re.compile(r"\s*(?:$|[#>|*+-]|\d+[.)] )|\s{4}|.*\|")  # what no underline makes a heading of
_FENCE = re.compile(r"\s*(`{3,}(?=[^`]*$)|~{3,})")  # in a list it may be indented
_FRONT = "---"
_FOLDED = frozenset((">", ">-", ">+", "|", "|-", "|+"))  # the text of a key follows in indented lines
_TEXT = "\x02"  # before such a text, which is no list or number
_LINK_DEFINITION = re.compile(r" {0,3}\[(?!\^)[^\[\]]+\]:\s+\S+(?:\s+[\"'(].*)?\s*")
_CODE = re.compile(r"(`+[^`]*`+)")
_CODE_OR_COMMENT = re.compile(rf"{_CODE.pattern}|<!--")
_MARKUP = (  # what stands for pictures, links, emphasis and HTML in a line, and what is left of it
    (re.compile(r"!\[[^\[\]]*\](?:\([^()]*(?:\([^()]*\)[^()]*)*\)|\[[^\[\]]*\])"), ""),
    (re.compile(r"\[([^\[\]]*)\](?:\([^()]*(?:\([^()]*\)[^()]*)*\)|\[[^\[\]]*\])"), r"\1"),
    (re.compile(r"<((?:https?|mailto):[^<>\s]+)>"), r"\1"),
    (re.compile(r"(?i)<br\s*/?>"), " "),
    (
        re.compile(
            r"(?i)</?(?:a|b|center|code|details|div|em|font|h[1-6]|hr|i|img|kbd|li|ol|p|picture|source|span|strong|sub|summary|"
            r"sup|table|tbody|td|th|thead|tr|u|ul|video)(?:\s[^<>]*)?/?>"
        ),
        "",
    ),
    (re.compile(r"(?<![\w*\\])(\*{1,3})(?=[^\s*])([^*]*[^\s*])\1(?![\w*])"), r"\2"),
)
_RULES = re.compile(r"([=\-~^\"'*+#])\1{2,}\s*")  # what underlines the headings of plain text
_COLUMNS = re.compile(r"\t|\S {2,}\S")
_LONGEST_HEADING = 120  # characters

Fields = dict[str, str | list[str]]


def read_markdown(path: Path, lines: Sequence[str]) -> Document:
    """Read the lines of a Markdown file: front matter between `---` lines, if there is any, then the text.

    The title is that of the front matter, or the first `#` heading, or else the name of the file. The front matter may also
    have `url` or `about` (see `Page`). Its other keys become metadata: a value is a number, `true`, `false`, a list or a text.
    The key `license` and keys that cannot be metadata are ignored. Raises `RecordError` for front matter that cannot be read.
    """
    end, fields = _front_matter(path, lines)
    pieces = list(without_markup([Piece(line, f"L{number}") for number, line in enumerate(lines[end:], end + 1)]))
    title = _text(fields.get("title", "")) or None
    if title is None:
        title, pieces = take_title(pieces, stem(path))
    metadata = {
        key: _value(value)
        for key, value in fields.items()
        if key not in _IGNORED and not flaw_of_key(key) and _text(value)
    }
    url, about = _text(fields.get("url", "")), _text(fields.get("about", ""))
    return Document(title, tuple(with_headings(pieces)), url, about, metadata)


def _front_matter(path: Path, lines: Sequence[str]) -> tuple[int, Fields]:
    """Return the number of lines of the front matter, and its fields; 0 and none if the file has none."""
    if lines[0].rstrip() != _FRONT or not _begins_front_matter(lines):
        return 0, {}
    ends = [number for number, line in enumerate(lines[1:], 1) if line.rstrip() == _FRONT]
    if not ends:
        raise RecordError(path, 1, "the front matter has no end: a second line --- must follow it")
    fields: Fields = {}
    key = ""
    for number, line in enumerate(lines[1 : ends[0]], 2):
        item = line.strip()
        if not item or item.startswith("#"):
            continue
        if key and (line[0].isspace() or item.startswith("- ")):
            _continue(fields, key, item)
            continue
        name, colon, value = line.partition(":")
        if not colon:
            raise RecordError(path, number, f"'key: value' is needed, not {line!r}")
        key = name.strip()
        fields[key] = _TEXT if value.strip() in _FOLDED else value.strip()
    return ends[0] + 1, fields


def _begins_front_matter(lines: Sequence[str]) -> bool:
    """Return True if a first line of `---` begins front matter; otherwise it is a rule above the text."""
    first = next((line for line in lines[1:] if line.strip() and not line.startswith("#")), "")
    return first.rstrip() == _FRONT or ("".join(lines[1:2]).strip() != "" and ":" in first)


def _continue(fields: Fields, key: str, item: str) -> None:
    """Add an indented line to the value of a key: `- item` to a list, and text to a text of several lines.

    A list in brackets may have several lines too. Other indented lines, such as nested mappings, are ignored.
    """
    value = fields[key]
    if isinstance(value, str) and (value.startswith(_TEXT) or _is_open(value)):
        fields[key] = f"{value} {item}"
        return
    if item.startswith("- ") and (not value or isinstance(value, list)):
        fields[key] = [*value, _unquote(item[2:])]


def _is_open(value: str) -> bool:
    return value.startswith("[") and not value.endswith("]")


def _text(value: str | list[str]) -> str:
    return _unquote(value.removeprefix(_TEXT)) if isinstance(value, str) else ", ".join(value)


def _value(value: str | list[str]) -> MetadataValue:
    if isinstance(value, list):
        return tuple(value)
    if value.startswith(_TEXT):
        return value.removeprefix(_TEXT).strip()
    if value.startswith("[") and value.endswith("]"):
        return tuple(item.strip().strip("'\"") for item in value[1:-1].split(",") if item.strip())
    text = _unquote(value)
    return scalar(text) if text == value else text


def _unquote(text: str) -> str:
    text = text.strip()
    quoted = len(text) >= 2 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def take_title(pieces: list[Piece], default: str) -> tuple[str, list[Piece]]:
    """Return the first heading of level 1 outside code, and the pieces without it; `default` if there is none."""
    for number, piece, code in _outside_code(pieces):
        heading = None if code else _HEADING.fullmatch(piece.text)
        if heading and heading[1] == "#":
            return _without_closing(heading[2]), [*pieces[:number], *pieces[number + 1 :]]
        if not code and _underlines(pieces, number) == 1:
            return pieces[number - 1].text.strip(), [*pieces[: number - 1], *pieces[number + 1 :]]
    return default, pieces


def without_markup(pieces: list[Piece]) -> Iterator[Piece]:
    """Yield the pieces; outside code, links and emphasis become their texts; pictures, comments and HTML tags are dropped."""
    in_comment = False
    for _, piece, code in _outside_code(pieces):
        text = piece.text
        if code:
            yield piece
            continue
        text, in_comment = _without_comments(text, in_comment)
        text = "" if _LINK_DEFINITION.fullmatch(text) else text
        yield Piece("".join(part if part.startswith("`") else _plain(part) for part in _CODE.split(text)), piece.place)


def _without_comments(text: str, in_comment: bool) -> tuple[str, bool]:
    """Return a line without its comments, and True if the last one does not end in it. Code in the line stays."""
    text = f"<!--{text}" if in_comment else text
    shown: list[str] = []
    start = end = 0
    while opening := _CODE_OR_COMMENT.search(text, end):
        end = opening.end()
        if opening[0] != "<!--":
            continue
        shown.append(text[start : opening.start()])
        closing = text.find("-->", end)
        if closing < 0:
            return "".join(shown), True
        start = end = closing + 3
    return "".join(shown) + text[start:], False


def _plain(text: str) -> str:
    if text.isspace():
        return text
    plain = text
    for pattern, replacement in _MARKUP:
        plain = pattern.sub(replacement, plain)
    return plain if plain.strip() else ""


def with_underlined_headings(pieces: list[Piece]) -> Iterator[Piece]:
    """Yield the pieces of plain text; a line above a rule, such as `=====`, becomes a heading, and other rules are dropped.

    The sign that comes first underlines the highest level, as in reStructuredText.
    """
    signs: list[str] = []
    for number, piece in enumerate(pieces):
        if _is_rule(piece.text):
            continue
        rule = pieces[number + 1].text if number + 1 < len(pieces) else ""
        before = pieces[number - 1].text if number else ""
        if _underlines_text(rule, piece.text, before):
            signs += [] if rule[0] in signs else [rule[0]]
            yield Piece(as_heading(signs.index(rule[0]) + 2, piece.text.strip()), piece.place)
        else:
            yield piece


def _is_rule(text: str) -> bool:
    return _RULES.fullmatch(text) is not None


def _underlines_text(rule: str, text: str, before: str) -> bool:
    """Return True if a rule is about as long as the text above it, or longer, and the text is one line without columns."""
    return (
        _is_rule(rule)
        and not text[:1].isspace()
        and any(map(str.isalnum, text))
        and (not before.strip() or (_is_rule(before) and before[0] == rule[0]))
        and len(text) <= min(len(rule.rstrip()) + 2, _LONGEST_HEADING)
        and not _COLUMNS.search(text)
    )


def with_headings(pieces: list[Piece]) -> Iterator[Piece]:
    """Yield the pieces; outside code, `## Use` and `Use` above a line of `---` become `== Use ==`."""
    underlines = {n: level for n, _, code in _outside_code(pieces) if not code and (level := _underlines(pieces, n))}
    for number, piece, code in _outside_code(pieces):
        if number + 1 in underlines:
            yield Piece(as_heading(underlines[number + 1], piece.text.strip()), piece.place)
        elif number not in underlines:
            yield Piece(as_code(piece.text) if code else _as_heading(piece.text), piece.place)


def _underlines(pieces: Sequence[Piece], number: int) -> int:
    """Return the level of the heading that a line underlines, 1 or 2; 0 if it underlines none."""
    line = _UNDERLINE.fullmatch(pieces[number].text)
    if line is None or not number or _NO_PARAGRAPH.match(pieces[number - 1].text):
        return 0
    if number > 1 and pieces[number - 2].text.strip():  # the last line of a longer paragraph
        return 0
    return 1 if line[1].startswith("=") else 2


def _as_heading(line: str) -> str:
    heading = _HEADING.fullmatch(line)
    return line if heading is None else as_heading(len(heading[1]), _without_closing(heading[2]))


def _without_closing(heading: str) -> str:
    """Return a heading without closing signs: `Use ##` becomes `Use`, `C#` stays."""
    heading = heading.rstrip()
    text = heading.rstrip("#")
    return text.rstrip() if text.endswith(" ") else heading


def _outside_code(pieces: Sequence[Piece]) -> Iterator[tuple[int, Piece, bool]]:
    """Yield lines with their index and whether they belong to a fenced block of code."""
    fence = ""
    for number, piece in enumerate(pieces):
        mark = _FENCE.match(piece.text)
        yield number, piece, bool(fence or mark)
        if mark and not fence:
            fence = mark[1]
        elif mark and mark[1].startswith(fence) and not piece.text.strip(" `~"):
            fence = ""
