"""Rankings of systems, from and to TREC run files."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ragqa.errors import InputError, RecordError
from ragqa.evaluation.judged import Judged
from ragqa.evaluation.metrics import Run
from ragqa.evaluation.qrels import decode, split_columns, trec_id, trec_ids
from ragqa.storage.json_lines import read_lines, write_lines

MOST_NAMED = 5

_NO_RUN = "six columns are needed: question id, Q0, document id, rank, score, name of the run"


def read_run(path: str | Path, judged: Judged) -> dict[str, dict[str, float]]:
    """Read the results of another system for a judged set: a TREC run file with six columns.

    The file may name passages or documents. Passages in `judged.excluded` and their documents are left out. White space in an
    id is percent-encoded in the file. Raises `RecordError` for an invalid line and for a document that a question has twice,
    `InputError` for a file that names no question or no document of the set.
    """
    run: dict[str, dict[str, float]] = {}
    ids = _known_ids(judged)
    names = {written: name for name in (*ids, *judged.questions) if (written := trec_id(name)) != name}
    excluded = {q: own | {judged.documents.get(p, p) for p in own} for q, own in judged.excluded.items()}
    known = False
    for number, columns, score in _read_columns(path):
        question, passage = (names.get(name, name) for name in columns)
        if question not in judged.questions or passage in excluded.get(question, ()):
            continue
        own = run.setdefault(question, {})
        if passage in own:
            raise RecordError(path, number, f"the document {passage!r} appears twice for the question {question!r}")
        own[passage] = score
        known = known or passage in ids
    if not known:
        raise InputError(f"{path} names no question or no document of {judged.name}; give a run of the same set")
    return sort_run(run)


def _known_ids(judged: Judged) -> set[str]:
    """Return the ids of the passages and documents of a set; of those that are judged if it has no passages."""
    ids = {p.id for p in judged.passages} | set(judged.documents.values())
    return ids.union(*judged.relevance.values(), *judged.rejected.values())


def _read_columns(path: str | Path) -> Iterator[tuple[int, tuple[str, str], float]]:
    """Yield line number, ids of question and document, and score of each line."""
    for number, line in read_lines(path):
        columns = split_columns(decode(path, number, line))
        if not columns:
            continue
        try:
            question, _, document, _, text, _ = columns
            score = float(text)
        except ValueError as error:
            raise RecordError(path, number, _NO_RUN) from error
        if not math.isfinite(score):
            raise RecordError(path, number, f"the score is {score}, not a number")
        yield number, (question, document), score


def write_run(path: str | Path, run: Run, name: str = "ragqa") -> int:
    """Replace `path` with a TREC run file. Return the number of its lines.

    trec_eval sorts by score, in 32 bits, and does not read ranks. A score that is not below the one before it is therefore
    written as the next smaller 32-bit number, so that the order stays.
    """
    questions = trec_ids(run)
    passages = trec_ids(passage for scores in run.values() for passage in scores)
    return write_lines(
        path,
        (
            f"{questions[question]} Q0 {passages[passage]} {rank} {score:.9g} {name}\n".encode()
            for question, scores in run.items()
            for rank, (passage, score) in enumerate(_falling(scores), 1)
        ),
    )


def _falling(scores: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Yield passages in order with scores that are all different in 32 bits."""
    import numpy as np

    previous: np.floating[Any] = np.float32(np.inf)
    for passage, score in scores.items():
        previous = min(np.float32(score), np.nextafter(previous, np.float32(-np.inf)))
        yield passage, float(previous)


def sort_run(run: Run) -> dict[str, dict[str, float]]:
    """Sort the results of each question by score as trec_eval does: in 32 bits, ties by id in reverse order."""
    import numpy as np

    with np.errstate(over="ignore"):  # the largest scores become infinite, as in trec_eval
        return {
            question: dict(sorted(scores.items(), key=lambda item: (np.float32(item[1]), item[0]), reverse=True))
            for question, scores in run.items()
        }


def fold_run(run: Run, documents: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Replace passages by the documents they were cut from. A document gets the place and score of its best passage."""
    folded: dict[str, dict[str, float]] = {}
    for question, scores in run.items():
        own = folded.setdefault(question, {})
        for passage, score in scores.items():
            own.setdefault(documents.get(passage, passage), score)
    return folded
