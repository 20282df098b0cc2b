import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa.clean import LINK_SECTIONS, clean_page, clean_text, readable_tex
from ragqa.records import Page

WORDS = st.lists(st.sampled_from("the loss of a network (with dropout) is small.".split()), min_size=1).map(" ".join)
TEX = st.recursive(
    st.sampled_from(["x", "y_{1}", "=", "+", "n-1", r"\alpha ", r"\sum ", r"\,", r"\{a\}", ""]),
    lambda inner: st.one_of(
        st.builds("{}{}".format, inner, inner),
        *(
            st.builds(around.replace, st.just("…"), inner)
            for around in (r"_{…}", r"^{…}", r"{\frac {…}{2}}", r"\mathbf {…} ", r"{\displaystyle …}")
        ),
    ),
    max_leaves=8,
)
STYLES = st.sampled_from([r"{\displaystyle ", r"{\textstyle ", r"{\scriptstyle ", r"{\scriptscriptstyle "])
FORMULAS = st.builds("{}{}{}".format, STYLES, TEX, st.sampled_from(["}", "}", "}", ""]))
DOUBLED = FORMULAS.map(lambda formula: f"\n  \n    \n      \n        x\n        =\n      \n    \n    {formula}\n  \n")
HEADINGS = st.sampled_from(["== Training ==", "=== See also ===", "== References ==", "==== A | B ====", "==Loss=="])
BLOCKS = st.lists(st.one_of(WORDS, FORMULAS, DOUBLED, st.sampled_from([" ", ", ", "\xa0", "\u200b", "\x07"]))).map(
    "".join
)
TEXTS = st.lists(st.one_of(BLOCKS, HEADINGS)).map("\n\n".join)


def _doubled(tokens: str, tex: str) -> str:
    lines = "\n".join(" " * (6 + 2 * n) + token for n, token in enumerate(tokens.split()))
    return f"\n  \n    \n      \n{lines}\n      \n    \n    {{\\displaystyle {tex}}}\n  \n"


def test_a_doubled_formula_inside_a_sentence_is_kept_once() -> None:
    text = "Here" + _doubled("η", r"\eta ") + "is the learning rate, and" + _doubled("w i", "w_{i}") + "a weight."
    assert clean_text(text) == r"Here \eta is the learning rate, and w_i a weight."


def test_a_doubled_formula_on_lines_of_its_own_is_kept_once() -> None:
    tex = r"J(\mathbf {w} )={\frac {1}{n-1}}\sum _{i=1}^{n}\left(y_{i}-w\,x_{i}\right)^{2}"
    text = "It minimizes\n\n" + _doubled("J ( w ) = 1 n ∑", tex) + "\nwhere w is the slope."
    formula = r"J(w )={\frac{1}{n-1}}\sum_{i=1}^n(y_i-w x_i)^2"
    assert clean_text(text) == f"It minimizes {formula}\n\nwhere w is the slope."


def test_punctuation_follows_a_formula_at_once() -> None:
    assert clean_text("Take" + _doubled("x", "x") + ". Then" + _doubled("y", "y") + ", too.") == "Take x. Then y, too."


def test_short_indented_lines_without_a_formula_behind_them_stay() -> None:
    text = "Three parts:\n  input\n  hidden\n  output\n\nEach is a layer."
    assert clean_text(text) == text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        (r"for {\displaystyle x\in \mathbb {R} ^{d}}, too", r"for x\in R^d, too"),
        (r"{\textstyle a}, {\scriptstyle b} and {\scriptscriptstyle c}", "a, b and c"),
        (r"{\displaystyle {\displaystyle x}_{\scriptscriptstyle All}}", "x_{All}"),
        (r"{\displaystyle \{1,2\}}", r"\{1,2\}"),
        (r"an {\displaystyle x_{i} without an end", "an x_i without an end"),
        ("an {\\displaystyle (x\n\n== Training ==", "an (x\n\n== Training =="),
        (r"one } too many {\displaystyle x}}", "one } too many x }"),
        (r"{\displaystyle }", ""),
    ],
)
def test_inline_formulas_become_readable(text: str, cleaned: str) -> None:
    assert clean_text(text) == cleaned


@pytest.mark.parametrize(
    ("tex", "readable"),
    [
        (r"\mathbf {x} _{i}", "x_i"),
        (r"\operatorname {sign} (x)", "sign (x)"),
        (r"{\frac {n-1}{n}}", r"{\frac{n-1}{n}}"),
        (r"{\sqrt {2n}}", r"{\sqrt{2n}}"),
        (r"w_{12}^{2}", "w_{12}^2"),
        (r"a\leftarrow b\quad c.", r"a\leftarrow b c"),
    ],
)
def test_readable_tex_keeps_the_meaning(tex: str, readable: str) -> None:
    assert readable_tex(tex) == readable


@given(TEXTS)
def test_no_formula_markup_survives(text: str) -> None:
    assert not re.search("displaystyle|textstyle|scriptstyle|scriptscriptstyle", clean_text(text))


@given(TEXTS)
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    cleaned = clean_text(text)
    assert clean_text(cleaned) == cleaned


@given(st.lists(st.tuples(st.integers(2, 6), st.sampled_from(["See also", "REFERENCES", "Training", "Notes on use"]))))
def test_link_sections_go_with_their_subsections_and_nothing_else_goes(headings: list[tuple[int, str]]) -> None:
    blocks, kept, dropping = ["lead"], ["lead"], 7
    for number, (level, heading) in enumerate(headings):
        block = f"{'=' * level} {heading} {'=' * level}\n\nbody {number}"
        blocks.append(block)
        if level <= dropping:
            dropping = level if heading.casefold() in LINK_SECTIONS else 7
        if dropping == 7:
            kept.append(block)
    assert clean_text("\n\n\n".join(blocks)) == "\n\n".join(kept)


def test_headings_stay_lines_of_their_own() -> None:
    text = "Lead.\n\n\n== Training ==\nIt ends with" + _doubled("x", "x") + "\n\n=== Loss ===\nText."
    assert clean_text(text) == "Lead.\n\n== Training ==\nIt ends with x\n\n=== Loss ===\nText."


def test_a_formula_below_a_heading_leaves_it_a_line() -> None:
    text = "Lead.\n\n== Loss ==\n{\\displaystyle x} it is.\n\n== Other ==" + _doubled("y", "y") + "\nText."
    assert clean_text(text) == "Lead.\n\n== Loss ==\nx it is.\n\n== Other ==\ny\n\nText."


@pytest.mark.timeout(30)
def test_braces_in_braces_take_no_time() -> None:
    assert readable_tex("{" * 50_000 + "}" * 50_000)


@given(st.text(st.sampled_from("ab. \n\x00\x07\x0c\x1f\x7f\xa0\u200b\ufeff")))
def test_no_control_characters_survive_and_no_letter_goes(text: str) -> None:
    cleaned = clean_text(text)
    assert set(cleaned) <= set("ab. \n")
    assert re.sub("[^ab]", "", cleaned) == re.sub("[^ab]", "", text)


def test_line_ends_of_windows_become_plain_ones() -> None:
    assert clean_text("Lead.\r\n== Training ==\r\nText.") == "Lead.\n== Training ==\nText."


@given(st.lists(st.sampled_from(["A model learns.", "It has 1.5 weights, say.", "(See x; y.)", "C++ = fast"])))
def test_clean_prose_is_left_alone(paragraphs: list[str]) -> None:
    text = "\n\n".join(paragraphs)
    assert clean_text(text) == text


@pytest.mark.timeout(30)
def test_many_short_lines_before_a_formula_take_no_time() -> None:
    text = "  x   \n" * 100 + r"some more words, then {\displaystyle x}"
    assert clean_text(text).endswith("some more words, then x")


def test_only_the_text_of_a_page_is_cleaned() -> None:
    page = Page("A {\\displaystyle x}", "http://a", 1, 2, "2024-01-01T00:00:00Z", "  a  b ")
    assert clean_page(page) == Page(page.title, page.url, 1, 2, page.timestamp, "a b")
