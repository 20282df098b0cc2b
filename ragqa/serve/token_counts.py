"""Texts in, numbers of tokens out, as the tokenizer of the bundled models counts them; texts cut to a number of tokens."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from ragqa.models.reranker import BUNDLED
from ragqa.models.tokens import MAX_TOKENS, open_tokenizer
from ragqa.process import lock_across_forks

_LOADING = lock_across_forks()


def count(texts: Iterable[str]) -> int:
    """Return the number of tokens of all texts together, special tokens included. No text counts more than the model reads."""
    return sum(map(len, _tokenizer().encode_batch(list(texts))))


def cut(texts: Sequence[str], most: int) -> list[str]:
    """Return the texts without what follows their first `most` tokens."""
    if most >= MAX_TOKENS:  # the model reads no more
        return list(texts)
    encoded = _tokenizer().encode_batch(list(texts), add_special_tokens=False)
    return [
        text if len(own) <= most else text[: own.offsets[most - 1][1]] for text, own in zip(texts, encoded, strict=True)
    ]


def too_long(question: str, texts: Sequence[str]) -> list[int]:
    """Return the positions of the texts that exceed the bundled reranker's limit together with the question."""
    encoded = _tokenizer().encode_batch([(question, text) for text in texts])
    return [position for position, own in enumerate(encoded) if own.overflowing]


def _tokenizer() -> Any:
    with _LOADING:
        return _load()


@cache
def _load() -> Any:
    tokenizer = open_tokenizer(BUNDLED)
    tokenizer.no_padding()
    return tokenizer
