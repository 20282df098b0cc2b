"""Pairs in, pairs with softened labels out: the more similar bi-encoders find question and passage, the higher the label.

A drawn negative may be an answer, and a generated question may not fit its passage. The similarities tell such pairs from clear
ones. This is knowledge distillation with soft targets (Hinton, Vinyals and Dean, 2015). The targets are probabilities: a
logistic regression fits the similarities to the labels (Platt, 1999).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ragqa.errors import InputError, MissingExtraError
from ragqa.models.embedder import Embedder
from ragqa.progress import counter
from ragqa.records import PARTLY, Pair

if TYPE_CHECKING:
    import numpy as np


def soften(
    pairs: Sequence[Pair], teachers: Sequence[Embedder], weight: float = 0.5, *, progress: bool = True
) -> list[Pair]:
    """Return the pairs in the same order, with labels `(1 - weight) · label + weight · P(label = 1 | similarities)`.

    `weight` is from 0 to 1. Drawn pairs, which nobody has read, use its square root: 0.25 becomes 0.5. A passage that
    answers at least in part keeps a label of at least `records.PARTLY`. Raises `InputError` for another weight, without a
    teacher, or if all pairs have one label.
    """
    if not 0 <= weight <= 1:
        raise InputError(f"weight is {weight}; it must be between 0 and 1")
    if not teachers:
        raise InputError("softening labels needs a teacher; name a bi-encoder with --teacher")
    if len({pair.label >= PARTLY for pair in pairs}) < 2:
        raise InputError("softening labels needs positives and negatives; all pairs have one label")
    import numpy as np

    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise MissingExtraError("softening labels", "train") from error
    similarities = np.column_stack([_similarities(pairs, teacher, progress) for teacher in teachers])
    labels = np.array([pair.label for pair in pairs])
    fit = LogisticRegression(C=100.0).fit(  # a label between 0 and 1 counts in part for both classes
        np.vstack([similarities, similarities]), np.repeat([1, 0], len(pairs)), np.concatenate([labels, 1 - labels])
    )
    soft = fit.predict_proba(similarities)[:, 1].tolist()
    return [
        replace(p, label=_mix(p.label, s, weight**0.5 if p.drawn else weight)) for p, s in zip(pairs, soft, strict=True)
    ]


def _mix(label: float, soft: float, weight: float) -> float:
    mixed = (1 - weight) * label + weight * soft
    return max(mixed, PARTLY) if label >= PARTLY else mixed


def _similarities(pairs: Sequence[Pair], teacher: Embedder, progress: bool) -> "np.ndarray":
    """Return the cosines of questions and passages, shape (pairs,). Every text is embedded once."""
    import numpy as np

    texts = list(dict.fromkeys(text for pair in pairs for text in (pair.question, pair.passage)))
    with counter(len(texts), "texts", show=progress) as counted:
        vectors = teacher.embed(texts, counted.update)
    rows = {text: row for row, text in enumerate(texts)}
    questions = vectors[[rows[pair.question] for pair in pairs]]
    passages = vectors[[rows[pair.passage] for pair in pairs]]
    cosines: np.ndarray = np.einsum("pd,pd->p", questions, passages)
    return cosines
