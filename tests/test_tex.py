import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa.text.tex import readable_tex

PARTS = (
    r"\frac|{|}|{q}|\{|\\|&|\begin{aligned}|\end{aligned}|\begin{cases}|\end{cases}|^|_|\mathbf |\text{a b}| ".split(
        "|"
    )
)


@pytest.mark.parametrize(
    ("tex", "readable"),
    [
        (r"\mathbf {x} _{i}", "x_i"),
        (r"\operatorname {sign} (x)", "sign (x)"),
        (r"{\frac {n-1}{n}}", r"{\frac{n-1}{n}}"),
        (r"{\sqrt {2n}}", r"{\sqrt{2n}}"),
        (r"w_{12}^{2}", "w_{12}^2"),
        (r"a\leftarrow b\quad c.", r"a\leftarrow b c"),
        (r"\sum _{{\text{node }}j}x{\text{ if }}y", r"\sum_{node j}x if y"),
        (r"{\begin{aligned}a&=b\\[2ex]&=c\&d\end{aligned}}+1", r"a=b; =c\&d +1"),
        (
            r"\begin{aligned}a&={\begin{bmatrix}1&2\\3&4\end{bmatrix}}\end{aligned}",
            r"a={\begin{bmatrix}1&2\\3&4\end{bmatrix}}",
        ),
        (r"{\color {Blue}{x}}+\mathop {\arg \max } _{y}", r"x+{\arg \max }_y"),
        (r"{\bigl (}x{\bigr )}T{y}", "(x)Ty"),
        (r"{x}}+{{y", "x+y"),
    ],
)
def test_readable_tex_keeps_the_meaning(tex: str, readable: str) -> None:
    assert readable_tex(tex) == readable


@given(st.lists(st.sampled_from(PARTS)).map("".join))
def test_braces_are_paired_whatever_comes(tex: str) -> None:
    depth = 0
    bare = readable_tex(tex).replace(r"\\", "").replace(r"\{", "").replace(r"\}", "")
    for character in bare:
        depth += (character == "{") - (character == "}")
        assert depth >= 0
    assert depth == 0


@given(st.lists(st.sampled_from(PARTS)).map("".join))
def test_no_letter_that_stands_for_something_goes(tex: str) -> None:
    assert readable_tex(tex).count("q") == tex.count("q")
