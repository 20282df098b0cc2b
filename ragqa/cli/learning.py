"""Commands that teach and measure: `dataset`, `train`, `export`, `evaluate`."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ragqa.cli.options import (
    Command,
    add_candidates,
    add_embedder,
    add_seed,
    check_files,
    check_models,
    load_embedder,
    real,
    share,
    weight,
    whole,
)
from ragqa.cli.terminal import say
from ragqa.errors import InputError
from ragqa.progress import counter
from ragqa.records import Passage
from ragqa.storage.json_lines import read_json_lines

if TYPE_CHECKING:
    from ragqa.evaluation.evaluate import Run
    from ragqa.evaluation.judged import Judged
    from ragqa.index.bm25 import Bm25Index
    from ragqa.index.dense import DenseIndex
    from ragqa.models.embedder import Embedder
    from ragqa.training.train import TrainConfig

_WIKIPEDIA = "wikipedia"
_EVERY_RECIPE = ("recipe", "data", "out", "seed", "offline")


def add_commands(command: Command) -> None:
    """Add these to the command line."""
    for add in (_add_dataset, _add_train, _add_export, _add_evaluate):
        add(command)


def _add_dataset(command: Command) -> None:
    from ragqa.recipes import recipe_names
    from ragqa.text.questions import FORMS

    parser = command(
        "dataset", _dataset, "make labelled pairs from passages and from judged questions",
        "ragqa dataset --passages passages.jsonl --forms what how explain --out dataset/",
    )  # fmt: skip
    parser.add_argument(
        "--recipe",
        choices=(_WIKIPEDIA, *recipe_names()),
        default=_WIKIPEDIA,
        help=f"what to make pairs of (default {_WIKIPEDIA})",
    )
    parser.add_argument("--data", metavar="DIR", help="of another recipe; it takes only this, --out and --seed")
    parser.add_argument("--passages", metavar="FILE", help="questions are generated for these")
    parser.add_argument(
        "--judged", action="append", default=[], metavar="FOLDER", help="questions of a BEIR folder; may be repeated"
    )
    parser.add_argument(
        "--split", metavar="NAME", help="judgments to use, qrels/NAME.tsv of the BEIR folders (default test)"
    )
    parser.add_argument("--feedback", metavar="FILE", help="what readers said of hits, in the chat, on these passages")
    parser.add_argument("--out", required=True, metavar="FOLDER")
    parser.add_argument(
        "--forms", nargs="+", default=["what"], choices=FORMS, help="of generated questions (default what)"
    )
    parser.add_argument(
        "--negatives", type=whole(1), default=3, help="number of negatives for each positive (default: 3)"
    )
    parser.add_argument(
        "--shares",
        nargs=3,
        type=weight,
        default=[1, 1, 1],
        metavar=("RANDOM", "PAGE", "HARD"),
        help="proportions of random, same-page and hard negatives, e.g. 0.2 0.3 0.5 (default: equal)",
    )
    parser.add_argument(
        "--parts",
        nargs=3,
        type=weight,
        default=[0.8, 0.1, 0.1],
        metavar=("TRAIN", "EVAL", "TEST"),
        help="proportions of pages in train, eval and test (default: 0.8 0.1 0.1)",
    )
    add_seed(parser, 42)
    parser.add_argument(
        "--miner", metavar="MODEL", help='bi-encoder that finds hard negatives beside BM25, or "bundled"'
    )
    parser.add_argument(
        "--teacher",
        nargs="+",
        default=[],
        metavar="MODEL",
        help="bi-encoders that soften the labels of the train split",
    )
    parser.add_argument(
        "--teacher-weight",
        type=share(),
        default=0.25,
        help="weight of the teachers in a judged label, from 0 to 1; it is higher in other labels (default: 0.25)",
    )
    parser.add_argument(
        "--style", choices=("ragqa", "reference"), default="ragqa", help="reference: that model's own recipe"
    )
    parser.add_argument("--title", default="Questions and passages", help="of the card")
    parser.add_argument(
        "--licence",
        metavar="NAME",
        help="licence of the texts, for the card (default: derived from the addresses of the pages)",
    )
    parser.set_defaults(parser=parser)


def _add_train(command: Command) -> None:
    from ragqa.models.bases import OFFLINE_BASE
    from ragqa.recipes import recipe_names
    from ragqa.training.train import RECIPES

    parser = command(
        "train", _train, "train a reranker, or an embedder, on datasets",
        "ragqa train --recipe listwise --dataset dataset/ --out model/",
    )  # fmt: skip
    parser.add_argument(
        "--recipe",
        choices=(*RECIPES, *recipe_names()),
        default="reference",
        help="reference: the published model's settings (default); listwise: the bundled reranker's; embedder: a bi-encoder; "
        "others: their own recipe's",
    )
    parser.add_argument("--dataset", required=True, nargs="+", metavar="FOLDER")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="interrupted, the same command goes on")
    parser.add_argument("--base", help=f"folder, hub id, or {OFFLINE_BASE} where there is no hub")
    group = parser.add_argument_group("settings", "instead of the recipe's own")
    group.add_argument("--epochs", type=real(0), help="passes over the train pairs")
    group.add_argument("--batch-size", type=whole(1), help="number of pairs, or of questions if --list-size is above 0")
    group.add_argument(
        "--list-size", type=whole(0), help="number of passages of a question in one list; 0 trains on single pairs"
    )
    group.add_argument("--learning-rate", type=real(0), help="highest learning rate")
    group.add_argument("--warmup", type=share(below_one=True), help="fraction of all training steps used for warm-up")
    group.add_argument("--max-length", type=whole(1), help="tokens of question and passage together; more are cut")
    group.add_argument("--dropout", type=share(below_one=True), help="dropout probability; 0 is faster on CPUs")
    group.add_argument("--evaluations", type=whole(1), help="evaluations in an epoch")
    add_seed(group)


def _add_export(command: Command) -> None:
    parser = command(
        "export", _export, "write a trained model as OpenVINO, int8, without torch's weights",
        "ragqa export model/ --dataset dataset/ --out reranker/",
    )  # fmt: skip
    parser.add_argument("model", metavar="FOLDER")
    parser.add_argument(
        "--dataset", required=True, nargs="+", metavar="FOLDER", help="its train pairs calibrate the model"
    )
    parser.add_argument("--out", required=True, metavar="FOLDER")
    parser.add_argument("--no-int8", action="store_true", help="16-bit weights, 32-bit arithmetic")


def _add_evaluate(command: Command) -> None:
    from ragqa.evaluation.judged import STARTER_SETS

    parser = command(
        "evaluate",
        _evaluate,
        "measure rankings and answers on judged questions",
        "ragqa evaluate --judged starter starter-graded --compare --chart quality.png",
    )
    parser.add_argument(
        "--judged",
        nargs="+",
        default=["starter"],
        metavar="FOLDER",
        help=f"BEIR folders, or {', '.join(STARTER_SETS)} (default starter); -test: what nothing was trained on",
    )
    parser.add_argument(
        "--split", metavar="NAME", help="judgments to use, qrels/NAME.tsv of a BEIR folder (default test)"
    )
    parser.add_argument(
        "--exclude-self", action="store_true", help="leave out the document that has the id of the question"
    )
    parser.add_argument(
        "--run",
        dest="runs",
        action="append",
        default=[],
        metavar="FILE",
        help="TREC run file of another system to measure too, on whole documents; may be repeated",
    )
    parser.add_argument("--compare", action="store_true", help="every part of the pipeline alone and together")
    parser.add_argument("--answers", action="store_true", help="look at answers, abstention and probabilities too")
    parser.add_argument("--chart", metavar="FILE", help="draw the comparison as PNG or SVG")
    parser.add_argument("--titles", metavar="FILE", help="only questions that pages with these titles answer")
    parser.add_argument("--questions", type=whole(1), metavar="N", help="only N questions, evenly spaced")
    parser.add_argument("--model", metavar="MODEL", help="model folder or hub id; the bundled one if not given")
    add_candidates(parser)
    add_embedder(parser)
    parser.add_argument("--json", action="store_true", help="for machines; a list where there are several sets")


def _dataset(options: argparse.Namespace) -> None:
    from ragqa.storage.folders import DATASET_MARK, check_replaceable

    check_replaceable(options.out, DATASET_MARK)
    if options.recipe != _WIKIPEDIA:
        _dataset_of_recipe(options)
        return
    if options.data:
        raise InputError("--data is for other recipes: give --passages or --judged, or --recipe")
    if options.split and not options.judged:
        raise InputError("--split is of BEIR folders: give --judged")
    from ragqa.evaluation.judged import STARTER_SETS, read_judged
    from ragqa.search.feedback import read_feedback
    from ragqa.training import dataset
    from ragqa.training.card import UNKNOWN, Origin, join_licences, origin_of, write_dataset

    config = dataset.DatasetConfig(
        forms=tuple(options.forms),
        negatives=options.negatives,
        shares=tuple(options.shares),
        parts=tuple(options.parts),
        seed=options.seed,
    )
    check_models(options.miner, *options.teacher)
    check_files(options.passages, options.feedback, *(name for name in options.judged if name not in STARTER_SETS))
    passages = tuple(read_json_lines(options.passages, Passage)) if options.passages else ()
    origins = [origin_of(Path(options.passages).name, passages)] if passages else []
    if options.style == "reference":
        if not passages or options.judged or options.miner or options.feedback:
            raise InputError(
                "the reference style takes --passages of `ragqa passages --style reference`, no --judged, --feedback or --miner"
            )
        pairs = dataset.build_reference(passages, config)
    else:
        sources = [dataset.from_passages(passages, config.forms)] if passages else []
        for name in options.judged:
            judged = read_judged(name, options.split)
            sources.append(dataset.from_judged(judged))
            known = name in STARTER_SETS
            origins.append(origin_of(name, judged.passages) if known else Origin(Path(name).name, UNKNOWN))
        if options.feedback:
            sources.append(dataset.from_feedback(read_feedback(options.feedback), passages))
        if not sources:
            raise InputError("nothing to make pairs of: give --passages or --judged")
        if options.miner:
            miner = load_embedder(options.miner)
            sources = [replace(source, embedder=miner) for source in sources]
        examples = sum(len(source.examples) for source in sources)
        with counter(examples, "questions") as counted:
            pairs = dataset.build(sources, config, lambda _: counted.update())
    mined = [f"hard negatives: BM25 and {options.miner}"] if options.miner else []
    taught = []
    if options.teacher:
        from ragqa.training.soft_labels import soften

        taught = [f"labels of the train split: {', '.join(options.teacher)}, weight {options.teacher_weight}"]
        pairs["train"] = soften(pairs["train"], [*map(load_embedder, options.teacher)], options.teacher_weight)
    report = write_dataset(
        pairs,
        options.out,
        title=options.title,
        sources=[*(f"{origin.name}; licence: {origin.licence}" for origin in origins), *mined, *taught],
        licence=options.licence or join_licences(origins),
        config=config,
    )
    print(json.dumps(report, indent=1))


def _dataset_of_recipe(options: argparse.Namespace) -> None:
    from ragqa.recipes import load_recipe

    usual = options.parser.get_default
    given = [name for name, value in vars(options).items() if name not in _EVERY_RECIPE and value != usual(name)]
    if not options.data or given:
        wrong = f", not --{given[0].replace('_', '-')}" if given else ""
        raise InputError(f"the recipe {options.recipe} takes --data, --out and --seed{wrong}")
    print(json.dumps(load_recipe(options.recipe).make_dataset(options.data, options.out, options.seed), indent=1))


def _train(options: argparse.Namespace) -> None:
    from ragqa.training.train import TrainConfig, train
    from ragqa.training.train_embedder import train_embedder

    names = [field.name for field in fields(TrainConfig)]
    given = {name: getattr(options, name) for name in names if getattr(options, name, None) is not None}
    config = replace(_training(options.recipe), **given)
    run = train_embedder if options.recipe == "embedder" else train
    metrics = run(options.dataset, options.out, config)
    print(json.dumps(dict(metrics), indent=1))


def _training(name: str) -> "TrainConfig":
    """Return the library's settings with this name, or those of a recipe."""
    from ragqa.recipes import load_recipe
    from ragqa.training.train import RECIPES

    config: TrainConfig = RECIPES[name] if name in RECIPES else load_recipe(name).TRAINING
    return config


def _export(options: argparse.Namespace) -> None:
    from ragqa.training.export import export
    from ragqa.training.train import read_pairs

    parity = export(options.model, options.out, read_pairs(options.dataset, "train"), int8=not options.no_int8)
    size = sum(f.stat().st_size for f in Path(options.out).rglob("*") if f.is_file()) / 1e6
    print(
        f"{options.out}: {size:.1f} MB; compared with the torch model: largest deviation {parity.deviation:.2g}, "
        f"{parity.measure} {parity.agreement:.4f}"
    )


def _evaluate(options: argparse.Namespace) -> None:
    from ragqa.evaluation import evaluate
    from ragqa.evaluation.judged import STARTER_SETS
    from ragqa.index.bm25 import Bm25Index
    from ragqa.index.folder import warn_of_language
    from ragqa.models.reranker import Reranker
    from ragqa.search.retriever import Retriever

    if options.chart:
        evaluate.check_chart(options.chart)
    check_models(options.model, None if options.no_dense else options.embedder)
    check_files(options.titles, *(name for name in options.judged if name not in STARTER_SETS))
    sets = [_read_set(name, options) for name in options.judged]
    runs = _read_runs(options.runs, sets)
    reranker = Reranker.load(options.model)
    embedder = None if options.no_dense else load_embedder(options.embedder)
    reports, plain = [], []
    for judged in sets:
        if not options.model:
            warn_of_language(judged.passages, embedder)
        for key, reason in evaluate.find_unaskable(judged).items():
            say(f"{judged.name}: question {key!r} is not asked and counts as 0: {reason}")
        index = Bm25Index.build(judged.passages)
        dense = _embed(index, embedder) if embedder else None
        retriever = Retriever(index, reranker, dense=dense, candidates=options.candidates)
        systems = evaluate.variants(retriever, every=options.compare)
        with counter(len(judged.questions) * (len(systems) + options.answers), "questions") as counted:
            report = evaluate.compare(systems, judged, lambda _: counted.update(), runs=runs)
            answers = (
                evaluate.inspect_answers(retriever, judged, lambda _: counted.update()) if options.answers else None
            )
        reports.append(report)
        plain.append(asdict(report) | ({"answers": asdict(answers)} if answers else {}))
        if not options.json:
            print(evaluate.table(report) + "\n" + (f"\n{evaluate.answers_table(answers)}\n" if answers else ""))
    if options.json:
        print(json.dumps(plain[0] if len(plain) == 1 else plain, indent=1))
    if options.chart:
        evaluate.draw(reports, options.chart)


def _read_set(name: str, options: argparse.Namespace) -> "Judged":
    """A judged set, or the part of it that the options choose."""
    from ragqa.evaluation.evaluate import sample
    from ragqa.evaluation.judged import read_judged, select
    from ragqa.wiki.seeds import read_seeds

    judged = read_judged(name, options.split, exclude_self=options.exclude_self)
    judged = select(judged, frozenset(read_seeds(options.titles).titles)) if options.titles else judged
    if not judged.questions:
        raise InputError(f"{name}: no question is left to measure with")
    return judged if options.questions is None else sample(judged, options.questions)


def _read_runs(paths: Sequence[str], sets: "Sequence[Judged]") -> "dict[str, Run]":
    """Runs of other systems by the names of their files."""
    from ragqa.evaluation.evaluate import read_run

    if paths and len(sets) != 1:
        raise InputError("a run belongs to one set of questions: give --run with one --judged")
    runs: dict[str, Run] = {}
    for path in paths:
        if Path(path).name in runs:
            raise InputError(f"two run files are called {Path(path).name}; rename one of them")
        runs[Path(path).name] = run = read_run(path, sets[0])
        if missing := sets[0].questions.keys() - run.keys():
            say(f"{path}: {len(missing):,} of {len(sets[0].questions):,} questions are missing and count as 0")
    return runs


def _embed(index: "Bm25Index", embedder: "Embedder") -> "DenseIndex":
    from ragqa.index.starter import embed_passages

    with counter(len(index.passages), "passages") as counted:
        return embed_passages(index, embedder, counted.update)
