"""The check that every question passes."""

import re

from ragqa.errors import InputError

MAX_QUESTION_CHARS = 2000

_CONTROL = re.compile(r"[\x00-\x1f\x7f\s\ud800-\udfff]+")  # control characters, white space, lone surrogates


def check_question(question: str) -> str:
    """Return the question on one line, without control characters and lone surrogates.

    Raises `InputError` if it is empty, has no letter or digit, or is longer than `MAX_QUESTION_CHARS`.
    """
    question = _CONTROL.sub(" ", question).strip()
    if not question:
        raise InputError("the question is empty")
    if len(question) > MAX_QUESTION_CHARS:
        raise InputError(f"the question has {len(question):,} characters; at most {MAX_QUESTION_CHARS:,} can be asked")
    if not any(character.isalnum() for character in question):
        raise InputError(f"the question {question[:40]!r} holds no letter or digit")
    return question
