import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa.answers.plain_text import plain_text

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
    ("Dropout helps [1].<|im_end|>\n<|im_start|>user\nAnd why?", "Dropout helps [1]."),
    ("<s>[INST]Dropout helps.</s><s>[INST] And why? [/INST] Since", "Dropout helps."),
    ("<bos>It <s>helps</s> hurts.<end_of_turn>\n<start_of_turn>user", "It helps hurts."),
    (r"It\u2019s \"good\" \u00e9\ud83d\ude00 \ud83d.\n\nNext\tLine \/", 'It’s "good" é😀 .\n\nNext Line /'),
    (r"$\nu \neq \nabla \times \theta \rho$", r"$\nu \neq \nabla \times \theta \rho$"),
    (r"\u003cscript\u003ealert(1)\u003c/script\u003eDropout", "Dropout"),
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


REASONING = [
    ("<think>so</think>Yes.", "Yes."),
    ("<THINKING>\nso</THINKING>Yes.", "Yes."),
    ("so it is\n</think>\nYes.", "Yes."),
    ("a</think>b</think>Yes.", "Yes."),
    ("Yes. <think>so</think> No.", "Yes. No."),
    ("[THINK]so[/THINK]Yes.", "Yes."),
    ("◁think▷so◁/think▷Yes.", "Yes."),
    ("<seed:think>so</seed:think>Yes.", "Yes."),
    ("<|channel|>analysis<|message|>so<|end|><|start|>assistant<|channel|>final<|message|>Yes.<|return|>", "Yes."),
    ("<|channel|>final<|message|>Yes.<|end|><|start|>assistant<|channel|>commentary<|message|>so", "Yes."),
    ("analysisSo it is.assistantfinalYes.", "Yes."),
    ("Yes.<|im_end|>", "Yes."),
    ("Yes.</s>", "Yes."),
    ("analysis of variance, the assistant final", "analysis of variance, the assistant final"),
]


@pytest.mark.parametrize(("written", "answer"), REASONING)
def test_reasoning_is_left_out(written: str, answer: str) -> None:
    assert plain_text(written) == answer


@pytest.mark.parametrize(
    "text", ["<think>", "<THINK>\nso", "<think>a < b", "<|channel|>analysis<|message|>so", "analysisSo"]
)
def test_a_text_that_only_thinks_has_no_answer_yet(text: str) -> None:
    assert plain_text(text) == ""


MARKS = (
    "! [ ] ( ) < > ` * _ ~ # - , 1 a <b <b> </b> <!-- <script> </script ![ ]( [a]( (x) [1]( http:// www. data: <think> "
    "</think> <|channel|> <| analysisA assistantfinal [1, [a]: !<b> *** --- ```a ^[1] [a](b"
).split()
UNITS = [*MARKS, *(f"{mark} " for mark in MARKS), *(f"{mark}\n" for mark in MARKS), "\u200b", "\t", "é", "数", "🤖 "]


@pytest.mark.parametrize("tail", ["", "["])
def test_time_is_linear_in_the_length(tail: str) -> None:
    def seconds(unit: str, length: int) -> float:
        text = (unit * length)[:length] + tail
        started = time.thread_time()
        plain_text(text)
        return time.thread_time() - started

    # eight times the text may take 24 times as long; it was 64 and 512 times
    slow = [unit for unit in UNITS if seconds(unit, 4_000) > 24 * max(0.002, seconds(unit, 500))]
    assert slow == []


@pytest.mark.parametrize("text", ["<b" * 4000 + ">" * 4000, "**" * 40 + "a" + "**" * 40, "!" * 8000 + "["])
def test_nesting_without_end_takes_no_time(text: str) -> None:
    started = time.thread_time()
    plain = plain_text(text)
    assert time.thread_time() - started < 1
    assert "<b" not in plain
    assert "**" not in plain
    assert "![" not in plain
    assert plain_text(plain) == plain
