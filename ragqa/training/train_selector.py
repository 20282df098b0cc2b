"""Questions with marked answers in, a selector out: a token classifier that scores runs of sentences as answers.

The loss compares all runs of one to three adjoining sentences in the passages of a question: listwise softmax against their
gains, and binary cross-entropy for each alone, so that a score also says how good the best run is. The gain of a run is that of
the mark it overlaps, times the squared share of their characters that both have.
"""

import importlib
import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ragqa.errors import CorpusError, MissingExtraError
from ragqa.evaluation.marks import ANSWERS, BEST, PARTLY, WRONG, Mark
from ragqa.models.selector import OUTPUTS, runs_of, token_spans
from ragqa.progress import counter
from ragqa.records import Passage
from ragqa.storage.folders import check_replaceable, replace_folder
from ragqa.text.passages import full_text, in_full_text, sentences
from ragqa.training.arguments import cpu_has_bf16

if TYPE_CHECKING:
    import torch

GAINS = {BEST: 1.0, ANSWERS: 0.9, PARTLY: 0.3, WRONG: 0.0}

_LOG = logging.getLogger(__name__)
_POINTWISE = 0.06  # weight of the binary cross-entropy of one run beside the listwise loss of its question
_CONFIG = "config.json"


@dataclass(frozen=True, slots=True)
class SelectorConfig:
    """How a selector is trained.

    `base` is the folder of a BERT model, such as a trained reranker. The embeddings and the first `frozen` layers stay as they
    are. `batch_size` counts questions; of each at most `passages` passages are read, those with the best marks first.
    `head_rate` is the learning rate of the head, which is new unless `base` is a selector. Rates fall linearly to
    zero after a `warmup`, a fraction of all steps. Training computes in bfloat16 if the CPU can.
    """

    base: str
    epochs: int = 1
    batch_size: int = 4
    passages: int = 3
    frozen: int = 3
    learning_rate: float = 1e-4
    head_rate: float = 1e-3
    warmup: float = 0.06
    max_length: int = 320
    seed: int = 1


@dataclass(frozen=True, slots=True)
class MarkedQuestion:
    """A question, the passages that were read for it, and the marks of each, by passage id."""

    question: str
    passages: tuple[Passage, ...]
    marks: Mapping[str, tuple[Mark, ...]]


class Run(NamedTuple):
    """One to three adjoining sentences: the row of their passage, their tokens, and their gain, 0 to 1."""

    row: int
    start: int
    stop: int
    gain: float


class Example(NamedTuple):
    """A question as the model reads it: the tokens of each of its passages, and the runs of sentences in them."""

    encodings: list[Any]
    runs: list[Run]


def train_selector(
    questions: Sequence[MarkedQuestion], out: str | Path, config: SelectorConfig, *, progress: bool = True
) -> None:
    """Train a selector and write it to `out`: torch's weights (BertForTokenClassification) and the tokenizer.

    Questions without a mark above 0 are left out. Raises `CorpusError` if none is left.
    """
    check_replaceable(out, _CONFIG)
    try:
        import torch
        from transformers import BertForTokenClassification
    except ImportError as error:
        raise MissingExtraError("training", "train") from error
    tokenizer = _open_tokenizer(config)
    examples = [read_example(question, tokenizer, config.passages) for question in questions]
    examples = [example for example in examples if any(run.gain for run in example.runs)]
    if not examples:
        raise CorpusError("no question has a marked answer")
    torch.manual_seed(config.seed)
    model = BertForTokenClassification.from_pretrained(config.base, num_labels=OUTPUTS, ignore_mismatched_sizes=True)
    _fit(model, examples, config, progress)
    with replace_folder(out, _CONFIG) as new:
        model.save_pretrained(new)
        tokenizer.no_truncation()
        tokenizer.save(str(new / "tokenizer.json"))


def _open_tokenizer(config: SelectorConfig) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(config.base) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(config.max_length)
    return tokenizer


def read_example(question: MarkedQuestion, tokenizer: Any, most: int) -> Example:
    """Return the tokens and the runs of at most `most` passages, those with the best marks first."""
    best = {p.id: max((mark.grade for mark in question.marks.get(p.id, ())), default=-1) for p in question.passages}
    read = sorted(question.passages, key=lambda p: -best[p.id])[:most]
    encodings = [tokenizer.encode(question.question, full_text(passage)) for passage in read]
    runs = [
        run
        for row, (passage, encoding) in enumerate(zip(read, encodings, strict=True))
        for run in _runs(row, passage, encoding, question.marks.get(passage.id, ()))
    ]
    return Example(encodings, runs)


def _runs(row: int, passage: Passage, encoding: Any, marks: Sequence[Mark]) -> Iterator[Run]:
    own = sentences(passage.text)
    for first, last, start, stop in runs_of(token_spans(encoding, in_full_text(passage, own))):
        yield Run(row, start, stop, gain_of(own[first][0], own[last][1], marks))


def gain_of(start: int, end: int, marks: Sequence[Mark]) -> float:
    """Return the gain, 0 to 1, of the characters from `start` to `end` of a passage with these marks."""
    return max((GAINS[mark.grade] * _overlap((start, end), (mark.start, mark.end)) ** 2 for mark in marks), default=0.0)


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> float:
    """The characters that two spans share, as a fraction of those in either."""
    shared = min(one[1], other[1]) - max(one[0], other[0])
    return max(0, shared) / (max(one[1], other[1]) - min(one[0], other[0]))


def _fit(model: Any, examples: Sequence[Example], config: SelectorConfig, progress: bool) -> None:
    import torch

    transformers: Any = importlib.import_module("transformers")  # some of it has no types

    for frozen in (model.bert.embeddings, *model.bert.encoder.layer[: config.frozen]):
        frozen.requires_grad_(False)
    body = [weights for weights in model.bert.parameters() if weights.requires_grad]
    head = list(model.classifier.parameters())
    optimizer = torch.optim.AdamW(
        [{"params": body, "lr": config.learning_rate}, {"params": head, "lr": config.head_rate}], weight_decay=0.01
    )
    batches = [batch for epoch in range(config.epochs) for batch in _batches(examples, config, epoch)]
    warmup = int(config.warmup * len(batches))
    schedule: Any = transformers.get_linear_schedule_with_warmup(optimizer, warmup, len(batches))
    model.train()
    with counter(len(batches) if progress else 0, "steps") as counted:
        for step, batch in enumerate(batches, 1):
            loss: Any = loss_of(model, batch)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([*body, *head], 1.0)
            optimizer.step()
            schedule.step()
            counted.update(1)
            if step % 50 == 0:
                _LOG.info("step %d of %d: loss %.3f", step, len(batches), loss.item())
    model.eval()


def _batches(examples: Sequence[Example], config: SelectorConfig, epoch: int) -> list[list[Example]]:
    """Shuffle the examples and return batches of similar length, which need little padding."""
    draw = random.Random(config.seed + epoch)  # noqa: S311
    shuffled = draw.sample(list(examples), len(examples))
    window = 16 * config.batch_size
    batches = []
    for start in range(0, len(shuffled), window):
        near = sorted(shuffled[start : start + window], key=lambda example: max(map(len, example.encodings)))
        batches += [near[n : n + config.batch_size] for n in range(0, len(near), config.batch_size)]
    return draw.sample(batches, len(batches))


def loss_of(model: Any, batch: Sequence[Example]) -> "torch.Tensor":
    """Return the mean loss of the questions of a batch."""
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax

    inputs = _inputs([encoding for example in batch for encoding in example.encodings])
    with torch.autocast("cpu", torch.bfloat16, enabled=cpu_has_bf16()):
        numbers = model(**inputs).logits.float()
    losses, row = [], 0
    for example in batch:
        scores = _score_runs(numbers[row : row + len(example.encodings)], example.runs)
        gains = torch.tensor([run.gain for run in example.runs])
        listwise = -(gains / gains.sum() * log_softmax(scores, 0)).sum()
        pointwise = binary_cross_entropy_with_logits(scores, gains, reduction="sum")
        losses.append(listwise + _POINTWISE * pointwise)
        row += len(example.encodings)
    return torch.stack(losses).mean()


def _inputs(encodings: Sequence[Any]) -> dict[str, "torch.Tensor"]:
    import torch

    tokens = max(map(len, encodings))
    names = {"input_ids": "ids", "token_type_ids": "type_ids", "attention_mask": "attention_mask"}
    return {
        name: torch.tensor([[*getattr(e, field), *[0] * (tokens - len(e))] for e in encodings])
        for name, field in names.items()
    }


def _score_runs(numbers: "torch.Tensor", runs: Sequence[Run]) -> "torch.Tensor":
    """The logits of runs, as `Selector.score` computes them; `numbers` has the shape (passages, tokens, 3)."""
    import torch

    rows, starts, stops = (torch.tensor([run[field] for run in runs]) for field in range(3))
    inside = torch.nn.functional.pad(numbers[:, :, 0].cumsum(1), (1, 0))
    mean = (inside[rows, stops] - inside[rows, starts]) / (stops - starts)
    return mean + numbers[rows, starts, 1] + numbers[rows, stops - 1, 2]
