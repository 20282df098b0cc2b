"""Passages, judged questions and feedback in, a dataset folder out: what `ragqa dataset` does."""

import logging
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragqa.errors import CorpusError, InputError
from ragqa.evaluation.judged import STARTER_SETS, Judged, read_judged
from ragqa.models.named import check_models, load_embedder
from ragqa.models.reranker import Reranker
from ragqa.progress import counter
from ragqa.records import Pair, Passage
from ragqa.search.feedback import read_feedback
from ragqa.storage.files import check_inputs
from ragqa.storage.folders import DATASET_MARK, check_replaceable
from ragqa.storage.json_lines import read_json_lines
from ragqa.training.card import UNKNOWN, Origin, join_licences, origin_of, write_dataset
from ragqa.training.dataset import (
    SPLITS,
    ExampleSet,
    PairConfig,
    build,
    build_reference,
    check_questions,
    from_feedback,
    from_judged,
    from_passages,
)
from ragqa.training.lint import ASPECTS, inspect_questions
from ragqa.training.soft_labels import soften
from ragqa.training.written_questions import generate_questions

if TYPE_CHECKING:
    from ragqa.answers.written import Writer

STYLES = ("ragqa", "reference")

_LEAST_RATE = 0.85  # of questions without a fault; below it, the command warns

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetConfig:
    """What a dataset is made from, how, and where it is written.

    Questions are generated for the `passages` of a file; `judged` names BEIR folders (`split` is the split of their judgments)
    or sets of `STARTER_SETS`; `feedback` is a file of votes from the chat. `miner` is a bi-encoder that finds hard negatives
    in addition to BM25. `teachers` are bi-encoders that soften the labels of the train split, with `teacher_weight` from 0 to
    1. `check` drops generated questions that do not find their own passage, and negatives that the bundled reranker takes for
    answers. The style "reference" is the recipe of the published model and takes only `passages`. A `licence` of None is
    derived from the URLs of the pages.

    With `writer`, a language model writes the questions for the `passages` instead of rules, one for each passage, or for
    `limit` of them, evenly spaced; the forms of `pairs` are then not used. What it writes is kept in `OUT.questions.jsonl`.

    Raises `InputError` for settings that do not go together.
    """

    out: str | Path
    passages: str | Path | None = None
    judged: tuple[str, ...] = ()
    split: str | None = None
    feedback: str | Path | None = None
    pairs: PairConfig = field(default_factory=PairConfig)
    miner: str | None = None
    teachers: tuple[str, ...] = ()
    teacher_weight: float = 0.25
    check: bool = True
    writer: bool = False
    limit: int | None = None
    style: str = "ragqa"
    title: str = "Questions and passages"
    licence: str | None = None

    def __post_init__(self) -> None:
        if self.split and not self.judged:
            raise InputError("--split names a split of BEIR folders; add --judged")
        if not self.passages and not self.judged:
            raise InputError("nothing to make pairs from; give --passages or --judged")
        if self.writer and not self.passages:
            raise InputError("--writer writes questions for passages; add --passages")
        if self.limit is not None and not self.writer:
            raise InputError("--limit is the number of questions that a language model writes; add --writer")
        if self.limit is not None and self.limit < 1:
            raise InputError(f"limit is {self.limit}; at least 1 is needed")
        if self.style not in STYLES:
            raise InputError(f"style is {self.style!r}; it must be one of {', '.join(STYLES)}")
        others = self.judged or self.miner or self.feedback or self.writer
        if self.style == "reference" and (not self.passages or others):
            raise InputError(
                "the reference style takes only --passages, made by `ragqa passages --style reference`; "
                "leave out --judged, --feedback, --miner and --writer"
            )

    @property
    def journal(self) -> Path:
        """The file that holds what the language model has written so far."""
        return Path(f"{Path(self.out)}.questions.jsonl")


def make_dataset(config: DatasetConfig, writer: "Writer | None" = None) -> dict[str, Any]:
    """Write a dataset folder and return its lint report (`card.lint`).

    `writer` is the language model that writes questions; give one exactly if `config.writer` is True.

    Raises `InputError` or `ModelError` for inputs that do not exist, before a model is loaded, and whatever the readers,
    `write_questions` and `write_dataset` raise.
    """
    if config.writer != (writer is not None):
        raise InputError(f"config.writer is {config.writer}, but {'a' if writer else 'no'} writer is given")
    check_replaceable(config.out, DATASET_MARK)
    check_models(config.miner, *config.teachers)
    check_inputs(config.passages, config.feedback, *(name for name in config.judged if name not in STARTER_SETS))
    passages = tuple(read_json_lines(config.passages, Passage)) if config.passages else ()
    judged = [read_judged(name, config.split) for name in config.judged]
    reranker = Reranker.load() if config.check and config.passages else None
    dropped: dict[str, int] = {}
    if config.style == "reference":
        pairs = build_reference(passages, config.pairs)
        generated = {pair.question for own in pairs.values() for pair in own}
    else:
        sets, dropped = _example_sets(config, passages, judged, reranker, writer)
        generated = {example.question for example in sets[0].examples} if config.passages else set()
        pairs = _build(sets, config)
    _check_splits(pairs, config.pairs)
    if config.teachers:
        _LOG.info("softening the labels of %d pairs", len(pairs["train"]))
        pairs["train"] = soften(pairs["train"], [*map(load_embedder, config.teachers)], config.teacher_weight)
    origins = [*_origins(config, passages, judged)]
    return write_dataset(
        pairs,
        config.out,
        title=config.title,
        sources=[*(f"{origin.name}; licence: {origin.licence}" for origin in origins), *_models_used(config, writer)],
        licence=config.licence or join_licences(origins),
        config=replace(config.pairs, forms=()) if writer else config.pairs,
        more_lint=_written_by(writer)
        | dropped
        | _inspect(pairs, generated, reranker if config.style == "reference" else None),
    )


def _example_sets(
    config: DatasetConfig,
    passages: tuple[Passage, ...],
    judged: Iterable[Judged],
    reranker: Reranker | None,
    writer: "Writer | None",
) -> tuple[list[ExampleSet], dict[str, int]]:
    """Return the sets of questions, and the number of generated questions that were dropped, by reason."""
    miner = load_embedder(config.miner) if config.miner else None
    sets: list[ExampleSet] = []
    dropped: dict[str, int] = {}
    if config.passages:
        source, dropped = _generate(config, passages, writer)
        generated = replace(source, embedder=miner, reranker=reranker)
        if config.check:
            generated, unanswered = _check(generated)
            dropped |= unanswered
        sets.append(generated)
    sets += [replace(from_judged(one), embedder=miner) for one in judged]
    if config.feedback:
        sets.append(replace(from_feedback(read_feedback(config.feedback), passages), embedder=miner))
    return sets, {f"dropped_{reason}": count for reason, count in dropped.items()}


def _generate(
    config: DatasetConfig, passages: tuple[Passage, ...], writer: "Writer | None"
) -> tuple[ExampleSet, dict[str, int]]:
    if writer is None:
        return from_passages(passages, config.pairs.forms), {}
    _LOG.info("the language model writes questions, which are kept in %s", config.journal)
    source, dropped = generate_questions(passages, writer, config.journal, config.limit)
    _log_dropped(dropped, sum(dropped.values()) + sum(len(example.positives) for example in source.examples))
    return source, dropped


def _check(generated: ExampleSet) -> tuple[ExampleSet, dict[str, int]]:
    _LOG.info("checking %d generated questions", len(generated.examples))
    with counter(len(generated.examples), "questions") as counted:
        kept, dropped = check_questions(generated, lambda _: counted.update())
    _log_dropped(dropped, len(generated.examples))
    return kept, dropped


def _log_dropped(dropped: Mapping[str, int], count: int) -> None:
    for reason, number in dropped.items():
        _LOG.info("dropped %d of %d generated questions: %s", number, count, reason.replace("_", " "))


def _written_by(writer: "Writer | None") -> dict[str, Any]:
    """Return what the lint report says about the language model that wrote the questions."""
    return {"written_by": writer.model} if writer else {}


def _check_splits(pairs: Mapping[str, Sequence[Pair]], config: PairConfig) -> None:
    """Raise `CorpusError` for a split that is empty although it should have some of the pages."""
    for split, part in zip(SPLITS, config.parts, strict=True):
        if part and not pairs[split]:
            raise CorpusError(
                f"the {split} split has no question, because too few pages have questions; give more pages, or set its "
                "proportion in --parts to 0"
            )


def _inspect(pairs: Mapping[str, Sequence[Pair]], generated: Set[str], reranker: Reranker | None) -> dict[str, Any]:
    """Read the generated questions, not those of people, and warn of rates that are low.

    The check has asked the reranker already, except for raw windows.
    """
    if not generated:
        return {}
    own = {split: [pair for pair in made if pair.question in generated] for split, made in pairs.items()}
    report = inspect_questions(own, reranker)
    low = [f"{report[aspect]:.0%} {aspect}" for aspect in ASPECTS if report[aspect] < _LEAST_RATE]
    if low:
        _LOG.warning(
            "of %d questions read by rules, only %s; lint.json lists the worst",
            report["questions_read"],
            ", ".join(low),
        )
    return report


def _build(sets: Sequence[ExampleSet], config: DatasetConfig) -> dict[str, list[Pair]]:
    count = sum(len(one.examples) for one in sets)
    _LOG.info("drawing negatives for %d questions", count)
    with counter(count, "questions") as counted:
        return build(sets, config.pairs, lambda _: counted.update())


def _origins(config: DatasetConfig, passages: Sequence[Passage], judged: Iterable[Judged]) -> Iterable[Origin]:
    if config.passages:
        yield origin_of(Path(config.passages).name, passages)
    for name, own in zip(config.judged, judged, strict=True):
        yield origin_of(name, own.passages) if name in STARTER_SETS else Origin(Path(name).name, UNKNOWN)


def _models_used(config: DatasetConfig, writer: "Writer | None") -> Iterable[str]:
    if writer:
        yield f"questions for the passages: written by the language model {writer.model}"
    if config.miner:
        yield f"hard negatives: BM25 and {config.miner}"
    if config.teachers:
        yield f"labels of the train split: {', '.join(config.teachers)}, weight {config.teacher_weight}"
