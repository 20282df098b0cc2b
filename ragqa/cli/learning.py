"""Commands that train, publish and measure: `dataset`, `train`, `export`, `calibrate`, `publish`, `evaluate`."""

import argparse
import json
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragqa.cli.options import (
    MODEL_HELP,
    Command,
    add_candidates,
    add_embedder,
    add_llm_timeout,
    add_writer,
    check_writer,
    given,
    open_writer,
    real,
    share,
    weight,
    whole,
)
from ragqa.cli.terminal import say
from ragqa.errors import InputError

if TYPE_CHECKING:
    from ragqa.evaluation.evaluate import Evaluation
    from ragqa.training.config import TrainConfig

_WIKIPEDIA = "wikipedia"
_OF_RECIPES = ("out", "seed")


def add_commands(command: Command) -> None:
    """Add the commands of this module to the command line."""
    command(
        "dataset", _dataset, "make a dataset of labelled question-passage pairs",
        "ragqa dataset --passages passages.jsonl --forms what how explain --out dataset/\n"
        "  ragqa dataset --passages passages.jsonl --writer --llm-model-file model.gguf --limit 500 --out dataset/",
        _add_dataset_options,
    )  # fmt: skip
    command(
        "train", _train, "train a reranker or an embedder on datasets",
        "ragqa train --recipe listwise --dataset dataset/ --out model/",
        _add_train_options,
    )  # fmt: skip
    command(
        "export", _export, "convert a trained model to OpenVINO, with 8-bit weights and without torch",
        "ragqa export model/ --dataset dataset/ --out reranker/",
        _add_export_options,
    )  # fmt: skip
    command(
        "calibrate", _calibrate, "calibrate a reranker: fit its probabilities to judged questions",
        "ragqa calibrate reranker/ --dataset dataset/",
        _add_calibrate_options,
    )  # fmt: skip
    command(
        "publish", _publish, "upload a dataset or a model to the Hugging Face hub",
        "ragqa publish dataset/ your-name/questions --dry-run",
        _add_publish_options,
    )  # fmt: skip
    command(
        "evaluate", _evaluate, "measure rankings and answers on judged questions",
        "ragqa evaluate --judged starter starter-graded --compare --chart quality.png",
        _add_evaluate_options,
    )  # fmt: skip


def _add_dataset_options(parser: argparse.ArgumentParser) -> None:
    from ragqa.recipes import recipe_names

    parser.add_argument(
        "--recipe",
        choices=(_WIKIPEDIA, *recipe_names()),
        default=_WIKIPEDIA,
        help=f"kind of dataset to make (default: {_WIKIPEDIA})",
    )
    parser.add_argument(
        "--data",
        metavar="FOLDER",
        help=f"data folder of a recipe other than {_WIKIPEDIA} (use with --out and --seed only)",
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="dataset folder to write")
    _add_source_options(parser.add_argument_group("sources"))
    _add_writer_options(parser.add_argument_group("questions of a language model"))
    _add_pair_options(parser.add_argument_group("pairs"))
    _add_label_options(parser.add_argument_group("labels and card"))


def _add_source_options(group: Any) -> None:
    group.add_argument("--passages", metavar="FILE", help="file of passages to generate questions for")
    group.add_argument(
        "--judged",
        action="append",
        metavar="FOLDER",
        help="BEIR folder of questions and judgments to use; may be repeated",
    )
    group.add_argument(
        "--split",
        metavar="NAME",
        help="judgments to use: qrels/NAME.tsv of the BEIR folders (default: test, else the only file)",
    )
    group.add_argument(
        "--feedback", metavar="FILE", help="file of likes and dislikes from the chat, for the passages of --passages"
    )


def _add_writer_options(group: Any) -> None:
    group.add_argument(
        "--writer",
        action="store_const",
        const=True,
        help="let a language model write one question for each passage, instead of rules; give --llm-base-url or "
        "--llm-model-file. What it writes is kept in FOLDER.questions.jsonl, where the same command continues after an "
        "interruption",
    )
    group.add_argument(
        "--limit",
        type=whole(1),
        metavar="N",
        help="let it write questions for only N passages, evenly spaced (default: all)",
    )
    add_writer(group, "questions", "rules make the questions")
    add_llm_timeout(group, "question")


def _add_pair_options(group: Any) -> None:
    from ragqa.text.questions import FORMS
    from ragqa.training.dataset import PairConfig
    from ragqa.training.make_dataset import STYLES

    usual = PairConfig()
    group.add_argument(
        "--forms",
        nargs="+",
        choices=FORMS,
        metavar="FORM",
        help=f"forms of generated questions: {', '.join(FORMS)} (default: {' '.join(usual.forms)})",
    )
    group.add_argument(
        "--negatives", type=whole(1), metavar="N", help=f"negatives for each positive (default: {usual.negatives})"
    )
    group.add_argument(
        "--shares",
        nargs=3,
        type=weight,
        metavar=("RANDOM", "PAGE", "HARD"),
        help="proportions of random, same-page and hard negatives, e.g. 0.2 0.3 0.5 (default: equal)",
    )
    group.add_argument(
        "--parts",
        nargs=3,
        type=weight,
        metavar=("TRAIN", "EVAL", "TEST"),
        help=f"proportions of pages in train, eval and test (default: {' '.join(map(str, usual.parts))})",
    )
    _add_seed(group, usual.seed)
    group.add_argument(
        "--miner",
        metavar="MODEL",
        help='embedder that finds hard negatives in addition to BM25: folder, hub id, "bundled" or "fast" '
        "(default: BM25 alone)",
    )
    group.add_argument(
        "--no-check",
        dest="check",
        action="store_const",
        const=False,
        help="keep generated questions that do not find their own passage, and negatives that the reranker takes for answers",
    )
    group.add_argument(
        "--style",
        choices=STYLES,
        help="reference makes pairs as the published reference model did: one question and one random negative per passage "
        "(default: ragqa)",
    )


def _add_label_options(group: Any) -> None:
    group.add_argument(
        "--teacher",
        nargs="+",
        dest="teachers",
        metavar="MODEL",
        help='embedders whose similarities soften the labels of the train split: folders, hub ids, "bundled" or "fast"',
    )
    group.add_argument(
        "--teacher-weight",
        type=share(),
        metavar="WEIGHT",
        help="weight of the teachers in the label of a judged pair, 0 to 1; other pairs use its square root (default: 0.25)",
    )
    group.add_argument("--title", help="title of the dataset card (default: Questions and passages)")
    group.add_argument(
        "--licence",
        metavar="NAME",
        help="licence of the texts, for the dataset card (default: derived from the URLs of the pages)",
    )


def _add_train_options(parser: argparse.ArgumentParser) -> None:
    from ragqa.models.bases import OFFLINE_BASE
    from ragqa.recipes import recipe_names
    from ragqa.training.config import PRESETS

    parser.add_argument(
        "--recipe",
        choices=(*PRESETS, *recipe_names()),
        default="reference",
        help="settings to start from. reference: those of the published reference model; listwise: those of the bundled "
        "reranker; embedder: those of the bundled embedder; others: those of that recipe (default: reference)",
    )
    parser.add_argument(
        "--dataset",
        required=True,
        nargs="+",
        dest="datasets",
        metavar="FOLDER",
        help="dataset folders to train on, made by ragqa dataset",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="FOLDER",
        help="model folder to write; checkpoints are kept in FOLDER.checkpoints until the training ends",
    )
    parser.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        help="resume from the last checkpoint, which must exist; --no-resume removes the checkpoints and starts again "
        "(default: resume if there is a checkpoint)",
    )
    parser.add_argument(
        "--base",
        metavar="MODEL",
        help=f"model to start from: folder or hub id; without internet access, {OFFLINE_BASE} (default: from the recipe)",
    )
    _add_no_calibration(parser)
    _add_settings(parser.add_argument_group("settings", "default: from the recipe"))
    _add_steps(parser.add_argument_group("evaluation and checkpoints", "a step is one update of the weights"))


def _add_no_calibration(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-calibration",
        action="store_true",
        help="do not calibrate the model on the eval pairs; without a calibration, ragqa ask never abstains",
    )


def _add_settings(group: Any) -> None:
    from ragqa.training.config import LIST_LOSSES, PAIR_LOSSES

    group.add_argument("--epochs", type=real(0), metavar="N", help="passes over the train pairs, above 0")
    group.add_argument(
        "--batch-size",
        type=whole(1),
        metavar="N",
        help="pairs in a batch on each GPU, or questions if --list-size is above 0",
    )
    group.add_argument(
        "--list-size",
        type=whole(0),
        metavar="N",
        help="passages of one question in a list, at least 2; 0 trains on single pairs",
    )
    group.add_argument(
        "--loss",
        choices=(*PAIR_LOSSES, *LIST_LOSSES),
        metavar="NAME",
        help=f"loss function of a reranker. For single pairs: {', '.join(PAIR_LOSSES)}; for lists: {', '.join(LIST_LOSSES)} "
        "(default: the first of its list)",
    )
    group.add_argument(
        "--max-length",
        type=whole(1),
        metavar="TOKENS",
        help="longest input in tokens, question and passage together; longer inputs are cut",
    )
    group.add_argument(
        "--dropout",
        type=share(below_one=True),
        metavar="P",
        help="dropout probability, at least 0 and below 1; 0 trains faster on CPUs",
    )
    _add_optimizer(group)
    _add_seed(group)


def _add_optimizer(group: Any) -> None:
    from ragqa.training.config import PRECISIONS, SCHEDULERS

    group.add_argument("--learning-rate", type=real(0), metavar="RATE", help="highest learning rate, above 0")
    group.add_argument(
        "--scheduler",
        choices=SCHEDULERS,
        metavar="NAME",
        help=f"how the learning rate changes after the warm-up: {', '.join(SCHEDULERS)}",
    )
    group.add_argument(
        "--warmup",
        type=share(below_one=True),
        metavar="FRACTION",
        help="fraction of all training steps used for warm-up, at least 0 and below 1",
    )
    group.add_argument(
        "--gradient-accumulation",
        type=whole(1),
        metavar="N",
        help="batches whose gradients are summed before the weights are updated",
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="floating-point format to train in (default: bf16 if the CPU or GPU has it, fp16 on other GPUs, else fp32)",
    )


def _add_steps(group: Any) -> None:
    from ragqa.training.config import TRACKERS

    group.add_argument(
        "--evaluations",
        type=whole(1),
        metavar="N",
        help="number of evaluations in each epoch; the best model is kept (default: from the recipe)",
    )
    group.add_argument(
        "--eval-steps", type=whole(1), metavar="N", help="evaluate every N steps; overrides --evaluations"
    )
    group.add_argument(
        "--save-steps",
        type=whole(1),
        metavar="N",
        help="save a checkpoint every N steps and at each evaluation (default: ten in each epoch, at least 50 steps apart)",
    )
    group.add_argument(
        "--early-stopping",
        type=whole(1),
        metavar="N",
        help="stop after N evaluations without an improvement (default: never)",
    )
    group.add_argument(
        "--report-to",
        nargs="+",
        choices=TRACKERS,
        metavar="NAME",
        help=f"where to send the log: {', '.join(TRACKERS)} (default: none)",
    )


def _add_seed(group: Any, default: int | None = None) -> None:
    from ragqa.training.config import MAX_SEED

    stated = "" if default is None else f" (default: {default})"
    group.add_argument(
        "--seed", type=whole(0, MAX_SEED), metavar="N", help=f"random seed, from 0 to {MAX_SEED}{stated}"
    )


def _add_export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="folder of a trained reranker or embedder, made by ragqa train")
    parser.add_argument(
        "--dataset",
        required=True,
        nargs="+",
        metavar="FOLDER",
        help="dataset folders: their train pairs set the ranges of the 8-bit numbers, their eval pairs calibrate a reranker",
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="folder to write the exported model to")
    parser.add_argument("--no-int8", action="store_true", help="keep 16-bit weights and compute in 32 bits")
    _add_no_calibration(parser)


def _add_calibrate_options(parser: argparse.ArgumentParser) -> None:
    from ragqa.evaluation.judged import STARTER_SETS
    from ragqa.training.calibrate import QUESTIONS

    parser.add_argument("model", metavar="MODEL", help="folder of a reranker; its calibration.json is replaced")
    parser.add_argument(
        "--dataset",
        nargs="+",
        default=[],
        dest="datasets",
        metavar="FOLDER",
        help="dataset folders whose eval pairs are used",
    )
    parser.add_argument(
        "--judged",
        nargs="+",
        default=[],
        metavar="FOLDER",
        help=f"BEIR folders whose questions are used, or bundled sets: {', '.join(STARTER_SETS)}",
    )
    parser.add_argument(
        "--split",
        metavar="NAME",
        help="judgments to use: qrels/NAME.tsv of a BEIR folder (default: test, else the only file)",
    )
    parser.add_argument(
        "--questions",
        type=whole(1),
        default=QUESTIONS,
        metavar="N",
        help=f"number of questions to use, evenly spaced (default: {QUESTIONS})",
    )
    parser.add_argument(
        "--embedder",
        metavar="MODEL",
        default="bundled",
        help="embedder that the indexes are built with: folder, hub id or fast (default: the bundled one that is not fast)",
    )


def _add_publish_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="folder made by ragqa dataset, train or export")
    parser.add_argument("repository", metavar="OWNER/NAME", help="repository of the hub, made if it does not exist")
    parser.add_argument("--dry-run", action="store_true", help="check the folder and print what would be uploaded")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument(
        "--benchmark",
        metavar="OWNER/NAME",
        help="dataset of the hub that is registered as a benchmark: add the metrics of the model's card as results on it",
    )


def _add_evaluate_options(parser: argparse.ArgumentParser) -> None:
    from ragqa.evaluation.judged import STARTER_SETS

    parser.add_argument(
        "--judged",
        nargs="+",
        metavar="FOLDER",
        help=f"BEIR folders to measure on, or bundled sets: {', '.join(STARTER_SETS)}; no model was trained on the sets "
        "whose names end in -test (default: starter)",
    )
    parser.add_argument(
        "--split",
        metavar="NAME",
        help="judgments to use: qrels/NAME.tsv of a BEIR folder (default: test, else the only file)",
    )
    parser.add_argument(
        "--exclude-self", action="store_true", help="leave out the document whose id is the id of the question"
    )
    parser.add_argument(
        "--run",
        dest="runs",
        action="append",
        metavar="FILE",
        help="TREC run file of another system to measure as well; compares whole documents; may be repeated",
    )
    parser.add_argument(
        "--qrels",
        metavar="FILE",
        help="measure only the runs of --run, with the judgments in this file: three columns as in BEIR or four as in TREC",
    )
    _add_metric_options(parser)
    parser.add_argument(
        "--compare", action="store_true", help="measure every part of the pipeline, alone and in combination"
    )
    parser.add_argument("--answers", action="store_true", help="measure answers, abstentions and probabilities as well")
    parser.add_argument("--chart", metavar="FILE", help="draw the comparison into this PNG or SVG file")
    parser.add_argument(
        "--save-run", metavar="FILE", help="TREC run file to write the ranking of the whole pipeline to"
    )
    parser.add_argument("--save-qrels", metavar="FILE", help="TREC qrels file to write the judgments to")
    parser.add_argument(
        "--titles",
        metavar="FILE",
        help="ask only questions that are answered by pages whose titles are in this file, one per line",
    )
    parser.add_argument(
        "--questions", type=whole(1), metavar="N", help="ask only N questions, evenly spaced (default: all)"
    )
    parser.add_argument("--model", metavar="MODEL", help=MODEL_HELP)
    add_candidates(parser)
    add_embedder(parser)
    parser.add_argument(
        "--json", action="store_true", help="print JSON instead of tables; a list if there are several sets"
    )


def _add_metric_options(parser: argparse.ArgumentParser) -> None:
    from ragqa.evaluation.metrics import GAINS

    parser.add_argument(
        "--least-grade",
        type=whole(1),
        metavar="N",
        help="lowest grade that MAP, MRR and recall count (default: 1, but 2 for MRR if the set has such grades)",
    )
    parser.add_argument(
        "--gain",
        choices=GAINS,
        help="what a passage of grade g adds to nDCG: linear adds g, exponential adds 2^g - 1 (default: linear)",
    )


def _dataset(options: argparse.Namespace) -> None:
    check_writer(options, "--writer", wanted=bool(options.writer))
    if options.recipe != _WIKIPEDIA:
        _dataset_of_recipe(options)
        return
    if options.data:
        raise InputError("--data is for other recipes; give --passages or --judged, or choose a --recipe")
    from ragqa.training.dataset import PairConfig
    from ragqa.training.make_dataset import DatasetConfig, make_dataset

    if options.writer and options.forms:
        raise InputError("--forms are forms of the questions that rules make; leave out --forms or --writer")
    config = DatasetConfig(pairs=PairConfig(**given(options, PairConfig)), **given(options, DatasetConfig))
    with open_writer(options) if options.writer else nullcontext() as writer:
        print(json.dumps(make_dataset(config, writer), indent=1))


def _dataset_of_recipe(options: argparse.Namespace) -> None:
    from ragqa.recipes import load_recipe
    from ragqa.training.dataset import PairConfig
    from ragqa.training.make_dataset import DatasetConfig

    wrong = [*given(options, DatasetConfig), *given(options, PairConfig)]
    wrong = [name.replace("teachers", "teacher").replace("_", "-") for name in wrong if name not in _OF_RECIPES]
    if not options.data or wrong:
        raise InputError(
            f"the recipe {options.recipe} takes --data, --out and --seed{f', not --{wrong[0]}' if wrong else ''}"
        )
    seed = PairConfig().seed if options.seed is None else options.seed
    print(json.dumps(load_recipe(options.recipe).make_dataset(options.data, options.out, seed), indent=1))


def _train(options: argparse.Namespace) -> None:
    from ragqa.training.calibrate import read_summary
    from ragqa.training.config import PRESETS, TrainConfig
    from ragqa.training.processes import is_main_process
    from ragqa.training.train import train
    from ragqa.training.train_embedder import train_embedder

    config = replace(_preset(options.recipe), **given(options, TrainConfig))
    if options.recipe == "embedder":
        metrics = train_embedder(options.datasets, options.out, config, resume=options.resume)
    else:  # other recipes do not ask questions
        calibrate = options.recipe in PRESETS and not options.no_calibration
        metrics = train(options.datasets, options.out, config, calibrate=calibrate, resume=options.resume)
    if not is_main_process():
        return
    print(json.dumps(dict(metrics), indent=1))
    if summary := read_summary(options.out):
        say(f"{options.out}: {summary}")


def _preset(name: str) -> "TrainConfig":
    """Return the library's settings with this name, or those of a recipe."""
    from ragqa.recipes import load_recipe
    from ragqa.training.config import PRESETS

    return PRESETS[name] if name in PRESETS else load_recipe(name).training_config()


def _export(options: argparse.Namespace) -> None:
    from ragqa.training.calibrate import read_summary
    from ragqa.training.export import export
    from ragqa.training.pairs import read_pairs

    held_out = None if options.no_calibration else read_pairs(options.dataset, "eval")
    pairs = read_pairs(options.dataset, "train")
    parity = export(options.model, options.out, pairs, int8=not options.no_int8, held_out=held_out)
    size = sum(f.stat().st_size for f in Path(options.out).rglob("*") if f.is_file()) / 1e6
    print(
        f"{options.out}: {size:.1f} MB; compared with the torch model: largest deviation {parity.deviation:.2g}, "
        f"{parity.measure} {parity.agreement:.4f}"
    )
    if summary := read_summary(options.out):
        print(f"{options.out}: {summary}")


def _publish(options: argparse.Namespace) -> None:
    from ragqa.training.publish import plan, publish

    upload = plan(options.folder, options.repository, benchmark=options.benchmark)
    for name, size in upload.files.items():
        print(f"{size / 1e3:12,.1f} kB  {name}")
    print(f"{sum(upload.files.values()) / 1e3:12,.1f} kB  {upload.kind}, licence: {', '.join(upload.licences)}")
    if options.dry_run:
        print(f"nothing was uploaded; without --dry-run it goes to {upload.url}")
    else:
        print(publish(upload, private=options.private))


def _calibrate(options: argparse.Namespace) -> None:
    from ragqa.evaluation.calibration import reliability_table
    from ragqa.evaluation.judged import read_judged
    from ragqa.models.named import check_models, load_embedder
    from ragqa.training.calibrate import calibrate_folder, judged_pairs, summarize
    from ragqa.training.pairs import read_pairs

    if not options.datasets and not options.judged:
        raise InputError("calibrating needs questions; give --dataset or --judged")
    check_models(options.embedder)
    sets = [judged_pairs(read_pairs(options.datasets, "eval"))] if options.datasets else []
    sets += [read_judged(name, options.split) for name in options.judged]
    fits = calibrate_folder(options.model, sets, load_embedder(options.embedder), questions=options.questions)
    print(f"{options.model}: {summarize(fits)}\n\n{reliability_table(fits['fused'].reliability)}")


def _evaluate(options: argparse.Namespace) -> None:
    from ragqa.evaluation.evaluate import EvaluationConfig, evaluate

    config = EvaluationConfig(**given(options, EvaluationConfig))
    evaluations = evaluate(replace(config, embedder=None) if options.no_dense else config)
    if options.json:
        found = [_as_dict(evaluation) for evaluation in evaluations]
        print(json.dumps(found[0] if len(found) == 1 else found, indent=1))
        return
    for evaluation in evaluations:
        print(_as_tables(evaluation))


def _as_dict(evaluation: "Evaluation") -> dict[str, Any]:
    answers = {"answers": asdict(evaluation.answers)} if evaluation.answers else {}
    return asdict(evaluation.report) | answers


def _as_tables(evaluation: "Evaluation") -> str:
    from ragqa.evaluation.answers import answers_table
    from ragqa.evaluation.compare import table
    from ragqa.evaluation.notes import notes

    answers = f"\n{answers_table(evaluation.answers)}\n" if evaluation.answers else ""
    return f"{table(evaluation.report)}\n\n{notes(evaluation.report)}\n{answers}"
