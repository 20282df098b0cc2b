"""Questions with the passages that answer them, to train on or to measure with: BEIR folders and the starter questions."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragqa.corpus import read_pages, starter_folder
from ragqa.errors import CorpusError, InputError, RecordError
from ragqa.passages import MAX_CHARS, split
from ragqa.records import Page, Passage, read_lines, read_rows


@dataclass(frozen=True, slots=True)
class Judged:
    """Passages, questions by id, and for each question the grades (1 or more) of the passages that answer it.

    `answers` holds the answering texts of the questions where the source names them; `uncovered` are questions that
    nothing in the passages answers.
    """

    name: str
    passages: tuple[Passage, ...]
    questions: Mapping[str, str]
    relevance: Mapping[str, Mapping[str, int]]
    answers: Mapping[str, tuple[str, ...]]
    uncovered: tuple[str, ...] = ()


def read_judged(path: str | Path) -> Judged:
    """Read a BEIR folder, or the starter corpus with its questions if `path` is "starter"."""
    return read_starter() if str(path) == "starter" else read_beir(path)


def read_beir(folder: str | Path, max_chars: int = MAX_CHARS) -> Judged:
    """Read `corpus.jsonl`, `queries.jsonl` and `qrels.tsv` (each may be gzipped), or `qrels/test.tsv`.

    Documents longer than `max_chars` characters are cut into passages `id#0`, `id#1`, …; of these, the passages that
    hold one of the question's `answers` take the document's grade, or all of them where the question has no answers.
    Questions without a relevant passage are left out.
    """
    folder = Path(folder)
    pieces = {str(r["_id"]): _cut(r, max_chars) for r in _rows(folder, "corpus.jsonl", ("_id", "text"))}
    queries = {str(r["_id"]): r for r in _rows(folder, "queries.jsonl", ("_id", "text"))}
    relevance: dict[str, dict[str, int]] = {}
    for question_id, document_id, grade in _qrels(folder):
        if grade > 0 and question_id in queries and document_id in pieces:
            relevant = _holding(pieces[document_id], _answers(queries[question_id]))
            grades = relevance.setdefault(question_id, {})
            grades.update({p.id: max(grade, grades.get(p.id, 0)) for p in relevant})
    if not relevance:
        raise CorpusError(f"{folder} holds no question with a relevant passage")
    return Judged(
        folder.resolve().name,
        tuple(p for group in pieces.values() for p in group),
        {i: str(queries[i]["text"]) for i in relevance},
        relevance,
        {i: answers for i in relevance if (answers := _answers(queries[i]))},
    )


def read_starter(folder: str | Path | None = None, max_chars: int = MAX_CHARS) -> Judged:
    """Read a folder of Markdown articles with `questions.jsonl`, by default the bundled starter corpus.

    Each line of the questions has `question`, `page` (a title, or null where the corpus has no answer) and `answer` (the
    exact text in the page); the passages that overlap that text are relevant.
    """
    folder = Path(folder) if folder is not None else starter_folder()
    pages = {page.title: page for page in read_pages(folder)}
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


def select(judged: Judged, titles: frozenset[str]) -> Judged:
    """The questions whose relevant passages all come from pages with these titles; the passages stay as they are."""
    title = {p.id: p.title for p in judged.passages}
    kept = [q for q, grades in judged.relevance.items() if all(title[p] in titles for p in grades)]
    return Judged(
        judged.name,
        judged.passages,
        {q: judged.questions[q] for q in kept},
        {q: judged.relevance[q] for q in kept},
        {q: judged.answers[q] for q in kept if q in judged.answers},
    )


def _rows(folder: Path, name: str, needed: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    path = _existing(folder, name)
    for number, row in read_rows(path):
        if missing := [key for key in needed if key not in row]:
            raise RecordError(path, number, f"{missing[0]!r} is missing")
        yield row


def _existing(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise InputError(f"{folder} is not a BEIR folder: it has no {name} (nor {name}.gz)")


def _cut(row: dict[str, Any], max_chars: int) -> list[Passage]:
    document_id, title, text = str(row["_id"]), str(row.get("title") or ""), str(row["text"])
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


def _qrels(folder: Path) -> Iterator[tuple[str, str, int]]:
    path = folder / "qrels" / "test.tsv"
    path = path if path.is_file() else _existing(folder, "qrels.tsv")
    for number, line in read_lines(path):
        fields = line.decode(errors="replace").rstrip("\r\n").split("\t")
        if fields == [""] or (number == 1 and not _is_grade(fields[-1])):
            continue  # an empty line, or the header
        if len(fields) != 3 or not _is_grade(fields[2]):
            raise RecordError(path, number, "question id, passage id and grade are needed, separated by tabs")
        yield fields[0], fields[1], int(fields[2])


def _is_grade(field: str) -> bool:
    return re.fullmatch(r"-?[0-9]+", field) is not None
