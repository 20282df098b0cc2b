r"""Page text without the noise that crawls leave in it.

Wikipedia's plain-text extracts print each formula twice: once as indented lines of one token each, once as
`{\displaystyle …}`. Here the first copy goes and the second becomes readable TeX. Sections that hold only lists of
references and links go too.
"""

import re
from dataclasses import replace

from ragqa.records import Page

HEADING = re.compile(r"^(={2,6})[ \t]*(\S.*?)[ \t]*\1[ \t]*$", re.MULTILINE)
LINK_SECTIONS = frozenset(
    "see also|references|notes|footnotes|citations|sources|external links|further reading|bibliography|"
    "notes and references|references and notes|works cited".split("|")
)

_FORMULA = re.compile(r"\{\\(?:display|text|script|scriptscript)style\b")
_TOKEN_LINES = re.compile(r"(?:[ \t]*\n(?:[ \t]{2,}\S(?:[^\n]{0,18}\S)?|[ \t]*(?=\n|$)))+[ \t]*$")
_AFTER_FORMULA = re.compile(r"[ \t]*(?:\n[ \t]*\n[ \t]*(?=[^\s=]))?")
_FONT = re.compile(
    r"\\(?:mathbf|mathrm|mathit|mathsf|mathtt|mathcal|mathbb|boldsymbol|operatorname|text|textbf|textrm|"
    r"displaystyle|textstyle|scriptstyle|scriptscriptstyle|left|right|big|Big|bigg|Bigg|limits|nolimits)"
    r"(?![a-zA-Z])\*?\s*"
)
_SPACING = re.compile(r"\\[,;:!> ]|\\q?quad\b|~")
_BEFORE_ARGUMENT = re.compile(r"(\\(?:[cdt]?frac|[dt]?binom|sqrt))\s+(?=\{)")  # n-1 over n is not "\frac n-1n"
_LONE_BRACES = re.compile(r"(?<![\\_^a-zA-Z}])\{\s*([^{}\\]*?)\s*\}")
_DEEPEST = 50  # braces in braces; what goes deeper is no formula, and would take as many passes
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b\ufeff]")


def clean_page(page: Page) -> Page:
    """The same page with its text cleaned."""
    return replace(page, text=clean_text(page.text))


def clean_text(text: str) -> str:
    """Drop doubled formulas, link sections, control characters and blank runs; headings stay lines of their own."""
    text = _CONTROL.sub(" ", text.replace("\r\n", "\n").replace("\xa0", " "))
    return _normalize_blanks(_drop_link_sections(_rewrite_formulas(text)))


def _rewrite_formulas(text: str) -> str:
    pieces: list[str] = []
    position = 0
    for match in _FORMULA.finditer(text):
        if match.start() < position:  # inside a formula already rewritten
            continue
        end = _closing_brace(text, match.start())
        before = _TOKEN_LINES.sub("", text[position : match.start()]).rstrip(" \t")
        below_heading = HEADING.fullmatch(before.rpartition("\n")[2])
        pieces += [before, "\n" if below_heading else " ", readable_tex(text[match.end() : end]), " "]
        after = end + text.startswith("}", end)
        position = _AFTER_FORMULA.match(text, after).end()  # type: ignore[union-attr]  # it matches the empty string too
    return "".join(pieces) + text[position:]


def _closing_brace(text: str, start: int) -> int:
    """The index of the brace that closes the one at `start`, or the end of the paragraph where none does."""
    depth = 0
    for match in re.compile(r"\\.|[{}]|\n\s*\n").finditer(text, start):
        if match[0] == "{":
            depth += 1
        elif match[0] == "}":
            depth -= 1
            if depth == 0:
                return match.start()
        elif match[0][0] == "\n":
            return match.start()
    return len(text)


def readable_tex(tex: str) -> str:
    r"""TeX without font, size and spacing commands: `\mathbf {x} _{i}` becomes `x_{i}`."""
    tex = _BEFORE_ARGUMENT.sub(r"\1", _SPACING.sub(" ", _FONT.sub("", tex)))
    for _ in range(_DEEPEST):
        if (shorter := _LONE_BRACES.sub(r"\1", tex)) == tex:
            break
        tex = shorter
    tex = re.sub(r"\s*([_^])\s*(?:\{\s*(\w)\s*\})?", r"\1\2", tex)
    return " ".join(tex.split()).rstrip(" .,;")


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


def _normalize_blanks(text: str) -> str:
    text = re.sub(r"[ \t]+\n", "\n", text)
    text = re.sub(r"\n\s*\n?[ \t]*(?=[.,;:)\]](?:\s|$))", "", text)  # a formula was dropped before the full stop
    text = re.sub(r"[ \t]+(?=[.,;:)](?:\s|$))", "", text)
    text = re.sub(r"(?<=\S)[ \t]{2,}", " ", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()
