"""The contestants: ragqa and what others would use in its place, each with its own defaults."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from texts import full_passages, real_passages, searched_passages, some_passages

from ragqa.index.bm25 import Bm25Index
from ragqa.index.terms import Fields, question_terms
from ragqa.models.folders import MODEL_FILE
from ragqa.text.passages import full_text

K = 10
EVAL_QUESTIONS = 100
PROFILED = (8, 128)  # pairs, tokens
OPERATIONS = {"FullyConnected": "matrix products", "Subgraph": "attention", "ScaledDotProductAttention": "attention"}


class RagqaReranker:
    """Our engine: OpenVINO, int8; on a GPU sentence-transformers in bfloat16, in large batches."""

    def __init__(self, model: Path, pages: Path | None, passages: int, device: str | None = None) -> None:
        from ragqa.models.reranker import Reranker

        self.reranker = Reranker.load(model, device=device)
        self.texts = [full_text(p) for p in full_passages(pages, passages)]

    def rerank(self, question: str) -> list[float]:
        """Scores of all texts."""
        scores: list[float] = self.reranker.score(question, self.texts).tolist()
        return scores


class SentenceTransformersReranker:
    """`CrossEncoder.predict`, fp32, its defaults."""

    def __init__(self, model: Path, pages: Path | None, passages: int) -> None:
        from sentence_transformers import CrossEncoder

        self.model = CrossEncoder(str(model))
        self.texts = [full_text(p) for p in full_passages(pages, passages)]

    def rerank(self, question: str) -> list[float]:
        """Scores of all texts."""
        scores: list[float] = self.model.predict([(question, text) for text in self.texts]).tolist()
        return scores


class RerankersReranker:
    """The library rerankers, its cross-encoder, its defaults."""

    def __init__(self, model: Path, pages: Path | None, passages: int) -> None:
        import rerankers

        self.model = rerankers.Reranker(str(model), model_type="cross-encoder", verbose=0)
        self.texts = [full_text(p) for p in full_passages(pages, passages)]

    def rerank(self, question: str) -> list[float]:
        """Scores of all texts."""
        ranked = self.model.rank(question, self.texts)
        return [ranked.get_result_by_docid(number).score for number in range(len(self.texts))]


class FlashRankReranker:
    """FlashRank with the model, quantized by ONNX Runtime, under the name of one of its own."""

    def __init__(self, model: Path, pages: Path | None, passages: int) -> None:
        from flashrank import Ranker
        from flashrank.Config import model_file_map

        name = "ms-marco-MiniLM-L-12-v2"
        cache = Path(tempfile.mkdtemp())
        shutil.copytree(model, cache / name)
        (cache / name / "model-int8.onnx").rename(cache / name / model_file_map[name])
        tokens = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]"}
        (cache / name / "special_tokens_map.json").write_text(json.dumps(tokens))
        self.ranker = Ranker(name, str(cache), log_level="ERROR")
        shutil.rmtree(cache)
        self.passages = [{"id": n, "text": full_text(p)} for n, p in enumerate(full_passages(pages, passages))]

    def rerank(self, question: str) -> list[float]:
        """Scores of all texts."""
        from flashrank import RerankRequest

        ranked = self.ranker.rerank(RerankRequest(question, [dict(p) for p in self.passages]))
        return [float(p["score"]) for p in sorted(ranked, key=lambda p: p["id"])]


class OnnxReranker:
    """ONNX Runtime by hand: dynamic int8, pairs in batches of 32 of about one length."""

    def __init__(self, model: Path, pages: Path | None, passages: int) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        self.session = onnxruntime.InferenceSession(model / "model-int8.onnx", providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        self.tokenizer.enable_truncation(512)
        self.tokenizer.enable_padding()
        self.texts = [full_text(p) for p in full_passages(pages, passages)]

    def rerank(self, question: str) -> list[float]:
        """Scores of all texts."""
        scores = np.empty(len(self.texts), dtype=np.float32)
        order = sorted(range(len(self.texts)), key=lambda place: len(self.texts[place]))
        for start in range(0, len(order), 32):
            batch = order[start : start + 32]
            found = self.tokenizer.encode_batch([(question, self.texts[place]) for place in batch])
            inputs = {
                "input_ids": np.array([e.ids for e in found], dtype=np.int64),
                "attention_mask": np.array([e.attention_mask for e in found], dtype=np.int64),
                "token_type_ids": np.array([e.type_ids for e in found], dtype=np.int64),
            }
            scores[batch] = self.session.run(None, inputs)[0].reshape(-1)
        plain: list[float] = scores.tolist()
        return plain


class MatrixRate:
    """What the machine can do at most: int8 matrix products of the model's own sizes, by oneDNN."""

    SHAPES = ((1024, 384, 384), (1024, 384, 1536), (1024, 1536, 384), (4096, 384, 1536))

    def rate(self) -> float:
        """The highest rate of some sizes, in operations a second; a multiplication and an addition are two."""
        import torch

        best = 0.0
        for rows, inner, columns in self.SHAPES:
            left = torch.randint(-100, 100, (rows, inner), dtype=torch.int8)
            right = torch.randint(-100, 100, (columns, inner), dtype=torch.int8).t()
            torch._int_mm(left, right)
            start = time.perf_counter()
            for _ in range(10):
                torch._int_mm(left, right)
            best = max(best, 10 * 2 * rows * inner * columns / (time.perf_counter() - start))
        return best


class GpuMatrixRate:
    """What a GPU can do at most: bfloat16 products of large square matrices of random numbers."""

    SIZE = 8192

    def rate(self) -> float:
        """Operations a second; a multiplication and an addition are two."""
        import torch

        left, right = torch.randn(2, self.SIZE, self.SIZE, device="cuda", dtype=torch.bfloat16)
        torch.mm(left, right)
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(20):
            torch.mm(left, right)
        torch.cuda.synchronize()
        return 20 * 2 * self.SIZE**3 / (time.perf_counter() - start)


class Profile:
    """Where our engine's time goes, by OpenVINO's own count."""

    def __init__(self, model: Path) -> None:
        import openvino

        options = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32", "PERF_COUNT": "YES"}
        self.model = openvino.Core().compile_model(model / MODEL_FILE, "CPU", options)

    def shares(self) -> dict[str, float]:
        """The share of each kind of operation in the time of a batch."""
        request = self.model.create_infer_request()
        ones = np.ones(PROFILED, dtype=np.int64)
        for _ in range(5):
            request.infer({port.any_name: ones for port in self.model.inputs})
        seconds: dict[str, float] = {}
        for node in request.get_profiling_info():
            kind = OPERATIONS.get(node.node_type, "sums, normalization, quantization and others")
            seconds[kind] = seconds.get(kind, 0.0) + node.real_time.total_seconds()
        return {kind: own / sum(seconds.values()) for kind, own in seconds.items()}


class RagqaSearch:
    """The default search path: BM25 and the embedder, then the reranker on the candidates that they agree on."""

    def __init__(self, pages: Path | None) -> None:
        from ragqa.index.dense import DenseIndex
        from ragqa.models.embedder import Embedder
        from ragqa.models.reranker import Reranker
        from ragqa.search.retriever import Retriever

        passages = searched_passages(pages)
        dense = DenseIndex.build(passages, Embedder.load())
        self.retriever = Retriever(Bm25Index.build(passages), Reranker.load(), dense=dense)

    def search(self, question: str) -> list[str]:
        """The ids of the best hits."""
        return [hit.passage.id for hit in self.retriever.search(question, K)]


class UsualSearch:
    """What sentence-transformers' own documentation shows: the first 100 of BM25, reranked by `CrossEncoder.predict`."""

    def __init__(self, model: Path, pages: Path | None) -> None:
        from sentence_transformers import CrossEncoder

        self.model = CrossEncoder(str(model))
        self.index = Bm25Index.build(searched_passages(pages))

    def search(self, question: str) -> list[str]:
        """The ids of the best hits."""
        found = [passage for passage, _ in self.index.search(question, 100)]
        scores = self.model.predict([(question, full_text(p)) for p in found])
        return [found[place].id for place in np.argsort(-scores)[:K]]


class RagqaBm25:
    """Our index."""

    def __init__(self, pages: Path | None, passages: int, questions: list[str], *, plain: bool = False) -> None:
        self.passages = some_passages(pages, passages)
        self.questions = questions
        self.fields = Fields(title=1, section=0, abbreviations=False, questions=False) if plain else Fields()

    def build(self) -> int:
        """Index the passages."""
        self.index = Bm25Index.build(self.passages, fields=self.fields)
        return len(self.passages)

    def search(self, questions: int) -> list[list[tuple[str, float]]]:
        """The best passages for some questions, given as text."""
        found = [self.index.search(question, K) for question in self.questions[:questions]]
        return [[(passage.id, score) for passage, score in own] for own in found]

    def save(self, folder: Path) -> None:
        """Write the index."""
        self.index.save(folder)


class RankBm25:
    """rank-bm25 on our terms: the reference whose scores ours must be."""

    def __init__(self, pages: Path | None, passages: int, questions: list[str]) -> None:
        self.passages = some_passages(pages, passages)
        index = Bm25Index.build(self.passages, engine="rank-bm25")
        self.model = index._scorer._model  # type: ignore[attr-defined]
        self.terms = [question_terms(q, index.analyzer, index.abbreviations) for q in questions]

    def search(self, questions: int) -> list[list[tuple[str, float]]]:
        """The best passages for some questions, given as terms."""
        found = []
        for terms in self.terms[:questions]:
            scores = self.model.get_scores(terms)
            places = np.argsort(scores)[::-1][:K]
            found.append([(self.passages[place].id, float(scores[place])) for place in places])
        return found


class Bm25s:
    """bm25s as its documentation shows it: its own words, English stemmer and stop words."""

    def __init__(self, pages: Path | None, passages: int, questions: list[str], backend: str = "numpy") -> None:
        import bm25s
        import Stemmer

        self.bm25s, self.stemmer = bm25s, Stemmer.Stemmer("english")
        self.passages = some_passages(pages, passages)
        self.questions = questions
        self.backend = backend

    def build(self) -> int:
        """Index the passages by title and text."""
        texts = [f"{p.title} {p.text}" for p in self.passages]
        tokens = self.bm25s.tokenize(texts, stopwords="en", stemmer=self.stemmer, show_progress=False)
        self.model = self.bm25s.BM25(backend=self.backend)
        self.model.index(tokens, show_progress=False)
        return len(texts)

    def search(self, questions: int) -> int:
        """The best passages for some questions, one after the other, given as text."""
        for question in self.questions[:questions]:
            tokens = self.bm25s.tokenize([question], stopwords="en", stemmer=self.stemmer, show_progress=False)
            places, _ = self.model.retrieve(tokens, k=K, show_progress=False, n_threads=1)
            _ = [self.passages[place] for place in places[0]]
        return questions

    def save(self, folder: Path) -> None:
        """Write the index with its passages."""
        self.model.save(folder, corpus=[{"id": p.id, "text": p.text} for p in self.passages], show_progress=False)


class Tantivy:
    """tantivy with its English stemmer."""

    def __init__(self, pages: Path | None, passages: int, questions: list[str]) -> None:
        import tantivy

        schema = tantivy.SchemaBuilder()
        schema.add_text_field("text", tokenizer_name="en_stem")
        schema.add_unsigned_field("place", stored=True)
        self.index = tantivy.Index(schema.build())
        self.passages = some_passages(pages, passages)
        self.questions = questions
        self.tantivy = tantivy

    def build(self) -> int:
        """Index the passages by title and text."""
        writer = self.index.writer()
        for place, passage in enumerate(self.passages):
            writer.add_document(self.tantivy.Document(text=f"{passage.title} {passage.text}", place=place))
        writer.commit()
        writer.wait_merging_threads()
        self.index.reload()
        return len(self.passages)

    def search(self, questions: int) -> int:
        """The best passages for some questions, given as text."""
        searcher = self.index.searcher()
        for question in self.questions[:questions]:
            query, _ = self.index.parse_query_lenient(question, ["text"])
            for _, address in searcher.search(query, K).hits:
                _ = self.passages[searcher.doc(address)["place"][0]]
        return questions


class RagqaOpened:
    """An index of ours that is opened, not built."""

    def __init__(self, path: Path, questions: list[str]) -> None:
        import ragqa.index.terms  # noqa: F401  what any process has loaded by then

        self.path, self.questions = path, questions

    def open(self) -> None:
        """Open the saved index."""
        self.index = Bm25Index.open(self.path)

    def search(self, questions: int) -> int:
        """The best passages for some questions, read from the disk."""
        for question in self.questions[:questions]:
            self.index.search(question, K)
        return questions


class Bm25sOpened:
    """An index of bm25s that is opened, not built, mapped into memory."""

    def __init__(self, path: Path, questions: list[str]) -> None:
        import bm25s
        import Stemmer

        self.bm25s, self.stemmer = bm25s, Stemmer.Stemmer("english")
        self.path, self.questions = path, questions

    def open(self) -> None:
        """Open the saved index."""
        self.model = self.bm25s.BM25.load(self.path, mmap=True, load_corpus=True, show_progress=False)

    def search(self, questions: int) -> int:
        """The best passages for some questions, read from the disk."""
        for question in self.questions[:questions]:
            tokens = self.bm25s.tokenize([question], stopwords="en", stemmer=self.stemmer, show_progress=False)
            self.model.retrieve(tokens, k=K, show_progress=False, n_threads=1)
        return questions


class Command:
    """A command of its own, from start to end."""

    def __init__(self, command: list[str]) -> None:
        self.command = [sys.executable, *command]

    def run(self) -> None:
        """Run it."""
        subprocess.run(self.command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Answerer:
    """Questions to answers, with the time of each stage; alone or many at once."""

    def __init__(self, pages: Path | None, questions: list[str]) -> None:
        search = RagqaSearch(pages)
        self.retriever, self.questions = search.retriever, questions
        self.retriever.ask(questions[0])

    def stages(self) -> list[dict[str, float]]:
        """The seconds of each stage of each question."""
        from ragqa.answers.answer import answer

        assert self.retriever.dense
        assert self.retriever.reranker
        stages = {
            "BM25": (self.retriever.index, "scores"),
            "embedder": (self.retriever.dense, "scores"),
            "reranker": (self.retriever.reranker, "score"),
        }
        watches = {name: _Watch(owner, method) for name, (owner, method) in stages.items()}
        measured = []
        for question in self.questions:
            start = time.perf_counter()
            hits = self.retriever.search(question, K)
            searched = time.perf_counter()
            row = {name: watch.take() for name, watch in watches.items()}
            answer(question, hits, self.retriever.reranker)
            row["answering sentence"] = time.perf_counter() - searched
            row["all"] = time.perf_counter() - start
            watches["reranker"].take()
            measured.append(row)
        for watch in watches.values():
            watch.end()
        return measured

    def ask(self, at_once: int) -> tuple[list[float], list[list[float]]]:
        """The seconds each question waited, and the scores of its hits; `at_once` users ask one after the other each."""

        def one(question: str) -> tuple[float, list[float]]:
            start = time.perf_counter()
            hits = self.retriever.ask(question).hits
            return time.perf_counter() - start, [hit.score for hit in hits]

        with ThreadPoolExecutor(at_once) as users:
            done = list(users.map(one, self.questions))
        return [seconds for seconds, _ in done], [scores for _, scores in done]


class _Watch:
    """Adds up the time spent in a method of an object."""

    def __init__(self, owner: Any, method: str) -> None:
        self.owner, self.method, self.seconds = owner, method, 0.0
        inner = getattr(owner, method)

        def timed(*arguments: Any) -> Any:
            start = time.perf_counter()
            try:
                return inner(*arguments)
            finally:
                self.seconds += time.perf_counter() - start

        setattr(owner, method, timed)

    def take(self) -> float:
        """The seconds since the last call."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds

    def end(self) -> None:
        """Give the object its own method back."""
        delattr(self.owner, self.method)


class Training:
    """Training steps on the same pairs: by sentence-transformers' defaults, or as `ragqa train` does."""

    def __init__(self, pages: Path | None, pairs: int, base: str, *, ours: bool) -> None:
        from ragqa.training.config import TrainConfig
        from ragqa.training.dataset import PairConfig, build, from_passages
        from ragqa.training.pairs import pair_dataset

        made = build([from_passages(real_passages(pages), ("what", "how", "explain"))], PairConfig(negatives=3))
        self.dataset, self.held_out = pair_dataset(made["train"][:pairs]), made["eval"]
        self.config = TrainConfig(base=base, epochs=1)
        self.ours = ours

    def train(self) -> dict[str, float]:
        """Train on all pairs once; the pairs a second of the steps, and nDCG@10 on questions of other pages."""
        import torch
        from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
        from sentence_transformers.cross_encoder.evaluation import CrossEncoderRerankingEvaluator
        from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss

        from ragqa.training.pairs import reranking_samples
        from ragqa.training.train import fit

        torch.manual_seed(self.config.seed)
        with tempfile.TemporaryDirectory() as folder:
            model, wanted = self._settings(Path(folder))
            trainer = CrossEncoderTrainer(
                model=model,
                args=CrossEncoderTrainingArguments(**wanted),
                train_dataset=self.dataset,
                loss=BinaryCrossEntropyLoss(model),
            )
            metrics: Any = fit(trainer) if self.ours else trainer.train().metrics
        samples = reranking_samples(self.held_out)[:EVAL_QUESTIONS]
        found: Any = CrossEncoderRerankingEvaluator(samples, at_k=10, name="eval", write_csv=False)(model)
        return {"pairs a second": len(self.dataset) / metrics["train_runtime"], "nDCG@10": found["eval_ndcg@10"]}

    def _settings(self, folder: Path) -> tuple[Any, dict[str, Any]]:
        """The model and the training arguments: in both the same batches, learning rate and seed."""
        from sentence_transformers import CrossEncoder
        from torch.nn import Identity

        from ragqa.models.bases import base_path
        from ragqa.training.arguments import arguments
        from ragqa.training.train import load_cross_encoder

        if self.ours:
            settings = arguments(self.config, folder, len(self.dataset), False)
            unevaluated = {"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False}
            return load_cross_encoder(self.config), settings | unevaluated
        return CrossEncoder(base_path(self.config.base), num_labels=1, activation_fn=Identity()), {
            "output_dir": str(folder),
            "num_train_epochs": self.config.epochs,
            "per_device_train_batch_size": self.config.batch_size,
            "learning_rate": self.config.learning_rate,
            "seed": self.config.seed,
            "save_strategy": "no",
            "report_to": [],
            "disable_tqdm": True,
        }
