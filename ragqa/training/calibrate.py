"""A reranker and judged questions in, the calibration of its best hits out: what `ragqa calibrate` does.

The calibration is written into the reranker's folder. Its card says how well it fits.
"""

import json
import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ragqa.answers.answer import THRESHOLD
from ragqa.errors import CorpusError, ModelError, RagqaError, warn_of_fallback
from ragqa.evaluation.calibration import LEAST, Fit, calibrate_best_hits, halve, reliability_table
from ragqa.evaluation.judged import Judged
from ragqa.evaluation.metrics import sample
from ragqa.models.embedder import Embedder
from ragqa.models.folders import weights_identity
from ragqa.models.reranker import CALIBRATION, Basis, Reranker
from ragqa.progress import counter
from ragqa.records import PARTLY, Pair
from ragqa.search.retriever import BM25_WEIGHT, COSINE_WEIGHT
from ragqa.storage.checksums import SEAL, is_sealed
from ragqa.storage.files import replace_file
from ragqa.storage.folders import check_replaceable, replace_folder
from ragqa.text.passages import from_full_text

QUESTIONS = 200  # to calibrate with; more change a fit of two numbers little

_MARK = "config.json"
_CARD = "README.md"
HEADING = "## Calibration"
_SECTION = re.compile(rf"^{HEADING}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_LOG = logging.getLogger(__name__)


def judged_pairs(pairs: Sequence[Pair]) -> Judged:
    """Return the questions of labelled pairs that have a positive passage, and all passages of the pairs."""
    passages = {
        text: from_full_text(str(n), text) for n, text in enumerate(dict.fromkeys(pair.passage for pair in pairs))
    }
    relevance: dict[str, dict[str, int]] = {}
    for pair in pairs:
        if pair.label >= PARTLY:
            relevance.setdefault(pair.question, {})[passages[pair.passage].id] = 1
    return Judged("pairs", tuple(passages.values()), {question: question for question in relevance}, relevance, {})


def check_enough(sets: Sequence[Judged]) -> None:
    """Raise `CorpusError` if the sets have too few questions, or passages of only one page, before any model is loaded."""
    count = sum(len(judged.questions) for judged in sets)
    if count < LEAST:
        raise CorpusError(
            f"calibrating needs at least {LEAST} questions with a relevant passage, and there are {count}"
        )
    for judged in sets:
        if not judged.uncovered and not all(half.passages for half in halve(judged)):
            raise CorpusError(f"calibrating needs passages of at least 2 pages, and {judged.name} has one")


def calibrate_folder(
    folder: str | Path, sets: Sequence[Judged], embedder: Embedder | None = None, *, questions: int = QUESTIONS
) -> dict[str, Fit]:
    """Calibrate the reranker in a folder, and renew the checksums of the folder if it has some.

    `questions` is the number of questions to use, evenly spaced. `embedder` is the one that indexes are built with, by default
    the bundled one. If anything fails, the folder stays as it was. Raises `ModelError` if it holds no reranker, `CorpusError`
    if the questions are too few or if the scores do not tell right from wrong (`calibrate_best_hits`).
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ModelError(f"{folder} is not a folder; download the model into one first, or export yours: ragqa export")
    check_enough(sets)
    Reranker.load(folder)
    if not is_sealed(folder):
        return write_calibration(folder, sets, embedder, questions=questions)
    check_replaceable(folder, _MARK)
    with replace_folder(folder, _MARK) as new:
        shutil.copytree(folder, new, ignore=shutil.ignore_patterns(SEAL, CALIBRATION), dirs_exist_ok=True)
        return write_calibration(new, sets, embedder, questions=questions)


def write_calibration(
    folder: Path,
    sets: Sequence[Judged],
    embedder: Embedder | None = None,
    *,
    questions: int = QUESTIONS,
    progress: bool = True,
) -> dict[str, Fit]:
    """Write `calibration.json` and the section of the card into a folder without checksums, and return the fits.

    Arguments and exceptions are those of `calibrate_folder`.
    """
    embedder = embedder or Embedder.load()
    sets = [sample(judged, max(1, questions // len(sets))) for judged in sets]
    total = sum(len(judged.uncovered) + len(judged.questions) * (1 if judged.uncovered else 2) for judged in sets)
    _LOG.info("calibrating with %d questions", total)
    with counter(total, "questions", show=progress) as counted:
        fits = calibrate_best_hits(Reranker.load(folder), sets, embedder, counted.update)
    basis = Basis(weights_identity(folder), embedder.identity, BM25_WEIGHT, COSINE_WEIGHT)
    numbers = {name: asdict(fit.calibration) for name, fit in fits.items()}
    whole = {**numbers, "basis": asdict(basis), "summary": summarize(fits)}
    with replace_file(folder / CALIBRATION) as file:
        file.write(json.dumps(whole, indent=1).encode() + b"\n")
    write_section(folder / _CARD, describe(fits))
    return fits


def calibrate_new(folder: Path, out: Path, held_out: Judged | None, *, progress: bool = True) -> None:
    """Calibrate a new model that will become `out`. If that fails, warn and leave it without a calibration."""
    write_section(folder / _CARD, "")
    if held_out is None:
        return
    try:
        write_calibration(folder, [held_out], progress=progress)
    except RagqaError as error:
        warn_uncalibrated(out, error)


def find_held_out(pairs: Sequence[Pair], out: Path) -> Judged | None:
    """Return the eval pairs of a dataset as questions to calibrate with. If there are too few, warn and return None."""
    judged = judged_pairs(pairs)
    try:
        check_enough([judged])
    except CorpusError as error:
        warn_uncalibrated(out, error)
        return None
    return judged


def warn_uncalibrated(out: Path, error: RagqaError) -> None:
    """Warn that the model in `out` has no calibration."""
    warn_of_fallback(
        f"{out} is not calibrated, so it shows no percentages and never abstains: {error}; calibrate it on other questions: "
        f"ragqa calibrate {out} --judged FOLDER"
    )


def read_summary(folder: str | Path) -> str:
    """Return in one sentence how well the calibration in a folder fits; an empty text if it is not known."""
    path = Path(folder) / CALIBRATION
    values: Any = json.loads(path.read_text(encoding="utf8")) if path.is_file() else {}
    return str(values.get("summary", ""))


def summarize(fits: Mapping[str, Fit]) -> str:
    """Return in one sentence how well the calibration with the embedder fits."""
    fit = fits["fused"]
    return (
        f"calibrated on {fit.covered:,} questions with an answer and {fit.uncovered:,} without; Brier score {fit.brier:.3f} "
        f"({fit.constant_brier:.3f} for one probability for all); with the threshold {THRESHOLD:g}, `ask` abstains on "
        f"{fit.abstained_on_covered:.0%} and {fit.abstained_on_uncovered:.0%} of them"
    )


def describe(fits: Mapping[str, Fit]) -> str:
    """Return the section of a model card: how the calibration was fitted and how well it fits."""
    rows = [
        f"| {name} | {fit.calibration.scale:.3f} | {fit.calibration.bias:.3f} | {fit.brier:.3f} | {fit.constant_brier:.3f} |"
        f" {fit.abstained_on_covered:.1%} | {fit.abstained_on_uncovered:.1%} |"
        for name, fit in (("without the embedder", fits["alone"]), ("with the embedder", fits["fused"]))
    ]
    covered, uncovered = fits["fused"].covered, fits["fused"].uncovered
    return "\n".join(
        [
            HEADING,
            "",
            "The probability that the best hit of a question is relevant is sigmoid(scale · score + bias), where score is the "
            "final score of the hit.",
            f"Scale and bias were fitted to {covered:,} questions with an answer among the passages and {uncovered:,} "
            "without. Both kinds weigh alike. A passage without a label counts as not relevant.",
            "All figures come from a cross-validation. The constant Brier score is that of one probability for all questions. "
            f"`ask` abstains below a probability of {THRESHOLD:g}.",
            "",
            "| score | scale | bias | Brier score | constant Brier score | abstains, with an answer | abstains, without |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            "With the embedder:",
            "",
            reliability_table(fits["fused"].reliability),
            "",
        ]
    )


def write_section(card: Path, section: str) -> None:
    """Put the section into a card instead of the one of an earlier calibration. Leave a folder without a card as it is."""
    if not card.is_file():
        return
    text = _SECTION.sub("", card.read_text(encoding="utf8"))
    with replace_file(card) as file:
        file.write((f"{text.rstrip()}\n\n{section}" if section else text).encode())
