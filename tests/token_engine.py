"""An engine for selectors in tests: the bundled tokenizer, and a rule in place of a model."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ragqa.models.reranker import BUNDLED
from ragqa.models.tokens import open_tokenizer


class TokenEngine:
    """Gives each token of a text a number by a rule: how much it belongs to an answer. Nothing begins or ends one.

    The rule gets the token and the set of the question's tokens.
    """

    def __init__(self, rule: Callable[[str, set[str]], float]) -> None:
        self._rule = rule
        self._tokenizer = open_tokenizer(BUNDLED)

    def run_tokens(self, texts: Sequence[tuple[str, str]]) -> list[tuple[Any, np.ndarray]]:
        return [self._run(question, text) for question, text in texts]

    def _run(self, question: str, text: str) -> tuple[Any, np.ndarray]:
        encoding = self._tokenizer.encode(question, text)
        tokens = list(zip(encoding.tokens, encoding.sequence_ids, strict=True))
        asked = {token for token, of in tokens if of == 0}
        numbers = np.zeros((len(encoding), 3), dtype=np.float32)
        numbers[:, 0] = [self._rule(token, asked) if of == 1 else 0.0 for token, of in tokens]
        return encoding, numbers
