"""Train the fast embedder: the bundled embedder teaches a vector for each token, and a text is the sum of its tokens' vectors.

    python benchmarks/fast_embedder.py --data ../shared/data --out data/fast
    python benchmarks/fast_embedder.py --data ../shared/data --out data/fast --limit 300   # shows that every step works

Texts are the passages and questions that the reranker is trained on, the Google questions but every sixth (with all of their
passages), and the questions generated from all pages; none is of the articles in `squad_test_titles.txt`.

The vectors start as what the teacher says of each token alone, in the first main components of its space, divided by how
frequent the token is (Arora et al., "A simple but tough-to-beat baseline for sentence embeddings", 2017). Then they learn the
teacher's vectors of whole texts, and at last which passage of a batch answers which question, together with the teacher's
similarities in that batch.

The result is `data/fast/model/`, a folder for OpenVINO like those of `ragqa export`: int8, one scale for each token. It
replaces `ragqa/assets/fast_embedder/`.
"""

import argparse
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from shipped_models import FORMS, QUESTIONS, SQUAD_TEST, recipes
from tokenizers import Tokenizer

from ragqa.evaluation.judged import Judged, read_beir
from ragqa.models.embedder import BUNDLED, Embedder
from ragqa.models.folders import MODEL_FILE
from ragqa.models.tokens import MAX_TOKENS
from ragqa.process import import_openvino
from ragqa.progress import bar, counter
from ragqa.records import Page, Passage
from ragqa.storage.checksums import seal
from ragqa.storage.json_lines import read_json_lines
from ragqa.text.clean import clean_page
from ragqa.text.passages import full_text, split
from ragqa.training.dataset import Example, from_passages

if TYPE_CHECKING:
    import torch

RECIPES = ("asked", "asked-starter", "starter", "cmu")  # of the shipped models
HELD_OUT = 6  # every so many Google questions are left out
POSITIVES = 2  # passages of a generated question
LEAST_LABEL = 0.5  # of a passage that counts as the answer
WIDTH = 256
FREQUENT = 1e-3  # share of all tokens: the vectors of more frequent ones are more than halved
RATE, BATCH, TEMPERATURE = 2e-3, 512, 0.05
DISTILLED, TRAINED = 4, 6  # epochs
BEGIN, ADDED = "[CLS]", ("[PAD]", "[CLS]", "[SEP]")  # the tokenizer adds these to every text
TINY = 1e-4  # length of the vector of `BEGIN`, so that an empty text has a vector too
CARD = Path(__file__).parents[1] / "ragqa" / "assets" / "fast_embedder" / "README.md"


@dataclass(frozen=True)
class Texts:
    """What is learned from: questions, passages, and pairs of their positions that belong together."""

    questions: tuple[str, ...]
    passages: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Taught:
    """Unit vectors of the teacher, float32: of the questions, the passages, and each token of the vocabulary alone."""

    questions: np.ndarray
    passages: np.ndarray
    tokens: np.ndarray


def examples(data: Path, out: Path, questions: Path) -> Iterator[tuple[Sequence[Passage], Iterable[Example]]]:
    """Yield the passages of each source and its questions with their answers."""
    known = recipes(data, out, questions)
    for name in RECIPES:
        source = known[name].source()
        yield source.passages, source.examples
    test = frozenset(SQUAD_TEST.read_text(encoding="utf8").splitlines())
    yield from_beir(read_beir(data / "squad_dev"), keep_passage=lambda passage: passage.title not in test)
    yield from_beir(read_beir(data / "nq_questions"), keep_question=lambda key: not is_held_out(key))
    pages = {page.title: page for page in read_json_lines(data / "wikipedia" / "pages.jsonl.gz", Page)}
    cut = chain.from_iterable(split(clean_page(page)) for page in pages.values())
    generated = from_passages([replace(passage, id=str(n)) for n, passage in enumerate(cut)], FORMS)
    yield generated.passages, (replace(e, positives=e.positives[:POSITIVES], labels=()) for e in generated.examples)


def is_held_out(key: str) -> bool:
    """Whether a Google question is kept for tests, told by its id."""
    return int(hashlib.sha256(key.encode()).hexdigest(), 16) % HELD_OUT == 0


def from_beir(
    judged: Judged,
    keep_question: Callable[[str], bool] = lambda _: True,
    keep_passage: Callable[[Passage], bool] = lambda _: True,
) -> tuple[list[Passage], list[Example]]:
    """Return passages of a judged set, and those of its questions, chosen by their ids, that one of the passages answers."""
    kept = {passage.id: passage for passage in judged.passages if keep_passage(passage)}
    asked = [
        Example(judged.questions[key], (kept[passage],))
        for key, own in judged.relevance.items()
        for passage in own
        if keep_question(key) and passage in kept
    ]
    return list(kept.values()), asked


def gather(data: Path, out: Path, written: Path, limit: int) -> Texts:
    """Read all sources, at most `limit` questions of each unless it is 0."""
    passages: dict[str, int] = {}
    questions: dict[str, int] = {}
    pairs: dict[tuple[int, int], None] = {}
    for known, asked in bar(examples(data, out, written), "sources"):
        some = list(asked)[: limit or None]
        for passage in known[: 10 * limit or None]:
            passages.setdefault(full_text(passage), len(passages))
        for example in some:
            labels = example.labels or (1.0,) * len(example.positives)
            for passage, label in zip(example.positives, labels, strict=True):
                place = passages.setdefault(full_text(passage), len(passages))
                if label >= LEAST_LABEL:
                    pairs[questions.setdefault(example.question, len(questions)), place] = None
    return Texts(tuple(questions), tuple(passages), tuple(pairs))


def teach(texts: Texts, tokenizer: Tokenizer, kept: Path) -> Taught:
    """Embed all texts with the bundled embedder, or read the vectors that an earlier run kept: minutes of work."""
    teacher = Embedder.load()
    digest = hashlib.sha256("\n".join((teacher.identity, *texts.questions, *texts.passages)).encode()).hexdigest()
    if kept.is_file():
        with np.load(kept) as file:
            if str(file["digest"]) == digest:
                return Taught(*(file[name].astype(np.float32) for name in ("questions", "passages", "tokens")))
    tokens = sorted(tokenizer.get_vocab().items(), key=lambda token: token[1])
    words = [token.removeprefix("##") for token, _ in tokens]
    vectors = {}
    for name, own in {"questions": texts.questions, "passages": texts.passages, "tokens": words}.items():
        with counter(len(own), name) as counted:
            vectors[name] = teacher.embed(own, counted.update)
    rounded: dict[str, Any] = {name: own.astype(np.float16) for name, own in vectors.items()}
    np.savez(kept, digest=digest, **rounded)
    return Taught(**{name: own.astype(np.float32) for name, own in rounded.items()})  # as the next run reads them


def start(taught: Taught, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return vectors of the tokens to start from, and the teacher's of questions and passages in the same space."""
    center = taught.passages.mean(axis=0)
    _, components = np.linalg.eigh(np.cov((taught.passages - center).T))
    axes = components[:, ::-1][:, :WIDTH]
    shares = counts / counts.sum()
    tokens = (taught.tokens - taught.tokens.mean(axis=0)) @ axes * (FREQUENT / (FREQUENT + shares))[:, None]
    return tokens, unit((taught.questions - center) @ axes), unit((taught.passages - center) @ axes)


def unit(rows: np.ndarray) -> np.ndarray:
    """Scale rows to length 1."""
    scaled: np.ndarray = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return scaled


class Student:
    """Vectors of tokens that are trained. Texts are lists of token ids."""

    def __init__(self, vectors: np.ndarray, questions: Sequence[np.ndarray], passages: Sequence[np.ndarray]) -> None:
        import torch

        start = torch.tensor(vectors, dtype=torch.float32)
        self.bag = torch.nn.EmbeddingBag.from_pretrained(start, freeze=False, mode="sum")
        self.optimizer = torch.optim.Adam(self.bag.parameters(), lr=RATE)
        self.questions, self.passages = questions, passages

    def embed(self, texts: Sequence[np.ndarray]) -> "torch.Tensor":
        """Return unit vectors of texts."""
        import torch

        starts = np.cumsum([0, *map(len, texts[:-1])])
        summed = self.bag(torch.tensor(np.concatenate(texts)), torch.tensor(starts))
        return torch.nn.functional.normalize(summed, dim=-1)

    def learn(self, loss: "torch.Tensor") -> None:
        """Take one step."""
        import torch

        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()

    def distil(self, texts: Sequence[np.ndarray], wanted: np.ndarray, rng: np.random.Generator) -> None:
        """Learn the teacher's vectors of texts, one epoch."""
        import torch

        for batch in batches(rng.permutation(len(texts))):
            own = self.embed([texts[n] for n in batch])
            self.learn(1 - (own * torch.tensor(wanted[batch], dtype=torch.float32)).sum(dim=1).mean())

    def match(self, batch: Sequence[tuple[int, int]], taught: Taught, answers: Mapping[int, set[int]]) -> None:
        """Learn which passage of a batch answers which question, and the teacher's similarities. Other answers do not count."""
        import torch
        from torch.nn.functional import cross_entropy, kl_div

        asked, found = ([pair[side] for pair in batch] for side in (0, 1))
        own = self.embed([self.questions[n] for n in asked]) @ self.embed([self.passages[n] for n in found]).T
        scores = own / TEMPERATURE
        wanted = torch.tensor(taught.questions[asked] @ taught.passages[found].T) / TEMPERATURE
        others = torch.tensor([[p in answers[q] for p in found] for q in asked]).fill_diagonal_(False)
        loss = cross_entropy(scores.masked_fill(others, -1e4), torch.arange(len(batch)))
        for ours, theirs in ((scores, wanted), (scores.T, wanted.T)):
            loss = loss + kl_div(ours.log_softmax(dim=1), theirs.softmax(dim=1), reduction="batchmean")
        self.learn(loss)


def batches(order: np.ndarray) -> list[list[int]]:
    """Cut an order of positions into batches."""
    return [order[first : first + BATCH].tolist() for first in range(0, len(order), BATCH)]


def train(texts: Texts, taught: Taught, tokenizer: Tokenizer) -> np.ndarray:
    """Return the vectors of the tokens: float32, shape (tokens, width)."""
    import torch

    unknown = np.array([tokenizer.token_to_id("[UNK]")])
    asked, found = (
        [
            np.array(encoding.ids) if encoding.ids else unknown
            for encoding in tokenizer.encode_batch(list(own), add_special_tokens=False)
        ]
        for own in (texts.questions, texts.passages)
    )
    counts = 1.0 + np.bincount(np.concatenate(found), minlength=tokenizer.get_vocab_size())
    vectors, questions, passages = start(taught, counts)
    rng, student = np.random.default_rng(0), Student(vectors, asked, found)
    for _ in bar(range(DISTILLED), "epochs of texts"):
        student.distil(asked, questions, rng)
        student.distil(found, passages, rng)
    answers: dict[int, set[int]] = {}
    for question, passage in texts.pairs:
        answers.setdefault(question, set()).add(passage)
    steps = TRAINED * len(batches(np.arange(len(texts.pairs))))
    schedule = torch.optim.lr_scheduler.OneCycleLR(student.optimizer, max_lr=RATE, total_steps=steps, pct_start=0.1)
    for _ in bar(range(TRAINED), "epochs of pairs"):
        for batch in batches(rng.permutation(len(texts.pairs))):
            student.match([texts.pairs[n] for n in batch], taught, answers)
            schedule.step()
    trained: np.ndarray = student.bag.weight.detach().numpy()
    return trained


def write_model(vectors: np.ndarray, folder: Path) -> None:
    """Write a folder for `Embedder.load`: a model that adds up the vectors of a text's tokens, as 8-bit numbers with scales."""
    openvino = import_openvino()
    from openvino import opset13 as ops

    folder.joinpath(MODEL_FILE).parent.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(BUNDLED / "tokenizer.json"))
    vectors = vectors.copy()
    known = tokenizer.get_vocab()
    vectors[[known[token] for token in ADDED]] = 0
    vectors[known[BEGIN], 0] = TINY
    scales = np.abs(vectors).max(axis=1, keepdims=True) / 127
    numbers = np.round(vectors / np.maximum(scales, 1e-12)).astype(np.int8)
    tokens, mask = (ops.parameter([-1, -1], np.int64, name=name) for name in ("input_ids", "attention_mask"))
    for node in (tokens, mask):
        node.output(0).get_tensor().set_names({node.get_friendly_name()})
    first = ops.constant(np.int64(0))
    weights = ops.gather(ops.constant(scales.astype(np.float32)), tokens, first)
    weights = ops.multiply(weights, ops.unsqueeze(ops.convert(mask, "f32"), ops.constant(np.int64(2))))
    rows = ops.multiply(ops.convert(ops.gather(ops.constant(numbers), tokens, first), "f32"), weights)
    summed = ops.reduce_sum(rows, ops.constant(np.int64(1)))
    vector = ops.normalize_l2(summed, ops.constant(np.array([1], dtype=np.int64)), 1e-12, "add")
    vector.output(0).get_tensor().set_names({"sentence_embedding"})
    openvino.save_model(openvino.Model([vector], [tokens, mask]), folder / MODEL_FILE, compress_to_fp16=False)
    shutil.copyfile(BUNDLED / "tokenizer.json", folder / "tokenizer.json")
    size, width = vectors.shape
    config = {"model_type": "static", "vocab_size": size, "hidden_size": width}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf8")
    shutil.copyfile(CARD, folder / "README.md")
    seal(folder)


def main() -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the public question files")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model and the teacher's vectors")
    parser.add_argument("--questions", type=Path, default=QUESTIONS, help="graded questions on the pages in --data")
    parser.add_argument("--limit", type=int, default=0, help="questions of each source (default: all)")
    run = parser.parse_args()
    run.out.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(BUNDLED / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    texts = gather(run.data, run.out, run.questions, run.limit)
    print(f"{len(texts.questions):,} questions, {len(texts.passages):,} passages, {len(texts.pairs):,} pairs")
    taught = teach(texts, tokenizer, run.out / "taught.npz")
    write_model(train(texts, taught, tokenizer), run.out / "model")


if __name__ == "__main__":
    main()
