import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa.dialogue.plain import is_thinking, plain_text

CASES = [
    ("![x](http://evil/?q=1) Dropout [helps](http://a.b/c(d)e) [1].", "x Dropout helps [1]."),
    ("<img src=x onerror=alert(1)>a<script>alert(1)</script>b < c and x<y [2]", "ab < c and x< y [2]"),
    ("[[1]](http://x) [2](http://y) [1][2] [1, 3]", "[1] [2] [1][2] [1, 3]"),
    ("![alt][ref]\n[ref]: http://evil", "alt"),
    ("<think>hmm\nso</think>Yes **bold** `code` a_b_c 2*3*4 [1]", "Yes bold code a_b_c 2*3*4 [1]"),
    ("<think>still thinking", ""),
    ("<scr<script></script>ipt>alert(1)", "alert(1)"),
    ("see https://evil.example/x?y=1 or www.evil.com", "see (link removed) or (link removed)"),
    ("[a](javascript:alert(1)) ![b](data:image/png;base64,AAAA", "a b"),
    ("!<b>[a](http://x)</b> !\u200b[b](http://x)", "a b"),
    ("https:/<b></b>/evil.com", "(link removed)"),
    ("the data: it is\tsmall\u202e\x00\x1b[31m", "the data: it is small[31m"),
    ("# Title\n> quote\n```python\nx = 1\n```\n\n\n\n- item [1]\r\nend", "Title\nquote\n\nx = 1\n\n- item [1]\nend"),
]


@pytest.mark.parametrize(("written", "plain"), CASES)
def test_only_words_lines_and_citations_are_left(written: str, plain: str) -> None:
    assert plain_text(written) == plain


PARTS = st.sampled_from(
    [
        "![",
        "[",
        "]",
        "(",
        ")",
        "<",
        ">",
        "script",
        "img src=x",
        "http:",
        "//",
        "a",
        " ",
        "\n",
        "1",
        "!",
        "<b>",
        "</b>",
        "`",
        "**",
        ":",
    ]
)


@given(st.lists(PARTS, max_size=30).map("".join))
def test_nothing_put_together_is_an_image_a_link_or_a_tag(written: str) -> None:
    text = plain_text(written)
    assert "![" not in text
    assert "](" not in text
    assert not re.search(r"[a-z]://", text)
    assert not any(
        text[n + 1 : n + 2].isalpha() or text[n + 1 : n + 2] in ("/", "!") for n in range(len(text)) if text[n] == "<"
    )
    assert plain_text(text) == text


@given(st.text(alphabet="abc XYZ.,019()", max_size=60))
def test_plain_words_stay(text: str) -> None:
    assert plain_text(text) == " ".join(text.split())


def test_a_text_that_only_thinks_has_no_answer_yet() -> None:
    assert all(is_thinking(text) for text in ("<", " <thi", "<think>", "<THINK>\nso", "<think>a < b"))
    assert not any(is_thinking(text) for text in ("", "a", "<b>", "<think>so</think>", "I <think>"))


HARD = [
    "**a " * 2000,
    "[a](" * 2000,
    "<" * 8000,
    "![[" * 2600,
    "<a " * 2600,
    "`" * 8000,
    "<!--" * 2000,
    "(" * 8000,
    "__a_" * 2000,
]


@pytest.mark.parametrize("written", HARD, ids=[text[:4] for text in HARD])
def test_no_text_takes_long(written: str) -> None:
    started = time.perf_counter()
    plain_text(written)
    assert time.perf_counter() - started < 0.5
