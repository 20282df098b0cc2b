import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import unquote

import pytest

from ragqa.errors import CorpusError, InputError, RecordError
from ragqa.evaluation.grades import read_grades
from ragqa.records import Page, Passage
from ragqa.storage.json_lines import json_line, read_rows
from ragqa.text.pages import read_article, read_pages, starter_folder
from ragqa.text.passages import split
from ragqa.wiki.seeds import read_seeds

Write = Callable[[str, Iterable[str]], Path]

FRONT = ["---", "title: A: b", "url: https://a.org/A", "---"]
CORPUS = Path(__file__).parent.parent / "corpus"
QUESTIONS = [row for _, row in read_rows(starter_folder() / "questions.jsonl")]
COVERED = [row for row in QUESTIONS if row["page"] is not None]


@pytest.mark.parametrize("name", ["pages.jsonl", "pages.jsonl.gz"])
def test_pages_are_read_from_json_lines(tmp_path: Path, name: str) -> None:
    pages = [Page("A", text="é"), Page("B", revision=3)]
    content = b"".join(map(json_line, pages))
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert list(read_pages(tmp_path / name)) == pages


def test_pages_are_read_from_a_folder_in_order_of_file_names(write: Write) -> None:
    folder = write("articles/b.md", ["---", "title: First", "---"]).parent
    write("articles/a.md", [*FRONT, "", "Lead.", "", "## Use ", "Text # 1.", "### In C#", "#hash"])
    write("articles/notes.txt", ["A note"])
    text = "Lead.\n\n== Use ==\nText # 1.\n=== In C# ===\n#hash"
    assert list(read_pages(folder)) == [
        Page("A: b", "https://a.org/A", text=text),
        Page("First", (folder / "b.md").as_uri()),
        Page("notes", (folder / "notes.txt").as_uri(), text="A note", places=((0, "L1"),)),
    ]


def test_front_matter_may_name_an_article_on_the_topic(write: Write) -> None:
    path = write("a.md", ["---", "title: A", "about: https://a.org/A", "---", "Text."])
    assert read_article(path) == Page("A", text="Text.", about="https://a.org/A")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["---", "title: A"], "line 1: the front matter has no end: a second line --- must follow it"),
        (["---", "title: A", "no colon", "---"], "line 3: 'key: value' is needed, not 'no colon'"),
    ],
)
def test_bad_front_matter_is_named_with_its_line(write: Write, lines: list[str], message: str) -> None:
    with pytest.raises(RecordError, match=rf"a\.md, {message}"):
        read_article(write("a.md", lines))


@pytest.mark.parametrize(
    "lines", [["---", "url: https://a.org", "---"], ["---", "title:", "url: https://a.org", "---"]]
)
def test_front_matter_without_title_leaves_the_title_to_the_first_heading_or_the_name(
    write: Write, lines: list[str]
) -> None:
    assert read_article(write("a.md", lines)) == Page("a", "https://a.org")
    assert read_article(write("a.md", [*lines, "", "# Mulch", "Text."])) == Page("Mulch", "https://a.org", text="Text.")


@pytest.mark.parametrize(
    ("lines", "title", "text"),
    [
        (
            ["# Mulch #", "", "It keeps soil moist.", "## Use ##", "In beds."],
            "Mulch",
            "It keeps soil moist.\n== Use ==\nIn beds.",
        ),
        (["Intro.", "# Mulch", "Text.", "# More", "End."], "Mulch", "Intro.\nText.\n== More ==\nEnd."),
        (["No heading.", "#tag", "## Use"], "a", "No heading.\n#tag\n== Use =="),
        (["```sh", "# no title", "## no heading", "```", "Text."], "a", "```sh\n# no title\n## no heading\n```\nText."),
        (["~~~~", "```", "~~~", "# code", "~~~~", "# Title", "Text."], "Title", "~~~~\n```\n~~~\n# code\n~~~~\nText."),
        (["Mulch", "=====", "Text.", "", "Use", "---", "Beds."], "Mulch", "Text.\n\n== Use ==\nBeds."),
        (["Text.", "goes on", "---", "- a", "---", "# Mulch"], "Mulch", "Text.\ngoes on\n---\n- a\n---"),
    ],
)
def test_plain_markdown_is_titled_by_its_first_heading_or_its_name(
    write: Write, lines: list[str], title: str, text: str
) -> None:
    path = write("a.md", lines)
    assert read_article(path) == Page(title, text=text)
    assert list(read_pages(path)) == list(read_pages(path.parent))
    (page,) = read_pages(path)
    assert (page.title, page.text, page.url) == (title, text, path.as_uri())


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_byte_order_marks_and_foreign_line_ends_change_no_article(tmp_path: Path, mark: str, end: str) -> None:
    lines = [*FRONT, "Lead.", "## Use", "Text."]
    (tmp_path / "a.MD").write_bytes((mark + end.join(lines)).encode())
    assert list(read_pages(tmp_path)) == [Page("A: b", "https://a.org/A", text="Lead.\n== Use ==\nText.")]


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_pages_are_read_with_line_feeds_so_that_offsets_count_in_them(write: Write, end: str) -> None:
    text = end.join(["Lead.", "", "== Making ==", "It takes a year.", "", "Turn it."])
    path = write("pages.jsonl", [json.dumps({"title": "Compost", "text": text})])
    (page,) = read_pages(path)
    assert page.text == "Lead.\n\n== Making ==\nIt takes a year.\n\nTurn it."
    assert [(p.section, page.text[p.start : p.end]) for p in split(page)] == [
        ("", "Lead."),
        ("Making", "It takes a year.\n\nTurn it."),
    ]


@pytest.mark.parametrize("name", ["notes.rst", "a.DOC", "a.odt", "dump.xml.bz2", "dump.xml.gz"])
def test_what_pages_are_not_read_from_is_named_with_what_they_are_read_from(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"%PDF")
    ending = {"dump.xml.bz2": ".bz2", "dump.xml.gz": ".xml"}.get(name, Path(name).suffix.lower())
    with pytest.raises(InputError, match=rf"{name}: ragqa cannot read pages from {ending} files; give JSON Lines"):
        list(read_pages(tmp_path / name))
    with pytest.raises(CorpusError, match=rf"^{tmp_path} holds no pages; give JSON Lines"):
        list(read_pages(tmp_path))


def test_an_article_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"---\ntitle: \xe9\n---\n")
    with pytest.raises(RecordError, match=r"a\.md, line 1: not UTF-8"):
        read_article(tmp_path / "a.md")


def test_nothing_to_read_is_named(tmp_path: Path, write: Write) -> None:
    with pytest.raises(CorpusError, match=r"missing\.jsonl does not exist; make it with: ragqa crawl"):
        list(read_pages(tmp_path / "missing.jsonl"))
    for empty, end in ((write("empty.jsonl", []), "$"), (tmp_path, "; give JSON Lines")):
        with pytest.raises(CorpusError, match=f"^{empty} holds no pages{end}"):
            list(read_pages(empty))


def test_the_starter_corpus_holds_articles_of_readable_length(starter_pages: tuple[Page, ...]) -> None:
    assert len(starter_pages) >= 80
    assert [page.title for page in starter_pages if not 2_000 <= len(page.text) <= 6_000] == []


def test_starter_titles_are_unique_and_name_the_article_on_their_topic(starter_pages: tuple[Page, ...]) -> None:
    assert len({page.title.casefold() for page in starter_pages}) == len(starter_pages)
    for page in starter_pages:
        assert page.url == ""  # the text is from nowhere else
        assert unquote(page.about) == f"https://en.wikipedia.org/wiki/{page.title.replace(' ', '_')}"


def test_every_starter_article_is_in_the_public_domain() -> None:
    for path in starter_folder().glob("*.md"):
        assert "license: CC0-1.0" in path.read_text(encoding="utf8").split("\n---\n")[0].splitlines()


def test_there_are_enough_starter_questions_with_and_without_an_answer() -> None:
    assert len(COVERED) >= 200
    assert len(QUESTIONS) - len(COVERED) >= 30


def test_starter_questions_are_asked_in_many_ways() -> None:
    questions = [row["question"].casefold() for row in QUESTIONS]
    assert sum(question.startswith("what is") for question in questions) <= len(questions) / 3
    assert [question for question, count in Counter(questions).items() if count > 1] == []


def test_starter_answers_stand_in_their_page_mostly_within_one_passage(starter_pages: tuple[Page, ...]) -> None:
    pages = {page.title: page for page in starter_pages}
    assert [row["question"] for row in COVERED if row["answer"] not in pages[row["page"]].text] == []
    within = [any(row["answer"] in p.text for p in split(pages[row["page"]])) for row in COVERED]
    assert sum(within) >= 0.95 * len(COVERED)


def test_training_questions_over_the_starter_corpus_are_none_of_the_starter_questions(
    starter_passages: tuple[Passage, ...],
) -> None:
    grades = read_grades(CORPUS / "starter_training.jsonl", starter_passages)
    assert len(grades) >= 600
    asked = {normalize(row["question"]) for row in QUESTIONS}
    assert [question for question in grades if normalize(question) in asked] == []


def test_training_questions_are_many_each_once_and_answered_by_some_passage() -> None:
    rows = [row for _, row in read_rows(CORPUS / "questions.jsonl") if "question" in row]
    assert len({row["question"] for row in rows}) == len(rows) >= 6000
    best = {row["question"]: max(max(own.values()) for own in row["grades"].values()) for row in rows}
    assert [question for question, grade in best.items() if grade < 1] == []


def normalize(question: str) -> str:
    return re.sub(r"[^a-z0-9]", "", question.lower())


def test_the_seeds_of_the_wikipedia_crawl_name_many_articles_each_once() -> None:
    seeds = read_seeds(CORPUS / "wikipedia.toml")
    assert len(seeds.titles) >= 500
    assert len({title.casefold() for title in seeds.titles}) == len(seeds.titles)
    assert len(set(seeds.categories)) == len(seeds.categories) > 0
