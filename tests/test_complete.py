import pytest

from ragqa.answers.complete import complete
from ragqa.text.passages import sentences

LISTED = "Soup is hot. Two kinds exist:\n\nhard ones\nsoft ones, which bend. They last.\n\nSalt helps."
ANNOUNCED = "Soup is hot. The steps are:"
FORMULA = "The step is:\nx = x − η·g\nwhere η is the learning rate. It is small."
NESTED = "Kinds:\nhard ones\nOther kinds:"


def quoted(text: str, chosen: str, more: int = 0) -> str | None:
    """What is quoted if the sentence that begins with `chosen` is chosen, and `more` after it."""
    spans = sentences(text)
    first = next(n for n, (start, _) in enumerate(spans) if text.startswith(chosen, start))
    whole = complete(text, spans, first, first + more)
    return None if whole is None else text[spans[whole[0]][0] : spans[whole[1]][1]]


@pytest.mark.parametrize(
    ("text", "chosen", "more", "whole"),
    [
        (LISTED, "Soup", 0, "Soup is hot."),
        (LISTED, "Two", 0, "Two kinds exist:\n\nhard ones\nsoft ones, which bend. They last."),
        (LISTED, "Soup", 2, "Soup is hot. Two kinds exist:\n\nhard ones\nsoft ones, which bend. They last."),
        (LISTED, "soft", 0, "soft ones, which bend."),
        (LISTED, "They", 1, "They last.\n\nSalt helps."),
        (ANNOUNCED, "The", 0, None),
        (ANNOUNCED, "Soup", 1, "Soup is hot."),
        (FORMULA, "where", 0, "The step is:\nx = x − η·g\nwhere η is the learning rate. It is small."),
        (FORMULA, "x =", 0, "x = x − η·g"),
        (NESTED, "Kinds", 0, "Kinds:\nhard ones"),
        ("It stays where it was.\nwhere there is none.", "where", 0, "where there is none."),
    ],
)
def test_what_sentences_lean_on_is_quoted_with_them(text: str, chosen: str, more: int, whole: str | None) -> None:
    assert quoted(text, chosen, more) == whole
