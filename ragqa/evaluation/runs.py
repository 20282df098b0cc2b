"""Rankings of other systems, from TREC run files."""

import math
from collections.abc import Mapping
from pathlib import Path

from ragqa.errors import InputError, RecordError
from ragqa.evaluation.judged import Judged
from ragqa.evaluation.metrics import (
    Run,
    import_ir_measures,
)
from ragqa.storage.json_lines import read_lines

MOST_NAMED = 5

_NO_RUN = "six columns are needed: question id, Q0, document id, rank, score, name of the run"


def read_run(path: str | Path, judged: Judged) -> dict[str, dict[str, float]]:
    """Read the results of another system for a judged set: a TREC run file with six columns.

    The file may name passages or documents. Passages in `judged.excluded` and their documents are left out. Raises
    `RecordError` for an invalid line, `InputError` for a file that names no question or no document of the set.
    """
    ir_measures = import_ir_measures()
    run: dict[str, dict[str, float]] = {}
    ids = {p.id for p in judged.passages} | set(judged.documents.values())
    excluded = {q: own | {judged.documents.get(p, p) for p in own} for q, own in judged.excluded.items()}
    known = False
    for number, line in read_lines(path):
        try:
            found = [*ir_measures.read_trec_run(line.decode() + "\n")]
        except ValueError as error:
            raise RecordError(path, number, _NO_RUN) from error
        for question, passage, score in found:
            if not math.isfinite(score):
                raise RecordError(path, number, f"the score is {score}, not a number")
            if question in judged.questions and passage not in excluded.get(question, ()):
                run.setdefault(question, {})[passage] = score
                known = known or passage in ids
    if not known:
        raise InputError(f"{path} names no question or no document of {judged.name}; give a run of the same set")
    return run


def fold_run(run: Run, documents: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Replace passages by the documents they were cut from. A document gets the score of its best passage."""
    folded: dict[str, dict[str, float]] = {}
    for question, scores in run.items():
        own = folded.setdefault(question, {})
        for passage, score in scores.items():
            document = documents.get(passage, passage)
            own[document] = max(score, own.get(document, score))
    return folded
