"""Turn public question files into BEIR folders that `ragqa dataset --judged` takes.

    python benchmarks/training_data.py --squad-sentences pairs.jsonl.gz --squad-dev squad_dev/ --out data/sentences
    python benchmarks/training_data.py --cmu cmu_wikipedia_qa/ --out data/cmu

Sentence-question pairs: 10,556 of the 22,447 also stand in SQuAD's development set, which models are measured on; they
are left out. CMU questions: those whose answer stands in the article and says more than yes or no.
"""

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ragqa.bm25 import Bm25Index
from ragqa.passages import split
from ragqa.records import Page, Passage, read_rows, write_json_lines

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
        if normalize(row["question"]) not in held_out:
            key = documents.setdefault(row["sentence"], f"d{len(documents)}")
            yield (
                {"_id": key, "title": "", "text": detokenize(row["sentence"])},
                {
                    "_id": f"q{number}",
                    "text": detokenize(row["question"]),
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


def main() -> None:
    """Read the arguments and write one BEIR folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--squad-sentences", type=Path)
    parser.add_argument("--squad-dev", type=Path)
    parser.add_argument("--cmu", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.cmu:
        rows = list(cmu_rows(arguments.cmu))
    elif arguments.squad_sentences and arguments.squad_dev:
        rows = list(sentence_rows(arguments.squad_sentences, arguments.squad_dev))
    else:
        parser.error("give --cmu, or --squad-sentences with --squad-dev")
    write_json_lines(arguments.out / "corpus.jsonl", {d["_id"]: d for d, _ in rows}.values())
    write_json_lines(arguments.out / "queries.jsonl", [q for _, q in rows])
    qrels = "".join(f"{q['_id']}\t{d['_id']}\t1\n" for d, q in rows)
    (arguments.out / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels, encoding="utf8")
    print(json.dumps({"questions": len(rows), "passages": len({d["_id"] for d, _ in rows})}))


if __name__ == "__main__":
    main()
