r"""Formulas in plain text: TeX as `ragqa.text.tex` leaves it, without marks where a formula starts or ends.

A formula starts and ends at spaces. It contains a known command, or an index or exponent of a single letter; ordinary words
end it. If in doubt, text stays text: prices, paths, regular expressions, names of variables in code.
"""

import re
from collections.abc import Iterator

LONGEST = 2000  # characters of a formula
_NEAR = 40  # words to look through for the other brace of a pair

_KNOWN = frozenset(
    # letters
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi varpi rho varrho sigma "
    "varsigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell hbar Re Im "
    # sums, functions
    "frac dfrac tfrac cfrac binom tbinom dbinom sqrt sum prod int oint iint lim limsup liminf min max arg argmin argmax sup "
    "inf log ln lg exp sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh coth det dim ker deg gcd hom Pr "
    "bmod pmod over "
    # relations and operators
    "in notin ni leq le geq ge neq ne ll gg approx equiv cong sim simeq propto varpropto mid nmid parallel perp subset "
    "subseteq supset supseteq cup cap setminus times cdot div pm mp ast star circ bullet oplus ominus otimes odot wedge vee "
    "land lor lnot neg forall exists nexists partial nabla triangledown infty emptyset varnothing prime triangleq doteq models "
    "vdash dashv uplus bigcup bigcap bigoplus bigotimes sharp flat dagger ddagger top bot angle triangle "
    # arrows, dots
    "to gets rightarrow leftarrow leftrightarrow Rightarrow Leftarrow Leftrightarrow longrightarrow longleftarrow mapsto iff "
    "implies impliedby uparrow downarrow hookrightarrow rightharpoonup dots ldots cdots vdots ddots dotsc dotsb colon "
    # accents, brackets, layout
    "hat widehat tilde widetilde bar overline underline vec dot ddot check breve acute grave underbrace overbrace underset "
    "overset stackrel substack langle rangle lVert rVert Vert vert lvert rvert lfloor rfloor lceil rceil lbrace rbrace begin "
    "end".split()
)
_ENVIRONMENTS = frozenset("matrix pmatrix bmatrix Bmatrix vmatrix Vmatrix smallmatrix cases array".split())
_COMMAND = re.compile(r"\\(?:([a-zA-Z]+)(?:\{(\w+)\})?|(.?))")
_LETTER = r"(?<![^\W\d_])[^\W\d_]"  # a single letter
_INDEX = re.compile(
    rf"(?:{_LETTER}|[)\]}}|])['′]?(?:_(?:\{{|\w(?![^\W\d_]{{2}}|_))|\^(?:\{{|[\w*(−-]))|\d\^(?:\{{|[\w(−-])"
)
_RAISED = "¹²³⁰-₉"  # superscript and subscript digits: \w matches them, \d does not
_OTHER_NOTATION = re.compile(rf"[_^](?:\w[^\W{_RAISED}]|[^\w{{*])|^\w$")
_IN_INDEX = re.compile(r"[_^]\{[^{}]*\}")
_LONG_NAME = re.compile(rf"[^\W\d_{_RAISED}]{{4}}")
_SIGNS = "=<>+*/≤≥≈∈→−"
_RELATIONS = (
    "in|leq|geq|neq|approx|sim|to|times|cdot|mid|propto|mapsto|subset|subseteq|cup|cap|rightarrow|leftarrow|Rightarrow|"
    "equiv|pm|odot|circ"
)
_RELATION_FIRST = re.compile(rf"[{_SIGNS}]|\\(?:{_RELATIONS})(?![a-zA-Z])")
_RELATION_LAST = re.compile(rf"(?:[{_SIGNS}-]|\\(?:{_RELATIONS}|min|max|sum|log|ln|exp|forall|partial|nabla))$")
_GLUE = re.compile(r"(?:[\d+*/=<>|()\[\]{},.;:!'·×≤≥≈≠∈→−⊙⊗⊕∘‖√ΣΠ∇∂∞±…′²³-]|(?<![^\W\d_])[^\W\d_](?![^\W\d_]))+")
_OPERAND = re.compile(r"[(\[|]*(?:[^\W\d_]{1,2}|\d+(?:\.\d+)?)(?:\([^\W_]{1,2}\))?[)\]|]*[,.;:]?")
_NEVER = re.compile(r"[$`%#~@\"]|//")
_WORD = re.compile(r"\S+")

Span = tuple[int, int]


def find_formulas(text: str) -> Iterator[Span]:
    """Yield the start and end of each formula, in order, in time linear in the length of the text."""
    start = 0
    for line in text.split("\n"):
        if "\\" in line or "_" in line or "^" in line:
            for first, last in _find_in_line(line):
                yield start + first, start + last
        start += len(line) + 1


def _find_in_line(line: str) -> Iterator[Span]:
    words = [match.span() for match in _WORD.finditer(line)]
    kinds = [_kind(line[start:end]) for start, end in words]
    place = done = 0
    while place < len(words):
        if kinds[place] != "formula":
            place += 1
            continue
        first, last = place, place
        for later in range(place + 1, len(words)) if line[words[place][1] - 1] not in ":;" else ():
            if kinds[later] == "formula":
                last = later
            if kinds[later] == "text" or line[words[later][1] - 1] in ":;":
                break
        first, last = _with_operands(line, words, kinds, first, last)
        span = _trim(line, words[max(first, done)][0], words[last][1])
        if _is_sound(line[slice(*span)]):
            yield span
        place = done = last + 1


def _kind(word: str) -> str:
    """Return "formula" for a part of a formula, "glue" for what may stand between two parts, else "text"."""
    names = [match[1] for match in _COMMAND.finditer(word) if match[1]]
    if names:
        return "formula" if _KNOWN.issuperset(names) else "text"
    if "\\{" in word or "\\}" in word or "\\|" in word:
        return "formula"
    if _INDEX.search(word) and not _LONG_NAME.search(_IN_INDEX.sub("", word)):
        return "formula"
    return "glue" if _GLUE.fullmatch(word) else "text"


def _with_operands(line: str, words: list[Span], kinds: list[str], first: int, last: int) -> Span:
    """Extend a formula by the operand that a relation at its start or end needs: `x \\in [0,1]^d`."""
    before = line[slice(*words[first - 1])] if first else ""
    if (
        _RELATION_FIRST.match(line, words[first][0])
        and before
        and _OPERAND.fullmatch(before)
        and before[-1] not in ",.;:"
    ):
        first -= 1
    after = line[slice(*words[last + 1])] if last + 1 < len(words) else ""
    if after and _RELATION_LAST.search(line[slice(*words[last])]) and _OPERAND.fullmatch(after):
        last += 1
    return _with_partners(line, words, kinds, first, last)


def _with_partners(line: str, words: list[Span], kinds: list[str], first: int, last: int) -> Span:
    """Extend a formula by nearby words that hold the missing braces and parentheses of its pairs."""
    for _ in range(_NEAR):
        tex = line[words[first][0] : words[last][1]]
        open_braces, open_parentheses = _depth(tex), tex.count("(") - tex.count(")")
        if last + 1 < len(words) and (open_braces > 0 or (open_parentheses > 0 and kinds[last + 1] == "glue")):
            last += 1
        elif first and open_parentheses < 0 and kinds[first - 1] == "glue":
            first -= 1
        else:
            break
    return first, last


def _trim(line: str, start: int, end: int) -> Span:
    """Cut off the punctuation and parentheses of the surrounding sentence."""
    while end > start and line[end - 1] in ".,;:":
        end -= 1
    for opening, closing in ("()", "[]"):
        part = line[start:end]
        if part.startswith(opening) and part.count(opening) > part.count(closing):
            start += 1
        elif part.endswith(closing) and part.count(closing) > part.count(opening):
            end -= 1
    return start, end


def _is_sound(tex: str) -> bool:
    """Return whether KaTeX may draw this: all braces are paired, all commands harmless."""
    if not 1 < len(tex) <= LONGEST or _NEVER.search(tex) or _depth(tex) != 0:
        return False
    if "\\" not in tex:  # perhaps not TeX: drawn as TeX, "2^(n−1)" and "p_ij" would change their meaning
        return tex.count("(") == tex.count(")") and not _OTHER_NOTATION.search(tex)
    if "\\\\" in tex and "\\begin" not in tex:  # the end of a row, but there are no rows
        return False
    for match in _COMMAND.finditer(tex):
        if match[1] in ("begin", "end") and match[2] not in _ENVIRONMENTS:
            return False
        if match[1] and match[1] not in _KNOWN:
            return False
    return True


def _depth(tex: str) -> int:
    """Return how many braces are open at the end; -1000 if one is closed that was never opened."""
    depth = 0
    for brace in re.findall(r"\\.|[{}]", tex):
        depth += (brace == "{") - (brace == "}")
        if depth < 0:
            return -1000
    return depth
