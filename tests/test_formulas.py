import re
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa.demo.escaping import escape_markdown, highlight, prose, prose_markdown
from ragqa.demo.formulas import find_formulas
from ragqa.text.tex import readable_tex


def found(text: str) -> list[str]:
    return [text[start:end] for start, end in find_formulas(text)]


FORMULAS = [
    (
        r"The weight w_k is \sigma (x)={\frac{1}{1+e^{-x}}}, which is small.",
        ["w_k", r"\sigma (x)={\frac{1}{1+e^{-x}}}"],
    ),
    (r"for all x \in [0,1]^d and m\geq n (see below)", [r"x \in [0,1]^d", r"m\geq n"]),
    (r"A rule such as \{butter,bread \}\Rightarrow \{milk \} holds.", [r"\{butter,bread \}\Rightarrow \{milk \}"]),
    (r"yields \sigma (z )_i={\frac{e^z}{2}}{ or }\tau.", [r"\sigma (z )_i={\frac{e^z}{2}}{ or }\tau"]),
    (r"the normalized activation as {\hat y}, which", [r"{\hat y}"]),
    (r"I_{gain}(s)=H(t)-H(s,t)", ["I_{gain}(s)=H(t)-H(s,t)"]),
    ("left out is (1 − 1/n)^n, close to 1/e.", ["(1 − 1/n)^n"]),
    ("of pairs (x_1, y_1), …, (x_n, y_n) is", ["(x_1, y_1), …, (x_n, y_n)"]),
    ("the state h_{t−1}: z_t = σ(W_z·x_t + b_z), and", ["h_{t−1}", "z_t = σ(W_z·x_t + b_z)"]),
    ("perplexity is 2^H.", ["2^H"]),
    ("Gini impurity, 1 − Σ_k p_k², is", ["Σ_k p_k²"]),
    ("Entropy, −Σ_k p_k·log₂ p_k, measures", ["−Σ_k p_k·log₂ p_k"]),
    ("over p_ik² and snake_k", []),
    (r"{\begin{cases}a\\[6pt]b\end{cases}} where", [r"{\begin{cases}a\\[6pt]b\end{cases}}"]),
]


@pytest.mark.parametrize(("text", "formulas"), FORMULAS)
def test_formulas_are_found_among_words(text: str, formulas: list[str]) -> None:
    assert found(text) == formulas


@pytest.mark.parametrize(
    "text",
    [
        "It costs $5 and $6.",
        "It costs $x_1$ and $y_2$.",
        r"In C:\Users\name\beta and \\server\alpha.exe.",
        r"The regular expression \d+\w*\. matches.",
        "snake_case, z_d_copy and layer.layer_norm(z_d[t]) are names.",
        "a_b@example.org and https://example.org/a_b^c",
        "p_ij and r_ui have two letters, 2^(n−1) a parenthesis.",
        r"\rule{500em}{500em} \href{javascript:alert(1)}{x} \htmlClass{a}{b} \includegraphics{x}",
        r"\begin{document} \begin{align}a\end{align} \def\a{b}",
        r"{\frac{a}{b}",
        r"{x}}+\alpha",
        "`x_i` is code, #x_i a tag",
    ],
)
def test_what_is_not_surely_a_formula_stays_text(text: str) -> None:
    assert found(text) == []


PARTS = [
    r"\alpha",
    r"\frac{a}{b}",
    "{",
    "}",
    "x_i",
    "<b>",
    "`",
    "$",
    "(",
    ")",
    "=",
    " ",
    "\n",
    "word",
    r"\rule{9em}",
    "&",
    "|",
    "*",
]


@given(st.lists(st.sampled_from(PARTS)).map("".join))
def test_nothing_in_a_formula_is_markup(text: str) -> None:
    spans = [*find_formulas(text)]
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    for formula in found(text):
        assert not set("`$\n") & set(formula)
        assert "rule" not in formula
    outside = re.sub(r"`[^`]*`", "", prose_markdown(text))
    assert not set("<>`*$\\") & set(outside.replace("&#", ""))
    assert not re.search(r"<(?!/?code>)", prose(text))


@given(st.lists(st.sampled_from([*r"abx12+=,. _^{}()\[]|&", r"\frac", r"\sum ", r"\in "])).map("".join))
def test_readable_tex_is_whole_or_text(tex: str) -> None:
    for formula in found(f"as {readable_tex(tex)} is"):
        assert formula.replace(r"\{", "").count("{") == formula.replace(r"\}", "").count("}")


def test_formulas_do_not_overlap() -> None:
    assert found("(x_i + ( ): ) + y_i)") == ["(x_i + ( ): )", "+ y_i"]


def test_formulas_are_code_and_the_rest_is_escaped() -> None:
    text = r"If <b> a<b, \frac{a}{b}<1 *or* x_i."
    assert (
        prose_markdown(text)
        == rf"{escape_markdown('If <b> a<b,')} `\frac{{a}}{{b}}<1` {escape_markdown('*or*')} `x_i`."
    )
    shown = prose(text)
    assert "&lt;b&gt; a&lt;b, <code>\\frac&#123;a&#125;&#123;b&#125;&lt;1</code> *or* <code>x_i</code>." in shown
    assert highlight(r"so \alpha helps", [(0, 9)], [(3, 9), (10, 15)]) == (
        r"<mark>so <code>\alpha</code></mark> <b>helps</b>"
    )
    assert highlight(r"so \alpha helps", [(0, 5)]) == r"<mark>so \a</mark>lpha helps"  # no half formulas


UNITS = [
    r"\alpha ",
    "x_i ",
    "{ ",
    "x_{ ",
    r"\{ ",
    r"\frac{",
    "( x_i",
    "_",
    "^",
    "\\",
    r"\alpha",
    r"\alpha {",
    "} x_i ",
    ") x_i ",
]


@pytest.mark.parametrize("unit", UNITS)
def test_time_is_linear_in_the_length(unit: str) -> None:
    def seconds(length: int) -> float:
        text = (unit * length)[:length]
        started = time.thread_time()
        list(find_formulas(text))
        return time.thread_time() - started

    assert seconds(32_000) < 24 * max(0.005, seconds(4_000))
