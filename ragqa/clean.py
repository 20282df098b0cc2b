r"""Page text without the noise that crawls leave in it.

Wikipedia's plain-text extracts print each formula twice: once as indented lines of one token each, once as
`{\displaystyle …}`. Here the first copy goes and the second becomes readable TeX. Sections that hold only lists of
references and links go too.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from ragqa.records import Page

HEADING = re.compile(r"^(={2,6})[ \t]*(\S(?:.*?\S)??)[ \t]*\1[ \t]*$", re.MULTILINE)
LINK_SECTIONS = frozenset(
    "see also|references|notes|footnotes|citations|sources|external links|external sources|further reading|"
    "further resources|bibliography|notes and references|references and notes|notes and citations|works cited|"
    "explanatory notes|general references|general sources|other references|other sources|related pages|"
    "general and cited references|general and cited sources|"
    "see also and references|key scientific publications|selected bibliography".split("|")
)

_BARE_LINK_SECTION = re.compile(  # the first line of a paragraph
    r"(?:\A|\n\n)(?:See also|(?:Explanatory n|N)otes|References|(?:Notes|Footnotes) and references|References and notes|"
    r"Further reading|Bibliography|Works cited|External links)(?=\n|\Z)"
)
_MARKDOWN_HEADING = re.compile(r"^(#{2,6})[ \t]+(?=\S)(.*\S)$", re.MULTILINE)
_FALLBACK_NOTE = re.compile(
    r"(?:Pages displaying (?:short descriptions (?:of redirect targets|with no spaces)|wikidata descriptions as a fallback)"
    r"(?: via Module:Annotated link)?)+$",
    re.MULTILINE,
)
_FORMULA = re.compile(r"\{\s?\\(?:display|text|script|scriptscript)style")
_AFTER_FORMULA = re.compile(r"[ \t]*(?:\n[ \t]*\n[ \t]*(?=[^\s=]))?")
_FONT = re.compile(
    r"\\(?:(?:display|text|script|scriptscript)style|(?:math(?:bf|rm|it|sf|tt|cal|bb|frak|scr|op|ord|rel|bin)|boldsymbol|"
    r"pmb|operatorname|text|textbf|textrm|textit|textsf|texttt|mbox|hbox|rm|bf|it|cal|big|Big|bigg|Bigg|bigl|bigr|Bigl|Bigr|"
    r"biggl|biggr|Biggl|Biggr|left|right|middle|limits|nolimits|nonumber|notag)(?![a-zA-Z])\*?)[^\S\n]*"
)
_LAYOUT = re.compile(r"\\(begin|end)\s*\{(?:aligned|align|alignedat|alignat|gathered|gather|split|eqnarray|multline)\*?\}")
_SPACING = re.compile(r"\\[,;:!> ]|\\q?quad(?![a-zA-Z])|(?<!\\)~")
_BEFORE_ARGUMENT = re.compile(r"(\\(?:[cdt]?frac|[dt]?binom|sqrt)) (?=\{)")  # n-1 over n is not "\frac n-1n"
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_TOKEN_CHARS, _INDENT = 20, 8  # of the lines that print a formula a second time: the longest token, where longer ones begin
_STRAY_TOKENS = 4  # such lines, at least, in a row where no formula follows
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b\ufeff]")
_INVISIBLE = re.compile(r"[\u00ad\u2060-\u2064]")  # soft hyphens, word joiners, invisible operators


def clean_page(page: Page) -> Page:
    """The same page with its text cleaned."""
    return replace(page, text=clean_text(page.text))


def clean_text(text: str) -> str:
    """Drop doubled formulas, link sections, control characters and blank runs; headings stay lines of their own.

    Where a page has no `== headings ==`, those in Markdown (`## …`) become such, and where it has none of these either, it
    ends before the first paragraph that begins with a bare `See also`, `References` or the like. Cleaning twice is cleaning
    once.
    """
    text = _CONTROL.sub(" ", _INVISIBLE.sub("", text.replace("\r\n", "\n").replace("\xa0", " ")))
    text = _normalize_blanks(_drop_stray_tokens(_rewrite_formulas(text)))
    text = _drop_link_sections(_FALLBACK_NOTE.sub("", text))
    if not HEADING.search(text):
        text = _drop_link_sections(_MARKDOWN_HEADING.sub(_as_heading, text))
    if not HEADING.search(text) and (tail := _BARE_LINK_SECTION.search(text)):
        text = text[: tail.start()]
    return _normalize_blanks(text)


def _rewrite_formulas(text: str) -> str:
    pieces: list[str] = []
    position = 0
    for match in _FORMULA.finditer(text):
        if match.start() < position:  # inside a formula already rewritten
            continue
        end = _closing_brace(text, match.start())
        before = text[position : _first_copy(text, position, match.start())]
        pieces += [before.rstrip(" \t"), " ", readable_tex(text[match.end() : end]), " "]
        after = end + text.startswith("}", end)
        position = _AFTER_FORMULA.match(text, after).end()  # type: ignore[union-attr]  # it matches the empty string too
    return "".join(pieces) + text[position:]


def _first_copy(text: str, start: int, formula: int) -> int:
    """Where the lines of one token begin that print the formula at `formula` a first time, or `formula` if there are none."""
    found, end = formula, text.rfind("\n", start, formula)
    if end < 0 or text[end:formula].strip():
        return formula
    while end >= 0:
        begin = text.rfind("\n", start, end)
        line = text[begin + 1 : end]
        if begin < 0 or not _is_token(line):
            return end if begin >= 0 or line.strip() else found
        found, end = begin, begin
    return found


def _is_token(line: str) -> bool:
    token = line.strip()
    indent = len(line) - len(line.lstrip())
    return not token or indent >= _INDENT or (indent >= 2 and len(token) <= _TOKEN_CHARS)


def _drop_stray_tokens(text: str) -> str:
    """Drop runs of deeply indented one-token lines: first copies of formulas whose second is lost."""
    kept: list[str] = []
    for tokens, lines in _runs(text.split("\n")):
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
    """The index of the brace that closes the one at `start`, or the end of the paragraph where none does."""
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


def readable_tex(tex: str) -> str:
    r"""TeX without font, size, spacing and layout commands: `\mathbf {x} _{i}` becomes `x_{i}`.

    Braces that are not paired are dropped.
    """
    tex = " ".join(_SPACING.sub(" ", _FONT.sub(_gap, _drop_layout(tex))).split())
    tex = _drop_lone_braces(_BEFORE_ARGUMENT.sub(r"\1", tex))
    tex = re.sub(r" ?([_^]) ?(?:\{ ?(\w) ?\})?", r"\1\2", tex)
    return " ".join(tex.split()).rstrip(" .,;")


def _gap(command: re.Match[str]) -> str:
    """What a command leaves: nothing, or a space where its neighbours would become a command together."""
    before, after = command.string[command.start() - 1 : command.start()], command.string[command.end() :][:1]
    return " " if (before == "\\" or before.isalpha()) and after.isalpha() else ""


def _drop_layout(tex: str) -> str:
    r"""`\begin{aligned}a&=b\\c&=d\end{aligned}` as `a=b; c=d`; matrices and cases keep their rows and columns."""
    if not _LAYOUT.search(tex):
        return tex
    inside = re.compile(r"\\(begin|end)\s*\{[^{}]*\}|(?<!\\)&|\\\\(?:\[[^\]]*\])?")
    depth = 0  # of environments that stay

    def rewrite(match: re.Match[str]) -> str:
        nonlocal depth
        if _LAYOUT.fullmatch(match[0]):
            return ""
        if match[1]:
            depth += 1 if match[1] == "begin" else -1
            return match[0]
        if depth > 0:
            return match[0]
        return "" if match[0] == "&" else "; "

    return inside.sub(rewrite, tex)


def _drop_lone_braces(tex: str) -> str:
    r"""Drop braces that are no argument (`{\frac {a}{b}}` keeps all of them, `{x}+{y}` none) or have no partner."""
    pieces: list[str] = []
    opened: list[tuple[int, str]] = []  # where in `pieces` a brace stands, and the character before it
    plain = [True]  # whether what has been read at each depth is without braces and commands
    last, position = "", 0
    for match in _BRACE.finditer(tex):
        if match.start() > position:
            pieces.append(tex[position : match.start()])
            last = pieces[-1][-1]
        position = match.end()
        if match[0] == "{":
            opened.append((len(pieces), last))
            plain.append(True)
        elif match[0] != "}":
            plain[-1] = False
        elif not opened:
            continue
        else:
            start, before = opened.pop()
            if plain.pop() and not (before.isalpha() or (before and before in r"\_^}")):
                pieces[start] = ""
                pieces[start + 1 : start + 2] = [piece.lstrip() for piece in pieces[start + 1 : start + 2]]
                pieces[-1] = pieces[-1].rstrip()
                last = last if last != "{" else before
                continue
            plain[-1] = False
        pieces.append(match[0])
        last = match[0][-1]
    for start, _ in opened:
        pieces[start] = ""
    return "".join(pieces) + tex[position:]


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
