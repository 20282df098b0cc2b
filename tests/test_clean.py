import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa.records import Page
from ragqa.text.clean import HEADING, LINK_SECTIONS, clean_page, clean_text

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


PARTS = (
    r"""{\displaystyle|style|{\textstyle |\display|\limits|\left|_|{|}|\|&|~| |  |==|=|## |See also|References|a|.|)"""
)
PARTS += r"""|\begin{aligned}|\end{aligned}|\begin{cases}|Pages displaying short descriptions of redirect targets"""
PARTS += "|\n|\n\n|\r\n|\u2060|\xa0|        b\n"
ANYTHING = st.lists(st.sampled_from(PARTS.split("|"))).map("".join) | st.text()


@given(ANYTHING)
def test_whatever_comes_is_cleaned_at_once_and_of_all_formulas(text: str) -> None:
    cleaned = clean_text(text)
    assert not re.search(r"\{\\(display|text|script|scriptscript)style", cleaned)
    assert clean_text(cleaned) == cleaned


@given(st.lists(ANYTHING), st.sampled_from(["Training", "Loss of x", "Notes on use"]))
def test_headings_survive_whatever_stands_around_them(blocks: list[str], heading: str) -> None:
    text = f"== {heading} ==\n\n".join(re.sub("[={#]", "", block) + "\n\n" for block in ["", *blocks])
    wanted = [heading] * len(blocks)
    assert [match[2] for match in HEADING.finditer(clean_text(text))] == wanted


ADVERSARIES = [
    "\n",
    " ",
    "\t",
    "{",
    "}",
    "{}",
    "=",
    "= ",
    "== a ==\n",
    "  x\n",
    "        x\n",
    r"{\displaystyle ",
    r"\limits",
    "\\",
]
ADVERSARIES += [
    "\n ",
    " .",
    "_ ",
    "\\\\[",
    r"\begin{aligned}",
    r"\color{",
    "\n\nSee also",
    "## a\n",
    "Pages displaying short ",
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", ADVERSARIES)
def test_no_repetition_takes_long(unit: str) -> None:
    filling = unit * (200_000 // len(unit))
    for text in (f"== a{filling}b ==", f"{{\\displaystyle {filling}}}", f"{filling}{{\\displaystyle x}}"):
        start = time.perf_counter()
        clean_text(text)
        assert time.perf_counter() - start < 5


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


@given(st.text(st.sampled_from("ab. \n\x00\x07\x0c\x1f\x7f\xa0\u200b\ufeff")))
def test_no_control_characters_survive_and_no_letter_goes(text: str) -> None:
    cleaned = clean_text(text)
    assert set(cleaned) <= set("ab. \n")
    assert re.sub("[^ab]", "", cleaned) == re.sub("[^ab]", "", text)


def test_a_first_copy_with_words_in_it_goes_too() -> None:
    lines = "".join(f"{' ' * 8}{token}\n" for token in ["if", "the rest is sufficiently small, then exit", "", "x"])
    assert (
        clean_text(f"Repeat:\n\n{lines}    {{\\displaystyle {{\\text{{if }}}}x}}\n  \n\nDone.")
        == "Repeat: if x\n\nDone."
    )


def test_code_before_a_formula_stays() -> None:
    code = "for x in y:\n        f(x)\n        g"
    doubled = _doubled("x", "x").removeprefix("\n")
    assert clean_text(f"{code}\n\n\n{doubled}") == f"{code} x"


def test_stray_tokens_go_and_indented_code_stays() -> None:
    tokens = "".join(f"{' ' * 10}{token}\n\n" for token in "E ( T ∣ a )".split())
    assert clean_text(f"By writing\n\n{tokens}we mean it.") == "By writing\n\nwe mean it."
    code = "for x in y:\n        f(x)\n        g(x)\n        h(x)\n        i(x)"
    assert clean_text(code) == code


def test_pages_without_headings_end_before_their_links() -> None:
    assert (
        clean_text("A network.\n\nUse\nIn speech.\n\nSee also\nA list\n\nReferences\nOne")
        == "A network.\n\nUse\nIn speech."
    )
    assert clean_text("It links.\nReferences\nin a list.") == "It links.\nReferences\nin a list."


def test_headings_in_markdown_become_headings_where_there_are_no_others() -> None:
    assert clean_text("Lead.\n\n## Use\nIt is.\n\n### More\nYes.\n\n## See also\nA") == (
        "Lead.\n\n== Use ==\nIt is.\n\n=== More ===\nYes."
    )
    assert clean_text("== Code ==\n## a comment") == "== Code ==\n## a comment"


def test_what_annotated_links_say_of_themselves_goes() -> None:
    note = "Pages displaying short descriptions of redirect targets"
    assert clean_text(f"Kernel – a function{note}\nBias – an error") == "Kernel – a function\nBias – an error"


def test_invisible_characters_join_what_they_part() -> None:
    assert clean_text("so\u00adft f\u2061(x)") == "soft f(x)"


def test_line_ends_of_windows_become_plain_ones() -> None:
    for end in ("\r\n", "\r"):
        assert clean_text(f"Lead.{end}== Training =={end}Text.") == "Lead.\n== Training ==\nText."


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
