"""Pairs with labels softened by bi-encoders: what they hold for nearer the question gets more of a label.

A drawn negative may be an answer, and a generated question may miss its passage; the bi-encoders' similarities tell such
pairs from the clear ones. Knowledge distillation with soft targets (Hinton, Vinyals and Dean, 2015), the target being
the similarities turned into a probability by a logistic fit to the labels (Platt, 1999).
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
    """The pairs with labels `(1 - weight) · label + weight · P(label = 1 | similarities)`, in their order.

    `weight` is from 0 to 1; for drawn pairs it is its square root, since nobody has read them: 0.25 becomes 0.5. Raises
    `InputError` for another weight, no teacher or pairs of one label only.
    """
    if not 0 <= weight <= 1:
        raise InputError(f"weight is {weight}; it must be between 0 and 1")
    if not teachers:
        raise InputError("softening needs a teacher")
    if len({pair.label >= PARTLY for pair in pairs}) < 2:
        raise InputError("softening needs pairs of both labels")
    import numpy as np

    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise MissingExtraError("softening labels", "train") from error
    similarities = np.column_stack([_similarities(pairs, teacher, progress) for teacher in teachers])
    labels = np.array([pair.label for pair in pairs])
    fit = LogisticRegression(C=100.0).fit(  # a label between 0 and 1 counts in part for either side
        np.vstack([similarities, similarities]), np.repeat([1, 0], len(pairs)), np.concatenate([labels, 1 - labels])
    )
    soft = fit.predict_proba(similarities)[:, 1].tolist()
    return [
        replace(p, label=_mix(p.label, s, weight**0.5 if p.drawn else weight)) for p, s in zip(pairs, soft, strict=True)
    ]


def _mix(label: float, soft: float, weight: float) -> float:
    return (1 - weight) * label + weight * soft


def _similarities(pairs: Sequence[Pair], teacher: Embedder, progress: bool) -> "np.ndarray":
    """Cosines of questions and passages, shape (pairs,); every text is embedded once."""
    import numpy as np

    texts = list(dict.fromkeys(text for pair in pairs for text in (pair.question, pair.passage)))
    with counter(len(texts), "texts", show=progress) as counted:
        vectors = teacher.embed(texts, counted.update)
    place = {text: number for number, text in enumerate(texts)}
    questions = vectors[[place[pair.question] for pair in pairs]]
    passages = vectors[[place[pair.passage] for pair in pairs]]
    cosines: np.ndarray = np.einsum("pd,pd->p", questions, passages)
    return cosines
