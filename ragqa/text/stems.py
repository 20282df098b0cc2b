"""Words in, stems out: words in Arabic and Devanagari letters by the rules of Arabic and Hindi, all others by those of English.

The rules are those of Lucene's ArabicAnalyzer ("light10": Larkey, Ballesteros and Connell, "Improving Stemming for Arabic
Information Retrieval", 2002) and HindiAnalyzer (the stemmer of Ramanathan and Rao, 2003, is Snowball's). Words with letters
that Arabic lacks, as in Persian and Urdu, keep their endings.
"""

import re
from collections.abc import Mapping
from typing import Any

from ragqa.process import lock_across_forks

_STEMMING = lock_across_forks()  # a stemmer has one buffer, so it is not thread-safe
_ARABIC = re.compile("[\u0620-\u06ff]")
_NOT_ARABIC = re.compile("[\u066e-\u0670\u0672-\u06d3]")  # letters of Persian, Urdu and other languages
_DEVANAGARI = re.compile("[\u0900-\u097f]")
_ARABIC_FORMS = {  # hamza over or under a letter is an accent, so the analyzer has dropped it
    ord("ـ"): None,  # tatweel, which only lengthens a word
    **str.maketrans("ٱىةیک", "ايهيك"),
    **str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹", "01234567890123456789"),
}
_PREFIXES = ("وال", "بال", "كال", "فال", "ال", "لل", "و")  # the longest first
_SUFFIXES = ("ها", "ان", "ات", "ون", "ين", "يه", "ه", "ي")  # removed one after another
_LEAST_LEFT = 2  # letters that a prefix or suffix must leave
_LEAST_AFTER_WAW = 3  # letters that the prefix و, which is often part of the word, must leave
_NASAL = "न\u094d"
_HINDI_FORMS: Mapping[int, int | str | None] = {
    ord("\u093c"): None,  # nukta
    ord("\u094d"): None,  # virama
    **str.maketrans("ँऄऍऎऑऒॅॆॉॊ", "ंअएएओओेेोो"),
    **str.maketrans("आईऊॠॡऐऔीूॄॣैौ", "अइउऋऌएओिुृॢेो"),  # long vowels
    **str.maketrans("०१२३४५६७८९", "0123456789"),
}


class WordStemmer:
    """Stems words in lower case without accents. Can be shared between threads."""

    def __init__(self, *, by_script: bool = True) -> None:
        """With `by_script` false all words are stemmed as English."""
        import Stemmer

        self._english = Stemmer.Stemmer("english", 0)  # its own cache makes it slower
        self._hindi = Stemmer.Stemmer("hindi", 0)
        self._by_script = by_script

    def stem(self, word: str) -> str:
        """Return the stem of a word; never empty."""
        if self._by_script and not word.isascii():
            if _ARABIC.search(word):
                return _stem_arabic(word)
            if _DEVANAGARI.search(word):
                plain = word.replace(_NASAL, "ं").translate(_HINDI_FORMS)
                return self._run(self._hindi, plain) or word
        return self._run(self._english, word)

    def _run(self, stemmer: Any, word: str) -> str:
        with _STEMMING:
            return str(stemmer.stemWord(word))


def _stem_arabic(word: str) -> str:
    plain = word.translate(_ARABIC_FORMS)
    if _NOT_ARABIC.search(word):
        return plain or word
    return _without_suffixes(_without_prefix(plain)) or word


def _without_prefix(word: str) -> str:
    for prefix in _PREFIXES:
        least = _LEAST_AFTER_WAW if len(prefix) == 1 else _LEAST_LEFT
        if word.startswith(prefix) and len(word) >= len(prefix) + least:
            return word[len(prefix) :]
    return word


def _without_suffixes(word: str) -> str:
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) >= len(suffix) + _LEAST_LEFT:
            word = word[: -len(suffix)]
    return word
