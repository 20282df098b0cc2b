"""Dataset folders in, pairs and lists to train on out."""

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragqa.errors import CorpusError, InputError, RecordError, warn_of_fallback
from ragqa.records import PARTLY, Pair
from ragqa.storage.json_lines import read_rows
from ragqa.training.card import COLUMNS
from ragqa.training.config import TrainConfig

if TYPE_CHECKING:
    from datasets import Dataset
from ragqa.models.bases import check_base


def read_training(datasets: Sequence[str | Path], config: TrainConfig) -> tuple[list[Pair], list[dict[str, Any]]]:
    """Read the train pairs, and at most `eval_questions` questions of the eval split as samples for an evaluator.

    Raises `CorpusError` for a split with too few pairs, `ModelError` for a base that is neither a folder nor a hub id.
    """
    check_base(config.base)
    pairs, held_out = read_pairs(datasets, "train"), read_pairs(datasets, "eval")
    for split, own in (("train", pairs), ("eval", held_out)):
        if not own:
            raise CorpusError(f"the {split} split is empty in {join_names(datasets)}; make a dataset from more pages")
    samples = reranking_samples(held_out)
    if not samples:
        raise CorpusError(
            f"the eval split of {join_names(datasets)} has no question with both a positive and a negative passage; make a "
            "dataset from more pages"
        )
    random.Random(config.seed).shuffle(samples)  # noqa: S311
    return pairs, samples[: config.eval_questions]


def check_labels(pairs: Sequence[Pair], datasets: Sequence[str | Path]) -> None:
    """Raise `CorpusError` if all train pairs have one label; warn if all are positives or all are negatives."""
    labels = {pair.label for pair in pairs}
    if len(labels) == 1:
        raise CorpusError(
            f"every train pair of {join_names(datasets)} has the label {labels.pop()}; positives and negatives are needed"
        )
    if len({label >= PARTLY for label in labels}) == 1:
        kind, other = ("positives", "negatives") if min(labels) >= PARTLY else ("negatives", "positives")
        warn_of_fallback(
            f"the train pairs of {join_names(datasets)} are all {kind}, so the model learns little; add {other}"
        )


def join_names(datasets: Sequence[str | Path]) -> str:
    """Return the names of dataset folders in one line, for messages."""
    return ", ".join(map(str, datasets))


def reranking_samples(pairs: Iterable[Pair]) -> list[dict[str, Any]]:
    """Group positives and negatives by question, as `CrossEncoderRerankingEvaluator` expects them.

    Questions without both are left out.
    """
    samples: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        sample = samples.setdefault(pair.question, {"query": pair.question, "positive": [], "negative": []})
        listed = sample["positive" if pair.label >= PARTLY else "negative"]
        if pair.passage not in listed:
            listed.append(pair.passage)
    return [sample for sample in samples.values() if sample["positive"] and sample["negative"]]


def read_pairs(datasets: Sequence[str | Path], split: str) -> list[Pair]:
    """Read one split of several dataset folders, in order. Raises `InputError` for a folder that is not a dataset."""
    pairs = []
    for folder in datasets:
        path = Path(folder) / f"{split}.jsonl"
        if not path.is_file():
            raise InputError(
                f"{folder} is not a dataset: it has no {path.name}; make it with: ragqa dataset --out {folder}"
            )
        pairs += [_pair(path, number, row) for number, row in read_rows(path)]
    return pairs


def _pair(path: Path, number: int, row: Mapping[str, Any]) -> Pair:
    question, passage, label = (row.get(column) for column in COLUMNS)
    if not isinstance(question, str) or not isinstance(passage, str) or type(label) not in (int, float):
        raise RecordError(path, number, f"{', '.join(COLUMNS)} are needed: two texts and a number")
    try:
        return Pair(question, passage, float(label or 0))
    except InputError as error:
        raise RecordError(path, number, str(error)) from error


def pair_dataset(pairs: Sequence[Pair]) -> "Dataset":
    """Return pairs as a `Dataset` in the columns that sentence-transformers reads."""
    from datasets import Dataset

    columns = zip(
        COLUMNS, ([p.question for p in pairs], [p.passage for p in pairs], [float(p.label) for p in pairs]), strict=True
    )
    return Dataset.from_dict(dict(columns))


def draw_lists(pairs: Sequence[Pair], config: TrainConfig) -> list[dict[str, Any]]:
    """Make a row for each question that has several passages: at most `list_size` passages, and their labels.

    Half of a full list, rounded down, are the passages with the highest labels. The others are drawn at random from the rest.
    """
    by_question: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_question.setdefault(pair.question, []).append(pair)
    rng = random.Random(config.seed)  # noqa: S311
    rows: list[dict[str, Any]] = []
    for question, own in by_question.items():
        if len(own) > 1:
            kept = _cut_list(own, config.list_size, rng)
            passages, labels = [pair.passage for pair in kept], [float(pair.label) for pair in kept]
            rows.append({"question": question, "passages": passages, "labels": labels})
    return rows


def list_dataset(lists: Sequence[dict[str, Any]]) -> "Dataset":
    """Return the rows of `draw_lists` as a trainer expects them."""
    from datasets import Dataset

    return Dataset.from_list(list(lists))


def _cut_list(pairs: Sequence[Pair], size: int, rng: random.Random) -> list[Pair]:
    ranked = sorted(pairs, key=lambda pair: -pair.label)
    best, rest = ranked[: size // 2], ranked[size // 2 :]
    return best + rng.sample(rest, min(len(rest), size - len(best)))
