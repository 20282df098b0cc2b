r"""TeX as a reader likes it: what only concerns fonts, sizes, spaces and layout is gone."""

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
_BEFORE_ARGUMENT = re.compile(r"(\\(?:[cdt]?frac|[dt]?binom|sqrt)) (?=\{)")  # n-1 over n is not "\frac n-1n"
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)


def readable_tex(tex: str) -> str:
    r"""TeX without font, size, spacing and layout commands: `\mathbf {x} _{i}` becomes `x_{i}`.

    Braces that are not paired are dropped.
    """
    tex = _COLOR.sub(" ", _drop_layout(" ".join(tex.split())))
    tex = " ".join(_SPACING.sub(" ", _FONT.sub(_gap, tex)).split())
    tex = _drop_lone_braces(_BEFORE_ARGUMENT.sub(r"\1", tex))
    tex = re.sub(r" ?([_^]) ?(?:\{ ?(\w) ?\})?", r"\1\2", tex)
    return " ".join(tex.split()).rstrip(" .,;")


def _gap(command: re.Match[str]) -> str:
    """What a command leaves: nothing, or a space where its neighbours would become a command together."""
    tex, start, end = command.string, command.start(), command.end()
    before, after = tex[start - 1 : start], tex[end : end + 1]
    return " " if (before == "\\" or before.isalpha()) and after.isalpha() else ""


def _drop_layout(tex: str) -> str:
    r"""`{\begin{aligned}a&=b\\c&=d\end{aligned}}` as `a=b; c=d`; matrices and cases keep their rows and columns."""
    if not _ALIGNED.search(tex):
        return tex
    braces: list[bool] = []  # of the open layouts
    depth = 0  # of environments that stay

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
    r"""Drop braces that are no argument (`{\frac {a}{b}}` keeps all of them, `{x}+{y}` none) or have no partner."""
    pieces: list[str] = []
    opened: list[tuple[int, bool]] = []  # where in `pieces` a brace stands, and whether it is an argument's
    plain = [True]  # whether what has been read at each depth is without braces and commands
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
