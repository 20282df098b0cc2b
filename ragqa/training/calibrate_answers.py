"""A selector and answers that were judged in, the calibration of its answers out, written into the selector's folder."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ragqa.evaluation.answer_calibration import AnswerFit, Quoted, fit_answers
from ragqa.evaluation.calibration import reliability_table
from ragqa.models.reranker import CALIBRATION
from ragqa.storage.files import replace_file
from ragqa.training.calibrate import HEADING, write_section


def calibrate_answers(folder: Path, quoted: Sequence[Quoted]) -> AnswerFit:
    """Write `calibration.json` and the section of the card into a selector's folder without checksums.

    Raises `CorpusError` as `fit_answers` does, and then writes nothing.
    """
    fitted = fit_answers(quoted)
    with replace_file(folder / CALIBRATION) as file:
        file.write(json.dumps(asdict(fitted.calibration), indent=1).encode() + b"\n")
    write_section(folder / "README.md", describe_answers(fitted))
    return fitted


def describe_answers(fit: AnswerFit) -> str:
    """Return the section of a selector's card: how the calibration was fitted and how well it fits."""
    numbers = fit.calibration
    return "\n".join(
        [
            HEADING,
            "",
            "The probability that a quote answers the question is "
            f"sigmoid({numbers.quote:g} · logit + {numbers.hit:g} · log(p / (1 - p)) {numbers.bias:+g}), where logit is the "
            "selector's score of the quote and p the probability of its hit.",
            f"It was fitted to the answers to {fit.covered:,} questions with marked answers that the selector was not trained "
            f"on, and to {fit.uncovered:,} questions that the corpus does not cover. Both kinds weigh alike.",
            f"In a cross-validation the Brier score is {fit.brier:.3f}; that of one probability for all is "
            f"{fit.constant_brier:.3f}.",
            "",
            reliability_table(fit.reliability, "answer", "right"),
            "",
        ]
    )
