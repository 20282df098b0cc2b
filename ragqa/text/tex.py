r"""TeX in, readable TeX out: without commands for fonts, sizes, spaces and layout."""

import re

_FONT = re.compile(
    r"\\(?:(?:display|text|script|scriptscript)style|(?:math(?:bf|rm|it|sf|tt|cal|bb|frak|scr|op|ord|rel|bin)|boldsymbol|"
    r"pmb|operatorname|text|textbf|textrm|textit|textsf|texttt|mbox|hbox|rm|bf|it|cal|big|Big|bigg|Bigg|bigl|bigr|Bigl|Bigr|"
    r"biggl|biggr|Biggl|Biggr|left|right|middle|limits|nolimits|nonumber|notag)(?![a-zA-Z])\*?)[^\S\n]*"
)
_ALIGNED = re.compile(
    r"\\begin ?\{(?:aligned|align|alignedat|alignat|gathered|gather|split|eqnarray|multline)\*?\}(?: ?\{\d*\})?"
)
_LAYOUT = re.compile(
    rf"(?P<begin>(?:\{{ ?)?{_ALIGNED.pattern})|(?P<end>{_ALIGNED.pattern.replace('begin', 'end')})(?P<closing> ?\}})?|"
    r"\\(?:begin|end) ?\{[a-zA-Z*]*\}|\\\\(?:\[[^\]\[]{,20}\])?|\\.|&",
    re.DOTALL,
)
_COLOR = re.compile(r"\\(?:text)?color ?\{\w*\}")
_SPACING = re.compile(r"\\[,;:!> ]|\\q?quad(?![a-zA-Z])|(?<!\\)~")
_BEFORE_ARGUMENT = re.compile(r"(\\(?:[cdt]?frac|[dt]?binom|sqrt)) (?=\{)")  # keep the braces of "\frac {n-1}{n}"
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)


def readable_tex(tex: str) -> str:
    r"""Return TeX without font, size, spacing and layout commands: `\mathbf {x} _{i}` becomes `x_i`.

    Unpaired braces are dropped.
    """
    tex = _COLOR.sub(" ", _drop_layout(" ".join(tex.split())))
    tex = " ".join(_SPACING.sub(" ", _FONT.sub(_gap, tex)).split())
    tex = _drop_lone_braces(_BEFORE_ARGUMENT.sub(r"\1", tex))
    tex = re.sub(r" ?([_^]) ?(?:\{ ?(\w) ?\})?", r"\1\2", tex)
    return " ".join(tex.split()).rstrip(" .,;")


def _gap(command: re.Match[str]) -> str:
    """Return what replaces a command: nothing, or a space if its neighbours would form a command."""
    tex, start, end = command.string, command.start(), command.end()
    before, after = tex[start - 1 : start], tex[end : end + 1]
    return " " if (before == "\\" or before.isalpha()) and after.isalpha() else ""


def _drop_layout(tex: str) -> str:
    r"""Turn `{\begin{aligned}a&=b\\c&=d\end{aligned}}` into `a=b; c=d`. Matrices and cases keep their rows and columns."""
    if not _ALIGNED.search(tex):
        return tex
    braces: list[bool] = []  # whether each open layout began with a brace
    depth = 0  # of open environments that stay

    def rewrite(match: re.Match[str]) -> str:
        nonlocal depth
        mark = match[0]
        if match["begin"]:
            braces.append(mark[0] == "{")
            return ""
        if match["end"]:
            wrapped = bool(braces) and braces.pop()
            return "}" if match["closing"] and not wrapped else " "
        depth += mark.startswith(r"\begin") - mark.startswith(r"\end")
        if depth > 0 or (mark != "&" and not mark.startswith(r"\\")):
            return mark
        return "" if mark == "&" else "; "

    return _LAYOUT.sub(rewrite, tex)


def _drop_lone_braces(tex: str) -> str:
    r"""Drop braces that are unpaired or hold no argument (`{\frac {a}{b}}` keeps all of them, `{x}+{y}` none)."""
    pieces: list[str] = []
    opened: list[tuple[int, bool]] = []  # index in `pieces`, and whether it opens an argument
    plain = [True]  # for each depth, whether its content so far has no braces and commands
    argument, position = False, 0
    for match in _BRACE.finditer(tex):
        if text := tex[position : match.start()]:
            argument = text[-1] in "_^" or (argument and text.isalpha() and pieces[-1][0] == "\\")
            pieces.append(text)
        position = match.end()
        keep = match[0] != "}"
        if match[0] == "{":
            opened.append((len(pieces), argument))
            plain.append(True)
        elif match[0] == "}" and opened:
            start, needed = opened.pop()
            keep = not plain.pop() or needed
            if not keep:
                pieces[start] = ""
        argument = keep and (match[0] == "}" or match[0][1:].isalpha())
        if keep:
            plain[-1] = match[0] == "{"
            pieces.append(match[0])
    for start, _ in opened:
        pieces[start] = ""
    return "".join(pieces) + tex[position:]
