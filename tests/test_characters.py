import re
import sys
import unicodedata

import pytest

from ragqa.text.characters import UNSPACED, between_characters, is_mark, is_mostly_latin, marks, unix_newlines

LETTERS = [c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) in ("Lo", "Lm")]
SCRIPTS = ("CJK UNIFIED", "HIRAGANA", "KATAKANA", "BOPOMOFO", "HANGUL SYLLABLE", "THAI", "LAO", "KHMER", "MYANMAR")
SPACED = ("DEVANAGARI", "TAMIL", "ARABIC", "HEBREW", "CYRILLIC", "GEORGIAN", "ETHIOPIC", "TIBETAN", "CHEROKEE")


def test_every_letter_of_scripts_without_spaces_is_known_and_none_of_others() -> None:
    unspaced = re.compile(f"[{UNSPACED}]")
    names = {letter: unicodedata.name(unicodedata.normalize("NFKC", letter)[0], "") for letter in LETTERS}
    missed = [
        c
        for c, name in names.items()
        if name.startswith(SCRIPTS) and not unspaced.match(unicodedata.normalize("NFKC", c))
    ]
    assert missed == []
    assert [c for c, name in names.items() if name.startswith(SPACED) and unspaced.match(c)] == []


def test_all_marks_are_in_the_class_but_variation_selectors_beyond_it() -> None:
    every = {c for c in map(chr, range(sys.maxunicode + 1)) if is_mark(c)}
    assert {unicodedata.name(c).rpartition("-")[0] for c in every - set(marks())} == {"VARIATION SELECTOR"}
    assert set(marks()) <= every


@pytest.mark.parametrize(
    "letter",
    [
        *("e\u0301", "ต้", "पे", "👩\u200d👩\u200d👧", "👍🏽", "❤\ufe0f", "🇩🇪", "\r\n", "\u1112\u1161\u11ab"),
        *("क्षे", "न्दी", "ক্ষ", "ស្ត្រី", "ทำ", "น้ำ", "ນ້ຳ", "ｶﾞ", "葛\U000e0100", "ন\u200c", "\u0600٣"),
    ],
)
def test_there_is_no_place_inside_what_a_reader_takes_for_a_character(letter: str) -> None:
    places = [match.start() for match in re.finditer(between_characters(), f"a{letter}b")]
    assert places == [1, 1 + len(letter), 2 + len(letter)]


@pytest.mark.parametrize(
    ("texts", "latin"),
    [
        (["Roses need sun.", "Ångström, Việt"], True),
        (["园丁修剪苹果树", "Roses"], False),
        (["園丁"] * 1000 + ["A rose"], False),
        (["12 + 3 = 15"], True),
        ([], True),
    ],
)
def test_texts_are_mostly_latin_by_their_letters(texts: list[str], latin: bool) -> None:
    assert is_mostly_latin(texts) is latin


def test_line_ends_become_line_feeds() -> None:
    assert unix_newlines("a\r\nb\rc\nd\r\r\ne") == "a\nb\nc\nd\n\ne"
