"""The selector, a token classifier: it reads a question together with a passage and scores sentences of it as the answer.

For each token the model gives three numbers: how much the token belongs to an answer, how much it begins one, and how much it
ends one. The score of one to three adjoining sentences is the mean of the first number over their tokens, plus the second of
the first token, plus the third of the last. So one run of the model scores all of them.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ragqa.errors import ModelError
from ragqa.models.folders import find_exported
from ragqa.models.openvino import OpenVinoModel, check_finite
from ragqa.models.reranker import CALIBRATION, sigmoid
from ragqa.process import lock_across_forks

if TYPE_CHECKING:
    import numpy as np

BUNDLED = Path(__file__).parents[1] / "assets" / "selector"
MOST_SENTENCES = 3  # adjoining sentences that are scored together
OUTPUTS = 3  # numbers for each token: inside, first, last

_LEAST = 1e-4  # the least probability of a hit that is told from 0, and the same below 1
_LOADING = lock_across_forks()

Span = tuple[int, int]


class Scored(NamedTuple):
    """The sentences `first` to `last` of a text (by position, both included) and their logit as an answer, unbounded."""

    first: int
    last: int
    score: float


class Engine(Protocol):
    """Runs a token classifier."""

    def run_tokens(self, texts: Sequence[tuple[str, str]]) -> "list[tuple[Any, np.ndarray]]":
        """Return the tokens of each pair (`tokenizers.Encoding`) and their numbers: float32, shape (tokens, 3)."""


@dataclass(frozen=True, slots=True)
class AnswerCalibration:
    """Turns the logit of a quote and the probability of its hit into the probability that the quote answers the question.

    It is `sigmoid(quote · logit + hit · log(p / (1 - p)) + bias)`.
    """

    quote: float
    hit: float
    bias: float

    def probability(self, logit: float, hit: float) -> float:
        """Return the probability, 0 to 1, for a quote with this logit in a hit with this probability."""
        quote, odds = self.features(logit, hit)
        return sigmoid(self.quote * quote + self.hit * odds + self.bias)

    @staticmethod
    def features(logit: float, hit: float) -> tuple[float, float]:
        """Return the two numbers that the calibration weighs: the logit, and the log-odds of the hit, which are bounded."""
        bounded = min(max(hit, _LEAST), 1 - _LEAST)
        return logit, math.log(bounded / (1 - bounded))


class Selector:
    """A token classifier that scores sentences. Create one with `load`. Can be shared between threads."""

    def __init__(self, engine: Engine, name: str, calibration: AnswerCalibration | None = None) -> None:
        self.name = name
        self.calibration = calibration
        self._engine = engine

    @classmethod
    def load(cls, source: str | Path | None = None) -> "Selector":
        """Load a model from a folder; without `source` load the bundled model.

        Raises `ModelError` if the folder holds no selector for OpenVINO, or if one of its files has changed.
        """
        folder = find_exported(source, BUNDLED, "selector")
        if folder is None:
            raise ModelError(f"{source} holds no model for OpenVINO, as a selector needs")
        model = OpenVinoModel(folder)
        if not model.for_tokens or model.width != OUTPUTS:
            raise ModelError(f"{folder} is not a selector: it does not give {OUTPUTS} numbers for each token")
        return cls(model, folder.resolve().name, read_calibration(folder))

    def score(
        self, question: str, texts: Sequence[str], sentences: Sequence[Sequence[Span]]
    ) -> list[tuple[Scored, ...]]:
        """Score one to three adjoining sentences of each text as the answer, in text order, shorter ones first.

        `sentences` holds the character offsets of the sentences of each text. Question and text together are truncated at 512
        tokens; sentences beyond are not scored. Raises `ModelError` if the model gives NaN or infinity.
        """
        read = self._engine.run_tokens([(question, text) for text in texts])
        for _, numbers in read:
            check_finite(numbers, self.name)
        return [
            tuple(_score_all(numbers, token_spans(encoding, own)))
            for (encoding, numbers), own in zip(read, sentences, strict=True)
        ]


def read_calibration(folder: Path) -> AnswerCalibration | None:
    """Read a selector's `calibration.json`; None without the file. Raises `ModelError` for a damaged file."""
    path = folder / CALIBRATION
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf8"))
        return AnswerCalibration(*(float(values[name]) for name in ("quote", "hit", "bias")))
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} does not hold the numbers quote, hit and bias") from error


def bundled_selector() -> Selector:
    """Return the bundled selector. It is loaded on the first call and shared."""
    with _LOADING:
        return _load_bundled()


@cache
def _load_bundled() -> Selector:
    return Selector.load()


def token_spans(encoding: Any, sentences: Sequence[Span]) -> list[Span | None]:
    """Return the positions of the first token of each sentence and of the token after its last one.

    A sentence that is cut off at the model's limit gets None.
    """
    tokens = [
        (start, end, position)
        for position, (of, (start, end)) in enumerate(zip(encoding.sequence_ids, encoding.offsets, strict=True))
        if of == 1 and start < end
    ]
    cut_off = tokens[-1][2] if tokens and encoding.overflowing else None
    spans: list[Span | None] = []
    for start, end in sentences:
        own = [position for first, last, position in tokens if start <= first and last <= end]
        spans.append((own[0], own[-1] + 1) if own and own[-1] != cut_off else None)
    return spans


def runs_of(spans: Sequence[Span | None]) -> Iterator[tuple[int, int, int, int]]:
    """Yield all runs of at most `MOST_SENTENCES` adjoining sentences, in order, shorter ones first.

    `spans` are those of the sentences, in tokens or characters; a run ends before None. A run is the positions of its first and
    last sentence and its own span.
    """
    for first, begin in enumerate(spans):
        for last, end in enumerate(spans[first : first + MOST_SENTENCES], first):
            if begin is None or end is None:
                break
            yield first, last, begin[0], end[1]


def _score_all(numbers: "np.ndarray", spans: Sequence[Span | None]) -> "list[Scored]":
    """Score all runs of sentences that have tokens."""
    import numpy as np

    inside = np.concatenate([[0.0], np.cumsum(numbers[:, 0], dtype=np.float64)])
    found = []
    for first, last, start, stop in runs_of(spans):
        mean = (inside[stop] - inside[start]) / (stop - start)
        found.append(Scored(first, last, float(mean + numbers[start, 1] + numbers[stop - 1, 2])))
    return found
