"""Sentences in, the same sentences with what they lean on out: the list or formula they introduce or explain."""

from collections.abc import Sequence

from ragqa.text.passages import Span

_INTRODUCES = (":", "：")
_EXPLAINS = ("where ", "with ", "here ", "Here ")  # at the beginning of a line below a formula
_FORMULA = ("=", "\\", "≈", "≤", "≥", "∝", "→", "←")


def complete(text: str, sentences: Sequence[Span], first: int, last: int) -> Span | None:
    """Return the first and last of the sentences that are quoted if `first` to `last` are chosen; None if that says nothing.

    A sentence that ends in a colon is quoted with the lines that follow it, up to the end of their paragraph. If nothing
    follows it in the passage, it says nothing. A line that explains the symbols of the formula above it ("where x is …") is
    quoted with the formula, and with the sentence that introduces the formula.
    """

    def introduces(number: int) -> bool:
        return text.endswith(_INTRODUCES, 0, sentences[number][1])

    if _explains(text, sentences, first):
        first -= 2 if first > 1 and introduces(first - 2) else 1
    introduction = next((number for number in range(last, first - 1, -1) if introduces(number)), None)
    if introduction is None:
        return first, last
    last = max(last, min(introduction + 1, len(sentences) - 1))
    while last + 1 < len(sentences) and _between(text, sentences, last) <= 1:
        last += 1
    while last >= first and introduces(last):
        last -= 1
    return (first, last) if last >= first else None


def _explains(text: str, sentences: Sequence[Span], number: int) -> bool:
    """Whether a sentence is a line below a formula that explains its symbols."""
    if number == 0 or not _between(text, sentences, number - 1) or not text.startswith(_EXPLAINS, sentences[number][0]):
        return False
    above = text[slice(*sentences[number - 1])]
    return any(sign in above for sign in _FORMULA)


def _between(text: str, sentences: Sequence[Span], number: int) -> int:
    """Return the line ends between a sentence and the next one."""
    return text.count("\n", sentences[number][1], sentences[number + 1][0])
