r"""Page text in, the same text without the noise of crawls out.

Wikipedia's plain-text extracts print each formula twice: first as indented lines of one token each, then as
`{\displaystyle …}`. The first copy is dropped and the second becomes readable TeX. Sections that hold only references or
links are dropped too.
"""

import re
from collections.abc import Iterator

from ragqa.records import Page, with_text
from ragqa.text.characters import unix_newlines
from ragqa.text.tex import readable_tex

HEADING = re.compile(  # a line of `=` only is a rule
    r"^(={2,6})[ \t]*([^\s=](?:.*?\S)??)[ \t]*\1[ \t]*$", re.MULTILINE
)
LINK_SECTIONS = frozenset(
    "see also|references|notes|footnotes|citations|sources|external links|external sources|further reading|"
    "further resources|bibliography|notes and references|references and notes|notes and citations|works cited|"
    "explanatory notes|general references|general sources|other references|other sources|related pages|"
    "general and cited references|general and cited sources|"
    "see also and references|selected bibliography".split("|")
)

_BARE_LINK_SECTION = re.compile(  # the first line of a paragraph
    r"(?:\A|\n\n)(?:See also|(?:Explanatory n|N)otes|References|(?:Notes|Footnotes) and references|References and notes|"
    r"Further reading|Bibliography|Works cited|External links)(?=\n|\Z)"
)
_MARKDOWN_HEADING = re.compile(r"^(#{2,6})[ \t]+(?=\S)(.*\S)$", re.MULTILINE)
_FALLBACK_NOTE = re.compile(
    r"Pages displaying (?:short descriptions (?:of redirect targets|with no spaces)|wikidata descriptions as a fallback)"
    r"(?: via Module:Annotated link)?\s?"
)
_FORMULA = re.compile(r"\{\s?\\(?:display|text|script|scriptscript)style")
_AFTER_FORMULA = re.compile(r"[ \t]*(?:\n[ \t]*\n[ \t]*(?=[^\s=]))?")
_TOKEN_CHARS, _INDENT = 20, 8  # in the first copy of a formula: longest token; least indent of longer lines
_STRAY_TOKENS = 4  # fewest short lines in a row that are dropped if no formula follows
_CLOSING = re.compile(r"(?:end|[])},;])*")  # tokens that code has on lines of their own
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b\ufeff]")
_INVISIBLE = re.compile(r"[\u00ad\u2060-\u2064]")  # soft hyphens, word joiners, invisible operators


def clean_page(page: Page) -> Page:
    """Return the page with its text cleaned."""
    return with_text(page, clean_text(page.text))


def clean_text(text: str) -> str:
    """Drop doubled formulas, link sections, control characters and blank runs; headings stay lines of their own.

    If a page has no `== headings ==`, Markdown headings (`## …`) become such. If it has none of these either, it is cut off
    before the first paragraph that begins with a bare `See also`, `References` or the like. Idempotent.
    """
    text = _CONTROL.sub(" ", _INVISIBLE.sub("", unix_newlines(text).replace("\xa0", " ")))
    text = _normalize_blanks(_drop_stray_tokens(_rewrite_formulas(text)))
    text = _drop_link_sections(_FALLBACK_NOTE.sub("\n", text))
    if not HEADING.search(text):
        text = _drop_link_sections(_MARKDOWN_HEADING.sub(_as_heading, text))
    if not HEADING.search(text) and (tail := _BARE_LINK_SECTION.search(text)):
        text = text[: tail.start()]
    return _normalize_blanks(text)


def _rewrite_formulas(text: str) -> str:
    pieces: list[str] = []
    position = 0
    for match in _FORMULA.finditer(text):
        if match.start() < position:  # inside the last formula
            continue
        end = _closing_brace(text, match.start())
        before = text[position : _first_copy(text, position, match.start())].rstrip(" \t")
        below_heading = HEADING.fullmatch(before.rpartition("\n")[2])
        pieces += [before, "\n" if below_heading else " ", readable_tex(text[match.end() : end]), " "]
        after = end + text.startswith("}", end)
        position = _AFTER_FORMULA.match(text, after).end()  # type: ignore[union-attr]  # it matches the empty string too
    return "".join(pieces) + text[position:]


def _first_copy(text: str, start: int, formula: int) -> int:
    """Return the offset where the first copy of the formula at `formula` begins, or `formula` if there is none.

    The blank lines before the copy belong to it. Blank lines inside it hold spaces, so lines before an empty line, such as
    code, do not belong to it.
    """
    found, end, past = formula, text.rfind("\n", start, formula), False
    if end < 0 or text[end:formula].strip():
        return formula
    while end >= 0:
        begin = text.rfind("\n", start, end)
        line = text[begin + 1 : end]
        past = past or not line
        if begin < 0 or (line.strip() and (past or not _is_token(line))):
            return end if begin >= 0 or line.strip() else found
        found, end = begin, begin
    return found


def _is_token(line: str) -> bool:
    indent = len(line) - len(line.lstrip())
    return indent >= _INDENT or (indent >= 2 and len(line.strip()) <= _TOKEN_CHARS)


def _drop_stray_tokens(text: str) -> str:
    """Drop runs of deeply indented one-token lines: first copies of formulas without a second copy."""
    kept: list[str] = []
    for short, lines in _runs(text.split("\n")):
        tokens = short and not all(_CLOSING.fullmatch(line.strip()) for line in lines)
        if not tokens or sum(bool(line.strip()) for line in lines) < _STRAY_TOKENS:
            kept += lines
    return "\n".join(kept)


def _runs(lines: list[str]) -> Iterator[tuple[bool, list[str]]]:
    run: list[str] = []
    tokens = False
    for line in lines:
        token = len(line.strip()) <= 3 and (line[:6].isspace() if line.strip() else tokens)
        if run and token != tokens:
            yield tokens, run
            run = []
        tokens = token
        run.append(line)
    yield tokens, run


def _closing_brace(text: str, start: int) -> int:
    """Return the offset of the brace that closes the one at `start`, or the end of the paragraph if none does."""
    depth = 0
    for match in re.compile(r"\\.|[{}]|\n[ \t]*\n").finditer(text, start):
        if match[0] == "{":
            depth += 1
        elif match[0] == "}":
            depth -= 1
            if depth == 0:
                return match.start()
        elif match[0][0] == "\n":
            return match.start()
    return len(text)


def _drop_link_sections(text: str) -> str:
    kept, position, dropping = [], 0, 0
    for match in HEADING.finditer(text):
        level = len(match[1])
        if dropping and level > dropping:
            continue
        if not dropping:
            kept.append(text[position : match.start()])
        dropping = level if match[2].casefold() in LINK_SECTIONS else 0
        position = match.start()
    return "".join(kept) + ("" if dropping else text[position:])


def _as_heading(markdown: re.Match[str]) -> str:
    signs = "=" * len(markdown[1])
    return f"{signs} {markdown[2]} {signs}"


def _normalize_blanks(text: str) -> str:
    text = re.sub(r"(?<![ \t])[ \t]+\n", "\n", text)
    text = re.sub(r"(?<![\s=])\s+(?=[.,;:)](?:\s|$))", "", text)  # a formula was dropped before the full stop
    text = re.sub(r"(?<=\S)[ \t]{2,}", " ", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()
