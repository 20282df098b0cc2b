"""Questions with the passages that answer them, to train on or to measure with: BEIR folders and the starter questions."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ragqa.corpus import read_pages, starter_folder
from ragqa.errors import CorpusError, InputError, RecordError
from ragqa.grades import read_grades
from ragqa.passages import MAX_CHARS, split
from ragqa.records import Page, Passage, read_lines, read_rows

STARTER_SETS = ("starter", "starter-graded", "starter-test", "starter-graded-test")


@dataclass(frozen=True, slots=True)
class Judged:
    """Passages, questions by id, and for each question the grades (1 or more) of the passages that answer it.

    `answers` holds the answering texts of the questions where the source names them, `rejected` the passages that were read
    and found not to answer (grade 0); `uncovered` are questions that nothing in the passages answers.
    """

    name: str
    passages: tuple[Passage, ...]
    questions: Mapping[str, str]
    relevance: Mapping[str, Mapping[str, int]]
    answers: Mapping[str, tuple[str, ...]]
    uncovered: tuple[str, ...] = ()
    rejected: Mapping[str, frozenset[str]] = field(default_factory=dict)


def read_judged(path: str | Path) -> Judged:
    """Read a BEIR folder, or the starter corpus with its questions if `path` is one of `STARTER_SETS`."""
    name = str(path)
    if name not in STARTER_SETS:
        return read_beir(path)
    judged = read_starter_graded() if "graded" in name else read_starter()
    return starter_part(judged, 0) if name.endswith("-test") else judged


def starter_part(judged: Judged, part: int) -> Judged:
    """Every third starter question, from the first (part 0), second or third on.

    Nothing is trained or tuned on part 0: the sets whose names end in "-test". The bundled reranker was trained on part 1 and
    calibrated with part 2.
    """
    return replace(
        keep(judged, list(judged.questions)[part::3]), name=f"{judged.name}-test" if part == 0 else judged.name
    )


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
    rejected: dict[str, set[str]] = {}
    listed = folder / "qrels" / "test.tsv"
    for question_id, document_id, grade in read_qrels(listed if listed.is_file() else _existing(folder, "qrels.tsv")):
        if question_id not in queries or document_id not in pieces:
            continue
        if grade <= 0:
            rejected.setdefault(question_id, set()).update(p.id for p in pieces[document_id])
        else:
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
        rejected={i: frozenset(rejected[i] - relevance[i].keys()) for i in relevance if i in rejected},
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


def read_starter_graded(folder: str | Path | None = None) -> Judged:
    """The starter questions with the passages graded that several systems ranked high, not only the marked answers.

    Raises `RecordError` if a graded text is not in the corpus any more (`grades.read_grades`).
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
    """The questions whose relevant passages all come from pages with these titles; the passages stay as they are."""
    inside = {p.id for p in judged.passages if p.title in titles}
    return keep(judged, [q for q, grades in judged.relevance.items() if grades.keys() <= inside])


def keep(judged: Judged, questions: Sequence[str]) -> Judged:
    """The judged set with these of its questions, given by their ids; the passages stay as they are."""
    return replace(
        judged,
        questions={q: judged.questions[q] for q in questions},
        relevance={q: judged.relevance[q] for q in questions},
        answers={q: judged.answers[q] for q in questions if q in judged.answers},
        rejected={q: judged.rejected[q] for q in questions if q in judged.rejected},
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


def read_qrels(path: Path) -> Iterator[tuple[str, str, int]]:
    """Question id, passage id and grade from each line of a file, which may begin with a header. Raises `RecordError`."""
    for number, line in read_lines(path):
        fields = line.decode(errors="replace").rstrip("\r\n").split("\t")
        if fields == [""] or (number == 1 and not _is_grade(fields[-1])):
            continue  # an empty line, or the header
        if len(fields) != 3 or not _is_grade(fields[2]):
            raise RecordError(path, number, "question id, passage id and grade are needed, separated by tabs")
        yield fields[0], fields[1], int(fields[2])


def _is_grade(field: str) -> bool:
    return re.fullmatch(r"-?[0-9]+", field) is not None
