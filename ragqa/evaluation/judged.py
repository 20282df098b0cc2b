"""A BEIR folder or the starter corpus in; passages, questions and the grades of passages that answer them out."""

import json
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ragqa.errors import CorpusError, InputError, RecordError, warn_of_fallback
from ragqa.evaluation.grades import read_grades
from ragqa.evaluation.qrels import read_qrels
from ragqa.records import Page, Passage
from ragqa.storage.json_lines import is_input, read_rows
from ragqa.text.pages import read_pages, starter_folder
from ragqa.text.passages import MAX_CHARS, split

_USUAL_SPLIT = "test"
_QRELS = ("qrels.tsv", "qrels.txt")  # in folders without splits

STARTER_SETS = ("starter", "starter-graded", "starter-test", "starter-graded-test")


@dataclass(frozen=True, slots=True)
class Judged:
    """Passages, questions by id, and for each question the grades (1 or more) of the passages that answer it.

    `answers` are the known answer texts by question id. `rejected` are passages that were judged not to answer (grade 0), by
    question id. `uncovered` are questions that no passage answers. `documents` maps the id of a passage to that of the document
    it was cut from, for documents that were too long. `excluded` are passages that do not count as hits, by question id.
    """

    name: str
    passages: tuple[Passage, ...]
    questions: Mapping[str, str]
    relevance: Mapping[str, Mapping[str, int]]
    answers: Mapping[str, tuple[str, ...]]
    uncovered: tuple[str, ...] = ()
    rejected: Mapping[str, frozenset[str]] = field(default_factory=dict)
    documents: Mapping[str, str] = field(default_factory=dict)
    excluded: Mapping[str, frozenset[str]] = field(default_factory=dict)


def read_judged(path: str | Path, split: str | None = None, *, exclude_self: bool = False) -> Judged:
    """Read a BEIR folder, or the starter corpus with its questions if `path` is one of `STARTER_SETS`.

    `split` and `exclude_self` are those of `read_beir`. Raises `InputError` if they are given for a starter set.
    """
    name = str(path)
    if name not in STARTER_SETS:
        return read_beir(path, split=split, exclude_self=exclude_self)
    if split or exclude_self:
        raise InputError(
            f"{name} has no splits, and its questions are not documents; use --split and --exclude-self with BEIR folders"
        )
    judged = read_starter_graded() if "graded" in name else read_starter()
    return starter_part(judged, 0) if name.endswith("-test") else judged


def starter_part(judged: Judged, part: int) -> Judged:
    """Keep every third starter question, beginning with the first (part 0), second (1) or third (2).

    No model is trained or tuned on part 0, which the sets whose names end in "-test" consist of. The bundled reranker was
    trained on part 1 and calibrated with part 2.
    """
    return replace(
        keep(judged, list(judged.questions)[part::3]), name=f"{judged.name}-test" if part == 0 else judged.name
    )


def read_beir(
    folder: str | Path, max_chars: int = MAX_CHARS, *, split: str | None = None, exclude_self: bool = False
) -> Judged:
    """Read `corpus.jsonl`, `queries.jsonl` and the judgments of a split (each may be gzipped).

    Judgments are read from `qrels/SPLIT.tsv`. Without a `split` that is `qrels/test.tsv`, `qrels.tsv` or the only file in
    `qrels`; the name of the set then names the split. They have three columns as in BEIR or four as in TREC.

    Documents longer than `max_chars` characters are cut into passages `id#0`, `id#1`, …. The passages that contain one of the
    question's `answers` get the grade of the document; if none does, all get it. Questions without a relevant passage are left
    out. `exclude_self` leaves out the document that has the id of the question (BEIR: `ignore_identical_ids`).

    Issues a `FallbackWarning` for judgments of unknown questions or documents, which are left out. Raises `InputError` for a
    missing file, `RecordError` for an invalid line, `CorpusError` if no question has a relevant passage.
    """
    folder = Path(folder)
    documents = _rows(folder, "corpus.jsonl")
    queries = _rows(folder, "queries.jsonl")
    pieces = {document_id: _cut(document_id, row, max_chars) for document_id, row in documents.items()}
    own = {i: frozenset(p.id for p in pieces[i]) for i in queries if exclude_self and i in pieces}
    path, part = _find_qrels(folder, split)
    relevance: dict[str, dict[str, int]] = {}
    rejected: dict[str, set[str]] = {}
    for question_id, document_id, grade in _known(path, queries.keys(), pieces.keys()):
        if exclude_self and question_id == document_id:
            continue
        if grade <= 0:
            rejected.setdefault(question_id, set()).update(p.id for p in pieces[document_id])
        else:
            relevant = _holding(pieces[document_id], _answers(queries[question_id]))
            grades = relevance.setdefault(question_id, {})
            grades.update({p.id: max(grade, grades.get(p.id, 0)) for p in relevant})
    if not relevance:
        raise CorpusError(f"{folder} holds no question with a relevant passage in {path.name}")
    return Judged(
        folder.resolve().name + (f" ({part})" if part else ""),
        tuple(p for group in pieces.values() for p in group),
        {i: queries[i]["text"] for i in relevance},
        relevance,
        {i: answers for i in relevance if (answers := _answers(queries[i]))},
        rejected={i: frozenset(rejected[i] - relevance[i].keys()) for i in relevance if i in rejected},
        documents={p.id: i for i, group in pieces.items() for p in group if p.id != i},
        excluded={i: own[i] for i in relevance if i in own},
    )


def read_judgments(path: str | Path, *, exclude_self: bool = False) -> Judged:
    """Read judgments alone: enough to measure runs of other systems, without passages and the texts of questions.

    The file has the columns of `qrels.read_qrels`. Questions without a relevant document are left out. `exclude_self` is that
    of `read_beir`. Raises `RecordError` for an invalid line, `CorpusError` if no question has a relevant document.
    """
    relevance: dict[str, dict[str, int]] = {}
    rejected: dict[str, set[str]] = {}
    for question, document, grade in read_qrels(path):
        if exclude_self and question == document:
            continue
        if grade <= 0:
            rejected.setdefault(question, set()).add(document)
        else:
            grades = relevance.setdefault(question, {})
            grades[document] = max(grade, grades.get(document, 0))
    if not relevance:
        raise CorpusError(f"{path} holds no question with a relevant document")
    return Judged(
        Path(path).name,
        (),
        {question: question for question in relevance},
        relevance,
        {},
        rejected={q: frozenset(rejected[q] - relevance[q].keys()) for q in relevance if q in rejected},
        excluded={q: frozenset([q]) for q in relevance} if exclude_self else {},
    )


def by_document(judged: Judged) -> Judged:
    """Grade whole documents: each gets the highest grade of its passages. The passages stay the same."""
    names = judged.documents
    relevance: dict[str, dict[str, int]] = {}
    for question, grades in judged.relevance.items():
        folded = relevance.setdefault(question, {})
        for passage, grade in grades.items():
            document = names.get(passage, passage)
            folded[document] = max(grade, folded.get(document, 0))
    fold = {q: frozenset(names.get(p, p) for p in own) for q, own in judged.rejected.items()}
    rejected = {q: own - relevance[q].keys() for q, own in fold.items()}
    return replace(judged, relevance=relevance, rejected=rejected)


def read_starter(folder: str | Path | None = None, max_chars: int = MAX_CHARS) -> Judged:
    """Read a folder of Markdown articles with `questions.jsonl`, by default the bundled starter corpus.

    Each line of the questions has `question`, `page` (a title, or null if the corpus has no answer) and `answer` (the exact
    text in the page). The passages that overlap with that text are relevant.
    """
    folder = Path(folder) if folder is not None else starter_folder()
    pages = {page.title: page for page in read_pages(folder, lambda _: None)}
    passages = {title: split(page, max_chars) for title, page in pages.items()}
    questions, relevance, answers, uncovered = {}, {}, {}, []
    for number, row in read_rows(folder / "questions.jsonl"):
        if missing := [key for key in ("question", "page", "answer") if key not in row]:
            raise RecordError(folder / "questions.jsonl", number, f"{missing[0]!r} is missing")
        if row["page"] is None:
            uncovered.append(str(row["question"]))
            continue
        page = pages.get(str(row["page"]))
        start = page.text.find(str(row["answer"])) if page else -1
        if page is None or start < 0:
            raise RecordError(folder / "questions.jsonl", number, f"the page {row['page']!r} does not hold the answer")
        key = f"s{number}"
        questions[key], answers[key] = row["question"], (row["answer"],)
        end = start + len(row["answer"])
        relevance[key] = {p.id: 1 for p in passages[page.title] if p.start < end and p.end > start}
    everything = tuple(p for group in passages.values() for p in group)
    return Judged("starter", everything, questions, relevance, answers, tuple(uncovered))


def read_starter_graded(folder: str | Path | None = None) -> Judged:
    """Read the starter questions with grades for all passages that several systems ranked high, not only marked answers.

    Raises `RecordError` if a graded text is no longer in the corpus (`grades.read_grades`).
    """
    folder = Path(folder) if folder is not None else starter_folder()
    starter = read_starter(folder)
    by_text = {text: key for key, text in starter.questions.items()}
    graded = read_grades(folder / "grades.jsonl", starter.passages)
    grades = {by_text[question]: own for question, own in graded.items() if question in by_text}
    if missing := starter.questions.keys() - grades.keys():
        raise CorpusError(f"{folder / 'grades.jsonl'} grades nothing for {starter.questions[min(missing)]!r}")
    return replace(
        starter,
        name="starter-graded",
        relevance={key: {p: grade for p, grade in grades[key].items() if grade > 0} for key in starter.questions},
        rejected={key: frozenset(p for p, grade in grades[key].items() if grade <= 0) for key in starter.questions},
    )


def select(judged: Judged, titles: frozenset[str]) -> Judged:
    """Keep the questions whose relevant passages all come from pages with these titles. The passages stay the same."""
    inside = {p.id for p in judged.passages if p.title in titles}
    return keep(judged, [q for q, grades in judged.relevance.items() if grades.keys() <= inside])


def keep(judged: Judged, questions: Sequence[str]) -> Judged:
    """Keep the questions with these ids. The passages stay the same."""
    return replace(
        judged,
        questions={q: judged.questions[q] for q in questions},
        relevance={q: judged.relevance[q] for q in questions},
        answers={q: judged.answers[q] for q in questions if q in judged.answers},
        rejected={q: judged.rejected[q] for q in questions if q in judged.rejected},
        excluded={q: judged.excluded[q] for q in questions if q in judged.excluded},
    )


def _rows(folder: Path, name: str) -> dict[str, dict[str, Any]]:
    """Read the rows of a file by id. Raises `RecordError` for an invalid row and for an id that is used twice."""
    path = _existing(folder, name)
    rows: dict[str, dict[str, Any]] = {}
    lines: dict[str, int] = {}
    for number, row in read_rows(path):
        row_id = _check_row(path, number, row)
        if row_id in lines:
            raise RecordError(path, number, f"the id {row_id!r} appears twice, first in line {lines[row_id]}")
        rows[row_id], lines[row_id] = row, number
    return rows


def _check_row(path: Path, number: int, row: dict[str, Any]) -> str:
    """Return the id of a row. Raises `RecordError` if the id or text is missing, or if a value has the wrong type."""
    for key in ("_id", "text"):
        if key not in row:
            raise RecordError(path, number, f"{key!r} is missing")
    if not isinstance(row["_id"], str | int) or isinstance(row["_id"], bool):
        raise RecordError(path, number, f"'_id' is {json.dumps(row['_id']):.40}, not a string or whole number")
    for key in ("text", "title"):
        if not isinstance(row.get(key, ""), str):
            raise RecordError(path, number, f"{key!r} of {row['_id']!r} is {json.dumps(row[key]):.40}, not a string")
    return str(row["_id"])


def _existing(folder: Path, *names: str) -> Path:
    for name in names:
        for path in (folder / name, folder / f"{name}.gz"):
            if is_input(path):
                return path
    raise InputError(f"{folder} is not a BEIR folder: it has no {names[0]} (nor {names[0]}.gz)")


def _find_qrels(folder: Path, split: str | None) -> tuple[Path, str]:
    """Return the file of judgments and the name of its split; the name is empty for the default split."""
    splits = {path.name.removesuffix(".gz").removesuffix(".tsv"): path for path in _tables(folder / "qrels")}
    if split is not None:
        if split not in splits:
            there = f"it has {', '.join(splits)}" if splits else "it has no folder qrels with .tsv files"
            raise InputError(f"{folder} has no judgments of the split {split!r}: {there}")
        return splits[split], "" if split == _USUAL_SPLIT else split
    if _USUAL_SPLIT in splits:
        return splits[_USUAL_SPLIT], ""
    if not splits or any(is_input(folder / f"{name}{end}") for name in _QRELS for end in ("", ".gz")):
        return _existing(folder, *_QRELS), ""
    if len(splits) > 1:
        raise InputError(f"{folder} has no split {_USUAL_SPLIT!r}; choose one with --split: {', '.join(splits)}")
    (only,) = splits
    return splits[only], only


def _tables(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.name.endswith((".tsv", ".tsv.gz")))


def _known(path: Path, questions: Set[str], documents: Set[str]) -> Iterator[tuple[str, str, int]]:
    """Yield the judgments of known questions and documents. Warn at the end how many others were left out."""
    unknown = ""
    count = left_out = 0
    for question_id, document_id, grade in read_qrels(path):
        count += 1
        if question_id in questions and document_id in documents:
            yield question_id, document_id, grade
            continue
        left_out += 1
        name = f"question {question_id!r}" if question_id not in questions else f"document {document_id!r}"
        unknown = unknown or name
    if left_out:
        warn_of_fallback(
            f"{path}: {left_out:,} of {count:,} judgments are left out, because their question or document does not exist; "
            f"the first is {unknown}; check that the folder is complete"
        )


def _cut(document_id: str, row: dict[str, Any], max_chars: int) -> list[Passage]:
    title, text = row.get("title", ""), row["text"]
    if len(text) <= max_chars:
        return [Passage(document_id, title, end=len(text), text=text)]
    return [
        Passage(f"{document_id}#{n}", title, p.section, p.start, p.end, p.text)
        for n, p in enumerate(split(Page(title, text=text), max_chars))
    ]


def _answers(query: dict[str, Any]) -> tuple[str, ...]:
    answers = query.get("answers") or ()
    return (answers,) if isinstance(answers, str) else tuple(map(str, answers))


def _holding(pieces: list[Passage], answers: tuple[str, ...]) -> list[Passage]:
    return [p for p in pieces if any(answer in p.text for answer in answers)] or pieces
