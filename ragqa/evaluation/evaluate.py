"""Judged sets in, a report for each out: what `ragqa evaluate` does."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from ragqa.errors import InputError
from ragqa.evaluation.answers import AnswerReport, inspect_answers
from ragqa.evaluation.chart import check_chart, draw
from ragqa.evaluation.compare import Report, compare_runs, searched_depth, variants
from ragqa.evaluation.judged import STARTER_SETS, Judged, read_judged, read_judgments, select
from ragqa.evaluation.metrics import (
    Definition,
    Gain,
    Run,
    find_unaskable,
    import_ir_measures,
    metric_names,
    sample,
    search_all,
)
from ragqa.evaluation.qrels import trec_ids, write_qrels
from ragqa.evaluation.runs import read_run, write_run
from ragqa.index.bm25 import Bm25Index
from ragqa.index.folder import warn_of_language
from ragqa.index.starter import embed_passages
from ragqa.models.embedder import Embedder
from ragqa.models.named import BUNDLED_NAME, check_models, load_embedder
from ragqa.models.reranker import Reranker
from ragqa.progress import counter
from ragqa.search.retriever import CANDIDATES, Retriever
from ragqa.storage.files import check_file, check_inputs
from ragqa.text.language import language_of, sample_texts
from ragqa.wiki.seeds import read_seeds

_LOG = logging.getLogger(__name__)

_NEED_PASSAGES = (
    "judged",
    "split",
    "titles",
    "compare",
    "answers",
    "save_run",
    "save_qrels",
    "model",
    "embedder",
    "candidates",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationConfig:
    """What is measured, and on which questions.

    `judged` names BEIR folders or sets of `STARTER_SETS`; `split` and `exclude_self` are for BEIR folders (`read_beir`).
    `titles` is a file: only questions that pages with these titles answer are asked. `questions` is the number of questions to
    ask, evenly spaced; None means all. `runs` are TREC run files of other systems. `qrels` is a file of judgments: then only
    the runs are measured, without passages and models. `least_grade` and `gain` are those of `metrics.Definition`. `compare`
    measures every part of the pipeline, alone and together. `answers` measures answers, abstention and probabilities too.
    `chart` is a PNG or SVG file to draw. `save_run` and `save_qrels` are TREC files to write the ranking of the whole pipeline
    and the judgments to. `model` is a reranker, None the bundled one; `embedder` is a bi-encoder, None means BM25 alone.
    """

    judged: tuple[str, ...] = ("starter",)
    split: str | None = None
    exclude_self: bool = False
    titles: str | Path | None = None
    questions: int | None = None
    runs: tuple[str, ...] = ()
    qrels: str | Path | None = None
    least_grade: int | None = None
    gain: Gain = "linear"
    compare: bool = False
    answers: bool = False
    chart: str | Path | None = None
    save_run: str | Path | None = None
    save_qrels: str | Path | None = None
    model: str | None = None
    embedder: str | None = BUNDLED_NAME
    candidates: int = CANDIDATES


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured on one judged set; `answers` is None unless it was asked for."""

    report: Report
    answers: AnswerReport | None


def evaluate(config: EvaluationConfig) -> Iterator[Evaluation]:
    """Yield an evaluation for each judged set, in order, and draw the chart at the end.

    A question that cannot be asked and a question that a run leaves out count as 0; both are logged as warnings. All inputs are
    read before a model is loaded. Raises `InputError` or `ModelError` for inputs that do not exist, `InputError` if no
    question is left or if runs are given for several sets.
    """
    import_ir_measures()
    if config.chart:
        check_chart(config.chart)
    if config.qrels:
        yield _evaluate_runs(config)
        return
    check_models(config.model, config.embedder)
    check_inputs(config.titles, *(name for name in config.judged if name not in STARTER_SETS))
    sets = [_read_set(name, config) for name in config.judged]
    runs = _read_runs(config.runs, sets)
    _check_saved(config, sets)
    reranker = Reranker.load(config.model)
    embedder = load_embedder(config.embedder) if config.embedder else None
    done = []
    for judged in sets:
        done.append(_evaluate(judged, config, reranker, embedder, runs))
        yield done[-1]
    if config.chart:
        draw([evaluation.report for evaluation in done], config.chart)


def _evaluate_runs(config: EvaluationConfig) -> Evaluation:
    """Measure runs with judgments alone."""
    if not config.runs:
        raise InputError("--qrels measures runs of other systems: give at least one with --run")
    usual = {field.name: field.default for field in fields(config)}
    if wrong := [name for name in _NEED_PASSAGES if getattr(config, name) != usual[name]]:
        option = wrong[0].replace("_", "-")
        raise InputError(
            f"--qrels measures runs alone, without passages: leave out --{option}, or give --judged instead"
        )
    check_inputs(config.qrels, *config.runs)
    judged = _choose(read_judgments(config.qrels or "", exclude_self=config.exclude_self), config)
    report = compare_runs({}, judged, runs=_read_runs(config.runs, [judged]), definition=_definition(config))
    if config.chart:
        draw([report], config.chart)
    return Evaluation(report, None)


def _definition(config: EvaluationConfig) -> Definition:
    return Definition(config.least_grade, config.gain)


def _check_saved(config: EvaluationConfig, sets: Sequence[Judged]) -> None:
    """Check that the TREC files can be written, before anything is measured."""
    for option, path in (("run", config.save_run), ("qrels", config.save_qrels)):
        if path is None:
            continue
        if len(sets) != 1:
            raise InputError(f"a TREC file holds one set of questions: give --save-{option} with one --judged")
        check_file(path)
        trec_ids(sets[0].questions)
        trec_ids(passage.id for passage in sets[0].passages)


def _evaluate(
    judged: Judged, config: EvaluationConfig, reranker: Reranker, embedder: Embedder | None, runs: Mapping[str, Run]
) -> Evaluation:
    if not config.model:
        warn_of_language(language_of(sample_texts(judged.passages)), embedder)
    for key, reason in find_unaskable(judged).items():
        _LOG.warning("%s: question %r is not asked and counts as 0: %s", judged.name, key, reason)
    retriever = _open_retriever(judged, config, reranker, embedder)
    systems = variants(retriever, every=config.compare)
    _LOG.info("%s: asking %d questions of %s", judged.name, len(judged.questions), ", ".join(systems))
    with counter(len(judged.questions) * (len(systems) + config.answers), "questions") as counted:
        found = {name: search_all(search, judged, lambda _: counted.update()) for name, search in systems.items()}
        _save(config, judged, found)
        answers = inspect_answers(retriever, judged, lambda _: counted.update()) if config.answers else None
    depth = searched_depth(systems)
    return Evaluation(compare_runs(found, judged, runs=runs, definition=_definition(config), depth=depth), answers)


def _save(config: EvaluationConfig, judged: Judged, found: Mapping[str, Run]) -> None:
    if config.save_run:
        write_run(config.save_run, list(found.values())[-1])
    if config.save_qrels:
        write_qrels(config.save_qrels, judged.relevance, judged.rejected)


def _open_retriever(
    judged: Judged, config: EvaluationConfig, reranker: Reranker, embedder: Embedder | None
) -> Retriever:
    index = Bm25Index.build(judged.passages)
    with counter(len(index.passages) if embedder else 0, "passages") as counted:
        dense = embed_passages(index, embedder, counted.update) if embedder else None
    return Retriever(index, reranker, dense=dense, candidates=config.candidates)


def _read_set(name: str, config: EvaluationConfig) -> Judged:
    """Read a judged set and keep the questions that the configuration selects."""
    judged = read_judged(name, config.split, exclude_self=config.exclude_self)
    judged = select(judged, frozenset(read_seeds(config.titles).titles)) if config.titles else judged
    if not judged.questions:
        raise InputError(f"{name}: no question is left to measure with")
    return _choose(judged, config)


def _choose(judged: Judged, config: EvaluationConfig) -> Judged:
    """Keep the number of questions that the configuration asks for, and check that the metrics can be computed."""
    judged = judged if config.questions is None else sample(judged, config.questions)
    metric_names(judged, _definition(config))
    return judged


def _read_runs(paths: Sequence[str], sets: Sequence[Judged]) -> dict[str, Run]:
    """Read runs of other systems, by file name."""
    if paths and len(sets) != 1:
        raise InputError("a run belongs to one set of questions: give --run with one --judged")
    runs: dict[str, Run] = {}
    for path in paths:
        if Path(path).name in runs:
            raise InputError(f"two run files are called {Path(path).name}; rename one of them")
        runs[Path(path).name] = run = read_run(path, sets[0])
        if missing := sets[0].questions.keys() - run.keys():
            total = f"{len(sets[0].questions):,}"
            _LOG.warning("%s: %s of %s questions are missing and count as 0", path, f"{len(missing):,}", total)
    return runs
