"""Classes of characters that Python's `re` does not know."""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache

SENTENCE_ENDS = "。！？｡।॥؟۔።፧។။։"  # in scripts that write no space between sentences
PAUSES = "、，；：､،؛၊፣፤"
CLOSING_QUOTES = "”’」』）】》〉］"
CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # letters of Chinese and Japanese
PHRASED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # scripts with spaces between phrases: Thai, Lao, Burmese, Khmer
REPETITION = "ๆ"  # of Thai, with a space on both sides
JOINTS = "\u200b\ufeff"  # zero-width spaces; some separate words, others only allow a line break

# scripts without spaces between words: Line_Break class SA (Thai, Lao, Burmese, Khmer, …), CJK, and Hangul, whose particles
# follow words directly
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u3005-\u3007\u3040-\u31bf\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\ua9e0-\ua9ff\uaa60-\uaadf\uac00-\ud7a3\uf900-\ufaff\U0001aff0-\U0001b16f\U00020000-\U0003ffff"
)
_COMMON_MARKS = re.compile("[\u0300-\u08ff\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]")
_SAMPLED = 200  # texts
_SELECTORS = re.compile("[\u034f\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")  # marks that change only the glyph
_LAST_WITH_MARKS = 0x1F000
_NEVER_FIRST = (
    "\u200c\u200d\U0001f3fb-\U0001f3ff\u1160-\u11ff"  # joiners, skin colours, vowels and finals of Hangul
    "\u0e33\u0eb3\uff9e\uff9f\U000e0100-\U000e01ef"  # am of Thai and Lao, half-width voicing, variation selectors
)
_JOINS_NEXT = (
    "\u094d\u09cd\u0acd\u0b4d\u0c4d\u0d4d\u1039\u17d2"  # signs that join two consonants (conjuncts)
    "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u0d4e"  # signs that are written over or under what follows
)
_FLAG = "[\U0001f1e6-\U0001f1ff]"  # two of these letters are a flag


def is_accent(character: str) -> bool:
    """Return True for marks that readers may leave out: accents, vowel points of Arabic and Hebrew, enclosing circles.

    Marks of other scripts, such as the vowel signs of Devanagari, belong to a word like its letters.
    """
    if unicodedata.category(character) == "Me":
        return True
    return unicodedata.combining(character) > 0 and _COMMON_MARKS.match(character) is not None


def is_invisible(character: str) -> bool:
    """Return True for soft hyphens, joiners, direction marks and variation selectors; not for `JOINTS`."""
    if character in JOINTS:
        return False
    return unicodedata.category(character) == "Cf" or _SELECTORS.match(character) is not None


def is_mark(character: str) -> bool:
    """Return True for combining marks, with and without width (Unicode categories Mn, Mc and Me)."""
    return unicodedata.category(character)[0] == "M"


@cache
def marks() -> str:
    """Return all combining marks, for use in a character class. The first call takes some milliseconds."""
    return "".join(filter(is_mark, map(chr, range(0x300, _LAST_WITH_MARKS))))


@cache
def between_characters() -> str:
    """Return a pattern that matches between user-perceived characters: letters with their marks, joined emoji.

    It approximates Unicode's extended grapheme clusters (UAX 29). It keeps neighbouring flags and a few more letters
    together, and may split syllables of old Korean.
    """
    joined = rf"(?<={_FLAG}){_FLAG}|(?<=[{_JOINS_NEXT}])\w"
    return rf"(?<=[\s\S])(?<![\u200d\r])(?![{marks()}{_NEVER_FIRST}])(?!{joined})"


def is_mostly_latin(texts: Sequence[str]) -> bool:
    """Return False if more than half of the letters belong to other scripts. Reads at most 200 texts, evenly spaced."""
    letters = [character for text in texts[:: 1 + len(texts) // _SAMPLED] for character in text if character.isalpha()]
    return 2 * sum(character < "\u0250" or "\u1e00" <= character <= "\u1eff" for character in letters) >= len(letters)


def unix_newlines(text: str) -> str:
    """Return the text with line feeds instead of the line ends of Windows and old Macs."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
